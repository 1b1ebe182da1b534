"""Runs that go from this machine to the Volume."""

import os
import random
import shutil

import pytest

from core import load
from core.errors import ConfigError, RunError
from core.files import read_json, write_json
from core.run import BUNDLED, Status, create_run, read_status
from core.train.checkpoint import read_checkpoint
from remote.link import CloudError
from remote.transfer import pull, push
from tests.core.train.tiny_runs import config
from tests.remote.flaky import files_of


@pytest.fixture
def own(runs, trained):
    shutil.copytree(trained, runs / "tiny")
    return runs / "tiny"


def on(store, name="tiny"):
    return store.directory / "runs" / name


def test_there_and_back(store, own, runs, tmp_path):
    done = push("tiny", runs, store=store)
    assert not {"stop", "wandb", "remote.json", "train.lock"} & {p.name for p in on(store).iterdir()}
    assert set(done.files) == {p.relative_to(on(store)).as_posix() for p in on(store).rglob("*") if p.is_file()} - {
        "manifest.json"
    }
    back = pull("tiny", tmp_path / "other", "all", store)
    assert sorted(back.files) == done.files
    for path in back.files:
        if path not in ("config.json", "status.json"):
            assert (tmp_path / "other" / "tiny" / path).read_bytes() == (own / path).read_bytes()
    data = read_json(on(store) / "config.json")["data"]
    assert data["src"].startswith("/store/data/") and (store.directory / data["src"].removeprefix("/store/")).is_file()


def test_what_comes_back_names_the_files_of_this_machine(store, own, runs, trained):
    push("tiny", runs, store=store)
    write_json(own / "remote.json", {**read_json(own / "remote.json"), "call_id": "fc-9"})
    Status(state="done", step=40, backend="modal").write(on(store))
    pull("tiny", runs, store=store)
    assert read_json(own / "config.json")["data"]["src"] == str(trained.parent.parent / "src.txt")
    assert read_json(own / "remote.json")["call_id"] == "fc-9" and read_status(own).step == 40


def test_what_is_there_is_not_sent_again(store, own, runs):
    first = push("tiny", runs, store=store)
    store.written.clear()
    again = push("tiny", runs, store=store)
    assert again.files == ["status.json"] and set(again.skipped) == set(first.files) - {"status.json"}
    assert set(store.written) == {"runs/tiny/status.json", "runs/tiny/manifest.json"}
    with open(own / "metrics.jsonl", "a") as file:
        file.write("{}\n")
    (on(store) / "samples.jsonl").write_bytes((on(store) / "samples.jsonl").read_bytes().replace(b"1", b"2"))
    assert push("tiny", runs, store=store).files == ["metrics.jsonl", "samples.jsonl", "status.json"]


def test_the_best_only(store, own, runs):
    done = push("tiny", runs, "best", store)
    assert "model.safetensors" in done.files and not any("/" in path for path in done.files)
    with pytest.raises(ConfigError, match="all or best"):
        push("tiny", runs, "snapshot:3", store)


@pytest.mark.parametrize("seed", range(3))
def test_a_push_that_breaks(seed, store, own, runs, tmp_path, monkeypatch):
    monkeypatch.setattr("remote.transfer.pushing.BIG", 10_000)
    rng, largest = random.Random(seed), max(p.stat().st_size for p in own.rglob("*.ckpt"))
    for _ in range(50):
        store.break_after = rng.randint(largest, largest + 300_000)
        try:
            push("tiny", runs, store=store)
            break
        except CloudError:
            assert not (on(store) / "config.json").exists()  # nothing that looks like a run
    big = [p for p in store.written if p.endswith(("ckpt", "safetensors"))]
    assert len(big) == len(set(big)) and big
    store.break_after = None
    pull("tiny", tmp_path / "other", "all", store)
    assert read_checkpoint(tmp_path / "other" / "tiny")["step"] == 16


def test_a_bundled_run_is_not_pushed(store, runs):
    with pytest.raises(RunError, match="came with the program and is on Modal already"):
        push("shakespeare-gpt", runs, store=store)
    with pytest.raises(RunError, match="There is no run 'nobody'"):
        push("nobody", runs, store=store)
    shutil.copytree(BUNDLED / "shakespeare-gpt", runs / "mine")
    assert "model.safetensors" in push("mine", runs, store=store).files
    assert load("mine", on(store).parent).model is not None


def test_another_run_there_is_kept_but_by_force(store, own, runs, trained):
    there = create_run(config(trained.parent.parent, "seed=7"), "tiny", store.directory / "runs")
    Status(state="done").write(there)
    (there / "old.txt").write_text("old")
    before = files_of(there)
    with pytest.raises(RunError, match="There is another run tiny on Modal: rename the one here"):
        push("tiny", runs, store=store)
    assert files_of(there) == before
    push("tiny", runs, store=store, force=True)
    assert not (there / "old.txt").exists() and read_json(there / "config.json")["seed"] == 0


def test_a_run_that_trains_or_is_further_there_is_kept(store, own, runs):
    push("tiny", runs, store=store)
    Status(state="running", step=20, backend="modal").write(on(store))
    for force in (False, True):
        with pytest.raises(RunError, match="training on Modal; stop it there"):
            push("tiny", runs, store=store, force=force)
    Status(state="done", step=20, backend="modal").write(on(store))
    with pytest.raises(RunError, match=r"further on Modal \(step 20\) than on this machine \(step 16\): pull it"):
        push("tiny", runs, store=store)
    assert push("tiny", runs, store=store, force=True).files == ["status.json"]
    Status(state="running", pid=os.getpid()).write(own)
    with pytest.raises(RunError, match="The run tiny is training; stop it"):
        push("tiny", runs, store=store)


def test_a_run_whose_process_was_killed_is_pushed_as_failed(store, own, runs):
    write_json(own / "status.json", {**read_json(own / "status.json"), "state": "running", "pid": 2**22 - 3})
    push("tiny", runs, store=store)
    assert read_json(on(store) / "status.json")["state"] == "failed"
