"""Our trainer against the `tokenizers` package's, merge by merge."""

import random
import time
from collections import Counter

import pytest

from core.config import TokenizerConfig
from core.errors import TextError
from core.tokenizer import CharTokenizer, train_bpe, train_tokenizer
from core.tokenizer.bpe_train import count_chunks, learn_merges
from core.tokenizer.split import Splitter


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "none"])
def test_merges_equal_tokenizers_on_a_corpus(corpus, pattern):
    texts = corpus[:3000] + corpus[-20:]
    ours = train_bpe(texts, 1200, pattern=pattern)
    theirs = train_bpe(texts, 1200, pattern=pattern, engine="tokenizers")
    assert len(ours.merges) >= 1200 - 259
    assert ours.merges == theirs.merges
    assert ours.vocab == theirs.vocab


def test_merges_equal_tokenizers_independently_of_our_wrapper(corpus):
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator(corpus, trainer)
    ours = train_bpe(corpus, 800)
    model, expected = json.loads(ours.to_json())["model"], json.loads(theirs.to_str())["model"]
    assert model["merges"] == expected["merges"]
    assert model["vocab"] == expected["vocab"]


def test_merges_equal_tokenizers_on_random_corpora_full_of_ties():
    generator = random.Random(2)
    for _ in range(300):
        alphabet = "abc"[: generator.choice([1, 2, 2, 3])] + generator.choice(["", " ", "あ"])
        texts = ["".join(generator.choices(alphabet, k=generator.randint(1, 60))) for _ in range(8)]
        options = {"pattern": generator.choice(["gpt2", "none"]), "min_frequency": generator.choice([0, 2])}
        size = 259 + generator.randint(1, 80)
        ours = train_bpe(texts, size, **options)
        theirs = train_bpe(texts, size, engine="tokenizers", **options)
        assert ours.merges == theirs.merges, (texts, options)
        assert len({a + b for a, b in ours.merges}) == len(ours.merges)  # what our trainer counts on


@pytest.mark.parametrize("chunk", ["aaaa", "aaaaa", "ababab", "abcabcab", "aabaab"])
def test_merges_equal_tokenizers_on_overlapping_pairs(chunk):
    texts = [chunk * n for n in (1, 2, 3, 7)]
    assert train_bpe(texts, 290).merges == train_bpe(texts, 290, engine="tokenizers").merges


def test_known_example_of_the_bpe_paper():
    merges = learn_merges({"low": 5, "lower": 2, "newest": 6, "widest": 3}, n_tokens=4)
    assert merges == [(b"e", b"s"), (b"es", b"t"), (b"l", b"o"), (b"lo", b"w")]


def test_chunks_are_counted_and_surrogates_are_no_trouble():
    assert count_chunks(["a b a", " a\ud800"], Splitter("gpt2")) == Counter({" a": 2, "a": 1, " b": 1, "\ufffd": 1})


def test_progress_tells_each_merge():
    seen = []
    tokenizer = train_bpe(["abab abab"], 262, progress=lambda *event: seen.append(event))
    assert [event[0] for event in seen] == [1, 2, 3]
    assert [event[2] for event in seen] == tokenizer.merges
    assert seen[0] == (1, 3, (b"a", b"b"), 4)


@pytest.mark.parametrize("engine", ["ours", "tokenizers"])
def test_special_tokens_never_arise_from_text(engine):
    texts = ["<s>hello</s>\n<s>hello</s>\n"] * 50
    tokenizer = train_bpe(texts, 400, pattern="none", engine=engine)
    assert tokenizer.special_tokens == {"<pad>": 0, "<s>": 1, "</s>": 2}
    ids = tokenizer.encode("<s>hello</s>").ids
    assert not tokenizer.special_ids & set(ids)
    assert tokenizer.encode_batch(["<s>hello</s>"]) == [ids]
    assert tokenizer.decode(ids) == "<s>hello</s>"
    word = train_bpe(["hello hello hello"], 300, special_tokens=["hello"], engine=engine)
    assert word.encode("hello").ids != [0] and word.encode("hello", parse_special=True).ids == [0]


def test_own_regular_expression():
    tokenizer = train_bpe(["2024-05-01 2024-05-02 a,b;c"], 280, pattern=r"\d+|[a-z]+")
    encoding = tokenizer.encode("2024-05-01, ok")
    assert b"".join(encoding.pieces) == b"2024-05-01, ok"
    assert encoding.pieces[0] == b"2024"
    assert tokenizer.encode_batch(["2024-05-01, ok"]) == [encoding.ids]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"vocab_size": 258}, "at least 259"),
        ({"vocab_size": 300, "pattern": "("}, "not a valid regular expression"),
        ({"vocab_size": 300, "pattern": "^a|b"}, "tokenizer.json cannot carry"),
        ({"vocab_size": 300, "special_tokens": ["a"]}, "longer than a character"),
        ({"vocab_size": 300, "engine": "other"}, "engine must be"),
    ],
)
def test_wrong_settings_are_sentences(arguments, words):
    with pytest.raises(TextError, match=words):
        train_bpe(["text"], **arguments)


def test_a_pattern_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr("core.tokenizer.split.TIME_LIMIT", 0.2)
    with pytest.raises(TextError, match="simplify the pattern"):
        Splitter(r"(a|aa)+b")("a" * 200)


def test_train_tokenizer_follows_the_configuration(corpus, tmp_path):
    trained = train_tokenizer(TokenizerConfig(vocab_size=300, pattern="gpt4"), iter(corpus[:200]))
    assert trained.vocab_size == 300 and (trained.pad_id, trained.bos_id, trained.eos_id) == (0, 1, 2)
    assert isinstance(train_tokenizer(TokenizerConfig(kind="char"), iter(["ab"])), CharTokenizer)
    trained.save(tmp_path)
    again = train_tokenizer(TokenizerConfig(path=str(tmp_path)), iter([]))
    assert again.to_json() == trained.to_json()


def test_a_megabyte_to_2000_merges_in_seconds(corpus):
    texts = ["".join(corpus)[:370_000] + str(i) for i in range(3)]
    start = time.process_time()
    tokenizer = train_bpe(texts, 2000 + 259)
    assert tokenizer.vocab_size == 2259
    assert time.process_time() - start < 60  # a slip in the algorithm takes minutes


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "none", r"\p{L}+|\d"])
def test_merges_equal_tokenizers_on_nasty_texts(nasty_texts, pattern):
    """Every script, controls, lone surrogates, repetitions: all bytes take part, and most counts are ties."""
    ours = train_bpe(nasty_texts, 900, pattern=pattern)
    theirs = train_bpe(nasty_texts, 900, pattern=pattern, engine="tokenizers")
    assert ours.merges == theirs.merges and len(ours.merges) == 900 - 259


@pytest.mark.parametrize("unit", ["a", "ab", "aab", "あ", "🙂", "\n", " ", "a b", "\u0301"])
def test_merges_equal_tokenizers_on_repetitions(unit):
    """Overlapping pairs, of the same count again and again."""
    texts = [unit * n for n in (1, 2, 3, 4, 5, 8, 13, 50)]
    for pattern in ("gpt2", "none"):
        ours = train_bpe(texts, 300, pattern=pattern)
        assert ours.merges == train_bpe(texts, 300, pattern=pattern, engine="tokenizers").merges


def test_merges_equal_tokenizers_where_everything_is_a_tie():
    texts = ["".join(chr(97 + (i * 7 + j) % 26) for j in range(26)) for i in range(26)]
    for minimum in (0, 2, 26):
        ours = train_bpe(texts, 700, min_frequency=minimum)
        assert ours.merges == train_bpe(texts, 700, min_frequency=minimum, engine="tokenizers").merges
