"""The figures of a run for other programs: a table (CSV), or event files for TensorBoard."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import RunError
from core.files import expanded, write_atomic, write_text

# The columns in this order, as far as a run has them; what else there is follows in the order of its first line.
COLUMNS = (
    "step", "loss", "val_loss", "bleu", "chrf", "val_bits_per_byte", "lr", "grad_norm", "tokens", "epoch", "val_tokens",
    "tokens_per_second", "peak_share", "memory_bytes", "seconds", "time",
)  # fmt: skip
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,63}")
EVENTS = "events.out.tfevents.0000000000.llm-scratch"  # one file a run: written again, it is replaced


def table(metrics: Sequence[dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns, and one row a step in the order of steps: training and validation lines of a step are one row.

    Only numbers are kept; what a resumed run wrote again counts as it was written last.

    >>> table([{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.0}, {"step": 2, "val_loss": 2.25}])
    (['step', 'loss', 'val_loss'], [{'step': 1, 'loss': 2.5}, {'step': 2, 'loss': 2.0, 'val_loss': 2.25}])
    """
    rows: dict[int, dict[str, Any]] = {}
    others: dict[str, None] = {}
    for line in metrics:
        step = line.get("step")
        if not isinstance(step, int) or isinstance(step, bool):
            continue
        row = rows.setdefault(step, {"step": step})
        for key, value in line.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and KEY.fullmatch(key):
                row[key] = value
                others.setdefault(key)
    used = {"step", *others}
    columns = [c for c in COLUMNS if c in used] + [c for c in others if c not in COLUMNS]
    return columns if rows else ["step"], [rows[step] for step in sorted(rows)]


def write_csv(metrics: Sequence[dict[str, Any]], path: str | Path) -> Path:
    """The table as CSV (RFC 4180); a cell is empty where a step has no such figure. RunError if that cannot be done."""
    path = expanded(path)
    if path.suffix.lower() != ".csv":
        raise RunError(f"Metrics are written as CSV: let the file's name end in .csv, not {path.name[:80]!r}.")
    _filled(metrics)
    write_text(path, csv_text(metrics))
    return path


def csv_text(metrics: Sequence[dict[str, Any]]) -> str:
    """The table as CSV; of a run without metrics only the first column's name."""
    columns, rows = table(metrics)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_tensorboard(name: str, metrics: Sequence[dict[str, Any]], directory: str | Path) -> Path:
    """An event file in DIRECTORY/NAME, so that `tensorboard --logdir DIRECTORY` shows several runs side by side.

    A scalar's tag is the figure's name, its wall time is that of the line. RunError if the package is missing, or if
    the file cannot be written.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        raise RunError(
            "TensorBoard is not installed: `pip install tensorboard` brings it, or write a CSV file with --metrics."
        ) from None
    columns, rows = _filled(metrics)
    folder = expanded(directory) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made: {error.strerror}.") from None
    begin = next((row["time"] for row in rows if "time" in row), 0.0)

    def write(file: Any) -> None:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=begin, file_version="brain.Event:2").SerializeToString())
        for row in rows:
            values = [
                Summary.Value(tag=column, simple_value=float(row[column]))
                for column in columns
                if column in row and column not in ("step", "time")
            ]
            event = Event(wall_time=row.get("time", begin), step=row["step"], summary=Summary(value=values))
            writer.write(event.SerializeToString())
        writer.flush()

    write_atomic(folder / EVENTS, write)
    return folder / EVENTS


def _filled(metrics: Sequence[dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    columns, rows = table(metrics)
    if not rows:
        raise RunError("The run has no metrics: they are written while it is trained here.")
    return columns, rows
