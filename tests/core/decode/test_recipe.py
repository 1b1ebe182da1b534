"""A recipe gives the same tokens again: from JSON, as the Python it shows, and as the command line it shows."""

import json
import os
import random
import shlex
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from core import load
from core.config import ModelConfig, RunConfig
from core.decode import GenerationConfig, generate
from core.decode.config import STRATEGIES
from core.decode.presets import PRESETS
from core.decode.recipe import LARGEST, Recipe, recipe_of, replay, settings_from_json, settings_to_json
from core.errors import ConfigError, UserError
from core.run import create_run, save_model
from core.tokenizer import train_bpe

ROOT = Path(__file__).parents[3]
NASTY = [
    "To be", "--help", "-5", "a 'quoted' \"text\" $HOME `ls` \\ ; rm -rf / | cat > x", "two\nlines\n\n", "私は猫",
    "!! #x *",
    "\\", "", "  ", " lead", "tab\there", "\x00nul", "half \ud83d", "\u202eright to left", "=x", "@file",
]  # fmt: skip


def random_config(rng: random.Random) -> GenerationConfig:
    """Any settings that are possible."""
    values = dict(
        strategy=rng.choice([s for s in STRATEGIES if s != "assisted"]), max_new_tokens=rng.randint(1, 6),
        seed=rng.randint(-9, 9), num_beams=4, length_penalty=rng.choice([1.0, -0.5, 1e-5, -1e-5]),
        length_penalty_formula=rng.choice(["hf", "gnmt", "ctranslate2"]),
        early_stopping=rng.choice([True, False, "never"]),
        num_beam_groups=rng.choice([0, 2]), temperature=rng.choice([1.0, 0.7, 1e-5]), top_k=rng.choice([0, 3]),
        top_p=rng.choice([1.0, 0.9, 1e-7]), min_p=rng.choice([0.0, 0.1]), typical_p=rng.choice([1.0, 0.5]),
        epsilon_cutoff=rng.choice([0.0, 3e-5]), eta_cutoff=rng.choice([0.0, 0.002]), penalty_alpha=rng.random(),
        num_samples=rng.randint(1, 3), mbr_metric=rng.choice(["chrf", "bleu"]),
        repetition_penalty=rng.choice([1.0, 1.3]), presence_penalty=rng.choice([0.0, -0.5]),
        frequency_penalty=rng.choice([0.0, 0.25]),
        no_repeat_ngram_size=rng.choice([0, 2]), bad_words_ids=rng.choice([(), ((7,), (8, 9))]),
        logit_bias=rng.choice([{}, {7: 1.5, 9: -2.0}]), forced_prefix_ids=rng.choice([(), (11,)]),
        forced_end=rng.choice([True, False]), renormalize_logits=rng.choice([True, False]),
        stop_ids=rng.choice([(), (12,)]),
        stop_strings=rng.choice([(), ("x", "a 'b\n\"")]), num_candidates=rng.randint(1, 20),
    )  # fmt: skip
    return GenerationConfig(**{name: value for name, value in values.items() if rng.random() < 0.6})


@pytest.mark.parametrize("seed", range(20))
def test_json_gives_back_every_setting(seed):
    rng = random.Random(seed)
    config = random_config(rng)
    for text in NASTY:
        recipe = Recipe("a run's name", text, config, "helper" * (seed % 2), seed % 3 == 0)
        assert Recipe.from_json(recipe.to_json()) == recipe
        assert Recipe.from_json(recipe.to_json({"ids": [1, 2], "text": "x"})) == recipe
    assert settings_from_json(settings_to_json(config)) == config
    assert settings_from_json(recipe.to_json()) == config


@pytest.mark.parametrize(
    "text",
    [
        "", "no", "[]", "3", "null", "{}", '{"model": "x"}', "[" * 100_000, '{"a":' * 50_000, " " * (LARGEST + 1),
        '{"recipe": []}', '{"recipe": {"recipe": 1}}', '{"model": 3, "text": "x", "config": {}}',
        '{"model": "x", "text": null, "config": {}}', '{"model": " ", "text": "x", "config": {}}',
        '{"model": "x", "text": "x", "config": []}', '{"model": "x", "text": "x", "config": {"strategy": "magic"}}',
        '{"model": "x", "text": "x", "config": {"temperature": NaN}}',
        '{"model": "x", "text": "x", "config": {"temperature": 1e999}}',
        '{"model": "x", "text": "x", "config": {"topp": 1}}', '{"model": "x", "text": "x", "config": {"seed": true}}',
        '{"model": "x", "text": "x", "config": {"max_new_tokens": 1000000}}',
        '{"model": "x", "text": "x", "config": {"strategy": "beam", "num_beams": 100000}}',
        '{"model": "x", "text": "x", "config": {}, "also": 1}',
        '{"model": "x", "text": "x", "config": {}, "version": 2}',
        '{"model": "x", "text": "x", "config": {}, "assistant": []}',
        '{"model": "x", "text": "x", "config": {}, "translates": 1}',
        '{"model": "x", "text": "x", "config": {"seed": ' + "9" * 9999 + "}}",
        '{"model": "x", "text": "x", "config": {"temperature": 1' + "0" * 400 + "}}",
        '{"model": "x", "text": "x", "config": {"logit_bias": {"1": -1' + "0" * 400 + "}}}",
    ],
)  # fmt: skip
def test_what_is_no_recipe_is_one_sentence(text):
    with pytest.raises(ConfigError) as caught:
        Recipe.from_json(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "text", ["", "[]", '{"strategy": "magic"}', '{"recipe": 3}', '{"config": {"x": 1}}', "{" * 9_999]
)
def test_what_is_no_settings_is_one_sentence(text):
    with pytest.raises(ConfigError):
        settings_from_json(text)


# ------------------------------------------------------------------------- Python and the command line, really run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A directory with a small run whose own settings are unusual, and one that can assist it."""
    import torch

    directory = tmp_path_factory.mktemp("runs")
    tokenizer = train_bpe(["To be or not to be, that is the question. I like cats."] * 20, 300)
    for seed, name in enumerate(("own", "helper")):
        torch.manual_seed(seed)
        config = RunConfig(
            model=ModelConfig(
                family="gpt", vocab_size=tokenizer.vocab_size, d_model=16, n_layers=1, n_heads=2, max_seq_len=96
            ),
            decode=GenerationConfig(strategy="beam", num_beams=3, max_new_tokens=9, repetition_penalty=1.7, min_p=0.3),
        )
        from core.model import build_model

        run_directory = create_run(config, name, directory)
        model = build_model(config.model)
        for parameter in model.parameters():
            if parameter.dim() == 2:
                torch.nn.init.normal_(parameter, std=0.5)
        save_model(model, run_directory / "model.safetensors")
        tokenizer.save(run_directory / "tokenizer.json")
    return directory


CONFIGS = {
    "plain": GenerationConfig(max_new_tokens=6),
    "sampled": GenerationConfig(strategy="sample", seed=-3, top_p=0.9, temperature=1.3, max_new_tokens=6),
    "beams": GenerationConfig(
        strategy="beam", num_beams=2, length_penalty=-1e-5, early_stopping=True, max_new_tokens=5
    ),
    "odd": GenerationConfig(
        strategy="sample", logit_bias={7: 1.5}, bad_words_ids=((8, 9), (10,)), stop_strings=("q'\n",), max_new_tokens=5,
        min_p=1e-5, penalty_alpha=0.1,
    ),
    "assisted": GenerationConfig(strategy="assisted", num_assistant_tokens=2, max_new_tokens=6),
    "assisted, drawn": GenerationConfig(
        strategy="assisted", assisted_sampling=True, temperature=0.8, top_k=9, seed=4, max_new_tokens=6
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_all_ways_give_the_same_tokens(runs, monkeypatch, capsys, name):
    monkeypatch.setenv("RUNS_DIR", str(runs))
    from playground import cli

    config, run, helper = CONFIGS[name], load("own", runs), load("helper", runs)
    assistant = "helper" if config.strategy == "assisted" else ""
    texts = [text for text in NASTY if text.strip() and "\0" not in text and "\ud83d" not in text]
    for text in texts[list(CONFIGS).index(name) % 3 :: 3]:
        recipe = recipe_of(run, text, config, "helper")
        assert recipe.assistant == assistant
        expected = generate(run, [text], config, assistant=helper if assistant else None)[0]
        assert replay(Recipe.from_json(recipe.to_json())).ids == expected.ids
        program, *arguments = shlex.split(recipe.as_command(run.config.decode))
        assert program == "llm-scratch"
        assert cli.main([*arguments[:1], "--json", *arguments[1:]]) == 0
        captured = capsys.readouterr()
        said = json.loads(captured.out)
        assert said["results"][0]["hypotheses"][0]["ids"] == expected.ids, (text, captured.err)
        assert said["decode"] == json.loads(json.dumps(asdict(config)))
        scope: dict = {}
        exec(recipe.as_python(), scope)  # noqa: S102 - what is shown to be run
        assert scope["generation"].ids == expected.ids
        capsys.readouterr()


@pytest.mark.parametrize("text", ["", "  ", "\n", "a\0b"])
def test_what_is_no_argument_goes_by_file(runs, monkeypatch, capsys, tmp_path, text):
    monkeypatch.setenv("RUNS_DIR", str(runs))
    monkeypatch.chdir(tmp_path)
    from playground import cli

    run = load("own", runs)
    recipe = recipe_of(run, text, CONFIGS["sampled"])
    (tmp_path / "recipe.json").write_text(recipe.to_json({"ids": []}), encoding="utf-8")
    arguments = shlex.split(recipe.as_command(run.config.decode))[1:]
    assert cli.main([arguments[0], "--json", *arguments[1:]]) == 0
    found = json.loads(capsys.readouterr().out)["results"][0]["hypotheses"][0]["ids"]
    assert found == generate(run, [text], recipe.config)[0].ids


def test_pasted_into_a_shell(runs):
    run = load("own", runs)
    recipe = recipe_of(run, NASTY[3], CONFIGS["sampled"])
    expected = generate(run, [recipe.text], recipe.config)[0].text
    program = f'llm-scratch() {{ {shlex.quote(sys.executable)} -m playground "$@"; }}'
    environment = {**os.environ, "RUNS_DIR": str(runs)}
    command = ["bash", "-c", f"{program}; {recipe.as_command(run.config.decode)}"]
    done = subprocess.run(command, capture_output=True, env=environment, cwd=ROOT, timeout=120, check=True)
    assert done.stdout.decode() == recipe.text + expected + "\n"


def test_every_preset_replays():
    run = load("enja-transformer")
    for name, preset in PRESETS.items():
        config = replace(preset.config, max_new_tokens=3)
        recipe = recipe_of(run, "i like cats .", config, run.name)
        assert recipe.translates
        first = replay(recipe, run=run, assistant=run if config.strategy == "assisted" else None)
        again = replay(Recipe.from_json(recipe.to_json()), run=run, assistant=run if recipe.assistant else None)
        assert first.ids == again.ids, name
        assert recipe.as_command(run.config.decode).startswith("llm-scratch translate --run=enja-transformer")


def test_a_model_that_is_not_there():
    with pytest.raises(UserError, match="nowhere"):
        replay(Recipe("nowhere", "x", GenerationConfig()))
