"""WordPiece's matches and Unigram's likeliest cut, against the `tokenizers` package and against trying every cut."""

import itertools
import math
import random

import pytest

from core.errors import TextError
from core.tokenizer import HubTokenizer, train_bpe
from core.tokenizer.inspect.choosing import MAX_CHARACTERS, choice_words, choosing, lattice, longest_matches
from tests.core.tokenizer.kinds import KINDS

WORDPIECE, UNIGRAM = (HubTokenizer(KINDS[kind]().to_str()) for kind in ("wordpiece", "unigram"))
NASTY = [
    "",
    "the",
    "thefoxes",
    "zzz",
    "x" * 101,
    "日本",
    "[UNK]",
    "[CLS]",
    "##the",
    "<s>",
    "<unk>",
    "▁",
    "▁▁the",
    "\x00",
    "é",
]


def words(seed):
    rng = random.Random(seed)
    return ["".join(rng.choices("thefoxquickr日本語。▁#", k=rng.randint(1, 14))) for _ in range(30)]


@pytest.mark.parametrize("seed", range(20))
def test_wordpiece_is_the_packages(seed):
    model = WORDPIECE.fast().model
    for word in [*words(seed), *NASTY]:
        matches = longest_matches(WORDPIECE, word)
        failed = any(match.id is None for match in matches)
        assert ([WORDPIECE.unk_id] if failed else [m.id for m in matches]) == [t.id for t in model.tokenize(word)]
        for match in matches:
            lengths = [len(tried.removeprefix("##")) if match.start else len(tried) for tried in match.tried]
            assert "##" in word or lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("seed", range(20))
def test_unigram_is_the_packages(seed):
    model = UNIGRAM.fast().model
    for word in [*words(seed), *NASTY]:
        chosen = [c for c in lattice(UNIGRAM, word).candidates if c.is_chosen]
        ids = [UNIGRAM.unk_id if c.id is None else c.id for c in chosen]
        # The package makes one token of unknown characters that follow each other.
        fused = [id for place, id in enumerate(ids) if not (place and id == ids[place - 1] == UNIGRAM.unk_id)]
        assert fused == [token.id for token in model.tokenize(word)]
        assert "".join(c.text for c in chosen) == word


@pytest.mark.parametrize("seed", range(10))
def test_the_score_is_the_best_of_all_cuts(seed):
    for word in words(seed):
        word = word[:9]
        seen = lattice(UNIGRAM, word)
        fits = {(c.start, c.end): c.score for c in seen.candidates}
        sums = []
        for n in range(len(word)):
            for inner in itertools.combinations(range(1, len(word)), n):
                cut = list(itertools.pairwise([0, *inner, len(word)]))
                if all(span in fits for span in cut):
                    sums.append(sum(fits[span] for span in cut))
        assert len(sums) == seen.ways
        assert math.isclose(max(sums), seen.score)
        assert math.isclose(sum(c.score for c in seen.candidates if c.is_chosen), seen.score)


def test_words_are_as_the_model_is_given_them():
    assert [word for word, _ in choice_words(WORDPIECE, "The Café!")] == ["the", "cafe", "!"]
    assert [word for word, _ in choice_words(UNIGRAM, "The fox")] == ["▁The", "▁fox"]


def test_others_do_not_choose():
    ours = train_bpe(["a"], vocab_size=260)
    assert (choosing(ours), choosing(WORDPIECE), choosing(UNIGRAM)) == ("", "WordPiece", "Unigram")
    for function, tokenizer in (
        (lattice, WORDPIECE),
        (longest_matches, UNIGRAM),
        (lattice, ours),
        (choice_words, ours),
    ):
        with pytest.raises(TextError, match="can be shown"):
            function(tokenizer, "a")
    with pytest.raises(TextError, match=f"at most {MAX_CHARACTERS}"):
        lattice(UNIGRAM, "a" * (MAX_CHARACTERS + 1))
