"""Random tiny models of every family and shape, with readings of random ids, and their twins from transformers."""

from pathlib import Path

import torch

from core.analysis.reading import Reading, _forward
from core.config import ModelConfig, RunConfig
from core.model import build_model
from core.run import Run
from core.tokenizer.base import Tokenizer

SIZE = {"vocab_size": 67, "d_model": 24, "n_layers": 3, "n_heads": 4, "max_seq_len": 24}
TRANSLATOR = SIZE | {"family": "transformer"}
SHAPES = {
    "gpt": ModelConfig(family="gpt", **SIZE),
    "gpt-untied": ModelConfig(family="gpt", **SIZE | {"tie_embeddings": False, "n_layers": 1}),
    "llama": ModelConfig(family="llama", **SIZE | {"n_heads": 6, "n_kv_heads": 2}),
    "llama-untied": ModelConfig(family="llama", **SIZE | {"n_kv_heads": 1, "tie_embeddings": False}),
    "pre": ModelConfig(**TRANSLATOR | {"n_encoder_layers": 2}),
    "pre-learned": ModelConfig(**TRANSLATOR | {"positions": "learned", "tie_embeddings": False, "output_bias": True}),
    "post": ModelConfig(**TRANSLATOR | {"norm_position": "post", "n_layers": 2, "n_encoder_layers": 4}),
    "post-marian": ModelConfig(
        **TRANSLATOR | {"norm_position": "post", "output_bias": True, "positions": "sinusoidal_halves",
                        "activation": "silu", "n_encoder_layers": 1}
    ),
}  # fmt: skip


class Letters(Tokenizer):
    """Every id but the special ones is a character."""

    def __init__(self, vocab_size):
        super().__init__(vocab_size, {"<pad>": 0, "<s>": 1, "</s>": 2})

    def encode(self, text, *, parse_special=False):
        raise AssertionError("these cases are given as ids")

    def token_bytes(self, id):
        return b"" if id < 3 else bytes([(id + 40) % 256])

    def to_json(self):
        return ""


def random_model(config, seed=0):
    torch.manual_seed(seed)
    model = build_model(config).eval()
    with torch.no_grad():  # far from their initial values: norms with a gain and a bias, outputs that are not alike
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def reading_of(model, length=13, source=9, seed=0) -> Reading:
    run = Run("random", RunConfig(model=model.config), Letters(model.config.vocab_size), Path())
    run.model = model
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, model.config.vocab_size, (length,), generator=random).tolist()
    if not model.is_encoder_decoder:
        return _forward(run, model, [], ids, None, "", [])
    src = torch.randint(3, model.config.vocab_size, (source,), generator=random).tolist()
    return _forward(run, model, src, ids, model.eos_id, "", [])


def case(name, **shape) -> Reading:
    return reading_of(random_model(SHAPES[name]).pack(), **shape)
