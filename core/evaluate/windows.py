"""Each token of a text of any length predicted once, by a model of limited context: sliding windows.

A window reads the begin token and up to `context` - 1 tokens, and so predicts up to `context` tokens. The first window
is scored on all that it predicts; the next one begins `stride` tokens later and is scored on what is new, the last
`stride` tokens that it predicts, and so on: every token is scored once. The last window may be shorter. What is read
of a token thus never depends on what follows it.

    stride = context   windows that do not overlap: cheapest; tokens at a window's beginning have little to be
                       predicted from. It is what training validates with.
    stride = 1         every token from as many before it as the model can read: dearest, the lowest perplexity.

After "Perplexity of fixed-length models" in Hugging Face's documentation of transformers; there a window has no begin
token of its own, and the text's first token is not scored.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError, TextError

if TYPE_CHECKING:
    from core.model import LanguageModel

BATCH_TOKENS = 8_192  # that a forward pass reads
TOGETHER = 2**24  # logits held at a time (64 MB)


class Window(NamedTuple):
    """Reads the begin token and ids[start : end - 1]; is scored on ids[first:end]."""

    start: int
    first: int
    end: int


class Losses(NamedTuple):
    """What a step has scored: nats (N,) of ids[first : first + N]."""

    first: int
    nats: np.ndarray


class States(NamedTuple):
    """What a step has read: states (N, D) that predict targets (N,), which are ids[first : first + N]."""

    first: int
    states: Tensor
    targets: Tensor


def window_losses(
    model: "LanguageModel",
    ids: Sequence[int] | np.ndarray,
    context: int = 0,
    stride: int = 0,
    progress: Callable[[float, str], Any] | None = None,
) -> np.ndarray:
    """The loss of each token, nats (N,) in float64. context: tokens that a window predicts (0: all that the model
    can). stride: see above (0: as the context). Raises ConfigError for what cannot be, TextError for unknown ids.
    """
    losses = np.empty(len(ids))
    for first, nats in losses_by_step(model, ids, context, stride):
        losses[first : first + len(nats)] = nats
        if progress is not None:
            progress((first + len(nats)) / len(ids), "measuring the loss")
    return losses


def losses_by_step(
    model: "LanguageModel", ids: Sequence[int] | np.ndarray, context: int = 0, stride: int = 0
) -> Iterator[Losses]:
    """The same, some windows at a time and in order: what can be stopped between two steps by closing it."""
    for first, states, targets in states_by_step(model, ids, context, stride):
        yield Losses(first, nats(model, states, targets).cpu().numpy())


@torch.inference_mode()
def states_by_step(
    model: "LanguageModel", ids: Sequence[int] | np.ndarray, context: int = 0, stride: int = 0
) -> Iterator[States]:
    """The final states of all windows, at the places that are scored, some windows at a time and in order."""
    ids = check_ids(model, ids)
    context, stride = resolved(context, stride, model.max_seq_len)
    length = min(context, len(ids))  # of a window
    together = max(1, BATCH_TOKENS // max(1, length))
    for start in range(0, num_windows(len(ids), context, stride), together):
        numbers = range(start, min(start + together, num_windows(len(ids), context, stride)))
        windows = np.array([window(number, len(ids), context, stride) for number in numbers])
        places = windows[:, :1] + np.arange(length)  # (B, T), of the tokens that are predicted
        rows = torch.from_numpy(ids[np.minimum(places, len(ids) - 1)])  # behind a short one: anything, nothing sees it
        inputs = torch.cat([torch.full((len(rows), 1), model.bos_id), rows[:, :-1]], dim=1)
        scored = torch.from_numpy((places >= windows[:, 1:2]) & (places < windows[:, 2:]))
        states = model.hidden(inputs.to(model.device))[scored.to(model.device)]
        yield States(int(windows[0, 1]), states, rows[scored].to(model.device))


@torch.inference_mode()
def nats(model: "LanguageModel", states: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy (N,) in float64 of targets (N,) by states (N, D), with few logits in memory at a time."""
    size = max(1, TOGETHER // model.config.vocab_size)
    found = [
        F.cross_entropy(model.logits(some).float(), wanted, reduction="none").double()
        for some, wanted in zip(states.split(size), targets.split(size))
    ]
    return torch.cat(found)


def resolved(context: int, stride: int, max_seq_len: int) -> tuple[int, int]:
    """Context and stride with their defaults filled in. Raises ConfigError for what cannot be.

    >>> resolved(0, 0, 256), resolved(0, 64, 256), resolved(32, 0, 256)
    ((256, 256), (256, 64), (32, 32))
    """
    if not 0 <= context <= max_seq_len:
        raise ConfigError(
            f"The context is {context:,} tokens, but the model reads 1 to {max_seq_len:,}; ask for less (0: all)."
        )
    context = context or max_seq_len
    if not 0 <= stride <= context:
        raise ConfigError(
            f"The stride is {stride:,} tokens, but must be 1 to the context's {context:,}, or tokens would be left out "
            "(0: as the context)."
        )
    return context, stride or context


def num_windows(count: int, context: int, stride: int) -> int:
    """Of a text of `count` tokens.

    >>> num_windows(10, 4, 2), num_windows(10, 4, 4), num_windows(3, 4, 1), num_windows(0, 4, 4)
    (4, 3, 1, 0)
    """
    return 1 + -(-max(0, count - context) // stride) if count else 0


def window(number: int, count: int, context: int, stride: int) -> Window:
    """
    >>> [tuple(window(number, 9, 4, 2)) for number in range(num_windows(9, 4, 2))]
    [(0, 0, 4), (2, 4, 6), (4, 6, 8), (6, 8, 9)]
    """
    start = number * stride
    return Window(start, start + context - stride if number else 0, min(start + context, count))


def tokens_read(count: int, context: int, stride: int) -> int:
    """Tokens that go through the model for a text of `count` tokens: what its measurement costs.

    >>> tokens_read(1_000, 100, 100), tokens_read(1_000, 100, 10)
    (1000, 9100)
    """
    return num_windows(count, context, stride) * min(context, count)


def check_ids(model: "LanguageModel", ids: Sequence[int] | np.ndarray) -> np.ndarray:
    """The ids (N,) as int64. TextError where one of them is not the model's."""
    found = np.asarray(ids, dtype=np.int64)
    wrong = found[(found < 0) | (found >= model.config.vocab_size)]
    if wrong.size:
        raise TextError(f"There is no token {wrong[0]}: the model's ids go from 0 to {model.config.vocab_size - 1}.")
    return found
