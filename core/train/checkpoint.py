"""Checkpoints: all that is needed to go on, in one file that is either whole or not read.

    RUN/checkpoints/last.ckpt       the newest
    RUN/checkpoints/previous.ckpt   the one before, for when the newest is torn
    RUN/checkpoints/best.ckpt       the one with the best validation loss

A file is PyTorch's own (tensors and plain values, read with weights_only: nothing in it can run code), followed by the
SHA-256 of all that comes before. It is written beside its place, forced to the disk and renamed.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from core.errors import RunError
from core.files import write_atomic

MARK = b"\nsha256:"
FOOTER = len(MARK) + 64


class _Hashing:
    """A file that is only written to, and the hash of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.hash = file, hashlib.sha256()

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def write_checkpoint(directory: Path, state: dict[str, Any], best: bool = False) -> None:
    """Make `state` the last checkpoint, and the best one too if it is. RunError if the disk is full: then those that
    were there stand."""
    folder = directory / "checkpoints"
    folder.mkdir(exist_ok=True)
    new, last = folder / "new.ckpt", folder / "last.ckpt"

    def write(file: BinaryIO) -> None:
        hashing = _Hashing(file)
        torch.save(state, hashing)  # type: ignore[arg-type]
        file.write(MARK + hashing.hash.hexdigest().encode())

    write_atomic(new, write, last.name)
    if last.exists():
        os.replace(last, folder / "previous.ckpt")
    os.replace(new, last)
    if best:
        _copy(last, folder / "best.ckpt")


def _copy(source: Path, target: Path) -> None:
    """A second name for the same bytes where the file system has such, else a copy. Files here are never changed."""
    temporary = target.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        with open(source, "rb") as file:
            write_atomic(temporary, lambda out: shutil.copyfileobj(file, out), target.name)
    os.replace(temporary, target)


def read_checkpoint(directory: Path, say: Callable[[str], None] = lambda text: None) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, None if there is none yet. RunError if there are some, all of them torn."""
    torn: list[str] = []
    for name in ("last", "previous"):
        path = directory / "checkpoints" / f"{name}.ckpt"
        if not path.exists():
            continue
        try:
            if not is_whole(path):
                raise ValueError("it is torn")
            state = torch.load(path, map_location="cpu", weights_only=True)
            if torn:
                say(f"checkpoint {torn[0]} is torn; going on from the one before it")
            return state
        except Exception:  # the many ways in which a file can be no checkpoint
            torn.append(path.name)
    if torn:
        raise RunError(
            f"No checkpoint of {directory.name} is whole ({' and '.join(torn)}); start it again under another name."
        )
    return None


def is_whole(path: Path) -> bool:
    """Whether a checkpoint ends with the SHA-256 of what comes before."""
    size = path.stat().st_size - FOOTER
    if size <= 0:
        return False
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while size > 0:
            data = file.read(min(size, 1 << 20))
            if not data:
                return False
            found.update(data)
            size -= len(data)
        return file.read() == MARK + found.hexdigest().encode()
