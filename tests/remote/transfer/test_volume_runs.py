"""The list of runs on the Volume."""

import os
import time

import pytest

from core.errors import RunError
from core.files import write_json
from core.run import BUNDLED, Status, create_run
from remote.link import NotThere
from remote.transfer import delete_remote, remote_runs, volume_runs
from remote.transfer.store import FolderStore
from tests.core.train.tiny_runs import config
from tests.remote.flaky import place


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
    with pytest.raises(RunError, match="training on Modal"):  # it prepares its data, and writes launch.json meanwhile
        delete_remote("tiny", store)
    for path in there.rglob("*"):
        os.utime(path, (time.time() - 2 * volume_runs.SILENT,) * 2)
    delete_remote("tiny", store)
    assert not there.exists()
    with pytest.raises(NotThere, match="There is no run tiny on Modal"):
        delete_remote("tiny", store)
