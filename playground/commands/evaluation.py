"""`eval`: scores of a run, on its own validation data, on files or on typed texts. Evaluations that are kept: see
comparison.py."""

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import ConfigError
from playground.commands.decode_settings import decode_config
from playground.commands.decoders import assistant_there, check_place, open_assistant
from playground.commands.output import download_progress, say, show

if TYPE_CHECKING:
    from core.config import RunConfig
    from core.evaluate.evaluation import Steps
    from core.evaluate.request import Evaluation, Request

SHOWN = (
    "examples", "bleu", "bleu_signature", "chrf", "chrf_signature", "chrf++", "chrf++_signature", "ter",
    "ter_signature", "exact", "comet", "loss_per_token", "perplexity", "perplexity_per_word", "bits_per_token",
    "bits_per_byte", "tokens", "words", "bytes", "context", "stride", "strategy", "num_beams", "precision", "overlap",
    "seconds", "id",
)  # fmt: skip
FACTS = (
    "language", "device", "precision", "place", "seconds", "truncated", "overlap", "degeneration", "software",
    "weights_sha256", "tokenizer_sha256", "data_sha256", "length_classes", "directory", "command",
)  # fmt: skip


def eval(args: Namespace) -> None:
    from playground.commands import comparison

    if args.list or args.show is not None or args.delete is not None or args.compare is not None:
        return comparison.kept(args)
    if len(args.run) != 1:
        raise ConfigError("Name a run to evaluate with --run NAME (several are for --compare).")
    check_files(args)
    evaluation, directory = evaluated(args, args.run[0])
    result = as_result(evaluation)
    if args.output:
        comparison.write_outputs(args.output, evaluation)
    if args.table or args.loss_table:
        comparison.write_tables(args, [evaluation])
    show(args, result, lines_of(result))
    if directory is not None:
        _save_scores(directory, result)


def check_files(args: Namespace) -> None:
    """What is wrong with the options is said before the work, not after it."""
    from core.evaluate.significance import MOST_SAMPLES

    check_place(args)
    if bool(args.src) != bool(args.ref):
        raise ConfigError("--src and --ref name a pair of files: give both.")
    for option, suffixes in (("output", ()), ("table", (".csv", ".json")), ("loss_table", (".csv", ".json"))):
        path: Path | None = getattr(args, option)
        if path is None:
            continue
        flag = "--" + option.replace("_", "-")
        if not path.absolute().parent.is_dir():
            raise ConfigError(f"There is no directory {path.absolute().parent} to write {flag} in.")
        if suffixes and path.suffix.lower() not in suffixes:
            raise ConfigError(f"{flag} writes .csv or .json, not {path.name[:80]!r}.")
    if args.compare is not None and args.samples is not None and not 1 <= args.samples <= MOST_SAMPLES:
        raise ConfigError(f"--samples are 1 to {MOST_SAMPLES:,}, not {args.samples:,}.")
    if args.loss_table and args.compare is not None:
        raise ConfigError("--loss-table is of one evaluation: name it with --show.")
    if args.output and (args.list or args.delete is not None or args.compare is not None):
        raise ConfigError("--output writes the translations of one evaluation: of --run or of --show.")
    if args.loss_table and args.no_keep:
        raise ConfigError("--loss-table is made of what is kept: leave --no-keep out.")


def evaluated(args: Namespace, name: str) -> "tuple[Evaluation, Path | None]":
    """A run's evaluation, and the directory of the run whose scores it is, if they are to be kept as such."""
    return (_on_modal if args.on == "modal" else _here)(args, name)


def _here(args: Namespace, name: str) -> "tuple[Evaluation, Path | None]":
    from core.evaluate.evaluation import evaluating
    from core.run import BUNDLED, load

    run = load(name, args.runs_dir, download_progress(args))
    _check_output(args, run.is_translation)
    request = request_of(args, run.config)
    assistant = None
    if run.is_translation:
        assistant = open_assistant(args, request.decode or run.config.decode)
    steps = evaluating(run, request, args.runs_dir, not args.no_keep, args.again, assistant)
    evaluation = followed(args, steps)
    own = (
        args.precision != "int8"
        and request.is_own
        and not args.max_examples
        and not args.metrics
        and BUNDLED not in run.directory.parents
    )
    return evaluation, run.directory if args.save or (args.save is None and own) else None


def _on_modal(args: Namespace, name: str) -> "tuple[Evaluation, Path | None]":
    """`_here`, by a GPU of Modal's. Scores are the run's own only when that is asked for: the weights here may be
    others."""
    from remote.client import evaluating_there, there

    run = there(name, args.runs_dir)
    _check_output(args, run.is_translation)
    if args.save and run.directory is None:
        raise ConfigError(f"--save keeps scores with the run: pull it first (`llm-scratch pull {run.name}`).")
    request = request_of(args, run.config)
    assistant = assistant_there(args, request.decode or run.config.decode) if run.is_translation else ""
    steps = evaluating_there(
        run, request, args.runs_dir, args.gpu or "", assistant, not args.no_keep, args.again,
        None if args.json else say,
    )  # fmt: skip
    return followed(args, steps), run.directory if args.save else None


def _check_output(args: Namespace, is_translation: bool) -> None:
    if args.output and not is_translation:
        raise ConfigError("--output is for translations; a language model's evaluation writes none.")
    if args.loss_table and is_translation:
        raise ConfigError("--loss-table is for language models; of translations there is --table.")
    if args.table and not is_translation:
        raise ConfigError("--table is of translations; of language models there is --loss-table.")


def request_of(args: Namespace, config: "RunConfig") -> "Request":
    from core.evaluate.request import Request

    if args.max_examples < 0:
        raise ConfigError("--max-examples must not be negative.")
    translates = config.model.family == "transformer"
    if args.text and translates:
        raise ConfigError("--text is for language models; of a translator name files with --src and --ref.")
    for option in ("context", "stride", "prompts") if translates else ("metrics",):
        if getattr(args, option) and args.compare is None:
            raise ConfigError(f"--{option} is for {'language models' if translates else 'translators'}: leave it out.")
    names = ("data", "src", "ref", "text_column", "src_column", "tgt_column", "split", "language")
    texts: dict[str, Any] = {name: getattr(args, name) or "" for name in names}
    return Request(
        **texts,
        documents=tuple(args.text) if args.text else None,
        title="typed text" if args.text else "",
        as_given=args.as_given,
        max_examples=args.max_examples,
        decode=decode_config(config, args) if translates else None,
        assistant=args.assistant or "" if translates else "",
        context=args.context,
        stride=args.stride,
        device=args.device,
        precision=args.precision,
        metrics=metrics_of(args) if translates else (),
        overlap=args.overlap,
        prompts=args.prompts,
        new_tokens=(args.max_new_tokens or 100) if args.prompts else 100,
        strategies=tuple(name.strip() for name in args.strategies.split(",")) if args.strategies else (),
        mauve=args.mauve or "",
    )


def metrics_of(args: Namespace) -> tuple[str, ...]:
    return tuple(name.strip() for name in args.metrics.split(",")) if args.metrics else ()


def followed(args: Namespace, steps: "Steps") -> "Evaluation":
    """The evaluation, with progress on stderr where a person looks."""
    live = sys.stderr.isatty() and not args.json
    last = 0.0
    with closing(steps):
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                if live and last:
                    print("\r\033[K", end="", file=sys.stderr, flush=True)
                return end.value
            if live and time.monotonic() - last > 0.2:
                last = time.monotonic()
                scores = "".join(f"  {name} {score:.2f}" for name, score in progress.scores.items())
                left = f"  {progress.seconds_left:.0f} s left" if progress.seconds_left else ""
                count = f" {progress.done:,}/{progress.total:,}" if progress.total else ""
                print(f"\r\033[K{progress.what}{count}{left}{scores}", end="", file=sys.stderr, flush=True)


def as_result(evaluation: "Evaluation") -> dict[str, Any]:
    """Plain values, flat where people look."""
    config = evaluation.decode
    strategy = (
        {"strategy": config.strategy, "num_beams": config.num_beams if config.searches_beams else 1} if config else {}
    )
    scores: dict[str, Any] = {}
    for name, score in evaluation.scores.items():
        scores |= {name: score.score, f"{name}_signature": score.signature}
    windows = {"context": evaluation.context, "stride": evaluation.stride} if evaluation.kind == "language" else {}
    values = asdict(evaluation)
    facts = {name: values[name] for name in FACTS if values[name] not in ("", {}, (), None)}
    return {
        "run": evaluation.run, "data": evaluation.data, "id": evaluation.id, "kind": evaluation.kind,
        "examples": evaluation.examples, **scores, "loss_per_token": evaluation.loss_per_token,
        "perplexity": evaluation.perplexity, "tokens": evaluation.tokens, **evaluation.numbers, **windows, **strategy,
        "tokens_per_second": evaluation.tokens_per_second, "examples_per_second": evaluation.examples_per_second,
        **facts, "python": evaluation.python, "decode": values["decode"],
    }  # fmt: skip


def lines_of(result: dict[str, Any]) -> Iterator[str]:
    yield f"{result['run']} on {result['data']}"
    for name in SHOWN:
        value = result.get(name)
        if value is None or (name == "precision" and value == "float32"):
            continue
        value = value["summary"] if name == "overlap" else value
        value = int(value) if name in ("words", "bytes") else value  # of older files
        yield f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}"
    for column in result.get("degeneration", {}).get("columns", ()):
        told = [f"perplexity {column['perplexity']:.2f}"] if column["perplexity"] is not None else []
        told += [f"looping {column['looping']:.2f}", f"self-BLEU {column['self_bleu'] or 0:.1f}"]
        told += [f"MAUVE {column['mauve']:.3f}"] if "mauve" in column else []
        yield f"{column['title']}: " + ", ".join(told)


def _save_scores(directory: Path, result: dict[str, Any]) -> None:
    """scores.json: the few numbers that say how good the run is, and under "details" how they came about."""
    from core.files import write_json

    names = {"bleu": "bleu", "chrf": "chrf", "loss_per_token": "val_loss", "bits_per_byte": "bits_per_byte"}
    scores: dict[str, Any] = {names[key]: round(result[key], 4) for key in names if result.get(key) is not None}
    write_json(directory / "scores.json", {**scores, "details": result})
