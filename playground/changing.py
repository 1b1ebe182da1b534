"""A dropdown whose choices follow from the work."""

from typing import Any

import gradio as gr


class ChangingDropdown(gr.Dropdown):
    """A page may still hold the value that it had before the choices changed: Gradio would refuse every event that such
    a field is an input of. So any text is let through, and whoever reads it takes what is no choice for the first."""

    is_template = True  # drawn as what it is made from

    def preprocess(self, payload: Any) -> Any:
        return payload if payload is None or isinstance(payload, (str, int, float)) else None
