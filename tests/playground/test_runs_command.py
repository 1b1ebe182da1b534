"""`runs NAME --rename, --note, --delete, --export` and `pause`."""

import json
import os
import shutil
import zipfile

import pytest

from core.presets import preset
from core.run import Status, create_run
from playground import cli


@pytest.fixture
def mine(no_runs, small_runs):
    shutil.copytree(small_runs / "tiny-gpt", no_runs / "runs" / "mine")
    return no_runs / "runs" / "mine"


def ask(capsys, *words):
    """(exit code, the document on stdout, what was said on stderr)"""
    code = cli.main([*words, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err


def test_a_run_is_renamed_and_noted(mine, capsys):
    assert ask(capsys, "runs", "mine", "--note", "a <b> c")[:2] == (0, {"run": "mine", "note": "a <b> c"})
    assert ask(capsys, "runs", "mine", "--rename", "new")[:2] == (0, {"run": "new", "renamed": "mine"})
    assert ask(capsys, "runs", "new")[1]["note"] == "a <b> c"
    assert ask(capsys, "runs")[1]["runs"][0]["note"] == "a <b> c"
    assert cli.main(["runs"]) == 0 and "(a <b> c)" in capsys.readouterr().out
    assert ask(capsys, "runs", "new", "--note", "")[1]["note"] == ""


def test_a_run_is_exported(mine, tmp_path, capsys):
    code, result, _ = ask(capsys, "runs", "mine", "--export", str(tmp_path / "x.zip"))
    assert code == 0 and "model.safetensors" in result["files"]
    assert zipfile.ZipFile(tmp_path / "x.zip").testzip() is None


def test_deleting_needs_a_yes(mine, capsys, monkeypatch):
    code, _, said = ask(capsys, "runs", "mine", "--delete")
    assert code == 1 and "--yes" in said and mine.exists()
    for answer, kept in (("n\n", True), ("\n", True), ("y\n", False)):
        monkeypatch.setattr("sys.stdin", _Terminal(answer))
        assert cli.main(["runs", "mine", "--delete"]) == 0
        assert mine.exists() is kept


class _Terminal:
    def __init__(self, line):
        self.readline, self.isatty = lambda: line, lambda: True


def test_deleting_without_a_question(mine, capsys):
    assert ask(capsys, "runs", "mine", "--delete", "--yes")[:2] == (0, {"run": "mine", "deleted": True})
    assert not mine.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--note", "x"], "need the NAME"), (["mine", "--note", "x", "--delete"], "one at a time"),
        (["mine", "--rename", "../x"], "cannot be a run's name"),
        (["../mine", "--delete", "--yes"], "cannot be a run's name"),
        (["nope", "--delete", "--yes"], "no run 'nope'"), (["mine", "--export", "x.tar"], "end in .zip"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(mine, capsys, words, sentence):
    code, out, said = ask(capsys, "runs", *words)
    assert code == 1 and out is None and sentence in said and said.count("\n") == 1 and mine.exists()


def test_pause_and_off(no_runs, capsys):
    directory = create_run(preset("demo"), "live")
    Status(state="running", pid=os.getpid()).write(directory)
    code, _, said = ask(capsys, "pause", "live", "--off")
    assert code == 1 and "not paused" in said
    assert "pauses after this step" in ask(capsys, "pause", "live")[1]["message"] and (directory / "pause").exists()
    assert "goes on" in ask(capsys, "pause", "live", "--off")[1]["message"] and not (directory / "pause").exists()
    Status(state="done").write(directory)
    code, _, said = ask(capsys, "pause", "live")
    assert code == 1 and "is not training (it is done)" in said
