"""Greedy decoding and sampling: every row takes one token a step, by its logits alone or by lot.

Sampling draws by inverting the cumulative distribution at one uniform number a step. Every sample has a generator of
its own, seeded by the configuration's seed, the input's ids and the sample's number: a result is the same alone, in
any batch, in any order. (Equal inputs with equal seeds give equal samples; ask for num_return_sequences instead.)
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from core.decode.paths import Paths, make_choices
from core.decode.result import Work
from core.decode.state import Search, Update


@torch.inference_mode()
def greedy_or_sample(search: Search) -> Iterator[list[Update]]:
    """Yields one Update for each running path and step; closing the iterator ends the search."""
    session, config = search.session, search.config
    paths = Paths(search)
    active = paths.active
    logits = session.start()
    where = [path.row for path in active]  # the session's row of each path
    for step in range(search.steps):
        processed, stages = search.process(logits, step)
        if step == 0 and config.num_paths > 1:  # the samples of an input part here
            index = torch.tensor(where, device=logits.device)
            logits, processed = logits[index], processed[index]
            stages = [(name, values[index]) for name, values in stages]
        if config.draws:
            draws = torch.tensor([path.generator.random() for path in active], dtype=torch.float64)
            chosen = draw(processed, draws.to(logits.device))
        else:
            chosen = processed.argmax(-1)
        choices = make_choices(search, logits, processed, stages, chosen)
        work = Work(forward_passes=step + 1)
        updates = [paths.take(path, choice, work) for path, choice in zip(active, choices, strict=True)]
        yield updates
        kept = [i for i, update in enumerate(updates) if not update.reason]
        if not kept:
            return
        logits = session.advance([where[i] for i in kept], [choices[i].token for i in kept])
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
