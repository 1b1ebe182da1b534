"""The learning rate through training, as a share of its peak."""

import math

from core.config import OptimConfig


def learning_rate_factor(step: int, steps: int, config: OptimConfig) -> float:
    """The factor of step 0, 1, ... of `steps`; rises linearly during the warm-up and reaches 1 at its end.

    cosine: half a cosine down to min_lr_ratio (Loshchilov and Hutter, 2017). linear: a straight line down to it.
    wsd (warm-up, stable, decay): at 1 until the last decay_fraction of the steps, then a straight line down to it (Hu
    et al., "MiniCPM", 2024); what was trained until then can be trained longer. inverse_sqrt: 1 / sqrt(step), needs no
    end (Vaswani et al., 2017). constant: stays at 1.
    """
    warmup = min(config.warmup_steps, steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "inverse_sqrt":
        return math.sqrt(max(1, warmup) / (step + 1)) if step + 1 > warmup else 1.0
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    if config.schedule == "wsd":
        begin = max(warmup, steps - round(config.decay_fraction * steps))
        progress = min(1.0, max(0.0, (step - begin) / max(1, steps - begin)))
    fall = 0.5 * (1 + math.cos(math.pi * progress)) if config.schedule == "cosine" else 1 - progress
    return config.min_lr_ratio + (1 - config.min_lr_ratio) * fall
