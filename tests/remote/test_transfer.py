"""Runs that come from a store and go to one, over connections that break, with files that are wrong."""

import errno
import hashlib
import os
import random
import shutil
import time

import pytest

from core import load
from core.errors import ConfigError, RunError
from core.files import read_json, write_json
from core.model.hf import import_pretrained, keep
from core.model.hf_export import export_pretrained
from core.run import BUNDLED, Status, create_run, list_runs, read_status
from core.train.checkpoint import read_checkpoint
from core.train.loop import train
from remote import manifest, pulling, receive, volume_runs
from remote.link import CloudError, NotThere
from remote.store import Entry, FolderStore
from remote.transfer import delete_remote, pull, push, remote_runs, write_manifest
from tests.core.train.tiny_runs import WORDS, config


class Flaky(FolderStore):
    """A store that counts what is read and written, and does with it what a test wants."""

    def __init__(self, directory):
        super().__init__(directory)
        self.read_bytes = {}
        self.written = []
        self.piece = 4096
        self.break_after = None  # bytes until the connection breaks, again and again
        self.raises = CloudError("The connection to Modal broke: try again.")
        self.change = lambda path, data: data

    def read(self, path, start=0):
        data = self.change(path, b"".join(super().read(path)))[start:]
        for at in range(0, len(data), self.piece):
            piece = data[at : at + self.piece]
            if self.break_after is not None and path.count("/") > 1:
                self.break_after -= len(piece)
                if self.break_after < 0:
                    raise self.raises
            self.read_bytes[path] = self.read_bytes.get(path, 0) + len(piece)
            yield piece

    def write(self, path, source, told=None):
        if self.break_after is not None:
            self.break_after -= source.stat().st_size
            if self.break_after < 0:
                raise self.raises
        self.written.append(path)
        super().write(path, source, told)

    @property
    def total(self):
        return sum(self.read_bytes.values())


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run that was trained, with checkpoints and snapshots, and its data files."""
    folder = tmp_path_factory.mktemp("trained")
    rng = random.Random(0)
    lines = sorted({" ".join(rng.choices(WORDS, k=rng.randint(1, 5))) for _ in range(300)})
    (folder / "src.txt").write_text("\n".join(lines) + "\n")
    (folder / "tgt.txt").write_text("\n".join(" ".join(reversed(line.split())) for line in lines) + "\n")
    settings = ("train.max_steps=16", "train.snapshots=3", "optim.optimizer=adamw")
    directory = create_run(config(folder, *settings), "tiny", folder / "runs")
    train(directory)
    (directory / "stop").touch()
    (directory / "wandb").mkdir()
    (directory / "wandb" / "debug.log").write_text("of this machine")
    return directory


@pytest.fixture
def store(tmp_path):
    (tmp_path / "volume").mkdir()
    return Flaky(tmp_path / "volume")


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


def place(store, source, name="", with_manifest=True):
    """Put a run on the store as the trainer leaves it there."""
    target = store.directory / "runs" / (name or source.name)
    shutil.copytree(source, target)
    for left_out in ("stop", "wandb", "manifest.json", "remote.json"):
        shutil.rmtree(target / left_out) if (target / left_out).is_dir() else (target / left_out).unlink(True)
    if with_manifest:
        write_manifest(target)
    return target


def files_of(directory):
    """Path -> bytes, without what is of one machine."""
    return {
        p.relative_to(directory).as_posix(): p.read_bytes()
        for p in sorted(directory.rglob("*"))
        if p.is_file() and p.name not in ("manifest.json", "remote.json", "status.json")
    }


def assert_same_files(here, there):
    ours, theirs = files_of(here), files_of(there)
    assert ours.keys() == theirs.keys()
    for path in ours:
        assert ours[path] == theirs[path], path


# ----------------------------------------------------------------------------------------------------------------- pull


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
    import sys

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


# ---------------------------------------------------------------------------------------------- runs that change there


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


# ---------------------------------------------------------------------------------------------- what is not to be done


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


# ----------------------------------------------------------------------------------------------------------------- push


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
    monkeypatch.setattr("remote.pushing.BIG", 10_000)
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


# ------------------------------------------------------------------------------------------------------------ manifests


def test_a_manifest_reads_only_what_has_changed(tmp_path, trained, monkeypatch):
    run = tmp_path / "tiny"
    shutil.copytree(trained, run)
    os.link(run / "checkpoints" / "last.ckpt", run / "checkpoints" / "other.ckpt")
    read = []
    real = manifest.sha256_of
    monkeypatch.setattr(manifest, "sha256_of", lambda path: read.append(path.name) or real(path))
    files = write_manifest(run)["files"]
    assert ("last.ckpt" in read) != ("other.ckpt" in read)
    assert files["checkpoints/last.ckpt"]["sha256"] == files["checkpoints/other.ckpt"]["sha256"]
    assert not {"status.json", "stop", "manifest.json", "remote.json"} & files.keys()
    for path, entry in files.items():
        assert entry["sha256"] == hashlib.sha256((run / path).read_bytes()).hexdigest()
    read.clear()
    assert write_manifest(run)["files"] == files and read == []
    (run / "metrics.jsonl").write_bytes(b"{}\n")
    (run / "samples.jsonl").unlink()
    changed = write_manifest(run)["files"]
    assert read == ["metrics.jsonl"] and "samples.jsonl" not in changed
    assert read_json(run / "manifest.json") == {"files": changed}


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": {"a": 3, "b": {"size": "x"}}}', "\xff"])
def test_a_broken_manifest_is_none(text, store, runs, trained):
    there = place(store, trained)
    (there / "manifest.json").write_text(text, encoding="latin-1")
    pull("tiny", runs, "all", store)
    assert_same_files(runs / "tiny", there)


# ------------------------------------------------------------------------------------------------------- what there is


def test_runs_are_listed(store, trained, tmp_path):
    place(store, trained)
    place(store, BUNDLED / "shakespeare-gpt", "mine")
    (store.directory / "runs" / ".cache" / "tokens").mkdir(parents=True)
    (store.directory / "runs" / ".cache" / "tokens" / "config.json").write_text("{}")
    for number in range(3):
        new = create_run(config(trained.parent.parent), f"new-{number}", store.directory / "runs")
        os.utime(new / "config.json", (1, 1))
        os.utime(new / "status.json", (1, 1))
    Status(state="running", step=3, steps=9, backend="modal").write(store.directory / "runs" / "new-1")
    found = {run["name"]: run for run in remote_runs(store)}
    assert found.keys() == {"tiny", "mine", "new-0", "new-1", "new-2"}
    assert found["tiny"] | {"updated": 0, "bytes": 0} == {
        "name": "tiny", "state": "done", "step": 16, "steps": 16, "preset": "", "family": "transformer",
        "error": "", "has_model": True, "bytes": 0, "updated": 0,
    }  # fmt: skip
    assert found["new-1"]["state"] == "running" and not found["new-1"]["has_model"]
    assert found["mine"]["family"] == "gpt" and found["mine"]["bytes"] > 5_000_000
    assert remote_runs(FolderStore(tmp_path / "nowhere")) == []


def test_only_what_has_changed_is_read_again(store, trained):
    there = place(store, trained)
    for path in there.iterdir():
        os.utime(path, (1000, 1000))
    remote_runs(store)
    before = dict(store.read_bytes)
    assert remote_runs(store)[0]["step"] == 16 and store.read_bytes == before
    Status(state="done", step=99).write(there)
    assert remote_runs(store)[0]["step"] == 99


def test_a_list_ends_in_time(store, trained):
    for name in ("a", "b", "c"):
        place(store, trained, name)

    def hang(path, data):
        time.sleep(0 if path.startswith("runs/a/") else 30)
        return data

    store.change = hang
    begin = time.monotonic()
    found = {run["name"]: run["state"] for run in remote_runs(store, seconds=0.5)}
    assert time.monotonic() - begin < 10 and found == {"a": "done", "b": "", "c": ""}


@pytest.mark.parametrize(
    "text", ["", "[]", "3", '{"state": 3, "step": "x", "steps": -1, "model": 3}', "\xff", "[" * 9999]
)
def test_broken_runs_are_listed(text, store, trained):
    there = place(store, trained)
    for name in ("status.json", "config.json"):
        (there / name).write_text(text, encoding="latin-1")
    (run,) = remote_runs(store)
    assert (run["name"], run["state"], run["step"], run["family"]) == ("tiny", "", 0, "")


def test_a_run_is_deleted(store, trained):
    there = place(store, trained)
    Status(state="running", backend="modal").write(there)
    with pytest.raises(RunError, match="training on Modal; stop it before it is deleted"):
        delete_remote("tiny", store)
    write_json(there / "status.json", {"state": "running", "heartbeat": time.time() - 2 * volume_runs.SILENT})
    delete_remote("tiny", store)
    assert not there.exists()
    with pytest.raises(NotThere, match="There is no run tiny on Modal"):
        delete_remote("tiny", store)
