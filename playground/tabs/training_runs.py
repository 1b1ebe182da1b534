"""The Training tab's list of runs: follow one, rename it, keep a note, export it, delete it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from core.errors import UserError
from core.files import read_json
from core.metrics_export import write_csv
from core.run import RunInfo, find_run, read_metrics
from core.runs_admin import MAX_NOTE, delete_run, export_run, own_run, read_note, rename_run, set_note
from playground import models
from playground.export_files import export_folder
from playground.figures import column, read_figures
from playground.jobs import LocalBackend
from playground.site import OWN, Site
from playground.tabs.training_shown import run_choices
from playground.views.notice import notice
from playground.views.training_runs import RunRow, runs_html

CLICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-run]');
  if (button) trigger('select', {run: button.dataset.run});
});
"""

# One after the other: what belongs to another run must not be cleared away after the export of this one came.
IN_TURN: dict[str, Any] = {"concurrency_id": "training-runs", "concurrency_limit": 1}


@dataclass
class RunsPart:
    box: gr.Accordion
    table: gr.HTML
    which: gr.HTML
    name: gr.Textbox
    rename: gr.Button
    note: gr.Textbox
    keep: gr.Button
    export: gr.Button
    delete: gr.Button
    ask: gr.Row
    question: gr.HTML
    sure: gr.Button
    spare: gr.Button
    asked: gr.State  # the run that the question is about
    files: gr.File
    named: gr.State  # the run that the fields are about; None when the page opens: then they are filled anew
    message: gr.HTML

    @property
    def fields(self) -> list[Any]:
        """What is about the followed run."""
        return [
            self.which, self.name, self.rename, self.note, self.keep, self.delete, self.ask, self.asked, self.files,
            self.named,
        ]  # fmt: skip


def build(name: str | None, site: Site = OWN) -> RunsPart:
    """Where the runs are copies, as on a hosted page, they can be exported but not changed."""
    which, name_value, rename_value, note_value, *_ = about(name)
    own, here = rename_value["interactive"], not site.is_hosted
    with gr.Accordion("All runs", open=True, elem_id="training-runs") as box:
        table = gr.HTML(table_html(name), elem_id="training-runs-table", js_on_load=CLICK)
        which_html = gr.HTML(which, padding=False, js_on_load=None, visible=here)
        with gr.Row(equal_height=False, elem_classes="training-manage", visible=site.launch):
            name_box = gr.Textbox(
                name_value["value"], label="Name", max_length=64, min_width=140, interactive=own, elem_id="runs-name",
                visible=here,
            )  # fmt: skip
            rename = gr.Button("Rename", min_width=90, interactive=own, elem_id="runs-rename", size="sm", visible=here)
            note = gr.Textbox(
                note_value["value"], label="Note", max_length=MAX_NOTE, min_width=220, scale=3, interactive=own,
                elem_id="runs-note", visible=here,
            )  # fmt: skip
            keep = gr.Button("Keep note", min_width=90, interactive=own, elem_id="runs-keep", size="sm", visible=here)
            export = gr.Button("Export", min_width=90, elem_id="runs-export", size="sm")
            delete = gr.Button(
                "Delete …", variant="stop", min_width=90, interactive=own, elem_id="runs-delete", size="sm",
                visible=here,
            )  # fmt: skip
        with gr.Row(visible=False, elem_id="runs-ask") as ask:
            question = gr.HTML("", padding=False, js_on_load=None)
            sure = gr.Button("Delete it for good", variant="stop", min_width=140, elem_id="runs-sure", size="sm")
            spare = gr.Button("Keep it", min_width=90, elem_id="runs-spare", size="sm")
        asked = gr.State(None)
        message = gr.HTML("", padding=False, elem_id="runs-message", js_on_load=None)
        files = gr.File(label="Export", file_count="multiple", interactive=False, visible=False, elem_id="runs-files")
    return RunsPart(
        box, table, which_html, name_box, rename, note, keep, export, delete, ask, question, sure, spare, asked, files,
        gr.State(None), message,
    )  # fmt: skip


def wire(part: RunsPart, follow: gr.Dropdown, compare: gr.Dropdown, header: Any, site: Site = OWN) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    part.table.select(choose, None, [follow, part.message], **quiet)
    if site.launch:
        part.export.click(
            export, follow, [part.message, part.files], show_progress_on=part.message, api_visibility="private",
            **IN_TURN,
        )  # fmt: skip
    if site.is_hosted:
        return
    changed = [part.message, follow, compare, header.model, part.table]
    gr.on([part.rename.click, part.name.submit], rename, [follow, part.name, compare, header.model], changed, **quiet)
    gr.on(
        [part.keep.click, part.note.submit], note, [follow, part.note], [part.message, part.note, part.table], **quiet
    )
    part.delete.click(ask_first, follow, [part.message, part.ask, part.question, part.asked], **quiet)
    part.spare.click(lambda: (gr.update(visible=False), None), None, [part.ask, part.asked], **quiet)
    part.sure.click(delete, [follow, part.asked, compare, header.model], [*changed, part.ask, part.asked], **quiet)


def wire_shown(part: RunsPart, follow: gr.Dropdown, demo: gr.Blocks, site: Site = OWN) -> None:
    """What follows the followed run: the table, and the fields about the run."""
    last: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "trigger_mode": "always_last"}
    gr.on([demo.load, follow.change, part.box.expand], table_html, follow, part.table, **last)
    if not site.is_hosted:
        gr.on([demo.load, follow.change], about, [follow, part.files, part.named], part.fields, **IN_TURN, **last)


# ------------------------------------------------------------------------------------------------------------ table


def rows() -> list[RunRow]:
    """All runs as rows, what trains now first."""
    found = sorted(LocalBackend().runs(), key=lambda info: not info.status.is_active)
    own = {info.name for info in found if not info.bundled}
    return [_row(info) for info in found if not (info.bundled and info.name in own)]


def _row(info: RunInfo) -> RunRow:
    status, figures = info.status, read_figures(info.directory)
    losses, steps = column(figures, "val_loss"), column(figures, "step")
    return RunRow(
        info.name,
        "broken" if info.error else "bundled" if info.bundled else status.state,
        info.family,
        max(status.step, int(steps.max()) if len(steps) else 0),
        status.steps,
        float(losses.min()) if len(losses) else None,
        _score(info.directory, figures),
        status.started or _made(info),
        read_note(info.directory),
        info.error or status.error,
    )


def _score(directory: Path, figures: Any) -> str:
    """BLEU or bits per byte: as measured by `eval`, else the best during training."""
    try:
        scores = read_json(directory / "scores.json") if (directory / "scores.json").exists() else {}
    except UserError:
        scores = {}
    scores = scores if isinstance(scores, dict) else {}
    for key, form, during, choose in (
        ("bleu", "BLEU {:.1f}", "bleu", np.max), ("bits_per_byte", "{:.3f} bits/byte", "val_bits_per_byte", np.min),
    ):  # fmt: skip
        value, found = scores.get(key), column(figures, during)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return form.format(value)
        if len(found):
            return form.format(choose(found))
    return ""


def _made(info: RunInfo) -> float:
    try:
        return 0.0 if info.bundled else (info.directory / "config.json").stat().st_mtime
    except OSError:
        return 0.0


def table_html(followed: str | None) -> str:
    return runs_html(rows(), followed)


def choose(event: gr.EventData) -> list[Any]:
    """A click on a run in the table follows it."""
    try:
        return [gr.update(value=find_run(str(event.run)).name), ""]
    except (UserError, AttributeError) as error:
        return [gr.skip(), notice(str(error) if isinstance(error, UserError) else "Choose a run of the list.")]


# --------------------------------------------------------------------------------------------------- the chosen run


def about(name: str | None, files: list[str] | None = None, named: str | None = "") -> list[Any]:
    """Values for `RunsPart.fields`. Nothing that was asked about another run stays, but what somebody types about this
    one does. files: what was exported last; named: the run that the fields are about."""
    others = files and (not name or Path(files[0]).name != f"{name}.zip")
    try:
        directory = own_run(name or "")
        told, own, text = "", True, read_note(directory)
    except UserError as error:
        told, own, text = (str(error) if name else ""), False, ""
    line, can = notice(told, "info") if told else "", gr.update(interactive=own)
    if name == named:
        return [line, *[can] * 5, *[gr.skip()] * 4]
    return [
        line, gr.update(value=name or "", interactive=own), can, gr.update(value=text, interactive=own), can, can,
        gr.update(visible=False), None, gr.update(visible=False, value=None) if others else gr.skip(), name,
    ]  # fmt: skip


def rename(name: str | None, new: str, compare: list[str], model: str | None) -> list[Any]:
    """Values for (message, follow, compare, header's model, table)."""
    try:
        directory = rename_run(name or "", (new or "").strip())
    except UserError as error:
        return [notice(str(error)), *[gr.skip()] * 4]
    now = directory.name
    beside = [now if other == name else other for other in compare or []]
    return _changed(f"{name} is now {now}." if now != name else "", now, beside, now if model == name else model)


def delete(name: str | None, asked: str | None, compare: list[str], model: str | None) -> list[Any]:
    """Values for (message, follow, compare, header's model, table, question, asked)."""
    shut = [gr.update(visible=False), None]
    if not asked or asked != name:
        return [notice("Choose the run to delete again."), *[gr.skip()] * 4, *shut]
    try:
        delete_run(asked)
    except UserError as error:
        return [notice(str(error)), *[gr.skip()] * 4, *shut]
    left = run_choices()
    beside = [other for other in compare or [] if other != asked]
    # A bundled run of the same name is seen again.
    follow = asked if asked in [value for _, value in left] else next((value for _, value in left), None)
    default = model if model != asked or follow == asked else models.default_model()
    return [*_changed(f"{asked} is deleted.", follow, beside, default), *shut]


def _changed(said: str, follow: str | None, beside: list[str], model: str | None) -> list[Any]:
    choices = run_choices()
    return [
        notice(said, "info"), gr.update(choices=choices, value=follow), gr.update(choices=choices, value=beside),
        gr.update(choices=models.model_choices(), value=model), table_html(follow),
    ]  # fmt: skip


def note(name: str | None, text: str) -> list[Any]:
    """Values for (message, note, table)."""
    try:
        kept = set_note(name or "", text or "")
    except UserError as error:
        return [notice(str(error)), gr.skip(), gr.skip()]
    return [
        notice(f"The note of {name} is kept." if kept else f"{name} has no note now.", "info"),
        kept,
        table_html(name),
    ]


def ask_first(name: str | None) -> list[Any]:
    """Values for (message, question's row, question, asked)."""
    try:
        own_run(name or "")
        if LocalBackend().status(name or "").is_active:
            return [
                notice(f"The run {name} is training; stop it before it is deleted."),
                gr.update(visible=False),
                "",
                None,
            ]
    except UserError as error:
        return [notice(str(error)), gr.update(visible=False), "", None]
    question = notice(f"Delete {name} with its weights, checkpoints and metrics, for good?")
    return ["", gr.update(visible=True), question, name]


def export(name: str | None) -> list[Any]:
    """Values for (message, files): the run as a zip, its metrics as CSV."""
    try:
        folder = export_folder()
        directory = find_run(name or "")
        made = [folder / f"{directory.name}.zip"]
        export_run(directory.name, made[0])
        metrics = read_metrics(directory)
        if metrics:
            made.append(write_csv(metrics, folder / f"{directory.name}-metrics.csv"))
    except UserError as error:
        return [notice(str(error)), gr.update(visible=False, value=None)]
    except OSError as error:
        return [notice(f"The export cannot be written ({error.strerror})."), gr.update(visible=False, value=None)]
    return ["", gr.update(visible=True, value=[str(path) for path in made])]
