"""Files that come over a network which breaks: kept as far as they came, gone on with, and checked before they count.

.pull/NAME/           what is on its way
  PATH.part           a file that has not come whole yet
  PATH                one that is whole and checked
  .state.json         {PATH: {"of": what it is a part of, "kept": bytes that are safe on the disk, "sha256"}}
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import RunError
from core.files import out_of_space, read_json, write_json
from remote.link import CloudError, NotThere
from remote.transfer.manifest import flaw
from remote.transfer.store import Store

KEEP = 64 << 20  # bytes after which what has come is forced to the disk
BREAKS = 5  # that a file may have, if it comes forward in between
CHANGES = 5  # that a file may undergo while it comes


@dataclass(frozen=True)
class Wanted:
    """A file as it is to come. sha256: "" if it is not known beforehand."""

    size: int
    mtime: float
    sha256: str = ""

    @property
    def identity(self) -> list[Any]:
        return [self.size, self.mtime, self.sha256]


class Changed(Exception):
    """The file is another one by now."""


class Wrong(Exception):
    """What came is not what the file is; the text says why."""


class Inbox:
    """The folder in which the files of one run are received."""

    def __init__(self, folder: Path, told: Callable[[str, int], Any] = lambda path, done: None) -> None:
        """told: called with a file's path and how many bytes of it are here."""
        self.folder, self.told = folder, told
        self.fetched = 0  # bytes
        folder.mkdir(parents=True, exist_ok=True)
        try:
            state = read_json(folder / ".state.json")
        except RunError:
            state = {}
        self.state: dict[str, Any] = state if isinstance(state, dict) else {}

    def here(self, path: str, wanted: Wanted) -> int:
        """How many bytes of the file are here already, and need not be fetched."""
        state = self.state.get(path)
        if not isinstance(state, dict) or state.get("of") != wanted.identity:
            return 0
        if state.get("sha256"):
            return wanted.size if _size(self.folder / path) == wanted.size else 0
        kept = state.get("kept")
        return kept if isinstance(kept, int) and 0 < kept <= _size(self._part(path)) else 0

    def receive(
        self, store: Store, source: str, path: str, wanted: Wanted, look: Callable[[], Wanted | None]
    ) -> tuple[Wanted, str] | None:
        """Have the file here, whole. Returns as what it came and its SHA-256, or None if it is gone meanwhile.

        source: where it is in the store; path: what it is called here. look: how it is to come now, asked when it seems
        to have changed. Raises a UserError, and then what came is kept for the next time.
        """
        wrong = breaks = changes = 0
        while True:
            before = self.here(path, wanted)
            try:
                return wanted, self._receive(store, source, path, wanted, look)
            except NotThere:
                if look() is None:
                    return None
                changes += 1
            except CloudError:
                breaks = breaks + 1 if self.here(path, wanted) > before else BREAKS
                if breaks >= BREAKS:
                    raise
                continue
            except Changed:
                changes += 1
            except Wrong as error:
                wrong += 1
                if wrong > 1:
                    raise RunError(
                        f"{source} came wrong twice ({error}): it may be broken on Modal's Volume. Write or push it "
                        "again; the run on this machine is as it was."
                    ) from None
            self._forget(path)
            now = look()
            if now is None:
                return None
            wanted = now
            if changes > CHANGES:
                raise RunError(f"{source} changes faster than it can be fetched: try again in a while.")

    def copy(self, source: str, path: str, wanted: Wanted) -> None:
        """Have a file here that is the same as one that is here already; neither may ever be written to."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(self.folder / source, target)
        except OSError:
            return  # then it is fetched
        self._note(path, {"of": wanted.identity, "sha256": wanted.sha256})

    def clear(self, paths: Iterable[str]) -> None:
        """Forget files that were taken out; the folder goes when nothing of another transfer is left in it."""
        for path in paths:
            self._forget(path)
        if self.state:
            write_json(self.folder / ".state.json", self.state)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _receive(self, store: Store, source: str, path: str, wanted: Wanted, look: Callable[[], Wanted | None]) -> str:
        start = self.here(path, wanted)
        if start and self.state[path].get("sha256"):
            self.told(path, wanted.size)
            return str(self.state[path]["sha256"])
        part = self._part(path)
        found = hashlib.sha256()
        self._note(path, {"of": wanted.identity, "kept": start})
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            opened = open(part, "r+b" if start else "w+b", buffering=0)
        except OSError as error:
            raise RunError(f"{path} cannot be written to {self.folder}: {error.strerror}.") from None
        with opened as file:
            for piece in iter(lambda: file.read(min(1 << 20, start - file.tell())), b""):
                found.update(piece)
            file.truncate(start)
            come = kept = start
            try:
                for piece in store.read(source, start):
                    if come + len(piece) > wanted.size:
                        raise Changed
                    _write(file, piece)
                    found.update(piece)
                    come += len(piece)
                    self.fetched += len(piece)
                    self.told(path, come)
                    if come - kept >= KEEP:
                        kept = self._keep(file.fileno(), path, wanted, come)
            except OSError as error:
                if out_of_space(error):
                    raise RunError(
                        f"There is no space left on the disk for {path}: free some and pull again; it goes on there."
                    ) from None
                raise RunError(f"{path} cannot be written to {self.folder}: {error.strerror}.") from None
            finally:  # whatever ended it
                self._keep(file.fileno(), path, wanted, come)
        if come != wanted.size:
            why = f"{come:,} bytes of {wanted.size:,} came"
        elif wanted.sha256:
            why = "" if found.hexdigest() == wanted.sha256 else "its SHA-256 is another one"
        else:
            why = flaw(part, path)
        in_two = start > 0 and not wanted.sha256  # then its parts may be of two files
        if (why or in_two) and look() != wanted:
            raise Changed
        if why:
            raise Wrong(why)
        os.replace(part, self.folder / path)
        self._note(path, {"of": wanted.identity, "sha256": found.hexdigest()})
        return found.hexdigest()

    def _keep(self, file: int, path: str, wanted: Wanted, come: int) -> int:
        """Have what came stand, whatever happens to this process or machine."""
        try:
            os.fsync(file)
            self._note(path, {"of": wanted.identity, "kept": come})
        except (OSError, RunError):
            pass  # less is gone on with the next time
        return come

    def _note(self, path: str, state: dict[str, Any]) -> None:
        self.state[path] = state
        write_json(self.folder / ".state.json", self.state)

    def _forget(self, path: str) -> None:
        self.state.pop(path, None)
        for file in (self._part(path), self.folder / path):
            file.unlink(missing_ok=True)

    def _part(self, path: str) -> Path:
        return self.folder / f"{path}.part"


def _write(file: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = file.write(view)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[written:]


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return -1
