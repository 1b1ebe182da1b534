"""Several tokenizers on one ruler, and sums over many lines."""

import random
from dataclasses import astuple

import pytest

from core.errors import TextError
from core.tokenizer import CharTokenizer, HubTokenizer, train_bpe
from core.tokenizer.base import clean_text
from core.tokenizer.inspect import compare, compare_texts, count, script_of
from tests.core.tokenizer.kinds import KINDS


@pytest.fixture(scope="module")
def tokenizers(make_tokenizer):
    return {
        "ours": make_tokenizer("gpt2"),
        "gpt4": make_tokenizer("gpt4"),
        "characters": CharTokenizer.train(["abc def"]),
        **{kind: HubTokenizer(KINDS[kind]().to_str()) for kind in ("unigram", "wordpiece", "sentencepiece_bpe")},
    }


@pytest.fixture(scope="module")
def make_tokenizer():
    made = {}

    def make(pattern):
        return made.setdefault(
            pattern, train_bpe(["The quick brown fox, it's 日本語です 12345"] * 3, 320, pattern=pattern)
        )

    return make


def cuts(lane, start, end):
    """How a lane cuts a stretch: positions within it, and bytes of characters."""
    return [p for p in lane.boundaries if start < p < end], [place for place in lane.inside if start <= place[0] < end]


def test_lanes_are_the_encodings_and_their_counts(tokenizers, nasty_texts):
    for text in nasty_texts[:150]:
        seen = compare(text, tokenizers)
        assert seen.text == clean_text(text) and [lane.name for lane in seen.lanes] == list(tokenizers)
        for lane in seen.lanes:
            assert lane.encoding == tokenizers[lane.name].encode(text)
            assert lane.counts == count(lane.encoding, text)


def test_boundaries_are_where_tokens_end(tokenizers, nasty_texts):
    for text in map(clean_text, nasty_texts[:400]):
        data = text.encode()
        for lane in compare(text, tokenizers).lanes:
            assert lane.boundaries == sorted(set(lane.boundaries)) and lane.inside == sorted(set(lane.inside))
            ends = {end for start, end in lane.encoding.char_spans if end > start}
            assert set(lane.boundaries) | {char + 1 for char, _ in lane.inside} >= ends
            assert set(lane.boundaries) <= ends
            for char, before in lane.inside:
                assert 0 < before <= len(text[char].encode())
            if lane.name in ("ours", "gpt4"):  # these lose nothing: the byte ends tell it all
                byte_ends = [end for _, end in lane.encoding.byte_spans]
                at = {len(text[:p].encode()) for p in lane.boundaries}
                at |= {len(text[:char].encode()) + before for char, before in lane.inside}
                assert at == set(byte_ends) and len(at) == len(byte_ends)
                assert lane.boundaries[-1:] == ([len(text)] if data else [])


def test_agreed_and_differing_stretches_by_definition(tokenizers, nasty_texts):
    generator = random.Random(1)
    for text in nasty_texts[:400]:
        some = dict(generator.sample(list(tokenizers.items()), generator.randint(1, 6)))
        seen = compare(text, some)
        everywhere = [p for p in range(len(seen.text) + 1) if all(p in lane.boundaries for lane in seen.lanes)]
        assert seen.agreed == everywhere
        edges = sorted({0, *everywhere, len(seen.text)})
        expected = [
            (start, end)
            for start, end in zip(edges, edges[1:], strict=False)
            if len({str(cuts(lane, start, end)) for lane in seen.lanes}) > 1
            or len({end in lane.boundaries for lane in seen.lanes}) > 1
        ]
        assert seen.differing == expected
        if len(some) == 1:
            assert seen.differing == []


def test_a_tokenizer_agrees_with_itself(make_tokenizer):
    same = compare("it's 日本語 x", {"a": make_tokenizer("gpt2"), "b": make_tokenizer("gpt2")})
    assert same.differing == [] and same.agreed == same.lanes[0].boundaries


def test_characters_that_are_cut_at_other_bytes_differ():
    by_bytes = train_bpe(["x"], 259)
    pairs = train_bpe(["あ" * 9], 260, pattern="none")  # two of its three bytes are a token
    assert len(pairs.encode("あ")) == 2
    seen = compare("aあb", {"bytes": by_bytes, "pairs": pairs})
    assert [lane.inside for lane in seen.lanes] == [[(1, 1), (1, 2)], [(1, 2)]]
    assert seen.agreed == [1, 2, 3] and seen.differing == [(1, 2)]


def test_special_tokens_are_parsed_on_request(make_tokenizer):
    two = {"gpt2": make_tokenizer("gpt2"), "gpt4": make_tokenizer("gpt4")}
    assert [len(lane.encoding) for lane in compare("<s></s>", two, parse_special=True).lanes] == [2, 2]
    assert all(len(lane.encoding) > 2 for lane in compare("<s></s>", two).lanes)


def test_how_many(make_tokenizer):
    one = make_tokenizer("gpt2")
    for wrong in ({}, {str(i): one for i in range(7)}):
        with pytest.raises(TextError, match="one to 6"):
            compare("a", wrong)
        with pytest.raises(TextError, match="one to 6"):
            compare_texts([("x", "a")], wrong)
    assert compare("", {"one": one}).lanes[0].boundaries == []


def test_sums_of_groups_are_the_sums_of_their_lines(tokenizers, nasty_texts):
    generator = random.Random(2)
    rows = [(generator.choice("abc"), text) for text in nasty_texts[:1500]]
    found = compare_texts(iter(rows), tokenizers)
    assert [group.group for group in found] == list(dict.fromkeys(name for name, _ in rows))
    for group in found:
        texts = [text for name, text in rows if name == group.group]
        assert group.lines == len(texts)
        for name, tokenizer in tokenizers.items():
            counts = [astuple(count(tokenizer.encode(text), text)) for text in texts]
            assert astuple(group.counts[name]) == tuple(map(sum, zip(*counts, strict=True)))


def test_a_file_can_be_left_in_the_middle(make_tokenizer):
    asked = []

    def stop():
        asked.append(True)
        return len(asked) > 2

    found = compare_texts((("x", "some text") for _ in range(10**9)), {"one": make_tokenizer("gpt2")}, stop)
    assert found[0].lines == 2000
    assert compare_texts([], {"one": make_tokenizer("gpt2")}) == []


def test_lines_are_read_as_they_come(make_tokenizer):
    """A file of any length is never held as a whole."""
    taken = []

    def rows():
        for i in range(5000):
            taken.append(i)
            yield f"group {i % 2}", f"line {i}"

    seen = []
    compare_texts(rows(), {"one": make_tokenizer("gpt2")}, lambda: bool(seen.append(len(taken))))
    assert seen == [1000, 2000, 3000, 4000, 5000]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Hello, 世", "Latin"),
        ("Привет, world!!", "Cyrillic"),
        ("Ελληνικά", "Greek"),
        ("한국어", "Hangul"),
        ("今日はいい天気ですね", "Han and kana"),
        ("コーヒー", "Katakana"),
        ("中文", "Han"),
        ("नमस्ते", "Devanagari"),
        ("مرحبا", "Arabic"),
        ("שלום", "Hebrew"),
        ("ไทย", "Thai"),
        ("3.14", "digits"),
        ("…!", "signs"),
        ("🇯🇵 👍🏽", "emoji"),
        (" \n", "space"),
        ("", "none"),
        ("𐎀𐎁", "other letters"),
        ("ªº", "Latin"),
    ],
)
def test_scripts(text, script):
    assert script_of(text) == script
