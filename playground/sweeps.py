"""Starting, resuming and stopping sweeps, in this process or in one of their own.

python -m playground.sweeps DIRECTORY      what `launch_sweep` starts
"""

import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.child import detached
from core.errors import RunError, UserError
from core.run import Status
from core.sweep import SweepSpec
from playground.places import backend_at
from playground.site import here
from playground.sweep_files import Sweep, create_sweep, how_to_go_on, read_sweep, sweep_status
from playground.sweep_runner import Backend, Runner, Say


def run_sweep(sweep: Sweep, backend: Backend, say: Say) -> Status:
    """Run the sweep in this process. Ctrl-C (or SIGTERM) stops it cleanly; a second one at once."""
    runner = Runner(sweep, backend, say)
    runner.stop_file.unlink(missing_ok=True)
    before: dict[int, Any] = {}

    def ask_to_stop(number: int, _: object) -> None:
        signal.signal(number, before[number])
        say("stopping: the trial that trains finishes its step")
        runner.stop_file.touch()

    try:
        for wish in (signal.SIGTERM, signal.SIGINT):
            before[wish] = signal.signal(wish, ask_to_stop)
    except ValueError:  # not in the main thread, where signals do not arrive anyway
        pass
    try:
        return runner.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def launch_sweep(
    spec: SweepSpec, name: str, runs_dir: Path | None = None, place: str = "local", gpu: str = "", hours: float = 0.0,
    log: bool = True,
) -> Sweep:  # fmt: skip
    """Make a sweep and run it in a process of its own, which goes on when this one ends. The last four are those of
    playground.places.backend_at for each of its trials."""
    sweep = create_sweep(spec, name, runs_dir, place, gpu, hours, log)
    _start(sweep)
    return sweep


def resume_sweep(name: str, runs_dir: Path | None = None) -> Sweep:
    """Go on with a sweep that was stopped, or whose process is gone, in a process of its own."""
    sweep = read_sweep(name, runs_dir)
    if sweep_status(name, runs_dir).is_active:
        raise RunError(f"The sweep {name} is running already.")
    _start(sweep)
    return sweep


def stop_sweep(name: str, runs_dir: Path | None = None) -> str:
    """Ask a sweep to stop: what trains finishes its step, and all is kept. Returns what happened, in words."""
    sweep, status = read_sweep(name, runs_dir), sweep_status(name, runs_dir)
    if not status.is_active:
        raise RunError(f"The sweep {name} is not running (it is {status.state}).")
    try:
        (sweep.directory / "stop").touch()
    except OSError as error:
        raise RunError(f"The sweep {name} cannot be asked to stop: {error.strerror}.") from None
    return f"{name} stops after this step, and all is kept; {how_to_go_on(name)}."


def _start(sweep: Sweep) -> None:
    if here().is_hosted:
        raise RunError("The machine of this page runs no sweeps: start them from your own.")
    directory = sweep.directory.resolve()
    (directory / "stop").unlink(missing_ok=True)
    process = detached("playground.sweeps", str(directory), log=directory / "sweep.log", polite=True)
    now = Status(steps=sweep.planned, step=sum(t.step for t in sweep.trials), pid=process.pid, started=time.time())
    replace(now, message="starting").write(directory)


def main(directory: Path) -> int:
    runs_dir = directory.parent.parent

    def say(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)

    try:
        sweep = read_sweep(directory.name, runs_dir)
        run_sweep(sweep, backend_at(sweep.place, runs_dir, sweep.gpu, sweep.hours, sweep.log), say)
    except UserError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
