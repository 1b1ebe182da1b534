"""Answers of Modal that come one after the other, and of which the first may take minutes: a container has to start.

Such a stream is read in a thread of its own, so that who waits for it can always be stopped. Whether waiting makes
sense is asked of Modal in a second thread: a network that is gone is told in time, a container that starts is awaited.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from queue import Empty, Full, Queue
from typing import Any, TypeVar

from remote.link import THREAD, CloudError, NoAnswer, explained

BEAT = 4.0  # seconds without an item after which Modal is asked whether it is there
BEAT_SECONDS = 6.0  # that it has to answer
LONGEST = 900.0  # seconds that an item may take, wherever Modal is
WAITING = "waiting for a container on Modal; this takes up to a minute or two"
T = TypeVar("T")
Say = Callable[[str], Any]


def pumped(
    act: Callable[[], Iterable[T]],
    alive: Callable[[], Any],
    what: str = "",
    tick: float | None = None,
    patience: int = 1,
    close: Callable[[], Any] | None = None,
    wait: float = 0.0,
) -> Generator[T | None, None, None]:
    """The items of `act()`, which calls modal. CloudError if it fails, or if Modal is no longer there.

    alive: a quick question that raises CloudError where there is no answer; so many failures in a row as `patience`
    end the stream. tick: seconds after which None is yielded where no item has come. close: called in a thread of its
    own when the reader has gone before the end, and again when the next item comes. wait: seconds that a reader who
    goes waits at most for modal to have put its things away: a program that ends meanwhile prints what it was doing.
    """
    pump = _Pump(act, alive, patience, close)
    reading = threading.Thread(target=pump.read, daemon=True, name=THREAD)
    reading.start()
    threading.Thread(target=pump.watch, daemon=True, name=THREAD).start()
    try:
        while True:
            try:
                kind, value = pump.answers.get(timeout=tick)
            except Empty:
                yield None
                continue
            if kind == "end":
                return
            if kind == "error":
                raise explained(value, what) from (value if isinstance(value, Exception) else None)
            yield value
    finally:
        pump.leave()
        if wait:
            reading.join(wait)


def told(stream: Generator[Any, None, None], say: Say | None) -> Generator[Any, None, None]:
    """A stream without its ticks; at the first of them, if nothing has come yet, what is waited for is said."""
    waiting = True
    try:
        for item in stream:
            if item is None:
                if waiting and say is not None:
                    say(WAITING)
                waiting = False
                continue
            waiting = False
            yield item
    finally:
        stream.close()


def mapped(
    method: Callable[[], Any],
    inputs: Iterator[tuple],
    alive: Callable[[], Any],
    what: str,
    say: Say | None,
    ahead: int = 1_000,
    patience: int = 1,
) -> Iterator[Any]:
    """Results, or exceptions, of a method for each of its inputs, in order, by Modal's map.

    Modal's map takes all inputs at once, and can be ended only where it waits for them: so it is given as many as are
    not yet answered, up to `ahead`, and waits for another one to the end.
    """
    sent = read = 0
    left = threading.Event()

    async def fed() -> AsyncIterator[tuple]:
        nonlocal sent
        for values in inputs:
            while sent - read >= ahead:
                await nap()
            sent += 1
            yield values
        while read < sent:
            await nap()

    async def nap() -> None:  # the loop is that of the thread that reads the results
        if left.is_set():
            raise _Left
        await asyncio.sleep(0.02)

    def act() -> Iterator[Any]:
        yield from method().starmap(fed(), order_outputs=True, return_exceptions=True)

    results = pumped(act, alive, what, 1.0, patience, left.set, wait=3.0)
    try:
        for result in told(results, say):
            read += 1
            yield result
    finally:
        results.close()


class _Left(Exception):
    """Nobody waits for the results any more."""


class _Pump:
    def __init__(
        self,
        act: Callable[[], Iterable[Any]],
        alive: Callable[[], Any],
        patience: int,
        close: Callable[[], Any] | None,
    ) -> None:
        self.answers: Queue[tuple[str, Any]] = Queue(maxsize=64)
        self._act, self._alive, self._patience, self._close = act, alive, patience, close
        self._last = time.monotonic()
        self._ended = threading.Event()  # all items have come, or none will
        self._left = threading.Event()  # nobody reads any more

    def read(self) -> None:
        """All items, also those that nobody reads any more: modal's generators must not be closed in the middle."""
        try:
            for item in self._act():
                self._last = time.monotonic()
                if self._left.is_set() and self._close is not None:
                    self._close()
                self._put("item", item)
                self._last = time.monotonic()
            self._ended.set()
            self._put("end", None)
        except BaseException as error:  # whatever it is, it is the reader's
            self._ended.set()
            self._put("error", error)

    def watch(self) -> None:
        failures = 0
        while not self._ended.wait(1.0 if failures else 0.25) and not self._left.is_set():
            quiet = time.monotonic() - self._last
            if quiet < BEAT or not self.answers.empty():
                failures = 0
                continue
            try:
                if quiet > LONGEST:
                    raise NoAnswer(
                        f"Nothing came from Modal for {LONGEST / 60:.0f} minutes: look at modal.com/apps for what the "
                        "app does, then try again."
                    )
                self._alive()
                failures = 0
                self._ended.wait(BEAT)
            except Exception as error:
                failures += 1
                if failures >= self._patience or not isinstance(error, CloudError) or quiet > LONGEST:
                    self._put("error", error)
                    return

    def leave(self) -> None:
        gone = self._left.is_set() or self._ended.is_set()
        self._left.set()
        if not gone and self._close is not None:
            threading.Thread(target=self._close, daemon=True, name=THREAD).start()

    def _put(self, kind: str, value: Any) -> None:
        while not self._left.is_set():
            try:
                return self.answers.put((kind, value), timeout=0.5)
            except Full:
                continue
