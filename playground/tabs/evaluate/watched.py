"""A function that tells how far it is, watched: run in a thread of its own, so that a page can stop it."""

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
EVERY = 0.3  # seconds between two looks
Tell = Callable[[float, str], None]


class Watched(Generic[T]):
    """`for share in watched: ...` tells how far it is; leaving the loop before the end stops it at its next sign.

    >>> with Watched(lambda tell: 6 * 7) as watched:
    ...     shares = list(watched)
    >>> watched.value
    42
    """

    def __init__(self, work: Callable[[Tell], T]) -> None:
        self.share = 0.0
        self._work = work
        self._value: list[T] = []
        self._error: BaseException | None = None
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def value(self) -> T:
        """What the function returned; what it raised is raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value[0]

    def __enter__(self) -> "Watched[T]":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over = True

    def __iter__(self) -> Iterator[float]:
        while True:
            self._thread.join(EVERY)
            if not self._thread.is_alive():
                return
            yield self.share

    def _run(self) -> None:
        try:
            self._value.append(self._work(self._tell))
        except BaseException as error:  # told to whoever asks for the value
            self._error = error

    def _tell(self, share: float, what: str = "") -> None:
        self.share = share
        if self._over:
            raise InterruptedError
