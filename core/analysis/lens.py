"""The logit lens: what the model would predict if it stopped after a layer.

Every layer adds to the residual stream, and the last state, normalised, is multiplied with the output matrix. The same
can be done with the state after any other layer: one sees when a prediction comes up, and what it was before
(nostalgebraist, "interpreting GPT: the logit lens", 2020). No layer was trained to be read in this way, so early rows
say what is near in the space of the outputs, not what the model "thinks".

Layer 0 is the embeddings; layer n is the state after the n-th layer, so the last row is the model's own prediction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from core.analysis.reading import Reading

NUMBERS = 2**24  # logits and probabilities that are held at a time


@dataclass(frozen=True)
class Lens:
    """Of L chosen layers and P chosen positions; ranks count from 1, entropies and log-probabilities are in nats.

    final: the token that the model itself finds most probable at a position; followed: the one that its probability
    and rank are given for beside it (what the text goes on with, or a token that was asked for; -1: none).
    """

    layers: list[int]
    positions: list[int]
    ids: np.ndarray  # int32 (L, P, top): the most probable tokens, the first first
    probabilities: np.ndarray  # float32 (L, P, top)
    entropy: np.ndarray  # float32 (L, P)
    divergence: np.ndarray  # float32 (L, P): Kullback-Leibler, of the layer's from the model's own distribution
    final: np.ndarray  # int32 (P,)
    final_rank: np.ndarray  # int32 (L, P)
    final_logprob: np.ndarray  # float32 (L, P)
    followed: np.ndarray  # int32 (P,)
    followed_rank: np.ndarray  # int32 (L, P); 0 where there is none
    followed_logprob: np.ndarray  # float32 (L, P); NaN where there is none


def lens(
    reading: "Reading",
    layers: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    top: int = 5,
    token: int | None = None,
) -> Lens:
    """Read the decoder's stream after the chosen layers (all) at the chosen positions (all) as predictions.

    token: whose probability and rank are followed through the layers; by default that of the text's own next token.
    Never more than NUMBERS logits and probabilities are held. ConfigError for a layer, a position or a token that there
    is not.
    """
    import torch

    model, stream = reading.model, reading.trace.residual["decoder"]
    rows = _chosen(layers, len(stream), "layer")
    columns = _chosen(positions, len(reading.ids), "position")
    followed = torch.tensor(reading.written_ids)[columns]
    if token is not None:
        followed = torch.full_like(followed, check_token(reading, token))
    top = max(1, min(top, model.config.vocab_size))
    followed = followed.to(model.device)
    shape = len(rows), len(columns)
    ids = np.zeros((*shape, top), np.int32)
    probabilities = np.zeros((*shape, top), np.float32)
    entropy, divergence, final_logprob, followed_logprob = (np.zeros(shape, np.float32) for _ in range(4))
    final_rank, followed_rank = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    final = np.zeros(len(columns), np.int32)
    step = max(
        1, NUMBERS // (6 * model.config.vocab_size)
    )  # two numbers a token: of the model, of a layer, of the next
    with torch.inference_mode():
        for start in range(0, len(columns), step):
            part = slice(start, start + step)
            own = model.logits(reading.hidden[columns[part]]).float().log_softmax(-1)
            own_shares, chosen, known = own.exp(), own.argmax(-1), followed[part]
            own_entropy = -torch.linalg.vecdot(own_shares, own)
            final[part] = chosen.cpu().numpy()
            for row, layer in enumerate(rows):
                logprobs = layer_logits(reading, layer, columns[part]).log_softmax(-1)
                shares = logprobs.exp()
                best = shares.topk(top)
                ids[row, part], probabilities[row, part] = best.indices.cpu().numpy(), best.values.cpu().numpy()
                entropy[row, part] = -torch.linalg.vecdot(shares, logprobs).cpu().numpy()
                further = -torch.linalg.vecdot(own_shares, logprobs) - own_entropy
                divergence[row, part] = further.clamp(min=0).cpu().numpy()
                final_rank[row, part], final_logprob[row, part] = _standing(logprobs, chosen)
                followed_rank[row, part], followed_logprob[row, part] = _standing(logprobs, known)
    return Lens(
        rows, columns, ids, probabilities, entropy, divergence, final, final_rank, final_logprob,
        followed.cpu().numpy().astype(np.int32), followed_rank, followed_logprob,
    )  # fmt: skip


def layer_logits(reading: "Reading", layer: int, positions: list[int]) -> "Tensor":
    """(positions, V) float32: the final norm and the output matrix, applied to the state after a layer.

    Post-norm layers end with a norm of their own, so there is no other.
    """
    import torch

    with torch.inference_mode():
        state = reading.trace.residual["decoder"][layer][0, positions]
        return reading.model.logits(reading.model.norm(state)).float()


def _standing(logprobs: "Tensor", tokens: "Tensor") -> tuple[np.ndarray, np.ndarray]:
    """Rank and log-probability of a token for each row; 0 and NaN for the token -1."""
    own = logprobs.gather(-1, tokens.clamp(min=0)[:, None])
    rank = (logprobs > own).sum(-1) + 1
    missing = tokens < 0
    return rank.masked_fill(missing, 0).cpu().numpy(), own[:, 0].masked_fill(missing, float("nan")).cpu().numpy()


@dataclass(frozen=True)
class Norms:
    """Euclidean lengths, float32. stream (n_layers + 1, T): of the stream, first the embeddings; added: for each
    sublayer, in the order of the walk, (n_layers, T): of what it writes, before a post-norm layer's normalisation."""

    stream: np.ndarray
    added: dict[str, np.ndarray]


def stream_norms(reading: "Reading", side: str = "decoder") -> Norms:
    """How long the stream's vectors are, and how much each sublayer ("self" or "encoder", "cross", "mlp") adds."""
    import torch

    added: dict[str, list[np.ndarray]] = {}
    with torch.inference_mode():
        stream = [state[0].float().norm(dim=-1).cpu().numpy() for state in reading.trace.residual[side]]
        for layer in range(len(stream) - 1):
            for kind, written in layer_writes(reading, side, layer):
                added.setdefault(kind, []).append(written.float().norm(dim=-1).cpu().numpy())
    return Norms(np.stack(stream), {kind: np.stack(rows) for kind, rows in added.items()})


def layer_writes(reading: "Reading", side: str, layer: int) -> list[tuple[str, "Tensor"]]:
    """What each sublayer of a layer adds to the stream: (kind, (T, D)) in the order of the walk."""
    import torch

    from core.model.attention import attend

    model = reading.model
    layers: Any = model.encoder_layers if side == "encoder" else model.layers
    module = layers[layer]
    writes: list[tuple[str, Tensor]] = []
    with torch.inference_mode():
        x = reading.trace.residual[side][layer]
        for kind in ("encoder",) if side == "encoder" else ("self", "cross") if model.is_encoder_decoder else ("self",):
            heads = reading.heads(kind, layer)
            attention, norm = module.attention, module.attention_norm
            if kind == "cross":
                attention, norm = module.cross_attention, module.cross_norm
            written = attention.out(attend(heads.q, heads.k, heads.v, heads.mask, heads.causal))
            x = x + written if module.pre_norm else norm(x + written)
            writes.append((kind, written[0]))
        entered = module.feed_forward_norm(x) if module.pre_norm else x
        writes.append(("mlp", module.feed_forward(entered)[0]))
    return writes


def _chosen(given: Sequence[int] | None, count: int, what: str) -> list[int]:
    """Indices as they are asked for, counted from the end if negative; all of them if none are given."""
    if given is None:
        return list(range(count))
    return [check_index(index, count, what) for index in given]


def check_index(index: int, count: int, what: str) -> int:
    """The index, from 0; ConfigError if it is out of range."""
    if not -count <= index < count:
        raise ConfigError(f"There is no {what} {index}: choose one of 0 to {count - 1}.")
    return index % count


def check_token(reading: "Reading", token: int) -> int:
    vocabulary = reading.model.config.vocab_size
    if not 0 <= token < vocabulary:
        raise ConfigError(f"There is no token {token}: the model's ids go from 0 to {vocabulary - 1}.")
    return token
