// Switches of all heads and networks. The figure keeps which are off, so that quick clicks never wait for an answer; it sends them all.
window.figures.add('switches', (figures) => {
  const {svg, numbers, diverging, format, clamp} = figures;
  const name = (block, layer, head) => `${block.kind}.${layer + 1}.${head + 1}`;

  return {
    draw(view) {
      const {data, state} = view;
      if (state.of !== data.of || !state.off) { state.of = data.of; state.off = [...data.off]; }
      const off = new Set(state.off), measured = data.blocks.filter(({changes}) => changes);
      let most = 0;
      for (const {changes} of measured) for (const v of numbers(changes).values) if (v === v) most = Math.max(most, Math.abs(v));
      const side = 34, gap = 4, above = 42, widest = Math.max(...data.blocks.map(({heads}) => heads));
      const size = clamp(Math.floor((view.width - side - 12) / widest) - gap, 16, 34), step = size + gap;
      // Blocks stand side by side as long as there is room.
      const places = []; let x = 0, y = 26, high = 0, wide = 0;
      for (const block of data.blocks) {
        const width = Math.max(side + block.heads * step, figures.textWidth(block.title, 12.5) + 10) + 22, height = above + block.layers * step + 10;
        if (x && x + width > view.width) { x = 0; y += high; high = 0; }
        places.push([x, y]);
        x += width; high = Math.max(high, height); wide = Math.max(wide, x);
      }
      const root = view.svg(Math.min(Math.max(wide, 260), Math.max(view.width, side + widest * step + 12)), y + high, `${data.title}: ${off.size} switched off`);
      function turn(names) {  // all of them off, or, if they are that already, on
        const all = names.every((one) => off.has(one));
        for (const one of names) { if (all) off.delete(one); else off.add(one); }
        state.off = [...off].sort();
        view.send({off: state.off});
        view.redraw();
      }
      const press = (names) => ({onclick: () => turn(names), onkeydown: (event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); turn(names); } }});
      root.append(svg('text', {x: 4, y: 14, 'font-size': 12, 'font-weight': 600}, off.size ? `${off.size} switched off` : 'Everything is on'));
      if (off.size && !view.standalone) root.append(svg('text', {'data-hint': '', class: 'switch-all', x: 120, y: 14, 'font-size': 12, tabindex: 0, role: 'button', 'data-focus': 'all-on', ...press([...off])}, 'switch all on'));
      data.blocks.forEach((block, place) => {
        const [left, top] = places[place], changes = block.changes ? numbers(block.changes).values : null;
        root.append(svg('text', {x: left + 4, y: top + 14, 'font-size': 12.5, 'font-weight': 600}, block.title));
        for (let head = 0; head < block.heads && block.heads > 1; head++) root.append(svg('text', {class: 'quiet', x: left + side + head * step + size / 2, y: top + 34, 'text-anchor': 'middle', 'font-size': 10.5}, head + 1));
        for (let layer = 0; layer < block.layers; layer++) {
          const row = Array.from({length: block.heads}, (_, head) => name(block, layer, head)), cy = top + above + layer * step;
          root.append(svg('text', {class: 'quiet switch-row', x: left + side - 7, y: cy + size / 2, 'text-anchor': 'end', 'dominant-baseline': 'central', 'font-size': 11, ...(view.standalone ? {} : {tabindex: 0, role: 'button', 'data-focus': `row-${block.kind}-${layer}`, 'aria-label': `${block.title}, layer ${layer + 1}: the whole row`, ...press(row)})}, `L${layer + 1}`));
          row.forEach((one, head) => {
            const cx = left + side + head * step, gone = off.has(one), change = changes ? changes[layer * block.heads + head] : NaN, known = change === change;
            const what = `${block.title}, layer ${layer + 1}${block.heads > 1 ? `, head ${head + 1}` : ''}`;
            const told = [what, gone ? 'switched off' : 'on', ...(known ? [`alone: loss ${change >= 0 ? '+' : ''}${format(change, 4)} nats a token`] : [])];
            root.append(svg('g', {class: 'switch', tabindex: 0, role: 'switch', 'aria-checked': String(!gone), 'aria-label': told.join(', '), 'data-focus': one, 'data-part': one, ...(view.standalone ? {} : press([one])),
              onpointermove: (event) => view.tip(event, told), onpointerleave: () => view.tip(null), onfocus: (event) => view.tip(event, told), onblur: () => view.tip(null)},
            svg('rect', {x: cx, y: cy, width: size, height: size, rx: 4, style: `fill: ${gone ? 'var(--sunk)' : known ? diverging(-Math.sign(change) * Math.sqrt(Math.abs(change) / (most || 1))) : 'var(--accent-soft)'}; stroke: ${gone ? 'var(--line-strong)' : 'var(--line)'}`}),
            gone ? svg('path', {d: `M${cx + 5} ${cy + 5}L${cx + size - 5} ${cy + size - 5}M${cx + size - 5} ${cy + 5}L${cx + 5} ${cy + size - 5}`, style: 'stroke: var(--bad)', 'stroke-width': 2})
              : known && size >= 28 ? svg('text', {x: cx + size / 2, y: cy + size / 2, 'text-anchor': 'middle', 'dominant-baseline': 'central', 'font-size': 9.5, style: Math.abs(change) > 0.4 * most ? 'fill: #ffffff' : ''}, Math.abs(change) < 0.005 ? '0' : format(change, 2).replace(/^(-?)0\./, '$1.')) : null));
          });
        }
      });
      view.note([measured.length ? 'Orange: the loss rises without this part, so the model needs it; blue: the loss falls.' : '', data.note].filter(Boolean).join(' '));
    },
    table(data, state) {
      const off = new Set(state.off || data.off), rows = [];
      for (const block of data.blocks) {
        const changes = block.changes ? numbers(block.changes).values : null;
        for (let layer = 0; layer < block.layers; layer++) for (let head = 0; head < block.heads; head++) {
          rows.push([block.title, layer + 1, block.heads > 1 ? head + 1 : '', off.has(name(block, layer, head)) ? 'off' : 'on', changes ? changes[layer * block.heads + head] : NaN]);
        }
      }
      return {columns: ['kind', 'layer', 'head', 'switch', 'loss change alone'], rows};
    },
  };
});
