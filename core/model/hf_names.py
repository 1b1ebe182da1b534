"""How GPT-2 and Llama checkpoints call what our models are made of: an explicit list, read in both directions."""

import re
from dataclasses import dataclass

from torch import Tensor

from core.config import ModelConfig


@dataclass(frozen=True)
class Weight:
    """One of our tensors: the checkpoint's tensors `theirs`, one below the other, `rows` rows each.

    transposed: GPT-2 stores the matrices of its layers as (inputs, outputs), we as (outputs, inputs).
    """

    ours: str
    theirs: tuple[str, ...]
    rows: tuple[int, ...]
    transposed: bool = False

    def their_shapes(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Shapes in the checkpoint, from the shape of our tensor."""
        shapes = [(rows, *shape[1:]) for rows in self.rows]
        return [s[::-1] if self.transposed else s for s in shapes]

    def split(self, tensor: Tensor) -> dict[str, Tensor]:
        """Our tensor as the checkpoint's."""
        parts = tensor.split(self.rows)
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


def _output(config: ModelConfig) -> list[Weight]:
    return [] if config.tie_embeddings else [Weight("output.weight", ("lm_head.weight",), (config.vocab_size,))]


WEIGHTS = {"gpt": gpt2_weights, "llama": llama_weights}
# Saved by old versions, and made anew by every version that reads them: causal masks, and rotary frequencies.
NOT_WEIGHTS = {
    "gpt": re.compile(r"transformer\.h\.\d+\.attn\.(bias|masked_bias)"),
    "llama": re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"),
}


def full_name(family: str, name: str) -> str:
    """GPT-2's first checkpoints leave out the prefix `transformer.`."""
    if family == "gpt" and name.split(".")[0] in ("wte", "wpe", "h", "ln_f"):
        return "transformer." + name
    return name
