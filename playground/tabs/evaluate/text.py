"""Text: the loss of every token of one text, shown on the text itself, and the figures that follow from it.

A language model reads the header's text, or another one; of a translator it is a translation that is read, given the
header's text as its source.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import ConfigError, RunError, TextError, UserError
from core.evaluate.token_losses import TokenLosses, token_losses
from core.evaluate.windows import resolved, tokens_read
from core.files import write_text
from core.run import Run
from playground.export_files import export_folder
from playground.header import NO_MODEL
from playground.memory import Memory
from playground.models import get_run, run_stamp
from playground.parts import QUIET
from playground.readings import Work as Read
from playground.readings import owner, reading_of
from playground.running import Asked, Running
from playground.site import Site, here
from playground.tabs.decoding.work import Work, stamp
from playground.tabs.evaluate.watched import Tell, Watched
from playground.views.degeneration import progress_html
from playground.views.notice import notice
from playground.views.token_losses import SHOWN, losses_facts, token_losses_html

LONGEST = 200_000  # characters
MOST_READ, MOST_READ_BY_STRANGERS = 4_000_000, 100_000  # tokens that go through the model
QUICK = 20_000  # tokens that are read without being asked for
OPEN_EXPERIMENT = "() => { window.openPlace('Decoding', 'Degeneration'); }"

_running = Running()
_losses: Memory[TokenLosses] = Memory(maximum=48, max_size=3_000_000, size=len, each=2)


@dataclass
class TextPart:
    text: gr.Textbox
    context: gr.Number
    stride: gr.Number
    run: gr.Button
    stop: gr.Button
    experiment: gr.Button
    page: gr.Number
    save: gr.Button
    message: gr.HTML
    facts: gr.HTML
    shaded: gr.HTML
    files: gr.File
    about: gr.State  # the work that the text is of

    @property
    def results(self) -> list[Any]:
        return [self.message, self.facts, self.shaded, self.page]

    @property
    def views(self) -> list[Any]:
        return [self.about, self.text, self.context, self.stride, self.experiment, *self.results]

    @property
    def inputs(self) -> list[Any]:
        return [self.about, self.text, self.context, self.stride]

    @property
    def shared(self) -> dict[str, Any]:
        return {"stride": self.stride}


def build(site: Site, work: Work) -> TextPart:
    most = min(LONGEST, site.characters)
    text = gr.Textbox("", label="Text", lines=3, max_lines=12, max_length=most, elem_id="losses-text-field")
    with gr.Row(elem_classes="toolbar"):
        context = gr.Number(0, label="Context", info="Tokens; 0: all", precision=0, minimum=0, min_width=120,
                            elem_id="losses-context")  # fmt: skip
        stride = gr.Number(0, label="Stride", info="0: as the context; 1: the most exact", precision=0, minimum=0,
                           maximum=10**6, min_width=150, elem_id="losses-stride")  # fmt: skip
        run = gr.Button("Measure", variant="primary", min_width=110, scale=0, elem_id="losses-run")
        stop = gr.Button("Stop", variant="stop", visible=False, min_width=90, scale=0, elem_id="losses-stop")
        page = gr.Number(1, label="Page", precision=0, minimum=1, min_width=80, visible=False, elem_id="losses-page")
        save = gr.Button("JSON", size="sm", min_width=80, scale=0, visible=not site.is_hosted, elem_id="losses-save")
        experiment = gr.Button("What it writes: degeneration measures …", size="sm", min_width=260, scale=0,
                               elem_id="losses-experiment")  # fmt: skip
    message = gr.HTML("", js_on_load=None, elem_id="losses-message")
    facts = gr.HTML("", js_on_load=None, padding=False, elem_id="losses-facts")
    shaded = gr.HTML("", js_on_load=None, padding=False, elem_id="losses-shaded")
    files = gr.File(label="Every token", interactive=False, visible=False, elem_id="losses-files")
    return TextPart(
        text, context, stride, run, stop, experiment, page, save, message, facts, shaded, files, gr.State(None)
    )


def wire(part: TextPart, work: gr.State) -> None:
    given = [work, part.text, part.context, part.stride]
    gr.on(
        [part.run.click, part.context.submit, part.stride.submit], measure_text, given,
        [*part.results, part.run, part.stop], concurrency_limit=2, **QUIET,
    )  # fmt: skip
    part.stop.click(stop_measuring_text, None, None, queue=False, show_progress="hidden", api_visibility="private")
    gr.on([part.page.submit, part.page.blur], show_page, [*given, part.page], part.shaded, **QUIET)
    part.experiment.click(None, None, None, js=OPEN_EXPERIMENT, api_visibility="private")
    if part.save.visible:
        part.save.click(save_tokens, given, [part.message, part.files], **QUIET | {"trigger_mode": "once"})


def show(work: Work, about: Any, text: Any, context: Any, stride: Any) -> list[Any]:
    """Values for `views`: the header's text, measured if that is quick."""
    now = (tuple(work), stamp(work))
    if about == now:
        return [gr.skip()] * 9
    try:
        run = _run(work)
        shown = _first_text(run, work)
    except UserError as error:
        return [now, *[gr.skip()] * 4, notice(str(error)), "", "", gr.Number(visible=False)]
    translates = run.is_translation
    label = "A translation of the header’s text; its own, or type another" if translates else "Text"
    fields = [
        gr.Textbox(shown, label=label), gr.Number(visible=not translates), gr.Number(visible=not translates),
        gr.Button(visible=not translates),
    ]  # fmt: skip
    try:
        context, stride = _windows(run, context, stride)
    except UserError:  # those of another model
        context = stride = 0
        fields[1:3] = [gr.Number(0, visible=not translates)] * 2
    try:
        if _tokens_read(run, shown, context, stride) > QUICK:
            return [
                now,
                *fields,
                notice("This takes a while: press Measure.", "info"),
                "",
                "",
                gr.Number(visible=False),
            ]
        return [now, *fields, *_shown(_known(run, work, shown, context, stride))]
    except UserError as error:
        return [now, *fields, notice(str(error), "info"), "", "", gr.Number(visible=False)]


def stop_measuring_text(request: gr.Request) -> None:
    _running.stop(request)


def measure_text(request: gr.Request, work: Work, text: Any, context: Any, stride: Any) -> Iterator[tuple[Any, ...]]:
    """The losses of the text: `results`, and the buttons."""
    busy, ready = (
        (gr.Button(visible=False), gr.Button(visible=True)),
        (gr.Button(visible=True), gr.Button(visible=False)),
    )
    try:
        run = _run(work)
        text = _text(text)
        context, stride = _windows(run, context, stride)
        _tokens_read(run, text, context, stride)
        key = _key(run, work, text, context, stride)
        found = _losses.known(key, owner())
        if found is None:
            source = work.text if run.is_translation else ""

            def read(tell: Tell) -> TokenLosses:
                return token_losses(run, text, source, context, stride, tell)

            with _running.as_job(Asked(), request) as job, Watched(read) as watched:
                yield progress_html("Reading the text …", 0), *[gr.skip()] * 3, *busy
                for share in watched:
                    if job.stopped:
                        break
                    yield progress_html(f"Reading the text: {share:.0%}.", share), *[gr.skip()] * 3, *busy
                if job.stopped:
                    yield notice("Stopped by you.", "info"), *[gr.skip()] * 3, *ready
                    return
                done = watched.value
            found = _losses.get(key, lambda: done, owner())
        yield *_shown(found), *ready
    except UserError as error:
        yield notice(str(error)), "", "", gr.Number(visible=False), *ready


def show_page(work: Work, text: Any, context: Any, stride: Any, page: Any) -> Any:
    """Another part of a long text."""
    try:
        run = _run(work)
        found = _losses.known(_key(run, work, _text(text), *_windows(run, context, stride)), owner())
    except UserError:
        return gr.skip()
    if found is None or isinstance(page, bool) or not isinstance(page, (int, float)) or page != page:
        return gr.skip()
    at = int(min(max(page, 1), _pages(found)))
    return token_losses_html(found, (at - 1) * SHOWN)


def save_tokens(work: Work, text: Any, context: Any, stride: Any) -> tuple[Any, Any]:
    """Every token with its loss, as a file."""
    try:
        run = _run(work)
        text, (context, stride) = _text(text), _windows(run, context, stride)
        _tokens_read(run, text, context, stride)
        found = _known(run, work, text, context, stride)
        path = export_folder() / "token-losses.json"
        values = {"run": run.name, "source": found.source, "text": found.text, "context": found.context,
                  "stride": found.stride, "figures": found.figures, "tokens": found.rows()}  # fmt: skip
        write_text(path, json.dumps(values, ensure_ascii=False, indent=1) + "\n")
        return gr.skip(), gr.File(visible=True, value=str(path))
    except UserError as error:
        return notice(str(error)), gr.skip()
    except OSError as error:
        return notice(f"The file cannot be written ({error.strerror})."), gr.skip()


# --------------------------------------------------------------------------------------------------- what is measured


def _known(run: Run, work: Work, text: str, context: int, stride: int) -> TokenLosses:
    source = work.text if run.is_translation else ""
    return _losses.get(
        _key(run, work, text, context, stride), lambda: token_losses(run, text, source, context, stride), owner()
    )


def _key(run: Run, work: Work, text: str, context: int, stride: int) -> Any:
    return run_stamp(run), work.text if run.is_translation else "", text, context, stride


def _shown(found: TokenLosses) -> list[Any]:
    """Values for `results`."""
    pages = _pages(found)
    page = gr.Number(1, maximum=pages, label=f"Page (of {pages:,})", visible=pages > 1)
    return ["", losses_facts(found.figures), token_losses_html(found), page]


def _pages(found: TokenLosses) -> int:
    return max(1, -(-len(found) // SHOWN))


def _first_text(run: Run, work: Work) -> str:
    """The header's text; of a translator its own translation of that."""
    return reading_of(Read(work.model, work.text)).target if run.is_translation else work.text


def _run(work: Work) -> Run:
    if not work.model:
        raise RunError(NO_MODEL)
    return get_run(work.model)


def _text(text: Any) -> str:
    most = min(LONGEST, here().characters)
    if not isinstance(text, str) or not text.strip():
        raise TextError("There is no text: type one.")
    if len(text) > most:
        raise TextError(
            f"The text has {len(text):,} characters; the page takes up to {most:,}: use `llm-scratch eval`."
        )
    return text


def _windows(run: Run, context: Any, stride: Any) -> tuple[int, int]:
    """Context and stride, 0 for a translator. ConfigError for what cannot be, or takes too long here."""
    if run.is_translation:
        return 0, 0
    values = []
    for name, value in (("context", context), ("stride", stride)):
        value = 0 if value is None else value
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not 0 <= value <= 10**9
            or int(value) != value
        ):
            raise ConfigError(f"The {name} must be a whole number of tokens.")
        values.append(int(value))
    longest = run.config.model.max_seq_len
    resolved(values[0], values[1], longest)
    return values[0], values[1]


def _tokens_read(run: Run, text: str, context: int, stride: int) -> int:
    """Tokens that go through the model. ConfigError where they are so many that it would take too long here."""
    if run.is_translation:
        return 0
    most = MOST_READ_BY_STRANGERS if here().is_hosted else MOST_READ
    context, stride = resolved(context, stride, run.config.model.max_seq_len)
    read = tokens_read(len(run.tokenizer.encode(text).ids), context, stride)
    if read > most:
        raise ConfigError(
            f"With a stride of {stride:,} the model would read {read:,} tokens; the page lets it read {most:,}: "
            "choose a larger stride, or a shorter text."
        )
    return read
