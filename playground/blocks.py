"""The page as Gradio serves it, safe from texts that cannot be sent.

Half of a surrogate pair has no UTF-8. A browser may hand one in, but an answer that holds one breaks the connection
that all answers of the page come through, and the page would wait for ever.
"""

from typing import Any

import gradio as gr

from core.tokenizer.base import clean_text


class PageBlocks(gr.Blocks):
    """Blocks whose answers hold no half of a surrogate pair."""

    async def postprocess_data(self, *given: Any, **named: Any) -> list[Any]:
        return [sendable(value) for value in await super().postprocess_data(*given, **named)]


def without_progress(demo: gr.Blocks) -> None:
    """Of a page that has been built: nothing shows Gradio's own progress where it is hidden.

    Gradio tells it, at each step of each event, to every component that any event has ever written to, and looks for
    each of them on the whole page: three quarters of what a page of many parts does while something is written.
    """
    for event in demo.fns.values():
        if event.show_progress == "hidden":
            event.show_progress_on = []


def sendable(value: Any) -> Any:
    """The value with U+FFFD for halves of surrogate pairs.

    >>> sendable({"value": ["a\\ud83d", 1]})
    {'value': ['a�', 1]}
    """
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [sendable(part) for part in value]
    if isinstance(value, tuple):
        return tuple(sendable(part) for part in value)
    if isinstance(value, dict):
        return {sendable(key): sendable(part) for key, part in value.items()}
    return value
