"""Ablation: switch heads and feed-forward networks off and see what the model does without them.

A head writes W_out[:, its columns] z into the stream. With these columns zero it writes nothing ("zero ablation":
Michel et al., "Are Sixteen Heads Really Better than One?", 2019); with its mean output over a text put into the bias
instead, it writes what it writes on average and nothing that depends on the position ("mean ablation"). The output
matrix of a layer is all that has to change, so the changed model shares every other weight with the original, which
stays as it is.
"""

import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core.analysis.lens import check_index, layer_writes
from core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.analysis.reading import Reading
    from core.model import LanguageModel
    from core.model.linear import Linear

How = Literal["zero", "mean"]
Head = tuple[str, int, int]  # kind ("self", "encoder", "cross"), layer, head
Network = tuple[str, int]  # side ("decoder", "encoder"), layer
NEW_TOKENS = 40  # that a language model goes on with, before and after
NUMBERS = 2**24  # logits that are held at a time


def ablated(
    model: "LanguageModel",
    heads: Collection[Head] = (),
    mlps: Collection[Network] = (),
    how: How = "zero",
    reading: "Reading | None" = None,
) -> "LanguageModel":
    """The model without the given heads and feed-forward networks, to read and write with. The original is unchanged.

    how: what is written in their place: nothing, or ("mean") what they write on average over the tokens of `reading`, a
    reading by the original model. An attention's own bias stays. ConfigError for what the model does not have, and for
    a model in 8 bits.
    """
    import torch

    check_units(model, heads, mlps)
    if how == "mean" and reading is None:
        raise ConfigError("A mean is taken over a reading: give one.")
    means = reading if how == "mean" else None
    by_layer: dict[tuple[str, int], set[int]] = {}
    for kind, layer, head in heads:
        by_layer.setdefault((kind, layer), set()).add(head)
    changed = _shared_copy(model)
    with torch.inference_mode(False), torch.no_grad():  # weights that can be packed, whoever asks
        for (kind, layer), chosen in by_layer.items():
            module: Any = _layers(changed, kind)[layer]
            out = module.cross_attention.out if kind == "cross" else module.attention.out
            mean = _mean_entered(means, kind, layer) if means is not None else None
            _without_heads(out, sorted(chosen), model.config.d_head, mean)
        for side, layer in set(mlps):
            module = _layers(changed, side)[layer]
            mean = layer_writes(means, side, layer)[-1][1].mean(0) if means is not None else None
            _replace(module.feed_forward.down, torch.zeros_like(_weight(module.feed_forward.down)), mean)
    return changed


def check_units(model: "LanguageModel", heads: Collection[Head], mlps: Collection[Network]) -> None:
    """ConfigError for a head or a network that the model does not have."""
    kinds = ("self", "encoder", "cross") if model.is_encoder_decoder else ("self",)
    sides = ("decoder", "encoder") if model.is_encoder_decoder else ("decoder",)
    for kind, layer, head in heads:
        if kind not in kinds or not 0 <= layer < len(_layers(model, kind)) or not 0 <= head < model.config.n_heads:
            raise ConfigError(f"The model has no head {head} of {kind} attention in layer {layer}.")
    for side, layer in mlps:
        if side not in sides or not 0 <= layer < len(_layers(model, side)):
            raise ConfigError(f"The model has no feed-forward network in layer {layer} of its {side}.")


def _layers(model: "LanguageModel", kind: str) -> "nn.ModuleList":
    return model.encoder_layers if kind == "encoder" else model.layers  # type: ignore[return-value]


def _shared_copy(model: "LanguageModel") -> "LanguageModel":
    """Modules of its own, but the same weights, and the same packed copies of them."""
    from core.model.linear import Linear

    packed = [module.packed for module in model.modules() if isinstance(module, Linear)] + [model.packed_output]
    shared = [*model.parameters(), *model.buffers(), *(copied for copied in packed if copied is not None)]
    return copy.deepcopy(model, {id(one): one for one in shared}).eval()


def _without_heads(out: "Linear", heads: list[int], size: int, mean: "Tensor | None") -> None:
    """Zero the heads' columns. mean (D,), of what enters the matrix: what they would make of it goes into the bias."""
    import torch

    weight = _weight(out).clone()
    columns = torch.cat([torch.arange(head * size, (head + 1) * size) for head in heads]).to(weight.device)
    bias: Tensor | None = out.bias
    if mean is not None:
        constant = weight[:, columns] @ mean[columns]
        bias = constant if bias is None else bias + constant
    weight[:, columns] = 0
    _replace(out, weight, bias)


def _weight(linear: "nn.Module") -> "Tensor":
    from core.model.linear import Linear

    if not isinstance(linear, Linear):
        raise ConfigError("Heads of a model in 8 bits cannot be switched off; use float32.")
    return linear.weight


def _replace(linear: "Linear", weight: "Tensor", bias: "Tensor | None") -> None:
    """Give the module weights of its own, packed if the old ones were."""
    from torch import nn

    was_packed = linear.packed is not None
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(bias.detach().clone(), requires_grad=False) if bias is not None else None  # type: ignore[assignment]
    linear.packed = None
    if was_packed:
        linear.pack()


def _mean_entered(reading: "Reading", kind: str, layer: int) -> "Tensor":
    """(D,) what the heads of a layer give to its output matrix, averaged over the tokens."""
    from core.model.attention import attend

    heads = reading.heads(kind, layer)
    return attend(heads.q, heads.k, heads.v, heads.mask, heads.causal)[0].mean(0)


@dataclass(frozen=True)
class Outcome:
    """What a model makes of a text. losses: float32 (tokens,), nats of each token of the text (of a translator: of the
    target), given those before it. probabilities: float32, of the tokens that the comparison names."""

    written: str
    losses: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Ablation:
    """Before and after, on the same tokens. position: whose next token is looked at; ids: the most probable ones there,
    before or after; targets: the tokens that the losses are of."""

    position: int
    ids: list[int]
    targets: list[int]
    before: Outcome
    after: Outcome

    @property
    def loss_change(self) -> float:
        """Nats a token, on average; above 0: the model has become worse. NaN where there is no token to predict."""
        return _mean(self.after.losses) - _mean(self.before.losses)


def compare_ablation(
    reading: "Reading",
    changed: "LanguageModel",
    position: int = -1,
    top: int = 10,
    new_tokens: int = NEW_TOKENS,
    written: str | None = None,
) -> Ablation:
    """Set what the changed model makes of the reading's tokens beside what the reading's own model does.

    top: of each model so many next tokens are looked at. new_tokens: as in `write`. written: what the reading's own
    model writes, where that is known already. ConfigError for a position that there is not.
    """
    import torch

    position = check_index(position, len(reading.ids), "position")
    states = [reading.hidden, _hidden(reading, changed)]
    with torch.inference_mode():
        after, before = (
            model.logits(hidden[position]).float().softmax(-1).cpu()
            for model, hidden in ((changed, states[1]), (reading.model, states[0]))
        )
        ids = list(dict.fromkeys([*before.topk(min(top, len(before))).indices.tolist(),
                                  *after.topk(min(top, len(after))).indices.tolist()]))  # fmt: skip
    if written is None:
        written = write(reading, reading.model, new_tokens)
    return Ablation(
        position, ids, _targets(reading),
        Outcome(written, _losses(reading, reading.model, states[0]), before[ids].numpy()),
        Outcome(write(reading, changed, new_tokens), _losses(reading, changed, states[1]), after[ids].numpy()),
    )  # fmt: skip


def token_losses(reading: "Reading", model: "LanguageModel | None" = None) -> np.ndarray:
    """float32 (tokens,): nats of each token of the reading's text (of a translator: of its target), given those before
    it, by the reading's own model or another of its shape."""
    model = model or reading.model
    return _losses(reading, model, reading.hidden if model is reading.model else _hidden(reading, model))


@dataclass(frozen=True)
class Alone:
    """What switching off one part alone does to the mean loss. kind: as of heads, or "mlp" and "encoder mlp"."""

    kind: str
    layer: int
    head: int  # -1 of a feed-forward network
    loss_change: float


def each_alone(
    reading: "Reading", kinds: Collection[str] | None = None, how: How = "zero", mlps: bool = False
) -> Iterator[Alone]:
    """Switch off every head of the given kinds (all), and every network if asked to, one at a time.

    One after the other, so that whoever reads can show how far it is, and stop. Layers below the changed one compute
    what they did: the reading's stream is taken up where it enters that layer.
    """
    model = reading.model
    usual = _mean(token_losses(reading))
    for kind in reading.kinds if kinds is None else kinds:
        for layer in range(reading.n_layers(kind)):
            for head in range(reading.n_heads):
                changed = ablated(model, [(kind, layer, head)], (), how, reading)
                states = _hidden(reading, changed, kind == "encoder", 0 if kind == "encoder" else layer)
                yield Alone(kind, layer, head, _mean(_losses(reading, changed, states)) - usual)
    if mlps:
        for side in ("encoder", "decoder") if model.is_encoder_decoder else ("decoder",):
            for layer in range(len(_layers(model, side))):
                changed = ablated(model, (), [(side, layer)], how, reading)
                states = _hidden(reading, changed, side == "encoder", 0 if side == "encoder" else layer)
                kind = "mlp" if side == "decoder" else "encoder mlp"
                yield Alone(kind, layer, -1, _mean(_losses(reading, changed, states)) - usual)


def head_importance(
    reading: "Reading", kind: str, how: How = "zero", progress: Callable[[float], object] | None = None
) -> np.ndarray:
    """float32 (layers, heads): the change of the mean loss, in nats a token, when a head alone is switched off."""
    changes = np.zeros((reading.n_layers(kind), reading.n_heads), np.float32)
    for done, alone in enumerate(each_alone(reading, [kind], how), start=1):
        changes[alone.layer, alone.head] = alone.loss_change
        if progress is not None:
            progress(done / changes.size)
    return changes


def _targets(reading: "Reading") -> list[int]:
    """Ids that the losses are of. What a language model would write after its text is not part of it."""
    known = reading.written_ids if reading.is_translation else reading.written_ids[:-1]
    return [id for id in known if id >= 0]


def _hidden(reading: "Reading", model: "LanguageModel", encoder: bool = True, first: int = 0) -> "Tensor":
    """The model's final states (T, D) on the reading's tokens. encoder: read the source again, as something has
    changed there; first: the first decoder layer that may compute anything else than in the reading."""
    import torch

    with torch.inference_mode():
        memory = reading.memory
        if memory is not None and encoder:
            memory = model.encode(torch.tensor([reading.source], device=model.device))
        x = reading.trace.residual["decoder"][first]
        rotary = model.rotary(torch.arange(x.shape[1], device=x.device)) if model.rotary is not None else None
        cross, mask = model.cross_keys_values(memory, None)
        for layer in range(first, len(model.layers)):
            x = model.layers[layer](x, None, rotary, (cross[layer], mask) if cross else None)
        return model.norm(x)[0]  # type: ignore[no-any-return]


def _losses(reading: "Reading", model: "LanguageModel", hidden: "Tensor") -> np.ndarray:
    import torch
    import torch.nn.functional as F

    targets = torch.tensor(_targets(reading), dtype=torch.long, device=hidden.device)
    losses, step = [np.zeros(0, np.float32)], max(1, NUMBERS // model.config.vocab_size)
    with torch.inference_mode():
        for start in range(0, len(targets), step):
            wanted = targets[start : start + step]
            logits = model.logits(hidden[start : start + len(wanted)]).float()
            losses.append(F.cross_entropy(logits, wanted, reduction="none").cpu().numpy())
    return np.concatenate(losses)


def write(reading: "Reading", model: "LanguageModel", new_tokens: int = NEW_TOKENS) -> str:
    """A translator's translation of the reading's source, by the run's decoding settings; else up to `new_tokens`
    tokens that the text is continued with, each the most probable one."""
    from core.analysis.reading import own_translation
    from core.decode import GenerationConfig, generate_ids

    if reading.is_translation:
        ids, _ = own_translation(reading.run, model, reading.source, model.max_seq_len - 1)
    else:
        greedy = GenerationConfig(strategy="greedy", max_new_tokens=new_tokens)
        ids = generate_ids(model, [reading.ids], greedy)[0][0].ids
    return reading.run.tokenizer.decode(ids)


def _mean(losses: np.ndarray) -> float:
    return float(losses.mean(dtype=np.float64)) if len(losses) else float("nan")
