// Figures: what every drawing has in common - its frame, its controls, its numbers, and how it is saved. The drawings
// themselves are kinds, one a file, which call figures.add. A figure saved as HTML carries this function and its kind's as
// text, so neither may use names from outside.
{
  const library = (window) => {
    const {document} = window;
    const ns = (() => { const t = document.createElement('template'); t.innerHTML = '<svg></svg>'; return t.content.firstChild.namespaceURI; })();
    const makers = {}, kinds = {};
    const ROWS = 200, COLUMNS = 64;  // of the table in the page; the files have all
    const KEPT = ['fill', 'fill-opacity', 'stroke', 'stroke-width', 'stroke-opacity', 'stroke-dasharray', 'opacity', 'font-family',
      'font-size', 'font-weight', 'font-style', 'text-anchor', 'dominant-baseline', 'visibility', 'display', 'image-rendering'];
    const ruler = document.createElement('canvas').getContext('2d');

    // ---- small tools, for the drawings too
    function fill(node, attributes, children) {
      for (const [name, value] of Object.entries(attributes || {})) {
        if (value === null || value === undefined || value === false) continue;
        if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
        else node.setAttribute(name, value === true ? '' : value);
      }
      node.append(...children.flat().filter((child) => child !== null && child !== undefined));
      return node;
    }
    const svg = (tag, attributes, ...children) => fill(document.createElementNS(ns, tag), attributes, children);
    const html = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
    function numbers(packed) {  // {shape, values}: the array that playground/views/figure.py packed
      if (packed.values) return packed;
      const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
      const read = {f4: Float32Array, u1: Uint8Array, u2: Uint16Array}[packed.dtype];
      let values = new read(bytes.buffer);
      if (packed.lower) {
        const n = packed.shape[packed.shape.length - 1], count = packed.shape.reduce((a, b) => a * b, 1) / (n * n || 1);
        const full = new Float32Array(count * n * n).fill(NaN);
        for (let m = 0, at = 0; m < count; m++) {
          for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) full[(m * n + i) * n + j] = values[at++];
        }
        values = full;
      }
      return Object.assign(packed, {values});
    }
    const mix = (share) => [0, 1, 2].map((i) => Math.round([120, 170, 245][i] + ([37, 99, 216][i] - [120, 170, 245][i]) * share));
    const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
    function colour(share) {  // from nothing to the accent: suits light and dark paper
      const s = clamp(share, 0, 1);
      return `rgba(${mix(s).join(',')},${Math.min(1, s * 1.25).toFixed(3)})`;
    }
    function diverging(share) {  // negative vermilion, positive blue
      const s = clamp(share, -1, 1), strength = Math.min(1, Math.abs(s) * 1.1).toFixed(3);
      return s < 0 ? `rgba(213,94,0,${strength})` : `rgba(37,99,216,${strength})`;
    }
    const series = (i) => `var(--token-${[5, 6, 2, 3, 0, 1, 7, 4][i % 8]})`;
    const characters = (text) => Array.from(String(text));
    const shorten = (text, length = 22) => characters(text).length > length ? `${characters(text).slice(0, length - 1).join('')}…` : String(text);
    function textWidth(text, size = 12) { ruler.font = `${size}px system-ui, sans-serif`; return ruler.measureText(text).width; }
    function format(value, digits = 4) {
      if (value === null || value === undefined || Number.isNaN(value)) return '–';
      if (typeof value !== 'number') return String(value);
      if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
      return Math.abs(value) >= 1e-4 || value === 0 ? value.toFixed(digits) : value.toExponential(2);
    }
    function image(rows, columns, paint) {  // a data URL of rows x columns pixels; paint(i, j) -> a colour or null
      const canvas = document.createElement('canvas');
      canvas.width = columns; canvas.height = rows;
      const context = canvas.getContext('2d'), data = context.createImageData(columns, rows), known = new Map();
      for (let i = 0, at = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++, at += 4) {
          const name = paint(i, j);
          if (!name) continue;
          let rgba = known.get(name);
          if (!rgba) known.set(name, rgba = name.match(/[\d.]+/g).map(Number));
          data.data[at] = rgba[0]; data.data[at + 1] = rgba[1]; data.data[at + 2] = rgba[2];
          data.data[at + 3] = Math.round(255 * (rgba[3] ?? 1));
        }
      }
      context.putImageData(data, 0, 0);
      return canvas.toDataURL();
    }

    const palettes = [colour, diverging].map((paint, way) => Array.from({length: 511}, (_, i) => paint(way ? i / 255 - 1 : Math.max(0, i / 255 - 1)).match(/[\d.]+/g).map((v, k) => k < 3 ? Number(v) : Math.round(255 * v))));
    function shades(rows, columns, share, both = false) {  // a data URL of rows x columns pixels; share(i, j) as for colour or diverging
      const canvas = document.createElement('canvas'), palette = palettes[both ? 1 : 0];
      canvas.width = columns; canvas.height = rows;
      const context = canvas.getContext('2d'), data = context.createImageData(columns, rows), bytes = data.data;
      for (let i = 0, at = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++, at += 4) {
          const s = share(i, j);
          if (s !== s || s === 0) continue;
          const rgba = palette[255 + Math.round(255 * (s < -1 ? -1 : s > 1 ? 1 : s))];
          bytes[at] = rgba[0]; bytes[at + 1] = rgba[1]; bytes[at + 2] = rgba[2]; bytes[at + 3] = rgba[3];
        }
      }
      context.putImageData(data, 0, 0);
      return canvas.toDataURL();
    }

    // ---- figures of several frames (the steps of a training, say): arrays that are marked hold one frame after another
    const all = new Set();  // the frames of the page, so that linked ones move together
    function still(data, at) {  // the figure as it is in one frame
      if (Array.isArray(data)) return data.map((item) => still(item, at));
      if (!data || typeof data !== 'object' || ArrayBuffer.isView(data)) return data;
      if (!data.dtype) return Object.fromEntries(Object.entries(data).map(([name, value]) => [name, still(value, at)]));
      if (!data.frames) return data;
      const {shape: [, ...shape], values} = numbers(data), size = shape.reduce((a, b) => a * b, 1);
      return {shape, dtype: data.dtype, values: values.subarray(at * size, (at + 1) * size)};
    }
    function go(frame, at) {  // to a frame, together with the figures that are linked
      const {link} = frame.data.frames;
      for (const other of all) {
        if (!document.contains(other.box)) { all.delete(other); continue; }
        const last = other.data?.frames && (other === frame || (link && other.data.frames.link === link)) ? other.data.frames.labels.length - 1 : -1;
        if (last >= 0) { other.state.frame = clamp(at, 0, last); redraw(other); }
      }
    }
    function play(frame) {  // from here, or from the start; again: stop
      if (frame.playing) return pause(frame);
      if (frame.state.frame >= frame.data.frames.labels.length - 1) go(frame, 0);
      frame.playing = setInterval(() => {
        if (!document.contains(frame.box) || !frame.data?.frames || frame.state.frame >= frame.data.frames.labels.length - 1) pause(frame);
        else go(frame, frame.state.frame + 1);
      }, 700);
      if (frame.data?.frames) redraw(frame);
    }
    function pause(frame) {
      clearInterval(frame.playing);
      frame.playing = null;
      if (frame.data?.frames) redraw(frame);
    }
    function frameControl(frame) {  // a slider over the frames, and a button that plays them
      const {labels, title, leads} = frame.data.frames, last = labels.length - 1;
      frame.state.frame = clamp(frame.state.frame ?? last, 0, last);
      if (frame.send && !leads) return;  // in the page the figure that leads has it
      control(frame, 'frame', last, labels, () => {
        const shown = html('output', {}), input = html('input', {type: 'range', min: 0, step: 1, oninput: () => go(frame, Number(input.value))});
        const button = html('button', {type: 'button', class: 'figure-play', onclick: () => play(frame)});
        return [html('span', {class: 'figure-slider figure-frames'}, button, html('label', {}, title, input, shown)), (value, names) => {
          input.max = names.length - 1; input.value = value;
          input.setAttribute('aria-valuetext', names[value]);
          shown.textContent = names[value];
          button.textContent = frame.playing ? 'Pause' : 'Play';
        }];
      });
    }

    // ---- saving
    function save(name, blob) {
      const link = html('a', {href: URL.createObjectURL(blob), download: name});
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    }
    const resolved = (text) => text && text.includes('color-mix') ? null : text;
    function svgOf(frame) {  // the drawing with its title, as a picture that needs no style sheet
      const original = frame.stage.querySelector('svg');
      if (!original) return null;
      const copy = original.cloneNode(true), page = window.getComputedStyle(frame.box);
      const pairs = [[original, copy]];
      while (pairs.length) {
        const [from, to] = pairs.pop(), style = window.getComputedStyle(from);
        for (const name of KEPT) { const value = resolved(style.getPropertyValue(name)); if (value) to.setAttribute(name, value); }
        for (const name of ['class', 'style', 'tabindex', 'role', 'aria-label', 'aria-pressed']) to.removeAttribute(name);
        for (let i = 0; i < from.children.length; i++) pairs.push([from.children[i], to.children[i]]);
      }
      copy.querySelectorAll('[data-hint]').forEach((node) => node.remove());  // what only answers the pointer
      const width = Number(original.getAttribute('width')), height = Number(original.getAttribute('height')), top = frame.shown.subtitle ? 52 : 34;
      const ink = page.getPropertyValue('--ink') || '#1d2129', paper = page.getPropertyValue('--paper') || '#ffffff', muted = page.getPropertyValue('--muted') || '#5a6371';
      const font = {'font-family': page.fontFamily, x: 8};
      copy.setAttribute('x', 0); copy.setAttribute('y', top); copy.setAttribute('overflow', 'visible');
      return svg('svg', {width, height: height + top, viewBox: `0 0 ${width} ${height + top}`},
        svg('rect', {width, height: height + top, fill: paper.trim()}),
        svg('text', {...font, y: 22, 'font-size': 15, 'font-weight': 600, fill: ink.trim()}, frame.shown.title),
        frame.shown.subtitle ? svg('text', {...font, y: 42, 'font-size': 12, fill: muted.trim()}, frame.shown.subtitle) : null, copy);
    }
    const svgText = (frame) => { const made = svgOf(frame); return made && new XMLSerializer().serializeToString(made); };
    function savePng(frame) {
      const text = svgText(frame);
      if (!text) return;
      const picture = new Image();
      picture.onload = () => {
        const scale = Math.min(2, Math.sqrt(64e6 / (picture.width * picture.height || 1)));  // what a canvas surely holds
        const canvas = document.createElement('canvas');
        canvas.width = picture.width * scale; canvas.height = picture.height * scale;
        const context = canvas.getContext('2d');
        context.scale(scale, scale);
        context.drawImage(picture, 0, 0);
        canvas.toBlob((blob) => save(`${frame.data.name}.png`, blob), 'image/png');
      };
      picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    }
    const plain = (data) => {  // what was unpacked is packed again
      const copy = (value) => Array.isArray(value) ? value.map(copy) : value && typeof value === 'object' && !ArrayBuffer.isView(value)
        ? Object.fromEntries(Object.entries(value).filter(([name, inner]) => !(name === 'values' && ArrayBuffer.isView(inner))).map(([name, inner]) => [name, copy(inner)])) : value;
      return JSON.stringify(copy(data)).replace(/</g, '\\u003c');
    };
    function htmlText(frame) {  // a page of its own, which draws the same and needs nothing else
      const styles = [];
      for (const sheet of document.styleSheets) {
        let rules = [];
        try { rules = sheet.cssRules; } catch { continue; }
        for (const rule of rules) if (/--paper:|\.figure/.test(rule.cssText)) styles.push(rule.cssText);
      }
      const dark = document.body.classList.contains('dark') ? ' class="dark"' : '';
      const title = frame.data.title.replace(/[&<>]/g, (c) => ({'&': '&amp;', '<': '&lt;', '>': '&gt;'}[c]));
      const sources = Object.entries(makers).map(([kind, make]) => `window.figures.add(${JSON.stringify(kind)}, ${make});`).join('\n');
      return `<!DOCTYPE html>
<html lang="en"${dark}><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>
body { margin: 24px; background: var(--paper); color: var(--ink); font-family: system-ui, "Noto Sans", "Noto Sans CJK JP", sans-serif; }
.scroller { overflow: auto; max-height: 70vh; } td, th { padding: 2px 8px; font-weight: 400; text-align: right; }
${styles.join('\n')}
</style></head><body${dark}><div id="figure"><div class="figure"></div></div><script>
(${library})(window);
${sources}
window.figures.draw(document.getElementById('figure'), ${JSON.stringify(plain(frame.data)).replace(/</g, '\\u003c')}, null, ${JSON.stringify(frame.state).replace(/</g, '\\u003c')});
</${'script'}></body></html>`;
    }
    const cell = (value) => {
      const text = value === null || value === undefined || Number.isNaN(value) ? '' : String(value);
      return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
    };
    const rounded = (value) => typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(7)) : value;
    function csvText(frame) {
      const table = kinds[frame.data.kind].table(frame.shown, frame.state);
      return `\ufeff${[table.columns, ...table.rows].map((row) => row.map((value) => cell(rounded(value))).join(',')).join('\n')}\n`;
    }
    function jsonText(frame) {
      const {columns, rows} = kinds[frame.data.kind].table(frame.shown, frame.state);
      const clean = rows.map((row) => row.map((value) => Number.isNaN(value) ? null : rounded(value)));
      return JSON.stringify({title: frame.shown.title, subtitle: frame.shown.subtitle, columns, rows: clean});
    }
    const EXPORTS = {
      PNG: savePng,
      SVG: (frame) => { const text = svgText(frame); if (text) save(`${frame.data.name}.svg`, new Blob([text], {type: 'image/svg+xml'})); },
      HTML: (frame) => save(`${frame.data.name}.html`, new Blob([htmlText(frame)], {type: 'text/html'})),
      CSV: (frame) => save(`${frame.data.name}.csv`, new Blob([csvText(frame)], {type: 'text/csv'})),
      JSON: (frame) => save(`${frame.data.name}.json`, new Blob([jsonText(frame)], {type: 'application/json'})),
    };

    // ---- the frame
    function frameOf(element, send) {
      if (element.figureFrame) return element.figureFrame;
      const box = element.querySelector('.figure') || element.appendChild(html('div', {class: 'figure'}));
      const frame = {box, state: {}, data: null, json: null, used: new Set(), controls: {}};
      frame.title = html('h3', {class: 'figure-title'});
      frame.subtitle = html('p', {class: 'figure-subtitle'});
      frame.buttons = html('div', {class: 'figure-exports', role: 'group', 'aria-label': 'Save this figure'},
        Object.entries(EXPORTS).map(([name, act]) => html('button', {type: 'button', title: `Save as ${name}`, onclick: () => act(frame)}, name)));
      frame.bar = html('div', {class: 'figure-controls'});
      frame.stage = html('div', {class: 'figure-stage'});
      frame.caption = html('p', {class: 'figure-note'});
      frame.tip = html('div', {class: 'figure-tip', role: 'status', hidden: true});
      frame.list = html('div', {class: 'scroller', tabindex: '0', role: 'region', 'aria-label': 'Numbers'});
      frame.details = html('details', {class: 'figure-numbers', ontoggle: () => list(frame)}, html('summary', {}, 'Numbers'), frame.list);
      box.replaceChildren(html('div', {class: 'figure-head'}, html('div', {class: 'figure-words'}, frame.title, frame.subtitle), frame.buttons),
        frame.bar, frame.stage, frame.caption, frame.details, frame.tip);
      frame.send = send;
      all.add(frame);
      new ResizeObserver(() => {
        if (frame.data && box.clientWidth && Math.abs(box.clientWidth - (frame.width || 0)) > 4) redraw(frame);
      }).observe(box);
      return element.figureFrame = frame;
    }

    function list(frame) {  // the numbers as a table: its first rows and columns
      if (!frame.details.open || !frame.data) return;
      const {columns, rows} = kinds[frame.data.kind].table(frame.shown, frame.state);
      const line = (row, tag) => html('tr', {}, row.slice(0, COLUMNS).map((value, i) => html(i === 0 ? 'th' : tag, i === 0 ? {scope: 'row'} : {},
        typeof value === 'number' ? format(value) : value === null || value === undefined ? '' : String(value))));
      const cut = rows.length > ROWS || columns.length > COLUMNS;
      frame.list.replaceChildren(
        cut ? html('p', {class: 'figure-note'}, `The first ${Math.min(ROWS, rows.length)} of ${rows.length} rows and ${Math.min(COLUMNS, columns.length)} of ${columns.length} columns; the files have all.`) : '',
        html('table', {class: 'number-table'}, html('thead', {}, line(columns, 'th')), html('tbody', {}, rows.slice(0, ROWS).map((row) => line(row, 'td')))));
    }

    function redraw(frame) {
      const {box, stage, data} = frame;
      frame.width = box.clientWidth;
      if (!frame.width) return;  // not to be seen: drawn when it is
      const focused = stage.contains(document.activeElement) ? document.activeElement.getAttribute('data-focus') : null;
      frame.used.clear();
      frame.tip.hidden = true;
      frame.caption.textContent = '';
      if (data.frames) frameControl(frame);
      const shown = frame.shown = data.frames ? still(data, frame.state.frame) : data;
      if (data.frames) {
        shown.subtitle = [data.frames.labels[frame.state.frame], data.subtitle].filter(Boolean).join(' · ');
        frame.subtitle.textContent = shown.subtitle;
      }
      const view = {
        data: shown, stage, state: frame.state, width: frame.width, standalone: !frame.send,
        svg(width, height, label) {
          const root = svg('svg', {width, height, viewBox: `0 0 ${width} ${height}`, class: 'figure-svg', role: 'group', 'aria-label': label});
          stage.append(root);
          return root;
        },
        toggle: (name, label, initial = false) => control(frame, name, initial, label, () => {
          const words = html('span'), input = html('input', {type: 'checkbox', onchange: () => set(frame, name, input.checked)});
          return [html('label', {class: 'figure-toggle'}, input, words), (value, now) => { input.checked = value; words.textContent = now; }];
        }),
        choice: (name, label, options, initial) => control(frame, name, initial ?? options[0]?.[0], options, () => {
          const input = html('select', {onchange: () => set(frame, name, input.value)});
          return [html('label', {class: 'figure-choice'}, label, input), (value, now) => {
            if (!now.some(([key]) => String(key) === String(value))) frame.state[name] = value = initial ?? now[0]?.[0];
            const wanted = JSON.stringify(now);
            if (input.dataset.options !== wanted) {
              input.dataset.options = wanted;
              input.replaceChildren(...now.map(([key, words]) => html('option', {value: key}, words)));
            }
            input.value = value;
          }];
        }),
        field: (name, label, hint = '') => control(frame, name, '', null, () => {
          const input = html('input', {type: 'search', placeholder: hint, spellcheck: 'false', oninput: () => set(frame, name, input.value)});
          return [html('label', {class: 'figure-field'}, label, input), (value) => { if (input.value !== value) input.value = value; }];
        }),
        slider: (name, label, low, high, step, initial) => control(frame, name, initial, {min: low, max: high, step}, () => {
          const shown = html('output', {}), input = html('input', {type: 'range', oninput: () => set(frame, name, Number(input.value))});
          return [html('label', {class: 'figure-slider'}, label, input, shown), (value, limits) => {
            Object.assign(input, limits);
            input.value = value;
            shown.textContent = input.value;
            frame.state[name] = Number(input.value);
          }];
        }),
        note: (text) => { frame.caption.textContent = text; },
        tip: (event, lines) => tip(frame, event, lines),
        send: (message) => frame.send?.(message),
        go: (at) => go(frame, at),
        redraw: () => redraw(frame),
      };
      stage.replaceChildren();
      kinds[data.kind].draw(view);
      for (const [name, made] of Object.entries(frame.controls)) {
        if (!frame.used.has(name)) { made.node.remove(); delete frame.controls[name]; }
      }
      frame.bar.hidden = !frame.used.size;
      if (focused) stage.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({preventScroll: true});
      list(frame);
    }
    // A control is made once, so that it keeps the focus; what can be chosen may change with the data.
    function control(frame, name, initial, options, make) {
      if (!(name in frame.state)) frame.state[name] = initial;
      if (!frame.controls[name]) {
        const [node, show] = make();
        frame.controls[name] = {node, show};
        frame.bar.append(node);
      }
      frame.used.add(name);
      frame.controls[name].show(frame.state[name], options);
      return frame.state[name];
    }
    function set(frame, name, value) { frame.state[name] = value; redraw(frame); }
    function tip(frame, event, lines) {
      if (!event) { frame.tip.hidden = true; return; }
      frame.tip.replaceChildren(...lines.map((line, i) => html(i ? 'div' : 'b', {}, line)));
      frame.tip.hidden = false;
      const spot = event.clientX !== undefined && (event.clientX || event.clientY) ? {x: event.clientX, y: event.clientY}
        : (({left, bottom}) => ({x: left, y: bottom}))(event.target.getBoundingClientRect());
      const {offsetWidth: wide, offsetHeight: high} = frame.tip, page = document.documentElement;
      frame.tip.style.left = `${clamp(spot.x + 14, 4, page.clientWidth - wide - 4)}px`;
      frame.tip.style.top = `${spot.y + 16 + high > page.clientHeight ? spot.y - high - 10 : spot.y + 16}px`;
    }

    function draw(element, json, send, state) {
      const frame = frameOf(element, send);
      if (frame.json === json) return;
      frame.json = json;
      if (state) frame.state = state;
      const data = json ? JSON.parse(json) : null;
      frame.box.hidden = !data;
      if (!data) { frame.data = null; frame.stage.replaceChildren(); return; }
      if (!kinds[data.kind]) throw new Error(`no figure of the kind ${data.kind}`);
      if (frame.data && frame.data.kind !== data.kind) { frame.controls = {}; frame.bar.replaceChildren(); }
      frame.data = data;
      frame.title.textContent = data.title;
      frame.subtitle.textContent = data.subtitle || '';
      redraw(frame);
    }
    // Another head is the chosen one: of a figure within `box` that is drawn already.
    function mark(box, place) {
      const [, layer, head] = String(place).split('.').map(Number);
      for (const node of document.querySelectorAll(`${box}, ${box} *`)) {
        const frame = node.figureFrame;
        if (!frame?.data || (frame.data.layer === layer - 1 && frame.data.head === head - 1)) continue;
        Object.assign(frame.data, {layer: layer - 1, head: head - 1});
        redraw(frame);
      }
    }
    const figures = {svg, html, numbers, colour, diverging, series, shorten, textWidth, format, image, shades, clamp, draw, mark,
      add(kind, make) { makers[kind] = make; kinds[kind] = make(figures); }};
    window.figures = figures;
  };
  library(window);
}
