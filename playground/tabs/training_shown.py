"""What the Training tab shows of the followed run and of those compared with it, and what of it has changed."""

from typing import Any

import gradio as gr
import numpy as np

from core.errors import ConfigError, UserError
from core.files import read_json
from core.run import RunInfo, list_runs, read_config
from core.train.wandb_log import sync_command
from playground import models
from playground.figures import column, read_figures
from playground.jobs import LocalBackend, Progress
from playground.places import backend_of, estimated, look_after
from playground.views.facts import short_count
from playground.views.notice import notice
from playground.views.training import log_html, run_label, samples_html, status_html
from playground.views.training_compare import compare_html
from playground.views.training_curves import Look, curves
from playground.views.training_place import cost_html

MAX_COMPARED = 7  # beside the followed one

# ------------------------------------------------------------------------------------------------------- which runs


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
    return not info.error and len(read_figures(info.directory)["step"]) > 0


def progress_of(name: str | None) -> Progress | None:
    """None for a run that is not there any more."""
    try:
        return LocalBackend().progress(name) if name else None
    except UserError:
        return None


def is_active(progress: Progress | None) -> bool:
    return progress is not None and progress.status.is_active


def others(name: str | None, compare: list[str] | None) -> list[Progress]:
    """The runs beside the followed one."""
    found = [progress_of(other) for other in (compare or [])[:MAX_COMPARED] if other != name]
    return [progress for progress in found if progress is not None]


# ---------------------------------------------------------------------------------------------------------- drawing

SHOWN = ("status", "plot", "table", "samples", "log", "pause", "stop", "rest", "timer", "seen")


def shown(progress: Progress | None, compare: list[str], chart: str, x: str, smoothing: float, log: bool) -> list[Any]:
    """Values for `FollowPart.shown`."""
    beside = others(progress.name if progress else None, compare)
    active, known = is_active(progress), progress is not None and bool(progress.status.steps)
    paused = active and progress is not None and (progress.pausing or progress.status.state == "paused")
    return [
        _status(progress),
        _curves(progress, beside, Look(chart, x, smoothing, log)),
        _table(progress, beside),
        samples_html(progress.samples if progress else [], _trained_here(progress)),
        log_html(progress.log if progress else ""),
        gr.update(visible=active, value="Continue" if paused else "Pause"),
        gr.update(visible=active),
        gr.update(visible=not active and known and progress is not None and progress.resumable),
        gr.Timer(active=active or any(map(is_active, beside))),
        signature(progress, beside),
    ]


def follow_run(
    name: str | None, compare: list[str], chart: str, x: str, smoothing: float, log: bool, seen: Any = None
) -> list[Any]:
    """Values for `FollowPart.shown`, and those to go on with. seen: what the page shows by now."""
    progress = progress_of(name)
    drawn = shown(progress, compare, chart, x, smoothing, log)
    return [*drawn, *rest_unless_same(progress, seen, drawn[-1])]


def rest_unless_same(progress: Progress | None, seen: Any, now: Any) -> list[Any]:
    """`rest_of`, but skips while the followed run is in the state that the page shows: what is typed stays."""
    same = seen and now and seen["runs"][0] == now["runs"][0] and seen["status"][:2] == now["status"][:2]
    return [gr.skip()] * 3 if same else rest_of(progress)


def draw(name: str | None, compare: list[str], chart: str, x: str, smoothing: float, log: bool) -> Any:
    return _curves(progress_of(name), others(name, compare), Look(chart, x, smoothing, log))


def look(
    name: str | None, compare: list[str], chart: str, x: str, smoothing: float, log: bool, held: bool, seen: Any
) -> list[Any]:
    """A tick: values for `shown`, skips for what has not changed. held: leave the plot as it is for now."""
    progress, beside = progress_of(name), others(name, compare)
    if any(is_active(p) and p.status.backend == "modal" for p in (progress, *beside) if p is not None):
        look_after()
    now = signature(progress, beside)
    if held and seen and now:
        now["curves"] = seen["curves"]  # they are drawn once it is let go of
    if now == seen:
        return [gr.skip()] * len(SHOWN)
    values = shown(progress, compare, chart, x, smoothing, log)
    if seen and now and now["curves"] == seen["curves"]:
        for place in (SHOWN.index("plot"), SHOWN.index("table")):
            values[place] = gr.skip()  # the curves have not moved
    values[SHOWN.index("seen")] = now
    if seen and now and now["samples"] == seen["samples"] and now["runs"] == seen["runs"]:
        values[SHOWN.index("samples")] = gr.skip()
    return values


def signature(progress: Progress | None, beside: list[Progress]) -> dict[str, Any] | None:
    """Equal as long as there is nothing new to draw."""
    if progress is None:
        return None
    status = progress.status
    return {
        "runs": [(p.name, p.status.state, p.has_model) for p in (progress, *beside)],
        "scored": [int(np.isfinite(p.figures["val_loss"]).sum()) for p in (progress, *beside)],
        "curves": [(p.name, len(p.figures["step"])) for p in (progress, *beside)],
        "samples": len(progress.samples),
        "status": [
            status.step,
            status.steps,
            status.message,
            status.error,
            status.wandb_url,
            status.seconds,
            round(status.rented_seconds),
        ],
        "files": [progress.snapshots, progress.pausing, progress.resumable, progress.offline_id],
        "log": [len(progress.log), progress.log[-80:]],
    }


def _status(progress: Progress | None) -> str:
    if progress is None:
        return notice("No run is followed: start one, or choose one from the list.", "info")
    sync = sync_command(progress.directory, progress.offline_id) if progress.offline_id else ""
    return status_html(
        progress.name, progress.status, progress.figures, progress.snapshots, sync, progress.pausing
    )  # fmt: skip


def _curves(progress: Progress | None, beside: list[Progress], look: Look) -> Any:
    shown_runs = [(p.name, p.figures) for p in (progress, *beside) if p is not None]
    return curves(shown_runs, look, _trained_here(progress) or bool(beside))


def _table(progress: Progress | None, beside: list[Progress]) -> str:
    runs = [p for p in (progress, *beside) if p is not None]
    if len(runs) < 2:
        return ""
    return compare_html(
        [p.name for p in runs], [_config(p) for p in runs], [p.figures for p in runs],
        [("parameters", [_parameters(p) for p in runs])],
    )  # fmt: skip


def _config(progress: Progress) -> dict[str, Any]:
    try:
        values = read_json(progress.directory / "config.json")
    except UserError:
        return {}
    return values if isinstance(values, dict) else {}


def _parameters(progress: Progress) -> str:
    try:
        model = read_config(progress.directory).model
    except UserError:
        return "–"
    # The size of the vocabulary is known once the tokenizer is.
    return short_count(models.num_parameters(model)) if model.vocab_size else "–"


def _trained_here(progress: Progress | None) -> bool:
    """An imported run and one that was copied without its metrics have no curves to wait for."""
    return progress is None or is_active(progress) or len(column(progress.figures, "step")) > 0


def rest_of(progress: Progress | None) -> list[Any]:
    """(steps in all, learning rate, what going on costs) to go on with, as far as they are known."""
    try:
        if progress is None:
            raise ConfigError("No run is followed.")
        config = read_config(progress.directory)
    except UserError:
        return [None, None, ""]
    steps = config.train.max_steps
    steps = 2 * steps if progress.reached >= steps else steps
    return [steps, config.optim.learning_rate, rest_cost(progress, steps)]


def rest_cost(progress: Progress | None, steps: float | None) -> str:
    """What going on costs, of a run that trained on Modal: there it goes on, on the GPU that it had."""
    if progress is None or progress.status.backend != "modal" or is_active(progress) or not steps:
        return ""
    from remote.client import DATE, SOURCE

    try:
        backend, config = backend_of(progress.name), read_config(progress.directory)
        if steps <= progress.reached:
            return ""
        config = config.with_overrides([f"train.max_steps={int(steps)}"])
        cost = estimated(config, backend.gpu, backend.hours, progress.reached)
        return cost_html(cost, DATE, SOURCE, int(steps), backend.hours, progress.reached, f"On Modal, {backend.gpu}")
    except UserError:
        return ""  # the button says it
