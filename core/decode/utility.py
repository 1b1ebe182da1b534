"""How much alike two texts are, for every pair of a set: sentence chrF and BLEU, equal to sacreBLEU's.

Every text's n-grams are counted once; the matches of a text with all others are then one minimum over the table of
counts, so that thirty samples of a sentence (a thousand pairs) take milliseconds.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

CHRF_ORDER, CHRF_BETA = 6, 2
BLEU_ORDER = 4


def utilities(texts: Sequence[str], metric: Literal["chrf", "bleu"]) -> NDArray[np.float64]:
    """(N, N), 0 to 100: row i is text i as the hypothesis, column j text j as its one reference.

    chrf: chrF2 of characters (Popović, 2015). bleu: with exponential smoothing and effective order (Post, 2018), words
    cut as the evaluation cuts them in the language that the texts seem to be in.
    """
    if metric == "chrf":
        return _chrf([list("".join(text.split())) for text in texts])
    return _bleu([words.split() for words in tokenized(texts)])


def _matches(sequences: Sequence[Sequence[Hashable]], order: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """n-grams of one order: how many each sequence has (N,), and how many each pair has in common (N, N)."""
    counts = [Counter(zip(*(s[i:] for i in range(order)))) for s in sequences]
    columns: dict[Any, int] = {}
    for own in counts:
        for ngram in own:
            columns.setdefault(ngram, len(columns))
    table = np.zeros((len(sequences), len(columns)), np.int64)
    for row, own in enumerate(counts):
        table[row, [columns[ngram] for ngram in own]] = list(own.values())
    common = np.stack([np.minimum(row, table).sum(1) for row in table])
    return table.sum(1), common


def _chrf(texts: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Means of precision and recall over the orders that both texts have, joined as F2."""
    size = (len(texts), len(texts))
    precision, recall, orders = np.zeros(size), np.zeros(size), np.zeros(size)
    for order in range(1, CHRF_ORDER + 1):
        total, common = _matches(texts, order)
        both = (total[:, None] > 0) & (total > 0)
        precision += np.where(both, common / np.maximum(total, 1)[:, None], 0)
        recall += np.where(both, common / np.maximum(total, 1), 0)
        orders += both
    precision, recall = precision / np.maximum(orders, 1), recall / np.maximum(orders, 1)
    factor = CHRF_BETA**2
    below = factor * precision + recall
    return 100 * (1 + factor) * precision * recall / np.where(below > 0, below, 1)


def _bleu(texts: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    totals, commons = zip(*(_matches(texts, order) for order in range(1, BLEU_ORDER + 1)))
    lengths = [len(text) for text in texts]
    scores = np.zeros((len(texts), len(texts)))
    for i, own in enumerate(lengths):
        for j, other in enumerate(lengths):
            matches = [int(common[i, j]) for common in commons]
            scores[i, j] = sentence_bleu(matches, [int(total[i]) for total in totals], own, other)
    return scores


def sentence_bleu(matches: Sequence[int], totals: Sequence[int], length: int, reference_length: int) -> float:
    """BLEU from 0 to 100 of one text of `length` words: the geometric mean of its precisions of orders 1 to 4, as far
    as it has n-grams of them, times the brevity penalty. An order without a match counts 1/2, 1/4 ... matches; with
    no match at all the score is 0.

    >>> round(sentence_bleu([3, 2, 1, 0], [4, 3, 2, 1], 4, 4), 6)
    59.460356
    """
    if not any(matches):
        return 0.0
    smoothed, logs = 1.0, 0.0
    orders = min(length, BLEU_ORDER)
    for matched, total in zip(matches[:orders], totals[:orders]):
        if not matched:
            smoothed /= 2
        logs += math.log(100 * (matched or smoothed) / total)
    return math.exp(min(0.0, 1 - reference_length / length)) * math.exp(logs / orders)


def tokenized(texts: Sequence[str]) -> list[str]:
    """Words with spaces between them, as the evaluation cuts the language that the texts seem to be in."""
    from sacrebleu.metrics.bleu import BLEU

    from core.evaluate.translation import bleu_tokenizer, guess_language

    tokenizer = BLEU(tokenize=bleu_tokenizer(guess_language(texts))).tokenizer
    return [tokenizer(text.rstrip()) for text in texts]
