"""The project's own app, deployed to a stand-in for Modal's server, for the tests of a module."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import lightning  # noqa: F401  containers that train are forked from this process

from remote import names
from tests.forked import writers
from tests.remote.modal_stand_in import ModalStandIn

ROOT = Path(__file__).parent.parent.parent


def deploy(server: ModalStandIn, **environment: str) -> None:
    """By `modal deploy`, in a process of its own: what is imported here stays as it is."""
    done = subprocess.run(
        [sys.executable, "-m", "modal", "deploy", "remote/app.py"], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | server.environment() | environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@contextmanager
def deployed(directory: Path, **environment: str) -> Iterator[ModalStandIn]:
    """A server with the app; this process and those started from it speak to it. What a container would find where the
    Volume is mounted has the same path here and there: the Volume's directory."""
    with ModalStandIn(directory / "modal") as server, server.in_this_process():
        deploy(server, **environment)
        (directory / "disk").mkdir()
        server.containers.environment["TMPDIR"] = str(directory / "disk")  # that is a container's own
        (store,) = (server.directory / "volumes").iterdir()
        with (
            mock.patch.dict(os.environ, LLM_SCRATCH_STORE=str(store)),
            mock.patch.multiple(names, STORE=store, RUNS=store / "runs"),
        ):
            yield server
        assert not server.errors, server.errors[0]


def nobody_follows(runs: Path) -> bool:
    """End the process that follows the runs, if there is one. Returns whether there was."""
    pids = writers(runs / ".remote" / "follow.log")  # from its beginning on, unlike the lock
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return bool(pids)
