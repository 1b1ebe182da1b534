"""`pull`: a run comes from the Volume to this machine."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from core.errors import ConfigError, RunError
from core.files import check_name, read_json, write_json
from core.hub import is_checkpoint_config
from core.run import default_runs_dir, read_status
from remote.link import NotThere
from remote.transfer.local_data import REMOTE, localised, read_mapping, read_remote
from remote.transfer.manifest import BEST, MANIFEST, STATUS, is_plain, read_manifest, run_path, travels
from remote.transfer.receive import Inbox, Wanted
from remote.transfer.store import FolderStore, Store, default_store
from remote.transfer.volume_runs import (
    LAUNCH,
    Progress,
    RemoteRun,
    Transferred,
    existing,
    is_same,
    look,
    read_small,
    status_of,
)

REWRITTEN = ("config.json", STATUS)  # they name things of one machine, and are changed on the way
MAX_FILES = 20_000
RESERVE = 64 << 20  # bytes that a disk keeps free


def pull(
    name: str,
    runs_dir: Path | None = None,
    what: str = "best",
    store: Store | None = None,
    progress: Progress | None = None,
) -> Transferred:
    """Bring a run from the Volume to the runs directory, or bring up to date the copy that is there.

    what: "best" (weights, curves, scores), "all" (checkpoints and snapshots too), or "snapshot:STEP" (the weights at
    that step, and all small files). A run that trains is taken as it is. Raises a UserError; what came is kept.
    """
    store, parent = store or default_store(), runs_dir or default_runs_dir()
    target = parent / check_name(name)
    if isinstance(store, FolderStore) and (store.directory / "runs").resolve() == parent.resolve():
        raise RunError(f"{name} need not be pulled: what runs on Modal uses the runs of the Volume as they are.")
    if target.is_symlink():
        raise RunError(f"The run {name} is a link to another folder here: pull it under the name that it has there.")
    run = existing(store, str(read_remote(target).get("name") or name))
    paths = _chosen(run, what)
    _check_may_replace(target, run, store)
    with _inbox(parent, name) as folder:
        known = read_manifest(target)["files"]
        wanted = {path: found for path in paths if (found := run.wanted(path)) is not None}
        skipped = [path for path in wanted if _is_here(target, path, wanted[path], known)]
        missing = {path: wanted[path] for path in wanted if path not in skipped}
        total = sum(one.size for one in missing.values())
        done = dict.fromkeys(missing, 0)

        def told(path: str, count: int) -> None:
            done[path] = count
            if progress:
                progress(sum(done.values()), total, path)

        inbox = Inbox(folder, told)
        needed = sum(one.size - inbox.here(path, one) for path, one in missing.items())
        free = shutil.disk_usage(folder).free
        if needed > free - RESERVE:
            raise RunError(
                f"{run.name} needs {needed / 1e6:,.0f} MB, but the disk of {parent} has {free / 1e6:,.0f} MB left: "
                + ("free some, or pull less (--what best)." if what == "all" else "free some, then pull again.")
            )
        come = _receive(inbox, store, run, missing)
        _settle(target, folder, come, run, store)
    return Transferred(target, sorted(come), inbox.fetched, sorted(skipped))


def _chosen(run: RemoteRun, what: str) -> list[str]:
    """The paths that are wanted: the large ones first, the status last, so that curves are as young as the weights."""
    paths = [path for path in run.entries if travels(path)]
    best = [path for path in paths if any(fnmatchcase(path, pattern) for pattern in BEST)]
    kind, _, step = what.partition(":")
    if what == "best":
        chosen = best
    elif what == "all":
        chosen = paths
    elif kind == "snapshot" and step.isdecimal():
        steps = {f"snapshots/step-{int(step):06d}.safetensors"} & set(paths)
        if not steps:
            there = sorted(p.split("-")[-1].split(".")[0] for p in paths if fnmatchcase(p, "snapshots/step-*"))
            known = f"there are {', '.join(str(int(n)) for n in there if n.isdecimal())}" if there else "there are none"
            raise NotThere(f"The run {run.name} has no snapshot of step {int(step)} on Modal; {known}.")
        chosen = [path for path in best if not path.startswith("model")] + sorted(steps)
    else:
        raise ConfigError(f"What to pull is best, all or snapshot:STEP, not {what[:40]!r}.")
    for path in chosen:
        if not is_plain(path) or run.entries[path].size < 0:
            raise RunError(
                f"The run {run.name} has a file {path[:120]!r} on Modal that is not one of a run; nothing was fetched. "
                "Remove it there with `modal volume rm`."
            )
    if len(chosen) > MAX_FILES:
        raise RunError(f"The run {run.name} has {len(chosen):,} files on Modal, more than a run can have.")
    return sorted(chosen, key=lambda path: (path == STATUS, -run.entries[path].size, path))


def _check_may_replace(target: Path, run: RemoteRun, store: Store) -> None:
    """RunError if there is a run here that the one on the Volume must not take the place of."""
    if not (target / "config.json").exists():
        return
    status = read_status(target)
    if status.backend == "local" and status.is_active:
        raise RunError(f"The run {target.name} is training on this machine; stop it before it is pulled.")
    if not is_same(target, run, store):
        raise RunError(
            f"The run {target.name} on this machine is another one than that on Modal: rename it first, "
            f"`llm-scratch runs {target.name} --rename NEW`."
        )
    there = status_of(store, run).get("step")
    if status.backend == "local" and isinstance(there, int) and status.step > there:
        raise RunError(
            f"The run {target.name} is further on this machine (step {status.step:,}) than on Modal (step {there:,}): "
            "push it, or rename it before it is pulled."
        )


def _is_here(target: Path, path: str, wanted: Wanted, known: dict[str, Any]) -> bool:
    """Whether the file is here as it is wanted: its hash is the same, or the one on the Volume has not changed."""
    entry = known.get(path)
    if entry is None or path in REWRITTEN:
        return False
    try:
        stat = (target / path).lstat()
    except OSError:
        return False
    if (stat.st_size, stat.st_mtime_ns) != (entry["size"], entry.get("mtime_ns")):
        return False
    if wanted.sha256:
        return bool(entry["sha256"] == wanted.sha256)
    return wanted.mtime > 0 and entry.get("seen") == [wanted.size, wanted.mtime]


@contextmanager
def _inbox(parent: Path, name: str) -> Iterator[Path]:
    """The folder in which a run's files arrive, for one process at a time."""
    folder = parent / ".pull" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder.with_name(f"{name}.lock"), "ab")
    except OSError as error:
        raise RunError(f"{folder} cannot be made: {error.strerror}.") from None
    with lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            pass
        except OSError:
            raise RunError(f"The run {name} is being pulled already; wait until that has ended.") from None
        yield folder


def _receive(inbox: Inbox, store: Store, run: RemoteRun, missing: dict[str, Wanted]) -> dict[str, tuple[Wanted, str]]:
    """Have all files in the inbox. Path -> as what it came, and its SHA-256."""
    newest = run
    come: dict[str, tuple[Wanted, str]] = {}
    for path, wanted in missing.items():

        def again(path: str = path) -> Wanted | None:
            nonlocal newest
            newest = look(store, run.name)
            return newest.wanted(path)

        twin = next((p for p, (_, sha256) in come.items() if sha256 == wanted.sha256), None)
        if twin is not None and path.endswith(".ckpt"):  # best.ckpt often is last.ckpt
            inbox.copy(twin, path, wanted)
        received = inbox.receive(store, run_path(run.name, path), path, wanted, again)
        if received is None and path == "config.json":
            raise NotThere(f"The run {run.name} was removed from Modal meanwhile.")
        if received is not None:
            come[path] = received
    return come


def _settle(target: Path, folder: Path, come: dict[str, tuple[Wanted, str]], run: RemoteRun, store: Store) -> None:
    """Put what has come in its place: a new run at once, with all its files; of one that is there, file by file."""
    rewritten = {name: _rewritten(folder / name, read_mapping(target)) for name in REWRITTEN if name in come}
    new = not target.exists()
    place = folder.with_name(f".new-{target.name}-{os.getpid()}") if new else target
    try:
        if new:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        known = read_manifest(target)["files"]
        for path, (wanted, sha256) in come.items():
            _check_inside(place, path)
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            if path in rewritten:
                write_json(place / path, rewritten[path])
                continue
            os.replace(folder / path, place / path)
            seen = [wanted.size, wanted.mtime]
            stat = (place / path).stat()
            known[path] = {"size": wanted.size, "sha256": sha256, "mtime_ns": stat.st_mtime_ns, "seen": seen}
        write_json(place / MANIFEST, {"files": known})
        _keep_link(place, run, store)
        if new:
            place.rename(target)  # fails if a run of that name has come into being
    except OSError as error:
        raise RunError(f"The run {target.name} cannot be put in its place: {error.strerror}.") from None
    finally:
        if new:
            shutil.rmtree(place, ignore_errors=True)
    Inbox(folder).clear(come)


def _rewritten(path: Path, mapping: dict[str, str]) -> dict[str, Any]:
    """What config.json and status.json are to say here."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise RunError(f"{path.name} on Modal is not the one of a run.")
    if path.name == STATUS:
        return {**values, "pid": None}  # of a process of another machine
    return values if is_checkpoint_config(values) else localised(values, mapping)


def _check_inside(place: Path, path: str) -> None:
    for parent in Path(path).parents:
        if (place / parent).is_symlink():
            raise RunError(f"{place.name}/{parent} is a link to another folder: remove it, then pull again.")


def _keep_link(place: Path, run: RemoteRun, store: Store) -> None:
    """Let remote.json say what is needed to follow a run that was launched from another machine."""
    link = read_remote(place)
    note = read_small(store, run.entries[LAUNCH]) if LAUNCH in run.entries else None
    if link.get("launch") or not isinstance(note, dict) or not isinstance(note.get("launch"), str):
        return
    machine, call_id = status_of(store, run).get("machine"), note.get("call_id")
    known = {"name": run.name, "launch": note["launch"], "call_id": str(call_id or ""), "gpu": str(machine or "")}
    write_json(place / REMOTE, {**known, **link})
