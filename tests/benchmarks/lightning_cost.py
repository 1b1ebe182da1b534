"""What Lightning costs: our training step under its Trainer against a bare loop of PyTorch."""

import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import torch

from tests.benchmarks.measure import SETTLE, Row

STEPS, ROUNDS, WARM = 80, 7, 5


class _Clock(L.Callback):
    """In the recorder's place: writes nothing, times STEPS steps after WARM others, and then ends training."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.times = (0.0, 0.0)

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:  # type: ignore[override]
        if module.step == WARM:
            self.began = time.perf_counter(), time.process_time()
        if module.step == WARM + STEPS:
            self.times = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
            trainer.should_stop = True


def lightning_cost() -> list[Row]:
    """The shape of nanogpt-cpu, the smallest model that is trained here; the same model, optimiser, schedule, clipping
    and batches on both sides, 80 steps in turn. The share is by the best of seven rounds, of wall-clock."""
    from core.data.batching import BlockBatches, StepStream
    from core.model import build_model
    from core.presets import preset
    from core.train.data_module import TrainingData
    from core.train.loop import _fit
    from core.train.memory import keep_memory
    from core.train.module import TrainingModule, loss_sum
    from core.train.optim import make_optimizers
    from core.train.precision import choose_precision
    from core.train.schedule import learning_rate_factor

    keep_memory()
    config = preset("nanogpt-cpu")
    precision: Any = choose_precision(config.train.precision, config.model.d_model)
    config = replace(
        config, model=replace(config.model, vocab_size=69), train=replace(config.train, precision=precision)
    )
    ids = np.random.default_rng(0).integers(4, 69, 100_000).astype(np.int32)
    source = BlockBatches(ids, config.train.batch_tokens, config.model.max_seq_len)

    def with_lightning(directory: Path) -> tuple[float, float]:
        torch.manual_seed(0)
        clock = _Clock(directory)
        data = TrainingData(SimpleNamespace(train=source, is_stream=False), 1)  # type: ignore[arg-type]
        _fit(TrainingModule(build_model(config.model), config), data, clock, None)  # type: ignore[arg-type]
        return clock.times

    def bare() -> tuple[float, float]:
        torch.manual_seed(0)
        model = build_model(config.model).train()
        optimizers = make_optimizers(model, config.optim)
        began = (0.0, 0.0)
        for step, (batches, *_) in enumerate(islice(StepStream(source, 1), WARM + STEPS)):
            if step == WARM:
                began = time.perf_counter(), time.process_time()
            factor = learning_rate_factor(step, config.train.max_steps, config.optim)
            for optimizer in optimizers:
                optimizer.zero_grad()
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * factor
            for batch in batches:
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                    loss = loss_sum(model, batch) / batch.num_target_tokens
                loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.grad_clip, foreach=True)
            for optimizer in optimizers:
                optimizer.step()
        return time.perf_counter() - began[0], time.process_time() - began[1]

    times: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(ROUNDS):
            for side, run in zip(times, (lambda: with_lightning(Path(directory)), bare), strict=True):
                time.sleep(SETTLE)
                side.append(run())
    (ours, ours_busy), (peer, peer_busy) = [[min(column) for column in zip(*side, strict=True)] for side in times]
    tokens = STEPS * config.train.batch_tokens
    note = f"Lightning takes {1 - peer / ours:.1%} of a step, {1 - peer_busy / ours_busy:.1%} by processor time"
    note += f"; {precision}"
    return [Row("train through Lightning", "tokens/s", tokens / ours, tokens / peer, "a bare loop", note=note)]
