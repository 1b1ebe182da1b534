"""How much a step computes, how much the machine could, and how much memory the process holds.

The share of the machine's peak is (operations of a step / its seconds) / (operations per second of one large product,
measured when training begins, in the precision that is trained in). The count is that of Chowdhery et al., "PaLM"
(2022, appendix B): products only, 2 operations for each weight and token forward and 4 backward, and attention.
"""

import time
from collections.abc import Iterable
from pathlib import Path

import torch

from core.config import ModelConfig
from core.data.batching import Batch
from core.model.linear import linear


def step_operations(config: ModelConfig, batches: Iterable[Batch]) -> float:
    """Floating-point operations of the forward and the backward pass over these batches, padding included."""
    total = 0.0
    for batch in batches:
        rows, length = batch.input_ids.shape
        forward = 2.0 * batch.num_target_tokens * config.vocab_size * config.d_model
        forward += config.n_layers * _layer(config, rows, length, causal=True)
        if batch.src_ids is not None:
            source = batch.src_ids.shape[1]
            forward += config.n_encoder_layers * _layer(config, rows, source)
            # Cross-attention: queries and output of the target, keys and values of the source, scores between the two.
            weights = 2 * config.d_model * config.d_model
            forward += config.n_layers * rows * (2 * weights * (length + source) + 4 * length * source * config.d_model)
        total += 3 * forward
    return total


def _layer(config: ModelConfig, rows: int, length: int, causal: bool = False) -> float:
    d = config.d_model
    attention_weights = d * (2 * d + 2 * config.n_kv_heads * config.d_head)
    ff_weights = (3 if config.family == "llama" else 2) * d * config.d_ff
    scores = 4 * length * length * d / (2 if causal else 1)  # what lies ahead is not looked at
    return rows * (2 * length * (attention_weights + ff_weights) + scores)


def machine_peak(device: torch.device, precision: str) -> float:
    """Operations per second of a large matrix product there, in "32", "bf16" or "16". Takes a tenth of a second."""
    dtype = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}[precision]
    size, rounds = (8_192, 5) if device.type == "cuda" else (1_024, 8)
    a = torch.ones(size, size, dtype=dtype, device=device)  # no random numbers are drawn
    best = float("inf")
    with torch.inference_mode():
        for product in (lambda: a @ a, lambda: linear(a, a)):
            for _ in range(rounds):
                _wait(device)
                began = time.perf_counter()
                product()
                _wait(device)
                best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory_held(device: torch.device) -> int | None:
    """Bytes: on a GPU the most that tensors held there so far, else what the process holds now; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
        import sys

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    except ImportError:  # Windows
        return None
