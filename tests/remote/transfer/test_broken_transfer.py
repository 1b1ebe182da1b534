"""Transfers that break, files that are wrong, runs that change while they come."""

import os
import random
import shutil
import sys
import time

import pytest

from core.errors import RunError
from core.run import Status, read_status
from remote.link import CloudError, NotThere
from remote.transfer import pull, receive, write_manifest
from tests.remote.flaky import assert_same_files, files_of, place


@pytest.mark.parametrize("with_manifest", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_broken_in_many_places(seed, with_manifest, store, runs, trained):
    """What came is never fetched again, and the run is not seen before it is whole."""
    there = place(store, trained, with_manifest=with_manifest)
    rng = random.Random(seed)
    store.piece = 1500
    tries = 0
    while not (runs / "tiny").exists():
        store.break_after = rng.randint(1, 150_000)
        tries += 1
        try:
            pull("tiny", runs, "all", store)
        except CloudError:
            assert not (runs / "tiny").exists() and tries < 200
    assert tries > 3
    assert_same_files(runs / "tiny", there)
    for path, count in store.read_bytes.items():
        if not path.endswith(("manifest.json", "status.json", "launch.json")):  # these are looked at each time
            assert count == (store.directory / path).stat().st_size, path
    assert not (runs / ".pull" / "tiny").exists()


class Killed(BaseException):
    """What nothing in the program expects or handles."""


def test_a_killed_process_goes_on_where_its_files_are_safe(store, runs, trained, monkeypatch):
    there = place(store, trained)
    size = (there / "model.safetensors").stat().st_size
    monkeypatch.setattr(receive, "KEEP", 20_000)
    monkeypatch.setattr(receive.Inbox, "_keep", _only_on_the_way(receive.Inbox._keep))
    store.break_after, store.raises = size // 2, Killed()
    with pytest.raises(Killed):
        pull("tiny", runs, store=store)
    store.break_after, before = None, store.read_bytes["runs/tiny/model.safetensors"]
    pull("tiny", runs, store=store)
    assert_same_files(runs / "tiny", runs / "tiny")
    again = store.read_bytes["runs/tiny/model.safetensors"] - before
    assert size - before <= again <= size - before + 20_000 + store.piece
    assert (runs / "tiny" / "model.safetensors").read_bytes() == (there / "model.safetensors").read_bytes()


def _only_on_the_way(keep):
    """The last `_keep`, that of an orderly end, is not done by a process that was killed."""

    def wrapped(*args):
        return args[-1] if isinstance(sys.exc_info()[1], Killed) else keep(*args)

    return wrapped


def test_a_part_that_was_spoilt_on_the_disk_is_fetched_anew(store, runs, trained):
    there = place(store, trained)
    store.break_after = 60_000
    with pytest.raises(CloudError):
        pull("tiny", runs, store=store)
    (part,) = (runs / ".pull" / "tiny").glob("*.part")
    part.write_bytes(bytes(part.stat().st_size))
    store.break_after = None
    pull("tiny", runs, store=store)
    assert (runs / "tiny" / "model.safetensors").read_bytes() == (there / "model.safetensors").read_bytes()


def flip(data):
    return data[:-7] + bytes([data[-7] ^ 1]) + data[-6:]


def test_a_wrong_file_is_fetched_once_more(store, runs, trained):
    there = place(store, trained)
    wrong = ["runs/tiny/model.safetensors", "runs/tiny/metrics.jsonl", "runs/tiny/checkpoints/previous.ckpt"]
    store.change = lambda path, data: flip(data) if path in wrong and not wrong.remove(path) else data
    pull("tiny", runs, "all", store)
    assert (
        wrong == []
        and store.read_bytes["runs/tiny/model.safetensors"] == 2 * (there / "model.safetensors").stat().st_size
    )
    assert_same_files(runs / "tiny", there)


@pytest.mark.parametrize("path", ["model.safetensors", "tokenizer.json", "samples.jsonl"])
def test_a_file_that_stays_wrong_is_named(path, store, runs, trained):
    place(store, trained)
    store.change = lambda p, data: flip(data) if p == f"runs/tiny/{path}" else data
    with pytest.raises(RunError, match=f"{path} came wrong twice .*SHA-256"):
        pull("tiny", runs, store=store)
    assert not (runs / "tiny").exists()


@pytest.mark.parametrize(
    "path, spoil",
    [
        ("model.safetensors", lambda data: data[:-5]),
        ("model.safetensors", lambda data: data[:3]),
        ("model.safetensors", lambda data: b"\xff" * 8 + data[8:]),
        ("model.safetensors", lambda data: data[:9] + b"\0" + data[10:]),
        ("checkpoints/last.ckpt", flip),
        ("checkpoints/last.ckpt", lambda data: data[:-10]),
        ("tokenizer.json", lambda data: data[:-10]),
        ("config.json", lambda data: b""),
    ],
)
def test_without_a_manifest_files_tell_by_themselves(path, spoil, store, runs, trained):
    there = place(store, trained, with_manifest=False)
    (there / path).write_bytes(spoil((there / path).read_bytes()))
    with pytest.raises(RunError, match=f"{path} came wrong twice"):
        pull("tiny", runs, "all", store)
    assert not (runs / "tiny").exists()


def test_the_run_that_is_here_stands_until_all_has_come(store, runs, trained):
    there = place(store, trained)
    pull("tiny", runs, store=store)
    before = files_of(runs / "tiny")
    for path in ("model.safetensors", "metrics.jsonl"):
        (there / path).write_bytes((there / path).read_bytes()[::-1])
    write_manifest(there)
    store.break_after = 90_000
    with pytest.raises(CloudError):
        pull("tiny", runs, "all", store)
    assert files_of(runs / "tiny") == before
    store.break_after = None
    pull("tiny", runs, "all", store)
    assert_same_files(runs / "tiny", there)


def test_a_broken_pull_of_all_is_not_lost_by_one_of_the_best(store, runs, trained):
    place(store, trained)
    store.break_after = 400_000
    with pytest.raises(CloudError):
        pull("tiny", runs, "all", store)
    store.break_after = None
    pull("tiny", runs, "best", store)
    kept = sum(p.stat().st_size for p in (runs / ".pull" / "tiny").rglob("*.ckpt*"))
    assert kept > 0
    before = store.total
    pull("tiny", runs, "all", store)
    checkpoints = sum(p.stat().st_size for p in (runs / "tiny").glob("checkpoints/*"))
    snapshots = sum(p.stat().st_size for p in (runs / "tiny").glob("snapshots/*"))
    assert store.total - before < checkpoints + snapshots - kept + 20_000
    assert not (runs / ".pull" / "tiny").exists()


def test_one_checkpoint_under_two_names_comes_once(store, runs, trained):
    there = place(store, trained)
    shutil.copyfile(there / "checkpoints" / "last.ckpt", there / "checkpoints" / "best.ckpt")
    (there / "metrics.jsonl").write_bytes(b"{}\n")
    (there / "samples.jsonl").write_bytes(b"{}\n")
    write_manifest(there)
    done = pull("tiny", runs, "all", store)
    assert_same_files(runs / "tiny", there)
    assert done.bytes < sum(p.stat().st_size for p in there.rglob("*") if p.is_file()) - 1000
    with open(runs / "tiny" / "metrics.jsonl", "a") as file:  # of what grows each has its own file
        file.write("{}\n")
    assert (runs / "tiny" / "samples.jsonl").read_bytes() == b"{}\n"


@pytest.mark.parametrize("age", [0, 1000])
def test_a_run_that_trains_is_taken_as_it_is(age, store, runs, trained):
    """Its weights are younger than the manifest of its first session; one of them is replaced while it comes."""
    there = place(store, trained)
    for path in (there, *there.rglob("*")):
        os.utime(path, (time.time() - 2000, time.time() - 2000))
    new = (there / "model.safetensors").read_bytes()
    new = new[:-400] + bytes(400)
    (there / "model.safetensors").write_bytes(new)
    Status(state="running", step=12, steps=16, backend="modal").write(there)
    changed = []

    def replace(path, data):
        if path.endswith("model.safetensors") and not changed:
            changed.append(path)
            (there / "new").write_bytes(new[:-800] + bytes(800))
            os.utime(there / "new", (time.time() + age, time.time() + age))
            os.replace(there / "new", there / "model.safetensors")
        if path.endswith("metrics.jsonl") and len(changed) == 1:
            changed.append(path)
            with open(there / "metrics.jsonl", "a") as file:
                file.write('{"step": 17}\n')
            return (there / "metrics.jsonl").read_bytes()
        return data

    store.change = replace
    pull("tiny", runs, store=store)
    got = (runs / "tiny" / "model.safetensors").read_bytes()
    assert got in (new, new[:-800] + bytes(800)) and len(changed) == 2
    assert (runs / "tiny" / "metrics.jsonl").read_bytes() == (there / "metrics.jsonl").read_bytes()
    assert read_status(runs / "tiny").state == "running"


def other_weights(data):
    """A safetensors file as long as the other, with other weights all over."""
    return data[:20_000] + bytes(byte ^ 1 for byte in data[20_000:])


def test_parts_of_two_versions_are_never_put_together(store, runs, trained):
    there = place(store, trained, with_manifest=False)
    old = (there / "model.safetensors").read_bytes()
    store.break_after = len(old) // 2
    with pytest.raises(CloudError):
        pull("tiny", runs, store=store)
    store.break_after = None
    new = other_weights(old)
    (there / "model.safetensors").write_bytes(new)
    pull("tiny", runs, store=store)
    assert (runs / "tiny" / "model.safetensors").read_bytes() == new


def test_replaced_between_two_breaks_of_one_pull(store, runs, trained):
    there = place(store, trained, with_manifest=False)
    old = (there / "model.safetensors").read_bytes()
    new = other_weights(old)
    seen = []

    def break_and_replace(path, data):
        if path.endswith("model.safetensors"):
            seen.append(path)
            if len(seen) == 1:
                store.break_after = len(old) // 2
            elif len(seen) == 2:
                store.break_after = None
                (there / "model.safetensors").write_bytes(new)
                return new
        return data

    store.change = break_and_replace
    pull("tiny", runs, store=store)
    assert (runs / "tiny" / "model.safetensors").read_bytes() == new


def test_a_file_that_vanishes_is_left_out(store, runs, trained):
    there = place(store, trained)

    def vanish(path, data):
        if path.endswith("previous.ckpt"):
            (there / "checkpoints" / "previous.ckpt").unlink()
            raise NotThere("gone")
        return data

    store.change = vanish
    done = pull("tiny", runs, "all", store)
    assert "checkpoints/previous.ckpt" not in done.files and "checkpoints/last.ckpt" in done.files


def test_a_file_that_never_rests_is_a_sentence(store, runs, trained):
    there = place(store, trained, with_manifest=False)

    def grow(path, data):
        if path.endswith("metrics.jsonl"):
            with open(there / "metrics.jsonl", "a") as file:
                file.write("{}\n")
            return data + b"{}\n"
        return data

    store.change = grow
    with pytest.raises(RunError, match=r"metrics.jsonl changes faster than it can be fetched"):
        pull("tiny", runs, store=store)
