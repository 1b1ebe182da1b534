"""Averages of weights against their definitions."""

import pytest
import torch
from torch import nn

from core.run import create_run
from core.train.averaging import AveragedWeights
from core.train.checkpoint import read_checkpoint
from core.train.loop import train
from tests.core.train.tiny_runs import config, same_bits, weights


def steps(count):
    """A model whose weights are the step's number."""
    model = nn.Linear(3, 2)
    for step in range(1, count + 1):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(float(step))
        yield step, model


def test_exponential_average_against_the_formula():
    averaged, expected = AveragedWeights(decay=0.9), None
    for step, model in steps(200):
        averaged.after_step(model, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = float(step) if expected is None else decay * expected + (1 - decay) * step
    assert all(torch.allclose(t, torch.tensor(expected)) for t in averaged.average())


def test_mean_of_the_last_validations():
    averaged = AveragedWeights(last=3)
    for step, model in steps(10):
        averaged.after_step(model, step)
        if step % 2 == 0:
            averaged.before_validation(model)
    with averaged.applied(model):
        assert all(torch.equal(p, torch.full_like(p, (6 + 8 + 10) / 3)) for p in model.parameters())
    assert all(torch.equal(p, torch.full_like(p, 10.0)) for p in model.parameters())


def test_without_an_average_the_model_stays_as_it_is():
    averaged = AveragedWeights()
    for step, model in steps(2):
        averaged.after_step(model, step)
        averaged.before_validation(model)
    assert averaged.average() == []
    with averaged.applied(model):
        assert all(torch.equal(p, torch.full_like(p, 2.0)) for p in model.parameters())


def test_the_model_is_itself_again_after_an_error():
    averaged = AveragedWeights(decay=0.5)
    for step, model in steps(3):
        averaged.after_step(model, step)
    with pytest.raises(RuntimeError), averaged.applied(model):
        raise RuntimeError
    assert all(torch.equal(p, torch.full_like(p, 3.0)) for p in model.parameters())


def test_a_run_keeps_the_mean_of_its_last_validations(files, tmp_path):
    """What is saved is the mean of the weights at the validations, the best one's and the two before it."""
    overrides = ("train.ema_decay=0", "train.average_last=3", "train.val_every=4", "train.max_steps=16")
    directory = create_run(config(files, *overrides), "mean", tmp_path)
    train(directory)
    each = []
    for stop in (8, 12, 16):
        one = create_run(config(files, *overrides, f"train.stop_at={stop}"), f"at-{stop}", tmp_path)
        train(one)
        each.append(read_checkpoint(one)["model"])
    expected = {name: torch.stack([state[name] for state in each]).mean(0) for name in each[0]}
    assert same_bits(weights(directory), expected)
