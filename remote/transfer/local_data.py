"""Files of this machine that a configuration names, brought to the Volume: data/<hash of the content>/<file name>.

What is there already is not sent again. The configuration then names the files as a container sees them; which is which
is kept in the run's remote.json under "data", so that a run that comes back finds the files of this machine again.
Imports no modal.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from core.config import RunConfig
from core.data.readers import existing_file
from core.data.sources import is_hub_name
from core.errors import ConfigError, DataError, RunError
from core.files import read_json, write_json
from core.hub import TOKENIZER_FILES, is_checkpoint_config
from core.hub import is_hub_name as is_hub_model
from core.run import BUNDLED
from core.tokenizer.load import RANKS_SUFFIX, directory_of
from remote import names
from remote.transfer.manifest import sha256_of
from remote.transfer.store import Entry, Store, default_store

MAX_FILE, MAX_FOLDER = 2 << 30, 20 << 30  # bytes
MAX_FILES = 1_000  # of a folder
REMOTE = "remote.json"

Progress = Callable[[int, int, str], Any]  # bytes done, bytes in all, the file


@dataclass(frozen=True)
class Staged:
    """A file or folder of this machine, and its files: (path below data/, file here)."""

    local: str
    path: str
    files: tuple[tuple[str, Path], ...]

    @property
    def remote(self) -> str:
        return str(names.STORE / "data" / self.path)


def stage(
    config: RunConfig, store: Store | None = None, progress: Progress | None = None, missing_ok: bool = False
) -> tuple[RunConfig, dict[str, str]]:
    """Bring the files that `config` names to the Volume. Returns the configuration for there, and remote path -> local.

    Built-in data, names of the hub and bundled tokenizers are left as they are. DataError if a file is too large or not
    there; missing_ok: one that is not there is left as it is.
    """
    values = config.to_dict()
    found: dict[tuple[str, str], Staged] = {}
    for section, key, name in _named(config):
        try:
            files = _tokenizer_files(name) if section == "tokenizer" else _data_files(name)
        except DataError:
            if missing_ok:
                continue
            raise
        if files:
            found[section, key] = _staged(name, files)
    if not found:
        return config, {}
    _send(list(found.values()), store or default_store(), progress or (lambda done, total, file: None))
    for (section, key), staged in found.items():
        values[section][key] = staged.remote
    return RunConfig.from_dict(values), {staged.remote: staged.local for staged in found.values()}


def localised(values: dict[str, Any], mapping: dict[str, str]) -> dict[str, Any]:
    """The plain values of a configuration with the files of the Volume named as they are here."""
    changed = {**values}
    for section in ("data", "tokenizer"):
        if isinstance(values.get(section), dict):
            changed[section] = {
                key: mapping.get(value, value) if isinstance(value, str) else value
                for key, value in values[section].items()
            }
    return changed


# ------------------------------------------------------------------------------------------------ a run's remote.json


def read_remote(directory: Path) -> dict[str, Any]:
    """What is known here of the run on Modal; {} if nothing is."""
    try:
        values = read_json(directory / REMOTE)
    except RunError:
        return {}
    return values if isinstance(values, dict) else {}


def read_mapping(directory: Path) -> dict[str, str]:
    """Remote path -> local path, of the files that the run's configuration names."""
    data = read_remote(directory).get("data")
    return {str(k): str(v) for k, v in data.items()} if isinstance(data, dict) else {}


def keep_mapping(directory: Path, name: str, mapping: dict[str, str]) -> None:
    """Add to the mapping that remote.json has, with the run's name on the Volume; its other keys stay."""
    data = {**read_mapping(directory), **mapping}
    if data != read_mapping(directory):
        write_json(directory / REMOTE, {"name": name, **read_remote(directory), "data": data})


# ----------------------------------------------------------------------------------------------------- what is named


def _named(config: RunConfig) -> list[tuple[str, str, str]]:
    """(section, key, name) of what may be a file here."""
    data = config.data
    keys = ["src", "tgt", "val_src", "val_tgt"]
    if not data.src:  # else the name means nothing
        keys += ["name"] if not data.name.startswith("builtin:") else []
        keys += ["val_data"]
    named = [("data", key, getattr(data, key)) for key in keys] + [("tokenizer", "path", config.tokenizer.path)]
    there = str(names.STORE / "data")
    return [(section, key, name) for section, key, name in named if name and not name.startswith(there + "/")]


def _data_files(name: str) -> list[tuple[str, Path]]:
    """(path below its own place, file) of what is a file or folder here; none of a name of the hub."""
    path = Path(name).expanduser()
    try:
        if path.is_dir():
            return _folder_files(path)
        if is_hub_name(name):
            return []
    except (OSError, ValueError):  # no path at all
        return []
    path = existing_file(name)
    return [(_safe(path.name), path)]


def _folder_files(top: Path) -> list[tuple[str, Path]]:
    found: dict[str, Path] = {}
    for folder, folders, files in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder) / name
            if name.startswith(".") or not path.is_file():
                continue
            place = "/".join(_safe(part) for part in path.relative_to(top).parts)
            if place in found:
                raise DataError(f"{top} has two files whose names are both {place} on Modal; rename one of them.")
            found[place] = path
            if len(found) > MAX_FILES:
                raise DataError(f"{top} has more than {MAX_FILES:,} files; name a file, or a folder with fewer.")
    if not found:
        raise DataError(f"{top} holds no files; name a folder with data in it, or a file.")
    return [(f"{_safe(top.resolve().name)}/{place}", path) for place, path in found.items()]


def _tokenizer_files(name: str) -> list[tuple[str, Path]]:
    """As `_data_files`, of what `core.tokenizer.load_tokenizer` would open here; none of what a container has too."""
    if is_hub_model(name):
        return []
    path = Path(name)
    if path.is_file():
        return [(_safe(path.name), path)]
    folder = directory_of(name)
    if folder is None or (folder.parent == BUNDLED and not path.exists()):
        return []
    files = [folder / file for file in TOKENIZER_FILES] + sorted(folder.glob(f"*{RANKS_SUFFIX}"))
    return [(f"{_safe(folder.name)}/{_safe(file.name)}", file) for file in files if file.is_file()]


def _staged(name: str, files: list[tuple[str, Path]]) -> Staged:
    sizes = {path: path.stat().st_size for _, path in files}
    for path, size in sizes.items():
        if size > MAX_FILE or sum(sizes.values()) > MAX_FOLDER:
            what, most = (path.name, MAX_FILE) if size > MAX_FILE else (name, MAX_FOLDER)
            raise DataError(
                f"{what} is too large to be sent to Modal (up to {most / 2**30:,.0f} GiB are): put it on the Hugging "
                "Face hub, or a part of it in a file, and name that."
            )
    try:
        hashes = [(place, sha256_of(path)) for place, path in files]
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}.") from None
    first = files[0][0]
    content = hashlib.sha256(json.dumps(hashes).encode()).hexdigest() if "/" in first else hashes[0][1]
    folder, here = content[:16], Path(name).expanduser()
    return Staged(
        str(here.absolute()) if here.exists() else name,
        f"{folder}/{first.split('/')[0]}",
        tuple((f"data/{folder}/{place}", path) for place, path in files),
    )


def _safe(name: str) -> str:
    """A file's name that is one everywhere; its ending stays, as that says how it is read.

    >>> _safe("my corpus (1).jsonl"), _safe("テキスト.txt"), _safe("..")
    ('my_corpus__1_.jsonl', '____.txt', '__')
    """
    stem, suffix = os.path.splitext(re.sub(r"[^A-Za-z0-9._-]", "_", name))
    return re.sub(r"^\.+", lambda dots: "_" * len(dots[0]), f"{stem[-80:]}{suffix[-20:]}") or "_"


# ------------------------------------------------------------------------------------------------------- what is sent


def _send(wanted: Iterable[Staged], store: Store, progress: Progress) -> None:
    files = dict(file for staged in wanted for file in staged.files)  # the same content once
    there: dict[str, Entry] = {}
    for top in sorted({"/".join(path.split("/")[:2]) for path in files}):
        there |= {entry.path: entry for entry in store.list(top)}
    sizes = {path: file.stat().st_size for path, file in files.items()}
    missing = {path: size for path, size in sizes.items() if path not in there or there[path].size != size}
    done, total = 0, sum(missing.values())
    for path, size in missing.items():
        name = PurePosixPath(path).name

        def told(sent: int, before: int = done, name: str = name) -> None:
            progress(before + sent, total, name)

        told(0)
        store.write(path, files[path], told)
        done += size


def same_run(one: Any, other: Any) -> bool:
    """Whether two config.json are those of one run: how it is trained may change, what it is may not. Files count by
    their names, as they lie elsewhere on each machine."""
    if is_checkpoint_config(one) or is_checkpoint_config(other):
        return bool(one == other)
    try:
        return _what_it_is(RunConfig.from_dict(one)) == _what_it_is(RunConfig.from_dict(other))
    except (ConfigError, AttributeError, TypeError):
        return bool(one == other)


def _what_it_is(config: RunConfig) -> dict[str, Any]:
    values = config.to_dict()
    for section, keys in (("data", ("name", "src", "tgt", "val_data", "val_src", "val_tgt")), ("tokenizer", ("path",))):
        for key in keys:
            values[section][key] = _safe(PurePosixPath(values[section][key]).name)
    model = {**values["model"], "vocab_size": 0}  # it is known once the tokenizer is
    return {"model": model, "tokenizer": values["tokenizer"], "data": values["data"], "seed": values["seed"]}
