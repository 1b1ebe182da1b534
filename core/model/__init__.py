"""The three model families. Read `base.py` first, then `layers.py` and `attention.py`."""

from core.config import ModelConfig
from core.model.base import LanguageModel, Memory, ModelOutput
from core.model.cache import KVCache
from core.model.gpt import GPT
from core.model.llama import Llama
from core.model.trace import Trace
from core.model.transformer import Transformer

FAMILIES: dict[str, type[LanguageModel]] = {"transformer": Transformer, "gpt": GPT, "llama": Llama}


def build_model(config: ModelConfig) -> LanguageModel:
    """A freshly initialised model of the configuration's family."""
    return FAMILIES[config.family](config)


__all__ = [
    "GPT", "FAMILIES", "KVCache", "LanguageModel", "Llama", "Memory", "ModelOutput", "Trace", "Transformer",
    "build_model",
]  # fmt: skip
