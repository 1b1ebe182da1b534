"""The Training tab's form: what to train, on which data, how; a look at the data first; the start."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from typing import Any

import gradio as gr

from core.config import RunConfig
from core.errors import UserError
from core.presets import PRESETS, preset
from playground import models
from playground.jobs import unused_name
from playground.preview import Asked
from playground.site import OWN, Site
from playground.tabs import training_place
from playground.training_form import (
    MORE,
    NUMBERS,
    Form,
    configuration,
    expected_vocabulary,
    is_pairs,
    more_values,
    tokenizer_choices,
    usual_data,
)
from playground.views.facts import short_count
from playground.views.notice import notice
from playground.views.training_preview import preview_html

START = "demo"
SIZES = [("Preset", "preset"), ("Small", "small"), ("Medium", "medium"), ("Large", "large"), ("Own", "own")]
DATA = [("Built in", "builtin"), ("Upload a file", "upload"), ("Hugging Face", "hub")]
CHOICES: dict[str, list[tuple[str, str]]] = {
    "optimizer": [("AdamW", "adamw"), ("Muon", "muon")],
    "schedule": [
        ("cosine", "cosine"), ("warm-up, stable, decay", "wsd"), ("inverse square root", "inverse_sqrt"),
        ("linear", "linear"), ("constant", "constant"),
    ],
    "precision": [("auto", "auto"), ("float32", "32"), ("bfloat16", "bf16"), ("float16", "16")],
    "wandb": [("off", "disabled"), ("offline", "offline"), ("online", "online"), ("online with a key", "auto")],
}  # fmt: skip
LABELS = {
    "batch_tokens": "Tokens a step", "optimizer": "Optimizer", "schedule": "Schedule", "warmup_steps": "Warm-up steps",
    "dropout": "Dropout", "label_smoothing": "Label smoothing", "ema_decay": "EMA decay (0: off)",
    "val_every": "Validation every (steps)", "patience": "Early stopping (0: never)",
    "score_examples": "BLEU of so many pairs", "snapshots": "Snapshots", "precision": "Precision",
    "compile": "Compile", "gradient_checkpointing": "Gradient checkpointing", "devices": "Devices (0: all GPUs)",
    "wandb": "Weights & Biases",
}  # fmt: skip
INFO = {"wandb": "Online needs WANDB_API_KEY in the environment; without a key the run is logged offline."}


@dataclass
class StartPart:
    preset: gr.Dropdown
    about: gr.HTML
    size: gr.Radio
    d_model: gr.Number
    n_layers: gr.Number
    data: gr.Radio
    upload: gr.File
    upload_tgt: gr.File
    hub_name: gr.Textbox
    hub_configuration: gr.Textbox
    text_column: gr.Textbox
    src_column: gr.Textbox
    tgt_column: gr.Textbox
    steps: gr.Number
    learning_rate: gr.Number
    seed: gr.Number
    tokenizer: gr.Dropdown
    more: list[Any]  # in the order of training_form.MORE
    look: gr.Button
    place: training_place.PlacePart
    name: gr.Textbox
    start: gr.Button
    message: gr.HTML

    @property
    def form(self) -> list[Any]:
        """The fields in the order of `Form`."""
        return [
            self.preset, self.size, self.d_model, self.n_layers, self.data, self.upload, self.upload_tgt,
            self.hub_name, self.hub_configuration, self.text_column, self.src_column, self.tgt_column, self.steps,
            self.learning_rate, self.seed, self.tokenizer, *self.more,
        ]  # fmt: skip


def build(site: Site = OWN) -> StartPart:
    config = preset(START)
    chosen = gr.Dropdown(list(PRESETS), value=START, label="Preset", elem_id="training-preset")
    about = gr.HTML(about_html(START), padding=False, js_on_load=None)
    data = gr.Radio(DATA, value="builtin", label="Data", elem_id="training-data", elem_classes="segmented")
    upload = gr.File(
        label="Text file, or table with columns", type="filepath", visible=False, height=120,
        file_types=[".txt", ".md", ".csv", ".tsv", ".jsonl", ".json", ".parquet"],
    )  # fmt: skip
    upload_tgt = gr.File(
        label="Translations, if they are a text file of their own", type="filepath", visible=False, height=120,
        file_types=[".txt"],
    )  # fmt: skip
    with gr.Row():
        hub_name = gr.Textbox(label="Data set", placeholder="org/name", visible=False, min_width=150)
        hub_configuration = gr.Textbox(label="Configuration", visible=False, min_width=110)
    with gr.Row():
        text_column = gr.Textbox("text", label="Text column", visible=False, min_width=110)
        src_column = gr.Textbox("src", label="Source column", visible=False, min_width=110)
        tgt_column = gr.Textbox("tgt", label="Target column", visible=False, min_width=110)
    look = gr.Button("Look at the data", size="sm", elem_id="training-look")
    size = gr.Radio(SIZES, value="preset", label="Size", elem_id="training-size", elem_classes="segmented")
    with gr.Row():
        d_model = gr.Number(config.model.d_model, label="Width (d_model)", precision=0, visible=False, min_width=110)
        n_layers = gr.Number(config.model.n_layers, label="Layers", precision=0, visible=False, min_width=110)
    with gr.Row():
        steps = gr.Number(config.train.max_steps, label="Steps", precision=0, min_width=90, elem_id="training-steps")
        learning_rate = gr.Number(config.optim.learning_rate, label="Learning rate", min_width=90)
        seed = gr.Number(0, label="Seed", precision=0, min_width=90)
    tokenizer = gr.Dropdown(tokenizer_choices(), value="", label="Tokenizer", elem_id="training-tokenizer")
    with gr.Accordion("More", open=False, elem_id="training-more", elem_classes="training-more"):
        more = [_field(name, value) for name, value in zip(MORE, more_values(START))]
    place = training_place.build(training_place.places(site))
    name_box = gr.Textbox(
        placeholder=unused_name(START), label="Name of the run", max_length=64, elem_id="training-name"
    )
    start = gr.Button("Start training", variant="primary", min_width=140, elem_id="training-start")
    message = gr.HTML("", padding=False, elem_id="training-message", js_on_load=None)
    return StartPart(
        chosen, about, size, d_model, n_layers, data, upload, upload_tgt, hub_name, hub_configuration, text_column,
        src_column, tgt_column, steps, learning_rate, seed, tokenizer, more, look, place, name_box, start, message,
    )  # fmt: skip


def _field(name: str, value: Any) -> Any:
    label, info = LABELS[name], INFO.get(name)
    if name in CHOICES:
        return gr.Dropdown(
            CHOICES[name], value=value, label=label, info=info, min_width=120, elem_id=f"training-{name}"
        )
    if name in NUMBERS:
        whole = isinstance(NUMBERS[name][1], int)
        return gr.Number(
            value, label=label, info=info, precision=0 if whole else None, min_width=120, elem_id=f"training-{name}"
        )
    return gr.Checkbox(value, label=label, info=info, min_width=120, elem_id=f"training-{name}")


def wire(part: StartPart, preview: gr.HTML, close: gr.Button) -> None:
    """Bind what happens within the form; the tab binds the start, which concerns the followed run too."""
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    columns = [part.text_column, part.src_column, part.tgt_column]
    fields = [part.upload, part.upload_tgt, part.hub_name, part.hub_configuration, *columns]
    part.preset.input(
        choose_preset, [part.preset, part.size, part.d_model, part.n_layers, part.tokenizer],
        [part.about, part.data, part.steps, part.learning_rate, part.name, *fields, *part.more], **quiet,
    )  # fmt: skip
    part.data.input(show_fields, [part.preset, part.data], fields, **quiet)
    part.size.input(
        lambda size: [gr.update(visible=size == "own")] * 2, part.size, [part.d_model, part.n_layers], **quiet
    )
    gr.on(
        [part.size.input, part.d_model.change, part.n_layers.change, part.tokenizer.input],
        about_html, [part.preset, part.size, part.d_model, part.n_layers, part.tokenizer], part.about,
        trigger_mode="always_last", **quiet,
    )  # fmt: skip
    training_place.wire(part.place, part.form)
    looking = part.look.click(look_at_data, part.form, [preview, close], concurrency_limit=2, **quiet)
    close.click(lambda: ("", gr.update(visible=False)), None, [preview, close], cancels=[looking], **quiet)


def refreshed_tokenizers() -> Any:
    """An update of the field "Tokenizer": own ones come and go."""
    return gr.update(choices=tokenizer_choices())


def about_html(
    name: str, size: str = "preset", d_model: float | None = None, n_layers: float | None = None, tokenizer: str = ""
) -> str:
    """The preset's sentence, and how large the model becomes."""
    try:
        config = configuration(Form(name, size, d_model, n_layers, tokenizer=tokenizer), keep=False)
    except UserError as error:
        return notice(str(error))
    model = config.model
    count = models.num_parameters(replace(model, vocab_size=expected_vocabulary(config.tokenizer)))
    layers = f"{model.n_encoder_layers}+{model.n_layers}" if model.family == "transformer" else f"{model.n_layers}"
    kinds = {"transformer": "Transformer", "gpt": "GPT", "llama": "Llama"}
    return (
        f'<p class="training-about">{escape(PRESETS[name].about)}<br><span>{kinds[model.family]} · {layers} layers · '
        f"{model.n_heads} heads · {model.d_model} wide · about {short_count(count)} parameters</span></p>"
    )


def choose_preset(
    name: str, size: str, d_model: float | None, n_layers: float | None, tokenizer: str = ""
) -> list[Any]:
    config, kind = preset(name), usual_data(name)
    return [
        about_html(name, size, d_model, n_layers, tokenizer), kind, config.train.max_steps, config.optim.learning_rate,
        name_offered(name), *show_fields(name, kind), *more_values(name),
    ]  # fmt: skip


def name_offered(preset_name: str) -> Any:
    """An update of the field "Name of the run": what a run is called for which none is typed. It is no value, so that
    an answer which comes late never overwrites what somebody types."""
    return gr.update(placeholder=unused_name(preset_name))


def show_fields(preset_name: str, kind: str) -> list[Any]:
    """The fields that this kind of data needs; a hub preset's names are filled in."""
    pairs, data = is_pairs(preset_name), preset(preset_name).data
    hub = {"value": data.name, "configuration": data.configuration} if usual_data(preset_name) == "hub" else None
    columns = kind != "builtin"
    known = kind == "hub" and hub is not None
    return [
        gr.update(visible=kind == "upload"),
        gr.update(visible=kind == "upload" and pairs),
        gr.update(visible=kind == "hub", **({"value": hub["value"]} if hub else {})),
        gr.update(visible=kind == "hub", **({"value": hub["configuration"]} if hub else {})),
        gr.update(visible=columns and not pairs, **({"value": data.text_column} if known else {})),
        gr.update(visible=columns and pairs, **({"value": data.src_column} if known else {})),
        gr.update(visible=columns and pairs, **({"value": data.tgt_column} if known else {})),
    ]


def start_run(
    name: str | None, where: training_place.Where, values: tuple[Any, ...], say: Callable[[str], None]
) -> str:
    """Check the form and start the run, under the name that is offered where none is typed. Returns the name; UserError
    if something is to be mended."""
    config = configuration(Form(*values))
    return training_place.launch(where, config, (name or "").strip() or unused_name(config.preset), say)


@lru_cache(maxsize=32)
def described(*values: Any) -> RunConfig:
    """What the form describes. It is asked for again and again while a sweep is put together: an uploaded file is read
    and kept once."""
    return configuration(Form(*values))


def look_at_data(*values: Any) -> Any:
    """What the chosen data holds; while it is read, how long that has taken. Values for (preview, close)."""
    shown = gr.update(visible=True)
    try:
        asked = Asked(configuration(Form(*values)))
    except UserError as error:
        yield notice(str(error)), shown
        return
    with asked:
        for seconds in asked.wait():
            yield notice(f"The data are read … {seconds:.0f} s", "busy"), shown
        try:
            yield preview_html(asked.result()), shown
        except UserError as error:
            yield notice(str(error)), shown
