"""Runs that are trained in a second: a reversal task, and what is compared of two runs."""

from core import load
from core.config import RunConfig
from core.files import read_jsonl

WORDS = "one two three four five six seven eight nine ten".split()


def config(files, *overrides, family="transformer"):
    base = {
        "model": {"family": family, "d_model": 32, "n_layers": 1, "n_heads": 2, "max_seq_len": 32, "dropout": 0.1},
        "tokenizer": {"vocab_size": 280},
        "data": {"src": str(files / "src.txt"), "tgt": str(files / "tgt.txt")},
        "optim": {"optimizer": "muon", "learning_rate": 0.01, "warmup_steps": 5},
        "train": {
            "max_steps": 24, "batch_tokens": 256, "val_every": 8, "checkpoint_every": 5, "sample_every": 12,
            "log_every": 4,
            "ema_decay": 0.9, "threads": 1,
        },
        "decode": {"max_new_tokens": 8},
    }  # fmt: skip
    if family != "transformer":
        base["data"] = {"name": str(files / "text.txt")}
    return RunConfig.from_dict(base).with_overrides(overrides)


def weights(directory):
    return {n: t.clone() for n, t in load(str(directory)).model.state_dict().items()}


def curve(directory):
    keep = ("step", "loss", "val_loss", "lr", "grad_norm", "tokens", "val_bits_per_byte")
    return [{k: v for k, v in line.items() if k in keep} for line in read_jsonl(directory / "metrics.jsonl")]


def samples(directory):
    return read_jsonl(directory / "samples.jsonl")


def same_bits(a, b):
    """Whether two runs ended with the same weights."""
    return all(tensor.equal(b[name]) for name, tensor in a.items()) and a.keys() == b.keys()
