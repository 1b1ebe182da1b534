"""Teacher forcing: what the model itself thinks of given tokens, in one forward pass over all of them.

    generation = generate(run, ["to be or"])[0]
    score_ids(run, generation.prompt_ids, generation.ids)       # equals generation.best.logprobs

This is the second way to every log-probability that decoding reports: step by step there, with a cache and in a batch
with others; all at once and alone here.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from core.decode.processors import entropy, logprobs_of
from core.errors import TextError

if TYPE_CHECKING:
    from core.decode.result import Generation, Hypothesis
    from core.model import LanguageModel
    from core.run import Run

TOGETHER = 2**24  # logits held at a time (64 MB)


class TokenScore(NamedTuple):
    """The model's own judgement on a token, given all before it."""

    logprob: float
    rank: int  # 1: the most probable token
    entropy: float  # nats, of the distribution that it comes from


class Judged(NamedTuple):
    """The same of many tokens, as tensors."""

    logprobs: Tensor  # (N,)
    ranks: Tensor  # (N,)
    entropies: Tensor  # (N,)
    best: Tensor  # (N, K) ids of the most probable tokens, in order
    best_logprobs: Tensor  # (N, K)


def score_ids(of: "LanguageModel | Run", given: Sequence[int], ids: Sequence[int]) -> list[float]:
    """The log-probability of each of `ids` behind what is given: see `score_tokens`."""
    return [token.logprob for token in score_tokens(of, given, ids)]


def rescored(of: "LanguageModel | Run", generation: "Generation", most: int = 2_000) -> "Generation":
    """The generation with the log-probabilities of teacher forcing, the best hypotheses first, of `most` tokens in all.

    Step by step, with a cache and among other rows, single precision rounds otherwise: up to 1e-5 over 200 tokens.
    """
    hypotheses: list[Hypothesis] = []
    for hypothesis in generation.hypotheses:
        most -= len(hypothesis.ids)
        if most >= 0 or not hypotheses:
            hypothesis = replace(hypothesis, logprobs=score_ids(of, generation.prompt_ids, hypothesis.ids))
        hypotheses.append(hypothesis)
    return replace(generation, hypotheses=hypotheses)


@torch.inference_mode()
def score_tokens(of: "LanguageModel | Run", given: Sequence[int], ids: Sequence[int]) -> list[TokenScore]:
    """Every token of a continuation or translation `ids`, end token included if it has one.

    given: the prompt's ids, or the source's of an encoder-decoder, as the model gets them (`Generation.prompt_ids`); no
    prompt stands for [bos]. Raises TextError for what does not fit into the context.
    """
    model: Any = getattr(of, "model", of)
    given, ids = list(given), list(ids)
    read = [model.bos_id] if model.is_encoder_decoder else given or [model.bos_id]
    if len(read) + len(ids) - 1 > model.max_seq_len or len(given) > model.max_seq_len:
        raise TextError(
            f"{len(given):,} tokens and {len(ids):,} behind them are more than the model's context of "
            f"{model.max_seq_len:,} holds: shorten one of them."
        )
    wrong = next((token for token in (*given, *ids) if not 0 <= token < model.config.vocab_size), None)
    if wrong is not None:
        raise TextError(f"There is no token {wrong}: the model's ids go from 0 to {model.config.vocab_size - 1}.")
    if not ids:
        return []
    memory = None
    if model.is_encoder_decoder:
        memory = model.encode(torch.tensor([given or [model.eos_id]], device=model.device))
    states = model.hidden(torch.tensor([read + ids[:-1]], device=model.device), memory)[0, len(read) - 1 :]
    found = judged(model, states, torch.tensor(ids, device=states.device))
    return [TokenScore(*each) for each in zip(*(values.tolist() for values in found[:3]), strict=True)]


@torch.inference_mode()
def judged(model: "LanguageModel", states: Tensor, ids: Tensor, alternatives: int = 0) -> Judged:
    """What the model thinks of ids (N,) where it is in states (N, D), few logits in memory at a time; and so many of
    the tokens that it holds for the most probable."""
    parts, size = [], max(1, TOGETHER // model.config.vocab_size)
    for some, wanted in zip(states.split(size), ids.split(size)):
        logits = model.logits(some).float()
        log_probs, chosen = logits.log_softmax(-1), wanted[:, None]
        ranks = 1 + (logits > logits.gather(1, chosen)).sum(1)
        best = log_probs.topk(min(alternatives, logits.shape[1]))
        parts.append((logprobs_of(logits, chosen)[:, 0], ranks, entropy(log_probs), best.indices, best.values))
    return Judged(*(torch.cat(values) for values in zip(*parts)))
