"""How speed is measured here: the candidates take turns, so that all see the same machine, and each's best counts."""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

SETTLE = 0.3  # seconds; a library's idle threads may go on spinning for 0.2 s (OpenMP), which would slow the next one


@dataclass
class Row:
    """One comparison, all of it in `unit`. peer: None where there is nothing to compare with. floor: the most that this
    machine could do, from the bytes or the operations that are needed and the rates measured in the same run."""

    name: str
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    floor: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.peer if self.peer else None


def best_rates(amount: float, *functions: Callable[[], object], rounds: int = 3) -> list[float]:
    """amount / seconds of each function's best round; the functions take turns, after one turn that does not count."""
    for function in functions:
        function()
    best = [float("inf")] * len(functions)
    for _ in range(rounds):
        for i, function in enumerate(functions):
            if len(functions) > 1:
                time.sleep(SETTLE)
            began = time.perf_counter()
            function()
            best[i] = min(best[i], time.perf_counter() - began)
    return [amount / seconds for seconds in best]


@functools.cache
def matrix_rate() -> float:
    """float32 operations per second of a large matrix product, by the quicker of the libraries that PyTorch carries."""
    from core.model.linear import linear

    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    with torch.inference_mode():
        return max(best_rates(2 * 1024**3, lambda: a @ b, lambda: linear(a, b), rounds=10))


@functools.cache
def read_rate() -> float:
    """Bytes per second when reading more memory than the caches hold."""
    data = torch.ones(64 * 2**20)
    return best_rates(data.numel() * 4, data.sum, rounds=10)[0]


def floor_rate(amount: float, operations: float = 0.0, bytes: float = 0.0) -> float:
    """amount per second, if nothing but these operations and reads took time, both at once."""
    return amount / max(operations / matrix_rate(), bytes / read_rate())


def against(
    name: str, unit: str, amount: float, ours: Callable[[], object], peers: Sequence[tuple[str, Callable[[], object]]],
    floor: float | None = None, rounds: int = 3,
) -> list[Row]:  # fmt: skip
    """A row for every peer, measured together with ours."""
    first, *rates = best_rates(amount, ours, *(function for _, function in peers), rounds=rounds)
    if not peers:
        return [Row(name, unit, first, floor=floor)]
    return [Row(name, unit, first, rate, peer, floor) for (peer, _), rate in zip(peers, rates, strict=True)]
