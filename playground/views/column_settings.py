"""The columns of the Decoding tab before anything is written: which there are, and their settings in words."""

from collections.abc import Sequence
from html import escape

from core.decode.config import GenerationConfig
from core.evaluate.degeneration import first_divergence


def chips_html(titles: Sequence[str], chosen: int, most: int) -> str:
    """A chip for each column, of which one's settings are shown, and one more to add a column."""
    chips = ""
    for place, title in enumerate(titles):
        pressed = "true" if place == chosen else "false"
        remove = (
            f'<button type="button" class="decoding-remove" data-act="remove" data-column="{place}" '
            f'aria-label="Remove column {place + 1}, {escape(title)}">×</button>'
            if len(titles) > 1
            else ""
        )
        chips += (
            f'<span class="decoding-chip"><button type="button" data-act="choose" data-column="{place}" '
            f'aria-pressed="{pressed}"><span class="decoding-place">{place + 1}</span> {escape(title)}</button>'
            f"{remove}</span>"
        )
    if len(titles) < most:
        chips += '<button type="button" class="decoding-add" data-act="add" aria-label="Add a column">+ column</button>'
    return f'<div class="decoding-chips" role="group" aria-label="Columns">{chips}</div>'


def agreement(first: int, shared: int | None) -> str:
    """How far the columns say the same. shared: tokens at the beginning that are the same in all; None: all are.
    first: the column with which they are compared."""
    if shared is None:
        return '<p class="decoding-agreement">All columns say the same.</p>'
    same = "token" if shared == 1 else f"{shared:,} tokens"
    begin = f"All columns begin with the same {same}. " if shared else ""
    return (
        f'<p class="decoding-agreement">{begin}<span class="decoding-parts">Framed</span> is the first token that '
        f"differs from column {first + 1}.</p>"
    )


def divergence(columns: Sequence[tuple[Sequence[int] | None, str]]) -> tuple[str, list[int | None]]:
    """How far columns, each (ids or None, state), are the same, in words; and of each the position at which it parts
    from the first one (of the first, at which another parts from it), None where it has not."""
    there = [(place, ids, state) for place, (ids, state) in enumerate(columns) if ids is not None]
    parts: list[int | None] = [None] * len(columns)
    if len(there) < 2:
        return "", parts
    (first, given, first_state), *others = there
    for place, ids, state in others:
        position = first_divergence([given, ids])
        ends = position is not None and position >= min(len(given), len(ids))
        parts[place] = None if ends and "writing" in (first_state, state) else position
    known = [position for place, *_ in others if (position := parts[place]) is not None]
    parts[first] = min(known, default=None)
    if not known and any(state == "writing" for *_, state in there):
        return "", parts
    return agreement(first, parts[first]), parts


def settings_line(config: GenerationConfig) -> str:
    """The settings that act on this column, in words."""
    penalty = _penalties(config)
    if config.strategy == "assisted":
        drafts = f"{config.num_assistant_tokens} tokens drafted in one go, underlined where kept"
        how = "as greedy" if config.is_greedy else f"drawn {_drawn(config)}"
        return f"{how}; {drafts}{penalty}"
    if config.is_greedy:
        return "always the most probable token" + penalty
    if config.searches_beams:
        line = f"{config.num_beams} hypotheses at a time, length penalty {config.length_penalty:g}"
        if config.length_penalty_formula != "hf":
            line += f" ({config.length_penalty_formula})"
        if config.strategy == "diverse_beam":
            line += f", in {config.beam_groups} groups, diversity penalty {config.diversity_penalty:g}"
        return line + penalty
    if config.strategy == "contrastive":
        line = f"of the {config.rows} most probable the least like what was said, weight {config.penalty_alpha:g}"
        return line + penalty
    drawn = f"drawn {_drawn(config)}{penalty}"
    if config.strategy == "best_of":
        return f"the most probable of {config.num_samples} samples, {drawn}"
    if config.strategy == "mbr":
        metric = {"chrf": "chrF", "bleu": "BLEU"}[config.mbr_metric]
        return f"of {config.num_samples} samples the most like all others by {metric}, {drawn}"
    return drawn


def _drawn(config: GenerationConfig) -> str:
    parts = []
    if config.top_k:
        parts.append(f"from the {config.top_k:,} most probable")
    if config.top_p < 1:
        parts.append(f"from the most probable {config.top_p:.0%}")
    for name, off in (("min_p", 0), ("typical_p", 1), ("epsilon_cutoff", 0), ("eta_cutoff", 0)):
        value = getattr(config, name)
        if value != off:
            parts.append(f"{name.replace('_', '-').replace('-cutoff', ' cutoff')} {value:g}")
    return ", ".join([*parts, f"temperature {config.temperature:g}", f"seed {config.seed}"])


def _penalties(config: GenerationConfig) -> str:
    parts = []
    for name, off in (("repetition_penalty", 1), ("presence_penalty", 0), ("frequency_penalty", 0)):
        value = getattr(config, name)
        if value != off:
            parts.append(f", {name.replace('_', ' ')} {value:g}")
    if config.no_repeat_ngram_size:
        parts.append(f", no {config.no_repeat_ngram_size}-gram twice")
    return "".join(parts)
