"""Decoding: from a model's logits to text, one engine for all families and strategies.

>>> from core.decode import GenerationConfig, generate
>>> generate(run, ["i would like a cup of coffee ."], GenerationConfig(strategy="beam"))[0].text  # doctest: +SKIP

Names are imported when they are first used: core.config needs GenerationConfig and must not pull in torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.decode.config import GenerationConfig as GenerationConfig

_HOME = {
    "GenerationConfig": "core.decode.config",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
