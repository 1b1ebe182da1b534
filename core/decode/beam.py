"""Beam search, as Hugging Face's: the most probable hypotheses are widened together, those that end are set aside.

At each step the best 2 * num_beams continuations of a row's running beams are looked at (more with several end
tokens), best first, by their sums of log-probabilities. Of the first num_beams those that end are finished: they get
their score (sum over length penalty) and the best num_beams finished ones are remembered. The first num_beams that do
not end run on. A row's search is over when num_beams are finished and, by `early_stopping`,

    true      at once
    false     the best running beam, normalised at its present length, scores no better than the worst finished one
    "never"   as false, but with a positive length penalty normalised at the greatest possible length: what is stopped
              could certainly not have become better

or when no beam can run on (max_new_tokens, a full context).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from core.decode.config import GenerationConfig
from core.decode.processors import Processor
from core.decode.result import FinishReason, Hypothesis
from core.decode.session import Prompt, Session
from core.decode.state import Ends, Node, Update, check_number, make_hypothesis, process, score
from core.decode.trace import Distribution, StepTrace, describe


@dataclass
class _Row:
    """One input's beams."""

    row: int
    limit: int  # new tokens at most
    running: list[Node] = field(default_factory=list)  # best first
    finished: list[tuple[float, Node, FinishReason]] = field(default_factory=list)  # best first


@torch.inference_mode()
def beam_search(
    session: Session,
    prompts: Sequence[Prompt],
    config: GenerationConfig,
    processors: Sequence[Processor],
    ends: Ends,
    trace: bool = False,
) -> Iterator[list[Update]]:
    """Yields one Update for each unfinished input and step; closing the iterator ends the search."""
    k = config.num_beams
    rows = [_Row(i, prompt.max_new_tokens) for i, prompt in enumerate(prompts)]
    logits = session.start()
    width = 1  # beams of each row in the session: one prompt at first, then k
    for step in range(max(row.limit for row in rows)):
        vocab_size = logits.shape[-1]
        log_probs = logits.log_softmax(-1)
        processed, stages = process(processors, log_probs, session, step, trace)
        sums = [[_cumulative(row, beam, step) for beam in range(width)] for row in rows]
        totals = processed.view(len(rows), width, -1) + torch.tensor(sums, device=logits.device)[:, :, None]
        look = min(max(2, 1 + len(ends.ids)) * k, width * vocab_size)
        best = totals.flatten(1).topk(look)
        own = log_probs.view(len(rows), -1).gather(1, best.indices).tolist()
        totals_list, flat = best.values.tolist(), best.indices.tolist()
        distributions: list[Distribution] = []
        ranks: dict[tuple[int, int], int] = {}
        if trace:
            also: list[list[int]] = [[] for _ in range(len(logits))]
            for i, indices in enumerate(flat):
                for index in indices:
                    also[i * width + index // vocab_size].append(index % vocab_size)
            distributions, rank_lists = describe(logits, stages, config.num_candidates, also)
            ranks = {(r, token): n for r, ids in enumerate(also) for token, n in zip(ids, rank_lists[r], strict=True)}

        updates, kept, parents, tokens = [], [], [], []
        for i, row in enumerate(rows):
            running: list[Node] = []
            sources: list[int] = []
            before = row.running
            steps: list[StepTrace] = []
            for place, (total, index) in enumerate(zip(totals_list[i], flat[i], strict=True)):
                check_number(total)
                if total == -math.inf:  # removed by a processor, or a beam that does not exist
                    break
                beam, token = divmod(index, vocab_size)
                node = Node(before[beam] if before else None, token, own[i][place], total, step + 1)
                reason = ends.reason(lambda node=node: [n.id for n in node.path()], token, step + 1, row.limit)  # type: ignore[misc]
                value = score(config, total, step + 1, reason == "end")
                state: Literal["kept", "pruned", "finished"] = "pruned"
                if reason and place < k:
                    state = "finished"
                    row.finished.append((value, node, reason))
                elif not reason and len(running) < k:
                    state = "kept"
                    running.append(node)
                    sources.append(i * width + beam)
                if trace:
                    node.trace = StepTrace(
                        step=step,
                        id=token,
                        logprob=node.logprob,
                        rank=ranks[i * width + beam, token],
                        distribution=distributions[i * width + beam],
                        cumulative=total,
                        score=value,
                        parent=beam,
                        beam=len(running) - 1 if state == "kept" else None,
                        state=state,
                    )
                    steps.append(node.trace)
                if len(running) == k and place >= k - 1 and not trace:
                    break  # nothing further can be kept or finished
            row.finished.sort(key=lambda item: -item[0])  # stable: of equal scores the earlier one stays
            del row.finished[k:]
            row.running = running
            update = _report(config, row, step, steps, before)
            if _is_done(config, row, step + 1):
                update.result = _result(config, row, before)
            else:
                kept.append(row)
                # A beam that does not exist (fewer continuations than beams) repeats the first; its sum is -inf.
                fill = k - len(running)
                parents += sources + sources[:1] * fill
                tokens += [node.id for node in running] + [running[0].id] * fill
            updates.append(update)
        yield updates
        if not kept:
            return
        rows, width = kept, k
        logits = session.advance(parents, tokens)


def _cumulative(row: _Row, beam: int, step: int) -> float:
    if step == 0:
        return 0.0
    return row.running[beam].cumulative if beam < len(row.running) else -math.inf


def _is_done(config: GenerationConfig, row: _Row, length: int) -> bool:
    """`length`: tokens generated so far."""
    if not row.running:
        return True
    if len(row.finished) < config.num_beams:
        return False
    if config.early_stopping is True:
        return True
    if config.early_stopping == "never" and config.length_penalty > 0:
        length = row.limit
    return score(config, row.running[0].cumulative, length, False) <= row.finished[-1][0]


def _result(config: GenerationConfig, row: _Row, before: list[Node]) -> list[Hypothesis]:
    """The best finished hypotheses; where the settings removed every continuation, the beams that could not go on."""
    found = [make_hypothesis(node, value, reason) for value, node, reason in row.finished]
    if not found:
        found = [
            make_hypothesis(node, score(config, node.cumulative, node.length, False), "dead_end") for node in before
        ] or [make_hypothesis(None, 0.0, "dead_end")]
    return found[: config.num_return_sequences]


def _report(config: GenerationConfig, row: _Row, step: int, trace: list[StepTrace], before: list[Node]) -> Update:
    beams = [(node, value, reason) for value, node, reason in row.finished]
    running: FinishReason = ""
    beams += [(node, score(config, node.cumulative, node.length, False), running) for node in row.running]
    beams.sort(key=lambda item: -item[1])
    if not beams:
        return Update(row.row, 0, step, before[0] if before else None, 0.0, "dead_end", trace=trace)
    node, value, reason = beams[0]
    return Update(row.row, 0, step, node, value, reason, beams=beams, trace=trace)
