"""The simple sentences of `builtin:enja`: statements, questions, requests, wishes, descriptions, existence.

Each function draws one sentence and returns its tokens in both languages, or None where the draw makes no good
sentence (the caller draws again). English decides the Japanese: a sentence has exactly one translation. Statements
and questions are polite (です, ます); "V!" is the plain imperative, "Please V." てください, "Let's V." ましょう.
"""

from core.data import lexicon as lex
from core.data.lexicon import VERBS, Verb
from core.data.morphology import article
from core.data.phrases import (
    Clause,
    Draw,
    Phrase,
    Tokens,
    at_place,
    attributive,
    be,
    copula,
    english_verb,
    japanese_verb,
    negated,
    person,
    place_words,
    pronoun_or_name,
    thing,
    time_phrase,
    to_place,
)

Sentence = tuple[Tokens, Tokens] | None

_SPECIAL = {"live", "become", "give", "send", "show", "lend", "say", "know", "die"}
_MISHAPS = {"lose", "forget", "break", "cry", "laugh", "find", "die"}
_COMMON = [verb for (en, _), verb in VERBS.items() if en not in _SPECIAL]
_HABITS = [verb for verb in _COMMON if "h" in verb.flags]
_LASTING = [verb for verb in _COMMON if "p" in verb.flags]
_WILLED = [verb for (en, _), verb in VERBS.items() if en not in _SPECIAL | _MISHAPS | {"see"}]
_CREATES = {"take", "draw", "make", "write", "catch"}  # what they make is not yet "this" or "his"
_TWOFOLD = {"take", "play"}  # "What did he take?" A photo or a bus: two Japanese verbs
_EVERYDAY = {"get up", "return", "arrive", "wait", "rest", "sleep", "walk", "come", "open", "close"}
# nobody asks whether one has ever done these
_ANIMAL_VERBS = [verb for verb in _COMMON if "a" in verb.flags]
_GIFTS = {
    "give": [n for n in lex.NOUNS.values() if "bought" in n.classes and n.adjectives and n.en not in ("piano", "bus")],
    "send": [n for n in lex.NOUNS.values() if "sent" in n.classes],
    "show": [n for n in lex.NOUNS.values() if "shown" in n.classes],
    "lend": [n for n in lex.NOUNS.values() if "borrowed" in n.classes],
}
_PETS = [n for n in lex.NOUNS.values() if n.classes & {"pet"}]
_ANIMALS = [n for n in lex.NOUNS.values() if "animal" in n.classes]
_THINGS = [n for n in lex.NOUNS.values() if n.en_plural and n.adjectives and not n.classes & {"animal"} and not n.the]
_SMALL = [n for n in _THINGS if n.counter and n.classes & {"bought", "lost", "reading", "food"} and n.counter != "台"]
_LIKED = [
    n
    for n in lex.NOUNS.values()
    if n.classes & {"drink", "food", "sport", "language", "subject", "animal", "heard", "watched", "reading", "seen"}
    and n.en not in ("newspaper", "letter", "radio", "television", "fish")
]
_WISHES = [n for n in _THINGS if n.classes & {"bought", "clothes"}]
_FURNITURE = [n for n in lex.NOUNS.values() if "furniture" in n.classes]
_JOBS, _RELATIONS, _HOURS = list(lex.PROFESSIONS.items()), list(lex.RELATIONS.items()), list(lex.HOURS.items())
_TWO_TO_NINE = list(lex.NUMBERS.items())[1:9]
_SITES = [key for key in lex.PLACES if key not in ("river", "sea")]
_DESCRIBED = [key for key in lex.PLACES if key not in ("home", "school", "sea", "japan", "kitchen")]
_BUILDINGS = [key for key in _DESCRIBED if key not in lex.CITIES]
_GIVING = [(key, verb) for key, verb in VERBS.items() if key[0] in _GIFTS]


def statement(draw: Draw) -> Sentence:
    """He did not buy the red car in Tokyo yesterday."""
    roll = draw.random()
    if roll < 0.42:
        mode, past, when, verbs = "simple", True, "past", _COMMON
    elif roll < 0.62:
        mode, past, when, verbs = "simple", False, "habit", _HABITS
    elif roll < 0.82:
        mode, past, when, verbs = "future", False, "future", _WILLED
    else:
        mode, past, when, verbs = "progressive", draw.chance(0.4), "", _LASTING
    clause = make_clause(draw, "0", draw.pick(verbs), when)
    return declare(draw, clause, mode, past, draw.chance(0.25)) if clause else None


def animal_statement(draw: Draw) -> Sentence:
    """The white dog is sleeping in the garden."""
    dies = draw.chance(0.15)
    verb = VERBS["die", "死ぬ"] if dies else draw.pick(_ANIMAL_VERBS)
    pet = draw.pick(_PETS)
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
        mode, past, when, verbs = "simple", True, "past", _COMMON
    elif roll < 0.65:
        mode, past, when, verbs = "simple", False, "habit", _HABITS
    elif roll < 0.8:
        mode, past, when, verbs = "future", False, "future", _WILLED
    else:
        mode, past, when, verbs = "progressive", False, "", _LASTING
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
    verb = draw.pick(_COMMON if past else _WILLED)
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
    clause = make_clause(draw, "0", draw.pick(_WILLED), "future" if draw.chance(0.4) else "", subject=False,
                         me=True)
    if clause is None:
        return None
    forms, v, m = clause.verb.ja_forms, "0.v", "0m"
    base = [(word, v) for word in clause.verb.en.split()]
    rest, ja = clause.english_rest(), clause.japanese_rest()
    roll = draw.random()
    if clause.object and (clause.object.quantity and (0.3 <= roll < 0.45 or 0.8 <= roll < 0.9)
                          or clause.object.ja[0][0] == "私" and 0.45 <= roll < 0.8):
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
    verb = draw.pick(_WILLED)
    if mode == "experience" and verb.en in _EVERYDAY:
        return None
    if mode == "must":
        asked = False
    when = "future" if mode in ("must", "want") and draw.chance(0.4) else ""
    clause = make_clause(draw, "0", verb, when, asked=asked, subject=mode != "may", many=mode in ("must", "want"),
                         generic=mode == "experience")
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
        noun = draw.pick(_THINGS)
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
        en_job, ja_job = draw.pick(_JOBS)
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
        what = thing(draw, "0o", draw.pick(_THINGS))
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
        subject = person(draw, "0s") if alive else thing(draw, "0s", draw.pick(_SMALL), definite=True)
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
            subject = person(draw, "0s", others=True) if alive else thing(draw, "0s", draw.pick(_SMALL), definite=True)
        where: Tokens = [("where", "0q"), (be(False, subject.agreement), "0.a"), *subject.en]
        return question(where, [*topic(subject), ("どこ", "0q"), ("に", ""), *_exists(alive, False, False)])
    if alive and not on_furniture and draw.chance(0.4):
        en_one, en_many, ja_one, _, _ = draw.pick(lex.ROLES)
        counter = "人"
    else:
        noun = draw.pick(_ANIMALS if alive else _SMALL)
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
        what = thing(draw, "0o", draw.pick(_PETS if pet else _SMALL), "?", many=True)
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
        clause = make_clause(draw, "1", draw.pick(_HABITS), "", subject=False, many=False, adjuncts=1)
        if clause is None or clause.verb.en in ("get up", "come", "go", "call", "take", "wait"):
            return None
        en_what = [(clause.verb.en_forms["ing"], "1.v"), *clause.english_rest()]
        verb = "like"
        ja = [*clause.japanese_rest(), (clause.verb.ja_forms["dictionary"][0], "1.v"), ("の", ""), ("が", ""),
              ("好き", "0.v"), ("ではありません" if negative else "です", "0.a")]
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
        clause.recipient = Phrase([("to", "0r@"), *other.en], [*_without_own(subject, other), ("に", "0r@")])
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
    en_job, ja_job = draw.pick(_JOBS)
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
        ja = [*day.ja, *place.ja, (noun, "0.v"), ("が" if not negative else "は", ""),
              *japanese_verb(clause, mode, when == "past", negative, True)]
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
    base: Verb(base, "", {"base": base, "s": base + "s", "past": base + "ed", "participle": base + "ed",
                          "ing": base + "ing"}, lex.verb_forms("降る", "godan"), "", (), False, (), "")
    for base in ("rain", "snow")
}


# ----------------------------------------------------------------------------------------------- building blocks


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
                other = other._replace(ja=_without_own(clause.subject, other))
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
        companion = _without_own(clause.subject, other) if clause.subject else other.ja
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


def _without_own(subject: Phrase, other: Phrase) -> Tokens:
    """I and my mother: Japanese says only 母."""
    return other.ja[2:] if subject.pronoun == "I" and other.owner == "my" else other.ja


def declare(
    draw: Draw, clause: Clause, mode: str, past: bool, negative: bool, own: bool | None = None
) -> Sentence:
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

