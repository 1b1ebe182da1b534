"""What has been computed, kept a while: a bounded memory keyed by everything that the value depends on."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Memory(Generic[T]):
    """Least recently used values go first, beyond `maximum` values or `max_size` in the unit of `size`.

    One value is computed at a time: a second request for the same key waits for the first and shares its value.
    Since keys hold whole texts, pages of different visitors share a value only if they ask for the same thing.
    """

    def __init__(self, maximum: int, max_size: int | None = None, size: Callable[[T], int] = lambda value: 0) -> None:
        self.maximum, self.max_size, self.size = maximum, max_size, size
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock, self._computing = threading.Lock(), threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The value of `key`; `compute` is called if there is none, and what it raises is raised."""
        if (kept := self._find(key)) is not None:
            return kept
        with self._computing:
            if (kept := self._find(key)) is not None:
                return kept
            value = compute()
            with self._lock:
                self._values[key] = value
                total = sum(map(self.size, self._values.values()))
                while len(self._values) > 1 and (
                    len(self._values) > self.maximum or (self.max_size is not None and total > self.max_size)
                ):
                    _, dropped = self._values.popitem(last=False)
                    total -= self.size(dropped)
            return value

    def _find(self, key: Hashable) -> T | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)
