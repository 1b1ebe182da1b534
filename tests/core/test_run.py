"""Run directories: names, broken files, what a reader sees while another process writes."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from core import load
from core.errors import RunError
from core.files import append_jsonl, check_name, read_json, read_jsonl, write_atomic, write_json, write_text
from core.model import build_model
from core.presets import preset
from core.run import Status, create_run, find_run, list_runs, load_model, read_status, save_model
from core.tokenizer import train_bpe


@pytest.fixture
def runs_dir(tmp_path):
    """A directory with one small trained-looking run "tiny"."""
    tokenizer = train_bpe(["to be or not to be"], 270)
    config = preset("gpt-shakespeare").with_overrides(
        [f"model.vocab_size={tokenizer.vocab_size}", "model.d_model=16", "model.n_layers=1", "model.n_heads=2"]
    )
    directory = create_run(config, "tiny", tmp_path)
    write_text(directory / "tokenizer.json", tokenizer.to_json())
    torch.manual_seed(0)
    save_model(build_model(config.model), directory / "model.safetensors")
    Status(state="done").write(directory)
    return tmp_path


def test_a_run_is_loaded_by_name_and_by_directory(runs_dir):
    run = load("tiny", runs_dir)
    assert load(str(runs_dir / "tiny")).config == run.config
    assert run.tokenizer.decode(run.tokenizer.encode("to be").ids) == "to be"
    torch.manual_seed(0)
    expected = build_model(run.config.model).state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in run.model.state_dict().items())
    assert not run.model.training
    assert [info.name for info in list_runs(runs_dir) if not info.bundled] == ["tiny"]


def test_half_precision_is_read_back_as_float32(runs_dir):
    run = load("tiny", runs_dir)
    save_model(run.model, run.directory / "half.safetensors", half=True)
    model = load_model(run.directory, run.config, "half.safetensors")
    assert model.dtype == torch.float32
    assert (run.directory / "half.safetensors").stat().st_size < 0.6 * (
        run.directory / "model.safetensors"
    ).stat().st_size
    ids = torch.randint(3, 260, (2, 9))
    torch.testing.assert_close(model(ids).logits, run.model(ids).logits, atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../tiny", "a\x00b", "-x", "a" * 65, "a..b", "é", "a b", "~", "C:x"]
)
def test_names_that_could_point_elsewhere_are_refused(name, tmp_path):
    with pytest.raises(RunError, match="cannot be a run's name"):
        check_name(name)
    with pytest.raises(RunError):
        create_run(preset("demo"), name, tmp_path / "runs")
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_a_second_run_of_the_same_name_overwrites_nothing(runs_dir):
    before = {p.name: p.read_bytes() for p in (runs_dir / "tiny").iterdir()}
    with pytest.raises(RunError, match="already a run 'tiny'"):
        create_run(preset("demo"), "tiny", runs_dir)
    assert {p.name: p.read_bytes() for p in (runs_dir / "tiny").iterdir()} == before


def test_an_unknown_name_lists_what_there_is(runs_dir):
    with pytest.raises(RunError, match="no run 'tinny'.*tiny"):
        find_run("tinny", runs_dir)
    with pytest.raises(RunError, match="no config.json"):
        find_run("/nowhere/at/all", runs_dir)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", b"{", "config.json in tiny is broken"),
        ("config.json", b"\xff\xfe", "config.json in tiny is broken"),
        ("config.json", b"[]", "config.json of the run tiny"),
        ("config.json", b'{"modle": {}}', "nearest valid key is 'model'"),
        ("tokenizer.json", b"{", "tokenizer"),
        ("tokenizer.json", b"", "tokenizer"),
        ("model.safetensors", b"", "model.safetensors of the run tiny is broken"),
        ("model.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "model.safetensors of the run tiny is broken"),
    ],
)
def test_a_broken_file_is_named(runs_dir, name, content, words):
    (runs_dir / "tiny" / name).write_bytes(content)
    with pytest.raises(RunError, match=words) as caught:
        _ = load("tiny", runs_dir).model
    assert "\n" not in str(caught.value)
    assert [info.name for info in list_runs(runs_dir) if not info.bundled] == ["tiny"]  # the list still stands


def test_weights_of_another_shape_are_named(runs_dir):
    path = runs_dir / "tiny" / "config.json"
    values = json.loads(path.read_text())
    values["model"]["n_layers"] = 2
    write_json(path, values)
    with pytest.raises(RunError, match=r"does not fit its config.json: see layers\.1\."):
        _ = load("tiny", runs_dir).model


def test_a_missing_file_is_named(runs_dir):
    (runs_dir / "tiny" / "model.safetensors").unlink()
    with pytest.raises(RunError, match="no model.safetensors yet"):
        _ = load("tiny", runs_dir).model
    (runs_dir / "tiny" / "tokenizer.json").unlink()
    with pytest.raises(RunError, match="no tokenizer.json yet"):
        load("tiny", runs_dir)


def test_a_run_whose_process_died_is_shown_as_failed(runs_dir):
    directory = runs_dir / "tiny"
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    Status(state="running", pid=child.pid).write(directory)
    assert read_status(directory).state == "running"
    child.kill()
    deadline = time.monotonic() + 10
    while read_status(directory).state == "running" and time.monotonic() < deadline:
        time.sleep(0.02)  # killed, but nobody has waited for it yet
    status = read_status(directory)
    assert (status.state, status.error) == ("failed", "The training process is gone.")
    child.wait()
    child.stdin.close()
    assert read_status(directory).state == "failed"


def test_a_status_file_that_is_no_status_does_not_hurt(runs_dir):
    for content in ("", "[]", '{"state": "running", "surprise": 1}', "{"):
        (runs_dir / "tiny" / "status.json").write_text(content)
        assert read_status(runs_dir / "tiny").state in ("done", "failed")


def test_a_full_disk_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    write_text(path, "before")

    def full(file):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(RunError, match="no space left"):
        write_atomic(path, full)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_files_that_must_not_be_touched_are_one_sentence(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(RunError, match=r"config\.json in .* cannot be read: Permission denied"):
        read_json(tmp_path / "config.json")
    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(RunError, match=r"config\.json cannot be written: Permission denied"):
        write_atomic(tmp_path / "config.json", lambda file: file.write(b"x"))
    assert not list(tmp_path.iterdir())


def test_lines_that_are_not_whole_are_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_jsonl(path) == []
    append_jsonl(path, {"step": 1})
    append_jsonl(path, {"step": 2, "text": "é\n"})
    with open(path, "ab") as file:
        file.write(b'not json\n[1]\n{"step": 3')
    assert read_jsonl(path) == [{"step": 1}, {"step": 2, "text": "é\n"}]


def test_a_process_number_that_is_another_programs_now_does_not_look_alive(runs_dir):
    directory = runs_dir / "tiny"
    Status(state="running", pid=os.getpid()).write(directory)
    assert read_status(directory).state == "running"
    values = read_json(directory / "status.json")
    write_json(directory / "status.json", values | {"heartbeat": values["heartbeat"] - 365 * 86_400})
    status = read_status(directory)  # this process began long after the run's last sign of life
    assert (status.state, status.error) == ("failed", "The training process is gone.")


@pytest.mark.parametrize(
    "odd", [{"heartbeat": "now"}, {"pid": 2**70}, {"pid": "1"}, {"step": None}, {"eta": "soon"}, {"state": 3}]
)
def test_values_of_the_wrong_kind_in_a_status_file_are_left_out(runs_dir, odd):
    write_json(runs_dir / "tiny" / "status.json", {"state": "running", "steps": 9} | odd)
    status = read_status(runs_dir / "tiny")
    assert status.steps == 9 and isinstance(status.step, int)
