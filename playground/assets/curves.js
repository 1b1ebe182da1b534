// Numbers over x as lines, on one axis or two; faint lines are a crowd that the named ones stand out from. Where the figure has
// frames, the one that is shown is marked, and pointing at the drawing and choosing goes to the nearest.
window.figures.add('curves', (figures) => {
  const {svg, numbers, series, format, shorten, textWidth, clamp} = figures;
  const HIGH = 250, TOP = 12;

  const xs = (line) => numbers(line.x).values, ys = (line) => numbers(line.y).values;
  function range(lines, get, given) {  // [least, most] of the finite values
    if (given) return given;
    let low = Infinity, high = -Infinity;
    for (const line of lines) for (const v of get(line)) if (Number.isFinite(v)) { if (v < low) low = v; if (v > high) high = v; }
    if (low > high) return [0, 1];
    return low === high ? [low - 0.5, high + 0.5] : [low, high];
  }
  function ticks(low, high, most = 5) {
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].find((n) => n * power >= rough) * power;
    return Array.from({length: Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1}, (_, i) => (Math.ceil(low / step - 1e-9) + i) * step);
  }
  const decades = (low, high) => Array.from({length: 16}, (_, i) => [1, 3].map((n) => n * 10 ** i)).flat().filter((n) => n >= low && n <= high);
  const short = (n) => Math.abs(n) >= 1000 ? n.toLocaleString('en') : String(Number(n.toPrecision(6)));
  function nearest(list, x) { let best = 0; for (let i = 1; i < list.length; i++) if (Math.abs(list[i] - x) < Math.abs(list[best] - x)) best = i; return best; }

  return {
    draw(view) {
      const {data, state} = view, named = data.lines.filter((line) => !line.faint), onRight = data.lines.filter((line) => line.right), onLeft = data.lines.filter((line) => !line.right);
      const [lowX, highX] = range(data.lines, xs), canLog = lowX > 0 && highX / lowX > 20;
      if (canLog) view.toggle('log', `Logarithmic ${data.x_axis}`, Boolean(data.log));
      const bend = canLog && state.log ? Math.log : (v) => v;
      const left = onLeft.length ? 54 : 14, right = onRight.length ? 54 : 14, wide = Math.max(160, view.width - left - right);
      const spots = []; let legendX = left, legendY = 10;  // ---- the legend: as many lines as it takes
      named.forEach((line, i) => {
        const space = 26 + textWidth(line.name, 12) + 16;
        if (legendX + space > left + wide && legendX > left) { legendX = left; legendY += 18; }
        spots.push([line, i, legendX, legendY]); legendX += space;
      });
      const above = (named.length ? legendY + 16 : 0) + TOP, width = left + wide + right, height = above + HIGH + 40;
      const root = view.svg(width, height, `${data.title}: ${data.lines.length} lines over ${data.x_axis}`);
      for (const [line, i, x, y] of spots) {
        root.append(svg('path', {d: `M${x} ${y}h18`, fill: 'none', style: `stroke: ${series(i)}`, 'stroke-width': 2.2, 'stroke-dasharray': line.dashed ? '5 4' : null}),
          svg('text', {x: x + 24, y, 'dominant-baseline': 'central', 'font-size': 12}, shorten(line.name, Math.max(8, Math.floor((width - x - 26) / 6.2)))));
      }
      const atX = (v) => left + wide * (bend(v) - bend(lowX)) / (bend(highX) - bend(lowX));
      const sides = [[onLeft, data.left_range, data.left_axis, left - 8, 'end', 14], [onRight, data.right_range, data.right_axis, left + wide + 8, 'start', width - 4]].map(([lines, given, axis, x, anchor, middle]) => {
        const [low, high] = range(lines, ys, given), at = (v) => above + HIGH * (1 - (v - low) / (high - low));
        if (lines.length) {
          for (const v of ticks(low, high)) {
            if (lines === onLeft || !onLeft.length) root.append(svg('path', {d: `M${left} ${at(v)}h${wide}`, style: 'stroke: var(--line)', 'stroke-width': 0.7}));
            root.append(svg('text', {class: 'quiet', x, y: at(v), 'text-anchor': anchor, 'dominant-baseline': 'central', 'font-size': 11}, short(v)));
          }
          root.append(svg('text', {class: 'quiet', transform: `translate(${middle} ${above + HIGH / 2}) rotate(-90)`, 'text-anchor': 'middle', 'font-size': 11.5}, axis || ''));
        }
        return {at};
      });
      let last = -100;
      for (const v of canLog && state.log ? decades(lowX, highX) : ticks(lowX, highX, Math.max(3, wide / 90))) {
        if (atX(v) - last < 44) continue;
        root.append(svg('text', {class: 'quiet', x: last = atX(v), y: above + HIGH + 16, 'text-anchor': 'middle', 'font-size': 11}, short(v)));
      }
      root.append(svg('text', {class: 'quiet', x: left + wide / 2, y: above + HIGH + 34, 'text-anchor': 'middle', 'font-size': 11.5}, data.x_axis),
        svg('rect', {x: left, y: above, width: wide, height: HIGH, fill: 'none', style: 'stroke: var(--line)'}));
      const path = (line) => {
        const {at} = sides[line.right ? 1 : 0], x = xs(line), y = ys(line); let d = '', gap = true;
        for (let i = 0; i < x.length; i++) {
          if (!Number.isFinite(y[i])) { gap = true; continue; }
          d += `${gap ? 'M' : 'L'}${atX(x[i]).toFixed(1)} ${clamp(at(y[i]), above - 2, above + HIGH + 2).toFixed(1)}`; gap = false;
        }
        return d;
      };
      for (const line of data.lines.filter((line) => line.faint)) root.append(svg('path', {d: path(line), fill: 'none', style: 'stroke: var(--muted)', 'stroke-width': 1, 'stroke-opacity': 0.35}));
      named.forEach((line, i) => {
        root.append(svg('path', {d: path(line), fill: 'none', style: `stroke: ${series(i)}`, 'stroke-width': 2, 'stroke-linejoin': 'round', 'stroke-dasharray': line.dashed ? '5 4' : null}));
        if (line.dots) xs(line).forEach((x, k) => { const y = ys(line)[k]; if (Number.isFinite(y)) root.append(svg('circle', {cx: atX(x), cy: sides[line.right ? 1 : 0].at(y), r: 3, style: `fill: ${series(i)}`})); });
      });
      const stops = data.frames ? data.frames.at : null;
      if (stops) root.append(svg('path', {d: `M${atX(stops[state.frame])} ${above}v${HIGH}`, style: 'stroke: var(--ink)', 'stroke-width': 1.5, 'stroke-dasharray': '2 3'}));
      // ---- pointing, walking, choosing a frame
      const here = svg('path', {'data-hint': '', style: 'stroke: var(--muted)', 'stroke-width': 1, visibility: 'hidden', 'pointer-events': 'none'});
      const board = svg('rect', {'data-hint': '', 'data-focus': 'board', x: left, y: above, width: wide, height: HIGH, fill: 'transparent', tabindex: 0, role: 'img',
        'aria-label': `${data.title}. Arrow keys walk ${stops ? 'through the frames' : 'along the lines'}.`});
      const places = stops || Array.from(new Set(data.lines.flatMap((line) => Array.from(xs(line))))).sort((a, b) => a - b);
      let spot = null;
      function point(k, event) {
        spot = k;
        const x = places[k];
        here.setAttribute('d', `M${atX(x)} ${above}v${HIGH}`); here.setAttribute('visibility', 'visible');
        const told = named.map((line) => { const i = nearest(xs(line), x); return xs(line).length ? `${line.name} ${format(ys(line)[i], 4)}${xs(line)[i] === x ? '' : ` (at ${short(xs(line)[i])})`}` : null; }).filter(Boolean);
        view.tip(event, [`${data.x_axis} ${short(x)}`, ...told]);
      }
      const placed = (event) => {
        const box = root.getBoundingClientRect(), x = ((event.clientX - box.left) * width / box.width);
        let best = 0; for (let k = 1; k < places.length; k++) if (Math.abs(atX(places[k]) - x) < Math.abs(atX(places[best]) - x)) best = k;
        return best;
      };
      const leave = () => { view.tip(null); here.setAttribute('visibility', 'hidden'); };
      board.addEventListener('pointermove', (event) => { if (places.length) point(placed(event), event); });
      board.addEventListener('pointerleave', leave);
      board.addEventListener('blur', leave);
      if (stops) {
        board.style.cursor = 'pointer';
        board.addEventListener('click', (event) => view.go(placed(event)));
      }
      board.addEventListener('keydown', (event) => {
        const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
        if (!step || !places.length) return;
        event.preventDefault();
        if (stops) view.go(state.frame + step); else point(clamp((spot ?? -step) + step, 0, places.length - 1), event);
      });
      root.append(here, board);
      view.note(data.note || '');
    },
    table(data) {  // a row for every x
      const rows = new Map();
      data.lines.forEach((line, n) => xs(line).forEach((x, i) => {
        if (!rows.has(x)) rows.set(x, [x, ...data.lines.map(() => null)]);
        rows.get(x)[n + 1] = ys(line)[i];
      }));
      return {columns: [data.x_axis, ...data.lines.map((line) => line.name)], rows: [...rows.values()].sort((a, b) => a[0] - b[0])};
    },
  };
});
