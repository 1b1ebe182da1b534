"""A run directory that is kept elsewhere while it is trained."""

import os
import random
import shutil

import pytest

from remote.training.saver import LAST, Saver, copy_new


def files_of(directory):
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


@pytest.fixture
def run(tmp_path):
    directory = tmp_path / "run"
    (directory / "checkpoints").mkdir(parents=True)
    for name in ("config.json", "metrics.jsonl", "model.safetensors", LAST, "checkpoints/best.ckpt", "stop", "pause",
                 ".x.tmp", "checkpoints/new.ckpt"):  # fmt: skip
        (directory / name).write_text(name)
    return directory


def test_only_what_has_changed_is_copied_and_wishes_are_not(run, tmp_path):
    kept = tmp_path / "kept"
    saver = Saver(run, kept)
    assert saver.checkpoint_is_new() and saver.save() and not saver.save() and not saver.checkpoint_is_new()
    assert set(files_of(kept)) == {
        "config.json", "metrics.jsonl", "model.safetensors", LAST, "checkpoints/best.ckpt"
    }  # fmt: skip
    stamp = (kept / "model.safetensors").stat().st_mtime_ns
    with open(run / "metrics.jsonl", "a") as file:
        file.write("more")
    assert saver.save() and (kept / "metrics.jsonl").read_text() == "metrics.jsonlmore"
    assert (kept / "model.safetensors").stat().st_mtime_ns == stamp


def test_the_checkpoint_before_is_kept_too(run, tmp_path):
    saver = Saver(run, tmp_path / "kept")
    saver.save()
    (run / "checkpoints/next").write_text("second")
    os.replace(run / "checkpoints/next", run / LAST)
    saver.save()
    assert (tmp_path / "kept" / LAST).read_text() == "second"
    assert (tmp_path / "kept/checkpoints/previous.ckpt").read_text() == LAST


def test_what_is_restored_is_what_was_kept(run, tmp_path):
    kept, other = tmp_path / "kept", tmp_path / "other"
    saver = Saver(run, kept)
    saver.save()
    os.utime(run / LAST)
    saver.save()
    again = Saver(other, kept)
    assert again.restore() and files_of(other) == files_of(kept)
    assert not again.save()  # nothing is sent back
    assert not Saver(tmp_path / "third", tmp_path / "nothing").restore()


@pytest.mark.parametrize("seed", range(8))
def test_broken_off_anywhere_every_file_is_an_old_or_a_new_one(seed, run, tmp_path, monkeypatch):
    """And a checkpoint is never newer than the metrics beside it."""
    kept, rng = tmp_path / "kept", random.Random(seed)
    saver = Saver(run, kept)
    saver.save()
    old = files_of(kept)
    for name in old:
        (run / name).write_text(f"new {name}")
    new = {name: f"new {name}".encode() for name in old}
    left, real = [rng.randint(1, 6)], os.replace

    def replace(source, target):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        saver.save()
    found = {name: data for name, data in files_of(kept).items() if not name.rpartition("/")[2].startswith(".")}
    for name, data in found.items():
        # If the last checkpoint is missing, the one before is there.
        assert data in (old.get(name, old[LAST]), new.get(name))
    assert LAST in found or found["checkpoints/previous.ckpt"] == old[LAST]
    if found["metrics.jsonl"] == new["metrics.jsonl"]:
        assert found[LAST] == new[LAST]


def test_files_that_are_named_by_their_content(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    copy_new(source, target)
    assert not target.exists()
    source.mkdir()
    (source / "1.npy").write_text("1")
    (source / ".half.tmp").write_text("x")
    copy_new(source, target)
    assert [p.name for p in target.iterdir()] == ["1.npy"]
    (target / "1.npy").write_text("kept as it is")
    copy_new(source, target)
    assert (target / "1.npy").read_text() == "kept as it is"
    shutil.rmtree(source)
