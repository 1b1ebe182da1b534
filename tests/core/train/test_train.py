"""Whole small trainings: they learn, resume to the bit, stop when asked, and say what went wrong."""

import errno
import json
import threading
import time

import pytest
import torch
import torch.nn.functional as F

from core import load
from core.data.batching import PairBatches
from core.errors import DataError, RunError
from core.files import read_jsonl
from core.model import build_model
from core.run import create_run, read_status
from core.train.checkpoint import read_checkpoint
from core.train.loop import train
from core.train.module import loss_sum, validation_loss
from tests.core.train.tiny_runs import config, curve


@pytest.mark.parametrize("family", ["transformer", "gpt", "llama"])
def test_training_writes_a_run_that_has_learnt(family, files, tmp_path):
    directory = create_run(config(files, family=family), "r", tmp_path)
    status = train(directory)
    assert (status.state, status.step) == ("done", 24)
    lines = curve(directory)
    losses = [line["loss"] for line in lines if "loss" in line]
    assert [line["step"] for line in lines if "loss" in line] == [1, 4, 8, 12, 16, 20, 24]
    assert [line["step"] for line in lines if "val_loss" in line] == [8, 16, 24]
    assert losses[-1] < 0.8 * losses[0]
    run = load("r", tmp_path)
    assert run.config.model.vocab_size == run.tokenizer.vocab_size == run.model.token_embedding.num_embeddings
    samples = read_jsonl(directory / "samples.jsonl")
    assert [s["step"] for s in samples] == [12, 24]
    assert "seconds" in read_jsonl(directory / "metrics.jsonl")[0]
    best = min(line["val_loss"] for line in lines if "val_loss" in line)
    from core.train.data_module import Prepared

    total, tokens = validation_loss(run.model, Prepared(run.config, directory, lambda text: None).val_batches())
    assert total / tokens == pytest.approx(best, abs=1e-4)  # what is saved is what was validated


def test_stop_finishes_the_step_validates_and_keeps(files, tmp_path):
    directory = create_run(config(files, "train.max_steps=100000"), "r", tmp_path)

    def ask():
        deadline = time.monotonic() + 60
        while read_status(directory).step < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        (directory / "stop").touch()

    asker = threading.Thread(target=ask)
    asker.start()
    status = train(directory)
    asker.join()
    assert status.state == "cancelled" and 4 <= status.step < 100_000
    assert not (directory / "stop").exists()
    last = [line for line in curve(directory) if "val_loss" in line][-1]
    assert last["step"] == status.step
    assert load("r", tmp_path).model.num_parameters() > 0
    assert read_checkpoint(directory)["step"] == status.step


def test_early_stopping(files, tmp_path):
    directory = create_run(
        config(files, "train.patience=2", "train.max_steps=400", "train.val_every=2", "optim.learning_rate=1e-9",
               "optim.muon_learning_rate=1e-9", "train.ema_decay=0"), "r", tmp_path
    )  # fmt: skip
    status = train(directory)
    assert status.state == "done" and status.step < 400 and "early" in status.message


def test_accumulation_weighs_every_token_alike(files, tmp_path):
    """Micro-batches of different sizes give the gradient of one batch of all their tokens."""
    torch.manual_seed(0)
    model = build_model(config(files, "model.vocab_size=90", "model.dropout=0").model).double()
    pairs = [([5, 6, 7], [8]), ([9], [10, 11, 12, 13, 14]), ([15, 16], [17, 18])]
    one = PairBatches(pairs, 1_000, 32)
    many = PairBatches(pairs, 1, 32)
    (batch,) = one.epoch(0)
    (loss_sum(model, batch, 0.1) / batch.num_target_tokens).backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    batches = list(many.epoch(0))
    assert len(batches) == 3
    for micro in batches:
        (loss_sum(model, micro, 0.1) / batch.num_target_tokens).backward()
    for parameter, gradient in zip(model.parameters(), expected):
        torch.testing.assert_close(parameter.grad, gradient)


def test_the_reported_validation_loss_is_without_smoothing(files):
    torch.manual_seed(0)
    model = build_model(config(files, "model.vocab_size=90").model)
    (batch,) = PairBatches([([5, 6, 7], [8]), ([9], [10, 11])], 1_000, 32).epoch(0)
    total, tokens = validation_loss(model, [batch])
    model.eval()
    logits = model(batch.input_ids, model.encode(batch.src_ids, batch.src_mask)).logits
    expected = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="sum")
    assert tokens == 5 and total == pytest.approx(expected.item(), rel=1e-5)
    for smoothing in (0.0, 0.1):
        expected = F.cross_entropy(
            logits.flatten(0, 1), batch.targets.flatten(), reduction="sum", label_smoothing=smoothing
        )
        assert loss_sum(model, batch, smoothing).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_stands(files, tmp_path, monkeypatch):
    directory = create_run(config(files), "r", tmp_path)
    real = torch.save

    def full(state, file, *rest, **named):
        if state["step"] >= 15:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(state, file, *rest, **named)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RunError, match="no space left"):
        train(directory)
    assert read_status(directory).state == "failed" and "no space left" in read_status(directory).error
    assert read_checkpoint(directory)["step"] == 10
    monkeypatch.setattr(torch, "save", real)
    assert train(directory, resume=True).state == "done"


def test_pairs_longer_than_the_context(files, tmp_path):
    directory = create_run(config(files, "model.max_seq_len=2"), "r", tmp_path)
    with pytest.raises(DataError, match="longer than the model's context of 2"):
        train(directory)
    assert "longer than the model" in read_status(directory).error
    log = (directory / "train.log").read_text()
    assert "longer than the model's context" in log and "Traceback" not in log


def test_wandb_offline_and_without_a_key(files, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    directory = create_run(config(files, "train.wandb=online", "train.max_steps=4"), "r", tmp_path)
    said = []
    assert train(directory, echo=said.append).state == "done"
    assert any("no WANDB_API_KEY" in line for line in said)
    assert any("wandb sync" in line for line in said)
    assert list((directory / "wandb").glob("offline-run-*/*.wandb"))


def test_metrics_are_json_that_others_can_read(files, tmp_path):
    directory = create_run(config(files, "train.max_steps=4"), "r", tmp_path)
    train(directory)
    for line in (directory / "metrics.jsonl").read_text().splitlines():
        assert isinstance(json.loads(line)["step"], int)
    values = json.loads((directory / "status.json").read_text())
    assert values["state"] == "done" and values["backend"] == "local" and values["error"] == ""
