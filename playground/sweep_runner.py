"""Sweeps on their way: many trials, one after another or side by side, each an ordinary run.

sweep.json is written after every event, atomically, and what a trial has done is read from its run: a sweep that is
killed at any moment goes on where it was, and a trial that was finished is not trained again.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from core.config import RunConfig
from core.errors import ConfigError, DataError, RunError, UserError
from core.run import Status, read_config, read_metrics
from core.runs_admin import delete_run
from core.sweep import Trial, goes_on, ranking, result, trial_config
from playground.jobs import GRACE, MAX_RUNNING
from playground.sweep_files import Sweep, TrialState, how_to_go_on, told

LOOK = 0.5  # seconds between two looks at the trials
SIGN_OF_LIFE = 5.0  # seconds between two writes of status.json
LOCK_SECONDS = 2.0  # that a process which has ended may still hold its lock
AGAIN = 15.0  # seconds until a place that could not be reached is asked again
OPEN = ("waiting", "running", "resting", "done")  # states of trials that may still be trained or compared
Say = Callable[[str], None]


class Backend(Protocol):
    """What a sweep asks of the place where trials are trained: playground.jobs.LocalBackend, or one elsewhere."""

    name: str

    def launch(self, config: RunConfig, name: str) -> Path: ...
    def resume(self, name: str, assignments: Sequence[str] = ()) -> Path: ...
    def status(self, name: str) -> Status: ...
    def stop(self, name: str) -> str: ...
    def check_room(self) -> None: ...  # RunError if no more can be trained now


# ------------------------------------------------------------------------------------------------------- the runner


class Runner:
    """Trains the trials of a sweep. Stops cleanly when its `stop` file appears: the trial that trains is stopped and
    kept, and the sweep can be gone on with."""

    def __init__(self, sweep: Sweep, backend: Backend, say: Say = lambda text: None) -> None:
        self.sweep, self.backend, self.say = sweep, backend, say
        self.most = min(sweep.spec.at_once, MAX_RUNNING) if backend.name == "local" else sweep.spec.at_once
        self.stop_file = sweep.directory / "stop"
        self.began, self.wrote = time.time(), 0.0
        self.waits_for = ""  # why no trial can be started now: there is no room, or the place cannot be reached
        self.not_before = 0.0  # time.monotonic() at which such a place is asked again
        self.refused: set[int] = set()  # trials that could not be started once

    def run(self) -> Status:
        """To the end, or until it is asked to stop. Returns its last status; RunError if it is running already."""
        with _only_one(self.sweep):
            self.steps_before = self._steps()
            try:
                return self._run()
            except BaseException as error:
                text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                stopped = isinstance(error, KeyboardInterrupt)
                self._status("cancelled" if stopped else "failed", error="Interrupted." if stopped else text)
                raise

    def _run(self) -> Status:
        sweep = self.sweep
        for trial in self._contenders():  # a failure may have been the machine's: each is tried once more
            if trial.state == "failed" and self._step not in trial.results:
                trial.state, trial.error = "resting" if trial.results else "waiting", ""
        self.say(f"{sweep.name}: {len(sweep.trials)} trials, rungs at step {', '.join(f'{s:,}' for s in sweep.rungs)}")
        while True:
            self._status("running")
            if not self._to_rung():
                return self._status("cancelled", f"stopped; {how_to_go_on(sweep.name)}")
            results = {t.number: t.results.get(self._step) for t in self._contenders()}
            order = ranking(results, sweep.spec.metric)
            if not order:
                first = next((t.error for t in self._contenders() if t.error), "they were stopped")
                return self._status("failed", error=f"No trial reached step {self._step:,}: {first}")
            if sweep.rung == len(sweep.rungs) - 1:
                best = sweep.trials[order[0] - 1]
                self.say(f"best: {best.run} ({told(best.values)}), {sweep.spec.metric} {best.value:.4f}")
                return self._status("done", f"best: {best.run}")
            keep = goes_on(results, sweep.spec.eta, sweep.spec.metric)
            for trial in self._contenders():
                if trial.number not in keep and trial.state == "resting":
                    trial.state = "stopped early"
            # One that is left has nobody to be compared with.
            sweep.contenders, sweep.rung = sorted(keep), len(sweep.rungs) - 1 if len(keep) == 1 else sweep.rung + 1
            sweep.save()
            self.say(f"go on to step {self._step:,}: {', '.join(sweep.trials[n - 1].run for n in keep)}")

    @property
    def _step(self) -> int:
        return self.sweep.rungs[self.sweep.rung]

    def _contenders(self) -> list[TrialState]:
        return [self.sweep.trials[number - 1] for number in self.sweep.contenders]

    def _to_rung(self) -> bool:
        """Train all contenders to the rung. False if the sweep was asked to stop."""
        waiting = [t for t in self._contenders() if self._step not in t.results and t.state in OPEN]
        waiting.sort(
            key=lambda trial: not self._trains(trial)
        )  # what trains already (the sweep was killed) is followed
        running: list[TrialState] = []
        while waiting or running:
            if self.stop_file.exists():
                self._stop(running)
                return False
            while waiting and (self._trains(waiting[0]) or (len(running) < self.most and self._has_room())):
                trial = waiting.pop(0)
                begun = self._begin(trial)
                self.sweep.save()
                if begun is None:
                    waiting.insert(0, trial)
                    break
                if begun:
                    running.append(trial)
            running = [trial for trial in running if not self._has_ended(trial)]
            if running or waiting:
                if time.time() - self.wrote > SIGN_OF_LIFE:
                    self._status("running")
                time.sleep(LOOK)
        return True

    def _look(self, trial: TrialState) -> Status | None:
        """The status of the trial's run; None if there is none."""
        try:
            status = self.backend.status(trial.run)
        except RunError:
            return None
        trial.step = max(trial.step, status.step)
        return status

    def _trains(self, trial: TrialState) -> bool:
        status = self._look(trial)
        return status is not None and status.is_active

    def _has_room(self) -> bool:
        if time.monotonic() < self.not_before:
            return False
        try:
            self.backend.check_room()
        except RunError as error:
            self._wait_for(str(error))
            return False
        if not self.not_before:
            self.waits_for = ""
        return True

    def _wait_for(self, why: str) -> None:
        if why != self.waits_for:
            self.say(f"waiting: {why}")
            self.waits_for = why
            self._status("running")

    def _begin(self, trial: TrialState) -> bool | None:
        """Have the trial trained to the rung. False if there is nothing to wait for; None if it is to be tried again:
        the room was taken, or the place cannot be reached."""
        stop_at = 0 if self._step == self.sweep.spec.config.train.max_steps else self._step
        config = trial_config(self.sweep.spec, Trial(trial.number, trial.assignments, trial.values), stop_at)
        directory = self.sweep.runs_dir / trial.run
        try:
            if not (directory / "config.json").exists():
                if trial.state != "waiting":
                    return self._ends(trial, "gone", "deleted or renamed")
                if directory.exists():  # the sweep was killed while it made it
                    delete_run(trial.run, self.sweep.runs_dir)
                self.backend.launch(config, trial.run)
            else:
                if trial.state == "waiting" and not _is_of(directory, config):
                    return self._ends(trial, "failed", "there is another run of this name")
                status = self.backend.status(trial.run)
                if not status.is_active:
                    if status.state == "done" or (status.state == "cancelled" and status.step >= self._step):
                        return not self._has_ended(trial)
                    self.backend.resume(trial.run, [f"train.stop_at={stop_at}"])
        except UserError as error:
            if not isinstance(error, (RunError, ConfigError, DataError)):  # of the way there, not of the trial
                self.not_before = time.monotonic() + AGAIN
                self._wait_for(str(error))
                return None
            if self._has_room() and trial.number in self.refused:
                return self._ends(trial, "failed", str(error))
            self.refused.add(trial.number)  # the room may have been taken, and be free again
            return None
        self.waits_for, self.not_before = "", 0.0
        trial.state = "running"
        self.say(f"{trial.run}: {told(trial.values)}, to step {self._step:,}")
        return True

    def _has_ended(self, trial: TrialState) -> bool:
        """Whether the trial does not train any more; then what came of it is kept."""
        status = self._look(trial)
        if status is None:
            return not self._ends(trial, "gone", "deleted or renamed")
        if status.is_active:
            return False
        if status.state == "failed":
            return not self._ends(trial, "failed", status.error)
        complete = status.state == "done"
        if not complete and status.step < self._step:
            why = status.message if "hours" in status.message else "stopped by hand"  # its time elsewhere was up
            return not self._ends(trial, "stopped", why)
        metric = self.sweep.spec.metric
        value = result(read_metrics(self.sweep.runs_dir / trial.run), metric, self._step)
        trial.results[self._step] = value
        if value is None:
            return not self._ends(trial, "failed", f"diverged: its {metric} is not a number")
        trial.value, trial.state = value, "done" if complete else "resting"
        self.say(f"{trial.run}: {metric} {value:.4f} at step {status.step:,}")
        self.sweep.save()
        return True

    def _ends(self, trial: TrialState, state: str, why: str) -> bool:
        trial.state, trial.error = state, why
        self.say(f"{trial.run}: {state}: {why}")
        self.sweep.save()
        return False

    def _stop(self, running: list[TrialState]) -> None:
        """Stop the trials that train; asked again after a grace period, they are ended by force. One that cannot be
        asked now is asked then: somewhere it goes on, and may cost something."""
        self._status("stopping")
        while running := [trial for trial in running if self._trains(trial)]:
            for trial in running:
                try:
                    self.say(self.backend.stop(trial.run))
                except RunError:
                    pass  # it has just ended
                except UserError as error:
                    self.say(f"{trial.run} cannot be asked to stop now: {error}")
            end = time.time() + GRACE + 1
            while time.time() < end and any(self._trains(trial) for trial in running):
                time.sleep(LOOK)
        for trial in self._contenders():
            self._look(trial)
        self.stop_file.unlink(missing_ok=True)
        self.sweep.save()

    def _steps(self) -> int:
        return sum(trial.step for trial in self.sweep.trials)

    def _status(self, state: str, message: str = "", error: str = "") -> Status:
        done, planned = self._steps(), self.sweep.planned
        doing = f"waiting: {self.waits_for}" if self.waits_for else f"to step {self._step:,}"
        rate = (done - self.steps_before) / max(time.time() - self.began, 1e-9)
        status = Status(
            state=state, step=min(done, planned), steps=planned, pid=os.getpid(), started=self.began, error=error,
            eta=round((planned - done) / rate, 1) if rate > 0 and state == "running" else None,
            message=message or doing, backend="local",
        )  # fmt: skip
        status.write(self.sweep.directory)
        self.wrote = time.time()
        return status


def _is_of(directory: Path, config: RunConfig) -> bool:
    """Whether a run was made with this configuration: what a sweep sets, and what training fills in, aside."""

    def plain(config: RunConfig) -> RunConfig:
        return replace(config, model=replace(config.model, vocab_size=0), train=replace(config.train, stop_at=0))

    try:
        return plain(read_config(directory)) == plain(config)
    except UserError:
        return False


@contextmanager
def _only_one(sweep: Sweep) -> Iterator[None]:
    """The system lets go of the lock when a process ends, however it does: its last thread just after its first."""
    with open(sweep.directory / "lock", "ab") as file:
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise RunError(f"The sweep {sweep.name} is running already.") from None
                time.sleep(0.05)
        yield
