"""What a training set holds, before anything is trained on it: `preview(config)`.

Plain values only, so that the command line prints them and the page draws them. Small sets are counted in full; of
large ones a sample is turned into ids, and of streams only the beginning is read: `Preview.sampled` says so, and what
is then an estimate.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from core.config import RunConfig

LIMIT = 1_500_000  # characters that are turned into ids for a preview: a second or two


@dataclass(frozen=True)
class Part:
    """Training, validation or test data."""

    examples: int  # pairs or documents; of a stream: of what was read of it
    tokens: int  # of the targets and the sources
    characters: int


@dataclass(frozen=True)
class Lengths:
    """How long the texts of one column are."""

    column: Literal["source", "target", "text", "line"]  # line: of a text in one piece
    unit: Literal["tokens", "characters"]
    least: int
    median: int
    p95: int  # 95 in 100 are no longer
    most: int
    mean: float
    edges: tuple[int, ...]  # of the histogram's bins: edges[i] <= length < edges[i + 1] (the last bin: <=)
    counts: tuple[int, ...]  # one fewer than edges; the last bin reaches from where hardly any are left to the longest


@dataclass(frozen=True)
class Example:
    """A text or a pair, cut to its first 1,000 characters."""

    drawn: Literal["first", "random"]
    text: str  # of a pair: the source
    target: str = ""
    tokens: int = 0
    target_tokens: int = 0


@dataclass(frozen=True)
class Finding:
    """Something about a number of examples: that they are left out, or that they should be looked at."""

    what: str  # "empty on one side"
    count: int
    share: float  # of all examples (of empty lines: of all lines)
    left_out: bool  # else: kept, but worth a look
    estimated: bool = False  # counted on the sample and scaled up


@dataclass(frozen=True)
class Preview:
    kind: Literal["pairs", "text"]
    description: str  # one line
    train: Part
    val: Part
    test: Part
    examples: tuple[Example, ...]
    lengths: tuple[Lengths, ...]  # of source and target, or of text (or line), each in tokens and characters
    characters_per_token: tuple[tuple[str, float], ...]  # ("source", 4.1), ("target", 1.8) or ("text", 3.9)
    findings: tuple[Finding, ...]  # left out (empty, duplicates, ...) first; the most frequent first
    documents: int  # that the training and validation examples are lines of; 0: not known
    vocabulary: int  # tokens of the tokenizer
    context: int  # model.max_seq_len
    tokens_per_step: int  # target tokens of one optimiser step, on average
    steps_per_epoch: float  # 0 for a stream whose end is not known
    epochs: float  # that train.max_steps means; 0 where steps_per_epoch is
    sampled: int = 0  # 0: everything was counted; else lengths and tokens are those of so many examples, scaled up
    streaming: bool = False  # examples are those of the beginning
    seconds: float = 0.0  # that the preview took

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def preview(
    config: "RunConfig", runs_dir: Path | None = None, examples: int = 4, limit: int = LIMIT, seed: int = 0
) -> Preview:
    """Read the data of a run's configuration, as training would, and count what is in it.

    examples: so many first and so many random ones; limit: the characters that are turned into ids at most (0: all);
    seed: which random ones. runs_dir: ids and tokenizers that are kept there are used, and new ones kept. DataError.
    """
    from core.data.counting import examine

    return examine(config, runs_dir, examples, limit, seed)[0]
