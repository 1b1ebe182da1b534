"""Writing files so that a reader never sees half of one, and checking the names that users give."""

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import RunError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(name: str) -> str:
    """A run's name: it becomes a folder, so it must not be able to point anywhere else."""
    if not NAME.fullmatch(name) or ".." in name:
        raise RunError(
            f"{name[:80]!r} cannot be a run's name: use up to 64 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit."
        )
    return name


def expanded(name: str | os.PathLike[str]) -> Path:
    """A path as people write it: ~ is the home directory, where there is one."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def write_atomic(path: Path, write: Callable[[BinaryIO], Any], name: str = "") -> None:
    """Write to a temporary file beside `path`, force it to the disk, and rename it into place.

    Whatever goes wrong, the file that was there before stands. A full disk, or one that must not be written to, is a
    RunError. name: what to call the file there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if out_of_space(error):
            raise RunError(
                f"There is no space left on the disk for {name or path.name}; what was saved before stands. "
                "Free some space and resume."
            ) from error
        if isinstance(error, OSError):
            raise RunError(f"{path} cannot be written: {error.strerror}.") from error
        raise


def remove_directory(directory: Path) -> None:
    """Remove a directory for good: out of its list in one step, so that a crash leaves no half of it. Links in it are
    removed, not followed. Raises OSError."""
    hidden = directory.with_name(f".deleted-{directory.name}-{os.getpid()}")
    os.replace(directory, hidden)
    shutil.rmtree(hidden)


def out_of_space(error: BaseException) -> bool:
    """Whether the disk (or the user's share of it) is full. torch.save wraps this in a RuntimeError of its own."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def write_text(path: Path, text: str) -> None:
    write_atomic(path, lambda file: file.write(text.encode("utf-8")))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The file's value. RunError if it is not there, must not be read, or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path.name} is missing in {path.parent.name}.") from None
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, a number of thousands of digits, or too deep
        raise RunError(f"{path.name} in {path.parent.name} is broken: it is not valid JSON ({error}).") from None
    except OSError as error:
        raise RunError(f"{path.name} in {path.parent.name} cannot be read: {error.strerror}.") from None


def append_jsonl(path: Path, value: dict[str, Any]) -> None:
    """Append one line with one write, at once visible to readers."""
    line = (json.dumps(value, ensure_ascii=False) + "\n").encode("utf-8")
    try:
        with open(path, "ab", buffering=0) as file:
            file.write(line)
    except OSError as error:
        if out_of_space(error):
            raise RunError(
                f"There is no space left on the disk for {path.name}; what was saved before stands."
            ) from error
        raise


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All whole lines; one that is still being written, or that a crash cut short, is left out."""
    return list(iter_jsonl(path))


def iter_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for line in data.split(b"\n")[:-1]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value
