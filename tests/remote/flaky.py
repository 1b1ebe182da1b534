"""A store whose connection breaks and whose files are wrong, and runs on it."""

import shutil

from remote.link import CloudError
from remote.transfer import write_manifest
from remote.transfer.store import FolderStore


class Flaky(FolderStore):
    """A store that counts what is read and written, and does with it what a test wants."""

    def __init__(self, directory):
        super().__init__(directory)
        self.read_bytes = {}
        self.written = []
        self.piece = 4096
        self.break_after = None  # bytes until the connection breaks, again and again
        self.raises = CloudError("The connection to Modal broke: try again.")
        self.change = lambda path, data: data

    def read(self, path, start=0):
        data = self.change(path, b"".join(super().read(path)))[start:]
        for at in range(0, len(data), self.piece):
            piece = data[at : at + self.piece]
            if self.break_after is not None and path.count("/") > 1:
                self.break_after -= len(piece)
                if self.break_after < 0:
                    raise self.raises
            self.read_bytes[path] = self.read_bytes.get(path, 0) + len(piece)
            yield piece

    def write(self, path, source, told=None):
        if self.break_after is not None:
            self.break_after -= source.stat().st_size
            if self.break_after < 0:
                raise self.raises
        self.written.append(path)
        super().write(path, source, told)

    @property
    def total(self):
        return sum(self.read_bytes.values())


def place(store, source, name="", with_manifest=True):
    """Put a run on the store as the trainer leaves it there."""
    target = store.directory / "runs" / (name or source.name)
    shutil.copytree(source, target)
    for left_out in ("stop", "wandb", "manifest.json", "remote.json"):
        shutil.rmtree(target / left_out) if (target / left_out).is_dir() else (target / left_out).unlink(True)
    if with_manifest:
        write_manifest(target)
    return target


def files_of(directory):
    """Path -> bytes, without what is of one machine."""
    return {
        p.relative_to(directory).as_posix(): p.read_bytes()
        for p in sorted(directory.rglob("*"))
        if p.is_file() and p.name not in ("manifest.json", "remote.json", "status.json")
    }


def assert_same_files(here, there):
    ours, theirs = files_of(here), files_of(there)
    assert ours.keys() == theirs.keys()
    for path in ours:
        assert ours[path] == theirs[path], path
