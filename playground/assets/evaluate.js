// The Evaluate tab: copying a score with its signature, or a call.
{
  document.addEventListener('click', (event) => {
    const button = event.target.closest?.('[data-copy-text]');
    if (!button) return;
    const say = (words) => { button.textContent = words; setTimeout(() => { button.textContent = 'Copy'; }, 2_000); };
    navigator.clipboard?.writeText(button.dataset.copyText).then(() => say('Copied'), () => say('Select it instead'))
      ?? say('Select it instead');
  });
}
