"""The runner of a sweep on a backend that trains nothing: every way in which a trial can end."""

import itertools
import math
import os
import shutil
import threading
import time
from dataclasses import replace

import pytest

from core.config import RunConfig
from core.errors import RunError, UserError
from core.files import append_jsonl, read_json, write_json, write_text
from core.run import Status, create_run, read_config, read_status
from core.sweep import SweepSpec
from playground import sweep_runner
from playground.sweep_files import create_sweep, read_sweep, sweep_directory, sweep_names, sweep_status
from playground.sweep_runner import Runner
from playground.sweeps import stop_sweep

BASE = RunConfig.from_dict({"train": {"max_steps": 40, "val_every": 10}})


class Fake:
    """Runs are trained at once (or after so many looks) to a validation loss that is given by their seed."""

    def __init__(self, runs_dir, losses, name="elsewhere"):
        self.runs_dir, self.losses, self.name = runs_dir, losses, name
        self.trained = []  # (run, from step, to step)
        self.looks, self.rooms, self.most = {}, None, 0
        self.before_end = lambda run: None

    def launch(self, config, name):
        self.check_room()
        directory = create_run(config, name, self.runs_dir)
        self._start(name, 0)
        return directory

    def resume(self, name, assignments=()):
        directory = self.runs_dir / name
        assert not read_status(directory).is_active
        config = read_config(directory).with_overrides(assignments)
        write_json(directory / "config.json", config.to_dict())
        self._start(name, read_status(directory).step)
        return directory

    def _start(self, name, step):
        Status(state="running", step=step, backend=self.name).write(self.runs_dir / name)
        self.looks[name] = 2
        self.most = max(self.most, len(self.looks))

    def status(self, name):
        directory = self.runs_dir / name
        if name in self.looks:
            self.looks[name] -= 1
            if self.looks[name] < 0:
                del self.looks[name]
                self._train(name, directory)
        if not (directory / "config.json").exists():
            raise RunError(f"There is no run {name!r}.")
        return read_status(directory)

    def _train(self, name, directory):
        status, config = read_status(directory), read_config(directory)
        end = config.train.stop_at or config.train.max_steps
        loss = self.losses[config.seed]
        if isinstance(loss, str):
            return replace(status, state="failed", error=loss).write(directory)
        self.trained.append((name, status.step, end))
        self.before_end(name)
        if not directory.exists() or read_status(directory).state == "cancelled":
            return None
        for step in range(status.step + 10, end + 1, 10):
            append_jsonl(directory / "metrics.jsonl", {"step": step, "val_loss": loss + 1 / step})
        state = "done" if end == config.train.max_steps else "cancelled"
        return replace(status, state=state, step=end).write(directory)

    def stop(self, name):
        self.looks.pop(name, None)
        status = read_status(self.runs_dir / name)
        replace(status, state="cancelled", step=status.step + 3).write(self.runs_dir / name)
        return f"{name} stops"

    def check_room(self):
        if self.rooms is not None:
            self.rooms -= 1
            if self.rooms < 0:
                self.rooms = None
                raise RunError("2 runs are training on this machine.")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(sweep_runner, "LOOK", 0.001)
    monkeypatch.setattr(os, "fsync", lambda file: None)


def make(tmp_path, losses, eta=2, rungs=3, config=BASE, **values):
    spec = SweepSpec(config, {"seed": ",".join(map(str, range(len(losses))))}, eta=eta, rungs=rungs, **values)
    return create_sweep(spec, "s", tmp_path), Fake(tmp_path, losses)


def run(sweep, backend):
    said = []
    return Runner(sweep, backend, said.append).run(), said


def states(tmp_path):
    return [trial.state for trial in read_sweep("s", tmp_path).trials]


def test_a_grid_without_halving_trains_all_to_the_end(tmp_path):
    status, said = run(*(made := make(tmp_path, [3.0, 1.0, 2.0], eta=0)))
    assert status.state == "done" and status.message == "best: s-02" and status.step == status.steps == 120
    assert made[1].trained == [("s-01", 0, 40), ("s-02", 0, 40), ("s-03", 0, 40)] and made[1].most == 1
    assert states(tmp_path) == ["done"] * 3
    assert read_sweep("s", tmp_path).best.value == pytest.approx(1.025)
    assert said[-1] == "best: s-02 (seed=1), val_loss 1.0250"


def test_halving_trains_the_better_half_on(tmp_path):
    status, _ = run(*(made := make(tmp_path, [4.0, 1.0, 3.0, 2.0])))
    assert made[1].trained == [
        ("s-01", 0, 10), ("s-02", 0, 10), ("s-03", 0, 10), ("s-04", 0, 10),
        ("s-02", 10, 20), ("s-04", 10, 20), ("s-02", 20, 40),
    ]  # fmt: skip
    assert states(tmp_path) == ["stopped early", "done", "stopped early", "stopped early"]
    assert status.state == "done" and status.step == status.steps == 4 * 10 + 2 * 10 + 20
    assert read_sweep("s", tmp_path).trials[1].results == {10: 1.1, 20: 1.05, 40: 1.025}
    again, _ = run(read_sweep("s", tmp_path), made[1])
    assert again.state == "done" and len(made[1].trained) == 7  # nothing is trained twice


def test_equal_trials_one_trial_and_two(tmp_path):
    run(*make(tmp_path, [1.0, 1.0, 1.0, 1.0]))
    assert states(tmp_path) == ["done"] + ["stopped early"] * 3
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    run(*(made := make(tmp_path, [1.0])))
    assert made[1].trained == [("s-01", 0, 40)]
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    run(*(made := make(tmp_path, [2.0, 1.0])))
    assert made[1].trained == [("s-01", 0, 10), ("s-02", 0, 10), ("s-02", 10, 40)]  # not stopped alone at 20


def test_failed_and_diverged_trials_never_go_on(tmp_path):
    status, _ = run(*make(tmp_path, ["the memory is full", math.nan, math.inf, 9.0]))
    assert states(tmp_path) == ["failed", "failed", "failed", "done"] and status.message == "best: s-04"
    first, second, *_ = read_sweep("s", tmp_path).trials
    assert first.error == "the memory is full" and "diverged" in second.error


def test_all_failed_is_one_sentence_and_can_be_tried_again(tmp_path):
    sweep, backend = make(tmp_path, ["no such file", "no such file"])
    status, _ = run(sweep, backend)
    assert status.state == "failed" and status.error == "No trial reached step 10: no such file"
    assert sweep_status("s", tmp_path).error == status.error and read_sweep("s", tmp_path).best is None
    backend.losses = [2.0, 1.0]
    assert run(read_sweep("s", tmp_path), backend)[0].message == "best: s-02"


def test_side_by_side(tmp_path):
    sweep, backend = make(tmp_path, [4.0, 1.0, 3.0, 2.0, 5.0], at_once=3)
    status, _ = run(sweep, backend)
    assert status.message == "best: s-02" and backend.most == 3
    sweep, backend = make(tmp_path / "b", [4.0, 1.0, 3.0, 2.0, 5.0], at_once=5)
    backend.name = "local"
    (tmp_path / "b").mkdir(exist_ok=True)
    assert Runner(sweep, backend).most == 2  # as many as this machine takes
    assert sweep.spec.config.train.threads >= 1  # and they share its cores


def test_it_waits_for_room(tmp_path):
    sweep, backend = make(tmp_path, [2.0, 1.0])
    backend.rooms = 2  # for one look and one start; the next look finds none
    status, said = run(sweep, backend)
    assert status.state == "done" and states(tmp_path) == ["stopped early", "done"]
    assert [line for line in said if "waiting" in line] == ["waiting: 2 runs are training on this machine."]


def test_room_that_is_taken_between_a_look_and_the_start(tmp_path):
    sweep, backend = make(tmp_path, [2.0, 1.0])
    backend.rooms = 1
    assert run(sweep, backend)[0].state == "done" and states(tmp_path) == ["stopped early", "done"]


def test_a_trial_that_is_deleted_renamed_or_stopped_by_hand(tmp_path):
    sweep, backend = make(tmp_path, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

    def meddle(name):
        if name == "s-01":
            shutil.rmtree(tmp_path / name)
        if name == "s-02":
            (tmp_path / name).rename(tmp_path / "other")
        if name == "s-03":
            replace(read_status(tmp_path / name), state="cancelled", step=4).write(tmp_path / name)

    backend.before_end = meddle
    status, said = run(sweep, backend)
    assert states(tmp_path) == ["gone", "gone", "stopped", "done", "stopped early", "stopped early"]
    assert status.state == "done" and status.message == "best: s-04"
    assert "s-03: stopped: stopped by hand" in said


def test_a_trial_that_cannot_be_started(tmp_path):
    sweep, backend = make(tmp_path, [2.0, 1.0])
    real = backend.launch

    def launch(config, name):
        if name == "s-02":
            raise RunError("The run's directory cannot be made: Permission denied.")
        real(config, name)

    backend.launch = launch
    assert run(sweep, backend)[0].message == "best: s-01"
    assert read_sweep("s", tmp_path).trials[1].error.endswith("Permission denied.")


def test_one_that_is_deleted_between_two_rungs(tmp_path):
    sweep, backend = make(tmp_path, [1.0, 2.0, 3.0, 4.0])

    def meddle(name):
        if name == "s-02" and backend.trained[-1][1] == 0:
            shutil.rmtree(tmp_path / "s-01")

    backend.before_end = meddle
    assert run(sweep, backend)[0].message == "best: s-02"
    assert states(tmp_path)[0] == "gone"


def test_stopping_keeps_all_and_it_goes_on(tmp_path):
    sweep, backend = make(tmp_path, [4.0, 1.0, 3.0, 2.0])
    began = threading.Event()
    real = backend.launch

    def launch(config, name):
        real(config, name)
        if name == "s-03":
            backend.looks[name] = 10**9  # it trains for long
            began.set()

    backend.launch = launch

    def ask():
        assert began.wait(20)
        assert "goes on with it" in stop_sweep("s", tmp_path)

    asker = threading.Thread(target=ask)
    asker.start()
    status, said = run(sweep, backend)
    asker.join()
    assert status.state == "cancelled" and "sweep --resume s" in status.message and "s-03 stops" in said
    assert not (sweep.directory / "stop").exists() and not backend.looks
    assert states(tmp_path) == ["resting", "resting", "running", "waiting"]
    with pytest.raises(RunError, match="not running"):
        stop_sweep("s", tmp_path)
    backend.launch = real
    assert run(read_sweep("s", tmp_path), backend)[0].state == "done"
    assert backend.trained[:5] == [
        ("s-01", 0, 10), ("s-02", 0, 10), ("s-03", 3, 10), ("s-04", 0, 10), ("s-02", 10, 20)
    ]  # fmt: skip


class Unreachable(UserError):
    """What a place elsewhere says when the network is lost."""


def test_a_place_that_cannot_be_reached_for_long_costs_no_trial(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_runner, "AGAIN", 0.01)
    sweep, backend = make(tmp_path, [4.0, 1.0, 3.0, 2.0])
    failures, messages = {"launch": 5, "resume": 3}, []

    def flaky(name, real):
        def act(*args):
            failures[name] -= 1
            if failures[name] >= 0:
                messages.append(sweep_status("s", tmp_path).message)
                raise Unreachable("Modal cannot be reached.")
            return real(*args)

        return act

    backend.launch, backend.resume = flaky("launch", backend.launch), flaky("resume", backend.resume)
    status, said = run(sweep, backend)
    assert status.state == "done" and status.message == "best: s-02"
    assert states(tmp_path) == ["stopped early", "done", "stopped early", "stopped early"]
    assert said.count("waiting: Modal cannot be reached.") == 2  # once for each time that it was lost
    assert messages[1] == "waiting: Modal cannot be reached." and failures["launch"] < 0 and failures["resume"] < 0


def test_between_two_tries_at_an_unreachable_place_there_is_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_runner, "AGAIN", 0.3)
    sweep, backend = make(tmp_path, [2.0])
    real, tries = backend.launch, []

    def launch(config, name):
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise Unreachable("Modal cannot be reached.")
        return real(config, name)

    backend.launch = launch
    assert run(sweep, backend)[0].state == "done"
    assert [later - earlier >= 0.3 for earlier, later in itertools.pairwise(tries)] == [True, True]


def test_all_trials_are_asked_to_stop_though_one_cannot_be_reached_at_first(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_runner, "GRACE", -0.99)
    sweep, backend = make(tmp_path, [4.0, 1.0, 3.0], eta=0, at_once=3)
    launch, stop, lost = backend.launch, backend.stop, [2]

    def begin(config, name):
        launch(config, name)
        backend.looks[name] = 10**9
        if len(backend.looks) == 3:
            sweep_directory("s", tmp_path).joinpath("stop").touch()

    def unreachable(name):
        if name == "s-01" and lost[0] > 0:
            lost[0] -= 1
            raise Unreachable("Modal cannot be reached.")
        return stop(name)

    backend.launch, backend.stop = begin, unreachable
    status, said = run(sweep, backend)
    assert status.state == "cancelled" and not backend.looks  # none goes on and costs
    assert said.count("s-01 cannot be asked to stop now: Modal cannot be reached.") == 2
    assert [said.count(f"s-0{n} stops") for n in (1, 2, 3)] == [1, 1, 1]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", range(1, 40))
def test_killed_at_any_write_it_ends_as_if_it_had_not_been(moment, tmp_path, monkeypatch):
    """The power goes before the n-th write of sweep.json or status.json: of the sweep, or while a run is made."""
    sweep, backend = make(tmp_path, [4.0, 1.0, 3.0, 2.0])
    import core.files
    import core.run
    import playground.sweep_files

    real, left = core.files.write_json, [moment]

    def write(path, values):
        if path.parent.parent.name == ".sweeps" or not (path.parent / "status.json").exists():
            left[0] -= 1
            if left[0] == 0:
                raise Killed
        real(path, values)

    with monkeypatch.context() as patch:
        for module in (core.run, playground.sweep_files):
            patch.setattr(module, "write_json", write)
        try:
            Runner(sweep, backend).run()
        except Killed:
            pass
    for name in list(backend.looks):  # what trained when the sweep was killed goes on and ends
        while name in backend.looks:
            backend.status(name)
    status, _ = run(read_sweep("s", tmp_path), backend)
    assert status.state == "done" and status.message == "best: s-02"
    assert states(tmp_path) == ["stopped early", "done", "stopped early", "stopped early"]
    assert len(backend.trained) == len(set(backend.trained)) == 7


def test_another_run_of_a_trials_name_is_left_alone(tmp_path):
    sweep, backend = make(tmp_path, [1.0, 2.0, 3.0])
    create_run(BASE.with_overrides(["model.d_model=64"]), "s-01", tmp_path)
    before = read_json(tmp_path / "s-01" / "config.json")
    Status(state="done", step=40).write(tmp_path / "s-01")
    status, _ = run(sweep, backend)
    assert states(tmp_path)[0] == "failed" and status.message == "best: s-02"
    assert read_json(tmp_path / "s-01" / "config.json") == before


def test_names_that_are_taken_or_none(tmp_path):
    make(tmp_path, [1.0, 2.0])
    with pytest.raises(RunError, match="already a sweep 's'"):
        make(tmp_path, [1.0])
    create_run(BASE, "t-02", tmp_path)
    with pytest.raises(RunError, match="already a run 't-02'"):
        create_sweep(SweepSpec(BASE, {"seed": "1,2"}), "t", tmp_path)
    for name in ("", "..", "a/b", "/etc", "x" * 63, "ü"):
        with pytest.raises(RunError, match="cannot be a run's name"):
            create_sweep(SweepSpec(BASE, {"seed": "1,2"}), name, tmp_path)
    assert sweep_names(tmp_path) == ["s"]
    with pytest.raises(RunError, match="no sweep 'u'. There are: s"):
        read_sweep("u", tmp_path)


def test_only_one_process_runs_a_sweep(tmp_path):
    sweep, backend = make(tmp_path, [1.0])
    with sweep_runner._only_one(sweep), pytest.raises(RunError, match="running already"):
        Runner(read_sweep("s", tmp_path), backend).run()
    assert Runner(sweep, backend).run().state == "done"


@pytest.mark.parametrize(
    "break_it",
    [
        lambda v: v["trials"].append(3), lambda v: v.update(rung=7), lambda v: v.update(contenders=[9]),
        lambda v: v["trials"][0].update(run="../../etc"), lambda v: v["spec"].update(axes={}), lambda v: v.pop("rung"),
        lambda v: v["trials"][0].update(number=5), lambda v: v.update(trials=[]), lambda v: v.update(rung=None),
        lambda v: v["trials"][0].update(results={"a": 1}), lambda v: v["spec"]["config"]["model"].update(d_model=0),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_sentence(break_it, tmp_path):
    sweep, _ = make(tmp_path, [1.0, 2.0])
    values = read_json(sweep.directory / "sweep.json")
    break_it(values)
    write_json(sweep.directory / "sweep.json", values)
    with pytest.raises(RunError, match=r"sweep.json of the sweep s cannot be used"):
        read_sweep("s", tmp_path)
    write_text(sweep.directory / "sweep.json", "{")
    with pytest.raises(RunError, match="not valid JSON"):
        read_sweep("s", tmp_path)


def test_a_sweep_whose_process_is_gone(tmp_path):
    sweep, _ = make(tmp_path, [1.0])
    Status(state="running", pid=2**22 + 5).write(sweep.directory)
    status = sweep_status("s", tmp_path)
    assert status.state == "failed" and "sweep --resume s" in status.error
    assert sweep_directory("s", tmp_path) == tmp_path / ".sweeps" / "s"
