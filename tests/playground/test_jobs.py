"""Runs as processes of this machine: started, followed, stopped, ended by force, and found dead."""

import os
import re
import signal
import subprocess
import sys
import time

import lightning  # noqa: F401  runs that train are forked from this process
import pytest

from core import child
from core.config import RunConfig
from core.errors import ConfigError, RunError
from core.run import Status, create_run, read_status
from playground import jobs
from playground.jobs import LocalBackend, last_words, read_log, unused_name
from tests.forked import forking

TINY = RunConfig.from_dict(
    {
        "model": {"family": "gpt", "d_model": 16, "n_layers": 1, "n_heads": 2, "max_seq_len": 16},
        "tokenizer": {"kind": "char"},
        "train": {"max_steps": 100_000, "batch_tokens": 64, "val_every": 5, "checkpoint_every": 5, "sample_every": 5,
                  "log_every": 1, "threads": 1},
        "optim": {"warmup_steps": 1},
        "decode": {"max_new_tokens": 4},
    }
)  # fmt: skip


@pytest.fixture
def backend(no_runs):
    """A backend whose runs end with the test, however it ends."""
    backend = LocalBackend()
    yield backend
    for info in backend.running():
        if info.status.pid and info.status.pid != os.getpid():
            os.kill(info.status.pid, signal.SIGKILL)


@pytest.fixture
def sleeper(backend):
    """A run whose process does nothing: it does not answer a wish to stop."""
    directory = create_run(TINY, "deaf")
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "train", "deaf"])
    Status(state="running", pid=process.pid, step=3, steps=9).write(directory)
    yield directory, process
    process.kill()
    process.wait()


def wait_for(condition, seconds=300.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def test_a_run_trains_in_its_own_process_and_stops_when_asked(backend, tmp_path):
    (tmp_path / "text.txt").write_text("to be or not to be, that is the question\n" * 20)
    config = TINY.with_overrides([f"data.name={tmp_path / 'text.txt'}", "data.val_fraction=0.2"])
    directory = backend.launch(config, "t1")
    assert backend.status("t1").is_active
    assert os.getsid(backend.status("t1").pid) != os.getsid(0)  # the end of this process does not reach it
    wait_for(
        lambda: any("val_loss" in line for line in backend.progress("t1").metrics) or not backend.status("t1").is_active
    )
    assert backend.status("t1").error == ""
    assert jobs._is_training(backend.status("t1").pid, directory)
    other = LocalBackend(directory.parent)  # nothing is remembered: any other one can follow and stop it
    assert "stops after this step" in other.stop("t1")
    wait_for(lambda: not other.status("t1").is_active)
    progress = other.progress("t1")
    assert progress.status.state == "cancelled" and progress.has_model and progress.samples and "step" in progress.log
    with pytest.raises(RunError, match="not training"):
        other.stop("t1")
    with pytest.raises(RunError, match="already a run 't1'"):
        backend.launch(config, "t1")
    assert other.progress("t1").metrics == progress.metrics  # nothing was overwritten

    # It goes on from there, to another end.
    reached = progress.reached
    with pytest.raises(ConfigError, match="model.d_model"):
        other.resume("t1", ["model.d_model=32"])
    assert other.progress("t1").resumable
    with forking():
        other.resume("t1", [f"train.max_steps={reached + 4}", "optim.learning_rate=0.0001"])
    wait_for(lambda: not other.status("t1").is_active)
    progress = other.progress("t1")
    assert (progress.status.state, progress.status.error, progress.reached) == ("done", "", reached + 4)
    steps = [line["step"] for line in progress.metrics if "loss" in line]
    assert steps == sorted(set(steps))  # as if it had never stopped
    with pytest.raises(RunError, match="give it more steps"):
        other.resume("t1")


def test_a_run_that_is_killed_while_it_starts_is_failed(backend):
    backend.launch(TINY, "t3")
    os.kill(backend.status("t3").pid, signal.SIGKILL)
    wait_for(lambda: not backend.status("t3").is_active, 10)
    assert backend.status("t3").state == "failed"
    assert re.fullmatch(r"The training process is gone. Its last words: [\d:]+  starting", backend.status("t3").error)
    assert not backend.running()


def test_a_run_that_is_stopped_while_it_starts_stops(backend, tmp_path):
    (tmp_path / "text.txt").write_text("to be or not to be, that is the question\n" * 20)
    with forking():
        backend.launch(TINY.with_overrides([f"data.name={tmp_path / 'text.txt'}", "data.val_fraction=0.2"]), "t4")
    backend.stop("t4")
    wait_for(lambda: not backend.status("t4").is_active)
    assert (backend.status("t4").state, backend.status("t4").step) == ("cancelled", 1)


def test_pausing_is_a_wish_that_can_be_taken_back(backend, sleeper):
    directory, process = sleeper
    with pytest.raises(RunError, match="not paused"):
        backend.unpause("deaf")
    assert "pauses after this step" in backend.pause("deaf")
    assert (directory / "pause").exists() and backend.progress("deaf").pausing
    assert "goes on" in backend.unpause("deaf") and not (directory / "pause").exists()
    backend.pause("deaf")
    process.kill()
    process.wait()
    for wish in (backend.pause, backend.unpause):
        with pytest.raises(RunError, match="is not training"):
            wish("deaf")


def test_wishes_of_the_time_before_are_forgotten_when_a_run_goes_on(backend, monkeypatch):
    directory = create_run(TINY, "again")
    Status(state="cancelled", step=5, steps=9, seconds=3.0).write(directory)
    for wish in ("stop", "pause"):
        (directory / wish).touch()
    monkeypatch.setattr(child.sys, "executable", "true")
    backend.resume("again")
    assert not (directory / "stop").exists() and not (directory / "pause").exists()


def test_a_bundled_run_is_not_resumed(backend, monkeypatch, tmp_path):
    import core.run
    import core.runs_admin

    for module in (core.run, core.runs_admin):
        monkeypatch.setattr(module, "BUNDLED", tmp_path / "bundled")
    directory = create_run(TINY, "given", tmp_path / "bundled")
    Status(state="cancelled").write(directory)
    with pytest.raises(RunError, match="came with the program"):
        backend.resume("given")


def test_a_run_that_fails_says_why(backend):
    with forking():
        backend.launch(TINY.with_overrides(["data.name=not-there.txt"]), "t2")
    wait_for(lambda: not backend.status("t2").is_active)
    status = backend.status("t2")
    assert status.state == "failed" and "no file not-there.txt" in status.error


def test_force_only_on_a_second_request_after_the_grace_period(backend, sleeper, monkeypatch):
    directory, process = sleeper
    assert "stops after this step" in backend.stop("deaf")
    assert "is stopping" in backend.stop("deaf")
    assert process.poll() is None
    monkeypatch.setattr(jobs, "GRACE", 0.0)
    assert "ended by force" in backend.stop("deaf")
    assert process.wait(10) == -signal.SIGKILL
    assert backend.status("deaf").state == "cancelled" and not (directory / "stop").exists()


def test_a_process_number_that_is_another_programs_now_is_not_killed(backend, monkeypatch):
    directory = create_run(TINY, "gone")
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        Status(state="running", pid=other.pid).write(directory)
        monkeypatch.setattr(jobs, "GRACE", 0.0)
        backend.stop("gone")
        with pytest.raises(RunError, match="not found"):
            backend.stop("gone")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_run_whose_process_died_is_failed_with_its_last_words(backend, sleeper):
    directory, process = sleeper
    (directory / "train.log").write_text("10:00:00  step 3\nKilled: <out of memory>\n\n")
    process.kill()
    process.wait()
    status = backend.status("deaf")
    assert status.state == "failed" and status.error.endswith("Its last words: Killed: <out of memory>")
    assert [info.status.error for info in backend.runs()] == [status.error]


def test_only_so_many_at_a_time(backend, monkeypatch):
    started = []
    monkeypatch.setattr(backend, "_start", lambda directory, *options: started.append(directory.name))
    for name in ("a", "b"):
        backend.launch(TINY, name)
        Status(state="running", pid=os.getpid()).write(jobs.find_run(name))
    with pytest.raises(RunError, match=r"2 runs are training .*stop one"):
        backend.launch(TINY, "c")
    assert started == ["a", "b"] and not any(info.name == "c" for info in backend.runs())


def test_resume_refuses_a_run_that_trains(backend, sleeper):
    with pytest.raises(RunError, match="training already"):
        backend.resume("deaf")


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", "x" * 65, "a b", "ü"])
def test_names_that_are_none_make_no_folder(backend, name, no_runs):
    with pytest.raises(RunError):
        backend.launch(TINY, name)
    assert not (no_runs / "runs").exists() or not any((no_runs / "runs").iterdir())


def test_an_unknown_run_is_said(backend):
    for ask in (backend.status, backend.progress, backend.stop, backend.resume):
        with pytest.raises(RunError, match="no run 'nope'"):
            ask("nope")


def test_suggested_names_are_free(no_runs):
    assert unused_name("demo") == "demo-1"
    create_run(TINY, "demo-1")
    create_run(TINY, "demo-3")
    assert unused_name("demo") == "demo-2"


def test_only_the_end_of_a_long_log_is_read(tmp_path):
    (tmp_path / "train.log").write_bytes(b"".join(b"line %06d \xe3\x81\x82\n" % i for i in range(5_000)))
    log = read_log(tmp_path)
    assert len(log) <= jobs.LOG_TAIL and log.startswith("line ") and log.endswith("line 004999 あ\n")
    assert read_log(tmp_path / "none") == "" and last_words("") == ""


def test_a_started_run_is_queued_before_its_process_can_say_so(backend, monkeypatch, tmp_path):
    monkeypatch.setattr(child.sys, "executable", "sleep")  # never becomes a training process
    directory = backend.launch(TINY, "slow")
    status = read_status(directory)
    assert status.steps == TINY.train.max_steps
    assert status.state in ("queued", "failed")  # failed: `sleep` refused its arguments
    wait_for(lambda: backend.status("slow").state == "failed")
    assert "sleep" in backend.status("slow").error  # its last words
