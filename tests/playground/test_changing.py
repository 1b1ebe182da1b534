"""A dropdown whose choices change: what a page still holds is let through, whatever it is."""

import gradio as gr

from playground.changing import ChangingDropdown


def test_a_value_of_before_is_no_error():
    field = ChangingDropdown([("one", "1")], value="1", label="Which")
    for value in ("1", "of before", "", None, 5):
        assert field.preprocess(value) == value
    for strange in (["1"], {"a": 1}):
        assert field.preprocess(strange) is None
    assert field.get_block_name() == gr.Dropdown([]).get_block_name() == "dropdown"
