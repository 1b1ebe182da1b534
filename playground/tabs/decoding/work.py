"""What all parts of the Decoding tab are about: a model and a text."""

from collections.abc import Hashable
from typing import NamedTuple

import gradio as gr

from core.errors import UserError
from playground import models


class Work(NamedTuple):
    """model: the name of a run, "" if there is none. text: a prompt, or what is to be translated."""

    model: str
    text: str


def stamp(work: Work) -> Hashable:
    """Equal as long as the model's files are the same."""
    try:
        return models.run_stamp(models.get_run(work.model)) if work.model else None
    except UserError:
        return None


def no_order() -> gr.State:
    """A part's order before there was one, to be put on the page itself by `wire`: a state within a tab that was never
    opened counts as changed when an event first has it among its outputs, even if it is left as it is."""
    return gr.State(None, render=False)
