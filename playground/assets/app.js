// Small things that need the browser: light and dark, and typing that settles.

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
  if (!field.closest || !field.closest('#text, .settles') || event.isComposing) return;
  clearTimeout(pauses.get(field));
  pauses.set(field, setTimeout(() => {
    if (document.activeElement === field) field.dispatchEvent(new FocusEvent('blur'));
  }, field.closest('.settles') ? PAUSE / 2 : PAUSE));
});
