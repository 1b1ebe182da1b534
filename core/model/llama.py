"""Llama's shape: what changed in five years after GPT-2.

    RMSNorm instead of LayerNorm      layers.make_norm
    rotary positions                  positions.RotaryPositions, applied to queries and keys in every layer
    SwiGLU instead of GELU            layers.SwiGLU
    grouped-query attention           attention.SelfAttention with n_kv_heads < n_heads
    no biases

Touvron et al., "LLaMA: Open and Efficient Foundation Language Models" (2023).
"""

from core.config import ModelConfig
from core.model.base import LanguageModel


class Llama(LanguageModel):
    """A decoder and nothing else, like GPT; the parts named above follow from the configuration."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.initialise()
