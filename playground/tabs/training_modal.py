"""The Training tab's runs on Modal: list those of the Volume, bring one here. Modal is asked on a click only."""

from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Thread
from typing import Any

import gradio as gr

from core.errors import UserError
from core.run import list_runs
from playground import models
from playground.tabs.training_shown import run_choices
from playground.views.facts import megabytes
from playground.views.notice import notice
from playground.views.training_place import remote_runs_html

WHAT = [("To use it", "best"), ("Everything", "all")]
TICK = 0.5  # seconds between two looks at a transfer


@dataclass
class ModalPart:
    look: gr.Button
    table: gr.HTML
    which: gr.Dropdown
    what: gr.Radio
    pull: gr.Button
    stop: gr.Button
    message: gr.HTML


def build() -> ModalPart:
    with gr.Accordion("Runs on Modal", open=False, elem_id="training-modal"):
        look = gr.Button("List the runs there", size="sm", min_width=150, elem_id="modal-look")
        table = gr.HTML("", elem_id="modal-table", js_on_load=None)
        with gr.Row(equal_height=False, elem_classes="training-manage"):
            which = gr.Dropdown([], label="Run on Modal", min_width=180, scale=2, elem_id="modal-which", visible=False)
            what = gr.Radio(
                WHAT, value="best", label="Bring", elem_classes="segmented", elem_id="modal-what", visible=False
            )
            pull = gr.Button("Bring it here", size="sm", min_width=120, elem_id="modal-pull", visible=False)
            stop = gr.Button("Stop", size="sm", variant="stop", min_width=80, elem_id="modal-stop", visible=False)
        message = gr.HTML("", padding=False, elem_id="modal-message", js_on_load=None)
    return ModalPart(look, table, which, what, pull, stop, message)


def wire(part: ModalPart, follow: gr.Dropdown, compare: gr.Dropdown, header: Any) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    part.look.click(look, None, [part.message, part.table, part.which, part.what, part.pull], **quiet)
    pulling = part.pull.click(
        pull, [part.which, part.what], [part.message, part.stop, follow, compare, header.model], concurrency_limit=2,
        **quiet,
    )  # fmt: skip
    stopped = notice("Stopped; what has come is kept, and bringing it again goes on from there.", "info")
    part.stop.click(
        lambda: (stopped, gr.update(visible=False)), None, [part.message, part.stop], cancels=[pulling], **quiet
    )


def look() -> Iterator[list[Any]]:
    """The runs of the Volume."""
    from remote.client import remote_runs

    yield [notice("Asking Modal …", "busy"), *[gr.skip()] * 4]
    try:
        found = remote_runs()
    except UserError as error:
        yield [notice(str(error)), *[gr.skip()] * 4]
        return
    here = [info.name for info in list_runs() if not info.bundled]
    names = [str(run["name"]) for run in found]
    some = gr.update(visible=bool(names))
    first = next((name for name in names if name not in here), names[0] if names else None)
    yield ["", remote_runs_html(found, here), gr.update(choices=names, value=first, visible=bool(names)), some, some]


def pull(name: str | None, what: str) -> Iterator[list[Any]]:
    """Bring a run here, with progress. Closing the iterator leaves what has come where it is."""
    from remote.client import pull as fetch

    said: Queue[tuple[str, Any]] = Queue()

    def tell(done: int, total: int, file: str) -> None:
        if ended:
            raise _Stopped
        said.put(("progress", f"{megabytes(done, total)} · {file}"))

    def work() -> None:
        try:
            said.put(("done", fetch(name or "", what=what, progress=tell)))
        except _Stopped:
            pass
        except UserError as error:
            said.put(("error", str(error)))
        except Exception as error:  # a bug: said in place, not lost with the thread
            said.put(("error", f"{type(error).__name__}: {error}"))

    ended: list[bool] = []
    Thread(target=work, daemon=True).start()
    skips = [gr.skip()] * 3
    try:
        yield [notice(f"Bringing {name} …", "busy"), gr.update(visible=True), *skips]
        while True:
            kind, value = _newest(said)
            if kind == "done":
                break
            if kind == "error":
                yield [notice(value), gr.update(visible=False), *skips]
                return
            if kind:
                yield [notice(f"Bringing {name}: {value}", "busy"), gr.skip(), *skips]
    finally:
        ended.append(True)
    choices = run_choices()
    said_last = f"{name} is here: {len(value.files)} files, {value.bytes / 1e6:,.1f} MB."
    yield [
        notice(said_last, "info"), gr.update(visible=False),
        gr.update(choices=choices, value=name), gr.update(choices=choices), gr.update(choices=models.model_choices()),
    ]  # fmt: skip


class _Stopped(Exception):
    """Whoever wanted the transfer does not want it any more."""


def _newest(said: "Queue[tuple[str, Any]]") -> tuple[str, Any]:
    """The last thing said, an end before all else; ("", None) if there was nothing for a while."""
    try:
        kind, value = said.get(timeout=TICK)
        while kind == "progress" and not said.empty():
            kind, value = said.get_nowait()
        return kind, value
    except Empty:
        return "", None
