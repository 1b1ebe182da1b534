"""What every data source hands over: pairs to translate, or documents to model, split into train, val and test."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class Pair(NamedTuple):
    """A sentence and its translation.

    alignment: (source word, target word) index pairs where they are known (the built-in grammar: see
    `core.data.grammar`); document: what the pair belongs to, so that a dialogue is never split over train and val.
    """

    src: str
    tgt: str
    alignment: tuple[tuple[int, int], ...] | None = None
    document: str = ""


@dataclass
class Corpus:
    """Data that is ready for a tokenizer. For kind "pairs" the lists hold `Pair`, for "text" whole documents (str)."""

    kind: Literal["pairs", "text"]
    train: list
    val: list
    test: list = field(default_factory=list)
    description: str = ""
    src_language: str = ""
    tgt_language: str = ""
    dropped: dict[str, int] = field(default_factory=dict)  # why examples were left out, and how many
    documents: int = 0  # how many the training and validation examples belong to; 0: not known

    def texts(self) -> list[str]:
        """Every text of the training split, sources and targets: what a tokenizer is trained on."""
        if self.kind == "text":
            return list(self.train)
        return [text for pair in self.train for text in (pair.src, pair.tgt)]
