"""OpenAI's tiktoken encodings as our BPE. They are lists of byte strings by rank, without merges.

tiktoken joins any two neighbours whose concatenation is in the list, lowest rank first; so every way to cut a token in
two listed parts is a merge of that token's rank (as transformers' converter writes them to tokenizer.json).

>>> merges_from_ranks({b"a": 0, b"b": 1, b"ab": 2, b"aba": 3})
[(b'a', b'b'), (b'ab', b'a')]
"""

import base64
import binascii
import threading
from collections.abc import Mapping
from typing import Any

from core.errors import RunError
from core.tokenizer.bpe import BPETokenizer

TIME_LIMIT = 20.0  # seconds that fetching an encoding may take; the package itself waits without end
MAX_TOKENS = 1_000_000  # of a file; o200k_base has 199,998
MAX_TOKEN_BYTES = 512  # the longest of the published ones have 128

# The published encodings as the package's tiktoken_ext.openai_public gives them: pattern, and special tokens with their
# ids. A .tiktoken file holds neither; its name says which encoding it is of.
_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
_CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_ENDING}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_ENDING}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_END = "<|endoftext|>"
_FIM = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
_HARMONY = {
    "<|startoftext|>": 199998, _END: 199999, "<|return|>": 200002, "<|constrain|>": 200003, "<|channel|>": 200005,
    "<|start|>": 200006, "<|end|>": 200007, "<|message|>": 200008, "<|call|>": 200012, "<|endofprompt|>": 200018,
}  # fmt: skip
ENCODINGS: dict[str, tuple[str, dict[str, int]]] = {
    "gpt2": (_GPT2, {_END: 50256}),
    "r50k_base": (_GPT2, {_END: 50256}),
    "p50k_base": (_GPT2, {_END: 50256}),
    "p50k_edit": (_GPT2, {_END: 50256} | {name: 50281 + i for i, name in enumerate(_FIM)}),
    "cl100k_base": (
        _CL100K,
        {_END: 100257, "<|endofprompt|>": 100276} | {name: 100258 + i for i, name in enumerate(_FIM)},
    ),
    "o200k_base": (_O200K, {_END: 199999, "<|endofprompt|>": 200018}),
    "o200k_harmony": (
        _O200K,
        # every other id of the range is reserved; 200018 is both, as published
        _HARMONY | {f"<|reserved_{id}|>": id for id in range(200000, 201088) if id not in _HARMONY.values()}
        | {"<|reserved_200018|>": 200018},
    ),
}  # fmt: skip
TIKTOKEN_NAMES = tuple(ENCODINGS)
# A file of another name, with only a pattern of one of them: what it is called where it is kept.
PATTERN_STEMS = {"gpt2": "pattern-gpt2", "gpt4": "pattern-gpt4", "o200k": "pattern-o200k", "none": "pattern-none"}
_PATTERNS = {"pattern-gpt2": "gpt2", "pattern-gpt4": "gpt4", "pattern-o200k": _O200K, "pattern-none": "none"}


def tokenizer_from_ranks(content: bytes, encoding: str, source: str) -> BPETokenizer:
    """The tokenizer of a .tiktoken file. encoding: the published one that it is of, or one of `PATTERN_STEMS`.
    RunError, one sentence, if the file is broken or its pattern not known."""
    if encoding not in ENCODINGS and encoding not in _PATTERNS:
        raise RunError(
            f"{source} says how tokens are merged but not how text is cut, and its name is not one of the published "
            f"encodings ({', '.join(ENCODINGS)}): choose the pattern (gpt2, gpt4, o200k or none), or give the file the "
            "name of its encoding."
        )
    pattern, special = ENCODINGS.get(encoding) or (_PATTERNS[encoding], {})
    ranks = read_ranks(content, source)
    used = set(ranks.values())
    if taken := next((name for name, id in special.items() if id in used), None):
        raise RunError(f"{source} is not the file of {encoding}: the id of {taken} is that of another token there.")
    return BPETokenizer(merges_from_ranks(ranks), special, pattern=pattern, vocab=ranks, ignore_merges=True)


def read_ranks(content: bytes, source: str) -> dict[bytes, int]:
    """Token -> rank, of lines such as "aGVsbG8= 15339" (base64 and number). RunError if the list is broken.

    >>> read_ranks(b"".join(b"%s %d\\n" % (base64.b64encode(bytes([b])), b) for b in range(256)), "x")[b"a"]
    97
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        if not line:
            continue
        try:
            text, rank = line.split(b" ")
            token = base64.b64decode(text, validate=True)
            if not token or not rank.isdigit() or len(rank) > 9:
                raise ValueError
        except (ValueError, binascii.Error):
            raise RunError(
                f"Line {number:,} of {source} is not a token in base64 and its rank; give a .tiktoken file."
            ) from None
        if len(token) > MAX_TOKEN_BYTES or int(rank) >= 2 * MAX_TOKENS or len(ranks) >= MAX_TOKENS or token in ranks:
            raise RunError(
                f"Line {number:,} of {source} cannot be: a token is listed once, with at most {MAX_TOKEN_BYTES} bytes, "
                f"and there are at most {MAX_TOKENS:,}."
            )
        ranks[token] = int(rank)
    if len(set(ranks.values())) < len(ranks):
        raise RunError(f"{source} gives two tokens the same rank; download it again.")
    if any(bytes([byte]) not in ranks for byte in range(256)):
        raise RunError(f"{source} does not list all 256 bytes; download it again.")
    return ranks


def merges_from_ranks(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """All merges of tiktoken's `mergeable_ranks`, by the rank of what they make."""
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        cuts = [(token[:i], token[i:]) for i in range(1, len(token))]
        known = [(left, right) for left, right in cuts if left in ranks and right in ranks]
        merges += sorted(known, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
    return merges


def from_tiktoken(encoding: Any) -> BPETokenizer:
    """A tiktoken.Encoding as our tokenizer, with the same ids."""
    ranks = encoding._mergeable_ranks
    return BPETokenizer(
        merges_from_ranks(ranks),
        dict(encoding._special_tokens),
        pattern=encoding._pat_str,
        vocab=dict(ranks),
        ignore_merges=True,
    )


def load_tiktoken(name: str) -> BPETokenizer:
    """An encoding by its name. The package keeps files that it has fetched once; otherwise it needs the network."""
    try:
        import tiktoken
    except ImportError:
        raise RunError(f"The encoding {name!r} needs the package tiktoken: pip install tiktoken.") from None
    result: list[Any] = []

    def fetch() -> None:
        try:
            result.append(tiktoken.get_encoding(name))
        except Exception:  # whatever the network or the disk does, the sentence below says what is needed
            pass

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(TIME_LIMIT)
    if not result:
        raise RunError(
            f"The tiktoken encoding {name!r} needs a download, which did not succeed; "
            "connect to the internet, or give a tokenizer.json file."
        )
    return from_tiktoken(result[0])
