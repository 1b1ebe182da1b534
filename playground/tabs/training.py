"""The Training tab: choose what to train, start it as a process of this machine, watch it learn.

The process writes its run directory and this tab only reads it, once a second while the followed run is training.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import UserError
from core.presets import PRESETS, preset
from core.run import RunInfo, list_runs, read_metrics
from playground import models
from playground.jobs import LocalBackend, Progress, unused_name
from playground.training_form import Form, configuration, is_pairs, usual_data
from playground.views.notice import notice
from playground.views.training import curves, log_html, run_label, samples_html, status_html

EVERY = 1.0  # seconds between two looks at the followed run
START = "demo"
SIZES = [("Preset", "preset"), ("Small", "small"), ("Medium", "medium"), ("Large", "large"), ("Own", "own")]
DATA = [("Built in", "builtin"), ("Upload a file", "upload"), ("Hugging Face", "hub")]


@dataclass
class TrainingTab:
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
    name: gr.Textbox
    start: gr.Button
    stop: gr.Button
    message: gr.HTML
    follow: gr.Dropdown
    status: gr.HTML
    plot: gr.Plot
    samples: gr.HTML
    log: gr.HTML
    timer: gr.Timer
    seen: gr.State  # what the page shows of the followed run, so that nothing is drawn twice

    @property
    def form(self) -> list[Any]:
        """The fields in the order of `Form`."""
        return [
            self.preset, self.size, self.d_model, self.n_layers, self.data, self.upload, self.upload_tgt,
            self.hub_name, self.hub_configuration, self.text_column, self.src_column, self.tgt_column, self.steps,
            self.learning_rate, self.seed,
        ]  # fmt: skip

    @property
    def shown(self) -> list[Any]:
        return [self.status, self.plot, self.samples, self.log, self.stop, self.timer, self.seen]

    def on_load(self, demo: gr.Blocks, header: Any) -> None:
        demo.load(
            arrive, [header.model], [self.follow, self.name, *self.shown],
            show_progress="hidden", api_visibility="private",
        )  # fmt: skip


def build(model: str | None = None, text: str = "") -> TrainingTab:
    """The form, and the run that is followed: with the curves of a run that there is already."""
    config = preset(START)
    progress = _progress(first_run(model))
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300, elem_classes="training-form"):
            chosen = gr.Dropdown(list(PRESETS), value=START, label="Preset", elem_id="training-preset")
            about = gr.HTML(about_html(START), padding=False)
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
            size = gr.Radio(SIZES, value="preset", label="Size", elem_id="training-size", elem_classes="segmented")
            with gr.Row():
                d_model = gr.Number(
                    config.model.d_model, label="Width (d_model)", precision=0, visible=False, min_width=110
                )
                n_layers = gr.Number(config.model.n_layers, label="Layers", precision=0, visible=False, min_width=110)
            with gr.Row():
                steps = gr.Number(
                    config.train.max_steps, label="Steps", precision=0, min_width=90, elem_id="training-steps"
                )
                learning_rate = gr.Number(config.optim.learning_rate, label="Learning rate", min_width=90)
                seed = gr.Number(0, label="Seed", precision=0, min_width=90)
            name = gr.Textbox(unused_name(START), label="Name of the run", max_length=64, elem_id="training-name")
            with gr.Row():
                start = gr.Button("Start training", variant="primary", min_width=140, elem_id="training-start")
                stop = gr.Button(
                    "Stop", variant="stop", min_width=90, interactive=_is_active(progress), elem_id="training-stop"
                )
            message = gr.HTML("", padding=False, elem_id="training-message")
        with gr.Column(scale=5, min_width=320):
            follow = gr.Dropdown(
                run_choices(), value=progress.name if progress else None, label="Run", elem_id="training-follow"
            )
            status = gr.HTML(_status(progress), padding=False, elem_id="training-status")
            plot = gr.Plot(_curves(progress), show_label=False, elem_id="training-plot")
            samples = gr.HTML(_samples(progress), padding=False, elem_id="training-samples")
            with gr.Accordion("Log", open=False):
                log = gr.HTML(log_html(progress.log if progress else ""), padding=False)
    timer = gr.Timer(EVERY, active=_is_active(progress))
    seen = gr.State(_signature(progress))
    return TrainingTab(
        chosen, about, size, d_model, n_layers, data, upload, upload_tgt, hub_name, hub_configuration, text_column,
        src_column, tgt_column, steps, learning_rate, seed, name, start, stop, message, follow, status, plot, samples,
        log, timer, seen,
    )  # fmt: skip


def wire(tab: TrainingTab, header: Any) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    columns = [tab.text_column, tab.src_column, tab.tgt_column]
    fields = [tab.upload, tab.upload_tgt, tab.hub_name, tab.hub_configuration, *columns]
    tab.preset.input(
        choose_preset, [tab.preset, tab.size, tab.d_model, tab.n_layers],
        [tab.about, tab.data, tab.steps, tab.learning_rate, tab.name, *fields], **quiet,
    )  # fmt: skip
    tab.data.input(show_fields, [tab.preset, tab.data], fields, **quiet)
    tab.size.input(lambda size: [gr.update(visible=size == "own")] * 2, tab.size, [tab.d_model, tab.n_layers], **quiet)
    gr.on(
        [tab.size.input, tab.d_model.change, tab.n_layers.change],
        about_html, [tab.preset, tab.size, tab.d_model, tab.n_layers], tab.about, trigger_mode="always_last", **quiet,
    )  # fmt: skip
    tab.start.click(
        start_training, [tab.name, *tab.form], [tab.message, tab.follow, tab.name, *tab.shown],
        show_progress_on=tab.message, api_visibility="private",
    )  # fmt: skip
    tab.stop.click(stop_training, tab.follow, tab.message, **quiet)
    tab.follow.focus(lambda: gr.update(choices=run_choices()), None, tab.follow, **quiet)
    tab.follow.change(follow_run, tab.follow, tab.shown, **quiet)
    tab.timer.tick(look, [tab.follow, tab.seen], [*tab.shown, tab.follow, header.model], **quiet)


# --------------------------------------------------------------------------------------------------------- form


def about_html(name: str, size: str = "preset", d_model: float | None = None, n_layers: float | None = None) -> str:
    """The preset's sentence, and how large the model becomes."""
    from html import escape

    try:
        model = configuration(Form(name, size, d_model, n_layers), keep=False).model
    except UserError as error:
        return notice(str(error))
    from dataclasses import replace

    # The vocabulary is known only once the tokenizer is trained: about as many tokens as asked for.
    wanted = preset(name).tokenizer
    vocabulary = 100 if wanted.kind == "char" else wanted.vocab_size
    count = models.num_parameters(replace(model, vocab_size=vocabulary))
    layers = f"{model.n_encoder_layers}+{model.n_layers}" if model.family == "transformer" else f"{model.n_layers}"
    kinds = {"transformer": "Transformer", "gpt": "GPT", "llama": "Llama"}
    return (
        f'<p class="training-about">{escape(PRESETS[name].about)}<br><span>{kinds[model.family]} · {layers} layers · '
        f"{model.n_heads} heads · {model.d_model} wide · about {count / 1e6:.1f} M parameters</span></p>"
    )


def choose_preset(name: str, size: str, d_model: float | None, n_layers: float | None) -> list[Any]:
    config, kind = preset(name), usual_data(name)
    return [
        about_html(name, size, d_model, n_layers),
        kind,
        config.train.max_steps,
        config.optim.learning_rate,
        unused_name(name),
        *show_fields(name, kind),
    ]


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


def start_training(name: str, *values: Any) -> list[Any]:
    """Check the form, start the process, and follow the run."""
    form = Form(*values)
    backend = LocalBackend()
    try:
        backend.check_room()
        config = configuration(form)
        directory = backend.launch(config, (name or "").strip())
    except UserError as error:
        return [notice(str(error)), *[gr.skip()] * 9]
    said = f"{directory.name} is starting. It goes on when this page is closed."
    return [
        notice(said, "info"), gr.update(choices=run_choices(), value=directory.name), unused_name(form.preset),
        *_show(_progress(directory.name)),
    ]  # fmt: skip


def stop_training(name: str | None) -> str:
    try:
        return notice(LocalBackend().stop(name or ""), "info")
    except UserError as error:
        return notice(str(error))


# ---------------------------------------------------------------------------------------------------- following


def run_choices() -> list[tuple[str, str]]:
    """(label, name) of all runs, what trains now first."""
    runs = sorted(LocalBackend().runs(), key=lambda info: not info.status.is_active)
    own = {info.name for info in runs if not info.bundled}
    return [(run_label(info), info.name) for info in runs if not (info.bundled and info.name in own)]


def first_run(model: str | None) -> str | None:
    """The run to show on arrival: one that trains, else the header's, else any whose curves are known."""
    runs = list_runs()
    active = [info.name for info in runs if info.status.is_active]
    if active:
        return active[0]
    known = [info.name for info in runs if _has_metrics(info)]
    return model if model in known else known[0] if known else runs[0].name if runs else None


def _has_metrics(info: RunInfo) -> bool:
    return not info.error and bool(read_metrics(info.directory))


def arrive(model: str | None) -> list[Any]:
    progress = _progress(first_run(model))
    chosen = gr.update(choices=run_choices(), value=progress.name if progress else None)
    return [chosen, unused_name(START), *_show(progress)]


def follow_run(name: str | None) -> list[Any]:
    return _show(_progress(name))


def look(name: str | None, seen: Any) -> list[Any]:
    """A tick: draw what has changed. A run that can be used from now on is offered in the header."""
    progress = _progress(name)
    now = _signature(progress)
    if now == seen:
        return [gr.skip()] * 9
    shown = _show(progress)
    if now is not None and seen and now[:2] == seen[:2] and now[3] == seen[3]:
        shown[1] = gr.skip()  # the curves have not moved
    changed = not seen or now is None or now[:3] != seen[:3]
    return [
        *shown,
        gr.update(choices=run_choices()) if changed else gr.skip(),
        gr.update(choices=models.model_choices()) if changed else gr.skip(),
    ]


def _progress(name: str | None) -> Progress | None:
    """None for a run that is not there any more."""
    try:
        return LocalBackend().progress(name) if name else None
    except UserError:
        return None


def _is_active(progress: Progress | None) -> bool:
    return progress is not None and progress.status.is_active


def _signature(progress: Progress | None) -> tuple | None:
    """Equal as long as there is nothing new to draw."""
    if progress is None:
        return None
    status = progress.status
    return (
        progress.name, status.state, progress.has_model, len(progress.metrics), len(progress.samples), status.step,
        status.message, status.error, len(progress.log), progress.log[-80:],
    )  # fmt: skip


def _show(progress: Progress | None) -> list[Any]:
    """Values for `TrainingTab.shown`."""
    active = _is_active(progress)
    return [
        _status(progress), _curves(progress), _samples(progress), log_html(progress.log if progress else ""),
        gr.update(interactive=active), gr.Timer(active=active), _signature(progress),
    ]  # fmt: skip


def _status(progress: Progress | None) -> str:
    if progress is None:
        return notice("No run is followed: start one, or choose one from the list.", "info")
    return status_html(progress.name, progress.status, progress.metrics)


def _curves(progress: Progress | None) -> Any:
    return curves(progress.name if progress else "", progress.metrics if progress else [], _trained_here(progress))


def _samples(progress: Progress | None) -> str:
    return samples_html(progress.samples if progress else [], _trained_here(progress))


def _trained_here(progress: Progress | None) -> bool:
    """Not what was imported: that has no steps."""
    return progress is None or progress.status.steps > 0 or _is_active(progress)
