"""Language models: loss per token, perplexity and bits per byte of a text.

Bits per byte (total cross-entropy over ln 2 and the text's UTF-8 bytes) compare models of different vocabularies; loss
per token and perplexity do not.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from core.data.batching import IGNORE, Batch, BlockBatches
from core.errors import DataError

if TYPE_CHECKING:
    from core.model import LanguageModel
    from core.run import Run

BATCH_TOKENS = 8_192


def evaluate_language(
    run: "Run", documents: Sequence[str], progress: Callable[[float, str], Any] | None = None
) -> dict[str, Any]:
    """The documents as one stream, cut into blocks of the model's context, each predicted from its first token on.

    An end token between documents counts as a token to predict but not as a byte. Equal to the validation loss of
    training on the same documents.
    """
    ids = token_stream(run, documents)
    batches = BlockBatches(ids, BATCH_TOKENS, run.config.model.max_seq_len, bos_id=run.model.bos_id)
    total = total_nats(run.model, [batches.batch(starts) for starts in batches.batches(0, shuffle=False)], progress)
    size = sum(len(text.encode("utf-8", "replace")) for text in documents)
    return {
        "kind": "language",
        "examples": len(documents),
        "tokens": len(ids),
        "bytes": size,
        "loss_per_token": total / len(ids),
        "perplexity": math.exp(min(total / len(ids), 700)),
        "bits_per_byte": total / math.log(2) / size,
    }


def token_stream(run: "Run", documents: Sequence[str]) -> np.ndarray:
    """Ids of all documents with an end token after each; a text in one piece gets none."""
    encoded = run.tokenizer.encode_batch(list(documents))
    if len(encoded) > 1 and run.model.eos_id >= 0:
        encoded = [[*ids, run.model.eos_id] for ids in encoded]
    stream = np.concatenate([np.array(ids, dtype=np.int64) for ids in encoded])
    if not len(stream):
        raise DataError("There is nothing to evaluate on: the text is empty.")
    return stream


@torch.inference_mode()
def total_nats(
    model: "LanguageModel", batches: Sequence[Batch], progress: Callable[[float, str], Any] | None = None
) -> float:
    """Cross-entropy summed over all target tokens, without label smoothing."""
    total = 0.0
    for done, batch in enumerate(batches):
        if progress is not None:
            progress(done / len(batches), "measuring the loss")
        moved = batch.to(model.device)
        memory = model.encode(moved.src_ids, moved.src_mask) if moved.src_ids is not None else None
        states = model.hidden(moved.input_ids, memory)
        kept = moved.targets != IGNORE
        logits = model.logits(states[kept]).float()
        total += float(F.cross_entropy(logits, moved.targets[kept], reduction="sum"))
    return total
