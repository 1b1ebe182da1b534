"""The loss of every token of one text, with its place in the text: what a model finds hard.

    losses = token_losses(run, "to be or not to be")
    losses.nats, losses.figures["bits_per_byte"]
    token_losses(translator, "コーヒーを一杯ください。", source="a cup of coffee , please .")   # of a reference

Language models read a text in the windows of core.evaluate.windows; translators read the source and predict the
reference with its end token.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import regex
import torch

from core.decode.scoring import Judged, judged
from core.decode.search import input_ids
from core.errors import ConfigError, TextError
from core.evaluate.language import text_figures
from core.evaluate.windows import check_ids, resolved, states_by_step
from core.tokenizer.base import Encoding, clean_text
from core.tokenizer.visible import visible

if TYPE_CHECKING:
    from core.run import Run
    from core.tokenizer import Tokenizer

ALTERNATIVES = 5
TOGETHER = 16  # tokens that are kept together for the sake of accents: no letter needs more, but a text can have them
_CHARACTER = regex.compile(r"\X")  # what a reader takes for one character: Unicode's grapheme clusters


@dataclass(frozen=True)
class TokenLosses:
    """N tokens, in order. A translator's last one is the end token, which is no part of the text."""

    text: str  # as the model got it: lone surrogates are U+FFFD
    source: str
    encoding: Encoding = field(repr=False)  # ids, bytes and spans of the N tokens
    nats: np.ndarray  # (N,)
    ranks: np.ndarray  # (N,), 1: it was the most probable one
    entropies: np.ndarray  # (N,) nats, of the distribution that it comes from
    best: np.ndarray  # (N, K) ids of the most probable tokens, in order
    best_probabilities: np.ndarray  # (N, K)
    context: int  # of the windows; for a translator 0
    stride: int
    language: str = ""
    tokenizer: "Tokenizer | None" = field(default=None, repr=False, compare=False)  # of the text

    def __len__(self) -> int:
        return len(self.encoding)

    @property
    def probabilities(self) -> np.ndarray:
        return np.exp(-self.nats)

    @cached_property
    def figures(self) -> dict[str, Any]:
        """Tokens, words, loss per token, perplexity ...: see core.evaluate.language."""
        return {"tokens": len(self), **text_figures(float(self.nats.sum()), len(self), [self.text], self.language)}

    @cached_property
    def groups(self) -> list[range]:
        """Tokens that can only be shown together, because they share a character: see `whole_characters`."""
        return whole_characters(self.text, self.encoding.char_spans)

    def name(self, token: int) -> str:
        """A token's text with everything in it visible."""
        if self.tokenizer is None or not self.tokenizer.has_id(token):
            return f"id {token}"
        return visible(self.tokenizer.token_bytes(token))

    def rows(self) -> list[dict[str, Any]]:
        """A row a token, for a table: plain values."""
        return [
            {
                "position": i,
                "id": token,
                "token": self.name(token),
                "start": self.encoding.char_spans[i][0],
                "end": self.encoding.char_spans[i][1],
                "nats": float(self.nats[i]),
                "bits": float(self.nats[i]) / math.log(2),
                "probability": float(self.probabilities[i]),
                "rank": int(self.ranks[i]),
                "entropy": float(self.entropies[i]),
                "best": self.name(int(self.best[i, 0])),
                "best_probability": float(self.best_probabilities[i, 0]),
            }
            for i, token in enumerate(self.encoding.ids)
        ]


def token_losses(
    run: "Run",
    text: str,
    source: str = "",
    context: int = 0,
    stride: int = 0,
    progress: Callable[[float, str], Any] | None = None,
) -> TokenLosses:
    """The losses of a text, for a translator of the translation `text` of `source`.

    context, stride: of a language model's windows (0: see core.evaluate.windows). Raises TextError for what the model
    cannot read, ConfigError for windows that cannot be.
    """
    text = clean_text(text)
    tokenizer = run.tokenizer.for_target() if run.is_translation else run.tokenizer
    encoding = tokenizer.encode(text)
    if not len(encoding):
        raise TextError("There is nothing to measure: the text is empty.")
    if run.is_translation:
        if context or stride:
            raise ConfigError(f"{run.name} translates, and reads a pair at once: context and stride are for texts.")
        encoding = _with_end(encoding, text, run.model.eos_id, tokenizer)
        found = _of_translation(run, source, encoding.ids)
    else:
        if source:
            raise TextError(f"{run.name} continues texts: give a text alone, without a source.")
        context, stride = resolved(context, stride, run.config.model.max_seq_len)
        found = _of_text(run, encoding.ids, context, stride, progress)
    logprobs, ranks, entropies, best, best_logprobs = found
    data = run.config.data
    return TokenLosses(
        text, clean_text(source), encoding, -logprobs, ranks, entropies, best, np.exp(best_logprobs), context, stride,
        data.tgt_language if run.is_translation else "", tokenizer,
    )  # fmt: skip


def _of_text(
    run: "Run", ids: Sequence[int], context: int, stride: int, progress: Callable[[float, str], Any] | None
) -> tuple[np.ndarray, ...]:
    parts = []
    for first, states, targets in states_by_step(run.model, ids, context, stride):
        parts.append(_arrays(judged(run.model, states, targets, ALTERNATIVES)))
        if progress is not None:
            progress((first + len(targets)) / len(ids), "measuring the loss")
    return tuple(map(np.concatenate, zip(*parts)))


@torch.inference_mode()
def _of_translation(run: "Run", source: str, ids: Sequence[int]) -> tuple[np.ndarray, ...]:
    model = run.model
    given = input_ids(run, source)
    if given is None:
        raise TextError("The source is empty: give the text that was translated.")
    longest = max(len(given), len(ids))
    if longest > model.max_seq_len:
        raise TextError(
            f"The {'source' if len(given) == longest else 'translation'} has {longest:,} tokens with its end token, "
            f"but {run.name} reads at most {model.max_seq_len:,}: shorten it."
        )
    memory = model.encode(torch.from_numpy(check_ids(model, given))[None].to(model.device))
    targets = torch.from_numpy(check_ids(model, ids)).to(model.device)
    inputs = torch.cat([targets.new_tensor([model.bos_id]), targets[:-1]])
    return _arrays(judged(model, model.hidden(inputs[None], memory)[0], targets, ALTERNATIVES))


def _arrays(found: Judged) -> tuple[np.ndarray, ...]:
    return tuple((values.double() if values.is_floating_point() else values).cpu().numpy() for values in found)


def _with_end(encoding: Encoding, text: str, eos_id: int, tokenizer: "Tokenizer") -> Encoding:
    """The encoding with the end token, which stands behind the text and has no bytes in it."""
    size = len(text.encode())
    return Encoding(
        [*encoding.ids, eos_id],
        [*encoding.pieces, b""],
        [*encoding.byte_spans, (size, size)],
        [*encoding.char_spans, (len(text), len(text))],
        [*encoding.special_mask, True],
    )


def whole_characters(text: str, char_spans: Sequence[tuple[int, int]]) -> list[range]:
    """Positions of tokens in groups that share no character of a reader's: of か (three bytes) no part can be shown,
    and neither of an e with its accent.

    char_spans: of the tokens, in order, as in `Encoding`.

    >>> whole_characters("かx", [(0, 1), (0, 1), (1, 2)])
    [range(0, 2), range(2, 3)]
    >>> whole_characters("e\\u0301x", [(0, 1), (1, 2), (2, 3)])
    [range(0, 2), range(2, 3)]
    """
    within: set[int] = set()  # places inside of a character
    if not text.isascii():
        for found in _CHARACTER.finditer(text):
            within.update(range(found.start() + 1, found.end()))
    groups: list[range] = []
    begin, reached = 0, 0
    for position, (start, end) in enumerate(char_spans):
        if position and start >= reached and (start not in within or position - begin >= TOGETHER):
            groups.append(range(begin, position))
            begin = position
        reached = max(reached, end)
    return [*groups, range(begin, len(char_spans))] if char_spans else []
