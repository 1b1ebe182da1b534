"""The sentences of `builtin:enja` about what is: what things are like, where they are, who has, likes and gives what,
and the weather. Each function draws one sentence, or None where the draw makes no good one."""

from core.data import lexicon as lex
from core.data.clauses import (
    HABITS,
    JOBS,
    PETS,
    SMALL,
    THINGS,
    Sentence,
    clashes,
    declare,
    end,
    make_clause,
    question,
    topic,
    without_own,
)
from core.data.lexicon import VERBS, Verb
from core.data.morphology import article
from core.data.noun_phrases import at_place, attributive, person, place_words, thing, time_phrase, to_place
from core.data.phrases import Clause, Draw, Phrase, Tokens
from core.data.verb_groups import be, copula, english_verb, japanese_verb, negated

_GIFTS = {
    "give": [n for n in lex.NOUNS.values() if "bought" in n.classes and n.adjectives and n.en not in ("piano", "bus")],
    "send": [n for n in lex.NOUNS.values() if "sent" in n.classes],
    "show": [n for n in lex.NOUNS.values() if "shown" in n.classes],
    "lend": [n for n in lex.NOUNS.values() if "borrowed" in n.classes],
}
_ANIMALS = [n for n in lex.NOUNS.values() if "animal" in n.classes]
_LIKED = [
    n
    for n in lex.NOUNS.values()
    if n.classes & {"drink", "food", "sport", "language", "subject", "animal", "heard", "watched", "reading", "seen"}
    and n.en not in ("newspaper", "letter", "radio", "television", "fish")
]
_WISHES = [n for n in THINGS if n.classes & {"bought", "clothes"}]
_FURNITURE = [n for n in lex.NOUNS.values() if "furniture" in n.classes]
_RELATIONS, _HOURS = list(lex.RELATIONS.items()), list(lex.HOURS.items())
_TWO_TO_NINE = list(lex.NUMBERS.items())[1:9]
_SITES = [key for key in lex.PLACES if key not in ("river", "sea")]
_DESCRIBED = [key for key in lex.PLACES if key not in ("home", "school", "sea", "japan", "kitchen")]
_BUILDINGS = [key for key in _DESCRIBED if key not in lex.CITIES]
_GIVING = [(key, verb) for key, verb in VERBS.items() if key[0] in _GIFTS]


def description(draw: Draw) -> Sentence:
    """Tom is a kind teacher. · That red car is not expensive. · Was the library quiet? · This is my umbrella."""
    roll, past, negative = draw.random(), draw.chance(0.25), draw.chance(0.25)
    asked = draw.chance(0.2)
    very: Tokens = []
    if roll < 0.25:
        subject = person(draw, "0s", asked=asked)
        adjective = draw.pick(lex.PERSON_ADJECTIVES)
        if not negative and not asked and draw.chance(0.25):
            very = [("very", "0y")]
        words, ja = [*very, (adjective.en, "0.v")], copula("0", adjective, past, negative)
    elif roll < 0.5:
        noun = draw.pick(THINGS)
        subject = thing(draw, "0s", noun, definite=True)
        adjective = draw.pick(noun.adjectives)
        if "0sj" in (key for _, key in subject.en):
            return None
        if not negative and not asked and draw.chance(0.25):
            very = [("very", "0y")]
        words, ja = [*very, (adjective.en, "0.v")], copula("0", adjective, past, negative)
    elif roll < 0.6:
        _, en_place, ja_place = lex.PLACES[draw.pick(_DESCRIBED)]
        subject = Phrase(place_words(en_place, "0s"), [(ja_place, "0s")])
        adjective = lex.ADJECTIVES[draw.pick(("quiet", "big", "small", "beautiful", "famous", "new", "old"))]
        words, ja = [(adjective.en, "0.v")], copula("0", adjective, past, negative)
    elif roll < 0.85:
        subject = person(draw, "0s", asked=asked)
        if subject.agreement == "p" and subject.pronoun != "you" or subject.en[0][0] == "the":
            return None
        en_job, ja_job = draw.pick(JOBS)
        job = [(en_job, "0.v")]
        if not negative and draw.chance(0.4):
            adjective = draw.pick(lex.PROFESSION_ADJECTIVES)
            very = attributive(adjective, "0")
            job = [(adjective.en, "0j"), *job]
        words = [(article(job[0][0]), ""), *job]
        ja = [*very, *copula("0", ja_job, past, negative)]
        very = []
    else:
        subject, past = Phrase([("this", "0s")], [("これ", "0s")]), False
        if draw.chance(0.5):
            subject = Phrase([("that", "0s")], [("あれ", "0s")])
        what = thing(draw, "0o", draw.pick(THINGS))
        if what.en[0][0] in ("this", "that") or what.agreement == "p":
            return None
        words = what.en
        ja = [*what.ja, *copula("0", "", past, negative)[1:]]
    be_word = be(past, subject.agreement)
    ja_all = [*topic(subject), *([("とても", "0y")] if very else []), *ja]
    if asked:
        if negative:
            return None
        return question([(be_word, "0.a"), *subject.en, *words], ja_all)
    middle = negated(be_word, "0", draw.chance(0.5)) if negative else [(be_word, "0.a")]
    return end([*subject.en, *middle, *words], ja_all)


def existence(draw: Draw) -> Sentence:
    """There are three cats in the park. · Is there a bank near the station? · The book is on the desk."""
    roll, past, asked = draw.random(), draw.chance(0.25), draw.chance(0.2)
    place_en, place_ja = _location(draw)
    on_furniture = place_en[0][0] == "under" or place_en[0][0] == "on" and place_en[2][0] != "beach"
    alive = draw.chance(0.5)
    if roll < 0.35:  # where it is
        subject = person(draw, "0s") if alive else thing(draw, "0s", draw.pick(SMALL), definite=True)
        if alive and on_furniture:
            return None
        be_word, negative = be(past, subject.agreement), draw.chance(0.25)
        ja = [*topic(subject), *place_ja, *_exists(alive, past, negative and not asked)]
        if asked and subject.pronoun not in ("I", "we"):
            return question([(be_word, "0.a"), *subject.en, *place_en], ja)
        if asked:
            return None
        middle = negated(be_word, "0", draw.chance(0.5)) if negative else [(be_word, "0.a")]
        return end([*subject.en, *middle, *place_en], ja)
    if roll < 0.45:  # where is it?
        if draw.chance(0.4):
            _, en, ja_name = lex.PLACES[draw.pick(_BUILDINGS)]
            subject, alive = Phrase(place_words(en, "0s"), [(ja_name, "0s")]), False
        else:
            subject = person(draw, "0s", others=True) if alive else thing(draw, "0s", draw.pick(SMALL), definite=True)
        where: Tokens = [("where", "0q"), (be(False, subject.agreement), "0.a"), *subject.en]
        return question(where, [*topic(subject), ("どこ", "0q"), ("に", ""), *_exists(alive, False, False)])
    if alive and not on_furniture and draw.chance(0.4):
        en_one, en_many, ja_one, _, _ = draw.pick(lex.ROLES)
        counter = "人"
    else:
        noun = draw.pick(_ANIMALS if alive else SMALL)
        en_one, en_many, ja_one, counter = noun.en, noun.en_plural, noun.ja, noun.counter
    number: Tokens
    quantity: Tokens = []
    plural, key = True, "0#"
    roll = draw.random()
    if roll < 0.5:
        en_number, ja_number = draw.pick(_TWO_TO_NINE)
        number, quantity = [(en_number, key)], [(ja_number, key), (counter, key)]
    elif roll < 0.65:
        number, quantity = [("many", key)], [("たくさん", key)]
    else:
        number, plural = [(article(en_one), "")], False
    what = [*number, (en_many if plural else en_one, "0s"), *place_en]
    be_word = be(past, "p" if plural else "3")
    ja = [*place_ja, (ja_one, "0s"), ("が", ""), *quantity, *_exists(alive, past, False)]
    if asked:
        return question([(be_word, "0.a"), ("there", ""), *what], ja)
    return end([("there", ""), (be_word, "0.a"), *what], ja)


def _exists(alive: bool, past: bool, negative: bool) -> Tokens:
    end_of = {(False, False): "ます", (True, False): "ました", (False, True): "ません", (True, True): "ませんでした"}
    return [(("い" if alive else "あり") + end_of[past, negative], "0.a")]


_LANDMARKS = ("station", "library", "hotel", "bank", "hospital", "museum", "store")


def _location(draw: Draw) -> tuple[Tokens, Tokens]:
    """ "in the park" and 公園に, "on the desk" and 机の上に."""
    if draw.chance(0.55):
        place = at_place(draw.pick(_SITES), "0l", "に")
        return place.en, place.ja
    relation, ja_relation = draw.pick(_RELATIONS)
    if relation in ("on", "under"):
        noun = draw.pick(_FURNITURE)
        en, ja = noun.en, noun.ja
    else:
        _, en_place, ja = lex.PLACES[draw.pick(_LANDMARKS)]
        en = en_place.removeprefix("the ")
    words = [(word, "0@") for word in relation.split()]
    return [*words, ("the", ""), (en, "0l")], [(ja, "0l"), ("の", ""), (ja_relation, "0@"), ("に", "0@")]


def possession(draw: Draw) -> Sentence:
    """I have two dogs. · She likes swimming in the sea. · I want a new camera."""
    roll = draw.random()
    asked = draw.chance(0.25)
    subject = person(draw, "0s", asked=asked)
    negative = not asked and draw.chance(0.25)
    if roll < 0.35:
        pet = draw.chance(0.4)
        what = thing(draw, "0o", draw.pick(PETS if pet else SMALL), "?", many=True)
        if what.en[0][0] in ("the", "this", "that") or negative and what.quantity:
            return None
        verb, stem = "have", "飼って" if pet else "持って"
        ja = [*what.ja, ("を", ""), *what.quantity, (stem, "0.v"), ("いません" if negative else "います", "0.a")]
        en_what = what.en
    elif roll < 0.65:
        noun = draw.pick(_LIKED)
        what = thing(draw, "0o", noun)
        plural = noun.en_plural or noun.en
        en_what, verb = ([("the", ""), (noun.en, "0o")] if noun.the else [(plural, "0o")]), "like"
        ja = [(noun.ja, "0o"), ("が", ""), ("好き", "0.v"), ("ではありません" if negative else "です", "0.a")]
    elif roll < 0.85:
        clause = make_clause(draw, "1", draw.pick(HABITS), "", subject=False, many=False, adjuncts=1)
        if clause is None or clause.verb.en in ("get up", "come", "go", "call", "take", "wait"):
            return None
        en_what = [(clause.verb.en_forms["ing"], "1.v"), *clause.english_rest()]
        verb = "like"
        ja = [
            *clause.japanese_rest(),
            (clause.verb.ja_forms["dictionary"][0], "1.v"),
            ("の", ""),
            ("が", ""),
            ("好き", "0.v"),
            ("ではありません" if negative else "です", "0.a"),
        ]
    else:
        what = thing(draw, "0o", draw.pick(_WISHES), "?", many=True)
        if subject.pronoun not in ("I", "we", "you") or what.en[0][0] == "the":
            return None
        verb, en_what = "want", what.en
        wish = [("欲しく", "0.v"), ("ない", "0.n"), ("です", "")] if negative else [("欲しい", "0.v"), ("です", "")]
        ja = [*what.ja, ("が", ""), *what.quantity, *wish]
    does = "does" if subject.agreement == "3" else "do"
    ja = [*topic(subject), *ja]
    if asked:
        return question([(does, "0.a"), *subject.en, (verb, "0.v"), *en_what], ja)
    if negative:
        return end([*subject.en, *negated(does, "0", draw.chance(0.5)), (verb, "0.v"), *en_what], ja)
    said = {"have": "has", "like": "likes", "want": "wants"}[verb] if subject.agreement == "3" else verb
    return end([*subject.en, (said, "0.v"), *en_what], ja)


def transfer(draw: Draw) -> Sentence:
    """Ken gave a flower to the teacher. · My friend lives in London. · Emi will become a doctor."""
    roll = draw.random()
    subject = person(draw, "0s")
    past = draw.chance(0.6)
    if roll < 0.7:
        (en, _), verb = draw.pick(_GIVING)
        clause = Clause("0", verb, subject)
        clause.object = thing(draw, "0o", draw.pick(_GIFTS[en]), subject.pronoun, many=True)
        other = person(draw, "0r", others=True, as_object=True)
        if clashes(subject, other) or clause.object.en[0][0] in ("my", "your") and en == "give":
            return None
        clause.recipient = Phrase([("to", "0r@"), *other.en], [*without_own(subject, other), ("に", "0r@")])
        if draw.chance(0.4):
            clause.time = time_phrase(draw, "0t", "past" if past else "future")
        return declare(draw, clause, "simple" if past else "future", past, draw.chance(0.2))
    if roll < 0.85:
        clause = Clause("0", VERBS["live", "住む"], subject)
        clause.goal = to_place(draw.pick(clause.verb.places), "0g", "in")
        negative = draw.chance(0.25)
        _, group = english_verb(clause, "simple", past, negative, False, draw.chance(0.5))
        ja = [*topic(subject), *clause.japanese_rest(), *japanese_verb(clause, "progressive", past, negative, True)]
        return end([*subject.en, *group, *clause.english_rest()], ja)
    if subject.agreement == "p" or subject.en[0][0] == "the":
        return None
    clause = Clause("0", VERBS["become", "なる"], subject)
    en_job, ja_job = draw.pick(JOBS)
    clause.object = Phrase([(article(en_job), ""), (en_job, "0o")], [(ja_job, "0o")])
    if draw.chance(0.3):
        own = subject.pronoun == "I"
        return declare(draw, clause, "want", past, False, own)
    return declare(draw, clause, "simple" if past else "future", past, draw.chance(0.2))


def weather(draw: Draw) -> Sentence:
    """It rained in Kyoto yesterday. · It is cold today. · It is three o'clock."""
    roll = draw.random()
    if roll < 0.2:
        en, ja = draw.pick(_HOURS)
        clock = [(ja, "0#"), ("時", "0o"), ("です", "0a")]
        return end([("it", ""), ("is", "0a"), (en, "0#"), ("o'clock", "0o")], clock)
    when = draw.pick(("past", "future", "now"))
    day = Phrase([("now", "0t")], [("今", "0t")]) if when == "now" else time_phrase(draw, "0t", when)
    place = at_place(draw.pick(lex.CITIES), "0l") if draw.chance(0.5) else Phrase([], [])
    negative = draw.chance(0.25)
    if roll < 0.7:
        base, noun = draw.pick((("rain", "雨"), ("snow", "雪")))
        clause = Clause("0", _FALL[base], Phrase([("it", "0s")], [(noun, "0.v")]))
        mode = {"past": "simple", "future": "future", "now": "progressive"}[when]
        _, group = english_verb(clause, mode, when == "past", negative, False, draw.chance(0.5))
        ja = [
            *day.ja,
            *place.ja,
            (noun, "0.v"),
            ("が" if not negative else "は", ""),
            *japanese_verb(clause, mode, when == "past", negative, True),
        ]
        return end([("it", ""), *group, *place.en, *day.en], ja)
    en, ja_adjective = draw.pick((("cold", "寒い"), ("hot", "暑い"), ("warm", "暖かい"), ("cool", "涼しい")))
    past = when == "past"
    be_word = "was" if past else "is"
    group = negated(be_word, "0", draw.chance(0.5)) if negative else [(be_word, "0.a")]
    if when == "future":
        group = negated("will", "0", draw.chance(0.5)) if negative else [("will", "0.a")]
        group = [*group, ("be", "0.a")]
    if place.ja and len(day.ja) > 1:
        return None
    adjective = lex.Adjective(en, ja_adjective, True, "")
    where = [(place.ja[0][0], "0l"), ("は", "0l@")] if place.ja else []
    ja = [*day.ja, *(where or [("は", "")]), *copula("0", adjective, past, negative)]
    return end([("it", ""), *group, (en, "0.v"), *place.en, *day.en], ja)


_FALL = {
    base: Verb(
        base,
        "",
        {"base": base, "s": base + "s", "past": base + "ed", "participle": base + "ed", "ing": base + "ing"},
        lex.verb_forms("降る", "godan"),
        "",
        (),
        False,
        (),
        "",
    )
    for base in ("rain", "snow")
}
