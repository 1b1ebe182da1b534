"""Runs renamed, noted, deleted, exported: nothing outside the runs directory is reached, nothing bundled is touched."""

import csv
import io
import json
import os
import zipfile
from pathlib import Path

import pytest
import torch

import core.run
import core.runs_admin
from core import load
from core.errors import RunError
from core.files import append_jsonl, read_json, write_json, write_text
from core.model import build_model
from core.presets import preset
from core.run import Status, create_run, list_runs, save_model
from core.runs_admin import (
    MAX_NOTE,
    delete_run,
    export_run,
    read_note,
    rename_run,
    set_note,
)
from core.tokenizer import train_bpe

HOSTILE = ["", ".", "..", "../outside", "a/b", "/etc", "a\x00b", "x" * 65, "~", "a b"]


def make(name: str, folder: Path) -> Path:
    tokenizer = train_bpe(["to be or not to be"], 270)
    config = preset("gpt-shakespeare").with_overrides(
        [f"model.vocab_size={tokenizer.vocab_size}", "model.d_model=16", "model.n_layers=1", "model.n_heads=2",
         "data.name=/home/someone/secret/book.txt", "tokenizer.path=/home/someone/tokenizer.json"]
    )  # fmt: skip
    directory = create_run(config, name, folder)
    write_text(directory / "tokenizer.json", tokenizer.to_json())
    torch.manual_seed(0)
    save_model(build_model(config.model), directory / "model.safetensors")
    append_jsonl(directory / "metrics.jsonl", {"step": 1, "loss": 3.5, "lr": 0.1})
    append_jsonl(directory / "metrics.jsonl", {"step": 1, "val_loss": 3.25})
    append_jsonl(directory / "samples.jsonl", {"step": 1, "samples": [{"prompt": "to", "output": "be"}]})
    (directory / "train.log").write_text("trained in /home/someone/secret\n")
    Status(state="done", error="/home/someone/secret").write(directory)
    return directory


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A runs directory with "tiny", a bundled run "given", and a folder outside."""
    for module in (core.run, core.runs_admin):
        monkeypatch.setattr(module, "BUNDLED", tmp_path / "bundled")
    monkeypatch.setattr(core.run, "BUNDLED_ORDER", ["given"])
    make("given", tmp_path / "bundled")
    make("tiny", tmp_path / "runs")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "config.json").write_text("{}")
    return tmp_path / "runs"


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_renamed_run_is_the_same_run(runs):
    before = files(runs / "tiny")
    assert rename_run("tiny", "better", runs) == runs / "better"
    assert files(runs / "better") == before and not (runs / "tiny").exists()
    assert load("better", runs).name == "better"
    assert rename_run("better", "better", runs) == runs / "better"


def test_a_name_that_is_taken_keeps_what_it_names(runs):
    make("other", runs)
    (runs / "empty").mkdir()  # an empty folder is a name that is taken too
    before = files(runs)
    for taken in ("other", "empty"):
        with pytest.raises(RunError, match="already a run"):
            rename_run("tiny", taken, runs)
    assert files(runs) == before


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_could_point_elsewhere_reach_nothing(runs, name, tmp_path):
    before = files(tmp_path)
    for ask in (
        lambda: rename_run(name, "new", runs), lambda: rename_run("tiny", name, runs), lambda: delete_run(name, runs),
        lambda: set_note(name, "hi", runs), lambda: export_run(name, tmp_path / "x.zip", runs),
    ):  # fmt: skip
        with pytest.raises(RunError, match="cannot be a run's name"):
            ask()
    assert files(tmp_path) == before


def test_bundled_runs_are_left_alone(runs, tmp_path):
    before = files(tmp_path / "bundled")
    for ask in (
        lambda: rename_run("given", "x", runs),
        lambda: delete_run("given", runs),
        lambda: set_note("given", "x", runs),
    ):
        with pytest.raises(RunError, match="came with the program"):
            ask()
    assert files(tmp_path / "bundled") == before
    make("given", runs)  # an own run of that name is one's own
    delete_run("given", runs)
    assert files(tmp_path / "bundled") == before and not (runs / "given").exists()


def test_a_run_that_trains_is_left_alone(runs):
    Status(state="running", pid=os.getpid()).write(runs / "tiny")
    for ask in (lambda: rename_run("tiny", "x", runs), lambda: delete_run("tiny", runs)):
        with pytest.raises(RunError, match="is training; stop it before it is"):
            ask()
    assert set_note("tiny", "while it trains", runs) == "while it trains"


def test_deleting_removes_the_run_and_nothing_that_it_points_to(runs, tmp_path):
    (runs / "tiny" / "wandb").symlink_to(tmp_path / "outside")
    delete_run("tiny", runs)
    assert [p for p in runs.iterdir()] == [] and (tmp_path / "outside" / "config.json").exists()
    with pytest.raises(RunError, match="no run 'tiny'"):
        delete_run("tiny", runs)


def test_a_link_is_not_followed(runs, tmp_path):
    (runs / "link").symlink_to(tmp_path / "outside")
    for ask in (
        lambda: delete_run("link", runs), lambda: rename_run("link", "x", runs), lambda: set_note("link", "x", runs),
        lambda: export_run("link", tmp_path / "x.zip", runs),
    ):  # fmt: skip
        with pytest.raises(RunError, match="is a link"):
            ask()
    assert sorted(files(tmp_path / "outside")) == ["config.json"]


def test_a_run_that_cannot_be_opened_can_still_be_deleted(runs):
    (runs / "broken").mkdir()
    delete_run("broken", runs)
    assert not (runs / "broken").exists()


# -------------------------------------------------------------------------------------------------------------- notes


def test_a_note_is_kept_in_one_line(runs):
    assert read_note(runs / "tiny") == ""
    assert set_note("tiny", " lower\n\x00rate\u202e <b>x</b> 日本 ", runs) == "lower rate <b>x</b> 日本"
    assert read_note(runs / "tiny") == "lower rate <b>x</b> 日本"
    set_note("tiny", "  ", runs)
    assert not (runs / "tiny" / "note.txt").exists() and read_note(runs / "tiny") == ""
    with pytest.raises(RunError, match="up to 500"):
        set_note("tiny", "x" * (MAX_NOTE + 1), runs)


def test_a_note_that_is_a_link_shows_nothing_of_another_file_and_writes_to_none(runs, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (runs / "tiny" / "note.txt").symlink_to(secret)
    assert read_note(runs / "tiny") == ""
    set_note("tiny", "mine", runs)
    assert secret.read_text() == "secret" and read_note(runs / "tiny") == "mine"


def test_a_huge_note_of_somebody_else_is_cut(runs):
    (runs / "tiny" / "note.txt").write_bytes(b"\xff" + b"x" * 10_000_000)
    assert len(read_note(runs / "tiny")) <= MAX_NOTE


# ------------------------------------------------------------------------------------------------------------- export


def test_an_exported_run_is_a_run_elsewhere(runs, tmp_path):
    set_note("tiny", "the good one", runs)
    inside = export_run("tiny", tmp_path / "tiny.zip", runs)
    with zipfile.ZipFile(tmp_path / "tiny.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == sorted(f"tiny/{name}" for name in inside)
        archive.extractall(tmp_path / "elsewhere")
    there = load("tiny", tmp_path / "elsewhere")
    ours = load("tiny", runs)
    assert all(torch.equal(a, b) for a, b in zip(there.model.parameters(), ours.model.parameters()))
    assert there.config.data.name == "book.txt" and there.config.tokenizer.path == "tokenizer.json"
    assert "the good one" in there.card and "3.25" in there.card
    assert [info.status.state for info in list_runs(tmp_path / "elsewhere") if not info.bundled] == ["done"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "elsewhere" / "tiny" / "metrics.csv").read_text())))
    assert rows == [{"step": "1", "loss": "3.5", "val_loss": "3.25", "lr": "0.1"}]


def test_nothing_of_this_machine_is_in_an_export(runs, tmp_path):
    write_json(runs / "tiny" / "scores.json", {"bleu": 3.0, "details": {"data": "9 pairs of /home/someone/dev.csv"}})
    (runs / "tiny" / "samples.jsonl").unlink()
    (runs / "tiny" / "samples.jsonl").symlink_to(tmp_path / "outside" / "config.json")
    export_run("tiny", tmp_path / "tiny.zip", runs)
    with zipfile.ZipFile(tmp_path / "tiny.zip") as archive:
        for name in archive.namelist():
            content = archive.read(name)
            assert b"/home/" not in content and str(tmp_path).encode() not in content, name
        assert not any(name.endswith(("samples.jsonl", "train.log", "status.json")) for name in archive.namelist())
        assert json.loads(archive.read("tiny/scores.json"))["details"]["data"] == "9 pairs of dev.csv"


def test_an_export_overwrites_nothing_and_says_what_is_missing(runs, tmp_path):
    (tmp_path / "there.zip").write_text("mine")
    with pytest.raises(RunError, match="there.zip is there already"):
        export_run("tiny", tmp_path / "there.zip", runs)
    assert (tmp_path / "there.zip").read_text() == "mine"
    with pytest.raises(RunError, match="no folder"):
        export_run("tiny", tmp_path / "none" / "x.zip", runs)
    (runs / "tiny" / "model.safetensors").unlink()
    with pytest.raises(RunError, match="no weights yet"):
        export_run("tiny", tmp_path / "x.zip", runs)
    assert not (tmp_path / "x.zip").exists()
    with pytest.raises(RunError, match="end in .zip"):
        export_run("tiny", tmp_path / "x.tar", runs)


def test_a_bundled_run_can_be_exported(runs, tmp_path):
    export_run("given", tmp_path / "given.zip", runs)
    assert zipfile.ZipFile(tmp_path / "given.zip").testzip() is None


def test_the_configuration_itself_is_not_changed_by_an_export(runs, tmp_path):
    before = read_json(runs / "tiny" / "config.json")
    export_run("tiny", tmp_path / "tiny.zip", runs)
    assert read_json(runs / "tiny" / "config.json") == before
