"""Small random models of all three families in a runs directory of their own, for the tests of the page."""

import pytest
import torch

import core.run
import core.tokenizer.load
from core.config import RunConfig
from core.files import write_json, write_text
from core.model import build_model
from core.run import Status, create_run, save_model
from core.tokenizer import train_bpe

FAMILIES = {"tiny-transformer": "transformer", "tiny-gpt": "gpt", "tiny-llama": "llama"}
TEXTS = ["I'd like a cup of coffee.", "コーヒーを一杯いただきたい。", "ROMEO:\nWhat light is this", "The function"]


def make_run(name: str, family: str, folder, *, max_seq_len: int = 48, seed: int = 0):
    """A run directory as training leaves it, with random weights."""
    tokenizer = train_bpe(TEXTS * 4, 320)
    shape = {"d_model": 16, "n_layers": 2, "n_heads": 4, "d_ff": 32, "max_seq_len": max_seq_len}
    if family == "transformer":
        shape |= {"n_layers": 3, "n_encoder_layers": 2}  # unequal depths
    if family == "llama":
        shape["n_kv_heads"] = 2
    config = RunConfig.from_dict(
        {
            "model": {"family": family, "vocab_size": tokenizer.vocab_size, **shape},
            "data": {"name": "builtin:enja" if family == "transformer" else "notes.txt"},
            "decode": {"strategy": "greedy", "max_new_tokens": 12},
            "train": {"sample_prompts": [] if family == "transformer" else ["Dear reader"]},
        }
    )
    directory = create_run(config, name, folder)
    write_text(directory / "tokenizer.json", tokenizer.to_json())
    torch.manual_seed(seed)
    model = build_model(config.model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.5)  # decided attention
    save_model(model, directory / "model.safetensors")
    write_json(directory / "scores.json", {"bleu": 12.345, "seconds": 3})
    Status(state="done").write(directory)
    return directory


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing here asks the hub: names that begin with hf: are looked for in the cache only."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # for processes that a test starts
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="session")
def small_runs(tmp_path_factory):
    """The directory with one run a family."""
    folder = tmp_path_factory.mktemp("runs")
    for name, family in FAMILIES.items():
        make_run(name, family, folder)
    return folder


@pytest.fixture
def runs(small_runs, monkeypatch, tmp_path):
    """RUNS_DIR with the small runs, and no bundled ones."""
    monkeypatch.setenv("RUNS_DIR", str(small_runs))
    monkeypatch.setattr(core.run, "BUNDLED", tmp_path / "bundled")
    monkeypatch.setattr(core.tokenizer.load, "BUNDLED", tmp_path / "bundled")
    return small_runs


@pytest.fixture
def no_runs(monkeypatch, tmp_path):
    """Nothing trained and nothing bundled."""
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setattr(core.run, "BUNDLED", tmp_path / "bundled")
    return tmp_path
