"""Scores of translations: BLEU, chrF, chrF++, TER, exact match and COMET, of a corpus, of each sentence, by length.

    corpus_scores(["Yes ."], ["Yes."], "en")["bleu"]          # Score(score=..., signature="nrefs:1|case:mixed|...")

All but the last two are sacreBLEU's (Post, 2018) and equal its command line; `command_options` names the options. A
score means something only with its signature, which says how text was cut into words: there is none without. Japanese
has no spaces: it is cut by MeCab where that is installed (the extra `ja`), else into characters.

A metric is computed from statistics of single sentences (counts of n-grams, of edits), which are summed; so the scores
of a corpus, of a part of it and of what a significance test draws from it all come from the same statistics.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from core.errors import DataError
from core.evaluate import comet
from core.evaluate.comet import comet_is_installed as comet_is_installed
from core.evaluate.languages import UNSPACED, as_line, bleu_tokenizer, guess_language, language_code, length_of
from core.evaluate.languages import length_unit as length_unit

METRICS = ("bleu", "chrf", "chrf++", "ter", "exact", "comet")
LABELS = {
    "bleu": "BLEU", "chrf": "chrF2", "chrf++": "chrF2++", "ter": "TER", "exact": "exact match", "comet": "COMET",
}  # fmt: skip
LOWER_IS_BETTER = ("ter",)
TER_ROOM = 5_000_000  # words of output times words of reference, summed; TER takes about a minute for so many
_TOGETHER = 50  # sentences between two reports of progress

Progress = Callable[[float, str], Any]


@dataclass(frozen=True)
class Score:
    """A corpus score (0 to 100; TER may be more, COMET is about 0 to 1), and how it was computed."""

    score: float
    signature: str


@dataclass(frozen=True)
class LengthClass:
    """The examples whose references are `low` to `high` (both included) words or characters long; see `length_unit`."""

    low: int
    high: int
    examples: int
    scores: dict[str, float]


def default_metrics(language: str) -> tuple[str, ...]:
    """What is measured for a target language: nothing that counts words where words cannot be told apart.

    >>> default_metrics("de"), default_metrics("ja")
    (('bleu', 'chrf', 'chrf++', 'ter', 'exact'), ('bleu', 'chrf', 'ter', 'exact'))
    """
    code = language_code(language)
    if code in ("ja", "zh"):
        return ("bleu", "chrf", "ter", "exact")  # TER has a mode of its own for Chinese characters
    return ("bleu", "chrf", "exact") if code in UNSPACED else ("bleu", "chrf", "chrf++", "ter", "exact")


def corpus_scores(
    outputs: Sequence[str],
    references: Sequence[str],
    language: str = "",
    metrics: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Score]:
    """Each metric's score of the whole, one reference for each output.

    language: of the targets ("en", "ja", "zh_CN" ...); "" is guessed from the references. metrics: some of METRICS; by
    default those of the language, without TER if that would take minutes. sources: only COMET needs them. Raises
    DataError.
    """
    language = language or guess_language(references)
    chosen = checked(outputs, references, language, metrics)
    found = {}
    for name in chosen:
        counted = statistics(name, outputs, references, language, sources, progress)
        found[name] = Score(
            float(metric_of(name, language)._aggregate_and_compute(counted).score), signature(name, language)
        )
    return found


def sentence_scores(
    outputs: Sequence[str],
    references: Sequence[str],
    language: str = "",
    metrics: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, list[float]]:
    """Each metric's score of every sentence, as `sacrebleu -sl` (BLEU then uses the orders that there are)."""
    language = language or guess_language(references)
    found = {}
    for name in checked(outputs, references, language, metrics):
        metric = metric_of(name, language, of_sentences=True)
        counted = statistics(name, outputs, references, language, sources, progress)
        found[name] = [float(metric._aggregate_and_compute([one]).score) for one in counted]
    return found


def length_classes(
    outputs: Sequence[str],
    references: Sequence[str],
    language: str = "",
    metrics: Sequence[str] | None = None,
    edges: Sequence[int] | None = None,
    sources: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[LengthClass]:
    """The scores by the references' length, short ones first; a class without examples is left out.

    edges: the shortest length of every class but the first; by default the quartiles, so that classes are of about one
    size. Classes follow from the references alone and are the same for all outputs.
    """
    language = language or guess_language(references)
    chosen = checked(outputs, references, language, metrics)
    lengths = np.array([length_of(text, language) for text in references])
    if edges is None:
        edges = np.ceil(np.quantile(lengths, (0.25, 0.5, 0.75))).astype(int).tolist()
    inner = sorted({int(edge) for edge in edges if edge > lengths.min()})
    place = np.searchsorted(inner, lengths, side="right")
    counted = {name: statistics(name, outputs, references, language, sources, progress) for name in chosen}
    classes = []
    for index in range(len(inner) + 1):
        members = np.flatnonzero(place == index)
        if not len(members):
            continue
        scores = {
            name: float(metric_of(name, language)._aggregate_and_compute([counted[name][i] for i in members]).score)
            for name in chosen
        }
        low = inner[index - 1] if index else int(lengths.min())
        high = inner[index] - 1 if index < len(inner) else int(lengths.max())
        classes.append(LengthClass(low, high, len(members), scores))
    return classes


# ------------------------------------------------------------------------------------------------------ metrics


def statistics(
    name: str,
    outputs: Sequence[str],
    references: Sequence[str],
    language: str,
    sources: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[list[float]]:
    """A metric's statistics of every sentence (a few numbers each; see the metric), whose sums give its score."""
    if name == "comet":
        if progress is not None:
            progress(0.0, LABELS[name])
        return [[score, 1] for score in comet.comet_scores(outputs, references, sources)]
    metric, found = metric_of(name, language), []
    for number, (output, reference) in enumerate(zip(outputs, references, strict=True)):
        if progress is not None and number % _TOGETHER == 0:
            progress(number / len(outputs), LABELS[name])
        output, reference = as_line(output), as_line(reference)
        if name == "ter":
            found.append(list(_edits(output, reference, language)))
        elif name == "exact":
            found.append([100 * (output.strip() == reference.strip()), 1])
        else:
            found.append(metric._extract_corpus_statistics([output], [[reference]])[0])
    return found


@lru_cache(maxsize=1 << 13)
def _edits(output: str, reference: str, language: str) -> tuple[float, ...]:
    """TER's statistics. It is by far the slowest metric, and one evaluation asks several times."""
    return tuple(metric_of("ter", language)._extract_corpus_statistics([output], [[reference]])[0])


@lru_cache(maxsize=32)
def metric_of(name: str, language: str, of_sentences: bool = False) -> Any:
    """The metric as sacreBLEU's class, or as one of ours that computes from statistics in the same way."""
    metric: Any
    if name == "bleu":
        metric = _bleu(bleu_tokenizer(language), of_sentences)
    elif name in ("chrf", "chrf++"):
        from sacrebleu.metrics.chrf import CHRF

        metric = CHRF(word_order=2 if name == "chrf++" else 0)
    elif name == "ter":
        from sacrebleu.metrics.ter import TER

        asian = language_code(language) in ("ja", "zh")
        metric = TER(asian_support=asian, normalized=asian)
    elif name == "exact":
        metric = _Mean(case="mixed", trim="yes", version=None)
    else:
        metric = _Mean(model=comet.MODEL, version=comet.installed_version())
    metric.num_refs = 1
    return metric


class _Mean:
    """A metric that is the mean of a value of each sentence; statistics are [value, 1]."""

    @dataclass(frozen=True)
    class Result:
        score: float

    def __init__(self, **settings: str | None) -> None:
        self.settings = settings  # told in the signature

    def _compute_score_from_stats(self, stats: Sequence[float]) -> Result:
        return self.Result(float(stats[0]) / float(stats[1]))

    def _aggregate_and_compute(self, stats: Sequence[Sequence[float]]) -> Result:
        return self._compute_score_from_stats(np.asarray(stats, dtype=np.float64).sum(0).tolist())

    def get_signature(self) -> Any:
        from sacrebleu.metrics.base import Signature

        made = Signature({"num_refs": 1})
        for key, value in self.settings.items():
            made.update(key, value)
        return made


def signature(name: str, language: str, **further: int) -> str:
    """How a metric is computed, in sacreBLEU's words. further: seed, bs or ar (samples) of a significance test."""
    made = metric_of(name, language).get_signature()
    for key, value in further.items():
        made.update(key, value)
    return str(made)


def command_options(name: str, language: str) -> list[str]:
    """The options with which sacreBLEU's command line computes the same: `sacrebleu REFERENCES -i OUTPUTS ...`.

    >>> command_options("chrf++", "de"), command_options("ter", "zh")
    (['-m', 'chrf', '-cw', '2'], ['-m', 'ter', '--ter-asian-support', '--ter-normalized'])
    """
    if name == "bleu":
        return ["-m", "bleu", "-tok", bleu_tokenizer(language)]
    if name in ("chrf", "chrf++"):
        return ["-m", "chrf", *(["-cw", "2"] if name == "chrf++" else [])]
    if name == "ter":
        asian = language_code(language) in ("ja", "zh")
        return ["-m", "ter", *(["--ter-asian-support", "--ter-normalized"] if asian else [])]
    raise DataError(f"sacreBLEU does not measure {LABELS.get(name, name)!r}; choose bleu, chrf, chrf++ or ter.")


def bleu_score(
    hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a", effective_order: bool = False
) -> Score:
    """Corpus BLEU, one reference each; `tokenize` is one of sacreBLEU's tokenizers. effective_order: only the orders of
    n-grams that there are, for a single sentence that may be shorter than four words."""
    metric = _bleu(tokenize, effective_order)
    score = metric.corpus_score([as_line(text) for text in hypotheses], [[as_line(text) for text in references]]).score
    return Score(score, str(metric.get_signature()))


@lru_cache(maxsize=16)
def _bleu(tokenize: str, effective_order: bool) -> Any:
    """One for each setting: sacreBLEU's tokenizers remember what they have cut, and MeCab opens a dictionary."""
    from sacrebleu.metrics.bleu import BLEU

    # force: outputs that look cut into words are scored without a warning on the log
    return BLEU(tokenize=tokenize, effective_order=effective_order, force=True)


def chrf_score(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """Corpus chrF2 (Popović, 2015): characters, so it needs no words."""
    return corpus_scores(hypotheses, references, metrics=("chrf",))["chrf"]


# ------------------------------------------------------------------------------------------------------ helpers


def checked(
    outputs: Sequence[str], references: Sequence[str], language: str, metrics: Sequence[str] | None
) -> tuple[str, ...]:
    """The metrics to compute, after everything that can be wrong with the texts and the names has been told."""
    if not outputs:
        raise DataError("There is nothing to score: there are no outputs.")
    if len(outputs) != len(references):
        raise DataError(
            f"There are {len(outputs):,} outputs but {len(references):,} references; every output needs its reference."
        )
    if metrics is None:
        wanted = default_metrics(language)
        room = sum(len(output.split()) * len(reference.split()) for output, reference in zip(outputs, references))
        return wanted if room <= TER_ROOM else tuple(name for name in wanted if name != "ter")
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        problem = f"There is no metric {unknown[0]!r}" if unknown else "No metric is named"
        raise DataError(f"{problem}; choose from {', '.join(METRICS)}.")
    return tuple(dict.fromkeys(metrics))
