"""What a tokenizer.json must hold before anything is made of it: files come from anywhere.

>>> check_document({"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 0}}})
Traceback (most recent call last):
ValueError: two tokens have the id 0
"""

import math
from typing import Any

from core.tokenizer.base import clean_text

MAX_TOKENS = 2_000_000  # the largest published vocabularies have about 256,000


def check_document(document: Any) -> None:
    """ValueError with a few words if tokens or ids cannot be what they should be. What the `tokenizers` package would
    refuse too, in words of its own, is left to it."""
    if not isinstance(document, dict) or not isinstance(document.get("model"), dict):
        raise ValueError("it has no model")
    model = document["model"]
    vocab = model.get("vocab")
    if isinstance(vocab, dict):
        _check_ids(vocab.items(), "vocab")
    elif isinstance(vocab, list):  # Unigram
        _check_scores(vocab)
    else:
        raise ValueError("its model has no vocab")
    prefix = model.get("continuing_subword_prefix") or ""
    merges = model.get("merges")
    if merges is not None and not isinstance(merges, list):
        raise ValueError("its merges are no list")
    for merge in merges or []:
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            raise ValueError(f"{str(merge)[:40]!r} is not a merge of two tokens")
        # The package cuts the prefix off byte by byte, unlooked at, and ends the process if there is none.
        if prefix and not (isinstance(prefix, str) and prefix.isascii() and parts[1].startswith(prefix)):
            raise ValueError(f"the merge {' '.join(parts)[:40]!r} goes on without the prefix {str(prefix)[:20]!r}")
    added = document.get("added_tokens")
    if added is not None and not isinstance(added, list):
        raise ValueError("its added_tokens are no list")
    for token in added or []:
        if not isinstance(token, dict) or not isinstance(token.get("content"), str) or not token["content"]:
            raise ValueError("an added token has no content")
        if clean_text(token["content"]) != token["content"]:
            raise ValueError(f"the added token {token['content'][:40]!r} has half a character")
        _check_ids([(token["content"], token.get("id"))], "added_tokens")  # two may share one, as o200k_harmony has it


def check_normalized(added: list[dict[str, Any]], normalizer: Any) -> None:
    """ValueError if the `tokenizers` package's normaliser leaves nothing of an added token that is looked for in
    normalised text: the package would find it everywhere, and may take all memory there is."""
    for token in added:
        if normalizer and token.get("normalized") and not normalizer.normalize_str(token["content"]):
            raise ValueError(f"the normaliser leaves nothing of the added token {token['content'][:40]!r}")


def _check_ids(tokens: Any, where: str) -> None:
    seen: set[int] = set()
    for text, id in tokens:
        if type(id) is not int or not 0 <= id < MAX_TOKENS:
            raise ValueError(
                f"{text[:40]!r} in {where} has the id {str(id)[:20]}, not one from 0 to {MAX_TOKENS - 1:,}"
            )
        if id in seen:
            raise ValueError(f"two tokens have the id {id}")
        seen.add(id)


def _check_scores(vocab: list[Any]) -> None:
    if len(vocab) > MAX_TOKENS:
        raise ValueError(f"it has {len(vocab):,} tokens, more than {MAX_TOKENS:,}")
    seen = set()
    for entry in vocab:
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
            raise ValueError("an entry of its vocab is not a token with its score")
        text, score = entry
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
            raise ValueError(f"the score of {text[:40]!r} is not a number")
        if text in seen:
            raise ValueError(f"the token {text[:40]!r} is there twice")
        seen.add(text)
