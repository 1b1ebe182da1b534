"""What is evaluated on: the pairs or documents that a request names."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from core.errors import DataError
from core.evaluate.request import MOST_CHARACTERS, MOST_EXAMPLES, Request

if TYPE_CHECKING:
    from core.config import RunConfig


class Described(Protocol):
    """What has to be known of a run to read its data: it need not be on this machine."""

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> "RunConfig": ...

    @property
    def is_translation(self) -> bool: ...


def items_of(run: "Described", request: Request) -> list[Any]:
    """The pairs or documents that are asked for. DataError, one sentence, where there are none."""
    from core.data.corpus import Pair
    from core.evaluate import read_data, read_pairs, validation_split
    from core.tokenizer.base import clean_text

    def as_read(text: str) -> str:
        """As it comes back from the file that given texts are kept in."""
        return clean_text(text.replace("\r\n", "\n"))

    translates = run.is_translation
    if (request.documents is not None and translates) or (
        (request.pairs is not None or request.src) and not translates
    ):
        raise DataError(
            f"{run.name} translates: give sources and references."
            if translates
            else f"{run.name} is a language model: give it a text with --data."
        )
    columns = {
        name: value
        for name in ("text_column", "src_column", "tgt_column", "split")
        if (value := getattr(request, name))
    }
    data = replace(run.config.data, **columns)
    if request.as_given:
        data = replace(data, pretokenized=False)
    items: Sequence[Any]
    if request.pairs is not None:
        items = request.pairs
    elif request.documents is not None:
        items = request.documents
    elif request.src:
        items = read_pairs(request.src, request.ref, data)
    elif request.data.startswith("builtin:"):
        items = _held_out(request.data, run)
    elif request.data:
        items = read_data(request.data, data, "pairs" if translates else "text")
    else:
        items = validation_split(run)  # type: ignore[arg-type]
    items = items[: request.max_examples] if request.max_examples else items
    if not items:
        raise DataError("There is nothing to evaluate on: the data is empty.")
    if len(items) > MOST_EXAMPLES:
        raise DataError(f"There are {len(items):,} examples, of which {MOST_EXAMPLES:,} can be used: ask for fewer.")
    if translates:
        items = [Pair(as_read(item[0]), as_read(item[1])) for item in items]
    else:
        items = [text for text in map(as_read, items) if text.strip()]
        if not items:
            raise DataError("There is nothing to evaluate on: the text is empty.")
    size = sum(len(item) if isinstance(item, str) else len(item[0]) + len(item[1]) for item in items)
    if size > MOST_CHARACTERS:
        raise DataError(f"There are {size:,} characters, of which {MOST_CHARACTERS:,} can be used: ask for fewer.")
    return list(items)


def _held_out(name: str, run: "Described") -> list[Any]:
    """The validation part of built-in data."""
    from core.config import DataConfig
    from core.data.sources import load_corpus

    kind: Any = "pairs" if run.is_translation else "text"
    return load_corpus(DataConfig(name=name), kind, seed=run.config.seed).val
