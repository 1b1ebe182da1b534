// All heads as small pictures, in the order of layers or of a score. Choosing one opens it.
window.figures.add('heads', (figures) => {
  const {svg, numbers, format, clamp} = figures;

  function ordered(data, state) {
    const [layers, heads] = numbers(data.small).shape, all = [];
    for (let layer = 0; layer < layers; layer++) for (let head = 0; head < heads; head++) all.push({layer, head});
    const score = data.scores.find(({name}) => name === state.order);
    if (!score) return {all, score: null};
    const {values} = numbers(score.values), of = (h) => values[h.layer * heads + h.head];
    const sign = state.rising ? 1 : -1, blank = (h) => of(h) !== of(h);
    return {all: all.sort((a, b) => blank(a) - blank(b) || (blank(a) ? 0 : sign * (of(a) - of(b)))), score, of};
  }

  return {
    draw(view) {
      const {data, state} = view, {shape: [layers, heads, high, wide], values} = numbers(data.small);
      view.choice('order', 'Sorted by', [['layer', 'layer'], ...data.scores.map(({name, title}) => [name, title])], 'layer');
      if (state.order !== 'layer') view.toggle('rising', 'Smallest first');
      const {all, score, of} = ordered(data, state), gap = 8, under = 17, side = score ? 0 : 30, above = score ? 4 : 22;
      const across = score ? clamp(Math.floor((view.width - 4) / 74), 1, all.length) : heads;
      const size = clamp((view.width - side - 4) / across - gap, 22, 78), step = size + gap, line = score ? step + under : step;
      const width = side + across * step + 4, height = above + Math.ceil(all.length / across) * line + 4;
      const root = view.svg(width, height, `All heads: ${layers} layers of ${heads}`);
      if (!score) {
        for (let head = 0; head < heads; head++) root.append(svg('text', {class: 'quiet', x: side + head * step + size / 2, y: 13, 'text-anchor': 'middle', 'font-size': 11}, head + 1));
        for (let layer = 0; layer < layers; layer++) root.append(svg('text', {class: 'quiet', x: side - 8, y: above + layer * step + size / 2, 'text-anchor': 'end', 'dominant-baseline': 'central', 'font-size': 11}, `L${layer + 1}`));
      }
      all.forEach((h, place) => {
        const x = side + (place % across) * step, y = above + Math.floor(place / across) * line, start = (h.layer * heads + h.head) * high * wide;
        const chosen = h.layer === data.layer && h.head === data.head, name = `Layer ${h.layer + 1}, head ${h.head + 1}`;
        const told = data.scores.map((s) => `${s.title} ${format(numbers(s.values).values[h.layer * heads + h.head], 3)}`);
        const picture = svg('image', {x: x + 1, y: y + 1, width: size - 2, height: size - 2, preserveAspectRatio: 'none', 'image-rendering': 'pixelated', style: 'image-rendering: pixelated',
          href: figures.shades(high, wide, (i, j) => values[start + i * wide + j] / 255)});
        const open = () => view.send({layer: h.layer, head: h.head});
        root.append(svg('g', {class: 'figure-head-cell', tabindex: 0, role: 'button', 'aria-pressed': String(chosen), 'aria-label': `${name}. ${told.slice(0, 3).join(', ')}`, 'data-focus': `${h.layer}-${h.head}`,
          'data-layer': h.layer, 'data-head': h.head, onclick: open, onkeydown: (event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); open(); } },
          onpointermove: (event) => view.tip(event, [name, ...told]), onpointerleave: () => view.tip(null), onfocus: (event) => view.tip(event, [name, ...told]), onblur: () => view.tip(null)},
        picture, svg('rect', {x: x + 0.5, y: y + 0.5, width: size - 1, height: size - 1, rx: 3, fill: 'transparent', stroke: chosen ? 'var(--accent)' : 'var(--line)', 'stroke-width': chosen ? 2.5 : 1}),
        score ? svg('text', {x: x + size / 2, y: y + size + 12, 'text-anchor': 'middle', 'font-size': 10.5}, `${h.layer + 1}.${h.head + 1} `, svg('tspan', {style: 'fill: var(--muted)'}, format(of(h), 2))) : null));
      });
      view.note(score ? `${score.title}: ${score.meaning} ${score.formula}` : data.note || '');
    },
    table(data, state) {
      const heads = numbers(data.small).shape[1];
      return {columns: ['layer', 'head', ...data.scores.map(({title}) => title)],
        rows: ordered(data, state).all.map((h) => [h.layer + 1, h.head + 1, ...data.scores.map((s) => numbers(s.values).values[h.layer * heads + h.head])])};
    },
  };
});
