"""`eval`: scores of a run, on its own validation data or on files."""

import sys
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import RunConfig
from core.errors import ConfigError, DataError
from playground.commands.decode_settings import decode_config
from playground.commands.decoders import assistant_there, check_place, open_assistant
from playground.commands.output import download_progress, say, show


def eval(args: Namespace) -> None:
    check_place(args)
    if bool(args.src) != bool(args.ref):
        raise ConfigError("--src and --ref name a pair of files: give both.")
    if args.max_examples < 0:
        raise ConfigError("--max-examples must not be negative.")
    if args.output and not args.output.absolute().parent.is_dir():  # said before the work, not after it
        raise ConfigError(f"There is no directory {args.output.absolute().parent} to write --output in.")
    result, directory = (_on_modal if args.on == "modal" else _here)(args)
    hypotheses = result.pop("hypotheses", [])
    if args.output:
        from core.files import write_text

        write_text(args.output, "".join(" ".join(text.split("\n")) + "\n" for text in hypotheses))
    shown = {k: v for k, v in result.items() if k not in ("run", "data", "kind")}
    lines = [f"{result['run']} on {result['data']}"]
    for name, value in shown.items():
        lines.append(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    show(args, result, lines)
    if directory is not None:
        _save_scores(directory, result)


def _here(args: Namespace) -> tuple[dict[str, Any], Path | None]:
    """The result, and the directory of the run whose scores they are, if they are to be kept."""
    from core.evaluate import evaluate
    from core.run import BUNDLED, load

    run = load(args.run, args.runs_dir, download_progress(args))
    _check_output(args, run.is_translation)
    run.use(args.device, args.precision)
    config = decode_config(run.config, args)
    assistant = open_assistant(args, config) if run.is_translation else None
    pairs, documents, described = _data(args, run.name, run.config)
    result = evaluate(run, pairs, documents, config, args.max_examples, _progress_line(), assistant)
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
    return result, run.directory if args.save or (args.save is None and own) else None


def _on_modal(args: Namespace) -> tuple[dict[str, Any], Path | None]:
    """`_here`, by a GPU of Modal's. Scores are kept only when that is asked for: the weights here may be others."""
    from remote.client import evaluate_there, there

    run = there(args.run, args.runs_dir)
    _check_output(args, run.is_translation)
    if args.save and run.directory is None:
        raise ConfigError(f"--save keeps scores with the run: pull it first (`llm-scratch pull {run.name}`).")
    config = decode_config(run.config, args)
    assistant = assistant_there(args, config) if run.is_translation else ""
    pairs, documents, described = _data(args, run.name, run.config)
    result = evaluate_there(
        run, config, args.max_examples, pairs, documents, args.gpu or "", assistant, None if args.json else say
    )
    return {"run": run.name, "data": described, "place": "modal", **result}, run.directory if args.save else None


def _check_output(args: Namespace, is_translation: bool) -> None:
    if args.output and not is_translation:
        raise ConfigError("--output is for translations; a language model's evaluation writes none.")


def _data(args: Namespace, name: str, config: RunConfig) -> tuple[list | None, list[str] | None, str]:
    """Pairs or documents that are named, else neither: the run's own validation data; and what they are, in words."""
    from core.evaluate import read_data, read_pairs

    translates = config.model.family == "transformer"
    columns = {name: value for name in ("text_column", "src_column", "tgt_column") if (value := getattr(args, name))}
    data = replace(config.data, **columns)
    if args.src:
        if not translates:
            raise DataError(f"{name} is a language model: give it a text with --data.")
        return read_pairs(args.src, args.ref, data), None, f"{args.src} and {args.ref}"
    if args.data:
        items = read_data(args.data, data, "pairs" if translates else "text")
        return (items, None, args.data) if translates else (None, items, args.data)
    return None, None, "the validation split of " + (config.data.src or config.data.name)


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
