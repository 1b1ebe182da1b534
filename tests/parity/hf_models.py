"""Tiny random models of transformers, as checkpoints for our side to read, and how the two are compared."""

import json

import pytest
import torch

from core.errors import RunError
from core.run import load

transformers = pytest.importorskip("transformers")
CLASSES = {
    "gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "marian": "MarianMTModel",
    "pegasus": "PegasusForConditionalGeneration",
}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}  # fmt: skip


def make(config, seed=0):
    """A random model, its weights large enough that predictions are far from uniform."""
    torch.manual_seed(seed)
    model = getattr(transformers, CLASSES[config.model_type])(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed_positions" not in name:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_()
            for side in (model.model.encoder, model.model.decoder):
                side.embed_tokens.weight.copy_(model.model.shared.weight)  # untied, they are three
    return model


def gpt2(vocab=101, width=32, layers=2, heads=4, **more):
    return transformers.GPT2Config(
        vocab_size=vocab, n_embd=width, n_layer=layers, n_head=heads, n_positions=48, attn_implementation="eager",
        **{"bos_token_id": 0, "eos_token_id": 0, **more},
    )  # fmt: skip


def llama(vocab=101, width=32, layers=2, heads=4, kv=2, **more):
    return transformers.LlamaConfig(
        vocab_size=vocab, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv, intermediate_size=56, max_position_embeddings=48,
        **{"bos_token_id": 1, "eos_token_id": 2, "attn_implementation": "eager", **more},
    )  # fmt: skip


def translator(cls, vocab=101, width=32, encoder=2, decoder=2, heads=4, wide=40, **more):
    """pad, which the decoder begins with, is the last token; eos is 0, as in the checkpoints of Helsinki-NLP."""
    ids = {"pad_token_id": vocab - 1, "eos_token_id": 0, "decoder_start_token_id": vocab - 1}
    return cls(
        vocab_size=vocab, d_model=width, encoder_layers=encoder, decoder_layers=decoder,
        encoder_attention_heads=heads, decoder_attention_heads=heads, encoder_ffn_dim=wide, decoder_ffn_dim=wide,
        max_position_embeddings=48, forced_eos_token_id=None, attn_implementation="eager", **{**ids, **more},
    )  # fmt: skip


def marian(*shape, **more):
    return translator(transformers.MarianConfig, *shape, **more)


def pegasus(*shape, **more):
    return translator(transformers.PegasusConfig, *shape, **more)


def ids_for(vocab, rows=3, length=37, seed=1):
    return torch.randint(0, vocab, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def logits_of(ours, theirs):
    """Logits of both on the same random ids: of translators with sources of several lengths."""
    vocab = ours.config.vocab_size
    ids = ids_for(vocab)
    if not ours.is_encoder_decoder:
        return ours(ids).logits, theirs(ids).logits
    source, mask = ids_for(vocab, length=23, seed=2), torch.arange(23) < torch.tensor([[23], [9], [1]])
    memory = ours.encode(source, mask)
    other = theirs(input_ids=source, attention_mask=mask.long(), decoder_input_ids=ids, use_cache=False)
    return ours(ids, memory=memory).logits, other.logits


def assert_same(ours, theirs, double=False):
    """float32 logits within 1e-4; with `double` also float64 logits within 1e-10."""
    torch.testing.assert_close(*logits_of(ours, theirs), atol=1e-4, rtol=1e-4)
    if double:
        torch.testing.assert_close(*logits_of(ours.double(), theirs.double()), atol=1e-10, rtol=1e-10)


def edit_config(directory, **change):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def assert_refused(config, change, sentence, directory):
    """A checkpoint whose config.json is changed is refused in one sentence, which names what does not fit."""
    make(config).save_pretrained(directory)
    edit_config(directory, **change)
    with pytest.raises(RunError, match=sentence) as caught:
        load(str(directory)).model  # noqa: B018
    assert "\n" not in str(caught.value)
