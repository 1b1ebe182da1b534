// Small things that need the browser: light and dark, typing that settles, tokens that light up together.

// ---- light and dark: the visitor's choice is kept in this browser; without one the system decides
const chosen = localStorage.getItem('theme');
if (chosen && !new URLSearchParams(location.search).has('__theme')) {
  document.body.classList.toggle('dark', chosen === 'dark');
}
document.addEventListener('click', (event) => {
  if (!event.target.closest('[data-action="theme"]')) return;
  const dark = document.body.classList.toggle('dark');
  localStorage.setItem('theme', dark ? 'dark' : 'light');
});

// ---- a text settles after a pause in typing, as it does when the field is left; never in the middle of a composition
const PAUSE = 600;
const pauses = new WeakMap();
document.addEventListener('input', (event) => {
  const field = event.target;
  if (!field.closest || !field.closest('#text, #target') || event.isComposing) return;
  clearTimeout(pauses.get(field));
  pauses.set(field, setTimeout(() => {
    if (document.activeElement === field) field.dispatchEvent(new FocusEvent('blur'));
  }, PAUSE));
});

// ---- tokens: what is pointed at or focused lights up in text and table; arrow keys move from token to token
function light(element) {
  document.querySelectorAll('[data-tokens] .lit, [data-tokens] .kin').forEach((e) => e.classList.remove('lit', 'kin'));
  const item = element && element.closest && element.closest('[data-tokens] [data-i]');
  if (!item) return;
  if (item.dataset.kin !== undefined) {
    document.querySelectorAll(`[data-tokens] [data-kin="${item.dataset.kin}"]`).forEach((e) => e.classList.add('kin'));
  }
  document.querySelectorAll(`[data-tokens] [data-i="${item.dataset.i}"]`).forEach((e) => e.classList.add('lit'));
}
document.addEventListener('mouseover', (event) => light(event.target));
document.addEventListener('focusin', (event) => {
  light(event.target);
  if (event.target.matches && event.target.matches('.token')) showRow(event.target);
});
document.addEventListener('click', (event) => {
  const token = event.target.closest && event.target.closest('.token');
  if (token) token.focus();
});
function showRow(token) {
  const row = document.querySelector(`.token-table tr[data-i="${token.dataset.i}"]`);
  const box = row && row.closest('.scroller');
  if (!box) return;
  const head = box.querySelector('thead').offsetHeight;
  const above = row.getBoundingClientRect().top - box.getBoundingClientRect().top - head;
  const below = above + row.offsetHeight + head - box.clientHeight;
  if (above < 0) box.scrollTop += above;
  else if (below > 0) box.scrollTop += below;
}
document.addEventListener('keydown', (event) => {
  const token = event.target.closest && event.target.closest('.token-strip .token');
  const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
  if (!token || (!step && event.key !== 'Home' && event.key !== 'End')) return;
  const tokens = [...token.closest('.token-strip').querySelectorAll('.token')];
  const place = event.key === 'Home' ? 0 : event.key === 'End' ? tokens.length - 1 : tokens.indexOf(token) + step;
  const next = tokens[Math.max(0, Math.min(tokens.length - 1, place))];
  event.preventDefault();
  token.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});
