"""Ablation: heads and feed-forward networks switched off by a click, and what that does to the model's work."""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from core.analysis.ablation import Ablation, Head, Network, ablated, compare_ablation, each_alone, token_losses, write
from core.analysis.reading import Reading, token_names
from core.errors import UserError
from playground.figure_html import figure_html
from playground.memory import Memory
from playground.parts import QUIET
from playground.readings import Work, owner, reading_of, stamp
from playground.running import Asked, Running
from playground.site import Site
from playground.views.ablation import losses_spec, outcome_html, probabilities_spec, progress_html, switches_spec
from playground.views.notice import notice

HOW = [("nothing", "zero"), ("its mean over this text", "mean")]
NEXT = 8  # tokens that come next, of each model
EVERY = 0.5  # seconds between two pictures
NAMES = 20_000  # characters of switches that are looked at
UNIT = re.compile(r"(self|cross|encoder|mlp|encoder mlp)\.(\d{1,4})\.(\d{1,4})", re.ASCII)

_running = Running()
_written: Memory[str] = Memory(maximum=256, max_size=2**20, size=len, each=4)  # by the models as they are


@dataclass
class AblationPart:
    message: gr.HTML
    off: gr.Textbox  # names of what is switched off, as in the address
    how: gr.Radio
    position: gr.State  # whose next token is looked at; None: the usual one
    alone: gr.Button
    stop: gr.Button
    progress: gr.HTML
    measured: gr.State  # (what it is of, the loss change of each kind) once every part was switched off alone
    switches: gr.HTML
    outcome: gr.HTML
    next: gr.HTML
    losses: gr.HTML

    @property
    def results(self) -> list[Any]:
        return [self.message, self.outcome, self.next, self.losses]

    @property
    def views(self) -> list[Any]:
        return [*self.results, self.switches, self.progress]

    @property
    def inputs(self) -> list[Any]:
        return [self.off, self.how, self.position, self.measured]

    @property
    def shared(self) -> dict[str, Any]:
        return {"off": self.off, "instead": self.how}


def build(site: Site, work: Work) -> AblationPart:
    message = gr.HTML("", js_on_load=None)
    off = gr.Textbox("", label="Switched off", visible="hidden", elem_id="ablation-off")
    with gr.Row(elem_classes="toolbar"):
        how = gr.Radio(
            HOW, value="zero", label="What is written instead", elem_classes="segmented", elem_id="ablation-how"
        )
        alone = gr.Button("Switch off each part alone", size="sm", scale=0, min_width=220, elem_id="ablation-alone")
        stop = gr.Button("Stop", visible=False, size="sm", scale=0, min_width=90, elem_id="ablation-stop")
    progress = gr.HTML("", js_on_load=None, elem_id="ablation-progress")
    switches = figure_html("", "ablation-switches")
    outcome = gr.HTML("", js_on_load=None, elem_id="ablation-outcome")
    with gr.Row(elem_classes="internals-row"):
        with gr.Column(min_width=320):
            following = figure_html("", "ablation-next")
        with gr.Column(min_width=320):
            losses = figure_html("", "ablation-losses")
    measured = gr.State(None)
    return AblationPart(
        message, off, how, gr.State(None), alone, stop, progress, measured, switches, outcome, following, losses
    )


def wire(part: AblationPart, work: gr.State) -> None:
    # What was clicked is noted at once and in order, whatever is still being computed.
    clicked = QUIET | {"trigger_mode": "multiple", "concurrency_limit": 1}
    part.switches.select(name_switched, part.off, part.off, **clicked)
    part.losses.select(look_behind, part.position, part.position, **clicked)
    gr.on(
        [part.off.change, part.how.input, part.position.change], compare_parts,
        [work, part.off, part.how, part.position], part.results, **QUIET,
    )  # fmt: skip
    part.alone.click(
        switch_each, [work, part.off, part.how],
        [part.message, part.progress, part.switches, part.measured, part.alone, part.stop], concurrency_limit=2,
        **QUIET | {"trigger_mode": "once"},
    )  # fmt: skip
    part.stop.click(stop_switching, None, None, **QUIET)


def show(work: Work, off: str, how: str, position: Any, measured: Any) -> tuple[Any, ...]:
    """Values for `views`."""
    _running.leave(_about(work, how))
    results = _results(work, off, how, position)
    try:
        reading = reading_of(work)
    except UserError:
        return *results, "", ""
    known = measured[1] if isinstance(measured, tuple) and measured[0] == _about(work, how) else None
    return *results, _switches(work, reading, off, how, known), gr.skip() if known else ""


def name_switched(off: str, event: gr.EventData) -> str:
    """A part was switched off or on: the names of what is off now."""
    given = event._data.get("off") if isinstance(event._data, dict) else None
    return (
        ",".join(name for name in given[:5_000] if isinstance(name, str) and UNIT.fullmatch(name))
        if isinstance(given, list)
        else off
    )


def look_behind(position: Any, event: gr.EventData) -> Any:
    """A token was chosen among the losses: what may stand there is what comes next behind the one before."""
    place = event._data.get("row") if isinstance(event._data, dict) else None
    return place if type(place) is int else position


def compare_parts(work: Work, off: str, how: str, position: Any) -> tuple[Any, ...]:
    """Others are switched off, something else is written in their place, or another position is looked at."""
    return _results(work, off, how, position)


def switch_each(work: Work, off: str, how: str, request: gr.Request) -> Iterator[tuple[Any, ...]]:
    """Switch off every part alone, and colour it by how the loss changes. Values as `wire` lists them."""
    here, changes, done, count = Asked(_about(work, how)), {}, 0, 0
    ready = gr.Button(visible=True), gr.Button(visible=False)
    problem = ""
    try:
        reading = reading_of(work)
        if not len(token_losses(reading)):
            yield (
                notice("There is no token whose loss could be told: type a longer text above.", "info"),
                "",
                *_skips(4),
            )
            return
        blocks = blocks_of(reading)
        changes = {kind: np.full((layers, heads), np.nan, np.float32) for kind, layers, heads in blocks}
        count = sum(values.size for values in changes.values())
        yield "", progress_html(0, count, "running"), *_skips(2), gr.Button(visible=False), gr.Button(visible=True)
        drawn = time.monotonic()
        with _running.as_job(here, request):
            for alone in each_alone(reading, how="mean" if how == "mean" else "zero", mlps=True):
                changes[alone.kind][alone.layer, max(alone.head, 0)] = alone.loss_change
                done += 1
                if here.stopped:
                    break
                if time.monotonic() - drawn > EVERY:
                    drawn = time.monotonic()
                    picture = _switches(work, reading, off, how, changes)
                    yield gr.skip(), progress_html(done, count, "running"), picture, *_skips(3)
    except UserError as error:  # of the text, or the time that the page has
        problem = notice(str(error), "info" if done else "error")
    if here.left:
        yield gr.skip(), "", *_skips(2), *ready
        return
    if not done:
        yield problem, "", *_skips(2), *ready
        return
    state = progress_html(done, count, "done" if done == count else "stopped")
    yield problem, state, _switches(work, reading, off, how, changes), (_about(work, how), changes), *ready


def stop_switching(request: gr.Request) -> None:
    """What was measured so far stays."""
    _running.stop(request)


def units(reading: Reading, off: Any) -> tuple[list[str], list[Head], list[Network]]:
    """The parts that are named, in order: their names, heads and networks. What the model does not have is left out."""
    sizes = {kind: (layers, heads) for kind, layers, heads in blocks_of(reading)}
    names, heads, networks = [], [], []
    for name in dict.fromkeys(off[:NAMES].split(",") if isinstance(off, str) else []):
        if not (match := UNIT.fullmatch(name)) or match[1] not in sizes:
            continue
        kind, layer, head = match[1], int(match[2]) - 1, int(match[3]) - 1
        if not (0 <= layer < sizes[kind][0] and 0 <= head < sizes[kind][1]):
            continue
        names.append(name)
        if kind in ("mlp", "encoder mlp"):
            networks.append(("decoder" if kind == "mlp" else "encoder", layer))
        else:
            heads.append((kind, layer, head))
    return names, heads, networks


def blocks_of(reading: Reading) -> list[tuple[str, int, int]]:
    """(kind, layers, heads) of all that can be switched off; of networks 1 for the heads."""
    heads = [(kind, reading.n_layers(kind), reading.n_heads) for kind in reading.kinds]
    networks = [("mlp", reading.n_layers("self"), 1)]
    if reading.is_translation:
        networks.append(("encoder mlp", reading.n_layers("encoder"), 1))
    return [*heads, *networks]


def _results(work: Work, off: str, how: str, position: Any) -> tuple[Any, ...]:
    """Message, texts and mean losses, next tokens, loss of each token."""
    try:
        reading = reading_of(work)
        names, heads, networks = units(reading, off)
        last = len(reading.ids) - 1
        place = position if type(position) is int and 0 <= position <= last else 0 if reading.is_translation else last
        found = _compare(work, reading, heads, networks, how, place)
    except UserError as error:
        return notice(str(error)), "", "", ""
    tokenizer = reading.run.tokenizer
    what = "Its translation" if reading.is_translation else "How it goes on"
    text = "target" if reading.is_translation else "text"
    return (
        "", outcome_html(found, len(names), what),
        probabilities_spec(found, token_names(tokenizer, found.ids), reading.names[found.position]),
        losses_spec(found, token_names(tokenizer, found.targets), text),
    )  # fmt: skip


def _compare(
    work: Work, reading: Reading, heads: Sequence[Head], networks: Sequence[Network], how: str, position: int
) -> Ablation:
    model = reading.model
    key = stamp(work), work.text
    own = _written.get(key, lambda: write(reading, model), owner())
    changed = ablated(model, heads, networks, "mean" if how == "mean" else "zero", reading)
    return compare_ablation(reading, changed, position, NEXT, written=own)


def _switches(work: Work, reading: Reading, off: str, how: str, changes: dict[str, np.ndarray] | None) -> str:
    names, _, _ = units(reading, off)
    note = f"Measured with {HOW[how == 'mean'][0]} written instead." if changes else ""
    return switches_spec(blocks_of(reading), names, work.model, reading.is_translation, changes, note)


def _about(work: Work, how: str) -> tuple[Any, ...]:
    """What the measured changes follow from."""
    return work.model, work.text, work.target, stamp(work), how


def _skips(count: int) -> list[Any]:
    return [gr.skip()] * count
