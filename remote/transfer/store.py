"""Where runs and data of the cloud lie: Modal's Volume, asked from here, or a folder (the Volume, in a container).

Paths are those on the Volume, such as "runs/demo/config.json". Imports no modal before the Volume is asked.
"""

import builtins
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from queue import Empty, Queue
from typing import Any, NamedTuple, Protocol
from urllib.request import urlopen

from core.errors import RunError
from core.files import write_atomic
from remote import link, names

CHUNK = 1 << 20  # bytes
BLOCK_SECONDS = 60.0  # for a block of a file (8 MiB) to come: at slower than 1 Mbit/s nothing is to be had
AHEAD = 4  # blocks that are fetched before they are asked for
SLOWEST = 1_000_000  # bytes a second at which an upload that gives no sign of life is still waited for

Told = Callable[[int], Any]  # called with the bytes of a file that are done


class Entry(NamedTuple):
    """A file. mtime: seconds since 1970, 0.0 if it is not known."""

    path: str
    size: int
    mtime: float


class Store(Protocol):
    """Files by their paths. What goes wrong is a UserError; a file that is not there is a NotThere."""

    def list(self, prefix: str) -> list[Entry]:
        """All files below a folder (or the file itself); none if there is nothing. Links are left out."""

    def read(self, path: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from number `start` on, in pieces."""

    def write(self, path: str, source: Path, told: Told | None = None) -> None:
        """Put a file of this machine there, in the place of what there is."""

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""


def default_store() -> Store:
    """The Volume: in a container as a folder, else by asking Modal."""
    if os.environ.get("MODAL_IS_REMOTE") == "1" and names.STORE.is_dir():
        return FolderStore(names.STORE)
    return VolumeStore()


# ------------------------------------------------------------------------------------------------------------- a folder


class FolderStore:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def _place(self, path: str) -> Path:
        parts = path.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise RunError(f"{path[:120]!r} is not a path on the Volume.")
        return self.directory.joinpath(*parts)

    def list(self, prefix: str) -> list[Entry]:
        top = self._place(prefix)
        found = []
        for folder, _, files in [(str(top.parent), [], [top.name])] if top.is_file() else os.walk(top):
            for name in files:
                path = Path(folder) / name
                try:
                    stat = path.lstat()
                except FileNotFoundError:  # removed since the folder was read
                    continue
                if not path.is_symlink():
                    found.append(Entry(path.relative_to(self.directory).as_posix(), stat.st_size, stat.st_mtime))
        return sorted(found)

    def read(self, path: str, start: int = 0) -> Iterator[bytes]:
        try:
            with open(self._place(path), "rb") as file:
                file.seek(start)
                while piece := file.read(CHUNK):
                    yield piece
        except FileNotFoundError:
            raise link.NotThere(f"{path} is not there.") from None
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror}.") from None

    def write(self, path: str, source: Path, told: Told | None = None) -> None:
        target = self._place(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(source, "rb") as file:
            write_atomic(target, lambda out: shutil.copyfileobj(file, out, CHUNK))
        if told:
            told(source.stat().st_size)

    def remove(self, path: str) -> None:
        target = self._place(path)
        try:
            shutil.rmtree(target) if target.is_dir() and not target.is_symlink() else target.unlink()
        except FileNotFoundError:
            raise link.NotThere(f"{path} is not there.") from None
        except OSError as error:
            raise RunError(f"{path} cannot be removed: {error.strerror}.") from None


# ----------------------------------------------------------------------------------------------------------- the Volume


class VolumeStore:
    """Modal's Volume, asked over the network: every question is answered, or ends with a sentence in time."""

    def __init__(self, name: str = names.VOLUME) -> None:
        self.name = name

    def _volume(self, make: bool = False) -> Any:
        import modal

        return modal.Volume.from_name(self.name, create_if_missing=make)

    def list(self, prefix: str) -> list[Entry]:
        def entries() -> builtins.list[Entry]:
            from modal.types import FileEntryType

            return [
                Entry(entry.path.strip("/"), entry.size, float(entry.mtime))
                for entry in self._volume().iterdir(prefix, recursive=True)
                if entry.type == FileEntryType.FILE
            ]

        try:
            return sorted(link.ask(entries, prefix))
        except (link.NotThere, link.NotDeployed):  # what is missing here is never an app, whatever a run is called
            return []

    def read(self, path: str, start: int = 0) -> Iterator[bytes]:
        if start:
            yield from self._read_from(path, start)
            return
        free = threading.Semaphore(AHEAD)

        def blocks() -> Iterator[bytes]:
            for block in self._volume().read_file(path):
                free.acquire()
                yield block

        try:
            for block in link.ask_each(blocks, f"The file {path}", BLOCK_SECONDS):
                free.release()
                yield block
        except link.NotDeployed:
            raise link.NotThere(f"The file {path} is not there on Modal.") from None
        finally:
            free.release(1 << 10)  # whoever waits to put another block is let go

    def _read_from(self, path: str, start: int) -> Iterator[bytes]:
        """The rest of a file. `Volume.read_file` has no place to begin at, but the question that it asks has; where a
        version of Modal's library asks otherwise, what is there already is fetched again and thrown away."""
        try:
            pieces = link.ask(lambda: self._rest(path, start), f"The file {path}")
        except (ImportError, AttributeError, TypeError, ValueError):
            skip = start
            for block in self.read(path):
                if len(block) > skip:
                    yield block[skip:]
                skip = max(0, skip - len(block))
            return
        for url, length in pieces:
            yield from _download(url, length)

    def _rest(self, path: str, start: int) -> builtins.list[tuple[str, int]]:
        """Addresses of the rest of a file, block by block, and how many bytes each has. ValueError if there are none
        that begin there."""
        from modal._utils.async_utils import synchronize_api
        from modal._utils.blob_utils import BLOCK_SIZE
        from modal_proto import api_pb2

        volume = self._volume().hydrate()

        async def ask(volume: Any) -> Any:
            request = api_pb2.VolumeGetFile2Request(
                volume_id=volume.object_id, path=path, start=start, client_pads_blocks=True
            )
            return await volume.client._stub.VolumeGetFile2(request)

        answer = synchronize_api(ask)(volume)
        if start >= answer.size:
            return []
        edges = [start, *range((start // BLOCK_SIZE + 1) * BLOCK_SIZE, answer.size, BLOCK_SIZE), answer.size]
        urls = list(answer.get_urls)
        if answer.start != start or answer.len != answer.size - start or len(urls) != len(edges) - 1:
            raise ValueError("not the part of the file that was asked for")
        if not all(url.startswith(("https://", "http://")) for url in urls):
            raise ValueError("not addresses")
        return [(url, end - begin) for url, begin, end in zip(urls, edges, edges[1:])]

    def write(self, path: str, source: Path, told: Told | None = None) -> None:
        size, sent = source.stat().st_size, _Sent()

        def upload() -> None:
            volume = self._volume(make=True)
            try:
                _upload(volume, path, source, sent)
            except (ImportError, AttributeError, TypeError):  # another version of Modal's library: without signs
                with volume.batch_upload(force=True) as batch:
                    batch.put_file(source, path)

        for count in link.ask_each(lambda: _signs(upload, sent), path, BLOCK_SECONDS + size / SLOWEST):
            if told:
                told(min(count, size))
        if told:
            told(size)

    def remove(self, path: str) -> None:
        link.ask(lambda: self._volume().remove_file(path, recursive=True), path)


class _Sent:
    """What Modal's library tells of an upload: how many bytes have left. (Of a part that fails they are taken back.)"""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, *_: Any, advance: int = 0, reset: bool = False, **__: Any) -> int:
        self.count = 0 if reset else self.count + (advance or 0)
        return 0  # the number of the task


def _upload(volume: Any, path: str, source: Path, sent: _Sent) -> None:
    """`Volume.batch_upload`, with word of how far it is; so does Modal's own command line."""
    from modal._utils.async_utils import synchronize_api
    from modal.volume import _AbstractVolumeUploadContextManager as Upload

    async def upload(volume: Any) -> None:
        kind = Upload.resolve(volume._metadata.version, volume.object_id, volume.client, progress_cb=sent, force=True)
        async with kind as batch:
            batch.put_file(source, path)

    synchronize_api(upload)(volume.hydrate())


def _signs(act: Callable[[], None], sent: _Sent) -> Iterator[int]:
    """Do something, and tell how many bytes it has sent whenever that has changed."""
    ended: Queue[BaseException | None] = Queue()

    def work() -> None:
        try:
            act()
            ended.put(None)
        except BaseException as error:  # it is raised where the signs are read
            ended.put(error)

    threading.Thread(target=work, daemon=True).start()
    seen = 0
    while True:
        try:
            error = ended.get(timeout=0.2)
        except Empty:
            if sent.count != seen:
                seen = sent.count
                yield seen
            continue
        if error is not None:
            raise error
        return


def _download(url: str, length: int) -> Iterator[bytes]:
    """A block: `length` bytes, of which zeros at the end may not be sent. CloudError if the connection breaks."""
    come, end = 0, time.monotonic() + BLOCK_SECONDS
    try:
        with urlopen(url, timeout=link.SECONDS) as response:
            sent = response.headers["Content-Length"]
            while piece := response.read1(CHUNK):
                come += len(piece)
                if come > length or time.monotonic() > end:
                    raise link.CloudError("The connection to Modal is too slow, or broke: try again.")
                yield piece
    except (OSError, HTTPException) as error:
        raise link.CloudError(f"The connection to Modal broke ({type(error).__name__}): try again.") from None
    if sent is not None and come != int(sent):
        raise link.CloudError("The connection to Modal broke (a block did not come whole): try again.")
    if come < length:
        yield bytes(length - come)
