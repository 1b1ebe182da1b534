"""One optimiser step, as a LightningModule."""

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor

from core.config import RunConfig
from core.data.batching import IGNORE, Batch
from core.model import LanguageModel
from core.train.optim import make_optimizers
from core.train.schedule import learning_rate_factor


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
    """Optimisation by hand, because Lightning weighs accumulated batches equally: here every token weighs the same."""

    def __init__(self, model: LanguageModel, config: RunConfig) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.run_config = config
        self.step = 0  # optimiser steps done
        self.place: tuple[int, ...] = (0, 0)  # of the next batch: see core.data.batching
        self.tokens = 0  # target tokens seen
        self.last: dict[str, float] = {}  # loss, gradient norm and learning rate of the last step
        self._compiled = torch.compile(loss_sum, dynamic=True) if config.train.compile else loss_sum

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return make_optimizers(self.model, self.run_config.optim)

    def transfer_batch_to_device(self, batch, device, dataloader_idx):  # type: ignore[no-untyped-def]
        batches, tokens, place = batch
        return [b.to(device) for b in batches], tokens, place

    def training_step(self, step_batch: tuple[list[Batch], int, tuple[int, ...]], index: int) -> None:
        config = self.run_config
        batches, tokens, place = step_batch  # tokens: of the whole step, on all processes
        optimizers = self.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        factor = learning_rate_factor(self.step, config.train.max_steps, config.optim)
        for optimizer in optimizers:
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
        total = torch.zeros((), device=self.device)
        for batch in batches:
            loss = self._compiled(self.model, batch, config.train.label_smoothing) / tokens
            self.manual_backward(loss)
            total += loss.detach()
        limit = config.optim.grad_clip if config.optim.grad_clip > 0 else float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit, foreach=True)
        for optimizer in optimizers:
            optimizer.step()
        self.step += 1
        self.place = place
        self.tokens += tokens
        self.last = {"loss": total, "grad_norm": norm, "lr": config.optim.learning_rate * factor}  # type: ignore[dict-item]
