"""A run through its training: its snapshots, and what its heads look at in each, while they form.

for step in through_training(run, "He is kind. He is kind.", "self"):
    step.step, step.maps[layer, head], step.scores["induction"], step.induction

A snapshot is the weights at one step, as float16 safetensors in the run's directory: train.snapshots says how many.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.analysis.alignment import AlignmentScores, alignment_scores
from core.analysis.head_scores import induction_on_repeats
from core.analysis.reading import Reading, read
from core.analysis.survey import head_blocks, pool, survey
from core.errors import RunError, UserError
from core.run import load_model

if TYPE_CHECKING:
    from core.data.grammar import Example
    from core.model import LanguageModel
    from core.run import Run

CELLS = 64  # rows and columns that a map keeps at most
MOST = 40  # snapshots that are looked at: of more, so many, spread evenly over them


@dataclass(frozen=True)
class Snapshot:
    step: int
    path: Path


@dataclass(frozen=True)
class StepScores:
    """The heads at one step of training; a layer's index comes first, then a head's.

    rows, columns: names of the text's tokens that look (of cross-attention: that are written) and are looked at. maps:
    float16 (layers, heads, rows, columns), attention, pooled to at most CELLS a side. scores: of
    `head_scores.SCORES` on the text. induction: on repeated random tokens; None for a translator. alignment: errors on
    the examples; None where none were given. notes: what was cut of the text.
    """

    step: int
    rows: list[str]
    columns: list[str]
    maps: np.ndarray
    scores: dict[str, np.ndarray]
    induction: np.ndarray | None = None
    alignment: AlignmentScores | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        return self.maps.nbytes + sum(values.nbytes for values in self.scores.values())


def snapshots(directory: Path) -> list[Snapshot]:
    """The snapshots of a run, by step; none if it kept none."""
    found = []
    for path in (directory / "snapshots").glob("step-*.safetensors"):
        named = re.fullmatch(r"step-(\d{1,12})\.safetensors", path.name)
        if named and path.is_file():
            found.append(Snapshot(int(named[1]), path))
    return sorted(found, key=lambda snapshot: snapshot.step)


def spread(found: Sequence[Snapshot], most: int = MOST) -> list[Snapshot]:
    """At most so many of the snapshots, evenly over them, the first and the last among them.

    >>> [s.step for s in spread([Snapshot(step, Path()) for step in range(1, 8)], 3)]
    [1, 4, 7]
    """
    if len(found) <= most:
        return list(found)
    return [found[int(place)] for place in np.linspace(0, len(found) - 1, most).round()]


def snapshot_model(run: "Run", step: int) -> "LanguageModel":
    """The model as it was at a step of which there is a snapshot. RunError, with the steps, if there is none."""
    found = {snapshot.step: snapshot for snapshot in snapshots(run.directory)}
    if step not in found:
        steps = ", ".join(f"{known:,}" for known in list(found)[:20]) or "none"
        raise RunError(f"The run {run.name} has no snapshot of step {step:,}; there are: {steps}.")
    return load_model(run.directory, run.config, f"snapshots/{found[step].path.name}")


def through_training(
    run: "Run",
    text: str,
    kind: str,
    target: str | None = None,
    examples: Sequence["Example"] = (),
    rows: str = "written",
    most: int = MOST,
) -> Iterator[StepScores]:
    """What all heads of a kind look at in the text, snapshot by snapshot. Whoever stops asking has stopped it.

    target: of a translator, the same for all steps; None: what the run itself translates. Else as `step_scores`.
    RunError if the run kept no snapshots.
    """
    found = spread(snapshots(run.directory), most)
    if not found:
        raise RunError(
            f"The run {run.name} kept no snapshots; one that is trained with train.snapshots=10 can be watched."
        )
    if run.is_translation and target is None:
        target = own_target(run, text)
    for snapshot in found:
        yield step_scores(run, snapshot.step, text, kind, target, examples, rows)


def step_scores(
    run: "Run",
    step: int,
    text: str,
    kind: str,
    target: str | None = None,
    examples: Sequence["Example"] = (),
    rows: str = "written",
) -> StepScores:
    """What all heads of a kind look at in the text at a step of which there is a snapshot.

    examples: sentence pairs on which a translator's alignment errors are counted, rows as in `core.analysis.alignment`;
    they are of the cross-attention, whatever the kind. Raises RunError if the snapshot is not there or broken, or for a
    kind that the model does not have, TextError for a text that cannot be read.
    """
    model = snapshot_model(run, step)
    reading = read(run, text, target, model)
    if kind not in reading.kinds:
        raise RunError(f"The run {run.name} has no attention of the kind {kind[:20]!r}; choose another.")
    return StepScores(
        step,
        reading.written if kind == "cross" else reading.queries(kind),
        reading.keys(kind),
        _maps(reading, kind),
        survey(reading, kind, cells=1).scores,
        induction=None if run.is_translation else induction_on_repeats(run, model),
        alignment=alignment_scores(run, examples, model, rows) if examples else None,
        notes=reading.notes,
    )


def own_target(run: "Run", text: str) -> str:
    """What the run translates the text to in the end; without weights yet, with its last snapshot."""
    try:
        model = run.model
    except UserError:
        found = snapshots(run.directory)
        if not found:
            raise
        model = snapshot_model(run, found[-1].step)
    return read(run, text, None, model).target


def _maps(reading: Reading, kind: str) -> np.ndarray:
    blocks = [pool(weights, CELLS, CELLS).astype(np.float16) for _, _, weights in head_blocks(reading, kind)]
    maps = np.concatenate(blocks)
    return maps.reshape(reading.n_layers(kind), reading.n_heads, *maps.shape[1:])
