"""`builtin:repeats`: passages that are said twice, a text on which a small model learns to look back.

A passage is one to three of the English sentences of `builtin:enja`, or their words shuffled, or as many made-up words.
It is said once more, from its start or from a word within it, on the next line or on the same. What comes next in
shuffled and made-up words nothing tells but the first time they were said, so that a model of two layers comes to look
at what followed the same word before: an induction head (Olsson et al., "In-context Learning and Induction Heads",
2022), and the loss falls at once.

>>> repeats_corpus(max_examples=3).train[2]
"that Tom the choose dress. didn't Emi said that Tom the choose dress. didn't Emi said"

The sentences of training, validation and test are those of the same split of `builtin:enja`.
"""

from core.data.corpus import Corpus
from core.data.grammar import Split, generate
from core.data.phrases import Draw

TRAIN_SENTENCES, HELD_OUT_SENTENCES = 80_000, 1_000
MOST = 3  # sentences of a passage
AS_THEY_ARE, SHUFFLED = 0.3, 0.3  # shares of the passages; the others are of made-up words
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def repeats_corpus(max_examples: int = 0, seed: int = 0) -> Corpus:
    """40,000 passages to train on (or max_examples) by seed; 500 to validate and to test, always the same."""
    wanted = min(TRAIN_SENTENCES, max_examples * MOST) if max_examples else TRAIN_SENTENCES
    train = passages(wanted, seed, "train")
    return Corpus(
        "text",
        train[:max_examples] if max_examples else train,
        passages(HELD_OUT_SENTENCES, 0, "val"),
        passages(HELD_OUT_SENTENCES, 0, "test"),
        description="Built-in English passages, said twice",
    )


def passages(sentences: int, seed: int, split: Split) -> list[str]:
    """Passages of so many sentences in all, each twice, the same for the same seed on every machine."""
    draw = Draw(f"repeats-{seed}-{split}")
    given = [example.src for example in generate(sentences, seed, split)]
    texts: list[str] = []
    at = 0
    while at < len(given):
        count = 1 + int(draw.random() * MOST)
        words = " ".join(given[at : at + count]).split(" ")
        at += count
        kind = draw.random()
        if kind >= AS_THEY_ARE + SHUFFLED:
            words = [_made_up(draw) for _ in words]
        elif kind >= AS_THEY_ARE:
            words = _shuffled(words, draw)
        again = words[int(draw.random() * len(words)) if draw.chance(0.5) else 0 :]
        texts.append(" ".join(words) + ("\n" if draw.chance(0.5) else " ") + " ".join(again))
    return texts


def _shuffled(words: list[str], draw: Draw) -> list[str]:
    """Fisher and Yates' shuffle."""
    for last in range(len(words) - 1, 0, -1):
        other = int(draw.random() * (last + 1))
        words[last], words[other] = words[other], words[last]
    return words


def _made_up(draw: Draw) -> str:
    """A word of one to six letters, or a number, that nobody has said before."""
    if draw.chance(0.1):
        return str(int(draw.random() * 1_000))
    word = "".join(draw.pick(LETTERS) for _ in range(1 + int(draw.random() * 6)))
    return word.capitalize() if draw.chance(0.2) else word
