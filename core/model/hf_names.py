"""How checkpoints of the hub call what our models are made of: explicit lists, read in both directions."""

import re
from dataclasses import dataclass

from torch import Tensor

from core.config import ModelConfig


@dataclass(frozen=True)
class Weight:
    """One of our tensors: the checkpoint's tensors `theirs`, one below the other, `rows` rows each.

    transposed: GPT-2 stores the matrices of its layers as (inputs, outputs), we as (outputs, inputs).
    optional: stored as one row (1, rows); where a checkpoint leaves it out, it is zero.
    """

    ours: str
    theirs: tuple[str, ...]
    rows: tuple[int, ...]
    transposed: bool = False
    optional: bool = False

    def their_shapes(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Shapes in the checkpoint, from the shape of our tensor."""
        if self.optional:
            return [(1, *shape)]
        shapes = [(rows, *shape[1:]) for rows in self.rows]
        return [s[::-1] if self.transposed else s for s in shapes]

    def split(self, tensor: Tensor) -> dict[str, Tensor]:
        """Our tensor as the checkpoint's."""
        if self.optional:
            tensor = tensor[None]
        parts = tensor.split(self.rows) if len(self.rows) > 1 else [tensor]
        return {
            name: (p.t() if self.transposed else p).contiguous() for name, p in zip(self.theirs, parts, strict=True)
        }


def gpt2_weights(config: ModelConfig) -> list[Weight]:
    """transformers' GPT2LMHeadModel."""
    d, ff, vocab = config.d_model, config.d_ff, config.vocab_size
    weights = [
        Weight("token_embedding.weight", ("transformer.wte.weight",), (vocab,)),
        Weight("positions.weight", ("transformer.wpe.weight",), (config.max_seq_len,)),
    ]
    for i in range(config.n_layers):
        for ours, theirs, rows in (
            ("attention_norm", "ln_1", d),
            ("attention.qkv", "attn.c_attn", 3 * d),
            ("attention.out", "attn.c_proj", d),
            ("feed_forward_norm", "ln_2", d),
            ("feed_forward.up", "mlp.c_fc", ff),
            ("feed_forward.down", "mlp.c_proj", d),
        ):
            for kind in ("weight", "bias"):
                matrix = kind == "weight" and "norm" not in ours
                name = f"transformer.h.{i}.{theirs}.{kind}"
                weights.append(Weight(f"layers.{i}.{ours}.{kind}", (name,), (rows,), matrix))
    weights += [Weight(f"norm.{kind}", (f"transformer.ln_f.{kind}",), (d,)) for kind in ("weight", "bias")]
    return weights + _output(config)


def llama_weights(config: ModelConfig) -> list[Weight]:
    """transformers' LlamaForCausalLM. Our queries, keys and values are one matrix, as are gate and up."""
    d, ff, kv = config.d_model, config.d_ff, config.n_kv_heads * config.d_head
    weights = [Weight("token_embedding.weight", ("model.embed_tokens.weight",), (config.vocab_size,))]
    for i in range(config.n_layers):
        for ours, theirs, rows in (
            ("attention_norm", ("input_layernorm",), (d,)),
            ("attention.qkv", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), (d, kv, kv)),
            ("attention.out", ("self_attn.o_proj",), (d,)),
            ("feed_forward_norm", ("post_attention_layernorm",), (d,)),
            ("feed_forward.gate_up", ("mlp.gate_proj", "mlp.up_proj"), (ff, ff)),
            ("feed_forward.down", ("mlp.down_proj",), (d,)),
        ):
            names = tuple(f"model.layers.{i}.{name}.weight" for name in theirs)
            weights.append(Weight(f"layers.{i}.{ours}.weight", names, rows))
    return [*weights, Weight("norm.weight", ("model.norm.weight",), (d,)), *_output(config)]


def translator_weights(config: ModelConfig) -> list[Weight]:
    """transformers' MarianMTModel (post-norm) and PegasusForConditionalGeneration (pre-norm: a last norm a side)."""
    d, ff = config.d_model, config.d_ff
    own = [
        ("attention.qkv", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), (d, d, d)),
        ("attention.out", ("self_attn.out_proj",), (d,)),
        ("attention_norm", ("self_attn_layer_norm",), (d,)),
        ("feed_forward.up", ("fc1",), (ff,)),
        ("feed_forward.down", ("fc2",), (d,)),
        ("feed_forward_norm", ("final_layer_norm",), (d,)),
    ]
    cross = [
        ("cross_attention.q", ("encoder_attn.q_proj",), (d,)),
        ("cross_attention.kv", ("encoder_attn.k_proj", "encoder_attn.v_proj"), (d, d)),
        ("cross_attention.out", ("encoder_attn.out_proj",), (d,)),
        ("cross_norm", ("encoder_attn_layer_norm",), (d,)),
    ]
    weights = [Weight("token_embedding.weight", ("model.shared.weight",), (config.vocab_size,))]
    for side, prefix, depth, parts in (
        ("encoder", "encoder_", config.n_encoder_layers, own),
        ("decoder", "", config.n_layers, own + cross),
    ):
        for kind in ("weight", "bias"):
            for i in range(depth):
                for ours, theirs, rows in parts:
                    names = tuple(f"model.{side}.layers.{i}.{name}.{kind}" for name in theirs)
                    weights.append(Weight(f"{prefix}layers.{i}.{ours}.{kind}", names, rows))
            if config.norm_position == "pre":
                weights.append(Weight(f"{prefix}norm.{kind}", (f"model.{side}.layer_norm.{kind}",), (d,)))
    if config.output_bias:
        weights.append(Weight("output_bias", ("final_logits_bias",), (config.vocab_size,), optional=True))
    return weights + _output(config)


def _output(config: ModelConfig) -> list[Weight]:
    return [] if config.tie_embeddings else [Weight("output.weight", ("lm_head.weight",), (config.vocab_size,))]


WEIGHTS = {"gpt": gpt2_weights, "llama": llama_weights, "transformer": translator_weights}
# Saved by old versions, and made anew by every version that reads them: causal masks, and rotary frequencies.
NOT_WEIGHTS = {
    "gpt": re.compile(r"transformer\.h\.\d+\.attn\.(bias|masked_bias)"),
    "llama": re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"),
    "transformer": re.compile(r"(?!)"),  # nothing
}
# Fixed positions that some checkpoints hold beside their weights.
POSITIONS = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")


def copies(config: ModelConfig) -> list[str]:
    """Names under which a checkpoint may hold the embeddings a second time."""
    sides = ["model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"]
    return [*(sides if config.family == "transformer" else []), *(["lm_head.weight"] if config.tie_embeddings else [])]


def full_name(family: str, name: str) -> str:
    """GPT-2's first checkpoints leave out the prefix `transformer.`."""
    if family == "gpt" and name.split(".")[0] in ("wte", "wpe", "h", "ln_f"):
        return "transformer." + name
    return name
