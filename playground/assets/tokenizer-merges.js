// The merge player: a word from its bytes or characters to its tokens, merge by merge, and the tree that the merges make.
// All steps come at once (playground/views/merges.py); nothing is asked of the server while they are played.
{
  const ICONS = {
    first: 'M6 5h2v14H6zM20 5v14L9.5 12z', back: 'M16 5v14L6 12z', play: 'M7 4.5v15L20 12z', pause: 'M6 5h4v14H6zM14 5h4v14h-4z',
    forth: 'M8 5v14l10-7z', last: 'M16 5h2v14h-2zM4 5v14l10.5-7z',
  };
  const PAUSE = 1000;  // milliseconds of a step at normal speed
  const ROW = 60, GAP = 6, LABEL = 14, CHARACTERS = 32;  // of the tree, in pixels
  const FONT = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Noto Sans Mono", "DejaVu Sans Mono", monospace';
  const ruler = document.createElement('canvas').getContext('2d');
  const width = (text, size) => { ruler.font = `${size}px ${FONT}`; return ruler.measureText(text).width; };
  const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;'}[c]));
  const number = (n) => n.toLocaleString('en-US');
  const icon = (name) => `<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;
  const button = (name, label) =>
    `<button type="button" data-go="${name}" aria-label="${label}" title="${label}">${icon(name)}</button>`;

  // ---- the word as nodes that know their parents, their trees, and where they stand
  function read(data) {
    const nodes = data.nodes.map(([type, id, rank, step, start, left, right], i) => {
      const [html, text, hex] = data.types[type];
      return {i, id, rank, step, start, left, right, html, text, hex, parent: null, root: 0, depth: 0};
    });
    for (const node of nodes) {
      if (node.step === null) continue;
      nodes[node.left].parent = nodes[node.right].parent = node.i;
      node.depth = 1 + Math.max(nodes[node.left].depth, nodes[node.right].depth);
    }
    data.roots.forEach((root, place) => { nodes[root].root = place; });
    for (const node of [...nodes].reverse()) if (node.parent !== null) node.root = nodes[node.parent].root;
    const steps = nodes.filter((node) => node.step !== null).sort((a, b) => a.step - b.step);
    const ranks = new Map(data.pairs.map(([left, right, rank]) => [`${left},${right}`, rank]));
    return {...data, nodes, steps, ranks, leaves: nodes.filter((node) => node.step === null)};
  }

  // The pieces after so many steps: of every tree the highest nodes that are made by then.
  function pieces(word, step) {
    const found = [], stack = [...word.roots].reverse();
    while (stack.length) {
      const node = word.nodes[stack.pop()];
      if (node.step === null || node.step < step) found.push(node);
      else stack.push(node.right, node.left);
    }
    return found;
  }

  // ---- what is drawn once
  const color = (node) => `--c: var(--token-${node.root % 8})`;
  const told = (word, node) =>
    `${word.nodes[node.left].text} + ${word.nodes[node.right].text} → ${node.text}, step ${node.step + 1}, rank ${number(node.rank)}`;

  function frame(word) {
    const steps = word.steps.map((node) => `<li><button type="button" tabindex="-1" data-step="${node.step + 1}">
      <span class="step-number">${node.step + 1}</span>
      <span class="step-pair"><b>${word.nodes[node.left].html}</b><b>${word.nodes[node.right].html}</b></span>
      <span class="step-rank">${number(node.rank)}</span></button></li>`).join('');
    return `<div class="player-bar">
        <div class="player-buttons">${button('first', 'To the start')}${button('back', 'One step back')}${button('play', 'Play')}
          ${button('forth', 'One step forth')}${button('last', 'To the end')}</div>
        <input type="range" min="0" max="${word.steps.length}" step="1" aria-label="Step">
        <output class="player-count"></output>
        <label class="player-speed">Speed <select>${[0.5, 1, 2, 4, 10].map((speed) =>
          `<option value="${speed}"${speed === 1 ? ' selected' : ''}>${speed}×</option>`).join('')}</select></label>
      </div>
      <p class="player-said" aria-live="polite"></p>
      <div class="player-pieces" role="list" aria-label="Pieces"></div>
      <div class="player-columns">
        <div class="player-steps"><p class="small-title">Merges</p>
          <p class="caption">Rank: ${escape(word.rankMeaning)}.</p>${steps ? `<ol>${steps}</ol>` : '<p class="nothing">None: no two neighbours are merged.</p>'}</div>
        <div class="player-right"><p class="small-title">Merge tree</p>
          <p class="caption">Under each token its step and # rank; the tokens that are left at the end have their ids.</p>
          <div class="player-tree" tabindex="-1">${tree(word)}</div></div>
      </div>`;
  }

  function tree(word) {
    const place = new Map();  // node -> [left edge, right edge, y]
    let x = 8;
    for (const leaf of word.leaves) {
      const slot = Math.max(38, width(leaf.text, 13) + 14, width(leaf.hex, 10) + 8);
      place.set(leaf.i, [x, x + slot]);
      x += slot + GAP;
    }
    for (const node of word.steps) place.set(node.i, [place.get(node.left)[0], place.get(node.right)[1]]);
    const deepest = Math.max(0, ...word.nodes.map((node) => node.depth));
    const top = (word.characters.length ? CHARACTERS : 4) + LABEL + 16;  // of the leaves; the tree grows downwards
    const height = top + deepest * ROW + 11 + 2 * LABEL + 6;
    const center = (node) => (place.get(node.i)[0] + place.get(node.i)[1]) / 2;
    const y = (node) => top + node.depth * ROW;
    const lines = [], boxes = [];
    for (const node of word.steps) {
      for (const child of [word.nodes[node.left], word.nodes[node.right]]) {
        const [x1, y1, x2, y2] = [center(child), y(child) + (child.step === null ? 11 : 26), center(node), y(node) - 11];
        const middle = (y1 + y2) / 2;
        lines.push(`<path class="edge" data-of="${node.i}" style="${color(node)}" d="M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}"/>`);
      }
    }
    for (const node of word.nodes) {
      const [left, right] = place.get(node.i);
      const leaf = node.step === null;
      const wide = leaf ? right - left : Math.min(right - left, width(node.text, 13) + 18);
      const about = leaf ? (node.hex === node.text ? '' : node.hex) : `${node.step + 1} · #${number(node.rank)}`;
      const root = node.parent === null && node.id !== null;
      const label = leaf ? `${node.text}, ${node.hex}` : told(word, node);
      boxes.push(`<g class="node${leaf ? ' leaf' : ''}" data-node="${node.i}"${leaf ? '' :
          ` data-step="${node.step + 1}" role="button" tabindex="-1"`} aria-label="${escape(label)}" style="${color(node)}"
          transform="translate(${center(node)} ${y(node)})"><title>${escape(label)}${node.id === null ? '' : `, id ${node.id}`}</title>
        <rect x="${-wide / 2}" y="-11" width="${wide}" height="22" rx="4"/>
        <text y="4.5">${escape(node.text)}</text>
        <text class="about" y="${leaf ? -16 : 23}">${escape(about)}</text>${
          root ? `<text class="id" y="${leaf ? 25 : 37}">id ${node.id}</text>` : ''}</g>`);
    }
    const starts = new Map(word.leaves.map((leaf) => [leaf.start, leaf.i]));
    const characters = word.characters.map(([text, start, end]) => {
      const inside = [];
      for (let byte = start; byte < end; byte++) if (starts.has(byte)) inside.push(starts.get(byte));
      const [from, to, line] = [place.get(inside[0])[0] + 2, place.get(inside[inside.length - 1])[1] - 2, CHARACTERS - 4];
      return `<path class="bracket" d="M${from} ${line + 5}v-5H${to}v5"/>
        <text class="character" x="${(from + to) / 2}" y="${line - 7}">${escape(text)}</text>`;
    });
    return `<svg width="${x + 2}" height="${height}" viewBox="0 0 ${x + 2} ${height}" role="group" aria-label="Merge tree of ${escape(word.word)}">
      ${lines.join('')}${boxes.join('')}${characters.join('')}</svg>`;
  }

  // ---- what is drawn at every step
  function drawPieces(word, step, strip) {
    const now = pieces(word, step);
    const next = word.steps[step];
    let html = '';
    now.forEach((node, place) => {
      const marks = [step && node === word.steps[step - 1] ? 'made' : '', next && [next.left, next.right].includes(node.i) ? 'next' : ''];
      html += `<span class="piece ${marks.join(' ')}" role="listitem" data-node="${node.i}" style="${color(node)}"><b>${node.html}</b>${
        node.id === null ? '' : `<small>${node.id}</small>`}</span>`;
      const after = now[place + 1];
      const rank = after && word.ranks.get(`${node.i},${after.i}`);
      if (rank !== undefined && after) {
        const first = next && next.left === node.i && next.right === after.i;
        html += `<span class="pair${first ? ' next' : ''}" title="Rank of this pair${first ? ': the lowest, so it is merged next' : ''}">${number(rank)}</span>`;
      }
    });
    strip.innerHTML = html;
  }

  function said(word, step) {
    const [made, next, last] = [word.steps[step - 1], word.steps[step], word.steps.length];
    const piece = (i) => `<b class="piece" style="${color(word.nodes[i])}">${word.nodes[i].html}</b>`;
    const tokens = word.roots.length === 1 ? '1 token' : `${word.roots.length} tokens`;
    if (word.whole) return 'The word is in the vocabulary as a whole, and this tokenizer takes such a word as it is, without merges.';
    if (!last) return `No two of these are merged: the word is ${tokens}.`;
    const done = made ? `${piece(made.left)} and ${piece(made.right)} were merged. ` : `The word as it begins: ${number(word.leaves.length)} pieces. `;
    if (!next) return `${done}No pair that is left has a rank: the word is ${tokens}.`;
    return `${done}Next: ${piece(next.left)} and ${piece(next.right)}, the pair of lowest rank (${number(next.rank)}).`;
  }

  // ---- the player
  window.mergePlayer = (element, value) => {
    const box = element.querySelector('.player');
    if (!box || box.shown === value) return;
    box.shown = value;
    box.stop?.();
    const player = document.createElement('div');
    player.setAttribute('role', 'group');
    player.setAttribute('aria-label', 'Merge player');
    box.replaceChildren(player);
    if (!value) return;
    const data = JSON.parse(value);
    if (data.html) {  // a tokenizer that merges nothing: there is nothing to play
      player.innerHTML = data.html;
      return;
    }
    const word = read(data);
    player.innerHTML = frame(word);
    const last = word.steps.length;
    const find = (selector) => player.querySelector(selector);
    const [slider, count, sentence, strip, treeBox, list, speed] =
      ['input', 'output', '.player-said', '.player-pieces', '.player-tree', '.player-steps', 'select'].map(find);
    const drawn = new Map();  // node -> what is drawn of it in the tree
    for (const part of player.querySelectorAll('[data-of], g[data-node]')) {
      const node = Number(part.dataset.of ?? part.dataset.node);
      drawn.set(node, [...(drawn.get(node) ?? []), part]);
    }
    const group = (node) => drawn.get(node.i).find((part) => part.matches('g'));
    const entries = [...player.querySelectorAll('.player-steps button')];
    let step = last, timer = null;

    const stop = () => {
      clearTimeout(timer);
      timer = null;
      const play = find('[data-go="play"]');
      if (play) Object.assign(play, {innerHTML: icon('play'), title: 'Play'}).setAttribute('aria-label', 'Play');
    };
    const play = () => {
      if (step >= last) show(0);
      const pause = find('[data-go="play"]');
      Object.assign(pause, {innerHTML: icon('pause'), title: 'Pause'}).setAttribute('aria-label', 'Pause');
      const tick = () => {
        if (!player.isConnected || !player.offsetParent || step >= last) return stop();
        show(step + 1);
        timer = setTimeout(tick, PAUSE / Number(speed.value));
        if (step >= last) stop();
      };
      timer = setTimeout(tick, PAUSE / Number(speed.value));
    };
    box.stop = stop;

    function show(to) {
      step = Math.max(0, Math.min(last, to));
      slider.value = step;
      slider.style.setProperty('--done', `${last ? 100 * step / last : 0}%`);
      slider.disabled = !last;
      count.textContent = last ? `step ${number(step)} of ${number(last)}` : 'no merge';
      sentence.innerHTML = said(word, step);
      drawPieces(word, step, strip);
      const next = word.steps[step], made = word.steps[step - 1];
      for (const node of word.nodes) {
        for (const part of drawn.get(node.i)) {
          part.classList.toggle('hidden', node.step !== null && node.step >= step);
          part.classList.toggle('made', node === made);
          part.classList.toggle('next', Boolean(next) && (next.left === node.i || next.right === node.i));
          if (node.step !== null && part.matches('g')) part.setAttribute('tabindex', node === made ? '0' : '-1');
        }
      }
      entries.forEach((entry, place) => {
        entry.classList.toggle('done', place < step);
        if (place === step - 1) entry.setAttribute('aria-current', 'step');
        else entry.removeAttribute('aria-current');
        entry.tabIndex = place === Math.max(0, step - 1) ? 0 : -1;
      });
      for (const [name, off] of [['first', step === 0], ['back', step === 0], ['forth', step === last], ['last', step === last]]) {
        find(`[data-go="${name}"]`).setAttribute('aria-disabled', String(off));
      }
      find('[data-go="play"]').setAttribute('aria-disabled', String(!last));
      if (made) {
        intoView(list.querySelector('ol'), entries[step - 1]);
        intoView(treeBox, group(made));
      }
    }

    function intoView(outer, inner) {  // without moving the page
      const [a, b] = [outer.getBoundingClientRect(), inner.getBoundingClientRect()];
      if (!a.height) return;
      if (b.top < a.top || b.bottom > a.bottom) outer.scrollTop += (b.top + b.bottom - a.top - a.bottom) / 2;
      if (b.left < a.left || b.right > a.right) outer.scrollLeft += (b.left + b.right - a.left - a.right) / 2;
    }

    function light(target) {
      player.querySelectorAll('.lit').forEach((part) => part.classList.remove('lit'));
      const at = target && target.closest && target.closest('[data-step], [data-node]');
      if (!at) return;
      const node = at.dataset.step ? word.steps[Number(at.dataset.step) - 1] : word.nodes[Number(at.dataset.node)];
      player.querySelectorAll(`[data-node="${node.i}"]`).forEach((part) => part.classList.add('lit'));
      if (node.step !== null) entries[node.step].classList.add('lit');
    }

    player.addEventListener('click', (event) => {
      const go = event.target.closest('[data-go]');
      const at = event.target.closest('[data-step]');
      if (go && go.getAttribute('aria-disabled') === 'true') return;
      if (go && go.dataset.go === 'play') return timer === null ? play() : stop();
      if (!go && !at) return;
      stop();
      show(at ? Number(at.dataset.step) : {first: 0, back: step - 1, forth: step + 1, last}[go.dataset.go]);
    });
    slider.addEventListener('input', () => { stop(); show(Number(slider.value)); });
    for (const name of ['mouseover', 'focusin']) player.addEventListener(name, (event) => light(event.target));
    for (const name of ['mouseleave', 'focusout']) player.addEventListener(name, () => light(null));
    player.addEventListener('keydown', (event) => {
      if (event.target === slider || event.target === speed || event.ctrlKey || event.metaKey || event.altKey) return;
      const inList = event.target.closest('.player-steps li'), inTree = event.target.closest('g.node');
      const to = {ArrowRight: step + 1, ArrowDown: step + 1, ArrowLeft: step - 1, ArrowUp: step - 1, Home: 0, End: last}[event.key];
      if (inTree && (event.key === 'Enter' || event.key === ' ')) {
        event.preventDefault();
        stop();
        return show(Number(inTree.dataset.step));
      }
      if (to === undefined) return;
      event.preventDefault();
      stop();
      show(to);
      if (inList && step) entries[step - 1].focus({preventScroll: true});
      if (inTree && step) group(word.steps[step - 1]).focus({preventScroll: true});
    });
    show(last);
  };
}
