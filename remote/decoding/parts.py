"""The files of a job of shards.py: the input, read a line at a time; parts of what is done; what becomes of them."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.errors import DataError, RunError
from core.files import write_atomic

LONGEST_LINE = 400_016  # bytes of a line that are looked at; more are no text that anybody decodes

Answer = dict[str, Any]  # {"text", ...} or {"error": a sentence}


def parts_folder(target: Path) -> Path:
    return target.with_name(target.name + ".parts")


def failures_file(target: Path) -> Path:
    return target.with_name(target.name + ".failed.jsonl")


def check_files(source: Path, target: Path) -> None:
    """Raises DataError, one sentence, before any work is done."""
    try:
        if not source.is_file():
            raise DataError(f"There is no file {source}." if not source.exists() else f"{source} is not a file.")
        if target.is_dir():
            raise DataError(f"{target} is a directory: name a file to write.")
        if not target.absolute().parent.is_dir():
            raise DataError(f"There is no directory {target.absolute().parent} to write {target.name} in.")
        if target.exists() and target.samefile(source):
            raise DataError("The output must be another file than the input.")
    except (OSError, ValueError) as error:
        raise DataError(f"{source} or {target} is not a usable file name: {error}.") from None


# ------------------------------------------------------------------------------------------------------ the input


@dataclass(frozen=True)
class Seen:
    """An input as it was when the job began."""

    key: str
    lines: int
    stamp: tuple[int, int]


def look_at(source: Path, key: str) -> Seen:
    """Read the input once: its hash with the key, and how many lines there are."""
    stamp, digest, lines, last = stamp_of(source), hashlib.sha256(key.encode() + b"\0"), 0, b"\n"
    with _opened(source) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return Seen(digest.hexdigest()[:32], lines + (last != b"\n"), stamp)


def read_lines(source: Path) -> Iterator[str]:
    """The lines, one at a time: without their ends ("\\n" or "\\r\\n") and without a byte order mark; bytes that are
    no UTF-8 become U+FFFD. Of a line of more than LONGEST_LINE bytes the beginning."""
    with _opened(source) as file:
        first = True
        while line := file.readline(LONGEST_LINE):
            whole = line.endswith(b"\n")
            if whole:
                line = line[:-2] if line.endswith(b"\r\n") else line[:-1]
            text = line.decode("utf-8", "replace")
            yield text.removeprefix("\ufeff") if first else text
            first = False
            while not whole and (rest := file.readline(LONGEST_LINE)):
                whole = rest.endswith(b"\n")


def _opened(source: Path) -> IO[bytes]:
    try:
        return open(source, "rb")
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}.") from None


def stamp_of(source: Path) -> tuple[int, int]:
    stat = source.stat()
    return stat.st_mtime_ns, stat.st_size


def in_shards(source: Path, size: int) -> Iterator[list[str]]:
    texts: list[str] = []
    for text in read_lines(source):
        texts.append(text)
        if len(texts) == size:
            yield texts
            texts = []
    if texts:
        yield texts


# ------------------------------------------------------------------------------------------------------ the parts


def part_file(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.jsonl"


def write_part(folder: Path, number: int, answers: Sequence[Answer | None]) -> None:
    lines = "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
    write_atomic(part_file(folder, number), lambda file: file.write(lines.encode("utf-8")))


def read_part(folder: Path, number: int, size: int) -> list[Answer] | None:
    """The answers of a shard that was done before, if they are whole."""
    try:
        lines = part_file(folder, number).read_text(encoding="utf-8").split("\n")[:-1]
        found = [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return None
    sound = len(found) == size and all(isinstance(a, dict) and ("text" in a or "error" in a) for a in found)
    return found if sound else None


def put_together(source: Path, target: Path, folder: Path, size: int, to_line: Callable[[str, Answer], str]) -> int:
    """The parts as one file, and the list of the lines that failed. Returns how many those are."""
    failed = 0

    def write(file: IO[bytes], failures: IO[bytes]) -> None:
        nonlocal failed
        line = 0
        for number, texts in enumerate(in_shards(source, size)):
            answers = read_part(folder, number, len(texts))
            if answers is None:
                raise RunError(f"{part_file(folder, number)} is missing or broken: run it again.")
            for text, answer in zip(texts, answers, strict=True):
                line += 1
                if "error" in answer:
                    failed += 1
                    entry = {"line": line, "text": text, "error": answer["error"]}
                    failures.write((json.dumps(entry, ensure_ascii=False) + "\n").encode("utf-8"))
                    file.write(b"\n")
                else:
                    written = re.sub(r"\r\n|\r|\n", " ", to_line(text, answer))
                    file.write(written.encode("utf-8", "replace") + b"\n")

    write_atomic(failures_file(target), lambda failures: write_atomic(target, lambda file: write(file, failures)))
    if not failed:
        failures_file(target).unlink(missing_ok=True)
    return failed


def forget(parts: Path) -> None:
    """The parts are in the output now. Of the folder only what was made here is removed."""
    for folder in parts.iterdir():
        if re.fullmatch(r"[0-9a-f]{32}", folder.name):
            shutil.rmtree(folder, ignore_errors=True)
    try:
        parts.rmdir()
    except OSError:
        pass
