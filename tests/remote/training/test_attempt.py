"""Training as the cloud does it, by `.local()`: containers that are taken away, calls that are repeated, wishes."""

import json
import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest

from core.files import read_json, read_jsonl
from core.run import create_run, read_status
from core.train import checkpoint
from core.train.loop import train
from remote import names
from remote import train as remote_train
from remote.training import attempt as attempts
from remote.training.attempt import Attempt, Died, Order
from tests import forked
from tests.core.train.conftest import files  # noqa: F401
from tests.core.train.tiny_runs import config, curve, same_bits, samples, weights

LONG = ("train.max_steps=60", "train.snapshots=3", "train.score_examples=3")


class Feed(dict):
    def put(self, key, value):
        self[key] = value


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """A Volume that is a folder, and a fast disk that is another one."""
    monkeypatch.setattr(attempts, "LOOK", 0.05)
    monkeypatch.setattr(attempts, "TELL", 0.3)
    monkeypatch.setattr(names, "RUNS", tmp_path / "store" / "runs")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "disk"))
    (tmp_path / "disk").mkdir()
    return tmp_path


@pytest.fixture(scope="module")
def whole(files, tmp_path_factory):  # noqa: F811
    directory = create_run(config(files, *LONG), "first", tmp_path_factory.mktemp("runs"))
    train(directory)
    return directory


def order(files, *overrides, **more):  # noqa: F811
    values = {"name": "first", "config": config(files, *LONG, *overrides).to_dict(), "launch": "a1", "gpu": "L4",
              "price_per_hour": 1.5, **more}  # fmt: skip
    return values


def assert_equal(directory, other):
    assert curve(directory) == curve(other)
    assert samples(directory) == samples(other)
    assert same_bits(weights(directory), weights(other))
    for path in (other / "snapshots").iterdir():
        assert (directory / "snapshots" / path.name).read_bytes() == path.read_bytes()
    assert checkpoint.read_checkpoint(directory)["place"] == checkpoint.read_checkpoint(other)["place"]


def disk():
    return Path(tempfile.gettempdir()) / "llm-scratch" / "runs" / "first"


def when_at(step, act):
    """Do something from another thread once the training process has written that step."""

    def wait():
        end = time.time() + 60
        while time.time() < end:
            lines = read_jsonl(disk() / "metrics.jsonl")
            if lines and lines[-1]["step"] >= step:
                return act()
            time.sleep(0.01)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def kill_training():
    (pid,) = set(forked.writers(disk() / "train.log")) - {os.getpid()}
    os.kill(pid, signal.SIGKILL)


def test_a_run_is_the_one_that_a_machine_of_ones_own_trains(files, whole, cloud, new_interpreters):  # noqa: F811
    status = remote_train.train_run.local(order(files))
    assert (status["state"], status["step"], status["backend"]) == ("done", 60, "modal")
    assert status["price_per_hour"] == 1.5 and status["machine"] == "L4" and status["rented_seconds"] > 0
    kept = names.RUNS / "first"
    assert_equal(kept, whole)
    assert read_status(kept).state == "done"
    assert not [path for path in kept.rglob("*") if path.name.endswith(".tmp")]
    # The call is made again when its answer is lost: nothing is trained, the answer is the same.
    before = (kept / "model.safetensors").stat().st_mtime_ns
    again = remote_train.train_run.local(order(files))
    assert again["state"] == "done" and (kept / "model.safetensors").stat().st_mtime_ns == before
    assert len(read_jsonl(kept / "metrics.jsonl")) == len(read_jsonl(whole / "metrics.jsonl"))


@pytest.mark.parametrize("step", [4, 36])
def test_a_container_that_is_gone_is_followed_by_another(step, files, whole, cloud):  # noqa: F811
    """The process is killed, the container's disk is lost, the same call is made again."""
    when_at(step, kill_training)
    with pytest.raises(Died):
        remote_train.train_run.local(order(files))
    assert read_status(names.RUNS / "first").state == "failed"
    shutil.rmtree(disk().parent)
    status = remote_train.train_run.local(order(files))
    assert status["state"] == "done"
    assert_equal(names.RUNS / "first", whole)
    assert read_json(names.RUNS / "first" / "launch.json")["attempts"] == 2


def test_a_container_that_is_taken_away_leaves_a_checkpoint(files, whole, cloud):  # noqa: F811
    when_at(12, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        remote_train.train_run.local(order(files, "train.checkpoint_every=1000", "train.val_every=60"))
    kept = names.RUNS / "first"
    assert checkpoint.read_checkpoint(kept)["step"] >= 12  # of the moment, not of the last interval
    shutil.rmtree(disk().parent)
    again = order(files, "train.checkpoint_every=1000", "train.val_every=60")
    assert remote_train.train_run.local(again)["state"] == "done"
    assert [line for line in curve(kept) if "val_loss" not in line] == [
        line for line in curve(whole) if "val_loss" not in line
    ]


def attempt(cloud, values, feed, **more):
    return Attempt(Order.from_dict(values), cloud / "disk" / "llm-scratch" / "runs", names.RUNS, feed, **more)


def test_a_stop_and_another_launch(files, whole, cloud):  # noqa: F811
    feed = Feed()
    when_at(4, lambda: feed.put("first/wish", {"launch": "a1", "wish": "stop"}))
    long = order(files, "train.max_steps=4000")
    status = attempt(cloud, long, feed).work()
    assert status["state"] == "cancelled" and 4 <= status["step"] < 4000
    assert feed["first"]["status"]["state"] == "cancelled"
    assert feed["first"]["parts"]["metrics.jsonl"][1] == (names.RUNS / "first" / "metrics.jsonl").read_bytes()
    shutil.rmtree(disk().parent)
    # The same call again does not go on with it; another launch does, with other steps.
    assert attempt(cloud, long, feed).work()["step"] == status["step"]
    steps = status["step"] + 5
    more = {**long, "launch": "a2", "resume": True, "assignments": [f"train.max_steps={steps}"]}
    assert attempt(cloud, more, feed).work()["step"] == steps
    assert read_json(names.RUNS / "first" / "config.json")["train"]["max_steps"] == steps


def test_a_pause_ends_with_another_wish(files, cloud):  # noqa: F811
    feed, seen = Feed(), []

    def wish(what, until):
        feed.put("first/wish", {"launch": "a1", "wish": what})
        end = time.time() + 60
        while time.time() < end and not until(read_status(disk())):
            time.sleep(0.02)
        seen.append(read_status(disk()))

    def pause_and_go_on():
        wish("pause", lambda status: status.state == "paused")
        wish("go on", lambda status: status.state == "running" and status.step > seen[0].step)
        feed.put("first/wish", {"launch": "a1", "wish": "stop"})

    when_at(4, pause_and_go_on)
    status = attempt(cloud, order(files, "train.max_steps=9000"), feed).work()
    assert [at.state for at in seen] == ["paused", "running"] and seen[1].step > seen[0].step
    assert status["state"] == "cancelled" and status["step"] >= seen[1].step


def test_the_time_is_over(files, cloud):  # noqa: F811
    values = order(files, "train.max_steps=9000", hours=4 / 3600)
    status = attempt(cloud, values, Feed()).work()
    assert status["state"] == "cancelled" and "hours" in status["message"] and status["step"] > 0


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"launch": "b"}, "already a run first"),
        ({"launch": "b", "name": "second", "resume": True}, "no run second"),
        ({"launch": "b", "name": "../x"}, "cannot be a run's name"),
        ({"launch": "b", "resume": True, "assignments": ["model.d_model=64"]}, "cannot be changed"),
        ({"launch": "b", "name": "third", "config": {"model": {"family": "none"}}}, "family"),
    ],
)
def test_orders_that_cannot_be_carried_out(change, sentence, files, cloud, whole):  # noqa: F811
    shutil.copytree(whole, names.RUNS / "first")
    status = attempt(cloud, {**order(files), **change}, Feed()).work()
    assert status["state"] == "failed" and sentence in status["error"]
    assert sorted(path.name for path in names.RUNS.iterdir() if path.name != ".cache") == ["first"]
    assert (names.RUNS / "first" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_what_is_wrong_with_the_data_is_told_and_not_tried_again(files, cloud):  # noqa: F811
    values = order(files)
    values["config"]["data"]["src"] = "/nowhere/src.txt"
    status = remote_train.train_run.local(values)
    assert status["state"] == "failed" and "src.txt" in status["error"]
    assert read_json(names.RUNS / "first" / "launch.json")["ended"]


def test_killed_while_the_first_files_are_kept_the_run_is_still_ours(files, cloud, monkeypatch):  # noqa: F811
    real = os.replace

    def die(source, target):
        if str(target).endswith("kept") or str(names.RUNS) in str(target) and "launch.json" not in str(target):
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", die)
        attempt(cloud, order(files, "train.max_steps=4"), Feed()).work()
    assert (names.RUNS / "first" / "launch.json").exists()
    assert attempt(cloud, order(files, "train.max_steps=4"), Feed()).work()["state"] == "done"


def test_what_is_paid_for_is_counted_over_attempts(files, cloud):  # noqa: F811
    feed = Feed()
    when_at(8, kill_training)
    with pytest.raises(Died):
        attempt(cloud, order(files, "train.max_steps=40"), feed, began=time.time() - 100).work()
    first = read_json(names.RUNS / "first" / "launch.json")["rented_seconds"]
    assert 100 < first < 160
    status = attempt(cloud, order(files, "train.max_steps=40"), feed, began=time.time() - 10).work()
    assert first + 10 < status["rented_seconds"] < first + 60
    assert feed["first"]["status"]["rented_seconds"] == pytest.approx(status["rented_seconds"], abs=2)


def test_while_no_container_has_it_the_run_is_told_to_be_interrupted(files, cloud):  # noqa: F811
    feed = Feed()
    when_at(4, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        attempt(cloud, order(files, "train.max_steps=9000"), feed).work()
    assert feed["first"]["status"]["state"] == "failed" and "taken away" in feed["first"]["status"]["error"]
    # Training itself heard nothing of the interrupt: it was paused, and has validated nothing that was not due.
    steps = [line["step"] for line in curve(names.RUNS / "first") if "val_loss" in line]
    assert all(step % 8 == 0 for step in steps)


def test_data_that_take_longer_than_the_run_may_are_not_paid_for_again_and_again(files, cloud):  # noqa: F811
    values = order(files, hours=1.0)
    kept = names.RUNS / "first"
    kept.mkdir(parents=True)
    (kept / "config.json").write_text("{}")
    note = {"launch": "a1", "began": time.time() - 4000, "attempts": 1, "rented_seconds": 0.0}
    (kept / "launch.json").write_text(json.dumps(note))
    status = attempt(cloud, values, Feed()).work()
    assert status["state"] == "failed" and "prepare" in status["error"]


def test_hosts_that_do_not_fit_together_are_refused(files, cloud):  # noqa: F811
    status = remote_train.train_run.local(order(files, "train.num_nodes=2"))
    assert status["state"] == "failed" and "--nodes 2" in status["error"] and not (names.RUNS / "first").exists()


def test_an_order_of_a_newer_program_is_understood_as_far_as_it_goes(files):  # noqa: F811
    assert Order.from_dict({**order(files), "something": "new"}).launch == "a1"


def test_wandb_is_asked_for_where_there_is_a_key(files, cloud, monkeypatch):  # noqa: F811
    monkeypatch.setenv("WANDB_API_KEY", "k")
    assert remote_train._attempt(order(files)).order.config["train"]["wandb"] == "auto"
    quiet = remote_train._attempt(order(files, log=False))
    assert quiet.order.config["train"]["wandb"] == "disabled"
    monkeypatch.delenv("WANDB_API_KEY")
    assert remote_train._attempt(order(files)).order.config["train"]["wandb"] == "disabled"
