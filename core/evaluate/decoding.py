"""Many sources translated quickly: sorted into batches by their length in tokens, each batch of about the same work.

    for batch in translated(run, sources, config):
        for line in batch: print(line.number, line.output)

What is in a batch follows from the sources and the settings only, and batches come in an order that is mixed once and
for all: so what is there of a stopped job is a fair sample, a job that goes on makes the very same batches, and the
time left can be told from the time that was taken.
"""

import random
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.decode.config import GenerationConfig

if TYPE_CHECKING:
    from core.run import Run

ROWS = 320  # sources times beams or samples, decoded together on a CPU
GPU_ROWS = 1_024
TOKENS = 16_384  # source tokens times rows of a batch, at most: long sources come in smaller batches


@dataclass(frozen=True)
class Translated:
    """One source's translation. seconds: its share of its batch's time."""

    number: int
    output: str
    tokens: int  # written, the end token included
    logprob: float
    truncated: bool  # the source was longer than the context
    seconds: float


def batches(lengths: Sequence[int], rows: int, most_rows: int = ROWS, most_tokens: int = TOKENS) -> list[list[int]]:
    """Places of `lengths`, those of similar length together. rows: that each takes.

    >>> sorted(map(sorted, batches([3, 9, 4, 8], rows=1, most_rows=2)))
    [[0, 2], [1, 3]]
    """
    order = sorted(range(len(lengths)), key=lambda place: (lengths[place], place))
    found: list[list[int]] = []
    for place in order:
        size = len(found[-1]) + 1 if found else 0
        if not found or size * rows > most_rows or size * rows * lengths[place] > most_tokens:
            found.append([])
        found[-1].append(place)
    random.Random(0).shuffle(found)
    return found


def translated(
    run: "Run",
    sources: Sequence[str],
    config: GenerationConfig | None = None,
    assistant: "Run | None" = None,
    done: frozenset[int] = frozenset(),
) -> Generator[list[Translated] | None, None, None]:
    """Batches of translations as they are done, and None after each step between. Closing it stops within a step.

    done: numbers of sources that are not needed; a batch is left out if all of it is done.
    """
    from core.decode.search import input_ids, results

    config = replace(config or run.config.decode, num_return_sequences=1)
    ids = [input_ids(run, source) for source in sources]
    most = GPU_ROWS if run.model.device.type == "cuda" else ROWS
    for batch in batches([len(found or ()) for found in ids], config.rows, most):
        if all(number in done for number in batch):
            continue
        began, found = time.perf_counter(), {}
        with closing(results(run, [ids[number] for number in batch], config, assistant)) as steps:
            for step in steps:
                if step is None:
                    yield None
                else:
                    found[step[0]] = step[1]
        share = (time.perf_counter() - began) / len(batch)
        yield [
            Translated(
                number, found[row].text, len(found[row].ids), found[row].best.total_logprob, found[row].truncated, share
            )
            for row, number in enumerate(batch)
        ]
