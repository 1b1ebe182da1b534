"""Sweeps on the disk: what is asked for, what became of each trial, and how the whole is doing.

RUNS_DIR/.sweeps/NAME/  sweep.json  status.json  sweep.log  stop  lock        and the runs NAME-01, NAME-02 ...
"""

import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from core.errors import RunError, UserError
from core.files import check_name, expanded, read_json, write_json
from core.run import Status, default_runs_dir, read_metrics, read_status
from core.strict import from_dict
from core.sweep import SweepSpec, draw_trials, ranking, result, rung_steps, training_steps
from playground.jobs import MAX_RUNNING
from playground.places import backend_at

FOLDER = ".sweeps"


@dataclass
class TrialState:
    """A trial and how far it is. States: waiting, running, resting (at a rung), stopped early, done, failed, stopped
    (by hand), gone (deleted or renamed)."""

    number: int
    run: str
    assignments: tuple[str, ...]
    values: dict[str, Any]
    state: str = "waiting"
    step: int = 0
    value: float | None = None  # the metric at the last rung that it has reached
    results: dict[int, float | None] = field(default_factory=dict)  # rung (its step) -> metric
    error: str = ""


@dataclass
class Sweep:
    """sweep.json."""

    name: str
    spec: SweepSpec
    trials: list[TrialState]
    rung: int = 0  # place in `rungs` of the one that trials are trained to
    contenders: list[int] = field(default_factory=list)  # numbers of the trials that are trained to it
    place: str = "local"  # where trials are trained: playground.places
    gpu: str = ""  # of Modal
    hours: float = 0.0  # after which a trial is stopped there; 0: as many as Modal allows
    log: bool = True  # trials are logged at wandb there, if the app has its secret
    directory: Path = Path()

    @property
    def rungs(self) -> list[int]:
        return rung_steps(self.spec, len(self.trials))

    @property
    def runs_dir(self) -> Path:
        return self.directory.parent.parent

    @property
    def best(self) -> TrialState | None:
        """The best trial of those that came furthest."""
        for step in reversed(self.rungs):
            results = {t.number: t.results[step] for t in self.trials if step in t.results}
            if order := ranking(results, self.spec.metric):
                return self.trials[order[0] - 1]
        return None

    @property
    def planned(self) -> int:
        """Steps of training in all, if no trial fails."""
        return sum(count * steps for count, steps in training_steps(self.spec, len(self.trials)))

    def save(self) -> None:
        values = {**self.__dict__, "spec": self.spec.to_dict(), "trials": [asdict(trial) for trial in self.trials]}
        del values["directory"]
        write_json(self.directory / "sweep.json", values)


def sweep_directory(name: str, runs_dir: Path | None = None) -> Path:
    return (runs_dir or default_runs_dir()) / FOLDER / check_name(name)


def read_sweep(name: str, runs_dir: Path | None = None) -> Sweep:
    """RunError if there is none of this name, or if its file is broken."""
    directory = sweep_directory(name, runs_dir)
    if not (directory / "sweep.json").is_file():
        known = ", ".join(sweep_names(runs_dir))
        raise RunError(f"There is no sweep {name!r}." + (f" There are: {known}." if known else ""))
    values = read_json(directory / "sweep.json")
    try:
        spec = SweepSpec.from_dict(values["spec"])
        trials = []
        for number, trial in enumerate(values["trials"], 1):
            trials.append(from_dict(TrialState, {**trial, "values": {}}))
            trials[-1].values = dict(trial["values"])  # of any kind
            check_name(trials[-1].run)
            if trials[-1].number != number:
                raise ValueError("its trials are out of order")
        sweep = Sweep(name, spec, trials, int(values["rung"]), [int(n) for n in values["contenders"]])
        place, gpu = str(values.get("place", "local")), str(values.get("gpu", ""))
        hours, log = float(values.get("hours", 0.0)), bool(values.get("log", True))
        sweep = replace(sweep, place=place, gpu=gpu, hours=hours, log=log, directory=directory)
        if (
            not trials
            or not 0 <= sweep.rung < len(sweep.rungs)
            or not set(sweep.contenders) <= set(range(1, len(trials) + 1))
        ):
            raise ValueError("its numbers do not fit together")
        return sweep
    except (UserError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"sweep.json of the sweep {name} cannot be used ({error}).") from None


def sweep_names(runs_dir: Path | None = None) -> list[str]:
    """The newest first."""
    parent = (runs_dir or default_runs_dir()) / FOLDER
    found = [path.parent for path in parent.glob("*/sweep.json")]
    return [path.name for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)]


def sweep_status(name: str, runs_dir: Path | None = None) -> Status:
    """What the sweep is doing. One whose process is gone has failed, with a sentence on how to go on."""
    status = read_status(sweep_directory(name, runs_dir))
    if status.state == "failed" and status.error.startswith("The training process is gone"):
        status = replace(status, error=f"The sweep's process is gone; {how_to_go_on(name)}.")
    return status


def how_to_go_on(name: str) -> str:
    return f"`llm-scratch sweep --resume {name}` goes on with it"


def create_sweep(
    spec: SweepSpec, name: str, runs_dir: Path | None = None, place: str = "local", gpu: str = "", hours: float = 0.0,
    log: bool = True,
) -> Sweep:  # fmt: skip
    """Make the sweep's directory. RunError if the name is taken, for a sweep or for the runs of one."""
    if place != "local":
        spec = replace(spec, config=backend_at(place, runs_dir, gpu, hours).fitted(spec.config))
    trials = draw_trials(spec)
    width = max(2, len(str(len(trials))))
    directory = sweep_directory(name, runs_dir)
    states = [TrialState(t.number, f"{name}-{t.number:0{width}}", t.assignments, t.values) for t in trials]
    check_name(states[-1].run)
    taken = RunError(f"There is already a sweep {name!r}; choose another name, or go on with it.")
    if directory.exists():
        raise taken
    for state in states:
        if (directory.parent.parent / state.run).exists():
            raise RunError(f"There is already a run {state.run!r}; choose another name for the sweep.")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir()
    except FileExistsError:
        raise taken from None
    except OSError as error:
        raise RunError(f"The sweep's directory {directory} cannot be made: {error.strerror}.") from None
    spec = _anywhere(spec, place)
    sweep = Sweep(name, spec, states, 0, [t.number for t in trials], place, gpu, hours, log, directory.resolve())
    sweep.save()
    Status(steps=sweep.planned).write(directory)
    return sweep


def _anywhere(spec: SweepSpec, place: str) -> SweepSpec:
    """Trials find their files whatever folder the sweep goes on in, and share the cores if they run side by side on
    this machine."""
    data, train = spec.config.data, spec.config.train
    names: dict[str, Any] = {}
    for key in ("name", "src", "tgt", "val_data", "val_src", "val_tgt"):
        path = expanded(getattr(data, key))
        if getattr(data, key) and path.exists():
            names[key] = str(path.resolve())
    if place == "local" and spec.at_once > 1 and not train.threads:
        train = replace(train, threads=max(1, (os.cpu_count() or 1) // min(spec.at_once, MAX_RUNNING)))
    return replace(spec, config=replace(spec.config, data=replace(data, **names), train=train))


def latest(sweep: Sweep) -> list[TrialState]:
    """The trials as they are now: of one that trains, the step and the metric that its run has reached."""
    found = []
    for trial in sweep.trials:
        directory = sweep.runs_dir / trial.run
        if trial.state == "running" and directory.is_dir():
            value = result(read_metrics(directory), sweep.spec.metric, sweep.spec.config.train.max_steps)
            trial = replace(trial, step=max(trial.step, read_status(directory).step), value=value)
        found.append(trial)
    return found


def told(values: dict[str, Any]) -> str:
    """
    >>> told({"optim.learning_rate": 0.003, "model.d_model": 128})
    'learning_rate=0.003, d_model=128'
    """
    return ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in values.items())
