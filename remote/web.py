"""The hosted app as a function of the cloud: one container for all visitors, which goes to sleep when nobody is there.

What it serves is in hosted.py; here is what Modal is to know of it.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import modal

from remote import names
from remote.hosting.hosted import hosted_app, read_users
from remote.image import app, is_cloud, secrets, volumes

__all__ = ["hosted_app", "web"]

CORES = 2.0


@app.function(
    cpu=CORES,
    memory=4096,
    volumes=volumes,
    secrets=secrets("signin"),
    max_containers=1,  # pages and who is signed in are remembered in it
    scaledown_window=300,
    timeout=1800,  # of a request; the gate ends each long before, as Modal would end the container with it
)
@modal.concurrent(max_inputs=100)
@modal.asgi_app()
def web() -> Any:
    """The page, the studio if there is a secret with users, and /health."""
    from playground.site import HOSTED
    from remote.hosting import quiet
    from remote.hosting.copies import Copies

    runs = Path(tempfile.gettempdir()) / "llm-scratch-web" / "runs"
    # Libraries see the cores of the machine, of which the container has a few.
    os.environ |= {HOSTED: "1", "RUNS_DIR": str(runs), "OMP_NUM_THREADS": str(int(CORES))}
    quiet.install()
    copies = Copies(names.RUNS, runs, after=lambda: follow(runs)).start()
    users = read_users(os.environ.get(names.SIGNIN_VARIABLE, ""))
    return hosted_app(users, https=is_cloud(), complete=copies.complete.is_set)


def follow(runs: Path) -> None:
    """Have the runs followed that train now."""
    if is_cloud():
        from remote.training.follow import ensure_followed

        ensure_followed(runs)
