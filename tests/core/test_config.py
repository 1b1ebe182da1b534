"""The configuration is read strictly, and what is wrong is said in one sentence."""

import json
import random

import pytest

from core.config import ModelConfig, RunConfig
from core.errors import ConfigError
from core.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    config = preset(name)
    assert RunConfig.from_json(config.to_json()) == config
    assert config.preset == name
    assert PRESETS[name].about.endswith(".")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model": {"d_modle": 3}}, ["'model.d_modle'", "'model.d_model'"]),
        ({"modle": {}}, ["'modle'", "'model'"]),
        ({"model": {"d_model": "64"}}, ["model.d_model", "a whole number", "'64'"]),
        ({"model": {"d_model": 64.0}}, ["model.d_model", "a whole number"]),
        ({"model": {"d_model": True}}, ["model.d_model", "true/false"]),
        ({"model": {"dropout": None}}, ["model.dropout", "null"]),
        ({"model": {"family": "gtp"}}, ["model.family", "Did you mean 'gpt'?"]),
        ({"model": {"d_model": 65}}, ["model.d_model (65)", "model.n_heads (4)"]),
        ({"model": {"n_kv_heads": 2}}, ["n_kv_heads", "llama"]),
        ({"model": {"n_layers": 0}}, ["model.n_layers", "at least 1"]),
        ({"model": {"max_seq_len": 1}}, ["model.max_seq_len", "at least 2"]),
        ({"model": []}, ["model", "object", "list"]),
        ({"optim": {"betas": [0.9]}}, ["optim.betas", "2 values"]),
        ({"optim": {"betas": [0.9, "x"]}}, ["optim.betas[1]", "a number"]),
        ({"optim": {"learning_rate": float("nan")}}, ["optim.learning_rate", "finite"]),
        ({"decode": {"top_p": 1.5}}, ["decode.top_p", "1.5"]),
        ({"data": {"src": "a.txt"}}, ["data.src", "data.tgt"]),
        ({"tokenizer": {"vocab_size": 10}}, ["tokenizer.vocab_size", "260"]),
        ({"seed": "1"}, ["seed", "a whole number"]),
        ([], ["configuration", "object"]),
    ],
)
def test_what_is_wrong_is_named(values, words):
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_dict(values)
    sentence = str(caught.value)
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence


def test_broken_json_is_one_sentence():
    with pytest.raises(ConfigError, match="not valid JSON"):
        RunConfig.from_json("{")


def test_overrides_are_read_by_the_type_of_their_field():
    config = preset("demo").with_overrides(
        [
            "train.max_steps=7", "optim.learning_rate=1e-4", "model.dropout=0", "data.pretokenized=true", "seed=3",
            "data.src_language=7", "optim.betas=[0.8, 0.9]", "decode.early_stopping=never",
            "decode.early_stopping=True",
            'decode.logit_bias={"5": 1.5}', "model.family=gpt",
        ]
    )  # fmt: skip
    assert config.train.max_steps == 7
    assert config.optim.learning_rate == 1e-4
    assert config.model.dropout == 0.0 and isinstance(config.model.dropout, float)
    assert config.data.pretokenized is True
    assert config.data.src_language == "7"  # text stays text
    assert config.optim.betas == (0.8, 0.9)
    assert config.decode.early_stopping is True
    assert config.decode.logit_bias == {5: 1.5}
    assert config.seed == 3
    assert (config.model.positions, config.model.n_encoder_layers) == ("learned", 0)  # what follows from the family
    assert RunConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.max_step=3", "train.max_steps"),
        ("max_steps=3", "train.max_steps"),
        ("train.max_steps", "section.field=value"),
        ("train.max_steps=many", "a whole number"),
        ("train.max_steps=1.5", "a whole number"),
        ("model=3", "model"),
        ("model.d_model.x=3", "model.d_model"),
        ("model.dropout=2", "model.dropout"),
        ("=", "Unknown key"),
    ],
)
def test_wrong_overrides_are_named(override, words):
    with pytest.raises(ConfigError, match=words):
        preset("demo").with_overrides([override])


def test_sizes_follow_the_width_they_depend_on():
    config = preset("llama-pydocs").with_overrides(["model.d_model=96"])
    assert config.model.d_ff == ModelConfig(family="llama", d_model=96).d_ff == 256


def test_random_nonsense_never_gets_through_or_crashes():
    rng = random.Random(0)
    values = [None, True, -1, 0, 1e300, "x", [], {}, [1], {"a": 1}, float("inf"), "\x00", 10**30]
    base = json.loads(preset("demo").to_json())
    for _ in range(2_000):
        broken = json.loads(json.dumps(base))
        section = rng.choice([k for k, v in broken.items() if isinstance(v, dict)])
        key = rng.choice(list(broken[section]))
        broken[section][key] = rng.choice(values)
        try:
            config = RunConfig.from_dict(broken)
        except ConfigError as error:
            assert key in str(error) or section in str(error)
        else:
            assert RunConfig.from_json(config.to_json()) == config
