// Lines between tokens, as strong as their weights, a colour a head. Pointing at a token (or focusing it) shows only its lines, with
// their weights: on the left where it looks, on the right who looks at it.
window.figures.add('lines', (figures) => {
  const {svg, numbers, series, shorten, textWidth, format, clamp} = figures;
  const ROW = 22, TOP = 44, MOST = 6_000;  // lines that are drawn at once

  const heads = (data, state) => state.which === 'one' || state.which === undefined ? [data.head] : state.which === 'all'
    ? Array.from({length: data.heads}, (_, i) => i) : [Number(state.which)];

  return {
    draw(view) {
      const {data, state} = view, names = Array.from({length: data.heads}, (_, i) => [String(i), `head ${i + 1}`]);
      view.choice('which', 'Heads', [['one', `the chosen one (${data.head + 1})`], ['all', 'all of the layer'], ...names], 'one');
      view.slider('threshold', 'Weights from', 0.01, 1, 0.01, 0.05);
      const chosen = new Set(heads(data, state)), [q, k, of, w] = ['queries', 'keys', 'of', 'weights'].map((name) => numbers(data[name]).values);
      let lines = [];
      for (let n = 0; n < w.length; n++) if (chosen.has(of[n]) && w[n] >= state.threshold) lines.push(n);
      const all = lines.length;
      if (all > MOST) lines = lines.sort((a, b) => w[b] - w[a]).slice(0, MOST);
      const wide = (list) => Math.min(190, Math.max(30, ...list.map((name) => textWidth(shorten(name, 26), 13)))) + 12;
      const leftWide = wide(data.left), rightWide = wide(data.right), middle = clamp(view.width - leftWide - rightWide - 80, 120, 640);
      const x1 = leftWide + 34, x2 = x1 + middle, width = x2 + rightWide + 44, height = TOP + Math.max(data.left.length, data.right.length) * ROW + 10;
      const y = (i) => TOP + (i + 0.5) * ROW;
      const root = view.svg(width, height, `${data.title}: lines from ${data.left.length} tokens to ${data.right.length}`);
      root.append(svg('text', {class: 'quiet', x: 0, y: 14, 'font-size': 11.5}, data.left_axis.split(' (')[0]),
        svg('text', {class: 'quiet', x: width - 2, y: 14, 'text-anchor': 'end', 'font-size': 11.5}, data.right_axis.split(' (')[0]));
      const colour = (head) => chosen.size > 1 ? series(head) : 'var(--accent)', paths = [];
      const layer = svg('g', {fill: 'none'});
      for (const n of lines) {
        paths.push(svg('path', {d: `M${x1} ${y(q[n])}C${x1 + middle / 2} ${y(q[n])} ${x2 - middle / 2} ${y(k[n])} ${x2} ${y(k[n])}`, style: `stroke: ${colour(of[n])}`, 'stroke-width': (0.8 + 2.4 * w[n]).toFixed(2), 'stroke-opacity': Math.max(0.06, w[n]).toFixed(3)}));
      }
      layer.append(...paths);
      root.append(layer);
      const labels = {left: [], right: []}, told = {left: [], right: []};
      function look(side, i) {  // only this token's lines; null: all
        const best = new Map();
        lines.forEach((n, p) => {
          const mine = side === null || (side === 'left' ? q[n] : k[n]) === i;
          paths[p].setAttribute('visibility', mine ? 'visible' : 'hidden');
          paths[p].setAttribute('stroke-opacity', (side === null ? Math.max(0.06, w[n]) : Math.max(0.2, w[n])).toFixed(3));
          const other = side === 'left' ? k[n] : q[n];
          if (mine && side !== null) best.set(other, Math.max(best.get(other) || 0, w[n]));
        });
        const other = side === 'left' ? 'right' : 'left';
        for (const s of ['left', 'right']) {
          labels[s].forEach((label, place) => {
            const strong = side !== null && (s === side ? place === i : best.has(place));
            label.setAttribute('font-weight', strong ? 650 : 400);
            label.setAttribute('opacity', side === null || strong ? 1 : 0.45);
            told[s][place].textContent = side !== null && s === other && best.has(place) ? format(best.get(place), 2) : '';
          });
        }
      }
      for (const side of ['left', 'right']) {
        data[side].forEach((name, i) => {
          const left = side === 'left', x = left ? x1 - 6 : x2 + 6, mine = (n) => (left ? q[n] : k[n]) === i;
          const label = svg('text', {x: left ? x - 30 : x + 30, y: y(i), 'text-anchor': left ? 'end' : 'start', 'dominant-baseline': 'central', 'font-size': 13}, shorten(name, 26));
          const weight = svg('text', {class: 'quiet', x, y: y(i), 'text-anchor': left ? 'end' : 'start', 'dominant-baseline': 'central', 'font-size': 11}, '');
          labels[side].push(label); told[side].push(weight);
          const strongest = () => lines.filter(mine).sort((a, b) => w[b] - w[a]).slice(0, 6).map((n) => `${format(w[n], 3)} ${left ? '→' : '←'} ${left ? data.right[k[n]] : data.left[q[n]]}${chosen.size > 1 ? `, head ${of[n] + 1}` : ''}`);
          const show = (event) => { look(side, i); view.tip(event, [`${name} · ${left ? 'looks at' : 'is looked at by'}`, ...strongest()]); };
          const hide = () => { look(null); view.tip(null); };
          root.append(svg('g', {tabindex: 0, role: 'button', 'data-focus': `${side}-${i}`, 'aria-label': `${name}, ${left ? 'query' : 'key'} ${i}: ${strongest().slice(0, 2).join('; ') || 'no line'}`,
            onpointerenter: show, onpointerleave: hide, onfocus: show, onblur: hide}, svg('rect', {x: left ? 0 : x2, y: y(i) - ROW / 2, width: left ? x1 : width - x2, height: ROW, fill: 'transparent'}), label, weight));
        });
      }
      if (chosen.size > 1) {
        [...chosen].forEach((head, place) => root.append(svg('rect', {x: x1 + place * Math.min(26, middle / chosen.size), y: 24, width: 9, height: 9, rx: 2, style: `fill: ${colour(head)}`}),
          svg('text', {class: 'quiet', x: x1 + place * Math.min(26, middle / chosen.size) + 11, y: 32, 'font-size': 9.5}, head + 1)));
      }
      view.note(`${all.toLocaleString('en-US')} ${all === 1 ? 'line' : 'lines'}${all > MOST ? `, of which the ${MOST.toLocaleString('en-US')} strongest are drawn` : ''}. Point at a token to see only its own.`);
    },
    table(data, state) {
      const chosen = new Set(heads(data, state)), [q, k, of, w] = ['queries', 'keys', 'of', 'weights'].map((name) => numbers(data[name]).values), rows = [];
      for (let n = 0; n < w.length; n++) if (chosen.has(of[n]) && w[n] >= (state.threshold ?? 0)) rows.push([of[n] + 1, q[n], data.left[q[n]], k[n], data.right[k[n]], w[n]]);
      return {columns: ['head', 'query', 'query token', 'key', 'key token', 'weight'], rows};
    },
  };
});
