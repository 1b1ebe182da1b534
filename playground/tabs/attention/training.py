"""Through training: what heads look at in the text at each of a run's snapshots, beside its loss and their scores."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from core.analysis.alignment import can_align
from core.analysis.snapshots import MOST, Snapshot, StepScores, own_target, snapshots, spread, step_scores
from core.errors import RunError, UserError
from core.run import Run, list_runs
from playground import models
from playground.figure_html import figure_html
from playground.figures import read_figures
from playground.memory import Memory
from playground.parts import CHANGING, QUIET
from playground.readings import NO_MODEL, Work
from playground.running import Asked, Running
from playground.site import Site
from playground.tabs.attention.alignment import sentences
from playground.views.attention import Place
from playground.views.notice import notice
from playground.views.through_training import attention_spec, best_head, curves_spec, grid_spec, known_scores

ALIGNED = 24  # sentences that alignment errors are counted on, at each snapshot
QUICK = 30_000_000  # weights of all snapshots together, up to which they are looked at without being asked
AUTOMATIC = ""
NO_SNAPSHOTS = (
    "No run here has kept snapshots. Train one with train.snapshots=10, say, and watch its heads form while it trains."
)

_running = Running()
_steps: Memory[StepScores] = Memory(maximum=2_000, max_size=256 * 2**20, size=lambda step: step.nbytes)


class Watch(NamedTuple):
    """What is watched: a run's snapshots on a text. target: None of a language model."""

    run: Run
    found: list[Snapshot]
    text: str
    kind: str
    target: str | None

    def key(self, snapshot: Snapshot) -> Hashable:
        stat = snapshot.path.stat()
        return str(snapshot.path.resolve()), stat.st_mtime_ns, stat.st_size, self.text, self.kind, self.target

    def known(self) -> list[StepScores]:
        """What has been looked at already, by step."""
        return [step for snapshot in self.found if (step := _steps.known(self.key(snapshot))) is not None]

    def look(self, snapshot: Snapshot) -> StepScores:
        examples = sentences()[:ALIGNED] if can_align(self.run) else []

        def compute() -> StepScores:
            return step_scores(self.run, snapshot.step, self.text, self.kind, self.target, examples)

        return _steps.get(self.key(snapshot), compute)

    @property
    def about(self) -> Hashable:
        return self.run.name, self.text, self.kind, self.target

    @property
    def is_quick(self) -> bool:
        weights = sum(snapshot.path.stat().st_size for snapshot in self.found) // 2  # float16
        return weights <= QUICK


@dataclass
class TrainingPart:
    run: gr.Dropdown
    score: gr.Dropdown
    watch: gr.Button
    stop: gr.Button
    message: gr.HTML
    curves: gr.HTML
    grid: gr.HTML
    map: gr.HTML
    chosen: gr.State  # (run, kind, layer, head) of a head that was chosen here

    @property
    def views(self) -> list[Any]:
        return [self.message, self.run, self.score, self.curves, self.grid, self.map]

    @property
    def inputs(self) -> list[Any]:
        return [self.run, self.score, self.chosen]

    @property
    def shared(self) -> dict[str, Any]:
        return {"watched": self.run}


def build(site: Site, work: Work) -> TrainingPart:
    with gr.Row(elem_classes="toolbar"):
        run = gr.Dropdown(
            [("as the model above", AUTOMATIC)], value=AUTOMATIC, label="Run, of those with snapshots",
            elem_id="through-run", **CHANGING,
        )  # fmt: skip
        score = gr.Dropdown([("best known", "")], value="", label="Score of heads", elem_id="through-score", **CHANGING)
        watch = gr.Button("Look at the snapshots", variant="primary", scale=0, min_width=200, elem_id="through-watch")
        stop = gr.Button("Stop", visible=False, scale=0, min_width=90, elem_id="through-stop")
    message = gr.HTML("", js_on_load=None, elem_id="through-message")
    curves = figure_html("", "through-curves")
    with gr.Row(elem_classes="attention-row"):
        with gr.Column(scale=4, min_width=300):
            grid = figure_html("", "through-grid")
        with gr.Column(scale=7, min_width=320):
            large = figure_html("", "through-map")
    return TrainingPart(run, score, watch, stop, message, curves, grid, large, gr.State(None))


def wire(part: TrainingPart, work: gr.State) -> None:
    gr.on([part.run.input, part.score.input], show, [work, *part.inputs], part.views, **QUIET)
    part.grid.select(choose_head, [work, *part.inputs], [part.chosen, *part.views], **QUIET)
    part.watch.click(
        look_at_all, [work, *part.inputs], [part.watch, part.stop, *part.views], api_visibility="private",
        show_progress="hidden",
    )  # fmt: skip
    part.stop.click(stop_looking, None, None, **QUIET)


def show(work: Work, name: Any, score: Any, chosen: Any) -> tuple[Any, ...]:
    """Values of `views`: all snapshots if they are known or quickly looked at, else how to."""
    try:
        watch = _watch(work, name)
        _running.leave(watch.about)
        steps = [watch.look(snapshot) for snapshot in watch.found] if watch.is_quick else watch.known()
        return _shown(work, watch, name, score, chosen, steps)
    except UserError as error:
        return notice(str(error), "info"), _runs(work, name), gr.skip(), "", "", ""


def choose_head(work: Work, name: Any, score: Any, chosen: Any, event: gr.EventData) -> tuple[Any, ...]:
    """A head was chosen among the small pictures."""
    data = event._data if isinstance(event._data, dict) else {}
    layer, head = data.get("layer"), data.get("head")
    try:
        watch = _watch(work, name)
        steps = watch.known()
        if not (_is_place(layer) and _is_place(head) and steps):
            return (gr.skip(),) * 7
        now = (watch.run.name, watch.kind, layer, head)
        return now, *_shown(work, watch, name, score, now, steps)
    except UserError:
        return (gr.skip(),) * 7


def look_at_all(work: Work, name: Any, score: Any, chosen: Any, request: gr.Request) -> Iterator[tuple[Any, ...]]:
    """Snapshot by snapshot, telling how far it is; what was looked at until somebody stopped it is shown."""
    idle = [gr.update(visible=True), gr.update(visible=False)]
    try:
        watch = _watch(work, name)
        steps = []
        with _running.as_job(Asked(watch.about), request) as job:
            for place, snapshot in enumerate(watch.found):
                if job.left:
                    yield *idle, *[gr.skip()] * 6
                    return
                if job.stopped:
                    break
                told = notice(f"Snapshot {place + 1} of {len(watch.found)}: step {snapshot.step:,}", "busy")
                yield gr.update(visible=False), gr.update(visible=True), told, *[gr.skip()] * 5
                steps.append(watch.look(snapshot))
        yield *idle, *_shown(work, watch, name, score, chosen, steps)
    except UserError as error:
        yield *idle, notice(str(error)), *[gr.skip()] * 5


def stop_looking(request: gr.Request) -> None:
    _running.stop(request)


def _shown(work: Work, watch: Watch, name: Any, score: Any, chosen: Any, steps: list[StepScores]) -> tuple[Any, ...]:
    run = watch.run
    if not steps:
        told = (
            f"The run {run.name} has {len(watch.found)} snapshots. Press “Look at the snapshots” to see its heads form."
        )
        return notice(told, "info"), _runs(work, name), gr.skip(), "", "", ""
    scores = known_scores(steps[-1], watch.kind)
    score = score if isinstance(score, str) and score in scores else next(iter(scores))
    layer, head = _head(work, watch, chosen, steps, score)
    config = run.config.model
    layers, heads = steps[0].maps.shape[:2]
    shared = None
    if watch.kind == "self" and config.n_kv_heads != config.n_heads:
        shared = head // (config.n_heads // config.n_kv_heads), config.n_kv_heads
    place = Place(watch.kind, layer, head, layers, heads, shared, run.is_translation)
    figures = read_figures(run.directory)
    told = "" if len(steps) == len(watch.found) else f"{len(steps)} of {len(watch.found)} snapshots were looked at."
    if watch.text != work.text:
        told = f"{told} On “{watch.text[:200]}”, since the text above is for another kind of model.".strip()
    told = " ".join([told, *steps[-1].notes]).strip()
    return (
        notice(told, "info"),
        _runs(work, name),
        gr.Dropdown(choices=[(known.title, key) for key, known in scores.items()], value=score),
        curves_spec(figures, steps, score, scores[score], layer, head, f"{run.name} through its training"),
        grid_spec(steps, watch.kind, scores, layer, head),
        attention_spec(steps, place),
    )


def _watch(work: Work, name: Any) -> Watch:
    """The run that is asked for, on the header's text if it is one for such a run. UserError if there is none."""
    if not work.model:
        raise UserError(NO_MODEL)
    watchable = _watchable()
    if not watchable:
        raise RunError(NO_SNAPSHOTS)
    above = models.get_run(work.model)
    name = name if name in watchable else _like(above, watchable)
    run = above if name == work.model else models.get_run(name)
    same = run.is_translation == above.is_translation
    text = work.text if same else models.default_text(run)
    kinds = ("cross", "encoder", "self") if run.is_translation else ("self",)
    kind = work.kind if same and work.kind in kinds else kinds[0]
    target = None
    if run.is_translation:
        target = work.target if same and work.target is not None else own_target(run, text)
    return Watch(run, spread(snapshots(run.directory), MOST), text, kind, target)


def _watchable() -> list[str]:
    """Runs that kept snapshots, by name."""
    return [info.name for info in list_runs() if not info.error and snapshots(info.directory)]


def _like(run: Run, watchable: list[str]) -> str:
    """The run itself, or else one that does the same, or else any."""
    if run.name in watchable:
        return run.name
    same = [info.name for info in list_runs() if (info.family == "transformer") == run.is_translation]
    return next((name for name in watchable if name in same), watchable[0])


def _runs(work: Work, name: Any) -> Any:
    """The field of runs: what can be chosen now."""
    watchable = _watchable()
    choices = [("as the model above", AUTOMATIC), *((other, other) for other in watchable)]
    return gr.Dropdown(choices=choices, value=name if name in watchable else AUTOMATIC)


def _head(work: Work, watch: Watch, chosen: Any, steps: list[StepScores], score: str) -> tuple[int, int]:
    """What was chosen here; else the head that the tab looks at, if it is of this run; else the most telling one."""
    layers, heads = steps[0].maps.shape[:2]
    if isinstance(chosen, (list, tuple)) and tuple(chosen[:2]) == (watch.run.name, watch.kind):
        layer, head = chosen[2:] if len(chosen) == 4 else (-1, -1)
        if _is_place(layer) and _is_place(head):
            return min(layer, layers - 1), min(head, heads - 1)
    if work.model == watch.run.name and work.kind == watch.kind and work.layer >= 0 and work.head >= 0:
        return min(work.layer, layers - 1), min(work.head, heads - 1)
    return best_head(steps, score)


def _is_place(number: Any) -> bool:
    return type(number) is int and number >= 0
