"""What decoding returns: hypotheses, generations, and the events of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.decode.trace import StepTrace

# "end": the end token (or one of stop_ids); "stop": a stop string; "length": max_new_tokens or the model's context is
# full; "dead_end": the settings removed every token; "": still being written.
FinishReason = Literal["end", "stop", "length", "dead_end", ""]


@dataclass(frozen=True)
class Hypothesis:
    """One continuation of a prompt, or one translation of a source.

    `ids` leave out the prompt (the decoder's start) and include the end token if one was produced. `logprobs` are the
    model's own, before any processor, one for each id. `score` is what hypotheses are ranked by: for beam search the
    sum of the processed log-probabilities, else of `logprobs`, over the length penalty; for minimum-Bayes-risk the
    expected utility, 0 to 100.
    """

    ids: list[int]
    logprobs: list[float]
    score: float
    finished: bool  # by an end token or a stop string, not by the length limit
    finish_reason: FinishReason = ""
    text: str = ""  # without end token and stop string; empty where no tokenizer is at hand (generate_ids)
    steps: list[StepTrace] = field(default_factory=list)  # one for each id, when traced
    drafted: list[bool] = field(default_factory=list)  # assisted decoding: for each id, whether the assistant wrote it

    @property
    def total_logprob(self) -> float:
        return sum(self.logprobs)


@dataclass(frozen=True)
class Work:
    """What an input took to decode."""

    forward_passes: int = 0  # of the decoder, in which the input took part
    assistant_passes: int = 0  # of the assistant's decoder
    drafted: int = 0  # tokens that the assistant proposed
    accepted: int = 0  # of them, those in the results
    rounds: list[list[int]] = field(default_factory=list)  # what was drafted for each pass but the first (the prompt's)


@dataclass(frozen=True)
class Generation:
    """The result for one input. `hypotheses` holds the best beams or candidates, best first, or the samples in their
    order."""

    prompt: str
    prompt_ids: list[int]  # as the model got them: with <s> before a prompt, </s> after a source
    hypotheses: list[Hypothesis]
    truncated: bool  # the input was longer than the context: a prompt kept its end, a source its beginning
    seconds: float  # from the start of its batch until this input was done
    work: Work
    trace: list[StepTrace] = field(default_factory=list)  # every step of every sample; every candidate of every beam

    @property
    def forward_passes(self) -> int:
        return self.work.forward_passes

    @property
    def best(self) -> Hypothesis:
        return self.hypotheses[0]

    @property
    def text(self) -> str:
        return self.best.text

    @property
    def ids(self) -> list[int]:
        return self.best.ids

    @property
    def score(self) -> float:
        return self.best.score


@dataclass(frozen=True)
class StreamEvent:
    """One step of one sample, or of all beams of one input."""

    row: int  # which input
    sample: int  # which sample of it; 0 for greedy and beams
    step: int  # from 0
    hypothesis: Hypothesis  # so far; for beams the best one
    beams: list[Hypothesis]  # beam search: finished and running hypotheses, best first
    trace: list[StepTrace]  # of this step, when traced
    generation: Generation | None = None  # with the last event of an input: what `generate` returns

    @property
    def text(self) -> str:
        return self.hypothesis.text

    @property
    def id(self) -> int | None:
        """The newest token (for beams that of the best hypothesis); None when there is none."""
        return self.hypothesis.ids[-1] if self.hypothesis.ids else None

    @property
    def logprob(self) -> float | None:
        return self.hypothesis.logprobs[-1] if self.hypothesis.logprobs else None

    @property
    def drafted(self) -> bool | None:
        """Assisted decoding: whether the assistant wrote the newest token, and the model accepted it."""
        return self.hypothesis.drafted[-1] if self.hypothesis.drafted else None
