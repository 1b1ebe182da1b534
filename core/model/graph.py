"""A decoding step as a CUDA graph: recorded once, replayed for every further token.

On a GPU a step of a small model takes less time than Python takes to launch its hundreds of kernels. A graph launches
them all at once; for that every step must have the same shapes and addresses, which `KVCache(fixed=True)` provides.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from core.model.base import LanguageModel
    from core.model.cache import KVCache

WARM_STEPS = 4  # steps with unchanged shapes before recording pays


class GraphedSteps:
    """Single-token steps of a model with its cache: plain at first, recorded when the batch has kept its size."""

    def __init__(self, model: "LanguageModel", cache: "KVCache") -> None:
        self.model, self.cache = model, cache
        self.step: RecordedStep | None = None
        self.place, self.count = (0, 0), 0

    def __call__(self, tokens: Tensor) -> Tensor:
        """tokens (B, 1) -> logits (B, 1, V), advancing the cache."""
        place = self.cache.kv.data_ptr(), self.cache.batch_size  # rows that finish give the cache another
        if place != self.place:
            self.step, self.place, self.count = None, place, 0
        self.count += 1
        if self.step is None and self.count <= WARM_STEPS:
            return self.model(tokens, cache=self.cache).logits
        if self.step is None:
            self.step = RecordedStep(self.model, self.cache)
        return self.step(tokens)


class RecordedStep:
    """The graph of one step."""

    def __init__(self, model: "LanguageModel", cache: "KVCache") -> None:
        self.cache = cache
        self.tokens = torch.zeros(cache.batch_size, 1, dtype=torch.long, device=model.device)
        before = cache.length.clone()
        warm = torch.cuda.Stream()
        warm.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm):  # libraries choose kernels and take memory now, not while recording
            model(self.tokens, cache=cache)
        torch.cuda.current_stream().wait_stream(warm)
        cache.length = before
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.logits = model(self.tokens, cache=cache).logits
        cache.length = before  # recording ran nothing; what the warm step wrote lies where the next one writes

    def __call__(self, tokens: Tensor) -> Tensor:
        self.cache.check_room(1)
        self.tokens.copy_(tokens)
        self.graph.replay()
        self.cache.count_replayed()
        return self.logits.clone()  # the next step overwrites them
