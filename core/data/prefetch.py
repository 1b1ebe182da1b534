"""Work that is done ahead by a thread, so that training does not wait for it, and is not kept waiting for ever.

The thread holds at most `depth` results. What goes wrong in it is raised where the results are taken. A source that
shows no sign of life for `timeout` seconds while a result is waited for is given up, in one sentence.
"""

import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from core.errors import DataError, UserError

T = TypeVar("T")
_POLL = 0.1  # seconds
_JOIN = 5.0  # seconds that closing waits for the thread


class Life:
    """Signs of life of a source, and the wish that it should end."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.stop = threading.Event()
        self.given_up = False  # it hangs: nobody waits for its end

    def beat(self) -> None:
        """To be called whenever something has arrived or is done: a long computation is no stalled source."""
        self.last = time.monotonic()
        if self.stop.is_set():
            raise _Stopped


class _Stopped(BaseException):
    """Ends the thread. No Exception: a source that catches those must not catch this."""


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Prefetch(Generic[T]):
    """An iterator over make(life), which runs in a thread. Close it, or forget it: either ends the thread.

    timeout: seconds without a beat of `life` after which the source is given up; 0: never. what: its name, for the
    sentence.
    """

    def __init__(
        self, make: Callable[[Life], Iterator[T]], depth: int = 2, timeout: float = 0.0, what: str = "The data"
    ) -> None:
        self.life, self.timeout, self.what = Life(), timeout, what
        self.queue: queue.Queue[Any] = queue.Queue(maxsize=max(1, depth))
        self.ended = False
        self.thread = threading.Thread(
            target=_work, args=(make, self.queue, self.life), name="data", daemon=True
        )  # a thread that hangs in a system call must not keep the process
        self._close = weakref.finalize(self, _finish, self.life, self.queue, self.thread)
        self.thread.start()

    def __iter__(self) -> "Prefetch[T]":
        return self

    def __next__(self) -> T:
        if self.ended:
            raise StopIteration
        asked = time.monotonic()
        while True:
            try:
                item = self.queue.get(timeout=_POLL)
                break
            except queue.Empty:
                quiet = time.monotonic() - max(self.life.last, asked)
                if self.timeout and quiet > self.timeout:
                    self.ended = True
                    self.life.stop.set()
                    self.life.given_up = True
                    raise DataError(
                        f"{self.what} has not answered for {self.timeout:,.0f} seconds; what was saved before stands. "
                        "Look at the connection, and resume."
                    ) from None
        if isinstance(item, _End):
            self.ended = True
            self.close()
            if item.error is None:
                raise StopIteration
            if isinstance(item.error, (UserError, MemoryError, OSError)):  # a full disk has its own sentence
                raise item.error
            said = " ".join(str(item.error).split())[:200].rstrip(".")
            raise DataError(f"{self.what} cannot be read on: {type(item.error).__name__}: {said}.") from item.error
        return item

    def close(self) -> None:
        """End the thread, and wait for a few seconds until it has."""
        self.ended = True
        self._close()


def _work(make: Callable[[Life], Iterator[Any]], results: "queue.Queue[Any]", life: Life) -> None:
    end, source = _End(), None
    try:
        source = make(life)
        for item in source:
            _put(results, item, life)
            del item
    except _Stopped:
        return
    except BaseException as error:  # raised again where it is waited for
        end = _End(error)
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()
    try:
        _put(results, end, life)
    except _Stopped:
        pass


def _put(results: "queue.Queue[Any]", item: Any, life: Life) -> None:
    while True:
        try:
            results.put(item, timeout=_POLL)
            life.beat()
            return
        except queue.Full:
            life.beat()


def _finish(life: Life, results: "queue.Queue[Any]", thread: threading.Thread) -> None:
    life.stop.set()
    try:  # whoever waits for room finds some
        while True:
            results.get_nowait()
    except queue.Empty:
        pass
    if thread is not threading.current_thread() and not life.given_up:
        thread.join(_JOIN)
