"""The Attention tab: all heads of the header's model on the header's text, and one of them large."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.analysis.attention import AttentionMaps, TracedAttention, coverage, trace_attention
from core.errors import UserError
from playground import models
from playground.header import Header
from playground.memory import Memory
from playground.site import OWN, Site
from playground.views.attention import WHOLE, caption, head_grid, head_view, heatmap, numbers, parts
from playground.views.notice import notice

KIND_NAMES = {"cross": "Cross", "encoder": "Encoder self", "self": "Decoder self"}
ONLY_SELF = {"self": "Self"}
CLICK = """
element.addEventListener('click', (event) => {
  const cell = event.target.closest('.head-cell');
  if (cell) trigger('select', {layer: Number(cell.dataset.layer), head: Number(cell.dataset.head)});
});
"""

_traces: Memory[TracedAttention] = Memory(maximum=12, max_size=256 * 2**20, size=lambda traced: traced.nbytes)


@dataclass
class AttentionTab:
    message: gr.HTML
    kind: gr.Radio
    layer: gr.Radio
    head: gr.Radio
    part: gr.Dropdown
    target: gr.Textbox
    own: gr.Button
    target_row: gr.Row
    grid: gr.HTML
    plot: gr.Plot
    caption: gr.HTML
    numbers: gr.HTML
    numbers_box: gr.Accordion
    numbers_open: gr.State
    typed: gr.State  # the target that somebody typed; None for the model's own translation

    @property
    def pickers(self) -> list[Any]:
        return [self.kind, self.layer, self.head, self.part]

    @property
    def everything(self) -> list[Any]:
        return [self.message, *self.pickers, self.target_row, self.target, self.grid, *self.large]

    @property
    def large(self) -> list[Any]:
        return [self.plot, self.caption, self.numbers]


@dataclass(frozen=True)
class Choice:
    """What is looked at; layer and head count from 1, as on the page. 0: the head that finds most tokens."""

    kind: str = ""
    layer: int = 0
    head: int = 0
    part: str = WHOLE

    def within(self, traced: TracedAttention) -> "Choice":
        """The nearest choice that this trace has."""
        kind = self.kind if self.kind in traced.kinds else next(iter(traced.kinds))
        maps = traced.kinds[kind]
        layers, heads = maps.weights.shape[:2]
        part = self.part if self.part in [value for _, value in parts(maps)] else WHOLE
        if not self.layer or not self.head:
            best = int(coverage(maps.weights).argmax())
            return Choice(kind, best // heads + 1, best % heads + 1, part)
        return Choice(kind, min(max(1, self.layer), layers), min(max(1, self.head), heads), part)


def build(site: Site = OWN) -> AttentionTab:
    """The tab with the heads of the model and the text that the page opens with."""
    name, text = models.opening_work()
    made = _everything((name or "", text), None, Choice(), False)
    message, kind, layer, head, part, target_row, target, grid, figure, below, _ = made
    message_html = gr.HTML(message, js_on_load=None)
    with gr.Row(elem_classes="toolbar"):
        kind_radio = gr.Radio(label="Kind of attention", elem_classes="segmented", elem_id="attention-kind", **kind)
        layer_radio = gr.Radio(label="Layer (1 is next to the input)", elem_classes="segmented compact",
                               elem_id="attention-layer", **layer)  # fmt: skip
        head_radio = gr.Radio(label="Head", elem_classes="segmented compact", elem_id="attention-head", **head)
        part_box = gr.Dropdown(label="Part of the text", elem_id="attention-part", **part)
    with gr.Row(elem_classes="target-row", **target_row) as row:
        target_box = gr.Textbox(label="Target: the model's own translation; type another to see how it is read",
                                lines=1, max_lines=4, scale=5, elem_id="target",
                                max_length=site.characters if site.is_hosted else None, **target)  # fmt: skip
        own = gr.Button("Model's own translation", scale=0, min_width=200, size="sm")
    with gr.Row(elem_classes="attention-row"):
        with gr.Column(scale=4, min_width=300):
            gr.HTML('<h2 class="small-title">All heads</h2><p class="caption">Choose one. Small pictures show the '
                    "square root of the weights, so that faint patterns are seen.</p>", js_on_load=None)  # fmt: skip
            grid_html = gr.HTML(grid, elem_id="head-grid", js_on_load=CLICK)
        with gr.Column(scale=7, min_width=320):
            plot = gr.Plot(figure, show_label=False, container=False, elem_id="heatmap")
            caption_html = gr.HTML(below, js_on_load=None)
    with gr.Accordion("Numbers of this head", open=False, elem_id="attention-numbers") as numbers_box:
        numbers_html = gr.HTML("", js_on_load=None)
    return AttentionTab(
        message_html, kind_radio, layer_radio, head_radio, part_box, target_box, own, row, grid_html, plot,
        caption_html, numbers_html, numbers_box, gr.State(False), gr.State(None),
    )  # fmt: skip


def wire(tab: AttentionTab, header: Header) -> None:
    """Follow the header and the tab's own controls. What only changes the picture computes nothing again."""
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "always_last"}
    work = [header.settled, *tab.pickers, tab.numbers_open]
    gr.on(header.changes, follow, work, [tab.typed, *tab.everything], **quiet)
    gr.on([tab.target.submit, tab.target.blur], retarget, [header.settled, tab.typed, tab.target, *work[1:]],
          [tab.typed, *tab.everything], **quiet)  # fmt: skip
    tab.own.click(follow, work, [tab.typed, *tab.everything], **quiet)
    tab.kind.input(change_kind, [header.settled, tab.typed, *work[1:]], tab.everything, **quiet)
    gr.on([tab.layer.input, tab.head.input, tab.part.input], change_head, [header.settled, tab.typed, *work[1:]],
          tab.large, **quiet, js=MARK)  # fmt: skip
    tab.grid.select(open_head, [header.settled, tab.typed, *work[1:]], [tab.layer, tab.head, *tab.large], **quiet)
    tab.numbers_box.expand(
        open_numbers,
        [header.settled, tab.typed, *tab.pickers], [tab.numbers_open, tab.numbers], **quiet,
    )  # fmt: skip
    tab.numbers_box.collapse(lambda: False, None, tab.numbers_open, **quiet)


MARK = """(...values) => {
  const [layer, head] = [values[3], values[4]];
  document.querySelectorAll('#head-grid .head-cell').forEach((cell) => cell.setAttribute('aria-pressed',
    String(Number(cell.dataset.layer) === layer - 1 && Number(cell.dataset.head) === head - 1)));
  return values;
}"""


def trace(name: str, text: str, target: str | None) -> TracedAttention:
    """The attention of a run on a text, from memory if it was asked for before."""
    if not name:
        raise UserError("No model is chosen, so there is no attention to see.")
    run = models.get_run(name)
    if not run.is_translation:
        target = None
    return _traces.get((models.run_stamp(run), text, target), lambda: trace_attention(run, text, target))


def follow(settled: tuple[str, str], kind: str, layer: int, head: int, part: str, open_: bool) -> tuple[Any, ...]:
    """The header changed: everything anew, with the model's own translation."""
    return None, *_updates(_everything(settled, None, Choice(kind, layer, head, part), open_))


def retarget(
    settled: tuple[str, str], typed: str | None, target: str, kind: str, layer: int, head: int, part: str, open_: bool
) -> tuple[Any, ...]:
    """Somebody typed a target. If it is the one that is shown, nothing happens."""
    try:
        if trace(*settled, typed).target == target:
            return tuple(gr.skip() for _ in range(12))
    except UserError:
        pass
    made = _everything(settled, target, Choice(kind, layer, head, part), open_)
    updates = _updates(made)
    updates[6] = gr.skip()  # the field as it was typed
    return target, *updates


def change_kind(
    settled: tuple[str, str], typed: str | None, kind: str, layer: int, head: int, part: str, open_: bool
) -> list[Any]:
    return _updates(_everything(settled, typed, Choice(kind, layer, head, part), open_))


def change_head(
    settled: tuple[str, str], typed: str | None, kind: str, layer: int, head: int, part: str, open_: bool
) -> tuple[Any, ...]:
    """Another head of the same trace: figure, caption, numbers."""
    try:
        traced = trace(*settled, typed)
    except UserError:
        return None, "", ""
    return _large(traced, Choice(kind, layer, head, part).within(traced), open_)


def open_numbers(
    settled: tuple[str, str], typed: str | None, kind: str, layer: int, head: int, part: str
) -> tuple[bool, str]:
    """The table is wanted from now on."""
    return True, change_head(settled, typed, kind, layer, head, part, True)[2]


def open_head(
    settled: tuple[str, str], typed: str | None, kind: str, layer: int, head: int, part: str, open_: bool,
    event: gr.EventData,
) -> tuple[Any, ...]:  # fmt: skip
    """A small picture was clicked."""
    layer, head = int(event._data["layer"]) + 1, int(event._data["head"]) + 1
    return layer, head, *change_head(settled, typed, kind, layer, head, part, open_)


def _large(traced: TracedAttention, choice: Choice, open_: bool) -> tuple[Any, str, str]:
    maps: AttentionMaps = traced.kinds[choice.kind]
    decoder = "Decoder self-attention" if choice.kind == "self" and len(traced.kinds) > 1 else ""
    view = head_view(maps, choice.kind, choice.layer - 1, choice.head - 1, choice.part, decoder)
    return heatmap(view), caption(view), numbers(view) if open_ else ""


def _everything(settled: tuple[str, str], typed: str | None, choice: Choice, open_: bool) -> list[Any]:
    """Message, kind, layer, head, part, target row and target (as arguments of components), then HTML and figure."""
    try:
        traced = trace(*settled, typed)
    except UserError as error:
        hidden: dict[str, Any] = {"choices": [], "value": None, "visible": False}
        return [notice(str(error)), hidden, hidden, hidden, hidden, {"visible": False}, {"value": ""}, "", None, "", ""]
    choice = choice.within(traced)
    maps = traced.kinds[choice.kind]
    layers, heads = maps.weights.shape[:2]
    names = KIND_NAMES if len(traced.kinds) > 1 else ONLY_SELF
    choices = parts(maps)
    return [
        notice(" ".join(traced.notes), "info"),
        {"choices": [(names[kind], kind) for kind in traced.kinds], "value": choice.kind, "visible": True},
        {"choices": list(range(1, layers + 1)), "value": choice.layer, "visible": True},
        {"choices": list(range(1, heads + 1)), "value": choice.head, "visible": True},
        {"choices": choices, "value": choice.part, "visible": len(choices) > 1},
        {"visible": len(traced.kinds) > 1},
        {"value": traced.target},
        head_grid(maps, choice.layer - 1, choice.head - 1),
        *_large(traced, choice, open_),
    ]


def _updates(made: list[Any]) -> list[Any]:
    """What `_everything` made, as updates of the tab's components."""
    message, kind, layer, head, part, row, target, *rest = made
    return [message, gr.Radio(**kind), gr.Radio(**layer), gr.Radio(**head), gr.Dropdown(**part), gr.Row(**row),
            gr.Textbox(**target), *rest]  # fmt: skip
