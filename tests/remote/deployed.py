"""The project's own app, deployed to a stand-in for Modal's server, for the tests of a module."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    """A server with the app; this process and those started from it speak to it."""
    with ModalStandIn(directory / "modal") as server, server.in_this_process():
        deploy(server, **environment)
        yield server
        assert not server.errors, server.errors[0]
