// Measures of several strategies: a panel for each measure, a bar for each strategy, and across all bars what people's text has.
window.figures.add('measures', (figures) => {
  const {svg, numbers, shorten, textWidth, format} = figures;
  const HIGH = 17, HEAD = 44, GAP = 34;

  return {
    draw(view) {
      const {data} = view, rows = data.rows;
      if (!rows.length && !data.panels.length) { view.note('There is nothing to draw.'); return; }
      const left = Math.min(150, Math.max(40, ...rows.map((row) => textWidth(shorten(row, 22), 11.5)))) + 10;
      const across = Math.max(1, Math.min(data.panels.length, Math.floor((view.width + GAP) / (left + 190 + GAP))));
      const wide = (view.width - (across - 1) * GAP) / across, high = HEAD + Math.max(1, rows.length) * HIGH + 16;
      const root = view.svg(view.width, Math.ceil(data.panels.length / across) * (high + 12), `${data.title}: ${data.panels.length} measures of ${rows.length} strategies`);
      data.panels.forEach((panel, place) => {
        const x0 = (place % across) * (wide + GAP), y0 = Math.floor(place / across) * (high + 12), {values} = numbers(panel.values), known = panel.human !== null;
        const finite = Array.from(values).filter(Number.isFinite), low = Math.min(0, ...finite, known ? panel.human : 0), top = Math.max(...finite, known ? panel.human : low, low) || 1;
        const room = wide - left - 48, x = (v) => x0 + left + (v - low) / (top - low || 1) * room;
        const told = known ? `people ${format(panel.human, panel.digits)}` : '';
        root.append(svg('text', {x: x0, y: y0 + 13, 'font-size': 12.5, 'font-weight': 650}, panel.title),
          svg('text', {class: 'quiet', x: x0, y: y0 + 28, 'font-size': 10.5}, shorten(panel.meaning, Math.max(12, Math.floor(wide / 5.4)))),
          svg('path', {d: `M${x(0)} ${y0 + HEAD - 3}v${rows.length * HIGH}`, style: 'stroke: var(--line-strong)'}));
        rows.forEach((row, i) => {
          const v = values[i], y = y0 + HEAD + i * HIGH, words = [`${row}: ${panel.title}`, v === v ? format(v, panel.digits + 1) : 'cannot be said', ...(known ? [`people: ${format(panel.human, panel.digits + 1)}`] : [])];
          root.append(svg('g', {tabindex: 0, role: 'img', 'aria-label': words.join(', '), 'data-focus': `${place}-${i}`, onpointermove: (event) => view.tip(event, words), onpointerleave: () => view.tip(null), onfocus: (event) => view.tip(event, words), onblur: () => view.tip(null)},
            svg('rect', {'data-hint': '', x: x0, y: y - 2, width: wide, height: HIGH, fill: 'transparent'}),
            svg('text', {x: x0 + left - 8, y: y + 6, 'text-anchor': 'end', 'dominant-baseline': 'central', 'font-size': 11.5}, shorten(row, 22)),
            v === v ? svg('rect', {x: Math.min(x(0), x(v)), y, width: Math.max(0.8, Math.abs(x(v) - x(0))), height: HIGH - 5, rx: 1.5, style: 'fill: var(--accent)', 'fill-opacity': 0.75}) : null,
            svg('text', {class: 'quiet', x: x(v === v ? Math.max(v, 0) : 0) + 4, y: y + 6, 'dominant-baseline': 'central', 'font-size': 10.5, style: 'paint-order: stroke; stroke: var(--paper); stroke-width: 3px'}, format(v, panel.digits))));
        });
        if (known) {
          root.append(svg('path', {'pointer-events': 'none', d: `M${x(panel.human)} ${y0 + HEAD - 8}v${rows.length * HIGH + 8}`, fill: 'none', style: 'stroke: var(--token-6)', 'stroke-width': 1.8, 'stroke-dasharray': '5 3'}),
            svg('text', {x: Math.min(x0 + wide, Math.max(x0 + textWidth(told, 10.5), x(panel.human) + textWidth(told, 10.5) / 2)), y: y0 + HEAD + rows.length * HIGH + 8, 'text-anchor': 'end', 'font-size': 10.5, style: 'fill: var(--token-6)'}, told));
        }
      });
      view.note(data.note || '');
    },
    table: (data) => ({columns: data.columns, rows: data.numbers}),
  };
});
