"""Runs launched on Modal from here, by the real library and in real containers, with a stand-in for Modal's server."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import ConfigError, RunError
from core.files import read_json, read_jsonl
from core.run import create_run, read_status
from core.train.loop import train
from playground.cli import main
from playground.places import backend_of
from remote import calls, link
from remote.link import CloudError, NoAnswer
from remote.training import backend as backend_module
from remote.training.backend import ModalBackend
from tests.core.train.conftest import files  # noqa: F401
from tests.core.train.tiny_runs import config, curve, same_bits, weights
from tests.remote.deployed import deployed, nobody_follows


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with deployed(tmp_path_factory.mktemp("cloud")) as server:
        yield server


@pytest.fixture
def server(cloud):
    yield cloud
    cloud.recover()


@pytest.fixture
def runs_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    yield tmp_path / "runs"
    nobody_follows(tmp_path / "runs")


def volume(server):
    (directory,) = (server.directory / "volumes").iterdir()
    return directory


def wait(directory, until, seconds=60.0):
    end = time.time() + seconds
    while time.time() < end:
        status = read_status(directory)
        if until(status):
            return status
        time.sleep(0.1)
    log = directory.parent / ".remote" / "follow.log"
    raise AssertionError(f"{read_status(directory)}; {log.read_text() if log.exists() else 'nobody follows'}")


def ended(status):
    return not status.is_active


def test_a_container_is_taken_away_and_the_run_is_the_one_of_this_machine(files, server, runs_dir, tmp_path):  # noqa: F811
    """Launched here, preempted there, fetched: curve, weights and data files as if nothing had been."""
    settings = config(files, "train.max_steps=200", "train.val_every=50", "train.checkpoint_every=25")
    whole = create_run(settings, "taken", tmp_path / "whole")
    directory = ModalBackend().launch(settings, "taken")
    first = read_status(directory)
    assert (first.state, first.backend, first.machine) == ("queued", "modal", "L4") and first.call_id
    assert read_json(directory / "remote.json")["call_id"] == first.call_id
    there = server.directory.parent / "disk" / "llm-scratch" / "runs" / "taken"  # sooner than it is told of here
    end = time.time() + 60
    while time.time() < end and not (lines := read_jsonl(there / "metrics.jsonl"))[12 // 4 :]:
        time.sleep(0.02)
    assert lines and lines[-1]["step"] < 150
    server.preempt(first.call_id)
    final = wait(directory, ended)
    assert final.state == "done" and final.step == 200, final
    assert read_json(volume(server) / "runs/taken/launch.json")["attempts"] == 2
    train(whole)
    assert curve(directory) == curve(whole) and same_bits(weights(directory), weights(whole))
    # The files that it was trained on are those of this machine again.
    assert read_json(directory / "config.json")["data"]["src"] == str(files / "src.txt")
    assert read_json(volume(server) / "runs/taken/config.json")["data"]["src"].startswith(f"{volume(server)}/data/")
    assert final.rented_seconds > final.seconds > 0 and final.price_per_hour == pytest.approx(1.1157)


def test_stopped_found_again_and_gone_on_with(files, server, runs_dir):  # noqa: F811
    directory = ModalBackend().launch(config(files, "train.max_steps=100000"), "stopped")
    wait(directory, lambda status: status.step > 0)
    # The machine is switched off: nobody follows, and the page that is opened later finds the run by its call.
    assert nobody_follows(runs_dir)
    time.sleep(0.3)
    seen = read_status(directory).step
    assert main(["runs", "stopped"]) == 0
    wait(directory, lambda status: status.step > seen)
    assert "stops after this step" in backend_of("stopped").stop("stopped")
    status = wait(directory, ended)
    assert status.state == "cancelled" and status.step > seen and (directory / "model.safetensors").exists()
    with pytest.raises(RunError, match="not training"):
        backend_of("stopped").stop("stopped")
    steps = status.step + 8
    assert read_json(directory / "remote.json")["asked_to_stop"]
    backend_of("stopped").resume("stopped", [f"train.max_steps={steps}"])
    assert not read_json(directory / "remote.json")["asked_to_stop"]
    again = wait(directory, ended)
    assert again.state == "done" and again.step == steps
    assert [line["step"] for line in read_jsonl(directory / "metrics.jsonl")][-1] == steps
    with pytest.raises(RunError, match="already a run"):
        ModalBackend().launch(config(files), "stopped")
    with pytest.raises(ConfigError, match="cannot be changed"):
        backend_of("stopped").resume("stopped", ["model.d_model=64"])


def test_a_run_of_this_machine_goes_on_there(files, server, runs_dir):  # noqa: F811
    directory = create_run(config(files, "train.stop_at=10"), "moved", runs_dir)
    assert train(directory).step == 10
    before = curve(directory)
    ModalBackend().resume("moved", ["train.stop_at=0"])
    status = wait(directory, ended)
    assert (status.state, status.step, status.backend) == ("done", 24, "modal")
    assert curve(directory)[: len(before)] == before
    assert backend_of("moved").name == "modal"


def test_one_that_waits_for_a_container_is_cancelled(files, server, runs_dir, monkeypatch):  # noqa: F811
    server.hang("FunctionGetInputs")
    directory = ModalBackend().launch(config(files), "waits")
    assert "cancelled before it began" in backend_of("waits").stop("waits")
    assert wait(directory, ended).state == "cancelled"


def test_one_that_does_not_stop_is_cancelled_and_what_came_of_it_is_fetched(files, server, runs_dir, monkeypatch):  # noqa: F811
    monkeypatch.setattr(backend_module, "GRACE", 0.0)
    monkeypatch.setattr(backend_module.feed, "wish", lambda *args: None)  # it does not hear
    directory = ModalBackend().launch(config(files, "train.max_steps=100000"), "deaf")
    wait(directory, lambda status: status.step > 10)
    with pytest.raises(RunError, match="training already"):
        ModalBackend().resume("deaf")
    assert "stops after this step" in backend_of("deaf").stop("deaf")
    assert "by force" in backend_of("deaf").stop("deaf")
    status = wait(directory, ended)
    assert status.state == "cancelled" and status.step > 10 and (directory / "model.safetensors").exists()
    assert status.rented_seconds > 0 and status.machine == "L4"


def test_the_command_line_follows_it_to_its_end(files, server, runs_dir, capfd, new_interpreters):  # noqa: F811
    settings = runs_dir.parent / "settings.json"
    settings.write_text(config(files).to_json())
    assert main(["train", "--config", str(settings), "--on", "modal", "--run-name", "cli", "--json"]) == 0
    out, err = capfd.readouterr()
    result = json.loads(out)
    assert (result["state"], result["step"], result["place"]) == ("done", 24, "modal") and result["best_val_loss"] > 0
    assert "an hour" in err and "step     24/24" in err
    assert main(["runs", "--on", "modal", "--json"]) == 0
    assert "cli" in [run["name"] for run in json.loads(capfd.readouterr().out)["runs"]]
    assert main(["train", "demo", "--on", "modal", "--run-name", "cli"]) == 1
    assert "already a run" in capfd.readouterr().err
    assert main(["runs", "cli", "--on", "modal", "--delete", "--yes"]) == 0
    assert not (volume(server) / "runs/cli").exists()


def test_ctrl_c_leaves_the_run_where_it_is(files, server, runs_dir):  # noqa: F811
    settings = runs_dir.parent / "settings.json"
    settings.write_text(config(files, "train.max_steps=100000").to_json())
    command = ["train", "--config", str(settings), "--on", "modal", "--run-name", "left"]
    process = subprocess.Popen([sys.executable, "-m", "playground", *command], stderr=subprocess.PIPE, text=True)
    wait_for(runs_dir / "left" / "status.json")
    wait(runs_dir / "left", lambda status: status.step > 0)
    process.send_signal(signal.SIGINT)
    assert "goes on on Modal" in process.communicate(timeout=20)[1] and process.returncode == 130
    step = read_status(runs_dir / "left").step
    wait(runs_dir / "left", lambda status: status.step > step)
    backend_of("left").stop("left")
    wait(runs_dir / "left", ended)


def wait_for(path, seconds=30.0):
    end = time.time() + seconds
    while time.time() < end and not Path(path).exists():
        time.sleep(0.05)


def test_a_sweep_on_modal(files, server, runs_dir, capfd):  # noqa: F811
    settings = runs_dir.parent / "settings.json"
    settings.write_text(config(files).to_json())
    words = ["--config", str(settings), "--on", "modal", "--name", "s", "--grid", "optim.learning_rate=0.01,0.001"]
    assert main(["sweep", *words, "--halving", "--rungs", "2", "--at-once", "2", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    trials = {trial["run"]: trial for trial in result["trials"]}
    assert result["state"] == "done" and sorted(trials) == ["s-01", "s-02"]
    best, other = result["best"], "s-02" if result["best"] == "s-01" else "s-01"
    assert trials[best]["step"] == 24 and 0 < trials[other]["step"] < 24 and trials[other]["state"] == "stopped early"
    assert read_json(volume(server) / "runs" / best / "status.json")["state"] == "done"


# ---------------------------------------------------------------------------------------------------- what can go wrong


def test_a_launch_that_is_refused_leaves_nothing_behind(files, server, runs_dir, monkeypatch):  # noqa: F811
    from grpclib import Status as Grpc

    for method, status, words in [
        ("FunctionMap", Grpc.RESOURCE_EXHAUSTED, "limit for this account"),
        ("FunctionGet", Grpc.NOT_FOUND, "llm-scratch deploy"),
        ("FunctionMap", Grpc.PERMISSION_DENIED, "does not allow"),
    ]:
        server.fail(method, status, "no such function" if status == Grpc.NOT_FOUND else "said by the server")
        with pytest.raises(CloudError, match=words):
            ModalBackend().launch(config(files), "refused")
        assert not (runs_dir / "refused").exists()
        server.recover()


def test_a_launch_without_an_answer_is_kept_and_found(files, server, runs_dir, monkeypatch):  # noqa: F811
    """The call reached Modal, its answer did not reach us: the run trains, and is known by its launch."""
    real = backend_module.spawn

    def lost(*args):
        real(*args)
        raise NoAnswer("Modal did not answer within 10 seconds.")

    monkeypatch.setattr(backend_module, "spawn", lost)
    directory = ModalBackend().launch(config(files), "lost")
    assert read_status(directory).is_active and "if the run has begun" in read_status(directory).message
    assert not read_json(directory / "remote.json")["call_id"]
    assert wait(directory, ended).state == "done"
    assert read_json(directory / "remote.json")["call_id"].startswith("fc-")


@pytest.mark.parametrize("error", [CloudError("The connection to Modal broke."), KeyboardInterrupt()])
def test_a_launch_that_is_broken_off_is_in_doubt_and_kept(error, files, server, runs_dir, monkeypatch):  # noqa: F811
    def broken(*args):
        raise error

    monkeypatch.setattr(backend_module, "spawn", broken)
    monkeypatch.setattr(backend_module, "ensure_followed", lambda runs: False)
    name = f"doubt-{type(error).__name__}"
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            ModalBackend().launch(config(files), name)
    else:
        ModalBackend().launch(config(files), name)
    status = read_status(runs_dir / name)
    assert status.is_active and status.backend == "modal" and "if the run has begun" in status.message
    # It can be given up; should it begin after all, its wish is there.
    assert "stops at once" in backend_of(name).stop(name) and not read_status(runs_dir / name).is_active
    launch = read_json(runs_dir / name / "remote.json")["launch"]
    assert calls.CloudFeed().get(f"{name}/wish") == {"launch": launch, "wish": "stop"}


def test_of_two_launches_of_a_name_one_is_refused(files, server, runs_dir, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(backend_module, "spawn", lambda *args: "fc-none")
    monkeypatch.setattr(backend_module, "ensure_followed", lambda runs: False)
    ModalBackend().launch(config(files), "twice")
    with pytest.raises(RunError, match="already a run twice"):
        ModalBackend(tmp_path / "another machine").launch(config(files), "twice")
    assert not (tmp_path / "another machine" / "twice").exists()
    monkeypatch.setattr(backend_module, "STALE", 0.0)  # nothing ever came of it
    ModalBackend(tmp_path / "another machine").launch(config(files), "twice")


def test_an_app_that_dies_while_it_sends_data_leaves_a_run_that_has_failed(files, server, runs_dir, monkeypatch):  # noqa: F811
    seen = []

    def stage(*args, **more):
        seen.append(read_status(runs_dir / "dies"))
        raise RunError("the disk is gone")

    monkeypatch.setattr("remote.transfer.local_data.stage", stage)
    with pytest.raises(RunError, match="disk"):
        ModalBackend().launch(config(files), "dies")
    # While data are sent the run is a matter of this process, and is known to have failed once that is gone.
    assert (seen[0].backend, seen[0].pid, seen[0].state) == ("local", os.getpid(), "queued")
    assert not (runs_dir / "dies").exists()
    monkeypatch.undo()
    monkeypatch.setenv("RUNS_DIR", str(runs_dir))
    monkeypatch.setattr(backend_module, "spawn", lambda *args: "fc-none")
    monkeypatch.setattr(backend_module, "ensure_followed", lambda runs: False)
    assert ModalBackend().launch(config(files), "dies")  # its name is free


def test_modal_does_not_answer(server, monkeypatch):
    server.hang("FunctionGet")
    monkeypatch.setattr(link, "SECONDS", 1.0)
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="did not answer within 1 seconds"):
        link.ask(lambda: calls._function("train_run").hydrate(), seconds=1.0)
    assert time.monotonic() - began < 5


def test_whether_modal_can_be_used(server, monkeypatch):
    assert calls.access() == calls.Access(True, True)
    from grpclib import Status as Grpc

    server.fail("FunctionGet", Grpc.NOT_FOUND, "App not found")
    found = calls.access()
    assert found.signed_in and found.deployed is False and "llm-scratch deploy" in found.sentence


@pytest.mark.parametrize("bad", ["H1000", "H100:9", "A10:5", "L4:0", "L4:x", ""])
def test_gpus_that_there_are_not(bad, runs_dir):
    if bad:
        with pytest.raises(ConfigError, match="GPU"):
            ModalBackend(gpu=bad)
    else:
        assert ModalBackend(gpu=bad).gpu == "L4"
    with pytest.raises(ConfigError, match="hours"):
        ModalBackend(hours=30)


def test_without_a_token_nothing_is_asked(files, runs_dir, monkeypatch, tmp_path):  # noqa: F811
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MODAL_")}
    environment |= {"MODAL_CONFIG_PATH": str(tmp_path / "none.toml"), "RUNS_DIR": str(runs_dir)}
    for words in (["train", "demo", "--on", "modal"], ["deploy"], ["pull", "x"], ["runs", "--on", "modal"],
                  ["generate", "x", "--on", "modal"]):  # fmt: skip
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "playground", *words], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1 and "modal setup" in done.stderr, (words, done.stderr)
        assert time.monotonic() - began < 10
    assert not list(runs_dir.glob("*"))
