"""What the strategies share while they run: what they are given, nodes of paths, the end of a path, the report of each
step."""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.decode.config import GenerationConfig
from core.decode.length_penalty import normalise
from core.decode.processors import Processor
from core.decode.result import FinishReason, Hypothesis, Work
from core.decode.session import Prompt, Session, left_padded
from core.decode.trace import StepTrace
from core.errors import RunError


@dataclass(slots=True, eq=False)
class Node:
    """A token on a path; the path is read backwards, so that beams share what they have in common."""

    parent: Node | None
    id: int
    logprob: float  # the model's own
    cumulative: float  # what the strategy ranks by, summed up to here
    length: int  # tokens on the path
    trace: StepTrace | None = None
    drafted: bool | None = None  # assisted decoding: whether the assistant wrote it

    def path(self) -> list[Node]:
        nodes = []
        node: Node | None = self
        while node is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]


def make_hypothesis(node: Node | None, score: float, reason: FinishReason) -> Hypothesis:
    path = node.path() if node is not None else []
    return Hypothesis(
        ids=[n.id for n in path],
        logprobs=[n.logprob for n in path],
        score=score,
        finished=reason in ("end", "stop"),
        finish_reason=reason,
        steps=[n.trace for n in path if n.trace is not None],
        drafted=[n.drafted for n in path if n.drafted is not None],
    )


class Ends:
    """When a path ends, and what its text is.

    Stop strings are looked for in the generated text only. The text ends before the first of them; while it is still
    being written, the bytes of an incomplete character and what may become a stop string are held back.
    """

    def __init__(
        self, ids: Iterable[int], strings: Sequence[str] = (), decode_bytes: Callable[[list[int]], bytes] | None = None
    ) -> None:
        self.ids = frozenset(ids)
        self.strings = tuple(strings)
        self.decode_bytes = decode_bytes

    def reason(self, node: Node, limit: int) -> FinishReason:
        """Whether and why the path that ends with `node` is over; `limit`: tokens at most."""
        if node.id in self.ids:
            return "end"
        if self.strings:
            text = self._decode([n.id for n in node.path()], final=False)
            if any(string in text for string in self.strings):
                return "stop"
        return "length" if node.length >= limit else ""

    def text(self, ids: list[int], final: bool) -> str:
        """The text of generated ids; `final` when nothing will follow."""
        if self.decode_bytes is None:
            return ""
        if ids and ids[-1] in self.ids:  # stop ids may be ordinary tokens
            ids = ids[:-1]
        text = self._decode(ids, final)
        cut = min((text.find(string) for string in self.strings if string in text), default=-1)
        if cut >= 0:
            return text[:cut]
        if not final and self.strings:
            return text[: len(text) - max(_overlap(text, string) for string in self.strings)]
        return text

    def _decode(self, ids: list[int], final: bool) -> str:
        assert self.decode_bytes is not None
        return codecs.getincrementaldecoder("utf-8")("replace").decode(self.decode_bytes(ids), final)


def _overlap(text: str, string: str) -> int:
    """The length of the longest end of `text` that `string` begins with."""
    return next((n for n in range(min(len(text), len(string)), 0, -1) if text.endswith(string[:n])), 0)


@dataclass
class Update:
    """What a step did to one path, or to all beams of one input. Strategies yield a list of them a step."""

    row: int
    sample: int
    step: int
    node: Node | None  # the path so far (best beam)
    score: float
    reason: FinishReason
    beams: list[tuple[Node, float, FinishReason]] = field(default_factory=list)
    trace: list[StepTrace] = field(default_factory=list)
    result: list[Hypothesis] | None = None  # when the input is done
    work: Work = field(default_factory=Work)  # done for the input so far


@dataclass
class Search:
    """One batch to be decoded: what every strategy is given."""

    session: Session
    prompts: Sequence[Prompt]
    config: GenerationConfig
    processors: Sequence[Processor]
    ends: Ends
    trace: bool = False
    assistant: Session | None = None
    told: bool = True  # somebody hears of each step, not of results only

    @property
    def steps(self) -> int:
        """Tokens that the longest path may get."""
        return max(prompt.max_new_tokens for prompt in self.prompts)

    def process(self, logits: Tensor, step: int) -> tuple[Tensor, list[tuple[str, Tensor]]]:
        """The session's next-token logits (B, V) through all processors; with a trace also what each made of them."""
        prefixes = self.session.prefixes() if self.looks_back else torch.empty(len(logits), 0, dtype=torch.long)
        return process(self.processors, logits, prefixes, step, self.trace)

    @property
    def looks_back(self) -> bool:
        return any(processor.uses_prefixes for processor in self.processors)


def process(
    processors: Sequence[Processor], logits: Tensor, prefixes: Tensor, step: int, keep: bool
) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    """Logits (B, V) through processors, and with `keep` what they were after each of them."""
    stages = []
    for processor in processors:
        logits = processor.apply(logits, prefixes, step)
        if keep:
            stages.append((processor.name, logits))
    return logits, stages


def process_each(
    processors: Sequence[Processor], logits: Tensor, prefixes: Sequence[Sequence[int]], steps: Sequence[int], keep: bool
) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    """`process` for rows of different steps."""
    processed = logits.clone()
    stages = [(processor.name, torch.empty_like(logits)) for processor in processors] if keep else []
    for step in sorted(set(steps)) if processors else []:
        rows = [row for row, own in enumerate(steps) if own == step]
        index = torch.tensor(rows, device=logits.device)
        padded = left_padded([prefixes[row] for row in rows], logits.device)
        processed[index], kept = process(processors, logits[index], padded, step, keep)
        for (_, whole), (_, part) in zip(stages, kept, strict=True):
            whole[index] = part
    return processed, stages


def score(config: GenerationConfig, total: float, length: int) -> float:
    return normalise(total, length, config.length_penalty, config.length_penalty_formula)


def check_number(value: float) -> None:
    if math.isnan(value):
        raise RunError("The model's predictions are not numbers (NaN): its weights are damaged or training diverged.")
