"""A model reads a text, and everything that it looks at on the way is there to be asked for.

reading = read(run, "I'd like a cup of coffee.")
reading.attention("cross", layer, head)          # (queries, keys), each row sums to 1

What is kept grows with the length of the text, not with its square: queries, keys and values of the heads, as far as
ROOM allows, and the residual stream, from which the heads of any other layer follow again.
"""

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from core.errors import TextError
from core.tokenizer.visible import visible

if TYPE_CHECKING:
    from torch import Tensor

    from core.model import LanguageModel
    from core.model.base import Memory
    from core.model.trace import Heads, Trace
    from core.run import Run
    from core.tokenizer import Tokenizer

KINDS = ("cross", "encoder", "self")
ROOM = 192 * 2**20  # bytes of queries, keys and values that one reading keeps
STREAM = 192 * 2**20  # bytes of residual stream that one reading may hold; a longer text is cut
CELLS = 2**28  # weights of all heads together that one reading may have: about a second to look at them all
MAP = 2**26  # weights of one head: 256 MiB, of which a look at it needs several times as much


@dataclass
class Reading:
    """One forward pass over one text (B = 1), with names for its tokens. All layers and heads count from 0.

    source: ids that the encoder read; empty for a model without one. ids: what the decoder read, bos included.
    written: names of what each decoder position goes on to write (the next token; the last one's is the most probable
    next token, or of a translator the end). target: of a translator, the text of its target.
    """

    run: "Run"
    model: "LanguageModel"
    source: list[int]
    ids: list[int]
    trace: "Trace"
    memory: "Memory | None"
    hidden: "Tensor"  # (T, D): the final states, normalised
    names: list[str]
    source_names: list[str]
    written: list[str]
    written_ids: list[int]  # the same as ids; -1 where a translation did not end
    target: str = ""
    notes: list[str] = field(default_factory=list)  # sentences on what was cut
    _again: dict[tuple[str, int], "Heads"] = field(default_factory=dict)

    @property
    def is_translation(self) -> bool:
        return self.memory is not None

    @property
    def kinds(self) -> list[str]:
        """The kinds of attention that the model has, of KINDS."""
        return [kind for kind in KINDS if kind in self.trace.heads]

    @property
    def nbytes(self) -> int:
        """What the reading holds, without the model."""
        states = self.hidden.nbytes + (self.memory.states.nbytes if self.memory is not None else 0)
        return self.trace.nbytes + states + sum(heads.nbytes for heads in self._again.values())

    def n_layers(self, kind: str) -> int:
        return len(self.trace.heads[kind])

    @property
    def n_heads(self) -> int:
        return self.run.config.model.n_heads

    def is_causal(self, kind: str) -> bool:
        return kind == "self"

    def key_value_head(self, kind: str, head: int) -> int | None:
        """The key and value head that a query head reads, if several share one (grouped-query attention)."""
        config = self.run.config.model
        if kind != "self" or config.n_kv_heads == config.n_heads:
            return None
        return head // (config.n_heads // config.n_kv_heads)

    def queries(self, kind: str) -> list[str]:
        """Names of the tokens that look: what each position read. See `written` for what it goes on to write."""
        return self.source_names if kind == "encoder" else self.names

    def keys(self, kind: str) -> list[str]:
        """Names of the tokens that are looked at."""
        return self.names if kind == "self" else self.source_names

    def query_ids(self, kind: str) -> list[int]:
        return self.source if kind == "encoder" else self.ids

    def key_ids(self, kind: str) -> list[int]:
        return self.ids if kind == "self" else self.source

    def heads(self, kind: str, layer: int) -> "Heads":
        """Queries, keys and values of a layer; of one that was not kept, computed again from the residual stream."""
        kept = self.trace.heads[kind][layer]
        if kept is not None:
            return kept
        again = self._again
        if (kind, layer) not in again:
            again = self._again = self._layer_again("encoder" if kind == "encoder" else "decoder", layer)
        return again[kind, layer]

    def attention(self, kind: str, layer: int, head: int) -> np.ndarray:
        """float32 (queries, keys): rows sum to 1, what lies ahead of a causal query is exactly 0."""
        import torch

        with torch.inference_mode():
            return self.heads(kind, layer).attention(slice(head, head + 1))[0, 0].float().cpu().numpy()

    def layer_attention(self, kind: str, layer: int) -> np.ndarray:
        """float32 (heads, queries, keys) of all heads of a layer."""
        import torch

        with torch.inference_mode():
            return self.heads(kind, layer).attention()[0].float().cpu().numpy()

    def logits(self, positions: slice | list[int] = slice(None)) -> "Tensor":
        """(positions, V) float32: the model's own logits at the decoder's positions."""
        import torch

        with torch.inference_mode():
            return self.model.logits(self.hidden[positions]).float()

    def _layer_again(self, side: str, layer: int) -> dict[tuple[str, int], "Heads"]:
        """Run one layer on the residual stream that enters it."""
        import torch

        from core.model.trace import Trace

        model, record = self.model, Trace()
        with torch.inference_mode():
            x = self.trace.residual[side][layer]
            if side == "encoder":
                model.encoder_layers[layer](x, self.memory.mask[:, None, None, :], trace=record)  # type: ignore
            else:
                positions = torch.arange(x.shape[1], device=x.device)
                rotary = model.rotary(positions) if model.rotary is not None else None
                cross, mask = model.cross_keys_values(self.memory, None)
                source = (cross[layer], mask) if cross else None
                model.layers[layer](x, None, rotary, source, None, layer, record)
        return {(kind, layer): heads[0] for kind, heads in record.heads.items() if heads[0] is not None}


def read(run: "Run", text: str, target: str | None = None, model: "LanguageModel | None" = None) -> Reading:
    """Read the text (and, for a translator, the target: its own translation if there is none).

    model: another model of the run's shape, say of a snapshot or with heads switched off; by default the run's own.
    What does not fit into the model's context, or what a reading may hold, is cut at the end and said in `notes`.
    Raises TextError when there is nothing to attend to.
    """
    model = model or run.model
    notes: list[str] = []
    limit = longest(run)
    if not run.is_translation:
        ids = _cut(model.prompt_ids(run.tokenizer.encode(text).ids), limit, "text", notes)
        if not text:
            what = "the token that begins every text" if model.begins_with_bos else "a token to begin with"
            notes.append(f"The text is empty: the model sees nothing but {what}.")
        return _forward(run, model, [], ids, None, "", notes)
    if not text.strip():
        raise TextError("There is nothing to translate: give a text.")
    source = [*_cut(run.tokenizer.encode(text).ids, limit - 1, "source", notes), model.eos_id]
    if target is None:
        target_ids, finished = own_translation(run, model, source, limit - 1)
        if not finished:
            notes.append(f"The model's translation did not end within {len(target_ids)} tokens.")
    else:
        target_ids, finished = run.tokenizer.for_target().encode(target).ids, True
        target_ids = _cut(target_ids, limit - 1, "target", notes)
    shown = run.tokenizer.decode(target_ids)
    return _forward(run, model, source, [model.bos_id, *target_ids], model.eos_id if finished else -1, shown, notes)


def read_ids(run: "Run", ids: list[int], model: "LanguageModel | None" = None) -> Reading:
    """As `read`, of a language model, for token ids as they are (at most `longest(run)`)."""
    return _forward(run, model or run.model, [], list(ids)[: longest(run)], None, "", [])


def read_translation(run: "Run", source: list[int], ids: list[int]) -> Reading:
    """As `read`, of a translator, for a source as the model got it and a translation that was written: `prompt_ids` and
    `ids` of core.decode, end token included if it has one. What does not fit is cut at the end."""
    limit, end = longest(run), run.model.eos_id
    ended = bool(ids) and ids[-1] == end and len(ids) <= limit
    kept = (ids[:-1] if ended else ids)[: limit - 1]
    return _forward(
        run, run.model, source[:limit], [run.model.bos_id, *kept], end if ended else -1, run.tokenizer.decode(kept), []
    )


def _forward(
    run: "Run",
    model: "LanguageModel",
    source: list[int],
    ids: list[int],
    end: int | None,
    target: str,
    notes: list[str],
) -> Reading:
    """end: what a translation goes on with after its last token (-1: nothing is known); None of a language model."""
    import torch

    from core.model.trace import Trace

    trace = Trace(room=ROOM)
    with torch.inference_mode():
        tokens = torch.tensor([source], device=model.device)
        memory = model.encode(tokens, trace=trace) if source else None
        hidden = model.hidden(torch.tensor([ids], device=model.device), memory, None, trace)[0]
        if end is None:
            end = int(model.logits(hidden[-1:]).argmax())
    names = token_names(run.tokenizer, ids)
    written = [*names[1:], token_names(run.tokenizer, [end])[0] if end >= 0 else "…"]
    return Reading(
        run, model, source, ids, trace, memory, hidden, names, token_names(run.tokenizer, source), written,
        [*ids[1:], end], target, notes,
    )  # fmt: skip


def own_translation(run: "Run", model: "LanguageModel", source: list[int], room: int) -> tuple[list[int], bool]:
    """The model's own translation, by beam search if the run asks for it, and whether it came to an end."""
    from core.decode import generate_ids

    config = run.config.decode
    if config.strategy == "sample":
        config = replace(config, strategy="greedy", num_return_sequences=1)
    config = replace(config, max_new_tokens=min(config.max_new_tokens, room), min_new_tokens=0, stop_strings=())
    best = generate_ids(model, [source], config)[0][0]
    ids = best.ids[:-1] if best.finished and best.ids else best.ids
    return ids, best.finished


def longest(run: "Run") -> int:
    """Tokens that a reading with this model may have on a side: its context, or what CELLS, MAP and STREAM allow."""
    config = run.config.model
    translation = run.is_translation
    maps = config.n_heads * (2 * config.n_layers + config.n_encoder_layers if translation else config.n_layers)
    streams = config.n_layers + 1 + (config.n_encoder_layers + 1 if translation else 0)
    in_memory = STREAM // (4 * config.d_model * streams)
    return max(2, min(config.max_seq_len, math.isqrt(min(MAP, CELLS // maps)), in_memory))


def _cut(ids: list[int], limit: int, what: str, notes: list[str]) -> list[int]:
    if len(ids) > limit:
        notes.append(f"The {what} has {len(ids):,} tokens; the first {limit:,} are read, which is what fits.")
    return ids[:limit]


def token_names(tokenizer: "Tokenizer", ids: list[int]) -> list[str]:
    """How each token is called on an axis: its text with signs for what cannot be seen."""
    return [visible(tokenizer.token_bytes(id)) if tokenizer.has_id(id) else f"#{id}" for id in ids]
