"""A tokenizer's vocabulary to look through: search, histograms, the longest tokens, and those that no text becomes.

>>> from core.tokenizer import train_bpe
>>> words = vocabulary(train_bpe(["low lower lowest"] * 9, vocab_size=264))
>>> [(entry.id, entry.text, entry.kind, entry.rank) for entry in words.search("lo").entries]
[(259, 'lo', 'part', 0), (260, 'low', 'part', 1), (261, '·low', 'word', 2), (262, '·lowe', 'word', 3)]

Which of them can be reached, and how that is known, is in reach.py.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import regex

from core.errors import TextError
from core.tokenizer.base import Tokenizer
from core.tokenizer.files.sentencepiece_file import SentencePieceTokenizer
from core.tokenizer.hub import HubTokenizer
from core.tokenizer.inspect.merges import rank_of_token
from core.tokenizer.inspect.reach import Reach
from core.tokenizer.inspect.script import script_of
from core.tokenizer.safe_regex import compile_pattern
from core.tokenizer.visible import from_signs, visible

KINDS = ("special", "added", "byte", "partial", "space", "word", "part")
WAYS = ("text", "regex", "id", "bytes")
ORDERS = ("id", "longest", "shortest", "text")
REGEX_SECONDS = 1.0  # that a search by regular expression may take
REGEX_GLANCE = 0.01  # seconds that it may take of one token while nothing else is done
REGEX_LENGTH = 500  # characters of such an expression


@dataclass(frozen=True)
class Entry:
    """One token of a vocabulary."""

    id: int
    bytes: bytes  # of a token in the middle of a text
    text: str  # visible
    kind: str  # one of KINDS, see Vocabulary.kind
    rank: int | None  # BPE: of the merge that makes it (core.tokenizer.inspect.rank_meaning says what it counts)
    score: float | None  # Unigram: logarithm of its probability
    script: str
    reachable: bool  # whether a text is known that becomes it; special tokens: by parsing them
    why_not: str  # and if not, why; of special tokens, how


@dataclass(frozen=True)
class Found:
    """What a search found: how many in all, and the entries that were asked for."""

    total: int
    entries: list[Entry]


def vocabulary(tokenizer: Tokenizer) -> "Vocabulary":
    """All tokens of a tokenizer. Make it once and keep it: 50,000 tokens take a part of a second."""
    return Vocabulary(tokenizer)


class Vocabulary:
    """See `vocabulary`. What can be reached is looked into for the entries that are shown, and for all of them when it
    is first asked for (`unreachable`; seconds for 50,000)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.ids = [id for id in range(tokenizer.vocab_size) if tokenizer.has_id(id)]
        self.size = len(self.ids)
        self._bytes = {id: tokenizer.token_bytes(id) for id in self.ids}
        self._texts = {id: data.decode("utf-8", "replace") for id, data in self._bytes.items()}
        self._kinds = {id: self._kind(id) for id in self.ids}
        self._scripts: dict[int, str] = {}
        tokenizer.encode_batch([""])  # the `tokenizers` package reads a large vocabulary now, not at the first search
        self._reach = Reach(tokenizer, self._bytes)
        self._ranks = rank_of_token(tokenizer)
        self._scores: dict[int, float] = {}
        if isinstance(tokenizer, HubTokenizer) and tokenizer.model_type == "Unigram":
            self._scores = {id: score for id, (_, score) in enumerate(tokenizer.document["model"]["vocab"])}
        if isinstance(tokenizer, SentencePieceTokenizer) and tokenizer.model_type == "Unigram":
            self._scores = {id: piece.score for id, piece in enumerate(tokenizer.model.pieces)}

    def _kind(self, id: int) -> str:
        """special and added tokens; "byte": one byte that is no character by itself; "partial": begins or ends within a
        character; "space": only white space; "word": begins a word; "part": anything else."""
        tokenizer, data, text = self.tokenizer, self._bytes[id], self._texts[id]
        if id in tokenizer.special_ids:
            return "special"
        if isinstance(tokenizer, HubTokenizer):
            if tokenizer.is_added(id):
                return "added"
            if tokenizer.is_byte_token(id):
                return "byte"
            if tokenizer.model_type == "WordPiece":
                return "part" if tokenizer.continues_word(id) else "word"
        if isinstance(tokenizer, SentencePieceTokenizer) and id in tokenizer.byte_of:
            return "byte"
        if "\ufffd" in text and text.encode("utf-8") != data:
            return "byte" if len(data) == 1 else "partial"
        if text.isspace():
            return "space"
        return "word" if text[:1].isspace() else "part"

    def entry(self, id: int) -> Entry:
        """TextError if there is no such token."""
        return self._made([id])[0]

    @property
    def entries(self) -> list[Entry]:
        """All of them, in the order of their ids."""
        return self._made(self.ids)

    def _made(self, ids: list[int]) -> list[Entry]:
        if missing := next((id for id in ids if id not in self._bytes), None):
            raise TextError(f"There is no token {missing}; ids run from 0 to {self.tokenizer.vocab_size - 1}.")
        why = self._reach.why_not([id for id in ids if self._kinds[id] != "special"])
        return [
            Entry(
                id=id,
                bytes=self._bytes[id],
                text=visible(self._bytes[id]),
                kind=self._kinds[id],
                rank=self._ranks.get(id),
                score=self._scores.get(id),
                script=self._script(id),
                reachable=not why.get(id),
                why_not="only where special tokens are parsed" if self._kinds[id] == "special" else why[id],
            )
            for id in ids
        ]

    def search(
        self, query: str = "", by: str = "text", *, only: str = "all", script: str = "", lengths: range | None = None,
        order: str = "id", offset: int = 0, limit: int = 100,
    ) -> Found:  # fmt: skip
        """Entries that the query fits, `limit` of them from the `offset`-th on.

        by: "text" (the query is a part of the token's text; signs such as "·", "⏎" and "Ġ" may stand for what they
        mean), "regex" (is found in its text), "id" ("7", "7-9", "7, 9") or "bytes" (hex, a part of its bytes).
        only: "all", "unreachable" or one of KINDS. script, lengths (in bytes): as the histograms count them, which
        leave special tokens out. order: "id", "longest" (in bytes), "shortest" or "text". TextError for a query that
        cannot be read.
        """
        if by not in WAYS or order not in ORDERS or only not in ("all", "unreachable", *KINDS):
            raise TextError("A search is by text, regex, id or bytes, of all, unreachable or one kind of tokens.")
        ids = self.ids
        if only == "unreachable":
            ids = self.unreachable
        elif only != "all":
            ids = [id for id in ids if self._kinds[id] == only]
        if script:
            ids = [id for id in ids if self._kinds[id] != "special" and self._script(id) == script]
        if lengths is not None:
            ids = [id for id in ids if self._kinds[id] != "special" and len(self._bytes[id]) in lengths]
        if query:
            ids = {"text": self._by_text, "regex": self._by_regex, "id": self._by_id, "bytes": self._by_bytes}[by](
                query, ids
            )
        keys: dict[str, Callable[[int], object]] = {
            "longest": lambda id: -len(self._bytes[id]),
            "shortest": lambda id: len(self._bytes[id]),
            "text": lambda id: self._texts[id],
        }
        if order != "id":
            ids = sorted(ids, key=keys[order])  # type: ignore[arg-type]
        offset = max(0, offset)
        return Found(len(ids), self._made(ids[offset : offset + max(0, limit)]))

    def _by_text(self, query: str, ids: list[int]) -> list[int]:
        meant = from_signs(query)
        return [id for id in ids if query in self._texts[id] or meant in self._texts[id]]

    def _by_regex(self, query: str, ids: list[int]) -> list[int]:
        if len(query) > REGEX_LENGTH:
            raise TextError(f"A regular expression to search by has at most {REGEX_LENGTH} characters.")
        search = compile_pattern(query, "A regular expression to search by").search
        # All tokens as one text that the expression cannot see beyond would change what ^ and $ mean: token by token.
        # The first tokens that take long are searched again so that other threads can work meanwhile; to let them in
        # for each of 50,000 tokens would take longer than the search, whenever one of them is busy.
        deadline = time.monotonic() + REGEX_SECONDS
        found: list[int] = []
        at_a_glance = True
        for id in ids:
            if at_a_glance and time.monotonic() < deadline:
                try:
                    if search(self._texts[id], timeout=REGEX_GLANCE, concurrent=False):
                        found.append(id)
                    continue
                except TimeoutError:
                    at_a_glance = False
            try:
                if search(self._texts[id], timeout=max(0.001, deadline - time.monotonic()), concurrent=True):
                    found.append(id)
            except TimeoutError:
                raise TextError(f"The search took more than {REGEX_SECONDS:g} s; simplify the expression.") from None
        return found

    def _by_id(self, query: str, ids: list[int]) -> list[int]:
        wanted = []
        for part in query.replace(",", " ").split():
            if not (match := regex.fullmatch(r"(\d{1,9})(?:[-–](\d{1,9}))?", part)):
                raise TextError(f"{part!r} is not an id; search for 7, 7-9 or 7, 9.")
            wanted.append((int(match[1]), int(match[2] or match[1])))
        return [id for id in ids if any(first <= id <= last for first, last in wanted)]

    def _by_bytes(self, query: str, ids: list[int]) -> list[int]:
        digits = "".join(query.lower().replace("0x", " ").replace("\\x", " ").split())
        try:
            data = bytes.fromhex(digits)
        except ValueError:
            raise TextError(f"{query!r} is not a row of bytes in hex, such as E3 81.") from None
        return [id for id in ids if data in self._bytes[id]]

    def longest(self, n: int = 20) -> list[Entry]:
        """The n tokens of most bytes, special ones left out."""
        ids = [id for id in self.ids if self._kinds[id] != "special"]
        return self._made(sorted(ids, key=lambda id: -len(self._bytes[id]))[:n])

    def length_histogram(self) -> list[tuple[int, int]]:
        """(bytes, how many tokens are so long), special ones left out; lengths that none has too."""
        counts = Counter(len(self._bytes[id]) for id in self.ids if self._kinds[id] != "special")
        return [(length, counts[length]) for length in range(min(counts, default=0), max(counts, default=-1) + 1)]

    def script_histogram(self) -> list[tuple[str, int]]:
        """(script or other kind of text, how many tokens), special ones left out, most first."""
        return Counter(self._script(id) for id in self.ids if self._kinds[id] != "special").most_common()

    def kind_histogram(self) -> list[tuple[str, int]]:
        """(kind, how many tokens), in the order of KINDS."""
        counts = Counter(self._kinds.values())
        return [(kind, counts[kind]) for kind in KINDS if counts[kind]]

    def _script(self, id: int) -> str:
        if id not in self._scripts:
            kind = self._kinds[id]
            self._scripts[id] = "part of a character" if kind in ("byte", "partial") else script_of(self._texts[id])
        return self._scripts[id]

    @property
    def unreachable(self) -> list[int]:
        """Ids of tokens that no text is known to become (reach.py says how that is known), special ones left out."""
        why = self._reach.why_not([id for id in self.ids if self._kinds[id] != "special"])
        return [id for id, reason in why.items() if reason]
