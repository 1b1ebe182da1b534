"""What a forward pass leaves behind when it is asked to: attention probabilities and the residual stream."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Trace:
    """Everything that was attended to and written, layer by layer.

    attention: for each kind ("self", "encoder", "cross") one tensor (B, H, Q, K) a layer; rows sum to 1.
        "self" is the decoder's (the only kind of a GPT or Llama), "encoder" the encoder's own.
    residual: for "decoder" and "encoder" the stream (B, T, D): the embeddings, then the state after every layer
        (n_layers + 1 tensors), before the final normalisation.
    """

    attention: dict[str, list[Tensor]] = field(default_factory=dict)
    residual: dict[str, list[Tensor]] = field(default_factory=dict)

    def add_attention(self, kind: str, probabilities: Tensor) -> None:
        self.attention.setdefault(kind, []).append(probabilities.detach())

    def add_residual(self, kind: str, stream: Tensor) -> None:
        self.residual.setdefault(kind, []).append(stream.detach())
