// Assisted decoding, round by round: a colour a round; what the assistant drafted is underlined where the model accepted it and
// struck out where it did not; what the model wrote itself has a border. Below, drafts and accepted ones of each round.
window.figures.add('assisted', (figures) => {
  const {svg, series, shorten, textWidth, format, clamp} = figures;
  const SIZE = 14, HIGH = 25, LINE = 31, GAP = 3, WORDS = {own: 'the model’s own', accepted: 'drafted and accepted', rejected: 'drafted and refused', dropped: 'drafted behind a refused one, or behind the end'};

  return {
    draw(view) {
      const {data, state} = view, n = data.words.length, away = view.toggle('away', 'What was thrown away', true), width = Math.max(240, view.width - 4);
      const list = []; let x = 0, y = 4, before = null;
      for (let i = 0; i < n; i++) {
        if (!away && (data.state[i] === 'rejected' || data.state[i] === 'dropped')) continue;
        const text = shorten(data.words[i], 24), w = Math.max(14, textWidth(text, SIZE) + 8);
        if (before !== null && before !== data.round[i] && x > 0) x += 7;
        if (x + w > width && x > 0) { x = 0; y += LINE; }
        list.push({i, text, x, y, w}); x += w + GAP; before = data.round[i];
      }
      const below = y + LINE + 12, rounds = data.drafted.length, most = Math.max(1, ...data.drafted), chart = rounds ? 96 : 0;
      const root = view.svg(width, below + chart + 4, `${data.title}: ${n} tokens in ${rounds || '…'} rounds`);
      list.forEach(({i, text, x: left, y: top, w}, place) => {
        const kind = data.state[i], round = data.round[i], thrown = kind === 'rejected' || kind === 'dropped', of = data.drafted[round - 1];
        const told = [`${data.words[i]} · ${WORDS[kind]}`, round ? `round ${round}${of === undefined ? '' : `: ${data.accepted[round - 1]} of ${of} drafts accepted`}` : 'from the pass that reads the prompt', ...(data.logprob[i] === null ? [] : [`probability ${format(100 * Math.exp(data.logprob[i]), 2)} %, log-probability ${format(data.logprob[i], 3)}`]), `id ${data.ids[i]}`];
        root.append(svg('g', {class: 'assisted-token', tabindex: place ? -1 : 0, role: 'img', 'data-focus': `piece-${place}`, 'aria-label': told.join(', '), onpointermove: (event) => view.tip(event, told), onpointerleave: () => view.tip(null), onfocus: (event) => view.tip(event, told), onblur: () => view.tip(null),
          onkeydown: (event) => {
            const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
            if (!step) return;
            event.preventDefault();
            view.stage.querySelector(`[data-focus="piece-${clamp(place + step, 0, list.length - 1)}"]`).focus();
          }},
        svg('rect', {x: left, y: top, width: w, height: HIGH, rx: 3, style: `fill: ${thrown ? 'transparent' : series(round)}; stroke: ${kind === 'own' ? series(round) : 'transparent'}`, 'fill-opacity': kind === 'accepted' ? 0.3 : 0.1, 'stroke-width': 1.6}),
        svg('text', {class: thrown ? 'quiet' : null, x: left + w / 2, y: top + HIGH / 2 + 0.5, 'text-anchor': 'middle', 'dominant-baseline': 'central', 'font-size': SIZE, opacity: kind === 'dropped' ? 0.65 : 1}, text),
        kind === 'accepted' ? svg('path', {d: `M${left + 2} ${top + HIGH - 3}h${w - 4}`, style: `stroke: ${series(round)}`, 'stroke-width': 2}) : null,
        thrown ? svg('path', {d: `M${left + 1} ${top + HIGH / 2 + 1}h${w - 2}`, style: `stroke: ${kind === 'rejected' ? 'var(--bad)' : 'var(--muted)'}`, 'stroke-width': kind === 'rejected' ? 1.8 : 1}) : null));
      });
      if (rounds) {  // the rounds as bars
        const step = Math.min(22, (width - 30) / rounds), high = 60, base = below + 22 + high;
        root.append(svg('text', {class: 'quiet', x: 0, y: below + 10, 'font-size': 11.5}, 'drafts of each round, and in its colour those that were accepted'));
        for (let r = 0; r < rounds; r++) {
          const told = [`round ${r + 1}`, `${data.accepted[r]} of ${data.drafted[r]} drafts accepted`], bar = Math.max(1, step - 3), at = 24 + r * step;
          root.append(svg('g', {onpointermove: (event) => view.tip(event, told), onpointerleave: () => view.tip(null)},
            svg('rect', {'data-hint': '', x: at, y: base - high, width: step, height: high, style: 'fill: transparent'}),
            svg('rect', {x: at, y: base - high * data.drafted[r] / most, width: bar, height: high * data.drafted[r] / most, rx: 1.5, style: 'fill: var(--line)'}),
            svg('rect', {x: at, y: base - high * data.accepted[r] / most, width: bar, height: high * data.accepted[r] / most, rx: 1.5, style: `fill: ${series(r + 1)}`})));
        }
        root.append(svg('path', {d: `M22 ${base}h${rounds * step + 4}`, style: 'stroke: var(--line-strong)'}), svg('text', {class: 'quiet', x: 18, y: base - high, 'text-anchor': 'end', 'dominant-baseline': 'central', 'font-size': 10.5}, most), svg('text', {class: 'quiet', x: 18, y: base, 'text-anchor': 'end', 'dominant-baseline': 'central', 'font-size': 10.5}, '0'));
      }
      view.note('A colour a round. Underlined: drafted and accepted. With a border: the model’s own. Struck out: refused (red), or behind a refused one. Point at a token, or walk with the arrow keys.');
    },
    table(data) {
      return {columns: ['round', 'token', 'id', 'what became of it', 'log-probability'], rows: data.words.map((word, i) => [data.round[i], word, data.ids[i], data.state[i], data.logprob[i]])};
    },
  };
});
