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
from core.data.lexicon import Adjective, Noun, Verb
from core.data.morphology import COPULA_PLAIN, COPULA_POLITE, POLITE, adjective_forms, article, plain_key

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


# ------------------------------------------------------------------------------------------------ noun phrases


def pronoun_or_name(entry: Sequence[str], key: str, as_object: bool = False) -> Phrase:
    en, ja, agreement, pronoun = entry[:4]
    return Phrase([(entry[4] if as_object and len(entry) > 4 else en, key)], [(ja, key)], agreement, pronoun)


_SUBJECTS = [p for p in lex.PEOPLE if p[0] != "you"]
_OTHERS = [p for p in lex.PEOPLE if p[0] not in ("I", "you", "we")]
_ASKED = [p for p in lex.PEOPLE if p[0] not in ("I", "we")]


def person(draw: Draw, key: str, asked: bool = False, others: bool = False, as_object: bool = False) -> Phrase:
    """Somebody. asked: as the subject of a question (you, not I); others: neither you nor I."""
    roll = draw.random()
    if roll < 0.5:
        entry = draw.pick(_OTHERS if others else _ASKED if asked else _SUBJECTS)
        return pronoun_or_name(entry, key, as_object)
    if roll < 0.6:
        return titled(draw, key)
    if roll < 0.85:
        return role(draw, key)
    if roll < 0.96:
        return kin(draw, key)
    first, second = draw.pick(lex.NAMES), draw.pick(lex.NAMES)
    if first is second:
        return pronoun_or_name(first, key, as_object)
    return Phrase(
        [(first[0], key), ("and", key + "+"), (second[0], key + "2")],
        [(first[1], key), ("と", key + "+"), (second[1], key + "2")],
        "p",
        "they",
    )


def titled(draw: Draw, key: str) -> Phrase:
    en, ja, pronoun = draw.pick(lex.TITLED).split("/")
    title, name = en.split()
    return Phrase([(title, key + "t"), (name, key)], [(ja, key), ("さん", key + "t")], "3", pronoun)


def role(draw: Draw, key: str) -> Phrase:
    en, en_plural, ja, ja_plural, pronoun = draw.pick(lex.ROLES)
    if draw.chance(0.25):
        return Phrase([("the", ""), (en_plural, key)], [(ja_plural, key)], "p", "they")
    return Phrase([("the", ""), (en, key)], [(ja, key)], "3", pronoun)


_KIN_OWNERS = (("my", "私"), ("my", "私"), ("his", "彼"), ("her", "彼女"))


def kin(draw: Draw, key: str, mine: bool = False) -> Phrase:
    """My older brother is 私の兄, but his is 彼のお兄さん."""
    en, own, others, pronoun = draw.pick(lex.KIN)
    owner_en, owner_ja = ("my", "私") if mine else draw.pick(_KIN_OWNERS)
    words = [(word, key) for word in en.split("_")]
    ja = own if owner_en == "my" else others
    owned = [(owner_ja, key + "p"), ("の", key + "p"), (ja, key)]
    return Phrase([(owner_en, key + "p"), *words], owned, "3", pronoun, [], owner_en)


_OWNERS = [("my", "私", "I"), ("your", "あなた", "you"), ("his", "彼", "he"), ("her", "彼女", "she")]


def thing(
    draw: Draw,
    key: str,
    noun: Noun,
    owner_not: str = "",
    many: bool = False,
    definite: bool = False,
    generic: bool = False,
) -> Phrase:
    """A thing. owner_not: the pronoun of the subject, whose own things Japanese would not call his; many: allow
    numbers; definite: only "the", "this", "that" and possessives, as topics need; generic: none of these."""
    if noun.the:
        return Phrase([("the", ""), (noun.en, key)], [(noun.ja, key)])
    uncounted = not noun.en_plural
    if uncounted and noun.counter != "杯" and not noun.adjectives:
        return Phrase([(noun.en, key)], [(noun.ja, key)])
    roll = draw.random()
    adjective = draw.pick(noun.adjectives) if noun.adjectives and draw.chance(0.25) else None
    en_adjective = [(adjective.en, key + "j")] if adjective else []
    ja_adjective = attributive(adjective, key) if adjective else []
    ja: Tokens = [*ja_adjective, (noun.ja, key)]
    if many and noun.counter and roll < 0.3:
        en_number, ja_number = draw.pick(_FEW)
        counted = [(ja_number, key + "#"), (noun.counter, key + "#")]
        if uncounted:
            cups = [("a" if en_number == "one" else en_number, key + "#"),
                    ("cup" if en_number == "one" else "cups", key + "#"), ("of", "")]
            return Phrase([*cups, *en_adjective, (noun.en, key)], ja, "3", "it", counted)
        word = noun.en if en_number == "one" else noun.en_plural
        agreement = "3" if en_number == "one" else "p"
        return Phrase([(en_number, key + "#"), *en_adjective, (word, key)], ja, agreement, "it", counted)
    if many and noun.counter and not uncounted and roll < 0.36:
        return Phrase([("many", key + "#"), *en_adjective, (noun.en_plural, key)], ja, "p", "they",
                      [("たくさん", key + "#")])
    roll = 0.45 + 0.55 * draw.random() if generic else draw.random()
    word = noun.en
    if definite and roll < 0.4 or roll < 0.2:
        en = [("the", ""), *en_adjective, (word, key)]
    elif roll < 0.3 or definite and roll < 0.7:
        demonstrative, ja_demonstrative = ("this", "この") if draw.chance(0.5) else ("that", "あの")
        en = [(demonstrative, key + "d"), *en_adjective, (word, key)]
        ja = [(ja_demonstrative, key + "d"), *ja]
    elif roll < 0.45 or definite:
        if draw.chance(0.3) and owner_not != "?":
            name, ja_name = draw.pick(lex.NAMES)[:2]
            en = [(f"{name}'s", key + "p"), *en_adjective, (word, key)]
            ja = [(ja_name, key + "p"), ("の", key + "p"), *ja]
        else:
            owner, ja_owner, pronoun = draw.pick(_OWNERS)
            if pronoun == owner_not or owner_not in ("?", "we"):
                return Phrase([("the", ""), *en_adjective, (word, key)], ja)
            en = [(owner, key + "p"), *en_adjective, (word, key)]
            ja = [(ja_owner, key + "p"), ("の", key + "p"), *ja]
    elif uncounted:
        en = [*en_adjective, (word, key)]
    elif roll < 0.9 or not (many or generic):
        en = [(article(adjective.en if adjective else word), ""), *en_adjective, (word, key)]
    else:
        return Phrase([*en_adjective, (noun.en_plural, key)], ja, "p", "they")
    return Phrase(en, ja, "3", "it")


_FEW = [pair for pair in lex.NUMBERS.items() if pair[0] != "ten"]  # ten takes no つ
_FEW = _FEW[:5] * 3 + _FEW


def attributive(adjective: Adjective, key: str) -> Tokens:
    """Before a noun: 新しい本, 静かな部屋."""
    return [(adjective.ja, key + "j")] if adjective.i else [(adjective.ja, key + "j"), ("な", "")]


def at_place(name: str, key: str, particle: str = "で") -> Phrase:
    """ "in the park" and 公園で."""
    preposition, en, ja = lex.PLACES[name]
    return Phrase([(preposition, key + "@"), *place_words(en, key)], [(ja, key), (particle, key + "@")])


def to_place(name: str, key: str, preposition: str = "to", particle: str = "に") -> Phrase:
    """ "to the park" and 公園に; "home" and "visit" have no preposition."""
    _, en, ja = lex.PLACES[name]
    before = [(preposition, key + "@")] if name != "home" and preposition else []
    return Phrase([*before, *place_words(en, key)], [(ja, key), (particle, key + "@" if before else "")])


def place_words(en: str, key: str) -> Tokens:
    return [(word, "" if word == "the" else key) for word in en.split()]


def time_phrase(draw: Draw, key: str, when: str, clock: bool = False) -> Phrase:
    """when: past, future or habit; clock: the verb goes with a time of day."""
    roll = draw.random()
    if clock and roll < 0.35:
        en, ja = draw.pick(_HOURS)
        return Phrase([("at", key + "@"), (en, key + "#"), ("o'clock", key)],
                      [(ja, key + "#"), ("時", key), ("に", key + "@")])
    if roll < 0.5 and when != "habit":
        en, ja = draw.pick(_DAYS)
        return Phrase([("on", key + "@"), (en, key)], [(f"{ja}曜日", key), ("に", key + "@")])
    en, ja = draw.pick(_TIMES[when])
    return Phrase([(word, key) for word in en.split()], [(ja, key)])


_HOURS, _DAYS = list(lex.HOURS.items()), list(lex.DAYS.items())
_TIMES = {when: list(entries.items()) for when, entries in lex.TIMES.items()}


# ------------------------------------------------------------------------------------------------- verb groups

_BE = {(False, "1"): "am", (False, "3"): "is", (False, "p"): "are", (True, "1"): "was", (True, "3"): "was",
       (True, "p"): "were"}
_NOT = {"am": "", "can": "can't", "will": "won't", "shall": "shan't"}


def be(past: bool, agreement: str) -> str:
    return _BE[past, agreement]


def negated(auxiliary: str, id: str, contract: bool, slot: str = ".a") -> Tokens:
    """ "did not" or "didn't", "cannot" or "can't"."""
    short = _NOT.get(auxiliary, auxiliary + "n't")
    if contract and short:
        return [(short, id + ".n")]
    return [("cannot", id + ".n")] if auxiliary == "can" else [(auxiliary, id + slot), ("not", id + ".n")]


def english_verb(
    clause: Clause, mode: str, past: bool, negative: bool, question: bool, contract: bool, agreement: str = ""
) -> tuple[Tokens, Tokens]:
    """(what stands before the subject of a question, what follows the subject).

    mode: simple, future, progressive, can, must, want, experience ("have never seen").
    """
    id, verb = clause.id, clause.verb.en_forms
    agreement = agreement or (clause.subject.agreement if clause.subject else "1")
    main, auxiliary, slot = verb["base"], "", ".a"
    if mode == "progressive":
        auxiliary, main = be(past, agreement), verb["ing"]
    elif mode == "future":
        auxiliary = "will"
    elif mode in ("can", "must"):
        auxiliary, slot = mode, ".m"
    elif mode == "experience":
        auxiliary, main = "has" if agreement == "3" else "have", verb["participle"]
    elif question or negative:
        auxiliary = "did" if past else "does" if agreement == "3" else "do"
    elif mode == "simple":
        main = verb["past"] if past else verb["s"] if agreement == "3" else main
    tokens = [(word, id + ".v") for word in main.split()]
    if mode == "want":
        want = "want" if auxiliary else "wanted" if past else "wants" if agreement == "3" else "want"
        tokens = [(want, id + ".m"), ("to", id + ".m"), *tokens]
    if clause.frequency:
        tokens.insert(0, (clause.frequency, id + "f"))
    if mode == "experience":
        tokens.insert(0, ("ever", id + ".x") if question else ("never", id + ".n"))
        negative = False
    if not auxiliary:
        return [], tokens
    group = negated(auxiliary, id, contract, slot) if negative else [(auxiliary, id + slot)]
    return (group, tokens) if question else ([], group + tokens)


def japanese_verb(clause: Clause, mode: str, past: bool, negative: bool, polite: bool, own: bool = True) -> Tokens:
    """The predicate. own: the wish is the speaker's (or the listener's), たい; another's is たがっている."""
    v, a, n, m = (clause.id + slot for slot in (".v", ".a", ".n", ".m"))
    forms = clause.verb.ja_forms
    ending, plain = POLITE[past, negative], plain_key(past, negative)
    if mode == "progressive":
        return [(forms["te"][0], v), *_iru(past, negative, polite, a)]
    if mode == "can":
        lead = [(forms["dictionary"][0], v), ("こと", m), ("が", m)]
        if polite:
            return [*lead, ("でき", m), (ending, a)]
        return [*lead, *_plain(_DEKIRU, plain, m, n)]
    if mode == "must":
        if negative:
            return [(forms["te"][0], v), ("は", ""), ("いけません" if polite else "いけない", m)]
        stem, condition = forms["negative condition"]
        return [(stem, v), (condition, m), ("なりません" if polite else "ならない", m)]
    if mode == "want":
        if own:
            wish = [(form, n if i else m) for i, form in enumerate(adjective_forms("たい", past, negative))]
            return [(forms["stem"][0], v), *wish, *([("です", "")] if polite else [])]
        return [(forms["stem"][0], v), ("たがって", m), *_iru(past, negative, polite, a)]
    if mode == "experience":
        return [(forms["past"][0], v), ("こと", a), ("が", a), *_aru(negative, polite, clause.id + ".x", n)]
    if polite:
        return [(forms["stem"][0], v), (ending, a)]
    return _plain(forms, plain, v, n)


_DEKIRU = {"dictionary": ("できる",), "past": ("できた",), "negative": ("でき", "ない"),
           "negative past": ("でき", "なかった")}
_IRU = {(False, False): "いる", (True, False): "いた", (False, True): "いない", (True, True): "いなかった"}


def _plain(forms: dict[str, tuple[str, ...]], key: str, verb_key: str, negation_key: str) -> Tokens:
    return [(form, negation_key if i else verb_key) for i, form in enumerate(forms[key])]


def _iru(past: bool, negative: bool, polite: bool, key: str) -> Tokens:
    return [("い" + POLITE[past, negative] if polite else _IRU[past, negative], key)]


def _aru(negative: bool, polite: bool, key: str, negation_key: str) -> Tokens:
    if negative:
        return [("ありません" if polite else "ない", negation_key)]
    return [("あります" if polite else "ある", key)]


def copula(id: str, word: str | Adjective, past: bool, negative: bool, polite: bool = True) -> Tokens:
    """ "is (not) ..." in Japanese: a noun or na-adjective with です or だ, or an i-adjective that inflects itself."""
    v, a, n = id + ".v", id + ".a", id + ".n"
    if isinstance(word, Adjective) and word.i:
        forms = [(form, n if i else v) for i, form in enumerate(adjective_forms(word.ja, past, negative))]
        if word.ja == "背が高い":
            forms = [("背", v), ("が", v), *[(form.removeprefix("背が"), key) for form, key in forms]]
        return forms + ([("です", a)] if polite else [])
    ending = (COPULA_POLITE if polite else COPULA_PLAIN)[past, negative]
    return [(word.ja if isinstance(word, Adjective) else word, v), (ending, a)]


# ------------------------------------------------------------------------------------------------------ finish

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
