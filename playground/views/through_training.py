"""Heads through training as linked figures: the loss and a score over the steps, and the attention at each snapshot."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.analysis.head_scores import SCORES, Score
from core.analysis.snapshots import CELLS, StepScores
from core.analysis.survey import block, thumbnails
from playground.views.attention import AXES, Place, pooled_names
from playground.views.figure import packed, spec
from playground.views.series import thin

LINK = "through-training"
BYTES = 600_000  # of all small pictures of all snapshots
POINTS = 400  # of a curve of losses
REPEATS = Score(
    "Induction on repeats",
    "1/|I| · Σᵢ Σⱼ aᵢⱼ over j < i with tⱼ₋₁ = tᵢ; I: the queries i that have such a j",
    "The weight on what followed the same token, on random tokens that are read twice (Olsson et al., 2022).",
    ("self",),
)
ALIGNMENT = Score(
    "Alignment error rate",
    "1 − (|A ∩ S| + |A ∩ P|) / (|A| + |S|)",
    "How far a head's links are from the gold alignment of held-out built-in sentences; 0 is perfect.",
    ("cross",),
)
LOWER = ("alignment", "entropy")  # scores whose low end is the one to look for


def known_scores(step: StepScores, kind: str) -> dict[str, Score]:
    """The scores that can be followed: names -> what they are, the telling ones first."""
    found = {}
    if step.induction is not None and kind == "self":
        found["repeats"] = REPEATS
    if step.alignment is not None and kind == "cross":
        found["alignment"] = ALIGNMENT
    return found | {name: SCORES[name] for name, values in step.scores.items() if np.isfinite(values).any()}


def values_of(step: StepScores, name: str) -> np.ndarray:
    """A score of all heads (layers, heads) at a step."""
    if name == "repeats":
        assert step.induction is not None
        return step.induction
    if name == "alignment":
        assert step.alignment is not None
        return step.alignment.by_head
    return step.scores[name]


def best_head(steps: Sequence[StepScores], name: str) -> tuple[int, int]:
    """Layer and head where the score is most telling at the last step."""
    values = values_of(steps[-1], name)
    values = -values if name in LOWER else values
    layer, head = np.unravel_index(np.argmax(np.where(np.isfinite(values), values, -np.inf)), values.shape)
    return int(layer), int(head)


def frames(steps: Sequence[StepScores], leads: bool = False) -> dict:
    labels = [f"step {step.step:,}" for step in steps]
    return {"labels": labels, "at": [step.step for step in steps], "title": "Snapshot", "link": LINK, "leads": leads}


def framed(arrays: Sequence[np.ndarray], dtype: str = "f4", lower: bool = False) -> dict:
    """One array a snapshot, of which the figure shows one."""
    return packed(np.stack(arrays), dtype, lower) | {"frames": True}


def curves_spec(
    figures: Mapping[str, np.ndarray], steps: Sequence[StepScores], name: str, score: Score, layer: int, head: int,
    title: str,
) -> str:  # fmt: skip
    """The loss (left axis) and the score of every head (right axis) over the steps; the chosen head and the best one
    stand out. figures: columns of the run's metrics.jsonl."""
    at = np.array([step.step for step in steps], dtype=float)
    values = np.stack([values_of(step, name) for step in steps])  # (steps, layers, heads)
    lines = []
    for key, label in (("loss", "training loss"), ("val_loss", "validation loss")):
        there = np.isfinite(figures[key]) & np.isfinite(figures["step"])
        if there.any():
            x, y = thin(figures["step"][there], figures[key][there], POINTS)
            lines.append({"name": label, "x": packed(x), "y": packed(y), "dashed": key == "loss"})
    best = best_head(steps, name)
    standing = {(layer, head): "chosen"} | {best: "best" if best != (layer, head) else "chosen and best"}
    heads = np.ndindex(*values.shape[1:])
    for place in [*(other for other in heads if other not in standing), *standing]:
        which = f" ({standing[place]})" if place in standing else ""
        lines.append(
            {"name": f"{score.title}: layer {place[0] + 1}, head {place[1] + 1}{which}", "x": packed(at),
             "y": packed(values[:, place[0], place[1]]), "right": True, "faint": place not in standing, "dots": True}
        )  # fmt: skip
    highest = float(np.nanmax(values, initial=0.0))
    return spec(
        "curves", "through-training", title, f"{len(steps)} snapshots", lines=lines, x_axis="step", left_axis="loss",
        right_axis=score.title, right_range=[0, highest * 1.05 or 1], frames=frames(steps, leads=True), log=False,
        note=f"{score.title}: {score.meaning} Thin lines: the other heads. Click to go to the nearest snapshot.",
    )  # fmt: skip


def grid_spec(steps: Sequence[StepScores], kind: str, scores: Mapping[str, Score], layer: int, head: int) -> str:
    """All heads as small pictures at each snapshot."""
    layers, heads, rows, columns = steps[0].maps.shape
    cells = 32
    while cells > 8 and len(steps) * layers * heads * min(rows, cells) * min(columns, cells) > BYTES:
        cells //= 2
    small = [thumbnails(step.maps.astype(np.float32), cells) for step in steps]
    told = [
        {"name": name, "title": score.title, "formula": score.formula, "meaning": score.meaning,
         "values": framed([values_of(step, name) for step in steps])}
        for name, score in scores.items()
    ]  # fmt: skip
    return spec(
        "heads", f"through-training-{kind}-all-heads", "All heads", "choose one", small=framed(small, "u1"),
        scores=told, layer=layer, head=head, frames=frames(steps),
    )  # fmt: skip


def attention_spec(steps: Sequence[StepScores], place: Place) -> str:
    """The chosen head's attention at each snapshot, in one scale."""
    rows, columns = steps[-1].rows, steps[-1].columns
    maps = [step.maps[place.layer, place.head].astype(np.float32) for step in steps]
    steps_of = block(len(rows), CELLS), block(len(columns), CELLS)
    pooled = max(steps_of) > 1
    causal = place.kind == "self"
    row_axis, column_axis = AXES[place.kind]
    return spec(
        "heatmap", f"through-training-{place.file_name}", place.title,
        f"pooled: a cell is the mean of {steps_of[0]} × {steps_of[1]} tokens" if pooled else "",
        values=framed(maps, lower=causal), rows=pooled_names(rows, steps_of[0]),
        columns=pooled_names(columns, steps_of[1]), row_axis=row_axis, column_axis=column_axis, causal=causal,
        sink=True, outline=[], most=float(max(values.max(initial=0) for values in maps)), frames=frames(steps),
        note="One scale of colours for all snapshots." + ("" if pooled else " Each row sums to 1."),
    )  # fmt: skip
