"""Sentences side by side: sorted by where outputs differ most, filtered, a page at a time; as CSV and JSON; and from a
line to the Attention tab.

Used twice: of one evaluation (Measure), and of several on the same data (Compare).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from core.errors import DataError, UserError
from core.evaluate.scores import LABELS, METRICS, sentence_scores
from core.evaluate.side_by_side import Line, csv_text, json_text, marked, side_by_side
from core.files import write_text
from playground.export_files import export_folder
from playground.header import Header, settle_text
from playground.memory import Memory
from playground.parts import QUIET
from playground.site import Site
from playground.tabs.evaluate.outcomes import Outcome, names_of, outcome
from playground.views.evaluation_lines import lines_html, place_html
from playground.views.notice import notice

PAGE = 50  # sentences that are shown at a time
MOST = 6  # evaluations beside each other
LONGEST_FILTER = 200  # characters
ORDERS = {
    "worst": "the worst first", "best": "the best first", "difference": "where they differ most",
    "input": "as in the data", "length": "the longest first",
}  # fmt: skip
BY = {name: LABELS[name] for name in METRICS if name in ("chrf", "bleu", "chrf++", "ter", "exact")}
# What is clicked in a row: {"line": number, "name": whose output}.
CLICK = """
element.addEventListener('click', (event) => {
  const row = event.target.closest('tr[data-line]');
  if (!row || String(window.getSelection())) return;
  const named = event.target.closest('[data-name]') || row.querySelector('[data-name]');
  trigger('select', {line: Number(row.dataset.line), name: named?.dataset.name || ''});
});
"""
OPEN_ATTENTION = "() => { window.openPlace('Attention'); }"

_scores: Memory[dict[str, list[float]]] = Memory(maximum=24)


@dataclass
class LinesPart:
    """ids: the evaluations, with commas between them; what is shown follows from it and from the fields."""

    ids: gr.Textbox
    box: gr.Column
    order: gr.Dropdown
    metric: gr.Dropdown
    contains: gr.Textbox
    page: gr.Number
    before: gr.Button
    after: gr.Button
    save: gr.Button
    place: gr.HTML
    table: gr.HTML
    files: gr.File

    @property
    def inputs(self) -> list[Any]:
        return [self.ids, self.order, self.metric, self.contains, self.page]

    @property
    def views(self) -> list[Any]:
        return [self.box, self.place, self.table, self.before, self.after]


def build_lines(site: Site, name: str, ids: gr.Textbox, order: str) -> LinesPart:
    """name: of the part, for the components' names. order: the first one."""
    with gr.Column(visible=False, elem_id=f"{name}-lines") as box:
        with gr.Row(elem_classes="toolbar"):
            order_field = gr.Dropdown(
                [(label, key) for key, label in ORDERS.items()], value=order, label="Order", min_width=200,
                elem_id=f"{name}-order", elem_classes="evaluate-order",
            )  # fmt: skip
            metric = gr.Dropdown(
                [(label, key) for key, label in BY.items()], value="chrf", label="By", min_width=120,
                elem_id=f"{name}-by",
            )  # fmt: skip
            contains = gr.Textbox(
                "", label="Only sentences with", placeholder="a word", max_length=LONGEST_FILTER, min_width=180,
                elem_classes="settles", elem_id=f"{name}-contains",
            )  # fmt: skip
            page = gr.Number(1, label="Page", precision=0, minimum=1, min_width=80, elem_id=f"{name}-page")
            before = gr.Button("Previous", size="sm", min_width=90, scale=0, elem_id=f"{name}-before")
            after = gr.Button("Next", size="sm", min_width=80, scale=0, elem_id=f"{name}-after")
            save = gr.Button("CSV and JSON", size="sm", min_width=130, scale=0, elem_id=f"{name}-save",
                             visible=not site.is_hosted)  # fmt: skip
        place = gr.HTML("", js_on_load=None, padding=False, elem_id=f"{name}-place")
        table = gr.HTML("", js_on_load=CLICK, padding=False, elem_id=f"{name}-table")
        files = gr.File(label="All sentences with their scores", file_count="multiple", interactive=False,
                        visible=False, elem_id=f"{name}-files")  # fmt: skip
    return LinesPart(ids, box, order_field, metric, contains, page, before, after, save, place, table, files)


def wire_lines(part: LinesPart, site: Site) -> None:
    gr.on(
        [part.order.input, part.metric.input, part.contains.blur, part.contains.submit], first_page,
        [part.ids, part.order, part.metric, part.contains], [part.page, *part.views], **QUIET,
    )  # fmt: skip
    gr.on([part.page.submit, part.page.blur], show_lines, part.inputs, part.views, **QUIET)
    turned = [part.page, *part.views]
    part.before.click(page_back, part.inputs, turned, **QUIET)
    part.after.click(page_on, part.inputs, turned, **QUIET)
    if not site.is_hosted:
        part.save.click(save_lines, part.ids, [part.place, part.files], **QUIET | {"trigger_mode": "once"})


def wire_looking(part: LinesPart, header: Header) -> None:
    """A click on a line puts its source into the header's text, its output beside it, and opens the Attention tab."""
    part.table.select(
        look_at_line, part.ids, [header.model, header.text, header.message, header.settled, header.target],
        **QUIET | {"trigger_mode": "multiple"},
    ).success(None, None, None, js=OPEN_ATTENTION, api_visibility="private")  # fmt: skip


# ------------------------------------------------------------------------------------------------------- what is shown


def first_page(ids: Any, order: Any, metric: Any, contains: Any) -> list[Any]:
    """The order, the metric or the filter was changed: page 1, and `views`."""
    return [1, *show_lines(ids, order, metric, contains, 1)]


def page_back(ids: Any, order: Any, metric: Any, contains: Any, page: Any) -> list[Any]:
    return _turned(-1, ids, order, metric, contains, page)


def page_on(ids: Any, order: Any, metric: Any, contains: Any, page: Any) -> list[Any]:
    return _turned(1, ids, order, metric, contains, page)


def show_lines(ids: Any, order: Any, metric: Any, contains: Any, page: Any) -> list[Any]:
    """Values for `views`."""
    try:
        found = outcomes_of(ids)
        if not found or not found[0].outputs:
            return [gr.Column(visible=False), "", "", gr.skip(), gr.skip()]
        names = names_of(found)
        lines = lines_of(found, names, order, metric, contains)
    except UserError as error:
        return [gr.Column(visible=True), notice(str(error)), "", gr.skip(), gr.skip()]
    pages = max(1, -(-len(lines) // PAGE))
    at = _page(page, pages)
    shown = lines[(at - 1) * PAGE : at * PAGE]
    language = found[0].evaluation.language
    marks = {
        (line.number, name): marked(line.outputs[name], line.reference, language)
        for line in shown for name in line.outputs
    }  # fmt: skip
    told = place_html((at - 1) * PAGE + 1, (at - 1) * PAGE + len(shown), len(lines), len(found[0].outputs))
    metrics = [name for name in BY if any(name in scores for line in shown for scores in line.scores.values())]
    table = lines_html(shown, marks, names, metrics, ("", language))
    several = pages > 1
    return [
        gr.Column(visible=True), told, table, gr.Button(visible=several, interactive=at > 1),
        gr.Button(visible=several, interactive=at < pages),
    ]  # fmt: skip


def save_lines(ids: Any) -> tuple[Any, Any]:
    """All sentences as two files."""
    try:
        found = outcomes_of(ids)
        if not found:
            raise DataError("There is nothing to save: measure something, or open a kept evaluation.")
        everything = lines_of(found, names_of(found), "input", "chrf", "")
        folder = export_folder()
        for name, text in (("csv", f"\ufeff{csv_text(everything)}"), ("json", json_text(everything))):
            write_text(folder / f"sentences.{name}", text)
        return gr.skip(), gr.File(visible=True, value=[str(folder / f"sentences.{name}") for name in ("csv", "json")])
    except UserError as error:
        return notice(str(error)), gr.skip()
    except OSError as error:
        return notice(f"The files cannot be written ({error.strerror})."), gr.skip()


def look_at_line(ids: Any, event: gr.EventData) -> list[Any]:
    """Model, text, message, settled and target of the header. gr.Error where there is no such line."""
    data = event._data if isinstance(event._data, dict) else {}
    number, name = data.get("line"), data.get("name")
    try:
        found = outcomes_of(ids)
        chosen = dict(zip(names_of(found), found)).get(name if isinstance(name, str) else "", next(iter(found), None))
        output = next((one for one in chosen.outputs if one.number + FIRST == number), None) if chosen else None
        if chosen is None or output is None:
            raise DataError("There is no such sentence any more: measure again.")
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from None
    model = chosen.evaluation.run
    message, settled = settle_text(model, output.source, (model, output.source))
    if message:  # the model is not here any more, or the text is too long for the page
        raise gr.Error("This sentence cannot be shown in the Attention tab: its model is not here any more, or the "
                       "sentence is too long.", print_exception=False)  # fmt: skip
    target = (*settled, output.output, "") if output.output.strip() else None
    return [model, output.source, message, settled, target]


# ----------------------------------------------------------------------------------------------------- what it follows


FIRST = 1  # the number of a line, of the first output


def outcomes_of(ids: Any) -> list[Outcome]:
    """The evaluations that are named. UserError if they do not go together."""
    names = [name for name in ids.split(",") if name] if isinstance(ids, str) else []
    if len(names) > MOST:
        raise DataError(f"{MOST} evaluations are the most that are shown beside each other: take some out.")
    found = [outcome(name) for name in dict.fromkeys(names)]
    if len({(one.evaluation.kind, one.evaluation.data_sha256) for one in found}) > 1:
        raise DataError("These evaluations are not on the same data, so they cannot be compared.")
    return found


def lines_of(found: Sequence[Outcome], names: Sequence[str], order: Any, metric: Any, contains: Any) -> list[Line]:
    """The sentences that all of them have, in the order; whatever the values are."""
    order = order if isinstance(order, str) and order in ORDERS else "worst"
    metric = metric if isinstance(metric, str) and metric in BY else "chrf"
    contains = contains.strip()[:LONGEST_FILTER] if isinstance(contains, str) else ""
    by_number = [{output.number: place for place, output in enumerate(one.outputs)} for one in found]
    numbers = [number for number in by_number[0] if all(number in other for other in by_number)]
    if not numbers:
        return []
    first = [found[0].outputs[by_number[0][number]] for number in numbers]
    outputs, scores = {}, {}
    for name, one, places in zip(names, found, by_number, strict=True):
        outputs[name] = [one.outputs[places[number]].output for number in numbers]
        known = scores_of(one, metric)
        scores[name] = {key: [values[places[number]] for number in numbers] for key, values in known.items()}
    wanted = list(next(iter(scores.values())))
    lines = side_by_side(
        [output.source for output in first], [output.reference for output in first], outputs,
        found[0].evaluation.language, metric, order, contains, wanted, scores,  # type: ignore[arg-type]
    )  # fmt: skip
    return [replace(line, number=numbers[line.number - 1] + FIRST) for line in lines]


def scores_of(one: Outcome, metric: str) -> dict[str, list[float]]:
    """Of each sentence: what was measured of the whole, and the metric; kept."""
    wanted = tuple(name for name in BY if name in one.evaluation.scores or name == metric)
    texts, references = [each.output for each in one.outputs], [each.reference for each in one.outputs]
    return _scores.get((one.stamp, wanted), lambda: sentence_scores(texts, references, one.evaluation.language, wanted))


def _turned(by: int, ids: Any, order: Any, metric: Any, contains: Any, page: Any) -> list[Any]:
    at = max(1, _page(page, 10**6) + by)
    return [at, *show_lines(ids, order, metric, contains, at)]


def _page(page: Any, pages: int) -> int:
    if isinstance(page, bool) or not isinstance(page, (int, float)) or page != page:
        return 1
    return int(min(max(page, 1), pages))
