"""Runs that train on Modal, started, wished at and known by the same words as those of this machine.

A launched run has a directory here from the start, with a copy of its configuration and a status; follow.py brings it
up to date while the run trains, whoever looks. All that is remembered is in that directory, so that the page may be
closed, and the machine switched off, without a run being lost.
"""

import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import RunConfig
from core.errors import ConfigError, RunError, UserError
from core.files import write_json
from core.run import Status, create_run, default_runs_dir, find_run, read_config, read_status
from core.runs_admin import own_run
from remote import names, prices
from remote.calls import LINK, CloudFeed, cancel, is_on_volume, link_of, spawn
from remote.link import CloudError, NoAnswer
from remote.training import feed
from remote.training.attempt import CHANGEABLE, RESERVE, Order
from remote.training.follow import ensure_followed

GRACE = 60.0  # seconds that a run has to stop by itself before it can be made to
MOST_HOURS = names.MAX_HOURS - RESERVE / 3600
WAITING = "waiting for a container on Modal"


class ModalBackend:
    """gpu: such as "L4" or "H100:2". hours: after which a run is stopped; it can be gone on with."""

    name = "modal"

    def __init__(self, runs_dir: Path | None = None, gpu: str = "", hours: float = 0.0) -> None:
        self.runs_dir, self.gpu = runs_dir, gpu or names.DEFAULT_GPU
        self.hours = hours or MOST_HOURS
        self._looked = 0.0
        prices.parse_gpu(self.gpu)
        if not 0 < self.hours <= MOST_HOURS + 1e-9:
            raise ConfigError(
                f"The hours must lie between 0 and {MOST_HOURS:.1f}, which is as long as Modal lets it run."
            )

    # -- starting --------------------------------------------------------------------------------------------------

    def launch(self, config: RunConfig, name: str) -> Path:
        """Make the run's directory here and have it trained on Modal. Returns the directory.

        UserError if the name is taken here or there, if a data file is too large, or if Modal refuses: then nothing
        is left behind. If Modal does not answer, the run is kept as waiting, and followed if it has begun after all.
        """
        from remote.transfer.local_data import stage

        config = self.fitted(config)
        directory = create_run(config, name, self.runs_dir).resolve()
        try:
            _queued(directory, self.gpu, "asking Modal").write(directory)
            if is_on_volume(name):
                raise RunError(f"There is already a run {name} on Modal; choose another name, or pull it.")
            staged, data = stage(config)
            self._send(directory, {"name": name, "data": data}, staged)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return directory

    def resume(self, name: str, assignments: Sequence[str] = ()) -> Path:
        """Go on with a run on Modal from its last checkpoint there; one that is only here is pushed first."""
        from remote.transfer import push
        from remote.transfer.local_data import stage

        directory = own_run(name, self.runs_dir).resolve()
        status = read_status(directory)
        if status.is_active:
            raise RunError(f"The run {directory.name} is training already.")
        wrong = [text for text in assignments if not text.startswith(CHANGEABLE)]
        if wrong:
            raise ConfigError(f"A resumed run keeps its model, tokenizer and data: {wrong[0]!r} cannot be changed.")
        config = self.fitted(read_config(directory).with_overrides(assignments))
        if status.state == "done" and status.step >= config.train.max_steps:
            raise RunError(f"{directory.name} has made its {status.step:,} steps; give it more steps to go on with.")
        link = {"name": directory.name, **link_of(directory)}
        there = is_on_volume(link["name"])
        trained_here = status.backend == "local" or not there
        if trained_here and (directory / "checkpoints" / "last.ckpt").is_file():  # what is there already is not sent
            push(directory.name, self.runs_dir)
            there, link = True, {**link, **link_of(directory)}
        if not there and status.step:
            raise RunError(
                f"The checkpoints of {directory.name} are neither here nor on Modal: it cannot be gone on with."
            )
        staged, data = stage(config)
        changes = [*assignments, f"train.devices={config.train.devices}"]
        self._send(directory, {**link, "data": {**link.get("data", {}), **data}}, staged, tuple(changes), there)
        write_json(directory / "config.json", config.to_dict())
        return directory

    def fitted(self, config: RunConfig) -> RunConfig:
        """The configuration, with a process for each of the GPUs."""
        _, count = prices.parse_gpu(self.gpu)
        return replace(config, train=replace(config.train, devices=count))

    def _send(
        self, directory: Path, link: dict[str, Any], config: RunConfig, assignments: tuple[str, ...] = (),
        resume: bool = False,
    ) -> None:  # fmt: skip
        launch = secrets.token_hex(8)
        price = config.train.num_nodes * prices.usd_per_hour(self.gpu)
        order = Order(
            link["name"], config.to_dict(), launch, resume, assignments, self.gpu, price, self.hours
        ).__dict__  # fmt: skip
        link = {**link, "launch": launch, "gpu": self.gpu, "hours": self.hours, "call_id": "", "sent": time.time()}
        write_json(directory / LINK, link)
        before = _queued(directory, self.gpu, WAITING)
        options = {"gpu": self.gpu, "timeout": min(names.MAX_HOURS * 3600, int(self.hours * 3600 + RESERVE))}
        function = names.TRAIN_CLUSTER if config.train.num_nodes > 1 else names.TRAIN
        try:
            call_id = spawn(function, options, order)
        except NoAnswer:
            replace(before, message="Modal did not answer; if the run has begun, it is found").write(directory)
        else:
            write_json(directory / LINK, {**link, "call_id": call_id})
            replace(before, call_id=call_id, price_per_hour=price).write(directory)
        ensure_followed(directory.parent)

    def check_room(self) -> None:
        """There is always room; how many train at a time is up to who asks, and to the account."""

    # -- knowing and wishing ---------------------------------------------------------------------------------------

    def status(self, name: str) -> Status:
        directory = find_run(name, self.runs_dir)
        if time.monotonic() - self._looked > 10:
            self._looked = time.monotonic()
            ensure_followed(self.runs_dir or default_runs_dir())
        return read_status(directory)

    def stop(self, name: str) -> str:
        """Ask a run to stop after its step. One that waits for a container, or does not answer after a minute, is
        cancelled: its last checkpoint on the Volume stands. Returns what happened, in words."""
        directory, link, status = self._active(name)
        waited = time.time() - link.get("asked_to_stop", time.time())
        never_began = status.state == "queued" and status.step == 0 and link.get("call_id")
        if never_began or waited > GRACE:
            if not link.get("call_id"):
                raise CloudError(
                    f"{directory.name} has no call at Modal that could be cancelled; it is not running there."
                )
            cancel(link["call_id"])
            write_json(directory / LINK, {**link, "cancelled": True})
            words = "cancelled before it began" if never_began else "cancelled; its last checkpoint stands on Modal"
            replace(status, state="cancelled", eta=None, message=words).write(directory)
            return f"{directory.name} is {words}."
        feed.wish(CloudFeed(), link["name"], link["launch"], "stop")
        if "asked_to_stop" in link:
            return f"{directory.name} is stopping; if it has not stopped in {GRACE - waited:.0f} s, ask again."
        write_json(directory / LINK, {**link, "asked_to_stop": time.time()})
        return f"{directory.name} stops after this step; best and last weights are kept on Modal."

    def pause(self, name: str) -> str:
        """Have a run wait after its step. Its container waits too, and costs what it costs."""
        directory, link, _ = self._active(name)
        feed.wish(CloudFeed(), link["name"], link["launch"], "pause")
        (directory / "pause").touch()
        return (
            f"{directory.name} pauses after this step. Its GPU is paid for while it waits: stop it instead to go on "
            "another day."
        )

    def unpause(self, name: str) -> str:
        directory, link, _ = self._active(name)
        feed.wish(CloudFeed(), link["name"], link["launch"], "go on")
        (directory / "pause").unlink(missing_ok=True)
        return f"{directory.name} goes on."

    def _active(self, name: str) -> tuple[Path, dict[str, Any], Status]:
        directory = find_run(name, self.runs_dir)
        status, link = read_status(directory), link_of(directory)
        if not status.is_active:
            raise RunError(f"The run {directory.name} is not training (it is {status.state}).")
        if not link.get("launch"):
            raise RunError(f"The run {directory.name} does not train on Modal.")
        return directory, link, status


def _queued(directory: Path, gpu: str, message: str) -> Status:
    try:
        before = read_status(directory)
    except UserError:
        before = Status()
    steps = read_config(directory).train.max_steps
    return Status(
        step=before.step, steps=steps, seconds=before.seconds, rented_seconds=before.rented_seconds, backend="modal",
        machine=gpu, price_per_hour=prices.usd_per_hour(gpu), started=time.time(), message=message,
    )  # fmt: skip
