"""Where runs are trained: this machine, or a GPU of Modal's, behind the same words."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import RunConfig
from core.errors import ConfigError
from core.run import find_run, read_status
from playground import models
from playground.jobs import LocalBackend
from playground.training_form import expected_vocabulary

PLACES = ("local", "modal")
MOST_HOURS = 24  # that Modal lets a function run
LOOK_AFTER = 15.0  # seconds

_looked_after = -LOOK_AFTER
Say = Callable[[str], None]


def backend_at(
    place: str, runs_dir: Path | None = None, gpu: str = "", hours: float = 0.0, log: bool = True,
    say: Say = lambda text: None,
) -> Any:  # fmt: skip
    """The backend of a place. The rest is of Modal: hours: after which a run is stopped (0: as many as Modal allows);
    log: at wandb, if the app has its secret; say: is told what a launch is doing. ConfigError for an unknown GPU."""
    if place == "local":
        return LocalBackend(runs_dir)
    if place != "modal":
        raise ConfigError(f"Runs are trained on this machine (local) or on modal, not on {place[:40]!r}.")
    from remote.client import ModalBackend

    return ModalBackend(runs_dir, gpu, hours, log, say)


def backend_of(name: str, runs_dir: Path | None = None, say: Say = lambda text: None) -> Any:
    """The backend of the place where a run is trained, or was trained last: on Modal with the GPU and the hours that it
    had. RunError if there is no such run."""
    directory = find_run(name, runs_dir)
    if read_status(directory).backend != "modal":
        return LocalBackend(runs_dir)
    from remote.client import link_of

    link = link_of(directory)
    return backend_at("modal", runs_dir, link.get("gpu", ""), link.get("hours", 0.0), link.get("log", True), say)


def given_hours(hours: float | None) -> float:
    """Hours that a person gave. ConfigError if a run cannot be stopped after so many."""
    if hours is None or not 0 < hours <= MOST_HOURS:
        raise ConfigError(f"The hours after which it stops must be above 0 and at most {MOST_HOURS}, Modal's limit.")
    return float(hours)


def wants_log(assignments: Sequence[str]) -> bool:
    """Whether runs on Modal are to be logged at wandb, if the app has its secret: unless it is switched off by name."""
    chosen = [value.strip() for key, _, value in (text.partition("=") for text in assignments) if key == "train.wandb"]
    return not chosen or chosen[-1] != "disabled"


def parameters_of(config: RunConfig) -> int:
    """About how many weights the model becomes: its vocabulary is known only once the tokenizer is trained."""
    if config.model.vocab_size:
        return models.num_parameters(config.model)
    return models.num_parameters(replace(config.model, vocab_size=expected_vocabulary(config.tokenizer)))


def estimated(config: RunConfig, gpu: str, hours: float = 0.0, done: int = 0) -> Any:
    """What a training takes and costs on Modal, stopped after so many hours; done: steps that it has made."""
    from remote.client import estimate

    return estimate(config, parameters_of(config), gpu, max(1, config.train.max_steps - done), hours)


def find_again(runs_dir: Path | None = None) -> None:
    """Have the runs followed that trained on Modal when this machine was last up. Asks nobody but the disk."""
    from core.run import default_runs_dir

    parent = runs_dir or default_runs_dir()
    if any(parent.glob("*/remote.json")):
        from remote.client import ensure_followed

        ensure_followed(parent)


def look_after() -> None:
    """`find_again`, now and then: whoever followed the runs on Modal may have died."""
    global _looked_after
    if time.monotonic() - _looked_after > LOOK_AFTER:
        _looked_after = time.monotonic()
        find_again()
