"""What becomes of text that a model writes: measures of likelihood, diversity and repetition (Holtzman et al., 2020).

    measures(generate(run, [prompt], config)[0].hypotheses)

n-grams are of the model's tokens, end tokens apart; texts are cut into words for BLEU only. The formulas:

    perplexity    exp(-mean log-probability of a token), by the model's own distribution, whatever was drawn from
    distinct-n    different n-grams / n-grams, of all samples together (Li et al., 2016, who divide by the number of
                  tokens instead: a sample of T tokens has T - n + 1 n-grams)
    seq-rep-n     1 - different n-grams / n-grams of one sample, mean over samples (Welleck et al., 2020)
    looping       share of samples that end in the same phrase, of two tokens or more, at least three times (Holtzman et
                  al., 2020, figure 9)
    Zipf          s in frequency ~ rank ^ -s, by least squares on the logarithms, over the 5,000 most frequent tokens
                  (natural language: about 1)
    self-BLEU     mean BLEU of each sample with all others as its references (Zhu et al., 2018); sentence BLEU as
                  sacreBLEU's; 100 where all are the same

`core.evaluate.experiment` measures many strategies on many prompts, beside what people wrote.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.decode.config import GenerationConfig
from core.decode.result import Generation, Hypothesis
from core.decode.utility import BLEU_ORDER, sentence_bleu, tokenized
from core.evaluate.translation import bleu_score, bleu_tokenizer, chrf_score, guess_language

DISTINCT = (1, 2, 4)
REPEATED = (1, 2, 3, 4)
RANKS = 5_000


@dataclass(frozen=True)
class Measures:
    """Of one or more samples. None: cannot be said of so little text, or was not asked for."""

    samples: int
    tokens: int  # of all samples, end tokens included, as for the four below
    length: float  # tokens of a sample, mean
    logprob: float  # of a sample, by the model, mean
    logprob_per_token: float | None
    perplexity: float | None
    distinct: dict[int, float | None]  # n -> 0 to 1
    repeated: dict[int, float | None]  # n -> seq-rep-n, 0 to 1
    looping: float  # 0 to 1
    zipf: float | None
    self_bleu: float | None  # 0 to 100
    bleu: float | None  # 0 to 100, against references
    bleu_signature: str
    chrf: float | None
    tokens_per_second: float | None
    forward_passes: int | None


def measures(
    hypotheses: Sequence[Hypothesis],
    seconds: float | None = None,
    forward_passes: int | None = None,
    references: Sequence[str] | None = None,
    language: str = "",
) -> Measures:
    """The measures of samples: all of one prompt, or one for each of many prompts.

    seconds, forward_passes: what all of them took. references: a text for each, or one for all. language: of the
    references ("ja" ...); guessed by default, it decides how BLEU cuts words.
    """
    sequences = [content_ids(hypothesis) for hypothesis in hypotheses]
    logprobs = [logprob for hypothesis in hypotheses for logprob in hypothesis.logprobs]
    per_token = sum(logprobs) / len(logprobs) if logprobs else None
    texts = [hypothesis.text for hypothesis in hypotheses]
    bleu, signature, chrf = None, "", None
    if references and texts:
        references = list(references) * len(texts) if len(references) == 1 else references
        tokenize = bleu_tokenizer(language or guess_language(references))
        scored = bleu_score(texts, references, tokenize, effective_order=len(texts) == 1)
        bleu, signature, chrf = scored.score, scored.signature, chrf_score(texts, references).score
    count = max(1, len(hypotheses))
    return Measures(
        samples=len(hypotheses),
        tokens=len(logprobs),
        length=len(logprobs) / count,
        logprob=sum(logprobs) / count,
        logprob_per_token=per_token,
        perplexity=None if per_token is None else math.exp(min(-per_token, 700)),
        distinct={n: distinct(sequences, n) for n in DISTINCT},
        repeated={n: _mean([repeated(ids, n) for ids in sequences]) for n in REPEATED},
        looping=sum(map(loops, sequences)) / count,
        zipf=zipf(sequences),
        self_bleu=self_bleu(texts),
        bleu=bleu,
        bleu_signature=signature,
        chrf=chrf,
        tokens_per_second=len(logprobs) / seconds if seconds else None,
        forward_passes=forward_passes,
    )


def measures_of(
    generation: Generation, config: GenerationConfig, references: Sequence[str] | None = None, language: str = ""
) -> Measures:
    """Of one input's result: of all samples where they were drawn independently, else of the best hypothesis."""
    hypotheses = generation.hypotheses if config.strategy == "sample" else generation.hypotheses[:1]
    return measures(hypotheses, generation.seconds, generation.forward_passes, references, language)


def content_ids(hypothesis: Hypothesis) -> list[int]:
    """The ids without the end token."""
    return hypothesis.ids[:-1] if hypothesis.finish_reason == "end" else hypothesis.ids


def ngrams(ids: Sequence[int], n: int) -> list[tuple[int, ...]]:
    """
    >>> ngrams([1, 2, 3], 2)
    [(1, 2), (2, 3)]
    """
    return list(zip(*(ids[i:] for i in range(n))))


def distinct(sequences: Sequence[Sequence[int]], n: int) -> float | None:
    """distinct-n of all sequences together; None where there is no n-gram.

    >>> distinct([[1, 2, 1, 2], [1, 2]], 2)  # (1, 2) three times, (2, 1) once
    0.5
    """
    found = [ngram for ids in sequences for ngram in ngrams(ids, n)]
    return len(set(found)) / len(found) if found else None


def repeated(ids: Sequence[int], n: int) -> float | None:
    """seq-rep-n of one sequence; None where there is no n-gram.

    >>> repeated([1, 2, 1, 2, 1], 2)
    0.5
    """
    share = distinct([ids], n)
    return None if share is None else 1 - share


def loops(ids: Sequence[int]) -> bool:
    """Whether the end is one phrase of two tokens or more, three times or more.

    >>> loops([9, 1, 2, 1, 2, 1, 2]), loops([1, 2, 1, 2])
    (True, False)
    """
    ids = list(ids)
    return any(ids[-n:] == ids[-2 * n : -n] == ids[-3 * n : -2 * n] for n in range(2, len(ids) // 3 + 1))


def zipf(sequences: Sequence[Sequence[int]]) -> float | None:
    """The exponent of Zipf's law; None for fewer than two different tokens.

    >>> round(zipf([[1] * 60 + [2] * 30 + [3] * 20 + [4] * 15]), 6)  # 60 / rank
    1.0
    """
    counts = sorted(Counter(token for ids in sequences for token in ids).values(), reverse=True)[:RANKS]
    if len(counts) < 2:
        return None
    return -float(np.polyfit(np.log(np.arange(1, len(counts) + 1)), np.log(counts), 1)[0]) + 0.0


def self_bleu(texts: Sequence[str]) -> float | None:
    """None for fewer than two texts.

    Every n-gram is looked up once: of all texts but one the highest count is the highest of all, or the second highest
    where the one has the highest itself.
    """
    if len(texts) < 2:
        return None
    words = [line.split() for line in tokenized(texts)]
    matches = [[0] * BLEU_ORDER for _ in words]
    for order in range(1, BLEU_ORDER + 1):
        counts = [Counter(zip(*(text[i:] for i in range(order)))) for text in words]
        highest: dict[tuple, tuple[int, int, int]] = {}  # n-gram -> the highest count, whose it is, the second highest
        for i, own in enumerate(counts):
            for ngram, count in own.items():
                first, whose, second = highest.get(ngram, (0, -1, 0))
                highest[ngram] = (count, i, first) if count > first else (first, whose, max(second, count))
        for i, own in enumerate(counts):
            for ngram, count in own.items():
                first, whose, second = highest[ngram]
                matches[i][order - 1] += min(count, second if whose == i else first)
    lengths = [len(text) for text in words]
    scores = []
    for i, length in enumerate(lengths):
        others = lengths[:i] + lengths[i + 1 :]
        nearest = min(others, key=lambda other: (abs(other - length), other))
        totals = [max(0, length - order) for order in range(BLEU_ORDER)]
        scores.append(sentence_bleu(matches[i], totals, length, nearest))
    return sum(scores) / len(scores)


def first_divergence(sequences: Sequence[Sequence[int]]) -> int | None:
    """The first place at which not all sequences have the same token, or one has ended; None if all are the same.

    >>> first_divergence([[5, 6, 7], [5, 6, 8]]), first_divergence([[5, 6], [5]]), first_divergence([[5], [5]])
    (2, 1, None)
    """
    longest = max(map(len, sequences), default=0)
    for place in range(longest):
        if len({tuple(ids[place : place + 1]) for ids in sequences}) > 1:
            return place
    return None


def probability_curve(hypotheses: Sequence[Hypothesis]) -> list[float]:
    """The model's probability of the token at each place, mean over the samples that are so long (Holtzman et al.,
    2020, figure 2)."""
    longest = max((len(hypothesis.logprobs) for hypothesis in hypotheses), default=0)
    columns = [[h.logprobs[place] for h in hypotheses if place < len(h.logprobs)] for place in range(longest)]
    return [float(np.exp(column).mean()) for column in columns]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
