"""Translation: what a run writes for every source, its BLEU and chrF (scores.py), and its loss on the references."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from core.data.batching import Batch, PairBatches
from core.errors import DataError
from core.evaluate.language import total_nats
from core.evaluate.scores import bleu_score, bleu_tokenizer, chrf_score, guess_language

if TYPE_CHECKING:
    from core.data.corpus import Pair
    from core.decode.config import GenerationConfig
    from core.run import Run

BATCH_TOKENS = 8_192


def evaluate_translation(
    run: "Run",
    pairs: "Sequence[Pair]",
    decode: "GenerationConfig | None" = None,
    progress: Callable[[float, str], Any] | None = None,
    assistant: "Run | None" = None,
) -> dict[str, Any]:
    """Translate every source and compare; see `evaluate`. Pairs longer than the context count in BLEU and chrF (their
    sources are shortened) but not in the loss."""
    say = progress or (lambda share, what: None)
    sources, references = [pair.src for pair in pairs], [pair.tgt for pair in pairs]
    hypotheses = translate_all(run, sources, decode, lambda share: say(0.9 * share, "translating"), assistant)
    tokenize = bleu_tokenizer(run.config.data.tgt_language or guess_language(references))
    bleu, chrf = bleu_score(hypotheses, references, tokenize), chrf_score(hypotheses, references)
    loss, tokens = loss_per_token(run, pairs, lambda share, what: say(0.9 + 0.1 * share, what))
    config = decode or run.config.decode
    return {
        "kind": "translation",
        "examples": len(pairs),
        "bleu": bleu.score,
        "bleu_signature": bleu.signature,
        "chrf": chrf.score,
        "chrf_signature": chrf.signature,
        "loss_per_token": loss,
        "perplexity": math.exp(min(loss, 700)),
        "tokens": tokens,
        "strategy": config.strategy,
        "num_beams": config.num_beams if config.searches_beams else 1,
        "hypotheses": hypotheses,
    }


def translate_all(
    run: "Run",
    sources: Sequence[str],
    decode: "GenerationConfig | None" = None,
    progress: Callable[[float], Any] | None = None,
    assistant: "Run | None" = None,
) -> list[str]:
    """The best translation of each source, in order. Sources of similar length are translated together."""
    from core.evaluate.decoding import translated

    found = [""] * len(sources)
    done = 0
    for batch in translated(run, sources, decode, assistant):
        for line in batch or ():
            found[line.number] = line.output
        done += len(batch or ())
        if progress is not None:
            progress(done / len(sources))
    return found


def loss_per_token(
    run: "Run", pairs: "Sequence[Pair]", progress: Callable[[float, str], Any] | None = None
) -> tuple[float, int]:
    """Cross-entropy of the references in nats per token (end tokens included), and the number of tokens."""
    batches, tokens = loss_batches(run, pairs)
    if not tokens:
        raise DataError("Every pair is empty or longer than the model's context: there is nothing to evaluate on.")
    return total_nats(run.model, batches, progress) / tokens, tokens


def loss_batches(run: "Run", pairs: "Sequence[Pair]") -> tuple[list[Batch], int]:
    """Batches of all pairs that fit into the context, and the number of their target tokens."""
    tokenizer, model = run.tokenizer, run.model
    src = tokenizer.encode_batch([pair.src for pair in pairs])
    tgt = tokenizer.for_target().encode_batch([pair.tgt for pair in pairs])
    found = PairBatches(
        list(zip(src, tgt, strict=True)), BATCH_TOKENS, run.config.model.max_seq_len, bos_id=model.bos_id,
        eos_id=model.eos_id, pad_id=model.pad_id,
    )  # fmt: skip
    if not found.pairs:
        return [], 0
    return [found.batch(rows) for rows in found.batches(0, shuffle=False)], int(found.lengths[:, 1].sum())
