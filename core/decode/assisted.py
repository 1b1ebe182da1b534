"""Assisted (speculative) decoding: a smaller model drafts some tokens, the model checks all of them in one pass.

Greedy, a draft is accepted as long as it is what the model would have written; the first that is not is replaced by
what it would. So the result is that of greedy decoding, in fewer passes of the model (Stern et al., 2018).

With `assisted_sampling` the drafts are drawn from the assistant's distribution q, and a draft x is accepted with
probability min(1, p(x) / q(x)), p being the model's distribution. In the place of the first that is not, a token is
drawn from max(0, p - q), normalised. What is written then follows p exactly, whatever the assistant thinks (Leviathan
et al., 2023, appendix A.1). Both p and q are what is left after all processors, truncations included.

When all drafts are accepted the same pass has said one more token. Rows of a batch accept different numbers: each goes
on at its own length. A text that outgrows the assistant's context goes on without drafts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.decode.greedy_sample import draw
from core.decode.paths import Choice, Path, Paths, make_choices
from core.decode.result import Work
from core.decode.session import Prompt, Session
from core.decode.state import Search, Update, process_each

if TYPE_CHECKING:
    from core.model import LanguageModel


@dataclass
class _Row:
    """A path, and what the assistant has drafted behind it."""

    path: Path
    tokens: list[int]  # prompt (decoder start) and continuation; neither model has read the last one
    left: int  # new tokens that there is room for
    fits: bool  # whether the assistant could read the prompt
    drafts: list[int] = field(default_factory=list)
    beliefs: list[Tensor] = field(default_factory=list)  # sampling: the assistant's probabilities (V,) for each draft


@dataclass(frozen=True)
class _Verdict:
    """A token that the model settles on; `at` is the row of the logits that it comes from."""

    at: int
    token: int
    drafted: bool


def assistant_session(model: "LanguageModel", prompts: Sequence[Prompt], use_cache: bool) -> Session:
    """A session of the assistant. A prompt beyond its context is replaced by its first token: it gets no drafts."""
    short = [p if _fits(model.max_seq_len, p) else Prompt(p.ids[:1], p.start[:1], 1, True) for p in prompts]
    return Session(model, short, model.pad_id, use_cache)


def _fits(context: int, prompt: Prompt) -> bool:
    return len(prompt.ids) <= context and len(prompt.start) <= context


@torch.inference_mode()
def assisted(search: Search) -> Iterator[list[Update]]:
    """Yields the Updates of a pass of the model, one for each token; closing the iterator ends the search."""
    session, assistant = search.session, search.assistant
    assert assistant is not None
    context = assistant.model.max_seq_len
    paths = Paths(search)
    rows = []
    for path in paths.active:
        prompt = search.prompts[path.row]
        rows.append(_Row(path, list(prompt.start), prompt.max_new_tokens, _fits(context, prompt)))
    work = [Work(forward_passes=1, assistant_passes=1) for _ in search.prompts]
    where = [path.row for path in paths.active]
    logits = session.start()[where]  # the first token comes from reading the prompts
    assistant.start()
    session.keep(where)
    assistant.keep(where)
    while True:
        updates, kept, read = [], [], []
        for i, (row, choices) in enumerate(zip(rows, _settle(search, rows, logits), strict=True)):
            tally = work[row.path.row]
            for choice in choices:
                tally = replace(tally, accepted=tally.accepted + bool(choice.drafted))
                update = paths.take(row.path, choice, tally)
                updates.append(update)
                if update.reason:
                    break
                row.tokens.append(choice.token)
                row.left -= 1
            else:
                kept.append(i)
                read.append(len(row.tokens) - 1)
            work[row.path.row] = tally
        yield updates
        if not kept:
            return
        rows = [rows[i] for i in kept]
        for each in (session, assistant):
            each.keep(kept)
            each.rewind([min(len(own), length) for own, length in zip(each.rows, read, strict=True)])
        asked = _draft(search, assistant, rows)
        for number in {row.path.row for row in rows}:
            own = [i for i, row in enumerate(rows) if row.path.row == number]
            work[number] = Work(
                work[number].forward_passes + 1,
                work[number].assistant_passes + max(asked[i] for i in own),
                work[number].drafted + sum(len(rows[i].drafts) for i in own),
                work[number].accepted,
                [*work[number].rounds, *(list(rows[i].drafts) for i in own)],
            )
        answers = session.extend([[row.tokens[-1], *row.drafts] for row in rows])
        # Of every row what follows its newest token and each of its drafts, row behind row.
        width = answers.shape[1]
        places = [
            (i, width - 1 - len(row.drafts) + j) for i, row in enumerate(rows) for j in range(1 + len(row.drafts))
        ]
        at = torch.tensor(places, device=answers.device)
        logits = answers[at[:, 0], at[:, 1]]


def _draft(search: Search, assistant: Session, rows: list[_Row]) -> list[int]:
    """Fill the rows' drafts; returns in how many passes of the assistant each took part."""
    config, context = search.config, assistant.model.max_seq_len
    room = []
    for row in rows:
        row.drafts, row.beliefs = [], []
        # The model adds a token of its own; the assistant need not read its last draft.
        most = min(config.num_assistant_tokens, row.left - 1, context + 1 - len(row.tokens))
        room.append(max(0, most) if row.fits else 0)
    passes = [0] * len(rows)
    while True:
        asked = [i for i, row in enumerate(rows) if len(row.drafts) < room[i]]
        if not asked:
            return passes
        texts = [row.tokens + row.drafts for row in rows]
        more = [text[len(read) :] for text, read in zip(texts, assistant.rows, strict=True)]
        logits = assistant.extend([more[i] if i in asked else [] for i in range(len(rows))])[asked, -1]
        prefixes, steps = [texts[i] for i in asked], [rows[i].path.length + len(rows[i].drafts) for i in asked]
        processed, _ = process_each(search.processors, logits, prefixes, steps, keep=False)
        if config.draws:
            draws = torch.tensor([rows[i].path.generator.random() for i in asked], dtype=torch.float64)
            chosen = draw(processed, draws.to(logits.device))
            beliefs = processed.double().softmax(-1)
        else:
            chosen = processed.argmax(-1)
        possible = processed.gather(1, chosen[:, None])[:, 0].isfinite().tolist()
        for place, (i, token) in enumerate(zip(asked, chosen.tolist(), strict=True)):
            passes[i] += 1
            if not possible[place]:  # nothing is left to draft (or the assistant is damaged)
                room[i] = 0
                continue
            rows[i].drafts.append(token)
            if config.draws:
                rows[i].beliefs.append(beliefs[place])


def _settle(search: Search, rows: list[_Row], logits: Tensor) -> list[list[Choice]]:
    """What the model makes of the drafts: the tokens that each row goes on with, one at least.

    logits (E, V): of every row in order the places of its drafts and the one behind them.
    """
    config = search.config
    prefixes, steps = [], []
    for row in rows:
        for j in range(len(row.drafts) + 1):
            prefixes.append(row.tokens + row.drafts[:j])
            steps.append(row.path.length + j)
    processed, stages = process_each(search.processors, logits, prefixes, steps, search.trace)
    probabilities = processed.double().softmax(-1) if config.draws else processed
    best = processed.argmax(-1).tolist()
    verdicts: list[list[_Verdict]] = []
    at = 0
    for row in rows:
        if config.draws:
            verdicts.append(_accept_by_lot(row, probabilities, at))
        else:
            verdicts.append(_accept_equal(row, best, at))
        at += len(row.drafts) + 1
    flat = [verdict for several in verdicts for verdict in several]
    index = torch.tensor([verdict.at for verdict in flat], device=logits.device)
    chosen = torch.tensor([verdict.token for verdict in flat], device=logits.device)
    stages = [(name, values[index]) for name, values in stages]
    choices = make_choices(search, logits[index], processed[index], stages, chosen)
    marked = iter(replace(choice, drafted=v.drafted) for choice, v in zip(choices, flat, strict=True))
    return [[next(marked) for _ in several] for several in verdicts]


def _accept_equal(row: _Row, best: list[int], at: int) -> list[_Verdict]:
    """The drafts that are the model's own choice, and the choice that follows them."""
    found: list[_Verdict] = []
    for j, token in enumerate(row.drafts):
        if token != best[at + j]:
            return [*found, _Verdict(at + j, best[at + j], False)]
        found.append(_Verdict(at + j, token, True))
    return [*found, _Verdict(at + len(found), best[at + len(found)], False)]


def _accept_by_lot(row: _Row, probabilities: Tensor, at: int) -> list[_Verdict]:
    """Drafts by their chance of being accepted, then a token that makes up for what the assistant underrates."""
    found: list[_Verdict] = []
    generator = row.path.generator
    for j, (token, belief) in enumerate(zip(row.drafts, row.beliefs, strict=True)):
        p = probabilities[at + j]
        if not generator.random() * float(belief[token]) < float(p[token]):
            rest = (p - belief).clamp(min=0)
            return [*found, _Verdict(at + j, _draw_one(rest if rest.sum() > 0 else p, generator.random()), False)]
        found.append(_Verdict(at + j, token, True))
    return [*found, _Verdict(at + len(found), _draw_one(probabilities[at + len(found)], generator.random()), False)]


def _draw_one(weights: Tensor, uniform: float) -> int:
    """A token by weights (V,) that need not sum to 1."""
    return int(draw(weights.log()[None], torch.tensor([uniform], dtype=torch.float64, device=weights.device)))
