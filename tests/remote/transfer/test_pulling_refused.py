"""What a pull does not do: write elsewhere, fill the disk, take the place of another run."""

import errno
import os
import shutil

import pytest

from core.errors import ConfigError, RunError
from core.files import read_json, write_json
from core.run import Status, create_run
from remote.link import NotThere
from remote.transfer import delete_remote, pull, pulling, push, receive
from remote.transfer.store import Entry
from tests.core.train.tiny_runs import config
from tests.remote.flaky import files_of, place

HOSTILE = [
    "../evil", "../../evil", "a/../../evil", "/etc/evil", "//evil", "a//b", "./a", "..", "snapshots/..", "a\\..\\b",
    "C:evil", "a\nb", "a b", "\x1b[2J", "a" * 300, "/".join("abcdefghijk"), "-rf", "é", "checkpoints/..last", "a/",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name, store, runs, trained, monkeypatch):
    place(store, trained)
    real = store.list
    monkeypatch.setattr(store, "list", lambda prefix: [*real(prefix), Entry(f"runs/tiny/{name}", 4, 1.0)])
    monkeypatch.setattr(store, "change", lambda path, data: data)
    before = sorted(p for p in runs.parent.rglob("*") if "volume" not in str(p))
    with pytest.raises(RunError, match="not one of a run; nothing was fetched"):
        pull("tiny", runs, "all", store)
    assert sorted(p for p in runs.parent.rglob("*") if "volume" not in str(p)) == before
    pull("tiny", runs, "best", store)  # what is needed comes all the same


def test_hidden_files_and_those_of_a_launch_stay_there(store, runs, trained):
    there = place(store, trained)
    for name in (".secret", ".metrics.jsonl.tmp", "stop", "launch.json", "checkpoints/new.ckpt", "x.part"):
        (there / name).write_text("{}")
    (there / "link.txt").symlink_to("/etc/hostname")
    done = pull("tiny", runs, "all", store)
    assert not {"link.txt", "stop", ".secret", "launch.json", "x.part", "checkpoints/new.ckpt"} & set(done.files)


def test_more_than_was_said_is_not_written(store, runs, trained):
    place(store, trained)
    store.change = lambda path, data: data + bytes(10_000_000) if path.endswith("tokenizer.json") else data
    with pytest.raises(RunError, match=r"tokenizer.json (changes faster|came wrong twice)"):
        pull("tiny", runs, store=store)
    assert sum(p.stat().st_size for p in runs.rglob("*") if p.is_file()) < 2_000_000


@pytest.mark.parametrize("name", ["../tiny", "a/b", "", ".hidden", "x" * 80])
def test_names_of_runs_are_checked(name, store, runs):
    for act in (lambda: pull(name, runs, store=store), lambda: push(name, runs, store=store),
                lambda: delete_remote(name, store)):  # fmt: skip
        with pytest.raises(RunError, match="cannot be a run's name"):
            act()


def test_what_to_pull_is_checked(store, runs, trained):
    place(store, trained)
    for what in ("most", "snapshot:", "snapshot:-1", "snapshot:x", ""):
        with pytest.raises(ConfigError, match="best, all or snapshot:STEP"):
            pull("tiny", runs, what, store)


def test_a_run_that_is_not_there(store, runs):
    with pytest.raises(NotThere, match="The run nobody is not there on Modal; `llm-scratch runs --on modal`"):
        pull("nobody", runs, store=store)
    (store.directory / "runs" / "early").mkdir(parents=True)
    (store.directory / "runs" / "early" / "launch.json").write_text("{}")
    with pytest.raises(NotThere, match="has no config.json yet"):
        pull("early", runs, store=store)
    assert not runs.exists() or not list(runs.glob("[!.]*"))


def test_a_disk_that_is_too_small_is_said_before_the_start(store, runs, trained, monkeypatch):
    place(store, trained)
    usage = shutil.disk_usage(store.directory)
    monkeypatch.setattr(pulling.shutil, "disk_usage", lambda path: usage._replace(free=pulling.RESERVE + 1000))
    with pytest.raises(RunError, match=r"tiny needs \d+ MB, but the disk of .* free some, or pull less"):
        pull("tiny", runs, "all", store)
    assert "runs/tiny/model.safetensors" not in store.read_bytes


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_on_the_way(code, store, runs, trained, monkeypatch):
    there = place(store, trained)
    real, left = receive._write, [60_000]

    def write(file, data):
        left[0] -= len(data)
        if left[0] < 0:
            file.write(data[: len(data) // 2])  # as a disk does
            raise OSError(code, os.strerror(code))
        real(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(receive, "_write", write)
        with pytest.raises(RunError, match="no space left on the disk for model.safetensors: free some and pull again"):
            pull("tiny", runs, store=store)
    assert not (runs / "tiny").exists()
    pull("tiny", runs, store=store)
    assert (runs / "tiny" / "model.safetensors").read_bytes() == (there / "model.safetensors").read_bytes()
    assert store.read_bytes["runs/tiny/model.safetensors"] <= (there / "model.safetensors").stat().st_size + store.piece


def test_a_folder_that_must_not_be_written_to(store, tmp_path, trained):
    place(store, trained)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made"):
        pull("tiny", tmp_path / "file", store=store)


def test_another_run_of_the_name_is_kept(store, runs, trained):
    place(store, trained)
    Status(state="cancelled").write(create_run(config(trained.parent.parent, "seed=7"), "tiny", runs))
    before = files_of(runs / "tiny")
    with pytest.raises(RunError, match="another one than that on Modal: rename it first"):
        pull("tiny", runs, store=store)
    assert files_of(runs / "tiny") == before


def test_how_it_is_trained_makes_no_other_run(store, runs, trained):
    there = place(store, trained)
    values = read_json(there / "config.json")
    values["train"]["max_steps"], values["model"]["vocab_size"] = 99, 0
    values["data"] |= {"src": "/store/data/0123456789abcdef/src.txt", "tgt": "/store/data/0123456789abcdef/tgt.txt"}
    create_run(config(trained.parent.parent, "optim.optimizer=adamw"), "tiny", runs)
    Status(state="cancelled", backend="modal").write(runs / "tiny")
    write_json(there / "config.json", values)
    pull("tiny", runs, store=store)
    assert read_json(runs / "tiny" / "config.json")["train"]["max_steps"] == 99


def test_the_same_launch_is_the_same_run(store, runs, trained):
    there = place(store, trained)
    write_json(there / "launch.json", {"launch": "abc"})
    create_run(config(trained.parent.parent, "seed=7"), "tiny", runs)
    Status(state="running", backend="modal").write(runs / "tiny")
    write_json(runs / "tiny" / "remote.json", {"launch": "abc", "mine": [1]})
    pull("tiny", runs, store=store)
    assert read_json(runs / "tiny" / "remote.json") == {"launch": "abc", "mine": [1]}
    assert read_json(runs / "tiny" / "config.json")["seed"] == 0


def test_a_run_that_trains_here_or_is_further_here_is_kept(store, runs, trained):
    there = place(store, trained)
    pull("tiny", runs, store=store)
    Status(state="running", pid=os.getpid()).write(runs / "tiny")
    with pytest.raises(RunError, match="training on this machine; stop it"):
        pull("tiny", runs, store=store)
    Status(state="cancelled", step=20).write(runs / "tiny")
    with pytest.raises(RunError, match=r"further on this machine \(step 20\) than on Modal \(step 16\)"):
        pull("tiny", runs, store=store)
    Status(state="done", step=24, backend="modal").write(there)
    assert pull("tiny", runs, store=store).files


def test_links_here_are_not_followed(store, runs, trained, tmp_path):
    place(store, trained)
    pull("tiny", runs, store=store)
    (tmp_path / "elsewhere").mkdir()
    (runs / "tiny" / "checkpoints").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="tiny/checkpoints is a link"):
        pull("tiny", runs, "all", store)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    shutil.move(runs / "tiny", tmp_path / "moved")
    (runs / "tiny").symlink_to(tmp_path / "moved")
    with pytest.raises(RunError, match="is a link to another folder here"):
        pull("tiny", runs, store=store)


def test_the_volume_is_not_pulled_onto_itself(store, trained):
    there = place(store, trained)
    before = files_of(there)
    with pytest.raises(RunError, match="need not be pulled"):
        pull("tiny", store.directory / "runs", store=store)
    assert files_of(there) == before


def test_one_pull_at_a_time(store, runs, trained):
    place(store, trained)
    said = []

    def again(done, total, path):
        if not said:
            with pytest.raises(RunError, match="is being pulled already"):
                pull("tiny", runs, store=store)
            said.append(True)

    pull("tiny", runs, store=store, progress=again)
    assert said


def test_a_run_that_was_renamed_here_is_found_there(store, runs, trained):
    place(store, trained)
    pull("tiny", runs, store=store)
    (runs / "tiny").rename(runs / "other")
    write_json(runs / "other" / "remote.json", {"name": "tiny"})
    assert pull("other", runs, store=store).directory == runs / "other"


def test_a_run_of_another_machine_can_be_followed_from_here(store, runs, trained):
    there = place(store, trained)
    write_json(there / "launch.json", {"launch": "abc", "call_id": "fc-1", "attempts": 1})
    Status(state="running", backend="modal", machine="H100:2").write(there)
    pull("tiny", runs, store=store)
    expected = {"name": "tiny", "launch": "abc", "call_id": "fc-1", "gpu": "H100:2"}
    assert read_json(runs / "tiny" / "remote.json") == expected
