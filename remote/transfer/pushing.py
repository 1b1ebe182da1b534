"""`push`: a run of this machine goes to the Volume."""

import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

from core.config import RunConfig
from core.errors import ConfigError, RunError
from core.files import check_name, read_json, write_json
from core.hub import is_checkpoint_config
from core.run import BUNDLED, default_runs_dir, read_status
from core.runs_admin import own_run
from remote.transfer.local_data import keep_mapping, read_remote, stage
from remote.transfer.manifest import BEST, MANIFEST, STATUS, run_files, run_path, sha256_of, write_manifest
from remote.transfer.store import Store, default_store
from remote.transfer.volume_runs import Progress, RemoteRun, Transferred, is_same, look, status_of, trains, updated_at

BIG = 8 << 20  # bytes of a file after which it is noted how far the push is


def push(
    name: str,
    runs_dir: Path | None = None,
    what: str = "all",
    store: Store | None = None,
    progress: Progress | None = None,
    force: bool = False,
) -> Transferred:
    """Put a run of this machine on the Volume, with the data files that it names, to use it or go on with it there.

    what: "all", or "best" (without checkpoints and snapshots). force: put it in the place of another run of the name,
    or of a later state of this one. Raises a UserError; what was sent is not sent again.
    """
    directory = _pushable(name, runs_dir)
    if what not in ("all", "best"):
        raise ConfigError(f"What to push is all or best, not {what[:40]!r}.")
    store = store or default_store()
    run = look(store, str(read_remote(directory).get("name") or name))
    run = _overwritable(directory, run, store, force)
    values = read_json(directory / "config.json")
    hashes = {path: entry["sha256"] for path, entry in write_manifest(directory)["files"].items()}
    with tempfile.TemporaryDirectory() as scratch:
        sources = {
            path: directory / path
            for path in run_files(directory)
            if what == "all" and not path.startswith("wandb/") or any(fnmatchcase(path, one) for one in BEST)
        }
        if not is_checkpoint_config(values):
            config, mapping = stage(RunConfig.from_dict(values), store, progress, missing_ok=True)
            if mapping:
                keep_mapping(directory, run.name, mapping)
                sources["config.json"] = Path(scratch) / "config.json"
                write_json(sources["config.json"], config.to_dict())
                hashes["config.json"] = sha256_of(sources["config.json"])
        if STATUS in sources:
            sources[STATUS] = Path(scratch) / STATUS
            seen = read_status(directory)  # one whose process was killed does not say so itself
            write_json(sources[STATUS], {**read_json(directory / STATUS), "state": seen.state, "pid": None})
        return _send(directory, run, store, sources, hashes, Path(scratch), progress)


def _pushable(name: str, runs_dir: Path | None) -> Path:
    if not ((runs_dir or default_runs_dir()) / check_name(name)).exists() and (BUNDLED / name).is_dir():
        raise RunError(f"{name} came with the program and is on Modal already: use it there by its name.")
    directory = own_run(name, runs_dir)
    if read_status(directory).is_active:
        raise RunError(f"The run {name} is training; stop it before it is pushed.")
    return directory


def _overwritable(directory: Path, run: RemoteRun, store: Store, force: bool) -> RemoteRun:
    """The run on the Volume, if the one here may take its place; removed there, if it is another one."""
    if not run.entries:
        return run
    status = status_of(store, run)
    if trains(status, updated_at(run)):
        raise RunError(f"The run {run.name} is training on Modal; stop it there before it is pushed.")
    same = "config.json" not in run.entries or is_same(directory, run, store)
    if not same and not force:
        raise RunError(
            f"There is another run {run.name} on Modal: rename the one here, `llm-scratch runs {directory.name} "
            "--rename NEW`, and push that."
        )
    if not same:
        store.remove(run_path(run.name))
        return RemoteRun(run.name, {})
    step, here = status.get("step"), read_status(directory).step
    if isinstance(step, int) and step > here and not force:
        raise RunError(
            f"The run {run.name} is further on Modal (step {step:,}) than on this machine (step {here:,}): pull it."
        )
    return run


def _send(
    directory: Path,
    run: RemoteRun,
    store: Store,
    sources: dict[str, Path],
    hashes: dict[str, str],
    scratch: Path,
    progress: Progress | None,
) -> Transferred:
    there = {path: wanted.sha256 for path in run.entries if (wanted := run.wanted(path)) and wanted.sha256}
    skipped = [path for path in sources if hashes.get(path) and there.get(path) == hashes[path]]
    missing = [path for path in sources if path not in skipped]
    missing.sort(key=lambda path: (path == STATUS, path == "config.json", path))  # these make it a run
    sizes = {path: sources[path].stat().st_size for path in sources}
    # What is believed afterwards: what was known there and is not replaced, and what is sent.
    files = {path: {"size": run.entries[path].size, "sha256": there[path]} for path in there if path not in missing}

    def note() -> None:
        write_json(scratch / MANIFEST, {"files": files})
        store.write(run_path(run.name, MANIFEST), scratch / MANIFEST)

    done, total = 0, sum(sizes[path] for path in missing)
    for path in missing:

        def told(sent: int, before: int = done, path: str = path) -> None:
            if progress:
                progress(before + sent, total, path)

        store.write(run_path(run.name, path), sources[path], told)
        done += sizes[path]
        told(0, done, path)
        if path in hashes:
            files[path] = {"size": sizes[path], "sha256": hashes[path]}
        if sizes[path] >= BIG:
            note()
    if missing:
        note()
    return Transferred(directory, sorted(missing), total, sorted(skipped))
