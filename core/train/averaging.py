"""Averages of the weights over the last part of training: smoother than the weights themselves, and usually better."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Either an exponential moving average over the steps, or the plain mean over the last few validations.

    decay > 0: average += (1 - decay) * (weights - average) after every step (Polyak and Juditsky, 1992, with the past
    forgotten). last > 1: the mean of the weights at the last so many validations, the "checkpoint averaging" of
    Vaswani et al. (2017, section 6.1). Neither: `applied` leaves the model as it is.
    """

    def __init__(self, decay: float = 0.0, last: int = 0) -> None:
        self.decay = decay
        self.shadow: list[Tensor] = []
        self.kept: deque[list[Tensor]] = deque(maxlen=last if last > 1 else 0)

    @torch.no_grad()
    def after_step(self, model: nn.Module, step: int) -> None:
        """step: optimiser steps done, this one included."""
        if not self.decay:
            return
        weights = [p.detach() for p in model.parameters()]
        if not self.shadow:
            self.shadow = [w.clone() for w in weights]
        # Early on a long memory would hold on to the random start.
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.shadow, weights, 1 - decay)

    def before_validation(self, model: nn.Module) -> None:
        if self.kept.maxlen:
            self.kept.append([p.detach().clone() for p in model.parameters()])

    def average(self) -> list[Tensor]:
        """In the order of the model's parameters; nothing if there is no average (yet)."""
        if self.kept:
            return [torch.stack(tensors).mean(0) for tensors in zip(*self.kept)]
        return self.shadow

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """The model with the averaged weights, for as long as the block lasts."""
        average = self.average()
        own = [p.data for p in model.parameters()]
        for parameter, data in zip(model.parameters(), average):
            parameter.data = data
        try:
            yield
        finally:
            for parameter, data in zip(model.parameters(), own):
                parameter.data = data

    def state(self) -> dict[str, Any]:
        return {"shadow": self.shadow, "kept": list(self.kept)}

    def restore(self, state: dict[str, Any]) -> None:
        """What was kept on another device comes to the model's when it is next used."""
        self.shadow = state["shadow"]
        self.kept.extend(state["kept"])

    def to(self, device: torch.device) -> None:
        self.shadow = [t.to(device) for t in self.shadow]
        for tensors in self.kept:
            tensors[:] = [t.to(device) for t in tensors]
