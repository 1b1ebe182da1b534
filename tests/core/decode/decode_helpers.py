"""Small random models of our own, and a tokenizer of single bytes, for the tests of decoding."""

import random
from types import SimpleNamespace

import torch

from core.config import ModelConfig, RunConfig
from core.decode import GenerationConfig, Hypothesis, generate_ids
from core.decode.config import STRATEGIES
from core.model import LanguageModel, build_model

FAMILIES = ("transformer", "gpt", "llama")
# What each strategy needs beside its name to be quick.
SMALL: dict[str, dict] = {strategy: {} for strategy in STRATEGIES} | {
    "beam": dict(num_beams=2), "diverse_beam": dict(num_beams=2), "best_of": dict(num_samples=3),
    "mbr": dict(num_samples=3),
}  # fmt: skip


def tiny(
    family: str, vocab_size: int = 40, eos_bias: float = 0.0, max_seq_len: int = 48, seed: int = 0, noise: float = 0.0
) -> LanguageModel:
    """Weights large enough for decided predictions, in double precision: a batch of another shape rounds differently,
    which is not what is tested here. eos_bias: how much the end token is favoured. noise: how far all weights are from
    those of the same model without."""
    torch.manual_seed(seed)
    config = ModelConfig(
        family=family, vocab_size=vocab_size, d_model=16, n_layers=2, n_heads=2, d_ff=32, max_seq_len=max_seq_len,
        tie_embeddings=False,
    )  # fmt: skip
    model = build_model(config).eval().double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.6)
        for parameter in model.parameters():
            parameter += noise * torch.randn_like(parameter)
    project = model.logits

    def biased(x: torch.Tensor) -> torch.Tensor:
        logits = project(x)
        logits[..., model.eos_id] += eos_bias
        return logits

    model.logits = biased  # type: ignore[method-assign]
    model.made_by = dict(family=family, vocab_size=vocab_size, eos_bias=eos_bias, max_seq_len=max_seq_len, seed=seed)  # type: ignore[assignment]
    return model


def assistant_of(model, noise: float = 0.05):
    """A model that agrees with this one now and then."""
    return tiny(**model.made_by, noise=noise) if hasattr(model, "made_by") else model


def decode(model, inputs: list[list[int]], config: GenerationConfig, **options) -> list[list[Hypothesis]]:
    """generate_ids, with what the strategy needs beside the model."""
    if config.strategy == "assisted":
        options.setdefault("assistant", assistant_of(model))
    if config.strategy == "mbr":
        options.setdefault("tokenizer", ByteTokenizer())
    return generate_ids(model, inputs, config, **options)


def random_inputs(count: int, vocab_size: int = 40, longest: int = 14, seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(3, vocab_size) for _ in range(rng.randint(1, longest))] for _ in range(count)]


class ByteTokenizer:
    """Ids 0 to 2 are special, then the 256 bytes."""

    def encode(self, text: str) -> SimpleNamespace:
        return SimpleNamespace(ids=[byte + 3 for byte in text.encode()])

    def decode_bytes(self, ids: list[int], *, skip_special: bool = True) -> bytes:
        return bytes(token - 3 for token in ids if token > 2)


def byte_run(family: str, **kwargs) -> SimpleNamespace:
    """What decoding needs of a Run."""
    model = tiny(family, vocab_size=259, **kwargs)
    return SimpleNamespace(model=model, tokenizer=ByteTokenizer(), config=RunConfig())


class ScriptedModel(torch.nn.Module):
    """A stand-in whose logits are a function of the row's ids: `table(ids) -> list of V numbers`. No cache."""

    is_encoder_decoder = False
    bos_id, eos_id, pad_id = 1, 2, 0
    max_seq_len = 64
    device = torch.device("cpu")

    def __init__(self, table, vocab_size: int) -> None:
        super().__init__()
        self.table = table
        self.config = SimpleNamespace(vocab_size=vocab_size)

    def prompt_ids(self, ids):
        return [self.bos_id, *ids]

    def hidden(self, input_ids, memory=None, cache=None, trace=None):
        """The logits themselves, as states."""
        rows = [[self.table(ids[: n + 1]) for n in range(len(ids))] for ids in input_ids.tolist()]
        return torch.tensor(rows, dtype=torch.float32)

    def logits(self, states):
        return states

    def forward(self, input_ids, memory=None, cache=None, trace=False, logit_positions=None):
        if logit_positions is None:
            return SimpleNamespace(logits=self.hidden(input_ids))
        rows = [self.table(ids[: n + 1]) for ids, n in zip(input_ids.tolist(), logit_positions.tolist(), strict=True)]
        return SimpleNamespace(logits=torch.tensor(rows, dtype=torch.float32)[:, None])
