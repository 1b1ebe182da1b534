"""Our models against public ones with the same weights: transformers' GPT-2 and Llama, PyTorch's Transformer."""

import pytest
import torch
from torch import nn

from core.config import ModelConfig
from core.model import build_model

transformers = pytest.importorskip("transformers")


def randomise(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * 0.2)


def gpt2_state(ours):
    """Our GPT's weights under GPT-2's names. Its Conv1D keeps matrices transposed."""
    names = {
        "attention_norm": "ln_1", "feed_forward_norm": "ln_2", "attention.qkv": "attn.c_attn",
        "attention.out": "attn.c_proj", "feed_forward.up": "mlp.c_fc", "feed_forward.down": "mlp.c_proj",
    }  # fmt: skip
    state = {}
    for name, value in ours.state_dict().items():
        if name == "token_embedding.weight":
            state["transformer.wte.weight"] = state["lm_head.weight"] = value
        elif name == "positions.weight":
            state["transformer.wpe.weight"] = value
        elif name.startswith("norm."):
            state["transformer.ln_f." + name[5:]] = value
        else:
            _, layer, rest = name.split(".", 2)
            module, kind = rest.rsplit(".", 1)
            turn = kind == "weight" and "norm" not in module
            state[f"transformer.h.{layer}.{names[module]}.{kind}"] = value.T if turn else value
    return state


@pytest.mark.parametrize(
    ("layers", "heads", "width", "vocab"), [(1, 1, 16, 11), (2, 4, 32, 101), (4, 2, 24, 257), (3, 6, 48, 64)]
)
def test_gpt_equals_gpt2(layers, heads, width, vocab):
    config = ModelConfig(family="gpt", vocab_size=vocab, d_model=width, n_layers=layers, n_heads=heads, max_seq_len=40)
    ours = build_model(config).double().eval()
    randomise(ours)
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=vocab, n_positions=40, n_embd=width, n_layer=layers, n_head=heads, attn_implementation="eager"
        )
    ).double()
    theirs.load_state_dict(gpt2_state(ours))
    theirs.eval()
    ids = torch.randint(0, vocab, (3, 37), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        mine, other = ours(ids, trace=True), theirs(ids, output_attentions=True, output_hidden_states=True)
        torch.testing.assert_close(ours(ids).logits, other.logits, atol=1e-10, rtol=1e-10)
    for a, b in zip(mine.trace.attention["self"], other.attentions, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)
    for a, b in zip(mine.trace.residual["decoder"][:-1], other.hidden_states[:-1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


def llama_state(ours):
    config = ours.config
    sizes = [config.n_heads * config.d_head, *[config.n_kv_heads * config.d_head] * 2]
    state = {
        "model.embed_tokens.weight": ours.token_embedding.weight,
        "model.norm.weight": ours.norm.weight,
        "lm_head.weight": ours.token_embedding.weight if ours.output is None else ours.output.weight,
    }
    for i, layer in enumerate(ours.layers):
        at = f"model.layers.{i}."
        q, k, v = layer.attention.qkv.weight.split(sizes)
        gate, up = layer.feed_forward.gate_up.weight.chunk(2)
        state |= {
            at + "self_attn.q_proj.weight": q, at + "self_attn.k_proj.weight": k, at + "self_attn.v_proj.weight": v,
            at + "self_attn.o_proj.weight": layer.attention.out.weight,
            at + "mlp.gate_proj.weight": gate, at + "mlp.up_proj.weight": up,
            at + "mlp.down_proj.weight": layer.feed_forward.down.weight,
            at + "input_layernorm.weight": layer.attention_norm.weight,
            at + "post_attention_layernorm.weight": layer.feed_forward_norm.weight,
        }  # fmt: skip
    return state


@pytest.mark.parametrize(
    ("layers", "heads", "kv_heads", "width", "vocab", "tied", "theta"),
    [
        (1, 1, 1, 16, 11, True, 1e4),
        (2, 4, 2, 32, 101, False, 5e5),
        (3, 6, 1, 48, 257, True, 1e4),
        (2, 4, 4, 40, 33, False, 1e3),
    ],
)
def test_llama_equals_llama(layers, heads, kv_heads, width, vocab, tied, theta):
    config = ModelConfig(
        family="llama", vocab_size=vocab, d_model=width, n_layers=layers, n_heads=heads, n_kv_heads=kv_heads,
        max_seq_len=40, tie_embeddings=tied, rope_theta=theta,
    )  # fmt: skip
    ours = build_model(config).double().eval()
    randomise(ours)
    # The angles are made in float64 on both sides, so that only the arithmetic is compared.
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=vocab,
            hidden_size=width,
            intermediate_size=config.d_ff,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            max_position_embeddings=40,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": theta},
            tie_word_embeddings=tied,
            attn_implementation="eager",
        )  # fmt: skip
    ).double()
    theirs.load_state_dict(llama_state(ours))
    theirs.eval()
    ids = torch.randint(0, vocab, (3, 37), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        mine, other = ours(ids, trace=True), theirs(ids, output_attentions=True)
        # float32 angles: transformers makes them in float32 whatever the model's type.
        torch.testing.assert_close(ours(ids).logits, other.logits, atol=1e-4, rtol=1e-4)
    for a, b in zip(mine.trace.attention["self"], other.attentions, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def torch_layer_state(layer):
    """Our layer's weights under the names of nn.TransformerEncoderLayer / DecoderLayer."""
    state = {
        "self_attn.in_proj_weight": layer.attention.qkv.weight, "self_attn.in_proj_bias": layer.attention.qkv.bias,
        "self_attn.out_proj.weight": layer.attention.out.weight, "self_attn.out_proj.bias": layer.attention.out.bias,
        "linear1.weight": layer.feed_forward.up.weight, "linear1.bias": layer.feed_forward.up.bias,
        "linear2.weight": layer.feed_forward.down.weight, "linear2.bias": layer.feed_forward.down.bias,
    }  # fmt: skip
    norms = [layer.attention_norm, layer.feed_forward_norm]
    if hasattr(layer, "cross_attention"):
        cross = layer.cross_attention
        state |= {
            "multihead_attn.in_proj_weight": torch.cat([cross.q.weight, cross.kv.weight]),
            "multihead_attn.in_proj_bias": torch.cat([cross.q.bias, cross.kv.bias]),
            "multihead_attn.out_proj.weight": cross.out.weight, "multihead_attn.out_proj.bias": cross.out.bias,
        }  # fmt: skip
        norms.insert(1, layer.cross_norm)
    for i, norm in enumerate(norms, 1):
        state[f"norm{i}.weight"], state[f"norm{i}.bias"] = norm.weight, norm.bias
    return state


@pytest.mark.parametrize("norm_position", ["pre", "post"])
@pytest.mark.parametrize(("activation", "encoder_layers", "decoder_layers"), [("relu", 2, 3), ("gelu", 3, 1)])
def test_transformer_equals_pytorchs_layers(norm_position, activation, encoder_layers, decoder_layers):
    config = ModelConfig(
        family="transformer", vocab_size=83, d_model=32, n_layers=decoder_layers, n_encoder_layers=encoder_layers,
        n_heads=4, d_ff=56, max_seq_len=30, norm_position=norm_position, activation=activation,
    )  # fmt: skip
    ours = build_model(config).double().eval()
    randomise(ours)
    generator = torch.Generator().manual_seed(2)
    src, tgt = torch.randint(0, 83, (3, 11), generator=generator), torch.randint(0, 83, (3, 7), generator=generator)
    mask = torch.arange(11) < torch.tensor([11, 4, 1])[:, None]
    options = {
        "d_model": 32, "nhead": 4, "dim_feedforward": 56, "dropout": 0.0, "activation": activation,
        "batch_first": True, "norm_first": norm_position == "pre", "dtype": torch.float64,
    }  # fmt: skip
    with torch.no_grad():
        x = ours.embed(src, torch.arange(11))
        for layer in ours.encoder_layers:
            theirs = nn.TransformerEncoderLayer(**options)
            theirs.load_state_dict(torch_layer_state(layer))
            x = theirs.train()(x, src_key_padding_mask=~mask)  # train: not the fused path, which changes padding
        states = ours.encoder_norm(x)
        y = ours.embed(tgt, torch.arange(7))
        causal = nn.Transformer.generate_square_subsequent_mask(7, dtype=torch.float64)
        for layer in ours.layers:
            decoder = nn.TransformerDecoderLayer(**options)
            decoder.load_state_dict(torch_layer_state(layer))
            y = decoder(y, states, tgt_mask=causal, memory_key_padding_mask=~mask)
        logits = ours.norm(y) @ ours.token_embedding.weight.T
        memory = ours.encode(src, mask)
        torch.testing.assert_close(memory.states[mask], states[mask], atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(ours(tgt, memory).logits, logits, atol=1e-10, rtol=1e-10)
