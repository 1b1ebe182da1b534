"""Answers of the page that can always be sent."""

import asyncio

import gradio as gr

from playground.blocks import PageBlocks, sendable, without_progress


def test_halves_of_surrogate_pairs_are_replaced_wherever_they_are():
    given = {"__type__": "update", "value": ["a\ud83d", ("\ude00", 1, None)], "choices": [("🙂", True)], "\ud800": 2.5}
    made = sendable(given)
    assert made == {
        "__type__": "update",
        "value": ["a\ufffd", ("\ufffd", 1, None)],
        "choices": [("🙂", True)],
        "\ufffd": 2.5,
    }
    repr(made).encode("utf-8")


def test_every_answer_goes_through():
    with PageBlocks() as demo:
        box, picker, state = gr.Textbox(), gr.Dropdown(["a"]), gr.State()
        box.change(lambda text: (text, gr.update(choices=[text]), text), box, [box, picker, state])
    made = asyncio.run(demo.process_api(next(iter(demo.fns.values())), ["x\ud83d"], request=None, state=None))
    assert made["data"][0] == "x\ufffd" and made["data"][1]["choices"] == [["x\ufffd", "x\ufffd"]]


def test_hidden_progress_is_told_to_nobody():
    with PageBlocks() as demo:
        box = gr.Textbox()
        box.change(str, box, box, show_progress="hidden")
        box.submit(str, box, box)
    without_progress(demo)
    hidden, shown = demo.get_config_file()["dependencies"]
    assert hidden["show_progress_on"] == [] and shown["show_progress_on"] is None
