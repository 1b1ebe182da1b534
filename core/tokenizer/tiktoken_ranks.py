"""OpenAI's tiktoken encodings as our BPE. They are lists of byte strings by rank, without merges.

tiktoken joins any two neighbours whose concatenation is in the list, lowest rank first; so every way to cut a token in
two listed parts is a merge of that token's rank (as transformers' converter writes them to tokenizer.json).

>>> merges_from_ranks({b"a": 0, b"b": 1, b"ab": 2, b"aba": 3})
[(b'a', b'b'), (b'ab', b'a')]
"""

import threading
from collections.abc import Mapping
from typing import Any

from core.errors import RunError
from core.tokenizer.bpe import BPETokenizer

TIME_LIMIT = 20.0  # seconds that fetching an encoding may take; the package itself waits without end


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
