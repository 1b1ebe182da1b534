"""The simple sentences of `builtin:enja`: statements, questions, requests, wishes, abilities, duties.

Each function draws one sentence and returns its tokens in both languages, or None where the draw makes no good
sentence (the caller draws again). English decides the Japanese: a sentence has exactly one translation. Statements
and questions are polite (です, ます); "V!" is the plain imperative, "Please V." てください, "Let's V." ましょう.
"""

from core.data.clauses import (
    COMMON,
    HABITS,
    LASTING,
    PETS,
    WILLED,
    Sentence,
    declare,
    end,
    make_clause,
    question,
    topic,
)
from core.data.lexicon import VERBS
from core.data.noun_phrases import at_place, thing, time_phrase
from core.data.phrases import Clause, Draw, Phrase, Tokens
from core.data.verb_groups import english_verb, japanese_verb

_TWOFOLD = {"take", "play"}  # "What did he take?" A photo or a bus: two Japanese verbs
# nobody says that they have never done these
_EVERYDAY = {"get up", "return", "arrive", "wait", "rest", "sleep", "walk", "come", "open", "close"}
_ANIMAL_VERBS = [verb for verb in COMMON if "a" in verb.flags]


def statement(draw: Draw) -> Sentence:
    """He did not buy the red car in Tokyo yesterday."""
    roll = draw.random()
    if roll < 0.42:
        mode, past, when, verbs = "simple", True, "past", COMMON
    elif roll < 0.62:
        mode, past, when, verbs = "simple", False, "habit", HABITS
    elif roll < 0.82:
        mode, past, when, verbs = "future", False, "future", WILLED
    else:
        mode, past, when, verbs = "progressive", draw.chance(0.4), "", LASTING
    clause = make_clause(draw, "0", draw.pick(verbs), when)
    return declare(draw, clause, mode, past, draw.chance(0.25)) if clause else None


def animal_statement(draw: Draw) -> Sentence:
    """The white dog is sleeping in the garden."""
    dies = draw.chance(0.15)
    verb = VERBS["die", "死ぬ"] if dies else draw.pick(_ANIMAL_VERBS)
    pet = draw.pick(PETS)
    if verb.en == "swim" and pet.en != "dog":
        return None
    subject = thing(draw, "0s", pet, definite=True)
    clause = Clause("0", verb, subject)
    if dies:
        clause.time = time_phrase(draw, "0t", "past")
        return declare(draw, clause, "simple", True, False)
    if verb.places and draw.chance(0.7):
        clause.place = at_place(draw.pick(verb.places), "0l")
    mode = "progressive" if draw.chance(0.6) else "simple"
    return declare(draw, clause, mode, mode == "simple" or draw.chance(0.3), draw.chance(0.2))


def yes_no_question(draw: Draw) -> Sentence:
    """Did she listen to music at home?"""
    roll = draw.random()
    if roll < 0.4:
        mode, past, when, verbs = "simple", True, "past", COMMON
    elif roll < 0.65:
        mode, past, when, verbs = "simple", False, "habit", HABITS
    elif roll < 0.8:
        mode, past, when, verbs = "future", False, "future", WILLED
    else:
        mode, past, when, verbs = "progressive", False, "", LASTING
    clause = make_clause(draw, "0", draw.pick(verbs), when, asked=True, many=mode != "progressive")
    if clause is None or clause.subject is None:
        return None
    front, group = english_verb(clause, mode, past, False, True, False)
    en = [*front, *clause.subject.en, *group, *clause.english_rest()]
    predicate = japanese_verb(clause, mode, past, False, True)
    return question(en, [*topic(clause.subject), *clause.japanese_rest(), *predicate])


def wh_question(draw: Draw) -> Sentence:
    """What did you buy at the store? · Where ... · When ... · Who ... · How many ... · Why ..."""
    word = draw.pick(("what", "where", "when", "who", "how many", "why", "what"))
    past = draw.chance(0.7)
    mode = "simple" if past else "future"
    verb = draw.pick(COMMON if past else WILLED)
    when = ("past" if past else "future") if word not in ("when",) else ""
    clause = make_clause(draw, "0", verb, when, asked=True, adjuncts=1, many=False)
    if clause is None or clause.subject is None:
        return None
    subject = clause.subject
    key = "0q"
    asking: Tokens = [(part, key) for part in word.split()]
    predicate = japanese_verb(clause, mode, past, False, True)
    if word == "who":
        clause.subject = Phrase([], [], "3")
        _, group = english_verb(clause, mode, past, False, False, False)
        ja = [("誰", key), ("が", ""), *clause.japanese_rest(), *predicate]
        return question([*asking, *group, *clause.english_rest()], ja)
    front, group = english_verb(clause, mode, past, False, True, False)
    rest = topic(subject)
    if word == "what":
        if not verb.objects or verb.particle != "を" or verb.people or verb.en in _TWOFOLD:
            return None
        clause.object = Phrase([], [("何", key)])
    elif word == "where":
        if not verb.places or clause.goal and verb.en not in ("go",) or verb.en in ("come", "return", "arrive"):
            return None
        clause.place = Phrase([], [("どこ", key), ("で", "")])
        if verb.en == "go":
            clause.place, clause.goal = None, Phrase([], [("どこ", key), ("に", "")])
    elif word == "when":
        clause.time = Phrase([], [("いつ", key)])
    elif word == "how many":
        counted = [n for n in verb.objects if n.counter and n.en_plural and not n.the]
        if not counted or "n" not in verb.flags:
            return None
        noun = draw.pick(counted)
        asking += [(noun.en_plural, "0o")]
        clause.object = Phrase([], [(noun.ja, "0o")], "p", "", [("何", key), (noun.counter, key)])
    else:
        rest = [*rest, ("なぜ", key)]
    en = [*asking, *front, *subject.en, *group, *clause.english_rest()]
    return question(en, [*rest, *clause.japanese_rest(), *predicate])


def request(draw: Draw) -> Sentence:
    """Please open the window. · Please don't ... · Let's ... · Shall we ... ? · Don't ... ! · ... !"""
    clause = make_clause(draw, "0", draw.pick(WILLED), "future" if draw.chance(0.4) else "", subject=False, me=True)
    if clause is None:
        return None
    forms, v, m = clause.verb.ja_forms, "0.v", "0m"
    base = [(word, v) for word in clause.verb.en.split()]
    rest, ja = clause.english_rest(), clause.japanese_rest()
    roll = draw.random()
    if clause.object and (
        clause.object.quantity
        and (0.3 <= roll < 0.45 or 0.8 <= roll < 0.9)
        or clause.object.ja[0][0] == "私"
        and 0.45 <= roll < 0.8
    ):
        return None  # not: Please don't buy two pens. Let's help me.
    if roll < 0.3:
        return end([("please", m), *base, *rest], [*ja, (forms["te"][0], v), ("ください", m)])
    if roll < 0.45:
        stem, without = forms["negative te"]
        no: Tokens = [("don't", "0n")] if draw.chance(0.6) else [("do", "0n"), ("not", "0n")]
        return end([("please", m), *no, *base, *rest], [*ja, (stem, v), (without, "0n"), ("ください", m)])
    if roll < 0.68:
        return end([("let's", m), *base, *rest], [*ja, (forms["stem"][0], v), ("ましょう", m)])
    if roll < 0.8:
        return question([("shall", m), ("we", m), *base, *rest], [*ja, (forms["stem"][0], v), ("ましょう", m)])
    if roll < 0.9:
        return end([("don't", m), *base, *rest], [*ja, (forms["dictionary"][0], v), ("な", m)], "!", "！")
    return end([*base, *rest], [*ja, (forms["imperative"][0], v)], "!", "！")


def modal(draw: Draw) -> Sentence:
    """can, must, want to, may I, have never, have you ever."""
    mode = draw.pick(("can", "must", "want", "want", "may", "experience"))
    asked = mode == "may" or draw.chance(0.25)
    verb = draw.pick(WILLED)
    if mode == "experience" and verb.en in _EVERYDAY:
        return None
    if mode == "must":
        asked = False
    when = "future" if mode in ("must", "want") and draw.chance(0.4) else ""
    clause = make_clause(
        draw,
        "0",
        verb,
        when,
        asked=asked,
        subject=mode != "may",
        many=mode in ("must", "want"),
        generic=mode == "experience",
    )
    if clause is None:
        return None
    if mode == "may":
        ja = [*clause.japanese_rest(), (verb.ja_forms["te"][0], "0.v"), ("も", "0m"), ("いい", "0m"), ("です", "")]
        en = [("may", "0m"), ("I", ""), *[(word, "0.v") for word in verb.en.split()], *clause.english_rest()]
        return question(en, ja)
    subject = clause.subject
    assert subject is not None
    past = mode == "want" and draw.chance(0.3)
    own = subject.pronoun in ("I", "we", "you")
    if asked:
        front, group = english_verb(clause, mode, past, False, True, False)
        ja = [*topic(subject), *clause.japanese_rest(), *japanese_verb(clause, mode, past, False, True, own)]
        return question([*front, *subject.en, *group, *clause.english_rest()], ja)
    negative = mode == "experience" or draw.chance(0.3)
    return declare(draw, clause, mode, past, negative, own)
