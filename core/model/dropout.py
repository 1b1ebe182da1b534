"""Dropout: during training a random share of the numbers is set to zero and the rest is scaled up to make up for it.

Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014).
"""

import torch
from torch import Tensor, nn

_LEVELS = 1 << 16


class Dropout(nn.Module):
    """nn.Dropout, drawing its mask more quickly on a CPU.

    PyTorch draws one random number for each element, which took a fifth of a training step; here one draw of 64 random
    bits decides on four elements, so that the share that is dropped is exact to 1 / 65,536.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return nn.functional.dropout(x, self.p)
        return x * self.keep(x.shape) / (1 - round(self.p * _LEVELS) / _LEVELS)

    def keep(self, shape: torch.Size) -> Tensor:
        """A random mask, True for what is kept."""
        count = shape.numel()
        bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), 2**63 - 1)
        levels = bits.view(torch.int16)[:count].view(shape)  # -32,768 to 32,767, all alike probable
        return levels >= round(self.p * _LEVELS) - _LEVELS // 2

    def extra_repr(self) -> str:
        return f"p={self.p}"
