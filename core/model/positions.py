"""Where a token stands: sinusoidal and learned embeddings, and rotary positions.

Attention by itself does not see order. The Transformer adds a vector for the position to the token's embedding
(sinusoidal or learned); Llama turns queries and keys by an angle that grows with the position (rotary).
"""

import math

import torch
from torch import Tensor, nn


def sinusoidal_table(length: int, d_model: int, halves: bool = False) -> Tensor:
    """(length, d_model): sin and cos in alternating columns, wavelengths from 2 pi to 20,000 pi.

    Section 3.5 of Vaswani et al., "Attention Is All You Need" (2017). halves: all sines first, then all cosines, as
    the first published code and Marian have it: the same numbers in other columns.
    """
    position = torch.arange(length, dtype=torch.float64)[:, None]
    frequency = torch.exp(torch.arange(0, d_model, 2, dtype=torch.float64) * (-math.log(10_000.0) / d_model))
    sin, cos = torch.sin(position * frequency), torch.cos(position * frequency[: d_model // 2])
    if halves:
        return torch.cat([sin, cos], dim=1).float()
    table = torch.zeros(length, d_model)
    table[:, 0::2], table[:, 1::2] = sin.float(), cos.float()
    return table


class SinusoidalPositions(nn.Module):
    """Fixed position vectors; nothing is learned or saved."""

    table: Tensor

    def __init__(self, max_seq_len: int, d_model: int, halves: bool = False) -> None:
        super().__init__()
        self.register_buffer("table", sinusoidal_table(max_seq_len, d_model, halves), persistent=False)

    def forward(self, positions: Tensor) -> Tensor:
        return self.table[positions]


def scale_frequencies(frequency: Tensor, factor: float, low: float, high: float, context: float) -> Tensor:
    """Llama 3.1's frequencies for a context `factor` times as long as the `context` of the first training.

    Pairs that turn more than `high` times within the old context stay as they are; those that turn less than `low`
    times are slowed down by `factor`; between the two it is interpolated. (Dubey et al., "The Llama 3 Herd of Models",
    2024; the formula is that of the published reference code.)
    """
    turns = context * frequency / (2 * math.pi)
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return frequency * (kept + (1 - kept) / factor)


class RotaryPositions(nn.Module):
    """Rotary position embedding, in the rotate-half layout of the Llama checkpoints.

    Su et al., "RoFormer" (2021). Dimension i of a head is paired with dimension i + d_head / 2; the pair is turned by
    position * theta^(-2i / d_head). The dot product of a query and a key then depends on their distance only.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, max_seq_len: int, d_head: int, theta: float, scaling: tuple[float, ...] = ()) -> None:
        super().__init__()
        frequency = theta ** (-torch.arange(0, d_head, 2, dtype=torch.float64) / d_head)  # (d_head / 2,)
        if scaling:
            frequency = scale_frequencies(frequency, *scaling)
        angle = torch.arange(max_seq_len, dtype=torch.float64)[:, None] * frequency
        angle = torch.cat([angle, angle], dim=-1)  # (max_seq_len, d_head)
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the positions, (T, d_head), or (B, 1, T, d_head) when rows differ."""
        cos, sin = self.cos[positions], self.sin[positions]
        return (cos[:, None], sin[:, None]) if positions.dim() == 2 else (cos, sin)


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Turn queries or keys (B, H, T, d_head) by their positions' angles."""
    cos, sin = rotary
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
