"""Generators whose value counts, as those that tell how far they are."""

from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")


def finished(steps: Generator[Any, None, T]) -> tuple[T, list[Any]]:
    """The generator's value, and all that it has yielded."""
    told = []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            return end.value, told
