"""Training."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from tests.benchmarks.measure import Row, best_rates, floor_rate, matrix_rate


def training() -> list[Row]:
    """A step of the gpt-shakespeare shape. The peer is the same step with PyTorch's own linear layers; Muon's step is
    compared with AdamW's. The floor is 6 operations per weight and token."""
    from core.config import OptimConfig
    from core.data.batching import BlockBatches
    from core.model import build_model
    from core.model.linear import Linear
    from core.presets import preset
    from core.train.memory import keep_memory
    from core.train.module import loss_sum
    from core.train.optim import make_optimizers

    keep_memory()
    config = replace(preset("gpt-shakespeare").model, vocab_size=1_024)
    source = BlockBatches(np.random.default_rng(0).integers(3, 1_024, 50_000).astype(np.int32), 4_096, 256)
    batch = source.batch(source.batches(0)[0])

    def steps(optimizer: str, plain: bool = False):  # type: ignore[no-untyped-def]
        model = build_model(config).train()
        if plain:
            for module in model.modules():
                if isinstance(module, Linear):
                    module.forward = nn.Linear.forward.__get__(module)  # type: ignore[method-assign]
        optimizers = make_optimizers(model, OptimConfig(optimizer=optimizer))  # type: ignore[arg-type]

        def step() -> None:
            (loss_sum(model, batch) / batch.num_target_tokens).backward()
            for each in optimizers:
                each.step()
                each.zero_grad()

        return model, step

    model, adamw = steps("adamw")
    floor = matrix_rate() / (6 * sum(p.numel() for p in model.parameters()))
    ours, plain, muon = best_rates(
        batch.num_target_tokens, adamw, steps("adamw", plain=True)[1], steps("muon")[1], rounds=4
    )
    return [
        Row("train a step, AdamW", "tokens/s", ours, plain, "nn.Linear", floor),
        Row("train a step, Muon", "tokens/s", muon, ours, "AdamW", floor),
    ]


def linear_layers() -> list[Row]:
    """One product y = x W^T of GPT-2's widest layer, for the row counts of decoding, beams, batches and prompts."""
    from core.model.linear import Linear

    layer = Linear(768, 3072)
    packed = Linear(768, 3072)
    packed.load_state_dict(layer.state_dict())
    packed.pack()

    def plain(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, layer.weight, layer.bias)

    rows = []
    with torch.inference_mode():
        for count in (1, 5, 32, 1024):
            x = torch.randn(count, 768)
            repeats = max(1, 256 // count)

            def many(function, x=x, repeats=repeats):  # type: ignore[no-untyped-def]
                for _ in range(repeats):
                    function(x)

            amount = repeats * 2 * count * 768 * 3072 / 1e9
            ours, loose, peer = best_rates(
                amount, lambda: many(packed), lambda: many(layer), lambda: many(plain), rounds=8
            )
            floor = floor_rate(amount, amount * 1e9, 4 * 768 * 3072 * repeats)
            rows.append(Row(f"linear 768 to 3072, {count} rows", "GFLOP/s", ours, peer, "F.linear", floor))
            rows.append(Row("... weights not packed", "GFLOP/s", loose, peer, "F.linear", floor))
    return rows
