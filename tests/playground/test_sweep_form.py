"""What the form of a sweep means."""

import pytest

from core.errors import ConfigError
from core.files import append_jsonl
from core.presets import PRESETS
from core.run import create_run
from core.sweep import SET_BY_THE_SWEEP
from playground import sweep_form
from playground.sweep_form import SweepForm, cost, keys, of_preset, spec_of, weights

LR = ("optim.learning_rate", "1e-3, 3e-3")


def test_all_keys_are_offered_once_and_can_be_read():
    assert len(keys()) == len(set(keys())) > 60 and keys()[0] == "optim.learning_rate"
    config = of_preset("demo", 100)
    from core.sweep import value_of

    for key in keys():
        value_of(config, key)
    assert not set(SET_BY_THE_SWEEP) & set(keys())


def test_the_form_is_a_sweep():
    spec = spec_of(of_preset("demo", 120), SweepForm(pairs=(LR, (None, ""), ("", None), ("model.d_model", "64,128"))))
    assert spec.axes == {"optim.learning_rate": "1e-3, 3e-3", "model.d_model": "64,128"}
    assert (spec.kind, spec.eta, spec.rungs, spec.config.train.max_steps) == ("grid", 2, 3, 120)
    drawn = spec_of(of_preset("demo", 120), SweepForm(kind="random", trials=5, halving=False, pairs=(LR,)))
    assert (drawn.kind, drawn.trials, drawn.eta) == ("random", 5, 0)
    assert spec_of(of_preset("demo", 9), SweepForm(metric="bleu", pairs=(LR,))).config.train.score_examples == 100


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        (SweepForm(), "at least one key"),
        (SweepForm(pairs=((None, "1,2"),)), "Choose the key that 1,2"),
        (SweepForm(pairs=(("seed", " "),)), "seed has no values"),
        (SweepForm(pairs=(LR, LR)), "chosen twice"),
        (SweepForm(kind="random", trials=None, pairs=(LR,)), "number of trials"),
        (SweepForm(kind="random", trials=2.5, pairs=(LR,)), "number of trials"),
        (SweepForm(kind="random", trials=float("nan"), pairs=(LR,)), "number of trials"),
        (SweepForm(eta=1, pairs=(LR,)), "goes on"),
        (SweepForm(rungs=0, pairs=(LR,)), "rungs"),
        (SweepForm(kind="random", trials=2, pairs=(("train.max_steps", "1,2"),)), "cannot be swept"),
    ],
)
def test_what_is_wrong_is_said(form, sentence):
    with pytest.raises(ConfigError, match=sentence):
        spec_of(of_preset("demo", 100), form)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_swept(name, no_runs):
    found = cost(spec_of(of_preset(name, None), SweepForm(pairs=(LR,))))
    assert found.trials == 2 and found.seconds > 0 and found.told_by == ""
    assert found.parts[-1][0] == 1 and sum(steps for _, steps in found.parts) == PRESETS[name].config.train.max_steps


def test_time_is_reckoned_from_a_run_of_the_same_size(no_runs, monkeypatch):
    monkeypatch.setattr(sweep_form, "START_UP", 0.0)
    spec = spec_of(config := of_preset("demo", 100), SweepForm(halving=False, pairs=(LR,)))
    directory = create_run(config, "mine")
    append_jsonl(directory / "metrics.jsonl", {"step": 50, "tokens": 50 * config.train.batch_tokens, "seconds": 20.0})
    small = create_run(config.with_overrides(["model.d_model=16"]), "small")
    append_jsonl(small / "metrics.jsonl", {"step": 50, "tokens": 50 * config.train.batch_tokens, "seconds": 20.0})
    found = cost(spec)
    assert found.told_by == "mine" and found.steps == 200
    assert found.seconds == pytest.approx(200 * 20 / 50, rel=0.02)  # two trials of 100 steps at 0.4 s each
    wider = cost(spec_of(config, SweepForm(halving=False, pairs=(("model.d_model", "256"),))))
    assert wider.told_by == "" or wider.seconds > found.seconds / 2
    assert weights(config) > 500_000
    append_jsonl(directory / "metrics.jsonl", {"step": 51, "tokens": 0, "seconds": "x"})  # odd lines do no harm
    assert cost(spec).told_by == "mine"
