"""Train: a tokenizer of one's own, from the typed text, a file or a data set, its merges watched as they form.

The training is a process of its own, which ends with the page. Where the page is served to others nothing is trained;
there the part shows how patterns cut the text, and which merges the text alone would teach.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import UserError
from core.tokenizer.base import clean_text
from core.tokenizer.own import unused_tokenizer_name
from core.tokenizer.split import Splitter
from core.tokenizer.training import SPECIAL_TOKENS
from playground.merges_watched import AT_ONCE, merges_of
from playground.site import Site, here
from playground.tabs.tokenizer import own
from playground.tabs.tokenizer.training_run import (
    HOSTED,
    OWN_PATTERN,
    SHOWN,
    chosen_pattern,
    start_tokenizer,
    stop_tokenizer,
)
from playground.tokenizers import Work
from playground.views.notice import notice
from playground.views.tokenizer_training import cut_html, merges_html, the_text

KINDS = [
    ("Byte-level BPE, by our trainer", "bpe"), ("Byte-level BPE, by the package tokenizers", "bpe-fast"),
    ("WordPiece", "wordpiece"), ("Unigram", "unigram"),
]  # fmt: skip
SOURCES = [("Text above", "text"), ("File", "file"), ("Built in", "builtin"), ("Hub", "hub")]
BUILTIN = [("English and Japanese sentences", "builtin:enja"), ("Python's language reference", "builtin:pydocs")]
CUTS = [("GPT-2", "gpt2"), ("GPT-4", "gpt4"), ("not at all", "none")]


@dataclass
class TrainPart:
    source: gr.Radio
    file: gr.File
    builtin: gr.Dropdown
    hub_name: gr.Textbox
    column: gr.Textbox
    kind: gr.Dropdown
    vocab_size: gr.Number
    pattern: gr.Radio
    own_pattern: gr.Textbox
    special: gr.Textbox
    min_frequency: gr.Number
    name: gr.Textbox
    start: gr.Button
    stop: gr.Button
    cut: gr.HTML
    message: gr.HTML
    how: gr.HTML
    saved: gr.File
    merges: gr.HTML
    watched: gr.State  # whether something was trained on this page, so that its merges stay
    trained: gr.State  # which own tokenizer was made last (own.Change), for the tab's picker
    own: own.OwnPart | None  # only where one's own tokenizers are kept

    @property
    def views(self) -> list[Any]:
        return [self.own_pattern, self.cut, self.merges, *(self.own.views if self.own else [])]

    @property
    def inputs(self) -> list[Any]:
        return [self.pattern, self.own_pattern, self.watched]

    @property
    def shared(self) -> dict[str, Any]:
        return {"pattern": self.pattern} | ({"regex": self.own_pattern} if self.own else {})

    @property
    def form(self) -> list[Any]:
        return [
            self.source, self.file, self.builtin, self.hub_name, self.column, self.kind, self.vocab_size, self.pattern,
            self.own_pattern, self.special, self.min_frequency, self.name,
        ]  # fmt: skip

    @property
    def shown(self) -> list[Any]:
        return [
            self.message, self.merges, self.how, self.saved, self.start, self.stop, self.watched, self.trained,
            self.name,
        ]  # fmt: skip


def build(site: Site, work: Work) -> TrainPart:
    here_too = not site.is_hosted
    cuts = [*CUTS, ("own", OWN_PATTERN)] if here_too else CUTS
    if not here_too:
        gr.HTML(notice(HOSTED, "info"), js_on_load=None)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300, elem_classes="training-form"):
            source = gr.Radio(
                SOURCES, value="text", label="Train on", elem_classes="segmented", elem_id="train-source",
                visible=here_too,
            )  # fmt: skip
            file = gr.File(
                label="Text file, or table with a column of texts", type="filepath", visible=False, height=120,
                file_types=[".txt", ".md", ".csv", ".tsv", ".jsonl", ".json", ".parquet"], elem_id="train-file",
            )  # fmt: skip
            builtin = gr.Dropdown(
                BUILTIN, value="builtin:pydocs", label="Data set", visible=False, elem_id="train-builtin"
            )
            with gr.Row():
                hub_name = gr.Textbox(label="Data set", placeholder="org/name", visible=False, max_length=200)
                column = gr.Textbox("", label="Text column", visible=False, max_length=200, min_width=110)
            kind = gr.Dropdown(KINDS, value="bpe", label="Kind", elem_id="train-kind", visible=here_too)
            pattern = gr.Radio(
                cuts,
                value="gpt2",
                label="Text is cut into words as by",
                elem_classes="segmented",
                elem_id="train-pattern",
            )
            own_pattern = gr.Textbox(
                r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+", label="Regular expression: each match is a chunk",
                visible=False, max_length=1_000, elem_id="train-own-pattern", elem_classes="settles",
            )  # fmt: skip
            with gr.Row(visible=here_too):
                vocab_size = gr.Number(
                    400, label="Vocabulary (tokens)", precision=0, min_width=120, elem_id="train-vocab"
                )
                min_frequency = gr.Number(0, label="Least count of a pair", precision=0, min_width=120)
            special = gr.Textbox(
                " ".join(SPECIAL_TOKENS), label="Special tokens, with spaces between them", max_length=4_000,
                elem_id="train-special", visible=here_too,
            )  # fmt: skip
            name = gr.Textbox(
                unused_tokenizer_name("my-tokenizer") if here_too else "", label="Name", max_length=64,
                elem_id="train-name", visible=here_too,
            )  # fmt: skip
            with gr.Row(elem_classes="train-buttons", visible=here_too):
                start = gr.Button("Train", variant="primary", min_width=130, elem_id="train-start")
                stop = gr.Button("Stop", visible=False, min_width=90, elem_id="train-stop")
        with gr.Column(scale=5, min_width=320):
            cut = gr.HTML(cut_of(work, "gpt2", ""), elem_id="train-cut", js_on_load=None)
            message = gr.HTML("", elem_id="train-message", js_on_load=None)
            how = gr.HTML("", elem_id="train-how", js_on_load=None)
            saved = gr.File(label="tokenizer.json", interactive=False, visible=False, elem_id="train-saved")
            merges = gr.HTML(merges_at_first(work, "gpt2", ""), elem_id="train-merges", js_on_load=None)
    own_part = own.build() if here_too else None
    return TrainPart(
        source, file, builtin, hub_name, column, kind, vocab_size, pattern, own_pattern, special, min_frequency, name,
        start, stop, cut, message, how, saved, merges, gr.State(False), gr.State(("", 0.0)), own_part,
    )  # fmt: skip


def wire(part: TrainPart, work: gr.State) -> None:
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    looks = [work, part.pattern, part.own_pattern, part.watched]
    gr.on(
        [part.pattern.input, *([part.own_pattern.submit, part.own_pattern.blur] if part.own else [])],
        cut_text, looks, [part.own_pattern, part.cut, part.merges], trigger_mode="always_last", **quiet,
    )  # fmt: skip
    if part.own is None:
        return
    part.source.input(choose_source, part.source, [part.file, part.builtin, part.hub_name, part.column], **quiet)
    part.kind.input(
        choose_kind, [part.kind, part.pattern], [part.pattern, part.own_pattern, part.min_frequency], **quiet
    )
    part.start.click(
        start_tokenizer, [work, *part.form], part.shown, concurrency_limit=2, concurrency_id="tokenizers", **quiet
    )
    part.stop.click(stop_tokenizer, None, None, **quiet)
    own.wire(part.own, part.trained)


def show(work: Work, pattern: str, own_pattern: str, watched: bool) -> tuple[Any, ...]:
    """How the text is cut; what it alone would teach, unless something was trained; one's own tokenizers by now."""
    return *cut_text(work, pattern, own_pattern, watched), *([] if here().is_hosted else own.show())


# ------------------------------------------------------------------------------------------------------- in place


def cut_text(work: Work, pattern: str, own_pattern: str, watched: bool) -> tuple[Any, ...]:
    """Another pattern. Values for (own pattern, cut, merges)."""
    shown = gr.update(visible=pattern == OWN_PATTERN and not here().is_hosted)
    merges = gr.skip() if watched else merges_at_first(work, pattern, own_pattern)
    return shown, cut_of(work, pattern, own_pattern), merges


def cut_of(work: Work, pattern: str, own_pattern: str) -> str:
    """The text in the chunks of a pattern. Of one's own it takes some seconds at most."""
    text = clean_text(work.text[:SHOWN])
    try:
        chunks = Splitter(chosen_pattern(pattern, own_pattern))(text)
    except UserError as error:
        return notice(str(error))
    return cut_html(chunks, the_text(len(work.text), SHOWN))


def merges_at_first(work: Work, pattern: str, own_pattern: str) -> str:
    try:
        watched = merges_of(work.text, chosen_pattern(pattern, own_pattern))
    except UserError:
        return ""  # it is said where the text is cut
    watched.total = 0  # there is nothing to wait for
    text = the_text(len(work.text), AT_ONCE[0])
    return merges_html(watched, f"What byte-level BPE learns from {text} alone")


def choose_source(source: str) -> list[Any]:
    """Values for (file, built in, hub's name, column)."""
    shown = [source == "file", source == "builtin", source == "hub", source in ("file", "hub")]
    return [gr.update(visible=visible) for visible in shown]


def choose_kind(kind: str, pattern: str) -> list[Any]:
    """Values for (pattern, own pattern, least count): what this kind takes."""
    cuts = [*CUTS, ("own", OWN_PATTERN)] if kind.startswith("bpe") else CUTS
    pattern = pattern if pattern in dict((value, label) for label, value in cuts) else "gpt2"
    return [
        gr.update(choices=cuts, value=pattern, visible=kind != "wordpiece"),
        gr.update(visible=pattern == OWN_PATTERN and kind.startswith("bpe")),
        gr.update(visible=kind != "unigram"),
    ]
