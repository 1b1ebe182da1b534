"""The encoder-decoder Transformer of "Attention Is All You Need" (Vaswani et al., 2017).

source ids -> embedding -> encoder layers (every position sees every other)  -> memory
target ids -> embedding -> decoder layers (causal self-attention, then cross-attention to memory) -> logits
"""

import torch
from torch import Tensor, nn

from core.config import ModelConfig
from core.model.base import LanguageModel, Memory
from core.model.cache import KVCache
from core.model.layers import Layer, make_norm
from core.model.trace import Trace


class Transformer(LanguageModel):
    """Source and target share one vocabulary and one embedding matrix."""

    is_encoder_decoder = True

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.encoder_layers = nn.ModuleList(Layer(config, causal=False) for _ in range(config.n_encoder_layers))
        self.encoder_norm = make_norm(config) if config.norm_position == "pre" else nn.Identity()
        self.initialise()

    def encode(self, src_ids: Tensor, src_mask: Tensor | None = None, trace: bool | Trace = False) -> Memory:
        """src_ids (B, S), src_mask (B, S) bool with True = a real token -> states (B, S, D)."""
        self.check_length(src_ids.shape[1])
        if src_mask is None:
            src_mask = torch.ones_like(src_ids, dtype=torch.bool)
        record = trace if isinstance(trace, Trace) else Trace() if trace else None
        mask = src_mask[:, None, None, :]  # every query of a row may see the row's real tokens
        x = self.embed(src_ids, torch.arange(src_ids.shape[1], device=src_ids.device))
        if record is not None:
            record.add_residual("encoder", x)
        for layer in self.encoder_layers:
            x = self.through(layer, x, mask, None, None, None, 0, record)
            if record is not None:
                record.add_residual("encoder", x)
        return Memory(self.encoder_norm(x), src_mask, record)

    def cross_keys_values(
        self, memory: Memory | None, cache: KVCache | None
    ) -> tuple[list[tuple[Tensor, Tensor]], Tensor | None]:
        """Computed once a source: with a cache they are kept there."""
        if cache is not None and cache.cross:
            return cache.cross, _for_queries(cache.memory_mask)
        if memory is None:
            raise ValueError("An encoder-decoder needs the memory that encode() returned.")
        cross = [layer.cross_attention.keys_values(memory.states) for layer in self.layers]  # type: ignore[union-attr, operator]
        mask: Tensor | None = memory.mask
        if cache is not None:
            cross, mask = cache.keep_cross(cross, memory.mask)
        return cross, _for_queries(mask)


def _for_queries(mask: Tensor | None) -> Tensor | None:
    """(B, S) as attention takes it, (B, 1, 1, S)."""
    return mask[:, None, None, :] if mask is not None else None
