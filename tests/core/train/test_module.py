"""A step's precision, memory and gradients."""

from functools import partial

import pytest
import torch

from core.config import ModelConfig
from core.data.batching import BlockBatches, PairBatches
from core.model import build_model
from core.run import create_run
from core.train import precision
from core.train.loop import train
from core.train.module import loss_sum
from core.train.precision import choose_precision
from tests.core.train.tiny_runs import config, curve, same_bits, weights


def model_and_batch(family, dropout):
    torch.manual_seed(0)
    model = build_model(
        ModelConfig(family=family, vocab_size=60, d_model=32, n_layers=3, n_heads=4, max_seq_len=16, dropout=dropout)
    ).train()
    ids = torch.randint(3, 60, (8, 2, 9)).tolist()
    if family == "transformer":
        source = PairBatches([(a, b) for a, b in ids], 1_000, 16)
    else:
        source = BlockBatches(torch.randint(3, 60, (200,)).numpy(), 64, 16)
    return model, source.batch(source.batches(0)[0])


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("family", ["gpt", "llama", "transformer"])
def test_recomputing_activations_changes_no_gradient(family, dropout):
    model, batch = model_and_batch(family, dropout)
    found = []
    for recompute in (False, True):
        model.recompute = recompute
        model.zero_grad()
        torch.manual_seed(1)
        loss = loss_sum(model, batch)
        loss.backward()
        found.append([loss.detach()] + [p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found))


@pytest.mark.parametrize("family", ["gpt", "transformer"])
def test_compiled_is_the_same(family, files, tmp_path, monkeypatch):
    """The whole of a loss is one graph for the compiler. (PyTorch's own operations stand in for generated code, which
    takes minutes to compile.)"""
    compile_with = partial(torch.compile, backend="aot_eager", fullgraph=False)
    monkeypatch.setattr(torch, "compile", compile_with)
    found = []
    for compiled in ("false", "true"):
        settings = (
            "model.dropout=0",
            f"train.compile={compiled}",
            "train.sample_every=0",
            "train.log_every=1",
            "train.max_steps=2",
        )
        directory = create_run(config(files, *settings, family=family), compiled, tmp_path)
        said = []
        train(directory, echo=said.append)
        assert not any("does not work" in line for line in said)
        found.append([line["loss"] for line in curve(directory) if "loss" in line])
    assert found[1] == pytest.approx(found[0], rel=1e-4)


def test_a_compiler_that_does_not_work_is_a_sentence(files, tmp_path, monkeypatch):
    def broken(graph, inputs):
        raise OSError("no compiler for this processor")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    said = []
    directory = create_run(config(files, "train.compile=true", "train.max_steps=4"), "broken", tmp_path)
    assert train(directory, echo=said.append).state == "done"
    assert sum("torch.compile does not work here" in line for line in said) == 1


def test_recomputing_keeps_less():
    def kept(recompute):
        model, batch = model_and_batch("gpt", 0.0)
        model.recompute = recompute
        sizes = []

        def pack(tensor):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss_sum(model, batch)
        return sum(sizes)

    assert kept(True) < 0.5 * kept(False)


def test_a_model_in_use_is_not_recomputed():
    model, batch = model_and_batch("gpt", 0.0)
    model.recompute = True
    model.eval()
    with torch.no_grad():
        model(batch.input_ids, trace=True)


def test_precision_follows_the_machine(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16_units", lambda device: True)
    assert choose_precision("auto", 256) == "bf16" and choose_precision("auto", 64) == "32"
    monkeypatch.setattr(precision, "has_bfloat16_units", lambda device: False)
    assert choose_precision("auto", 256) == "32"
    for asked in ("32", "bf16", "16"):
        assert choose_precision(asked, 256) == asked


def test_bfloat16_learns_the_same_and_resumes_to_the_bit(files, tmp_path):
    single = create_run(config(files, "train.precision=32", "model.dropout=0"), "single", tmp_path)
    half = create_run(config(files, "train.precision=bf16", "model.dropout=0"), "half", tmp_path)
    cut = create_run(config(files, "train.precision=bf16", "model.dropout=0", "train.stop_at=16"), "cut", tmp_path)
    for directory in (single, half, cut):
        train(directory)
    last = [[line["loss"] for line in curve(d) if "loss" in line][-1] for d in (single, half)]
    assert last[1] == pytest.approx(last[0], rel=0.1) and last[0] != last[1]
    assert all(tensor.dtype == torch.float32 for tensor in weights(half).values())
    from core.files import write_json

    write_json(cut / "config.json", config(files, "train.precision=bf16", "model.dropout=0").to_dict())
    train(cut, resume=True)
    assert same_bits(weights(cut), weights(half))


def test_a_run_that_comes_from_a_machine_with_other_units_goes_on_in_what_this_one_has(files, tmp_path, monkeypatch):
    from core.files import write_json
    from core.run import read_config

    def cut(name, units):
        monkeypatch.setattr(precision, "has_bfloat16_units", lambda device: units)
        directory = create_run(config(files, "train.precision=bf16", "train.stop_at=8"), name, tmp_path)
        train(directory)
        write_json(directory / "config.json", config(files, "train.precision=bf16", "train.stop_at=9").to_dict())
        return directory

    fast, slow, said = cut("fast", True), cut("slow", False), []
    train(fast, resume=True, echo=said.append)
    assert read_config(fast).train.precision == "32" and [text for text in said if "it goes on with 32" in text]
    said.clear()
    train(slow, resume=True, echo=said.append)  # there it was slow from the start: as it was wanted
    assert read_config(slow).train.precision == "bf16" and not [text for text in said if "goes on with" in text]


def test_what_was_chosen_is_kept_for_a_resumed_run(files, tmp_path):
    from core.run import read_config

    directory = create_run(config(files, "train.max_steps=2", "train.val_every=2"), "kept", tmp_path)
    train(directory)
    assert read_config(directory).train.precision == choose_precision("auto", 32)
