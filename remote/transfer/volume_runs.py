"""Runs on the Volume: what there is of one, whether it is one of ours, the list of all, and how one is removed."""

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from core.errors import RunError, UserError
from core.files import NAME, read_json
from core.hub import FAMILIES, is_checkpoint_config
from remote.link import SECONDS, CloudError, NotThere
from remote.transfer.local_data import read_remote, same_run
from remote.transfer.manifest import MANIFEST, MAX_MANIFEST, STATUS, checked_manifest, run_path
from remote.transfer.receive import Wanted
from remote.transfer.store import Entry, Store, default_store

MOST = 200  # runs that a list looks into, the newest
SMALL = 1 << 20  # bytes of a file that is read to look into a run
AT_ONCE = 8  # files that are read side by side
SILENT = 600.0  # seconds without a sign of life after which a run counts as one that nobody trains
LAUNCH = "launch.json"  # of a run on the Volume: which launch it is of
ACTIVE = ("queued", "running", "paused", "stopping")

_seen: dict[tuple[Any, ...], Any] = {}  # (store, path, size, mtime) -> what is in the file


Progress = Callable[[int, int, str], Any]  # bytes done, bytes in all, the file


@dataclass(frozen=True)
class Transferred:
    """directory: of the run here. bytes: that went over the network. skipped: files that were there already."""

    directory: Path
    files: list[str] = field(default_factory=list)
    bytes: int = 0
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RemoteRun:
    """A run on the Volume at one moment: its files by their paths in it, and what its manifest.json says of them."""

    name: str
    entries: dict[str, Entry]
    manifest: dict[str, Any] = field(default_factory=dict)

    def wanted(self, path: str) -> Wanted | None:
        """How a file is to come; None if there is none. Its hash is known if the manifest is younger than the file."""
        entry = self.entries.get(path)
        if entry is None:
            return None
        known = self.manifest.get(path, {})
        told = known.get("size") == entry.size and entry.mtime <= self.entries[MANIFEST].mtime
        return Wanted(entry.size, entry.mtime, known["sha256"] if told else "")


def look(store: Store, name: str) -> RemoteRun:
    """The run as it is now; without any entries if there is none."""
    top = run_path(name) + "/"
    entries = {entry.path.removeprefix(top): entry for entry in store.list(top[:-1]) if entry.path.startswith(top)}
    manifest = {}
    if MANIFEST in entries:
        manifest = checked_manifest(read_small(store, entries[MANIFEST], MAX_MANIFEST))["files"]
    return RemoteRun(name, entries, manifest)


def existing(store: Store, name: str) -> RemoteRun:
    """`look`, or NotThere."""
    run = look(store, name)
    if "config.json" not in run.entries:
        begun = " has no config.json yet: wait until it has begun" if run.entries else " is not there"
        raise NotThere(f"The run {name}{begun} on Modal; `llm-scratch runs --on modal` lists what there is.")
    return run


def read_small(store: Store, entry: Entry, most: int = SMALL) -> Any:
    """The value of a JSON file; None if it is too large, gone, or not JSON."""
    if entry.size > most:
        return None
    data = b""
    try:
        for piece in store.read(entry.path):
            data += piece
            if len(data) > most:
                return None
        return json.loads(data)
    except (NotThere, ValueError, RecursionError):
        return None


def status_of(store: Store, run: RemoteRun) -> dict[str, Any]:
    """The values of the run's status.json; {} if there is none to be read."""
    values = read_small(store, run.entries[STATUS]) if STATUS in run.entries else None
    return values if isinstance(values, dict) else {}


def trains(status: dict[str, Any], updated: float = 0.0) -> bool:
    """Whether a run with this status is being trained: it says so, and has given a sign of life of late. updated: when
    one of its files was last written; launch.json is, every half minute, also while data are prepared."""
    heard = max(_number(status.get("heartbeat")), updated)
    return status.get("state") in ACTIVE and time.time() - heard < SILENT


def updated_at(run: RemoteRun) -> float:
    """When one of the run's files was last written."""
    return max((entry.mtime for entry in run.entries.values()), default=0.0)


def is_same(directory: Path, run: RemoteRun, store: Store) -> bool:
    """Whether the run here and that on the Volume are one: of the same launch, or of the same configuration."""
    note = read_small(store, run.entries[LAUNCH]) if LAUNCH in run.entries else None
    launch = read_remote(directory).get("launch")
    if launch and isinstance(note, dict) and note.get("launch") == launch:
        return True
    there = read_small(store, run.entries["config.json"]) if "config.json" in run.entries else None
    return there is not None and same_run(read_json(directory / "config.json"), there)


def delete_remote(name: str, store: Store | None = None) -> None:
    """Remove a run of the Volume with all its files, for good. RunError while it trains, NotThere if there is none."""
    store = store or default_store()
    run = look(store, name)
    if not run.entries:
        raise NotThere(f"There is no run {name} on Modal; `llm-scratch runs --on modal` lists what there is.")
    if trains(status_of(store, run), updated_at(run)):
        raise RunError(f"The run {name} is training on Modal; stop it before it is deleted there.")
    store.remove(run_path(name))


# --------------------------------------------------------------------------------------------------------- all of them


def remote_runs(store: Store | None = None, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """The runs of the Volume, the newest first: name, state, step, steps, preset, family, has_model, error, bytes, and
    updated (seconds since 1970).

    One question lists all; what is in their files is read side by side within `seconds`, and again only if it has
    changed. A run that could not be looked into in time has an empty state.
    """
    store = store or default_store()
    runs: dict[str, dict[str, Entry]] = {}
    for entry in store.list("runs"):
        parts = entry.path.split("/", 2)
        if len(parts) == 3 and NAME.fullmatch(parts[1]):
            runs.setdefault(parts[1], {})[parts[2]] = entry
    runs = {name: files for name, files in runs.items() if "config.json" in files}
    updated = {name: max(entry.mtime for entry in files.values()) for name, files in runs.items()}
    newest = sorted(runs, key=lambda name: (-updated[name], name))
    asked = [runs[name][path] for name in newest[:MOST] for path in (STATUS, "config.json") if path in runs[name]]
    values = _read_all(store, asked, seconds)
    return [
        {
            "name": name,
            **_told(values.get(f"runs/{name}/{STATUS}"), values.get(f"runs/{name}/config.json"), updated[name]),
            "has_model": "model.safetensors" in runs[name] or "model.safetensors.index.json" in runs[name],
            "bytes": sum(entry.size for entry in runs[name].values()),
            "updated": updated[name],
        }
        for name in newest
    ]


def _told(status: Any, config: Any, updated: float) -> dict[str, Any]:
    """What a run says of itself, each of the right kind whatever is in its files."""
    status, config = (value if isinstance(value, dict) else {} for value in (status, config))
    model = config.get("model") if isinstance(config.get("model"), dict) else {}
    imported = is_checkpoint_config(config)
    state = _text(status.get("state"))
    if state in ACTIVE and not trains(status, updated):
        state = "failed"
    return {
        "state": state,
        "step": int(_number(status.get("step"))),
        "steps": int(_number(status.get("steps"))),
        "preset": _text(config.get("preset")),
        "family": FAMILIES.get(_text(config.get("model_type")), "") if imported else _text(model.get("family")),
        "error": _text(status.get("error")),
    }


def _text(value: Any) -> str:
    return value[:300] if isinstance(value, str) else ""


def _number(value: Any) -> float:
    return value if isinstance(value, (int, float)) and 0 <= value < 1e15 else 0


def _read_all(store: Store, entries: Iterable[Entry], seconds: float) -> dict[str, Any]:
    """Path -> value of JSON files, of those that were read in time."""
    place = getattr(store, "name", None) or str(getattr(store, "directory", id(store)))
    found: dict[str, Any] = {}
    left: SimpleQueue[Entry] = SimpleQueue()
    for entry in entries:
        key = (place, *entry)
        if key in _seen:
            found[entry.path] = _seen[key]
        else:
            left.put(entry)

    def work() -> None:
        while time.monotonic() < end:
            try:
                entry = left.get_nowait()
            except Empty:
                return
            try:
                value = read_small(store, entry)
            except CloudError:
                return  # the others have the same trouble
            except UserError:
                continue
            found[entry.path] = value
            if entry.mtime and time.time() - entry.mtime > 3:  # a younger one may change within the same second
                _seen[(place, *entry)] = value

    if len(_seen) > 20 * MOST:
        _seen.clear()
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(AT_ONCE, left.qsize()))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(found)
