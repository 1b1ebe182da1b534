// The Evaluate tab: copying a score with its signature, or a call; choosing what is compared.
{
  document.addEventListener('click', (event) => {
    const button = event.target.closest?.('[data-copy-text]');
    if (!button) return;
    const say = (words) => { button.textContent = words; setTimeout(() => { button.textContent = 'Copy'; }, 2_000); };
    navigator.clipboard?.writeText(button.dataset.copyText).then(() => say('Copied'), () => say('Select it instead'))
      ?? say('Select it instead');
  });

  // Ids with commas between them, in the order in which they were chosen (playground/tabs/evaluate/compare.py).
  window.keptClicks = [];
  let last = {from: null, to: null, at: 0};
  window.chooseKept = (chosen, most) => {
    const {act, id, on} = window.keptClicks.shift() || {}, now = performance.now();
    // Of two clicks at once the second is still given what was chosen before the first.
    const before = last.from === chosen && now - last.at < 500 ? last.to : chosen;
    if (act !== 'choose') return before;
    const ids = (before || '').split(',').filter((other) => other && other !== id);
    const full = on && ids.length >= most;
    if (full) document.querySelectorAll(`#compare-kept [data-id="${id}"]`).forEach((box) => { box.checked = false; });
    const to = [...ids, ...(on && !full ? [id] : [])].join(',');
    last = {from: chosen, to, at: now};
    return to;
  };
}
