"""Many inputs decoded quickly: sorted into batches by their length in tokens, each batch of about the same work.

    for done in decoded(run, inputs, config):
        for one in done or (): print(one.number, one.generation.text)

What is in a batch follows from the inputs and the settings only, and batches come in an order that is mixed once and
for all: so what is there of a stopped job is a fair sample, a job that goes on makes the very same batches, and the
time left can be told from the time that was taken.
"""

import random
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from core.decode.config import GenerationConfig
from core.decode.result import Generation
from core.decode.search import results
from core.decode.workers import side_by_side

if TYPE_CHECKING:
    from core.run import Run

ROWS = 1_280  # inputs times beams or samples, decoded together on a CPU
FEW_ROWS = 80  # no fewer, as long as there are inputs
BATCHES = 8  # at least, of so many rows: to be worked on side by side
CUT = 4  # the last batch is cut into so many parts, so that all who work end at about the same time
GPU_ROWS = 1_024
KEYS = 640 * 2**20  # bytes of keys and values that one of the batches may come to hold
TOKENS = 32_768  # input tokens times rows of a batch, at most: long inputs come in smaller batches


@dataclass(frozen=True)
class Decoded:
    """seconds: the input's share of its batch's time."""

    number: int
    generation: Generation
    seconds: float


def batches(
    lengths: Sequence[int], rows: int, most_rows: int = ROWS, most_tokens: int = TOKENS, shared: bool = True
) -> list[list[int]]:
    """Places of `lengths`, those of similar length together. rows: that each takes. shared: by several who work side by
    side, so there are enough for all, and small ones at the end.

    >>> sorted(map(sorted, batches([3, 9, 4, 8], rows=1, most_rows=2, shared=False)))
    [[0, 2], [1, 3]]
    """
    # The longest first: what is left over for a batch that is not full are the shortest, which cost least.
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    if shared:
        most_rows = min(most_rows, max(FEW_ROWS, len(lengths) * rows // BATCHES))
    found: list[list[int]] = []
    for place in order:
        size = len(found[-1]) + 1 if found else 0
        if not found or size * rows > most_rows or size * rows * lengths[found[-1][0]] > most_tokens:
            found.append([])
        found[-1].append(place)
    random.Random(0).shuffle(found)
    if not shared or not found:
        return found
    # Whoever began the batch that takes longest last of all would keep the others waiting.
    dearest = max(found, key=lambda batch: len(batch) * lengths[batch[0]])
    found.remove(dearest)
    found.insert(len(found) // 2, dearest)
    last = found.pop()
    size = max(1, FEW_ROWS // rows, -(-len(last) // CUT))
    return found + [last[start : start + size] for start in range(0, len(last), size)]


def decoded(
    run: "Run",
    inputs: Sequence[list[int] | None],
    config: GenerationConfig | None = None,
    assistant: "Run | None" = None,
    done: frozenset[int] = frozenset(),
    workers: int = 0,
) -> Generator[list[Decoded] | None, None, None]:
    """Batches as they are done, and None between. Closing it stops within a step.

    inputs: as `core.decode.search.input_ids` gives them. done: numbers of inputs that are not needed; a batch is left
    out if all of it is done. workers: batches that are decoded side by side; by default as many as PyTorch has threads
    on a CPU. What is in a batch does not depend on it.
    """
    config = config or run.config.decode
    on_cpu = run.model.device.type == "cpu"
    lengths = [len(ids or ()) for ids in inputs]
    most_rows = min(ROWS if on_cpu else GPU_ROWS, _rows_within(KEYS, run, config, max(lengths, default=0)))
    found = batches(lengths, config.rows, most_rows, shared=on_cpu)
    waiting = [batch for batch in found if not all(number in done for number in batch)]
    workers = min(workers or (torch.get_num_threads() if on_cpu else 1), len(waiting))

    def decode(batch: list[int]) -> Iterator[list[Decoded] | None]:
        return _decoded(run, batch, [inputs[number] for number in batch], config, assistant, max(1, workers))

    if workers <= 1:
        for batch in waiting:
            yield from decode(batch)
    else:
        yield from side_by_side(decode, waiting, workers)


def _rows_within(room: int, run: "Run", config: GenerationConfig, longest: int) -> int:
    """Rows whose keys and values take no more than so many bytes, should all be as long as they may become."""
    model = run.model.config
    positions = config.max_new_tokens + (0 if run.model.is_encoder_decoder else longest)
    positions = max(1, min(positions, model.max_seq_len))
    return max(1, room // (2 * model.n_layers * model.n_kv_heads * model.d_head * positions * 4))


def _decoded(
    run: "Run",
    batch: list[int],
    inputs: list[list[int] | None],
    config: GenerationConfig,
    assistant: "Run | None",
    workers: int,
) -> Iterator[list[Decoded] | None]:
    began, found = time.perf_counter(), {}
    with closing(results(run, inputs, config, assistant)) as steps:
        for step in steps:
            if step is None:
                yield None
            else:
                found[step[0]] = step[1]
    share = (time.perf_counter() - began) / len(batch) / workers
    yield [Decoded(number, found[row], share) for row, number in enumerate(batch)]
