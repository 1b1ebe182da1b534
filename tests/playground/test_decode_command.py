"""`generate` and `translate`: presets, recipes, traces and measures."""

import json
import math

import pytest

from core.decode import GenerationConfig, generate
from core.decode.presets import PRESETS, with_preset
from core.decode.recipe import recipe_of, settings_to_json
from core.decode.scoring import score_tokens
from core.decode.tree import beam_tree
from core.evaluate.degeneration import measures_of
from core.run import load
from playground import cli


@pytest.fixture
def call(capsys, monkeypatch, small_runs):
    """call(*arguments) -> exit code, stdout, stderr; the runs directory is that of the small runs."""
    monkeypatch.setenv("RUNS_DIR", str(small_runs))

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def results(call, *arguments):
    code, out, err = call(*arguments[:1], "--json", *arguments[1:])
    assert (code, err) == (0, ""), err
    return json.loads(out)


def sentence(call, *arguments):
    code, out, err = call(*arguments)
    assert code == 1 and out == "" and err.count("\n") == 1 and "Traceback" not in err, err
    return err


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.config.strategy != "assisted"])
def test_presets(call, name):
    found = results(call, "generate", "--run", "tiny-gpt", "--preset", name, "--max-new-tokens", 4, "ROMEO")
    run = load("tiny-gpt")
    config = with_preset(GenerationConfig(max_new_tokens=4), name)
    assert GenerationConfig(**{**found["decode"], "logit_bias": {}}) == config
    assert found["results"][0]["hypotheses"][0]["ids"] == generate(run, ["ROMEO"], config)[0].ids


def test_what_is_given_beside_a_preset_counts(call):
    found = results(call, "generate", "--run", "tiny-gpt", "--preset", "top-p", "--top-p", 0.5, "--seed", 3, "x")
    assert (found["decode"]["strategy"], found["decode"]["top_p"], found["decode"]["seed"]) == ("sample", 0.5, 3)
    assert "did you mean 'greedy'" in sentence(call, "generate", "--run", "tiny-gpt", "--preset", "gredy", "x")


@pytest.mark.parametrize(
    "run, command", [("tiny-gpt", "generate"), ("tiny-llama", "generate"), ("tiny-transformer", "translate")]
)
@pytest.mark.parametrize("flags", [["--num-beams", 3, "--num-return-sequences", 2], ["--top-p", 0.9, "--seed", 2]])
def test_traces_are_the_models(call, run, command, flags):
    found = results(call, command, "--run", run, "--trace", *flags, "--max-new-tokens", 6, "cup")
    model, (result,) = load(run), found["results"]
    config = GenerationConfig(**{**found["decode"], "logit_bias": {}})
    generation = generate(model, ["cup"], config, trace=True)[0]
    for hypothesis, own in zip(result["hypotheses"], generation.hypotheses, strict=True):
        scores = score_tokens(model, generation.prompt_ids, own.ids)
        assert [step["id"] for step in hypothesis["steps"]] == own.ids
        for step, score in zip(hypothesis["steps"], scores, strict=True):
            assert step["logprob"] == pytest.approx(score.logprob, abs=1e-5)
            assert step["entropy"] == pytest.approx(score.entropy, abs=1e-5) and step["rank"] == score.rank
            assert len(step["candidates"]) >= 10
            (chosen,) = [candidate for candidate in step["candidates"] if candidate["id"] == step["id"]]
            assert math.log(chosen["probability"]) == pytest.approx(score.logprob, abs=1e-5)
            assert chosen["text"] == step["text"]
    if config.searches_beams:
        tree = beam_tree(generation, config)
        assert result["tree"]["winner"] == tree.winner and result["tree"]["why"] == tree.why
        assert len(result["tree"]["nodes"]) == len(tree.nodes)
    else:
        assert "tree" not in result


def test_a_trace_for_people(call):
    code, out, err = call("generate", "--run", "tiny-gpt", "--trace", "--num-beams", 2, "--max-new-tokens", 3, "cup")
    assert (code, err) == (0, "")
    assert "rank   log-prob   entropy   token" in out and "highest score" in out


def test_measures(call):
    flags = ["--top-p", 0.9, "--num-return-sequences", 3, "--max-new-tokens", 8]
    result = results(call, "generate", "--run", "tiny-gpt", *flags, "cup")["results"][0]
    config = GenerationConfig(strategy="sample", top_p=0.9, num_return_sequences=3, max_new_tokens=8)
    expected = measures_of(generate(load("tiny-gpt"), ["cup"], config)[0], config)
    found = result["measures"]
    assert (found["samples"], found["tokens"], found["forward_passes"]) == (3, expected.tokens, expected.forward_passes)
    assert found["perplexity"] == pytest.approx(expected.perplexity) and found["self_bleu"] == expected.self_bleu
    assert found["distinct"] == {str(n): value for n, value in expected.distinct.items()}
    assert found["bleu"] is None and found["tokens_per_second"] > 0


def test_references(call):
    own = generate(load("tiny-transformer"), ["cup"], GenerationConfig(max_new_tokens=12))[0].text
    flags = ["translate", "--run", "tiny-transformer", "--reference", own, "--reference", "qqq", "cup", "coffee"]
    first, second = (result["measures"] for result in results(call, *flags)["results"])
    assert (
        first["bleu"] == pytest.approx(100)
        and first["chrf"] == pytest.approx(100)
        and "tok:" in first["bleu_signature"]
    )
    assert second["bleu"] < 100
    code, _, err = call(*flags)
    assert code == 0 and err.startswith("BLEU 100.0, chrF 100.0 (")
    assert "one for each" in sentence(call, *flags, "one more")


def test_recipes_and_settings_from_files(call, tmp_path):
    run, config = load("tiny-gpt"), GenerationConfig(strategy="sample", seed=5, min_p=0.01, max_new_tokens=5)
    recipe, settings = tmp_path / "recipe.json", tmp_path / "settings.json"
    recipe.write_text(recipe_of(run, "ROMEO", config).to_json({"ids": [1]}), encoding="utf-8")
    settings.write_text(settings_to_json(config), encoding="utf-8")
    expected = generate(run, ["ROMEO"], config)[0].ids
    found = results(call, "generate", "--recipe", recipe)
    assert found["run"] == "tiny-gpt" and found["results"][0]["text"] == "ROMEO"
    assert found["results"][0]["hypotheses"][0]["ids"] == expected
    found = results(call, "generate", "--recipe", settings, "--run", "tiny-gpt", "ROMEO")
    assert found["results"][0]["hypotheses"][0]["ids"] == expected
    found = results(call, "generate", "--recipe", recipe, "--run", "tiny-llama", "--seed", 6, "cup")
    other = generate(load("tiny-llama"), ["cup"], GenerationConfig(**{**config.__dict__, "seed": 6}))[0]
    assert (found["run"], found["results"][0]["hypotheses"][0]["ids"]) == ("tiny-llama", other.ids)


def test_refusals(call, tmp_path):
    recipe = tmp_path / "recipe.json"
    recipe.write_text(recipe_of(load("tiny-gpt"), "ROMEO", GenerationConfig()).to_json(), encoding="utf-8")
    assert "llm-scratch generate" in sentence(call, "translate", "--recipe", recipe)
    assert "nope.json" in sentence(call, "generate", "--recipe", tmp_path / "nope.json")
    lines = tmp_path / "lines.txt"
    lines.write_text("a\n", encoding="utf-8")
    files = ["--run", "tiny-gpt", "--input", lines, "--output", tmp_path / "out.txt"]
    assert "single texts" in sentence(call, "generate", *files, "--trace")
    for text in (
        "",
        "no",
        "{}",
        '{"recipe": {"model": "x"}}',
        '{"recipe": {"model": "../x", "text": "a", "config": {}}}',
    ):
        recipe.write_text(text, encoding="utf-8")
        sentence(call, "generate", "--recipe", recipe)
