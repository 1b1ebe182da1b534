"""Our own byte-level BPE: text → chunks → bytes → merged tokens, and back without loss.

>>> tokenizer = BPETokenizer([(b"l", b"o"), (b"lo", b"w")], {"<s>": 0}, pattern="gpt2")
>>> encoding = tokenizer.encode("low é")
>>> encoding.pieces
[b'low', b' ', b'\\xc3', b'\\xa9']
>>> encoding.char_spans[-2:]  # both bytes belong to the one character
[(4, 5), (4, 5)]

Merges are learned in bpe_train.py; a chunk's bytes are merged by `merge_chunk` and `merge_long_chunk` below.
"""

import heapq
import json
from collections.abc import Iterable, Sequence
from typing import Any

import regex

from core.errors import TextError
from core.tokenizer.base import Encoding, Tokenizer, clean_text, special_token_entries, tokenizer_json
from core.tokenizer.byte_map import BYTE_ORDER, from_visible, to_visible
from core.tokenizer.spans import exact_spans
from core.tokenizer.split import Splitter

Ranks = dict[tuple[int, int], tuple[int, int]]  # (left id, right id) -> (rank, id of the merged token)

LONG_CHUNK = 64  # bytes from which the linked list pays; the words of prose are shorter
CACHE_SIZE = 50_000  # distinct short chunks whose tokens are kept


def merge_chunk(ids: list[int], ranks: Ranks) -> list[int]:
    """Merge the pair of lowest rank, leftmost first, until none is left. Quadratic, and quickest on short chunks."""
    ids = list(ids)
    while len(ids) > 1:
        best = None
        for i in range(len(ids) - 1):
            found = ranks.get((ids[i], ids[i + 1]))
            if found is not None and (best is None or found[0] < best[0]):
                best = (found[0], found[1], i)
        if best is None:
            break
        _, new, i = best
        ids[i : i + 2] = [new]
    return ids


def merge_long_chunk(ids: Sequence[int], ranks: Ranks) -> list[int]:
    """The same result in O(n log n): tokens in a linked list, and for each rank the places where its pair may stand."""
    symbols = list(ids)
    n = len(symbols)
    after = [*range(1, n), -1]
    before = list(range(-1, n - 1))
    places: dict[int, list[int]] = {}  # rank -> positions of the left token, some of them out of date
    new_ids: dict[int, int] = {}
    for i in range(n - 1):
        found = ranks.get((symbols[i], symbols[i + 1]))
        if found is not None:
            places.setdefault(found[0], []).append(i)
            new_ids[found[0]] = found[1]
    queue = list(places)
    heapq.heapify(queue)
    while queue:
        rank = heapq.heappop(queue)
        positions, new = sorted(places.pop(rank)), new_ids[rank]
        for done, i in enumerate(positions, start=1):
            j = after[i]
            if symbols[i] < 0 or j < 0 or ranks.get((symbols[i], symbols[j]), (-1, -1))[0] != rank:
                continue  # merged otherwise meanwhile
            previous, following = before[i], after[j]
            symbols[i], symbols[j], after[i] = new, -1, following
            if following >= 0:
                before[following] = i
            lowest = rank
            for left, right in ((previous, i), (i, following)):
                found = ranks.get((symbols[left], symbols[right])) if left >= 0 and right >= 0 else None
                if found is not None:
                    if found[0] not in places:
                        places[found[0]] = []
                        new_ids[found[0]] = found[1]
                        heapq.heappush(queue, found[0])
                    places[found[0]].append(left)
                    lowest = min(lowest, found[0])
            if lowest < rank:  # a token made a second way enables an earlier merge: that one goes first
                places[rank] = positions[done:]
                heapq.heappush(queue, rank)
                break
    return [id for id in symbols if id >= 0]


class BPETokenizer(Tokenizer):
    """Byte-level BPE from merges in the order of their ranks.

    Without `vocab` the ids are: special tokens, the 256 bytes in GPT-2's order, then the merged tokens as they come.
    `ignore_merges` (Llama 3): a chunk that is a token as a whole is taken as it is.
    """

    def __init__(
        self,
        merges: Iterable[tuple[bytes, bytes]],
        special_tokens: dict[str, int],
        *,
        pattern: str = "gpt2",
        vocab: dict[bytes, int] | None = None,
        ignore_merges: bool = False,
        post_processor: Any = None,
    ) -> None:
        self.merges = list(merges)
        if vocab is None:
            first = max(special_tokens.values(), default=-1) + 1
            tokens = dict.fromkeys([*(bytes([b]) for b in BYTE_ORDER), *(a + b for a, b in self.merges)])
            vocab = {token: first + i for i, token in enumerate(tokens)}
        super().__init__(max([*vocab.values(), *special_tokens.values()]) + 1, special_tokens)
        self.vocab = vocab
        self.splitter = Splitter(pattern)
        self.ignore_merges = ignore_merges
        self.post_processor = post_processor  # others' files: kept, so that saving loses nothing
        self.ranks: Ranks = {(vocab[a], vocab[b]): (rank, vocab[a + b]) for rank, (a, b) in enumerate(self.merges)}
        self._bytes_of = {id: token for token, id in vocab.items()}
        self._bytes_of |= {id: text.encode("utf-8") for text, id in special_tokens.items()}
        self._id_of_byte = [vocab[bytes([b])] for b in range(256)]
        names = sorted(special_tokens, key=len, reverse=True)  # the longest match wins
        self._special = regex.compile("|".join(map(regex.escape, names))) if names else None
        self._cache: dict[str, list[int]] = {}

    def encode_chunk(self, chunk: str) -> list[int]:
        """Ids of one chunk of the pre-tokenised text."""
        ids = self._cache.get(chunk)
        if ids is None:
            data = chunk.encode("utf-8")
            if self.ignore_merges and data in self.vocab:
                ids = [self.vocab[data]]
            else:
                start = [self._id_of_byte[b] for b in data]
                ids = (merge_chunk if len(data) < LONG_CHUNK else merge_long_chunk)(start, self.ranks)
            if len(data) < 4 * LONG_CHUNK:
                if len(self._cache) >= CACHE_SIZE:
                    self._cache.clear()
                self._cache[chunk] = ids
        return ids

    def encode_ids(self, text: str) -> list[int]:
        """Only the ids; special tokens in the text are text."""
        ids: list[int] = []
        for chunk in self.splitter(clean_text(text)):
            ids += self.encode_chunk(chunk)
        return ids

    def encode(self, text: str, *, parse_special: bool = False) -> Encoding:
        text = clean_text(text)
        ids: list[int] = []
        pieces: list[bytes] = []
        special_mask: list[bool] = []
        for part, special in self.parts(text) if parse_special else [(text, False)]:
            found = [self.special_tokens[part]] if special else self.encode_ids(part)
            ids += found
            # Two special tokens may share an id: their bytes are those of the name that the text has.
            pieces += [part.encode("utf-8")] if special else [self._bytes_of[id] for id in found]
            special_mask += [special] * len(found)
        return Encoding(ids, pieces, *exact_spans(pieces), special_mask)

    def parts(self, text: str) -> Iterable[tuple[str, bool]]:
        """A text cut at its special tokens: (part, whether it is one)."""
        end = 0
        for match in self._special.finditer(text) if self._special else ():
            if match.start() > end:
                yield text[end : match.start()], False
            yield match.group(), True
            end = match.end()
        if end < len(text):
            yield text[end:], False

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """By the `tokenizers` package; a regular expression of a user's own is matched here, by one engine only."""
        return super().encode_batch(texts) if self.splitter.is_known else [self.encode_ids(t) for t in texts]

    def token_bytes(self, id: int) -> bytes:
        try:
            return self._bytes_of[id]
        except KeyError:
            raise TextError(f"There is no token {id}; ids run from 0 to {self.vocab_size - 1}.") from None

    def decode_bytes(self, ids: Iterable[int], *, skip_special: bool = True) -> bytes:
        special: Any = self.special_ids if skip_special else ()
        return b"".join([self._bytes_of.get(int(id), b"") for id in ids if int(id) not in special])

    def fast(self) -> Any:
        """As the package reads it, special tokens under names that no bytes are written as: with `ignore_merges` a
        chunk that reads as one of them would be taken for it."""
        if self._fast is None:
            import tokenizers

            hidden = {f"\ue000{name}": id for name, id in self.special_tokens.items()}
            self._fast = tokenizers.Tokenizer.from_str(self._as_json(hidden))
            self._fast.encode_special_tokens = True
        return self._fast

    def to_json(self) -> str:
        return self._as_json(self.special_tokens)

    def _as_json(self, special_tokens: dict[str, int]) -> str:
        vocab = {to_visible(token): id for token, id in self.vocab.items()} | special_tokens
        model = {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": self.ignore_merges,
            "vocab": dict(sorted(vocab.items(), key=lambda item: item[1])),
            "merges": [[to_visible(a), to_visible(b)] for a, b in self.merges],
        }
        return tokenizer_json(
            added_tokens=special_token_entries(special_tokens),
            pre_tokenizer=self.splitter.to_json(),
            post_processor=self.post_processor,
            decoder={"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
            model=model,
        )

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "BPETokenizer | None":
        """The tokenizer of a parsed tokenizer.json, or None if it does anything that this class does not."""
        model = document.get("model") or {}
        added = document.get("added_tokens") or []
        splitter = Splitter.from_json(document.get("pre_tokenizer"))
        unsupported = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
        if (
            model.get("type") != "BPE"
            or splitter is None
            or document.get("normalizer")
            or any(model.get(key) for key in unsupported)
            or (document.get("decoder") or {}).get("type") != "ByteLevel"
            or any(not t["special"] or t["single_word"] or t["lstrip"] or t["rstrip"] for t in added)
            or len({t["normalized"] for t in added}) > 1  # the package looks for these one kind after the other
        ):
            return None
        special_tokens = {token["content"]: token["id"] for token in added}
        vocab = {}
        for text, id in model["vocab"].items():
            token = from_visible(text)
            if text not in special_tokens and token is not None:
                vocab[token] = id
            elif text not in special_tokens:
                return None
        merges = []
        for merge in model["merges"]:
            pair = merge.split(" ") if isinstance(merge, str) else merge
            left, right = (from_visible(text) for text in pair)
            if left is None or right is None or not {left, right, left + right} <= vocab.keys():
                return None
            merges.append((left, right))
        if any(bytes([b]) not in vocab for b in range(256)):
            return None
        try:
            post_processor = _post_processor(document.get("post_processor"))
        except Exception:  # the package raises bare ones
            return None
        return cls(
            merges,
            special_tokens,
            pattern=splitter.name,
            vocab=vocab,
            ignore_merges=bool(model.get("ignore_merges")),
            post_processor=post_processor,
        )


def _post_processor(section: Any) -> Any:
    """The section as the package reads it and writes it. Exception if it does not."""
    if section is None:
        return None
    import tokenizers

    nothing = {"type": "BPE", "vocab": {}, "merges": []}
    read = tokenizers.Tokenizer.from_str(tokenizer_json(model=nothing, post_processor=section))
    return json.loads(read.to_str())["post_processor"]
