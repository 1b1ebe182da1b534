"""Checkpoints that transformers wrote, read by us: the same logits and the same greedy text; and back again."""

import json
import socket
import threading
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import core.hub
from core.config import ModelConfig, RunConfig
from core.decode import generate, generate_ids
from core.decode.config import GenerationConfig
from core.errors import RunError
from core.model.hf import import_pretrained
from core.model.hf_export import export_pretrained
from core.run import Run, create_run, load, save_model
from core.tokenizer import train_bpe

transformers = pytest.importorskip("transformers")
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}  # fmt: skip


def make(config, seed=0):
    """A random model, its weights large enough that predictions are far from uniform."""
    torch.manual_seed(seed)
    cls = transformers.GPT2LMHeadModel if config.model_type == "gpt2" else transformers.LlamaForCausalLM
    model = cls(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


def gpt2(vocab=101, width=32, layers=2, heads=4, **more):
    return transformers.GPT2Config(
        vocab_size=vocab, n_embd=width, n_layer=layers, n_head=heads, n_positions=48, attn_implementation="eager",
        **{"bos_token_id": 0, "eos_token_id": 0, **more},
    )  # fmt: skip


def llama(vocab=101, width=32, layers=2, heads=4, kv=2, **more):
    return transformers.LlamaConfig(
        vocab_size=vocab, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv, intermediate_size=56, max_position_embeddings=48, attn_implementation="eager",
        **{"bos_token_id": 1, "eos_token_id": 2, **more},
    )  # fmt: skip


def ids_for(vocab, rows=3, length=37):
    return torch.randint(0, vocab, (rows, length), generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def assert_same(ours, theirs, double=False):
    ids = ids_for(ours.config.vocab_size)
    torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, atol=1e-4, rtol=1e-4)
    if double:
        torch.testing.assert_close(ours.double()(ids).logits, theirs.double()(ids).logits, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(
    "config",
    [
        gpt2(),
        gpt2(vocab=11, width=16, layers=1, heads=1, activation_function="relu"),
        gpt2(vocab=257, width=24, layers=3, heads=6, n_inner=40, layer_norm_epsilon=1e-3),
        gpt2(tie_word_embeddings=False, activation_function="gelu"),
    ],
)
def test_gpt2(config, tmp_path):
    theirs = make(config)
    theirs.save_pretrained(tmp_path)
    run = import_pretrained(tmp_path)
    assert not run.model.begins_with_bos and run.model.eos_id == run.model.bos_id == 0
    assert_same(run.model, theirs, double=True)


@pytest.mark.parametrize(
    "config",
    [
        llama(),
        llama(vocab=11, width=16, layers=1, heads=1, kv=1, tie_word_embeddings=True),
        llama(vocab=257, width=48, layers=3, heads=6, kv=3, rms_norm_eps=1e-5),
        llama(rope_parameters={"rope_type": "default", "rope_theta": 500000.0}),
        llama(width=64, heads=2, kv=2, rope_parameters={"rope_theta": 10000.0, **LLAMA3}),
    ],
)
def test_llama(config, tmp_path):
    theirs = make(config)
    theirs.save_pretrained(tmp_path)
    run = import_pretrained(tmp_path)
    assert run.model.begins_with_bos and (run.model.bos_id, run.model.eos_id) == (1, 2)
    assert run.model.num_parameters() == theirs.num_parameters()
    assert_same(run.model, theirs)


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


@pytest.mark.parametrize(
    ("base", "change", "sentence"),
    [
        (
            llama,
            {"architectures": ["MistralForCausalLM"]},
            "is a MistralForCausalLM; supported are GPT2LMHeadModel and",
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
    make(base()).save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | change))
    with pytest.raises(RunError, match=sentence) as caught:
        load(str(tmp_path)).model  # noqa: B018
    assert "\n" not in str(caught.value)


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


def test_pickled_weights_are_refused(tmp_path):
    make(gpt2()).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(RunError, match=r"only pickled weights .*from_pretrained\(.*save_pretrained\('DIRECTORY'\)"):
        load(str(tmp_path))


@pytest.mark.parametrize("name", ["hf:", "hf:../x", "hf:a/b/c", "hf:a b", "hf:/etc/passwd", "hf:a--b/c", "hf:a/b@../c"])
def test_names_that_cannot_be(name):
    with pytest.raises(RunError, match="is not a"):
        load(name)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An address for the hub, and an empty cache."""
    import huggingface_hub

    def point(address):
        for module in (huggingface_hub.constants, huggingface_hub.hf_api, huggingface_hub.file_download):
            if hasattr(module, "ENDPOINT"):
                monkeypatch.setattr(module, "ENDPOINT", address)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    monkeypatch.setattr(core.hub, "_found", {})
    monkeypatch.setattr(core.hub, "_failed", {})
    return point


def test_no_hub_is_said_at_once(hub, monkeypatch):
    with socket.socket() as listener:  # takes connections and never answers
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        hub(f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setattr(core.hub, "TIMEOUT", 0.3)
        outcome = []

        def attempt():
            try:
                load("hf:org/name")
            except RunError as error:
                outcome.append(str(error))

        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(10)
    assert outcome and "hf:org/name is not in the cache on this machine, and the hub cannot be reached" in outcome[0]
    hub("http://127.0.0.1:9")  # nobody listens
    with pytest.raises(RunError, match="cannot be reached"):
        load("hf:org/other")


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(family="gpt", vocab_size=280, d_model=32, n_layers=2, n_heads=4, max_seq_len=48),
        ModelConfig(family="gpt", vocab_size=280, d_model=24, n_heads=2, activation="relu", tie_embeddings=False),
        ModelConfig(family="llama", vocab_size=280, d_model=48, n_layers=3, n_heads=6, n_kv_heads=2, max_seq_len=48),
        ModelConfig(
            family="llama", vocab_size=280, d_model=32, n_heads=2, tie_embeddings=False, rope_theta=5e5,
            rope_scaling=(8.0, 1.0, 4.0, 16.0), max_seq_len=64,
        ),
    ],
)  # fmt: skip
def test_export_opens_in_transformers(config, tokenizer, tmp_path):
    from core.model import build_model

    directory = create_run(RunConfig(model=config), "mine", tmp_path)
    model = build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    save_model(model, directory / "model.safetensors")
    tokenizer.save(directory / "tokenizer.json")
    run = load("mine", tmp_path)
    assert type(run) is Run
    exported = export_pretrained(run, tmp_path / "exported")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(exported).eval()
    assert_same(run.model, theirs)
    text = "the cat sat on the mat"
    prompt = transformers.AutoTokenizer.from_pretrained(exported)(text)["input_ids"]
    assert prompt == [1, *tokenizer.encode(text).ids]
    again = load(str(exported))
    assert again.config.model == config and again.model.begins_with_bos
    assert all(torch.equal(a, b) for a, b in zip(again.model.state_dict().values(), run.model.state_dict().values()))
    short = GenerationConfig(max_new_tokens=5)
    assert generate(again, text, short)[0].ids == generate(run, text, short)[0].ids
    with pytest.raises(RunError, match="is not empty"):
        export_pretrained(run, exported)


REVISIONS = "/api/models/org/name/revision/"


class FakeHub(BaseHTTPRequestHandler):
    """The three questions that a download asks: what is in the repository, each file's head, and the file."""

    directory: Path
    commit = "c" * 40
    asked: list[str]

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        for key, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        self.asked.append(path)
        files = sorted(p.name for p in self.directory.iterdir())
        if path.removesuffix(self.commit) in ("/api/models/org/name", *(REVISIONS + r for r in ("", "v1", "main"))):
            siblings = [{"rfilename": name} for name in files]
            self.answer(json.dumps({"id": "org/name", "sha": self.commit, "siblings": siblings}).encode())
        elif path.startswith("/api/models/org/name/tree/"):
            tree = [
                {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": sha1(p.read_bytes()).hexdigest()}
                for p in self.directory.iterdir()
            ]
            self.answer(json.dumps(tree).encode(), Content_Type="application/json")
        elif path.startswith(f"/org/name/resolve/{self.commit}/") and path.rpartition("/")[2] in files:
            body = (self.directory / path.rpartition("/")[2]).read_bytes()
            self.answer(body, X_Repo_Commit=self.commit, ETag=f'"{sha1(body).hexdigest()}"')
        elif "/revision/" in path:
            self.answer(b"", 404, X_Error_Code="RevisionNotFound")
        else:
            self.answer(b"", 404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET

    def log_message(self, format, *args):
        pass


def test_a_model_of_the_hub(hub, tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    theirs = make(gpt2())
    theirs.save_pretrained(repository, max_shard_size="20KB")
    (repository / "model.py").write_text("raise SystemExit")
    (repository / "pytorch_model.bin").write_bytes(b"pickle")
    handler = type("Handler", (FakeHub,), {"directory": repository, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub(f"http://127.0.0.1:{server.server_port}")
    try:
        run = load("hf:org/name")
        assert run.name == "hf:org/name"
        assert_same(run.model, theirs)
        assert not [path for path in handler.asked if path.endswith((".bin", ".py"))]
        asked = len(handler.asked)
        assert load("hf:org/name").directory == run.directory and len(handler.asked) == asked  # asked once
        assert load("hf:org/name@v1").directory == run.directory
        with pytest.raises(RunError, match="there is no such revision"):
            load("hf:org/name@v2")
        with pytest.raises(RunError, match="There is no model hf:org/other that you may read"):
            load("hf:org/other")
        for file in repository.glob("*.safetensors"):
            file.unlink()
        with pytest.raises(RunError, match="only pickled weights"):
            import_pretrained("hf:org/name", revision="c" * 40)
    finally:
        server.shutdown()
        server.server_close()
    monkeypatch.setattr(core.hub, "_found", {})
    assert load("hf:org/name@v1").directory == run.directory  # from the cache, without the hub
