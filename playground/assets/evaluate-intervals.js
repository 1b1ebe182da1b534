// Scores of several evaluations: a panel for each metric, a bar for each evaluation, across it the interval that holds 95 % of
// the resampled scores. A bar is filled where it differs from the first one by more than chance.
window.figures.add('intervals', (figures) => {
  const {svg, numbers, shorten, textWidth, format, clamp} = figures;
  const HIGH = 24, HEAD = 30, GAP = 36;

  return {
    draw(view) {
      const {data} = view, rows = data.rows, panels = data.panels;
      if (!rows.length || !panels.length) { view.note('There is nothing to draw.'); return; }
      const zero = view.toggle('zero', 'Axes from 0', true);
      const left = clamp(Math.max(...rows.map((row) => textWidth(shorten(row, 30), 11.5))) + 12, 60, view.width * 0.45);
      const across = Math.max(1, Math.min(panels.length, Math.floor((view.width + GAP) / (left + 200 + GAP))));
      const wide = (view.width - (across - 1) * GAP) / across, high = HEAD + rows.length * HIGH + 14;
      const root = view.svg(view.width, Math.ceil(panels.length / across) * high, `${data.title}: ${panels.length} metrics of ${rows.length} evaluations`);
      panels.forEach((panel, place) => {
        const x0 = (place % across) * (wide + GAP), y0 = Math.floor(place / across) * high;
        const [values, half, p] = ['values', 'half', 'p'].map((name) => numbers(panel[name]).values);
        const ends = Array.from(values).flatMap((v, i) => v !== v ? [] : half[i] === half[i] ? [v - half[i], v + half[i]] : [v]);
        let low = Math.min(...ends), top = Math.max(...ends);
        if (!ends.length) { low = 0; top = 1; }
        if (zero) { low = Math.min(0, low); top = Math.max(0, top); } else { const room = (top - low) * 0.15 || Math.abs(top) * 0.05 || 1; low -= room; }
        const room = wide - left - 58, x = (v) => x0 + left + (v - low) / (top - low || 1) * room, start = x(clamp(0, low, top));
        root.append(svg('text', {x: x0, y: y0 + 14, 'font-size': 12.5, 'font-weight': 650}, `${panel.title}${panel.lower ? ' ↓' : ''}`),
          svg('path', {d: `M${start} ${y0 + HEAD - 4}v${rows.length * HIGH}`, style: 'stroke: var(--line-strong)'}));
        rows.forEach((row, i) => {
          const v = values[i], known = v === v, y = y0 + HEAD + i * HIGH, sure = p[i] === p[i] && p[i] < data.sure, said = format(v, panel.digits);
          const words = [`${row}: ${panel.title}`, known ? said : 'not measured', ...(half[i] === half[i] ? [`95 %: ± ${format(half[i], panel.digits)}`] : []),
            ...(p[i] === p[i] ? [`p = ${format(p[i], 4)}${sure ? ', different from the first one' : ''}`] : i ? [] : ['the baseline'])];
          root.append(svg('g', {tabindex: 0, role: 'img', 'aria-label': words.join(', '), 'data-focus': `${place}-${i}`, onpointermove: (event) => view.tip(event, words), onpointerleave: () => view.tip(null), onfocus: (event) => view.tip(event, words), onblur: () => view.tip(null)},
            svg('rect', {'data-hint': '', x: x0, y: y - 3, width: wide, height: HIGH, fill: 'transparent'}),
            svg('text', {x: x0 + left - 8, y: y + 8, 'text-anchor': 'end', 'dominant-baseline': 'central', 'font-size': 11.5}, shorten(row, Math.max(6, Math.floor((left - 12) / 6.3)))),
            known ? svg('rect', {x: Math.min(start, x(v)), y: y + 1, width: Math.max(0.8, Math.abs(x(v) - start)), height: 14, rx: 1.5, style: 'fill: var(--accent); stroke: var(--accent)', 'fill-opacity': i && !sure && p[i] === p[i] ? 0.28 : 0.8}) : null,
            known && half[i] === half[i] ? svg('path', {d: `M${x(v - half[i])} ${y + 8}H${x(v + half[i])}M${x(v - half[i])} ${y + 4}v8M${x(v + half[i])} ${y + 4}v8`, fill: 'none', style: 'stroke: var(--ink)', 'stroke-width': 1.4}) : null,
            svg('text', {class: 'quiet', x: known ? Math.max(start, x(v + (half[i] || 0))) + 5 : start + 5, y: y + 8, 'dominant-baseline': 'central', 'font-size': 10.5}, known ? `${said}${sure ? ' *' : ''}` : '–')));
        });
      });
      view.note(data.note || '');
    },
    table(data) {
      const columns = data.panels.flatMap(({title}) => [title, `${title}: 95 %, half`, `${title}: p`]);
      return {columns: ['evaluation', ...columns],
        rows: data.rows.map((row, i) => [row, ...data.panels.flatMap((panel) => ['values', 'half', 'p'].map((name) => numbers(panel[name]).values[i]))])};
    },
  };
});
