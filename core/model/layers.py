"""The layer that every family stacks: attention, then a feed-forward network, each added to the residual stream."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from core.config import ModelConfig
from core.model.attention import CrossAttention, SelfAttention
from core.model.cache import KVCache
from core.model.dropout import Dropout
from core.model.linear import Linear
from core.model.trace import Trace


def gelu_tanh(x: Tensor) -> Tensor:
    """GPT-2's GELU: Hendrycks and Gimpel (2016), the approximation with tanh."""
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "silu": F.silu,
}


class FeedForward(nn.Module):
    """Two matrices with a non-linearity between them, applied to each position by itself."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.up = Linear(config.d_model, config.d_ff)
        self.down = Linear(config.d_ff, config.d_model)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x, self.activation))


class SwiGLU(nn.Module):
    """Llama's feed-forward network: one half of the hidden units opens and closes the other.

    Shazeer, "GLU Variants Improve Transformer" (2020).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_up = Linear(config.d_model, 2 * config.d_ff, bias=False)
        self.down = Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


def make_norm(config: ModelConfig) -> nn.Module:
    """Llama: RMSNorm (Zhang and Sennrich, 2019), which only rescales; else LayerNorm (Ba et al., 2016)."""
    norm = nn.RMSNorm if config.family == "llama" else nn.LayerNorm
    return norm(config.d_model, eps=config.norm_eps)


class Layer(nn.Module):
    """x -> x + attention(norm(x)) -> x + feed_forward(norm(x)): the pre-norm form.

    Post-norm, as in the original paper, normalises after the addition instead: norm(x + attention(x)). A decoder layer
    of the encoder-decoder Transformer has cross-attention between the two.
    """

    def __init__(self, config: ModelConfig, causal: bool, cross: bool = False) -> None:
        super().__init__()
        bias = config.family != "llama"
        self.pre_norm = config.norm_position == "pre"
        self.attention_norm = make_norm(config)
        self.attention = SelfAttention(config.d_model, config.n_heads, config.n_kv_heads, bias, causal)
        if cross:
            self.cross_norm = make_norm(config)
            self.cross_attention = CrossAttention(config.d_model, config.n_heads, bias)
        self.feed_forward_norm = make_norm(config)
        self.feed_forward = SwiGLU(config) if config.family == "llama" else FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        rotary: tuple[Tensor, Tensor] | None = None,
        cross: tuple[tuple[Tensor, Tensor], Tensor | None] | None = None,
        cache: KVCache | None = None,
        layer: int = 0,
        trace: Trace | None = None,
    ) -> Tensor:
        """x (B, T, D) -> (B, T, D). cross: keys and values of the source, and its mask."""
        x = self.residual(x, self.attention_norm, lambda h: self.attention(h, mask, rotary, cache, layer, trace))
        if cross is not None:
            x = self.residual(x, self.cross_norm, lambda h: self.cross_attention(h, *cross, trace))
        return self.residual(x, self.feed_forward_norm, self.feed_forward)

    def residual(self, x: Tensor, norm: nn.Module, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pre_norm:
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))
