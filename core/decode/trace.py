"""The steps of a decoding, kept when asked for: what could have been chosen, what was, and why."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from core.decode.processors import entropy


@dataclass(frozen=True)
class Candidate:
    """One of the most probable next tokens."""

    id: int
    logit: float  # the model's
    probability: float  # the model's
    processed: tuple[float | None, ...]  # after each processor of the step, in order; None: removed
    final_probability: float  # what was chosen from


@dataclass(frozen=True)
class Distribution:
    """The next token's distribution at one place, as far as a trace keeps it."""

    entropy: float  # nats, of the model's distribution
    processors: tuple[str, ...]  # names, in the order in which they acted
    candidates: tuple[Candidate, ...]  # most probable first, by the model


@dataclass(frozen=True)
class StepTrace:
    """A token considered at a step: the chosen one of a sample, or any of the best candidates of a beam search.

    Beams: `parent` is the beam that it continues, `beam` the one that it becomes (None unless kept), numbered anew at
    each step, best first. Samples: both are the number of the sample.
    """

    step: int  # from 0
    id: int
    logprob: float  # the model's own
    rank: int  # 1: the model's most probable token
    distribution: Distribution  # from which it came
    cumulative: float  # sum of log-probabilities up to here (of the processed ones for beams)
    score: float  # over the length penalty
    parent: int
    beam: int | None
    state: Literal["kept", "pruned", "finished"]

    @property
    def entropy(self) -> float:
        return self.distribution.entropy

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return self.distribution.candidates


def describe(
    logits: Tensor,
    stages: Sequence[tuple[str, Tensor]],
    num_candidates: int,
    also: Sequence[Sequence[int]],
    final: Tensor | None = None,
) -> tuple[list[Distribution], list[list[int]]]:
    """Distributions of logits (B, V), and the ranks of the ids in `also` (one list for each row).

    `stages` are the logits after each processor, in order. The candidates of a row are its `num_candidates` most
    probable tokens, and those in `also` beside them. `final`: the logits that were chosen from, where they are not
    those of the last stage.
    """
    log_probs = logits.log_softmax(-1)
    final = (final if final is not None else stages[-1][1] if stages else logits).softmax(-1)
    entropies = entropy(log_probs).tolist()
    top = logits.topk(min(num_candidates, logits.shape[1])).indices.tolist()
    distributions, ranks = [], []
    for row, (best, extra) in enumerate(zip(top, also, strict=True)):
        shown = best + [token for token in dict.fromkeys(extra) if token not in best]
        raw = logits[row, shown].tolist()
        probabilities = log_probs[row, shown].exp().tolist()
        finals = final[row, shown].tolist()
        after = [values[row, shown].tolist() for _, values in stages]
        candidates = [
            Candidate(
                id=token,
                logit=raw[i],
                probability=probabilities[i],
                processed=tuple(None if values[i] == -math.inf else values[i] for values in after),
                final_probability=finals[i],
            )
            for i, token in enumerate(shown)
        ]
        candidates.sort(key=lambda candidate: -candidate.probability)
        names = tuple(name for name, _ in stages)
        distributions.append(Distribution(entropies[row], names, tuple(candidates)))
        ranks.append([1 + int((logits[row] > logits[row, token]).sum()) for token in extra])
    return distributions, ranks
