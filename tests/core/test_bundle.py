"""Bundled runs: how one is made, and that the cards of the five, and the README, say what was measured."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.bundle import NOTES_END, bundle, measure, scores_of
from core.evaluate.evaluation import Request, measured
from core.files import append_jsonl, read_json, write_json
from core.run import BUNDLED, load
from tests.playground.conftest import make_run

README = Path(__file__).parent.parent.parent / "README.md"
NAMES = sorted(path.name for path in BUNDLED.iterdir() if (path / "config.json").exists())
GIVEN = {"training_minutes", "training_steps"}  # not of the evaluation


def cells(card: str) -> dict[str, str]:
    """The rows of a card's table of scores."""
    rows = re.findall(r"^\| ([^|]+) \| (.*) \|$", card.partition(NOTES_END)[2], re.MULTILINE)
    return {name: value.replace("\\|", "|").strip("`") for name, value in rows}


@pytest.fixture
def own(tmp_path):
    directory = make_run("own", "gpt", tmp_path / "runs")
    (tmp_path / "text.txt").write_text(
        "ROMEO: what light is this?\n" * 40 + "The function returns a cup of coffee.\n" * 9
    )
    config = read_json(directory / "config.json")
    config["data"]["name"] = str(tmp_path / "text.txt")
    write_json(directory / "config.json", config)
    append_jsonl(directory / "metrics.jsonl", {"step": 7, "loss": 2.0, "seconds": 90.0})
    append_jsonl(directory / "samples.jsonl", {"step": 7, "samples": [{"prompt": "RO|", "output": "MEO\n"}]})
    return directory


def test_a_bundled_run_is_half_as_large_and_measured_as_it_is_used(own, tmp_path):
    scores = bundle(own, "# own\n\nNotes.\n", tmp_path / "bundled" / "own")
    target = tmp_path / "bundled" / "own"
    run = load(str(target))
    first, second = load(str(own)).model.state_dict(), run.model.state_dict()
    assert all(torch.equal(first[name].half().float(), second[name]) for name in first)
    assert (target / "model.safetensors").stat().st_size < 0.7 * (own / "model.safetensors").stat().st_size
    evaluation = measured(run, Request(), keep=False)
    assert scores["loss_per_token"] == round(evaluation.loss_per_token, 4)
    assert (scores["training_minutes"], scores["training_steps"]) == (1.5, 7)
    assert "runs of 13 words" in scores["overlap"] and scores["command"].startswith("llm-scratch eval --run=")
    card = (target / "README.md").read_text()
    assert card.startswith("# own\n\nNotes.\n\n## Scores\n") and card.endswith('- "RO|" → "MEO\\n"\n')
    assert read_json(target / "scores.json") == scores
    assert cells(card) == {name.replace("_", " "): str(value) for name, value in scores.items()}
    assert not (target / "checkpoints").exists() and read_json(target / "status.json")["heartbeat"] == 0.0


def test_measuring_again_changes_nothing_else(own, tmp_path):
    target = tmp_path / "own"
    bundle(own, "Notes with | in them.", target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    measure(target, (target / "README.md").read_text().partition(NOTES_END)[0])
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


@pytest.mark.parametrize("name", NAMES)
def test_cards_say_what_scores_say(name):
    scores = read_json(BUNDLED / name / "scores.json")
    card = (BUNDLED / name / "README.md").read_text(encoding="utf-8")
    assert cells(card) == {key.replace("_", " "): str(value) for key, value in scores.items()}
    assert all(scores[f"{metric}_signature"] for metric in ("bleu", "chrf", "ter", "exact") if metric in scores)
    assert scores["command"].startswith(f"llm-scratch eval --run={name}") and f"eval --run {name}" in card
    row = next(line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {name} |"))
    shown = {"bleu": "BLEU {:.1f}", "loss_per_token": "{:.3f} nats a token"}
    told = next(text.format(scores[key]) for key, text in shown.items() if key in scores)
    assert told in row


def test_they_are_measured_as_their_cards_say():
    scores = read_json(BUNDLED / "demo-gpt" / "scores.json")
    evaluation = measured(load("demo-gpt"), Request(), keep=False)
    found = scores_of(replace(evaluation, overlap={"summary": scores["overlap"]}, command=scores["command"]))
    assert found.keys() == scores.keys() - GIVEN
    for key, value in found.items():
        assert value == (pytest.approx(scores[key], rel=1e-4) if isinstance(value, float) else scores[key]), key
