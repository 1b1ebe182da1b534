"""A file of up to millions of lines, decoded in shards: results in order, failures by themselves, broken off and gone
on with. Imports no modal: who decodes a shard is a parameter, here or in the cloud.

    OUTPUT                  a line for each line of the input, empty where a line failed
    OUTPUT.failed.jsonl     {"line" (from 1), "text", "error"} of those
    OUTPUT.parts/KEY/       while it is not done: a file for each shard that is, its results line by line

KEY is a hash of what decodes (the caller's key) and of the input, so that what is left of another job is never used.
No more is held in memory than what is being decoded.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.errors import DataError, RunError
from remote.decoding.parts import (
    Answer,
    check_files,
    failures_file,
    forget,
    in_shards,
    look_at,
    parts_folder,
    put_together,
    read_part,
    stamp_of,
    write_part,
)

LINES = 256  # of a shard
TRIES = 4  # of a line whose error is another each time
GIVE_UP = 10  # shards that fail twice, one after the other: it is not the lines
OPEN = 64  # parts of shards that wait for the rest of the file to be done

Task = tuple[int, list[str]]
# Gets (number, lines) and yields (number, an answer for each line, or what went wrong with all of them) in any order.
# It may take several before it yields one. What it raises breaks the job off.
Mapper = Callable[[Iterator[Task]], Iterable[tuple[int, list[Answer] | Exception]]]


@dataclass(frozen=True)
class Progress:
    """lines: of the input; done: of them, with those that failed and those of an earlier attempt."""

    lines: int
    done: int
    failed: int
    lines_per_second: float  # of this attempt
    eta: float | None  # seconds


@dataclass(frozen=True)
class Written:
    """What has become of a file."""

    lines: int
    failed: int
    failures: Path | None  # the list of those that failed
    seconds: float
    lines_per_second: float


def write_file(
    source: Path,
    target: Path,
    mapper: Mapper,
    key: str,
    to_line: Callable[[str, Answer], str] = lambda text, answer: str(answer["text"]),
    progress: Callable[[Progress], Any] | None = None,
    lines: int = LINES,
) -> Written:
    """Decode each line of `source` and write the results to `target`, in order.

    key: names what decodes (run, settings): what another key has left in OUTPUT.parts is not used. to_line: what is
    written for a line and its answer. Raises DataError for files that cannot be, RunError when nothing works, and what
    the mapper raises; then what is done stays, and the same call goes on with it.
    """
    began = time.monotonic()
    check_files(source, target)
    seen = look_at(source, f"{key}\n{lines}")
    folder = parts_folder(target) / seen.key
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made: {error.strerror}.") from None
    job = _Job(source, folder, lines, seen.lines, progress)
    job.run(mapper)
    if stamp_of(source) != seen.stamp:
        raise DataError(f"{source} was changed while it was read: run it again.")
    failed = put_together(source, target, folder, lines, to_line)
    forget(parts_folder(target))
    seconds = max(time.monotonic() - began, 1e-9)
    list_of_failed = failures_file(target) if failed else None
    return Written(seen.lines, failed, list_of_failed, round(seconds, 3), round(job.fresh_lines / seconds, 2))


# -------------------------------------------------------------------------------------------------------- the job


@dataclass
class _Shard:
    """Lines of the input that are being decoded: a part when they all have their answers."""

    number: int
    answers: list[Answer | None]
    said: dict[int, str] = field(default_factory=dict)  # place -> the error it had the last time
    tries: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Ask:
    """Lines of one shard that are asked for together: all of it, those that failed, or a part of those."""

    shard: _Shard
    places: list[int]
    texts: list[str]
    raised: bool = False  # already, as they are


class _Job:
    def __init__(
        self, source: Path, folder: Path, size: int, lines: int, progress: Callable[[Progress], Any] | None
    ) -> None:
        self.folder, self.lines, self.tell = folder, lines, progress
        self.fresh_lines = self.fresh_failed = 0  # of this attempt
        self.kept_lines = self.kept_failed = 0  # of an earlier one; counted where tasks are read, maybe in a thread
        self.began = time.monotonic()
        self._fresh = self._fresh_shards(source, size)
        self._again: deque[_Ask] = deque()  # asked for next
        self._halves: deque[_Ask] = deque()  # asked for at last: whether it is the lines is known by then
        self._flying: dict[int, _Ask] = {}
        self._count = 0
        self._in_a_row = 0  # that failed when they were asked for once more, since something last worked
        self._worked = False

    def run(self, mapper: Mapper) -> None:
        while True:
            results = mapper(self._tasks())
            try:
                for number, result in results:
                    self._take(number, result)
            finally:
                if isinstance(results, Generator):
                    results.close()  # now, and not when somebody forgets the exception
            for number in list(self._flying):  # a mapper that has forgotten one
                self._take(number, RuntimeError("no answer came"))
            if not self._again and not self._halves:
                return

    def _tasks(self) -> Iterator[Task]:
        """What is to be decoded, until there is nothing that is known of; what fails meanwhile is the next round's.

        A mapper may read this in another thread than the one that takes the results.
        """
        while True:
            ask = self._next()
            if ask is None:
                return
            self._count += 1
            self._flying[self._count] = ask
            yield self._count, ask.texts

    def _next(self) -> _Ask | None:
        if self._again:
            return self._again.popleft()
        if len(self._halves) < OPEN and (fresh := next(self._fresh, None)) is not None:
            return fresh
        return self._halves.popleft() if self._halves else None

    def _fresh_shards(self, source: Path, size: int) -> Iterator[_Ask]:
        for number, texts in enumerate(in_shards(source, size)):
            kept = read_part(self.folder, number, len(texts))
            if kept is not None:
                self.kept_lines += len(kept)
                self.kept_failed += sum("error" in answer for answer in kept)
                continue
            shard = _Shard(number, [None] * len(texts))
            yield _Ask(shard, list(range(len(texts))), texts)

    def _take(self, number: int, result: list[Answer] | Exception) -> None:
        ask = self._flying.pop(number)
        if isinstance(result, Exception):
            self._all_failed(ask, _sentence(result))
        elif len(result) != len(ask.places):
            self._all_failed(ask, f"{len(result)} answers came for {len(ask.places)} lines.")
        else:
            self._worked, self._in_a_row = True, 0
            errors = {place: a["error"] for place, a in zip(ask.places, result) if "error" in a}
            for place, answer in zip(ask.places, result):
                if "error" not in answer:
                    ask.shard.answers[place] = answer
            self._lines_failed(ask, errors)
        if all(answer is not None for answer in ask.shard.answers):
            self._finish(ask.shard)

    def _all_failed(self, ask: _Ask, sentence: str) -> None:
        """First the same once more, then its halves, down to single lines: one line may bring all the others down."""
        self._in_a_row += ask.raised
        whole = ask.raised and len(ask.places) == len(ask.shard.answers)
        if (whole and self._in_a_row >= GIVE_UP) or (not self._worked and self._in_a_row >= 2 * GIVE_UP):
            raise RunError(f"Shard after shard failed, the last one so: {sentence}")
        if len(ask.places) == 1:
            self._lines_failed(ask, {ask.places[0]: sentence})
        elif not ask.raised:
            self._again.append(replace(ask, raised=True))
        else:
            middle = len(ask.places) // 2
            for part in (slice(None, middle), slice(middle, None)):
                self._halves.append(replace(ask, places=ask.places[part], texts=ask.texts[part]))

    def _lines_failed(self, ask: _Ask, errors: dict[int, str]) -> None:
        """Those lines once more, without the others; one that says the same twice has failed."""
        shard, again = ask.shard, []
        for place, sentence in errors.items():
            shard.tries[place] = shard.tries.get(place, 0) + 1
            if shard.said.get(place) == sentence or shard.tries[place] >= TRIES:
                shard.answers[place] = {"error": sentence}
            else:
                shard.said[place] = sentence
                again.append(place)
        if again:
            texts = dict(zip(ask.places, ask.texts))
            self._again.append(_Ask(shard, again, [texts[place] for place in again]))

    def _finish(self, shard: _Shard) -> None:
        write_part(self.folder, shard.number, shard.answers)
        self.fresh_lines += len(shard.answers)
        self.fresh_failed += sum("error" in answer for answer in shard.answers if answer)
        if self.tell is not None:
            done, failed = self.kept_lines + self.fresh_lines, self.kept_failed + self.fresh_failed
            speed = self.fresh_lines / max(time.monotonic() - self.began, 1e-9)
            self.tell(Progress(self.lines, done, failed, speed, (self.lines - done) / speed if speed else None))


def _sentence(error: Exception) -> str:
    said = " ".join(str(error).split())[:500]
    return said or f"It failed: {type(error).__name__}."
