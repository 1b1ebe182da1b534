"""Whether a run may be gone on with on this machine: asked before anything of it is changed."""

import os
from pathlib import Path

from core.errors import RunError
from core.run import PLACE, read_status


def check_resumable(directory: Path) -> None:
    """RunError while the run trains, here or elsewhere, and if what it learned elsewhere was not brought here: trained
    from its beginning, it would lose the weights and figures that were."""
    status, name = read_status(directory), directory.name
    if status.is_active and status.pid not in (None, os.getpid()):
        raise RunError(f"The run {name} is still training (process {status.pid}).")
    if status.backend == "local" or os.environ.get(PLACE):  # there, the place itself keeps order
        return
    place = status.backend.capitalize()
    if status.is_active:
        raise RunError(
            f"The run {name} is training on {place}: it cannot be trained here before it has ended or was stopped."
        )
    kept = [directory / "checkpoints" / f"{which}.ckpt" for which in ("last", "previous")]
    if status.step > 0 and not any(path.exists() for path in kept):
        raise RunError(
            f"The checkpoints of {name} are on {place}: go on with it there (`--on {status.backend}`), or bring them "
            f"here first with `llm-scratch pull {name} --what all`."
        )
