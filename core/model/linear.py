"""The matrix product that nearly all time is spent in: y = x W^T + b, through oneDNN on a CPU in float32.

PyTorch gives float32 products on a CPU to MKL. MKL does not use all of an AMD processor, and is slow for the few rows
of a decoding step; oneDNN, which PyTorch carries as well, is up to three times as quick at both (`make bench` measures
it). Weights may also be kept in the order in which oneDNN reads them: `pack`. Training on Intel's own processors is
left to MKL, which makes a small model's step a fifth shorter there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _is_intel() -> bool:
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


_TRAINS_WITH_ONEDNN = _ONEDNN and not _is_intel()


@dataclass(frozen=True)
class Packed:
    """A weight in oneDNN's order, and of which weight it is a copy.

    PyTorch counts how often a tensor is written in place, but not what goes through `.data`, numpy or a fused
    optimiser; a model that is to be trained therefore drops its copies (`LanguageModel.train`).
    """

    tensor: Tensor
    source: Tensor  # the weight; held, so that no other can come to lie where it lies
    version: int  # how often it had been written

    @classmethod
    def of(cls, weight: Tensor) -> "Packed | None":
        """None for weights that oneDNN is not used for, and for those whose changes PyTorch does not count."""
        if not (_ONEDNN and weight.device.type == "cpu" and weight.dtype == torch.float32) or weight.is_inference():
            return None
        with torch.no_grad():
            source = weight.detach()
            return cls(torch.ops.mkldnn._reorder_linear_weight(source, None), source, weight._version)

    def is_current(self, weight: Tensor) -> bool:
        same = weight.data_ptr() == self.source.data_ptr() and not weight.is_inference()
        return same and weight._version == self.version

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Copied or pickled, it is None: the copy of a model has weights of its own, and may pack them."""
        return type(None), ()


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    packed: Packed | None = None,
    activation: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """x (..., inputs), weight (outputs, inputs), bias (outputs,) -> (..., outputs).

    packed: of this weight, or of an older one, which is not used. activation: what the product goes through.
    """
    if not _suits_onednn(x, weight):
        y = F.linear(x, weight, bias)
    elif torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias)):
        y = _Linear.apply(x, weight, bias) if _TRAINS_WITH_ONEDNN else F.linear(x, weight, bias)
    else:
        if packed is not None and packed.is_current(weight):
            weight = packed.tensor
        if activation is F.relu:  # on the way, while the numbers are at hand
            return _product(x, weight, bias, "relu")
        y = _product(x, weight, bias)
    return y if activation is None else activation(y)


def _suits_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        _ONEDNN
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == weight.device.type == "cpu"
        and x.dim() > 1
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()  # the compiler chooses for itself
    )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "")
    return y


class _Linear(torch.autograd.Function):
    """With dy = dL/dy: dL/dx = dy W, dL/dW = dy^T x, dL/db = the sum of dy over all rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        rows, dx, dw, db = dy.flatten(0, -2), None, None, None
        if ctx.needs_input_grad[0]:
            dx = _product(dy, weight.t())
        if ctx.needs_input_grad[1]:
            columns = x.flatten(0, -2).t()
            # The same product from either side; oneDNN is quicker when the wide matrix is its weight.
            wide = len(weight) > len(columns)
            dw = _product(columns, rows.t()).t().contiguous() if wide else _product(rows.t(), columns)
        if ctx.needs_input_grad[2]:
            db = rows.sum(0)
        return dx, dw, db


class Linear(nn.Linear):
    """nn.Linear, with the quicker product; the same parameters by the same names."""

    packed: Packed | None = None

    def pack(self) -> None:
        """Keep a second copy of the weight in oneDNN's order; it is left unused once the weight has changed."""
        if self.packed is None or not self.packed.is_current(self.weight):
            self.packed = Packed.of(self.weight)

    def forward(self, x: Tensor, activation: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        return linear(x, self.weight, self.bias, self.packed, activation)
