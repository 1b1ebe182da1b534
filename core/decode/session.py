"""The model's side of decoding: prompts made ready, and next-token logits for a batch whose rows come and go."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.decode.config import GenerationConfig
from core.decode.processors import NO_TOKEN, Best, best_of
from core.errors import TextError
from core.model.graph import GraphedSteps

if TYPE_CHECKING:
    from core.model import LanguageModel

BLOCK = 128  # rows whose logits are looked through together


@dataclass(frozen=True)
class Prompt:
    """One input as the model gets it."""

    ids: list[int]  # the prompt, or the source of an encoder-decoder
    start: list[int]  # what the decoder begins with: the prompt, or [bos]
    max_new_tokens: int  # as configured, or what the context has room for
    truncated: bool


def prepare(
    model: "LanguageModel", inputs: Sequence[Sequence[int]], config: GenerationConfig, bos_id: int, eos_id: int | None
) -> list[Prompt]:
    """Inputs as they stand; an empty prompt becomes [bos], an empty source [eos] (or [bos], where there is no eos).

    Prompt and continuation together are at most max_seq_len tokens: generation stops there. A prompt that leaves no
    room for a single token keeps its end, behind bos if it began with that, such that max_new_tokens fit, but no more
    than half of the context is freed. A source longer than the context keeps its beginning (and its last token if
    that is eos).
    """
    context = model.max_seq_len
    prompts = []
    for number, given in enumerate(inputs):
        ids = [int(token) for token in given]
        wrong = next((token for token in ids if not 0 <= token < model.config.vocab_size), None)
        if wrong is not None:
            raise TextError(
                f"Input {number} holds token {wrong}, but the model's ids go from 0 to {model.config.vocab_size - 1}."
            )
        if model.is_encoder_decoder:
            ids = ids or [bos_id if eos_id is None else eos_id]
            kept = ids
            if len(ids) > context:
                kept = ids[: context - 1] + [eos_id] if eos_id is not None and ids[-1] == eos_id else ids[:context]
            prompts.append(Prompt(kept, [bos_id], min(config.max_new_tokens, context - 1), kept is not ids))
        else:
            ids = ids or [bos_id]
            kept = ids
            if len(ids) >= context:
                room = context - min(config.max_new_tokens, context // 2)
                head = [bos_id] if ids[0] == bos_id and room > 1 else []
                kept = head + ids[len(ids) - (room - len(head)) :]
            prompts.append(Prompt(kept, kept, min(config.max_new_tokens, context - len(kept)), kept is not ids))
    return prompts


class Session:
    """A batch being decoded. `start` reads the prompts; every `advance` chooses rows and gives each its next token.

    Prompts of different lengths are padded on the right; each row goes on at its own length, so that a row's logits do
    not depend on the others. Without a cache every step reads everything again: slow, and the same result.
    """

    def __init__(self, model: "LanguageModel", prompts: Sequence[Prompt], pad_id: int, use_cache: bool = True) -> None:
        self.model = model
        self.device = model.device
        self.pad_id = pad_id
        self.rows = [list(prompt.start) for prompt in prompts]  # what the decoder has read, without padding
        self.memory = None
        if model.is_encoder_decoder:
            src_ids, lengths = self._pad([prompt.ids for prompt in prompts])
            mask = torch.arange(src_ids.shape[1], device=self.device) < lengths[:, None]
            self.memory = model.encode(src_ids, mask)
        self.cache = None
        if use_cache:
            # The last token of a row is never read.
            longest = max(len(prompt.start) + prompt.max_new_tokens - 1 for prompt in prompts)
            self.cache = model.new_cache(len(prompts), max(longest, max(map(len, self.rows))))
        self.graphed = GraphedSteps(model, self.cache) if self.cache is not None and self.cache.fixed else None

    def start(self) -> Tensor:
        """Logits (B, V) after the prompts."""
        return self._read_all()

    def start_best(self, count: int) -> Best:
        """Of what `start` gives only the best of each row. The logits of a large batch do not fit into a processor's
        cache; here they are made, looked through and dropped a block of rows at a time."""
        ids, lengths = self._pad(self.rows)
        best = self._best(self._states(ids)[torch.arange(len(ids), device=self.device), lengths - 1], count)
        self._has_read(lengths)
        return best

    def keep(self, rows: Sequence[int]) -> None:
        """Row i of the new batch is row `rows[i]` of the old one; rows may be left out and repeated."""
        if list(rows) == list(range(len(self.rows))):
            return
        self.rows = [self.rows[row] for row in rows]
        index = torch.tensor(rows, device=self.device)
        if self.cache is not None:
            self.cache.reorder(index)
        elif self.memory is not None:
            self.memory = replace(self.memory, states=self.memory.states[index], mask=self.memory.mask[index])

    def advance(self, rows: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Row i of the new batch is row `rows[i]` of the old one with `tokens[i]` behind it; logits (len(rows), V)."""
        self._append(rows, tokens)
        if self.cache is None:
            return self._read_all()
        step = torch.tensor(tokens, device=self.device)[:, None]
        logits = self.graphed(step) if self.graphed is not None else self._forward(step)
        return logits[:, 0].float()

    def advance_best(self, rows: Sequence[int], tokens: Sequence[int], count: int) -> Best:
        """Of what `advance` gives only the best of each row: see `start_best`."""
        if self.graphed is not None:
            return best_of(self.advance(rows, tokens), count)
        self._append(rows, tokens)
        if self.cache is None:
            return self.start_best(count)
        return self._best(self._states(torch.tensor(tokens, device=self.device)[:, None])[:, 0], count)

    def _append(self, rows: Sequence[int], tokens: Sequence[int]) -> None:
        self.keep(rows)
        self.rows = [row + [token] for row, token in zip(self.rows, tokens, strict=True)]

    def _best(self, states: Tensor, count: int) -> Best:
        """states (B, D)."""
        blocks = states.split(BLOCK if self.device.type == "cpu" else len(states))
        found = [best_of(self.model.logits(block).float(), count) for block in blocks]
        return Best(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def extend(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Every row with `tokens[i]` behind it, none or more; logits (B, N, V) after the last N tokens of each row,
        where N is the most that a row gets. (A row shorter than N: its first logits are repeated.)

        All rows read N tokens: those that get fewer read some of their own again, which changes nothing, so that none
        reads padding beyond the end of its context.
        """
        new = max(1, *map(len, tokens))
        self.rows = [row + list(more) for row, more in zip(self.rows, tokens, strict=True)]
        starts = [0] * len(self.rows)
        if self.cache is not None:
            starts = [max(0, len(row) - new) for row in self.rows]
            self.cache.length = torch.tensor(starts, device=self.device)
        ids, lengths = self._pad([row[start:] for row, start in zip(self.rows, starts, strict=True)])
        logits = self._forward(ids)
        if self.cache is not None:
            self.cache.length = torch.tensor([len(row) for row in self.rows], device=self.device)
        at = (lengths[:, None] - new + torch.arange(new, device=self.device)).clamp(min=0)
        return logits[torch.arange(len(self.rows), device=self.device)[:, None], at].float()

    def rewind(self, lengths: Sequence[int]) -> None:
        """Row i forgets what it has read behind its first `lengths[i]` tokens."""
        self.rows = [row[:length] for row, length in zip(self.rows, lengths, strict=True)]
        if self.cache is not None:
            self.cache.length = torch.tensor(lengths, device=self.device)

    def _read_all(self) -> Tensor:
        ids, lengths = self._pad(self.rows)
        logits = self._forward(ids, lengths - 1)[:, 0]
        self._has_read(lengths)
        return logits.float()

    def _has_read(self, lengths: Tensor) -> None:
        if self.cache is not None:
            self.cache.length = lengths
            self.memory = None  # its keys and values are in the cache

    def _forward(self, ids: Tensor, last: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) of ids (B, T); with `last` (B,) those of one position a row only, (B, 1, V)."""
        return self.model(ids, memory=self.memory, cache=self.cache, logit_positions=last).logits

    def _states(self, ids: Tensor) -> Tensor:
        """The final states (B, T, D), of which the model makes logits."""
        return self.model.hidden(ids, self.memory, self.cache)

    def _pad(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        longest = max(map(len, rows))
        ids = [[*row, *[self.pad_id] * (longest - len(row))] for row in rows]
        return torch.tensor(ids, device=self.device), torch.tensor([len(row) for row in rows], device=self.device)

    def prefixes(self) -> Tensor:
        """What the decoder has read, (B, T), filled up on the left with NO_TOKEN: for processors that look back."""
        return left_padded(self.rows, self.device)


def left_padded(rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> Tensor:
    """Ids (B, T), filled up on the left with NO_TOKEN."""
    longest = max(map(len, rows))
    return torch.tensor([[*[NO_TOKEN] * (longest - len(row)), *row] for row in rows], dtype=torch.long, device=device)
