"""Any tokenizer.json, run by the `tokenizers` package: Unigram, WordPiece, SentencePiece-like BPE, normalisers.

The package reports which characters a token came from; `pieces` are the bytes of those characters. For byte-level
tokenizers without normalisation the pieces are exact, so that joined they are the text (a space that a tokenizer puts
in front is in no piece).
"""

import contextlib
import functools
import itertools
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any

from core.errors import RunError, TextError, UserError
from core.tokenizer.base import Encoding, Tokenizer, clean_text
from core.tokenizer.bpe import Ranks
from core.tokenizer.bpe_model import first_symbols, ranks_of
from core.tokenizer.byte_map import from_visible
from core.tokenizer.files.json_check import check_normalized
from core.tokenizer.spans import byte_positions, exact_spans, matched_spans

LONG_WORD = 1000
_LONG_WORD = re.compile(rf"\S{{{LONG_WORD + 1}}}")
_NOTHING_AROUND = {"post_processor": None, "truncation": None, "padding": None}
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class HubTokenizer(Tokenizer):
    """A tokenizer of the `tokenizers` package behind our interface."""

    def __init__(self, contents: str) -> None:
        import tokenizers

        self._json = contents
        try:
            self.full = tokenizers.Tokenizer.from_str(contents)  # all of it, what it adds around a text too
            # As the package writes it, whatever it was lenient about; but of two added tokens of one id it writes one.
            document = json.loads(self.full.to_str())
            added = json.loads(contents).get("added_tokens") or []
            check_normalized(added, self.full.normalizer)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the package raises bare Exceptions, and panics that are none
            raise RunError(f"The tokenizer.json cannot be read: {_one_line(error)}.") from error
        self.full.no_padding()
        self.full.no_truncation()
        self.model_type = document["model"].get("type", "")
        vocab = self.full.get_vocab(with_added_tokens=True)
        added = document["added_tokens"] = [token | {"id": vocab[token["content"]]} for token in added]
        super().__init__(
            max(vocab.values(), default=-1) + 1, {t["content"]: t["id"] for t in added if t.get("special")}
        )
        self._token_of = {id: token for token, id in vocab.items()}
        self._added = {t["id"]: t["content"] for t in added}
        self._model_ids = frozenset(self.full.get_vocab(with_added_tokens=False).values())
        self._byte_fallback = bool(document["model"].get("byte_fallback"))
        self.is_byte_level = "ByteLevel" in _types(document.get("pre_tokenizer")) + _types(document.get("normalizer"))
        self.document = document
        self._cutters: dict[tuple[bool, bool], Any] = {}

    def fast(self) -> Any:
        """The same tokenizer, but special tokens in texts stay text.

        Special tokens are renamed to something that no text contains: left out, they would shift the ids of the added
        tokens behind them, and one that is an ordinary entry of the model's vocabulary (Unigram, WordLevel) could
        still be produced from typed text.
        """
        if self._fast is None:
            import tokenizers

            document = self.document | _NOTHING_AROUND
            model = dict(document["model"])
            renamed = {name: f"\ue000{secrets.token_hex(16)}" for name in self.special_tokens}
            document["added_tokens"] = [
                token | {"content": renamed.get(token["content"], token["content"])}
                for token in document["added_tokens"]
                if not token.get("special") or token["id"] not in self._model_ids
            ]
            renamed.pop(model.get("unk_token") or "", None)
            if self._byte_fallback:
                renamed = {name: other for name, other in renamed.items() if not _BYTE_TOKEN.fullmatch(name)}
            if self.model_type == "Unigram":
                model["vocab"] = [[renamed.get(piece, piece), score] for piece, score in model["vocab"]]
            else:
                # What merges are made of and make keeps its name, or the file could not be read.
                prefix = len(model.get("continuing_subword_prefix") or "")
                merged = {name for a, b in model.get("merges", []) for name in (a, b, a + b[prefix:])}
                model["vocab"] = {
                    piece if piece in merged else renamed.get(piece, piece): id for piece, id in model["vocab"].items()
                }
            document["model"] = model
            self._fast = tokenizers.Tokenizer.from_str(json.dumps(document))
        return self._fast

    def parsing(self) -> Any:
        """The same tokenizer, with special tokens in texts parsed and nothing added around a text."""
        if self._parsing is None:
            import tokenizers

            document = self.document | _NOTHING_AROUND
            self._parsing = tokenizers.Tokenizer.from_str(json.dumps(document))
        return self._parsing

    def encode(self, text: str, *, parse_special: bool = False) -> Encoding:
        text = clean_text(text)
        encoded = self.model_output(text, parse_special=parse_special)
        ids = encoded.ids
        special = self.special_ids - {self.unk_id} if parse_special else frozenset()
        special_mask = [id in special for id in ids]
        data = text.encode("utf-8")
        pieces: list[bytes] = []
        if self.is_byte_level:
            bytes_of = {id: self.token_bytes(id) for id in set(ids)}
            pieces = [bytes_of[id] for id in ids]
            if b"".join(pieces) == data:  # nothing was normalised, and no space put in front
                return Encoding(ids, pieces, *exact_spans(pieces), special_mask)
        char_spans, byte_at = encoded.offsets, byte_positions(text)
        if any(end > len(text) for _, end in char_spans):  # so it is where an end_of_word_suffix became bytes
            char_spans = [(min(start, len(text)), min(end, len(text))) for start, end in char_spans]
        if self.is_byte_level:
            return Encoding(ids, *matched_spans(pieces, char_spans, byte_at, data), special_mask)
        byte_spans = [(byte_at[start], byte_at[end]) for start, end in char_spans]
        if self._byte_fallback:
            self._split_characters(ids, byte_spans)
        pieces = [data[start:end] for start, end in byte_spans]
        return Encoding(ids, pieces, byte_spans, char_spans, special_mask)

    def model_output(self, text: str, *, parse_special: bool = False) -> Any:
        """The package's own Encoding of a clean text, before anything is added around it."""
        self._refuse_long_words(text)
        with _said_clearly():
            return (self.parsing() if parse_special else self.fast()).encode(text, add_special_tokens=False)

    def post_processed(self, encoded: Any) -> Any:
        """What `model_output` gave, with what the tokenizer adds around a text."""
        with _said_clearly():
            return self.full.post_process(encoded)

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        texts = [clean_text(text) for text in texts]
        for text in texts:
            self._refuse_long_words(text)
        with _said_clearly():
            return super().encode_batch(texts)

    def _refuse_long_words(self, text: str) -> None:
        """WordPiece tries every end of a word for each of its tokens; its files usually leave words of more than 100
        characters unknown, but may set any limit."""
        limit = self.document["model"].get("max_input_chars_per_word", 0)
        if self.model_type == "WordPiece" and limit > LONG_WORD and _LONG_WORD.search(text):
            raise TextError(
                f"This tokenizer would take minutes for a word of more than {LONG_WORD} characters; shorten the word."
            )

    def pre_tokens(
        self, text: str, *, parse_special: bool = False, only_normalize: bool = False
    ) -> list[tuple[str, tuple[int, int], bool]]:
        """What the model is given: (chunk, its characters in the text, whether it is an added token, which is taken as
        it is). only_normalize: before the pre-tokenisation."""
        cutter = self._cutter(parse_special, only_normalize)
        with _said_clearly():
            encoded = cutter.encode(clean_text(text), add_special_tokens=False)
        ids, spans, words = encoded.ids, encoded.offsets, encoded.word_ids
        edges = [0, *(i for i in range(1, len(ids)) if words[i] != words[i - 1]), len(ids)] if ids else []
        found: list[tuple[str, tuple[int, int], bool]] = []
        for first, last in itertools.pairwise(edges):
            is_added = ids[first] >= 256
            chunk = cutter.id_to_token(ids[first]) if is_added else bytes(ids[first:last]).decode("utf-8", "replace")
            found.append((chunk, (spans[first][0], max(end for _, end in spans[first:last])), is_added))
        return found

    def _cutter(self, parse_special: bool, only_normalize: bool) -> Any:
        """This tokenizer with another model: one that writes each chunk as its bytes, whatever it holds."""
        key = (parse_special, only_normalize)
        if key not in self._cutters:
            import tokenizers

            added = self.document["added_tokens"]
            bytes_only = {"type": "BPE", "byte_fallback": True, "merges": []}
            bytes_only["vocab"] = {f"<0x{byte:02X}>": byte for byte in range(256)}
            changes = {
                "added_tokens": added if parse_special else [t for t in added if not t.get("special")],
                "pre_tokenizer": None if only_normalize else self.document["pre_tokenizer"],
                "decoder": None,
                "model": bytes_only,
            }
            document = self.document | _NOTHING_AROUND | changes
            self._cutters[key] = tokenizers.Tokenizer.from_str(json.dumps(document))
        return self._cutters[key]

    @functools.cached_property
    def ranks(self) -> Ranks:
        """Of a BPE model, as BPETokenizer.ranks: (left id, right id) -> (rank, id of the merged token)."""
        return ranks_of(self.document["model"])

    def first_symbols(self, chunk: str) -> list[tuple[int, bytes]]:
        """What a BPE model begins a chunk with: (id, the characters or the byte it stands for) of each."""
        return first_symbols(self.document["model"], chunk)

    @property
    def has_plain_merges(self) -> bool:
        """Whether a BPE token's own characters are merged alone as they are in a word."""
        model = self.document["model"]
        marked = model.get("continuing_subword_prefix") or model.get("end_of_word_suffix") or model.get("ignore_merges")
        return self.model_type == "BPE" and not marked and not model.get("dropout")

    def token(self, id: int) -> str:
        """A token as the vocabulary writes it. TextError if there is no such id."""
        if id not in self._token_of:
            raise TextError(f"There is no token {id}; ids run from 0 to {self.vocab_size - 1}.")
        return self._token_of[id]

    def is_added(self, id: int) -> bool:
        """Whether the token was added to the model's own vocabulary; it is taken out of a text before the model."""
        return id in self._added

    def is_byte_token(self, id: int) -> bool:
        """Whether the token stands for a byte of a character that the vocabulary lacks: <0xE3>."""
        return self._byte_fallback and _BYTE_TOKEN.fullmatch(self._token_of[id]) is not None

    def continues_word(self, id: int) -> bool:
        """Whether the token goes on within a word (WordPiece: "##ing")."""
        prefix = self.document["model"].get("continuing_subword_prefix")
        return bool(prefix) and self._token_of[id].startswith(prefix)

    def whole_token(self, chunk: str) -> int | None:
        """The id of a chunk that a BPE model with `ignore_merges` takes as it is."""
        model = self.document["model"]
        return model["vocab"].get(chunk) if model.get("ignore_merges") else None

    @functools.cached_property
    def unk_id(self) -> int | None:
        model = self.document["model"]
        if self.model_type == "Unigram":
            return model.get("unk_id")
        return self.full.token_to_id(model["unk_token"]) if model.get("unk_token") else None

    def _split_characters(self, ids: list[int], byte_spans: list[tuple[int, int]]) -> None:
        """<0xE3><0x81><0x82> all name the same character; give each its own byte of it."""
        i = 0
        while i < len(ids):
            j = i
            while j < len(ids) and byte_spans[j] == byte_spans[i] and _BYTE_TOKEN.fullmatch(self._token_of[ids[j]]):
                j += 1
            start, end = byte_spans[i]
            if j - i > 1 and j - i == end - start:
                byte_spans[i:j] = [(start + k, start + k + 1) for k in range(j - i)]
            i = max(j, i + 1)

    def token_bytes(self, id: int) -> bytes:
        """Of a token in the middle of a text: "▁the" is " the", "##ing" and "ing</w>" are "ing", "<0x0A>" a newline."""
        token = self.token(id)
        if id in self._added:
            return self._added[id].encode("utf-8")
        if self.is_byte_level:
            data = from_visible(token)
            return token.encode("utf-8") if data is None else data
        if self._byte_fallback and (match := _BYTE_TOKEN.fullmatch(token)):
            return bytes([int(match[1], 16)])
        if self.continues_word(id):
            token = token.removeprefix(self.document["model"]["continuing_subword_prefix"])
        token = token.removesuffix(self.document["model"].get("end_of_word_suffix") or "")
        return token.replace("▁", " ").encode("utf-8")

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        return self.full.decode([int(id) for id in ids], skip_special_tokens=skip_special)

    def decode_bytes(self, ids: Iterable[int], *, skip_special: bool = True) -> bytes:
        if self.is_byte_level:
            return super().decode_bytes(ids, skip_special=skip_special)
        return self.decode(ids, skip_special=skip_special).encode("utf-8")

    def to_json(self) -> str:
        return self._json


@contextlib.contextmanager
def _said_clearly() -> Iterator[None]:
    """The package raises bare Exceptions, and panics that are no Exception at all (a regular expression that gives up);
    here they become a sentence."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, UserError):
        raise
    except BaseException as error:
        raise TextError(f"This tokenizer cannot cut this text: {_one_line(error)}.") from None


def _types(section: Any) -> list[str]:
    """The type names in a section of a tokenizer.json, sequences opened."""
    if not isinstance(section, dict):
        return []
    inner = [*section.get("pretokenizers", []), *section.get("normalizers", []), *section.get("decoders", [])]
    return [section.get("type", ""), *(name for part in inner for name in _types(part))]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
