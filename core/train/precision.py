"""In which precision a device computes quickly: bfloat16 where it has units for it, else float32."""

import torch

LIGHTNING = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}  # mixed: the weights stay float32
MIN_WIDTH = 128  # below it, converting between the two formats costs more than the products save


def has_bfloat16_units(device: torch.device | str) -> bool:
    """Whether products of bfloat16 matrices are quicker than those of float32 there.

    Of CPUs that is so for those with AMX tiles; others do bfloat16 up to a hundred times more slowly.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu":
        return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
    return False


def choose_precision(asked: str, width: int) -> str:
    """ "32", "bf16" or "16" for "auto": what the machine that this runs on does well for a model of this width."""
    if asked != "auto":
        return asked
    if torch.cuda.is_available():
        return "bf16" if has_bfloat16_units("cuda") else "32"
    return "bf16" if has_bfloat16_units("cpu") and width >= MIN_WIDTH else "32"


def computes_in(precision: str) -> bool:
    """Whether the machine that this runs on has units for "32", "bf16" or "16"."""
    if precision == "16":
        return torch.cuda.is_available()
    return precision == "32" or has_bfloat16_units("cuda" if torch.cuda.is_available() else "cpu")
