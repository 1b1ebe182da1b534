"""The built-in English-Japanese grammar: splits, determinism, alignments, and whole sentences checked by hand."""

import re
from collections import Counter
from functools import cache
from itertools import islice

import pytest

from core.config import DataConfig
from core.data import Pair, load_corpus
from core.data.grammar import MAX_WORDS, _stream, enja_corpus, generate, generate_pairs, held_out, split_of
from core.data.phrases import Draw, english_text, finish, japanese_text


@cache
def corpus():
    return load_corpus(DataConfig(name="builtin:enja"), "pairs")


@cache
def examples():
    return generate(4_000, seed=3)


def test_default_sizes():
    assert (len(corpus().train), len(corpus().val), len(corpus().test)) == (25_000, 500, 500)
    assert (corpus().src_language, corpus().tgt_language) == ("en", "ja")
    assert "25,000 training and 500 validation pairs" in corpus().description
    assert len(load_corpus(DataConfig(max_examples=100), "pairs").train) == 100


def test_splits_share_no_sentence_in_either_language():
    parts = [corpus().train, corpus().val, corpus().test]
    for side in (0, 1):
        texts = [{pair[side] for pair in part} for part in parts]
        assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]
    for part, name in zip(parts, ("train", "val", "test"), strict=True):
        assert all(split_of(pair.tgt) == name for pair in part)


def test_another_seed_still_does_not_train_on_what_is_tested():
    other = {pair.src for pair in generate_pairs(3_000, seed=99)}
    assert not other & {pair.src for pair in corpus().val + corpus().test}
    assert held_out(50)[0] == held_out(60)[0][:50]


def test_held_out_sentences_are_new_compositions_of_known_words():
    known = {word for pair in corpus().train for word in re.findall(r"[\w'.]+", pair.src.lower().rstrip("."))}
    unknown = {
        word
        for pair in corpus().val + corpus().test
        for word in re.findall(r"[\w'.]+", pair.src.lower().rstrip("."))
        if word not in known
    }
    assert not unknown


def test_deterministic_and_distinct():
    assert generate(300, seed=5) == generate(300, seed=5) != generate(300, seed=6)
    assert generate(300, seed=5)[:100] == generate(100, seed=5)
    assert len({pair.src for pair in corpus().train}) == 25_000
    assert [pair.src for pair in enja_corpus(50).train] == [pair.src for pair in corpus().train[:50]]


def test_fifty_thousand_distinct_sentences_each_with_one_translation():
    translation: dict[str, str] = {}
    for seed in ("one", "two"):
        for drawn in islice(_stream(Draw(seed)), 28_000):
            assert translation.setdefault(drawn.english, drawn.japanese) == drawn.japanese
    assert len(translation) > 50_000
    assert len(set(translation.values())) > 0.95 * len(translation)


def test_shapes_and_words_are_balanced():
    sources = [example.src for example in examples()]
    share = {
        "question": sum(s.endswith("?") for s in sources),
        "negation": sum("n't" in s or " not " in s or "cannot" in s for s in sources),
        "relative": sum(" who " in s or re.search(r"The \w+ that", s) is not None for s in sources),
        "because": sum(" because " in s for s in sources),
        "number": sum(re.search(r" (two|three|four|five) ", s) is not None for s in sources),
    }
    assert all(0.02 < count / len(sources) < 0.4 for count in share.values()), share
    words = Counter(word for pair in corpus().train for word in pair.src.lower().strip(".?!").split())
    for word in ("horse", "chess", "kimono", "guitar", "hospital", "engineer", "throw", "because", "behind"):
        assert words[word] >= 40, (word, words[word])


def test_text_is_well_formed():
    for example in examples():
        assert len(re.findall(r"[\w'.]+", example.src)) <= MAX_WORDS + 1
        assert re.fullmatch(r"[A-Z][A-Za-z'., ]*[.?!]", example.src), example.src
        assert re.fullmatch(r"[ぁ-んァ-ヶー一-龠々、]+[。！]", example.tgt), example.tgt
        assert "  " not in example.src and " ." not in example.src and " ," not in example.src
        assert not re.search(r"\ba [aeio]|\ban [^aeiou]", example.src), example.src
        assert example.src.endswith("?") == example.tgt.endswith("か。")
        assert example.src.endswith("!") == example.tgt.endswith("！")


def test_words_cover_the_text():
    for example in examples():
        assert "".join(example.src_words) == example.src.replace(" ", "")
        assert "".join(example.tgt_words) == example.tgt
        assert all(word and " " not in word for word in example.src_words + example.tgt_words)


FREE_EN = {"the", "a", "an", "i", "that", "it", "who", ",", "there", "of", "my"}
FREE_JA = {"は", "を", "が", "、", "に", "の", "と", "です", "な", "で"}


def test_alignment_stays_inside_and_covers_every_content_word():
    for example in examples():
        en, ja = example.src_words, example.tgt_words
        assert example.alignment == tuple(sorted(set(example.alignment)))
        assert all(0 <= i < len(en) and 0 <= j < len(ja) for i, j in example.alignment)
        left, right = {i for i, _ in example.alignment}, {j for _, j in example.alignment}
        assert {word.lower() for i, word in enumerate(en) if i not in left} <= FREE_EN, (en, example.alignment)
        assert {word for j, word in enumerate(ja) if j not in right} <= FREE_JA, (ja, example.alignment)


def test_alignment_says_what_a_dictionary_says():
    dictionary = {
        "coffee": {"コーヒー"},
        "yesterday": {"昨日"},
        "because": {"ので"},
        "book": {"本"},
        "Emi": {"エミ"},
        "station": {"駅"},
        "drank": {"飲み", "飲んだ", "ました"},
        "this": {"この", "これ", "今朝"},
        "?": {"か", "。"},
    }
    seen: Counter[str] = Counter()
    for example in examples():
        for i, j in example.alignment:
            word = example.src_words[i]
            if word in dictionary:
                seen[word] += 1
                assert example.tgt_words[j] in dictionary[word]
    assert all(seen[word] for word in dictionary), seen


def test_pairs_carry_the_alignment_of_their_example():
    for pair, example in zip(generate_pairs(20, seed=8), generate(20, seed=8), strict=True):
        assert pair == Pair(example.src, example.tgt, example.alignment)


# Read by a native eye: each is what the grammar says for exactly this English.
SENTENCES = """
I drank coffee.|私はコーヒーを飲みました。
Tom went to the library.|トムは図書館に行きました。
There are three cats in the park.|公園に猫が三匹います。
Let's play tennis.|テニスをしましょう。
Please open the window.|窓を開けてください。
Don't cut a tree!|木を切るな！
Get up!|起きろ！
Shall we dance?|踊りましょうか。
May I use the computer?|コンピューターを使ってもいいですか。
I want to read a book.|私は本を読みたいです。
Ken wants to swim.|ケンは泳ぎたがっています。
He cannot speak English.|彼は英語を話すことができません。
She must study math.|彼女は数学を勉強しなければなりません。
Have you ever eaten sushi?|あなたは寿司を食べたことがありますか。
The library was not quiet.|図書館は静かではありませんでした。
The library wasn't big.|図書館は大きくなかったです。
Who is the man who is reading a newspaper?|新聞を読んでいる男の人は誰ですか。
The book that Tom wrote is interesting.|トムが書いた本は面白いです。
Tom is taller than Ken.|トムはケンより背が高いです。
He did not go to school because he was sick.|彼は病気だったので、学校に行きませんでした。
I think that she is busy.|彼女は忙しいと思います。
Tom said that Mary bought a car.|トムはメアリーが車を買ったと言いました。
How many books did Emi buy?|エミは本を何冊買いましたか。
Where is the station?|駅はどこにありますか。
It is raining now.|今雨が降っています。
They live in Tokyo.|彼らは東京に住んでいます。
I like cats.|私は猫が好きです。
My mother returned home.|私の母は家に帰りました。
"""


def _constructions(english: str):
    from core.data import complex_sentences as c
    from core.data import descriptions as d
    from core.data import sentences as s

    for sign, template in (
        (" that ", c.relative_thing if english.startswith("The book") else c.thought),
        (" who ", c.relative_person),
        ("because", c.because),
        ("than", c.comparison),
        ("There", d.existence),
        ("Where is", d.existence),
        ("How many", s.wh_question),
        (" rain", d.weather),
        ("like", d.possession),
        ("live", d.transfer),
        ("library was", d.description),
        ("ever", s.modal),
        ("May", s.modal),
        ("must", s.modal),
        ("cannot", s.modal),
        ("want", s.modal),
        ("!", s.request),
        ("Please", s.request),
        ("Let's", s.request),
        ("Shall", s.request),
    ):
        if sign in english:
            return template
    return s.statement


class Steered(Draw):
    """A Draw that takes the choice whose words the wanted sentence has, wherever one has them."""

    def __init__(self, seed: str, english: str) -> None:
        super().__init__(seed)
        self.words = set(re.findall(r"[\w']+", english.lower()))

    def pick(self, items):
        fitting = [item for item in items if self._fits(item)]
        return super().pick(fitting or items)

    def _fits(self, item) -> bool:
        forms = getattr(item, "en_forms", None)
        if forms:
            return any(set(form.lower().split()) <= self.words for form in forms.values())
        name = getattr(item, "en", None) or (item[0] if isinstance(item, (tuple, list)) else item)
        plural = getattr(item, "en_plural", "")
        return isinstance(name, str) and (
            set(re.findall(r"[\w']+", name.lower())) <= self.words or bool(plural) and plural.lower() in self.words
        )


@pytest.mark.parametrize("line", SENTENCES.strip().splitlines())
def test_sentences_checked_by_hand(line):
    english, japanese = line.split("|")
    template, draw = _constructions(english), Steered(english, english)
    for _ in range(60_000):
        sentence = template(draw)
        if sentence and english_text(sentence[0]) == english:
            assert japanese_text(sentence[1]) == japanese
            example = finish(*sentence)
            assert (example.src, example.tgt) == (english, japanese)
            return
    raise AssertionError(f"the grammar does not say: {english}")
