// A map of tokens by their vectors, in two dimensions (dragging moves it) or in three (dragging turns it). Typing highlights; pointing
// at a token names it; choosing one tells the page, which shows what is nearest to it.
window.figures.add('map', (figures) => {
  const {svg, numbers, series, colour, shorten, textWidth, format, clamp} = figures;
  const EDGE = 26, LABELS = 90;

  function seen(data, query) {  // the points whose name holds what is typed
    const wanted = (query || '').trim().toLowerCase();
    if (!wanted) return null;
    const exact = data.names.map((name, i) => name.toLowerCase() === wanted || name.toLowerCase() === `·${wanted}` ? i : -1).filter((i) => i >= 0);
    const parts = data.names.map((name, i) => name.toLowerCase().includes(wanted) && !exact.includes(i) ? i : -1).filter((i) => i >= 0);
    return [...exact, ...parts];
  }
  function frame(points, count, deep) {  // the middle of the points, and half of their extent
    const low = new Array(deep).fill(Infinity), high = new Array(deep).fill(-Infinity);
    for (let i = 0; i < count; i++) for (let d = 0; d < deep; d++) {
      const v = points[i * deep + d];
      if (Number.isFinite(v)) { low[d] = Math.min(low[d], v); high[d] = Math.max(high[d], v); }
    }
    const middle = low.map((l, d) => l <= high[d] ? (l + high[d]) / 2 : 0);
    return {middle, half: low.map((l, d) => l <= high[d] ? (high[d] - l) / 2 || 1 : 1)};
  }

  return {
    draw(view) {
      const {data, state} = view, {shape: [count, deep], values} = numbers(data.points), norms = numbers(data.norms).values, ranks = numbers(data.ranks).values;
      if (!count) { view.note('There is nothing to draw.'); return; }
      view.field('find', 'Search', 'part of a token');
      view.choice('paint', 'Colours', [['kind', 'kind of token'], ['norm', 'vector length'], ['rank', 'frequency'], ['text', 'tokens of the text']], 'kind');
      view.toggle('labels', 'Names', true);
      view.slider('zoom', 'Zoom', 1, 12, 0.25, 1);
      if (deep === 3) {
        view.slider('yaw', 'Turn', -180, 180, 1, 30);
        view.slider('pitch', 'Tilt', -90, 90, 1, 20);
      } else if (!state.shift) state.shift = [0, 0];
      const found = seen(data, state.find), hits = new Set(found || []), inText = new Set(data.in_text), near = new Set(data.near), {middle, half} = frame(values, count, deep);
      const width = Math.max(280, view.width), height = Math.round(clamp(width * 0.72, 320, 620));
      const root = view.svg(width, height, `${data.title}: ${count} tokens`);
      const clip = `clip-${Math.random().toString(36).slice(2)}`;
      const board = svg('rect', {'data-hint': '', 'data-focus': 'board', x: 0, y: 0, width, height, fill: 'transparent', tabindex: 0, role: 'application', style: 'cursor: grab; touch-action: none',
        'aria-label': `${data.title}. Arrow keys walk from token to token, Enter chooses one.`});
      root.append(svg('clipPath', {id: clip}, svg('rect', {x: 0, y: 0, width, height})), svg('rect', {x: 0.5, y: 0.5, width: width - 1, height: height - 1, fill: 'none', style: 'stroke: var(--line)'}), board);
      const layer = svg('g', {'clip-path': `url(#${clip})`}), axes = svg('g'), links = svg('g', {fill: 'none'}), dots = svg('g'), words = svg('g', {'pointer-events': 'none'});
      layer.append(axes, links, dots, words);
      root.append(layer);

      // ---- where each point is seen
      const at = new Float32Array(count * 3);  // x, y, and how near the eye (0 … 1)
      const longest = Math.max(...norms, 1e-9), least = Math.min(...norms);
      const rarest = Math.log1p(Math.max(...ranks)) || 1, common = (i) => 1 - Math.log1p(ranks[i]) / rarest;
      const ink = (i) => state.paint === 'rank' ? colour(0.15 + 0.85 * common(i)) : state.paint === 'norm' ? colour(0.15 + 0.85 * (norms[i] - least) / (longest - least || 1)) : state.paint === 'text' ? (inText.has(i) ? 'var(--accent)' : 'var(--line-strong)') : series(data.kinds[i]);
      const strong = (i) => i === data.chosen || near.has(i) || hits.has(i);
      const order = Array.from({length: count}, (_, i) => i);
      const circles = order.map((i) => svg('circle', {class: 'map-token', style: `fill: ${ink(i)}`}));
      dots.append(...circles);
      let spot = null;
      function place() {
        const scale3 = Math.min(width, height) / 2 - EDGE, radius = Math.hypot(...half), yaw = state.yaw * Math.PI / 180, pitch = state.pitch * Math.PI / 180;
        const flat = Math.min((width / 2 - EDGE * 1.6) / half[0], (height / 2 - EDGE) / half[1]), [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
        const put = (x, y, z) => {  // about the middle, in units of the radius
          const a = x * cy + z * sy, b = z * cy - x * sy, c = y * cp - b * sp, d = b * cp + y * sp, eye = 2.6 / (2.6 - d);
          return [width / 2 + a * eye * scale3 * state.zoom * 1.15, height / 2 - c * eye * scale3 * state.zoom * 1.15, clamp((d + 1) / 2, 0, 1)];
        };
        for (let i = 0; i < count; i++) {
          const v = (d) => values[i * deep + d] - middle[d];
          const seenAt = deep === 3 ? put(v(0) / radius, v(1) / radius, v(2) / radius) : [width / 2 + (v(0) * flat + state.shift[0]) * state.zoom, height / 2 - (v(1) * flat + state.shift[1]) * state.zoom, 0.7];
          at.set(seenAt, i * 3);
          const size = (strong(i) ? 4.6 : inText.has(i) ? 3.8 : count > 800 ? 2.2 : 3) * (deep === 3 ? 0.6 + 0.6 * seenAt[2] : 1), dot = circles[i];
          dot.setAttribute('cx', seenAt[0].toFixed(1)); dot.setAttribute('cy', seenAt[1].toFixed(1)); dot.setAttribute('r', size.toFixed(2));
          dot.setAttribute('fill-opacity', (found && !hits.has(i) && i !== data.chosen ? 0.14 : strong(i) || inText.has(i) ? 1 : deep === 3 ? 0.25 + 0.6 * seenAt[2] : 0.75).toFixed(2));
          dot.setAttribute('stroke-width', i === data.chosen || i === spot ? 2 : inText.has(i) ? 1.2 : 0);
          dot.style.stroke = i === data.chosen || i === spot ? 'var(--ink)' : inText.has(i) ? 'var(--accent)' : 'none';
        }
        if (deep === 3) {
          const line = (d) => { const ends = [-1, 1].map((s) => put(...[0, 1, 2].map((k) => k === d ? s * half[k] / radius : 0)));
            return [svg('path', {d: `M${ends[0][0]} ${ends[0][1]}L${ends[1][0]} ${ends[1][1]}`, style: 'stroke: var(--line-strong)', 'stroke-width': 1}), svg('text', {class: 'quiet', x: ends[1][0] + 4, y: ends[1][1] - 4, 'font-size': 11}, data.axes[d])]; };
          axes.replaceChildren(...[0, 1, 2].flatMap(line));
        }
        links.replaceChildren(...(data.chosen < 0 ? [] : data.near.map((i) => svg('path', {d: `M${at[data.chosen * 3]} ${at[data.chosen * 3 + 1]}L${at[i * 3]} ${at[i * 3 + 1]}`, style: 'stroke: var(--accent)', 'stroke-width': 1.2, 'stroke-opacity': 0.55}))));
        name();
      }
      function name() {  // as many names as have room, the most important first
        const taken = [], rest = [], first = [data.chosen, spot, ...(found || []), ...data.near, ...data.in_text].filter((i) => i !== null && i >= 0), listed = new Set();
        const show = (i, must) => {
          if (listed.has(i) || listed.size > LABELS) return;
          const x = at[i * 3], y = at[i * 3 + 1], text = shorten(data.names[i], 20), bold = i === data.chosen || i === spot, wide = textWidth(text, 11.5) + (bold ? 10 : 4);
          if (x < 0 || x > width || y < 0 || y > height) return;
          const left = x + wide + 8 > width ? x - wide - 5 : x + 6, box = [left - 1, y - 8, left + wide + 1, y + 7];
          if (!must && taken.some((t) => t[0] < box[2] && box[0] < t[2] && t[1] < box[3] && box[1] < t[3])) return;
          taken.push(box); listed.add(i);
          rest.push(svg('text', {x: left, y, 'dominant-baseline': 'central', 'font-size': 11.5, 'font-weight': bold ? 700 : 400, 'fill-opacity': found && !hits.has(i) && i !== data.chosen ? 0.35 : deep === 3 ? 0.45 + 0.55 * at[i * 3 + 2] : 1,
            style: near.has(i) || inText.has(i) ? 'fill: var(--accent-ink)' : ''}, text));
        };
        first.forEach((i) => show(i, i === data.chosen || i === spot));
        if (state.labels && !found) order.forEach((i) => show(i, false));
        words.replaceChildren(...rest);
      }
      place();

      // ---- pointing, walking, turning
      const told = (i) => [data.names[i], `#${data.ids[i]} · ${data.kind_names[data.kinds[i]]}`, `length ${format(norms[i], 3)} · ${(ranks[i] + 1).toLocaleString('en-US')}. by frequency`, ...(inText.has(i) ? ['in the text'] : []), ...(i === data.chosen ? ['chosen'] : near.has(i) ? ['near the chosen one'] : [])];
      function nearest(x, y, reach) {
        let best = null, least = reach * reach;
        for (let i = 0; i < count; i++) { const far = (at[i * 3] - x) ** 2 + (at[i * 3 + 1] - y) ** 2; if (far < least) { least = far; best = i; } }
        return best;
      }
      const inside = (event) => { const box = root.getBoundingClientRect(); return [(event.clientX - box.left) * width / box.width, (event.clientY - box.top) * width / box.width]; };
      function point(i, event) {
        if (i !== spot) {
          const old = spot; spot = i;
          for (const k of [old, i]) if (k !== null) { circles[k].setAttribute('stroke-width', k === spot || k === data.chosen ? 2 : inText.has(k) ? 1.2 : 0); circles[k].style.stroke = k === spot || k === data.chosen ? 'var(--ink)' : inText.has(k) ? 'var(--accent)' : 'none'; }
          name();
        }
        if (i === null) { view.tip(null); return; }
        const box = root.getBoundingClientRect(), scale = box.width / width;
        view.tip(event.clientX ? event : {clientX: box.left + at[i * 3] * scale, clientY: box.top + at[i * 3 + 1] * scale, target: board}, told(i));
      }
      const choose = (i) => view.send({id: data.ids[i]});
      let held = null, waiting = false;
      layer.style.pointerEvents = 'none';
      board.addEventListener('pointerdown', (event) => { held = {x: event.clientX, y: event.clientY, far: 0}; board.setPointerCapture(event.pointerId); });
      board.addEventListener('pointermove', (event) => {
        if (!held) { point(nearest(...inside(event), 14), event); return; }
        const dx = event.clientX - held.x, dy = event.clientY - held.y;
        held.far += Math.abs(dx) + Math.abs(dy); held.x = event.clientX; held.y = event.clientY;
        if (held.far < 4) return;
        view.tip(null);
        if (deep === 3) { state.yaw = ((state.yaw + dx * 0.5 + 540) % 360) - 180; state.pitch = clamp(state.pitch + dy * 0.5, -90, 90); } else state.shift = [state.shift[0] + dx / state.zoom, state.shift[1] - dy / state.zoom];
        if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; place(); }); }
      });
      board.addEventListener('pointerup', (event) => {
        const moved = held && held.far >= 4;
        held = null;
        if (moved) { if (deep === 3) view.redraw(); return; }  // the sliders follow
        const i = nearest(...inside(event), 14);
        if (i !== null) choose(i);
      });
      board.addEventListener('pointercancel', () => { held = null; });
      board.addEventListener('pointerleave', () => { if (!held) point(null); });
      board.addEventListener('blur', () => point(null));
      board.addEventListener('keydown', (event) => {
        const step = {ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0]}[event.key];
        if ((event.key === 'Enter' || event.key === ' ') && spot !== null) { event.preventDefault(); choose(spot); }
        if (!step) return;
        event.preventDefault();
        const from = spot ?? (data.chosen >= 0 ? data.chosen : 0);
        if (spot === null) { point(from, event); return; }
        let best = null, least = Infinity;  // the nearest one in that direction
        for (let i = 0; i < count; i++) {
          const dx = at[i * 3] - at[from * 3], dy = at[i * 3 + 1] - at[from * 3 + 1], along = dx * step[0] + dy * step[1], aside = Math.abs(dx * step[1] - dy * step[0]);
          if (along > 0.5 && along >= aside && along + 2 * aside < least) { least = along + 2 * aside; best = i; }
        }
        if (best !== null) point(best, event);
      });

      // ---- the key: as many lines as it takes
      const kinds = state.paint === 'kind' ? data.kind_names.map((words, k) => [words, series(k), data.kinds.includes(k)]).filter((one) => one[2])
        : state.paint === 'text' ? [['in the text', 'var(--accent)'], ['not', 'var(--line-strong)']] : state.paint === 'rank' ? [['most frequent', colour(1)], ['less frequent', colour(0.3)]] : [[`length ${format(least, 2)}`, colour(0.15)], [format(longest, 2), colour(1)]];
      let x = 4, y = height + 13;
      for (const [label, fill] of kinds) {
        if (x > 4 && x + textWidth(label, 11.5) + 16 > width) { x = 4; y += 18; }
        root.append(svg('circle', {cx: x + 5, cy: y, r: 4.5, style: `fill: ${fill}`}), svg('text', {class: 'quiet', x: x + 14, y: y + 0.5, 'dominant-baseline': 'central', 'font-size': 11.5}, label));
        x += textWidth(label, 11.5) + 32;
      }
      root.setAttribute('height', y + 9);
      root.setAttribute('viewBox', `0 0 ${width} ${y + 9}`);
      const moves = deep === 3 ? 'Drag to turn.' : 'Drag to move.';
      view.note([found ? `${found.length.toLocaleString('en-US')} of ${count.toLocaleString('en-US')} tokens hold “${shorten(state.find.trim(), 30)}”.` : '', data.note, moves].filter(Boolean).join(' '));
    },
    table(data) {
      const {shape: [count, deep], values} = numbers(data.points), norms = numbers(data.norms).values, ranks = numbers(data.ranks).values, inText = new Set(data.in_text);
      return {columns: ['token', 'id', ...data.axes.slice(0, deep), 'length', 'rank', 'kind', 'in the text'],
        rows: Array.from({length: count}, (_, i) => [data.names[i], data.ids[i], ...Array.from(values.subarray(i * deep, (i + 1) * deep)), norms[i], ranks[i] + 1, data.kind_names[data.kinds[i]], inText.has(i) ? 'yes' : 'no'])};
    },
  };
});
