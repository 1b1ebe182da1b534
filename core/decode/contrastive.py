"""Contrastive search (Su et al., 2022): likely tokens that do not lead back to what has been said.

Of the k most probable tokens (top_k, or 4 where it is 0) each step takes the one with the highest

    (1 - penalty_alpha) * probability - penalty_alpha * max cosine(h, h_j)

where h is the model's final state (after the last normalisation, as in transformers) once it has read the candidate,
and h_j are its states at all tokens before: prompt and continuation, of an encoder-decoder the decoder's only. A model
that repeats itself comes back to states where it has been; the second part, the degeneration penalty, costs that.

All candidates of all rows are read together, and those that are chosen need no further reading: one forward pass a
token, k rows wide. Penalties and bans act on the logits before the candidates are taken.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.decode.config import CANDIDATES
from core.decode.paths import Paths, make_choices
from core.decode.result import Work
from core.decode.session import Prompt, Session
from core.decode.state import Search, Update

if TYPE_CHECKING:
    from core.model import LanguageModel


class StateSession(Session):
    """A session that also keeps the final states (B, T, D) of what it has read last."""

    states: Tensor

    def __init__(self, model: "LanguageModel", prompts: Sequence[Prompt], pad_id: int, use_cache: bool = True) -> None:
        # Here the last token is read, too: its state decides whether it is chosen.
        longer = [replace(prompt, max_new_tokens=prompt.max_new_tokens + 1) for prompt in prompts]
        super().__init__(model, longer, pad_id, use_cache)
        # A recorded step gives no states, and with its candidates a batch changes size at every step.
        self.graphed = None

    def _forward(self, ids: Tensor, last: Tensor | None = None) -> Tensor:
        states = self.states = self.model.hidden(ids, self.memory, self.cache)
        if last is not None:
            states = states[torch.arange(len(states), device=states.device), last][:, None]
        return self.model.logits(states)

    def last_states(self) -> Tensor:
        """Of every row's last token, (B, D)."""
        at = -1 if self.cache is not None else torch.tensor([len(row) - 1 for row in self.rows])
        return self.states[torch.arange(len(self.rows)), at]


@torch.inference_mode()
def contrastive_search(search: Search) -> Iterator[list[Update]]:
    """Yields one Update for each running row and step; closing the iterator ends the search."""
    session, config = search.session, search.config
    assert isinstance(session, StateSession)
    alpha = config.penalty_alpha
    paths = Paths(search)
    active = paths.active
    logits = session.start()
    lengths = torch.tensor([len(row) for row in session.rows], device=logits.device)
    # What has been said, as directions: (B, T, D), filled up row by row.
    said = torch.nn.functional.pad(_directions(session.states), (0, 0, 0, search.steps))
    for step in range(search.steps):
        processed, stages = search.process(logits, step)
        k = min(config.top_k or CANDIDATES, processed.shape[1])
        best = processed.softmax(-1).topk(k)
        next_logits = session.advance(
            [i for i in range(len(active)) for _ in range(k)], best.indices.flatten().tolist()
        )
        states = _directions(session.last_states()).unflatten(0, (-1, k))  # (B, k, D)
        known = torch.arange(said.shape[1], device=said.device) < lengths[:, None]
        cosines = (states @ said.transpose(1, 2)).masked_fill(~known[:, None], -1.0)
        scores = (1 - alpha) * best.values - alpha * cosines.amax(-1)
        removed = processed.gather(1, best.indices).isneginf()
        place = scores.masked_fill(removed, -torch.inf).argmax(-1)
        rows = torch.arange(len(active), device=logits.device)
        choices = make_choices(search, logits, processed, stages, best.indices[rows, place])

        work = Work(forward_passes=step + 2)
        updates = [paths.take(path, choice, work) for path, choice in zip(active, choices, strict=True)]
        yield updates
        kept = [i for i, update in enumerate(updates) if not update.reason]
        if not kept:
            return
        active = [active[i] for i in kept]
        said[rows, lengths] = states[rows, place]
        index = torch.tensor(kept, device=logits.device)
        said, lengths = said[index], lengths[index] + 1
        chosen = (rows * k + place)[index]
        session.keep(chosen.tolist())
        logits = next_logits[chosen]


def _directions(states: Tensor) -> Tensor:
    """States (..., D) of length 1, in single precision at least."""
    states = states.float() if states.dtype in (torch.float16, torch.bfloat16) else states
    return states / states.norm(dim=-1, keepdim=True).clamp(min=1e-12)
