"""The beginning of a stream: it trains the tokenizer and gives the validation data, which is never trained on.

An example is held out by a hash of its content (of its document, where a column names one), so that the same example
is held out wherever in the stream it comes again, whatever its case and spacing, without a list of all that was seen.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from core.data import readers
from core.data.corpus import Corpus, Pair
from core.data.prefetch import Life, Prefetch
from core.data.shards import ParallelShards, Row, Shards, open_shards
from core.data.splits import beginning, key
from core.errors import DataError

if TYPE_CHECKING:
    from core.config import DataConfig

_HEAD_CHARACTERS = 32_000_000
_VAL_CHARACTERS = 4_000_000


@dataclass(frozen=True)
class Item:
    """An example of a stream and where it stands: the number of its shard, its row there."""

    shard: int
    row: int
    text: str  # of pairs: the source
    target: str
    document: str


@dataclass(frozen=True)
class HoldOut:
    """Which examples are not trained on: those whose hash is not above `limit`, and all that are in `known`."""

    seed: int
    limit: float
    known: frozenset[str] = field(default_factory=frozenset)  # keys of validation texts
    begins: frozenset[str] = field(default_factory=frozenset)  # their beginnings: a quick way to tell most others

    def position(self, item: Item) -> float:
        """The item's hash, between 0 and 1."""
        name = f"{self.seed}\0d{item.document}" if item.document else f"{self.seed}\0t{beginning(item.text)}"
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64

    def holds(self, item: Item) -> bool:
        if self.limit >= 0 and self.position(item) <= self.limit:
            return True
        return beginning(item.text) in self.begins and key(item.text) in self.known


@dataclass(frozen=True)
class Head:
    """corpus: the training examples of the beginning, and the validation data."""

    corpus: Corpus
    shards: Shards
    items: "Items"
    held: HoldOut


@dataclass(frozen=True)
class Items:
    """How rows become examples."""

    config: "DataConfig"
    pairs: bool
    document_column: str = ""

    def of(self, shards: Shards, shard: int, start: int = 0) -> Iterator[Item]:
        """The examples of one shard from a row on; those without text have an empty one."""
        return (item for item, _ in self.with_rows(shards, shard, start))

    def with_rows(self, shards: Shards, shard: int, start: int = 0) -> Iterator[tuple[Item, Row]]:
        """The examples, each with the row that it was made of."""
        last: list[Row] = [{}]
        config, title = self.config, shards.title

        def rows() -> Iterator[Row]:
            for row in shards.rows(shard, start):
                last[0] = row
                yield row

        if self.pairs:  # the columns are read in step: first the source of a row, then its target
            again = (last[0] for _ in iter(int, 1))
            sources = readers.column_values(rows(), config.src_column, title, "src_column")
            targets = readers.column_values(again, config.tgt_column, title, "tgt_column")
            texts = ((source.strip(), next(targets).strip()) for source in sources)
        else:
            texts = ((text, "") for text in readers.column_values(rows(), config.text_column, title, "text_column"))
        for number, (text, target) in enumerate(texts, start=start):
            document = readers.document_name(last[0].get(self.document_column)) if self.document_column else ""
            yield Item(shard, number, text, target, document or ""), last[0]

    def is_empty(self, item: Item) -> bool:
        return not item.text.strip() or self.pairs and not item.target


def read_head(
    config: "DataConfig",
    kind: Literal["pairs", "text"],
    seed: int = 0,
    progress: Callable[[float, str], Any] | None = None,
) -> Head:
    """Open the stream that `config` names and read its first examples. Raises DataError, also when it hangs."""
    title = config.src or config.name

    def read(life: Life) -> Iterator[Head]:
        yield _read(config, kind == "pairs", seed, life)

    if progress:
        progress(0.0, f"Reading the beginning of {title}")
    reader = Prefetch(read, timeout=config.timeout, what=title)
    try:
        return next(reader)
    finally:
        reader.close()


def _read(config: "DataConfig", pairs: bool, seed: int, life: Life) -> Head:
    shards = open_shards(config, pairs)
    life.beat()
    items, found = Items(config, pairs), list[Item]()
    documents: list[Row] = []
    dropped: Counter[str] = Counter()
    for item, row in _first(shards, items, config, config.max_examples, _HEAD_CHARACTERS, life):
        documents.append({name: row[name] for name in readers.DOCUMENT_COLUMNS if name in row})
        found.append(item)
    column = readers.document_column(documents)
    if column:
        items = replace(items, document_column=column)
        found = [
            replace(item, document=readers.document_name(row.get(column)) or "")
            for item, row in zip(found, documents, strict=True)
        ]
    filled = [item for item in found if not items.is_empty(item)]
    dropped["empty on one side" if pairs else "empty"] = len(found) - len(filled)
    found = filled
    if not found:
        raise DataError(f"The beginning of {shards.title} holds no text; check the columns (see data.text_column).")
    val = _named_validation(config, pairs, items, life)
    if val:
        held = HoldOut(seed, -1.0, frozenset(key(i.text) for i in val), frozenset(beginning(i.text) for i in val))
    else:
        held, val = _held(found, config.val_fraction, seed)
    train = [item for item in found if not held.holds(item)]
    if not train:
        raise DataError(f"The beginning of {shards.title} has nothing to train on beside the validation data.")
    dropped["in the validation data too"] = len(found) - len(train) - (len(val) if held.limit >= 0 else 0)
    corpus = Corpus(
        "pairs" if pairs else "text", _finished(train, pairs, config, seed), _finished(val, pairs, config, None),
        description=f"{shards.title}, a stream of which the first {len(documents):,} rows were read",
        src_language=config.src_language, tgt_language=config.tgt_language,
        dropped={why: n for why, n in dropped.items() if n > 0},
        documents=len({i.document for i in (*train, *val) if i.document}),
    )  # fmt: skip
    return Head(corpus, shards, items, held)


def _first(
    shards: Shards, items: Items, config: "DataConfig", rows: int, characters: int, life: Life
) -> Iterator[tuple[Item, Row]]:
    """The first examples, each with its row, as many as the head takes (`rows` at most, if that is not 0)."""
    count = min(config.head_examples, rows or config.head_examples)
    for shard in range(shards.count):
        for item, row in items.with_rows(shards, shard):
            life.beat()
            yield item, row
            count -= 1
            characters -= len(item.text) + len(item.target)
            if count <= 0 or characters <= 0:
                return


def _held(found: list[Item], fraction: float, seed: int) -> tuple[HoldOut, list[Item]]:
    """The hold-out by hash; of a beginning that is too short for its fraction to mean something, the lowest hash."""
    positions = [HoldOut(seed, -1.0).position(item) for item in found]
    limit = fraction
    if not any(p <= limit for p in positions) or all(p <= limit for p in positions):
        limit = min(positions)
    if all(p <= limit for p in positions):
        raise DataError("One example (or document) is too little to cut a validation part from; name validation data.")
    val, characters = [], 0
    for item, position in zip(found, positions, strict=True):
        if position <= limit and characters < _VAL_CHARACTERS:
            val.append(item)
            characters += len(item.text) + len(item.target)
    known, begins = frozenset(key(i.text) for i in val), frozenset(beginning(i.text) for i in val)
    return HoldOut(seed, limit, known, begins), val


def _named_validation(config: "DataConfig", pairs: bool, items: Items, life: Life) -> list[Item]:
    """The beginning of the validation data that is named, or nothing."""
    from core.data.sources import is_hub_name

    if config.val_src:
        shards: Shards = ParallelShards(config.val_src, config.val_tgt, (config.src_column, config.tgt_column))
    elif not config.val_data:
        return []
    elif is_hub_name(config.name) and is_hub_name(config.val_data):  # a split of the same data set
        shards = open_shards(config, pairs, split=config.val_data)
    else:
        shards = open_shards(config, pairs, name=config.val_data)
    found = [i for i, _ in _first(shards, items, config, 0, _VAL_CHARACTERS, life) if not items.is_empty(i)]
    if not found:
        raise DataError(f"The validation data ({shards.title}) holds no text.")
    return found


def _finished(found: list[Item], pairs: bool, config: "DataConfig", seed: int | None) -> list:
    """Items as a corpus has them; split words joined (seed None: without the hasty forms)."""
    from core.data.sources import typed, typed_forms

    if not pairs:
        return [item.text for item in found]
    made = [Pair(i.text, i.target, None, i.document) for i in found]
    if not config.pretokenized:
        return made
    return [typed(pair, config) for pair in made] if seed is None else typed_forms(made, config, seed)
