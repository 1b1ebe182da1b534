"""`eval`: scores of a run, on its own validation data or on files."""

import sys
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import ConfigError, DataError
from playground.commands.output import download_progress, show
from playground.commands.text import decode_config, open_assistant


def eval(args: Namespace) -> None:
    from core.evaluate import evaluate, read_data, read_pairs
    from core.run import BUNDLED, load

    if bool(args.src) != bool(args.ref):
        raise ConfigError("--src and --ref name a pair of files: give both.")
    if args.max_examples < 0:
        raise ConfigError("--max-examples must not be negative.")
    run = load(args.run, args.runs_dir, download_progress(args))
    if args.output and not run.is_translation:
        raise ConfigError("--output is for translations; a language model's evaluation writes none.")
    if args.output and not args.output.absolute().parent.is_dir():  # said before the work, not after it
        raise ConfigError(f"There is no directory {args.output.absolute().parent} to write --output in.")
    run.use(args.device, args.precision)
    config = decode_config(run.config, args)
    assistant = open_assistant(args, config) if run.is_translation else None
    columns = {name: value for name in ("text_column", "src_column", "tgt_column") if (value := getattr(args, name))}
    data = replace(run.config.data, **columns)
    pairs = documents = None
    described = "the validation split of " + (run.config.data.src or run.config.data.name)
    if args.src:
        if not run.is_translation:
            raise DataError(f"{run.name} is a language model: give it a text with --data.")
        pairs, described = read_pairs(args.src, args.ref, data), f"{args.src} and {args.ref}"
    elif args.data:
        items = read_data(args.data, data, "pairs" if run.is_translation else "text")
        pairs, documents = (items, None) if run.is_translation else (None, items)
        described = args.data
    result = evaluate(run, pairs, documents, config, args.max_examples, _progress_line(), assistant)
    hypotheses = result.pop("hypotheses", [])
    result = {"run": run.name, "data": described, **result}
    if args.precision == "int8":
        result["precision"] = "int8"
    own = (
        args.precision != "int8"
        and not args.src
        and not args.data
        and not args.max_examples
        and BUNDLED not in run.directory.parents
    )
    if args.output:
        from core.files import write_text

        write_text(args.output, "".join(" ".join(text.split("\n")) + "\n" for text in hypotheses))
    shown = {k: v for k, v in result.items() if k not in ("run", "data", "kind")}
    lines = [f"{run.name} on {described}"]
    for name, value in shown.items():
        lines.append(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    show(args, result, lines)
    if args.save or (args.save is None and own):
        _save_scores(run.directory, result)


def _save_scores(directory: Path, result: dict[str, Any]) -> None:
    """scores.json: the few numbers that say how good the run is, and under "details" how they came about."""
    from core.files import write_json

    names = {"bleu": "bleu", "chrf": "chrf", "loss_per_token": "val_loss", "bits_per_byte": "bits_per_byte"}
    scores: dict[str, Any] = {names[key]: round(result[key], 4) for key in names if key in result}
    write_json(directory / "scores.json", {**scores, "details": result})


def _progress_line() -> Any:
    """Progress on stderr: on one line where a person looks, else nothing."""
    if not sys.stderr.isatty():
        return None
    last = [0.0]

    def tell(share: float, what: str) -> None:
        if time.monotonic() - last[0] > 0.2:
            last[0] = time.monotonic()
            print(f"\r{what} {share:5.0%} ", end="", file=sys.stderr, flush=True)

    return tell
