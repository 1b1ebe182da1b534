"""One attempt at training a run in a container: restore what is kept, train in a process of its own, keep what is new.

A container can be taken away at any moment, and the same call is then made again; so may a call whose answer was lost.
`launch.json` in the run's place on the Volume says which launch the run belongs to and whether it has come to an end,
and the run's last checkpoint says where to go on: the result is, bit for bit, that of a container that was never
taken away (on a GPU: as far as its arithmetic repeats itself).
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.child import environment
from core.config import RunConfig
from core.data.token_cache import TokenCache
from core.errors import RunError, UserError
from core.files import check_name, read_json, write_json
from core.run import PLACE, Status, create_run, read_config, read_status
from remote import names
from remote.training.feed import Feed, take, wish_of
from remote.training.saver import Saver, copy_new
from remote.transfer.manifest import write_manifest

LOOK = 0.5  # seconds between two looks at the training process
TELL = 2.0  # between two pictures for those who follow
KEEP = 30.0  # between two looks for other changes than checkpoints
PAUSE = 18.0  # seconds that a training has to come to a checkpoint when its container is taken away
RESERVE = 600.0  # seconds before the end of a container's time at which training stops by itself
CHANGEABLE = ("train.", "optim.", "decode.")


class Died(Exception):
    """The training process ended without a word: the call is to be made again."""


@dataclass(frozen=True)
class Order:
    """What is asked for, as plain values. `launch` is new for each launch and the same for each repeated call."""

    name: str
    config: dict[str, Any]
    launch: str
    resume: bool = False
    assignments: tuple[str, ...] = ()  # for the rest of a resumed run
    gpu: str = ""
    price_per_hour: float = 0.0
    hours: float = names.MAX_HOURS - RESERVE / 3600  # after which training stops, and can be gone on with
    log: bool = True  # at wandb, if the app has a key

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Order":
        known = {key: value for key, value in values.items() if key in cls.__dataclass_fields__}
        return cls(**{**known, "assignments": tuple(values.get("assignments", ()))})


@dataclass
class Attempt:
    """scratch: a fast disk of the container; kept: the runs on the Volume; commit: makes what is kept last."""

    order: Order
    scratch: Path
    kept: Path
    feed: Feed
    commit: Callable[[], None] = lambda: None
    call_id: str = ""
    environment: dict[str, str] = field(default_factory=dict)  # of the training process
    writes: bool = True  # of several machines only the first keeps and tells
    began: float = field(default_factory=time.time)
    rented_before: float = 0.0  # seconds of earlier attempts and launches

    @property
    def run(self) -> Path:
        return self.scratch / self.order.name

    @property
    def place(self) -> Path:
        return self.kept / self.order.name

    @property
    def nodes(self) -> int:
        """Hosts that the configuration asks for."""
        asked = self.order.config.get("train", {}).get("num_nodes", 1)
        return asked if isinstance(asked, int) else 1

    def refuse(self, sentence: str) -> dict[str, Any]:
        """The status of a run that is not even begun."""
        return self._answer(Status(state="failed", error=sentence))

    def work(self) -> dict[str, Any]:
        """Train to an end: of the run, of its time, or by a wish. Returns the fields of the last status.

        What is wrong with the order or the run is a status "failed" with a sentence: to try again would be no use.
        Raises Died, or whatever ended the container, when it would.
        """
        try:
            note = self._begin()
            if note.get("ended"):
                return self._answer(read_status(self.place))
            if note["attempts"] > 1 and self._is_over(note) and not _has_checkpoint(self.place):
                raise RunError(
                    f"Preparing the data took longer than the {self.order.hours:.3g} hours that the run may last: "
                    "prepare them first (`llm-scratch prepare … --on modal`)."
                )
            saver = Saver(self.run, self.place)
            self._prepare(note, saver)
        except UserError as error:
            return self.refuse(str(error))
        return self._train(note, saver)

    # -- before ----------------------------------------------------------------------------------------------------

    def _begin(self) -> dict[str, Any]:
        """launch.json, this attempt counted in. RunError if the run belongs to somebody else."""
        order = self.order
        check_name(order.name)
        if not self.writes:  # what may be done is decided by the first host
            return {"began": self.began, "attempts": 1, "rented_seconds": 0.0}
        there = (self.place / "config.json").is_file()
        note = read_json(self.place / "launch.json") if (self.place / "launch.json").exists() else {}
        if note.get("launch") != order.launch:
            if there and not order.resume:
                raise RunError(f"There is already a run {order.name} on Modal; choose another name, or resume it.")
            if not there and order.resume:
                raise RunError(f"There is no run {order.name} on Modal to go on with; push it first.")
            before = note.get("rented_seconds", 0.0)
            note = {"launch": order.launch, "began": self.began, "attempts": 0, "rented_seconds": before}
        note["attempts"] += 1
        note["call_id"] = self.call_id
        self.rented_before = note["rented_seconds"]
        return note

    def _prepare(self, note: dict[str, Any], saver: Saver) -> None:
        order = self.order
        self.scratch.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.run, ignore_errors=True)  # of an earlier attempt in this container
        copy_new(self.kept / ".cache" / "tokens", self.scratch / ".cache" / "tokens")
        if not saver.restore():
            create_run(RunConfig.from_dict(order.config), order.name, self.scratch)
        elif order.assignments and not note.get("assigned"):
            wrong = [text for text in order.assignments if not text.startswith(CHANGEABLE)]
            if wrong:
                raise RunError(f"A resumed run keeps its model, tokenizer and data: {wrong[0]!r} cannot be changed.")
            changed = read_config(self.run).with_overrides(order.assignments)
            write_json(self.run / "config.json", changed.to_dict())
        note["assigned"] = True
        if not self._can_resume():  # taken away before its first checkpoint: from the start
            for name in ("metrics.jsonl", "samples.jsonl", "model.safetensors"):
                (self.run / name).unlink(missing_ok=True)
        before = read_status(self.run)
        Status(step=before.step, steps=before.steps, seconds=before.seconds, message="starting on Modal").write(
            self.run
        )
        self._keep(note, saver)

    def _can_resume(self) -> bool:
        return _has_checkpoint(self.run)

    def _is_over(self, note: dict[str, Any]) -> bool:
        return time.time() - note["began"] > self.order.hours * 3600

    def _rented(self) -> float:
        return round(self.rented_before + time.time() - self.began, 1)

    # -- while it trains -------------------------------------------------------------------------------------------

    def _train(self, note: dict[str, Any], saver: Saver) -> dict[str, Any]:
        process = self._start()
        told = kept = 0.0
        try:
            while process.poll() is None:
                now = time.time()
                if now - told >= TELL:
                    told = now
                    self._hear(note)
                    self._tell()
                if saver.checkpoint_is_new() or now - kept >= KEEP:
                    kept = now
                    self._keep(note, saver, wandb=False)
                time.sleep(LOOK)
        except BaseException:  # the container is taken away, or the call was cancelled
            self._come_to_rest(process)
            self._keep(note, saver)
            self._tell(state="failed", error="The container was taken away.")  # until another one tells
            raise
        return self._end(process.returncode, note, saver)

    def _start(self) -> subprocess.Popen:
        place = {
            "backend": "modal", "call_id": self.call_id, "machine": self.order.gpu, "pid": None,
            "price_per_hour": self.order.price_per_hour,
        }  # fmt: skip
        command = [sys.executable, "-m", "core.train.loop", str(self.run), "--echo"]
        variables = environment(**{PLACE: json.dumps(place)}, **self.environment)
        if self._can_resume():
            command.append("--resume")
        # In a session of its own: an interrupt is for this process, which has training pause. To training it is a stop.
        return subprocess.Popen(command, env=variables, start_new_session=True)

    def _hear(self, note: dict[str, Any]) -> None:
        """Do what is wished; stop when the time is over."""
        wished = wish_of(self.feed, self.order.name, self.order.launch) if self.writes else ""
        if self._is_over(note):
            note["over"] = True
        if wished == "stop" or note.get("over"):
            (self.run / "stop").touch()
        elif wished == "pause":
            (self.run / "pause").touch()
        elif wished == "go on":
            (self.run / "pause").unlink(missing_ok=True)

    def _tell(self, **more: Any) -> None:
        """Have those who follow see the run as it is; more: fields of its status that are otherwise."""
        if not self.writes:
            return
        status = {"rented_seconds": self._rented(), "backend": "modal", "machine": self.order.gpu,
                  "call_id": self.call_id, "price_per_hour": self.order.price_per_hour, **more}  # fmt: skip
        try:
            self.feed.put(self.order.name, take(self.run, self.order.launch, self.call_id, status).to_dict())
        except Exception as error:  # whoever follows sees less for a while; what is trained is not harmed
            print(f"the feed was not told: {type(error).__name__}: {error}", file=sys.stderr, flush=True)

    def _keep(self, note: dict[str, Any], saver: Saver, wandb: bool = True, last: bool = False) -> None:
        if not self.writes:
            return
        note["rented_seconds"] = self._rented()
        self.place.mkdir(parents=True, exist_ok=True)
        write_json(self.place / "launch.json", note)  # first: files without it belong to nobody
        saver.save(wandb)
        copy_new(self.scratch / ".cache" / "tokens", self.kept / ".cache" / "tokens")
        if last:
            TokenCache.beside(self.kept).make_room()
            write_manifest(self.place)  # whoever fetches the run checks it against this
        self.commit()

    def _come_to_rest(self, process: subprocess.Popen) -> None:
        """Have a checkpoint written at the step that is being made, if there is time, and end the process.

        It is paused, not stopped: a stop validates, and the curve would have a point that no other attempt has.
        """
        (self.run / "pause").touch()
        end = time.time() + PAUSE
        while process.poll() is None and time.time() < end and read_status(self.run).state != "paused":
            time.sleep(0.1)
        process.kill()
        process.wait()
        (self.run / "pause").unlink(missing_ok=True)

    # -- after -----------------------------------------------------------------------------------------------------

    def _end(self, code: int, note: dict[str, Any], saver: Saver) -> dict[str, Any]:
        status = read_status(self.run)
        died = status.is_active if self.writes else code != 0  # the others write no status
        if died:
            status = replace(status, state="failed", error=f"The training process ended with code {code}.")
        if note.get("over") and status.state == "cancelled":
            status = replace(status, message=f"stopped after {self.order.hours:.3g} hours; it can be gone on with")
        status = replace(
            status, rented_seconds=self._rented(), backend="modal", pid=None, call_id=self.call_id,
            machine=self.order.gpu, price_per_hour=self.order.price_per_hour,
        )  # fmt: skip
        if self.writes:
            status.write(self.run)
        note["ended"] = not died
        self._tell()
        self._keep(note, saver, last=True)
        if died:
            raise Died(status.error)
        return self._answer(status)

    def _answer(self, status: Status) -> dict[str, Any]:
        return {**status.__dict__, "backend": "modal", "call_id": self.call_id}


def _has_checkpoint(run: Path) -> bool:
    return any((run / "checkpoints" / f"{name}.ckpt").is_file() for name in ("last", "previous"))
