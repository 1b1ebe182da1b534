"""One optimiser step, as a LightningModule."""

from contextlib import nullcontext
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from core.config import RunConfig
from core.data.batching import IGNORE, Batch
from core.model import LanguageModel
from core.train.optim import make_optimizers
from core.train.schedule import learning_rate_factor
from core.train.throughput import step_operations


def loss_sum(model: LanguageModel, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy in nats, summed over the batch's target tokens.

    States at padding are left out before the projection to the vocabulary, which is the costliest matrix of a small
    model. Label smoothing: Szegedy et al. (2016).
    """
    memory = model.encode(batch.src_ids, batch.src_mask) if batch.src_ids is not None else None
    states = model.hidden(batch.input_ids, memory)
    kept = batch.targets != IGNORE
    if batch.num_target_tokens < batch.targets.numel():
        states, targets = states[kept], batch.targets[kept]
    else:
        states, targets = states.flatten(0, 1), batch.targets.flatten()
    return F.cross_entropy(model.logits(states).float(), targets, reduction="sum", label_smoothing=label_smoothing)


@torch.inference_mode()
def validation_loss(model: LanguageModel, batches: list[Batch]) -> tuple[float, int]:
    """Total cross-entropy in nats, without label smoothing, and the number of tokens that it is over."""
    was_training = model.training
    model.eval()
    total, tokens = 0.0, 0
    for batch in batches:
        total += float(loss_sum(model, batch.to(model.device)))
        tokens += batch.num_target_tokens
    model.train(was_training)
    return total, tokens


class TrainingModule(L.LightningModule):
    """Optimisation by hand, because Lightning weighs accumulated batches equally: here every token weighs the same, on
    however many processes."""

    def __init__(self, model: LanguageModel, config: RunConfig) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.run_config = config
        self.step = 0  # optimiser steps done
        self.place: tuple[int, ...] = (0, 0)  # of the next batch: see core.data.batching
        self.tokens = 0  # target tokens seen, by all processes
        self.operations = 0.0  # of the last step, on all processes
        self.last: dict[str, Any] = {}  # loss, gradient norm and learning rate of the last step
        self.notice = ""  # for the log: what did not work as it was asked for
        self._loss_sum = torch.compile(loss_sum, dynamic=True) if config.train.compile else loss_sum
        if config.train.gradient_checkpointing:
            model.recompute = True

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return make_optimizers(self.model, self.run_config.optim)

    def all_optimizers(self) -> list[Any]:
        """As Lightning wraps them."""
        optimizers = self.optimizers()
        return optimizers if isinstance(optimizers, list) else [optimizers]

    def transfer_batch_to_device(self, batch, device, dataloader_idx):  # type: ignore[no-untyped-def]
        batches, tokens, place = batch
        self.operations = step_operations(self.model.config, batches) * self.trainer.world_size
        return [b.to(device) for b in batches], tokens, place

    def training_step(self, step_batch: tuple[list[Batch], int, tuple[int, ...]], index: int) -> None:
        """One optimiser step on this process's rows of its micro-batches."""
        config, world = self.run_config, self.trainer.world_size
        batches, tokens, place = step_batch  # tokens: of the whole step, on all processes
        # What is random in a step (dropout) follows from its number: a resumed run draws the same.
        seed = hash((config.seed, self.step, self.trainer.global_rank))
        torch.default_generator.manual_seed(seed)  # torch.manual_seed asks every kind of device, which takes a while
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        optimizers = self.all_optimizers()
        factor = learning_rate_factor(self.step, config.train.max_steps, config.optim)
        for optimizer in optimizers:
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
        total = torch.zeros((), device=self.device)
        for number, batch in enumerate(batches, start=1):
            loss = self._loss(batch) / tokens
            total += loss.detach()
            self._backward(loss * world, last=number == len(batches))  # DDP takes the mean of all processes' gradients
        if not batches:  # no row was left for this process, but the others wait for its gradients
            self._backward(sum((p.sum() * 0 for p in self.model.parameters()), torch.zeros(())), last=True)
        if world > 1:
            total = self.trainer.strategy.reduce(total, reduce_op="sum")  # type: ignore[assignment]
        norm = self._clip(optimizers)
        for optimizer in optimizers:
            optimizer.step()
        self.step += 1
        self.place = place
        self.tokens += tokens
        self.last = {"loss": total, "grad_norm": norm, "lr": config.optim.learning_rate * factor}

    def _loss(self, batch: Batch) -> Tensor:
        """Compiled if that is asked for and works: it needs a C++ compiler that knows the processor, or a GPU's."""
        smoothing = self.run_config.train.label_smoothing
        try:
            return self._loss_sum(self.model, batch, smoothing)
        except RuntimeError as error:
            if self._loss_sum is loss_sum:
                raise
            from torch._dynamo.exc import TorchDynamoException  # takes a second to import

            if not isinstance(error, TorchDynamoException):
                raise
            self._loss_sum = loss_sum
            self.notice = f"torch.compile does not work here ({type(error).__name__}); training goes on without it"
            return loss_sum(self.model, batch, smoothing)

    def _backward(self, loss: Tensor, last: bool) -> None:
        """Processes exchange their gradients once a step, during its last backward pass."""
        strategy: Any = self.trainer.strategy
        waits = not last and hasattr(strategy, "block_backward_sync")
        with strategy.block_backward_sync() if waits else nullcontext():
            self.manual_backward(loss)

    def _clip(self, optimizers: list[Any]) -> Tensor:
        """The norm of all gradients together, which is limited to optim.grad_clip."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None:  # float16: the gradients are those of a loss that was scaled up
            for optimizer in optimizers:
                scaler.unscale_(optimizer.optimizer)
        limit = self.run_config.optim.grad_clip
        return clip_grad_norm_(self.model.parameters(), limit if limit > 0 else float("inf"), foreach=True)
