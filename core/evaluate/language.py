"""Language models: loss per token, perplexity per token and per word, bits per byte of a text.

Each follows from the total cross-entropy of the text, N in nats:

    loss per token       N / tokens           nats; of models with the same tokenizer only
    bits per token       N / tokens / ln 2
    perplexity           exp(N / tokens)
    perplexity per word  exp(N / words)       comparable between tokenizers; words are what stands between spaces and
                                              line ends, however the tokenizer cuts them
    bits per byte        N / bytes / ln 2     comparable between tokenizers on the same text; bytes of it in UTF-8

The last two are `word_perplexity` and `bits_per_byte` of EleutherAI's lm-evaluation-harness (its task wikitext), which
reads each document alone and scores no end tokens. What has to be predicted here is the documents as one stream, as in
training, with an end token after each if there are several: the end tokens are part of N and of the tokens, not of the
words and bytes. How a stream longer than the model's context is read, is told in core.evaluate.windows.
"""

import math
import re
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from core.data.batching import IGNORE, Batch
from core.errors import DataError
from core.evaluate.windows import losses_by_step, nats, resolved
from core.tokenizer.base import clean_text

if TYPE_CHECKING:
    from core.model import LanguageModel
    from core.run import Run

HIGHEST = 700.0  # exp of more is too large for a float
# Kana, Han, Thai, Lao, Burmese, Khmer: written without spaces between words. Then the languages.
_WITHOUT_SPACES = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+")
LANGUAGES_WITHOUT_SPACES = ("ja", "zh", "th", "lo", "my", "km")
LOOKED_AT = 1_000_000  # characters by which it is told whether a text has words


class Step(NamedTuple):
    """How far a measurement is: tokens that are done, of how many, and the nats (N,) of the last ones."""

    done: int
    total: int
    nats: np.ndarray


def evaluate_language(
    run: "Run",
    documents: Sequence[str],
    progress: Callable[[float, str], Any] | None = None,
    context: int = 0,
    stride: int = 0,
    language: str = "",
) -> dict[str, Any]:
    """The figures above, as plain values; documents without text are left out, as in training.

    context, stride: of the windows; by default blocks of the model's context, whose loss equals the validation loss of
    training on the same documents. language: "en", "ja" ...; told by the text where it is not given. "words" and
    "perplexity_per_word" are None for texts without spaces between words. Raises DataError, ConfigError.
    """
    steps = evaluating_language(run, documents, context, stride, language)
    while True:
        try:
            done, total, _ = next(steps)
        except StopIteration as end:
            return dict(end.value)
        if progress is not None:
            progress(done / total, "measuring the loss")


def evaluating_language(
    run: "Run", documents: Sequence[str], context: int = 0, stride: int = 0, language: str = ""
) -> Generator[Step, None, dict[str, Any]]:
    """`evaluate_language` step by step; closing it stops the work. The nats of all steps, joined, are those of
    `token_stream`."""
    context, stride = resolved(context, stride, run.config.model.max_seq_len)
    documents = with_text(documents)
    ids = token_stream(run, documents)
    total = 0.0
    for first, losses in losses_by_step(run.model, ids, context, stride):
        total += float(losses.sum())
        yield Step(first + len(losses), len(ids), losses)
    return {
        "kind": "language",
        "examples": len(documents),
        "tokens": len(ids),
        **text_figures(total, len(ids), documents, language),
        "context": context,
        "stride": stride,
    }


def with_text(documents: Sequence[str]) -> list[str]:
    """The documents that are more than white space, as the tokenizer reads them."""
    return [text for text in map(clean_text, documents) if text.strip()]


def text_figures(total: float, tokens: int, documents: Sequence[str], language: str = "") -> dict[str, Any]:
    """What follows from the total loss (nats) of so many tokens, which are these documents.

    >>> text_figures(8 * math.log(2), 4, ["a word"])["bits_per_token"]
    2.0
    """
    size = sum(len(clean_text(text).encode()) for text in documents)
    words = count_words(documents, language)
    return {
        "bytes": size,
        "words": words,
        "loss_per_token": total / tokens,
        "bits_per_token": total / tokens / math.log(2),
        "perplexity": math.exp(min(total / tokens, HIGHEST)),
        "perplexity_per_word": math.exp(min(total / words, HIGHEST)) if words else None,
        "bits_per_byte": total / math.log(2) / size,
    }


def count_words(documents: Sequence[str], language: str = "") -> int | None:
    """What stands between white space; None where words are written without, by the language or else by the text: if
    one in ten of its characters is of a script that has none.

    >>> count_words(["one  two", "three"]), count_words(["コーヒーを一杯"]), count_words(["one"], "ja")
    (3, None, None)
    """
    if re.split("[-_]", language.lower())[0] in LANGUAGES_WITHOUT_SPACES:
        return None
    if not language:
        looked_at, left = "", LOOKED_AT
        for text in documents:
            looked_at += text[:left]
            left = LOOKED_AT - len(looked_at)
            if not left:
                break
        if 10 * (len(looked_at) - len(_WITHOUT_SPACES.sub("", looked_at))) > len(looked_at):
            return None
    return sum(len(text.split()) for text in documents)


def token_stream(run: "Run", documents: Sequence[str]) -> np.ndarray:
    """Ids of all documents with an end token after each; a text in one piece gets none."""
    encoded = run.tokenizer.encode_batch(list(documents))
    if not any(encoded):
        raise DataError("There is nothing to evaluate on: the text is empty.")
    if len(encoded) > 1 and run.model.eos_id >= 0:
        encoded = [[*ids, run.model.eos_id] for ids in encoded]
    return np.concatenate([np.array(ids, dtype=np.int64) for ids in encoded])


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
        total += float(nats(model, states[kept], moved.targets[kept]).sum())
    return total
