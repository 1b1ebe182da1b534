"""Training processes that begin warm: forked from a process that has imported the program, not importing it anew.

They are processes like any other, with a number, a session, a command line and an end of their own; only the seconds
of importing torch and Lightning are saved. Tests whose subject is the start itself use the real ones. Linux only:
elsewhere the real ones are used throughout.

    python tests/warm.py SOCKET PADDING      what a test's first warm process starts; ends with the tests
"""

import array
import ctypes
import functools
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import core.child

SOCKET = "WARM_SOCKET"
LONGEST = 4_000  # bytes of a command line
LINUX = sys.platform == "linux"
real_detached = core.child.detached


@functools.cache
def address() -> str:
    """Where warm processes are asked for; whoever asks first starts the process that they are forked from."""
    if SOCKET in os.environ:  # this is one of them
        return os.environ[SOCKET]
    path = os.path.join(tempfile.mkdtemp(prefix="warm-"), "socket")
    command = [sys.executable, __file__, path, "x" * LONGEST]
    # Its input closes when this process ends, however it ends.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=core.child.environment(), start_new_session=True)
    while not os.path.exists(path):
        assert process.poll() is None, "no warm process"
        time.sleep(0.02)
    return path


class Process:
    """`python -m MODULE ARGUMENTS`, as much of subprocess.Popen as its users need.

    owned: it waits until the status.json in the directory that is its first argument names it, as a process that
    imports its libraries first would in any case.
    """

    def __init__(
        self, command, *, stdin=None, stdout=None, stderr=None, env=None, cwd=None, owned=False, polite=False,
        start_new_session=False, text=False, encoding=None,
    ):  # fmt: skip
        del stdin, text  # none has any; all that is said is text
        ends = os.pipe() if stdout == subprocess.PIPE else None
        null = os.open(os.devnull, os.O_RDWR)
        streams = []
        for stream, usual in ((stdout, 1), (stderr, 2)):
            known = {None: usual, subprocess.DEVNULL: null, subprocess.PIPE: ends and ends[1]}
            streams.append(known[stream] if stream is None or isinstance(stream, int) else stream.fileno())
        task = dict(
            module=command[command.index("-m") + 1], command=command, env={**(env or os.environ), SOCKET: address()},
            cwd=str(cwd or os.getcwd()), owned=owned, nice=5 * polite, session=start_new_session,
        )  # fmt: skip
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(address())
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams).tobytes())
        data = json.dumps(task).encode()
        self._connection.sendmsg([len(data).to_bytes(4, "big")], [rights])
        self._connection.sendall(data)
        self.pid = int.from_bytes(self._connection.recv(4, socket.MSG_WAITALL), "big")
        self.returncode: int | None = None
        self.stdout = open(ends[0], encoding=encoding) if ends else None
        os.close(null)
        if ends:
            os.close(ends[1])

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._connection.settimeout(timeout)
            said = self._connection.recv(1)  # its code, or nothing: it was killed
            while said and self._connection.recv(1):
                pass  # until it is gone
            while Path(f"/proc/{self.pid}").exists():
                time.sleep(0.002)
            self.returncode = said[0] if said else -signal.SIGKILL
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_) -> None:
        if self.stdout is not None:
            self.stdout.close()
        self.wait()


def detached(module: str, *arguments: str, log: Path, polite: bool = False) -> "Process | subprocess.Popen":
    """core.child.detached, warm."""
    if not LINUX:
        return real_detached(module, *arguments, log=log, polite=polite)
    with open(log, "ab") as out:
        return Process(
            [sys.executable, "-m", module, *arguments], stdout=out, stderr=out, env=core.child.environment(),
            start_new_session=True, owned=True, polite=polite,
        )  # fmt: skip


class Subprocess:
    """The module subprocess, with warm processes."""

    Popen = Process if LINUX else subprocess.Popen
    PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL


# ---------------------------------------------------------------------------- the process that they are forked from


def main(path: str) -> None:
    import lightning.pytorch.strategies.launchers.subprocess_script as launcher

    launcher.subprocess = Subprocess
    core.child.detached = detached  # before those who start processes take it
    for module in ("core.train.loop", "playground.sweeps"):
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody stays behind as a zombie
    server = socket.socket(socket.AF_UNIX)
    server.bind(path + ".new")
    server.listen(16)
    os.rename(path + ".new", path)
    while True:
        if 0 in select.select([0, server], [], [])[0]:
            Path(path).unlink()
            Path(path).parent.rmdir()
            return
        connection, _ = server.accept()
        size, rights, *_ = connection.recvmsg(4, socket.CMSG_SPACE(8), socket.MSG_WAITALL)
        streams = list(array.array("i", rights[0][2]))
        task = json.loads(connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
        if not (pid := os.fork()):
            server.close()
            return run(task, connection, streams)
        connection.sendall(pid.to_bytes(4, "big"))
        connection.close()
        for stream in streams:
            os.close(stream)


def run(task: dict, connection: socket.socket, streams: list[int]) -> None:
    """In the new process: become what was asked for."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if task["session"]:
        os.setsid()
    os.nice(task["nice"])
    os.chdir(task["cwd"])
    os.environ.clear()
    os.environ.update(task["env"])
    null = os.open(os.devnull, os.O_RDONLY)
    for number, stream in enumerate([null, *streams]):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout.reconfigure(line_buffering=True)
    command = task["command"]
    sys.argv = command[command.index("-m") + 1 :]
    show_command_line(command)
    until = time.monotonic() + 60
    while task["owned"] and not belongs_here(Path(sys.argv[1])) and time.monotonic() < until:
        time.sleep(0.005)
    code = 1
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*found in sys.modules", category=RuntimeWarning)
            runpy.run_module(task["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    finally:
        connection.sendall(bytes([code & 255]))


def show_command_line(command: list[str]) -> None:
    """What /proc/PID/cmdline shows is the memory where the arguments were handed over."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    shown = "\0".join(command).encode() + b"\0"
    assert len(shown) <= end - start
    ctypes.memmove(start, shown.ljust(end - start, b"\0"), end - start)


def belongs_here(directory: Path) -> bool:
    try:
        return json.loads((directory / "status.json").read_text())["pid"] == os.getpid()
    except (OSError, ValueError, KeyError):
        return False


if __name__ == "__main__":
    import tests.warm

    # Its names are those of the module that the rest of the program imports.
    tests.warm.main(sys.argv[1])
