"""Sweeps for real: small models trained by processes, killed, stopped and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import lightning  # noqa: F401  runs that train are forked from this process
import pytest
import torch
from safetensors.torch import load_file

from core.config import RunConfig
from core.files import read_jsonl
from core.run import create_run, read_config, read_status
from core.sweep import SweepSpec
from playground import cli, jobs
from playground.jobs import LocalBackend
from playground.sweep_files import create_sweep, read_sweep, sweep_status
from playground.sweeps import launch_sweep, resume_sweep, run_sweep, stop_sweep
from tests import forked

ROOT = Path(__file__).parents[2]
LIMIT = 300.0  # seconds
TINY = {
    "model": {"family": "gpt", "d_model": 16, "n_layers": 1, "n_heads": 2, "max_seq_len": 16, "dropout": 0.1},
    "tokenizer": {"kind": "char"},
    "optim": {"warmup_steps": 2},
    "train": {"max_steps": 40, "batch_tokens": 64, "val_every": 5, "checkpoint_every": 5, "sample_every": 20,
              "log_every": 5, "threads": 1},
    "decode": {"max_new_tokens": 4},
}  # fmt: skip


@pytest.fixture
def config(no_runs):
    (no_runs / "text.txt").write_text("to be or not to be, that is the question\n" * 20)
    with forked.forking():
        yield RunConfig.from_dict(TINY).with_overrides([f"data.name={no_runs / 'text.txt'}", "data.val_fraction=0.2"])
    for info in LocalBackend().running():  # however the test ended
        if info.status.pid:
            os.kill(info.status.pid, signal.SIGKILL)


def spec(config, rates="1e-5,1e-2,1e-3", **values):
    return SweepSpec(config, {"optim.learning_rate": rates}, eta=2, rungs=2, **values)


def wait_for(condition):
    end = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
    return found


def curve(directory):
    keep = ("step", "loss", "val_loss", "lr", "grad_norm", "tokens")
    return [{k: v for k, v in line.items() if k in keep} for line in read_jsonl(directory / "metrics.jsonl")]


def test_halving_ends_with_the_run_that_was_never_stopped(config, no_runs):
    """Bit for bit: the winner's weights and curve are those of training it alone."""
    sweep = create_sweep(spec(config), "s")
    said = []
    assert run_sweep(sweep, LocalBackend(), said.append).state == "done"
    assert [trial.state for trial in sweep.trials] == ["stopped early", "done", "stopped early"]
    assert [read_status(sweep.runs_dir / trial.run).step for trial in sweep.trials] == [20, 40, 20]
    assert sweep.best.run == "s-02" and said[-1].startswith("best: s-02")

    alone = create_run(config.with_overrides(["optim.learning_rate=1e-2"]), "alone")
    process = subprocess.Popen([sys.executable, "-m", "core.train.loop", str(alone.resolve())], cwd=ROOT)
    assert process.wait() == 0
    winner = sweep.runs_dir / "s-02"
    assert curve(winner) == curve(alone)
    a, b = (load_file(directory / "model.safetensors") for directory in (winner, alone))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert sweep.best.value == min(line["val_loss"] for line in curve(alone) if "val_loss" in line)


def test_killed_in_the_middle_of_a_trial_it_goes_on(config, no_runs):
    """kill -9 of the sweep and of the trial; what was finished is not trained again."""
    made = launch_sweep(
        spec(
            config.with_overrides(["train.max_steps=400", "train.val_every=50", "train.checkpoint_every=10"]),
            "1e-2,1e-3",
        ),
        "s",
    )
    second = made.runs_dir / "s-02"
    wait_for(lambda: second.is_dir() and read_status(second).step >= 20)
    pid = json.loads((made.directory / "status.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    trial = read_status(second)
    if trial.is_active and trial.pid:
        os.kill(trial.pid, signal.SIGKILL)
    wait_for(lambda: sweep_status("s").state == "failed")
    assert "sweep --resume s" in sweep_status("s").error
    first = (made.runs_dir / "s-01" / "metrics.jsonl").read_bytes()
    before = read_sweep("s").trials[0]
    assert before.state == "resting" and before.results.keys() == {200}
    resume_sweep("s")
    wait_for(lambda: sweep_status("s").state in ("done", "failed"))
    assert sweep_status("s").state == "done", (made.directory / "sweep.log").read_text()
    after = read_sweep("s")
    assert {trial.state for trial in after.trials} == {"done", "stopped early"}
    assert (made.runs_dir / "s-01" / "metrics.jsonl").read_bytes().startswith(first)
    steps = [line["step"] for line in read_jsonl(second / "metrics.jsonl") if "val_loss" in line]
    assert steps == sorted(set(steps)) and steps[-1] in (200, 400)


def test_a_sweep_whose_trial_trains_on_alone_follows_it(config, no_runs):
    made = launch_sweep(
        spec(
            config.with_overrides(["train.max_steps=600", "train.val_every=100", "train.checkpoint_every=100"]), "1e-2"
        ),
        "s",
    )
    trial = made.runs_dir / "s-01"
    wait_for(lambda: trial.is_dir() and read_status(trial).step >= 10)
    os.kill(json.loads((made.directory / "status.json").read_text())["pid"], signal.SIGKILL)
    wait_for(lambda: sweep_status("s").state == "failed")
    pid = read_status(trial).pid
    said = []
    assert run_sweep(read_sweep("s"), LocalBackend(), said.append).state == "done"
    assert read_status(trial).pid == pid and read_status(trial).step == 600  # the same process, to its end
    assert not [line for line in said if "going on" in line]


def test_ctrl_c_stops_cleanly_and_resume_goes_on(config, no_runs, monkeypatch, capsys):
    path = no_runs / "tiny.json"
    path.write_text(config.with_overrides(["train.max_steps=100000"]).to_json())
    command = [sys.executable, "-m", "playground", "sweep", "--config", str(path), "--name", "s",
               "--grid", "optim.learning_rate=1e-2,1e-3"]  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(forked, "FORKED", ())  # new interpreters, as for people
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    trial = no_runs / "runs" / "s-01"
    wait_for(lambda: trial.is_dir() and read_status(trial).step >= 10)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130 and "Traceback" not in err
    assert "s: cancelled. stopped; `llm-scratch sweep --resume s` goes on with it" in out
    status = read_status(trial)
    assert status.state == "cancelled" and 10 <= status.step < 100_000 and (trial / "model.safetensors").exists()
    assert [t.state for t in read_sweep("s").trials] == ["running", "waiting"]
    # The rest is short, so that the test is.
    values = json.loads((no_runs / "runs" / ".sweeps" / "s" / "sweep.json").read_text())
    values["spec"]["config"]["train"]["max_steps"] = status.step + 5
    (no_runs / "runs" / ".sweeps" / "s" / "sweep.json").write_text(json.dumps(values))
    run = json.loads((trial / "config.json").read_text())
    run["train"]["max_steps"] = status.step + 5
    (trial / "config.json").write_text(json.dumps(run))
    assert cli.main(["sweep", "--resume", "s", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["state"] == "done" and [t["state"] for t in result["trials"]] == ["done", "done"]
    assert [t["step"] for t in result["trials"]] == [status.step + 5] * 2


def test_stop_from_elsewhere_and_the_command_line(config, no_runs, monkeypatch, capsys):
    monkeypatch.setattr(forked, "FORKED", ())
    made = launch_sweep(spec(config.with_overrides(["train.max_steps=100000"]), "1e-2,1e-3"), "s")
    trial = made.runs_dir / "s-01"
    wait_for(lambda: trial.is_dir() and read_status(trial).step >= 5)
    assert cli.main(["sweep", "--resume", "s"]) == 1
    assert "running already" in capsys.readouterr().err
    assert cli.main(["stop", "s"]) == 0
    assert "s stops after this step" in capsys.readouterr().out
    wait_for(lambda: not sweep_status("s").is_active)
    assert sweep_status("s").state == "cancelled" and read_status(trial).state == "cancelled"
    assert read_config(trial).train.stop_at == 50_000
    assert cli.main(["sweep"]) == 0 and cli.main(["sweep", "--show", "s"]) == 0
    shown = capsys.readouterr().out
    assert "2 trials" in shown and "s-01" in shown and "waiting" in shown
    with pytest.raises(jobs.RunError, match="not running"):
        stop_sweep("s")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["demo", "--grid", "optim.lr=1"], "Unknown key 'optim.lr'"),
        (["demo", "--grid", "seed"], "not of the form"),
        (["demo", "--grid", "seed=1", "--grid", "seed=2"], "given twice"),
        (["demo"], "at least one key"),
        (["demo", "--grid", "seed=1", "--trials", "3"], "--trials is for a random search"),
        (["demo", "--resume", "s"], "one at a time"),
        (["--grid", "seed=1"], "Name a preset"),
        (["nope", "--grid", "seed=1"], "no preset 'nope'"),
        (["--show", "nope"], "no sweep 'nope'"),
        (["--show", "../x"], "cannot be a run's name"),
        (["demo", "--grid", "seed=1,2", "--name", "a/b"], "cannot be a run's name"),
        (["gpt-shakespeare", "--grid", "seed=1,2", "--data", "none.txt"], "none.txt"),
        (["demo", "--grid", "seed=1,2", "--metric", "bleu"], "score_examples"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_leaves_nothing(arguments, sentence, no_runs, capsys):
    assert cli.main(["sweep", *arguments]) == 1
    said = capsys.readouterr()
    assert sentence in said.err and said.err.count("\n") == 1 and said.out == ""
    assert not (no_runs / "runs").exists()
