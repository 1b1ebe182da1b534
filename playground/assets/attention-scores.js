// All heads with their scores: a row a head, a column a score, sorted by whichever column is chosen. Choosing a row opens the head.
window.figures.add('scores', (figures) => {
  const {svg, numbers, format, textWidth} = figures;
  const ROW = 22, LABEL = 58, FEW = 24;

  const of = (data, score, {layer, head}) => numbers(score.values).values[layer * data.heads + head];
  function ordered(data, state) {
    const all = [];
    for (let layer = 0; layer < data.layers; layer++) for (let head = 0; head < data.heads; head++) all.push({layer, head});
    const score = data.scores.find(({name}) => name === state.order);
    if (!score) return all;
    const sign = state.rising ? 1 : -1, value = (h) => of(data, score, h), blank = (h) => Number.isNaN(value(h)) ? 1 : 0;
    return all.sort((a, b) => blank(a) - blank(b) || (blank(a) ? 0 : sign * (value(a) - value(b))));
  }
  const words = (title) => { const at = title.lastIndexOf(' '); return at < 0 ? ['', title] : [title.slice(0, at), title.slice(at + 1)]; };

  return {
    draw(view) {
      const {data, state} = view, count = data.layers * data.heads;
      view.choice('order', 'Sorted by', [['layer', 'layer'], ...data.scores.map(({name, title}) => [name, title])], 'layer');
      if (state.order !== 'layer') view.toggle('rising', 'Smallest first');
      if (count > FEW) view.choice('rows', 'Heads', [['few', `the first ${FEW}`], ['all', `all ${count}`]], 'few');
      const all = ordered(data, state), shown = count > FEW && state.rows !== 'all' ? all.slice(0, FEW) : all;
      const sorted = data.scores.find(({name}) => name === state.order);
      const column = Math.max(...data.scores.map(({title}) => Math.max(...words(title).map((word) => textWidth(word, 12))) + 26), Math.min(150, (view.width - LABEL - 2) / data.scores.length));
      const width = LABEL + column * data.scores.length, top = 40;
      const root = view.svg(width, top + shown.length * ROW + 4, `${data.title}: ${shown.length} heads, ${data.scores.length} scores`);
      const sort = (name) => { if (state.order === name) { state.rising = !state.rising; } else { state.order = name; state.rising = false; } view.redraw(); };
      const button = (name, label, act, more) => ({tabindex: 0, role: 'button', 'data-focus': name, 'aria-label': label, class: 'score-button', onclick: act,
        onkeydown: (event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); act(); } }, onpointerleave: () => view.tip(null), onblur: () => view.tip(null), ...more});
      root.append(svg('g', button('column-layer', 'Sort by layer', () => { state.order = 'layer'; view.redraw(); }), svg('rect', {x: 0, y: 0, width: LABEL, height: top - 6, fill: 'transparent'}),
        svg('text', {x: 4, y: 28, 'font-weight': sorted ? 400 : 700, class: sorted ? 'quiet' : ''}, 'head')));
      data.scores.forEach((score, at) => {
        const x = LABEL + at * column, chosen = sorted === score, tip = (event) => view.tip(event, [score.title, score.formula, score.meaning]);
        const text = (y, word) => svg('text', {x: x + 6, y, 'font-weight': chosen ? 700 : 400, class: chosen ? '' : 'quiet'}, word);
        const [first, second] = words(score.title);
        root.append(svg('g', button(`column-${score.name}`, `Sort by ${score.title}. ${score.meaning}`, () => sort(score.name), {onpointermove: tip, onfocus: tip}),
          svg('rect', {x, y: 0, width: column, height: top - 6, fill: 'transparent'}), text(14, first), text(28, chosen ? `${second} ${state.rising ? '↑' : '↓'}` : second)));
      });
      root.append(svg('path', {d: `M0 ${top - 4}h${width}`, stroke: 'var(--line)'}));
      const most = data.scores.map((score) => Math.max(1e-12, ...Array.from(numbers(score.values).values).filter((v) => !Number.isNaN(v))));
      shown.forEach((h, place) => {
        const y = top + place * ROW, chosen = h.layer === data.layer && h.head === data.head, name = `Layer ${h.layer + 1}, head ${h.head + 1}`;
        const told = data.scores.map((score) => `${score.title} ${format(of(data, score, h), 4)}`);
        const open = () => view.send({layer: h.layer, head: h.head});
        root.append(svg('g', button(`${h.layer}-${h.head}`, `${name}. ${told.join(', ')}`, open, {'data-layer': h.layer, 'data-head': h.head, 'aria-pressed': String(chosen),
          onpointermove: (event) => view.tip(event, [name, ...told]), onfocus: (event) => view.tip(event, [name, ...told])}),
        svg('rect', {class: 'score-row', x: 0.75, y: y + 0.75, width: width - 1.5, height: ROW - 1.5, rx: 3, fill: 'transparent', stroke: chosen ? 'var(--accent)' : 'transparent', 'stroke-width': 1.5}),
        svg('text', {x: 6, y: y + ROW / 2, 'dominant-baseline': 'central', 'font-weight': chosen ? 700 : 400}, `${h.layer + 1}.${h.head + 1}`),
        data.scores.flatMap((score, at) => {
          const value = of(data, score, h), x = LABEL + at * column;
          return [svg('rect', {x: x + 2, y: y + 3, width: Number.isNaN(value) ? 0 : Math.max(0, (column - 8) * value / most[at]), height: ROW - 6, rx: 2, style: 'fill: var(--accent-soft)'}),
            svg('text', {x: x + 6, y: y + ROW / 2, 'dominant-baseline': 'central', class: Number.isNaN(value) ? 'quiet' : ''}, format(value, 3))];
        })));
      });
      const blank = data.scores.filter((score) => numbers(score.values).values.every((v) => Number.isNaN(v))).map(({title}) => title);
      view.note([sorted ? `${sorted.title} = ${sorted.formula}. ${sorted.meaning}` : '', blank.length ? `${blank.join(', ').replace(/, ([^,]*)$/, ' and $1')}: the text has no place where this could be measured.` : ''].filter(Boolean).join(' '));
    },
    table(data, state) {
      return {columns: ['layer', 'head', ...data.scores.map(({title}) => title)], rows: ordered(data, state).map((h) => [h.layer + 1, h.head + 1, ...data.scores.map((score) => of(data, score, h))])};
    },
  };
});
