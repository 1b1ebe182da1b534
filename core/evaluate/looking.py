"""The search for what is evaluated in the training data, step by step: it tells how far it is, and it can be stopped.

It needs the texts and the run's configuration, not its model, so it is made here wherever the model computes.
"""

import queue
import threading
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import DataError

if TYPE_CHECKING:
    from core.evaluate.items import Described

TICK = 0.2  # seconds between two looks of who waits


def looking(run: "Described", items: Sequence[Any]) -> Generator[tuple[float, str], None, dict[str, Any]]:
    """Shares (0 to 1) with what is done, in words; the value is `Overlap.to_dict()` or, where the training data is not
    within reach, {"summary": a sentence that says so}. Closing it ends the search.

    The search runs in a thread of its own: it calls back where a reader wants to be asked.
    """
    from core.evaluate.overlap import overlap_with_training

    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    left = threading.Event()

    def progress(share: float, what: str) -> None:
        if left.is_set():
            raise _Left
        told.put((share, what))

    def search() -> None:
        try:
            told.put(overlap_with_training(run, items, progress).to_dict())  # type: ignore[arg-type]
        except DataError as error:
            told.put({"summary": str(error)})
        except _Left:
            pass
        except BaseException as error:  # raised where it is waited for
            told.put(error)

    threading.Thread(target=search, name="overlap", daemon=True).start()
    at = (0.0, "looking for it in the training data")
    try:
        while True:
            yield at
            try:
                found = told.get(timeout=TICK)
                while isinstance(found, tuple) and not told.empty():  # the newest will do
                    found = told.get()
            except queue.Empty:
                continue
            if isinstance(found, BaseException):
                raise found
            if isinstance(found, dict):
                return found
            at = found
    finally:
        left.set()


class _Left(BaseException):
    """Nobody waits for it any more. No Exception: who reads data may catch those."""
