"""GPT-2 and Llama checkpoints that transformers wrote, read by us: the same logits, attention and greedy text."""

import json

import pytest
import torch
from hf_models import LLAMA3, assert_same, gpt2, ids_for, llama, make, transformers
from safetensors.torch import load_file, save_file

from core.decode import generate, generate_ids
from core.decode.config import GenerationConfig
from core.errors import RunError
from core.model.hf import import_pretrained
from core.run import load
from core.tokenizer import train_bpe


@pytest.mark.parametrize(
    "config",
    [
        gpt2(),
        gpt2(vocab=11, width=16, layers=1, heads=1, activation_function="relu"),
        gpt2(vocab=257, width=24, layers=3, heads=6, n_inner=40, layer_norm_epsilon=1e-3),
        gpt2(tie_word_embeddings=False, activation_function="gelu"),
        gpt2(vocab=53, width=15, layers=4, heads=3, n_inner=7),
    ],
)
def test_gpt2(config, tmp_path):
    theirs = make(config)
    theirs.save_pretrained(tmp_path)
    run = import_pretrained(tmp_path)
    assert not run.model.begins_with_bos and run.model.eos_id == run.model.bos_id == 0
    assert_same(run.model, theirs, double=True)


def all_in_float64(theirs, ours):
    """transformers' Llama computes norms and angles in float32 whatever its weights are. The angles are compared as
    they are, then ours are given to both, with norms of PyTorch's own."""
    rotary, positions = theirs.model.rotary_emb, torch.arange(48)[None]
    for table, expected in zip(ours.rotary(positions[0]), rotary(torch.zeros(1), positions), strict=True):
        torch.testing.assert_close(table, expected[0], atol=1e-5, rtol=0)

    class SameAngles(torch.nn.Module):
        def forward(self, x, position_ids):
            return tuple(table[None] for table in ours.rotary(position_ids[0]))

    theirs.model.rotary_emb = SameAngles()
    for module in list(theirs.modules()):
        for name, child in list(module.named_children()):
            if type(child).__name__ == "LlamaRMSNorm":
                norm = torch.nn.RMSNorm(child.weight.shape, eps=child.variance_epsilon)
                norm.weight = child.weight
                setattr(module, name, norm)
    theirs.set_attn_implementation("sdpa")  # eager has a softmax in float32
    return theirs


@pytest.mark.parametrize(
    "config",
    [
        llama(),
        llama(vocab=11, width=16, layers=1, heads=1, kv=1, tie_word_embeddings=True),
        llama(vocab=257, width=48, layers=3, heads=6, kv=3, rms_norm_eps=1e-5),
        llama(rope_parameters={"rope_type": "default", "rope_theta": 500000.0}),
        llama(width=64, heads=2, kv=2, rope_parameters={"rope_theta": 10000.0, **LLAMA3}),
        llama(vocab=50, width=36, layers=1, heads=6, kv=2, rope_parameters={"rope_theta": 1234.5}),
        llama(vocab=131, width=40, layers=4, heads=4, kv=4, tie_word_embeddings=True, rms_norm_eps=1e-3),
        llama(width=48, heads=12, kv=1, rope_parameters={"rope_theta": 5e5, **LLAMA3, "factor": 32.0}),
    ],
)
def test_llama(config, tmp_path):
    theirs = make(config)
    theirs.save_pretrained(tmp_path)
    run = import_pretrained(tmp_path)
    assert run.model.begins_with_bos and (run.model.bos_id, run.model.eos_id) == (1, 2)
    assert run.model.num_parameters() == theirs.num_parameters()
    assert_same(run.model, theirs)
    assert_same(run.model, all_in_float64(theirs, run.model), double=True)


@pytest.mark.parametrize("config", [gpt2(), llama(), llama(heads=8, kv=1, layers=3)], ids=lambda c: c.model_type)
@torch.inference_mode()
def test_attention(config, tmp_path):
    theirs = make(config)
    theirs.save_pretrained(tmp_path)
    ids = ids_for(101)
    trace = import_pretrained(tmp_path).model(ids, trace=True).trace
    expected = theirs(ids, output_attentions=True).attentions
    assert len(trace.attention["self"]) == len(expected) > 1
    for layer, theirs_layer in zip(trace.attention["self"], expected, strict=True):
        torch.testing.assert_close(layer, theirs_layer, atol=1e-5, rtol=0)


def test_llama3_scaling_matters_and_is_read_from_the_old_form_too(tmp_path):
    theirs = make(llama(width=64, heads=2, kv=2, rope_parameters={"rope_theta": 10000.0, **LLAMA3}))
    theirs.save_pretrained(tmp_path)
    new = import_pretrained(tmp_path).config.model
    values = json.loads((tmp_path / "config.json").read_text())
    del values["rope_parameters"]
    values |= {"rope_theta": 10000.0, "rope_scaling": LLAMA3}
    (tmp_path / "config.json").write_text(json.dumps(values))
    run = import_pretrained(tmp_path)
    assert run.config.model == new and new.rope_scaling == (8.0, 1.0, 4.0, 16.0)
    assert_same(run.model, theirs)
    values["rope_scaling"] = None
    (tmp_path / "config.json").write_text(json.dumps(values))
    ids = ids_for(101)
    assert (import_pretrained(tmp_path).model(ids).logits - theirs(ids).logits).abs().max() > 0.01


def test_llama3_frequencies_at_full_size():
    """Llama 3.1's own numbers, against transformers' function: float32 there, float64 here."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    from core.model.positions import scale_frequencies

    rope = {**LLAMA3, "rope_theta": 500000.0, "original_max_position_embeddings": 8192}
    config = transformers.LlamaConfig(max_position_embeddings=131072, rope_parameters=rope)
    theirs, factor = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 500000.0 ** (-torch.arange(0, 128, 2, dtype=torch.float64) / 128)
    assert factor == 1
    torch.testing.assert_close(scale_frequencies(plain, 8, 1, 4, 8192).float(), theirs, atol=0, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        *((gpt2(), torch.float32), (gpt2(), torch.bfloat16), (gpt2(), torch.float64)),
        *((llama(), torch.float16), (llama(), torch.bfloat16)),
    ],
)
def test_shards_and_types(config, dtype, tmp_path):
    theirs = make(config).to(dtype)
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    run = load(f"{tmp_path}/")
    assert {p.dtype for p in run.model.parameters()} == {torch.float32}
    assert_same(run.model, type(theirs).from_pretrained(tmp_path, dtype=torch.float32).eval())  # angles in float32


def test_names_of_old_checkpoints(tmp_path):
    """The first GPT-2 on the hub: no prefix, and the causal masks among the weights."""
    theirs = make(gpt2())
    theirs.save_pretrained(tmp_path)
    state = {k.removeprefix("transformer."): v for k, v in load_file(tmp_path / "model.safetensors").items()}
    for layer in range(2):
        state[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 48, 48).tril()
    save_file(state, tmp_path / "model.safetensors")
    assert_same(import_pretrained(tmp_path).model, theirs)


@pytest.mark.parametrize("config", [gpt2(), llama()], ids=["gpt2", "llama"])
def test_greedy_is_transformers_greedy(config, tmp_path):
    theirs = make(config)
    theirs.save_pretrained(tmp_path)
    model = import_pretrained(tmp_path).model
    for length in (1, 5, 12):
        prompt = ids_for(101, 1, length) % 98 + 3  # no special tokens
        expected = theirs.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=20, pad_token_id=0
        )[0, length:]
        got = generate_ids(model, prompt.tolist(), GenerationConfig(max_new_tokens=20))[0][0]
        assert got.ids == expected.tolist()


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(["the cat sat on the mat, the dog too"] * 20, 280)


@pytest.mark.parametrize(("config", "bos"), [(gpt2(280), False), (llama(280), True)], ids=["gpt2", "llama"])
def test_bos_before_a_prompt(config, bos, tokenizer, tmp_path):
    make(config).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": bos}))
    run = load(str(tmp_path))
    plain = tokenizer.encode("the cat").ids
    short = GenerationConfig(max_new_tokens=3)
    first, empty = (generation.prompt_ids for generation in generate(run, ["the cat", ""], short))
    assert first == ([1] if bos else []) + plain
    assert empty == [run.model.bos_id]


@pytest.mark.parametrize(("post_processor", "begins"), [(None, False), ("template", True)])
def test_bos_follows_the_tokenizer(post_processor, begins, tokenizer, tmp_path):
    """Llamas whose tokenizer puts no bos before a text have not seen it there."""
    make(llama(280)).save_pretrained(tmp_path)
    document = json.loads(tokenizer.to_json())
    if post_processor:
        document["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        }
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    assert load(str(tmp_path)).model.begins_with_bos is begins


def test_several_end_tokens(tmp_path):
    make(llama(eos_token_id=[2, 7, 9])).save_pretrained(tmp_path)
    run = import_pretrained(tmp_path)
    assert run.model.eos_id == 2 and run.config.decode.stop_ids == (7, 9)


def test_without_a_tokenizer(tmp_path):
    make(gpt2()).save_pretrained(tmp_path)
    run = import_pretrained(tmp_path)
    assert len(generate_ids(run.model, [[5, 6]], GenerationConfig(max_new_tokens=4))[0][0].ids) <= 4
    with pytest.raises(RunError, match=r"has no tokenizer\.json, so it cannot read text"):
        generate(run, "hello")
