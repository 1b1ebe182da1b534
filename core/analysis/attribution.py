"""Direct logit attribution: how much of a token's logit each part of the model wrote.

The logit is the product of the final, normalised state and the token's output vector, and the state is a sum: of the
embedding, of what each head writes, of what each feed-forward network writes. So the logit is a sum of their products
with one vector, the token's direction (Elhage et al., "A Mathematical Framework for Transformer Circuits", 2021).

Normalisation is what stands in between. Its scale depends on all parts together; it is taken as it was in this pass.
With the scale held, LayerNorm(y) = gain * (y - mean(y)) / deviation + bias is linear in y, up to the bias, which
becomes a part of its own. A pre-norm model has one such norm behind the sum. A post-norm model has one after every
sublayer: what a head writes goes through all norms above it. The direction is therefore pulled back, from the last norm
to the first, and each part is multiplied with the direction at the place where it is written.

Direct means: what reaches the logit through other heads and networks counts as theirs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core.analysis.lens import check_index, check_token
from core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.analysis.reading import Reading


ROWS = 4_096  # of the output matrix that are held in float64


@dataclass(frozen=True)
class Part:
    """What one part adds to the logit. layer and head count from 0, -1: it has none; attention: "self" or "cross"."""

    kind: Literal["embedding", "position", "head", "attention bias", "mlp", "norm bias", "output bias"]
    value: float
    layer: int = -1
    attention: str = ""
    head: int = -1


@dataclass(frozen=True)
class Attribution:
    """The parts of a logit, or of a difference of logits, in the order in which the model writes them.

    position: where in the text; token: whose logit; other: the token, or "mean" of the vocabulary, that it is compared
    with, or None. logit: the model's own number, which `total`, the sum of the parts, equals up to rounding.
    """

    position: int
    token: int
    other: "int | Literal['mean'] | None"
    logit: float
    parts: list[Part]

    @property
    def total(self) -> float:
        return sum(part.value for part in self.parts)

    def heads(self, attention: str = "self") -> np.ndarray:
        """float64 (layers, heads) of one kind of attention."""
        found = {(p.layer, p.head): p.value for p in self.parts if p.kind == "head" and p.attention == attention}
        layers, heads = (1 + max(place[i] for place in found) for i in (0, 1)) if found else (0, 0)
        return np.array([[found[layer, head] for head in range(heads)] for layer in range(layers)]).reshape(
            layers, heads
        )


def attribute(
    reading: "Reading",
    position: int = -1,
    token: int | None = None,
    other: "int | Literal['mean'] | None" = None,
) -> Attribution:
    """The parts of the token's logit at a position of the decoder (counted from the end if negative).

    token: by default the model's own choice there. other: parts of the difference to this token's logit, or to the mean
    logit of the vocabulary, which what is the same for all tokens drops out of. ConfigError for what there is not, and
    for a model in 8 bits.
    """
    import torch

    model = reading.model
    position = check_index(position, len(reading.ids), "position")
    with torch.inference_mode():
        logits = reading.logits([position])[0].double()
        token = int(logits.argmax()) if token is None else check_token(reading, token)
        direction, bias = _direction(reading, token, other)
        logit = float(logits[token] - _of(logits, other))
        direction, final = _through(model.norm, _stream(reading, len(model.layers), position), direction)
        backwards: list[Part] = []
        if model.output_bias is not None:
            backwards.append(Part("output bias", bias))
        if final is not None:
            backwards.append(Part("norm bias", final))
        for layer, sublayer, direction, constant in _downwards(reading, position, direction):  # noqa: B020
            if constant is not None:
                backwards.append(Part("norm bias", constant, layer, sublayer.attention))
            backwards += reversed(_parts(sublayer, layer, direction))
        if model.positions is not None:
            vector = model.positions(torch.tensor([position], device=model.device))[0]
            backwards.append(Part("position", _dot(vector, direction)))
        embedding = model.token_embedding.weight[reading.ids[position]] * model.embedding_scale
        backwards.append(Part("embedding", _dot(embedding, direction)))
    return Attribution(position, token, other, logit, backwards[::-1])


def by_key(
    reading: "Reading",
    attention: str,
    layer: int,
    head: int,
    position: int = -1,
    token: int | None = None,
    other: "int | Literal['mean'] | None" = None,
) -> np.ndarray:
    """float64 (keys,): of what a head adds to the logit, the share that it read at each key; they sum to its part.

    A head writes a weighted mean of values, so its part is a sum over the keys: weight * (value . W_out . direction).
    """
    import torch

    model = reading.model
    if attention not in reading.kinds or attention == "encoder":
        raise ConfigError(f"The decoder has no attention of the kind {attention!r}.")
    position = check_index(position, len(reading.ids), "position")
    layer = check_index(layer, len(model.layers), "layer")
    head = check_index(head, reading.n_heads, "head")
    with torch.inference_mode():
        if token is None:
            token = int(reading.logits([position])[0].argmax())
        direction, _ = _direction(reading, check_token(reading, token), other)
        direction, _ = _through(model.norm, _stream(reading, len(model.layers), position), direction)
        sublayer, direction = next(
            (sublayer, there)
            for place, sublayer, there, _ in _downwards(reading, position, direction)
            if (place, sublayer.attention) == (layer, attention)
        )
        assert sublayer.weights is not None and sublayer.values is not None
        pulled = sublayer.columns(head).double().T @ direction  # (d_head,)
        shares = sublayer.weights[head].double() * (sublayer.values[head].double() @ pulled)
    return shares.cpu().numpy()  # type: ignore[no-any-return]


@dataclass
class _Sublayer:
    """One step of the walk at one position: what was written, and the sum that a post-norm layer normalises."""

    attention: str  # "self", "cross"; "" for the feed-forward network
    pre_norm: bool
    norm: "nn.Module"
    written: "Tensor"  # (D,)
    sum: "Tensor"  # (D,)
    out: "nn.Module | None" = None  # of attention: the output matrix
    weights: "Tensor | None" = None  # (H, S)
    values: "Tensor | None" = None  # (H, S, d_head)
    mixed: "Tensor | None" = None  # (H, d_head): weights . values

    def columns(self, head: int) -> "Tensor":
        """(D, d_head): the part of the output matrix that a head writes with."""
        from core.model.linear import Linear

        if not isinstance(self.out, Linear):
            raise ConfigError("The parts of a model in 8 bits cannot be told apart; use float32.")
        assert self.values is not None
        size = self.values.shape[-1]
        return self.out.weight[:, head * size : (head + 1) * size]


def _walk(reading: "Reading", layer: int, position: int) -> Iterator[_Sublayer]:
    """One layer at one position again, sublayer by sublayer."""
    module: Any = reading.model.layers[layer]
    pre = bool(module.pre_norm)
    x = _stream(reading, layer, position)
    attentions = [("self", module.attention, module.attention_norm)]
    if reading.model.is_encoder_decoder:
        attentions.append(("cross", module.cross_attention, module.cross_norm))
    for kind, attention, norm in attentions:
        weights, values = _look(reading, kind, layer, position)
        mixed = (weights[:, None] @ values)[:, 0]
        written = attention.out(mixed.to(x.dtype).reshape(1, -1))[0]
        yield _Sublayer(kind, pre, norm, written, x + written, attention.out, weights, values, mixed)
        x = x + written if pre else norm(x + written)
    written = module.feed_forward((module.feed_forward_norm(x) if pre else x)[None])[0]
    yield _Sublayer("", pre, module.feed_forward_norm, written, x + written)


def _downwards(
    reading: "Reading", position: int, direction: "Tensor"
) -> Iterator[tuple[int, _Sublayer, "Tensor", float | None]]:
    """All sublayers from the last to the first: its layer, itself, the direction where it writes, its norm's constant.

    direction: behind the last layer. The state that enters a layer is added where its first sublayer writes, so the
    last direction is the embeddings' too.
    """
    for layer in reversed(range(len(reading.model.layers))):
        for sublayer in reversed(list(_walk(reading, layer, position))):
            constant = None
            if not sublayer.pre_norm:
                direction, constant = _through(sublayer.norm, sublayer.sum, direction)
            yield layer, sublayer, direction, constant


def _look(reading: "Reading", kind: str, layer: int, position: int) -> tuple["Tensor", "Tensor"]:
    """Weights (H, S) and values (H, S, d_head) of the heads' queries at one position."""
    from core.model.trace import Heads

    heads = reading.heads(kind, layer)
    seen = position + 1 if heads.causal else heads.k.shape[2]  # keys that lie ahead weigh nothing
    one = Heads(heads.q[:, :, position : position + 1], heads.k[:, :, :seen], heads.v[:, :, :seen], heads.mask)
    weights = one.attention()[0, :, 0]
    return weights, one.values()[0].to(weights.dtype)


def _parts(sublayer: _Sublayer, layer: int, direction: "Tensor") -> list[Part]:
    """What a sublayer writes, in the direction: head by head, or the network as a whole."""
    if not sublayer.attention:
        return [Part("mlp", _dot(sublayer.written, direction), layer)]
    assert sublayer.mixed is not None and sublayer.out is not None
    parts = []
    for head, mixed in enumerate(sublayer.mixed):
        pulled = sublayer.columns(head).double().T @ direction  # (d_head,)
        parts.append(Part("head", _dot(mixed, pulled), layer, sublayer.attention, head))
    if sublayer.out.bias is not None:
        parts.append(Part("attention bias", _dot(sublayer.out.bias, direction), layer, sublayer.attention))  # type: ignore[arg-type]
    return parts


def _through(norm: "nn.Module", y: "Tensor", direction: "Tensor") -> tuple["Tensor", float | None]:
    """A direction behind a norm, pulled back to before it with the scale held; and what the norm's bias adds.

    direction . norm(y) = pulled . y + constant for this y, and each part of y has its share of the first.
    """
    import torch
    from torch import nn

    y = y.double()
    if isinstance(norm, nn.LayerNorm):
        scaled = norm.weight.double() * direction / torch.sqrt(y.var(unbiased=False) + norm.eps)
        constant = _dot(norm.bias, direction) if norm.bias is not None else None
        return scaled - scaled.mean(), constant  # to take the mean from y or from what it meets is the same
    if isinstance(norm, nn.RMSNorm):
        return norm.weight.double() * direction / torch.sqrt((y * y).mean() + (norm.eps or 0.0)), None
    return direction, None  # a post-norm model has no norm behind its last layer


def _direction(reading: "Reading", token: int, other: "int | Literal['mean'] | None") -> tuple["Tensor", float]:
    """The vector (D,) that the final state is multiplied with, and the bias of the output."""
    from torch import nn

    model = reading.model
    output = model.token_embedding if model.output is None else model.output
    if not isinstance(output, nn.Linear | nn.Embedding):
        raise ConfigError("The parts of a model in 8 bits cannot be told apart; use float32.")
    if other not in (None, "mean"):
        check_token(reading, int(other))  # type: ignore[arg-type]
    matrix, bias = output.weight, model.output_bias
    vector = matrix[token].double() - _of(matrix, other)
    return vector, 0.0 if bias is None else float(bias[token].double() - _of(bias, other))


def _of(rows: "Tensor", other: "int | Literal['mean'] | None") -> "Tensor":
    """The row that is compared with: of a token, the mean, or nothing."""
    import torch

    if other is None:
        return torch.zeros_like(rows[0], dtype=torch.float64)
    if other != "mean":
        return rows[other].double()
    total = sum(part.double().sum(0) for part in rows.split(ROWS))  # no copy of the whole matrix is made
    return total / len(rows)  # type: ignore[no-any-return, operator]


def _stream(reading: "Reading", layer: int, position: int) -> "Tensor":
    return reading.trace.residual["decoder"][layer][0, position]


def _dot(vector: "Tensor", direction: "Tensor") -> float:
    return float(vector.double() @ direction)
