"""Runs that come from the Volume to this machine."""

import os
import shutil

import pytest

from core import load
from core.files import read_json
from core.model.hf import import_pretrained, keep
from core.model.hf_export import export_pretrained
from core.run import BUNDLED, create_run, list_runs, read_status
from core.train.checkpoint import read_checkpoint
from remote.link import NotThere
from remote.transfer import pull, push
from tests.core.train.tiny_runs import config
from tests.remote.flaky import assert_same_files, place


def test_the_best_is_what_is_needed_to_use_a_run(store, runs, trained):
    there = place(store, trained)
    told = []
    done = pull("tiny", runs, store=store, progress=lambda *args: told.append(args))
    assert done.directory == runs / "tiny" and done.skipped == []
    assert {"config.json", "tokenizer.json", "model.safetensors", "metrics.jsonl", "status.json"} <= set(done.files)
    assert not (runs / "tiny" / "checkpoints").exists() and not (runs / "tiny" / "snapshots").exists()
    for path in done.files:
        if path != "status.json":
            assert (runs / "tiny" / path).read_bytes() == (there / path).read_bytes()
    assert load("tiny", runs).model is not None
    assert read_status(runs / "tiny").state == "done" and read_json(runs / "tiny" / "status.json")["pid"] is None
    assert told[-1][0] == told[-1][1] == done.bytes == sum((there / path).stat().st_size for path in done.files)
    assert [a[0] for a in told] == sorted(a[0] for a in told)
    assert [info.name for info in list_runs(runs) if not info.bundled] == ["tiny"]  # and no folder of parts


def test_all_of_it_can_be_gone_on_with(store, runs, trained):
    there = place(store, trained)
    done = pull("tiny", runs, "all", store)
    assert_same_files(runs / "tiny", there)
    assert "checkpoints/last.ckpt" in done.files and len([p for p in done.files if "snapshots/" in p]) == 3
    assert read_checkpoint(runs / "tiny")["step"] == 16


@pytest.mark.parametrize("step", ["5", "000005"])
def test_a_snapshot(step, store, runs, trained):
    there = place(store, trained)
    (there / "snapshots" / "step-000005.safetensors").write_bytes(
        next((there / "snapshots").iterdir()).read_bytes()
    )  # fmt: skip
    done = pull("tiny", runs, f"snapshot:{step}", store)
    assert [p for p in done.files if p.endswith("safetensors")] == ["snapshots/step-000005.safetensors"]
    assert "metrics.jsonl" in done.files
    with pytest.raises(NotThere, match=r"no snapshot of step 4 on Modal; there are .*\b5\b"):
        pull("tiny", runs, "snapshot:4", store)


def test_an_imported_checkpoint(store, runs, trained, tmp_path):
    gpt = create_run(config(trained.parent.parent, "data.name=builtin:pydocs", family="gpt"), "gpt", tmp_path / "own")
    shutil.copytree(BUNDLED / "shakespeare-gpt", gpt, dirs_exist_ok=True)
    kept = keep(import_pretrained(str(export_pretrained(load(str(gpt)), tmp_path / "hf"))), "hf", tmp_path / "own")
    assert push("hf", tmp_path / "own", store=store).skipped == []
    done = pull("hf", runs, store=store)
    assert_same_files(runs / "hf", kept)
    assert "generation_config.json" in done.files and load("hf", runs).model is not None


def test_what_is_here_is_not_fetched_again(store, runs, trained):
    place(store, trained)
    first = pull("tiny", runs, store=store)
    again = pull("tiny", runs, "all", store)
    assert set(again.files) & set(first.files) == {"config.json", "status.json"}
    assert set(again.skipped) == set(first.files) - {"config.json", "status.json"}
    assert pull("tiny", runs, "all", store).bytes < 10_000


def test_without_a_manifest_it_is_fetched_again_once_it_has_changed(store, runs, trained):
    there = place(store, trained, with_manifest=False)
    pull("tiny", runs, store=store)
    assert "model.safetensors" in pull("tiny", runs, store=store).skipped
    os.utime(there / "model.safetensors")
    assert "model.safetensors" in pull("tiny", runs, store=store).files
    (runs / "tiny" / "tokenizer.json").write_bytes(b"{}")  # changed here
    assert "tokenizer.json" in pull("tiny", runs, store=store).files
    assert_same_files(runs / "tiny", runs / "tiny")
