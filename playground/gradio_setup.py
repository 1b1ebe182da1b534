"""Gradio, imported so that it is quiet and quick. Imported before anything else that imports gradio.

Quiet: no analytics, no look at newer versions. Quick: on every import Gradio parses the source of each of its
components and writes type stubs (.pyi) beside it, for editors; that is half of its import time, and two servers that
start at once write the same files. It skips components that have no source file, so for that while they have none.
"""

import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


@contextmanager
def _no_stub_files() -> Iterator[None]:
    real = inspect.getfile

    def getfile(thing: Any) -> str:
        if sys._getframe(1).f_code.co_name == "create_or_modify_pyi":
            raise OSError("no stub files, please")
        return real(thing)

    inspect.getfile = getfile  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = real


with _no_stub_files():
    import gradio  # noqa: F401
