"""What a link may set on the page: what the page lists itself, and nothing else."""

import json

import gradio as gr
import pytest

from playground import models, share
from playground.site import OWN, PUBLIC, on

SKIP = gr.skip()


def restored(state, site=OWN, raw=None):
    with gr.Blocks():
        fields = {
            "tokenizer": gr.Dropdown(["", "tiny-gpt"], value="", allow_custom_value=True),
            "special": gr.Checkbox(False),
            "by": gr.Radio([("A", "a"), ("B", "b")], value="a"),
            "search": gr.Textbox(),
            "with": gr.Dropdown(["tiny-llama"], multiselect=True),
            "much": gr.Slider(1, 5),
            "sentence": gr.Number(1, minimum=1, maximum=500),
            "watched": gr.Dropdown([("as above", "")], value=""),
            "next": gr.HTML(""),
        }
    with on(site):
        values = share.restore(json.dumps(state) if raw is None else raw, fields, site)
    return dict(zip(["message", "settled", "model", "text", *fields], values, strict=True))


def test_a_link_sets_what_it_names(runs):
    state = {"model": "tiny-llama", "text": "hé <b>", "tokenizer": "tiny-gpt", "special": True, "by": "b",
             "search": "x", "with": ["tiny-llama", "tiny-gpt"]}  # fmt: skip
    found = restored(state)
    assert found["settled"] == ("tiny-llama", "hé <b>") and not found["message"]
    assert {name: found[name] for name in state} == state


def test_a_link_sets_numbers_and_what_is_listed_since_the_page_was_built(runs):
    found = restored({"sentence": 37, "much": 4, "watched": "tiny-gpt"})
    assert found["sentence"] == 37 and found["much"] == 4
    assert found["watched"].value == "tiny-gpt"
    assert [value for _, value in found["watched"].choices] == ["", "tiny-gpt"]


@pytest.mark.parametrize(
    "given, held",
    [('{"top_k":3}', '{"top_k":3}'), ({"top_k": 3, "x": 1, "top_p": 2}, '{"top_k":3}'), ("", SKIP), ({}, SKIP),
     (7, SKIP), ("{", SKIP), ('{"top_k":1e999}', SKIP), ({"find": ["<script>"]}, SKIP), ("[" * 5_000, SKIP)],
    ids=lambda value: str(value)[:16],
)  # fmt: skip
def test_a_link_sets_settings_that_their_fields_can_hold(runs, given, held):
    assert restored({"next": given})["next"] == held


def test_what_a_link_does_not_name_stays_as_the_page_opens(runs):
    model, text = models.opening_work()
    found = restored({"text": "only this"})
    assert found["settled"] == (model, "only this") and found["by"] == SKIP and found["tokenizer"] == SKIP
    assert restored({"model": "tiny-gpt"})["settled"] == ("tiny-gpt", text)


@pytest.mark.parametrize("model", ["hf:org/name", "/etc", "../tiny-gpt", "", None, 7, ["tiny-gpt"], {"a": 1}])
def test_a_link_opens_no_model_that_is_not_listed(runs, model):
    found = restored({"model": model})
    assert found["model"] == models.opening_work()[0] and "not in the list" in found["message"]
    assert "<script" not in restored({"model": "<script>"})["message"]


@pytest.mark.parametrize("tokenizer", ["hf:org/name", "/etc/passwd", "own:none", 7, ["tiny-gpt"], {"x": 1}])
def test_a_link_opens_no_tokenizer_that_is_not_listed(runs, tokenizer):
    found = restored({"tokenizer": tokenizer})
    assert found["tokenizer"] == SKIP and "not listed" in found["message"]


@pytest.mark.parametrize(
    "state",
    [{"special": "yes"}, {"by": "c"}, {"by": ["a"]}, {"by": {}}, {"search": 7}, {"search": "x" * 2_000},
     {"with": "tiny-gpt"}, {"with": ["other"]}, {"with": [["tiny-gpt"]]}, {"with": ["tiny-gpt"] * 9}, {"much": 6},
     {"much": "4"}, {"else": "x"}, {"sentence": 501}, {"sentence": 0}, {"sentence": "3"}, {"sentence": True},
     {"sentence": [3]}, {"watched": "none"}, {"watched": ["tiny-gpt"]}],
)  # fmt: skip
def test_values_that_a_field_cannot_hold_change_nothing(runs, state):
    name = next(iter(state))
    assert restored(state).get(name, SKIP) == SKIP


@pytest.mark.parametrize(
    "raw", ["", "no json", "[]", "7", "null", "{", "[" * 100_000, '{"text": "x"' + " " * 300_000 + "}"]
)
def test_rubbish_changes_nothing(runs, raw):
    assert set(map(str, restored({}, raw=raw).values())) == {str(SKIP)}


def test_a_text_that_is_too_long_for_the_site_is_left_out(runs):
    assert restored({"text": "x" * (PUBLIC.characters + 1)}, PUBLIC)["text"] == models.opening_work()[1]
    assert restored({"text": 5})["text"] == models.opening_work()[1]
