"""Many sources translated quickly: sorted into batches by their length in tokens, each batch of about the same work.

    for batch in translated(run, sources, config):
        for line in batch: print(line.number, line.output)

What is in a batch follows from the sources and the settings only, and batches come in an order that is mixed once and
for all: so what is there of a stopped job is a fair sample, a job that goes on makes the very same batches, and the
time left can be told from the time that was taken.
"""

import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from core.decode.config import GenerationConfig

if TYPE_CHECKING:
    from core.run import Run

T = TypeVar("T")
R = TypeVar("R")
ROWS = 1_280  # sources times beams or samples, decoded together on a CPU
FEW_ROWS = 80  # no fewer, as long as there are sources
BATCHES = 8  # at least, of so many rows: to be worked on side by side
CUT = 4  # the last batch is cut into so many parts, so that all who work end at about the same time
GPU_ROWS = 1_024
KEYS = 640 * 2**20  # bytes of keys and values that one of the batches may come to hold
TOKENS = 32_768  # source tokens times rows of a batch, at most: long sources come in smaller batches


@dataclass(frozen=True)
class Translated:
    """One source's translation. seconds: its share of its batch's time."""

    number: int
    output: str
    tokens: int  # written, the end token included
    logprob: float
    truncated: bool  # the source was longer than the context
    seconds: float


def batches(
    lengths: Sequence[int], rows: int, most_rows: int = ROWS, most_tokens: int = TOKENS, shared: bool = True
) -> list[list[int]]:
    """Places of `lengths`, those of similar length together. rows: that each takes. shared: by several who work side by
    side, so there are enough for all, and small ones at the end.

    >>> sorted(map(sorted, batches([3, 9, 4, 8], rows=1, most_rows=2, shared=False)))
    [[0, 2], [1, 3]]
    """
    order = sorted(range(len(lengths)), key=lambda place: (lengths[place], place))
    if shared:
        most_rows = min(most_rows, max(FEW_ROWS, len(lengths) * rows // BATCHES))
    found: list[list[int]] = []
    for place in order:
        size = len(found[-1]) + 1 if found else 0
        if not found or size * rows > most_rows or size * rows * lengths[place] > most_tokens:
            found.append([])
        found[-1].append(place)
    random.Random(0).shuffle(found)
    if not shared or not found:
        return found
    last = found.pop()
    size = max(1, FEW_ROWS // rows, -(-len(last) // CUT))
    return found + [last[start : start + size] for start in range(0, len(last), size)]


def translated(
    run: "Run",
    sources: Sequence[str],
    config: GenerationConfig | None = None,
    assistant: "Run | None" = None,
    done: frozenset[int] = frozenset(),
    workers: int = 0,
) -> Generator[list[Translated] | None, None, None]:
    """Batches of translations as they are done, and None between. Closing it stops within a step.

    done: numbers of sources that are not needed; a batch is left out if all of it is done. workers: batches that are
    decoded side by side, a thread each; by default as many as PyTorch has threads on a CPU. Small matrices gain less
    from being cut in two than from a second batch beside them. What is in a batch does not depend on it.
    """
    from core.decode.search import input_ids

    config = replace(config or run.config.decode, num_return_sequences=1)
    ids = [input_ids(run, source) for source in sources]
    on_cpu = run.model.device.type == "cpu"
    most_rows = min(ROWS if on_cpu else GPU_ROWS, _rows_within(KEYS, run, config))
    found = batches([len(source or ()) for source in ids], config.rows, most_rows, shared=on_cpu)
    waiting = [batch for batch in found if not all(number in done for number in batch)]
    workers = min(workers or (torch.get_num_threads() if on_cpu else 1), len(waiting))

    def decode(batch: list[int]) -> Iterator[list[Translated] | None]:
        return _decoded(run, batch, [ids[number] for number in batch], config, assistant, max(1, workers))

    if workers <= 1:
        for batch in waiting:
            yield from decode(batch)
    else:
        yield from side_by_side(decode, waiting, workers)


def _rows_within(room: int, run: "Run", config: GenerationConfig) -> int:
    """Rows whose keys and values take no more than so many bytes, should all be as long as they may become."""
    model = run.model.config
    positions = min(config.max_new_tokens, model.max_seq_len)
    return max(1, room // (2 * model.n_layers * model.n_kv_heads * model.d_head * positions * 4))


def _decoded(
    run: "Run",
    batch: list[int],
    inputs: list[list[int] | None],
    config: GenerationConfig,
    assistant: "Run | None",
    workers: int,
) -> Iterator[list[Translated] | None]:
    from core.decode.search import results

    began, found = time.perf_counter(), {}
    with closing(results(run, inputs, config, assistant)) as steps:
        for step in steps:
            if step is None:
                yield None
            else:
                found[step[0]] = step[1]
    share = (time.perf_counter() - began) / len(batch) / workers
    lines = []
    for row, number in enumerate(batch):
        best = found[row].best
        lines.append(Translated(number, best.text, len(best.ids), best.total_logprob, found[row].truncated, share))
    yield lines


def side_by_side(
    work: Callable[[T], Iterator[R | None]], items: Sequence[T], workers: int
) -> Generator[R | None, None, None]:
    """What `work` yields of every item, in the order in which it comes, from so many threads; None every 50 ms.

    Each thread computes by itself (PyTorch's products are not divided further). The first error is raised. Closing it,
    and an error, ends all threads within a step.
    """
    threads = torch.get_num_threads()
    left, came, ended = iter(items), SimpleQueue[tuple[str, Any]](), threading.Event()
    lock, ready = threading.Lock(), threading.Barrier(workers + 1)

    def follow() -> None:
        torch.get_num_threads()  # a thread's own number is set by its first use of it, to that of all
        torch.set_num_threads(1)
        ready.wait()
        try:
            while not ended.is_set():
                with lock:
                    item = next(left, None)
                if item is None:
                    break
                with closing(_generator(work(item))) as steps:
                    for found in steps:
                        if ended.is_set():
                            return
                        if found is not None:
                            came.put(("found", found))
            came.put(("end", None))
        except BaseException as error:
            came.put(("error", error))

    started = [threading.Thread(target=follow, daemon=True, name="translating") for _ in range(workers)]
    for thread in started:
        thread.start()
    ready.wait()
    torch.set_num_threads(threads)  # what other threads begin with; those above keep their one
    going = workers
    try:
        while going:
            try:
                kind, value = came.get(timeout=0.05)
            except Empty:
                yield None
                continue
            if kind == "error":
                raise value
            if kind == "end":
                going -= 1
            else:
                yield value
    finally:
        ended.set()
        for thread in started:
            thread.join()


def _generator(steps: Iterator[R]) -> Generator[R, None, None]:
    yield from steps
