"""From the words of a corpus to text as people type it, and back.

Parallel corpora are often published already split into words: English lower-cased as "i 'd like a cup of coffee .",
Japanese as "私 は 学生 で す 。" (by KyTea: Neubig et al., 2011). A model that people use should read what they type,
so the words are joined again and capitals given back; `english_forms` lists the forms that training shows the model.

>>> as_typed("i 'd like a cup of coffee .")
"I'd like a cup of coffee."
>>> as_corpus("I'd like a cup of coffee.")
"i 'd like a cup of coffee ."
>>> join_japanese("自分 の 事 を しろ 。")
'自分の事をしろ。'
"""

import re

# Words that English writes with a capital and that occur in everyday corpora (counted in the Tanaka corpus). Words
# that are more often something else ("will", "rose", "mark", "may", "march" ...) are left out or handled below.
_CAPITALISED = frozenset(
    """
    monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays
    sundays january february april june july august september october november december christmas easter
    english japanese french chinese american americans german spanish italian russian british canadian european greek
    greeks indian indians thai dutch latin arabic swahili australian australians african asian swiss korean asia
    englishman englishmen frenchman londoner japan america england britain france italy germany spain russia china
    canada australia india mexico egypt brazil africa europe austria switzerland singapore zambia denmark korea greece
    hawaii california texas chicago boston london paris rome vienna sydney seattle detroit honolulu liverpool
    manhattan venice amsterdam columbus oakland hollywood harvard yale broadway mediterranean pacific riviera
    tokyo osaka kyoto kobe nara nagoya yokohama hiroshima sapporo hokkaido kyushu okinawa nagasaki sendai shinjuku
    narita nikko ueno hyogo shikoku fukuoka kamakura shizuoka shibuya akasaka ginza niigata himeji kanazawa karuizawa
    sasayama sanda hakata obihiro tottori towada kushiro akihabara nagano fuji biwa ooita ibaragi shinano
    tom mary john ken jane jim bob tony mike nancy kate judy lucy ann anne jack peter susan susie alice meg george
    betty cathy dave dick karen linda joe henry harry ellen chris bill sam robert thomas tommy jill jimmy helen debbie
    beth james david paul paula patricia laura laurie nicole jordan johnny johnnie joan carol brian barbara amy alex
    allen steve stella simon kenny floyd françois madonna yumi taro kumi jiro mayuko masao naoko naomi keiko hanako
    kenji emi akira yoko yuri yoshio yumiko akiko yoshida yamanaka yamamoto yamada tsubasa toshio tani tamori
    taniguchi takakura takahashi tanaka suzuki sasaki sadako sachiko robinson rie pochi nobuyuki mika miho mie midori
    mayumi masaru masako matsue kumiko kimura kazuko kato kaoru kanda johnson jones jackson isao ichiro hisashi
    hirayama haruki hashimoto fumio fukui fujimori atsushi akina akemi wakahata smith smiths browns thompson spencer
    spielberg shakespeare picasso einstein edison beethoven bach chopin mozart kennedy lincoln hamlet hilton honda
    toyota nikon mcdonald anderson bennett curtis crouch estella santa hiroko yukio noriko tomoko takeshi jesus buddha
    god bible""".split()
)
_UPPER = frozenset("tv cd cds ufo ufos usa uk u.s. u.s.a. o.k. ok dj nasa ntt fm pc vip fbi sos id abc ibm ol".split())
_SPELLED = {
    "mcdonald": "McDonald",
    "cds": "CDs",
    "ufos": "UFOs",
    "i": "I",
    "i.": "I.",
    "ms.": "Ms.",
    "mr.": "Mr.",
    "mrs.": "Mrs.",
    "dr.": "Dr.",
    "mr": "Mr",
    "mrs": "Mrs",
    "ms": "Ms",
    "dr": "Dr",
}
_TITLES = frozenset("mr mrs ms dr mr. mrs. ms. dr. miss professor lake mt mt.".split())
_NOT_A_NAME = frozenset(  # after "miss", "professor" and "lake", which are also ordinary words
    "the you your it is was has had this that these those my his her him them me us our their a an and or in at of on "
    "to for with seeing being going by from will would can our so such class any some every one who out , . ? !".split()
)
_MAY_BEFORE = frozenset("in last since until till by early late mid".split())  # "in May", but "it may"
_NEW = frozenset("york zealand year's".split())
_CLITICS = ("'t", "'s", "'m", "'ll", "'ve", "'d", "'re", "'clock")
_CLOSING = frozenset([".", ",", "?", "!", ";", ":", "...", "%", ")"])
_SENTENCE_END = frozenset([".", "?", "!", "..."])
_ABBREVIATIONS = frozenset("mr. mrs. ms. dr. mt. p.m. a.m. u.s. u.s.a. o.k. st. v.".split())


def as_typed(sentence: str) -> str:
    """Corpus English (words split, lower-case) as a person types it: joined, with capitals.

    A sentence that already has capitals keeps them as they are.
    """
    return _attach(_with_capitals(sentence.split()))


def as_corpus(sentence: str) -> str:
    """The corpus's own form of a sentence as typed: lower-case, punctuation and clitics split off by spaces."""
    text = sentence.lower().replace("’", "'").replace("“", '"').replace("”", '"')
    text = re.sub(r'"', " '' ", text)
    text = re.sub(r"(?<=\w)'(t|s|m|ll|ve|d|re|clock)\b", " \x01\\1", text)  # U+0001 stands for a clitic's apostrophe
    text = re.sub(r"(?<!\w)'(?=\w)|(?<=[\w.,?!])'(?!\w)", " ' ", text).replace("\x01", "'")
    words = []
    for word in text.split():
        if word in _ABBREVIATIONS:
            words.append(word)
            continue
        body = word.rstrip(".,?!;:")
        tail = re.findall(r"\.{3}|[.,?!;:]", word[len(body) :])
        words += [w for w in (body, *tail) if w]
    return " ".join(words)


def lower_joined(sentence: str) -> str:
    """The words joined but without capitals, as in a quick message."""
    return _attach(sentence.lower().split())


def english_forms(sentence: str) -> tuple[tuple[str, float], ...]:
    """The forms of a corpus sentence that people type, each with the share of the pairs that it is trained on.

    >>> english_forms("i 'm tired .")[:3]
    (("I'm tired.", 1.0), ("i 'm tired .", 1.0), ("i'm tired.", 0.16666666666666666))
    """
    typed, lower = as_typed(sentence), lower_joined(sentence)
    weighted = [(typed, 1.0), (" ".join(sentence.split()), 1.0), (lower, 1 / 6)]
    weighted += [(_without_final_mark(typed), 1 / 12), (_without_final_mark(lower), 1 / 12)]
    forms: dict[str, float] = {}
    for text, weight in weighted:
        if text:
            forms.setdefault(text, weight)
    return tuple(forms.items())


def join_japanese(sentence: str) -> str:
    """Words joined without spaces, except between two Latin words ("thank you").

    >>> join_japanese("日本 語 で 「 thank you 」 と 言 う 。")
    '日本語で「thank you」と言う。'
    """
    return re.sub(r"(?<![A-Za-zＡ-Ｚａ-ｚ])[ \u3000]+|[ \u3000]+(?![A-Za-zＡ-Ｚａ-ｚ0-9])", "", sentence.strip())


def join_words(sentence: str, language: str = "") -> str:
    """Text split into words, joined as its language is written. Without a language, its characters decide."""
    spaceless = language in ("ja", "zh", "th") or (
        not language and re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", sentence) is not None
    )
    if spaceless:
        return join_japanese(sentence)
    return as_typed(sentence) if language in ("", "en") else _attach(sentence.split())


def _without_final_mark(text: str) -> str:
    return text[:-1] if text.endswith((".", "?")) and not text.endswith("..") else text


def _attach(words: list[str]) -> str:
    """Put words together: marks and clitics on the word before, quotes around what they quote."""
    text, glue, double_open, single_open = "", True, False, False
    for position, word in enumerate(words):
        if word == "''" or word == '"':
            text += '"' if double_open or glue else ' "'
            double_open, glue = not double_open, not double_open
        elif word == "'":
            possessive = text.endswith(("s", "in")) and not single_open and words[position + 1 :].count("'") % 2 == 0
            if single_open or possessive:
                text, single_open, glue = text + "'", False, False
            else:
                text, single_open, glue = text + ("'" if glue else " '"), True, True
        elif word in _CLOSING or word.lower() in _CLITICS or word.lower() == "n't":
            text, glue = text + word, False
        else:
            text, glue = text + ("" if glue else " ") + word, word in ("$", "(")
    return text


def _with_capitals(words: list[str]) -> list[str]:
    if any(word != word.lower() for word in words):
        return words
    cased, starts, quoted = [], True, False
    for position, word in enumerate(words):
        before = words[position - 1] if position else ""
        if word in ("''", '"', "'"):
            opens = word != "'" and not quoted or word == "'" and before in (",", "say", "said")
            if word != "'":
                quoted = not quoted
            starts = opens and (before == "," or before in _SENTENCE_END or not before) or starts and not before
            cased.append(word)
            continue
        capital = starts or word in _CAPITALISED or _is_name_here(words, position)
        if word in _SPELLED:
            cased.append(_SPELLED[word])
        elif word in _UPPER:
            cased.append(word.upper())
        else:
            cased.append(word[:1].upper() + word[1:] if capital else word)
        starts = word in _SENTENCE_END
    return cased


def _is_name_here(words: list[str], position: int) -> bool:
    """Words that are names only by their neighbours: "Mr Brown", "New York", "in May", "the United States"."""
    word = words[position]
    before = words[position - 1] if position else ""
    after = words[position + 1] if position + 1 < len(words) else ""
    if before in _TITLES and word.isalpha():
        return before not in ("miss", "professor", "lake") or word not in _NOT_A_NAME
    if word in ("miss", "professor", "lake", "mt"):
        return after in _CAPITALISED or after in ("green", "brown", "white", "march", "biwa")
    if word in ("uncle", "aunt"):
        return after in _CAPITALISED
    if word in ("may", "march"):
        return before in _MAY_BEFORE or after.isdigit()
    return (
        (word == "new" and after in _NEW)
        or (word in _NEW and before == "new")
        or (word == "states" and before == "united")
        or (word == "united" and after in ("states", "kingdom", "nations"))
        or (word in ("san", "los") and after in ("francisco", "angeles"))
        or (word in ("francisco", "angeles"))
    )
