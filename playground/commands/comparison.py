"""`eval` with what is kept: listed, shown, deleted, compared by paired tests, and written as tables."""

import json
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import ConfigError, DataError
from playground.commands.evaluation import as_result, check_files, evaluated, lines_of, metrics_of
from playground.commands.output import say, show

if TYPE_CHECKING:
    from core.evaluate.request import Evaluation
    from core.evaluate.significance import Comparison

LISTED = ("bleu", "chrf", "ter", "bits_per_byte")


def kept(args: Namespace) -> None:
    chosen = [args.list, args.show is not None, args.delete is not None, args.compare is not None]
    if sum(chosen) > 1:
        raise ConfigError("Choose one of --list, --show, --delete and --compare.")
    check_files(args)
    if args.list:
        _list(args)
    elif args.delete is not None:
        from core.evaluate.store import delete_evaluation

        delete_evaluation(args.delete, args.runs_dir)
        show(args, {"id": args.delete, "deleted": True}, [f"The evaluation {args.delete} is deleted."])
    elif args.show is not None:
        from core.evaluate.store import load_evaluation

        evaluation = load_evaluation(args.show, args.runs_dir)
        if args.output:
            write_outputs(args.output, evaluation)
        write_tables(args, [evaluation])
        result = {
            "state": evaluation.state,
            "done": evaluation.done,
            "total": evaluation.total,
            **as_result(evaluation),
        }
        stopped = [] if evaluation.state == "done" else [_stopped(evaluation)]
        show(args, result, [*lines_of(result), *stopped, f"again: {evaluation.command}"])
    else:
        _compare(args)


def _list(args: Namespace) -> None:
    from core.evaluate.store import list_evaluations

    found = [e for name in args.run or [""] for e in list_evaluations(args.runs_dir, name)]
    rows: list[dict[str, Any]] = []
    lines = []
    for listed in found:
        evaluation = listed.evaluation
        if evaluation is None:
            rows.append({"id": listed.id, "run": listed.run, "error": listed.error})
            lines.append(f"{listed.id}  {listed.run:24}  {listed.error}")
            continue
        result = as_result(evaluation)
        scores = {name: result[name] for name in LISTED if result.get(name) is not None}
        strategy = evaluation.decode.strategy if evaluation.decode else f"stride {evaluation.stride}"
        rows.append(
            {
                "id": listed.id, "run": evaluation.run, "data": evaluation.data, "kind": evaluation.kind,
                "state": evaluation.state, "done": evaluation.done, "total": evaluation.total,
                "strategy": strategy, "created": evaluation.created, "place": evaluation.place, **scores,
                "directory": evaluation.directory,
            }
        )  # fmt: skip
        told = "  ".join(f"{name} {value:.2f}" for name, value in scores.items())
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(evaluation.created))
        state = "" if evaluation.state == "done" else f"  {_stopped(evaluation)}"
        lines.append(f"{listed.id}  {when}  {evaluation.run:24}  {strategy:9}  {told}  on {evaluation.data}{state}")
    show(args, {"evaluations": rows}, lines or ["No evaluation is kept yet: `llm-scratch eval --run NAME` makes one."])


def _stopped(evaluation: "Evaluation") -> str:
    return f"stopped at {evaluation.done:,} of {evaluation.total:,}; the same command goes on"


# ------------------------------------------------------------------------------------------------------------ compare


def _compare(args: Namespace) -> None:
    from core.evaluate.significance import paired
    from core.evaluate.store import load_evaluation, outputs_of

    if args.compare:
        if args.run:
            raise ConfigError("--compare takes the IDs of evaluations, or --run names runs: not both.")
        evaluations = [load_evaluation(id, args.runs_dir) for id in args.compare]
    else:
        if len(args.run) < 2:
            raise ConfigError("Name at least two evaluations to compare, or two runs: --compare --run A --run B.")
        evaluations = [evaluated(args, name)[0] for name in dict.fromkeys(args.run)]
    check_comparable(evaluations)
    metrics = metrics_of(args) or None
    names = names_of(evaluations)
    if evaluations[0].kind == "language":
        rows = [{"name": name, **as_result(evaluation)} for name, evaluation in zip(names, evaluations, strict=True)]
        keys = ("loss_per_token", "perplexity", "perplexity_per_word", "bits_per_byte")
        write_tables(args, evaluations)
        lines = [_aligned(["", *keys])] + [
            _aligned([row["name"], *(_number(row.get(key)) for key in keys)]) for row in rows
        ]
        return show(args, {"data": evaluations[0].data, "evaluations": rows}, lines)
    outputs = [outputs_of(evaluation) for evaluation in evaluations]
    references = [output.reference for output in outputs[0]]
    comparison = paired(
        {name: [o.output for o in found] for name, found in zip(names, outputs, strict=True)}, references,
        evaluations[0].language, metrics, args.method, args.samples, sources=[output.source for output in outputs[0]],
    )  # fmt: skip
    write_tables(args, evaluations)
    ids = {name: evaluation.id for name, evaluation in zip(names, evaluations, strict=True)}
    result = {"data": evaluations[0].data, "evaluations": ids, **asdict(comparison)}
    show(args, result, comparison_lines(comparison))


def check_comparable(evaluations: "Sequence[Evaluation]") -> None:
    """DataError where they were not measured on the very same data, or are not whole."""
    if len({evaluation.id for evaluation in evaluations}) < 2:
        raise DataError("There is only one evaluation to compare: name another one.")
    for evaluation in evaluations:
        if evaluation.state != "done":
            raise DataError(f"The evaluation {evaluation.id} was stopped: let it go on to its end first.")
    first = evaluations[0]
    for other in evaluations[1:]:
        if other.kind != first.kind or other.data_sha256 != first.data_sha256:
            raise DataError(
                f"The evaluations {first.id} and {other.id} are of different data ({first.data}; {other.data}): only "
                "those of the same can be compared."
            )


def names_of(evaluations: "Sequence[Evaluation]") -> list[str]:
    """What tells them apart: the run, the strategy where one run has several, the id where that is not enough."""

    def named(evaluation: "Evaluation", more: int) -> str:
        config = evaluation.decode
        how = f" {config.strategy}{f' {config.num_beams}' if config.searches_beams else ''}" if config else ""
        return evaluation.run + (how if more else "") + (f" {evaluation.id[:6]}" if more > 1 else "")

    for more in range(3):
        found = [named(evaluation, more) for evaluation in evaluations]
        if len(set(found)) == len(found):
            return found
    return [evaluation.id for evaluation in evaluations]


def comparison_lines(comparison: "Comparison") -> Iterator[str]:
    """Every system's score with its interval, and the p-value against the first one."""
    for metric, signature in comparison.metrics.items():
        yield f"{metric}  ({signature})"
        for system in comparison.systems:
            found = system.scores[metric]
            p = "baseline" if found.p_value is None else f"p = {found.p_value:.4f}"
            if found.p_value is not None and found.score == comparison.systems[0].scores[metric].score:
                p = "the same score"  # sacreBLEU's p says nothing then: it is the smallest there is
            middle = f"  ({found.mean:.2f} ± {found.interval:.2f})" if found.mean is not None else ""
            yield f"    {system.name:32} {found.score:8.2f}{middle}  {p}"


# ------------------------------------------------------------------------------------------------------------- tables


def write_outputs(path: Path, evaluation: "Evaluation") -> None:
    """--output: the translations, line by line."""
    from core.evaluate.store import outputs_of
    from core.files import write_text

    if evaluation.kind == "language":
        raise ConfigError("--output is for translations; a language model's evaluation writes none.")
    write_text(path, "".join(output.output.replace("\n", " ") + "\n" for output in outputs_of(evaluation)))


def write_tables(args: Namespace, evaluations: "Sequence[Evaluation]") -> None:
    """--table: translations side by side, the most different first. --loss-table: the loss of every token."""
    if args.table:
        if evaluations[0].kind == "language":
            raise ConfigError("--table is of translations; of language models there is --loss-table.")
        _write(args.table, side_by_side_rows(evaluations))
        say(f"{args.table} is written.")
    if args.loss_table:
        _write(args.loss_table, loss_rows(evaluations[0], args.runs_dir))
        say(f"{args.loss_table} is written.")


def side_by_side_rows(evaluations: "Sequence[Evaluation]") -> list[dict[str, Any]]:
    from core.evaluate.side_by_side import rows, side_by_side
    from core.evaluate.store import outputs_of

    outputs = [outputs_of(evaluation) for evaluation in evaluations]
    names = names_of(evaluations) if len(evaluations) > 1 else [evaluations[0].run]
    systems = {name: [o.output for o in found] for name, found in zip(names, outputs, strict=True)}
    sources, references = [o.source for o in outputs[0]], [o.reference for o in outputs[0]]
    order: Any = "difference" if len(evaluations) > 1 else "worst"
    return rows(side_by_side(sources, references, systems, evaluations[0].language, order=order))


def loss_rows(evaluation: "Evaluation", runs_dir: Path | None) -> list[dict[str, Any]]:
    """A row a token: its place, its text and its loss, as it was kept."""
    from core.evaluate.evaluation import items_of
    from core.evaluate.language import token_stream
    from core.evaluate.repeat import reading_again
    from core.evaluate.store import read_losses
    from core.run import load
    from core.tokenizer.visible import visible

    if evaluation.kind != "language":
        raise ConfigError("--loss-table is of language models; of translations there is --table.")
    losses = read_losses(Path(evaluation.directory))
    run = load(evaluation.loads or evaluation.run, runs_dir)
    ids = token_stream(run, items_of(run, reading_again(evaluation)))
    if len(ids) != len(losses):
        raise DataError(f"The losses of {evaluation.id} are not there as a whole: evaluate again with --again.")
    return [
        {
            "number": number,
            "id": int(id),
            "token": visible(run.tokenizer.token_bytes(int(id))),
            "nats": round(float(nats), 6),
        }
        for number, (id, nats) in enumerate(zip(ids, losses, strict=True))
    ]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    from core.evaluate.side_by_side import table_text
    from core.files import write_text

    as_json = path.suffix.lower() == ".json"
    write_text(path, json.dumps(rows, ensure_ascii=False, indent=1) + "\n" if as_json else table_text(rows))


def _aligned(cells: Sequence[str]) -> str:
    return f"{cells[0]:32}" + "".join(f"{cell:>22}" for cell in cells[1:])


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.4f}"
