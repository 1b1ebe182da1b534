"""What all parts of the Decoding tab are about: a model and a text."""

from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

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


def ordered(act: Callable[..., Iterator[Any]], outputs: int) -> Callable[..., Iterator[Any]]:
    """A handler that takes the order before its other values, and does nothing before there is one: Gradio tells of a
    state's first value as of a change, also of parts that nobody has opened."""

    def on_order(request: gr.Request, order: Any, *values: Any) -> Iterator[Any]:
        if order:
            yield from act(request, *values)
        else:
            yield [gr.skip()] * outputs

    on_order.__name__ = act.__name__
    return on_order
