"""Training on a CUDA GPU against nanoGPT; says so where there is no GPU.

NANOGPT_DIR and SHAKESPEARE_FILE as in peers.py. The GPU's peak is its maker's figure for dense bfloat16, where the card
is known here, else the rate of a large product measured in the same run.
"""

import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import torch

from tests.benchmarks.measure import Row, best_rates
from tests.benchmarks.peers import given, nanogpt, nanogpt_loss, our_loss, ours
from tests.benchmarks.race import Racer, steps_of

VOCABULARY = 50_304  # GPT-2's, rounded up to a multiple of 64, as nanoGPT does
CONTEXT, ROWS = 1_024, 16
WARM, STRETCH, STRETCHES = 20, 20, 5  # steps
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "RTX 4090": 165e12}


class Stretches(L.Callback):
    """In the recorder's place: times STRETCHES stretches of training after a warm-up, and then ends it."""

    def __init__(self, directory: Path, wait: Callable[[], object]) -> None:
        from core.train.callbacks import AveragedWeights

        self.directory, self.averaged, self.wait = directory, AveragedWeights(0.0), wait
        self.times: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:  # type: ignore[override]
        done = module.step - WARM
        if done >= 0 and done % STRETCH == 0:
            self.wait()
            self.times.append(time.perf_counter())
            if len(self.times) > STRETCHES:
                trainer.should_stop = True

    @property
    def best(self) -> float:
        """Seconds of the quickest stretch."""
        return min(later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False))


def our_rate(config: Any, wait: Callable[[], object]) -> float:
    """Tokens per second of our training of a language model on random ids, without validation and files."""
    from core.data.batching import BlockBatches
    from core.model import build_model
    from core.train.data_module import TrainingData
    from core.train.loop import _fit
    from core.train.module import TrainingModule

    size = 400 * config.train.batch_tokens
    ids = np.random.default_rng(0).integers(3, config.model.vocab_size, size).astype(np.int32)
    source = BlockBatches(ids, config.train.batch_tokens, config.model.max_seq_len)
    with tempfile.TemporaryDirectory() as directory:
        clock = Stretches(Path(directory), wait)
        data = TrainingData(SimpleNamespace(train=source, is_stream=False), 1)  # type: ignore[arg-type]
        _fit(TrainingModule(build_model(config.model), config), data, clock, None)  # type: ignore[arg-type]
    return STRETCH * config.train.batch_tokens / clock.best


def nanogpt_rate(code: Path, folder: Path) -> float:
    """Tokens per second of nanoGPT's train.py at its default shape, GPT-2 124M, on random ids: its best stretch."""
    for name in ("train.py", "model.py", "configurator.py"):
        (folder / name).symlink_to(code / name)
    (folder / "data" / "random").mkdir(parents=True)
    ids = np.random.default_rng(0).integers(0, 50_257, 4_000_000).astype(np.uint16)
    for name in ("train.bin", "val.bin"):
        ids.tofile(folder / "data" / "random" / name)
    steps = WARM + STRETCH * STRETCHES
    racer = Racer(
        [sys.executable, "train.py", "--dataset=random", "--device=cuda", "--dtype=bfloat16", "--compile=True",
         f"--batch_size={ROWS}", f"--block_size={CONTEXT}", "--gradient_accumulation_steps=1", "--eval_iters=1",
         "--eval_interval=1000000", f"--log_interval={STRETCH}", f"--max_iters={steps}"],
        steps_of(r"^iter (\d+): loss", ROWS * CONTEXT), folder,
    )  # fmt: skip
    try:
        racer.run(900)
        racer.check()
    finally:
        racer.end()
    marks = [mark for mark in racer.marks if mark[1] >= WARM * ROWS * CONTEXT]
    return max((b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(marks, marks[1:], strict=False))


def operations(config: Any) -> tuple[float, float]:
    """Operations per trained token of a GPT: by nanoGPT's formula (PaLM's, with attention), and 6 per weight only; in
    both without the table of positions, which is looked up."""
    model = config.model
    layer = 4 * model.d_model**2 + 2 * model.d_model * model.d_ff
    weights = model.n_layers * layer + model.vocab_size * model.d_model
    return 6.0 * weights + 12 * model.n_layers * model.d_model * model.max_seq_len, 6.0 * weights


def peak() -> tuple[float, str]:
    """(bfloat16 operations per second, where the figure is from)."""
    name = torch.cuda.get_device_name()
    for part, value in PEAKS.items():
        if part in name:
            return value, f"of {name}'s {value / 1e12:.0f} TFLOP/s"
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)

    def product() -> None:
        a @ a
        torch.cuda.synchronize()

    (rate,) = best_rates(2 * 8192**3, product, rounds=10)
    return rate, f"of {rate / 1e12:.0f} TFLOP/s measured on {name}"


def gpt2() -> list[Row]:
    """GPT-2 124M, bfloat16, compiled, 16 rows of 1,024 tokens: tokens per second and the share of the GPU's peak."""
    if not torch.cuda.is_available():
        print("gpu-gpt2: not run; there is no CUDA GPU here.")
        return []
    if (paths := given("gpu-gpt2", "NANOGPT_DIR")) is None:
        return []
    from core.presets import preset

    config = preset("gpt-fineweb").with_overrides([
        "train.compile=true", "train.precision=bf16", f"train.batch_tokens={ROWS * CONTEXT}", "train.accumulate=1",
        f"model.vocab_size={VOCABULARY}", f"model.max_seq_len={CONTEXT}",
    ])  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        theirs = nanogpt_rate(paths[0], Path(folder))
    mine = our_rate(config, torch.cuda.synchronize)
    most, told = peak()
    with_attention, weights_only = operations(config)
    rows = [Row("GPU, train GPT-2 124M", "tokens/s", mine, theirs, "nanoGPT", floor=most / weights_only)]
    for name, each in (("nanoGPT's formula", with_attention), ("6 N", weights_only)):
        shares = [100 * rate * each / most for rate in (mine, theirs)]
        rows.append(Row(f"... share of peak, {name}", "%", *shares, "nanoGPT", note=told))
    return rows


def shakespeare() -> list[Row]:
    """nanoGPT's GPU configuration of tiny Shakespeare, a whole run each, one after the other."""
    if not torch.cuda.is_available():
        print("gpu-shakespeare: not run; there is no CUDA GPU here.")
        return []
    if (paths := given("gpu-shakespeare", "NANOGPT_DIR", "SHAKESPEARE_FILE")) is None:
        return []
    from core.files import read_jsonl
    from core.presets import preset

    code, text = paths
    config = preset("nanogpt-gpu").with_overrides([f"data.name={text}", "train.compile=true"])
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        seconds = []
        for racer in (
            ours(config, Path(one), config.train.batch_tokens),
            nanogpt(code, text, Path(two), ["config/train_shakespeare_char.py"]),
        ):
            try:
                racer.run(3_600)
                racer.check()
            finally:
                racer.end()
            seconds.append(racer.seconds)
        peer, estimate = nanogpt_loss(code, Path(two))
        mine = our_loss(Path(one), text)
        losses = [line["val_loss"] for line in read_jsonl(Path(one) / "ours" / "metrics.jsonl") if "val_loss" in line]
    note = f"{estimate}; ours in training {min(losses, default=math.nan):.3f}; lower is better"
    return [
        Row("GPU, nanoGPT's Shakespeare, loss", "nats/character", mine, peer, "nanoGPT", note=note),
        Row("... a whole run", "seconds", seconds[0], seconds[1], "nanoGPT", note="from start to end"),
    ]
