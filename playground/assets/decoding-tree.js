// A beam search as a tree, from left to right. What goes on straight is the best of what follows; the others hang below. What
// is hidden is unfolded by a click (Enter) on the token that it hangs on. Arrow keys walk; the winner is followed in blue.
window.figures.add('beamtree', (figures) => {
  const {svg, html, shorten, textWidth, format, clamp} = figures;
  const [KEPT, FINISHED, PRUNED] = [0, 1, 2];
  const minus = (text) => text.replace('-', '−');

  function family(data) {  // children of each node, the way to the winner first, then the best; ROOT's under -1
    const n = data.of.length, winner = new Set(data.winner), runner = new Set(data.runner_up), alive = new Uint8Array(n), children = new Map([[-1, []]]);
    for (let i = n - 1; i >= 0; i--) if (data.state[i] === FINISHED || alive[i]) { alive[i] = 1; if (data.parent[i] >= 0) alive[data.parent[i]] = 1; }
    for (let i = 0; i < n; i++) { if (!children.has(data.parent[i])) children.set(data.parent[i], []); children.get(data.parent[i]).push(i); }
    const weight = (i) => (winner.has(i) ? 8 : 0) + (runner.has(i) ? 4 : 0) + (alive[i] ? 2 : 0) + (data.state[i] === KEPT ? 1 : 0);
    for (const list of children.values()) list.sort((a, b) => weight(b) - weight(a) || data.score[b] - data.score[a]);
    return {children, winner, runner, alive};
  }
  const path = (data, i) => { const found = []; for (; i >= 0; i = data.parent[i]) found.push(i); return found.reverse(); };
  const said = (data, i) => path(data, i).map((k) => data.words[data.of[k]]).join('');

  return {
    draw(view) {
      const {data, state} = view, n = data.of.length;
      if (!n) { view.note('The search has not begun.'); return; }
      if (!data.frames) delete state.frame;  // it grows: when it is done, all of it is shown
      const until = data.frames ? state.frame : Infinity, last = Math.min(until, data.step[n - 1]);
      const what = view.choice('what', 'Show', [['ends', 'what was finished'], ['beams', 'all beams'], ['all', 'what was pruned too'], ['winner', 'the winner alone']], 'ends');
      const aligned = view.choice('place', 'Tokens', [['packed', 'one behind the other'], ['steps', 'step under step']], 'packed') === 'steps';
      const zoom = view.slider('zoom', 'Zoom', 0.5, 2, 0.1, 1), follow = view.toggle('follow', 'Follow the winner', false);
      const {children, winner, runner, alive} = family(data), folds = state.folds = state.folds || {};
      if (state.of !== data.ids.length + ':' + data.winner.join()) { state.of = data.ids.length + ':' + data.winner.join(); for (const key of Object.keys(folds)) delete folds[key]; }
      // ---- which nodes are shown: by the choice, and by what was folded and unfolded
      const base = (i) => data.step[i] > until ? false : what === 'all' ? true : what === 'beams' ? data.state[i] !== PRUNED : what === 'winner' ? winner.has(i) || (!winner.size && data.beam[i] === 0) : alive[i] || (data.state[i] === KEPT && data.step[i] === last);
      if (what === 'ends') for (let i = n - 1; i >= 0; i--) if (!alive[i] && data.state[i] === KEPT && data.step[i] === last) for (let k = data.parent[i]; k >= 0 && !alive[k]; k = data.parent[k]) alive[k] = 1;
      const below = (i) => (children.get(i) || []).filter((k) => data.step[k] <= until);
      const shown = (i) => folds[i] === false ? [] : folds[i] ? below(i) : below(i).filter(base);
      // ---- places: a row for every end; the first child goes on in its parent's row
      const size = 12.5 * zoom, row = Math.round(24 * zoom), cell = Math.round(64 * zoom), list = [], at = new Map();
      let rows = 0;
      const label = (i) => aligned ? shorten(data.words[data.of[i]], Math.max(2, Math.floor((cell - 8) / (size * 0.6)))) : shorten(data.words[data.of[i]], 24);
      const wide = (i) => aligned ? cell - 6 : Math.max(10, textWidth(label(i), size)) + 8 * zoom;
      const stack = shown(-1).map((i) => [i, 14]).reverse();
      let straight = false;
      while (stack.length) {  // depth first, the best child last on the stack
        const [i, x0] = stack.pop(), parent = at.get(data.parent[i]);
        const y = straight ? parent.row : rows++;
        const x = aligned ? 14 + data.step[i] * cell : x0, next = shown(i);
        at.set(i, {i, x, row: y, w: wide(i), hidden: below(i).length - next.length, next}); list.push(i);
        const gap = next.length > 1 ? 16 * zoom : 3;
        straight = next.length > 0;
        for (let k = next.length - 1; k >= 0; k--) stack.push([next[k], x + wide(i) + gap]);
      }
      const ends = list.filter((i) => !at.get(i).next.length), tail = (i) => data.state[i] === FINISHED ? minus(format(data.score[i], 3)) : '';
      const right = Math.max(view.width - 4, ...list.map((i) => at.get(i).x + at.get(i).w + 34), ...ends.map((i) => at.get(i).x + at.get(i).w + textWidth(tail(i), 11) + 30));
      const top = aligned ? 22 : 6, root = view.svg(Math.ceil(right), top + rows * row + 8, `${data.title}: ${list.length} of ${n} hypotheses shown`);
      const scroller = html('div', {class: 'tree-scroller'});
      view.stage.append(scroller); scroller.append(root);
      const mid = (r) => top + r * row + row / 2;
      if (aligned) for (let s = 0; s <= last; s++) root.append(svg('text', {class: 'quiet', x: 14 + s * cell + (cell - 6) / 2, y: 14, 'text-anchor': 'middle', 'font-size': 10.5}, s + 1));
      const dim = (i) => follow && winner.size && !winner.has(i) ? 0.28 : 1;
      const colour = (i) => winner.has(i) ? 'var(--accent)' : runner.has(i) ? 'var(--token-6)' : data.state[i] === PRUNED ? 'var(--line)' : 'var(--line-strong)';
      for (const i of [...list].reverse()) {  // lines first, the winner's on top
        const {x, row: r} = at.get(i), from = at.get(data.parent[i]), w = winner.has(i) || runner.has(i) ? 2 : 1.2;
        const x0 = from ? from.x + from.w : 4, y0 = from ? mid(from.row) : mid(0), turn = from ? x0 + 5 * zoom : 4;
        root.append(svg('path', {d: y0 === mid(r) ? `M${x0} ${y0}H${x}` : `M${from ? x0 : 4} ${y0}H${turn}V${mid(r) - 4}Q${turn} ${mid(r)} ${turn + 4} ${mid(r)}H${x}`, fill: 'none', style: `stroke: ${colour(i)}`, 'stroke-width': w, 'stroke-dasharray': data.state[i] === PRUNED ? '2 3' : null, opacity: dim(i)}));
      }
      const tell = (i) => {
        const of = data.state[i] === FINISHED ? `finished${data.reasons[i] ? `: ${data.reasons[i]}` : ', but not among the best'}` : data.state[i] === PRUNED ? 'pruned: others were better' : `kept as beam ${data.beam[i] + 1}`;
        const dead = data.state[i] === KEPT && data.step[i] < data.step[n - 1] && !below(i).some((k) => data.state[k] !== PRUNED) && data.step[i] < until ? ['all that followed it was pruned'] : [];
        return [`${data.words[data.of[i]]} · step ${data.step[i] + 1} · ${of}`, ...dead, `sum ${minus(format(data.cumulative[i], 4))} over ${data.step[i] + 1} token${data.step[i] ? 's' : ''}: score ${minus(format(data.score[i], 4))}`,
          `log-probability ${minus(format(data.logprob[i], 4))}, rank ${data.rank[i]}, id ${data.ids[i]}`, ...(at.get(i).hidden ? [`${at.get(i).hidden} more behind it: choose it to unfold`] : []), ...(winner.has(i) ? ['on the winner’s way'] : runner.has(i) ? ['on the runner-up’s way'] : []), said(data, i)];
      };
      const nodes = new Map(), grid = Array.from({length: rows}, () => []);
      for (const i of list) grid[at.get(i).row].push(i);
      if (!at.has(state.spot)) state.spot = list[0];
      const visit = (i) => { const old = nodes.get(state.spot); old?.setAttribute('tabindex', -1); state.spot = i; nodes.get(i).setAttribute('tabindex', 0); nodes.get(i).focus(); };
      function fold(i) {
        const {hidden, next} = at.get(i);
        if (!hidden && !next.length) return;
        if (hidden) folds[i] = true; else if (folds[i]) delete folds[i]; else folds[i] = false;
        if (folds[i] === undefined && shown(i).length === next.length) folds[i] = false;
        state.spot = i;
        view.redraw();
      }
      function walk(event, i) {
        const {row: r, next} = at.get(i), near = (list, x) => list.reduce((best, k) => Math.abs(at.get(k).x - x) < Math.abs(at.get(best).x - x) ? k : best, list[0]);
        const to = {ArrowLeft: at.has(data.parent[i]) ? data.parent[i] : null, ArrowRight: next[0] ?? null, ArrowUp: r > 0 ? near(grid[r - 1], at.get(i).x) : null, ArrowDown: r < rows - 1 ? near(grid[r + 1], at.get(i).x) : null,
          Home: list[0], End: data.winner.length && at.has(data.winner[data.winner.length - 1]) ? data.winner[data.winner.length - 1] : grid[r][grid[r].length - 1]}[event.key];
        if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); fold(i); }
        if (to === undefined || to === null) return;
        event.preventDefault(); visit(to);
      }
      for (const i of list) {
        const {x, row: r, w, hidden, next} = at.get(i), y = mid(r), told = tell(i), pruned = data.state[i] === PRUNED, foldable = hidden > 0 || next.length > 0;
        const fill = winner.has(i) ? 'var(--accent-soft)' : pruned ? 'var(--paper)' : 'var(--sunk)';
        const node = svg('g', {class: 'tree-node', 'data-focus': `node-${i}`, tabindex: i === state.spot ? 0 : -1, role: 'button', 'aria-label': told.join(', '), 'aria-expanded': foldable ? String(!hidden) : null, opacity: dim(i),
          onclick: () => fold(i), onkeydown: (event) => walk(event, i), onpointermove: (event) => view.tip(event, told), onpointerleave: () => view.tip(null), onfocus: (event) => view.tip(event, told), onblur: () => view.tip(null)},
        svg('rect', {x, y: y - row / 2 + 2, width: w, height: row - 4, rx: 3, style: `fill: ${fill}; stroke: ${data.state[i] === FINISHED ? 'var(--good)' : colour(i)}`, 'stroke-width': data.state[i] === FINISHED ? 1.8 : 0.8, 'stroke-dasharray': pruned ? '2 2' : null}),
        svg('text', {class: pruned ? 'quiet' : null, x: x + w / 2, y: y + 0.5, 'text-anchor': 'middle', 'dominant-baseline': 'central', 'font-size': size, 'font-weight': winner.has(i) ? 600 : 400}, label(i)),
        hidden && !next.length ? svg('text', {class: 'quiet', 'data-hint': '', x: x + w + 3, y: y - row / 2 + 8, 'font-size': 9}, `+${hidden}`) : null,
        hidden && next.length ? svg('circle', {cx: x + w / 2, cy: y + row / 2 - 2, r: 2.1, style: `fill: var(--paper); stroke: ${colour(i)}`, 'stroke-width': 1}) : null,
        tail(i) && !next.length ? svg('text', {class: 'quiet', x: x + w + (hidden ? 22 : 8), y, 'dominant-baseline': 'central', 'font-size': 11, 'font-weight': i === data.winner[data.winner.length - 1] ? 650 : 400}, tail(i)) : null);
        nodes.set(i, node); root.append(node);
      }
      // ---- where one was, or where the winner is
      scroller.addEventListener('scroll', () => { state.scroll = [scroller.scrollLeft, scroller.scrollTop]; });
      const spotlight = [...data.winner].reverse().find((i) => at.has(i)), key = `${follow}:${until}:${aligned}:${zoom}`;
      if (follow && spotlight !== undefined && state.followed !== key) {
        state.followed = key;
        scroller.scrollLeft = at.get(spotlight).x - scroller.clientWidth * 0.7; scroller.scrollTop = mid(at.get(spotlight).row) - scroller.clientHeight / 2;
      } else if (state.scroll) { [scroller.scrollLeft, scroller.scrollTop] = state.scroll; }
      if (!follow) state.followed = null;
      const legend = 'Blue: the winner. Vermilion: the runner-up. Green border: finished. Dashed: pruned. A small circle or a number: more is folded there. A choice of a token (Enter) folds and unfolds what follows it; arrow keys walk, End goes to the winner’s end.';
      view.note(data.winner.length ? (view.standalone ? `Why the first one won. ${data.why} ${legend}` : legend) : `Searching. ${legend}`);
    },
    table(data) {
      const rows = data.of.map((word, i) => [i, data.step[i] + 1, data.parent[i] < 0 ? '' : data.parent[i], data.words[word], data.ids[i], data.logprob[i], data.rank[i], data.cumulative[i], data.score[i], ['kept', 'finished', 'pruned'][data.state[i]],
        data.beam[i] === null ? '' : data.beam[i] + 1, data.winner.includes(i) ? 'winner' : data.runner_up.includes(i) ? 'runner-up' : '', data.reasons[i]]);
      return {columns: ['node', 'step', 'parent', 'token', 'id', 'log-probability', 'rank', 'sum', 'score', 'state', 'beam', 'way', 'end'], rows};
    },
  };
});
