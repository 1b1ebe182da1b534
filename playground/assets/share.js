// The state of the page behind the # of its address: what Gradio's fields hold, and which tabs are open. Written a moment
// after a change, without an entry in the browser's history; read once, when the page opens (playground/share.py).
{
  const LONGEST = 6_000;  // characters of an address that every program passes on
  const first = {tab: 'Tokenizer'};  // as the page opens without a link: what is so is not in the address
  let state = {}, tooLong = false, timer = null;

  const parts = (tab) => `#tab-${tab.toLowerCase()} .parts`;
  const openTab = (box) => document.querySelector(`${box} [role="tab"][aria-selected="true"]`)?.textContent.trim() || '';
  const read = () => Object.fromEntries([...new URLSearchParams(location.hash.slice(1))].map(([name, value]) => {
    try { return [name, JSON.parse(value)]; } catch { return [name, value]; }
  }));
  const linked = read();

  function write() {
    const tab = openTab('#tabs'), part = openTab(parts(tab));
    const kept = {...state, tab};
    if (part !== document.querySelector(`${parts(tab)} [role="tab"]`)?.textContent.trim()) kept.part = part;
    const address = new URLSearchParams();
    for (const [name, value] of Object.entries(kept)) {
      if (JSON.stringify(value) === JSON.stringify(first[name])) continue;
      address.set(name, typeof value === 'string' && !/^[\[{"\d-]|^(true|false|null)$/.test(value) ? value : JSON.stringify(value));
    }
    tooLong = String(address).length > LONGEST;
    if (tooLong) address.delete('text');
    const wanted = String(address) ? `#${address}` : '';
    if (wanted !== location.hash) history.replaceState(history.state, '', `${location.pathname}${location.search}${wanted}`);
  }
  const later = () => { clearTimeout(timer); timer = setTimeout(write, 400); };

  window.sharedState = (initial) => {
    Object.assign(first, initial);
    state = {...initial};
    const {tab, part, ...fields} = linked;
    const open = (box, name) => [...document.querySelectorAll(`${box} [role="tab"], ${box} .overflow-dropdown button`)].find((t) => t.textContent.trim() === name)?.click();
    window.openPlace = (tab, part) => { open('#tabs', tab); if (part) setTimeout(() => open(parts(tab || first.tab), part), 100); };
    window.openLinked = () => window.openPlace(tab, part);
    return Object.keys(fields).length ? JSON.stringify(fields) : '';
  };
  window.shareState = (name, value) => {
    state[name] = value;
    later();
  };
  document.addEventListener('click', (event) => {
    if (event.target.closest?.('[role="tab"], .overflow-dropdown button')) later();
    const button = event.target.closest?.('[data-action="share"]');
    if (!button) return;
    write();
    const words = button.querySelector('.share-words'), before = 'Copy link';
    navigator.clipboard?.writeText(location.href).then(
      () => { words.textContent = tooLong ? 'Copied, without the text: it is too long' : 'Copied'; },
      () => { words.textContent = 'Copy the address of this page'; },
    ) ?? (words.textContent = 'Copy the address of this page');
    setTimeout(() => { words.textContent = before; }, 3_000);
  });
  window.addEventListener('hashchange', () => location.reload());  // somebody pasted a link over this page
}
