"""How the files of a run must be to be whole: their sizes and SHA-256 in manifest.json, and what they say themselves.

    manifest.json  {"files": {path: {"size", "sha256", "mtime_ns", "seen"}}}

mtime_ns is of the file that was read for the hash, so that a file which has not changed since is not read again. seen
is [size, mtime] of the file on the Volume that a pulled one was taken from. Imports no modal.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from core.errors import RunError
from core.files import check_name, read_json, write_json
from core.runs_admin import EXPORTED

MANIFEST = "manifest.json"
STATUS = "status.json"
BEST = (*EXPORTED, "model-*.safetensors", "train.log", STATUS)  # what is needed to use a run, and its curves
# Of one machine, or of one launch: never taken elsewhere.
STAYS = ("stop", "pause", "train.lock", "remote.json", "launch.json", MANIFEST)
MAX_MANIFEST = 1 << 24  # bytes
MAX_HEADER = 100_000_000  # bytes of a safetensors header, as the format's own library has it
CHUNK = 1 << 20

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+=-]{0,150}")


def write_manifest(directory: Path) -> dict[str, Any]:
    """Write the run's manifest.json, and return it. Only files that have changed since the last one are read.

    It is written after all other files: whoever reads it believes it of those that are not younger.
    """
    known = read_manifest(directory)["files"]
    files: dict[str, Any] = {}
    twins: dict[tuple[int, int], str] = {}  # one file under two names, as last.ckpt and best.ckpt often are
    for path in run_files(directory):
        if path == STATUS:  # it is written at any time
            continue
        try:
            stat = (directory / path).stat()
            entry = known.get(path, {})
            if entry.get("size") != stat.st_size or entry.get("mtime_ns") != stat.st_mtime_ns:
                key = (stat.st_dev, stat.st_ino)
                entry = {"size": stat.st_size, "sha256": twins.get(key) or sha256_of(directory / path)}
                twins[key] = entry["sha256"]
            files[path] = {**entry, "mtime_ns": stat.st_mtime_ns}
        except FileNotFoundError:  # replaced or removed meanwhile
            continue
    if files != known or not (directory / MANIFEST).exists():
        write_json(directory / MANIFEST, {"files": files})
    return {"files": files}


def read_manifest(directory: Path) -> dict[str, Any]:
    """The run's manifest.json; an empty one if there is none, or none that can be read."""
    try:
        return checked_manifest(read_json(directory / MANIFEST))
    except RunError:
        return {"files": {}}


def checked_manifest(values: Any) -> dict[str, Any]:
    """Of a manifest that anybody may have written, what is of the right kind."""
    files = values.get("files") if isinstance(values, dict) else None
    entries = files.items() if isinstance(files, dict) else ()
    return {"files": {path: entry for path, entry in entries if _is_entry(entry)}}


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("size"), int):
        return False
    return bool(re.fullmatch(r"[0-9a-f]{64}", str(entry.get("sha256"))))


def run_files(directory: Path) -> list[str]:
    """The files of a run that another machine can use, relative to it. Links are neither followed nor named."""
    found = []
    for folder, folders, files in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".") and not (Path(folder) / name).is_symlink()]
        for name in files:
            path = Path(folder) / name
            relative = path.relative_to(directory).as_posix()
            if not path.is_symlink() and path.is_file() and travels(relative) and is_plain(relative):
                found.append(relative)
    return sorted(found)


def travels(path: str) -> bool:
    """Whether a file of a run is one for other machines too: no wish, no lock, nothing hidden or half written."""
    hidden = any(re.match(r"\.[^./]", part) for part in path.split("/"))
    return path not in STAYS and not hidden and not path.endswith((".tmp", ".part")) and path != "checkpoints/new.ckpt"


def is_plain(path: str) -> bool:
    """Whether a path that somebody else wrote is one of a file below a run, whatever the system: no "..", no root, no
    drive, no odd characters, not deep."""
    parts = path.split("/")
    return len(parts) <= 8 and all(_PART.fullmatch(part) and ".." not in part for part in parts)


def sha256_of(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flaw(path: Path, name: str) -> str:
    """What a file itself shows to be wrong with it, "" if nothing: weights and checkpoints say how long they are.

    name: what the file is called in the run; the one that is looked at may be a copy of it.
    """
    if name.endswith(".safetensors"):
        return _flaw_of_weights(path)
    if name.endswith(".ckpt"):
        return _flaw_of_checkpoint(path)
    if name.endswith(".json"):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            return "it is not JSON"
    return ""


def _flaw_of_weights(path: Path) -> str:
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER):
            return "its header is cut off"
        try:
            header = json.loads(file.read(length))
            ends = [tensor["data_offsets"][1] for key, tensor in header.items() if key != "__metadata__"]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            return "its header cannot be read"
    whole = 8 + length + max(ends, default=0)
    return "" if whole == size else f"it has {size:,} bytes in the place of {whole:,}"


def _flaw_of_checkpoint(path: Path) -> str:
    from core.train.checkpoint import is_whole

    return "" if is_whole(path) else "its own SHA-256 is another one"


def run_path(name: str, *parts: str) -> str:
    """Where a run, or a file of it, is on the Volume. RunError for what cannot be a run's name."""
    return "/".join(["runs", check_name(name), *parts])
