"""Noun phrases, places and times of `builtin:enja`, drawn in both languages at once."""

from collections.abc import Sequence

from core.data import lexicon as lex
from core.data.lexicon import Adjective, Noun
from core.data.morphology import article
from core.data.phrases import Draw, Phrase, Tokens


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
            cups = [
                ("a" if en_number == "one" else en_number, key + "#"),
                ("cup" if en_number == "one" else "cups", key + "#"),
                ("of", ""),
            ]
            return Phrase([*cups, *en_adjective, (noun.en, key)], ja, "3", "it", counted)
        word = noun.en if en_number == "one" else noun.en_plural
        agreement = "3" if en_number == "one" else "p"
        return Phrase([(en_number, key + "#"), *en_adjective, (word, key)], ja, agreement, "it", counted)
    if many and noun.counter and not uncounted and roll < 0.36:
        return Phrase(
            [("many", key + "#"), *en_adjective, (noun.en_plural, key)], ja, "p", "they", [("たくさん", key + "#")]
        )
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
        return Phrase(
            [("at", key + "@"), (en, key + "#"), ("o'clock", key)], [(ja, key + "#"), ("時", key), ("に", key + "@")]
        )
    if roll < 0.5 and when != "habit":
        en, ja = draw.pick(_DAYS)
        return Phrase([("on", key + "@"), (en, key)], [(f"{ja}曜日", key), ("に", key + "@")])
    en, ja = draw.pick(_TIMES[when])
    return Phrase([(word, key) for word in en.split()], [(ja, key)])


_HOURS, _DAYS = list(lex.HOURS.items()), list(lex.DAYS.items())
_TIMES = {when: list(entries.items()) for when, entries in lex.TIMES.items()}
