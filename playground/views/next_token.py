"""The next token by hand: its distribution as a figure, and what each processor made of it as a table.

Pure functions of a `core.decode.cursor.NextToken` (numpy arrays over the vocabulary) and plain values.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from core.tokenizer.visible import visible
from playground.views.figure import packed, spec
from playground.views.written import number, percent, token_groups

if TYPE_CHECKING:
    from core.decode.cursor import Cursor, NextToken
    from core.tokenizer import Tokenizer

SHOWN = 40  # most probable tokens that the figure has, by the model and after the processors
IN_TABLE = 8
BINS = 160  # of ranks on the curve
LAST = 300  # written tokens, and characters of the prompt, that are shown
TITLES = {
    "top_k": "top-k", "top_p": "top-p", "min_p": "min-p", "typical_p": "typical", "count_penalties": "presence and "
    "frequency penalty", "greedy": "most probable only",
}  # fmt: skip


def processor_title(name: str) -> str:
    """
    >>> processor_title("top_k"), processor_title("repetition_penalty")
    ('top-k', 'repetition penalty')
    """
    return TITLES.get(name, name.replace("_", " "))


def next_spec(cursor: "Cursor", after: "NextToken | None", choice: int | None, found: Sequence[int] = ()) -> str:
    """The figure. after: None where nothing follows. choice: the token that a step would take. found: tokens that
    are shown, whatever their rank."""
    tokenizer, written = cursor.run.tokenizer, len(cursor.written)
    text = {
        "prompt": cursor.text[-LAST:], "cut": len(cursor.text) > LAST, "translates": cursor.run.is_translation,
        "text": written_tokens(cursor, tokenizer)[-LAST:], "at": written, "logprob": cursor.logprob,
    }  # fmt: skip
    title = f"Token {written + 1}: what comes next"
    if after is None:
        ended = "The text has come to its end." if cursor.ended == "end" else "The model’s context is full."
        return spec("next", "next-token", title, ended, **text, rows=[], processors=[], curve=None)
    rows = after.top(SHOWN)
    there = {row["id"] for row in rows}
    rows += [row for row in after.top(SHOWN, "final") if row["id"] not in there and row["final"] > 0]
    there = {row["id"] for row in rows}
    if choice is not None and choice not in there:
        rows += after.rows([choice])
    rows += after.rows([token for token in dict.fromkeys(found) if token not in there and token != choice])
    for row in rows:
        row["logit"] = row["logit"] if math.isfinite(row["logit"]) else None
        row["removed_by"] = processor_title(row["removed_by"]) if row["removed_by"] else ""
    said = (
        f"{len(after.logits):,} tokens · entropy {after.entropy:.3f} → {after.final_entropy:.3f} nats · perplexity "
        f"{number(after.perplexity)} → {number(after.final_perplexity)} · {after.kept:,} kept, which hold "
        f"{percent(after.mass)} of the model’s probability"
    )
    return spec(
        "next", "next-token", title, said, **text, rows=rows, choice=choice, found=list(found), curve=curve(after),
        processors=[processor_title(name) for name in after.processors],
    )  # fmt: skip


def written_tokens(cursor: "Cursor", tokenizer: "Tokenizer") -> list[dict[str, Any]]:
    """What has been written, in groups that are whole characters: {"words", "from" (a position), "logprob", "rank"}."""
    found = []
    for group in token_groups(cursor.written, tokenizer):
        ids = [cursor.written[place] for place in group]
        named = any(token in tokenizer.special_ids or not tokenizer.has_id(token) for token in ids)
        if named:
            words = "".join(
                visible(tokenizer.token_bytes(token)) if tokenizer.has_id(token) else f"#{token}" for token in ids
            )
        else:
            words = b"".join(tokenizer.token_bytes(token) for token in ids).decode("utf-8", "replace")
        found.append(
            {
                "words": words, "from": group[0], "logprob": sum(cursor.scores[place].logprob for place in group),
                "rank": max(cursor.scores[place].rank for place in group),
            }
        )  # fmt: skip
    return found


def curve(after: "NextToken") -> dict[str, Any]:
    """The whole distribution in the model's order, in bins of ranks that grow: for each its first rank, the mean
    probabilities by the model and after the processors, and the share of its tokens that is left."""
    order = np.argsort(after.ranks, kind="stable")
    count = len(order)
    starts = np.unique(np.geomspace(1, count + 1, min(BINS, count) + 1).astype(np.int64))[:-1] - 1
    sizes = np.diff([*starts, count])

    def means(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values[order].astype(np.float64), starts) / sizes

    last = after.after[-1] if after.after else after.start
    return {
        "ranks": packed(starts + 1), "sizes": packed(sizes), "model": packed(means(after.probabilities)),
        "final": packed(means(after.final)), "left": packed(means(last != -math.inf)),
    }  # fmt: skip


def stages(after: "NextToken") -> list[dict[str, Any]]:
    """The model's answer, then what is there after each processor: {"name", "left" (tokens), "removed" (by this one),
    "mass" (the model's probability of what is left), "entropy" (nats, of what is left, probabilities summing to 1)}."""
    found: list[dict[str, Any]] = []
    before = len(after.logits)
    for name, logits in zip(("model", *after.processors), (after.start, *after.after), strict=True):
        left = np.isfinite(logits)
        kept = logits[left].astype(np.float64)
        weights = np.exp(kept - kept.max()) if kept.size else kept
        shares = weights / weights.sum() if kept.size else weights
        entropy = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum()) + 0.0
        found.append(
            {
                "name": name, "left": int(left.sum()), "removed": before - int(left.sum()), "entropy": entropy,
                "mass": float(after.probabilities[left].sum()),
            }
        )  # fmt: skip
        before = int(left.sum())
    return found


def stages_html(after: "NextToken", choice: int | None = None) -> str:
    """The table: tokens by processors, from the model's logit to the probability that is chosen from; below, how many
    tokens each has left."""
    rows = after.top(IN_TABLE, "final" if after.kept >= IN_TABLE else "model")
    if choice is not None and choice not in {row["id"] for row in rows}:
        rows += after.rows([choice])
    names = [processor_title(name) for name in after.processors]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("token", "model’s probability", "logit", *names))
    body = "".join(_row(row, choice) for row in rows)
    found = stages(after)
    lines = [
        ("tokens left", [f"{stage['left']:,}" for stage in found]),
        ("removed here", ["", *[f"{stage['removed']:,}" if stage["removed"] else "–" for stage in found[1:]]]),
        ("model’s probability of them", [percent(stage["mass"]) if stage["left"] else "0" for stage in found]),
        ("entropy, nats", [f"{stage['entropy']:.3f}" for stage in found]),
        ("perplexity", [number(math.exp(stage["entropy"])) for stage in found]),
    ]
    foot = "".join(
        f'<tr><th scope="row" colspan="2">{title}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}<td></td></tr>'
        for title, cells in lines
    )
    return (
        '<p class="small-title">From logits to the choice, processor by processor</p>'
        '<div class="scroller next-stages" tabindex="0" role="region" aria-label="Logits after each processor">'
        f'<table class="number-table"><thead><tr>{head}<th scope="col">probability</th></tr></thead>'
        f"<tbody>{body}</tbody><tfoot>{foot}</tfoot></table></div>"
    )


def _row(row: dict[str, Any], choice: int | None) -> str:
    cells, before, gone = "", row["logit"], False
    for value in row["after"]:
        if value is None:
            cells += '<td class="next-gone">–</td>' if gone else '<td class="next-gone">removed</td>'
        else:
            cells += f'<td class="{"" if value != before else "next-same"}">{_logit(value)}</td>'
        before, gone = value, value is None
    chosen = ' class="next-choice"' if row["id"] == choice else ""
    final = percent(row["final"]) if row["final"] else "0"
    return (
        f'<tr{chosen}><th scope="row">{escape(row["text"])}</th><td>{percent(row["probability"])}</td>'
        f"<td>{_logit(row['logit'])}</td>{cells}<td><b>{final}</b></td></tr>"
    )


def _logit(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")
