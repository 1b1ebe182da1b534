// The next token by hand: what has been written, the most probable tokens before and after the processors as bars, and the
// whole distribution over ranks. A bar that is chosen is taken; a written token that is chosen takes the text back to before it.
window.figures.add('next', (figures) => {
  const {svg, html, numbers, shorten, textWidth, format, clamp} = figures;
  const HIGH = 24, BAR = 9, KEY = 26;
  const percent = (p) => { const s = 100 * p; return s >= 99.995 ? '100 %' : s >= 1 ? `${s.toFixed(1)} %` : s === 0 ? '0 %' : s >= 1e-4 ? `${Number(s.toPrecision(2))} %` : `${s.toExponential(0)} %`; };

  function written(view) {  // the text so far, as buttons that lead back
    const {data} = view;
    const box = html('div', {class: 'next-text', lang: '', dir: 'auto'}, data.cut ? '… ' : '', html('span', {class: 'next-prompt'}, data.prompt), data.translates ? html('span', {class: 'next-prompt'}, ' → ') : '');
    data.text.forEach((token, i) => {
      const told = [`${JSON.stringify(token.words)}: probability ${percent(Math.exp(token.logprob))}`, `log-probability ${format(token.logprob, 3)}, rank ${token.rank}`];
      if (!view.standalone) told.push('Choose it to go back to before it');
      const back = () => view.send({to: token.from});
      box.append(html('span', {class: 'next-token', style: `--doubt: ${clamp(-token.logprob / Math.log(100), 0, 1).toFixed(3)}`, tabindex: 0, role: 'button', 'data-focus': `written-${i}`, 'aria-label': told.join(', '),
        onclick: back, onkeydown: (event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); back(); } },
        onpointermove: (event) => view.tip(event, told), onpointerleave: () => view.tip(null), onfocus: (event) => view.tip(event, told), onblur: () => view.tip(null)},
      token.words.replace(/\n/g, '⏎\n')));
    });
    if (data.rows.length) box.append(html('span', {class: 'next-caret', 'aria-hidden': 'true'}));
    const told = data.at ? `${data.at} token${data.at === 1 ? '' : 's'} written, log-probability ${format(data.logprob, 3)}` : 'Nothing written yet: choose a token.';
    view.stage.append(box, html('p', {class: 'figure-note'}, told));
  }

  return {
    draw(view) {
      const {data, state} = view;
      written(view);
      if (!data.rows.length) return;
      const order = view.choice('order', 'Order', [['model', 'by the model'], ['final', 'by what is left']], 'model');
      const many = view.slider('many', 'Tokens', 5, 40, 1, 15), log = view.toggle('log', 'Logarithmic curve', true);
      const sorted = [...data.rows].sort((a, b) => (state.order === 'final' ? b.final - a.final : 0) || a.rank - b.rank), picked = new Set([data.choice, ...data.found]);
      const list = [...sorted.slice(0, many), ...sorted.slice(many).filter((row) => picked.has(row.id))];
      const beside = view.width >= 820, wide = beside ? Math.round(view.width * 0.58) : view.width;
      // ---- bars
      const longest = view.width < 500 ? 12 : 20, left = Math.max(60, ...list.map((row) => textWidth(shorten(row.text, longest), 13))) + 26, right = view.width < 500 ? 114 : 140;
      const room = Math.max(60, wide - left - right), most = Math.max(...list.map((row) => Math.max(row.probability, row.final)), 1e-12), x = (p) => Math.max(p > 0 ? 0.8 : 0, p / most * room);
      const barsHigh = KEY + list.length * HIGH + 6, curveHigh = 300, height = beside ? Math.max(barsHigh, curveHigh + 20) : barsHigh + curveHigh + 20;
      const root = view.svg(view.width, height, `${data.title}: the ${list.length} most probable of all tokens, and all of them by rank`);
      [['the model', 'var(--line-strong)'], ['after the processors', 'var(--accent)']].forEach(([name, colour], i) => root.append(
        svg('rect', {x: left + i * 92, y: 6, width: 10, height: 10, rx: 2, style: `fill: ${colour}`}), svg('text', {class: 'quiet', x: left + i * 92 + 15, y: 15, 'font-size': 11.5}, name)));
      list.forEach((row, place) => {
        const y = KEY + place * HIGH, gone = row.removed_by, chosen = row.id === data.choice, take = () => view.send({token: row.id, at: data.at});
        const walk = data.processors.map((name, i) => `${name} ${row.after[i] === null ? 'removed' : format(row.after[i], 3)}`);
        const told = [`${row.text} · id ${row.id} · rank ${row.rank}`, `probability ${percent(row.probability)} → ${gone ? `removed by ${gone}` : percent(row.final)}`, `logit ${format(row.logit, 3)}${walk.length ? ` → ${walk.join(' → ')}` : ''}`, ...(chosen ? ['A step takes this one'] : [])];
        root.append(svg('g', {class: view.standalone ? null : 'next-bar', tabindex: 0, role: 'button', 'data-focus': `token-${place}`, 'aria-label': told.join(', '), onclick: take,
          onkeydown: (event) => {
            if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); take(); }
            const move = {ArrowDown: 1, ArrowUp: -1}[event.key];
            if (move) { event.preventDefault(); view.stage.querySelector(`[data-focus="token-${clamp(place + move, 0, list.length - 1)}"]`).focus(); }
          },
          onpointermove: (event) => view.tip(event, told), onpointerleave: () => view.tip(null), onfocus: (event) => view.tip(event, told), onblur: () => view.tip(null)},
        svg('rect', {'data-hint': '', class: 'next-hit', x: 0, y, width: wide, height: HIGH, rx: 3, style: chosen ? 'fill: var(--accent-soft)' : 'fill: transparent'}),
        chosen ? svg('text', {x: 3, y: y + HIGH / 2, 'dominant-baseline': 'central', 'font-size': 11, style: 'fill: var(--accent-ink)'}, '▸') : null,
        svg('text', {class: gone ? 'quiet' : null, x: left - 8, y: y + HIGH / 2, 'text-anchor': 'end', 'dominant-baseline': 'central', 'font-size': 13, 'font-weight': chosen ? 650 : 400}, shorten(row.text, longest)),
        svg('rect', {x: left, y: y + 3, width: x(row.probability), height: BAR - 1, rx: 1.5, style: 'fill: var(--line-strong)'}),
        svg('rect', {x: left, y: y + 3 + BAR, width: x(row.final), height: BAR - 1, rx: 1.5, style: 'fill: var(--accent)'}),
        svg('text', {class: gone ? 'quiet' : null, x: left + Math.max(x(row.probability), x(row.final)) + 6, y: y + HIGH / 2, 'dominant-baseline': 'central', 'font-size': 11},
          gone ? (view.width < 500 ? `– ${gone}` : `${percent(row.probability)} · ${gone}`) : row.final === row.probability ? percent(row.final) : `${percent(row.probability)} → ${percent(row.final)}`)));
      });
      // ---- the whole distribution over ranks
      const ranks = numbers(data.curve.ranks).values, sizes = numbers(data.curve.sizes).values, model = numbers(data.curve.model).values, final = numbers(data.curve.final).values, kept = numbers(data.curve.left).values;
      const x0 = (beside ? wide + 58 : 46), y0 = beside ? 26 : barsHigh + 24, w = view.width - x0 - 10, h = curveHigh - 70, last = ranks[ranks.length - 1] + sizes[sizes.length - 1];
      const positive = [...model, ...final].filter((v) => v > 0), high = log ? 1 : Math.max(...positive), low = log ? Math.max(1e-12, Math.min(...positive)) : 0;
      const cx = (rank) => x0 + w * Math.log(rank) / Math.log(Math.max(2, last)), cy = (v) => y0 + h * (1 - clamp(log ? (Math.log(Math.max(v, low)) - Math.log(low)) / (Math.log(high) - Math.log(low) || 1) : v / (high || 1), 0, 1));
      root.append(svg('text', {class: 'quiet', x: x0, y: y0 - 10, 'font-size': 11.5}, 'all tokens by the model’s rank; shaded: what is left'));
      for (let i = 0; i < ranks.length; i++) if (kept[i] > 0) root.append(svg('rect', {x: cx(ranks[i]), y: y0, width: Math.max(0.6, cx(ranks[i] + sizes[i]) - cx(ranks[i]) + 0.3), height: h, style: 'fill: var(--accent-soft)', 'fill-opacity': kept[i]}));
      const marks = log ? Array.from({length: 13}, (_, i) => 10 ** -i).filter((v, i) => v >= low && (i % 2 === 0 || low > 1e-6)) : [0, 0.25, 0.5, 0.75, 1].map((v) => v * high);
      for (const v of marks) root.append(svg('path', {d: `M${x0} ${cy(v)}h${w}`, style: 'stroke: var(--line)', 'stroke-width': 0.7}), svg('text', {class: 'quiet', x: x0 - 5, y: cy(v), 'text-anchor': 'end', 'dominant-baseline': 'central', 'font-size': 10.5}, percent(v).replace(' %', '%')));
      for (let v = 1; v <= last; v *= 10) root.append(svg('text', {class: 'quiet', x: cx(v), y: y0 + h + 15, 'text-anchor': cx(v) > x0 + w - 16 ? 'end' : 'middle', 'font-size': 10.5}, v.toLocaleString('en')));
      const path = (values, all) => { let d = '', gap = true; values.forEach((v, i) => { if (!all && !(v > 0)) { gap = true; return; } d += `${gap ? 'M' : 'L'}${cx(ranks[i]).toFixed(1)} ${cy(v).toFixed(1)}H${cx(ranks[i] + sizes[i]).toFixed(1)}`; gap = false; }); return d; };
      root.append(svg('path', {d: path(model, true), fill: 'none', style: 'stroke: var(--muted)', 'stroke-width': 1.6}), svg('path', {d: path(final, false), fill: 'none', style: 'stroke: var(--accent)', 'stroke-width': 2}),
        svg('rect', {x: x0, y: y0, width: w, height: h, fill: 'none', style: 'stroke: var(--line)'}));
      const here = svg('path', {'data-hint': '', style: 'stroke: var(--ink)', 'stroke-width': 1, visibility: 'hidden', 'pointer-events': 'none'});
      const board = svg('rect', {'data-hint': '', 'data-focus': 'curve', x: x0, y: y0, width: w, height: h, fill: 'transparent', tabindex: 0, role: 'img', 'aria-label': 'The whole distribution over ranks. Arrow keys walk along it.'});
      let spot = -1;
      function point(i, event) {
        spot = i;
        here.setAttribute('d', `M${cx(ranks[i])} ${y0}v${h}`); here.setAttribute('visibility', 'visible');
        const many = sizes[i] > 1, place = many ? `ranks ${ranks[i]}–${ranks[i] + sizes[i] - 1}` : `rank ${ranks[i]}`, mean = many ? 'on average ' : '';
        view.tip(event, [place, `${mean}${percent(model[i])} by the model`, kept[i] ? `${mean}${percent(final[i])} after the processors` : 'removed', ...(many ? [`${Math.round(kept[i] * sizes[i])} of ${sizes[i]} tokens left`] : [])]);
      }
      const leave = () => { view.tip(null); here.setAttribute('visibility', 'hidden'); };
      board.addEventListener('pointermove', (event) => {
        const box = root.getBoundingClientRect(), at = (event.clientX - box.left) * view.width / box.width;
        let best = 0; for (let i = 1; i < ranks.length; i++) if (cx(ranks[i]) <= at) best = i;
        point(best, event);
      });
      board.addEventListener('pointerleave', leave); board.addEventListener('blur', leave);
      board.addEventListener('keydown', (event) => {
        const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
        if (step) { event.preventDefault(); point(clamp(spot + step, 0, ranks.length - 1), event); }
      });
      root.append(board, here);
      view.note(view.standalone ? '' : 'Choose a token to take it, or one that is written to go back to before it.');
    },
    table(data) {
      return {columns: ['token', 'id', 'rank', 'model’s probability', 'logit', ...data.processors.map((name) => `after ${name}`), 'probability', 'removed by'],
        rows: [...data.rows].sort((a, b) => a.rank - b.rank).map((row) => [row.text, row.id, row.rank, row.probability, row.logit, ...row.after, row.final, row.removed_by])};
    },
  };
});
