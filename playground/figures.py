"""The figures of a run as columns of numbers, read as they grow.

metrics.jsonl of a long run has a hundred thousand lines, and the page looks at it every second: only what was written
since the last look is read.
"""

import json
import os
from array import array
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from core.files import read_jsonl

# Columns; whatever else a line holds is left out.
KEYS = ("step", "tokens", "seconds", "loss", "lr", "grad_norm", "tokens_per_second", "peak_share", "memory_bytes",
        "val_loss", "val_bits_per_byte", "bleu", "chrf")  # fmt: skip
MAX_FILES = 400  # that are remembered
MAX_ROWS = 2_000_000  # in all of them together: 200 MB
TAIL = 64  # bytes before the place that was read up to: by them a file that was written anew is known

Figures = Mapping[str, np.ndarray]  # each key of KEYS -> one float64 a line, NaN where the line has none


@dataclass
class _File:
    inode: int = -1
    offset: int = 0  # bytes that were read
    tail: bytes = b""
    columns: dict[str, array] = field(default_factory=lambda: {key: array("d") for key in KEYS})
    lock: Lock = field(default_factory=Lock)

    @property
    def rows(self) -> int:
        return len(self.columns["step"])

    def read(self, path: Path) -> dict[str, np.ndarray]:
        try:
            with open(path, "rb") as file:
                self._go_on(file)
        except OSError:
            self._forget()
        return {key: np.array(column) for key, column in self.columns.items()}

    def _go_on(self, file: Any) -> None:
        stat = os.fstat(file.fileno())
        start = max(0, self.offset - TAIL)
        same = stat.st_ino == self.inode and stat.st_size >= self.offset
        if same and stat.st_size > self.offset:
            file.seek(start)
            same = file.read(self.offset - start) == self.tail
        if not same:  # a resumed run writes the file anew, without what came after its checkpoint
            self._forget()
            self.inode = stat.st_ino
            file.seek(0)
        elif stat.st_size == self.offset:
            return
        data = file.read()
        whole = data.rfind(b"\n") + 1  # a line that is still being written waits
        for line in data[:whole].split(b"\n"):
            self._add(line)
        self.offset += whole
        self.tail = (self.tail + data[:whole])[-TAIL:]

    def _add(self, line: bytes) -> None:
        try:
            values = json.loads(line)
        except ValueError:
            return
        if isinstance(values, dict) and isinstance(values.get("step"), int):
            for key, column in self.columns.items():
                column.append(_number(values.get(key)))

    def _forget(self) -> None:
        self.inode, self.offset, self.tail = -1, 0, b""
        self.columns = {key: array("d") for key in KEYS}


def _number(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    return float("nan")


_files: OrderedDict[str, _File] = OrderedDict()
_lock = Lock()


def read_figures(directory: Path) -> Figures:
    """The columns of a run's metrics.jsonl; empty ones if it has none."""
    key = os.path.abspath(directory / "metrics.jsonl")
    with _lock:
        entry = _files.setdefault(key, _File())
        _files.move_to_end(key)
    with entry.lock:
        figures = entry.read(Path(key))
    with _lock:
        while len(_files) > MAX_FILES or (len(_files) > 1 and sum(f.rows for f in _files.values()) > MAX_ROWS):
            _files.popitem(last=False)
    return figures


def figures_of(lines: list[dict[str, Any]]) -> Figures:
    """Columns of lines that are in memory."""
    entry = _File()
    for line in lines:
        entry._add(json.dumps(line).encode())
    return {key: np.array(column) for key, column in entry.columns.items()}


def column(figures: Figures, key: str) -> np.ndarray:
    """The finite values under a key, in their order."""
    values = figures[key]
    return values[np.isfinite(values)]


_samples: OrderedDict[str, tuple[tuple[int, int, int], list[dict[str, Any]]]] = OrderedDict()


def read_samples(directory: Path) -> list[dict[str, Any]]:
    """The lines of samples.jsonl, read again only when it has changed."""
    path = directory / "samples.jsonl"
    try:
        stat = path.stat()
    except OSError:
        return []
    key, stamp = os.path.abspath(path), (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    with _lock:
        if key in _samples and _samples[key][0] == stamp:
            return _samples[key][1]
    lines = read_jsonl(path)
    with _lock:
        _samples[key] = (stamp, lines)
        while len(_samples) > 16:
            _samples.popitem(last=False)
    return lines
