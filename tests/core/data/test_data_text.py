"""Corpus words to typed text and back, on sentences of the shapes that occur in the Tanaka corpus."""

import pytest

from core.data.text import as_corpus, as_typed, english_forms, join_japanese, join_words, lower_joined

TYPED = [
    ("i 'd like a cup of coffee .", "I'd like a cup of coffee."),
    ("i can 't swim at all .", "I can't swim at all."),
    ("don 't you know mr. brown ?", "Don't you know Mr. Brown?"),
    ("mr smith lives in kyoto now .", "Mr Smith lives in Kyoto now."),
    ("he is taller than i .", "He is taller than I."),
    ("no . i 'm sorry , i 've got to go back early .", "No. I'm sorry, I've got to go back early."),
    ("let 's meet at nine o 'clock .", "Let's meet at nine o'clock."),
    ("he said , '' it 's nine o 'clock . ''", "He said, \"It's nine o'clock.\""),
    ("'' what time is it ? '' he wondered .", '"What time is it?" he wondered.'),
    ("why is it called '' loon '' ?", 'Why is it called "loon"?'),
    ("he said to me , ' let 's play catch . '", "He said to me, 'Let's play catch.'"),
    ("it is ten minutes ' walk to the station .", "It is ten minutes' walk to the station."),
    ("we 're goin ' home .", "We're goin' home."),
    ("the meeting closed at four p.m.", "The meeting closed at four p.m."),
    ("he came from new york in may .", "He came from New York in May."),
    ("you may go .", "You may go."),
    ("she moved to the united states last march .", "She moved to the United States last March."),
    ("is there anything good on tv tonight ?", "Is there anything good on TV tonight?"),
    ("tom 's book cost 20,000 yen .", "Tom's book cost 20,000 yen."),
    ("miss smith teaches english .", "Miss Smith teaches English."),
    ("i will miss you .", "I will miss you."),
    ("his brown hat is new .", "His brown hat is new."),
    ("here 's $ 5 .", "Here's $5."),
    ("year followed year ...", "Year followed year..."),
    ("my uncle tom is a good-looking man !", "My Uncle Tom is a good-looking man!"),
]


@pytest.mark.parametrize(("corpus", "typed"), TYPED)
def test_as_typed(corpus, typed):
    assert as_typed(corpus) == typed


@pytest.mark.parametrize(("corpus", "typed"), [pair for pair in TYPED if "$" not in pair[0]])
def test_as_corpus_is_the_way_back(corpus, typed):
    assert as_corpus(typed) == corpus


def test_as_corpus_of_typographic_quotes():
    assert as_corpus("“I can’t,” he said.") == "'' i can 't , '' he said ."


def test_capitals_that_are_there_are_kept():
    assert as_typed("the NATO summit , he said") == "the NATO summit, he said"


@pytest.mark.parametrize("text", ["", " ", "'", "''", ". . .", "' ' '", "a", "'s", "?"])
def test_odd_input_is_no_error(text):
    as_typed(text), as_corpus(text), lower_joined(text), join_japanese(text), english_forms(text)


def test_english_forms():
    forms = dict(english_forms("i 'm tired ."))
    assert list(forms)[:2] == ["I'm tired.", "i 'm tired ."]
    assert set(forms) == {"I'm tired.", "i 'm tired .", "i'm tired.", "I'm tired", "i'm tired"}
    assert forms["I'm tired."] == forms["i 'm tired ."] == 1.0
    assert sum(weight for weight in forms.values() if weight < 1) == pytest.approx(1 / 3)


def test_forms_are_distinct_and_never_empty():
    for sentence in ("okay", "a .", ".", "stop !", "wait ..."):
        texts = [text for text, _ in english_forms(sentence)]
        assert len(set(texts)) == len(texts) and all(texts)


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        ("自分 の 事 を しろ 。", "自分の事をしろ。"),
        ("彼女 は ｃｄ を 買 っ た 。", "彼女はｃｄを買った。"),
        ("「 thank you 」 と 言 う", "「thank you」と言う"),
        ("ｔｈａｎｋ ｙｏｕ", "ｔｈａｎｋ ｙｏｕ"),
        ("私　は", "私は"),
        ("", ""),
    ],
)
def test_join_japanese(words, joined):
    assert join_japanese(words) == joined


def test_join_words_by_language():
    assert join_words("今日 は 。", "ja") == join_words("今日 は 。") == "今日は。"
    assert join_words("i see .", "en") == join_words("i see .") == "I see."
    assert join_words("je suis là .", "fr") == "je suis là."
