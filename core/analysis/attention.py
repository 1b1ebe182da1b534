"""Who attends to whom while a model reads a text: traced once, kept as numpy arrays with the tokens' names.

traced = trace_attention(run, "I'd like a cup of coffee.")
traced.kinds["cross"].weights[layer, head]       # (queries, keys), each row sums to 1
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from core.errors import TextError
from core.tokenizer.visible import visible

if TYPE_CHECKING:
    from core.run import Run
    from core.tokenizer import Tokenizer

KINDS = ("cross", "encoder", "self")
MEMORY = 128 * 2**20  # bytes of attention that one trace may hold; a longer text is cut


@dataclass(frozen=True)
class AttentionMaps:
    """One kind of attention. weights: float32 (layers, heads, queries, keys), rows sum to 1.

    queries and keys name the tokens read at each position. written: of a decoder, the token that each query position
    goes on to write (one shifted by one); empty for an encoder.
    """

    weights: np.ndarray
    queries: list[str]
    keys: list[str]
    written: list[str]
    causal: bool


@dataclass(frozen=True)
class TracedAttention:
    """All attention of one forward pass. target: the text that the decoder of a translator was given, else ""."""

    kinds: dict[str, AttentionMaps]
    target: str
    notes: list[str]  # sentences on what was cut

    @property
    def nbytes(self) -> int:
        return sum(maps.weights.nbytes for maps in self.kinds.values())


def trace_attention(run: "Run", text: str, target: str | None = None) -> TracedAttention:
    """Read the text (and, for a translator, the target: its own translation if there is none) and keep all attention.

    What does not fit into the model's context, or would need more than MEMORY, is cut at the end and said in `notes`.
    Raises TextError when there is nothing to attend to.
    """
    if run.is_translation:
        return _trace_translation(run, text, target)
    return _trace_text(run, text)


def _trace_text(run: "Run", text: str) -> TracedAttention:
    import torch

    model, notes = run.model, []  # type: ignore[var-annotated]
    ids = model.prompt_ids(run.tokenizer.encode(text).ids)
    ids = _cut(ids, longest(run), "text", notes)
    if not text:
        what = "the token that begins every text" if model.begins_with_bos else "a token to begin with"
        notes.append(f"The text is empty: the model sees nothing but {what}.")
    with torch.inference_mode():
        output = model(torch.tensor([ids], device=model.device), trace=True)
    names = token_names(run.tokenizer, ids)
    # What the model itself would write after the last token is its most probable next one.
    written = [*names[1:], token_names(run.tokenizer, [int(output.logits[0, -1].argmax())])[0]]
    maps = AttentionMaps(_stack(output.trace.attention["self"]), names, names, written, causal=True)
    return TracedAttention({"self": maps}, "", notes)


def _trace_translation(run: "Run", text: str, target: str | None) -> TracedAttention:
    import torch

    if not text.strip():
        raise TextError("There is nothing to translate: type a text above.")
    model, notes = run.model, []  # type: ignore[var-annotated]
    limit = longest(run)
    source = run.tokenizer.encode(text).ids
    source = [*_cut(source, limit - 1, "source", notes), model.eos_id]
    if target is None:
        target_ids, finished = _translate(run, source, limit - 1)
        if not finished:
            notes.append(f"The model's translation did not end within {len(target_ids)} tokens.")
    else:
        target_ids, finished = run.tokenizer.for_target().encode(target).ids, True
        target_ids = _cut(target_ids, limit - 1, "target", notes)
    decoder_ids = [model.bos_id, *target_ids]
    with torch.inference_mode():
        memory = model.encode(torch.tensor([source], device=model.device), trace=True)
        trace = model(torch.tensor([decoder_ids], device=model.device), memory=memory, trace=True).trace
    src, tgt = token_names(run.tokenizer, source), token_names(run.tokenizer, decoder_ids)
    end = token_names(run.tokenizer, [model.eos_id])[0] if finished else "…"
    written = [*tgt[1:], end]
    kinds = {
        "cross": AttentionMaps(_stack(trace.attention["cross"]), tgt, src, written, causal=False),
        "encoder": AttentionMaps(_stack(trace.attention["encoder"]), src, src, [], causal=False),
        "self": AttentionMaps(_stack(trace.attention["self"]), tgt, tgt, written, causal=True),
    }
    return TracedAttention(kinds, run.tokenizer.decode(target_ids), notes)


def _translate(run: "Run", source: list[int], room: int) -> tuple[list[int], bool]:
    """The model's own translation, by beam search if the run asks for it, and whether it came to an end."""
    from core.decode import generate_ids

    config = run.config.decode
    if config.strategy == "sample":
        config = replace(config, strategy="greedy", num_return_sequences=1)
    config = replace(config, max_new_tokens=min(config.max_new_tokens, room), min_new_tokens=0, stop_strings=())
    best = generate_ids(run.model, [source], config)[0][0]
    ids = best.ids[:-1] if best.finished and best.ids else best.ids
    return ids, best.finished


def longest(run: "Run") -> int:
    """Tokens that a trace of this model may have on a side: its context, or what MEMORY holds."""
    config = run.config.model
    maps = config.n_heads * (2 * config.n_layers + config.n_encoder_layers if run.is_translation else config.n_layers)
    return max(2, min(config.max_seq_len, math.isqrt(MEMORY // (4 * maps))))


def _cut(ids: list[int], limit: int, what: str, notes: list[str]) -> list[int]:
    if len(ids) > limit:
        notes.append(f"The {what} has {len(ids):,} tokens; the first {limit:,} are read, which is what fits.")
    return ids[:limit]


def _stack(layers: list) -> np.ndarray:
    """Of a batch of one: (layers, heads, queries, keys)."""
    import torch

    return torch.stack([layer[0] for layer in layers]).float().cpu().numpy()


def token_names(tokenizer: "Tokenizer", ids: list[int]) -> list[str]:
    """How each token is called on an axis: its text with signs for what cannot be seen."""
    return [visible(tokenizer.token_bytes(id)) if tokenizer.has_id(id) else f"#{id}" for id in ids]


def entropy(weights: np.ndarray) -> np.ndarray:
    """Entropy of each query's distribution over keys, in nats: (..., queries, keys) -> (..., queries).

    0 when all attention is on one key, ln n when it is spread evenly over n.

    >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).round(4).tolist()
    [0.0, 0.6931]
    """
    logs = np.log(weights, where=weights > 0, out=np.zeros_like(weights))
    return -(weights * logs).sum(axis=-1) + 0.0  # no negative zero


def coverage(weights: np.ndarray) -> np.ndarray:
    """How much of the keys a head finds: the largest weight that each key gets from any query, averaged over keys.

    (..., queries, keys) -> (...). 1 when every key is looked at fully by some query, as in a word alignment or a
    previous-token head; 1 / keys when attention is even, or when all of it goes to one key.

    >>> coverage(np.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])).tolist()
    [1.0, 0.5]
    """
    return weights.max(axis=-2).mean(axis=-1)


def pool(weights: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Shrink the last two axes to at most rows x columns cells, each the mean of the weights it covers.

    The cells are of equal size but for the last ones, which cover what is left.

    >>> pool(np.array([[1.0, 3.0, 5.0], [1.0, 3.0, 5.0]]), 1, 2).tolist()
    [[2.0, 5.0]]
    """
    for axis, cells in ((-2, rows), (-1, columns)):
        step = block(weights.shape[axis], cells)
        if step > 1:
            starts = np.arange(0, weights.shape[axis], step)
            sizes = np.diff(np.append(starts, weights.shape[axis]))
            shape = [1] * weights.ndim
            shape[axis] = len(starts)
            weights = np.add.reduceat(weights, starts, axis=axis) / sizes.reshape(shape)
    return weights


def block(length: int, cells: int) -> int:
    """How many positions one cell covers when `length` positions are shown in at most `cells` cells.

    >>> block(128, 128), block(129, 128)
    (1, 2)
    """
    return max(1, -(-length // cells))
