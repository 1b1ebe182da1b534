"""Work that takes long and says what it is doing, for an event of the page that shows it."""

from collections.abc import Callable, Iterator
from contextvars import copy_context
from queue import Queue
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Work(Generic[T]):
    """Begins `act` in a thread; it is given a function that takes sentences. Iterate over these to their end, then ask
    for the `result`. Who does not wait for the end leaves the work alone: it goes on.

    >>> work = Work(lambda say: say("half") or 42)
    >>> list(work), work.result()
    (['half'], 42)
    """

    def __init__(self, act: Callable[[Callable[[str], None]], T]) -> None:
        self._said: Queue[str | None] = Queue()
        self._values: list[T] = []
        self._error: BaseException | None = None

        def work() -> None:
            try:
                self._values.append(act(self._said.put))
            except BaseException as error:  # whatever it is, it is the asker's
                self._error = error
            finally:
                self._said.put(None)

        # In the context of the event, to which the site belongs.
        Thread(target=copy_context().run, args=(work,), daemon=True).start()

    def __iter__(self) -> Iterator[str]:
        while (text := self._said.get()) is not None:
            yield text

    def result(self) -> T:
        """What the work came to. Raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._values[0]
