"""What a page shows when it is opened.

The page is built once, when the app begins. So whoever opens it is told what there is by then; what they choose before
that answer comes is theirs, and stays.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr


def offer(demo: gr.Blocks, field: Any, fn: Callable[..., Any], inputs: Any, outputs: Sequence[Any] = ()) -> None:
    """When the page is opened, fn's last value becomes that of the field, unless somebody has changed the field since.
    The values before it are for `outputs`."""
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    offered = gr.Textbox(visible=False, label="Offered")
    came = demo.load(fn, inputs, [*outputs, offered], **quiet)
    drawn = json.dumps(field.value)  # in the page, since only it knows what has been chosen there
    came.then(None, [offered, field], field, js=f"(offered, now) => now === {drawn} ? offered : now", **quiet)
