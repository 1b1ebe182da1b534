"""Whether one system is better than another or only luckier: paired tests on the same references.

    paired({"greedy": outputs, "beam 5": others}, references, "en").systems[1].scores["bleu"].p_value

Paired bootstrap resampling (Koehn, 2004) draws test sets of the same size from the test set, with replacement, and
counts how often the difference in a drawn set exceeds the mean difference by more than the real one. Approximate
randomisation (Riezler and Maxwell, 2005) swaps the two outputs of each sentence by the toss of a coin and counts how
often the difference is greater by chance. Draws, scores and p-values are those of sacreBLEU's `--paired-bs` and
`--paired-ar`, to the last digit; but they are drawn in parts, so that memory does not grow with the number of samples.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.errors import DataError
from core.evaluate.scores import LABELS, checked, guess_language, metric_of, signature, statistics

Method = Literal["bootstrap", "randomisation"]
SAMPLES = {"bootstrap": 1_000, "randomisation": 10_000}  # sacreBLEU's defaults
MOST_SAMPLES = 100_000
SEED = 12345
_PART = 32  # samples drawn together; coins come 32 at a time, so that parts of so many lose none

Progress = Callable[[float, str], Any]


@dataclass(frozen=True)
class Result:
    """One system's score in one metric.

    mean, interval: mean over the drawn test sets, and half the width of the interval that holds 95% of them (bootstrap
    only). p_value: of the hypothesis that this system and the baseline are equally good; None for the baseline. Of two
    systems with the very same outputs it is the smallest there is, as in sacreBLEU: ask `is_significant`.
    """

    score: float
    mean: float | None = None
    interval: float | None = None
    p_value: float | None = None


def is_significant(result: Result, baseline: Result, level: float = 0.05) -> bool:
    """Whether a system differs from the baseline, and by more than chance would explain at this level."""
    return result.p_value is not None and result.p_value < level and result.score != baseline.score


@dataclass(frozen=True)
class Tested:
    """A system, and its result in each metric."""

    name: str
    scores: dict[str, Result]


@dataclass(frozen=True)
class Comparison:
    """What a paired test found; the first system is the baseline that the others are compared with."""

    method: Method
    samples: int
    seed: int
    metrics: dict[str, str]  # signatures, with seed and samples
    systems: list[Tested]


def paired(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[str],
    language: str = "",
    metrics: Sequence[str] | None = None,
    method: Method = "bootstrap",
    samples: int | None = None,
    seed: int = SEED,
    progress: Progress | None = None,
    sources: Sequence[str] | None = None,
) -> Comparison:
    """Compare two or more systems' outputs for the same references; the first is the baseline.

    metrics: see `corpus_scores`. samples: 1,000 test sets, or 10,000 tosses of all coins. seed: sacreBLEU's own, which
    its command line takes from SACREBLEU_SEED; above 0. Raises DataError.
    """
    if method not in SAMPLES:
        raise DataError(f"There is no test {method!r}; choose bootstrap or randomisation.")
    samples = SAMPLES[method] if samples is None else samples
    if not 1 <= samples <= MOST_SAMPLES or seed < 1:
        raise DataError(f"A test needs 1 to {MOST_SAMPLES:,} samples and a seed above 0.")
    if len(systems) < 2:
        raise DataError("A comparison needs two systems or more.")
    language = language or guess_language(references)
    names = list(systems)
    chosen = min((checked(systems[name], references, language, metrics) for name in names), key=len)
    found: dict[str, dict[str, Result]] = {name: {} for name in names}
    for place, metric in enumerate(chosen):

        def say(share: float, place: int = place, metric: str = metric) -> None:
            if progress is not None:
                progress((place + share) / len(chosen), f"comparing by {LABELS[metric]}")

        counted = []
        for number, name in enumerate(names):
            say(0.5 * number / len(names))
            stats = statistics(metric, systems[name], references, language, sources)
            counted.append(np.array(stats, dtype=np.float64))
        draw = _bootstrap if method == "bootstrap" else _randomisation
        results = draw(metric_of(metric, language), counted, samples, seed, lambda share: say(0.5 + 0.5 * share))
        for name, result in zip(names, results, strict=True):
            found[name][metric] = result
    kind = "bs" if method == "bootstrap" else "ar"
    signatures = {metric: signature(metric, language, seed=seed, **{kind: samples}) for metric in chosen}
    return Comparison(method, samples, seed, signatures, [Tested(name, found[name]) for name in names])


def _bootstrap(
    metric: Any, counted: list[np.ndarray], samples: int, seed: int, say: Callable[[float], None]
) -> list[Result]:
    """The systems' results; counted: the statistics of each, (sentences, numbers)."""
    scores = [metric._aggregate_and_compute(stats.tolist()).score for stats in counted]
    exact = [stats.astype(np.float32) for stats in counted]  # sacreBLEU's precision, here and in what follows from it
    lists: list[list[Any]] = [[] for _ in counted]
    chance = np.random.default_rng(seed)
    sentences = len(counted[0])
    for sample in range(samples):
        if sample % _PART == 0:
            say(sample / samples)
        places = chance.choice(sentences, size=sentences, replace=True)
        for stats, scored in zip(exact, lists):
            scored.append(metric._compute_score_from_stats(stats[places].sum(0)).score)
    base, *others = [np.array(scored) for scored in lists]
    results = [Result(float(scores[0]), *_spread(base))]
    for score, drawn in zip(scores[1:], others, strict=True):
        differences = np.abs(drawn - base)
        p_value = _p_value(differences - differences.mean(), abs(scores[0] - score))
        results.append(Result(float(score), *_spread(drawn), p_value))
    return results


def _randomisation(
    metric: Any, counted: list[np.ndarray], samples: int, seed: int, say: Callable[[float], None]
) -> list[Result]:
    """As `_bootstrap`; every system meets the baseline with the same coins."""
    scores = [float(metric._aggregate_and_compute(stats.tolist()).score) for stats in counted]
    differences = np.empty((len(counted), samples))
    for start, coins in _coins(samples, len(counted[0]), seed):
        say(start / samples)
        base, rows = counted[0], slice(start, start + len(coins))
        for system, stats in enumerate(counted[1:], start=1):
            # What the first pseudo system has, the second has not: their sums add up to both systems' sums.
            first = coins @ (base - stats) + stats.sum(0)
            second = base.sum(0) + stats.sum(0) - first
            differences[system, rows] = [
                abs(metric._compute_score_from_stats(a).score - metric._compute_score_from_stats(b).score)
                for a, b in zip(first.tolist(), second.tolist(), strict=True)
            ]
    tested = [
        Result(score, p_value=_p_value(differences[system], abs(scores[0] - score)))
        for system, score in enumerate(scores[1:], start=1)
    ]
    return [Result(scores[0]), *tested]


def _coins(samples: int, sentences: int, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    """(first sample, coins of it and those that follow (samples, sentences)), heads 1.0: stay with one's own system."""
    chance = np.random.default_rng(seed)
    for start in range(0, samples, _PART):
        count = min(_PART, samples - start)
        yield start, chance.integers(2, size=(count, sentences), dtype=bool).astype(np.float64)


def _p_value(differences: np.ndarray, real: float) -> float:
    """The share of samples with a greater difference than the real one, the real one counted as a sample."""
    return float((np.sum(differences > real) + 1) / (len(differences) + 1))


def _spread(scores: np.ndarray) -> tuple[float, float]:
    """The mean, and half the width between the 2.5th and the 97.5th percentile."""
    ordered = np.sort(scores)
    tail = len(ordered) // 40
    return float(ordered.mean()), float(0.5 * (ordered[len(ordered) - tail - 1] - ordered[tail]))
