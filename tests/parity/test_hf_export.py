"""Our runs as checkpoints: transformers' from_pretrained opens them, with the same logits and the same text."""

import json

import pytest
import torch
from hf_models import assert_same, logits_of, make, marian, pegasus, transformers

from core.config import ModelConfig, RunConfig
from core.decode import generate
from core.decode.config import GenerationConfig
from core.errors import RunError
from core.model import build_model
from core.model.hf_export import export_pretrained
from core.run import Run, create_run, load, save_model
from core.tokenizer import train_bpe


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(["the cat sat on the mat, the dog too"] * 20, 280)


def make_run(config, tokenizer, folder, decode=None):
    """A run with random weights, as training would leave it."""
    directory = create_run(RunConfig(model=config, decode=decode or GenerationConfig()), "mine", folder)
    model = build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    save_model(model, directory / "model.safetensors")
    tokenizer.save(directory / "tokenizer.json")
    run = load("mine", folder)
    assert type(run) is Run
    return run


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
def test_language_models(config, tokenizer, tmp_path):
    run = make_run(config, tokenizer, tmp_path)
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


def transformer(**more):
    shape = {"vocab_size": 280, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 48, "d_ff": 40}
    return ModelConfig(family="transformer", **{**shape, **more})


@pytest.mark.parametrize(
    ("config", "architecture"),
    [
        (transformer(), "PegasusForConditionalGeneration"),
        (transformer(norm_position="post"), "MarianMTModel"),
        (transformer(n_layers=3, n_encoder_layers=1, activation="gelu_tanh"), "PegasusForConditionalGeneration"),
        (transformer(d_model=27, n_heads=3, n_encoder_layers=3, norm_position="post"), "MarianMTModel"),  # odd width
        (transformer(tie_embeddings=False), "PegasusForConditionalGeneration"),
        (transformer(tie_embeddings=False, norm_position="post", activation="silu"), "MarianMTModel"),
        (transformer(positions="sinusoidal_halves", output_bias=True, norm_position="post"), "MarianMTModel"),
        (transformer(positions="sinusoidal_halves", scale_embeddings=False), "PegasusForConditionalGeneration"),
    ],
)
def test_translators(config, architecture, tokenizer, tmp_path):
    run = make_run(config, tokenizer, tmp_path, GenerationConfig(strategy="beam", num_beams=3, max_new_tokens=12))
    exported = export_pretrained(run, tmp_path / "exported")
    theirs, told = transformers.AutoModelForSeq2SeqLM.from_pretrained(exported, output_loading_info=True)
    assert type(theirs).__name__ == architecture and not any(told.values())  # no key missing, none to spare
    assert_same(run.model, theirs.eval())
    text = "the cat sat on the mat"
    theirs_tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    inputs = theirs_tokenizer(text, return_tensors="pt")
    assert inputs["input_ids"][0].tolist() == [*tokenizer.encode(text).ids, 2]
    written = generate(run, text)[0]
    assert theirs.generate(**inputs)[0, 1:].tolist() == written.ids  # beams, as the run's configuration says
    again = load(str(exported))
    assert again.config.decode == run.config.decode and (again.model.bos_id, again.model.eos_id) == (1, 2)
    assert_same(again.model, theirs)
    assert generate(again, text)[0].text == written.text
    second = export_pretrained(again, tmp_path / "second")  # and out once more: the very same weights
    assert (second / "model.safetensors").read_bytes() == (exported / "model.safetensors").read_bytes()


def test_the_float64_logits_of_an_exported_translator(tokenizer, tmp_path):
    """The other order of the residual stream is the same model, to the last digits: sums are in another order only."""
    run = make_run(transformer(), tokenizer, tmp_path)
    exported = export_pretrained(run, tmp_path / "exported")
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(exported).eval()
    torch.testing.assert_close(*logits_of(run.model.double(), theirs.double()), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"positions": "learned"}, "model.positions = 'learned', but Pegasus"),
        ({"norm_eps": 1e-3, "norm_position": "post"}, "model.norm_eps = 0.001, but MarianMTModel has 1e-05 only"),
    ],
)
def test_what_has_no_counterpart_is_named(change, sentence, tokenizer, tmp_path):
    run = make_run(transformer(**change), tokenizer, tmp_path)
    with pytest.raises(RunError, match=sentence):
        export_pretrained(run, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


@pytest.mark.parametrize("config", [marian(), pegasus()], ids=["marian", "pegasus"])
def test_back_to_where_it_came_from(config, tmp_path):
    theirs = make(config)
    theirs.save_pretrained(tmp_path / "theirs")
    exported = export_pretrained(load(str(tmp_path / "theirs")), tmp_path / "exported")
    again = type(theirs).from_pretrained(exported).eval()
    expected = theirs.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.state_dict().items())
    assert json.loads((exported / "config.json").read_text())["decoder_start_token_id"] == config.pad_token_id


def test_the_bundled_translator(tmp_path):
    """AutoTokenizer, from_pretrained and generate write what we write."""
    run = load("enja-transformer")
    exported = export_pretrained(run, tmp_path / "enja")
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(exported).eval()
    assert_same(run.model, theirs)
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    for text in ("I'd like a cup of coffee.", "She doesn't know where he lives."):
        ids = theirs.generate(**tokenizer(text, return_tensors="pt"), num_beams=1, max_new_tokens=40)[0]
        greedy = generate(run, text, GenerationConfig(max_new_tokens=40))[0]
        assert tokenizer.decode(ids, skip_special_tokens=True) == greedy.text != ""


def test_how_a_language_model_is_sampled_goes_with_it(tokenizer, tmp_path):
    decode = GenerationConfig(strategy="sample", top_p=0.9, temperature=0.8, max_new_tokens=120)
    config = ModelConfig(family="gpt", vocab_size=280, d_model=32, n_heads=4, max_seq_len=48)
    exported = export_pretrained(make_run(config, tokenizer, tmp_path, decode), tmp_path / "exported")
    settings = transformers.GenerationConfig.from_pretrained(exported)
    assert (settings.do_sample, settings.top_p, settings.temperature, settings.top_k) == (True, 0.9, 0.8, 0)
    assert settings.max_new_tokens == 47  # transformers would go beyond the context


def test_a_forced_end_goes_with_it(tokenizer, tmp_path):
    decode = GenerationConfig(max_new_tokens=9, forced_end=True, renormalize_logits=True)
    config = ModelConfig(family="gpt", vocab_size=280, d_model=32, n_heads=4, max_seq_len=48)
    run = make_run(config, tokenizer, tmp_path, decode)
    settings = transformers.GenerationConfig.from_pretrained(export_pretrained(run, tmp_path / "exported"))
    assert settings.forced_eos_token_id == run.model.eos_id and settings.renormalize_logits
