// Source and produced tokens, with the weights of the cross-attention between them: pointing at a produced token (or focusing it)
// shades what it looked at; at a source token, who looked at it.
window.figures.add('translation', (figures) => {
  const {svg, numbers, colour, shorten, textWidth, format, clamp} = figures;
  const SIZE = 15, HIGH = 30, GAP = 6;

  return {
    draw(view) {
      const {data, state} = view, layer = view.choice('layer', 'Attention of', data.layers, 'mean'), {values} = numbers(data.weights[layer] || data.weights.mean), wide = data.source.length;
      const weight = (t, s) => values[t * wide + s], width = Math.max(240, view.width - 4);
      function place(names, top) {  // in lines as wide as the page
        let x = 0, y = top;
        const spots = names.map((name) => {
          const text = shorten(name, 24), w = Math.max(22, textWidth(text, SIZE) + 14);
          if (x + w > width && x > 0) { x = 0; y += HIGH + 14; }
          const spot = {text, x, y, w}; x += w + GAP;
          return spot;
        });
        return [spots, y + HIGH];
      }
      const [sources, below] = place(data.source, 32), [produced, end] = place(data.produced, below + 90);
      const root = view.svg(width, end + 8, `${data.title}: ${data.source.length} source tokens, ${data.produced.length} produced tokens`);
      root.append(svg('text', {class: 'quiet', x: 0, y: 11, 'font-size': 11.5}, 'source'), svg('text', {class: 'quiet', x: 0, y: below + 82, 'font-size': 11.5}, 'produced'));
      const lines = svg('g', {fill: 'none'}), nodes = {source: [], produced: []};
      root.append(lines);
      function look(side, i) {
        state.spot = [side, i];
        const others = side === 'produced' ? sources : produced, of = (k) => side === 'produced' ? weight(i, k) : weight(k, i), most = Math.max(...others.map((_, k) => of(k)), 1e-9);
        lines.replaceChildren(...others.map((spot, k) => [spot, k]).filter(([, k]) => of(k) >= 0.02).map(([spot, k]) => {
          const from = side === 'produced' ? spot : sources[i], to = side === 'produced' ? produced[i] : spot, x1 = from.x + from.w / 2, x2 = to.x + to.w / 2, y1 = from.y + HIGH, y2 = to.y, bend = (y2 - y1) / 2;
          return svg('path', {d: `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`, style: 'stroke: var(--accent)', 'stroke-width': (0.8 + 3.5 * of(k)).toFixed(2), 'stroke-opacity': clamp(of(k) / most, 0.12, 1).toFixed(3)});
        }));
        for (const name of ['source', 'produced']) nodes[name].forEach(({box, told}, k) => {
          const here = name === side && k === i, other = name !== side;
          box.setAttribute('style', `fill: ${other ? colour(of(k) / most * 0.7) : here ? 'var(--accent-soft)' : 'var(--sunk)'}; stroke: ${here ? 'var(--accent)' : 'var(--line)'}`);
          told.textContent = other && of(k) >= 0.02 ? format(of(k), 2) : '';
        });
      }
      function told(side, i) {
        const others = side === 'produced' ? data.source : data.produced, of = (k) => side === 'produced' ? weight(i, k) : weight(k, i);
        const best = others.map((name, k) => [of(k), name]).sort((a, b) => b[0] - a[0]).slice(0, 6);
        return [`${data[side][i]} ${side === 'produced' ? 'looked at' : 'was looked at for'}`, ...best.map(([v, name]) => `${format(v, 3)} ${name}`)];
      }
      [['source', sources], ['produced', produced]].forEach(([side, spots]) => spots.forEach((spot, i) => {
        const box = svg('rect', {x: spot.x, y: spot.y, width: spot.w, height: HIGH, rx: 4, style: 'fill: var(--sunk); stroke: var(--line)'});
        const said = svg('text', {class: 'quiet', x: spot.x + spot.w / 2, y: side === 'source' ? spot.y - 2.5 : spot.y + HIGH + 9, 'text-anchor': 'middle', 'font-size': 9}, '');
        const show = (event) => { look(side, i); view.tip(event, told(side, i)); };
        const node = svg('g', {tabindex: 0, role: 'img', class: 'translation-token', 'data-focus': `${side}-${i}`, 'aria-label': told(side, i).join(', '), onpointerenter: show, onpointermove: (event) => view.tip(event, told(side, i)), onpointerleave: () => view.tip(null),
          onfocus: show, onblur: () => view.tip(null), onkeydown: (event) => {
            const step = {ArrowLeft: -1, ArrowRight: 1}[event.key], to = {ArrowUp: 'source', ArrowDown: 'produced'}[event.key];
            if (!step && !to) return;
            event.preventDefault();
            const next = step ? [side, clamp(i + step, 0, spots.length - 1)] : [to, clamp(i, 0, data[to].length - 1)];
            nodes[next[0]][next[1]].node.focus();
          }}, box, svg('text', {x: spot.x + spot.w / 2, y: spot.y + HIGH / 2 + 1, 'text-anchor': 'middle', 'dominant-baseline': 'central', 'font-size': SIZE}, spot.text), said);
        nodes[side].push({box, told: said, node}); root.append(node);
      }));
      const [side, i] = state.spot || ['produced', 0];
      if (i < (nodes[side] || []).length) look(side, i); else if (data.produced.length) look('produced', 0);
      view.note('Point at a produced token to see what it looked at, or at a source token to see for what it was looked at. Arrow keys walk. Weights of a produced token sum to 1; below 0.02 none is drawn.');
    },
    table(data, state) {
      const {values} = numbers(data.weights[state.layer] || data.weights.mean), wide = data.source.length;
      return {columns: ['produced', ...data.source.map((name, i) => `${name} ${i}`)], rows: data.produced.map((name, t) => [`${name} ${t}`, ...Array.from(values.subarray(t * wide, (t + 1) * wide))])};
    },
  };
});
