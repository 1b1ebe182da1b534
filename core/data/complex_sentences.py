"""The sentences of `builtin:enja` with more than one clause, where the two languages order things most differently.

Relative clauses stand before their noun in Japanese, reasons and times before the main clause, と思います at the very
end: these are what cross-attention has to learn. Inner clauses are plain (飲む, 飲んだ), their own subject takes が.
"""

from core.data import lexicon as lex
from core.data.clauses import (
    COMMON,
    HABITS,
    JOBS,
    LASTING,
    THINGS,
    WILLED,
    Sentence,
    clashes,
    end,
    make_clause,
    question,
    topic,
)
from core.data.lexicon import VERBS, Adjective
from core.data.morphology import COPULA_PLAIN, article
from core.data.noun_phrases import person, role, thing
from core.data.phrases import Clause, Draw, Phrase, Tokens
from core.data.verb_groups import be, copula, english_verb, japanese_verb, negated

# what can be made, bought, found ...: the thing that somebody ...ed
_MADE = [verb for verb in COMMON if verb.particle == "を" and verb.objects and not verb.people]


def relative_person(draw: Draw) -> Sentence:
    """The man who bought the book is a teacher. · I know the girl who is singing in the park."""
    head = role(draw, "0s")
    if head.agreement == "p":
        return None
    lasting = draw.chance(0.45)
    clause = make_clause(
        draw,
        "1",
        draw.pick(LASTING if lasting else COMMON),
        "" if lasting else "past",
        who=head,
        many=False,
        adjuncts=1,
    )
    if clause is None:
        return None
    mode = "progressive" if lasting else "simple"
    _, group = english_verb(clause, mode, not lasting, False, False, False)
    en = [*head.en, ("who", ""), *group, *clause.english_rest()]
    ja = [*clause.japanese_rest(), *japanese_verb(clause, mode, not lasting, False, False), *head.ja]
    roll = draw.random()
    if roll < 0.3:  # object: I know ...
        subject = person(draw, "0x")
        if clashes(subject, head) or "who" in [word for word, _ in subject.en]:
            return None
        knows = "knows" if subject.agreement == "3" else "know"
        return end(
            [*subject.en, (knows, "0.v"), *en], [*topic(subject), *ja, ("を", ""), ("知って", "0.v"), ("います", "0.a")]
        )
    if roll < 0.45:
        return question([("who", "0q"), ("is", "0.a"), *en], [*ja, ("は", ""), ("誰", "0q"), ("です", "0.a")])
    past, negative = False, draw.chance(0.2)
    middle = negated("is", "0", draw.chance(0.5)) if negative else [("is", "0.a")]
    if roll < 0.7:
        adjective = draw.pick(lex.PERSON_ADJECTIVES)
        tail: Tokens = [(adjective.en, "0.v")]
        predicate = copula("0", adjective, past, negative)
    elif roll < 0.85:
        kin_en, kin_ja, _, _ = draw.pick(lex.KIN)
        tail = [("my", "0p"), *[(word, "0.v") for word in kin_en.split("_")]]
        predicate = [("私", "0p"), ("の", "0p"), *copula("0", kin_ja, past, negative)]
    else:
        job, ja_job = draw.pick(JOBS)
        tail = [(article(job), ""), (job, "0.v")]
        predicate = copula("0", ja_job, past, negative)
    return end([*en, *middle, *tail], [*ja, ("は", ""), *predicate])


def relative_thing(draw: Draw) -> Sentence:
    """The book that Tom wrote is interesting. · She lost the umbrella that she bought yesterday."""
    subject = person(draw, "1s")
    verb = draw.pick(_MADE)
    clause = make_clause(draw, "1", verb, "past", who=subject, many=False, adjuncts=1)
    nouns = [n for n in verb.objects if n.adjectives and not n.the]
    if clause is None or not nouns or verb.en in ("open", "close", "clean", "speak", "play", "forget", "lose"):
        return None
    noun = draw.pick(nouns)
    plural = bool(noun.en_plural) and draw.chance(0.2)
    head_en: Tokens = [("the", ""), (noun.en_plural if plural else noun.en, "0s")]
    clause.object = None
    _, group = english_verb(clause, "simple", True, False, False, False)
    en = [*head_en, ("that", ""), *subject.en, *group, *clause.english_rest()]
    ja = [
        *topic(subject, "が"),
        *clause.japanese_rest(),
        *japanese_verb(clause, "simple", True, False, False),
        (noun.ja, "0s"),
    ]
    roll, past, negative = draw.random(), draw.chance(0.4), draw.chance(0.2)
    if roll < 0.6:
        be_word = be(past, "p" if plural else "3")
        adjective = draw.pick(noun.adjectives)
        middle = negated(be_word, "0", draw.chance(0.5)) if negative else [(be_word, "0.a")]
        ja = [*ja, ("は", ""), *copula("0", adjective, past, negative)]
        return end([*en, *middle, (adjective.en, "0.v")], ja)
    if roll < 0.75 and not plural:
        pronoun, ja_pronoun = ("this", "これ") if draw.chance(0.5) else ("that", "あれ")
        ja = [(ja_pronoun, "0x"), ("は", ""), *ja, ("です", "0.a")]
        return end([(pronoun, "0x"), ("is", "0.a"), *en], ja)
    takes = [v for v in _USES if noun in v.objects and v is not verb]
    if not takes:
        return None
    other = person(draw, "0x")
    outer = Clause("0", draw.pick(takes), other)
    if clashes(other, subject) or clashes(subject, other):
        return None
    outer.object = Phrase(en, ja)
    _, group = english_verb(outer, "simple", True, negative, False, draw.chance(0.5))
    predicate = japanese_verb(outer, "simple", True, negative, True)
    return end([*other.en, *group, *outer.english_rest()], [*topic(other), *outer.japanese_rest(), *predicate])


_USES = [
    VERBS[key]
    for key in (
        ("read", "読む"),
        ("eat", "食べる"),
        ("drink", "飲む"),
        ("use", "使う"),
        ("wear", "着る"),
        ("lose", "なくす"),
        ("break", "壊す"),
        ("find", "見つける"),
        ("wash", "洗う"),
        ("see", "見る"),
    )
]


def comparison(draw: Draw) -> Sentence:
    """Tom is taller than my father. · This book is more interesting than that movie."""
    if draw.chance(0.5):
        first, second = person(draw, "0s"), person(draw, "0o", others=True, as_object=True)
        adjective: Adjective = draw.pick(lex.PERSON_ADJECTIVES)
        if clashes(first, second) or second.en[0][0] in ("him", "them"):
            return None
    else:
        noun = draw.pick(THINGS)
        first = thing(draw, "0s", noun, definite=True)
        second = thing(draw, "0o", noun, definite=True)
        adjective = draw.pick(noun.adjectives)
        if (
            first.ja[0][0] == second.ja[0][0]
            or "the" in (first.en[0][0], second.en[0][0])
            or {"0sj", "0oj"} & {key for _, key in first.en + second.en}
        ):
            return None
    more: Tokens = [("more", "0>"), (adjective.en, "0.v")]
    if adjective.comparative == "=":  # red, good: not compared here
        return None
    if adjective.comparative:
        more = [(adjective.comparative, "0.v")]
    asked = draw.chance(0.2) and first.pronoun not in ("I", "we")
    be_word = be(False, first.agreement)
    ja = [*topic(first), *second.ja, ("より", "0>"), *copula("0", adjective, False, False)]
    than: Tokens = [("than", "0>"), *second.en]
    if asked:
        return question([(be_word, "0.a"), *first.en, *more, *than], ja)
    return end([*first.en, (be_word, "0.a"), *more, *than], ja)


_REASONS = [  # of the subject: English, Japanese word, an adjective or noun
    ("busy", lex.ADJECTIVES["busy"]),
    ("sick", "病気"),
    ("young", lex.ADJECTIVES["young"]),
]
_WEATHER = {"cold": "寒い", "hot": "暑い", "warm": "暖かい"}


def because(draw: Draw) -> Sentence:
    """Tom did not go to school because he was sick. · She stayed ... because it rained."""
    past = draw.chance(0.7)
    who = person(draw, "0s")
    verb = draw.pick(WILLED)
    clause = make_clause(draw, "0", verb, "past" if past else "future", who=who, many=False, adjuncts=1)
    if clause is None:
        return None
    roll = draw.random()
    negative = roll < 0.5 or draw.chance(0.5)
    mode = "simple" if past else "future"
    _, group = english_verb(clause, mode, past, negative, False, draw.chance(0.5))
    main = [*who.en, *group, *clause.english_rest()]
    predicate = japanese_verb(clause, mode, past, negative, True)
    if roll < 0.5:  # a reason of the subject's own: said once in Japanese
        if not who.pronoun:
            return None
        en_reason, reason = draw.pick(_REASONS[:2])
        agreement = "p" if who.pronoun in ("they", "we") else "1" if who.pronoun == "I" else "3"
        en_because: Tokens = [(who.pronoun, "0s"), (be(past, agreement), "1.a"), (en_reason, "1.v")]
        inner = copula("1", reason, past, False, polite=False)
        if inner[-1][0] == COPULA_PLAIN[False, False]:
            inner[-1] = ("な", "1.a")  # だ before ので
        ja = [*topic(who), *inner, ("ので", "1c"), ("、", ""), *clause.japanese_rest(), *predicate]
    else:
        if roll < 0.75:
            en_reason, ja_reason = draw.pick(list(_WEATHER.items()))
            inner = copula("1", Adjective(en_reason, ja_reason, True, ""), past, False, polite=False)
            en_because = [("it", ""), (be(past, "3"), "1.a"), (en_reason, "1.v")]
        else:
            en_rain, noun = draw.pick((("rain", "雨"), ("snow", "雪")))
            if past:
                en_because = [("it", ""), (en_rain + "ed", "1.v")]
                inner = [(noun, "1.v"), ("が", ""), ("降った", "1.v")]
            else:
                en_because = [("it", ""), ("is", "1.a"), (en_rain + "ing", "1.v")]
                inner = [(noun, "1.v"), ("が", ""), ("降って", "1.v"), ("いる", "1.a")]
        ja = [*inner, ("ので", "1c"), ("、", ""), *topic(who), *clause.japanese_rest(), *predicate]
    return end([*main, ("because", "1c"), *en_because], ja)


def before_or_after(draw: Draw) -> Sentence:
    """I drink milk before going to school. · Emi watched television after cleaning the room."""
    past = draw.chance(0.6)
    who = person(draw, "0s")
    verbs = WILLED if past else HABITS
    clause = make_clause(draw, "0", draw.pick(verbs), "", who=who, many=False, adjuncts=0, generic=not past)
    inner = make_clause(draw, "1", draw.pick(verbs), "", who=who, many=False, adjuncts=1, generic=not past)
    if clause is None or inner is None or clause.verb is inner.verb:
        return None
    _, group = english_verb(clause, "simple", past, False, False, False)
    gerund = [(word, "1.v") for word in inner.verb.en_forms["ing"].split()]
    forms = inner.verb.ja_forms
    if draw.chance(0.5):
        conjunction, link = "before", [(forms["dictionary"][0], "1.v"), ("前", "1c"), ("に", "1c")]
    else:
        conjunction, link = "after", [(forms["past"][0], "1.v"), ("後", "1c"), ("で", "1c")]
    en = [*who.en, *group, *clause.english_rest(), (conjunction, "1c"), *gerund, *inner.english_rest()]
    ja = [
        *topic(who),
        *inner.japanese_rest(),
        *link,
        *clause.japanese_rest(),
        *japanese_verb(clause, "simple", past, False, True),
    ]
    return end(en, ja)


def when(draw: Draw) -> Sentence:
    """I was reading a book when Tom came. · When I went to the station, she was waiting for a bus."""
    first, second = person(draw, "0s"), person(draw, "1s", others=True)
    if clashes(first, second) or clashes(second, first):
        return None
    main = make_clause(draw, "0", draw.pick(LASTING), "", who=first, many=False, adjuncts=1)
    inner = make_clause(draw, "1", draw.pick(_ARRIVALS), "", who=second, many=False, adjuncts=0)
    if main is None or inner is None:
        return None
    _, group = english_verb(main, "progressive", True, False, False, False)
    _, inner_group = english_verb(inner, "simple", True, False, False, False)
    en_main = [*first.en, *group, *main.english_rest()]
    en_inner = [("when", "1c"), *second.en, *inner_group, *inner.english_rest()]
    ja = [
        *topic(second, "が"),
        *inner.japanese_rest(),
        *japanese_verb(inner, "simple", True, False, False),
        ("とき", "1c"),
        ("、", ""),
        *topic(first),
        *main.japanese_rest(),
        *japanese_verb(main, "progressive", True, False, True),
    ]
    if draw.chance(0.4):
        return end([*en_inner, (",", ""), *en_main], ja)
    return end([*en_main, *en_inner], ja)


_ARRIVALS = [
    VERBS[key]
    for key in (
        ("come", "来る"),
        ("arrive", "着く"),
        ("call", "電話する"),
        ("get", "起きる"),
        ("return", "帰る"),
        ("go", "行く"),
    )
]


def condition(draw: Draw) -> Sentence:
    """If it rains tomorrow, I will read a book at home. · Let's play tennis if Ken comes."""
    roll = draw.random()
    en_if: Tokens
    if roll < 0.4:
        base, noun = draw.pick((("rain", "雨"), ("snow", "雪")))
        en_if = [("it", ""), (base + "s", "1.v"), ("tomorrow", "1t")]
        ja_if = [("明日", "1t"), (noun, "1.v"), ("が", ""), ("降ったら", "1.v")]
        who = person(draw, "0s")
    elif roll < 0.65:
        en_adjective, ja_adjective = draw.pick(list(_WEATHER.items()))
        en_if = [("it", ""), ("is", "1.a"), (en_adjective, "1.v"), ("tomorrow", "1t")]
        ja_if = [("明日", "1t"), (ja_adjective[:-1] + "かったら", "1.v")]
        who = person(draw, "0s")
    else:
        guest = person(draw, "1s", others=True)
        inner = make_clause(draw, "1", draw.pick(_ARRIVALS[:2]), "", who=guest, adjuncts=0)
        who = person(draw, "0s")
        if inner is None or clashes(who, guest) or clashes(guest, who):
            return None
        _, group = english_verb(inner, "simple", False, False, False, False)
        en_if = [*guest.en, *group, *inner.english_rest()]
        ja_if = [*topic(guest, "が"), *inner.japanese_rest(), (inner.verb.ja_forms["condition"][0], "1.v")]
    lets = draw.chance(0.25)
    clause = make_clause(draw, "0", draw.pick(WILLED), "", subject=not lets, who=who, many=False, adjuncts=1)
    if clause is None:
        return None
    lead = [("if", "1.v"), *en_if]
    ja = [*ja_if, ("、", "")]
    if lets:
        main: Tokens = [("let's", "0m"), *[(word, "0.v") for word in clause.verb.en.split()], *clause.english_rest()]
        ja += [*clause.japanese_rest(), (clause.verb.ja_forms["stem"][0], "0.v"), ("ましょう", "0m")]
    else:
        negative = draw.chance(0.25)
        _, group = english_verb(clause, "future", False, negative, False, draw.chance(0.5))
        main = [*who.en, *group, *clause.english_rest()]
        ja += [*topic(who), *clause.japanese_rest(), *japanese_verb(clause, "future", False, negative, True)]
    if draw.chance(0.6):
        return end([*lead, (",", ""), *main], ja)
    return end([*main, *lead], ja)


def thought(draw: Draw) -> Sentence:
    """I think that he is a doctor. · Tom said that Emi bought a car."""
    that: Tokens = [("that", "9c")] if draw.chance(0.5) else []
    roll = draw.random()
    thinker = draw.pick((("think", "思い"), ("think", "思い"), ("said", "言い")))
    if thinker[0] == "think":
        lead: Tokens = [("I", ""), ("think", "9.v"), *that]
        start: Tokens = []
        tail: Tokens = [("と", "9c"), ("思い", "9.v"), ("ます", "9.a")]
    else:
        speaker = person(draw, "9s")
        lead = [*speaker.en, ("said", "9.v"), *that]
        start, tail = topic(speaker), [("と", "9c"), ("言い", "9.v"), ("ました", "9.a")]
        roll = 0.9  # what happened
    particle = "は" if thinker[0] == "think" else "が"
    inner = person(draw, "0s", others=True)
    if thinker[0] == "said" and (clashes(speaker, inner) or clashes(inner, speaker)):
        return None
    past, negative = draw.chance(0.3), draw.chance(0.25)
    if roll < 0.3:
        adjective = draw.pick(lex.PERSON_ADJECTIVES)
        words: Tokens = [(adjective.en, "0.v")]
        predicate = copula("0", adjective, past, negative, polite=False)
    elif roll < 0.55:
        noun = draw.pick(THINGS)
        inner = thing(draw, "0s", noun, definite=True)
        adjective = draw.pick(noun.adjectives)
        words, predicate = [(adjective.en, "0.v")], copula("0", adjective, past, negative, polite=False)
        if "0sj" in (key for _, key in inner.en):
            return None
    else:
        mode, past = ("future", False) if thinker[0] == "think" and draw.chance(0.7) else ("simple", True)
        clause = make_clause(
            draw,
            "0",
            draw.pick(WILLED if mode == "future" else COMMON),
            "future" if mode == "future" else "past",
            who=inner,
            adjuncts=1,
            many=False,
        )
        if clause is None:
            return None
        _, group = english_verb(clause, mode, past, negative, False, draw.chance(0.5))
        ja = [
            *start,
            *topic(inner, particle),
            *clause.japanese_rest(),
            *japanese_verb(clause, mode, past, negative, False),
            *tail,
        ]
        return end([*lead, *inner.en, *group, *clause.english_rest()], ja)
    be_word = be(past, inner.agreement)
    middle = negated(be_word, "0", draw.chance(0.5)) if negative else [(be_word, "0.a")]
    return end([*lead, *inner.en, *middle, *words], [*start, *topic(inner, particle), *predicate, *tail])


def two_actions(draw: Draw) -> Sentence:
    """Tom went to the park and played tennis. (公園に行って、テニスをしました)"""
    past = draw.chance(0.65)
    who = person(draw, "0s")
    first = make_clause(draw, "0", draw.pick(_FIRSTS), "past" if past else "future", who=who, many=False, adjuncts=1)
    second = make_clause(draw, "1", draw.pick(WILLED), "", who=who, adjuncts=0)
    if first is None or second is None or first.verb is second.verb or second.verb in _FIRSTS + _MOVES:
        return None
    first.place = None
    mode = "simple" if past else "future"
    _, group = english_verb(first, mode, past, False, False, False)
    _, second_group = english_verb(second, mode, past, False, False, False)
    if not past:
        second_group = second_group[1:]  # will buy ... and make ...
    en = [*who.en, *group, *first.english_rest(), ("and", "1c"), *second_group, *second.english_rest()]
    ja = [
        *topic(who),
        *first.japanese_rest(),
        (first.verb.ja_forms["te"][0], "0.v"),
        ("、", "1c"),
        *second.japanese_rest(),
        *japanese_verb(second, mode, past, False, True),
    ]
    return end(en, ja)


_MOVES = [VERBS["arrive", "着く"], VERBS["take", "乗る"]]
_FIRSTS = [
    VERBS[key]
    for key in (
        ("go", "行く"),
        ("come", "来る"),
        ("get", "起きる"),
        ("return", "帰る"),
        ("buy", "買う"),
        ("borrow", "借りる"),
    )
]
