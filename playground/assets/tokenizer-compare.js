// Compare: one ruler of characters and under it a lane of tokens for each tokenizer. Only the rows in view are drawn.
{
  const UNIT = 15, HEAD = 30, LANE = 24, GAP = 18;  // px: a column, the ruler, a lane, between two rows
  const DIGIT = 6.05, SMALL = 0.7;  // px: a digit of an id; its share in a small one
  const TALLEST = 8_000_000;  // px; more than this, and lines of text are not begun on rows of their own
  const ID = 0, HEX = 2, TEXT = 3, SPECIAL = 5;
  const MAX_CHIPS = 12;  // tokens that are named for one place
  const LINES = [['0', 'as fits'], ['40', '40'], ['80', '80'], ['160', '160']];
  const safe = (text) => text.replace(/[&<>"]/g, (c) => ({'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;'})[c]);
  const number = (n) => n.toLocaleString('en');
  const utf8 = (code) => (code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);

  // The first place in a growing array that is greater than the value.
  function after(array, value) {
    let [low, high] = [0, array.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (array[middle] > value) high = middle; else low = middle + 1;
    }
    return low;
  }

  // Where tokens begin and end on the ruler, in characters: a token that is part of a character has its share of it.
  function read(json) {
    const data = JSON.parse(json);
    data.characters = Array.from(data.text);
    const n = data.n = data.characters.length;
    data.byteAt = new Uint32Array(n + 1);
    data.units = new Uint8Array(n);
    for (let c = 0; c < n; c++) {
      data.byteAt[c + 1] = data.byteAt[c] + utf8(data.characters[c].codePointAt(0));
      data.units[c] = data.cells[data.characters[c]]?.[2] ?? 1;
    }
    for (const lane of data.lanes) readLane(data, lane);
    data.starts = data.differing.filter((_, k) => k % 2 === 0);
    data.ends = data.differing.filter((_, k) => k % 2 === 1);
    return data;
  }

  function readLane(data, lane) {
    const count = lane.tokens.length;
    lane.from = new Float64Array(count);
    lane.to = new Float64Array(count);
    lane.reached = new Float64Array(count);  // the furthest end so far, to search in
    const within = (char, byte, otherwise) => {
      const length = data.byteAt[char + 1] - data.byteAt[char], offset = byte - data.byteAt[char];
      return offset > 0 && offset < length ? char + offset / length : otherwise;
    };
    let char = 0, byte = 0, reached = 0, run = 0;
    const sameAs = (i) => i > 0 && !lane.chars[2 * i] && lane.chars[2 * i + 1] === lane.chars[2 * i - 1]
      && !lane.bytes[2 * i] && lane.bytes[2 * i + 1] === lane.bytes[2 * i - 1];
    for (let i = 0; i < count; i++) {
      char += lane.chars[2 * i];
      byte += lane.bytes[2 * i];
      const end = char + lane.chars[2 * i + 1];
      lane.from[i] = char < data.n ? within(char, byte, char) : char;
      lane.to[i] = end > char ? within(end - 1, byte + lane.bytes[2 * i + 1], end) : end;
      // Several tokens of the same characters, as where "½" is read as "1⁄2": each has its share.
      if (!sameAs(i)) run = i;
      if (!(i + 1 < count && sameAs(i + 1)) && i > run && lane.to[i] > lane.from[i]) {
        const [start, share] = [lane.from[run], (lane.to[i] - lane.from[run]) / (i - run + 1)];
        for (let k = run; k <= i; k++) [lane.from[k], lane.to[k]] = [start + (k - run) * share, start + (k - run + 1) * share];
      }
      reached = Math.max(reached, lane.to[i]);
      lane.reached[i] = reached;
    }
  }

  // The rows: where each begins. A line of the text begins a row, unless there are too many of them.
  function rowsOf(data, columns, height, byLine = true) {
    const rows = [0];
    let room = columns;
    for (let c = 0; c < data.n; c++) {
      const newLine = byLine && c > 0 && data.characters[c - 1] === '\n';
      if ((data.units[c] > room || newLine) && rows.at(-1) < c) {
        rows.push(c);
        room = columns;
      }
      room -= data.units[c];
    }
    return byLine && rows.length * height > TALLEST ? rowsOf(data, columns, height, false) : rows;
  }

  const FRAME = `
    <div class="compare-bar-row">
      <span class="compare-go"><button type="button" data-go="-1" aria-label="Previous difference" title="Previous difference (p)">‹</button>
      <button type="button" data-go="1" title="Next difference (n)">Next difference ›</button>
      <span class="compare-place" role="status"></span></span>
      <label class="compare-columns">Characters in a row <select></select></label>
    </div>
    <canvas class="compare-map" height="10" role="img" aria-label="Where in the text the tokenizers differ"></canvas>
    <div class="compare-scroller" tabindex="0" role="region"
      aria-label="Characters and the tokens over them. Arrow keys move, n goes to the next difference, p to the one before">
      <div class="compare-sheet"></div></div>
    <div class="compare-read"></div>`;

  window.compareView = (element, json) => {
    const view = element.querySelector('.compare-view');
    if (!view || view.json === json) return;
    view.json = json;
    view.stop?.();
    if (!json) { view.innerHTML = ''; return; }
    const data = read(json);
    if (!data.n) { view.innerHTML = '<p class="nothing">The text is empty, so there is nothing to cut.</p>'; return; }
    const wanted = view.querySelector('select')?.value ?? '0';
    view.innerHTML = FRAME;
    const [scroller, sheet, map, reader, place, choice] = ['.compare-scroller', '.compare-sheet', '.compare-map',
      '.compare-read', '.compare-place', 'select'].map((name) => view.querySelector(name));
    choice.innerHTML = LINES.map(([value, name]) => `<option value="${value}"${value === wanted ? ' selected' : ''}>${name}</option>`).join('');
    const height = HEAD + LANE * data.lanes.length + GAP;
    let rows = [], shown = '', lit = null, pinned = null, stretch = -1, gutter = 0;

    // ---- drawing
    const xOf = (row, position) => {  // px from the row's start, of a position in characters
      let x = 0, c = rows[row];
      for (; c < Math.floor(position); c++) x += data.units[c];
      return UNIT * (x + (c < data.n ? (position - c) * data.units[c] : 0));
    };
    const rowEnd = (row) => rows[row + 1] ?? data.n;
    const box = (row, from, to) => {
      const [start, end] = [Math.max(from, rows[row]), Math.min(to, rowEnd(row))];
      const left = xOf(row, start);
      return `left:${left.toFixed(2)}px;width:${Math.max(2, xOf(row, end) - left).toFixed(2)}px`;
    };
    const sizeOf = (row, from, to, id) => {  // how an id is written that has not enough room: a part of it would mislead
      const room = xOf(row, Math.min(to, rowEnd(row))) - xOf(row, Math.max(from, rows[row])) - 2, digits = String(id).length;
      return digits * DIGIT <= room ? '' : digits * DIGIT * SMALL <= room ? 'small' : 'narrow';
    };
    const differs = (from, to) => {  // whether the characters lie in a stretch where the lanes differ
      const k = after(data.ends, from);
      return k < data.starts.length && data.starts[k] < to;
    };
    const charsHtml = (row) => {
      let html = '', x = 0;
      for (let c = rows[row]; c < rowEnd(row); c++) {
        const [sign, kind, units] = data.cells[data.characters[c]] ?? [data.characters[c], 'text', 1];
        const long = sign.length > 1 && kind !== 'mark' && kind !== 'text' ? ' long' : '';
        html += `<i class="${kind}${long}" style="left:${x * UNIT}px;width:${units * UNIT}px" data-c="${c}">${safe(sign)}</i>`;
        x += units;
      }
      return html;
    };
    const stretchesHtml = (row) => {
      let html = '';
      for (let k = after(data.ends, rows[row]); k < data.starts.length && data.starts[k] < rowEnd(row); k++) {
        html += `<u class="${k === stretch ? 'here' : ''}" style="${box(row, data.starts[k], data.ends[k])}"></u>`;
      }
      return html;
    };
    const laneHtml = (row, k) => {
      const lane = data.lanes[k], last = rowEnd(row);
      let html = '';
      let i = after(lane.reached, rows[row]);
      while (i > 0 && lane.from[i - 1] === lane.to[i - 1] && lane.from[i - 1] === rows[row] && (row === 0 || lane.from[i - 1] > rows[row] - 1)) i--;
      for (; i < lane.tokens.length && (lane.from[i] < last || (last === data.n && lane.from[i] <= last)); i++) {
        const [from, to, type] = [lane.from[i], lane.to[i], lane.types[lane.tokens[i]]];
        if (to < rows[row] || (to === rows[row] && from < to)) continue;
        const part = from % 1 || to % 1 || to - from < 1;
        const names = [from < rows[row] && 'goes-on', to > last && 'goes-over', part && 'part', type[SPECIAL] && 'special',
          from === to && 'none', sizeOf(row, from, to, type[ID]), differs(from, Math.max(to, from + 1e-9)) && 'apart', i % 2 && 'odd'].filter(Boolean).join(' ');
        html += `<b class="${names}" style="${box(row, from, to)}" data-k="${k}" data-i="${i}">${type[ID]}</b>`;
      }
      return html;
    };
    const rowHtml = (row) => {
      const names = data.lanes.map((lane, k) => `<span style="--c:var(--token-${k})" title="${safe(lane.name)}"><b>${k + 1}</b>${safe(lane.name)}</span>`).join('');
      const lanes = data.lanes.map((_, k) => `<div class="compare-lane" style="--c:var(--token-${k})">${laneHtml(row, k)}</div>`).join('');
      return `<div class="compare-row" style="top:${row * height}px;height:${height - GAP}px" data-row="${row}">`
        + `<div class="compare-names"><span class="compare-at">${number(rows[row])}</span>${names}</div>`
        + `<div class="compare-cells"><div class="compare-marks">${stretchesHtml(row)}</div><s hidden></s>`
        + `<div class="compare-chars">${charsHtml(row)}</div>${lanes}</div></div>`;
    };
    const draw = (anew) => {
      const from = Math.max(0, Math.floor(scroller.scrollTop / height) - 1);
      const to = Math.min(rows.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / height) + 1);
      if (!anew && shown === `${from} ${to}`) return;
      shown = `${from} ${to}`;
      let html = '';
      for (let row = from; row < to; row++) html += rowHtml(row);
      sheet.innerHTML = html;
      mark();
    };
    const layOut = () => {
      if (!scroller.clientWidth) return;  // in a tab that is not open
      gutter = scroller.clientWidth < 560 ? 34 : 150;
      view.style.setProperty('--gutter', `${gutter}px`);
      const fits = Math.max(8, Math.floor((scroller.clientWidth - gutter - 14) / UNIT));
      const columns = Number(choice.value) || fits;
      const first = rows[Math.round(scroller.scrollTop / height)] ?? 0;
      rows = rowsOf(data, columns, height);
      sheet.style.height = `${rows.length * height}px`;
      sheet.style.width = columns > fits ? `${gutter + columns * UNIT + 4}px` : '';
      scroller.scrollTop = height * Math.max(0, after(rows, first) - 1);
      draw(true);
      drawMap();
    };

    // ---- where the differences are, all on one line
    const drawMap = () => {
      const ratio = window.devicePixelRatio || 1, width = map.clientWidth;
      map.width = width * ratio;
      map.height = 10 * ratio;
      const pen = map.getContext('2d');
      pen.scale(ratio, ratio);
      const style = getComputedStyle(view);
      pen.fillStyle = style.getPropertyValue('--sunk');
      pen.fillRect(0, 0, width, 10);
      const share = new Float32Array(Math.ceil(width) + 1);  // of each pixel's characters, those in a difference
      data.starts.forEach((start, k) => {
        const [from, to] = [(start / data.n) * width, (data.ends[k] / data.n) * width];
        for (let x = Math.floor(from); x < to; x++) share[x] += Math.min(to, x + 1) - Math.max(from, x);
      });
      pen.fillStyle = style.getPropertyValue('--accent');
      share.forEach((part, x) => {
        if (!part) return;
        pen.globalAlpha = 0.15 + 0.85 * Math.min(1, part);
        pen.fillRect(x, 0, 1, 10);
      });
      pen.globalAlpha = 1;
      if (stretch < 0) return;
      pen.fillStyle = style.getPropertyValue('--ink');
      pen.fillRect((data.starts[stretch] / data.n) * width, 0, Math.max(3, ((data.ends[stretch] - data.starts[stretch]) / data.n) * width), 10);
    };

    // ---- lighting up: characters [from, to), and all tokens over them
    const tokensAt = (lane, from, to) => {
      const found = [];
      for (let i = after(lane.reached, from); i < lane.tokens.length && lane.from[i] < to; i++) {
        if (lane.to[i] > from) found.push(i);
      }
      return found;
    };
    const mark = () => {
      sheet.querySelectorAll('.lit').forEach((e) => e.classList.remove('lit'));
      sheet.querySelectorAll('s').forEach((e) => { e.hidden = true; });
      if (!lit) return;
      const [from, to] = lit, first = Math.floor(from), last = Math.ceil(to);
      for (const row of sheet.children) {
        const r = Number(row.dataset.row);
        if (rows[r] >= last || rowEnd(r) <= first) continue;
        const band = row.querySelector('s');
        band.hidden = false;
        band.style = box(r, first, Math.max(last, first + 1));
        row.querySelectorAll('[data-c]').forEach((e) => {
          if (Number(e.dataset.c) >= first && Number(e.dataset.c) < last) e.classList.add('lit');
        });
        row.querySelectorAll('[data-i]').forEach((e) => {
          const lane = data.lanes[e.dataset.k], i = e.dataset.i;
          if (lane.to[i] > from && lane.from[i] < to) e.classList.add('lit');
        });
      }
    };
    const tell = () => {
      const [from, to] = lit ?? [0, 1];
      const first = Math.floor(from), last = Math.max(first + 1, Math.ceil(to));
      const signs = data.characters.slice(first, Math.min(last, first + 40)).map((c) => data.cells[c]?.[0] ?? c).join('');
      const hex = [...new TextEncoder().encode(data.characters.slice(first, Math.min(last, first + 12)).join(''))]
        .map((b) => b.toString(16).toUpperCase().padStart(2, '0')).join(' ');
      const code = last - first === 1 ? `U+${data.characters[first].codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}, ` : '';
      const which = last - first === 1 ? `Character ${number(first)}` : `Characters ${number(first)} to ${number(last - 1)}`;
      const lanes = data.lanes.map((lane, k) => {
        const over = tokensAt(lane, from, Math.max(to, from + 1e-9));
        const chips = over.slice(0, MAX_CHIPS).map((i) => {
          const type = lane.types[lane.tokens[i]];
          return `<span class="compare-chip" title="bytes ${type[HEX]}">${safe(type[TEXT])}<small>${type[ID]}</small></span>`;
        }).join('') + (over.length > MAX_CHIPS ? ` and ${number(over.length - MAX_CHIPS)} more` : '');
        return `<dt style="--c:var(--token-${k})"><b>${k + 1}</b>${safe(lane.name)}</dt><dd style="--c:var(--token-${k})">${chips || '<small>no token</small>'}</dd>`;
      }).join('');
      reader.innerHTML = `<p>${which} <b>${safe(signs)}${last - first > 40 ? '…' : ''}</b> <small>${code}bytes ${hex}${last - first > 12 ? ' …' : ''}</small></p><dl>${lanes}</dl>`;
    };
    const light = (range) => {
      if (range?.join() === lit?.join()) return;
      lit = range;
      mark();
      tell();
    };
    const rangeOf = (target) => {
      const item = target.closest?.('[data-c], [data-i]');
      if (!item) return null;
      if (item.dataset.c !== undefined) return [Number(item.dataset.c), Number(item.dataset.c) + 1];
      const lane = data.lanes[item.dataset.k];
      return [lane.from[item.dataset.i], lane.to[item.dataset.i]];
    };

    // ---- going somewhere
    const show = (position) => {
      const row = after(rows, position) - 1, top = row * height;
      if (top < scroller.scrollTop) scroller.scrollTop = top;
      else if (top + height > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top - Math.max(0, (scroller.clientHeight - height) / 3);
      const x = xOf(row, position), room = scroller.clientWidth - gutter - 3 * UNIT;
      if (x < scroller.scrollLeft || x > scroller.scrollLeft + room) scroller.scrollLeft = Math.max(0, x - room / 3);
    };
    const say = () => {
      const count = data.starts.length;
      place.textContent = data.lanes.length < 2 ? '' : !count ? 'no difference' : stretch < 0 ? `${number(count)} ${count === 1 ? 'difference' : 'differences'}`
        : `difference ${number(stretch + 1)} of ${number(count)}`;
    };
    const toStretch = (k) => {
      if (!data.starts.length) return;
      stretch = (k + data.starts.length) % data.starts.length;
      pinned = [data.starts[stretch], data.ends[stretch]];
      show(pinned[0]);
      draw(true);
      light(pinned);
      drawMap();
      say();
    };
    const step = (by) => {  // from where one is
      if (stretch >= 0) return toStretch(stretch + by);
      const at = pinned ? pinned[0] : -1;
      toStretch(by > 0 ? after(data.starts, at) : after(data.starts, at - 1) - 1);
    };
    const toChar = (c) => {
      const at = Math.max(0, Math.min(data.n - 1, c));
      pinned = [at, at + 1];
      stretch = -1;
      show(at);
      draw();
      light(pinned);
      say();
    };
    view.onclick = (event) => {
      const go = event.target.closest('[data-go]');
      if (go) return step(Number(go.dataset.go));
      if (event.target === map) {
        const at = Math.floor((event.offsetX / map.clientWidth) * data.n);
        return data.starts.length ? toStretch(Math.min(after(data.ends, at), data.starts.length - 1)) : toChar(at);
      }
      const range = rangeOf(event.target);
      if (range) { pinned = range; stretch = -1; light(range); say(); }
    };
    scroller.onmouseover = (event) => light(rangeOf(event.target) ?? pinned);
    scroller.onmouseleave = () => light(pinned);
    scroller.onkeydown = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const at = Math.floor(pinned?.[0] ?? -1), row = Math.max(0, after(rows, Math.max(0, at)) - 1);
      const down = () => (row + 1 < rows.length ? Math.min(rows[row + 1] + at - rows[row], rowEnd(row + 1) - 1) : at);
      const up = () => (row ? Math.min(rows[row - 1] + at - rows[row], rows[row] - 1) : at);
      const act = {
        n: () => step(1), p: () => step(-1), ArrowRight: () => toChar(at + 1), ArrowLeft: () => toChar(at - 1),
        ArrowDown: () => toChar(down()), ArrowUp: () => toChar(up()), Home: () => toChar(rows[row]), End: () => toChar(rowEnd(row) - 1),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    scroller.addEventListener('scroll', () => requestAnimationFrame(() => draw()), {passive: true});
    choice.onchange = layOut;
    let width = 0;
    const seen = new ResizeObserver(() => {  // the width alone: its height follows from the rows
      if (scroller.clientWidth !== width) layOut();
      width = scroller.clientWidth;
    });
    seen.observe(scroller);
    const dark = new MutationObserver(drawMap);
    dark.observe(document.body, {attributes: true, attributeFilter: ['class']});
    view.stop = () => { seen.disconnect(); dark.disconnect(); };
    layOut();
    tell();
    say();
  };
}
