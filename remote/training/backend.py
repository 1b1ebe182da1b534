"""Runs that train on Modal, started, wished at and known by the same words as those of this machine.

A launched run has a directory here from the start, with a copy of its configuration and a status; follow.py brings it
up to date while the run trains, whoever looks. All that is remembered is in that directory, so that the page may be
closed, and the machine switched off, without a run being lost.
"""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import RunConfig
from core.errors import ConfigError, RunError, UserError
from core.files import write_json
from core.run import Status, create_run, default_runs_dir, find_run, read_config, read_status
from core.runs_admin import own_run
from remote import names, prices
from remote.calls import LINK, CloudFeed, account, cancel, is_on_volume, link_of, outcome, read_note, spawn
from remote.link import Refused
from remote.training import feed
from remote.training.attempt import CHANGEABLE, RESERVE, Order
from remote.training.follow import ensure_followed

GRACE = 60.0  # seconds that a run has to stop by itself before it can be made to
MOST_HOURS = names.MAX_HOURS - RESERVE / 3600
STALE = 3600.0  # seconds after which a name counts as free that was claimed, and never used
WAITING = "waiting for a container on Modal"
DOUBTFUL = "Modal did not answer; if the run has begun, it is found"


class ModalBackend:
    """gpu: such as "L4" or "H100:2". hours: after which a run is stopped; it can be gone on with. log: at wandb, if the
    app has its secret. say: is told what is being done while a run is launched."""

    name = "modal"

    def __init__(
        self, runs_dir: Path | None = None, gpu: str = "", hours: float = 0.0, log: bool = True,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:  # fmt: skip
        self.runs_dir, self.gpu, self.log, self.say = runs_dir, gpu or names.DEFAULT_GPU, log, say
        self.hours = min(hours or MOST_HOURS, MOST_HOURS)
        self._looked = 0.0
        prices.parse_gpu(self.gpu)
        if not 0 < hours <= names.MAX_HOURS and hours:
            raise ConfigError(f"Modal lets a run train for up to {names.MAX_HOURS} hours at a time, not for {hours:g}.")

    # -- starting --------------------------------------------------------------------------------------------------

    def launch(self, config: RunConfig, name: str) -> Path:
        """Make the run's directory here and have it trained on Modal. Returns the directory.

        UserError if the name is taken here or there, if a data file is too large, or if Modal refuses: then nothing
        is left behind. If Modal does not answer, the run is kept as waiting, and followed if it has begun after all.
        """
        from remote.transfer.local_data import stage

        config = self.fitted(config)
        directory = create_run(config, name, self.runs_dir).resolve()
        claimed = False
        try:
            # Until Modal is asked it is a matter of this process: should it end, the run is seen to have failed.
            Status(steps=config.train.max_steps, pid=os.getpid(), message="asking Modal").write(directory)
            if is_on_volume(name) or not self._claim(name):
                raise RunError(f"There is already a run {name} on Modal; choose another name, or pull it.")
            claimed = True
            staged, data = stage(config, progress=self._sending("the data"))
            self._send(directory, {"name": name, "data": data}, staged)
        except BaseException:
            if not link_of(directory).get("launch"):  # Modal was not asked, or has refused
                shutil.rmtree(directory, ignore_errors=True)
                if claimed:
                    _quietly(lambda: CloudFeed().drop(f"{name}/owner"))
            raise
        return directory

    def resume(self, name: str, assignments: Sequence[str] = ()) -> Path:
        """Go on with a run on Modal from its last checkpoint there; what is newer here is pushed first."""
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
        if there:
            _refuse_if_it_trains(link["name"])
        trained_here = status.backend == "local" or not there
        if trained_here and (directory / "checkpoints" / "last.ckpt").is_file():  # what is there already is not sent
            push(directory.name, self.runs_dir, progress=self._sending("the run"))
            there, link = True, {**link, **link_of(directory)}
        if not there and status.step:
            raise RunError(
                f"The checkpoints of {directory.name} are neither here nor on Modal: it cannot be gone on with."
            )
        staged, data = stage(config, progress=self._sending("the data"))
        changes = [*assignments, f"train.devices={config.train.devices}"]
        self._send(directory, {**link, "data": {**link.get("data", {}), **data}}, staged, tuple(changes), there)
        write_json(directory / "config.json", config.to_dict())
        return directory

    def fitted(self, config: RunConfig) -> RunConfig:
        """The configuration, with a process for each of the GPUs."""
        _, count = prices.parse_gpu(self.gpu)
        return replace(config, train=replace(config.train, devices=count))

    def _claim(self, name: str) -> bool:
        """Whether the name is ours: of two launches at the same moment one gets it."""
        key, ours = f"{name}/owner", {"time": time.time(), "number": secrets.token_hex(8)}
        if CloudFeed().claim(key, ours):
            return True
        other = CloudFeed().get(key)
        if isinstance(other, dict) and time.time() - float(other.get("time") or 0) < STALE:
            return False
        CloudFeed().put(key, ours)  # of a launch that never came to anything
        return True

    def _sending(self, what: str) -> Callable[[int, int, str], None]:
        last = [0.0]

        def tell(done: int, total: int, file: str) -> None:
            if time.monotonic() - last[0] > 0.5:
                last[0] = time.monotonic()
                self.say(f"sending {what}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")

        return tell

    def _send(
        self, directory: Path, link: dict[str, Any], config: RunConfig, assignments: tuple[str, ...] = (),
        resume: bool = False,
    ) -> None:  # fmt: skip
        """Make the call. A refusal is raised, and the directory is as it was; whatever else goes wrong leaves it in
        doubt whether the run trains, and it is followed."""
        launch, price = secrets.token_hex(8), config.train.num_nodes * prices.usd_per_hour(self.gpu)
        order = Order(
            link["name"], config.to_dict(), launch, resume, assignments, self.gpu, price, self.hours, self.log
        ).__dict__  # fmt: skip
        before, status = link_of(directory), read_status(directory)
        of_this_launch = {
            "launch": launch, "gpu": self.gpu, "hours": self.hours, "log": self.log, "call_id": "", "sent": time.time(),
            "account": account(), "asked_to_stop": None, "cancelled": False,
        }  # fmt: skip
        write_json(directory / LINK, {**link, **of_this_launch})
        queued = Status(
            step=status.step, steps=config.train.max_steps, seconds=status.seconds, started=time.time(),
            rented_seconds=status.rented_seconds, backend="modal", machine=self.gpu, price_per_hour=price,
            message=DOUBTFUL,
        )  # fmt: skip
        queued.write(directory)
        self.say("asking Modal for a container")
        options = {"gpu": self.gpu, "timeout": min(names.MAX_HOURS * 3600, int(self.hours * 3600 + RESERVE))}
        function = names.TRAIN_CLUSTER if config.train.num_nodes > 1 else names.TRAIN
        try:
            call_id = spawn(function, options, order)
        except Refused:
            write_json(directory / LINK, before)
            status.write(directory)
            raise
        except UserError:
            pass  # in doubt; an interrupt is raised, and leaves it in doubt too
        else:
            write_json(directory / LINK, {**link, **of_this_launch, "call_id": call_id})
            replace(queued, call_id=call_id, message=WAITING).write(directory)
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
        feed.wish(CloudFeed(), link["name"], link["launch"], "stop")  # also to one that only begins later
        asked, call_id = link.get("asked_to_stop"), link.get("call_id")
        waited = time.time() - asked if asked else 0.0
        if not asked:
            write_json(directory / LINK, {**link_of(directory), "asked_to_stop": time.time()})
        never_began = status.state == "queued" and status.step == 0
        if never_began and not call_id:
            replace(status, state="cancelled", message="Modal never confirmed it; if it begins, it stops").write(
                directory
            )
            return f"{directory.name} is given up: Modal never confirmed it, and if it begins, it stops at once."
        if call_id and (never_began or waited > GRACE):
            cancel(call_id)
            write_json(directory / LINK, {**link_of(directory), "cancelled": True})
            replace(status, state="stopping", eta=None, message="cancelled on Modal").write(directory)
            ensure_followed(directory.parent)  # the end, and what came of it, is for whoever follows
            words = "before it began" if never_began else "by force; its last checkpoint stands on Modal"
            return f"{directory.name} is cancelled {words}."
        if asked:
            return f"{directory.name} is stopping; if it has not stopped in {GRACE - waited:.0f} s, ask again."
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


def _refuse_if_it_trains(name: str) -> None:
    """RunError if the run trains on Modal now, launched from wherever."""
    note = read_note(name)
    call_id = note.get("call_id")
    if call_id and not note.get("ended") and outcome(str(call_id)).state == "pending":
        raise RunError(f"The run {name} is training on Modal already; pull it to follow it here.")


def _quietly(act: Callable[[], None]) -> None:
    """What is only tidy: if Modal cannot be reached, it is left."""
    try:
        act()
    except UserError:
        pass
