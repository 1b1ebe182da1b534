"""Starting, following, pausing and stopping training runs on this machine.

A run trains in a process of its own and session of its own: it goes on when the app ends. Nothing is remembered here;
what a run does is read from its directory, so that any number of pages and terminals can follow and stop it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from core.child import detached
from core.config import RunConfig
from core.errors import RunError
from core.run import (
    BUNDLED,
    RunInfo,
    Status,
    create_run,
    default_runs_dir,
    find_run,
    has_model,
    list_runs,
    read_config,
    read_metrics,
    read_status,
)  # fmt: skip
from core.runs_admin import own_run
from core.train.resuming import check_resumable
from playground.figures import Figures, read_figures, read_samples
from playground.resuming import change_rest
from playground.site import here

MAX_RUNNING = 2  # local runs at a time
GRACE = 10.0  # seconds that a run has to stop by itself before it can be made to
LOG_TAIL = 16_000  # bytes of train.log that are read

_launching = Lock()


@dataclass(frozen=True)
class Progress:
    """All that there is to see of a run at one moment."""

    name: str
    directory: Path
    status: Status
    figures: Figures
    samples: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""
    has_model: bool = False
    snapshots: int = 0  # copies of the weights that were kept on the way
    pausing: bool = False  # it was asked to pause
    resumable: bool = False  # it can go on from where it ended
    offline_id: str = ""  # of what wandb logged offline and has not sent

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, all of them."""
        return read_metrics(self.directory)

    @property
    def reached(self) -> int:
        """The last step that is known of."""
        steps = self.figures["step"]
        return max(self.status.step, int(np.nanmax(steps)) if len(steps) else 0)


class LocalBackend:
    """Training as processes of this machine."""

    name = "local"

    def __init__(self, runs_dir: Path | None = None) -> None:
        self.runs_dir = runs_dir

    # -- reading ---------------------------------------------------------------------------------------------------

    def runs(self) -> list[RunInfo]:
        """All runs, bundled ones first; one whose process died is failed, with its last words."""
        return [
            replace(info, status=self._with_last_words(info.directory, info.status))
            for info in list_runs(self.runs_dir)
        ]

    def status(self, name: str) -> Status:
        directory = find_run(name, self.runs_dir)
        return self._with_last_words(directory, read_status(directory))

    def progress(self, name: str) -> Progress:
        """RunError if there is no such run."""
        directory = find_run(name, self.runs_dir)
        return Progress(
            directory.name,
            directory,
            self._with_last_words(directory, read_status(directory)),
            read_figures(directory),
            read_samples(directory),
            read_log(directory),
            has_model(directory),
            sum(1 for _ in (directory / "snapshots").glob("step-*.safetensors")),
            (directory / "pause").exists(),
            directory.parent != BUNDLED and _can_go_on(directory),
            next((p.name.rpartition("-")[2] for p in (directory / "wandb").glob("offline-run-*")), ""),
        )

    def running(self) -> list[RunInfo]:
        """The runs that train on this machine now."""
        return [info for info in list_runs(self.runs_dir) if info.status.is_active and info.status.backend == "local"]

    @staticmethod
    def _with_last_words(directory: Path, status: Status) -> Status:
        """A process that was killed could not say why it ended: its log's last line may."""
        if status.state != "failed" or not status.error.startswith("The training process is gone"):
            return status
        words = last_words(read_log(directory))
        return replace(status, error=f"{status.error} Its last words: {words}") if words else status

    # -- starting --------------------------------------------------------------------------------------------------

    def launch(self, config: RunConfig, name: str) -> Path:
        """Make the run's directory and train it in a new process. Returns the directory.

        RunError if the name is taken, or if as many runs as this machine can bear are training.
        """
        with _launching:
            self.check_room()
            directory = create_run(config, name, self.runs_dir).resolve()
            self._start(directory)
        return directory

    def resume(self, name: str, assignments: Sequence[str] = ()) -> Path:
        """Go on with a run that was stopped, has failed or is done, from its last checkpoint.

        assignments: `section.field=value` of how the rest is trained. RunError if there is nothing left to train.
        """
        with _launching:
            self.check_room()
            directory = own_run(name, self.runs_dir).resolve()
            status = read_status(directory)
            if status.is_active:
                raise RunError(f"The run {directory.name} is training already.")
            check_resumable(directory)
            config = read_config(directory).with_overrides(assignments)
            if status.state == "done" and status.step >= config.train.max_steps:
                raise RunError(
                    f"{directory.name} has made its {status.step:,} steps; give it more steps to go on with."
                )
            change_rest(directory, assignments)
            self._start(directory, "--resume")
        return directory

    def check_room(self) -> None:
        """RunError if no other run can be trained on this machine now."""
        if here().is_hosted:
            raise RunError("The machine of this page trains nothing: choose Modal as the place to run.")
        names = [info.name for info in self.running()]
        if len(names) >= MAX_RUNNING:
            raise RunError(
                f"{len(names)} runs are training on this machine ({', '.join(names)}), as many as it takes at a time: "
                "stop one, or wait until one is done."
            )

    def _start(self, directory: Path, *options: str) -> None:
        before, steps = read_status(directory), read_config(directory).train.max_steps
        for wish in ("stop", "pause"):  # of the time before
            (directory / wish).unlink(missing_ok=True)
        with open(directory / "train.log", "ab") as log:
            # So that its last words are its own, should it be killed before it can say anything.
            log.write(f"{time.strftime('%H:%M:%S')}  {'going on' if options else 'starting'}\n".encode())
        process = detached("core.train.loop", str(directory), *options, log=directory / "train.log", polite=True)
        # Until the process has imported its libraries it cannot say this itself.
        now = Status(step=before.step, steps=steps, seconds=before.seconds, pid=process.pid, started=time.time())
        replace(now, message="starting").write(directory)

    # -- pausing and stopping --------------------------------------------------------------------------------------

    def pause(self, name: str) -> str:
        """Ask a run to wait after its step; its process stays. Returns what happened, in words."""
        directory, status = self._active(name)
        if status.state == "stopping":
            raise RunError(f"The run {directory.name} is stopping; resume it once it has stopped.")
        self._wish(directory, "pause")
        return f"{directory.name} pauses after this step and keeps its place."

    def unpause(self, name: str) -> str:
        """Have a paused run go on. Returns what happened, in words."""
        directory, _ = self._active(name)
        if not (directory / "pause").exists():
            raise RunError(f"The run {directory.name} is not paused.")
        try:
            (directory / "pause").unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"The run {directory.name} cannot be asked to go on: {error.strerror}.") from None
        return f"{directory.name} goes on."

    def _active(self, name: str) -> tuple[Path, Status]:
        directory = find_run(name, self.runs_dir)
        status = read_status(directory)
        if not status.is_active:
            raise RunError(f"The run {directory.name} is not training (it is {status.state}).")
        return directory, status

    @staticmethod
    def _wish(directory: Path, what: str) -> None:
        try:
            (directory / what).touch()
        except OSError as error:
            raise RunError(f"The run {directory.name} cannot be asked to {what}: {error.strerror}.") from None

    def stop(self, name: str) -> str:
        """Ask a run to stop after its step (it validates and keeps best and last). Returns what happened, in words.

        Asked again after a grace period, a run that does not answer is ended by force; its last checkpoint stands.
        """
        directory, status = self._active(name)
        stop = directory / "stop"
        if not stop.exists():
            self._wish(directory, "stop")
            return f"{directory.name} stops after this step; best and last weights are kept."
        waited = time.time() - stop.stat().st_mtime
        if waited < GRACE:
            return f"{directory.name} is stopping; if it has not stopped in {GRACE - waited:.0f} s, ask again."
        if status.backend != "local" or status.pid is None or not _is_training(status.pid, directory):
            raise RunError(f"The run {directory.name} does not answer, and its process is not found on this machine.")
        os.kill(status.pid, signal.SIGKILL)
        now = replace(status, state="cancelled", eta=None, message="ended by force; the last checkpoint stands")
        now.write(directory)
        for wish in (stop, directory / "pause"):
            wish.unlink(missing_ok=True)
        return f"{directory.name} did not answer and was ended by force; its last checkpoint stands."


def _can_go_on(directory: Path) -> bool:
    """Whether there is a checkpoint; that of a run which trains elsewhere is there."""
    return (directory / "checkpoints" / "last.ckpt").is_file() or read_status(directory).backend == "modal"


def _is_training(pid: int, directory: Path) -> bool:
    """Whether that process trains this run (`-m core.train.loop DIRECTORY` or `train ... --run-name NAME`): process
    numbers are used again by the system."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        try:
            command = subprocess.run(
                ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, timeout=5, check=False, text=True
            ).stdout.split()
        except (OSError, subprocess.SubprocessError):
            return False
    trains = "core.train.loop" in command or "train" in command
    return trains and any(Path(part.rpartition("=")[2]).name == directory.name for part in command)


def read_log(directory: Path) -> str:
    """The end of train.log, beginning with a whole line."""
    try:
        with open(directory / "train.log", "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_TAIL))
            data = file.read()
    except OSError:
        return ""
    text = data.decode("utf-8", "replace")
    return text.partition("\n")[2] if size > LOG_TAIL else text


def last_words(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def unused_name(stem: str, runs_dir: Path | None = None) -> str:
    """A run name beginning with `stem` that is not taken: stem-1, stem-2 ..."""
    taken = {info.name for info in list_runs(runs_dir)}
    parent = runs_dir or default_runs_dir()
    number = 1
    while f"{stem}-{number}" in taken or (parent / f"{stem}-{number}").exists():
        number += 1
    return f"{stem}-{number}"
