"""`runs`, `pause` and `stop`: what there is, how it goes, how it is kept in order, and enough of it."""

import sys
from argparse import Namespace
from dataclasses import asdict

from core.errors import ConfigError, RunError
from core.files import read_json
from core.run import default_runs_dir, find_run, read_metrics
from core.runs_admin import delete_run, export_run, read_note, rename_run, set_note
from playground.commands.output import show
from playground.jobs import LocalBackend
from playground.places import backend_of, find_again


def runs(args: Namespace) -> None:
    if args.on == "modal":
        from playground.commands import modal_training

        return modal_training.runs(args)
    find_again(args.runs_dir)
    if args.metrics or args.tensorboard:
        return _export_metrics(args)
    wishes = [args.rename is not None, args.note is not None, args.delete, args.export is not None]
    if any(wishes):
        if not args.name:
            raise ConfigError("--rename, --note, --delete and --export need the NAME of the run that is meant.")
        if sum(wishes) > 1:
            raise ConfigError("Ask for one at a time: --rename, --note, --delete or --export.")
        return _change(args)
    backend = LocalBackend(args.runs_dir)
    if args.name:
        return _show_run(args, backend)
    found = backend.runs()
    result = [
        {
            "run": info.name, "bundled": info.bundled, "family": info.family, "preset": info.preset,
            "state": info.status.state, "step": info.status.step, "steps": info.status.steps,
            "has_model": info.has_model, "error": info.error or info.status.error, "note": read_note(info.directory),
        }
        for info in found
    ]  # fmt: skip
    lines = [
        f"{info.name:<24} {'bundled' if info.bundled else info.status.state:<10} {info.family:<12} "
        + (f"step {info.status.step:,} of {info.status.steps:,}" if info.status.steps else info.status.message)
        + (f"  {info.error or info.status.error}" if info.error or info.status.error else "")
        + (f"  ({note})" if (note := read_note(info.directory)) else "")
        for info in found
    ]
    show(args, {"runs": result}, lines or ["There are no runs yet: `llm-scratch train demo --run-name first`."])


def _change(args: Namespace) -> None:
    """Rename, note, delete or export a run."""
    name: str = args.name
    if args.rename is not None:
        rename_run(name, args.rename, args.runs_dir)
        return show(args, {"run": args.rename, "renamed": name}, [f"{name} is now {args.rename}"])
    if args.note is not None:
        note = set_note(name, args.note, args.runs_dir)
        return show(args, {"run": name, "note": note}, [f"{name}: {note}" if note else f"{name} has no note now"])
    if args.export is not None:
        inside = export_run(name, args.export, args.runs_dir)
        return show(args, {"run": name, "file": str(args.export), "files": inside}, [f"{name} is in {args.export}"])
    if not args.yes:
        if args.json or not sys.stdin.isatty():
            raise RunError(f"Deleting {name} is for good: add --yes to delete it.")
        print(f"Delete {name} with its weights and metrics, for good? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return show(args, {"run": name, "deleted": False}, [f"{name} is kept"])
    delete_run(name, args.runs_dir)
    show(args, {"run": name, "deleted": True}, [f"{name} is deleted"])


def _show_run(args: Namespace, backend: LocalBackend) -> None:
    progress = backend.progress(args.name)
    directory, status = find_run(args.name, args.runs_dir), progress.status
    scores = read_json(directory / "scores.json") if (directory / "scores.json").exists() else {}
    result = {
        "run": progress.name, "directory": str(directory.resolve()), "status": asdict(status), "scores": scores,
        "config": read_json(directory / "config.json"), "metrics": progress.metrics, "samples": progress.samples,
        "note": read_note(directory),
    }  # fmt: skip
    lines = [
        f"{progress.name}: {status.state}, "
        + (f"step {status.step:,} of {status.steps:,}" if status.steps else status.message)
        + (f", {status.tokens_per_second:,.0f} tokens/s" if status.tokens_per_second else "")
        + (f", about {status.eta:,.0f} s left" if status.is_active and status.eta else "")
    ]
    if status.error:
        lines.append(status.error)
    if result["note"]:
        lines.append(f"note: {result['note']}")
    for key, name in (("loss", "training loss"), ("val_loss", "validation loss")):
        values = [(line["step"], line[key]) for line in result["metrics"] if key in line]
        if values:
            lines.append(f"{name}: {values[-1][1]:.4f} at step {values[-1][0]:,}")
    lines += [f"{name}: {value}" for name, value in scores.items() if not isinstance(value, dict)]
    for sample in (progress.samples[-1]["samples"] if progress.samples else [])[:4]:
        lines.append(f"  {sample['prompt']!r} -> {sample['output'][:200]!r}")
    show(args, result, lines)


def _export_metrics(args: Namespace) -> None:
    from core.metrics_export import write_csv, write_tensorboard

    if not args.name:
        raise ConfigError("--metrics and --tensorboard need the NAME of the run whose figures are to be written.")
    directory = find_run(args.name, args.runs_dir)
    metrics, files = read_metrics(directory), []
    if args.metrics:
        files.append(write_csv(metrics, args.metrics))
    if args.tensorboard:
        files.append(write_tensorboard(directory.name, metrics, args.tensorboard))
    show(args, {"run": directory.name, "files": [str(path) for path in files]}, (f"written: {path}" for path in files))


def stop(args: Namespace) -> None:
    from playground.sweep_files import sweep_names

    if args.name in sweep_names(args.runs_dir) and not ((args.runs_dir or default_runs_dir()) / args.name).exists():
        from playground.sweeps import stop_sweep

        message = stop_sweep(args.name, args.runs_dir)
        return show(args, {"sweep": args.name, "message": message}, [message])
    message = backend_of(args.name, args.runs_dir).stop(args.name)
    show(args, {"run": args.name, "message": message}, [message])


def pause(args: Namespace) -> None:
    backend = backend_of(args.name, args.runs_dir)
    message = (backend.unpause if args.off else backend.pause)(args.name)
    show(args, {"run": args.name, "message": message}, [message])
