"""GPT-2's shape: learned positions, LayerNorm before each sublayer, GELU, biases, tied embeddings.

Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).

    ids -> token + position embedding -> n_layers x (attention, feed-forward) -> LayerNorm -> logits
"""

from core.config import ModelConfig
from core.model.base import LanguageModel


class GPT(LanguageModel):
    """A decoder and nothing else. All of it is in `LanguageModel`; the configuration makes it a GPT."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.initialise()
