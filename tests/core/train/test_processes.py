"""Two processes train as one: the same steps, the same curve."""

from contextlib import nullcontext

import pytest

from core.files import read_jsonl, write_json
from core.run import create_run, read_status
from core.train.checkpoint import read_checkpoint
from core.train.loop import train
from tests.core.train.tiny_runs import config, curve, samples, weights
from tests.forked import forking

# Dropout is drawn by each process for its own rows, so it is left out where curves are compared.
SETTINGS = (
    "model.dropout=0", "train.accumulate=2", "optim.optimizer=adamw", "train.log_every=1", "train.ema_decay=0",
    "train.max_steps=14", "train.val_every=4", "train.sample_every=7",
)  # fmt: skip


@pytest.fixture(scope="module")
def one(files, tmp_path_factory):
    """A run in one process."""
    directory = create_run(config(files, *SETTINGS), "one", tmp_path_factory.mktemp("runs"))
    train(directory)
    return directory


@pytest.fixture(scope="module", params=["ddp", "fsdp"])
def pair(request, one, files, tmp_path_factory):
    """The same run in one process and in two, the latter stopped in the middle and resumed."""
    several = (*SETTINGS, "train.devices=2", f"train.strategy={request.param}")
    two = create_run(config(files, *several, "train.stop_at=6"), "two", tmp_path_factory.mktemp("runs"))
    with forking() if request.param == "fsdp" else nullcontext():
        first = train(two)
    write_json(two / "config.json", config(files, *several).to_dict())
    said = []
    with forking():
        second = train(two, resume=True, echo=said.append)
    return one, two, first, second, said


def test_the_curve_is_the_same(pair):
    one, two, first, second, said = pair
    assert (first.state, first.step) == ("cancelled", 6) and (second.state, second.step) == ("done", 14)
    assert any("going on from step 6" in line for line in said)
    ours = {line["step"]: line for line in curve(two) if "loss" in line}
    theirs = {line["step"]: line for line in curve(one) if "loss" in line}
    assert ours.keys() == theirs.keys()
    for step, line in theirs.items():
        assert ours[step]["loss"] == pytest.approx(line["loss"], rel=2e-4), step
        assert ours[step]["grad_norm"] == pytest.approx(line["grad_norm"], rel=2e-3), step
        assert ours[step]["tokens"] == line["tokens"]


def test_the_weights_are_the_same(pair):
    one, two, *_ = pair
    ours, theirs = weights(two), weights(one)
    for name, tensor in theirs.items():
        if name.endswith((".qkv.bias", ".kv.bias")):
            continue  # a key's bias changes no attention: its gradient is rounding, which AdamW scales up
        assert (ours[name] - tensor).norm() <= 1e-3 * tensor.norm() + 1e-6, name
    assert read_checkpoint(two)["place"] == read_checkpoint(one)["place"]


def test_only_the_first_process_writes(pair):
    one, two, *_ = pair
    steps = [line["step"] for line in read_jsonl(two / "metrics.jsonl") if "loss" in line]
    assert len(steps) == len(set(steps))
    assert [line["step"] for line in samples(two)] == [6, 7, 14]
    log = (two / "train.log").read_text()
    assert log.count("finished: best validation loss") == 1 and "Traceback" not in log


def test_what_goes_wrong_is_one_sentence(files, tmp_path):
    from core.errors import UserError

    directory = create_run(config(files, *SETTINGS, "train.devices=2", "model.max_seq_len=2"), "wrong", tmp_path)
    with forking(), pytest.raises(UserError, match="longer than the model's context"):
        train(directory)
    assert read_status(directory).state == "failed"
