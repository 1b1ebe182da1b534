"""Multi-head attention: every query looks at all keys that it may see and takes a weighted mean of their values.

    attention(Q, K, V) = softmax(Q K^T / sqrt(d_head)) V          (Vaswani et al., 2017, section 3.2)

Shapes: B rows, H heads, T queries, S keys, D = H * d_head. With grouped-query attention (Ainslie et al., 2023) there
are fewer key and value heads than query heads: each is shared by a group of neighbouring query heads.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.model.cache import WIDTH, KVCache
from core.model.linear import Linear
from core.model.positions import rotate
from core.model.trace import Trace


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    trace: Trace | None = None,
    kind: str = "self",
) -> Tensor:
    """q (B, H, T, d), k and v (B, H_kv, S, d) -> (B, T, H * d).

    mask: bool, broadcastable to (B, H, T, S), True = may attend. causal: query t sees keys 0..t; needs no mask.
    PyTorch's fused kernel never holds the T x S probabilities: softmax and weighted mean go block by block (Dao et al.,
    "FlashAttention", 2022). Whoever wants to see them asks for a trace: `trace.Heads.attention` is the formula above.
    One query to a few keys is quicker as the formula says it.
    """
    if q.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        # PyTorch's backward pass of bfloat16 attention takes fourteen times as long as that of float32 on a CPU.
        with torch.autocast("cpu", enabled=False):
            return attend(q.float(), k.float(), v.float(), mask, causal, trace, kind)
    if trace is not None:
        trace.add_heads(kind, q, k, v, mask, causal)
    if q.device.type == "cpu" and q.shape[2] == 1 and mask is not None and k.shape[2] in (WIDTH, 2 * WIDTH):
        return _by_formula(q, k, v, mask)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=q.shape[1] != k.shape[1])
    return out.transpose(1, 2).flatten(2)


def _by_formula(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """`attend` for one query a row: the query heads that share keys are as so many queries."""
    rows, heads, _, d_head = q.shape
    scores = q.reshape(rows, k.shape[1], -1, d_head) * d_head**-0.5 @ k.transpose(-1, -2)
    out: Tensor = scores.masked_fill_(~mask, -torch.inf).softmax(-1) @ v
    return out.reshape(rows, 1, heads * d_head)


class SelfAttention(nn.Module):
    """Queries, keys and values all come from the same sequence."""

    def __init__(self, d_model: int, n_heads: int, n_kv_heads: int, bias: bool, causal: bool) -> None:
        super().__init__()
        self.d_head = d_model // n_heads
        self.n_heads, self.n_kv_heads, self.causal = n_heads, n_kv_heads, causal
        # One matrix product for queries, keys and values is quicker than three.
        self.qkv = Linear(d_model, (n_heads + 2 * n_kv_heads) * self.d_head, bias=bias)
        self.out = Linear(d_model, d_model, bias=bias)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        rotary: tuple[Tensor, Tensor] | None = None,
        cache: KVCache | None = None,
        layer: int = 0,
        trace: Trace | None = None,
    ) -> Tensor:
        """x (B, T, D) -> (B, T, D). With a cache, x continues what the cache holds."""
        heads = self.qkv(x).unflatten(-1, (-1, self.d_head)).transpose(1, 2)  # (B, H + 2 H_kv, T, d_head)
        q, k, v = heads.split([self.n_heads, self.n_kv_heads, self.n_kv_heads], dim=1)
        if rotary is not None:
            q, k = rotate(q, rotary), rotate(k, rotary)
        causal = self.causal
        if cache is not None:
            causal = cache.is_causal(x.shape[1])
            k, v = cache.update(layer, k, v)
        kind = "self" if self.causal else "encoder"
        return self.out(attend(q, k, v, mask, causal, trace, kind))


class CrossAttention(nn.Module):
    """The decoder's queries look at the encoder's states: where a translation finds its source words."""

    def __init__(self, d_model: int, n_heads: int, bias: bool) -> None:
        super().__init__()
        self.d_head = d_model // n_heads
        self.q = Linear(d_model, d_model, bias=bias)
        self.kv = Linear(d_model, 2 * d_model, bias=bias)
        self.out = Linear(d_model, d_model, bias=bias)

    def keys_values(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Encoder states (B, S, D) -> keys and values (B, H, S, d_head)."""
        k, v = self.kv(states).unflatten(-1, (-1, self.d_head)).transpose(1, 2).chunk(2, dim=1)
        return k, v

    def forward(self, x: Tensor, kv: tuple[Tensor, Tensor], mask: Tensor | None, trace: Trace | None = None) -> Tensor:
        """x (B, T, D), mask (sources, 1, 1, S) -> (B, T, D). Neighbouring rows may share a source: KVCache.cross."""
        rows, new, _ = x.shape
        # The queries of the rows that share a source follow each other, as if they were one row's.
        q = self.q(x).view(len(kv[0]), -1, self.q.out_features // self.d_head, self.d_head).transpose(1, 2)
        out = attend(q, *kv, mask, trace=trace, kind="cross")
        return self.out(out.reshape(rows, new, -1))
