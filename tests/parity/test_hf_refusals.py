"""Checkpoints that are broken, lie, or are none of ours: one sentence that names what is wrong, and no big memory."""

import json
import struct

import pytest
import torch
from hf_models import LLAMA3, assert_refused, edit_config, gpt2, llama, make, marian
from safetensors.torch import load_file, save_file

from core.errors import RunError
from core.model.hf import import_pretrained
from core.run import load


@pytest.mark.parametrize(
    ("base", "change", "sentence"),
    [
        (
            llama,
            {"architectures": ["MistralForCausalLM"]},
            "is a MistralForCausalLM; supported are GPT2LMHeadModel, Llama",
        ),
        (llama, {"architectures": None, "model_type": "bloom"}, "is a bloom; supported are"),
        (llama, {"attention_bias": True}, "attention_bias = True"),
        (llama, {"mlp_bias": True}, "mlp_bias = True"),
        (llama, {"head_dim": 16}, "head_dim = 16"),
        (llama, {"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        (llama, {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "rope_parameters.rope_type = 'yarn'"),
        (llama, {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling.type"),
        (llama, {"rope_parameters": {**LLAMA3, "factor": "8"}}, "rope_parameters.factor in config.json must be"),
        (llama, {"num_key_value_heads": 3}, "multiple of model.n_kv_heads"),
        (llama, {"hidden_size": "32"}, "hidden_size in config.json must be a whole number"),
        (llama, {"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
        (llama, {"num_hidden_layers": 3}, "lacks the weight model.layers.2"),
        (llama, {"num_hidden_layers": 1}, r"does not have: model.layers.1.* and 8 more"),
        (llama, {"intermediate_size": 57}, r"has shape \(56, 32\), but its config.json asks for \(57, 32\)"),
        (gpt2, {"activation_function": "tanh"}, "activation_function = 'tanh'"),
        (gpt2, {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = True"),
        (gpt2, {"scale_attn_weights": False}, "scale_attn_weights = False"),
        (gpt2, {"add_cross_attention": True}, "add_cross_attention = True"),
        (gpt2, {"tie_word_embeddings": False}, "lacks the weight lm_head.weight"),
        (gpt2, {"n_inner": 100}, r"asks for \(32, 100\)"),
    ],
)
def test_what_does_not_fit_is_named(base, change, sentence, tmp_path):
    assert_refused(base(), change, sentence, tmp_path)


def test_broken_files_are_named(tmp_path):
    make(gpt2()).save_pretrained(tmp_path, max_shard_size="20KB")
    index_file = tmp_path / "model.safetensors.index.json"
    index = json.loads(index_file.read_text())

    def refused(sentence, **weight_map):
        index_file.write_text(json.dumps({"weight_map": index["weight_map"] | weight_map}))
        with pytest.raises(RunError, match=sentence):
            load(str(tmp_path)).model  # noqa: B018

    refused("names '../other.safetensors', not a file beside it", x="../other.safetensors")
    refused("names '/etc/passwd', not", x="/etc/passwd")
    refused("not a file beside it", x=["model.safetensors"])
    refused("not a file beside it", x="weights.bin")
    refused("has no model-9.safetensors", x="model-9.safetensors")
    shard = index["weight_map"]["transformer.wte.weight"]
    refused("lacks nothing.weight, which the index promises", **{"nothing.weight": shard})
    (tmp_path / shard).write_bytes((tmp_path / shard).read_bytes()[:1000])
    refused("is broken")


def test_extra_and_doubtful_weights_are_named(tmp_path):
    make(gpt2()).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    embedding = state["transformer.wte.weight"]
    save_file(state | {"lm_head.weight": embedding.clone()}, file)
    assert import_pretrained(tmp_path).model.output is None
    save_file(state | {"lm_head.weight": embedding + 1}, file)
    with pytest.raises(RunError, match="ties the two"):
        import_pretrained(tmp_path).model  # noqa: B018
    save_file(state | {"adapter.weight": embedding.clone()}, file)
    with pytest.raises(RunError, match=r"does not have: adapter\.weight\.$"):
        import_pretrained(tmp_path).model  # noqa: B018
    save_file(state | {"transformer.wte.weight": embedding.to(torch.int8)}, file)
    with pytest.raises(RunError, match=r"transformer\.wte\.weight .* is stored as torch\.int8"):
        import_pretrained(tmp_path).model  # noqa: B018


@pytest.mark.parametrize(("base", "kind"), [(gpt2, "AutoModelForCausalLM"), (marian, "AutoModelForSeq2SeqLM")])
def test_pickled_weights_are_refused(base, kind, tmp_path):
    make(base()).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    sentence = (
        rf"only pickled weights .*AutoTokenizer, {kind}.*from_pretrained\('{tmp_path}'\).save_pretrained\('DIRECT"
    )
    with pytest.raises(RunError, match=sentence):
        load(str(tmp_path))


ABSURD = [
    (llama, {"vocab_size": 10**12}, "bytes of weights, but its config.json asks for more than"),
    (llama, {"num_hidden_layers": 10**9}, "asks for more than"),
    (llama, {"hidden_size": 4 * 10**9, "head_dim": None}, "A table of positions .* is too large"),
    (llama, {"intermediate_size": 10**15}, "asks for more than"),
    (llama, {"max_position_embeddings": 10**12}, "A table of positions .* is too large"),
    (gpt2, {"n_positions": 10**10}, "A table of positions .* is too large"),
    (gpt2, {"n_positions": 10**6}, r"wpe.weight .* has shape \(48, 32\), but its config.json asks for \(1000000, 32\)"),
    (marian, {"encoder_layers": 10**8}, "asks for more than"),
    (marian, {"max_position_embeddings": 10**9}, "A table of positions .* is too large"),
    (marian, {"d_model": -4}, "d_model in config.json must be a whole number"),
    (llama, {"num_attention_heads": 10**6}, "must be a multiple|head_dim"),
    (llama, {"rms_norm_eps": 1e400}, "rms_norm_eps in config.json must be a number above 0"),
]


@pytest.mark.parametrize(("base", "change", "sentence"), ABSURD)
def test_absurd_sizes_take_no_memory(base, change, sentence, tmp_path):
    """Refused before anything of the size is made: the address space has no room for it."""
    resource = pytest.importorskip("resource")
    make(base()).save_pretrained(tmp_path)
    edit_config(tmp_path, **change)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, before[1]))
    try:
        with pytest.raises(RunError, match=sentence) as caught:
            load(str(tmp_path)).model  # noqa: B018
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0" * 7, struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 80) + b'{"transformer.wte.weight":{"dtype":"F32","shape":[9,9],"data_offsets":[0,999]}}  ',
        b"PK\x03\x04" + b"pickle" * 50,
    ],
)  # fmt: skip
def test_files_that_are_no_safetensors_are_named(content, tmp_path):
    make(gpt2()).save_pretrained(tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size
    for data in (content, content + b"\0" * size):
        (tmp_path / "model.safetensors").write_bytes(data)
        with pytest.raises(RunError, match="model.safetensors of .* is broken|bytes of weights") as caught:
            load(str(tmp_path)).model  # noqa: B018
        assert "\n" not in str(caught.value)


def test_every_cut_of_a_file_is_named(tmp_path):
    make(gpt2()).save_pretrained(tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    for length in (0, 5, 8, 100, 2_000, len(whole) // 2, len(whole) - 1):
        (tmp_path / "model.safetensors").write_bytes(whole[:length])
        with pytest.raises(RunError, match="download the checkpoint again"):
            load(str(tmp_path)).model  # noqa: B018


@pytest.mark.parametrize("content", [b"[]", b"{}", b"{", b"[" * 100_000, b"\xff", b'{"architectures": [7]}', b"null"])
def test_configurations_that_are_none(content, tmp_path):
    make(gpt2()).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(RunError, match="no Hugging Face checkpoint|broken|is a 7|supported are") as caught:
        import_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_directory_at_all(tmp_path):
    with pytest.raises(RunError, match="There is no directory"):
        import_pretrained(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["hf:", "hf:../x", "hf:a/b/c", "hf:a b", "hf:/etc/passwd", "hf:a--b/c", "hf:a/b@../c"])
def test_names_that_cannot_be(name):
    with pytest.raises(RunError, match="is not a"):
        load(name)
