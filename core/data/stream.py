"""Batches of a data set that is larger than memory, with exact resume.

The stream is cut into windows: as many consecutive examples as data.shuffle_buffer says, or fewer if they hold many
tokens. A window is turned into ids, shuffled and given out batch by batch while the next one is made by a thread. What
a window holds, and its order, follow from the seed and the place of its first token alone. So a place is a few numbers,

    (pass, shard, row, tokens of that row to skip, rows before, tokens before, batch of the window)

a checkpoint carries no buffer, and a resumed run passes over the rows before the window without tokenising them, makes
that one window again and goes on with the very batch that would have come next. The end of a window that does not fill
a batch begins the next window, so nothing is lost between them.
"""

import itertools
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core.data.batching import BlockBatches, PairBatches, Walked
from core.data.corpus import Pair
from core.data.head import Head, Item
from core.data.prefetch import Life, Prefetch
from core.data.token_cache import encode
from core.errors import DataError

if TYPE_CHECKING:
    from core.config import DataConfig
    from core.tokenizer import Tokenizer

_WINDOW_TOKENS = 1 << 22  # of a window at most, or one batch: 16 MB of ids
_FIRST_TOKENS = 1 << 18  # of the very first window, so that training begins at once; the next ones double
_CHUNK_CHARACTERS = 1 << 20  # that are tokenised at a time
_CHUNK_ITEMS = 256
_UNSHUFFLED = 1_000  # examples of a window whose order is kept


class Place(NamedTuple):
    """Where a batch stands. All zeros: at the beginning."""

    turn: int = 0  # how often the stream was gone through
    shard: int = 0  # in the order of `StreamBatches.order`
    row: int = 0  # the first row of the window
    skip: int = 0  # tokens of that row that the window before had
    rows: int = 0  # of this turn before that row
    tokens: int = 0  # of this turn before the window
    batch: int = 0  # number of the batch in the window


@dataclass(frozen=True)
class Window:
    """batches: of its ids; order: the rows of each batch; start and next: the places of it and of the one after it."""

    batches: PairBatches | BlockBatches
    order: list[np.ndarray]
    start: Place
    next: Place


@dataclass(frozen=True)
class _Document:
    """A tokenised example: from token `skip` of its row on."""

    shard: int
    row: int
    skip: int
    rows: int
    ids: np.ndarray


class StreamBatches:
    """What training reads of a stream; see also PairBatches and BlockBatches, which hold one window each."""

    def __init__(
        self,
        head: Head,
        tokenizer: "Tokenizer",
        config: "DataConfig",
        batch_tokens: int,
        max_seq_len: int,
        seed: int = 0,
    ) -> None:
        self.head, self.tokenizer, self.config, self.seed = head, tokenizer, config, seed
        self.batch_tokens, self.max_seq_len = batch_tokens, max_seq_len
        self.bos, self.eos, self.pad = tokenizer.bos_id or 0, tokenizer.eos_id or 0, tokenizer.pad_id or 0
        self.block = max(1, max_seq_len)
        self.shuffle = config.shuffle_buffer > 1
        self.examples = config.shuffle_buffer if self.shuffle else _UNSHUFFLED
        self.unit = self.block * max(1, batch_tokens // self.block)  # tokens of a batch of text
        shards = list(range(head.shards.count))
        if self.shuffle:
            random.Random(f"shards-{seed}").shuffle(shards)
        self.order = shards
        characters = sum(map(len, head.corpus.train)) if head.corpus.kind == "text" else 0
        self.moves = characters > 64 * self.block  # later turns cut at other offsets, if that leaves enough

    def walk(self, place: tuple[int, ...]) -> Walked:
        """Endless batches from a place on: what makes them, their rows, and the place after each."""
        at = Place(*place)
        start = at._replace(batch=0)
        reader = Prefetch(lambda life: self.windows(start, life), 1, self.config.timeout, self.head.shards.title)
        index = at.batch
        try:
            for window in reader:
                for i in range(index, len(window.order)):
                    after = window.start._replace(batch=i + 1) if i + 1 < len(window.order) else window.next
                    yield window.batches, window.order[i], tuple(after)
                index = 0
        finally:
            reader.close()

    def epoch_of(self, place: tuple[int, ...]) -> float:
        """How often the stream was gone through; a share of it where its length is known or limited, else by shards."""
        at, config = Place(*place), self.config
        if config.max_tokens:
            share = (at.tokens + at.batch * self.batch_tokens) / config.max_tokens
        elif total := min(filter(None, (config.max_examples, self.head.shards.total)), default=0):
            share = at.rows / total
        else:
            share = at.shard / len(self.order)
        return at.turn + min(share, 1.0)

    # -- windows -----------------------------------------------------------------------------------------------------

    def windows(self, at: Place, life: Life) -> Iterator[Window]:
        """The windows from the beginning of one on, turn after turn."""
        pairs = self.head.corpus.kind == "pairs"
        while True:
            some = at != self._begin(at.turn)
            for window in self._pair_windows(at, life) if pairs else self._text_windows(at, life):
                some = True
                yield window
            if not some:
                raise DataError(
                    f"{self.head.shards.title} holds nothing to train on beside the validation data: its examples are "
                    "empty, held out or longer than the context."
                )
            at = self._begin(at.turn + 1)

    def _begin(self, turn: int) -> Place:
        if not turn or not self.moves:
            return Place(turn)
        return Place(turn, skip=int(np.random.default_rng((self.seed, turn)).integers(self.block)))

    def _limit(self, at: Place) -> int:
        """Tokens of the window that begins there, at most."""
        return max(self.unit, _WINDOW_TOKENS if at.turn else min(_WINDOW_TOKENS, max(_FIRST_TOKENS, at.tokens)))

    def _rng(self, at: Place) -> np.random.Generator | None:
        return np.random.default_rng((self.seed, *at[:4])) if self.shuffle else None

    def _items(self, at: Place, life: Life) -> Iterator[tuple[Item, int]]:
        """The examples to train on, each with the rows before it; the item's shard is the one in our order."""
        rows, first = at.rows, at.row
        items, held = self.head.items, self.head.held
        for number in range(at.shard, len(self.order)):
            for item in items.of(self.head.shards, self.order[number], first):
                if self.config.max_examples and rows >= self.config.max_examples:
                    return
                life.beat()
                if not items.is_empty(item) and not held.holds(item):
                    yield Item(number, item.row, item.text, item.target, item.document), rows
                rows += 1
            first = 0

    def _documents(self, at: Place, life: Life) -> Iterator[_Document]:
        """Tokenised texts from a place on."""
        end = None if self.head.shards.one_piece else self.eos
        skip = at.skip
        chunk: list[tuple[Item, int]] = []
        characters = 0

        def tokenised() -> Iterator[_Document]:
            nonlocal skip
            rows = encode(self.tokenizer, [item.text for item, _ in chunk], end)
            life.beat()
            for i, (item, before) in enumerate(chunk):
                ids = rows[i]
                if skip < len(ids):
                    yield _Document(item.shard, item.row, skip, before, ids[skip:])
                skip = max(0, skip - len(ids))

        for entry in self._items(at, life):
            chunk.append(entry)
            characters += len(entry[0].text)
            if characters >= _CHUNK_CHARACTERS or len(chunk) >= _CHUNK_ITEMS:
                yield from tokenised()
                chunk, characters = [], 0
        yield from tokenised()

    def _text_windows(self, at: Place, life: Life) -> Iterator[Window]:
        """One turn from a place on."""
        source = self._documents(at, life)
        pending: deque[_Document] = deque()
        ended = False
        while not ended:
            limit = self._limit(at)
            documents, total = self._fill(source, pending, limit)
            if not pending:
                pending.extend(itertools.islice(source, 1))
            step = self.block if not pending and total <= limit else self.unit  # the last batch may have fewer rows
            usable = min(total, limit) // step * step
            left = total - usable + sum(len(document.ids) for document in pending)
            while left < self.block and (document := next(source, None)) is not None:
                pending.append(document)
                left += len(document.ids)
            ended = left < self.block
            if self.config.max_tokens:
                budget = max(self.config.max_tokens, self.block) - at.tokens
                if budget < usable + self.block:
                    usable, ended = min(usable, budget // self.block * self.block), True
            if not usable and at == self._begin(at.turn) and total > 1:
                usable = total  # all that there is is less than one block
            if not usable:
                return
            ids = np.concatenate([document.ids for document in documents])[:usable]
            after = self._after(documents, usable, at)
            batches = BlockBatches(ids, self.batch_tokens, self.max_seq_len, self.seed, self.bos)
            starts = np.arange(0, usable, batches.block)
            rng = self._rng(at)
            if rng is not None:
                starts = rng.permutation(starts)
            order = [starts[i : i + batches.rows] for i in range(0, len(starts), batches.rows)]
            rest = total - usable
            for document in reversed(documents):  # what is left over begins the next window
                if rest <= 0:
                    break
                kept = document.ids[max(0, len(document.ids) - rest) :]
                skip = document.skip + len(document.ids) - len(kept)
                pending.appendleft(_Document(document.shard, document.row, skip, document.rows, kept))
                rest -= len(kept)
            yield Window(batches, order, at, self._begin(at.turn + 1) if ended else after)
            at = after

    def _fill(self, source: Iterator[_Document], pending: deque[_Document], limit: int) -> tuple[list[_Document], int]:
        """The documents of the next window: enough for a batch, and then until it is full."""
        documents: list[_Document] = []
        total = 0
        while total < self.unit or (len(documents) < self.examples and total < limit):
            document = pending.popleft() if pending else next(source, None)
            if document is None:
                break
            documents.append(document)
            total += len(document.ids)
        return documents, total

    def _after(self, documents: list[_Document], used: int, at: Place) -> Place:
        """The place of the first token that a window leaves over."""
        tokens = at.tokens + used
        for document in documents:
            if used < len(document.ids):
                return Place(at.turn, document.shard, document.row, document.skip + used, document.rows, tokens)
            used -= len(document.ids)
        last = documents[-1]
        return Place(at.turn, last.shard, last.row + 1, 0, last.rows + 1, tokens)

    def _pair_windows(self, at: Place, life: Life) -> Iterator[Window]:
        """One turn from a place on. A window has whole pairs, each once."""
        source = self._items(at, life)
        ended = False
        while not ended:
            found: dict[tuple[str, str], Item] = {}
            characters, last = 0, None
            for item, before in source:
                last = Place(at.turn, item.shard, item.row + 1, 0, before + 1)
                found.setdefault((item.text, item.target), item)
                characters += len(item.text) + len(item.target)
                if len(found) >= self.examples or characters >= 2 * self._limit(at):
                    break
            else:
                ended = True
            if last is None:
                return
            batches = self._pair_batches(list(found.values()), at, life)
            order = batches.ordered(self._rng(at))
            sizes = np.cumsum([batches.target_tokens(indices) for indices in order], dtype=np.int64)
            if self.config.max_tokens and len(order) and at.tokens + sizes[-1] >= self.config.max_tokens:
                fits = int((at.tokens + sizes <= self.config.max_tokens).sum())
                order, ended = order[: fits or not at.tokens], True
            after = last._replace(tokens=at.tokens + (int(sizes[len(order) - 1]) if order else 0))
            if order:
                yield Window(batches, order, at, self._begin(at.turn + 1) if ended else after)
            at = after

    def _pair_batches(self, items: list[Item], at: Place, life: Life) -> PairBatches:
        pairs = [Pair(item.text, item.target) for item in items]
        if self.config.pretokenized:
            from core.data.sources import typed_forms

            pairs = typed_forms(pairs, self.config, hash_seed(self.seed, at))
        src = encode(self.tokenizer, [pair.src for pair in pairs])
        life.beat()
        tgt = encode(self.tokenizer, [pair.tgt for pair in pairs])
        life.beat()
        return PairBatches(
            (src, tgt), self.batch_tokens, self.max_seq_len, self.seed, self.bos, self.eos, self.pad
        )  # fmt: skip


def hash_seed(seed: int, at: Place) -> int:
    """A number of its own for every window."""
    return int(np.random.SeedSequence((seed, *at[:4])).generate_state(1)[0])
