// The Tokens part: a text in its tokens, the text itself, and the table of tokens, all drawn from one JSON
// (playground/views/tokens.py says what is in it). Of each only what is in view is in the page, so that a hundred
// thousand tokens are as light as ten. What is pointed at or focused lights up in all three.
{
  const COLOURS = 8;  // --token-0 .. --token-7
  const ROW = 31;  // height of a table row in pixels, as the stylesheet has it
  const MARGIN = 400;  // pixels around what is in view that are drawn too
  const HEAD = ['#', 'Id', 'Text', 'Bytes', 'Characters', 'In bytes', 'Kind'];
  const [ID, HTML, HEX, TEXT, PARTIAL, SPECIAL, WHOLE] = [0, 1, 2, 3, 4, 5, 6];  // of a type

  const escapeHtml = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const colour = (i) => `--c:var(--token-${i % COLOURS})`;

  // ---- the data: spans put together from steps, and for each character the tokens that hold it
  function read(json) {
    const data = JSON.parse(json);
    const n = data.tokens.length;
    const spans = (steps, first) => {
      const starts = new Int32Array(n), ends = new Int32Array(n);
      for (let i = 0, at = first; i < n; i++) {
        at += steps[2 * i];
        starts[i] = at;
        ends[i] = at + steps[2 * i + 1];
      }
      return [starts, ends];
    };
    const [charStart, charEnd] = spans(data.chars, data.first[0]);
    const [byteStart, byteEnd] = spans(data.bytes, data.first[1]);
    const characters = /[\ud800-\udfff]/.test(data.text) ? Array.from(data.text) : data.text;  // code points, not UTF-16
    const slice = (from, to) => {
      const part = characters.slice(Math.max(0, from - data.first[0]), Math.max(0, to - data.first[0]));
      return typeof part === 'string' ? part : part.join('');
    };
    const firstToken = new Int32Array(characters.length).fill(-1), lastToken = new Int32Array(characters.length).fill(-1);
    for (let i = 0; i < n; i++) {
      for (let c = charStart[i] - data.first[0]; c < Math.min(charEnd[i] - data.first[0], characters.length); c++) {
        if (firstToken[c] < 0) firstToken[c] = i;
        lastToken[c] = i;
      }
    }
    const type = (i) => data.types[data.tokens[i]];
    const overlap = (i) => i + 1 < n && charStart[i + 1] < charEnd[i] && charEnd[i + 1] > charStart[i];  // with the next
    return {...data, n, type, overlap, charStart, charEnd, byteStart, byteEnd, characters, slice, firstToken, lastToken};
  }

  // ---- pieces of HTML
  function tokenHtml(data, i, current) {
    const type = data.type(i);
    const label = escapeHtml(`Token ${data.start + i}: ${type[TEXT]}, id ${type[ID]}, bytes ${type[HEX]}`);
    return `<span class="token${type[SPECIAL] ? ' special' : ''}" role="listitem" style="${colour(i)}" data-i="${i}" `
      + `data-id="${type[ID]}" data-bytes="${type[HEX]}" tabindex="${i === current ? 0 : -1}" aria-label="${label}">`
      + `${type[HTML]}</span>`;
  }

  // Tokens that hold parts of one character stand in a frame over that character.
  function stripHtml(data, [from, to], current) {
    let html = '';
    for (let i = from; i < to; i++) {
      let last = i;
      while (last + 1 < to && data.overlap(last)) last++;
      if (last > i) {
        const parts = [];
        for (let k = i; k <= last; k++) parts.push(tokenHtml(data, k, current));
        const one = data.charEnd[last] - data.charStart[i] === 1;
        const whole = escapeHtml((one && data.type(i)[WHOLE]) || data.slice(data.charStart[i], data.charEnd[last]));
        html += `<span class="shared">${parts.join('')}<span class="shared-whole" aria-hidden="true">${whole}</span></span>`;
        i = last;
      } else html += tokenHtml(data, i, current);
      if (/(^| )0A$/.test(data.type(i)[HEX])) html += '<br>';
    }
    return html;
  }

  function textHtml(data, [from, to]) {
    const {firstToken, lastToken, first} = data;
    let html = '';
    for (let c = from; c < to;) {
      let end = c + 1;
      while (end < to && firstToken[end] === firstToken[c] && lastToken[end] === lastToken[c]) end++;
      const text = escapeHtml(data.slice(c + first[0], end + first[0])).replaceAll('\0', '␀');  // HTML has no NUL
      html += firstToken[c] < 0 ? `<span class="uncovered" title="in no token">${text}</span>`
        : `<span class="under" style="${colour(firstToken[c])}" data-a="${firstToken[c]}" data-b="${lastToken[c]}">${text}</span>`;
      c = end;
    }
    return html;
  }

  function rowHtml(data, i) {
    const type = data.type(i);
    const part = type[PARTIAL] ? ` <small>part of ${escapeHtml(type[WHOLE])}</small>` : '';
    const cells = [
      `<td class="number">${type[ID]}</td>`,
      `<td class="text" title="${escapeHtml(type[TEXT])}"><span class="piece">${type[HTML]}</span>${part}</td>`,
      `<td class="hex" title="${type[HEX]}">${type[HEX]}</td>`,
      `<td class="number">${data.charStart[i]}–${data.charEnd[i]}</td>`,
      `<td class="number">${data.byteStart[i]}–${data.byteEnd[i]}</td>`,
      `<td>${type[SPECIAL] ? 'special' : type[PARTIAL] ? 'part' : ''}</td>`,
    ];
    return `<tr data-i="${i}" style="${colour(i)}" aria-rowindex="${i + 2}" tabindex="-1"><th scope="row">${data.start + i}`
      + `</th>${cells.join('')}</tr>`;
  }

  // ---- blocks that are in the page only while they are near to what is in view
  function blocks(n, least, most, mayEnd, isLineEnd) {
    const found = [];
    for (let from = 0; from < n;) {
      let to = Math.min(from + least, n);
      while (to < n && to < from + most && !isLineEnd(to - 1)) to++;
      while (to < n && !mayEnd(to - 1)) to++;
      found.push([from, to]);
      from = to;
    }
    return found;
  }

  function lazily(box, ranges, height, html, drawn) {
    box.innerHTML = ranges.map(() => '<div class="lazy"></div>').join('');
    const parts = [...box.children];
    const draw = (k) => {
      if (parts[k].dataset.drawn) return;
      parts[k].dataset.drawn = 'yes';
      parts[k].innerHTML = html(ranges[k]);
      parts[k].style.minHeight = '';
      drawn();
    };
    parts.forEach((part, k) => { part.style.minHeight = `${height(ranges[k])}px`; });
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const part = entry.target, k = parts.indexOf(part);
        if (entry.isIntersecting) draw(k);
        else if (part.dataset.drawn && part.offsetHeight && !part.contains(document.activeElement)) {
          part.style.minHeight = `${part.offsetHeight}px`;
          part.textContent = '';
          delete part.dataset.drawn;
        }
      }
    }, {root: box, rootMargin: `${MARGIN}px 0px`});
    if (parts.length === 1) draw(0);  // at once, without a flicker
    else parts.forEach((part) => observer.observe(part));
    return {stop: () => observer.disconnect(), show: (i) => draw(ranges.findIndex(([from, to]) => from <= i && i < to))};
  }

  // ---- what is copied and saved
  // the same columns as core/tokenizer/inspect/export.py
  function tableOf(data) {
    return Array.from({length: data.n}, (_, i) => {
      const type = data.type(i);
      return {
        index: data.start + i, id: type[ID], text: type[TEXT], bytes: type[HEX], byte_start: data.byteStart[i],
        byte_end: data.byteEnd[i], char_start: data.charStart[i], char_end: data.charEnd[i],
        special: Boolean(type[SPECIAL]), partial: Boolean(type[PARTIAL]), characters: data.slice(data.charStart[i], data.charEnd[i]),
      };
    });
  }
  const idsOf = (data) => data.tokens.map((t) => data.types[t][ID]);
  const quoted = (value) => (/[",\n\r]/.test(value) ? `"${value.replace(/"/g, '""')}"` : value);
  function csvOf(data) {
    const rows = tableOf(data).map((row, i) => ({...row, special: Number(row.special), partial: Number(row.partial),
      characters: data.type(i)[WHOLE] || row.text}));
    const lines = [Object.keys(rows[0]), ...rows.map((row) => Object.values(row))];
    return lines.map((line) => `${line.map((value) => quoted(String(value))).join(',')}\n`).join('');
  }
  const jsonOf = (data) => JSON.stringify({text: data.text, ids: idsOf(data), tokens: tableOf(data)}, null, 1);
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // only pages that are served securely have a clipboard
      const area = Object.assign(document.createElement('textarea'), {value: text});
      document.body.append(area);
      area.select();
      document.execCommand('copy');
      area.remove();
    }
  }
  function save(text, name, kind) {
    const link = Object.assign(document.createElement('a'), {href: URL.createObjectURL(new Blob([text], {type: kind})), download: name});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  const FRAME = `
    <div class="token-strip" id="token-strip" data-tokens role="list" aria-label="The text as tokens; move with arrow keys"></div>
    <div class="token-tools">
      <button type="button" data-do="ids">Copy ids</button><button type="button" data-do="tokens">Copy tokens</button>
      <button type="button" data-do="csv">Save CSV</button><button type="button" data-do="json">Save JSON</button>
      <span role="status"></span></div>
    <details class="fold" open><summary>The text itself</summary>
      <div class="token-text" id="token-text" data-tokens tabindex="0" role="region" aria-label="The text; what is pointed at lights up"></div></details>
    <details class="fold" open><summary>Table of tokens</summary>
      <div class="scroller" id="token-table" tabindex="0" role="region" aria-label="Table of tokens; move with arrow keys">
        <table class="token-table" data-tokens><thead><tr>${HEAD.map((name) => `<th scope="col">${name}</th>`).join('')}</tr></thead>
        <tbody></tbody></table></div></details>
    <details class="fold"><summary>Ids as a list</summary><code class="ids" id="token-ids" tabindex="0" aria-label="Token ids"></code></details>`;

  window.tokenView = (element, json) => {
    const view = element.querySelector('.token-view');
    if (!view || view.json === json) return;
    view.json = json;
    view.stop?.();
    if (!json) { view.innerHTML = ''; return; }
    const data = read(json);
    if (!data.n) {
      view.innerHTML = '<p class="nothing" id="token-strip">No tokens: the text is empty.</p>';
      return;
    }
    const folded = [...view.querySelectorAll('details')].map((fold) => fold.open);
    view.innerHTML = FRAME;
    view.querySelectorAll('details').forEach((fold, k) => { if (k in folded) fold.open = folded[k]; });
    const [strip, text, scroller, ids] = ['strip', 'text', 'table', 'ids'].map((name) => view.querySelector(`#token-${name}`));
    const table = scroller.querySelector('table'), body = table.tBodies[0];
    table.setAttribute('aria-rowcount', data.n + 1);
    let current = 0, lit = null;

    // -- lighting up
    const mark = (of, [from, to], name) => {
      for (let i = from; i <= to; i++) of.querySelectorAll(`[data-i="${i}"]`).forEach((e) => e.classList.add(name));
    };
    const apply = () => {
      view.querySelectorAll('.lit, .kin').forEach((e) => e.classList.remove('lit', 'kin'));
      if (!lit) return;
      let [from, to] = lit;
      while (from > 0 && data.charEnd[from - 1] > data.charStart[lit[0]]) from--;  // tokens that share a character with it
      while (to + 1 < data.n && data.charStart[to + 1] < data.charEnd[lit[1]]) to++;
      mark(view, [from, to], 'kin');
      mark(view, lit, 'lit');
      text.querySelectorAll('[data-a]').forEach((e) => {
        if (Number(e.dataset.a) <= lit[1] && Number(e.dataset.b) >= lit[0]) e.classList.add('lit');
      });
    };
    const light = (range) => {
      if (range?.join() === lit?.join()) return;
      lit = range;
      apply();
    };
    const rangeOf = (target) => {
      const item = target.closest?.('[data-i], [data-a]');
      if (!item || !view.contains(item)) return null;
      return item.dataset.i !== undefined ? [Number(item.dataset.i), Number(item.dataset.i)] : [Number(item.dataset.a), Number(item.dataset.b)];
    };

    // -- drawing
    const width = Math.max(200, strip.clientWidth || element.clientWidth);
    const isNewline = (i) => /(^| )0A$/.test(data.type(i)[HEX]);
    const stripBlocks = blocks(data.n, 160, 320, (i) => !data.overlap(i), isNewline);
    const tall = ([from, to]) => {
      let lines = 1, room = width;
      for (let i = from; i < to; i++) {
        const size = 12 + 9 * Math.max(data.type(i)[TEXT].length, String(data.type(i)[ID]).length * 0.7);
        if (size > room || (i > from && isNewline(i - 1))) { lines++; room = width; }
        room -= size;
      }
      return lines * 47;
    };
    const drawnStrip = lazily(strip, stripBlocks, tall, (range) => stripHtml(data, range, current), apply);
    const sameAsNext = (c) => data.firstToken[c] === data.firstToken[c + 1] || data.lastToken[c] === data.lastToken[c + 1];
    const textBlocks = blocks(data.characters.length, 1_000, 2_000, (c) => !sameAsNext(c), (c) => data.characters[c] === '\n');
    const drawnText = lazily(text, textBlocks, ([from, to]) => Math.ceil(((to - from) * 8.5) / width) * 26, (range) => textHtml(data, range), apply);

    let shown = '';
    const drawRows = () => {
      const top = Math.max(0, Math.floor((scroller.scrollTop - MARGIN) / ROW));
      const end = Math.min(data.n, Math.ceil((scroller.scrollTop + scroller.clientHeight + MARGIN) / ROW));
      if (shown === `${top} ${end}`) return;
      const focused = document.activeElement?.closest('#token-table tr')?.dataset.i;
      shown = `${top} ${end}`;
      let html = `<tr class="room" aria-hidden="true" style="height:${top * ROW}px"></tr>`;
      for (let i = top; i < end; i++) html += rowHtml(data, i);
      body.innerHTML = `${html}<tr class="room" aria-hidden="true" style="height:${(data.n - end) * ROW}px"></tr>`;
      if (focused) body.querySelector(`[data-i="${focused}"]`)?.focus({preventScroll: true});
      apply();
    };
    scroller.addEventListener('scroll', () => requestAnimationFrame(drawRows), {passive: true});
    view.querySelectorAll('details').forEach((fold) => fold.addEventListener('toggle', () => { drawRows(); listIds(); }));
    const seen = new ResizeObserver(drawRows);
    seen.observe(scroller);
    drawRows();
    const listIds = () => {
      if (!ids.closest('details').open || ids.textContent) return;
      ids.textContent = JSON.stringify(idsOf(data)).replaceAll(',', ', ');
    };
    listIds();

    // -- going to a token, in the strip (default) or in the table; the other views follow
    const intoView = (box, item) => {
      const room = box === scroller ? table.tHead.offsetHeight : 0;
      const above = item.getBoundingClientRect().top - box.getBoundingClientRect().top - room;
      const below = above + item.offsetHeight + room - box.clientHeight;
      if (above < 0) box.scrollTop += above;
      else if (below > 0) box.scrollTop += below;
    };
    const rowIntoView = (i) => {
      const top = i * ROW, head = table.tHead.offsetHeight;
      if (top < scroller.scrollTop) scroller.scrollTop = top;
      else if (top + ROW + head > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + ROW + head - scroller.clientHeight;
      drawRows();
    };
    const goTo = (i, inTable) => {
      current = Math.max(0, Math.min(data.n - 1, i));
      light([current, current]);
      drawnStrip.show(current);
      if (data.charStart[current] - data.first[0] < data.characters.length) drawnText.show(data.charStart[current] - data.first[0]);
      rowIntoView(current);
      const token = strip.querySelector(`[data-i="${current}"]`);
      strip.querySelector('[tabindex="0"]')?.setAttribute('tabindex', '-1');
      token.tabIndex = 0;
      intoView(strip, token);
      const under = text.querySelector('.lit');
      if (under) intoView(text, under);
      const target = inTable ? body.querySelector(`[data-i="${current}"]`) : token;
      target.focus({preventScroll: true});
    };
    view.onmouseover = (event) => light(rangeOf(event.target) || (document.activeElement && rangeOf(document.activeElement)));
    view.onmouseleave = () => light(document.activeElement ? rangeOf(document.activeElement) : null);
    view.onfocusin = (event) => light(rangeOf(event.target));
    view.onclick = (event) => {
      const job = event.target.closest('[data-do]')?.dataset.do;
      if (job) return act(job);
      const range = rangeOf(event.target);
      if (range && !getSelection().toString()) goTo(range[0], Boolean(event.target.closest('#token-table')));
    };
    view.onkeydown = (event) => {
      const inTable = Boolean(event.target.closest('#token-table'));
      if (!inTable && !event.target.closest('#token-strip, #token-text')) return;
      const page = Math.max(1, Math.floor(scroller.clientHeight / ROW) - 2);
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: page, PageUp: -page}[event.key];
      if (!step && event.key !== 'Home' && event.key !== 'End') return;
      event.preventDefault();
      const began = event.target.closest('[data-i]') || (lit !== null && lit[0] === current);
      goTo(event.key === 'Home' ? 0 : event.key === 'End' ? data.n - 1 : began ? current + step : current, inTable);
    };
    const said = view.querySelector('.token-tools [role="status"]');
    const act = async (job) => {
      const file = data.name.replace(/[^\w.-]+/g, '-') || 'tokens';
      if (job === 'csv') save(csvOf(data), `${file}-tokens.csv`, 'text/csv');
      if (job === 'json') save(jsonOf(data), `${file}-tokens.json`, 'application/json');
      if (job === 'ids') await copy(JSON.stringify(idsOf(data)));
      if (job === 'tokens') await copy(JSON.stringify(data.tokens.map((t) => data.types[t][TEXT])));
      const what = `${data.n.toLocaleString('en')} ${job === 'ids' ? (data.n === 1 ? 'id' : 'ids') : data.n === 1 ? 'token' : 'tokens'}`;
      said.textContent = `${job === 'csv' || job === 'json' ? 'Saved' : 'Copied'} ${what}.`;
      setTimeout(() => { said.textContent = ''; }, 4_000);
    };
    view.stop = () => { drawnStrip.stop(); drawnText.stop(); seen.disconnect(); };
  };
}
