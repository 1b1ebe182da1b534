"""A whole file counted by several tokenizers, in a process of its own, which tells what it has counted so far.

python -m playground.file_counts < question.json      what the page runs: one JSON document a line
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from core.child import environment
from core.data import readers
from core.errors import DataError, UserError
from core.tokenizer import Tokenizer
from core.tokenizer.inspect import compare_texts, script_of
from playground import tokenizers
from playground.site import Site, here, on

LIMIT = 300.0  # seconds
TICK = 0.25  # seconds between two signs of life
MAX_LINES = 100_000  # that are told one by one
MAX_GROUPS = 200
MAX_ROW = 1_000_000  # characters of a line
MAX_MEMORY = 8 << 30  # bytes that the process may take
SLICE = 200  # lines between two looks at the clock
TEXT_SUFFIXES = (".txt", ".md", ".text")
WHOLE, LINE, SCRIPT, REST = "all", "line", "script", "all others"
COLUMN = "column:"  # before a column's name


@dataclass(frozen=True)
class Question:
    """What to count: texts of a column (of a table), by the tokenizers of `keys`: name -> key, grouped by `group`:
    WHOLE, LINE, SCRIPT or COLUMN with a column's name. Without keys only the columns are told."""

    file: str
    keys: dict[str, str] = field(default_factory=dict)
    column: str = ""
    group: str = WHOLE


@dataclass
class Group:
    """Sums over the lines of a group; `tokens` in the order of the tokenizers."""

    lines: int = 0
    characters: int = 0
    bytes: int = 0
    words: int = 0
    tokens: list[int] = field(default_factory=list)

    def add(self, other: "Group") -> None:
        self.lines += other.lines
        self.characters += other.characters
        self.bytes += other.bytes
        self.words += other.words
        self.tokens = [a + b for a, b in zip(self.tokens or [0] * len(other.tokens), other.tokens)]


@dataclass
class Counted:
    """What is known so far. `groups` is by name, in the order of their first lines."""

    names: list[str]  # of the tokenizers
    by: str = WHOLE
    state: str = "running"  # done, stopped, failed
    doing: str = ""  # what happens, or why it ended
    done: int = 0  # lines
    lines: int = 0  # in all
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    groups: dict[str, Group] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)  # of a table
    texts: list[str] = field(default_factory=list)  # those that hold text, the likeliest first

    @property
    def total(self) -> Group:
        whole = Group(tokens=[0] * len(self.names))
        for group in self.groups.values():
            whole.add(group)
        return whole


class FileCounting:
    """A counting that runs. As a context it ends its process, however it is left."""

    def __init__(self, question: Question, limit: float = LIMIT) -> None:
        self.question, self.limit, self.began, self.stopped = question, limit, time.monotonic(), False
        self.noise = tempfile.TemporaryFile()
        with tempfile.TemporaryFile() as asked:
            asked.write(json.dumps({"question": asdict(question), "site": asdict(here())}).encode())
            asked.seek(0)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "playground.file_counts"], stdin=asked, stdout=subprocess.PIPE,
                stderr=self.noise, env=environment(),
            )  # fmt: skip

    def __enter__(self) -> "FileCounting":
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.noise.close()

    def stop(self) -> None:
        """End it now; what has been counted stays."""
        if self.process.poll() is None:
            self.stopped = True
            self.process.kill()

    def states(self) -> Iterator[Counted]:
        """What is known, again and again (the same object), until it is done, failed or stopped."""
        known = Counted(list(self.question.keys), self.question.group)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            known.seconds = time.monotonic() - self.began
            try:
                told = json.loads(line)
                groups = {name: Group(**group) for name, group in told.pop("groups", {}).items()}
            except (ValueError, TypeError, AttributeError):
                continue  # no line of ours
            known.groups.update(groups)
            for key, value in told.items():
                setattr(known, key, value)
            if known.state != "running":
                break
            if known.seconds > self.limit:
                self.process.kill()
                known.state, known.doing = "stopped", f"It was stopped after {self.limit:.0f} seconds"
                break
            yield known
        if known.state == "running":
            known.state, known.doing = ("stopped", "It was stopped") if self.stopped else ("failed", self._why())
        yield known

    def _why(self) -> str:
        if self.process.wait() in (-9, -6):
            return "The memory is full: give a smaller file."
        self.noise.seek(0)
        said = self.noise.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        return f"The file could not be counted: {(said or ['its process ended'])[0][:300]}."


# ------------------------------------------------------------------------------------------------------ the process


def main() -> None:
    asked = json.load(sys.stdin)
    _limit_memory()
    doing = ["The file is read"]
    lock = threading.Lock()

    def say(**told: Any) -> None:
        with lock:
            print(json.dumps(told), flush=True)

    def breathe() -> None:
        while True:
            say(doing=doing[0])
            time.sleep(TICK)

    threading.Thread(target=breathe, daemon=True).start()
    try:
        with on(Site(**asked["site"])):
            _answer(Question(**asked["question"]), say, doing)
    except UserError as error:
        say(state="failed", doing=str(error))
    except MemoryError:
        say(state="failed", doing="The memory is full: give a smaller file.")
    sys.stdout.flush()
    os._exit(0)  # without waiting for the thread


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    except (ImportError, ValueError, OSError):  # another system, or a lower limit already
        pass


def _answer(question: Question, say: Any, doing: list[str]) -> None:
    rows = read(question)
    if not question.keys:
        columns = readers.column_names(rows[0]) if isinstance(rows[0], dict) else []
        say(state="done", doing="", lines=len(rows), columns=columns, texts=text_columns(rows[:200]))
        return
    doing[0] = "The tokenizers are opened"
    opened = {name: tokenizers.open_tokenizer(key, None) for name, key in question.keys.items()}
    doing[0] = "The lines are counted"
    count(question, rows, opened, say)


def read(question: Question) -> list[Any]:
    """The lines of a text file, or the rows of a table. DataError if it is neither."""
    name = question.file
    if Path(name).suffix.lower() in TEXT_SUFFIXES:
        return readers.read_lines(name)
    return readers.read_rows(name)


def text_columns(rows: list[Any]) -> list[str]:
    """The columns that hold text, those with the most of it first.

    >>> text_columns([{"lang": "en", "text": "a cup of coffee", "n": 1}])
    ['text', 'lang']
    """
    sizes: dict[str, int] = {}
    for row in rows if rows and isinstance(rows[0], dict) else []:
        for name in readers.column_names(row):
            value = next(readers.column_values([row], name, "", "")) if _is_text(row, name) else ""
            if value:
                sizes[name] = sizes.get(name, 0) + len(value)
    return sorted(sizes, key=lambda name: -sizes[name])


def _is_text(row: dict[str, Any], column: str) -> bool:
    value: Any = row.get(column)
    if column not in row:
        value = row
        for part in column.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    return isinstance(value, str)


def named_rows(question: Question, rows: list[Any], notes: list[str]) -> Iterator[tuple[str, str]]:
    """(group, text) of each line; what is left out is added to the notes."""
    name = Path(question.file).name
    texts: Iterator[str] = iter(rows)
    if isinstance(rows[0], dict):
        column = question.column or next(iter(text_columns(rows[:200])), "text")
        texts = readers.column_values(rows, column, name, "text_column")
    names: Iterator[str] | None = None
    if question.group.startswith(COLUMN):
        if not isinstance(rows[0], dict):
            raise DataError("A text file has no columns to group by; choose the script or the line.")
        names = _group_names(rows, question.group.removeprefix(COLUMN), name)
    seen: set[str] = set()
    cut = False
    for number, text in enumerate(texts, start=1):
        if len(text) > MAX_ROW and not cut:
            cut = True
            notes.append(f"Of line {number:,} and others as long, the first {MAX_ROW:,} characters are counted.")
        text = text[:MAX_ROW]
        if question.group == LINE:
            if number > MAX_LINES:
                notes.append(f"The first {MAX_LINES:,} of {len(rows):,} lines are counted one by one.")
                return
            group = str(number)
        elif question.group == SCRIPT:
            group = script_of(text)
        else:
            group = next(names) if names is not None else WHOLE
        if group not in seen and len(seen) >= MAX_GROUPS and question.group != LINE:
            group = REST
        seen.add(group)
        yield group, text


def _group_names(rows: list[dict[str, Any]], column: str, name: str) -> Iterator[str]:
    if column not in readers.column_names(rows[0]):
        raise DataError(f"{name} has no column {column!r}; its columns are {', '.join(readers.column_names(rows[0]))}.")
    for row in rows:
        value: Any = row.get(column)
        if column not in row:
            value = row
            for part in column.split("."):
                value = value.get(part) if isinstance(value, dict) else None
        yield (" ".join(str(value).split())[:60] or "(empty)") if value is not None else "(none)"


def count(question: Question, rows: list[Any], opened: dict[str, Tokenizer], say: Any) -> None:
    """Count all lines, telling from time to time what has changed."""
    notes: list[str] = []
    sums: dict[str, Group] = {}
    changed: set[str] = set()
    lines = min(len(rows), MAX_LINES) if question.group == LINE else len(rows)
    named, done, last = named_rows(question, rows, notes), 0, time.monotonic()

    def tell(**more: Any) -> None:
        say(done=done, lines=lines, notes=notes, groups={name: asdict(sums[name]) for name in sums if name in changed},
            **more)  # fmt: skip
        changed.clear()

    while batch := list(islice(named, SLICE)):
        for found in compare_texts(batch, opened):
            one = next(iter(found.counts.values()))
            tokens = [counts.tokens for counts in found.counts.values()]
            sums.setdefault(found.group, Group()).add(Group(found.lines, one.characters, one.bytes, one.words, tokens))
            changed.add(found.group)
        done += len(batch)
        if time.monotonic() - last > 4 * TICK:
            tell()
            last = time.monotonic()
    tell(state="done", doing="")


if __name__ == "__main__":
    main()
