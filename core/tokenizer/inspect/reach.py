"""Which tokens of a vocabulary a text can become, and why the others cannot.

A token is reachable when a text is known that becomes it: one that was tokenised and holds it. Tried are the token's
own text, alone and in a few surroundings (CONTEXTS; for WordPiece also after each of a few letters); a token that is
part of characters is tried within characters that hold its bytes. All others have a reason. It is certain for

- BPE tokens whose own bytes (characters) are merged to something else. No merge crosses a token's edge in a text that
  has it, so that within it the merges would be the same as in the token alone;
- the bytes that UTF-8 never has (C0, C1, F5 to FF).

Otherwise it is what happens to the token's own text, alone: the normaliser changes it, the pre-tokenisation cuts it,
the model prefers other tokens; some text that was not tried may become the token all the same.
"""

import functools
import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping

from core.errors import TextError
from core.tokenizer.base import Tokenizer
from core.tokenizer.bpe import BPETokenizer, merge_chunk
from core.tokenizer.hub import HubTokenizer
from core.tokenizer.inspect.merges import readable_words
from core.tokenizer.visible import visible

CONTEXTS = ("{}", " {}", "{} ", "a{}", "{}a", "a{}a", "a {}", "\n{}", "{}\n", ".{}", "{}.", "1{}", "{}1", "あ{}", "A{}")
LETTERS = 40  # of a WordPiece vocabulary that are tried before a token which continues a word
CHARACTERS = 64  # that are tried for a token which is part of one
BEFORE = [
    *(bytes([lead]) for lead in range(0xC2, 0xF5)),
    *(b"\xe3\x81", b"\xe4\xb8", b"\xe2\x80", b"\xe0\xa4", b"\xed\x95"),
    *(b"\xf0\x9f", b"\xf0\x90", b"\xf0\x9d", b"\xf3\xa0"),
    *(b"\xf0\x9f\x98", b"\xf0\x9f\x91", b"\xf0\x90\x8d"),
]  # fmt: skip
AFTER = [b"", *(bytes(end) for n in (1, 2, 3) for end in itertools.product(b"\x80\x9f\xa4\xbf", repeat=n))]


class Reach:
    """Finds out for some tokens at a time, and remembers."""

    def __init__(self, tokenizer: Tokenizer, bytes_of: Mapping[int, bytes]) -> None:
        self.tokenizer = tokenizer
        self._target = tokenizer.for_target()  # of a translator, which may have another for what it writes
        self._bytes = bytes_of
        self._seen: set[int] = set()  # tokens of texts that were tried
        self._reasons: dict[int, str] = {}
        self._lock = threading.Lock()

    def why_not(self, ids: Iterable[int]) -> dict[int, str]:
        """Why a token is not reachable, "" if it is. Several threads may ask."""
        with self._lock:
            return self._why_not(list(ids))

    def _why_not(self, ids: list[int]) -> dict[int, str]:
        pending: dict[int, Iterator[str]] = {}
        for id in ids:
            if id not in self._reasons and id not in self._seen:
                if reason := self._certain(id):
                    self._reasons[id] = reason
                else:
                    pending[id] = self._texts(id)
        while pending:
            tries = {id: text for id, texts in pending.items() if (text := next(texts, None)) is not None}
            for id in pending.keys() - tries.keys():
                self._reasons[id] = self._likely(id)
            for encoded in self._encoded(list(tries.values())):
                self._seen.update(encoded)
            pending = {id: pending[id] for id in tries if id not in self._seen}
        for id in self._seen & self._reasons.keys():  # found in a text that was tried for another
            del self._reasons[id]
        return {id: self._reasons.get(id, "") for id in ids}

    def _encoded(self, texts: list[str]) -> list[list[int]]:
        """Texts that the tokenizer cannot take (a word that it has no unknown token for) become nothing."""
        try:
            found = self.tokenizer.encode_batch(texts)
            if self._target is not self.tokenizer:
                found = [ids + more for ids, more in zip(found, self._target.encode_batch(texts), strict=True)]
            return found
        except TextError:
            if len(texts) == 1:
                return [[]]
            return [self._encoded([text])[0] for text in texts]

    def _certain(self, id: int) -> str:
        data = self._bytes[id]
        if self._is_byte_level and any(byte in (0xC0, 0xC1) or byte >= 0xF5 for byte in data):
            return "UTF-8 has no such byte"
        merged = self._merged(id)
        if merged is None or merged == [id]:
            return ""
        return f"its own bytes become {self._shown(merged)}"

    @functools.cached_property
    def _is_byte_level(self) -> bool:
        tokenizer = self.tokenizer
        return isinstance(tokenizer, BPETokenizer) or (isinstance(tokenizer, HubTokenizer) and tokenizer.is_byte_level)

    def _merged(self, id: int) -> list[int] | None:
        """What a BPE model makes of the token alone; None where that says nothing about longer texts."""
        tokenizer, data = self.tokenizer, self._bytes[id]
        if isinstance(tokenizer, BPETokenizer):
            if tokenizer.ignore_merges and _is_text(data):  # then it may be a chunk that is taken whole
                return None
            return merge_chunk([tokenizer.vocab[bytes([byte])] for byte in data], tokenizer.ranks)
        if isinstance(tokenizer, HubTokenizer) and tokenizer.has_plain_merges and not tokenizer.is_added(id):
            if tokenizer.is_byte_token(id):
                return None
            return merge_chunk([first for first, _ in tokenizer.first_symbols(tokenizer.token(id))], tokenizer.ranks)
        return None

    def _texts(self, id: int) -> Iterator[str]:
        """What to try for a token, the likeliest first."""
        data = self._bytes[id]
        if not _is_text(data):
            yield from _characters_with(data)
            return
        text = data.decode("utf-8")
        for context in CONTEXTS:
            yield context.replace("{}", text)
        if isinstance(self.tokenizer, HubTokenizer) and self.tokenizer.continues_word(id):
            for letter in self._letters:
                yield letter + text

    @functools.cached_property
    def _letters(self) -> list[str]:
        """Characters that begin a word, those first that were rarest when the vocabulary was made."""
        assert isinstance(self.tokenizer, HubTokenizer)
        single = [
            data.decode("utf-8") for data in list(self._bytes.values())[::-1] if len(data) <= 4 and _is_text(data)
        ]
        return [text for text in single if len(text) == 1][:LETTERS]

    def _likely(self, id: int) -> str:
        tokenizer, data = self.tokenizer, self._bytes[id]
        if not _is_text(data):
            return "none of the characters that were tried becomes it"
        text = data.decode("utf-8")
        if isinstance(tokenizer, BPETokenizer):
            cut = tokenizer.splitter(text)
        elif isinstance(tokenizer, HubTokenizer):
            normalized = "".join(chunk for chunk, _, _ in tokenizer.pre_tokens(text, only_normalize=True))
            spaces = normalized.replace("▁", " ")
            if text not in spaces and not (tokenizer.is_byte_level and normalized == tokenizer.token(id)):
                return f"the normaliser makes {visible(spaces.encode())} of it" if spaces else "the normaliser drops it"
            cut = [chunk for chunk, _ in readable_words(tokenizer, text)]
        else:
            cut = [text]
        if len(cut) > 1:
            return "the pre-tokenisation cuts it: " + " | ".join(visible(chunk.encode()) for chunk in cut)
        if not cut:
            return "the pre-tokenisation drops it"
        try:
            return f"the model prefers {self._shown(tokenizer.encode(text).ids)}"
        except TextError:
            return "the tokenizer cannot take its text"

    def _shown(self, ids: list[int]) -> str:
        return " + ".join(visible(self.tokenizer.token_bytes(id)) for id in ids) or "nothing"


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _characters_with(data: bytes) -> Iterator[str]:
    """Texts of whole characters that hold these bytes, which begin or end within a character."""
    starts_inside = data[:1] and 0x80 <= data[0] < 0xC0
    found = 0
    for before in BEFORE if starts_inside else [b""]:
        for after in AFTER:
            whole = before + data + after
            if _is_text(whole):
                yield whole.decode("utf-8")
                found += 1
                if found >= CHARACTERS:
                    return
                break  # one end will do for each beginning ...
    if not starts_inside:  # ... and where the beginning is given, several ends
        texts = (data + after for after in AFTER[::3] if _is_text(data + after))
        for whole in itertools.islice(texts, CHARACTERS):
            yield whole.decode("utf-8")
