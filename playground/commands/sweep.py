"""`sweep`: train a preset with several values of some keys; list sweeps, show one, go on with one."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from core.errors import ConfigError, RunError
from playground.commands.output import say, show
from playground.places import given_hours, wants_log
from playground.sweep_files import Sweep, create_sweep, latest, read_sweep, sweep_names, sweep_status, told
from playground.views.training import dollars


def sweep(args: Namespace) -> int:
    starts = bool(args.preset or args.config or args.grid or args.random)
    if sum([starts, args.resume is not None, args.show is not None]) > 1:
        raise ConfigError("Ask for one at a time: a PRESET to start with, --resume NAME or --show NAME.")
    if (args.gpu or args.hours is not None) and (args.on != "modal" or not starts):
        raise ConfigError("--gpu and --hours are for a new sweep with --on modal; one that goes on keeps its own.")
    if args.hours is not None:
        given_hours(args.hours)
    if args.resume is not None:
        return _run(args, read_sweep(args.resume, args.runs_dir))
    if args.show is not None:
        return _show(args, args.show)
    if starts:
        return _run(args, _new(args))
    _list(args)
    return 0


def _new(args: Namespace) -> Sweep:
    """The sweep that the command line describes. Nothing is made before all of it is known to be possible."""
    from core.sweep import SweepSpec
    from playground.commands.training import run_config

    halving = args.halving or args.eta is not None or args.rungs is not None
    axes = {}
    for text in [*args.grid, *args.random]:
        key, equals, values = text.partition("=")
        if not equals:
            raise ConfigError(f"{text!r} is not of the form section.field=VALUES.")
        if key.strip() in axes:
            raise ConfigError(f"{key.strip()} is given twice; give all its values at once.")
        axes[key.strip()] = values
    if args.trials is not None and not args.random:
        raise ConfigError("--trials is for a random search (--random); a grid has as many trials as points.")
    spec = SweepSpec(
        run_config(args), axes, "random" if args.random else "grid", 10 if args.trials is None else args.trials,
        args.seed, args.metric, (2 if args.eta is None else args.eta) if halving else 0,
        3 if args.rungs is None else args.rungs, args.at_once,
    )  # fmt: skip
    if args.on != "modal":
        return create_sweep(spec, args.name or _unused(args), args.runs_dir)
    name = args.name or _unused(args)
    made = create_sweep(spec, name, args.runs_dir, "modal", args.gpu or "", args.hours or 0.0, wants_log(args.set))
    _say_cost(made)
    return made


def _say_cost(made: Sweep) -> None:
    from playground.places import backend_at
    from playground.sweep_form import cost_there
    from playground.views.sweep import words_there
    from remote.client import DATE

    backend = backend_at("modal", gpu=made.gpu, hours=made.hours)
    cost = cost_there(made.spec, backend.gpu, backend.hours)
    say(
        f"{made.name} on {backend.gpu}: {dollars(cost.usd_per_hour)} an hour (prices of {DATE}); "
        f"{words_there(cost, made.planned, backend.hours)}"
    )


def _unused(args: Namespace) -> str:
    taken, number = sweep_names(args.runs_dir), 1
    while f"sweep-{number}" in taken:
        number += 1
    return f"sweep-{number}"


def _run(args: Namespace, wanted: Sweep) -> int:
    """In the foreground, with a line for each event on stderr."""
    from playground.places import backend_at
    from playground.sweeps import run_sweep

    say(f"{wanted.name}: {len(wanted.trials)} trials, {wanted.planned:,} steps; Ctrl-C stops it and keeps all")
    status = run_sweep(wanted, backend_at(wanted.place, args.runs_dir, wanted.gpu, wanted.hours, wanted.log), say)
    if status.state == "failed":
        raise RunError(status.error)
    _show(args, wanted.name)
    return 0 if status.state == "done" else 130


def _show(args: Namespace, name: str) -> int:
    wanted, status = read_sweep(name, args.runs_dir), sweep_status(name, args.runs_dir)
    best = wanted.best
    result = {
        "sweep": name, "state": status.state, "message": status.message, "error": status.error,
        "metric": wanted.spec.metric, "rungs": wanted.rungs, "step": status.step, "steps": status.steps,
        "best": best.run if best else None, "axes": wanted.spec.axes,
        "trials": [_plain(trial) for trial in latest(wanted)],
    }  # fmt: skip
    show(args, result, _lines(wanted, f"{name}: {status.state}. {status.error or status.message}"))
    return 0


def _plain(trial: Any) -> dict[str, Any]:
    values = asdict(trial)
    return {key: values[key] for key in ("run", "values", "state", "step", "value", "error")}


def _lines(wanted: Sweep, head: str) -> Iterator[str]:
    yield head
    rows = [["run", *(key.rpartition(".")[2] for key in wanted.spec.axes), "step", wanted.spec.metric, "state"]]
    for trial in latest(wanted):
        value = "" if trial.value is None else f"{trial.value:.4f}"
        state = f"{trial.state}: {trial.error}" if trial.error else trial.state
        rows.append([trial.run, *map(str, trial.values.values()), f"{trial.step:,}", value, state])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[-1]]).rstrip()
    if best := wanted.best:
        yield f"best so far: {best.run} ({told(best.values)})"


def _list(args: Namespace) -> None:
    result, lines = [], []
    for name in sweep_names(args.runs_dir):
        status = sweep_status(name, args.runs_dir)
        try:
            wanted = read_sweep(name, args.runs_dir)
        except RunError as error:
            result.append({"sweep": name, "state": "failed", "trials": 0, "best": None, "error": str(error)})
            lines.append(f"{name:<24} broken      {error}")
            continue
        best = wanted.best
        result.append({"sweep": name, "state": status.state, "trials": len(wanted.trials),
                       "best": best.run if best else None, "error": status.error})  # fmt: skip
        lines.append(f"{name:<24} {status.state:<11} {len(wanted.trials):>3} trials  {status.error or status.message}")
    hint = "There are no sweeps yet: `llm-scratch sweep demo --name first --grid optim.learning_rate=1e-3,3e-3`."
    show(args, {"sweeps": result}, lines or [hint])
