"""A model made ready to be used: where, and in which precision."""

from typing import Literal

import torch

from core.errors import ConfigError
from core.model.base import LanguageModel

Precision = Literal["auto", "float32", "bfloat16", "int8"]
PRECISIONS = ("auto", "float32", "bfloat16", "int8")


def for_inference(model: LanguageModel, device: str = "cpu", precision: Precision = "auto") -> LanguageModel:
    """The model on the device ("cpu", "cuda", "auto": a GPU if there is one), ready to decode.

    float32: the weights as they are, on a CPU packed for speed; the usual there. bfloat16: on a GPU, and the usual
    there. int8: on a CPU, a copy with 8-bit matrices (see core.model.quantize). ConfigError for what the machine cannot
    do.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"The precision must be one of {', '.join(PRECISIONS)}, not {precision!r}.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("There is no GPU here that PyTorch can use (CUDA); use the device 'cpu'.")
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"The device must be 'cpu', 'cuda' or 'auto', not {device!r}.")
    if device == "cuda":
        if precision == "int8":
            raise ConfigError("Weights in 8 bits are for the CPU; use bfloat16 or float32 on a GPU.")
        return model.unpack().to(device, torch.float32 if precision == "float32" else torch.bfloat16)
    if precision == "bfloat16":
        raise ConfigError("bfloat16 is for GPUs: most processors compute in it far more slowly than in float32.")
    if precision == "int8":
        from core.model.quantize import quantize

        return quantize(model)
    return model.pack()
