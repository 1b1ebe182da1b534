"""The optimisers: AdamW for everything, or Muon for the layers' matrices with AdamW for the rest."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from core.config import OptimConfig
from core.model import LanguageModel
from core.model.linear import linear
from core.train.precision import has_bfloat16_units

SMALL = 128  # rows or columns up to which many matrices at once are quicker than one after another by oneDNN


def make_optimizers(model: LanguageModel, config: OptimConfig) -> list[torch.optim.Optimizer]:
    """Each parameter belongs to exactly one group. The learning rate of each group is kept as its `peak`."""
    muon: list[tuple[str, Tensor]] = []
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for name, parameter in model.named_parameters():
        in_layers = name.startswith(("layers.", "encoder_layers."))
        if parameter.dim() < 2 or name == "positions.weight":
            free.append(parameter)  # biases, norms, learned positions: weight decay would only shrink them
        elif config.optimizer == "muon" and in_layers:
            muon.append((name, parameter))
        else:
            decayed.append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay, "peak": config.learning_rate},
        {"params": free, "weight_decay": 0.0, "peak": config.learning_rate},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [g for g in groups if g["params"]], lr=config.learning_rate, betas=config.betas, eps=config.eps,
            fused=True,
        )
    ]  # fmt: skip
    if muon:
        optimizers.append(Muon(muon, config.muon_learning_rate, config.weight_decay))
    return optimizers


class Muon(torch.optim.Optimizer):
    """Momentum whose update of every matrix is replaced by the nearest orthogonal matrix.

    Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). All directions of a matrix then
    learn at the same pace, not only those with large gradients. `torch.optim.Muon` does the same in bfloat16, which
    CPUs without bfloat16 units do very slowly; here it is float32 there, and matrices of one shape are done together.
    """

    def __init__(
        self, parameters: list[tuple[str, Tensor]], lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        names = {id(p): name for name, p in parameters}
        super().__init__([p for _, p in parameters], {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        for group in self.param_groups:
            group["peak"] = lr
            group["stacked"] = [_stacked_matrices(names[id(p)], p) for p in group["params"]]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter, count in zip(group["params"], group["stacked"]):
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(state["momentum"], group["momentum"])  # Nesterov
                for part, piece in zip(parameter.chunk(count), update.chunk(count)):
                    by_shape[tuple(part.shape)].append((part, piece))
            for (rows, columns), parts in by_shape.items():
                updates = orthogonalise(torch.stack([piece for _, piece in parts]))
                scale = group["lr"] * max(1.0, rows / columns) ** 0.5
                for (part, _), update in zip(parts, updates):
                    part.mul_(1 - group["lr"] * group["weight_decay"])
                    part.add_(update, alpha=-scale)


def _stacked_matrices(name: str, parameter: Tensor) -> int:
    """How many matrices a parameter holds one above the other: queries, keys and values are each orthogonalised by
    themselves, as are SwiGLU's gate and up."""
    rows, columns = parameter.shape
    if name.endswith(("qkv.weight", ".kv.weight")) and rows % columns == 0:
        return rows // columns
    return 2 if name.endswith("gate_up.weight") else 1


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """(N, rows, columns) -> nearly U V^T of each one's singular value decomposition U S V^T.

    A Newton-Schulz iteration: an odd polynomial, applied repeatedly, pushes all singular values towards 1 (to within
    about 0.7 to 1.2, which is enough) with matrix products only. The coefficients are Jordan's.
    """
    if has_bfloat16_units(matrices.device):
        return _newton_schulz(matrices.to(torch.bfloat16), steps).to(matrices.dtype)
    if matrices.device.type != "cpu" or min(matrices.shape[-2:]) <= SMALL:
        return _newton_schulz(matrices, steps)
    return torch.stack([_newton_schulz(matrix, steps) for matrix in matrices])


def _newton_schulz(x: Tensor, steps: int) -> Tensor:
    """One matrix, or a stack of them."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = _times_transposed(x, x)
        x = a * x + _times_transposed(b * gram + c * _times_transposed(gram, gram), x.mT)  # gram is symmetric
    return x.mT if tall else x


def _times_transposed(x: Tensor, y: Tensor) -> Tensor:
    """x y^T; of single matrices by the quickest library."""
    return linear(x, y) if x.dim() == 2 else x @ y.mT
