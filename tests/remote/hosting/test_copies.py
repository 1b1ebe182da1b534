"""The runs of the Volume as the page of a container sees them."""

import json
import time

import pytest

from core.config import RunConfig
from core.files import write_json, write_text
from core.run import list_runs, read_status
from remote.calls import link_of
from remote.hosting import copies
from remote.hosting.copies import Copies, copy_run


def make(volume, name, **status):
    directory = volume / name
    (directory / "checkpoints").mkdir(parents=True)
    write_json(directory / "config.json", RunConfig().to_dict())
    for file in ("tokenizer.json", "model.safetensors", "checkpoints/last.ckpt", "metrics.jsonl", "launch.json"):
        write_text(directory / file, "{}")
    write_json(directory / "status.json", {"state": "done", "step": 7, "heartbeat": time.time(), **status})
    return directory


@pytest.fixture
def volume(tmp_path):
    return tmp_path / "volume"


@pytest.fixture
def page(tmp_path):
    (tmp_path / "page").mkdir()
    return tmp_path / "page"


def test_runs_come_whole_and_without_their_checkpoints(volume, page):
    make(volume, "one"), make(volume, "two")
    (volume / ".cache").mkdir()
    (volume / "half").mkdir()
    done = []
    work = Copies(volume, page, after=lambda: done.append(sorted(p.name for p in page.iterdir())))
    assert not work.complete.is_set()
    work.work()
    assert done == [["one", "two"]] and work.complete.is_set() and work.count == 2
    assert sorted(path.name for path in (page / "one").iterdir()) == [
        "config.json", "metrics.jsonl", "model.safetensors", "status.json", "tokenizer.json",
    ]  # fmt: skip
    assert [info.status.state for info in list_runs(page) if not info.bundled] == ["done", "done"]


def test_a_run_that_is_there_is_left_as_it_is(volume, page):
    source = make(volume, "one")
    assert copy_run(source, page)
    write_text(page / "one" / "metrics.jsonl", "newer")
    assert not copy_run(source, page)
    assert (page / "one" / "metrics.jsonl").read_text() == "newer"


def test_a_run_that_trains_is_followed_again(volume, page):
    source = make(volume, "live", state="running", backend="local", pid=1, machine="H100:2")
    write_json(source / "launch.json", {"launch": "abc", "call_id": "fc-1", "attempts": 2})
    copy_run(source, page)
    status = read_status(page / "live")
    assert status.backend == "modal" and status.pid is None and status.state == "running"
    assert link_of(page / "live") | {"sent": 0} == {
        "name": "live", "launch": "abc", "call_id": "fc-1", "gpu": "H100:2", "sent": 0,
    }  # fmt: skip


def test_a_run_that_nobody_trains_any_more_is_not_waited_for(volume, page):
    source = make(volume, "dead", state="running", heartbeat=time.time() - 10_000)
    write_json(source / "launch.json", {"launch": "abc", "call_id": "fc-1"})
    copy_run(source, page)
    assert not (page / "dead" / "remote.json").exists()


def test_a_run_that_cannot_be_read_does_not_keep_others_away(volume, page, monkeypatch, tmp_path):
    broken = make(volume, "broken")
    write_text(broken / "status.json", "{")
    make(volume, "fine")
    (volume / "link").symlink_to(tmp_path)
    (broken / "README.md").symlink_to("/etc/passwd")
    real = copies.copy_run

    def failing(source, target):
        if source.name == "unread":
            raise PermissionError("no")
        return real(source, target)

    make(volume, "unread")
    monkeypatch.setattr(copies, "copy_run", failing)
    Copies(volume, page).work()
    assert sorted(path.name for path in page.iterdir()) == ["broken", "fine"]
    assert not (page / "broken" / "README.md").exists()


def test_weights_that_are_too_large_stay(volume, page, monkeypatch):
    monkeypatch.setattr(copies, "MAX_WEIGHTS", 1)
    copy_run(make(volume, "large"), page)
    assert (page / "large" / "metrics.jsonl").exists() and not (page / "large" / "model.safetensors").exists()


def test_a_copy_that_was_cut_short_begins_anew_and_is_never_seen(volume, page, monkeypatch):
    source = make(volume, "one")

    def cut(*given):
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(copies.shutil, "copyfile", cut)
        with pytest.raises(OSError):
            copy_run(source, page)
    assert list(page.iterdir()) == []
    (page / ".coming-one").mkdir()
    (page / ".coming-one" / "half").touch()
    assert [info.name for info in list_runs(page) if not info.bundled] == []
    copy_run(source, page)
    assert not (page / "one" / "half").exists()
    assert json.loads((page / "one" / "status.json").read_text())["step"] == 7


def test_no_volume_is_no_runs(tmp_path, page):
    work = Copies(tmp_path / "nothing", page / "new").start()
    assert work.complete.wait(10) and work.count == 0 and (page / "new").is_dir()
