"""Processes of this project that are forked from the one that runs the tests, instead of being begun anew.

To begin `python -m core.train.loop` takes four seconds of imports, each time; whoever has imported torch and Lightning
already forks it in none. Within `forking()`, subprocess.Popen does so for the modules of FORKED. The rest is as ever:
children with an id, a session, signals, files and variables of their own, which import this project and Modal again,
from where a new interpreter would. Children of such children are forked, too. Only on Linux, and not where there is a
GPU, whose driver does not survive a fork: there, all is begun as ever.

It is not seen that a new interpreter comes as far; so each of these modules is also begun as ever somewhere in the
tests. A child's command line is that of its parent: see `writers` for how to find one of somebody else's.
"""

import atexit
import gc
import glob
import importlib
import inspect
import io
import logging
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import types
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

FORKED: Collection[str] = (
    "core.train.loop", "modal", "modal._container_entrypoint", "playground", "playground.sweeps",
    "remote.hosting.hosted", "remote.training.follow",
)  # fmt: skip
# Imported again, besides all that is not installed: what keeps threads, or has read variables when it was imported.
AGAIN = {"modal", "modal_proto", "synchronicity", "huggingface_hub", "wandb", "sitecustomize"}
INSTALLED = (sys.prefix, sys.base_prefix)
PARAMETERS = list(inspect.signature(subprocess.Popen._execute_child).parameters)[1:]  # type: ignore[attr-defined]


class Forking(subprocess.Popen):
    """A Popen that forks where it can. Everything after the start is that of any Popen."""

    def _execute_child(self, *values: Any) -> None:
        given = dict(zip(PARAMETERS, values, strict=True))
        command = [os.fsdecode(word) for word in given["args"]] if not given["shell"] else []
        nice = command[:2] == ["nice", "-n"]
        python, option, module, *arguments = [*command[3 * nice :], *[""] * 3]
        if (python, option) != (sys.executable, "-m") or module not in FORKED:
            super()._execute_child(*values)  # type: ignore[misc]
            return
        self.pid = os.fork()
        if self.pid == 0:
            _become(module, arguments[: len(command) - 3 * nice - 3], int(command[2]) if nice else 0, given)
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in pipes))  # type: ignore[attr-defined]


@contextmanager
def forking() -> Iterator[None]:
    possible = sys.platform == "linux" and not glob.glob("/dev/nvidia[0-9]*")
    with mock.patch.object(subprocess, "Popen", Forking) if possible else nullcontext():
        yield


def writers(file: Path | str) -> list[int]:
    """Ids of the processes that have a file open to write; or a pipe, as in "pipe:[123]"."""
    wanted = str(file.resolve()) if isinstance(file, Path) else file
    found = set()
    for link in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            # A child that was forked a moment ago still has what its parent has, such as the other ends of pipes.
            if os.readlink(link) == wanted and _flags(link.replace("/fd/", "/fdinfo/")) & os.O_ACCMODE != os.O_RDONLY:
                found.add(int(link.split("/")[2]))
        except OSError:  # it has ended, or is not ours
            continue
    return sorted(found)


def _flags(information: str) -> int:
    return int(re.findall(r"^flags:\s*(\d+)", Path(information).read_text(), re.MULTILINE)[0], 8)


# --------------------------------------------------------------------------------------------------------- in a child


def _become(module: str, arguments: list[str], nice: int, given: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        gc.freeze()  # a file of the parent that were collected here would close one of ours, of the same number
        atexit._clear()
        os.nice(nice)
        _system(given)
        _interpreter(given["env"])
        sys.argv = [sys.argv[0], *arguments]
        sys.modules["__main__"] = types.ModuleType("__main__")
        code = _run(module)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        os._exit(code)


def _run(module: str) -> int:
    try:
        runpy._run_module_as_main(module)  # type: ignore[attr-defined]
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code & 255 if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return 0


def _system(given: dict[str, Any]) -> None:
    """Signals, session, directory and files as a new process has them."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if given["start_new_session"]:
        os.setsid()
    if given["cwd"] is not None:
        os.chdir(given["cwd"])
    # First out of the way, as one of them may have the number that another is to get.
    files = [(target, os.dup(given[name])) for target, name in enumerate(("p2cread", "c2pwrite", "errwrite"))
             if given[name] != -1]  # fmt: skip
    for place, file in files:
        os.dup2(file, place)
    for file in map(int, os.listdir("/dev/fd")):
        if file > 2 and file not in given["pass_fds"]:
            try:
                os.close(file)
            except OSError:  # that of the listing itself
                pass


def _interpreter(env: Mapping[str, str] | None) -> None:
    """Variables, paths, modules and hooks as a new interpreter has them."""
    if env is not None:
        os.environ.clear()
        os.environ.update({os.fsdecode(name): os.fsdecode(value) for name, value in env.items()})
    tempfile.tempdir = None  # it remembers
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else tokenizers warns of having been forked
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _writer(1, "strict")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _writer(2, "backslashreplace")  # type: ignore[misc]
    again = AGAIN | {name for name, module in sys.modules.items() if "." not in name and not _is_installed(module)}
    for name in list(sys.modules):
        if name.partition(".")[0] in again:
            del sys.modules[name]
    _quiet_hooks()
    own = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    installed = [path for path in sys.path if path.startswith(INSTALLED)]
    sys.path[:] = [os.getcwd(), *own, *installed]
    importlib.invalidate_caches()
    try:
        importlib.import_module("sitecustomize")
    except ImportError:
        pass
    if "torch" in sys.modules:  # threads do not survive a fork, and OpenMP would wait for them
        sys.modules["torch"].set_num_threads(1)


def _writer(number: int, errors: str) -> io.TextIOWrapper:
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    file = open(number, "wb", buffering=0 if at_once else -1, closefd=False)
    return io.TextIOWrapper(file, "utf-8", errors, write_through=at_once, line_buffering=number == 2)


def _is_installed(module: Any) -> bool:
    file = getattr(module, "__file__", None)
    return all(place.startswith(INSTALLED) for place in ([file] if file else getattr(module, "__path__", ())))


def _quiet_hooks() -> None:
    """Nothing of pytest's hears of what happens here."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("_pytest")]
    sys.excepthook, sys.unraisablehook = sys.__excepthook__, sys.__unraisablehook__
    threading.excepthook = threading.__excepthook__  # type: ignore[attr-defined]
    importlib.reload(warnings)
    warnings.resetwarnings()
    for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", category)
    logging.root.handlers.clear()
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger):
            if name.partition(".")[0] in AGAIN:
                logger.handlers.clear()
                logger.setLevel(logging.NOTSET)
            for handler in logger.handlers:
                if type(handler) is logging.StreamHandler:  # of what is not imported again
                    handler.stream = sys.stderr
