// Plots that are drawn anew while one looks at them: what was zoomed into stays in sight, and a curve that was taken out
// stays out. Gradio puts a new plot into the page for every new value, so Plotly's own `uirevision` has nothing to keep.
const kept = new Map();  // the component's id -> {revision, ranges, hidden}

function remember(plot) {
  const revision = plot._fullLayout.uirevision;
  const id = plot.parentElement.closest('[id]')?.id;
  if (!id || !revision || plot.dataset.kept) return;
  plot.dataset.kept = 'true';
  if (kept.get(id)?.revision !== revision) kept.set(id, {revision, ranges: {}, hidden: {}});
  const {ranges, hidden} = kept.get(id);
  if (Object.keys(ranges).length) window.Plotly.relayout(plot, {...ranges});
  const out = plot.data.flatMap((curve, place) => (curve.name in hidden ? [place] : []));
  if (out.length) window.Plotly.restyle(plot, {visible: out.map((place) => hidden[plot.data[place].name])}, out);
  plot.on('plotly_relayout', (change) => {
    for (const [key, value] of Object.entries(change)) {
      const [, axis, what] = key.match(/^([xy]axis\d*)\.(range|autorange)/) || [];
      if (what === 'range') ranges[key] = value;
      if (what === 'autorange') {
        for (const known of Object.keys(ranges)) if (known.startsWith(`${axis}.`)) delete ranges[known];
      }
    }
  });
  plot.on('plotly_restyle', ([change, places]) => {
    if (!('visible' in change)) return;
    places.forEach((place, i) => {
      const visible = [change.visible].flat()[i] ?? [change.visible].flat()[0];
      if (visible === true) delete hidden[plot.data[place].name];
      else hidden[plot.data[place].name] = visible;
    });
  });
}
new MutationObserver((changes) => {
  if (!changes.some((change) => change.addedNodes.length)) return;
  document.querySelectorAll('.js-plotly-plot:not([data-kept])').forEach((plot) => {
    if (plot._fullLayout && plot.on) remember(plot);
  });
}).observe(document.body, {childList: true, subtree: true});
