// The columns of the Decoding tab: what is known of a token, while it is pointed at or chosen; going on from another
// token in its place; which of several hypotheses is shown; copying and saving.
{
  let tip = null;  // {box, token, pinned}

  const part = (name, text, tag = 'span') => {
    const element = document.createElement(tag);
    element.className = name;
    if (text) element.textContent = text;
    return element;
  };

  // A button where one can go on from another token: in columns. Elsewhere a line.
  function option(row, at, inColumn) {
    const [id, name, share, percent, chosen, gone] = row;
    const look = `decoding-option${chosen ? ' decoding-chosen' : ''}${gone ? ' decoding-gone' : ''}`;
    const button = part(look, '', inColumn ? 'button' : 'div');
    if (inColumn) button.type = 'button';
    button.tabIndex = -1;
    button.dataset.id = id;
    button.dataset.at = at;
    if (inColumn) button.title = (gone ? `removed by ${gone}. ` : '') + (chosen ? 'This was chosen' : 'Go on from here');
    const bar = part('decoding-bar');
    bar.append(part(''));
    bar.firstChild.style.width = `${share}%`;
    button.append(part('decoding-option-text', name), bar, part('decoding-option-number', percent));
    return button;
  }

  function open(token, pinned) {
    close();
    const text = token.closest('.decoding-text'), inColumn = Boolean(text.closest('.decoding-column'));
    const box = part('decoding-tip', '', 'div');
    box.id = 'decoding-tip';
    box.setAttribute('role', 'tooltip');
    const start = Number(token.dataset.at);
    JSON.parse(token.dataset.say).forEach((told, i) => {
      const head = part('decoding-tip-head');
      head.append(part('', told.name, 'b'), ` ${told.head}`);
      box.append(head, part('decoding-tip-line', told.line));
      if (told.note) box.append(part('decoding-tip-line', told.note));
      told.options.forEach((row) => box.append(option(row, start + i, inColumn)));
    });
    if (inColumn) box.append(part('decoding-tip-line decoding-tip-hint', 'Choose another token to go on from it (↓ and Enter)'));
    const lines = token.getClientRects(), last = lines[lines.length - 1], around = text.getBoundingClientRect();
    box.style.top = `${last.bottom - around.top + 3}px`;
    text.append(box);
    // Elsewhere the text can be much wider than the box: it stands below its token.
    if (!inColumn) box.style.left = `${Math.max(-1, Math.min(last.left - around.left, around.width - box.offsetWidth))}px`;
    token.setAttribute('aria-describedby', 'decoding-tip');
    tip = {box, token, pinned};
    box.classList.toggle('pinned', pinned);
  }

  function close() {
    if (!tip) return;
    const {box, token} = tip;
    tip = null;  // first: taking away a box that has the focus is told here again, as a loss of it
    token.removeAttribute('aria-describedby');
    box.remove();
  }

  const tokenOf = (target) => target.closest?.('.decoding-token[data-say]');
  document.addEventListener('mouseover', (event) => {
    const token = tokenOf(event.target);
    if (token && !(tip && tip.pinned && tip.box.isConnected)) open(token, false);
  });
  document.addEventListener('mouseout', (event) => {
    if (tip && !tip.pinned && tokenOf(event.target) && tokenOf(event.relatedTarget || document.body) !== tip.token) close();
  });
  document.addEventListener('focusin', (event) => {
    const token = tokenOf(event.target);
    if (token) open(token, true);
    else if (tip && tip.pinned && !tip.box.contains(event.target)) close();
  });
  document.addEventListener('focusout', (event) => {
    if (tip && tip.pinned && (tokenOf(event.target) || tip.box.contains(event.target))
        && !(event.relatedTarget && (event.relatedTarget === tip.token || tip.box.contains(event.relatedTarget)))) close();
  });
  // A click into the explanation leaves the focus where it is.
  document.addEventListener('mousedown', (event) => { if (event.target.closest?.('.decoding-tip')) event.preventDefault(); });

  // What is clicked goes to the server as the list of the last clicks, numbered: none is lost, none counts twice.
  let acts = [];
  function act(name, column, more = {}) {
    const field = document.querySelector('#decoding-acts textarea, #decoding-acts input');
    if (!field) return;
    acts = [...acts.slice(-11), {n: Math.max(Date.now(), (acts[acts.length - 1]?.n ?? 0) + 1), act: name, column, ...more}];
    field.value = JSON.stringify(acts);
    field.dispatchEvent(new Event('input', {bubbles: true}));
  }

  // The column is drawn anew after a branch: the focus goes back to where it was.
  let lost = null;  // {column, at}
  new MutationObserver(() => {
    if (!lost) return;
    if (document.activeElement && document.activeElement !== document.body) { lost = null; return; }
    const texts = document.querySelector(`#decoding-column-${lost.column + 1} .decoding-text[data-ids]`);
    const tokens = [...(texts?.querySelectorAll('.decoding-token[data-at]') ?? [])];
    const token = tokens.filter((one) => Number(one.dataset.at) <= lost.at).pop();
    if (!token || texts.dataset.ids.split(',')[lost.at] !== String(lost.id)) return;
    lost = null;
    tokens.forEach((one) => { one.tabIndex = one === token ? 0 : -1; });
    token.focus({preventScroll: true});
  }).observe(document.body, {subtree: true, childList: true});

  function branch(button) {
    const text = button.closest('.decoding-text'), column = Number(text.closest('[data-column]').dataset.column);
    const ids = text.dataset.ids.split(',').map(Number).slice(0, Number(button.dataset.at));
    const at = Number(button.dataset.at), id = Number(button.dataset.id), byKeyboard = document.activeElement === button || tip?.token === document.activeElement;
    close();
    if (byKeyboard) { lost = {column, at, id}; document.activeElement?.blur?.(); }
    act('branch', column, {ids: [...ids, id]});
  }

  document.addEventListener('keydown', (event) => {
    if (!tip || !tip.pinned) return;
    if (event.key === 'Escape') { const {token} = tip; token.focus(); close(); return; }
    const options = [...tip.box.querySelectorAll('button.decoding-option')], at = options.indexOf(document.activeElement);
    const down = {ArrowDown: 1, ArrowUp: -1}[event.key], along = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (down && options.length) {
      event.preventDefault();
      if (at + down < 0) tip.token.focus();
      else options[Math.min(options.length - 1, at + down)].focus();
    } else if (along) {
      event.preventDefault();
      const tokens = [...tip.token.closest('.decoding-text').querySelectorAll('.decoding-token')];
      const next = tokens[tokens.indexOf(tip.token) + along];
      if (!next) return;
      tokens.forEach((token) => { token.tabIndex = token === next ? 0 : -1; });
      next.focus();
    }
  });

  function told(button, words) {
    const before = (button.dataset.name ??= button.textContent);
    button.textContent = words;
    setTimeout(() => { button.textContent = before; }, 2_000);
  }

  document.addEventListener('click', (event) => {
    const acting = event.target.closest?.('#decoding-chips [data-act], .decoding-column [data-act]');
    if (acting) act(acting.dataset.act, Number(acting.dataset.column ?? acting.closest('[data-column]')?.dataset.column ?? -1));
    const button = event.target.closest?.('.decoding-column button');
    if (!button) return;
    if (button.matches('.decoding-option')) branch(button);
    if (button.dataset.show !== undefined) {
      const column = button.closest('.decoding-column');
      column.querySelectorAll('.decoding-text[data-index]').forEach((text) => { text.hidden = text.dataset.index !== button.dataset.show; });
      column.querySelectorAll('[data-show]').forEach((other) => other.setAttribute('aria-pressed', String(other === button)));
    }
    if (button.dataset.copy !== undefined) {
      const text = button.parentElement.querySelector('pre').textContent;
      navigator.clipboard?.writeText(text).then(() => told(button, 'Copied'), () => told(button, 'Select it instead'))
        ?? told(button, 'Select it instead');
    }
    if (button.dataset.save) {
      const text = button.parentElement.querySelector('.decoding-json').textContent;
      const link = document.createElement('a');
      link.href = URL.createObjectURL(new Blob([text], {type: 'application/json'}));
      link.download = button.dataset.save;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    }
  });
}
