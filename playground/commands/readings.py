"""What the actions of `attention` and `internals` share: the reading of the text, places in model and text, output."""

import csv
import io
import json
import unicodedata
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ConfigError, TextError
from core.files import write_text
from playground.commands.output import download_progress, say, show

if TYPE_CHECKING:
    from core.analysis.reading import Reading
    from core.run import Run

Rows = Iterable[Sequence[object]]


def open_run(args: Namespace) -> "Run":
    from core.run import load

    return load(args.run, args.runs_dir, download_progress(args))


def reading_of(args: Namespace) -> "Reading":
    """The run of --run reads the text, or standard input. What was cut is said on stderr."""
    from core.analysis.reading import read

    check_output(args)
    run = open_run(args)
    reading = read(run, given_text(args), target_of(args, run))
    for note in reading.notes:
        say(note)
    return reading


def given_text(args: Namespace) -> str:
    from playground.commands.text import given_input

    return given_input("Give a text to read.") if args.text is None else args.text


def target_of(args: Namespace, run: "Run") -> str | None:
    if args.target is not None and not run.is_translation:
        raise TextError(f"--target is for translators; {run.name} is a language model.")
    return args.target  # type: ignore[no-any-return]


def kind_of(args: Namespace, kinds: Sequence[str]) -> str:
    """The kind of attention of --kind; the model's first one if none is given."""
    if args.kind is None:
        return kinds[0]
    if args.kind not in kinds:
        has = f"has {' and '.join(kinds)} attention" if len(kinds) > 1 else f"has {kinds[0]}-attention only"
        raise ConfigError(f"The model has no {args.kind} attention: it {has}.")
    return args.kind  # type: ignore[no-any-return]


def index(number: int, count: int, what: str) -> int:
    """The number of a layer or head, from 1, as one that counts from 0."""
    if not 1 <= number <= count:
        raise ConfigError(f"There is no {what} {number}: choose one from 1 to {count:,}.")
    return number - 1


def position_of(number: int | None, count: int, what: str = "position") -> int:
    """A position of the text, from 0; the last one if none is given."""
    if number is None:
        return count - 1
    if not 0 <= number < count:
        raise ConfigError(f"There is no {what} {number}: choose one from 0 to {count - 1:,}.")
    return number


def context(reading: "Reading") -> dict[str, Any]:
    """What every result says of the reading."""
    return {"target": reading.target if reading.is_translation else None, "notes": reading.notes}


def plain(values: Any) -> Any:
    """Arrays as lists, and numbers that are none (not defined) as None: what JSON can say."""
    if isinstance(values, dict):
        return {key: plain(value) for key, value in values.items()}
    if isinstance(values, np.ndarray | list | tuple):
        return [plain(value) for value in (values.tolist() if isinstance(values, np.ndarray) else values)]
    if isinstance(values, np.generic):
        values = values.item()
    return None if isinstance(values, float) and not np.isfinite(values) else values


def table(header: Sequence[str], rows: Rows) -> list[str]:
    """Columns side by side: what is text on the left, numbers on the right with three digits."""
    rows = [list(row) for row in rows]
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*cells)]
    words = [any(isinstance(value, str) for value in column) for column in zip(*rows)] if rows else [True] * len(header)
    lines = []
    for row in cells:
        padded = []
        for cell, width, is_text in zip(row, widths, words):
            space = " " * (width - _width(cell))
            padded.append(cell + space if is_text else space + cell)
        lines.append("  ".join(padded).rstrip())
    return lines


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float | np.floating) and not np.isfinite(value)):
        return "–"
    return f"{value:.3f}" if isinstance(value, float | np.floating) else str(value)


def _width(text: str) -> int:
    """Columns of a terminal that the text takes: Japanese letters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def check_output(args: Namespace) -> None:
    """Said before anything is computed."""
    if args.output is not None and args.output.suffix not in (".csv", ".json"):
        raise ConfigError("--output writes tables: name a file that ends in .csv or .json.")


def deliver(args: Namespace, result: dict[str, Any], lines: Iterable[str], header: Sequence[str], rows: Rows) -> None:
    """The result on stdout, and in the file of --output: as JSON, or as a table of the header and rows."""
    result = plain(result)
    if args.output is not None:
        if args.output.suffix == ".json":
            write_text(
                args.output, json.dumps(result, ensure_ascii=False, indent=2).encode("utf-8", "replace").decode()
            )
        else:
            file = io.StringIO()
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(["" if value is None else value for value in plain(list(row))] for row in rows)
            write_text(args.output, file.getvalue())
        say(f"The numbers are in {args.output}.")
    show(args, result, lines)
