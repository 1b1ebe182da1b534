"""What is left out of a data set, and which part of it is held out for validation.

The validation part is a function of the seed. It shares no document with the training part (a dialogue's sentences
never straddle the two), no source sentence and no text, whatever the case and the spacing.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from core.data.corpus import Pair
from core.errors import DataError

EMPTY, AGAIN = "empty on one side", "the same pair again"
HELD_OUT = "in the validation data too"


def key(text: str) -> str:
    """What makes two texts the same: their words, whatever the case and spacing."""
    return " ".join(text.casefold().split())


def clean_pairs(pairs: Iterable[Pair], dropped: Counter[str]) -> list[Pair]:
    """Pairs with text on both sides, each once, without space around it."""
    kept: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        stripped = pair._replace(src=pair.src.strip(), tgt=pair.tgt.strip())
        if not stripped.src or not stripped.tgt:
            dropped[EMPTY] += 1
        elif (stripped.src, stripped.tgt) in kept:
            dropped[AGAIN] += 1
        else:
            kept[stripped.src, stripped.tgt] = stripped
    return list(kept.values())


def split_pairs(
    pairs: list[Pair], fraction: float, seed: int, dropped: Counter[str] | None = None
) -> tuple[list[Pair], list[Pair]]:
    """Hold out about `fraction` of the pairs, whole groups at a time: a document, or all pairs of one source.

    Where documents are known, a pair without one is a group by its source.
    """
    by_document = len({pair.document for pair in pairs}) > 1
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        if by_document:
            name = pair.document or "\0" + key(pair.src)
        else:
            name = key(pair.src)
        groups.setdefault(name, []).append(pair)
    if len(groups) < 2:
        raise DataError("One pair (or document) is too little to cut a validation part from; name validation data.")
    held = hold_out({name: len(group) for name, group in groups.items()}, fraction, seed)
    val = [pair for name in groups if name in held for pair in groups[name]]
    sources = {key(pair.src) for pair in val}  # "Yes." of another dialogue is not unseen either
    train = [p for name in groups if name not in held for p in groups[name] if key(p.src) not in sources]
    if not train:
        raise DataError("Too few different source sentences to cut a validation part from; name validation data.")
    if dropped is not None:
        dropped[HELD_OUT] += len(pairs) - len(train) - len(val)
    return train, val


def split_texts(
    texts: list[str], documents: list[str], fraction: float, seed: int, dropped: Counter[str]
) -> tuple[list[str], list[str]]:
    """Hold out about `fraction` of the texts: whole documents where those are known (a text is then a line of one),
    else single texts, each of which is kept once."""
    if len(set(documents)) > 1:
        names = [document or "\0" + key(text) for text, document in zip(texts, documents, strict=True)]
        held = hold_out(Counter(names), fraction, seed)
        val = [text for text, name in zip(texts, names) if name in held]
        train = [text for text, name in zip(texts, names) if name not in held]
    else:
        unique = list(dict.fromkeys(texts))
        dropped["the same document again"] += len(texts) - len(unique)
        if len(unique) < 2:
            raise DataError("All documents are the same; there is nothing to validate on.")
        wanted = min(max(1, round(fraction * len(unique))), len(unique) - 1)
        chosen = set(shuffled(list(range(len(unique))), seed)[:wanted])
        train = [text for i, text in enumerate(unique) if i not in chosen]
        val = [text for i, text in enumerate(unique) if i in chosen]
    kept = without(train, val, dropped)
    if not kept:
        raise DataError("All documents are the same but for case and spacing; there is nothing to validate on.")
    return kept, val


def hold_out(sizes: dict[str, int], fraction: float, seed: int) -> set[str]:
    """Names of groups that together hold about `fraction` of all, drawn by seed. At least one group stays, and one
    that is more than half of all is never taken."""
    total = sum(sizes.values())
    wanted, names = max(1, round(fraction * total)), shuffled(list(sizes), seed)
    held: set[str] = set()
    count = 0
    for name in names[:-1]:
        if count >= wanted:
            break
        if 2 * sizes[name] <= total:
            held.add(name)
            count += sizes[name]
    return held or {min(names, key=lambda name: sizes[name])}


def without(train: list[str], val: list[str], dropped: Counter[str]) -> list[str]:
    """The training texts that are not among the validation texts, whatever the case and spacing."""
    begins = {beginning(text) for text in val}
    known = {key(text) for text in val}
    kept = [text for text in train if beginning(text) not in begins or key(text) not in known]
    dropped[HELD_OUT] += len(train) - len(kept)
    return kept


def beginning(text: str) -> str:
    """The first 100 characters of the text's key, in most cases without computing all of it."""
    begin = key(text[:400])
    return (begin if len(begin) >= 100 else key(text))[:100]


def shuffled(items: list[Any], seed: int) -> list[Any]:
    """A deterministic order by seed, independent of hash randomisation and of other uses of `random`."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}\0{item}".encode("utf-8", "replace")).digest())


def sample(items: list[Any], count: int, seed: int) -> list[Any]:
    """`count` items, drawn by seed, in their order."""
    if count < 0:
        raise DataError(f"data.max_examples must not be negative, but is {count}.")
    if count >= len(items):
        return items
    return [items[i] for i in sorted(random.Random(f"sample-{seed}").sample(range(len(items)), count))]
