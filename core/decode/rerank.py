"""Choosing among samples.

best_of  the samples with the highest `score`: the model's log-probability over the length penalty. With a penalty of 1
         that is the mean of a token, so that long samples are not put behind short ones for their length alone.
mbr      minimum Bayes risk (Eikema and Aziz, 2020): every sample stands for the true translation as often as it was
         drawn; the best candidate is the one that is on average most like all of them. Its score is that average: the
         expected utility, sentence chrF or BLEU from 0 to 100, of the candidate as hypothesis and each sample as
         reference (itself included).

Equal samples count, but are returned once: best_of may give fewer than num_return_sequences, mbr too.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from core.decode.config import GenerationConfig
from core.decode.result import Hypothesis
from core.decode.utility import utilities


def rerank(hypotheses: Sequence[Hypothesis], config: GenerationConfig) -> list[Hypothesis]:
    """The best `num_return_sequences` samples of one input, best first; mbr compares their texts."""
    found = sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)  # stable: of equals the first drawn
    if config.strategy == "best_of":
        distinct = list({tuple(hypothesis.ids): hypothesis for hypothesis in reversed(found)}.values())[::-1]
        return distinct[: config.num_return_sequences]
    counts = Counter(hypothesis.text for hypothesis in found)
    likeliest = {hypothesis.text: hypothesis for hypothesis in reversed(found)}  # of those that read alike
    candidates = [likeliest[text] for text in counts]
    table = utilities(list(counts), config.mbr_metric)
    weights = list(counts.values())
    scored = [
        replace(candidate, score=float(row @ weights) / len(found))
        for candidate, row in zip(candidates, table, strict=True)
    ]
    return sorted(scored, key=lambda hypothesis: -hypothesis.score)[: config.num_return_sequences]
