"""What stands between a model's logits and the choice of a token: penalties, bans and truncations.

Each processor is a pure function of logits (B, V) and, where it looks back, of the rows' prefixes, and returns new
logits (B, V) in which a removed token has -inf. `build_processors` puts those that a configuration asks for in
Hugging Face's order: bias, penalties, n-grams, bad words, minimum length, forced prefix and end; then, where tokens are
drawn, temperature, top-k, top-p, min-p, typical, epsilon, eta; at last renormalisation. Beam search processes the
log-softmax, again as Hugging Face does, every other strategy the raw logits.

Prefixes are prompt (decoder start) and continuation, (B, T), filled up on the LEFT with -1, so that all rows end at
the same column. Only this bookkeeping is padded on the left; model inputs never are.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from core.decode.config import GenerationConfig
from core.errors import ConfigError

NO_TOKEN = -1  # fills prefixes


@dataclass(frozen=True)
class Processor:
    """A named step. `apply(logits (B, V), prefixes (B, T), num_generated) -> (B, V)`."""

    name: str
    apply: Callable[[Tensor, Tensor, int], Tensor]
    uses_prefixes: bool = False


def build_processors(
    config: GenerationConfig, vocab_size: int, end_ids: Sequence[int], device: torch.device | str = "cpu"
) -> list[Processor]:
    """The processors that `config` asks for, in the order in which they act. What is off is not in the list.

    end_ids: the model's own end token, if it has one, comes first.
    """
    _check_ids(config, vocab_size)
    ends = torch.tensor(sorted(end_ids), dtype=torch.long, device=device)
    steps: list[Processor] = []
    if config.logit_bias:
        bias = torch.zeros(vocab_size, device=device)
        bias[list(config.logit_bias)] = torch.tensor(list(config.logit_bias.values()), device=device)
        steps.append(Processor("logit_bias", lambda x, p, n: x + bias))
    if config.repetition_penalty != 1:
        steps.append(
            Processor("repetition_penalty", lambda x, p, n: repetition_penalty(x, p, config.repetition_penalty), True)
        )
    if config.presence_penalty or config.frequency_penalty:
        presence, frequency = config.presence_penalty, config.frequency_penalty
        name = "presence_penalty" if not frequency else "frequency_penalty" if not presence else "count_penalties"
        steps.append(
            Processor(name, lambda x, p, n: count_penalties(x, p[:, p.shape[1] - n :], presence, frequency), True)
        )
    if config.no_repeat_ngram_size:
        steps.append(
            Processor("no_repeat_ngram", lambda x, p, n: no_repeat_ngram(x, p, config.no_repeat_ngram_size), True)
        )
    # The end token alone cannot be a bad word: nothing would ever end.
    words = [word for word in config.bad_words_ids if not (len(word) == 1 and word[0] in end_ids)]
    if words:
        steps.append(Processor("bad_words", lambda x, p, n: ban_words(x, p, words), True))
    if config.min_new_tokens:
        steps.append(
            Processor(
                "min_new_tokens", lambda x, p, n: x.index_fill(1, ends, -math.inf) if n < config.min_new_tokens else x
            )
        )
    if config.forced_prefix_ids:
        prefix = config.forced_prefix_ids
        steps.append(Processor("forced_prefix", lambda x, p, n: force(x, prefix[n]) if n < len(prefix) else x))
    if config.forced_end and end_ids:
        last, end = config.max_new_tokens - 1, end_ids[0]
        steps.append(Processor("forced_end", lambda x, p, n: force(x, end) if n == last else x))
    if config.draws:
        steps += _truncations(config)
    if config.renormalize_logits:
        steps.append(Processor("renormalize", lambda x, p, n: renormalize(x)))
    return steps


def _truncations(config: GenerationConfig) -> list[Processor]:
    steps = []
    if config.temperature != 1:
        steps.append(Processor("temperature", lambda x, p, n: x / config.temperature))
    if config.top_k:
        steps.append(Processor("top_k", lambda x, p, n: top_k(x, config.top_k)))
    if config.top_p < 1:
        steps.append(Processor("top_p", lambda x, p, n: top_p(x, config.top_p)))
    if config.min_p:
        steps.append(Processor("min_p", lambda x, p, n: min_p(x, config.min_p)))
    if config.typical_p < 1:
        steps.append(Processor("typical_p", lambda x, p, n: typical_p(x, config.typical_p)))
    if config.epsilon_cutoff:
        steps.append(Processor("epsilon_cutoff", lambda x, p, n: epsilon_cutoff(x, config.epsilon_cutoff)))
    if config.eta_cutoff:
        steps.append(Processor("eta_cutoff", lambda x, p, n: eta_cutoff(x, config.eta_cutoff)))
    return steps


def _check_ids(config: GenerationConfig, vocab_size: int) -> None:
    fields = {
        "logit_bias": config.logit_bias,
        "bad_words_ids": [token for word in config.bad_words_ids for token in word],
        "forced_prefix_ids": config.forced_prefix_ids,
        "stop_ids": config.stop_ids,
    }
    for name, ids in fields.items():
        for token in ids:
            if token >= vocab_size:
                raise ConfigError(
                    f"decode.{name} names token {token}, but the model's vocabulary ends at {vocab_size - 1}."
                )


# ------------------------------------------------------------------------------------- penalties and bans


def repetition_penalty(logits: Tensor, prefixes: Tensor, penalty: float) -> Tensor:
    """Divide positive and multiply negative logits of every token in the prefix (CTRL, Keskar et al., 2019)."""
    penalised = torch.where(logits < 0, logits * penalty, logits / penalty)
    return torch.where(_counts(prefixes, logits.shape[1]) > 0, penalised, logits)


def count_penalties(logits: Tensor, generated: Tensor, presence: float, frequency: float) -> Tensor:
    """Subtract `presence` once and `frequency` for every time from what has been generated (OpenAI's API)."""
    counts = _counts(generated, logits.shape[1])
    return logits - presence * (counts > 0) - frequency * counts


def no_repeat_ngram(logits: Tensor, prefixes: Tensor, size: int) -> Tensor:
    """Remove every token that would complete an n-gram that the row already holds."""
    if prefixes.shape[1] < size:
        return logits
    windows = prefixes.unfold(1, size, 1)  # (B, T - size + 1, size)
    last = prefixes[:, prefixes.shape[1] + 1 - size :]  # the row's last size - 1 tokens
    # A row shorter than that has -1 in `last`; the only window to match it would need a token after the row's end.
    repeats = (windows[..., :-1] == last[:, None]).all(-1)
    completions = torch.where(repeats, windows[..., -1], NO_TOKEN)
    return logits.masked_fill(_counts(completions, logits.shape[1]) > 0, -math.inf)


def ban_words(logits: Tensor, prefixes: Tensor, words: Sequence[Sequence[int]]) -> Tensor:
    """Remove the last token of every word (token sequence) whose other tokens have just been written."""
    banned = torch.zeros_like(logits, dtype=torch.bool)
    for *start, last in words:
        if len(start) <= prefixes.shape[1]:
            tail = prefixes[:, prefixes.shape[1] - len(start) :]
            banned[:, last] |= (tail == torch.tensor(start, dtype=torch.long, device=prefixes.device)).all(1)
    return logits.masked_fill(banned, -math.inf)


def force(logits: Tensor, token: int) -> Tensor:
    """Only `token` is left, with logit 0 (in beam search: probability 1, it costs a hypothesis nothing)."""
    forced = torch.full_like(logits, -math.inf)
    forced[:, token] = 0
    return forced


def renormalize(logits: Tensor) -> Tensor:
    """Log-probabilities of what is left; a row of which nothing is left stays so."""
    return torch.where((logits == -math.inf).all(-1, keepdim=True), logits, logits.log_softmax(-1))


def _counts(ids: Tensor, vocab_size: int) -> Tensor:
    """How often each token occurs in each row of ids (B, T), -1 and ids beyond the vocabulary apart: (B, V)."""
    beyond = torch.where(ids < 0, vocab_size, ids).clamp(max=vocab_size)
    counts = torch.zeros(ids.shape[0], vocab_size + 1, device=ids.device)
    return counts.scatter_add_(1, beyond, torch.ones_like(beyond, dtype=counts.dtype))[:, :vocab_size]


# --------------------------------------------------------------------------- truncations, for sampling only


def top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k largest, and what ties with the last of them (Fan et al., 2018)."""
    smallest = logits.topk(min(k, logits.shape[1])).values[:, -1:]
    return logits.masked_fill(logits < smallest, -math.inf)


def top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the fewest most probable tokens that together reach p (nucleus sampling, Holtzman et al., 2020)."""
    ascending, order = logits.sort()
    remove = ascending.softmax(-1).cumsum(-1) <= 1 - p
    remove[:, -1] = False
    return logits.masked_fill(torch.zeros_like(remove).scatter(1, order, remove), -math.inf)


def min_p(logits: Tensor, p: float) -> Tensor:
    """Keep what has at least p times the probability of the most probable token (Nguyen et al., 2024)."""
    probabilities = logits.softmax(-1)
    return logits.masked_fill(probabilities < p * probabilities.amax(-1, keepdim=True), -math.inf)


def typical_p(logits: Tensor, mass: float) -> Tensor:
    """Keep the tokens whose surprise is nearest to the entropy, up to `mass` (Meister et al., 2023)."""
    log_probs = logits.log_softmax(-1)
    distance, order = (-log_probs - entropy(log_probs)[:, None]).abs().sort()
    reached = logits.gather(1, order).softmax(-1).cumsum(-1) < mass
    last = reached.sum(1, keepdim=True).clamp(max=logits.shape[1] - 1)
    remove = distance > distance.gather(1, last)
    return logits.masked_fill(torch.zeros_like(remove).scatter(1, order, remove), -math.inf)


def epsilon_cutoff(logits: Tensor, epsilon: float) -> Tensor:
    """Remove what is less probable than epsilon; the most probable token stays (Hewitt et al., 2022)."""
    remove = (logits.softmax(-1) < epsilon) & (logits < logits.amax(-1, keepdim=True))
    return logits.masked_fill(remove, -math.inf)


def eta_cutoff(logits: Tensor, epsilon: float) -> Tensor:
    """Epsilon cutoff with the threshold min(eps, sqrt(eps) * exp(-entropy)) (Hewitt et al., 2022)."""
    eta = (math.sqrt(epsilon) * torch.exp(-entropy(logits.log_softmax(-1)))).clamp(max=epsilon)
    remove = (logits.softmax(-1) < eta[:, None]) & (logits < logits.amax(-1, keepdim=True))
    return logits.masked_fill(remove, -math.inf)


def entropy(log_probs: Tensor) -> Tensor:
    """Entropy in nats of log-probabilities (..., V): (...). Impossible tokens add nothing."""
    return -(log_probs.exp() * log_probs).nansum(-1)


def log_partition(logits: Tensor, most: Tensor | None = None) -> Tensor:
    """The logarithm of the sum of exp(logits) over (..., V), in double precision: (...). most: their maxima (..., 1),
    where they are known.

    The exponentials are taken and summed in the logits' own precision, where PyTorch adds pairwise: off by a few 1e-7,
    to either side. PyTorch's log_softmax in single precision is a little off to the same side at each token: up to
    5e-5 over 200 of them.
    """
    most = logits.amax(-1, keepdim=True) if most is None else most
    most = most.masked_fill(most == -math.inf, 0.0)
    return (logits - most).exp_().sum(-1).double().log() + most[..., 0].double()


class Best(NamedTuple):
    """The most probable tokens of each row: ids (B, K) and their log-probabilities in double precision (B, K)."""

    ids: Tensor
    logprobs: Tensor


def best_of(logits: Tensor, count: int) -> Best:
    """The `count` best of logits (B, V), or all there are. (Of the rest only their sum is needed.)"""
    values, ids = top(logits, min(count, logits.shape[-1]))
    return Best(ids, values.double() - log_partition(logits, values[:, :1])[:, None])


GROUP = 25  # logits of which the greatest is looked for together


def top(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`logits.topk(count)`, values and ids, each (B, count). On a CPU in two stages, which takes two thirds of the
    time: the best are in the `count` groups with the greatest maxima. Group j holds every n-th logit from j on."""
    n = logits.shape[1] // GROUP
    if logits.device.type != "cpu" or n < 4 * count:
        found = logits.topk(count)
        return found.values, found.indices
    grouped, rest = logits[:, : GROUP * n].unflatten(1, (GROUP, n)), logits[:, GROUP * n :]
    groups = grouped.amax(1).topk(count, sorted=False).indices
    candidates = grouped.gather(2, groups[:, None].expand(-1, GROUP, -1)).flatten(1)
    values, places = (torch.cat((candidates, rest), 1) if rest.shape[1] else candidates).topk(count)
    ids = places // count * n + groups.gather(1, places % count)
    if rest.shape[1]:
        beyond = places - candidates.shape[1]
        ids = torch.where(beyond < 0, ids, GROUP * n + beyond)
    return values, ids


def logprobs_of(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities of `ids` (..., K) by logits (..., V), in double precision: (..., K)."""
    return logits.gather(-1, ids).double() - log_partition(logits)[..., None]
