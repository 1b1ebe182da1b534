"""Verb groups and copulas of `builtin:enja`: tense, negation, questions, ability, wish, duty, in both languages."""

from core.data.lexicon import Adjective
from core.data.morphology import COPULA_PLAIN, COPULA_POLITE, POLITE, adjective_forms, plain_key
from core.data.phrases import Clause, Tokens

_BE = {
    (False, "1"): "am",
    (False, "3"): "is",
    (False, "p"): "are",
    (True, "1"): "was",
    (True, "3"): "was",
    (True, "p"): "were",
}
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


_DEKIRU = {
    "dictionary": ("できる",),
    "past": ("できた",),
    "negative": ("でき", "ない"),
    "negative past": ("でき", "なかった"),
}
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
