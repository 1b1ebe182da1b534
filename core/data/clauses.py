"""A clause around a verb: what it takes, where, when and with whom, and how it becomes a whole sentence."""

from core.data import lexicon as lex
from core.data.lexicon import VERBS, Verb
from core.data.noun_phrases import at_place, person, pronoun_or_name, thing, time_phrase, to_place
from core.data.phrases import Clause, Draw, Phrase, Tokens
from core.data.verb_groups import english_verb, japanese_verb

Sentence = tuple[Tokens, Tokens] | None
_SPECIAL = {"live", "become", "give", "send", "show", "lend", "say", "know", "die"}
_MISHAPS = {"lose", "forget", "break", "cry", "laugh", "find", "die"}
COMMON = [verb for (en, _), verb in VERBS.items() if en not in _SPECIAL]
HABITS = [verb for verb in COMMON if "h" in verb.flags]
LASTING = [verb for verb in COMMON if "p" in verb.flags]
WILLED = [verb for (en, _), verb in VERBS.items() if en not in _SPECIAL | _MISHAPS | {"see"}]
_CREATES = {"take", "draw", "make", "write", "catch"}  # what they make is not yet "this" or "his"
PETS = [n for n in lex.NOUNS.values() if n.classes & {"pet"}]
THINGS = [n for n in lex.NOUNS.values() if n.en_plural and n.adjectives and not n.classes & {"animal"} and not n.the]
JOBS = list(lex.PROFESSIONS.items())
SMALL = [n for n in THINGS if n.counter and n.classes & {"bought", "lost", "reading", "food"} and n.counter != "台"]


def make_clause(
    draw: Draw,
    id: str,
    verb: Verb,
    when: str,
    *,
    asked: bool = False,
    subject: bool = True,
    many: bool = True,
    adjuncts: int = 2,
    who: Phrase | None = None,
    generic: bool = False,
    me: bool = False,
) -> Clause | None:
    """A verb with subject, object and up to `adjuncts` circumstances, or None where they do not fit together.

    who: the subject, instead of drawing one; generic: an object without "this" or "his"; me: the object may be "me".
    """
    clause = Clause(id, verb)
    if subject:
        clause.subject = who or person(draw, id + "s", asked=asked)
    pronoun = clause.subject.pronoun if clause.subject else "you"
    if verb.objects or verb.people:
        if verb.people and (not verb.objects or draw.chance(0.6)):
            if me and draw.chance(0.25):
                other = pronoun_or_name(lex.PEOPLE[0], id + "o", as_object=True)  # Please help me.
            else:
                other = person(draw, id + "o", others=True, as_object=True)
            if clause.subject:
                if clashes(clause.subject, other):
                    return None
                other = other._replace(ja=without_own(clause.subject, other))
            clause.object = other
        else:
            general = generic or when == "habit" or verb.en in _CREATES
            many = many and "n" in verb.flags
            clause.object = thing(draw, id + "o", draw.pick(verb.objects), pronoun, many, False, general)
    elif verb.en == "visit":
        clause.object = to_place(draw.pick(verb.places), id + "o", "", "")
        clause.object = clause.object._replace(ja=clause.object.ja[:1])
    elif verb.en == "travel":
        clause.goal = to_place(draw.pick(verb.places), id + "g", "in", "を")
    elif verb.en in ("go", "come", "return", "arrive"):
        name = draw.pick(verb.places)
        preposition = "to"
        if verb.en == "arrive":
            preposition = lex.PLACES[name][0]
            if name == "home":
                return None
        clause.goal = to_place(name, id + "g", preposition)
    left = adjuncts
    if when and (verb.en == "get up" or draw.chance(0.5)):
        if when == "habit" and draw.chance(0.4):
            clause.frequency = draw.pick(_FREQUENCIES)
        else:
            clause.time = time_phrase(draw, id + "t", when, "c" in verb.flags)
        left -= 1
    if left and verb.places and not clause.goal and verb.en != "visit" and draw.chance(0.4):
        clause.place = at_place(draw.pick(verb.places), id + "l")
        left -= 1
    if left and "h" in verb.flags and not verb.people and draw.chance(0.12):
        other = person(draw, id + "w", others=True, as_object=True)
        if clause.subject and clashes(clause.subject, other):
            return None
        companion = without_own(clause.subject, other) if clause.subject else other.ja
        clause.companion = Phrase([("with", id + "w@"), *other.en], [*companion, ("と", id + "w@")])
        left -= 1
    if left and verb.en in ("go", "come", "return") and draw.chance(0.3):
        en, ja = draw.pick(_MEANS)
        clause.means = Phrase([("by", id + "b@"), (en, id + "b")], [(ja, id + "b"), ("で", id + "b@")])
    return clause


_FREQUENCIES, _MEANS = list(lex.FREQUENCY), list(lex.MEANS.items())


def clashes(subject: Phrase, other: Phrase) -> bool:
    """Two mentions that would be the same person, or need "himself": he - him, he - his mother, Tom - Tom."""
    words = {word.lower() for word, _ in other.en}
    if {word for word, key in subject.ja if len(key) == 2} & {word for word, key in other.ja if len(key) == 2}:
        return True
    own = {"he": {"him", "his"}, "she": {"her"}, "they": {"them", "his", "her"}, "we": {"my", "us", "me"}}
    return bool(words & own.get(subject.pronoun, set())) or subject.owner == "my" and bool(words & {"my"})


def without_own(subject: Phrase, other: Phrase) -> Tokens:
    """I and my mother: Japanese says only 母."""
    return other.ja[2:] if subject.pronoun == "I" and other.owner == "my" else other.ja


def declare(draw: Draw, clause: Clause, mode: str, past: bool, negative: bool, own: bool | None = None) -> Sentence:
    """A statement; now and then with its time in front: "Yesterday Tom ..." and 昨日、トムは ..."""
    subject = clause.subject
    assert subject is not None
    if own is None:
        own = subject.pronoun in ("I", "we", "you")
    if clause.object and clause.object.quantity and (negative or mode == "progressive"):
        return None  # "did not buy two pens" says less than it seems
    _, group = english_verb(clause, mode, past, negative, False, draw.chance(0.5))
    predicate = japanese_verb(clause, mode, past, negative, True, own)
    if mode == "progressive" and not past and draw.chance(0.25):
        clause.time = Phrase([("now", clause.id + "t")], [("今", clause.id + "t")])
    if clause.time and clause.time.en[0][0] in _FRONTED and draw.chance(0.2):
        time, clause.time = clause.time, None
        en = [*time.en, *subject.en, *group, *clause.english_rest()]
        return end(en, [*time.ja, ("、", ""), *topic(subject), *clause.japanese_rest(), *predicate])
    return end([*subject.en, *group, *clause.english_rest()], [*topic(subject), *clause.japanese_rest(), *predicate])


_FRONTED = ("yesterday", "tomorrow", "last", "next")


def topic(subject: Phrase, particle: str = "は") -> Tokens:
    return [*subject.ja, (particle, "")]


def end(en: Tokens, ja: Tokens, mark: str = ".", ja_mark: str = "。") -> tuple[Tokens, Tokens]:
    return [*en, (mark, "$")], [*ja, (ja_mark, "$")]


def question(en: Tokens, ja: Tokens) -> tuple[Tokens, Tokens]:
    return [*en, ("?", "$")], [*ja, ("か", "$"), ("。", "$")]
