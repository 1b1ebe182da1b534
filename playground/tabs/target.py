"""The target row of the Attention and the Internals tab: the model's own translation, or one that somebody types.

Both tabs show the same target: what is typed is kept in `Header.target`, for the model and text that it was typed for.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import UserError
from playground.header import Header
from playground.parts import QUIET
from playground.readings import Work, reading_of
from playground.site import Site


@dataclass
class TargetRow:
    row: gr.Row
    text: gr.Textbox
    own: gr.Button

    @property
    def views(self) -> list[Any]:
        return [self.row, self.text]


def build_target(site: Site, name: str, target: str | None) -> TargetRow:
    """name: of the tab. target: of the opening work; None: it has none."""
    with gr.Row(elem_classes="target-row", visible=target is not None) as row:
        text = gr.Textbox(
            target or "", label="Target: the model's own translation; type another to see how it is read", lines=1,
            max_lines=4, scale=5, elem_id=f"target-{name}", elem_classes="settles",
            max_length=site.characters if site.is_hosted else None,
        )  # fmt: skip
        own = gr.Button("Model's own translation", scale=0, min_width=200, size="sm")
    return TargetRow(row, text, own)


def wire_target(target: TargetRow, header: Header) -> None:
    gr.on(
        [target.text.submit, target.text.blur], type_target, [target.text, header.settled, header.target],
        header.target, **QUIET,
    )  # fmt: skip
    target.own.click(own_target, None, header.target, **QUIET)


def typed_target(settled: tuple[str, str], kept: Any) -> str | None:
    """What was typed as the target of this model and text; None: the model's own translation. A fourth value says that
    it was not typed into this row, but put there: see `show_target`."""
    if isinstance(kept, (list, tuple)) and len(kept) in (3, 4) and tuple(kept[:2]) == tuple(settled):
        return str(kept[2])
    return None


def type_target(text: str, settled: tuple[str, str], kept: Any) -> Any:
    """Take a typed target over, unless it is what is shown."""
    try:
        if reading_of(Work(*settled, typed_target(settled, kept))).target == text:
            return gr.skip()
    except UserError:
        pass
    return (*settled, text)


def own_target() -> None:
    """Back to the model's own translation."""
    return None


def show_target(work: Work, settled: tuple[str, str], kept: Any) -> list[Any]:
    """Values for `views`. What somebody types stays as it is typed."""
    reading = reading_of(work)
    if not reading.is_translation:
        return [gr.Row(visible=False), gr.skip()]
    typed = typed_target(settled, kept) is not None and len(kept) == 3
    return [gr.Row(visible=True), gr.skip() if typed else reading.target]
