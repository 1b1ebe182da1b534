"""Lens: what each layer would predict at each position, and how long the vectors of the residual stream are."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.analysis.lens import lens, stream_norms
from core.analysis.reading import Reading, token_names
from core.errors import UserError
from playground.figure_html import figure_html
from playground.parts import CHANGING, QUIET
from playground.readings import Work, reading_of
from playground.site import Site
from playground.tabs.internals.choosing import typed_token
from playground.views.lens import lens_spec
from playground.views.notice import notice

TOP = 5  # tokens of a cell
PRODUCTS = 2.5e10  # multiplications of states with the output matrix that one picture may cost: a second or two
MOST = 1_024  # positions in a picture
LAST = "last"


@dataclass
class LensPart:
    message: gr.HTML
    follow: gr.Textbox
    part: gr.Dropdown
    figure: gr.HTML

    @property
    def views(self) -> list[Any]:
        return [self.message, self.part, self.figure]

    @property
    def inputs(self) -> list[Any]:
        return [self.follow, self.part]

    @property
    def shared(self) -> dict[str, Any]:
        return {"follow": self.follow}


def build(site: Site, work: Work) -> LensPart:
    message = gr.HTML("", js_on_load=None)
    with gr.Row(elem_classes="toolbar"):
        follow = gr.Textbox(
            "", label="Follow a token through the layers (empty: at each position the text's next one)", max_lines=1,
            max_length=200, elem_id="lens-follow", elem_classes="grow settles",
        )  # fmt: skip
        part = gr.Dropdown([], value=None, label="Part of the text", visible=False, elem_id="lens-part", **CHANGING)
    figure = figure_html("", "lens-figure")
    return LensPart(message, follow, part, figure)


def wire(part: LensPart, work: gr.State) -> None:
    gr.on(
        [part.follow.submit, part.follow.blur, part.part.input], follow_token, [work, part.follow, part.part],
        part.views, **QUIET,
    )  # fmt: skip


def show(work: Work, follow: str, part: str) -> tuple[Any, ...]:
    """Values for `views`."""
    hidden = gr.Dropdown(choices=[], value=None, visible=False)
    try:
        reading = reading_of(work)
    except UserError as error:
        return notice(str(error)), hidden, ""
    token, problem = None, ""
    if isinstance(follow, str) and follow:
        try:
            token = typed_token(reading, follow)
        except UserError as error:
            problem = notice(str(error), "info")
    choices = parts(reading)
    start, stop = _bounds(part, choices)
    positions = list(range(start, min(stop, len(reading.ids))))
    found = lens(reading, positions=positions, top=TOP, token=token)
    ids = sorted({*found.ids.ravel().tolist(), *found.final.tolist(), *found.followed[found.followed >= 0].tolist()})
    names = dict(zip(ids, token_names(reading.run.tokenizer, ids), strict=True))
    told = f"positions {start} to {positions[-1]} of {len(reading.ids)}" if len(choices) > 1 else ""
    read, written = ([words[position] for position in positions] for words in (reading.names, reading.written))
    figure = lens_spec(
        found, stream_norms(reading), names, read, written, reading.model.config.vocab_size,
        "" if token is None else names[token], told,
    )  # fmt: skip
    value = next(value for _, value in choices if _bounds(value, choices) == (start, stop))
    return problem, gr.Dropdown(choices=choices, value=value, visible=len(choices) > 1), figure


def follow_token(work: Work, follow: str, part: str) -> tuple[Any, ...]:
    """Another token is to be followed, or another part of the text looked at."""
    return show(work, follow, part)


def parts(reading: Reading) -> list[tuple[str, str]]:
    """(label, value) of the parts that a picture can be made of in short time: the last one first."""
    config = reading.model.config
    cost = config.vocab_size * config.d_model * (config.n_layers + 2)
    size = int(max(16, min(MOST, PRODUCTS // cost)))
    count = len(reading.ids)
    starts = [max(0, count - size), *range(0, count - size, size)]
    return [
        (f"positions {start}–{min(start + size, count) - 1}", f"{start}-{start + size}" if place else LAST)
        for place, start in enumerate(starts)
    ]


def _bounds(part: Any, choices: list[tuple[str, str]]) -> tuple[int, int]:
    """First and one more than the last position of a part; of one that there is not, of the last one."""
    known = {value: label for label, value in choices}
    label = known.get(part, known[LAST]) if isinstance(part, str) else known[LAST]
    first, last = label.removeprefix("positions ").split("–")
    return int(first), int(last) + 1
