"""A test set translated: `core.decode.many`, from texts to texts."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.decode.config import GenerationConfig

if TYPE_CHECKING:
    from core.run import Run


@dataclass(frozen=True)
class Translated:
    """One source's translation. seconds: its share of its batch's time."""

    number: int
    output: str
    tokens: int  # written, the end token included
    logprob: float
    truncated: bool  # the source was longer than the context
    seconds: float


def translated(
    run: "Run",
    sources: Sequence[str],
    config: GenerationConfig | None = None,
    assistant: "Run | None" = None,
    done: frozenset[int] = frozenset(),
    workers: int = 0,
) -> Generator[list[Translated] | None, None, None]:
    """Batches of translations as they are done, and None between; see `core.decode.many.decoded`."""
    from core.decode.many import decoded
    from core.decode.search import input_ids

    config = replace(config or run.config.decode, num_return_sequences=1)
    ids = [input_ids(run, source) for source in sources]
    with closing(decoded(run, ids, config, assistant, done, workers)) as batches:
        for batch in batches:
            yield None if batch is None else [
                Translated(
                    one.number, one.generation.best.text, len(one.generation.best.ids),
                    one.generation.best.total_logprob, one.generation.truncated, one.seconds,
                )
                for one in batch
            ]  # fmt: skip
