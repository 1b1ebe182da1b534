"""Presets do what their titles say, and the table of what acts on what is the engine's."""

from dataclasses import asdict, replace

import pytest
from decode_helpers import SMALL, decode, random_inputs, tiny

from core.decode import GenerationConfig
from core.decode.config import STRATEGIES
from core.decode.presets import ACTS_ON, KEPT, PRESETS, acting, preset, with_preset
from core.errors import ConfigError

# A value of each setting that changes something, wherever the setting acts at all.
TELLING = dict(
    temperature=0.2, top_p=0.2, min_p=0.7, typical_p=0.3, epsilon_cutoff=0.5, eta_cutoff=0.9, top_k=2, seed=7,
    num_return_sequences=2, num_beams=3, early_stopping=True, length_penalty=-3.0, length_penalty_formula="gnmt",
    num_beam_groups=1, diversity_penalty=9.0, penalty_alpha=1.0, num_samples=9, mbr_metric="bleu",
    num_assistant_tokens=1, assisted_sampling=True,
)  # fmt: skip


def test_every_strategy_and_setting_has_its_place():
    assert {chosen.config.strategy for chosen in PRESETS.values()} == set(STRATEGIES)
    assert ACTS_ON.keys() == TELLING.keys()
    for name, chosen in PRESETS.items():
        idle = [f for f, v in asdict(chosen.config).items() if v != getattr(GenerationConfig(), f) and f != "strategy"]
        assert set(idle) <= set(acting(chosen.config.strategy)), name
        assert chosen.title and chosen.sentence.endswith(".")
    assert len({chosen.title for chosen in PRESETS.values()}) == len(PRESETS)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_does_not_act_changes_nothing(strategy):
    """A setting that is not listed for a strategy leaves its result to the bit as it was."""
    model, inputs = tiny("gpt", eos_bias=1.0), random_inputs(2)
    config = GenerationConfig(strategy=strategy, max_new_tokens=5, **SMALL[strategy])
    before = [[(h.ids, h.logprobs) for h in found] for found in decode(model, inputs, config)]
    idle = set(TELLING) - set(acting(strategy)) - {"num_return_sequences"}
    assert idle
    other = replace(config, **{name: TELLING[name] for name in idle})
    assert [[(h.ids, h.logprobs) for h in found] for found in decode(model, inputs, other)] == before


@pytest.mark.parametrize("name", ["temperature", "top_k", "top_p", "min_p", "seed", "epsilon_cutoff", "eta_cutoff"])
@pytest.mark.parametrize("strategy", ["sample", "best_of", "mbr", "assisted"])
def test_what_acts_on_draws_changes_them(strategy, name):
    model, inputs = tiny("gpt"), random_inputs(4, seed=1)
    settings = SMALL[strategy] | (dict(assisted_sampling=True) if strategy == "assisted" else {})
    config = GenerationConfig(strategy=strategy, max_new_tokens=8, temperature=1.5, **settings)
    before = [[h.ids for h in found] for found in decode(model, inputs, config)]
    other = replace(config, **{name: TELLING[name]})
    assert [[h.ids for h in found] for found in decode(model, inputs, other)] != before


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_leaves_what_it_does_not_speak_of(name):
    config = GenerationConfig(
        strategy="sample", max_new_tokens=5, seed=4, stop_ids=(9,), bad_words_ids=((5,),), logit_bias={3: 1.0},
        num_return_sequences=40, repetition_penalty=1.4, temperature=0.3, top_k=7, stop_strings=("x",),
    )  # fmt: skip
    changed, own = with_preset(config, name), preset(name).config
    for field, value in asdict(changed).items():
        if field == "num_return_sequences":
            assert value == {"sample": 40, "beam": 5, "diverse_beam": 6, "best_of": 16, "mbr": 16}.get(own.strategy, 1)
        else:
            assert value == asdict(config if field in KEPT else own)[field], field
    small = replace(changed, max_new_tokens=4, stop_strings=(), num_return_sequences=1)
    assert decode(tiny("gpt"), random_inputs(1), small)[0][0].ids


def test_unknown_names():
    with pytest.raises(ConfigError, match="did you mean 'top-p'"):
        preset("topp")
    with pytest.raises(ConfigError, match="choose greedy"):
        preset("zzzzzz" * 100)
    with pytest.raises(ConfigError, match="no preset"):
        preset(["beam"])  # type: ignore[arg-type]  # out of JSON
    with pytest.raises(ConfigError, match="no strategy"):
        acting("nucleus")
