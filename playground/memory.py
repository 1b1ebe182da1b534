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
    each: values that one owner (a visitor) may have kept; what nobody has kept any more is let go, so that one who asks
    for much pushes out only what is his own.
    """

    def __init__(
        self,
        maximum: int,
        max_size: int | None = None,
        size: Callable[[T], int] = lambda value: 0,
        each: int | None = None,
    ) -> None:
        self.maximum, self.max_size, self.size, self.each = maximum, max_size, size, each
        self._owned: dict[str, OrderedDict[Hashable, None]] = {}
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock, self._computing = threading.Lock(), threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, compute: Callable[[], T], owner: str = "") -> T:
        """The value of `key`; `compute` is called if there is none, and what it raises is raised."""
        if (kept := self._find(key, owner)) is not None:
            return kept
        with self._computing:
            if (kept := self._find(key, owner)) is not None:
                return kept
            value = compute()
            with self._lock:
                self._values[key] = value
                self._own(key, owner)
                total = sum(map(self.size, self._values.values()))
                while len(self._values) > 1 and (
                    len(self._values) > self.maximum or (self.max_size is not None and total > self.max_size)
                ):
                    _, dropped = self._values.popitem(last=False)
                    total -= self.size(dropped)
            return value

    def known(self, key: Hashable, owner: str = "") -> T | None:
        """The value of `key` if it is kept."""
        return self._find(key, owner)

    def forget(self, owner: str) -> None:
        """Let go of what only this owner has kept."""
        with self._lock:
            for key in self._owned.pop(owner, ()):
                self._let_go(key)

    def _find(self, key: Hashable, owner: str) -> T | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                self._own(key, owner)
            return self._values.get(key)

    def _own(self, key: Hashable, owner: str) -> None:
        if self.each is None:
            return
        owned = self._owned.setdefault(owner, OrderedDict())
        owned[key] = None
        owned.move_to_end(key)
        while len(owned) > self.each:
            self._let_go(owned.popitem(last=False)[0])

    def _let_go(self, key: Hashable) -> None:
        if not any(key in owned for owned in self._owned.values()):
            self._values.pop(key, None)
