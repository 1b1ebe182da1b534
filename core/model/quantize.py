"""Matrices in 8 bits: a quarter of their memory, and of the time where a step's time is the reading of the weights.

Each row of a matrix (one output) has a scale of its own, so that its largest weight becomes 127. The inputs of a
product are rounded to 8 bits as they come, with one scale for all of them ("dynamic quantisation"; the kernel is
FBGEMM's, Khudia et al., 2021). Embeddings and normalisations stay in float32. What that costs in quality is measured,
not assumed: evaluate the quantised model (`llm-scratch eval --precision int8`).
"""

import copy
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.model.base import LanguageModel
from core.model.linear import Linear


class Int8Linear(nn.Module):
    """y = x W^T + b with W in 8 bits; for inference only, float32 in and out."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        weight = weight.detach().float()
        scales = weight.abs().amax(dim=1).clamp(min=1e-12) / 127
        rounded = (weight / scales[:, None]).round().to(torch.int8)
        with warnings.catch_warnings():  # PyTorch means to move these kernels to another package some day
            warnings.simplefilter("ignore")
            quantised = torch._make_per_channel_quantized_tensor(
                rounded, scales.double(), torch.zeros(len(scales), dtype=torch.long), 0
            )
        self._packed = torch.ops.quantized.linear_prepack(quantised, bias.detach() if bias is not None else None)
        # Without these instructions products are summed in 16 bits: inputs of 7 bits keep the sums from overflowing.
        self._reduce_range = not torch.cpu._is_vnni_supported()

    def forward(self, x: Tensor, activation: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """x (N, ..., inputs) -> (N, ..., outputs)."""
        y: Tensor = torch.ops.quantized.linear_dynamic(x.contiguous(), self._packed, self._reduce_range)
        return y if activation is None else activation(y)


def quantize(model: LanguageModel) -> LanguageModel:
    """A copy of the model for inference on the CPU, its matrices in 8 bits; embeddings and norms are shared with it.

    The inputs of a batch share their scales, so that, unlike elsewhere, a result can depend on what else is in its
    batch. ConfigError where PyTorch was built without the kernels.
    """
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        raise ConfigError("This PyTorch cannot compute with 8-bit weights on this processor; use float32.")
    if model.device.type != "cpu":
        raise ConfigError("Weights in 8 bits are for the CPU; use float32 or bfloat16 on a GPU.")
    memo: dict[int, object] = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    for module in model.modules():
        if isinstance(module, Linear):
            memo[id(module)] = Int8Linear(module.weight, module.bias)
    if model.output is None:
        weight: Tensor = model.token_embedding.weight
        head = Int8Linear(weight, None)
    result = copy.deepcopy(model, memo)
    if result.output is None:
        result.output = head  # type: ignore[assignment]
    return result.eval()
