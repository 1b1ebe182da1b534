// From scores to weights: one query of one head. A row a key with every step from q · k to the weighted value, then what each
// dimension adds to the score of one key, and the vector that comes out of it all.
window.figures.add('look', (figures) => {
  const {svg, numbers, diverging, format, shorten, textWidth} = figures;
  const ROW = 22, FEW = 24;
  const ARRAYS = ['q', 'k', 'v', 'dots', 'scores', 'seen', 'powers', 'weights', 'norms', 'output'];

  function unpack(data) {
    const all = Object.fromEntries(ARRAYS.map((name) => [name, numbers(data[name]).values]));
    return {...all, d: all.q.length, n: data.places.length, product: (i, x) => all.q[x] * all.k[i * all.q.length + x]};
  }
  const chosenKey = (data, state) => Math.max(0, data.places.indexOf(state.key === 'best' || state.key === undefined ? data.best : Number(state.key)));
  function ordered(data, state, w) {
    const rows = data.places.map((_, i) => i);
    return state.order === 'weight' || (state.order !== 'place' && rows.length > FEW) ? rows.sort((a, b) => w.weights[b] - w.weights[a] || w.seen[b] - w.seen[a] || a - b) : rows;
  }

  return {
    draw(view) {
      const {data, state} = view, w = unpack(data), {d, n} = w, [largest, total] = numbers(data.softmax).values, two = view.width >= 1080, places = data.places.map(String);
      const near = places.filter((_, i) => w.seen[i]).sort((a, b) => w.weights[places.indexOf(b)] - w.weights[places.indexOf(a)]).slice(0, 200);
      view.choice('key', 'Key', [['best', 'the one with the largest weight'], ...data.places.map((place, i) => [String(place), `${place} · ${shorten(data.keys[i], 18)}`]).filter(([place], i) => near.includes(place) || n <= 200)], 'best');
      view.choice('order', 'Keys', [['auto', `automatic: ${n > FEW ? 'largest weight first' : 'as in the text'}`], ['place', 'as in the text'], ['weight', 'largest weight first']], 'auto');
      view.choice('dimensions', 'Dimensions', [['plain', 'in their order'], ['largest', 'largest first']], 'plain');
      if (n > FEW) view.choice('rows', 'Shown', [['few', `the first ${FEW}`], ['all', `all ${n}`]], 'few');
      const all = ordered(data, state, w), shown = n > FEW && state.rows !== 'all' ? all.slice(0, FEW) : all, key = chosenKey(data, state);
      const parts = [], full = Math.max(view.width, 300), left = two ? Math.floor(full * 0.58) : full;
      const nameOf = (i) => `${shorten(data.keys[i], 16)}`, title = (x, y, text) => svg('text', {x, y, 'font-weight': 600, 'font-size': 13}, text);
      const choose = (i) => { state.key = places[i]; view.redraw(); };

      // ---- a row a key
      const label = Math.min(130, Math.max(40, ...shown.map((i) => textWidth(nameOf(i), 12) * 1.1))) + 42;
      const columns = [
        {head: ['q · k', ''], wide: 62, text: (i) => format(w.dots[i], 3)},
        {head: ['score', `÷ √${d}`], wide: 62, text: (i) => format(w.scores[i], 3)},
        {head: ['mask', ''], wide: 52, text: (i) => w.seen[i] ? 'seen' : '−∞', quiet: true},
        {head: ['exp', '(score − max)'], wide: 88, text: (i) => format(w.powers[i], 4)},
        {head: ['weight', '÷ their sum'], wide: 0, text: (i) => format(w.weights[i], 4), bar: (i) => w.weights[i]},
        {head: ['|v|', ''], wide: 56, text: (i) => format(w.norms[i], 3)},
        {head: ['weight · |v|', ''], wide: 0, text: (i) => format(w.weights[i] * w.norms[i], 4), bar: (i) => w.weights[i] * w.norms[i]},
      ];
      const fixed = label + columns.reduce((sum, column) => sum + column.wide, 0), bars = Math.max(84, (left - fixed - 4) / 2);
      let across = label;
      for (const column of columns) { column.x = across; across += column.wide ||= bars; column.most = column.bar ? Math.max(1e-12, ...shown.map(column.bar)) : 1; }
      const table = svg('g', {}), top = 66;
      table.append(title(0, 14, 'From scores to weights'), svg('text', {class: 'quiet', x: 4, y: 40}, 'key'));
      for (const {x, head} of columns) table.append(svg('text', {x: x + 6, y: 40, 'font-weight': 600}, head[0]), svg('text', {class: 'quiet', x: x + 6, y: 55, 'font-size': 11}, head[1]));
      table.append(svg('path', {d: `M0 ${top - 4}h${across}`, stroke: 'var(--line)'}));
      shown.forEach((i, place) => {
        const y = top + place * ROW, on = i === key, told = [`${data.places[i]} · ${data.keys[i]}`, `q · k = ${format(w.dots[i], 4)}, score ${format(w.scores[i], 4)}`,
          w.seen[i] ? `exp(${format(w.scores[i], 3)} − ${format(largest, 3)}) = ${format(w.powers[i], 5)}` : 'lies ahead: the mask hides it', `weight ${format(w.weights[i], 5)}`];
        const tip = (event) => view.tip(event, told), away = () => view.tip(null);
        table.append(svg('g', {class: 'look-key', tabindex: 0, role: 'button', 'aria-pressed': String(on), 'data-focus': `key-${places[i]}`, 'aria-label': told.join('. '), opacity: w.seen[i] ? 1 : 0.55,
          onclick: () => choose(i), onkeydown: (event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); choose(i); } }, onpointermove: tip, onpointerleave: away, onfocus: tip, onblur: away},
        svg('rect', {class: 'look-row', x: 0.75, y: y + 0.75, width: across - 1.5, height: ROW - 1.5, rx: 3, fill: 'transparent', stroke: on ? 'var(--accent)' : 'transparent', 'stroke-width': 1.5}),
        svg('text', {class: 'quiet', x: 4, y: y + ROW / 2, 'dominant-baseline': 'central', 'font-size': 11}, data.places[i]),
        svg('text', {x: 32, y: y + ROW / 2, 'dominant-baseline': 'central', 'font-weight': on ? 700 : 400}, nameOf(i)),
        columns.flatMap((column) => [column.bar ? svg('rect', {x: column.x + 2, y: y + 3, width: Math.max(0, (column.wide - 6) * column.bar(i) / column.most), height: ROW - 6, rx: 2, style: 'fill: var(--accent-soft)'}) : null,
          svg('text', {class: column.quiet ? 'quiet' : '', x: column.x + 6, y: y + ROW / 2, 'dominant-baseline': 'central'}, column.text(i))])));
      });
      const sums = top + shown.length * ROW + 16, part = shown.reduce((sum, i) => sum + w.weights[i], 0);
      table.append(svg('path', {d: `M0 ${sums - 14}h${across}`, stroke: 'var(--line)'}), svg('text', {x: columns[3].x + 6, y: sums, 'font-weight': 600}, format(total, 4)),
        svg('text', {x: columns[4].x + 6, y: sums, 'font-weight': 600}, shown.length < data.count ? `${format(part, 4)} of 1` : '1'),
        svg('text', {class: 'quiet', x: 4, y: sums}, shown.length < data.count ? `sums; ${data.count - shown.length} keys are not shown` : 'sums'));
      parts.push({node: table, x: 0, wide: across, high: sums + 12});

      // ---- what each dimension adds to the score of one key
      const beside = two && across < full - 320, wide = beside ? full - across - 36 : Math.min(full, 720), high = 150, side = 34;
      const order = Array.from({length: d}, (_, x) => x), step = (wide - side - 4) / d;
      if (state.dimensions === 'largest') order.sort((a, b) => Math.abs(w.product(key, b)) - Math.abs(w.product(key, a)));
      const adds = order.map((x) => w.product(key, x) / data.divisor), most = Math.max(1e-12, ...adds.map(Math.abs));
      const group = svg('g', {}), base = 46 + high / 2;
      group.append(title(0, 14, 'What each dimension adds to the score'),
        svg('text', {class: 'quiet', x: 0, y: 32, 'font-size': 11.5}, `qₓ · kₓ ÷ √${d} of the key ${nameOf(key)}; together ${format(w.scores[key], 4)}`));
      group.append(svg('path', {d: `M${side} ${base}h${step * d}`, stroke: 'var(--line-strong)'}),
        ...[[most, base - high / 2 + 4], [0, base], [-most, base + high / 2 - 4]].map(([value, y]) => svg('text', {class: 'quiet', x: side - 5, y, 'text-anchor': 'end', 'dominant-baseline': 'central', 'font-size': 10}, value ? format(value, 2) : '0')));
      const strips = [['q', (x) => w.q[x]], ['k', (x) => w.k[key * d + x]]], under = base + high / 2 + 22;
      const scale = strips.map(([, value]) => Math.max(1e-12, ...order.map((x) => Math.abs(value(x)))));
      order.forEach((x, at) => {
        const value = adds[at], size = Math.abs(value) / most * (high / 2 - 12), here = side + at * step;
        const told = [`dimension ${x + 1} adds ${format(value, 4)}`, `q ${format(w.q[x], 4)} × k ${format(w.k[key * d + x], 4)} = ${format(w.product(key, x), 4)}`];
        const tip = (event) => view.tip(event, told);
        group.append(svg('g', {onpointermove: tip, onpointerleave: () => view.tip(null)}, svg('rect', {'data-hint': '', x: here, y: base - high / 2, width: step, height: under + 34 - base + high / 2, fill: 'transparent'}),
          svg('rect', {x: here + step * 0.1, y: value > 0 ? base - size : base, width: Math.max(0.5, step * 0.8), height: size, style: `fill: var(--token-${value > 0 ? 5 : 6})`}),
          strips.map(([, get], row) => svg('rect', {x: here, y: under + row * 17, width: Math.max(0.6, step - 0.4), height: 14, fill: diverging(get(x) / scale[row])}))));
      });
      strips.forEach(([name], row) => group.append(svg('text', {class: 'quiet', x: side - 6, y: under + row * 17 + 7, 'text-anchor': 'end', 'dominant-baseline': 'central', 'font-size': 11.5}, name),
        svg('rect', {x: side, y: under + row * 17, width: step * d, height: 14, fill: 'none', stroke: 'var(--line)'})));
      const ranked = order.map((x, at) => [x, adds[at]]).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 3);
      ranked.forEach(([x, value]) => { const at = order.indexOf(x); group.append(svg('text', {x: side + (at + 0.5) * step, y: value > 0 ? base - Math.abs(value) / most * (high / 2 - 12) - 3 : base + Math.abs(value) / most * (high / 2 - 12) + 11, 'text-anchor': 'middle', 'font-size': 10}, x + 1)); });

      // ---- what comes out
      const from = under + 62, rows = [['weight · v', (x) => w.weights[key] * w.v[key * d + x]], ['all others', (x) => w.output[x] - w.weights[key] * w.v[key * d + x]], ['output z', (x) => w.output[x]]];
      const limit = Math.max(1e-12, ...rows.flatMap(([, get]) => order.map((x) => Math.abs(get(x))))), names = 64, cell = (wide - names - 56) / d;
      group.append(title(0, from, 'What comes out: z = Σ weight · v'));
      rows.forEach(([name, get], row) => {
        const y = from + 12 + row * 20, length = Math.sqrt(order.reduce((sum, x) => sum + get(x) ** 2, 0));
        group.append(svg('text', {class: 'quiet', x: 0, y: y + 8, 'dominant-baseline': 'central', 'font-size': 11.5}, name),
          ...order.map((x, at) => svg('rect', {x: names + at * cell, y, width: Math.max(0.6, cell - 0.4), height: 16, fill: diverging(get(x) / limit),
            onpointermove: (event) => view.tip(event, [`${name}, dimension ${x + 1}`, format(get(x), 4)]), onpointerleave: () => view.tip(null)})),
          svg('rect', {x: names, y, width: cell * d, height: 16, fill: 'none', stroke: 'var(--line)', 'pointer-events': 'none'}),
          svg('text', {x: names + cell * d + 6, y: y + 8, 'dominant-baseline': 'central', 'font-size': 11}, format(length, 3)));
      });
      group.append(svg('text', {class: 'quiet', x: names + cell * d + 6, y: from, 'font-size': 10.5}, 'length'));
      parts.push({node: group, x: beside ? across + 36 : 0, wide, high: from + 84, beside});

      const below = beside ? 0 : parts[0].high + 20, root = view.svg(Math.max(...parts.map(({x, wide: w2}) => x + w2)), beside ? Math.max(...parts.map((p) => p.high)) : below + parts[1].high, `${data.title}, ${data.subtitle}`);
      parts[1].node.setAttribute('transform', `translate(${parts[1].x} ${below})`);
      root.append(parts[0].node, parts[1].node);
      const steps = w.seen[key] ? `q · k = ${format(w.dots[key], 4)}; ÷ √${d} = ${format(w.scores[key], 4)}; exp(${format(w.scores[key], 4)} − ${format(largest, 4)}) = ${format(w.powers[key], 5)}; ÷ ${format(total, 4)} = ${format(w.weights[key], 5)}; times a value of length ${format(w.norms[key], 4)}.`
        : `q · k = ${format(w.dots[key], 4)}, but this token lies ahead of the query: the mask makes its score −∞ and its weight exactly 0.`;
      view.note(`${data.query_name} → ${data.keys[key]}: ${steps}${data.hidden ? ` ${data.hidden} of ${data.count} keys lie ahead and are hidden.` : ''}`);
    },
    table(data, state) {
      const w = unpack(data), dimensions = Array.from({length: w.d}, (_, x) => x);
      return {columns: ['key', 'token', 'q · k', 'score', 'seen', 'exp', 'weight', '|v|', 'weight · |v|', ...dimensions.map((x) => `dimension ${x + 1} adds`)],
        rows: ordered(data, state, w).map((i) => [data.places[i], data.keys[i], w.dots[i], w.scores[i], w.seen[i] ? 'yes' : 'no', w.powers[i], w.weights[i], w.norms[i], w.weights[i] * w.norms[i],
          ...dimensions.map((x) => w.product(i, x) / data.divisor)])};
    },
  };
});
