"""What a run that trains elsewhere tells, and what is wished of it: a Dict of Modal's, two keys a run.

    NAME           its last picture: status, and the ends of the files that grow, each with its place in the file
    NAME/wish      {"launch", "wish"}: "stop", "pause" or "go on"

A picture is small, overwrites the one before, and can be read by any number of pages. A reader appends what it lacks;
where it has missed more than the picture holds, or the file was cut back by a run that went on from a checkpoint, it
reads the whole file from the Volume, which is the truth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.files import write_atomic
from core.run import read_status

GROWING = ("metrics.jsonl", "samples.jsonl", "train.log")
TAIL = 48_000  # bytes of each that a picture holds at most


class Feed(Protocol):
    """A dictionary that both sides see. What is not there is None."""

    def get(self, key: str) -> Any: ...
    def put(self, key: str, value: Any) -> None: ...


@dataclass(frozen=True)
class Picture:
    """Of a run at one moment. `parts`: file -> (place of the first byte, bytes up to the file's end)."""

    launch: str
    call_id: str
    status: dict[str, Any]
    parts: dict[str, tuple[int, bytes]]

    def to_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "parts": {name: list(part) for name, part in self.parts.items()}}

    @classmethod
    def from_dict(cls, values: Any) -> "Picture | None":
        """None for what is no picture (none yet, or one of another version)."""
        try:
            parts = {str(k): (int(v[0]), bytes(v[1])) for k, v in values["parts"].items() if k in GROWING}
            return cls(str(values["launch"]), str(values["call_id"]), dict(values["status"]), parts)
        except (TypeError, KeyError, ValueError, IndexError, AttributeError):
            return None


def take(directory: Path, launch: str, call_id: str, known: dict[str, Any]) -> Picture:
    """The picture of a run directory. known: fields of its status that only the taker knows."""
    parts = {}
    for name in GROWING:
        try:
            with open(directory / name, "rb") as file:
                size = file.seek(0, 2)
                start = max(0, size - TAIL)
                file.seek(start)
                parts[name] = (start, file.read(size - start))
        except OSError:
            continue
    return Picture(launch, call_id, {**read_status(directory).__dict__, **known}, parts)


def apply(directory: Path, picture: Picture, whole: Callable[[str], bytes | None]) -> None:
    """Bring the growing files of a run's copy up to the picture.

    whole: reads a whole file of the run from the Volume; None if it cannot be had now (then it is left for later).
    """
    for name, (start, data) in picture.parts.items():
        path = directory / name
        had = path.read_bytes() if path.exists() else b""
        if start <= len(had) <= start + len(data) and had[start:] == data[: len(had) - start]:
            if len(had) < start + len(data):
                with open(path, "ab") as file:
                    file.write(data[len(had) - start :])
        elif start == 0:
            _write(path, data)
        else:
            found = whole(name)
            if found is not None and len(found) >= start:
                _write(path, found if found[start:].startswith(data) else found[:start] + data)


def _write(path: Path, data: bytes) -> None:
    write_atomic(path, lambda file: file.write(data))


def wish_of(feed: Feed, name: str, launch: str) -> str:
    """What is wished of this launch of the run; wishes to an earlier one do not count."""
    value = feed.get(f"{name}/wish")
    return str(value.get("wish", "")) if isinstance(value, dict) and value.get("launch") == launch else ""


def wish(feed: Feed, name: str, launch: str, what: str) -> None:
    feed.put(f"{name}/wish", {"launch": launch, "wish": what})
