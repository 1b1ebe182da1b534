// A matrix as colours: who looks at whom. Which scale, what is left out and what stands in the cells is chosen here; every cell
// can be pointed at, and walked to with the arrow keys.
window.figures.add('heatmap', (figures) => {
  const {svg, numbers, colour, diverging, shorten, textWidth, format, clamp} = figures;
  const LABEL = 22;  // characters of a token's name on an axis

  function shown(data, state) {  // the part of the matrix that is drawn: [rows, columns] of numbers, and their names
    const {shape: [high, wide], values} = numbers(data.values);
    const from = data.sink && state.sink ? 1 : 0;
    return {high, wide: wide - from, from, at: (i, j) => values[i * wide + j + from]};
  }
  function scales(data, state, part) {  // (value, i, j) -> share of the colours
    const {high, wide, at} = part;
    const most = (count, get) => { let found = 0; for (let k = 0; k < count; k++) { const v = Math.abs(get(k)); if (v > found) found = v; } return found || 1; };
    let top;
    if (state.scale === 'rows') { const rows = Array.from({length: high}, (_, i) => most(wide, (j) => at(i, j))); top = (i) => rows[i]; }
    else if (state.scale === 'columns') { const columns = Array.from({length: wide}, (_, j) => most(high, (i) => at(i, j))); top = (i, j) => columns[j]; }
    else { const all = data.most || most(high * wide, (k) => at(Math.floor(k / wide), k % wide)); top = () => all; }
    const bend = {linear: (s) => s, root: Math.sqrt, log: (s) => s <= 0 ? 0 : clamp(1 + Math.log10(s) / 4, 0, 1)}[state.shade === 'auto' ? (Math.max(high, wide) > 48 ? 'root' : 'linear') : state.shade];
    return {top, share: (value, i, j) => { const s = value / top(i, j); return data.diverging ? Math.sign(s) * bend(Math.abs(s)) : bend(s); }, bend};
  }

  return {
    draw(view) {
      const {data, state} = view;
      const [allRows, allColumns] = numbers(data.values).shape;
      if (!allRows || !allColumns) { view.note('There is nothing to draw.'); return; }
      const large = Math.max(allRows, allColumns) > 48;  // many small weights would all look like none
      view.choice('scale', 'Scale', [['all', 'one for all'], ['rows', 'each row its own'], ['columns', 'each column its own']], 'all');
      view.choice('shade', 'Colours', [['auto', large ? 'automatic: square root' : 'automatic: linear'], ['linear', 'linear'], ['root', 'square root'], ['log', 'logarithm, four decades']], 'auto');
      if (data.sink && allColumns > 1) view.toggle('sink', `Without the first key (${shorten(data.columns[0], 12)})`);
      const part = shown(data, state), {high, wide, from, at} = part;
      const columns = data.columns.slice(from), rows = data.rows;
      const names = (list) => Math.min(150, Math.max(12, ...list.map((name) => textWidth(shorten(name, LABEL), 12))));
      const left = names(rows) + 26, cell = Math.max(1.2, Math.min(46, (view.width - left - 76) / wide));
      const tall = Math.max(1, Math.min(cell, 30, Math.max(640, view.width * 0.75) / high));
      const slanted = wide > 1 && names(columns) > cell - 4, top = slanted ? names(columns) * 0.82 + 38 : 44;
      const width = left + cell * wide + 70, height = top + tall * high + 30;
      const root = view.svg(width, height, `${data.title}: ${high} rows, ${wide} columns`);
      const {share, top: limit, bend} = scales(data, state, part), paint = data.diverging ? diverging : colour;
      root.append(svg('image', {x: left, y: top, width: cell * wide, height: tall * high, preserveAspectRatio: 'none', 'image-rendering': 'pixelated', style: 'image-rendering: pixelated',
        href: figures.shades(high, wide, (i, j) => share(at(i, j), i, j), data.diverging)}));
      if (data.causal && high === wide + from) {  // what no query can see
        const edge = `M${left + cell * (1 - from)} ${top}${`v${tall}h${cell}`.repeat(high - 1)}v${tall}`;
        root.append(svg('path', {d: edge, fill: 'none', stroke: 'var(--line-strong)', 'stroke-width': 1}));
      }
      root.append(svg('rect', {x: left, y: top, width: cell * wide, height: tall * high, fill: 'none', stroke: 'var(--line)'}));
      const rowStep = Math.ceil(14 / tall), columnStep = Math.ceil((slanted ? 15 : 14) / cell), rowLabels = [], columnLabels = [];
      for (let i = 0; i < high; i += rowStep) {
        root.append(rowLabels[i] = svg('text', {x: left - 6, y: top + (i + 0.5) * tall, 'text-anchor': 'end', 'dominant-baseline': 'central'}, shorten(rows[i], LABEL)));
      }
      for (let j = 0; j < wide; j += columnStep) {
        const x = left + (j + 0.5) * cell, label = shorten(columns[j], LABEL);
        root.append(columnLabels[j] = slanted ? svg('text', {transform: `translate(${x + 4} ${top - 6}) rotate(-52)`}, label) : svg('text', {x, y: top - 8, 'text-anchor': 'middle'}, label));
      }
      root.append(svg('text', {class: 'quiet', x: left, y: 14, 'font-size': 12}, `${data.column_axis || ''} →`),
        svg('text', {class: 'quiet', transform: `translate(12 ${top + Math.min(tall * high, 200)}) rotate(-90)`, 'font-size': 12}, tall * high > 90 ? `← ${data.row_axis || ''}` : ''));
      if (cell >= 36 && tall >= 15 && high * wide <= 600) {
        for (let i = 0; i < high; i++) for (let j = 0; j < wide; j++) {
          const v = at(i, j);
          if (v === v && Math.abs(share(v, i, j)) > 0.02) {
            root.append(svg('text', {x: left + (j + 0.5) * cell, y: top + (i + 0.5) * tall, 'text-anchor': 'middle', 'dominant-baseline': 'central', 'font-size': 10.5,
              style: share(v, i, j) > 0.6 || (data.diverging && share(v, i, j) < -0.6) ? 'fill: #ffffff' : ''}, v.toFixed(2)));
          }
        }
      }
      for (const [i, j] of data.outline || []) {
        if (i < high && j - from >= 0 && j - from < wide) root.append(svg('rect', {x: left + (j - from) * cell + 1.5, y: top + i * tall + 1.5, width: Math.max(1, cell - 3), height: Math.max(1, tall - 3), fill: 'none', stroke: 'var(--token-6)', 'stroke-width': 2}));
      }
      // ---- the colours' key
      const key = left + cell * wide + 16, length = Math.min(160, Math.max(60, tall * high)), marks = 24;
      const steps = (k) => { const s = 1 - (k + 0.5) / marks; return data.diverging ? paint(Math.sign(2 * s - 1) * bend(Math.abs(2 * s - 1))) : paint(bend(s)); };
      root.append(svg('image', {x: key, y: top, width: 10, height: length, preserveAspectRatio: 'none', href: figures.image(marks, 1, steps)}));
      const one = state.scale === 'all', highest = limit(0, 0);
      const ends = [one ? format(highest, highest >= 100 ? 0 : 3) : state.scale === 'rows' ? 'row’s' : 'column’s', one ? (data.diverging ? format(-highest, 3) : '0') : data.diverging ? '−' : '0'];
      root.append(svg('text', {class: 'quiet', x: key + 14, y: top + 8, 'font-size': 11}, ends[0]), svg('text', {class: 'quiet', x: key + 14, y: top + length, 'font-size': 11}, ends[1]));
      if (!one) root.append(svg('text', {class: 'quiet', x: key + 14, y: top + 21, 'font-size': 11}, 'largest'));
      // ---- pointing and walking
      const here = svg('rect', {'data-hint': '', width: Math.max(3, cell), height: Math.max(3, tall), fill: 'none', stroke: 'var(--ink)', 'stroke-width': 1.5, visibility: 'hidden', 'pointer-events': 'none'});
      const board = svg('rect', {'data-hint': '', 'data-focus': 'board', x: left, y: top, width: cell * wide, height: tall * high, fill: 'transparent', tabindex: 0, role: 'img',
        'aria-label': `${data.title}. Arrow keys walk through the cells.`});
      let spot = null;
      const mark = (labels, old, now) => { labels[old]?.removeAttribute('font-weight'); labels[now]?.setAttribute('font-weight', 700); };
      function point(i, j, event) {
        mark(rowLabels, spot?.[0], i); mark(columnLabels, spot?.[1], j);
        spot = [i, j];
        here.setAttribute('x', left + j * cell); here.setAttribute('y', top + i * tall); here.setAttribute('visibility', 'visible');
        const value = at(i, j), hidden = data.causal && value !== value;
        const box = root.getBoundingClientRect();
        view.tip(event.clientX ? event : {clientX: box.left + left + j * cell, clientY: box.top + top + i * tall, target: board},
          [hidden ? `0 · ${data.hidden || 'lies ahead, cannot be seen'}` : `${format(value, 4)}${data.unit ? ` ${data.unit}` : ''}`, `${rows[i]} → ${columns[j]}`, `${data.row_name || 'query'} ${i}, ${data.column_name || 'key'} ${j + from}`]);
      }
      const leave = () => { view.tip(null); here.setAttribute('visibility', 'hidden'); if (spot) { mark(rowLabels, spot[0]); mark(columnLabels, spot[1]); } };
      board.addEventListener('pointermove', (event) => {
        const box = root.getBoundingClientRect(), scale = box.width / width;
        const j = Math.floor(((event.clientX - box.left) / scale - left) / cell), i = Math.floor(((event.clientY - box.top) / scale - top) / tall);
        if (i >= 0 && i < high && j >= 0 && j < wide) point(i, j, event);
      });
      board.addEventListener('pointerleave', leave);
      board.addEventListener('blur', leave);
      function choose() {  // a cell, or of a matrix of layers and heads the head
        const row = spot?.[0], column = spot?.[1] + from;
        if (!spot || !data.clicks || column >= (data.clicks.heads ?? Infinity)) return;
        view.send(data.clicks.kind ? {kind: data.clicks.kind, layer: row, head: column} : {row, column});
      }
      board.addEventListener('click', choose);
      board.addEventListener('keydown', (event) => {
        const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
        if (event.key === 'Enter') choose();
        if (!step) return;
        event.preventDefault();
        point(clamp((spot ? spot[0] + step[0] : 0), 0, high - 1), clamp((spot ? spot[1] + step[1] : 0), 0, wide - 1), event);
      });
      root.append(board, here);
      const taken = from ? `The first key is taken out; the other weights are as they were, so rows no longer sum to 1. ` : '';
      view.note(taken + (data.note || ''));
    },
    table(data) {
      const {shape: [high, wide], values} = numbers(data.values);
      const name = (list) => list.map((token, i) => data.plain_names ? token : `${token} ${i}`), rows = name(data.rows);
      return {columns: [data.row_axis || '', ...name(data.columns)],
        rows: Array.from({length: high}, (_, i) => [rows[i], ...Array.from(values.subarray(i * wide, (i + 1) * wide), (v) => v !== v && data.causal ? 0 : v)])};
    },
  };
});
