"""Processes that are started from here: how they find this project, and how they outlive their parent."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).resolve().parent.parent


def environment(**more: str) -> dict[str, str]:
    """Variables of a process that is to import this project, wherever it runs, and whose lines come as they are."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}


def detached(module: str, *arguments: str, log: Path, polite: bool = False) -> subprocess.Popen:
    """Run `python -m MODULE ARGUMENTS` in a session of its own: neither Ctrl-C nor the end of this process reaches it.

    What it says is appended to `log`. polite: others' processes come first.
    """
    nice = ["nice", "-n", "5"] if polite and shutil.which("nice") else []
    with open(log, "ab") as out:
        process = subprocess.Popen(
            [*nice, sys.executable, "-m", module, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True, env=environment(),
        )  # fmt: skip
    Thread(target=process.wait, daemon=True).start()  # so that it does not stay behind as a zombie
    return process
