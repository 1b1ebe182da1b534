"""Inflection: Japanese verbs and adjectives by their classes, English verbs and nouns by rule.

Japanese forms come as tuples of morphemes, stem first, so that a gold alignment can tell 飲み from ました. The classes
are those of school grammar: godan (飲む), ichidan (食べる), and the irregular する and 来る; 行く is irregular only in
its te- and ta-forms. References: Makino and Tsutsui, A Dictionary of Basic Japanese Grammar (1986).
"""

# The last kana of a godan verb: its a-, i-, e- and o-row, and its te- and ta-endings (onbin).
_GODAN = {
    "う": ("わ", "い", "え", "お", "って", "った"),
    "く": ("か", "き", "け", "こ", "いて", "いた"),
    "ぐ": ("が", "ぎ", "げ", "ご", "いで", "いだ"),
    "す": ("さ", "し", "せ", "そ", "して", "した"),
    "つ": ("た", "ち", "て", "と", "って", "った"),
    "ぬ": ("な", "に", "ね", "の", "んで", "んだ"),
    "ぶ": ("ば", "び", "べ", "ぼ", "んで", "んだ"),
    "む": ("ま", "み", "め", "も", "んで", "んだ"),
    "る": ("ら", "り", "れ", "ろ", "って", "った"),
}

POLITE = {(False, False): "ます", (True, False): "ました", (False, True): "ません", (True, True): "ませんでした"}
# (past, negative) → the ending of a copula: after a noun or na-adjective
COPULA_POLITE = {
    (False, False): "です",
    (True, False): "でした",
    (False, True): "ではありません",
    (True, True): "ではありませんでした",
}
COPULA_PLAIN = {(False, False): "だ", (True, False): "だった", (False, True): "ではない", (True, True): "ではなかった"}


def verb_class(verb: str, ichidan: bool) -> str:
    """ "godan", "ichidan", "suru" or "kuru". 切る and 食べる end alike: the lexicon has to say which are ichidan."""
    if verb.endswith("する"):
        return "suru"
    if verb.endswith("来る"):
        return "kuru"
    return "ichidan" if ichidan else "godan"


def verb_forms(verb: str, kind: str) -> dict[str, tuple[str, ...]]:
    """The forms of a verb in dictionary form.

    >>> verb_forms("飲む", "godan")["te"], verb_forms("食べる", "ichidan")["negative"]
    (('飲んで',), ('食べ', 'ない'))
    """
    body, last = verb[:-1], verb[-1]
    if kind == "godan":
        a, i, e, _, te, ta = _GODAN[last]
        if verb.endswith("行く"):
            te, ta = "って", "った"
        stems = (body + a, body + i, body + te, body + ta, body + e)
        if verb == "ある":
            stems = ("", *stems[1:])  # its negative is ない, without a stem
    elif kind == "ichidan":
        stems = (body, body, body + "て", body + "た", body + "ろ")
    elif kind == "suru":
        noun = verb[:-2]
        stems = tuple(noun + end for end in ("し", "し", "して", "した", "しろ"))  # type: ignore[assignment]
    elif kind == "kuru":
        before = verb[:-2]
        stems = tuple(before + end for end in ("来", "来", "来て", "来た", "来い"))  # type: ignore[assignment]
    else:
        raise ValueError(f"no verb class {kind!r}")
    negative, polite, te, ta, imperative = stems
    lead = (negative,) if negative else ()
    return {
        "dictionary": (verb,),
        "stem": (polite,),
        "te": (te,),
        "past": (ta,),
        "imperative": (imperative,),
        "negative": (*lead, "ない"),
        "negative past": (*lead, "なかった"),
        "negative te": (*lead, "ないで"),
        "negative condition": (*lead, "なければ"),
        "condition": (ta + "ら",),
    }


def plain_key(past: bool, negative: bool) -> str:
    """Which of `verb_forms` is the plain form of a tense and polarity."""
    if negative:
        return "negative past" if past else "negative"
    return "past" if past else "dictionary"


def adjective_forms(adjective: str, past: bool, negative: bool) -> tuple[str, ...]:
    """Plain forms of an i-adjective; the polite ones add です. いい ("good") conjugates as よい.

    >>> adjective_forms("大きい", True, False), adjective_forms("いい", False, True)
    (('大きかった',), ('よく', 'ない'))
    """
    stem = "よ" if adjective == "いい" else adjective[:-1]
    if negative:
        return (stem + "く", "なかった" if past else "ない")
    return (stem + "かった",) if past else (adjective,)


_DOUBLED = frozenset("swim run cut get sit stop put plan".split())


def third_person(verb: str) -> str:
    """
    >>> [third_person(v) for v in ("drink", "watch", "study", "play", "go")]
    ['drinks', 'watches', 'studies', 'plays', 'goes']
    """
    if verb == "have":
        return "has"
    return plural(verb)


def plural(noun: str) -> str:
    if noun.endswith(("s", "x", "sh", "ch", "z")) or noun == "go":
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def gerund(verb: str) -> str:
    """
    >>> [gerund(v) for v in ("read", "write", "swim", "see", "study")]
    ['reading', 'writing', 'swimming', 'seeing', 'studying']
    """
    if verb in _DOUBLED:
        return verb + verb[-1] + "ing"
    if verb == "die":
        return "dying"
    return (verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb) + "ing"


def regular_past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + "ed"


def article(word: str) -> str:
    """ "a" or "an", by the sound that a word of the lexicon begins with."""
    return "an" if word[0] in "aeiou" and not word.startswith(("uni", "use")) else "a"
