"""The work of an evaluation, as messages: what is decoded and measured, as it comes (see core.evaluate.evaluation).

The same on this machine and elsewhere: whoever reads the messages keeps and scores them.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from core.evaluate.decoding import translated
from core.evaluate.language import HIGHEST, text_figures, token_stream, total_nats
from core.evaluate.request import Evaluation, Output
from core.evaluate.windows import losses_by_step

if TYPE_CHECKING:
    from core.data.corpus import Pair
    from core.run import Run


def translate(
    run: "Run", plan: Evaluation, pairs: "Sequence[Pair]", done: frozenset[int], assistant: "Run | None" = None
) -> Iterator[Any]:
    """Outputs of the pairs that are not done, batch by batch, then the loss of the references."""
    yield "translating"
    with closing(translated(run, [pair.src for pair in pairs], plan.decode, assistant, done)) as steps:
        for batch in steps:
            yield batch and [
                Output(
                    found.number, pairs[found.number].src, pairs[found.number].tgt, found.output, found.tokens,
                    round(found.logprob, 6), found.truncated, round(found.seconds, 6),
                )
                for found in batch
            ]  # fmt: skip
    yield "measuring the loss of the references"
    yield from reference_loss(run, pairs)


def reference_loss(run: "Run", pairs: "Sequence[Pair]") -> Iterator[Any]:
    """Cross-entropy of the references that fit into the context, in nats per token, the end tokens included."""
    from core.evaluate.translation import loss_batches

    batches, tokens = loss_batches(run, pairs)
    total = 0.0
    for batch in batches:
        total += total_nats(run.model, [batch])
        yield None
    if tokens:
        loss = total / tokens
        yield {"loss_per_token": loss, "perplexity": math.exp(min(loss, HIGHEST)), "tokens": tokens}


def measure(run: "Run", plan: Evaluation, documents: Sequence[str], known: np.ndarray) -> Iterator[Any]:
    """The loss of each token, some windows at a time. known: float32 (N,), losses of the first N tokens.

    Goes on with a whole window: what is known of one that is not whole is measured again.
    """
    yield "cutting the text into tokens"
    ids, context, stride = token_stream(run, documents), plan.context, plan.stride
    yield {"total": len(ids)}
    windows = 0 if len(known) < context else 1 + (len(known) - context) // stride
    if len(known) >= len(ids):
        windows = 0 if len(known) > len(ids) else -1
    kept = len(ids) if windows < 0 else context + (windows - 1) * stride if windows else 0
    yield {"known": kept}
    total = float(known[:kept].astype(np.float64).sum())
    yield "measuring the loss"
    if kept < len(ids):
        skip = context - stride if windows else 0  # of the first window these were scored by the one before
        for first, nats in losses_by_step(run.model, ids[windows * stride :], context, stride):
            new = np.asarray(nats, dtype=np.float32)[max(0, skip - first) :]
            total += float(new.astype(np.float64).sum())
            yield new
    figures = text_figures(total, len(ids), documents, plan.language)
    loss, perplexity = figures.pop("loss_per_token"), figures.pop("perplexity")
    yield {"loss_per_token": loss, "perplexity": perplexity, "tokens": len(ids), "numbers": figures}
