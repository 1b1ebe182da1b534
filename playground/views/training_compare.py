"""What differs between runs: the keys of their configurations that do, and their best figures. Pure functions."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from playground.views.training import duration, gigabytes, perplexity
from playground.views.training_curves import PALETTE

LEFT_OUT = ("preset",)
PER_TOKEN = ("best validation loss", "perplexity")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration -> dotted keys.

    >>> flat({"model": {"d_model": 8}, "seed": 1})
    {'model.d_model': 8, 'seed': 1}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def differing(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Any]]]:
    """(key, a value for each run) of the keys that are not the same in all; None where a run has no such key.

    Keys that follow from another one which differs (d_ff from d_model) are left in: they are part of the model.
    """
    flats = [flat(config) for config in configs]
    keys = dict.fromkeys(key for one in flats for key in one)
    rows = [(key, [one.get(key) for one in flats]) for key in keys if key not in LEFT_OUT]
    return [(key, values) for key, values in rows if any(value != values[0] for value in values[1:])]


def best_figures(figures: Mapping[str, np.ndarray]) -> dict[str, tuple[float, str]]:
    """Title -> (number to compare by, the smaller the better; text) of what a run reached."""
    found: dict[str, tuple[float, str]] = {}
    step = figures["step"]
    for title, key, sign, form in (
        ("best validation loss", "val_loss", 1, ".4f"), ("best BLEU", "bleu", -1, ".2f"),
        ("best chrF", "chrf", -1, ".2f"), ("least bits per byte", "val_bits_per_byte", 1, ".4f"),
    ):  # fmt: skip
        has = np.isfinite(figures[key])
        if has.any():
            place = int((sign * figures[key][has]).argmin())
            value = float(figures[key][has][place])
            found[title] = (sign * value, f"{value:{form}} at step {int(step[has][place]):,}")
            if key == "val_loss":
                found["perplexity"] = (value, perplexity(value))
    rates = figures["tokens_per_second"][np.isfinite(figures["tokens_per_second"])]
    if len(rates):
        found["tokens/s (median)"] = (-float(np.median(rates)), f"{np.median(rates):,.0f}")
    seconds = figures["seconds"][np.isfinite(figures["seconds"])]
    if len(seconds):
        found["trained for"] = (float("nan"), duration(float(seconds.max())))
    memory = figures["memory_bytes"][np.isfinite(figures["memory_bytes"])]
    if len(memory):
        found["memory"] = (float("nan"), gigabytes(float(memory.max())))
    return found


def compare_html(
    names: Sequence[str],
    configs: Sequence[Mapping[str, Any]],
    figures: Sequence[Mapping[str, np.ndarray]],
    more: Sequence[tuple[str, Sequence[str]]] = (),
) -> str:
    """A table: a column a run, in the colours of the curves; the best figure of a row is marked, where it can be told:
    losses per token of different tokenizers or data are no match for each other.

    more: further rows of (title, a text for each run), such as parameters.
    """
    if len(names) < 2:
        return ""
    best = [best_figures(one) for one in figures]
    same = same_tokens(configs)
    titles = dict.fromkeys(title for one in best for title in one)
    head = "".join(
        f'<th scope="col"><span class="swatch" style="background:{PALETTE[i % len(PALETTE)]}"></span>'
        f"{escape(name)}</th>"
        for i, name in enumerate(names)
    )
    body = ""
    for title in titles:
        numbers = [one[title][0] if title in one else float("nan") for one in best]
        known = [n for n in numbers if n == n]
        fair = same or title not in PER_TOKEN
        winner = min(known) if fair and len(known) > 1 and min(known) < max(known) else None
        cells = "".join(
            f"<td{' class=best' if number == winner else ''}>{escape(one[title][1]) if title in one else '–'}</td>"
            for one, number in zip(best, numbers)
        )
        body += f'<tr><th scope="row">{escape(title)}</th>{cells}</tr>'
    for title, texts in more:
        body += f'<tr><th scope="row">{escape(title)}</th>{"".join(f"<td>{escape(t)}</td>" for t in texts)}</tr>'
    differences = differing(configs)
    warning = "" if same else '<p class="caption">Different tokenizers or data: losses per token do not compare.</p>'
    span = len(names) + 1
    told = "what differs in their configurations" if differences else "their configurations are the same"
    body += f'<tr class="section"><th scope="rowgroup" colspan="{span}">{told}</th></tr>'
    for key, values in differences:
        cells = "".join(f"<td>{escape(value_text(key, value))}</td>" for value in values)
        body += f'<tr><th scope="row"><code>{escape(key)}</code></th>{cells}</tr>'
    return (
        '<div class="scroller training-compare"><table aria-label="Runs compared">'
        f'<thead><tr><th scope="col">run</th>{head}</tr></thead><tbody>{body}</tbody></table></div>{warning}'
    )


def same_tokens(configs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the runs count the same tokens of the same texts."""
    flats = [flat(config) for config in configs]
    keys = {key for one in flats for key in one if key.startswith(("data.", "tokenizer.")) or key == "model.vocab_size"}
    return all(one.get(key) == flats[0].get(key) for one in flats for key in keys)


def value_text(key: str, value: Any) -> str:
    """A configuration's value in a cell. Of a file only its name is shown, not where it lay."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(value_text(key, item) for item in value) or "none"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if key.startswith(("data.", "tokenizer.path")) and (text.startswith(("/", "~", ".")) or "\\" in text):
        text = text.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return text[:200] or "none"
