"""What a GPU costs on Modal, and what a training would: one table, with its date. Imports no modal.

Prices change; the bill is Modal's. Peaks are the maker's figures for dense products in the precision that training
chooses there: bfloat16, on a T4 float32.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import ConfigError

if TYPE_CHECKING:
    from core.config import RunConfig

DATE = "2026-05-07"  # on which modal.com/pricing was read
SOURCE = "modal.com/pricing"

CPU_CORE_PER_HOUR = 0.0000131 * 3600  # US dollars; a physical core
MEMORY_GIB_PER_HOUR = 0.00000222 * 3600


@dataclass(frozen=True)
class Gpu:
    name: str  # as Modal's `gpu=` wants it
    memory_gib: int
    usd_per_hour: float
    peak_tflops: float
    most: int = 8  # in one container


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("T4", 16, 0.5904, 8.1),
        Gpu("L4", 24, 0.7992, 121),
        Gpu("A10", 24, 1.1016, 125, most=4),
        Gpu("L40S", 48, 1.9512, 362),
        Gpu("A100-40GB", 40, 2.0988, 312),
        Gpu("A100-80GB", 80, 2.4984, 312),
        Gpu("H100", 80, 3.9492, 989),
        Gpu("H200", 141, 4.5396, 989),
        Gpu("B200", 180, 6.2496, 2250),
    )
}

ALIASES = {"A100": "A100-40GB"}  # as Modal has it

CORES, MEMORY_GIB = 4.0, 16.0  # that training asks for beside the GPU
# What a step takes: its products at a share of the peak that small models reach, and not less than the time in which a
# GPU can be told what to do. From the quickest to the slowest that is to be expected.
SHARES = (0.4, 0.1)
LEAST_STEP = (0.008, 0.06)  # seconds
START = (30.0, 180.0)  # seconds until a container trains


@dataclass(frozen=True)
class Estimate:
    """Of a training, from the least to the most that is to be expected. Seconds and US dollars."""

    seconds: tuple[float, float]
    usd: tuple[float, float]
    usd_per_hour: float
    steps: tuple[int, int] = (0, 0)  # that are made in this time


def parse_gpu(text: str) -> tuple[Gpu, int]:
    """("H100", 2) of "H100:2". ConfigError for a GPU whose price is not known."""
    name, _, count = text.strip().partition(":")
    name = name.strip().upper()
    found = GPUS.get(ALIASES.get(name, name))
    if found is None:
        raise ConfigError(f"The GPU {name[:40]!r} is not in this program's price table; in it are {', '.join(GPUS)}.")
    if count and (not count.isdigit() or not 1 <= int(count) <= found.most):
        raise ConfigError(f"The number of GPUs must be from 1 to {found.most} for {found.name}, not {count[:20]!r}.")
    return found, int(count or 1)


def usd_per_hour(gpu: str) -> float:
    """Of a training container with "H100" or "H100:2", its cores and memory."""
    kind, count = parse_gpu(gpu)
    return round(count * kind.usd_per_hour + CORES * CPU_CORE_PER_HOUR + MEMORY_GIB * MEMORY_GIB_PER_HOUR, 4)


def estimate(config: "RunConfig", parameters: int, gpu: str, steps: int = 0, hours: float = 0.0) -> Estimate:
    """What the training would take and cost; steps: those that are left (0: all). hours: after which it is stopped (0:
    never), however many steps it has made.

    parameters: of the model; a token costs about six operations for each of them, forward and backward, and twelve for
    each position that it attends to in a layer (Kaplan et al. 2020, appendix of Chowdhery et al. 2022).
    """
    kind, count = parse_gpu(gpu)
    model, train, steps = config.model, config.train, steps or config.train.max_steps
    per_token = 6 * parameters + 12 * model.n_layers * model.d_model * model.max_seq_len
    products = per_token * train.batch_tokens / (train.num_nodes * count * kind.peak_tflops * 1e12)
    each = [max(products / share, least * train.accumulate) for share, least in zip(SHARES, LEAST_STEP)]
    limit, price = hours * 3600 or math.inf, train.num_nodes * usd_per_hour(gpu)
    seconds = [min(steps * step + start, limit) for step, start in zip(each, START)]
    made = [
        min(steps, max(0, math.floor((limit - start) / step))) if hours else steps for step, start in zip(each, START)
    ]
    usd = [price * s / 3600 for s in seconds]
    return Estimate((seconds[0], seconds[1]), (usd[0], usd[1]), price, (made[1], made[0]))
