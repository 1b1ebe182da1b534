"""Word2Vec: word vectors of one's own, trained here on the text, a file or built-in data, and kept beside the runs."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr

from core.analysis.own_vectors import (
    about_vectors,
    check_vectors_free,
    delete_vectors,
    own_vectors,
    save_vectors,
    unused_vectors_name,
)
from core.analysis.word2vec import Progress, Settings, train
from core.analysis.words import read_texts, sentences_of
from core.errors import ConfigError, DataError, RunError, UserError
from core.tokenizer import Tokenizer
from playground import models
from playground.figure_html import figure_html
from playground.parts import CHANGING
from playground.running import Running
from playground.site import Site, here
from playground.vectors import NOT_HERE, Work
from playground.views.embeddings import loss_spec, own_table
from playground.views.notice import notice

LIMIT = 900.0  # seconds of a training
EVERY = 0.5  # seconds between two pictures
SUFFIXES = (".txt", ".md")
SOURCES = [("Text above", "text"), ("File", "file"), ("Built in", "builtin")]
BUILTIN = [("English sentences", "builtin:enja"), ("Python's language reference", "builtin:pydocs")]
UNITS = [("Words", "words"), ("Tokens of the model", "tokens")]
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
Change = tuple[str, float]  # the name of own word vectors ("": some were deleted), and when


class Job:
    """A training at work, for `Running`."""

    def __init__(self) -> None:
        self.stopped = Event()

    def stop(self) -> None:
        self.stopped.set()


_running = Running()


@dataclass
class Word2VecPart:
    source: gr.Radio
    file: gr.File
    builtin: gr.Dropdown
    units: gr.Radio
    size: gr.Number
    window: gr.Number
    negative: gr.Number
    epochs: gr.Number
    min_count: gr.Number
    name: gr.Textbox
    start: gr.Button
    stop: gr.Button
    message: gr.HTML
    loss: gr.HTML
    table: gr.HTML
    which: gr.Dropdown
    delete: gr.Button
    ask: gr.Row
    question: gr.HTML
    sure: gr.Button
    spare: gr.Button
    asked: gr.State  # the name that the question is about
    changed: gr.State  # `Change`, for the tab's picker
    is_here: bool  # whether vectors are trained and kept here

    @property
    def views(self) -> list[Any]:
        return [self.table, self.which]

    @property
    def inputs(self) -> list[Any]:
        return []

    @property
    def form(self) -> list[Any]:
        return [
            self.source, self.file, self.builtin, self.units, self.size, self.window, self.negative, self.epochs,
            self.min_count, self.name,
        ]  # fmt: skip


def build(site: Site, work: Work) -> Word2VecPart:
    here_too = not site.is_hosted
    if not here_too:
        gr.HTML(notice(NOT_HERE, "info"), js_on_load=None)
    with gr.Row(equal_height=False, visible=here_too, elem_classes="embedding-row"):
        with gr.Column(scale=2, min_width=300, elem_classes="training-form"):
            source = gr.Radio(
                SOURCES, value="builtin", label="Learn from", elem_classes="segmented", elem_id="vectors-source"
            )
            file = gr.File(
                label="Text file", type="filepath", visible=False, height=120, file_types=list(SUFFIXES),
                elem_id="vectors-file",
            )  # fmt: skip
            builtin = gr.Dropdown(BUILTIN, value="builtin:enja", label="Data set", elem_id="vectors-builtin")
            units = gr.Radio(
                UNITS, value="words", label="Vectors for", elem_classes="segmented", elem_id="vectors-units"
            )
            with gr.Row():
                size = _number(Settings.size, "Size of a vector", "vectors-size")
                window = _number(Settings.window, "Window (words each side)", "vectors-window")
            with gr.Row():
                negative = _number(Settings.negative, "Noise words a pair", "vectors-negative")
                epochs = _number(Settings.epochs, "Times through the text", "vectors-epochs")
            with gr.Row():
                min_count = _number(Settings.min_count, "Least count of a word", "vectors-count")
                name = gr.Textbox(
                    unused_vectors_name("my-vectors") if here_too else "", label="Name", max_length=64, min_width=120,
                    elem_id="vectors-name",
                )  # fmt: skip
            with gr.Row(elem_classes="train-buttons"):
                start = gr.Button("Train", variant="primary", min_width=130, elem_id="vectors-start")
                stop = gr.Button("Stop", visible=False, min_width=90, elem_id="vectors-stop")
        with gr.Column(scale=5, min_width=320):
            message = gr.HTML("", elem_id="vectors-message", js_on_load=None)
            loss = figure_html("", "vectors-loss")
            gr.HTML('<h3 class="small-title">Your word vectors</h3>', js_on_load=None)
            table = gr.HTML("", elem_id="own-vectors", js_on_load=None)
            with gr.Row(equal_height=False, elem_classes="train-buttons"):
                which = gr.Dropdown(
                    [], value=None, label="Word vectors", elem_id="vectors-which", min_width=220, **CHANGING
                )
                delete = gr.Button("Delete …", variant="stop", size="sm", min_width=100, elem_id="vectors-delete")
            with gr.Row(visible=False, elem_id="vectors-ask", elem_classes="train-buttons") as ask:
                question = gr.HTML("", padding=False, js_on_load=None)
                sure = gr.Button("Delete them for good", variant="stop", size="sm", min_width=140)
                spare = gr.Button("Keep them", size="sm", min_width=90)
    return Word2VecPart(
        source, file, builtin, units, size, window, negative, epochs, min_count, name, start, stop, message, loss,
        table, which, delete, ask, question, sure, spare, gr.State(""), gr.State(("", 0.0)), here_too,
    )  # fmt: skip


def _number(value: int, label: str, elem_id: str) -> gr.Number:
    return gr.Number(value, label=label, precision=0, min_width=120, elem_id=elem_id)


def wire(part: Word2VecPart, work: gr.State) -> None:
    """Nothing on a hosted page, where nothing is trained."""
    if not part.is_here:
        return
    part.source.input(choose_source, part.source, [part.file, part.builtin], **QUIET)
    part.start.click(
        start_vectors, [work, *part.form],
        [part.message, part.loss, part.start, part.stop, part.changed, part.name],
        trigger_mode="multiple", **QUIET,
    )  # fmt: skip
    part.stop.click(stop_vectors, None, None, **QUIET)
    part.delete.click(ask_about_vectors, part.which, [part.message, part.ask, part.question, part.asked], **QUIET)
    part.spare.click(keep_vectors, None, [part.ask, part.asked], **QUIET)
    part.sure.click(delete_own_vectors, [part.which, part.asked], [part.message, part.ask, part.asked, part.changed],
                    **QUIET)  # fmt: skip
    part.changed.change(list_vectors, part.changed, part.views, **QUIET)


def show(work: Work) -> tuple[str, Any]:
    """Values for `Word2VecPart.views`: what there is by now."""
    return list_vectors(None)


def choose_source(source: str) -> tuple[Any, Any]:
    return gr.update(visible=source == "file"), gr.update(visible=source == "builtin")


def list_vectors(changed: Change | None) -> tuple[str, Any]:
    """The table and the picker; what was made last is chosen in it."""
    abouts = [] if here().is_hosted else own_vectors()
    names = [about.name for about in abouts]
    made = changed[0] if changed else ""
    return own_table(abouts), gr.update(choices=names, value=made if made in names else next(iter(names), None))


def start_vectors(
    work: Work, source: str, file: str | None, builtin: str, units: str, size: float | None, window: float | None,
    negative: float | None, epochs: float | None, min_count: float | None, name: str, request: gr.Request,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """Train, showing the loss. Values for (message, loss, start, stop, changed, name)."""
    busy = (gr.update(visible=False), gr.update(visible=True))
    idle = (gr.update(visible=True), gr.update(visible=False))
    words: list[float] = []
    losses: list[float] = []
    try:
        settings, name = _settings(size, window, negative, epochs, min_count, name)
        yield notice("The text is read …", "busy"), "", *busy, gr.skip(), gr.skip()
        texts, data = _texts(work, source, file, builtin)
        tokenizer = _tokenizer(work, units)
        step: Progress | None = None
        shown = 0.0
        with _running.as_job(Job(), request) as job:
            for step in train(sentences_of(texts, tokenizer), settings):
                words.append(step.words)
                losses.append(step.loss)
                if job.stopped.is_set():
                    said = notice("The training was stopped; nothing was kept.", "info")
                    yield said, loss_spec(words, losses, name), *idle, gr.skip(), gr.skip()
                    return
                if step.seconds > LIMIT:
                    raise DataError(f"The training took longer than {LIMIT / 60:.0f} minutes: give less text.")
                if step.seconds - shown > EVERY:
                    shown = step.seconds
                    said = f"{step.share:.0%} · loss {step.loss:.3f} · {step.words_per_second:,.0f} words/s"
                    yield notice(said, "busy"), loss_spec(words, losses, name), *busy, gr.skip(), gr.skip()
        assert step is not None and step.model is not None
        about = save_vectors(name, step.model, data, step.words, step.seconds, step.loss)
    except UserError as error:
        yield notice(str(error)), gr.skip(), *idle, gr.skip(), gr.skip()
        return
    said = (
        f"{name} has vectors for {about.words:,} words, learned from {data} in {step.seconds:.1f} s "
        f"({step.words_per_second:,.0f} words/s); they are chosen above, and drawn in Map."
    )
    yield notice(said, "info"), loss_spec(words, losses, name), *idle, now(name), unused_vectors_name(name)


def _settings(
    size: float | None, window: float | None, negative: float | None, epochs: float | None, min_count: float | None,
    name: str,
) -> tuple[Settings, str]:  # fmt: skip
    """What the form asks for, checked."""
    if here().is_hosted:
        raise RunError(NOT_HERE)
    name = name.strip()
    if not name:
        raise ConfigError("Give the word vectors a name first.")
    numbers = {"size": size, "window": window, "negative": negative, "epochs": epochs, "min_count": min_count}
    missing = [key for key, value in numbers.items() if value is None]
    if missing:
        raise ConfigError(f"Fill in every number: {missing[0].replace('_', ' ')} is empty.")
    settings = Settings(**{key: int(value) for key, value in numbers.items() if value is not None})  # type: ignore[arg-type]
    return settings, check_vectors_free(name)


def _texts(work: Work, source: str, file: str | None, builtin: str) -> tuple[list[str], str]:
    """What to learn from, and what it is in a few words."""
    if source == "text":
        if not work.text.strip():
            raise DataError("The text is empty: type something, or choose a file or built-in data.")
        return read_texts(text=work.text)
    if source == "file":
        if not file or Path(file).suffix.lower() not in SUFFIXES:
            raise DataError("Upload a text file (.txt or .md) first, or learn from the text above.")
        return read_texts(file=file)
    if builtin not in [value for _, value in BUILTIN]:
        raise DataError("Choose one of the data sets of the list.")
    return read_texts(data=builtin)


def _tokenizer(work: Work, units: str) -> Tokenizer | None:
    if units == "words":
        return None
    if units != "tokens" or not work.model:
        raise ConfigError("Choose a model above, whose tokens are to be learned, or learn words.")
    return models.get_run(work.model).tokenizer


def stop_vectors(request: gr.Request) -> None:
    """Nothing is kept; the training says so itself."""
    _running.stop(request)


def now(name: str) -> Change:
    """A change of one's own word vectors that no other equals."""
    return name, time.time()


def ask_about_vectors(name: str | None) -> tuple[Any, ...]:
    """Values for (message, question's row, question, asked)."""
    try:
        if here().is_hosted:
            raise RunError(NOT_HERE)
        about_vectors(name or "")
    except UserError as error:
        return notice(str(error)), gr.update(visible=False), "", ""
    return "", gr.update(visible=True), notice(f"Delete the word vectors {name} for good?"), name


def keep_vectors() -> tuple[Any, str]:
    return gr.update(visible=False), ""


def delete_own_vectors(name: str | None, asked: str) -> tuple[Any, ...]:
    """Values for (message, question's row, asked, changed)."""
    shut = (gr.update(visible=False), "")
    try:
        if here().is_hosted:
            raise RunError(NOT_HERE)
        if not asked or asked != name:
            raise RunError("Choose the word vectors to delete again.")
        delete_vectors(asked)
    except UserError as error:
        return notice(str(error)), *shut, gr.skip()
    return notice(f"{asked} is deleted.", "info"), *shut, now("")
