"""What a forward pass leaves behind when it is asked to: queries, keys and values of every head, the residual stream.

The attention probabilities are not kept: of T tokens they are T x T numbers a head, while queries and keys, from which
they follow, are T x d_head. So a trace of 512 tokens costs megabytes, and any head's attention a millisecond.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Heads:
    """One layer's attention, as the layer computed it. Queries and keys are those after rotary positions.

    They are kept in the model's precision; scores and probabilities are float32 at least, so that rows sum to 1.
    q (B, H, T, d_head), k and v (B, H_kv, S, d_head). mask: bool, broadcastable to (B, H, T, S), True = may attend;
    None: nothing is hidden. causal: query t sees keys 0..t.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    mask: Tensor | None = None
    causal: bool = False

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in (self.q, self.k, self.v))

    def key_value_head(self, head: int) -> int:
        """Which key and value head a query head reads: with grouped-query attention, neighbours share one."""
        return head // (self.q.shape[1] // self.k.shape[1])

    def scores(self, heads: slice = slice(None)) -> Tensor:
        """q . k / sqrt(d_head) of the chosen query heads, before the mask: (B, h, T, S)."""
        precise = torch.promote_types(self.q.dtype, torch.float32)
        q, k = self.q[:, heads].to(precise), self._shared(self.k, heads).to(precise)
        return q @ k.transpose(-2, -1) / math.sqrt(self.q.shape[-1])

    def visible(self) -> Tensor | None:
        """bool, broadcastable to (B, H, T, S): True where a query may look; None: everywhere."""
        if not self.causal:
            return self.mask
        queries, keys = self.q.shape[2], self.k.shape[2]
        causal = torch.ones(queries, keys, dtype=torch.bool, device=self.q.device).tril()
        return causal if self.mask is None else causal & self.mask

    def attention(self, heads: slice = slice(None)) -> Tensor:
        """The probabilities (B, h, T, S) of the chosen query heads; rows sum to 1, what is hidden is exactly 0."""
        scores, visible = self.scores(heads), self.visible()
        if visible is not None:
            if visible.dim() == 4 and visible.shape[1] > 1:
                visible = visible[:, heads]
            scores = scores.masked_fill(~visible, -math.inf)
        return scores.softmax(dim=-1)

    def values(self, heads: slice = slice(None)) -> Tensor:
        """The values (B, h, S, d_head) that the chosen query heads take means of."""
        return self._shared(self.v, heads)

    def _shared(self, tensor: Tensor, heads: slice) -> Tensor:
        """Keys or values (B, H_kv, S, d_head), one for each of the chosen query heads."""
        group = self.q.shape[1] // tensor.shape[1]
        if group == 1:
            return tensor[:, heads]
        return tensor[:, torch.arange(self.q.shape[1], device=tensor.device)[heads] // group]


@dataclass
class Trace:
    """Everything that was attended to and written, layer by layer.

    heads: for each kind ("self", "encoder", "cross") the `Heads` of every layer. "self" is the decoder's (the only kind
        of a GPT or Llama), "encoder" the encoder's own. None for a layer that the room was not enough for.
    residual: for "decoder" and "encoder" the stream (B, T, D): the embeddings, then the state after every layer
        (n_layers + 1 tensors), before the final normalisation.
    room: bytes that the heads may take; None: no limit.
    """

    heads: dict[str, list[Heads | None]] = field(default_factory=dict)
    residual: dict[str, list[Tensor]] = field(default_factory=dict)
    room: int | None = None

    @property
    def attention(self) -> dict[str, list[Tensor]]:
        """For each kind one tensor of probabilities (B, H, Q, K) a layer, computed now: large for a long text.

        ValueError if there was no room for a layer, as those behind it would pass for others.
        """
        if any(layer is None for layers in self.heads.values() for layer in layers):
            raise ValueError("The trace had no room for the heads of some layers.")
        return {
            kind: [layer.attention() for layer in layers if layer is not None] for kind, layers in self.heads.items()
        }

    @property
    def nbytes(self) -> int:
        heads = sum(layer.nbytes for layers in self.heads.values() for layer in layers if layer is not None)
        return heads + sum(stream.nbytes for streams in self.residual.values() for stream in streams)

    def add_heads(self, kind: str, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> None:
        if v.untyped_storage().data_ptr() != k.untyped_storage().data_ptr():
            v = v.contiguous()  # rotary keys are new: the matrix that values are a part of need not be held for them
        heads: Heads | None = Heads(q.detach(), k.detach(), v.detach(), mask, causal)
        if self.room is not None:
            assert heads is not None
            if heads.nbytes > self.room:
                heads = None
            else:
                self.room -= heads.nbytes
        self.heads.setdefault(kind, []).append(heads)

    def add_residual(self, kind: str, stream: Tensor) -> None:
        self.residual.setdefault(kind, []).append(stream.detach())
