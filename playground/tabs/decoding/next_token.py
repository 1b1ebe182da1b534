"""Next token: the whole distribution at the cursor, before and after all that sampling does to it; writing by hand.

The model is asked once for each place. Settings act on its answer by the engine's own processors, so moving a slider
costs a few milliseconds. What has been written is kept with the page; what the page sends is which token was chosen.
Whoever writes changes only that; one event draws it, after every change of it, of the text or of a setting.
"""

import json
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeGuard

import gradio as gr

from core.decode.config import GenerationConfig
from core.decode.cursor import Cursor, NextToken, back, cursor_at, take
from core.decode.scoring import TokenScore
from core.errors import RunError, UserError
from core.run import Run
from playground.header import NO_MODEL
from playground.memory import Memory
from playground.models import get_run
from playground.parts import QUIET
from playground.readings import owner
from playground.running import Asked, Running, page_of
from playground.site import Site, here
from playground.tabs.decoding.next_settings import HOW, LARGEST_SEED, RANGES, TYPED, read
from playground.tabs.decoding.settings import for_model
from playground.tabs.decoding.work import Work, no_order, stamp
from playground.views.next_settings import settings_html
from playground.views.next_token import next_spec, stages_html
from playground.views.notice import notice

MOST = 200  # tokens that are written in one go
EVERY = 0.1  # seconds between two pictures
FOUND = 5  # tokens of what is looked up
# The library may be loaded after the components.
SETTINGS = """
const make = () => window.nextSettings ? window.nextSettings(element, props, watch) : setTimeout(make, 20);
make();
"""
PICTURE = """
const [above, , below] = element.children;
const put = (box, html) => { if (box.said !== html) box.innerHTML = box.said = html; };
const draw = () => {
  if (!window.figures) return setTimeout(draw, 20);
  const {message = '', figure = '', table = ''} = props.value ? JSON.parse(props.value) : {};
  put(above, message);
  window.figures.draw(element, figure, (data) => trigger('select', data));
  put(below, table);
};
watch('value', draw);
draw();
"""

_cursors: Memory[Cursor] = Memory(maximum=6, each=1)  # at the beginnings of texts
_running = Running()


class Written(NamedTuple):
    """What has been written behind a text: of which text and model, ids, and what the model thinks of each; and why it
    could not be gone on with, if so, with these settings."""

    about: Hashable = None
    ids: tuple[int, ...] = ()
    scores: tuple[TokenScore, ...] = ()
    refused: str = ""
    settings: Any = None


@dataclass
class NextTokenPart:
    picture: gr.HTML  # message, figure and table: the page looks every output of an event up as well
    written: gr.State
    order: gr.State  # changes when the place is to be drawn
    settings: gr.HTML  # all of them as one JSON text: the page looks every input of an event up, one by one
    step: gr.Button
    back: gr.Button
    count: gr.Slider
    go_on: gr.Button
    stop: gr.Button
    anew: gr.Button
    queued: bool  # whether drawings wait in the queue

    @property
    def inputs(self) -> list[Any]:
        return [self.written, self.settings]

    @property
    def shared(self) -> dict[str, Any]:
        return {"next": self.settings}


def build(site: Site, work: Work) -> NextTokenPart:
    with gr.Row(elem_classes="toolbar next-toolbar"):
        step = gr.Button("Step", variant="primary", size="sm", scale=0, min_width=80, elem_id="next-step")
        go_back = gr.Button("Back", size="sm", scale=0, min_width=80, elem_id="next-back")
        anew = gr.Button("Start anew", size="sm", scale=0, min_width=100, elem_id="next-anew")
        most = min(MOST, site.new_tokens)
        count = gr.Slider(1, most, min(20, most), step=1, label="Tokens in one go", min_width=170, elem_id="next-count")
        go_on = gr.Button("Continue", size="sm", scale=0, min_width=100, elem_id="next-continue")
        stop = gr.Button("Stop", visible=False, size="sm", scale=0, min_width=80, elem_id="next-stop")
    with gr.Row(elem_classes="next-row"):
        with gr.Column(scale=2, min_width=260, elem_classes="next-sliders"):
            form = settings_html(RANGES, HOW, LARGEST_SEED, TYPED)
            settings = gr.HTML("", html_template=form, js_on_load=SETTINGS, elem_id="next-settings")
        with gr.Column(scale=7, min_width=300):
            boxes = '<div class="next-message"></div><div class="figure"></div><div class="next-table"></div>'
            picture = gr.HTML("", html_template=boxes, js_on_load=PICTURE, elem_id="next-figure")
    states = gr.State(None), no_order()
    return NextTokenPart(picture, *states, settings, step, go_back, count, go_on, stop, anew, site.is_hosted)


def wire(part: NextTokenPart, work: gr.State) -> None:
    inputs = [work, *part.inputs]
    # On one's own page the answer comes at once; where strangers ask, they wait their turn in the queue.
    gr.on(
        [part.order.change, part.written.change, part.settings.change], draw_next, inputs, part.picture,
        queue=part.queued, **QUIET,
    )  # fmt: skip
    # Every click counts, in order.
    clicked = QUIET | {"trigger_mode": "multiple", "concurrency_limit": 1, "concurrency_id": "next-token"}
    part.picture.select(choose_token, inputs, part.written, **clicked)
    part.step.click(step_on, inputs, part.written, **clicked)
    part.back.click(step_back, inputs, part.written, **clicked)
    part.anew.click(start_anew, inputs, part.written, **clicked)
    part.go_on.click(
        write_on, [work, part.count, *part.inputs], [part.written, part.go_on, part.stop], concurrency_limit=2,
        **QUIET | {"trigger_mode": "once"},
    )  # fmt: skip
    part.stop.click(stop_writing, None, None, queue=False, show_progress="hidden", api_visibility="private")


# ------------------------------------------------------------------------------------------------------- events


def draw_next(work: Work, written: Any, settings: Any) -> str:
    """The place as it is now: JSON of message, figure and table. After a change of settings without a new pass of the
    model."""
    try:
        cursor = _cursor(work, written)
        message, figure, table = _picture(cursor, settings)
        if _is_of(work, written) and written.refused and written.settings == settings:
            message += notice(written.refused, "info")
    except UserError as error:
        message, figure, table = notice(str(error)), "", ""
    return json.dumps({"message": message, "figure": figure, "table": table})


def forget(request: gr.Request) -> None:
    """A page was closed: let its place go."""
    _cursors.forget(page_of(request))


def choose_token(request: gr.Request, event: gr.EventData, work: Work, written: Any, settings: Any) -> Any:
    """A bar was clicked: its token is taken; or a written one: the text goes back to before it. What was clicked on a
    picture that is out of date counts for nothing."""
    _running.stop(request)
    data = event._data if isinstance(event._data, dict) else {}
    token, at, to = data.get("token"), data.get("at"), data.get("to")
    try:
        cursor = _cursor(work, written)
        if type(token) is int and at == len(cursor.written):
            cursor = take(cursor, token)
        elif type(to) is int and 0 <= to < len(cursor.written):
            cursor = replace(cursor, written=cursor.written[:to], scores=cursor.scores[:to])
        return _by_hand(work, cursor)
    except UserError as error:
        return _refused(error, work, written, settings)


def step_on(request: gr.Request, work: Work, written: Any, settings: Any) -> Any:
    """One more token, as the settings choose it."""
    _running.stop(request)
    try:
        return _by_hand(work, _step(_cursor(work, written), settings))
    except UserError as error:
        return _refused(error, work, written, settings)


def step_back(request: gr.Request, work: Work, written: Any, settings: Any) -> Any:
    _running.stop(request)
    try:
        return _by_hand(work, back(_cursor(work, written)))
    except UserError as error:
        return _refused(error, work, written, settings)


def start_anew(request: gr.Request, work: Work, written: Any, settings: Any) -> Any:
    """All that was written is gone."""
    _running.stop(request)
    return Written(_about(work))


def write_on(request: gr.Request, work: Work, count: Any, written: Any, settings: Any) -> Iterator[Any]:
    """So many tokens more, drawn as they come. Stopped, or an end: what is written stays."""
    ready = gr.Button(visible=True), gr.Button(visible=False)
    try:
        cursor = _cursor(work, written)
        most = min(MOST, here().new_tokens, _whole("Tokens in one go", count))
        shown = 0.0
        with _running.as_job(Asked(), request) as job:
            yield gr.skip(), gr.Button(visible=False), gr.Button(visible=True)
            for _ in range(most):
                cursor = _step(cursor, settings)
                if job.stopped:  # by somebody, or for what was chosen meanwhile: what is shown stands
                    yield gr.skip(), *ready
                    return
                if cursor.ended:
                    break
                if time.monotonic() - shown > EVERY:
                    shown = time.monotonic()
                    yield _by_hand(work, cursor), gr.skip(), gr.skip()
            yield _by_hand(work, cursor), *ready
    except UserError as error:
        yield _refused(error, work, written, settings), *ready


def stop_writing(request: gr.Request) -> None:
    """What was written so far stays."""
    _running.stop(request)


# ------------------------------------------------------------------------------------------------------- what is shown


def _picture(cursor: Cursor, settings: Any) -> tuple[str, str, str]:
    note = notice("The text is longer than the model’s context: its end is what counts.", "info")
    message = note if cursor.truncated else ""
    if cursor.ended:
        return message, next_spec(cursor, None, None), ""
    config, how, find = _config(settings, cursor.run)
    after = cursor.stages(config)
    choice = _choice(cursor, after, config, how)
    if choice is None:
        message += notice("The settings have removed every token: loosen one of them.", "info")
    found = _found(cursor, find)
    return message, next_spec(cursor, after, choice, found), stages_html(after, choice)


def _by_hand(work: Work, cursor: Cursor) -> Written:
    return Written(_about(work), cursor.written, cursor.scores)


def _refused(error: UserError, work: Work, written: Any, settings: Any) -> Written:
    """What is written stays, and the drawing says why."""
    there = written if _is_of(work, written) else Written(_about(work))
    return there._replace(refused=str(error), settings=settings if isinstance(settings, str) else None)


def _step(cursor: Cursor, settings: Any) -> Cursor:
    config, how, _ = _config(settings, cursor.run)
    choice = _choice(cursor, cursor.stages(config), config, how)
    if choice is None:
        raise RunError("The settings have removed every token: loosen one of them.")
    return take(cursor, choice)


def _choice(cursor: Cursor, after: NextToken, config: GenerationConfig, how: str) -> int | None:
    if not after.kept:
        return None
    last = after.after[-1] if after.after else after.start
    return cursor.choice(config, after) if how == "drawn" else int(last.argmax())


def _found(cursor: Cursor, find: str) -> list[int]:
    """The first tokens of what is looked up."""
    tokenizer = cursor.run.tokenizer
    tokenizer = tokenizer.for_target() if cursor.run.is_translation else tokenizer
    size = cursor.run.config.model.vocab_size
    return [token for token in tokenizer.encode(find).ids[:FOUND] if 0 <= token < size] if find else []


def _cursor(work: Work, written: Any) -> Cursor:
    """The place behind what has been written, if that is of this text and model; else the beginning."""
    if not work.model:
        raise RunError(NO_MODEL)
    run = get_run(work.model)
    cursor = _cursors.get(_about(work), lambda: cursor_at(run, work.text or ""), owner())
    return replace(cursor, written=written.ids, scores=written.scores) if _is_of(work, written) else cursor


def _is_of(work: Work, written: Any) -> TypeGuard[Written]:
    return isinstance(written, Written) and written.about == _about(work)


def _about(work: Work) -> Hashable:
    return stamp(work), work.text


def _config(settings: Any, run: Run) -> tuple[GenerationConfig, str, str]:
    """What the fields mean: settings, how a step chooses, and what is looked up."""
    values = read(settings)
    how, find = values.pop("how"), values.pop("find")
    return for_model(GenerationConfig(strategy="sample", **values), run.config.decode), how, find


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 2**63:
        raise RunError(f"{name} is a whole number.")
    return int(value)
