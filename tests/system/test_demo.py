"""The shortest way through: train the demo from the command line, translate sentences that it has not seen."""

import json
import subprocess
import sys

import pytest

from core.data.sources import load_corpus
from core.evaluate.scores import bleu_tokenizer
from core.presets import preset
from playground import cli as command_line

LESS_WATCHED = ("--set", "train.val_every=120", "--set", "train.sample_every=120")  # than it is by default


def cli(*arguments, runs):
    done = subprocess.run(
        [sys.executable, "-m", "playground", *arguments, "--runs-dir", str(runs)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    cli("train", "demo", "--run-name", "t1", *LESS_WATCHED, runs=runs)
    return runs


def test_the_demo_learns_the_grammar(runs):
    corpus = load_corpus(preset("demo").data, "pairs", seed=0)
    seen = {pair.src for pair in corpus.train}
    unseen = corpus.test[:40]
    assert not any(pair.src in seen for pair in unseen)
    done = cli("translate", "--run", "t1", "--json", *[pair.src for pair in unseen], runs=runs)
    results = json.loads(done.stdout)["results"]
    right = sum(r["translation"] == pair.tgt for r, pair in zip(results, unseen, strict=True))
    assert right >= 20, [(p.src, r["translation"], p.tgt) for r, p in zip(results, unseen)][:10]


def test_its_scores_are_those_of_a_model_that_has_learnt(runs, capsys):
    assert command_line.main(["eval", "--run", "t1", "--json", "--max-examples", "200", "--runs-dir", str(runs)]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["bleu"] > 60 and f"tok:{bleu_tokenizer('ja')}" in scores["bleu_signature"]


def test_a_second_run_of_the_same_name_is_refused(runs, capsys):
    before = (runs / "t1" / "model.safetensors").read_bytes()
    assert command_line.main(["train", "demo", "--run-name", "t1", "--runs-dir", str(runs)]) == 1
    said = capsys.readouterr().err
    assert "already a run 't1'" in said and "Traceback" not in said
    assert (runs / "t1" / "model.safetensors").read_bytes() == before
