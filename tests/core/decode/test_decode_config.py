"""GenerationConfig: what it takes, and the sentence for what it does not."""

import json
import subprocess
import sys

import pytest

from core.config import RunConfig
from core.decode.config import GenerationConfig
from core.errors import ConfigError
from core.strict import from_dict

EVERYTHING = dict(
    strategy="sample", max_new_tokens=7, min_new_tokens=2, num_return_sequences=3, seed=11, num_beams=4,
    length_penalty=0.6, length_penalty_formula="gnmt", early_stopping="never", temperature=0.7, top_k=40, top_p=0.9,
    min_p=0.05, typical_p=0.95, epsilon_cutoff=3e-4, eta_cutoff=1e-3, repetition_penalty=1.2, presence_penalty=0.5,
    frequency_penalty=-0.5, no_repeat_ngram_size=3, bad_words_ids=((5,), (6, 7)), logit_bias={9: -2.5},
    forced_prefix_ids=(4, 5), stop_ids=(8,), stop_strings=("\n\n", "終"), num_candidates=20,
    num_beam_groups=2, diversity_penalty=0.7, penalty_alpha=0.4, num_assistant_tokens=3, assisted_sampling=True,
    num_samples=32, mbr_metric="bleu", forced_end=True, renormalize_logits=True,
)  # fmt: skip


def test_everything_survives_json() -> None:
    config = GenerationConfig(**EVERYTHING)
    run = RunConfig(decode=config)
    assert RunConfig.from_json(run.to_json()).decode == config
    assert from_dict(GenerationConfig, json.loads(json.dumps(EVERYTHING))) == config
    assert set(EVERYTHING) == set(run.to_dict()["decode"])
    hash(config)


def test_lists_become_tuples_and_whole_numbers_numbers() -> None:
    config = GenerationConfig(bad_words_ids=[[1, 2]], stop_strings=["x"], temperature=1, logit_bias={3: 1})  # type: ignore[arg-type]
    assert config.bad_words_ids == ((1, 2),) and config.stop_strings == ("x",)
    assert type(config.temperature) is float and type(config.logit_bias[3]) is float


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strategy", "beams"), ("max_new_tokens", 0), ("max_new_tokens", 1.5), ("max_new_tokens", True),
        ("min_new_tokens", -1), ("min_new_tokens", 101), ("num_beams", 0), ("num_beams", 10**7), ("num_samples", 5_000),
        ("num_return_sequences", 0),
        ("num_return_sequences", 2), ("length_penalty_formula", "wu"), ("length_penalty", float("nan")),
        ("early_stopping", "always"), ("early_stopping", 1), ("temperature", -0.1), ("temperature", 1e-7),
        ("temperature", "hot"), ("top_k", -1), ("top_k", 2.0), ("top_p", 0), ("top_p", 1.01), ("min_p", -0.1),
        ("min_p", 2), ("typical_p", 0), ("epsilon_cutoff", 1), ("eta_cutoff", -1), ("repetition_penalty", 0),
        ("presence_penalty", float("inf")), ("no_repeat_ngram_size", -2), ("bad_words_ids", ((),)),
        ("bad_words_ids", (3,)), ("bad_words_ids", ((-3,),)), ("logit_bias", [1]), ("logit_bias", {"a": 1}),
        ("logit_bias", {1: None}), ("forced_prefix_ids", 5), ("forced_prefix_ids", (1.0,)), ("stop_ids", ("a",)),
        ("num_beam_groups", -1), ("diversity_penalty", -0.5), ("diversity_penalty", "much"), ("penalty_alpha", 1.1),
        ("penalty_alpha", -0.1), ("num_assistant_tokens", 0), ("num_assistant_tokens", 2.5), ("assisted_sampling", 1),
        ("num_samples", 0), ("mbr_metric", "comet"), ("stop_strings", "end"),
        ("stop_strings", ("",)), ("num_candidates", 0), ("seed", None), ("temperature", 10**400),
    ],
)  # fmt: skip
def test_mistakes_name_the_field(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"decode\.{field}.*\.$"):
        GenerationConfig(**{field: value})


def test_more_results_than_beams() -> None:
    with pytest.raises(ConfigError, match="num_beams"):
        GenerationConfig(strategy="beam", num_beams=2, num_return_sequences=3)
    with pytest.raises(ConfigError, match="greedy"):
        GenerationConfig(strategy="sample", temperature=0, num_return_sequences=3)
    for strategy in ("contrastive", "assisted"):
        with pytest.raises(ConfigError, match=strategy):
            GenerationConfig(strategy=strategy, num_return_sequences=2)
    for strategy in ("best_of", "mbr"):
        with pytest.raises(ConfigError, match="num_samples"):
            GenerationConfig(strategy=strategy, num_samples=2, num_return_sequences=3)
    with pytest.raises(ConfigError, match="num_beams"):
        GenerationConfig(strategy="diverse_beam", num_beams=4, num_return_sequences=5)
    assert GenerationConfig(strategy="assisted", assisted_sampling=True, num_return_sequences=2).num_paths == 2


def test_groups_must_divide_the_beams() -> None:
    with pytest.raises(ConfigError, match=r"num_beams \(5\).*num_beam_groups \(2\)"):
        GenerationConfig(strategy="diverse_beam", num_beams=5, num_beam_groups=2)
    with pytest.raises(ConfigError, match="num_beam_groups"):
        GenerationConfig(strategy="diverse_beam", num_beams=4, num_beam_groups=8)
    assert GenerationConfig(num_beams=5, num_beam_groups=2).beam_groups == 1, "it acts on diverse_beam only"
    assert GenerationConfig(strategy="diverse_beam", num_beams=6, num_beam_groups=2).beam_groups == 2
    assert GenerationConfig(strategy="diverse_beam", num_beams=6).beam_groups == 6


def test_choosing_among_samples_needs_samples() -> None:
    for strategy in ("best_of", "mbr"):
        with pytest.raises(ConfigError, match="temperature"):
            GenerationConfig(strategy=strategy, temperature=0)


def test_importing_settings_does_not_import_torch() -> None:
    code = "import sys, core.config, core.decode; core.decode.GenerationConfig(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
