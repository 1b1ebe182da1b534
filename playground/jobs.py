"""Starting, following and stopping training runs on this machine.

A run trains in a process of its own and session of its own: it goes on when the app ends. Nothing is remembered here;
what a run does is read from its directory, so that any number of pages and terminals can follow and stop it.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import core
from core.config import RunConfig
from core.errors import RunError
from core.run import (
    RunInfo,
    Status,
    create_run,
    default_runs_dir,
    find_run,
    has_model,
    list_runs,
    read_config,
    read_metrics,
    read_samples,
    read_status,
)  # fmt: skip

MAX_RUNNING = 2  # local runs at a time
GRACE = 10.0  # seconds that a run has to stop by itself before it can be made to
LOG_TAIL = 16_000  # bytes of train.log that are read

_launching = Lock()


@dataclass(frozen=True)
class Progress:
    """All that there is to see of a run at one moment."""

    name: str
    status: Status
    metrics: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""
    has_model: bool = False


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
            self._with_last_words(directory, read_status(directory)),
            read_metrics(directory),
            read_samples(directory),
            read_log(directory),
            has_model(directory),
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

    def resume(self, name: str) -> Path:
        """Go on with a run that was stopped or has failed, from its last checkpoint."""
        with _launching:
            self.check_room()
            directory = find_run(name, self.runs_dir).resolve()
            if read_status(directory).is_active:
                raise RunError(f"The run {directory.name} is training already.")
            read_config(directory)
            self._start(directory, "--resume")
        return directory

    def check_room(self) -> None:
        names = [info.name for info in self.running()]
        if len(names) >= MAX_RUNNING:
            raise RunError(
                f"{len(names)} runs are training on this machine ({', '.join(names)}), as many as it takes at a time: "
                "stop one, or wait until one is done."
            )

    def _start(self, directory: Path, *options: str) -> None:
        root = str(Path(core.__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        polite = ["nice", "-n", "5"] if shutil.which("nice") else []  # the page stays quick beside it
        with open(directory / "train.log", "ab") as log:
            process = subprocess.Popen(
                [*polite, sys.executable, "-m", "core.train.loop", str(directory), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # neither Ctrl-C nor the end of the app reaches it
                env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            )
        steps = read_status(directory).steps
        # Until the process has imported its libraries it cannot say this itself.
        Status(steps=steps, pid=process.pid, started=time.time(), message="starting").write(directory)
        Thread(target=process.wait, daemon=True).start()  # so that it does not stay behind as a zombie

    # -- stopping --------------------------------------------------------------------------------------------------

    def stop(self, name: str) -> str:
        """Ask a run to stop after its step (it validates and keeps best and last). Returns what happened, in words.

        Asked again after a grace period, a run that does not answer is ended by force; its last checkpoint stands.
        """
        directory = find_run(name, self.runs_dir)
        status = read_status(directory)
        if not status.is_active:
            raise RunError(f"The run {directory.name} is not training (it is {status.state}).")
        stop = directory / "stop"
        if not stop.exists():
            try:
                stop.touch()
            except OSError as error:
                raise RunError(f"The run {directory.name} cannot be asked to stop: {error.strerror}.") from None
            return f"{directory.name} stops after this step; best and last weights are kept."
        waited = time.time() - stop.stat().st_mtime
        if waited < GRACE:
            return f"{directory.name} is stopping; if it has not stopped in {GRACE - waited:.0f} s, ask again."
        if status.backend != "local" or status.pid is None or not _is_training(status.pid, directory):
            raise RunError(f"The run {directory.name} does not answer, and its process is not found on this machine.")
        os.kill(status.pid, signal.SIGKILL)
        now = replace(status, state="cancelled", eta=None, message="ended by force; the last checkpoint stands")
        now.write(directory)
        stop.unlink(missing_ok=True)
        return f"{directory.name} did not answer and was ended by force; its last checkpoint stands."


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
