"""Runs that are killed, torn, paused or stopped on the way end as if nothing had been."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from core.errors import ConfigError
from core.files import read_jsonl, write_json
from core.run import create_run, read_config, read_status
from core.train import callbacks, checkpoint
from core.train.loop import train
from core.train.schedule import learning_rate_factor
from tests.core.train.test_checkpoint import DAMAGES
from tests.core.train.tiny_runs import config, curve, same_bits, samples, weights
from tests.forked import forking

SETTINGS = ("train.score_examples=5", "train.snapshots=4", "train.max_steps=32")


@pytest.fixture(scope="module")
def whole(files, tmp_path_factory):
    """An uninterrupted run."""
    directory = create_run(config(files, *SETTINGS), "whole", tmp_path_factory.mktemp("runs"))
    train(directory)
    return directory


def assert_equal(directory, whole):
    """Curves, samples, snapshots, files and weights; not the clock."""
    assert curve(directory) == curve(whole)
    assert samples(directory) == samples(whole)
    assert same_bits(weights(directory), weights(whole))
    for path in (whole / "snapshots").iterdir():
        assert (directory / "snapshots" / path.name).read_bytes() == path.read_bytes()
    ours, theirs = checkpoint.read_checkpoint(directory), checkpoint.read_checkpoint(whole)
    for key in ("step", "place", "tokens", "best", "bad_validations", "last_validation", "window"):
        assert ours[key] == theirs[key], key
    assert same_bits(ours["model"], theirs["model"])


class Killed(BaseException):
    """What nothing in the program expects or handles."""


@pytest.mark.parametrize("seed", range(5))
def test_killed_at_any_write(seed, files, whole, tmp_path, monkeypatch):
    """The process ends in the middle of any of its writes: before a file is there, or just after."""
    directory = create_run(config(files, *SETTINGS), "killed", tmp_path)
    rng = random.Random(seed)
    real_replace, real_append = os.replace, callbacks.append_jsonl
    left = [rng.randint(12, 60)]

    def die_sometimes(act):
        def wrapped(*args):
            left[0] -= 1
            early = rng.random() < 0.5
            if left[0] == 0 and early:
                raise Killed
            result = act(*args)
            if left[0] == 0:
                raise Killed
            return result

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", die_sometimes(real_replace))
        patch.setattr(callbacks, "append_jsonl", die_sometimes(real_append))
        for attempt in range(3):
            left[0] = rng.randint(12, 60)
            try:
                train(directory, resume=attempt > 0)
                break
            except Killed:
                continue
    assert train(directory, resume=True).state == "done"
    assert_equal(directory, whole)


def start(directory, *options):
    command = [sys.executable, "-m", "core.train.loop", str(directory), *options]
    with forking():
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_step(directory, step, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        lines = read_jsonl(directory / "metrics.jsonl")
        if lines and lines[-1]["step"] >= step:
            return
        time.sleep(0.005)


def test_kill_9(files, whole, tmp_path):
    """A real process, really killed, twice."""
    directory = create_run(config(files, *SETTINGS), "killed", tmp_path)
    for step, options in ((9, ()), (20, ("--resume",))):
        process = start(directory, *options)
        wait_for_step(directory, step, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert read_status(directory).state == "failed"
    process = start(directory, "--resume")
    assert process.wait(120) == 0
    assert read_status(directory).state == "done"
    assert_equal(directory, whole)


@pytest.fixture(scope="module")
def cut(files, tmp_path_factory):
    """The same run, stopped at step 22."""
    directory = create_run(config(files, *SETTINGS, "train.stop_at=22"), "cut", tmp_path_factory.mktemp("runs"))
    train(directory)
    return directory


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_torn_checkpoint_is_never_read(damage, cut, files, whole, tmp_path):
    directory = tmp_path / "torn"
    shutil.copytree(cut, directory)
    last = directory / "checkpoints" / "last.ckpt"
    last.write_bytes(damage(last.read_bytes()))
    write_json(directory / "config.json", config(files, *SETTINGS).to_dict())
    said = []
    assert train(directory, resume=True, echo=said.append).state == "done"
    assert "checkpoint last.ckpt is torn; going on from the one before it" in said
    assert_equal(directory, whole)


def test_stop_at_and_go_on(files, whole, tmp_path):
    """As successive halving does it."""
    directory = create_run(config(files, *SETTINGS, "train.stop_at=8"), "rungs", tmp_path)
    status = train(directory)
    assert (status.state, status.step, status.steps) == ("cancelled", 8, 32)
    assert train(directory, resume=True).step == 8  # nothing to do
    for rung in (16, 0):
        write_json(directory / "config.json", config(files, *SETTINGS, f"train.stop_at={rung}").to_dict())
        status = train(directory, resume=True)
    assert (status.state, status.step) == ("done", 32)
    # What is only written because training ended there is not in the whole run.
    extra = {8, 16}
    assert [line for line in curve(directory) if line["step"] not in extra] == [
        line for line in curve(whole) if line["step"] not in extra
    ]
    assert same_bits(weights(directory), weights(whole))


def test_pause_and_go_on(files, whole, tmp_path):
    directory = create_run(config(files, *SETTINGS), "paused", tmp_path)
    seen = []

    def pause():
        deadline = time.monotonic() + 60
        while read_status(directory).step < 4 and time.monotonic() < deadline:
            time.sleep(0.005)
        (directory / "pause").touch()
        while read_status(directory).state != "paused" and time.monotonic() < deadline:
            time.sleep(0.005)
        status, before = read_status(directory), len(read_jsonl(directory / "metrics.jsonl"))
        time.sleep(0.5)
        seen.extend([status, len(read_jsonl(directory / "metrics.jsonl")) - before])
        (directory / "pause").unlink()

    thread = threading.Thread(target=pause)
    thread.start()
    assert train(directory).state == "done"
    thread.join()
    status, written = seen
    assert status.state == "paused" and status.is_active and status.step >= 4
    assert written == 0
    assert_equal(directory, whole)
    assert max(line["seconds"] for line in read_jsonl(directory / "metrics.jsonl")) == pytest.approx(
        read_status(directory).seconds, abs=0.5
    )


def test_stop_while_paused(files, tmp_path):
    directory = create_run(config(files, "train.max_steps=100000"), "paused", tmp_path)

    def ask():
        deadline = time.monotonic() + 60
        while read_status(directory).step < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        (directory / "pause").touch()
        while read_status(directory).state != "paused" and time.monotonic() < deadline:
            time.sleep(0.005)
        (directory / "stop").touch()

    thread = threading.Thread(target=ask)
    thread.start()
    status = train(directory)
    thread.join()
    assert status.state == "cancelled"
    assert not (directory / "pause").exists() and not (directory / "stop").exists()
    assert [line["step"] for line in curve(directory) if "val_loss" in line][-1] == status.step
    assert checkpoint.read_checkpoint(directory)["step"] == status.step


def test_killed_while_paused(files, whole, tmp_path):
    directory = create_run(config(files, *SETTINGS), "paused", tmp_path)
    process = start(directory)
    wait_for_step(directory, 4, process)
    (directory / "pause").touch()
    deadline = time.monotonic() + 60
    while read_status(directory).state != "paused" and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    paused = read_status(directory).state
    process.kill()
    process.wait()
    if paused == "paused":  # else it was done first: a busy machine
        assert read_status(directory).state == "failed"
    assert train(directory, resume=True).state == "done"
    assert_equal(directory, whole)


def test_the_rest_may_be_trained_otherwise(files, whole, tmp_path):
    """Another learning rate and another length for the steps that are left; those that were made stand."""
    directory = create_run(config(files, *SETTINGS, "train.stop_at=16"), "changed", tmp_path)
    train(directory)
    changed = read_config(directory).with_overrides(
        ["train.stop_at=0", "train.max_steps=40", "optim.learning_rate=0.002", "optim.muon_learning_rate=0.004"]
    )
    write_json(directory / "config.json", changed.to_dict())
    status = train(directory, resume=True)
    assert (status.state, status.step) == ("done", 40)
    lines = [line for line in curve(directory) if "lr" in line]
    assert [line for line in lines if line["step"] < 16] == [
        line for line in curve(whole) if "lr" in line and line["step"] < 16
    ]
    for line in lines:
        if line["step"] > 16:
            factor = learning_rate_factor(line["step"] - 1, 40, changed.optim)
            assert line["lr"] == pytest.approx(0.002 * factor)


def test_early_stopping_remembers(files, tmp_path):
    """Validations without progress before a kill count after it."""
    overrides = (
        "train.patience=3", "train.max_steps=400", "train.val_every=2", "optim.learning_rate=1e-9",
        "optim.muon_learning_rate=1e-9", "train.ema_decay=0", "train.sample_every=0", "train.checkpoint_every=2",
    )  # fmt: skip
    whole = create_run(config(files, *overrides), "whole", tmp_path)
    end = train(whole).step
    cut = create_run(config(files, *overrides, f"train.stop_at={end - 2}"), "cut", tmp_path)
    assert train(cut).state == "cancelled"
    write_json(cut / "config.json", config(files, *overrides).to_dict())
    status = train(cut, resume=True)
    assert (status.step, status.state) == (end, "done") and "early" in status.message


def test_settings_that_do_not_go_together(files):
    for wrong in (
        ("train.average_last=3",),  # besides an EMA
        ("train.precision=16",),  # with Muon
        ("train.strategy=fsdp", "train.ema_decay=0"),  # with Muon
        ("train.stop_at=-1",),
    ):
        with pytest.raises(ConfigError):
            config(files, *wrong)
