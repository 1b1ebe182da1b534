"""Fully sharded data parallelism: every process keeps a part of each weight, gradient and optimiser state.

A layer's weights are gathered when it computes and dropped after it, so that models fit that one GPU could not train
(Zhao et al., "PyTorch FSDP", 2023; here PyTorch's second version, `fully_shard`). What is validated, sampled from and
saved is a whole copy of the weights, gathered on the first process, which needs the room for it.
"""

from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from core.model import LanguageModel, build_model

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class ShardedStrategy(DDPStrategy):
    """Lightning's way of starting processes for data-parallel training, with the weights cut up instead of copied."""

    def configure_ddp(self) -> None:
        shard(self.lightning_module.model, self.root_device.type, self.world_size)  # type: ignore[union-attr, arg-type]

    @contextmanager
    def block_backward_sync(self):  # type: ignore[no-untyped-def]
        """Gradients of micro-batches add up before they are exchanged."""
        model: Any = self.lightning_module.model  # type: ignore[union-attr]
        model.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            model.set_requires_gradient_sync(True)


def shard(model: LanguageModel, device: str, world: int) -> None:
    """Cut the model's weights up among `world` processes, layer by layer."""
    mesh = init_device_mesh(device, (world,))
    for layer in [*model.layers, *getattr(model, "encoder_layers", [])]:
        if hasattr(layer, "cross_attention"):  # its keys and values are computed before the layer is entered
            fully_shard(layer.cross_attention, mesh=mesh)
            register_fsdp_forward_method(layer.cross_attention, "keys_values")  # type: ignore[arg-type]
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for name in ("encode", "hidden", "logits"):
        register_fsdp_forward_method(model, name)


def is_sharded(model: torch.nn.Module) -> bool:
    return isinstance(model, FSDPModule)


def whole_state(model: LanguageModel, optimizers: list[torch.optim.Optimizer]) -> dict[str, Any]:
    """The whole weights and optimiser state. Every process must ask for it; the first one gets it."""
    return {
        "model": get_model_state_dict(model, options=WHOLE),
        "optimizers": [get_optimizer_state_dict(model, optimizer, options=WHOLE) for optimizer in optimizers],
    }


def restore_optimizers(model: LanguageModel, optimizers: list[torch.optim.Optimizer], states: list[dict]) -> None:
    """The counterpart for the optimisers; every process has read the whole state and keeps its part."""
    for optimizer, state in zip(optimizers, states):
        set_optimizer_state_dict(
            model, optimizer, state, options=StateDictOptions(full_state_dict=True, cpu_offload=False)
        )


def whole_model(model: LanguageModel, state: dict[str, torch.Tensor]) -> LanguageModel:
    """A copy that is not cut up, on the same device."""
    copy = build_model(model.config).to(model.device)
    copy.load_state_dict(state)
    return copy
