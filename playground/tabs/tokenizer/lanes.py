"""Which tokenizers are compared: the tab's own first, then the others that were chosen, each once."""

from collections.abc import Sequence

from playground import tokenizers
from playground.tokenizers import MODELS_OWN, Work

MOST = 6  # at a time


def lane_keys(work: Work, others: Sequence[str] | None) -> dict[str, str]:
    """Name -> key of all of them, names and tokenizers each once. The model's own tokenizer has the model's name."""
    keys: dict[str, str] = {}
    for key in [work.tokenizer, *(str(other).strip() for other in others or [])]:
        key = (work.model or MODELS_OWN) if key == MODELS_OWN else key
        if key in keys.values():
            continue
        name = tokenizers.label(key, work.model)
        while name in keys:  # a run and an own tokenizer of the same name
            name += "′"
        keys[name] = key
    return keys
