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

CTranslate2 searches as with true, but where the length penalty is 0 it waits until the best continuation of a step has
been one that ends, and then for no more than num_return_sequences finished ones. So it is here with
length_penalty_formula="ctranslate2" and early_stopping=True.

Diverse beam search (Vijayakumar et al., 2018) divides the beams into groups, each a beam search of its own. At every
step the groups choose one after the other, and a token loses diversity_penalty for every beam of the earlier groups
that has just chosen it (the Hamming diversity of transformers before version 5; like other penalties it counts in a
hypothesis' score). A row is done when all of its groups are; the best of all groups are returned.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from core.decode.config import GenerationConfig
from core.decode.processors import Best, Processor, logprobs_of
from core.decode.result import FinishReason, Hypothesis, Work
from core.decode.state import Node, Search, Update, check_number, make_hypothesis, process, score
from core.decode.trace import StepTrace, describe


@dataclass
class _Group:
    """Beams of one input that are searched together: all of them, or a group of diverse beam search."""

    number: int
    limit: int  # new tokens at most
    running: list[Node] = field(default_factory=list)  # best first
    # The beams' rows in the session: at first the prompt's, then one a beam; after a choice those of their parents.
    places: list[int] = field(default_factory=list)
    first: int = 0  # the first of the session's rows that are the group's
    order: list[int] = field(default_factory=lambda: [0])  # the beams by their places
    finished: list[tuple[float, Node, FinishReason]] = field(default_factory=list)  # best first
    chosen: list[int] = field(default_factory=list)  # what its beams took at this step, end tokens apart
    led: bool = False  # the best continuation of some step was one that ends
    before: list[Node] = field(default_factory=list)  # what ran before the last step
    done: bool = False


@dataclass
class _Row:
    """One input's beams."""

    row: int
    groups: list[_Group]
    steps: list[StepTrace] = field(default_factory=list)  # of the step, when traced

    @property
    def is_done(self) -> bool:
        return all(group.done for group in self.groups)


@torch.inference_mode()
def beam_search(search: Search) -> Iterator[list[Update]]:
    """Yields one Update for each unfinished input and step (or where nobody is told of steps, for each that is done);
    closing the iterator ends the search."""
    session, config = search.session, search.config
    rows = [
        _Row(i, [_Group(number, prompt.max_new_tokens, places=[i], first=i) for number in range(config.beam_groups)])
        for i, prompt in enumerate(search.prompts)
    ]
    # Without processors and traces the best continuations of each beam are all that has to be known.
    whole = search.trace or bool(search.processors) or config.beam_groups > 1
    look = max(2, 1 + len(search.ends.ids)) * config.num_beams
    read = session.start() if whole else session.start_best(look)
    for step in range(search.steps):
        for row in rows:
            row.steps = []
            for group in row.groups:
                group.chosen = []
        for number in range(config.beam_groups):
            members = [row for row in rows if not row.groups[number].done]
            if members:
                _widen(search, members, number, read, step)

        updates = []
        for row in rows:
            if row.is_done or search.told or search.trace:
                update = _report(config, row, step)
                update.result = _result(config, row) if row.is_done else None
                updates.append(update)
        yield updates
        rows = _closed_up(rows)
        if not rows:
            return
        parents: list[int] = []
        tokens: list[int] = []
        for row in rows:
            for group in row.groups:
                if not group.done:
                    nodes = group.running + group.running[:1] * (len(group.places) - len(group.running))
                    group.order = _seated(group)
                    group.first = len(tokens)
                    for place, beam in enumerate(group.order, len(tokens)):
                        parents.append(group.places[beam])
                        tokens.append(nodes[beam].id)
                        group.places[beam] = place
        read = session.advance(parents, tokens) if whole else session.advance_best(parents, tokens, look)


def _closed_up(rows: list[_Row]) -> list[_Row]:
    """The rows that are not done, each where it was; the last ones go where others have ended, so that the session has
    little to move."""
    left, place = list(rows), 0
    while place < len(left):
        if left[place].is_done:
            last = left.pop()
            if place < len(left):
                left[place] = last
        else:
            place += 1
    return left


def _seated(group: _Group) -> list[int]:
    """The group's beams in the order in which they go on: each where its parent was, if it is the first child of it, so
    that the session has little to move."""
    order = [-1] * len(group.places)
    others = []
    for beam, parent in enumerate(group.places):
        seat = parent - group.first
        if seat < len(order) and order[seat] < 0:
            order[seat] = beam
        else:
            others.append(beam)
    if others:
        rest = iter(others)
        order = [beam if beam >= 0 else next(rest) for beam in order]
    return order


def _widen(search: Search, members: list[_Row], number: int, read: Tensor | Best, step: int) -> None:
    """One step of the rows' groups of this number, from what the session has read of all rows: logits (B, V), its
    places first, or with one group and nothing to process the best of them."""
    config, trace = search.config, search.trace
    groups = [row.groups[number] for row in members]
    size, width = config.num_beams // config.beam_groups, len(groups[0].order)
    look = max(2, 1 + len(search.ends.ids)) * size
    if isinstance(read, Best):
        ids, own = read
        ranked, changed = own, torch.zeros_like(own)
    else:
        places = torch.tensor([place for group in groups for place in sorted(group.places)], device=read.device)
        logits = read[places]
        prefixes = torch.empty(len(logits), 0, dtype=torch.long)
        if search.looks_back:
            prefixes = search.session.prefixes()[places]
        processors = search.processors
        if number and config.diversity_penalty:
            counts = _chosen(members, number, logits.shape[1]).to(logits)
            processors = _with_diversity(processors, counts, config)
        log_probs = logits.log_softmax(-1)
        processed, stages = process(processors, log_probs, prefixes, step, trace)
        ranked, ids = processed.topk(min(look, logits.shape[1]))
        own, changed = logprobs_of(logits, ids), ranked - log_probs.gather(1, ids)
    sums = [_sums(group, step) for group in groups]
    totals = torch.tensor(sums, dtype=own.dtype, device=own.device).view(-1, 1) + ranked
    best = totals.view(len(groups), -1).topk(min(look, width * ids.shape[1]))
    best_totals, best_places = best.values.tolist(), (best.indices // ids.shape[1]).tolist()
    # Hypotheses are summed up in double precision: of the model's log-probabilities and what the processors changed.
    best_ids, best_own, best_changed = (
        values.view(len(groups), -1).gather(1, best.indices).tolist() for values in (ids, own, changed)
    )
    if trace:
        also = [
            [id for id, place in zip(ids_of, places_of, strict=True) if place == at]
            for ids_of, places_of in zip(best_ids, best_places, strict=True)
            for at in range(width)
        ]
        distributions, rank_lists = describe(logits, stages, config.num_candidates, also)
        ranks = [dict(zip(*pair, strict=True)) for pair in zip(also, rank_lists, strict=True)]

    for i, (row, group) in enumerate(zip(members, groups, strict=True)):
        running: list[Node] = []
        parents: list[int] = []
        already = len(group.finished)
        check_number(best_totals[i][0])  # what is not a number is the first
        found = zip(best_totals[i], best_places[i], best_ids[i], best_own[i], best_changed[i], strict=True)
        for place, (total, at, token, logprob, change) in enumerate(found):
            if total == -math.inf:  # removed by a processor, or a beam that does not exist
                break
            beam = group.order[at]
            total = sums[i][at] + logprob + change
            node = Node(group.running[beam] if step else None, token, logprob, total, step + 1)
            reason = search.ends.reason(node, group.limit)
            state: Literal["kept", "pruned", "finished"] = "pruned"
            if reason and place < size:
                state = "finished"
                group.finished.append((score(config, total, step + 1), node, reason))
                group.led = group.led or place == 0
                group.chosen += [token] if reason != "end" else []
            elif not reason and len(running) < size:
                state = "kept"
                running.append(node)
                parents.append(group.places[beam])
                group.chosen.append(token)
            if trace:
                node.trace = StepTrace(
                    step=step,
                    id=token,
                    logprob=node.logprob,
                    rank=ranks[i * width + at][token],
                    distribution=distributions[i * width + at],
                    cumulative=total,
                    score=score(config, total, step + 1),
                    parent=number * size + beam,
                    beam=number * size + len(running) - 1 if state == "kept" else None,
                    state=state,
                )
                row.steps.append(node.trace)
            if len(running) == size and place >= size - 1 and not trace:
                break  # nothing further can be kept or finished
        if len(group.finished) > already:
            group.finished.sort(key=lambda item: -item[0])  # stable: of equal scores the earlier one stays
            del group.finished[size:]
        group.before, group.running = group.running, running
        # A beam that does not exist (fewer continuations than beams) repeats the first; its sum is -inf.
        group.places = parents + parents[:1] * (size - len(running))
        group.done = _is_done(config, group, size, step + 1)


def _sums(group: _Group, step: int) -> list[float]:
    """What the group's beams have, by their places; -inf for one that does not exist."""
    if step == 0:
        return [0.0]
    sums = [node.cumulative for node in group.running]
    sums += [-math.inf] * (len(group.order) - len(sums))
    return [sums[beam] for beam in group.order]


def _chosen(members: list[_Row], number: int, vocab_size: int) -> Tensor:
    """How many beams of a row's earlier groups have taken each token at this step, (rows, V)."""
    counts = torch.zeros(len(members), vocab_size)
    for i, row in enumerate(members):
        for group in row.groups[:number]:
            for token in group.chosen:
                counts[i, token] += 1
    return counts


def _with_diversity(processors: Sequence[Processor], counts: Tensor, config: GenerationConfig) -> list[Processor]:
    """The Hamming diversity among the processors at Hugging Face's place, behind the bias."""

    def apply(log_probs: Tensor, prefixes: Tensor, step: int) -> Tensor:
        return log_probs - config.diversity_penalty * counts.repeat_interleave(len(log_probs) // len(counts), dim=0)

    first = sum(processor.name == "logit_bias" for processor in processors)
    return [*processors[:first], Processor("diversity_penalty", apply), *processors[first:]]


def _is_done(config: GenerationConfig, group: _Group, size: int, length: int) -> bool:
    """`length`: tokens generated so far."""
    if not group.running:
        return True
    if config.early_stopping is True and config.length_penalty == 0 and config.length_penalty_formula == "ctranslate2":
        return group.led and len(group.finished) >= min(size, config.num_return_sequences)
    if len(group.finished) < size:
        return False
    if config.early_stopping is True:
        return True
    if config.early_stopping == "never" and config.length_penalty > 0:
        length = group.limit
    return score(config, group.running[0].cumulative, length) <= group.finished[-1][0]


def _result(config: GenerationConfig, row: _Row) -> list[Hypothesis]:
    """The best finished hypotheses; where the settings removed every continuation, the beams that could not go on."""
    found = sorted((item for group in row.groups for item in group.finished), key=lambda item: -item[0])
    if not found:
        stuck = [node for group in row.groups for node in group.before]
        found = [(score(config, node.cumulative, node.length), node, "dead_end") for node in stuck]
    hypotheses = [make_hypothesis(node, value, reason) for value, node, reason in found]
    return hypotheses[: config.num_return_sequences] or [make_hypothesis(None, 0.0, "dead_end")]


def _report(config: GenerationConfig, row: _Row, step: int) -> Update:
    beams = [(node, value, reason) for group in row.groups for value, node, reason in group.finished]
    running: FinishReason = ""
    for group in row.groups:
        if not group.done:
            beams += [(node, score(config, node.cumulative, node.length), running) for node in group.running]
    beams.sort(key=lambda item: -item[1])
    work = Work(forward_passes=step + 1)
    if not beams:
        before = row.groups[0].before
        return Update(row.row, 0, step, before[0] if before else None, 0.0, "dead_end", trace=row.steps, work=work)
    node, value, reason = beams[0]
    return Update(row.row, 0, step, node, value, reason, beams=beams, trace=row.steps, work=work)
