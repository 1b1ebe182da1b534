"""Where runs are trained: this machine, or a GPU of Modal's, behind the same words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import RunConfig
from core.errors import ConfigError
from core.run import find_run, read_status
from playground import models
from playground.jobs import LocalBackend

PLACES = ("local", "modal")


def backend_at(place: str, runs_dir: Path | None = None, gpu: str = "", hours: float = 0.0) -> Any:
    """The backend of a place. ConfigError for a GPU that Modal does not have."""
    if place == "local":
        return LocalBackend(runs_dir)
    if place != "modal":
        raise ConfigError(f"Runs are trained on this machine (local) or on modal, not on {place[:40]!r}.")
    from remote.client import ModalBackend

    return ModalBackend(runs_dir, gpu, hours)


def backend_of(name: str, runs_dir: Path | None = None) -> Any:
    """The backend of the place where a run is trained, or was trained last. RunError if there is no such run."""
    directory = find_run(name, runs_dir)
    if read_status(directory).backend != "modal":
        return LocalBackend(runs_dir)
    from remote.client import ModalBackend, link_of

    link = link_of(directory)
    return ModalBackend(runs_dir, link.get("gpu", ""), link.get("hours", 0.0))


def parameters_of(config: RunConfig) -> int:
    """About how many weights the model becomes: its vocabulary is known only once the tokenizer is trained."""
    if config.model.vocab_size:
        return models.num_parameters(config.model)
    vocabulary = 100 if config.tokenizer.kind == "char" else config.tokenizer.vocab_size
    return models.num_parameters(replace(config.model, vocab_size=vocabulary))


def estimated(config: RunConfig, gpu: str, done: int = 0) -> Any:
    """What a training takes and costs on Modal; done: steps that it has made."""
    from remote.client import estimate

    return estimate(config, parameters_of(config), gpu, max(1, config.train.max_steps - done))


def find_again(runs_dir: Path | None = None) -> None:
    """Have the runs followed that trained on Modal when this machine was last up. Asks nobody but the disk."""
    from core.run import default_runs_dir

    parent = runs_dir or default_runs_dir()
    if any(parent.glob("*/remote.json")):
        from remote.client import ensure_followed

        ensure_followed(parent)
