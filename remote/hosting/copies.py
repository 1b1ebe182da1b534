"""The runs of the Volume, copied to where the page of a container reads them. Imports no modal.

A page looks at its runs often, and a Volume is not made for that. Checkpoints stay where they are.
"""

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from core.errors import UserError
from core.files import NAME, read_json, write_json
from core.run import status_from
from remote.calls import LINK
from remote.transfer.manifest import BEST, STATUS
from remote.transfer.volume_runs import LAUNCH, trains

MOST = 200  # runs, the newest
MAX_WEIGHTS = 2 << 30  # bytes of a run's weights; the curves of a larger one are shown, but it is not opened
logger = logging.getLogger("llm_scratch.copies")


class Copies:
    """source: runs of the mounted Volume. target: the runs directory of the page. after: done when all are there."""

    def __init__(self, source: Path, target: Path, after: Callable[[], None] = lambda: None) -> None:
        self.source, self.target, self.after = source, target, after
        self.complete = threading.Event()
        self.count = 0

    def start(self) -> "Copies":
        """Begin, and do not wait: a page that has few runs at first is better than none."""
        self.target.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self.work, daemon=True).start()
        return self

    def work(self) -> None:
        try:
            for directory in _newest(self.source):
                try:
                    self.count += copy_run(directory, self.target)
                except (OSError, UserError) as error:  # one that cannot be read does not keep others from being shown
                    logger.warning("a run could not be copied: %s", type(error).__name__)
            self.after()
        except Exception as error:
            logger.error("the runs could not be copied", exc_info=error)
        finally:
            self.complete.set()


def _newest(source: Path) -> list[Path]:
    found = []
    for directory in source.iterdir() if source.is_dir() else ():
        if NAME.fullmatch(directory.name) and not directory.is_symlink() and (directory / "config.json").is_file():
            found.append(directory)
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[:MOST]


def copy_run(source: Path, target: Path) -> bool:
    """Copy what is needed to use the run and to see its curves. Returns whether it was copied: False if it is there.

    It appears as a whole. One that trains now is copied with the id of its call, so that it is followed.
    """
    if (target / source.name).exists():
        return False
    coming = target / f".coming-{source.name}"
    shutil.rmtree(coming, ignore_errors=True)
    coming.mkdir()
    try:
        for path in {path for pattern in BEST for path in source.glob(pattern)}:
            heavy = path.suffix == ".safetensors" and path.stat().st_size > MAX_WEIGHTS
            if path.is_file() and not path.is_symlink() and not heavy:
                shutil.copyfile(path, coming / path.name)
        _link(source, coming)
        coming.rename(target / source.name)
    except BaseException:
        shutil.rmtree(coming, ignore_errors=True)
        raise
    return True


def _link(source: Path, coming: Path) -> None:
    """Of a run that trains, or whose status says so: nothing of the machine where it does, and where to ask for it."""
    try:
        values = read_json(coming / STATUS)
        note = read_json(source / LAUNCH) if (source / LAUNCH).exists() else {}
    except UserError:
        return
    if not isinstance(values, dict) or not status_from(values).is_active:
        return
    (coming / STATUS).write_text(json.dumps({**values, "backend": "modal", "pid": None}), encoding="utf-8")
    if trains(values) and isinstance(note, dict) and note.get("launch"):
        write_json(
            coming / LINK,
            {
                "name": source.name, "launch": note["launch"], "call_id": note.get("call_id") or "",
                "gpu": str(values.get("machine") or ""), "sent": time.time(),
            },
        )  # fmt: skip
