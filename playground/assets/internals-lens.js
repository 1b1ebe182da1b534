// The logit lens: layers from the embeddings (below) to the model's own prediction (above), by positions. A cell shows its most
// probable token; what its colour says is chosen. Below it, how the final choice comes up through the layers at one position.
window.figures.add('lens', (figures) => {
  const {svg, numbers, colour, shorten, textWidth, format, clamp} = figures;
  const WIDE = 76, TALL = 25, TOP = 48, CHART = 118;

  function measures(data) {  // what a cell can be coloured by: (cell) -> number, and -> share of the colours
    const size = Math.log(data.vocabulary || 2), grid = (packed) => { const {values} = numbers(packed); return (at) => values[at]; };
    const most = (packed) => numbers(packed).values.reduce((a, b) => b > a ? b : a, 0) || 1;
    const lengths = (title, packed) => { const top = most(packed), of = grid(packed); return {title, of, share: (at) => Math.sqrt(of(at) / top), digits: 2}; };
    const rank = (title, of) => ({title, of, share: (at) => of(at) > 0 ? clamp(1 - Math.log(of(at)) / size, 0, 1) : 0, digits: 0});
    const share = (title, of) => ({title, of, share: of, digits: 3});
    const first = numbers(data.shares), k = first.shape[2], finalLog = grid(data.final_logprob), otherLog = grid(data.followed_logprob);
    const follows = data.follows ? `“${shorten(data.follows, 14)}”` : 'the text’s next token', furthest = most(data.divergence);
    return {
      first: share('probability of the token shown', (at) => first.values[at * k]),
      final: share('probability of the final choice', (at) => Math.exp(finalLog(at))),
      final_rank: rank('rank of the final choice', grid(data.final_rank)),
      followed: share(`probability of ${follows}`, (at) => Math.exp(otherLog(at))),
      followed_rank: rank(`rank of ${follows}`, grid(data.followed_rank)),
      entropy: {title: 'entropy (nats)', of: grid(data.entropy), share: (at) => grid(data.entropy)(at) / size, digits: 2},
      divergence: {title: 'divergence from the final prediction (nats)', of: grid(data.divergence), share: (at) => Math.sqrt(grid(data.divergence)(at) / furthest), digits: 2},
      stream: lengths('length of the stream', data.stream),
      ...Object.fromEntries(data.added.map(({title, values}, i) => [`added${i}`, lengths(`length of what ${title} adds`, values)])),
    };
  }
  const layerName = (layer, short) => layer === 0 ? (short ? 'emb.' : 'embeddings') : short ? `L${layer}` : `layer ${layer}`;

  return {
    draw(view) {
      const {data, state} = view, rows = data.layers.length, columns = data.positions.length;
      if (!rows || !columns) { view.note('There is nothing to draw.'); return; }
      const all = measures(data), {values: top, shape: [, , k]} = numbers(data.top), shares = numbers(data.shares).values;
      view.choice('shade', 'Colour', Object.entries(all).map(([name, {title}]) => [name, title]), 'first');
      view.choice('text', 'In the cells', [['token', 'most probable token'], ['value', 'the number']], 'token');
      const short = view.width < 620, left = short ? 38 : 84, count = clamp(Math.floor((view.width - left - 6) / WIDE), 1, columns);
      if (columns > count) view.slider('from', 'Positions from', 0, columns - count, 1, columns - count);
      const from = columns > count ? clamp(state.from, 0, columns - count) : 0, cell = Math.min(132, (view.width - left - 6) / count);
      const wide = Math.min(view.width - left - 80, 620), chart = Math.min(view.width, left + Math.max(wide + 24, 380));  // below the cells
      const under = TOP + rows * TALL, width = Math.max(left + count * cell + 6, chart), height = under + 44 + 26 + CHART + 40;
      const measure = all[state.shade], y = (row) => TOP + (rows - 1 - row) * TALL, x = (column) => left + (column - from) * cell;
      const root = view.svg(width, height, `${data.title}: ${rows} rows, ${count} of ${columns} positions`);
      let here = state.cell && state.cell[1] < columns && state.cell[0] < rows ? state.cell : [rows - 1, columns - 1];
      const fit = Math.max(2, Math.floor(cell / 8.4));
      root.append(svg('text', {class: 'quiet', x: left - 8, y: TOP - 12, 'text-anchor': 'end', 'font-size': 11}, short ? 'next' : 'goes on with'),
        svg('text', {class: 'quiet', x: left - 8, y: under + 17, 'text-anchor': 'end', 'font-size': 11}, 'reads'));
      for (let row = 0; row < rows; row++) root.append(svg('text', {class: 'quiet', x: left - 8, y: y(row) + TALL / 2, 'text-anchor': 'end', 'dominant-baseline': 'central', 'font-size': 11.5}, layerName(data.layers[row], short)));
      for (let column = from; column < from + count; column++) {
        const middle = x(column) + cell / 2, bold = column === here[1] ? 700 : 400;
        root.append(svg('text', {x: middle, y: TOP - 12, 'text-anchor': 'middle', 'font-size': 12, 'font-weight': bold}, shorten(data.written[column], fit)),
          svg('text', {x: middle, y: under + 17, 'text-anchor': 'middle', 'font-size': 12, 'font-weight': bold}, shorten(data.read[column], fit)),
          svg('text', {class: 'quiet', x: middle, y: under + 32, 'text-anchor': 'middle', 'font-size': 10}, data.positions[column]));
        for (let row = 0; row < rows; row++) {
          const at = row * columns + column, share = measure.share(at), word = data.words[top[at * k]], value = measure.of(at);
          root.append(svg('rect', {x: x(column) + 0.5, y: y(row) + 0.5, width: cell - 1, height: TALL - 1, rx: 2, fill: share > 0.003 ? colour(share) : 'transparent', stroke: 'var(--line)', 'stroke-width': 0.6}),
            svg('text', {x: middle, y: y(row) + TALL / 2, 'text-anchor': 'middle', 'dominant-baseline': 'central', 'font-size': 12, 'font-weight': word === data.final[column] ? 650 : 400, style: share > 0.62 ? 'fill: #ffffff' : ''},
              state.text === 'value' ? (value === value ? format(value, measure.digits) : '') : shorten(word, fit)));
        }
      }
      // ---- one position through the layers
      const ground = under + 44 + 26 + CHART, step = rows > 1 ? wide / (rows - 1) : 0;
      const lines = [['final', `final choice ${data.final[here[1]]}`, 'var(--accent)'], ['followed', data.followed[here[1]], 'var(--token-6)']]
        .filter(([name], i) => i === 0 || (data.followed[here[1]] && data.followed[here[1]] !== data.final[here[1]]));
      root.append(svg('text', {x: 8, y: under + 60, 'font-size': 12.5, 'font-weight': 600}, `Position ${data.positions[here[1]]}, behind “${shorten(data.read[here[1]], 14)}”: ${short ? 'through' : 'probability through'} the layers`));
      for (const tick of [0, 0.5, 1]) root.append(svg('line', {x1: left, x2: left + wide, y1: ground - tick * CHART, y2: ground - tick * CHART, style: 'stroke: var(--line)'}), svg('text', {class: 'quiet', x: left - 8, y: ground - tick * CHART, 'text-anchor': 'end', 'dominant-baseline': 'central', 'font-size': 10.5}, tick));
      const every = Math.ceil(34 / (step || 34));
      for (let row = 0; row < rows; row += every) root.append(svg('text', {class: 'quiet', x: left + row * step, y: ground + 16, 'text-anchor': 'middle', 'font-size': 10.5}, layerName(data.layers[row], true)));
      lines.forEach(([name, label, ink], i) => {
        const points = Array.from({length: rows}, (_, row) => [left + row * step, ground - CHART * clamp(all[name].of(row * columns + here[1]) || 0, 0, 1)]);
        root.append(svg('path', {d: `M${points.map((p) => p.join(' ')).join('L')}`, fill: 'none', style: `stroke: ${ink}`, 'stroke-width': 2}));
        points.forEach(([px, py], row) => root.append(svg('circle', {cx: px, cy: py, r: row === here[0] ? 4.5 : 2.6, style: `fill: ${ink}`, onpointerenter: (event) => view.tip(event, told(row, here[1])), onpointerleave: () => view.tip(null)})));
        root.append(svg('rect', {x: left + i * 190, y: ground + 26, width: 10, height: 10, rx: 2, style: `fill: ${ink}`}), svg('text', {x: left + i * 190 + 15, y: ground + 35, 'font-size': 11.5}, shorten(label, 22)));
      });
      // ---- pointing, walking, choosing
      function told(row, column) {
        const at = row * columns + column, other = data.followed[column];
        return [`Position ${data.positions[column]}, behind ${data.read[column]} · ${layerName(data.layers[row])}`,
          ...Array.from({length: k}, (_, i) => `${format(shares[at * k + i], 3)}  ${data.words[top[at * k + i]]}`),
          `final choice ${data.final[column]}: ${format(all.final.of(at), 3)}, rank ${all.final_rank.of(at)}`,
          ...(other && other !== data.final[column] ? [`${other}: ${format(all.followed.of(at), 3)}, rank ${all.followed_rank.of(at)}`] : []),
          `entropy ${format(all.entropy.of(at), 2)} nats, divergence ${format(all.divergence.of(at), 2)}`,
          `stream ${format(all.stream.of(at), 2)}${data.added.map(({title}, i) => { const v = all[`added${i}`].of(at); return v === v ? `, ${title} adds ${format(v, 2)}` : ''; }).join('')}`];
      }
      const box = (cellAt, ink, strong) => svg('rect', {'data-hint': '', x: x(cellAt[1]) + 1, y: y(cellAt[0]) + 1, width: cell - 2, height: TALL - 2, rx: 2, fill: 'none', style: `stroke: ${ink}`, 'stroke-width': strong, 'pointer-events': 'none'});
      if (here[1] >= from && here[1] < from + count) root.append(box(here, 'var(--accent)', 2.5));
      const pointer = svg('rect', {'data-hint': '', width: cell - 2, height: TALL - 2, rx: 2, fill: 'none', style: 'stroke: var(--ink)', 'stroke-width': 1.5, visibility: 'hidden', 'pointer-events': 'none'});
      const board = svg('rect', {'data-hint': '', 'data-focus': 'board', class: 'lens-board', x: left, y: TOP, width: count * cell, height: rows * TALL, fill: 'transparent', tabindex: 0, role: 'application',
        'aria-label': `${data.title}. Arrow keys walk through the cells, Enter chooses a position.`});
      let spot = null;
      function point(row, column, event) {
        spot = [row, column];
        pointer.setAttribute('x', x(column) + 1); pointer.setAttribute('y', y(row) + 1); pointer.setAttribute('visibility', 'visible');
        const page = root.getBoundingClientRect(), lines = told(row, column);
        board.setAttribute('aria-label', lines.slice(0, 3).join('. '));
        view.tip(event.clientX ? event : {clientX: page.left + x(column) + cell / 2, clientY: page.top + y(row) + TALL / 2, target: board}, lines);
      }
      function choose() {
        if (!spot) return;
        state.cell = spot;
        const at = spot[0] * columns + spot[1];
        view.send({position: data.positions[spot[1]], token: data.ids[top[at * k]]});
        view.redraw();
      }
      const leave = () => { view.tip(null); pointer.setAttribute('visibility', 'hidden'); };
      board.addEventListener('pointermove', (event) => {
        const page = root.getBoundingClientRect(), scale = page.width / width || 1;
        const column = from + Math.floor(((event.clientX - page.left) / scale - left) / cell), row = rows - 1 - Math.floor(((event.clientY - page.top) / scale - TOP) / TALL);
        if (row >= 0 && row < rows && column >= from && column < from + count) point(row, column, event);
      });
      board.addEventListener('pointerleave', leave);
      board.addEventListener('blur', leave);
      board.addEventListener('click', choose);
      board.addEventListener('keydown', (event) => {
        if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); choose(); return; }
        const move = {ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
        if (!move) return;
        event.preventDefault();
        const [row, column] = spot || [here[0], clamp(here[1], from, from + count - 1)];
        point(clamp(row + move[0], 0, rows - 1), clamp(column + move[1], from, from + count - 1), event);
      });
      root.append(board, pointer);
      view.note(`Bold: the token that the model finally chooses. ${view.standalone ? '' : 'Choose a cell to see its position through the layers; Attribution then takes its token’s logit apart. '}Early rows are read with the last layer’s matrix, which they were not trained for.`);
    },
    table(data) {
      const all = measures(data), columns = data.positions.length, {values: top, shape: [, , k]} = numbers(data.top), shares = numbers(data.shares).values, rows = [];
      data.layers.forEach((layer, row) => data.positions.forEach((position, column) => {
        const at = row * columns + column, best = [];
        for (let i = 0; i < k; i++) best.push(data.words[top[at * k + i]], shares[at * k + i]);
        rows.push([layer, position, data.read[column], ...best, all.entropy.of(at), all.divergence.of(at), data.final[column], all.final.of(at), all.final_rank.of(at),
          data.followed[column], all.followed.of(at), all.followed_rank.of(at) || NaN, all.stream.of(at), ...data.added.map((_, i) => all[`added${i}`].of(at))]);
      }));
      return {columns: ['layer', 'position', 'token read', ...Array.from({length: k}, (_, i) => [`token ${i + 1}`, `probability ${i + 1}`]).flat(), 'entropy', 'divergence', 'final choice', 'final choice: probability', 'final choice: rank',
        'followed', 'followed: probability', 'followed: rank', 'stream', ...data.added.map(({title}) => `added by ${title}`)], rows};
    },
  };
});
