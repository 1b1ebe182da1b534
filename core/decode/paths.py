"""Continuations that are written token by token, each for itself: the books of greedy decoding, sampling, contrastive
search and assisted decoding."""

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from core.decode.processors import logprobs_of
from core.decode.result import FinishReason, Hypothesis, Work
from core.decode.state import Node, Search, Update, check_number, make_hypothesis, score
from core.decode.trace import Distribution, StepTrace, describe


@dataclass
class Path:
    """One continuation of one input. Its generator depends on the seed, the input's ids and its number only, so that
    what is drawn is the same alone, in any batch, in any order."""

    row: int
    number: int
    generator: random.Random
    node: Node | None = None

    @property
    def length(self) -> int:
        return self.node.length if self.node is not None else 0


@dataclass(frozen=True)
class Choice:
    """A token that was chosen for a path, and what there is to say of it."""

    token: int
    logprob: float  # the model's own
    value: float  # its logit after all processors: minus infinity where nothing was left to choose
    distribution: Distribution | None = None  # when traced
    rank: int = 0
    drafted: bool | None = None


class Paths:
    """All paths of a batch, and the results of those that have ended."""

    def __init__(self, search: Search) -> None:
        self.search = search
        config, count = search.config, search.config.num_paths
        self.active = [
            Path(row, number, generator_of(config.seed, prompt.ids, number))
            for row, prompt in enumerate(search.prompts)
            for number in range(count)
        ]
        self.results: list[list[Hypothesis | None]] = [[None] * count for _ in search.prompts]

    def take(self, path: Path, choice: Choice, work: Work) -> Update:
        """Write a token, or end a path for which none is left."""
        config, ends = self.search.config, self.search.ends
        check_number(choice.logprob)
        step = path.length
        reason: FinishReason = "dead_end"
        if choice.value != -math.inf:
            before = path.node
            total = choice.logprob + (before.cumulative if before else 0.0)
            path.node = Node(before, choice.token, choice.logprob, total, step + 1, drafted=choice.drafted)
            reason = ends.reason(path.node, self.search.prompts[path.row].max_new_tokens)
        node = path.node
        value = score(config, node.cumulative, node.length) if node is not None else 0.0
        update = Update(path.row, path.number, step, node, value, reason, work=work)
        if choice.distribution is not None and reason != "dead_end":
            assert node is not None
            node.trace = StepTrace(
                step=step,
                id=choice.token,
                logprob=choice.logprob,
                rank=choice.rank,
                distribution=choice.distribution,
                cumulative=node.cumulative,
                score=value,
                parent=path.number,
                beam=path.number,
                state="finished" if reason else "kept",
            )
            update.trace = [node.trace]
        if reason:
            results = self.results[path.row]
            results[path.number] = make_hypothesis(node, value, reason)
            done = [hypothesis for hypothesis in results if hypothesis is not None]
            update.result = done if len(done) == len(results) else None
        return update


def make_choices(
    search: Search, logits: Tensor, processed: Tensor, stages: list[tuple[str, Tensor]], chosen: Tensor
) -> list[Choice]:
    """The tokens `chosen` (B,) from logits (B, V), with their log-probabilities and what a trace wants."""
    values = processed.gather(1, chosen[:, None])[:, 0].tolist()
    logprobs = logprobs_of(logits, chosen[:, None])[:, 0].tolist()
    tokens = chosen.tolist()
    if not search.trace:
        return [Choice(*choice) for choice in zip(tokens, logprobs, values, strict=True)]
    also = [[token] for token in tokens]
    distributions, ranks = describe(logits, stages, search.config.num_candidates, also, processed)
    return [
        Choice(token, logprob, value, distribution, rank[0])
        for token, logprob, value, distribution, rank in zip(
            tokens, logprobs, values, distributions, ranks, strict=True
        )
    ]


def generator_of(seed: int, ids: Sequence[int], number: int) -> random.Random:
    """What the draws of an input's sample come from, one number a step."""
    key = f"{seed}/{number}/{','.join(map(str, ids))}".encode()
    return random.Random(int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "big"))
