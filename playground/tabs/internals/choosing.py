"""Which position of the text, which token's logit, and what it is compared with: one text, as it stands in the address.

The text is POSITION.TOKEN.OTHER: "7.311.mean". Nothing for a position means the last one, for a token the model's own
choice, for the other that nothing is compared with.
"""

from typing import Any, Literal, NamedTuple

import numpy as np

from core.analysis.reading import Reading, token_names
from core.errors import TextError
from core.tokenizer.visible import from_signs

CANDIDATES = 12  # tokens that are offered at a position, the most probable ones
NAME = 40  # characters of a token's name in a list


class Choice(NamedTuple):
    """position counts from 0; token None: the model's own choice there."""

    position: int
    token: int | None = None
    other: "int | Literal['mean'] | None" = None


def choice_of(reading: Reading, place: Any) -> Choice:
    """What somebody chose, or a link names; what the reading does not have is left at what is usual.

    Never raises, whatever the place is.
    """
    parts = place.split(".") if isinstance(place, str) and len(place) < 60 else []
    position, token, other = ([*parts, "", "", ""])[:3]
    last, vocabulary = len(reading.ids) - 1, reading.model.config.vocab_size
    return Choice(
        number if (number := _number(position, last + 1)) is not None else last,
        _number(token, vocabulary),
        "mean" if other == "mean" else _number(other, vocabulary),
    )


def _number(text: str, limit: int) -> int | None:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else limit
    return number if number < limit else None


def position_choices(reading: Reading, last: str) -> list[tuple[str, str]]:
    """(label, value) of every position. last: the value of the last one, which stays that when the text changes."""
    pairs = enumerate(zip(reading.names, reading.written, strict=True))
    shown = [f"{i} · {_short(read)} → {_short(after)}" for i, (read, after) in pairs]
    return [(f"the last: {shown[-1]}", last), *[(label, str(i)) for i, label in enumerate(shown[:-1])]]


def candidates(reading: Reading, position: int, also: tuple[int | None, ...] = ()) -> list[tuple[str, str]]:
    """(label, value) of the most probable tokens at a position, and of those given; values as `typed_token` reads."""
    import torch

    with torch.inference_mode():
        shares = reading.logits([position])[0].softmax(-1).cpu().numpy()
    best = np.argsort(-shares, kind="stable")[:CANDIDATES].tolist()
    ids = [*best, *(id for id in dict.fromkeys(also) if id is not None and id not in best)]
    names = token_names(reading.run.tokenizer, ids)
    return [(f"{_short(name)} · {shares[id]:.1%}", f"#{id}") for id, name in zip(ids, names, strict=True)]


def typed_token(reading: Reading, typed: str) -> int:
    """The token that somebody typed: its text (signs stand for what is invisible, as in its name), or # and its id.

    TextError for what is no single token of the model.
    """
    vocabulary = reading.model.config.vocab_size
    if typed.startswith("#") and typed[1:].isascii() and typed[1:].isdigit():
        if len(typed) < 12 and int(typed[1:]) < vocabulary:
            return int(typed[1:])
        raise TextError(f"There is no token {typed[:20]}: the model's ids go from 0 to {vocabulary - 1:,}.")
    tokenizer = reading.run.tokenizer.for_target() if reading.is_translation else reading.run.tokenizer
    text = from_signs(typed)
    if not text:
        raise TextError("Type a token, or # and its id.")
    special = tokenizer.special_tokens.get(text, vocabulary)
    if special < vocabulary:
        return special
    tried = [tokenizer.encode(form).ids for form in dict.fromkeys([text, f" {text}", text.strip()])]
    for ids in tried:
        if len(ids) == 1 and ids[0] < vocabulary:
            return ids[0]
    cut = " | ".join(token_names(tokenizer, tried[0][:8]))
    raise TextError(
        f"{typed[:40]!r} is {len(tried[0])} tokens to this model ({cut}): type one of them, or # and its id."
    )


def _short(name: str) -> str:
    return name if len(name) <= NAME else f"{name[: NAME - 1]}…"
