"""The table of prices, and what a training is reckoned to take."""

import re

import pytest

from core.errors import ConfigError
from core.presets import preset
from remote import prices
from remote.prices import GPUS, estimate, parse_gpu, usd_per_hour


def test_the_table_has_a_date_and_what_modal_calls_its_gpus():
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", prices.DATE) and prices.SOURCE
    for name, gpu in GPUS.items():
        assert gpu.name == name and gpu.usd_per_hour > 0.5 and gpu.memory_gib >= 16 and gpu.peak_tflops > 5
    # Per second, as Modal prints them.
    assert GPUS["H100"].usd_per_hour == pytest.approx(0.001097 * 3600)
    assert GPUS["T4"].usd_per_hour == pytest.approx(0.000164 * 3600)


def test_modal_takes_what_is_parsed():
    from modal._utils.function_utils import parse_gpu_config  # what `gpu=` goes through

    for name in GPUS:
        assert parse_gpu_config(f"{name}:2").count == 2


def test_names_of_gpus():
    assert parse_gpu("h100:2") == (GPUS["H100"], 2) and parse_gpu(" L4 ")[1] == 1
    for bad in ("", "RTX", "H100:", "H100:0", "A10:5", "H100:-1", "H100:1.5", "H100:2:3", "L4:9"):
        if bad == "H100:":
            assert parse_gpu(bad)[1] == 1
            continue
        with pytest.raises(ConfigError):
            parse_gpu(bad)


def test_a_short_name_is_the_one_that_modal_means_and_an_unknown_one_is_not_said_to_be_none_of_modals():
    assert parse_gpu("a100:2") == (GPUS["A100-40GB"], 2)
    with pytest.raises(ConfigError, match="'B300' is not in this program's price table; in it are T4, "):
        parse_gpu("B300")


def test_an_hour_costs_gpus_cores_and_memory():
    alone = 4 * 0.0000131 * 3600 + 16 * 0.00000222 * 3600
    assert usd_per_hour("H100") == pytest.approx(3.9492 + alone, abs=1e-3)
    assert usd_per_hour("H100:8") == pytest.approx(8 * 3.9492 + alone, abs=1e-3)


def test_a_small_model_is_bound_by_its_steps_and_a_large_one_by_its_products():
    small = preset("demo")
    found = estimate(small, 1_000_000, "H100")
    steps = small.train.max_steps
    assert found.seconds == pytest.approx((30 + 0.008 * steps, 180 + 0.06 * steps))
    assert found.usd[1] == pytest.approx(found.usd_per_hour * found.seconds[1] / 3600)
    large = preset("gpt-fineweb").with_overrides(["train.max_steps=1000", "train.batch_tokens=500000"])
    one, two = (estimate(large, 1_000_000_000, gpu) for gpu in ("H100", "H100:2"))
    products = (6e9 + 12 * large.model.n_layers * large.model.d_model * large.model.max_seq_len) * 5e5
    assert one.seconds[1] == pytest.approx(180 + 1000 * products / (0.1 * 989e12))
    assert two.seconds[0] < 0.6 * one.seconds[0]
    assert estimate(large, 10**9, "H100", steps=10).seconds[0] < one.seconds[0] / 10


def test_a_training_that_is_stopped_after_some_hours_costs_no_more_than_these():
    long = preset("gpt-fineweb")
    whole, cut = (estimate(long, 30_000_000, "L4", hours=hours) for hours in (0.0, 4.0))
    assert whole.seconds[1] > 4 * 3600 and whole.steps == (long.train.max_steps, long.train.max_steps)
    assert cut.seconds[1] == 4 * 3600 and cut.usd[1] == pytest.approx(4 * cut.usd_per_hour)
    fewest, most = cut.steps
    assert 0 < fewest < most <= long.train.max_steps
    # As many steps as it is said to make fit into the time, and no more.
    assert estimate(long, 30_000_000, "L4", steps=fewest).seconds[1] <= 4 * 3600
    assert estimate(long, 30_000_000, "L4", steps=fewest + 1).seconds[1] > 4 * 3600
    short = estimate(preset("demo"), 1_000_000, "H100", hours=4.0)
    assert short == estimate(preset("demo"), 1_000_000, "H100")
    assert estimate(long, 30_000_000, "L4", hours=0.001).steps == (0, 0)


def test_several_hosts_cost_as_many_times_as_much():
    one, two = (
        estimate(preset("gpt-fineweb").with_overrides([f"train.num_nodes={n}"]), 10**9, "H100:8") for n in (1, 2)
    )
    assert two.usd_per_hour == 2 * one.usd_per_hour and two.seconds[0] < 0.6 * one.seconds[0]
