// The settings of the next token: many fields, one value. It is the JSON text of those that are not as they usually are, as
// tabs/decoding/next_settings.py reads it. A field is never drawn anew: whoever drags or types keeps hold of it.
{
  // A number that is typed counts as soon as it is one that the field can hold; when it is left, the field shows what holds.
  function numberField(box, tell) {
    const number = box.querySelector('input[type=number]'), range = box.querySelector('input[type=range]');
    const low = Number(number.min), high = Number(number.max), whole = Number(number.step) % 1 === 0, usual = Number(box.dataset.usual);
    let value = usual;
    const slide = (wanted) => {
      if (!range) return;
      range.value = wanted;
      range.style.setProperty('--share', `${100 * (wanted - low) / (high - low)}%`);
    };
    const take = (wanted) => {
      if (wanted === value) return;
      value = wanted;
      slide(value);
      tell();
    };
    const show = (wanted) => {
      if (Number(number.value) !== wanted || number.value === '') number.value = wanted;
      slide(wanted);
    };
    range?.addEventListener('input', () => {
      number.value = range.value;
      take(Number(range.value));
    });
    number.addEventListener('input', () => {
      const typed = number.value === '' ? NaN : Number(number.value);
      if (typed >= low && typed <= high && !(whole && typed % 1)) take(typed);
    });
    number.addEventListener('change', () => {
      const typed = number.value === '' ? NaN : Number(number.value);
      if (!Number.isNaN(typed)) take(Math.min(high, Math.max(low, whole ? Math.round(typed) : typed)));
      number.value = value;
    });
    return {usual, get: () => value, set: (wanted) => { value = wanted; show(value); }};
  }

  function radioField(box, tell) {
    const radios = [...box.querySelectorAll('input')];
    box.addEventListener('change', tell);
    return {usual: radios[0].value, get: () => radios.find((radio) => radio.checked)?.value ?? radios[0].value,
      set: (wanted) => { for (const radio of radios) radio.checked = radio.value === wanted; }};
  }

  function textField(box, tell) {
    const input = box.querySelector('input');
    for (const name of ['change', 'blur']) input.addEventListener(name, tell);  // or it settles (app.js)
    return {usual: '', get: () => input.value, set: (wanted) => { if (input.value !== wanted) input.value = wanted; }};
  }

  window.nextSettings = (element, props, watch) => {
    const tell = () => {
      const chosen = Object.entries(fields).map(([name, field]) => [name, field.get(), field.usual]).filter(([, value, usual]) => value !== usual);
      const text = chosen.length ? JSON.stringify(Object.fromEntries(chosen)) : '';
      if (text !== props.value) props.value = text;
    };
    const made = (box) => (box.matches('fieldset') ? radioField : box.querySelector('[type=number]') ? numberField : textField)(box, tell);
    const all = Object.fromEntries([...element.querySelectorAll('[data-name]')].map((box) => [box.dataset.name, made(box)]));
    const {how, find, ...numbers} = all, fields = {...numbers, how, find};  // in the order of the text
    const show = () => {
      let given = {};
      try { given = JSON.parse(props.value || '{}'); } catch { /* nobody's text: as it usually is */ }
      for (const [name, field] of Object.entries(fields)) field.set(given[name] ?? field.usual);
    };
    element.querySelector('.next-reset').addEventListener('click', () => {
      for (const field of Object.values(fields)) field.set(field.usual);
      tell();
    });
    watch('value', show);  // by a link
    show();
  };
}
