"""The model's side of decoding: prompts made ready, and next-token logits for a batch whose rows come and go."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.decode.config import GenerationConfig
from core.decode.processors import NO_TOKEN
from core.errors import TextError

if TYPE_CHECKING:
    from core.model import LanguageModel


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
    """Inputs as they stand; an empty prompt becomes [bos], an empty source [eos].

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

    def start(self) -> Tensor:
        """Logits (B, V) after the prompts."""
        return self._read_all()

    def advance(self, rows: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Row i of the new batch is row `rows[i]` of the old one with `tokens[i]` behind it; logits (len(rows), V)."""
        unchanged = list(rows) == list(range(len(self.rows)))
        self.rows = [self.rows[row] + [token] for row, token in zip(rows, tokens, strict=True)]
        index = torch.tensor(rows, device=self.device)
        if self.cache is None:
            if self.memory is not None and not unchanged:
                self.memory = replace(self.memory, states=self.memory.states[index], mask=self.memory.mask[index])
            return self._read_all()
        if not unchanged:
            self.cache.reorder(index)
        step = torch.tensor(tokens, device=self.device)[:, None]
        return self.model(step, cache=self.cache).logits[:, 0].float()

    def _read_all(self) -> Tensor:
        ids, lengths = self._pad(self.rows)
        logits = self.model(ids, memory=self.memory, cache=self.cache, logit_positions=lengths - 1).logits[:, 0]
        if self.cache is not None:
            self.cache.length = lengths
            self.memory = None  # its keys and values are in the cache
        return logits.float()

    def _pad(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        longest = max(map(len, rows))
        ids = [[*row, *[self.pad_id] * (longest - len(row))] for row in rows]
        return torch.tensor(ids, device=self.device), torch.tensor([len(row) for row in rows], device=self.device)

    def prefixes(self) -> Tensor:
        """What the decoder has read, (B, T), filled up on the left with NO_TOKEN: for processors that look back."""
        longest = max(map(len, self.rows))
        return torch.tensor([[NO_TOKEN] * (longest - len(row)) + row for row in self.rows], device=self.device)
