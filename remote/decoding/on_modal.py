"""What there is on Modal to decode with: the classes of infer.py, and the runs that they can open.

Imports modal when something is asked.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import RunConfig
from core.errors import ConfigError, RunError, UserError
from core.files import check_name
from core.hub import is_checkpoint_config, is_hub_name
from core.run import BUNDLED, find_run, load, read_config
from remote import names
from remote.calls import link_of
from remote.decoding import pump
from remote.link import CloudError, NotThere, ask
from remote.prices import parse_gpu
from remote.transfer.store import default_store


@dataclass(frozen=True)
class There:
    """A run as Modal would open it. stamp: changes with its weights. directory: of the copy here, if there is one."""

    name: str
    config: RunConfig
    stamp: str
    directory: Path | None = None

    @property
    def is_translation(self) -> bool:
        return self.config.model.family == "transformer"


def there(run: str, runs_dir: Path | None = None) -> There:
    """Look the app and the run up on Modal. One sentence, in time, if the app is not deployed or the run not there.

    run: as on this machine; a copy of a run on Modal stands for that.
    """
    run = str(run).strip()
    if is_hub_name(run):
        raise CloudError(
            f"{run} is a model of the hub: make a run of it (`llm-scratch import {run}`), push that "
            "(`llm-scratch push NAME`), and use its name."
        )
    directory = _here(run, runs_dir)
    name = check_name(str(link_of(directory).get("name") or directory.name) if directory is not None else run)
    ask(lambda: class_of(names.WRITER).hydrate())
    store = default_store()
    found = {entry.path.rpartition("/")[2]: entry for entry in store.list(f"runs/{name}") if entry.path.count("/") == 2}
    if "config.json" in found:
        weights = sorted(entry for file, entry in found.items() if file.endswith(".safetensors"))
        if not weights:
            raise RunError(f"The run {name} has no model on Modal yet; it is written at the first validation.")
        values = json.loads(ask(lambda: b"".join(store.read(f"runs/{name}/config.json")), f"The run {name}"))
        stamp = str([tuple(entry) for entry in weights])
        return There(name, _config_of(values, name, directory), stamp, directory)
    if directory is not None and BUNDLED not in directory.parents:
        raise CloudError(f"The run {name} is on this machine only; push it first: `llm-scratch push {directory.name}`.")
    if (BUNDLED / name / "config.json").is_file():
        return There(name, read_config(BUNDLED / name), "bundled", BUNDLED / name)
    raise NotThere(f"There is no run {name[:80]!r} on Modal: push one (`llm-scratch push NAME`), or train one there.")


def _here(run: str, runs_dir: Path | None) -> Path | None:
    """Where the run is on this machine, if it is here."""
    try:
        return find_run(run, runs_dir).resolve()
    except UserError:
        return None


def _config_of(values: Any, name: str, directory: Path | None) -> RunConfig:
    if not is_checkpoint_config(values):
        try:
            return RunConfig.from_dict(values)
        except ConfigError as error:
            raise RunError(f"config.json of the run {name} on Modal cannot be used: {error}") from None
    if directory is None:
        raise CloudError(f"{name} is an imported checkpoint: bring it here first (`llm-scratch pull {name}`).")
    return load(str(directory)).config


def class_of(name: str) -> Any:
    import modal

    return modal.Cls.from_name(names.APP, name)


def method_of(name: str, run: str, method: str, gpu: str, containers: int = 0) -> Any:
    """A method of a class that has opened `run`; asks Modal."""
    options: dict[str, Any] = {"max_containers": containers} if containers else {}
    if gpu:
        options["gpu"] = one_gpu(gpu)
    found = class_of(name)
    return getattr((found.with_options(**options) if options else found)(run=run), method)


def one_gpu(gpu: str) -> str:
    """The name of the GPU, as Modal wants it. ConfigError if there is no such one, or if it is several."""
    kind, count = parse_gpu(gpu)
    if count > 1:
        raise ConfigError(f"Decoding takes one GPU: use {kind.name}, not {gpu}.")
    return kind.name


def alive() -> None:
    ask(lambda: class_of(names.WRITER).hydrate(), seconds=pump.BEAT_SECONDS)
