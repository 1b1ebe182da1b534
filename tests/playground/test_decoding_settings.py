"""The columns' settings: one JSON text that anybody may have written, a form that edits a column, recipes."""

import json
from dataclasses import asdict

import gradio as gr
import pytest

from core.decode.config import STRATEGIES, GenerationConfig
from core.decode.presets import PRESETS
from core.decode.recipe import Recipe, settings_to_json
from core.errors import ConfigError
from playground.site import OWN, PUBLIC, on
from playground.tabs.decoding import changing, columns, form
from playground.tabs.decoding.settings import (
    FIELDS,
    FIRST,
    MAX_CANDIDATES,
    MAX_COLUMNS,
    STRATEGY_NAMES,
    Settings,
    column_of,
    config_of,
    dump,
    preset_column,
    preset_of,
    read,
    title_of,
)
from playground.tabs.decoding.work import Work

WORK = Work("tiny-gpt", "ROMEO:")
SKIP = gr.skip()
TWO = Settings(({"strategy": "beam", "num_beams": 3}, {"strategy": "sample", "top_k": 7, "seed": 4}), together=False)


@pytest.fixture(scope="module")
def part(small_runs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(small_runs))
        with gr.Blocks():
            return columns.build(OWN, WORK)


def clicked(data, settings=TWO, chosen=0):
    """The settings and the chosen column after a click in a column or on a chip."""
    acts = json.dumps([{"n": 1, **data} if isinstance(data, dict) else data])
    _, text, _, now, *_ = changing.act_on_columns(WORK, dump(settings), chosen, acts, 0)
    return read(text), now


# -------------------------------------------------------------------------------------------------------- the text


def test_every_strategy_has_a_name_and_a_column():
    assert set(STRATEGY_NAMES) == set(STRATEGIES) and asdict(config_of({})).keys() == FIELDS.keys()


def test_settings_come_back_as_they_were():
    for settings in (
        FIRST,
        TWO,
        FIRST._replace(together=False),
        Settings(({"assistant": "x", "strategy": "assisted"},)),
    ):
        assert read(dump(settings)) == settings
    assert dump(FIRST) == "" and len(dump(TWO)) < 120


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_columns_and_are_known_again(name):
    column = preset_column({"max_new_tokens": 9, "seed": 5, "forced_prefix_ids": [1]}, name)
    config = config_of(column)
    assert (config.max_new_tokens, config.seed, config.forced_prefix_ids) == (9, 5, ())
    assert preset_of(column) == name and title_of(column) == PRESETS[name].title
    assert config.strategy == PRESETS[name].config.strategy
    with on(PUBLIC):
        config_of(column)
    assert preset_of(column | {"repetition_penalty": 1.5}) is None


@pytest.mark.parametrize(
    "config",
    [
        GenerationConfig(), GenerationConfig(strategy="beam", num_beams=4, num_return_sequences=4),
        GenerationConfig(strategy="sample", num_return_sequences=3, logit_bias={7: 1.5}, stop_strings=("a",)),
        GenerationConfig(strategy="mbr", num_samples=3, num_return_sequences=3, bad_words_ids=((1, 2), (3,))),
        GenerationConfig(strategy="contrastive", top_k=5, max_new_tokens=60, early_stopping="never"),
    ],
)  # fmt: skip
def test_columns_of_configurations(config):
    column = column_of(config)
    assert config_of(read(dump(Settings((column,)))).columns[0]) == config


@pytest.mark.parametrize(
    "text",
    ["x", "[]", "7", "null", "{", "[" * 100_000, '{"columns":[]}', '{"columns":{}}', '{"columns":[7]}', '{"else":1}',
     '{"columns":[{}],"together":1}', '{"columns":[{"strategy":["beam"]}]}', '{"columns":[{"strategy":"nope"}]}',
     '{"columns":[{"__class__":1}]}', '{"columns":[{"assistant":7}]}', '{"columns":[{}' + ",{}" * 6 + "]}",
     '{"columns":[{"seed":1' + "0" * 5_000 + "}]}", '{"columns":[{"stop_strings":["' + "x" * 20_000 + '"]}]}', 7,
     ["x"]],
)  # fmt: skip
def test_rubbish_is_refused_and_the_usual_columns_stand(text, runs):
    with pytest.raises(ConfigError):
        read(text)
    message, chosen, _, chips, *_ = changing.head(WORK, text, 2)
    assert "notice-error" in message and chosen == 2 and chips.count("decoding-chip") == 4


@pytest.mark.parametrize(
    "values",
    [{"max_new_tokens": 401}, {"max_new_tokens": 10**9}, {"max_new_tokens": "5"}, {"max_new_tokens": True},
     {"seed": 2**64},
     {"strategy": "beam", "num_beams": 13}, {"strategy": "best_of", "num_samples": 65}, {"num_candidates": 1_000},
     {"strategy": "sample", "num_return_sequences": 9}, {"strategy": "contrastive", "top_k": 21}, {"top_k": 10**7},
     {"strategy": "assisted", "num_assistant_tokens": 99}, {"temperature": float("nan")}, {"top_p": [1]},
     {"forced_prefix_ids": [-1]}, {"logit_bias": {"x": 1}}, {"length_penalty": 1e999}],
)  # fmt: skip
def test_columns_beyond_what_is_done_are_one_sentence(values):
    text = json.dumps({"columns": [values]})
    with pytest.raises(ConfigError):
        config_of(read(text).columns[0])


def test_a_public_page_does_less():
    for values in (
        {"max_new_tokens": 121},
        {"strategy": "beam", "num_beams": 7},
        {"strategy": "mbr", "num_samples": 17},
    ):
        config_of(values)
        with on(PUBLIC), pytest.raises(ConfigError, match="at most here"):
            config_of(values)


# -------------------------------------------------------------------------------------------------------- the form


@pytest.mark.parametrize("name", PRESETS)
def test_what_the_form_shows_of_a_column_is_that_column(part, runs, name):
    column = preset_column({"max_new_tokens": 33, "seed": 2}, name) | {"repetition_penalty": 1.25}
    values = form.shown(WORK, 0, column, True)
    shown = [value["value"] if isinstance(value, dict) else value for value in values[4:]]
    assert len(values) == len(part.form.views) and len(shown) == len(part.form.values)
    assert config_of(form.edited(column, *shown)) == config_of(column)
    if column["strategy"] != "assisted":
        assert form.edited(column, *shown) == column


def test_only_fields_that_act_are_shown(part, runs):
    def visible(column):
        values = form.shown(WORK, 0, column, True)[6:]
        names = ["assistant_drawn", *form.ALL]
        return {name for name, value in zip(names, values, strict=True) if value["visible"]}

    greedy = visible({"strategy": "greedy"})
    assert "temperature" not in greedy and "num_beams" not in greedy and "max_new_tokens" in greedy
    assert {"num_beams", "length_penalty", "early_stopping"} <= visible({"strategy": "beam"})
    assert "num_beam_groups" in visible({"strategy": "diverse_beam"}) - visible({"strategy": "beam"})
    assert {"top_p", "seed", "num_return_sequences"} <= visible({"strategy": "sample"})
    assert "num_return_sequences" not in visible({"strategy": "mbr"})
    assert "top_p" not in visible({"strategy": "assisted"})
    assert "top_p" in visible({"strategy": "assisted", "assisted_sampling": True})


@pytest.mark.parametrize("value", [None, "x", [], {}, True, float("nan"), 10**400, -(10**9), 1e308])
def test_a_field_can_hold_whatever_a_link_says(part, value):
    for name, field in part.form.fields.items():
        held = form.ALL[name].shown(value)
        field.postprocess(held)
        field.preprocess(held)


def edit(part, settings=TWO, chosen=1, together=False, **changed):
    values = [settings.columns[chosen].get("strategy", "greedy"), changed.pop("assistant", None), False]
    now = settings.columns[chosen]
    values += [changed.get(name, field.shown(now.get(name, FIELDS[name]))) for name, field in form.ALL.items()]
    text, _, typed, chips, box, preset, sentence = changing.edit_column(
        WORK, dump(settings), chosen, (), together, *values
    )
    return read(text), preset, sentence


def test_an_edit_changes_the_chosen_column_only(part, runs):
    found, preset, _ = edit(part, top_p=0.5, temperature=2)
    assert found.columns[0] == TWO.columns[0]
    assert found.columns[1] == TWO.columns[1] | {"top_p": 0.5, "temperature": 2.0} and preset == ""
    assert edit(part, top_k=0.0, top_p=0.9)[1:] == ("top-p", form.sentence_of({"strategy": "sample", "top_p": 0.9}))


def test_contrastive_search_is_offered_as_many_candidates_as_it_takes(part, runs):
    two = TWO.with_column(1, {"strategy": "contrastive", "top_k": 4})
    assert edit(part, two, top_k=200)[0].columns[1]["top_k"] == MAX_CANDIDATES
    place = 7 + list(form.ALL).index("top_k")
    for column, most in zip(two.columns, (200, MAX_CANDIDATES), strict=True):
        assert form.shown(WORK, 0, column, True)[place]["maximum"] == most


def test_seed_and_length_may_be_the_same_in_all_columns(part, runs):
    found, *_ = edit(part, together=True, seed=11, max_new_tokens=20, top_p=0.5)
    assert [(c["seed"], c["max_new_tokens"]) for c in found.columns] == [(11, 20)] * 2
    assert "top_p" not in found.columns[0] and found.together
    assert "seed" not in edit(part, seed=0, together=True)[0].columns[1]


def test_settings_that_exclude_one_another_are_said_in_the_form(part, runs):
    _, preset, sentence = edit(part, temperature=0.0, num_return_sequences=3)
    assert preset == "" and "notice-error" in sentence and "num_return_sequences" in sentence


def test_another_strategy_and_presets(part, runs):
    values = ["contrastive", None, False, *[field.shown(FIELDS[name]) for name, field in form.ALL.items()]]
    text, *_ = changing.change_strategy(WORK, dump(TWO), 0, *values)
    assert read(text).columns == ({"strategy": "contrastive"}, TWO.columns[1])
    text, *_ = changing.choose_preset(WORK, dump(TWO), 1, "typical")
    assert read(text).columns[1] == {"strategy": "sample", "typical_p": 0.9, "seed": 4}
    for wrong in ("nope", None, "", 7, ["beam"], {"a": 1}):
        assert read(changing.choose_preset(WORK, dump(TWO), 1, wrong)[0]) == TWO


def test_the_strategy_survives_wrong_values_of_fields(part, runs):
    for value in (None, "x", [1], {"a": 1}, True, 10**400):
        text, *_ = changing.change_strategy(WORK, dump(TWO), 0, value, value, value, *[value] * len(form.ALL))
        assert read(text).columns[0]["strategy"] == "greedy"
        changing.head(WORK, text, value)


# ---------------------------------------------------------------------------------------------------------- clicks


def test_columns_are_added_chosen_and_removed(runs):
    found, now = clicked({"act": "add", "column": -1})
    assert found.columns[:2] == TWO.columns and len(found.columns) == 3 and now == 2
    while len(found.columns) < MAX_COLUMNS:
        found, now = clicked({"act": "add", "column": -1}, found)
    assert len({title_of(column) for column in found.columns}) == MAX_COLUMNS
    assert clicked({"act": "add", "column": -1}, found)[0] == found
    assert clicked({"act": "choose", "column": 1}) == (TWO, 1)
    assert clicked({"act": "remove", "column": 0}, chosen=1) == (TWO._replace(columns=TWO.columns[1:]), 0)
    one = TWO._replace(columns=TWO.columns[:1])
    assert clicked({"act": "remove", "column": 0}, one)[0] == one, "one stays"


def test_a_branch_comes_and_goes(runs):
    found, now = clicked({"act": "branch", "column": 1, "ids": [5, 6, 7]})
    assert found.columns[1] == TWO.columns[1] | {"forced_prefix_ids": [5, 6, 7]} and now == 1
    assert clicked({"act": "unbranch", "column": 1}, found)[0] == TWO


@pytest.mark.parametrize(
    "data",
    [None, 7, "x", {}, {"act": "branch", "column": 1}, {"act": "branch", "column": 9, "ids": [1]}, {"act": ["add"]},
     {"act": "branch", "column": 1, "ids": [True]}, {"act": "branch", "column": 1, "ids": ["1"]},
     {"act": "branch", "column": 1, "ids": [-1]}, {"act": "branch", "column": 1, "ids": [1] * 5_000},
     {"act": "choose", "column": "0"}, {"act": "choose", "column": -1}, {"act": "remove", "column": 2},
     {"act": "branch", "column": True, "ids": [1]}],
)  # fmt: skip
def test_wrong_clicks_change_nothing(runs, data):
    assert clicked(data) == (TWO, 0)


# --------------------------------------------------------------------------------------------------------- recipes


def loaded(text, chosen=1, settings=TWO):
    told, model, prompt, settled, found, *_ = changing.load_recipe(WORK, dump(settings), chosen, text)
    return told, model, prompt, settled, read(found)


def test_a_recipe_brings_model_text_and_settings(runs):
    config = GenerationConfig(strategy="sample", top_p=0.4, seed=9, max_new_tokens=7)
    told, model, text, settled, found = loaded(Recipe("tiny-llama", "Dear", config).to_json({"text": "x"}))
    assert (model, text, settled) == ("tiny-llama", "Dear", ("tiny-llama", "Dear")) and "Loaded" in told
    assert config_of(found.columns[1]) == config and found.columns[0] == TWO.columns[0]
    together = TWO._replace(together=True)
    found = loaded(Recipe("tiny-gpt", "", config).to_json(), settings=together)[-1]
    assert not found.together and found.columns[0] == TWO.columns[0], "others keep their seed"


def test_settings_alone_are_loaded_too(runs):
    config = GenerationConfig(strategy="beam", num_beams=3, num_return_sequences=3)
    told, *header, found = loaded(settings_to_json(config))
    assert header == [SKIP] * 3 and config_of(found.columns[1]) == config


@pytest.mark.parametrize("model", ["hf:org/name", "/etc", "../tiny-gpt", "nope", "<b>"])
def test_a_recipe_opens_no_model_that_is_not_listed(runs, model):
    told, *header, found = loaded(Recipe(model, "Dear", GenerationConfig(seed=5)).to_json())
    assert header == [SKIP] * 3 and "only its settings" in told and "<b>" not in told
    assert found.columns[1]["seed"] == 5


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", None, 7, "[" * 9_999, '{"temperature": -1}', '{"max_new_tokens": 999}', '{"recipe": 7}',
     '{"model": "x", "text": "y", "config": {"a": 1}}'],
)  # fmt: skip
def test_what_is_no_recipe_is_one_sentence(runs, text):
    told, *values = changing.load_recipe(WORK, dump(TWO), 1, text)
    assert "notice-error" in told and values[:4] == [SKIP] * 4
