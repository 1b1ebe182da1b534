"""`train`, `prepare` and `runs` with --on modal."""

import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.config import RunConfig
from core.errors import ConfigError, RunError
from core.run import Status, find_run, read_config, read_metrics, read_status
from playground.commands.output import say, show
from playground.views.training import dollars

LOOK = 0.5  # seconds between two looks at the copy of the run that is followed


def train(args: Namespace, config: RunConfig | None, name: str) -> int:
    """Launch the run (or go on with it), and follow it to its end. config: None to go on with a run."""
    from playground.places import backend_at, wants_log
    from remote.client import link_of

    before: dict[str, Any] = {}  # what a run that goes on had: it has it again
    if config is None:
        directory = find_run(name, args.runs_dir)
        before = link_of(directory)
    gpu, hours = args.gpu or before.get("gpu", ""), args.hours or before.get("hours", 0.0)
    log = before.get("log", True) and wants_log(args.set)
    backend = backend_at("modal", args.runs_dir, gpu, hours, log, say)
    if config is not None:
        _say_cost(name, config, backend)
        directory = backend.launch(config, name)
    else:
        _say_cost(name, read_config(directory).with_overrides(args.set), backend, read_status(directory).step)
        directory = backend.resume(name, args.set)
    began = time.time()
    if args.detach:
        status = read_status(directory)
        show(
            args,
            result_of(directory, status, began),
            [f"{directory.name} is launched"],
        )
        return 0
    say(f"{directory.name} trains on Modal; Ctrl-C leaves it there, `llm-scratch stop {directory.name}` stops it")
    try:
        status = follow(directory, backend)
    except KeyboardInterrupt:
        say(f"{directory.name} goes on on Modal: `llm-scratch runs {directory.name}` shows it")
        raise
    if status.state == "failed":
        raise RunError(status.error)
    result = result_of(directory, status, began)
    best = result["best_val_loss"]
    told = f", best validation loss {best:.4f} per token" if best is not None else ""
    price = status.price_per_hour * status.rented_seconds / 3600
    message = f"{directory.name}: {status.message} after step {status.step:,}{told}; about {dollars(price)}"
    show(args, result, [message])
    return 0


def _say_cost(name: str, config: RunConfig, backend: Any, done: int = 0) -> None:
    from playground.places import estimated
    from playground.views.training_place import cost_words
    from remote.client import DATE

    steps = config.train.max_steps
    if done < steps:
        cost = estimated(config, backend.gpu, backend.hours, done)
        say(
            f"{name} on {backend.gpu}: {dollars(cost.usd_per_hour)} an hour (prices of {DATE}); "
            f"{cost_words(cost, steps, backend.hours, done)}"
        )


def follow(directory: Path, backend: Any) -> Status:
    """Print the run's log and what it waits for, until it ends."""
    shown, said = _end_of_log(directory), ""
    while True:
        status = backend.status(str(directory))
        shown = _print_log(directory, shown)
        if status.message != said and status.message not in ("training", "validating"):
            said = status.message
            say(said)
        if not status.is_active:
            return status  # type: ignore[no-any-return]
        time.sleep(LOOK)


def _end_of_log(directory: Path) -> int:
    path = directory / "train.log"
    return path.stat().st_size if path.exists() else 0


def _print_log(directory: Path, shown: int) -> int:
    """Print what has come to the log since; returns how far it is shown."""
    try:
        data = (directory / "train.log").read_bytes()
    except OSError:
        return shown
    if len(data) < shown:  # it was cut back by an interruption
        return len(data)
    whole = data[shown : data.rfind(b"\n") + 1]
    for line in whole.decode("utf-8", "replace").splitlines():
        say(line)
    return shown + len(whole)


def result_of(directory: Path, status: Status, began: float) -> dict[str, Any]:
    losses = [line["val_loss"] for line in read_metrics(directory) if "val_loss" in line]
    return {
        "run": directory.name, "directory": str(directory.resolve()), "state": status.state, "step": status.step,
        "steps": status.steps, "best_val_loss": min(losses) if losses else None,
        "seconds": round(time.time() - began, 1), "message": status.message, "place": "modal",
        "call_id": status.call_id, "price": round(status.price_per_hour * status.rented_seconds / 3600, 4),
    }  # fmt: skip


def prepare(config: RunConfig) -> tuple[Any, str]:
    """(preview, tokenizer.json) of data that is prepared on Modal's Volume."""
    from remote.client import prepare as ask

    return ask(config, lambda text: say(text))


def runs(args: Namespace) -> None:
    """The runs of the Volume; with --delete, one of them is deleted there."""
    from remote.client import delete_remote, remote_runs

    if args.rename is not None or args.note is not None or args.export is not None:
        raise ConfigError("On Modal runs can be listed and deleted; pull a run to rename, note or export it here.")
    if args.delete:
        if not args.name:
            raise ConfigError("--delete needs the NAME of the run that is meant.")
        if not args.yes:
            raise RunError(f"Deleting {args.name} on Modal is for good: add --yes to delete it.")
        delete_remote(args.name)
        return show(args, {"run": args.name, "deleted": True, "place": "modal"}, [f"{args.name} is deleted on Modal"])
    found = [run for run in remote_runs() if args.name in (None, run["name"])]
    if args.name and not found:
        raise RunError(f"There is no run {args.name!r} on Modal.")
    show(args, {"runs": found, "place": "modal"}, _lines(found))


def _lines(found: list[dict[str, Any]]) -> Iterator[str]:
    for run in found:
        steps = f"step {run.get('step') or 0:,} of {run.get('steps') or 0:,}"
        yield f"{run['name']:<24} {run.get('state') or '':<10} {run.get('family') or '':<12} {steps}"
    if not found:
        yield "There are no runs on Modal yet: `llm-scratch train demo --on modal --run-name first`."
