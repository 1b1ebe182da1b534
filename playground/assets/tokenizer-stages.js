// Stages: a chunk and its tokens light up together; arrow keys go from chip to chip.
function linkChunk(target) {
  document.querySelectorAll('.stages .chip.lit').forEach((chip) => chip.classList.remove('lit'));
  document.querySelectorAll('.stages.pointed').forEach((list) => list.classList.remove('pointed'));
  const chip = target && target.closest && target.closest('.stages .chip[data-chunk]');
  if (!chip) return;
  const stages = chip.closest('.stages');
  stages.classList.add('pointed');
  stages.querySelectorAll(`.chip[data-chunk="${chip.dataset.chunk}"]`).forEach((kin) => kin.classList.add('lit'));
}
document.addEventListener('mouseover', (event) => linkChunk(event.target));
document.addEventListener('focusin', (event) => linkChunk(event.target));
document.addEventListener('focusout', (event) => {
  if (event.target.closest && event.target.closest('.stages')) linkChunk(null);
});
document.addEventListener('keydown', (event) => {
  const chip = event.target.closest && event.target.closest('.stages .chip');
  const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
  if (!chip || (!step && event.key !== 'Home' && event.key !== 'End')) return;
  const chips = [...chip.closest('.chips').querySelectorAll('.chip')];
  const place = event.key === 'Home' ? 0 : event.key === 'End' ? chips.length - 1 : chips.indexOf(chip) + step;
  const next = chips[Math.max(0, Math.min(chips.length - 1, place))];
  event.preventDefault();
  chip.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});
