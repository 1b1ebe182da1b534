"""What a sweep tries and which trials go on."""

import math

import pytest

from core.config import RunConfig
from core.errors import ConfigError
from core.sweep import (
    MAX_TRIALS,
    Axis,
    SweepSpec,
    draw_trials,
    goes_on,
    ranking,
    result,
    rung_steps,
    training_steps,
    trial_config,
)  # fmt: skip

BASE = RunConfig()
PAIRS = RunConfig.from_dict({"model": {"family": "transformer"}})


def spec(axes, **values):
    return SweepSpec(values.pop("config", BASE), axes, **values)


def test_a_grid_is_every_combination_once():
    trials = draw_trials(spec({"optim.learning_rate": "1e-3, 0.001,3e-3", "model.d_model": "128,256"}))
    assert [t.values for t in trials] == [
        {"optim.learning_rate": rate, "model.d_model": width} for rate in (1e-3, 3e-3) for width in (128, 256)
    ]
    assert [t.number for t in trials] == [1, 2, 3, 4]


def test_values_of_all_types_are_read_as_set_reads_them():
    trials = draw_trials(spec({"model.tie_embeddings": "true,false", "optim.betas": "[0.9,0.98],[0.9, 0.95]",
                               "optim.schedule": "wsd,cosine"}))  # fmt: skip
    assert len(trials) == 8
    assert trials[-1].values == {"model.tie_embeddings": False, "optim.betas": [0.9, 0.95], "optim.schedule": "cosine"}
    config = trial_config(spec({"seed": "1"}), trials[-1], stop_at=7)
    assert config.optim.betas == (0.9, 0.95) and config.train.stop_at == 7
    assert config.train.max_steps == BASE.train.max_steps


def test_sizes_that_follow_from_a_swept_one_follow():
    config = BASE.with_overrides(["model.d_model=64"])
    (trial,) = draw_trials(spec({"model.d_model": "128"}, config=config))
    assert trial_config(spec({"seed": "1"}, config=config), trial).model.d_ff == 512


def test_a_random_search_is_the_same_for_the_same_seed():
    axes = {"optim.learning_rate": "log:1e-4:1e-2", "model.dropout": "uniform:0:0.3", "model.n_layers": "int:1:4",
            "optim.schedule": "wsd,cosine"}  # fmt: skip
    first = draw_trials(spec(axes, kind="random", trials=40, seed=3))
    assert first == draw_trials(spec(axes, kind="random", trials=40, seed=3))
    assert first != draw_trials(spec(axes, kind="random", trials=40, seed=4))
    assert first[:10] == draw_trials(spec(axes, kind="random", trials=10, seed=3))  # more trials: the same and others
    rates = [t.values["optim.learning_rate"] for t in first]
    assert all(1e-4 <= rate <= 1e-2 for rate in rates) and 10 < sum(rate < 1e-3 for rate in rates) < 30
    assert {t.values["model.n_layers"] for t in first} == {1, 2, 3, 4}
    assert all(0 <= t.values["model.dropout"] <= 0.3 for t in first)
    assert all(len(t.assignments[0]) < 40 for t in first)  # as one would type it


def test_fewer_draws_than_asked_for_when_there_are_no_more():
    assert len(draw_trials(spec({"model.n_layers": "int:1:3"}, kind="random", trials=10))) == 3


def test_draws_that_contradict_the_configuration_are_drawn_anew():
    trials = draw_trials(spec({"model.d_model": "int:4:32"}, kind="random", trials=7))  # heads: 4
    assert sorted(t.values["model.d_model"] for t in trials) == [4, 8, 12, 16, 20, 24, 28] or len(trials) == 7
    assert all(t.values["model.d_model"] % 4 == 0 for t in trials)
    with pytest.raises(ConfigError, match="d_model=33.*multiple of model.n_heads"):
        draw_trials(spec({"model.d_model": "33"}, kind="random", trials=1))


@pytest.mark.parametrize(
    ("axes", "more", "sentence"),
    [
        ({}, {}, "at least one key"),
        ({"optim.lr": "1e-3"}, {}, "^Unknown key 'optim.lr'"),
        ({"learning_rate": "1e-3"}, {}, "Unknown key 'learning_rate'.*'optim.learning_rate'"),
        ({"model": "1"}, {}, "Unknown key"),
        ({"": "1"}, {}, "Unknown key"),
        ({"optim.learning_rate": ""}, {}, "has no values"),
        ({"optim.learning_rate": ",, ,"}, {}, "has no values"),
        ({"optim.learning_rate": "fast"}, {}, "must be a number"),
        ({"optim.learning_rate": "1e-3,-1"}, {}, r"learning_rate=-1 cannot be: .*must be positive"),
        ({"optim.learning_rate": "nan"}, {}, "learning_rate"),
        ({"model.d_model": "128,130"}, {}, "d_model=130.*multiple of model.n_heads"),
        ({"optim.schedule": "cosin"}, {}, "Did you mean 'cosine'"),
        ({"train.max_steps": "1,2"}, {}, "cannot be swept"),
        ({"train.stop_at": "1,2"}, {}, "cannot be swept"),
        ({"seed": ",".join(map(str, range(MAX_TRIALS + 1)))}, {}, f"up to {MAX_TRIALS}"),
        ({"seed": "int:1:3"}, {}, "a range to draw from"),
        ({"seed": "int:1"}, {"kind": "random", "trials": 2}, "int:LOW:HIGH"),
        ({"seed": "int:1:2:3"}, {"kind": "random", "trials": 2}, "int:LOW:HIGH"),
        ({"seed": "int:3:1"}, {"kind": "random", "trials": 2}, "lower end"),
        ({"seed": "int:1.5:3"}, {"kind": "random", "trials": 2}, "whole numbers"),
        ({"model.dropout": "log:0:1"}, {"kind": "random", "trials": 2}, "above 0"),
        ({"model.dropout": "uniform:0:inf"}, {"kind": "random", "trials": 2}, "lower end"),
        ({"model.dropout": "uniform:2:3"}, {"kind": "random", "trials": 2}, r"must lie in \[0, 1\)"),
        ({"model.n_layers": "uniform:1:3"}, {"kind": "random", "trials": 2}, "a whole number"),
        ({"seed": "1,2"}, {"kind": "random", "trials": 0}, "between 1 and"),
        ({"seed": "1,2"}, {"kind": "random", "trials": 10_000}, "between 1 and"),
        ({"seed": "1,2"}, {"eta": 1}, "eta must be at least 2"),
        ({"seed": "1,2"}, {"eta": 2, "rungs": 0}, "between 1 and 10"),
        ({"seed": "1,2"}, {"at_once": 0}, "At least 1 trial"),
        ({"seed": "1,2"}, {"metric": "bleu"}, "only of translators"),
        ({"seed": "1,2"}, {"metric": "bleu", "config": PAIRS}, "train.score_examples above 0"),
        ({"seed": "1,2"}, {"metric": "val_bits_per_byte", "config": PAIRS}, "only of language models"),
        ({"tokenizer.vocab_size": "300,400"}, {}, "choose the metric val_bits_per_byte"),
        ({"tokenizer.vocab_size": "300,400"}, {"config": PAIRS}, "choose the metric bleu"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(axes, more, sentence):
    with pytest.raises(ConfigError, match=sentence):
        draw_trials(spec(axes, **more))


def test_a_specification_survives_json():
    import json

    asked = spec({"seed": "1,2"}, eta=3, rungs=2, config=PAIRS)
    assert SweepSpec.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked
    with pytest.raises(ConfigError, match="Unknown key 'etaa'"):
        SweepSpec.from_dict({**asked.to_dict(), "etaa": 1})


def test_rungs_lie_where_trials_validate_anyway():
    def rungs(steps, every, eta=2, rungs=3, count=8):
        config = BASE.with_overrides([f"train.max_steps={steps}", f"train.val_every={every}"])
        return rung_steps(spec({"seed": "1,2"}, config=config, eta=eta, rungs=rungs), count)

    assert rungs(800, 50) == [200, 400, 800]
    assert rungs(900, 100, eta=3) == [100, 300, 900]
    assert rungs(240, 40) == [80, 120, 240]
    assert rungs(100, 60) == [60, 100]  # no room for three
    assert rungs(100, 200) == [100]
    assert rungs(800, 50, count=1) == rungs(800, 50, eta=0) == rungs(800, 50, rungs=1) == [800]


def test_who_goes_on():
    nan = math.nan
    assert goes_on({1: 3.0, 2: 1.0, 3: 2.0, 4: 4.0}, 2, "val_loss") == [2, 3]
    assert goes_on({1: 3.0, 2: 1.0, 3: 2.0, 4: 4.0}, 2, "bleu") == [4, 1]
    assert goes_on({1: 1.0, 2: 1.0, 3: 1.0}, 2, "val_loss") == [1]  # equal: the first
    assert goes_on({1: 2.0, 2: 1.0, 3: 3.0}, 5, "val_loss") == [2]  # at least one
    assert goes_on({1: None, 2: nan, 3: 9.0, 4: math.inf}, 2, "val_loss") == [3]  # no other that is whole
    assert goes_on({1: None, 2: nan}, 2, "val_loss") == [] == goes_on({}, 2, "val_loss")
    assert ranking({3: 2.0, 1: 2.0, 2: 1.0}, "val_loss") == [2, 1, 3]


def test_the_result_of_a_trial_is_its_best_so_far():
    lines = [
        {"step": 1, "loss": 9.0}, {"step": 2, "val_loss": 3.0, "bleu": 1.0}, {"step": 4, "val_loss": 2.0, "bleu": 5.0},
        {"step": 6, "val_loss": 2.5, "bleu": 4.0}, {"step": 8, "val_loss": math.nan},
    ]  # fmt: skip
    assert result(lines, "val_loss", 3) == 3.0 and result(lines, "val_loss", 6) == 2.0
    assert result(lines, "bleu", 6) == 5.0
    assert result(lines, "val_loss", 8) is None  # it has diverged, whatever it was before
    assert result(lines, "val_loss", 1) is None and result([], "bleu", 9) is None
    assert result([{"step": 1, "val_loss": "2"}, {"val_loss": 1.0}], "val_loss", 9) is None


def test_what_a_sweep_costs():
    config = BASE.with_overrides(["train.max_steps=800", "train.val_every=50"])
    halving = spec({"seed": "1,2"}, config=config, eta=2)
    assert training_steps(halving, 8) == [(8, 200), (4, 200), (2, 400)]
    assert training_steps(halving, 2) == [(2, 200), (1, 600)]  # the one that is left goes to the end
    assert training_steps(halving, 1) == [(1, 800)]
    assert training_steps(spec({"seed": "1,2"}, config=config), 8) == [(8, 800)]


def test_brackets_hold_commas_together():
    assert Axis.parse("k", "[1,2],[3,4]").values == ("[1,2]", "[3,4]")
    assert Axis.parse("k", "a:b,c").values == ("a:b", "c")  # no range
    assert Axis.parse("k", "]],[[,").values == ("]]", "[[")
