"""A run directory, kept on the Volume while it is trained on the container's own disk.

Training writes to a fast disk and leaves no file of the Volume open. What has changed is copied: to a temporary file,
forced to the disk, renamed; the last checkpoint first. So whatever was copied later than the checkpoint is younger than
it, which is what a run that is killed leaves behind too, and what resuming is made for.
"""

import os
import shutil
from pathlib import Path

LAST = "checkpoints/last.ckpt"
# Wishes, and what is half written. `previous.ckpt` is made here, of the last one that was kept.
LEFT_OUT = {"stop", "pause", "checkpoints/new.ckpt", "checkpoints/previous.ckpt", "manifest.json"}
CHUNK = 1 << 24


class Saver:
    """run: where it is trained; kept: its place on the Volume."""

    def __init__(self, run: Path, kept: Path) -> None:
        self.run, self.kept = run, kept
        self._saved: dict[str, tuple[int, int]] = {}

    def restore(self) -> bool:
        """Bring what is kept to where it is trained. Returns whether there was anything."""
        if not (self.kept / "config.json").is_file():
            return False
        for path in sorted(self.kept.rglob("*")):
            name = path.relative_to(self.kept).as_posix()
            if path.is_file() and not _is_hidden(name) and name not in LEFT_OUT - {"checkpoints/previous.ckpt"}:
                target = self.run / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                self._saved[name] = _stamp(target)
        return True

    def checkpoint_is_new(self) -> bool:
        """Whether there is a checkpoint that is not kept yet."""
        try:
            return self._saved.get(LAST) != _stamp(self.run / LAST)
        except OSError:
            return False

    def save(self, wandb: bool = True) -> bool:
        """Keep what has changed. Returns whether anything had."""
        changed = False
        for name in self._names():
            if name.startswith("wandb/") and not wandb:
                continue
            try:
                stamp = _stamp(self.run / name)
                if self._saved.get(name) != stamp:
                    self._keep(name)
                    self._saved[name] = stamp
                    changed = True
            except FileNotFoundError:  # renamed since the folder was read; it is found the next time
                continue
        return changed

    def _names(self) -> list[str]:
        found = []
        for path in self.run.rglob("*"):
            name = path.relative_to(self.run).as_posix()
            if path.is_file() and not _is_hidden(name) and name not in LEFT_OUT:
                found.append(name)
        return sorted(found, key=lambda name: (name != LAST, not name.startswith("checkpoints/"), name))

    def _keep(self, name: str) -> None:
        target = self.kept / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        with open(self.run / name, "rb") as source, open(temporary, "wb") as out:
            shutil.copyfileobj(source, out, CHUNK)
            out.flush()
            os.fsync(out.fileno())
        if name == LAST and target.exists():
            os.replace(target, target.with_name("previous.ckpt"))
        os.replace(temporary, target)


def copy_new(source: Path, target: Path) -> None:
    """Copy the files of a folder that the other does not have; those that are named by their content."""
    if not source.is_dir():
        return
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_file() and not _is_hidden(path.name) and not (target / path.name).exists():
            temporary = target / f".{path.name}.tmp"
            shutil.copyfile(path, temporary)
            os.replace(temporary, target / path.name)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/")) or name.endswith(".tmp")


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size
