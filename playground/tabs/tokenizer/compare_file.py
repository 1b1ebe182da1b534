"""Compare, a whole file: counted by the chosen tokenizers in a process of its own, by line, script or a column."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import gradio as gr

from core.errors import RunError, UserError
from playground import tokenizers
from playground.export_files import export_folder
from playground.file_counts import COLUMN, LINE, SCRIPT, WHOLE, Counted, FileCounting, Question
from playground.running import Running
from playground.site import Site, here
from playground.tabs.tokenizer.lanes import MOST, lane_keys
from playground.tokenizers import Work
from playground.views.compare_file import MEASURES, as_csv, chart, groups_table, progress_line
from playground.views.notice import notice

FILE_TYPES = [".txt", ".md", ".csv", ".tsv", ".jsonl", ".json", ".parquet"]
GROUPS = [("the whole file", WHOLE), ("line", LINE), ("script", SCRIPT)]
EVERY = 1.0  # seconds between two pictures

_running = Running()


@dataclass
class FilePart:
    upload: gr.File
    column: gr.Dropdown
    group: gr.Dropdown
    measure: gr.Radio
    start: gr.Button
    stop: gr.Button
    message: gr.HTML
    plot: gr.Plot
    table: gr.HTML
    saved: gr.File
    counted: gr.State  # the last Counted

    @property
    def shown(self) -> list[Any]:
        return [self.message, self.plot, self.table, self.saved, self.start, self.stop, self.counted]


def build(site: Site) -> FilePart:
    with gr.Accordion("A whole file", open=False, elem_id="compare-file"):
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=260):
                upload = gr.File(
                    label=f"Text, one a line, or a table (up to {site.upload / 1e6:.0f} MB)", type="filepath",
                    file_types=FILE_TYPES, height=120, elem_id="compare-upload",
                )  # fmt: skip
                column = gr.Dropdown(
                    [], value=None, label="Column with the text", visible=False, elem_id="compare-column"
                )
                group = gr.Dropdown(GROUPS, value=SCRIPT, label="Counted by", elem_id="compare-group")
                with gr.Row():
                    start = gr.Button("Count", variant="primary", min_width=110, elem_id="compare-start")
                    stop = gr.Button("Stop", visible=False, min_width=90, elem_id="compare-stop")
            with gr.Column(scale=5, min_width=320):
                message = gr.HTML("", elem_id="compare-file-message", js_on_load=None)
                measure = gr.Radio(
                    [(title, key) for key, (title, _) in MEASURES.items()], value="character", show_label=False,
                    label="Measure", elem_classes="segmented", elem_id="compare-measure",
                )  # fmt: skip
                plot = gr.Plot(show_label=False, container=False, visible=False, elem_id="compare-plot")
                table = gr.HTML("", elem_id="compare-groups", js_on_load=None)
                saved = gr.File(label="All counts", interactive=False, visible=False, elem_id="compare-saved")
    return FilePart(upload, column, group, measure, start, stop, message, plot, table, saved, gr.State(None))


def wire(part: FilePart, work: gr.State, others: gr.Dropdown) -> None:
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    part.upload.change(look_at_columns, part.upload, [part.message, part.column, part.group], **quiet)
    part.start.click(
        count_file, [work, others, part.upload, part.column, part.group, part.measure], part.shown, **quiet
    )
    part.stop.click(stop_counting, None, None, **quiet)
    part.measure.input(draw_counts, [part.counted, part.measure], [part.plot, part.table], **quiet)


def look_at_columns(file: str | None, request: gr.Request) -> Iterator[tuple[Any, ...]]:
    """What can be chosen of an uploaded file. Values for (message, column, group)."""
    group = gr.update(choices=GROUPS, value=SCRIPT)
    if not file:
        yield "", gr.update(visible=False), group
        return
    known: Counted | None = None
    try:
        check_size(file)
        with FileCounting(Question(file)) as counting, _running.as_job(counting, request):
            for known in counting.states():
                if known.state == "running":
                    yield progress_line(known), gr.skip(), gr.skip()
    except UserError as error:
        yield notice(str(error)), gr.update(visible=False), group
        return
    if known is None or known.state != "done":
        yield notice(known.doing if known else ""), gr.update(visible=False), group
        return
    text = next(iter(known.texts), None)
    by = [(f"column {name}", COLUMN + name) for name in known.columns if name != text]
    yield (
        notice(f"{known.lines:,} lines.", "info"),
        gr.update(choices=known.texts, value=text, visible=bool(known.columns)),
        gr.update(choices=GROUPS + by, value=SCRIPT),
    )


def count_file(
    work: Work, others: Sequence[str] | None, file: str | None, column: str | None, group: str, measure: str,
    request: gr.Request,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """Count the file, showing what is counted so far. Values for `FilePart.shown`."""
    known: Counted | None = None
    drawn = 0.0
    try:
        question = Question(_given(file), _keys(work, others), column or "", group or WHOLE)
        with FileCounting(question) as counting, _running.as_job(counting, request):
            for known in counting.states():
                if known.state != "running":
                    break
                if known.groups and time.monotonic() - drawn > EVERY:
                    drawn = time.monotonic()
                    yield _picture(known, measure, drawing=True)
                else:
                    yield _picture(known, measure, drawing=False)
    except UserError as error:  # the file, a tokenizer, or the time that the page has
        if known is None or not known.groups:
            yield notice(str(error)), *[gr.skip()] * 3, gr.update(visible=True), gr.update(visible=False), gr.skip()
            return
        known.state, known.doing = "stopped", str(error).rstrip(".")
    if known is not None:
        yield _picture(known, measure, drawing=True)


def stop_counting(request: gr.Request) -> None:
    """What has been counted stays; the counting says so itself."""
    _running.stop(request)


def draw_counts(counted: Counted | None, measure: str) -> tuple[Any, str]:
    """Another measure of the same counts."""
    if counted is None or measure not in MEASURES:
        return gr.skip(), gr.skip()
    return chart(counted, measure), groups_table(counted, measure)


def _keys(work: Work, others: Sequence[str] | None) -> dict[str, str]:
    """Name -> key of the tokenizers. UserError if one is not there, or not to be opened here."""
    keys = dict(islice(lane_keys(work, others).items(), MOST))
    for key in keys.values():
        tokenizers.stamp(key, work.model)
    return keys


def check_size(file: str) -> None:
    most = here().upload
    try:
        size = Path(file).stat().st_size
    except OSError:
        raise RunError("The file is not there any more: upload it again.") from None
    if size > most:
        raise RunError(f"The file has {size / 1e6:,.0f} MB; this page takes up to {most / 1e6:,.0f} MB.")


def _given(file: str | None) -> str:
    if not file:
        raise RunError("Upload a file first: text with one sentence a line, or a table with a column of texts.")
    check_size(file)
    return file


def _picture(known: Counted, measure: str, drawing: bool) -> tuple[Any, ...]:
    measure = measure if measure in MEASURES else "character"
    running = known.state == "running"
    saved = gr.update(visible=False, value=None)
    if not running and known.groups:
        saved = gr.update(visible=True, value=_csv(known))
    figure = chart(known, measure) if drawing else None
    return (
        progress_line(known),
        gr.update(value=figure, visible=True) if figure is not None else gr.skip(),
        groups_table(known, measure) if drawing else gr.skip(),
        saved,
        gr.update(visible=not running),
        gr.update(visible=running),
        gr.skip() if running else known,
    )


def _csv(known: Counted) -> str:
    path = export_folder() / "tokens.csv"
    path.write_text(as_csv(known), encoding="utf-8", newline="")
    return str(path)
