"""`runs NAME --metrics FILE.csv --tensorboard DIR`."""

import csv
import json

import pytest

from core.config import RunConfig
from core.files import append_jsonl
from core.run import create_run
from playground import cli


@pytest.fixture
def trained(no_runs):
    directory = create_run(RunConfig(), "mine")
    for step in (1, 2):
        append_jsonl(directory / "metrics.jsonl", {"step": step, "loss": 3.0 - step, "time": 50.0 + step})
    append_jsonl(directory / "metrics.jsonl", {"step": 2, "val_loss": 1.5, "time": 52.5})
    return directory


def test_both_are_written_and_named(trained, tmp_path, capsys):
    table, board = tmp_path / "out.csv", tmp_path / "board"
    assert cli.main(["runs", "mine", "--metrics", str(table), "--tensorboard", str(board), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["run"] == "mine" and result["files"][0] == str(table)
    with open(table, newline="") as file:
        assert [row["loss"] for row in csv.DictReader(file)] == ["2.0", "1.0"]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(board / "mine")).Reload()
    assert [(e.step, e.value) for e in found.Scalars("val_loss")] == [(2, 1.5)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--metrics", "x.csv"], "need the NAME"),
        (["mine", "--metrics", "x.txt"], "end in .csv"),
        (["nope", "--tensorboard", "board"], "no run 'nope'"),
        (["../mine", "--metrics", "x.csv"], "not a run directory"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments, sentence, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["runs", *arguments]) == 1
    said = capsys.readouterr()
    assert sentence in said.err and said.err.count("\n") == 1 and said.out == ""
    assert not (tmp_path / "x.csv").exists() and not (tmp_path / "board").exists()
