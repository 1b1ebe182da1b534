"""Phrases of two languages at once: noun phrases, verb groups, clauses, and what aligns with what.

A token is (surface, key). Tokens of the two languages with the same key are translations of each other; "" is a word
without a counterpart (articles, の, を ...). Keys look like "0o.n" (clause 0, object, noun). An auxiliary ("did") with
no morpheme of its own falls back on the verb: ".m" (can, want) → ".n" (negation) → ".a" (auxiliary) → ".v" (verb).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.data import lexicon as lex
from core.data.lexicon import Verb

Token = tuple[str, str]
Tokens = list[Token]
MARKS = frozenset(".?!,")


class Example(NamedTuple):
    """A sentence and its translation with their words: (start, end) character spans and gold alignment."""

    src: str
    tgt: str
    src_spans: tuple[tuple[int, int], ...]
    tgt_spans: tuple[tuple[int, int], ...]
    alignment: tuple[tuple[int, int], ...]  # (source word, target morpheme), sorted

    @property
    def src_words(self) -> list[str]:
        return [self.src[start:end] for start, end in self.src_spans]

    @property
    def tgt_words(self) -> list[str]:
        return [self.tgt[start:end] for start, end in self.tgt_spans]


class Phrase(NamedTuple):
    """A noun phrase. quantity: the Japanese quantity, which floats behind the particle (本を三冊)."""

    en: Tokens
    ja: Tokens
    agreement: str = "3"  # 1: am · 3: is · p: are
    pronoun: str = ""  # what takes it up again in English
    quantity: Tokens = []
    owner: str = ""  # the pronoun whose possession it is


@dataclass(slots=True)
class Clause:
    """One verb with all that goes with it. `id` keeps its keys apart from those of other clauses."""

    id: str
    verb: Verb
    subject: Phrase | None = None
    object: Phrase | None = None
    recipient: Phrase | None = None
    goal: Phrase | None = None
    companion: Phrase | None = None
    place: Phrase | None = None
    means: Phrase | None = None
    time: Phrase | None = None
    frequency: str = ""

    def english_rest(self) -> Tokens:
        """What follows the verb."""
        rest = [(self.verb.en_particle, self.id + ".v")] if self.verb.en_particle else []
        for part in (self.object, self.recipient, self.goal, self.companion, self.place, self.means, self.time):
            if part:
                rest += part.en
        return rest

    def japanese_rest(self) -> Tokens:
        """What precedes the verb, in its order: when, with whom, where, by what, to whom, to where, what."""
        rest = list(self.time.ja) if self.time else []
        if self.frequency:
            rest.append((lex.FREQUENCY[self.frequency], self.id + "f"))
        for part in (self.companion, self.place, self.means, self.recipient, self.goal):
            if part:
                rest += part.ja
        if self.object:
            rest += [*self.object.ja, (self.verb.particle, ""), *self.object.quantity]
        return rest


class Draw:
    """Random choices, fast and the same on every platform: everything is made of `random()`."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed).random

    def pick(self, items: Sequence[Any]) -> Any:
        return items[int(self.random() * len(items))]

    def chance(self, probability: float) -> bool:
        return self.random() < probability


_FALLBACK = {"m": "n", "n": "a", "a": "v"}


def _resolve(key: str, others: dict[str, list[int]]) -> str:
    while key and key not in others:
        slot = _FALLBACK.get(key[-1]) if "." in key else None
        key = key[:-1] + slot if slot else ""
    return key


def finish(en: Tokens, ja: Tokens) -> Example:
    """Put both sentences on paper: a capital, spaces, character spans, and the alignment that the keys say."""
    position, src_spans = -1, []  # -1: no space before the first word
    for word, _ in en:
        start = position + (word not in MARKS)
        position = start + len(word)
        src_spans.append((start, position))
    position, tgt_spans = 0, []
    for morpheme, _ in ja:
        tgt_spans.append((position, position := position + len(morpheme)))
    return Example(english_text(en), japanese_text(ja), tuple(src_spans), tuple(tgt_spans), align(en, ja))


def align(en: Tokens, ja: Tokens) -> tuple[tuple[int, int], ...]:
    """(English word, Japanese morpheme) index pairs: equal keys, or a key that falls back on one of the other side."""
    en_at, ja_at = _positions(en), _positions(ja)
    links = []
    for key, at in en_at.items():
        others = ja_at.get(key if key in ja_at else _resolve(key, ja_at))
        if others:
            links += [(i, j) for i in at for j in others]
    for key, at in ja_at.items():
        if key not in en_at:
            links += [(i, j) for i in en_at.get(_resolve(key, en_at), []) for j in at]
    links.sort()
    return tuple(links)


def _positions(tokens: Tokens) -> dict[str, list[int]]:
    at: dict[str, list[int]] = {}
    for i, (_, key) in enumerate(tokens):
        if key in at:
            at[key].append(i)
        elif key:
            at[key] = [i]
    return at


def english_text(en: Tokens) -> str:
    text = " ".join([word for word, _ in en])
    text = text[:-2] + text[-1]  # the final mark
    if " , " in text:
        text = text.replace(" , ", ", ")
    return text[0].upper() + text[1:]


def japanese_text(ja: Tokens) -> str:
    return "".join([morpheme for morpheme, _ in ja])
