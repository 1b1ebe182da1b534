"""Greedy decoding and sampling: every row takes one token a step, by its logits alone or by lot.

Sampling draws by inverting the cumulative distribution at one uniform number a step. Every sample has a generator of
its own, seeded by the configuration's seed, the input's ids and the sample's number: a result is the same alone, in
any batch, in any order. (Equal inputs with equal seeds give equal samples; ask for num_return_sequences instead.)
"""

import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.decode.config import GenerationConfig
from core.decode.processors import Processor
from core.decode.result import FinishReason, Hypothesis
from core.decode.session import Prompt, Session
from core.decode.state import Ends, Node, Update, check_number, make_hypothesis, process, score
from core.decode.trace import Distribution, StepTrace, describe


@dataclass
class _Sample:
    row: int
    number: int
    generator: random.Random
    node: Node | None = None


@torch.inference_mode()
def greedy_or_sample(
    session: Session,
    prompts: Sequence[Prompt],
    config: GenerationConfig,
    processors: Sequence[Processor],
    ends: Ends,
    trace: bool = False,
) -> Iterator[list[Update]]:
    """Yields one Update for each running sample and step; closing the iterator ends the search."""
    count = config.num_return_sequences
    active = [
        _Sample(row, number, _generator(config.seed, prompt.ids, number))
        for row, prompt in enumerate(prompts)
        for number in range(count)
    ]
    results: list[list[Hypothesis | None]] = [[None] * count for _ in prompts]
    logits = session.start()
    where = [sample.row for sample in active]  # the session's row of each sample
    for step in range(max(prompt.max_new_tokens for prompt in prompts)):
        processed, stages = process(processors, logits, session, step, trace)
        if step == 0 and count > 1:  # the samples of an input part here
            index = torch.tensor(where, device=logits.device)
            logits, processed = logits[index], processed[index]
            stages = [(name, values[index]) for name, values in stages]
        if config.is_greedy:
            chosen = processed.argmax(-1)
        else:
            draws = torch.tensor([s.generator.random() for s in active], dtype=torch.float64, device=logits.device)
            chosen = draw(processed, draws)
        values = processed.gather(1, chosen[:, None])[:, 0].tolist()
        logprobs = (logits.gather(1, chosen[:, None])[:, 0] - logits.logsumexp(-1)).tolist()
        tokens = chosen.tolist()
        distributions: list[Distribution] = []
        ranks: list[list[int]] = []
        if trace:
            distributions, ranks = describe(logits, stages, config.num_candidates, [[token] for token in tokens])

        updates, kept = [], []
        for i, (sample, token) in enumerate(zip(active, tokens, strict=True)):
            check_number(logprobs[i])
            reason: FinishReason = "dead_end"
            if values[i] != -math.inf:
                before = sample.node
                total = logprobs[i] + (before.cumulative if before else 0.0)
                node = sample.node = Node(before, token, logprobs[i], total, step + 1)
                limit = prompts[sample.row].max_new_tokens
                reason = ends.reason(lambda node=node: [n.id for n in node.path()], token, step + 1, limit)  # type: ignore[misc]
            update = Update(sample.row, sample.number, step, sample.node, _score(config, sample.node, reason), reason)
            if trace and reason != "dead_end":
                assert sample.node is not None
                sample.node.trace = StepTrace(
                    step=step,
                    id=token,
                    logprob=logprobs[i],
                    rank=ranks[i][0],
                    distribution=distributions[i],
                    cumulative=sample.node.cumulative,
                    score=update.score,
                    parent=sample.number,
                    beam=sample.number,
                    state="finished" if reason else "kept",
                )
                update.trace = [sample.node.trace]
            if reason:
                results[sample.row][sample.number] = make_hypothesis(sample.node, update.score, reason)
                done = [hypothesis for hypothesis in results[sample.row] if hypothesis is not None]
                update.result = done if len(done) == count else None
            else:
                kept.append(i)
            updates.append(update)
        yield updates
        if not kept:
            return
        logits = session.advance([where[i] for i in kept], [tokens[i] for i in kept])
        active, where = [active[i] for i in kept], list(range(len(kept)))


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """Token ids (B,) by lot: where the cumulative probabilities of logits (B, V) pass `uniform` (B,) in [0, 1).

    In double precision: sums of a large vocabulary stay exact enough, and a token of probability 0 is never drawn.
    """
    cumulative = logits.double().softmax(-1).cumsum(-1)
    total = cumulative[:, -1]
    threshold = torch.minimum(uniform * total, total.nextafter(torch.zeros_like(total)))
    chosen = torch.searchsorted(cumulative, threshold[:, None], right=True)[:, 0]
    return chosen.clamp(max=logits.shape[1] - 1)  # beyond only where nothing can be drawn at all


def _generator(seed: int, ids: Sequence[int], number: int) -> random.Random:
    key = f"{seed}/{number}/{','.join(map(str, ids))}".encode()
    return random.Random(int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "big"))


def _score(config: GenerationConfig, node: Node | None, reason: FinishReason) -> float:
    return score(config, node.cumulative, node.length, reason == "end") if node is not None else 0.0
