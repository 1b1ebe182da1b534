// Signed horizontal bars: one a row, or one for each of several series. Rows can be put together in groups, whose values are sums.
window.figures.add('bars', (figures) => {
  const {svg, numbers, diverging, shorten, textWidth, format} = figures;
  const MOST = 40;  // rows that are drawn; of more, the smallest (of two series those that change least) are put together

  function listed(data, state) {  // [{label, values, row}]: rows or groups, in the order that was chosen
    const {values} = numbers(data.values), wide = data.series.length, group = data.groups[Number(state.by)];
    let list = data.rows.map((label, row) => ({label, row, values: Array.from(values.subarray(row * wide, (row + 1) * wide))}));
    if (group && state.by !== 'row') {
      const sums = new Map();
      for (const one of list) {
        const name = group.of[one.row];
        if (!sums.has(name)) sums.set(name, {label: name, row: null, values: new Array(wide).fill(0)});
        one.values.forEach((v, i) => { sums.get(name).values[i] += v; });
      }
      list = [...sums.values()];
    }
    const size = ({values: all}) => wide === 2 ? Math.abs(all[1] - all[0]) || 0 : Math.max(...all.map((v) => v === v ? Math.abs(v) : 0));
    if (list.length > MOST) {
      const kept = new Set([...list].sort((a, b) => size(b) - size(a)).slice(0, MOST)), others = list.filter((one) => !kept.has(one));
      list = list.filter((one) => kept.has(one));
      list.push({label: `${others.length} others${data.total ? ', their sum' : ', their mean'}`, row: null, others: true,
        values: data.series.map((_, i) => others.reduce((sum, one) => sum + (one.values[i] || 0), 0) / (data.total ? 1 : others.length))});
    }
    if (state.order === 'size') list.sort((a, b) => (a.others ? 1 : 0) - (b.others ? 1 : 0) || size(b) - size(a));
    return list;
  }

  return {
    draw(view) {
      const {data, state} = view, wide = data.series.length, digits = data.digits ?? 3;
      if (!data.rows.length) { view.note(data.note || 'There is nothing to draw.'); return; }
      if (data.groups.length) view.choice('by', 'Bars', [['row', data.row_axis || 'each'], ...data.groups.map(({title}, i) => [String(i), title])], 'row');
      view.choice('order', 'Order', [['given', data.order || 'as given'], ['size', wide === 2 ? 'by change' : 'by size']], data.sorted ? 'size' : 'given');
      const list = listed(data, state), {values} = numbers(data.values);
      if (data.total) list.push({label: data.total, row: null, sum: true, values: data.series.map((_, i) => { let sum = 0; for (let row = 0; row < data.rows.length; row++) sum += values[row * wide + i] || 0; return sum; })});
      const longest = Math.max(8, Math.floor(view.width * 0.36 / 7)), bar = wide > 1 ? 10 : 14, high = wide * bar + 7, key = wide > 1 ? 24 : 0;
      const left = Math.min(view.width * 0.38, Math.max(40, ...list.map(({label, sum}) => textWidth(shorten(label, longest), sum ? 13.8 : 12.4)))) + 12;
      const all = list.flatMap((one) => one.values.filter((v) => v === v)), low = Math.min(0, ...all), top = Math.max(0, data.most || 0, ...all) || (low ? 0 : 1);
      const space = textWidth(format(Math.max(top, -low), digits), 11) + 16, room = Math.max(80, Math.min(view.width - left - 2 * space, 760));
      const x = (v) => left + (low < 0 ? space : 4) + (v - low) / (top - low) * room, height = key + list.length * high + 8;
      const root = view.svg(left + room + 2 * space, height, `${data.title}: ${list.length} bars`);
      const ink = (v, i, sum) => sum ? 'var(--ink)' : wide > 1 ? ['var(--line-strong)', 'var(--accent)', 'var(--token-6)'][i] : diverging(v < 0 ? -0.85 : 0.85);
      if (wide > 1) {  // the key: above the bars or, where it would be cut off there, from the left edge on
        const widths = data.series.map((name) => textWidth(name, 11.5) + 32), needed = widths.reduce((sum, one) => sum + one, 0);
        let at = needed > room + 2 * space ? 0 : left;
        data.series.forEach((name, i) => {
          root.append(svg('rect', {x: at, y: 5, width: 10, height: 10, rx: 2, style: `fill: ${ink(1, i)}`}), svg('text', {class: 'quiet', x: at + 15, y: 14, 'font-size': 11.5}, name));
          at += widths[i];
        });
      }
      root.append(svg('line', {x1: x(0), x2: x(0), y1: key, y2: height - 4, style: 'stroke: var(--line-strong)'}));
      list.forEach((one, place) => {
        const y = key + place * high + 3, sent = one.row !== null ? data.sends?.[one.row] ?? null : null, choose = () => view.send({row: sent}), clicks = sent !== null && !view.standalone;
        const told = [one.label, ...one.values.map((v, i) => `${wide > 1 ? `${data.series[i]}: ` : ''}${format(v, digits + 1)}${data.unit ? ` ${data.unit}` : ''}`), ...(wide === 2 ? [`change: ${format(one.values[1] - one.values[0], digits + 1)}`] : [])];
        root.append(svg('g', {tabindex: 0, role: clicks ? 'button' : 'img', class: clicks ? 'bar-row choosable' : 'bar-row', 'data-focus': `${one.label}-${place}`, 'aria-label': told.join(', '),
          onclick: clicks ? choose : null, onkeydown: clicks ? (event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); choose(); } } : null,
          onpointermove: (event) => view.tip(event, told), onpointerleave: () => view.tip(null), onfocus: (event) => view.tip(event, told), onblur: () => view.tip(null)},
        svg('rect', {'data-hint': '', x: 0, y: y - 2, width: left + room + 2 * space, height: high, style: one.row !== null && one.row === data.chosen ? 'fill: var(--accent-soft)' : 'fill: transparent'}),
        svg('text', {x: left - 8, y: y + wide * bar / 2 + 0.5, 'text-anchor': 'end', 'dominant-baseline': 'central', 'font-size': 12, 'font-weight': one.sum ? 650 : 400}, shorten(one.label, longest)),
        one.values.flatMap((v, i) => v !== v ? [] : [
          svg('rect', {x: Math.min(x(0), x(v)), y: y + i * bar + 0.5, width: Math.max(0.6, Math.abs(x(v) - x(0))), height: bar - 1, rx: 1.5, style: `fill: ${ink(v, i, one.sum)}`}),
          svg('text', {class: 'quiet', x: v < 0 ? x(v) - 4 : x(v) + 4, y: y + (i + 0.5) * bar + 0.5, 'text-anchor': v < 0 ? 'end' : 'start', 'dominant-baseline': 'central', 'font-size': wide > 1 ? 9.5 : 11}, format(v, digits))])));
      });
      view.note(data.note || '');
    },
    table(data, state) {
      const group = data.groups[Number(state.by)], {values} = numbers(data.values), wide = data.series.length;
      if (group && state.by !== 'row') return {columns: [group.title, ...data.series], rows: listed(data, {...state, order: 'given'}).map((one) => [one.label, ...one.values])};
      return {columns: [data.row_axis || 'row', ...data.groups.map(({title}) => title), ...data.series],
        rows: data.rows.map((label, row) => [label, ...data.groups.map(({of}) => of[row]), ...Array.from(values.subarray(row * wide, (row + 1) * wide))])};
    },
  };
});
