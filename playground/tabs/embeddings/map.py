"""Map: tokens placed by their vectors, the nearest ones of a chosen token, and analogies.

Principal components are there at once; t-SNE is computed when it is asked for, and shown as it goes.
"""

import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from core.analysis.embeddings import METHODS, METRICS, Vectors, analogy, choose, find, neighbours
from core.analysis.maps import pca, tsne
from core.errors import ConfigError, TextError, UserError
from playground.figure_html import figure_html
from playground.memory import Memory
from playground.parts import QUIET
from playground.running import Asked, Running
from playground.site import Site, here
from playground.vectors import Work, stamp, text_ids, vectors_of
from playground.views.embeddings import analogy_spec, kind_of, map_spec, neighbours_spec
from playground.views.notice import notice

PCA, TSNE = "pca", "tsne"
POINTS = [100, 300, 1_000, 3_000]
HOSTED_POINTS = 1_000
NEAREST = 12
STEPS = 750  # of a t-SNE
EVERY = 0.7  # seconds between two pictures of a t-SNE
MISSING = "t-SNE of these tokens is not computed yet, so their principal components are shown."


@dataclass
class Placed:
    """Where a t-SNE has put its tokens, and what is to be said of it."""

    points: np.ndarray
    told: str


_running = Running()
_placed: Memory[Placed] = Memory(maximum=64)


@dataclass
class MapPart:
    method: gr.Radio
    dimensions: gr.Radio
    points: gr.Radio
    only_words: gr.Checkbox
    compute: gr.Button
    stop: gr.Button
    message: gr.HTML
    figure: gr.HTML
    token: gr.Textbox
    metric: gr.Radio
    near_message: gr.HTML
    near: gr.HTML
    a: gr.Textbox
    b: gr.Textbox
    c: gr.Textbox
    how: gr.Radio
    analogy_message: gr.HTML
    analogy: gr.HTML

    @property
    def map_views(self) -> list[Any]:
        return [self.compute, self.message, self.figure, self.near_message, self.near]

    @property
    def views(self) -> list[Any]:
        return [*self.map_views, self.analogy_message, self.analogy]

    @property
    def map_inputs(self) -> list[Any]:
        return [self.method, self.dimensions, self.points, self.only_words, self.token, self.metric]

    @property
    def inputs(self) -> list[Any]:
        return [*self.map_inputs, self.a, self.b, self.c, self.how]

    @property
    def shared(self) -> dict[str, Any]:
        return {
            "map": self.method, "axes": self.dimensions, "dots": self.points, "letters": self.only_words,
            "near": self.token, "metric": self.metric, "a": self.a, "b": self.b, "c": self.c, "solve": self.how,
        }  # fmt: skip


def build(site: Site, work: Work) -> MapPart:
    points = [number for number in POINTS if not site.is_hosted or number <= HOSTED_POINTS]
    with gr.Row(elem_classes="toolbar"):
        method = gr.Radio(
            [("Principal components", PCA), ("t-SNE", TSNE)], value=PCA, label="Placed by", elem_id="map-method",
            elem_classes="segmented",
        )  # fmt: skip
        dimensions = gr.Radio(
            [("2", 2), ("3", 3)], value=2, label="Dimensions", elem_id="map-dimensions", elem_classes="segmented"
        )
        shown = gr.Radio(
            points, value=300, label="Tokens, the most frequent", elem_id="map-points", elem_classes="segmented"
        )
        only_words = gr.Checkbox(True, label="Only words and parts of words", elem_id="map-words")
        compute = gr.Button(
            "Compute t-SNE", variant="primary", visible=False, size="sm", min_width=140, elem_id="map-compute"
        )
        stop = gr.Button("Stop", visible=False, size="sm", min_width=80, elem_id="map-stop")
    message = gr.HTML("", elem_id="map-message", js_on_load=None)
    with gr.Row(elem_classes="embedding-row", equal_height=False):
        with gr.Column(scale=7, min_width=320):
            figure = figure_html("", "embedding-map")
        with gr.Column(scale=4, min_width=300):
            with gr.Row(elem_classes="embedding-words"):
                token = gr.Textbox(
                    "", label="Nearest to", placeholder="a word, or #id",
                    max_length=100, elem_id="map-token", elem_classes="settles", scale=2, min_width=150,
                )  # fmt: skip
                metric = gr.Radio(
                    [("Cosine", "cosine"), ("Distance", "euclidean"), ("Dot", "dot")], value="cosine", label="By",
                    elem_id="map-metric", scale=3, min_width=220, elem_classes="segmented",
                )  # fmt: skip
            near_message = gr.HTML("", js_on_load=None)
            near = figure_html("", "nearest-tokens")
            with gr.Row(elem_classes="embedding-words"):
                a, b, c = (
                    gr.Textbox("", label=label, placeholder=hint, max_length=100, elem_id=f"analogy-{hint}",
                               elem_classes="settles", min_width=70)
                    for label, hint in (("a", "king"), ("− b", "man"), ("+ c", "woman"))
                )  # fmt: skip
                how = gr.Radio(
                    [("3CosAdd", "add"), ("3CosMul", "mul")], value="add", label="Analogy by", elem_id="analogy-how",
                    min_width=210, elem_classes="segmented",
                )  # fmt: skip
            analogy_message = gr.HTML("", js_on_load=None)
            analogy_figure = figure_html("", "analogy")
    return MapPart(
        method, dimensions, shown, only_words, compute, stop, message, figure, token, metric, near_message, near, a, b,
        c, how, analogy_message, analogy_figure,
    )  # fmt: skip


def wire(part: MapPart, work: gr.State) -> None:
    looks = [work, *part.map_inputs]
    gr.on(
        [part.method.input, part.dimensions.input, part.points.input, part.only_words.input, part.metric.input,
         part.token.submit, part.token.blur],
        draw_map, looks, part.map_views, **QUIET,
    )  # fmt: skip
    for figure in (part.figure, part.near, part.analogy):
        figure.select(pick_token, looks, [part.token, *part.map_views], **QUIET)
    asked = [work, part.a, part.b, part.c, part.how]
    gr.on(
        [*(event for box in (part.a, part.b, part.c) for event in (box.submit, box.blur)), part.how.input],
        solve, asked, [part.analogy_message, part.analogy], **QUIET,
    )  # fmt: skip
    part.compute.click(
        compute_map, looks, [part.message, part.figure, part.compute, part.stop],
        **QUIET | {"trigger_mode": "multiple"},
    )  # fmt: skip
    part.stop.click(stop_map, None, None, **QUIET)


def show(
    work: Work, method: str, dimensions: int, points: int, only_words: bool, token: str, metric: str, a: str, b: str,
    c: str, how: str,
) -> tuple[Any, ...]:  # fmt: skip
    """Values for `MapPart.views`."""
    drawn = draw_map(work, method, dimensions, points, only_words, token, metric)
    return *drawn, *solve(work, a, b, c, how)


def draw_map(
    work: Work, method: str, dimensions: int, points: int, only_words: bool, token: str, metric: str
) -> tuple[Any, ...]:
    """Values for `MapPart.map_views`."""
    button = gr.Button(visible=method == TSNE)
    try:
        view = View(work, method, dimensions, points, only_words, metric)
        _running.leave(view.key if method == TSNE else None)
        problem = ""
        try:
            chosen = view.chosen(token)
        except TextError as error:
            problem, chosen = notice(str(error)), None
        message = ""
        if method == TSNE and view.placed() is None:
            message = notice(MISSING, "info")
        return button, message, view.figure(chosen), problem, view.nearest(chosen)
    except UserError as error:
        _running.leave()
        return button, notice(str(error)), "", "", ""


def pick_token(
    work: Work, method: str, dimensions: int, points: int, only_words: bool, token: str, metric: str,
    event: gr.EventData,
) -> list[Any]:  # fmt: skip
    """A token was chosen on the map, or as a bar. Values for the token's field and `map_views`."""
    data = event._data if isinstance(event._data, dict) else {}
    id = data.get("id", data.get("row"))
    try:
        vectors = vectors_of(work)
    except UserError as error:
        return [gr.skip(), gr.skip(), notice(str(error)), gr.skip(), gr.skip(), gr.skip()]
    if isinstance(id, bool) or not isinstance(id, int) or not 0 <= id < len(vectors):
        return [gr.skip()] * 6
    try:
        token = vectors.names[id] if find(vectors, vectors.names[id]) == id else f"#{id}"
    except TextError:
        token = f"#{id}"
    return [token, *draw_map(work, method, dimensions, points, only_words, token, metric)]


def solve(work: Work, a: str, b: str, c: str, how: str) -> tuple[str, str]:
    """What a − b + c comes near to. Values for (message, figure); nothing is said until all three are given."""
    three = [text if isinstance(text, str) else "" for text in (a, b, c)]
    if not all(text.strip() for text in three):
        missing = "" if not any(text.strip() for text in three) else "An analogy takes three: king − man + woman."
        return notice(missing, "info"), ""
    try:
        found = _answers(work, three[0], three[1], three[2], how)
        vectors = vectors_of(work)
        a, b, c = (vectors.names[find(vectors, text)] for text in three)
        return "", analogy_spec(a, b, c, how, found, vectors.title)
    except UserError as error:
        return notice(str(error)), ""


def compute_map(
    work: Work, method: str, dimensions: int, points: int, only_words: bool, token: str, metric: str,
    request: gr.Request,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """t-SNE, shown as it goes. Values for (message, figure, compute, stop)."""
    idle = (gr.Button(visible=True), gr.Button(visible=False))
    busy = (gr.Button(visible=False), gr.Button(visible=True))
    try:
        view = View(work, TSNE, dimensions, points, only_words, metric)
        chosen = view.chosen_or_none(token)
        step, last = None, 0.0
        yield notice("Who is near whom is looked up …", "busy"), gr.skip(), *busy
        with _running.as_job(Asked(view.key), request) as job:
            for step in tsne(view.vectors.matrix[view.ids], view.dimensions, iterations=STEPS):
                if job.stopped:
                    break
                if time.monotonic() - last > EVERY:
                    last = time.monotonic()
                    said = f"t-SNE: {step.iteration} of {step.iterations} steps, divergence {step.divergence:.3f}"
                    yield notice(said, "busy"), view.figure(chosen, Placed(step.points, said)), *busy
        assert step is not None
        told_of = f"t-SNE after {step.iteration} steps · divergence {step.divergence:.3f}"
        view.keep(Placed(step.points, told_of))
        if job.left:
            yield *[gr.skip()] * 3, gr.Button(visible=False)
            return
        stopped = notice(f"Stopped after {step.iteration} of {step.iterations} steps.", "info")
        yield "" if step.iteration == step.iterations else stopped, view.figure(chosen), *idle
    except UserError as error:
        yield notice(str(error)), gr.skip(), *idle


def stop_map(request: gr.Request) -> None:
    _running.stop(request)


class View:
    """The vectors, and which of them are on the map. UserError if there are none, or something is no choice."""

    def __init__(self, work: Work, method: str, dimensions: int, points: int, only_words: bool, metric: str) -> None:
        limit = HOSTED_POINTS if here().is_hosted else POINTS[-1]
        if method not in (PCA, TSNE) or dimensions not in (2, 3) or points not in POINTS or points > limit:
            raise ConfigError("Choose how to draw the map from the lists above it.")
        if metric not in METRICS:
            raise ConfigError("Choose how to measure nearness from the list.")
        self.work, self.method, self.dimensions, self.metric = work, method, dimensions, metric
        self.vectors: Vectors = vectors_of(work)
        self.in_text = text_ids(work, self.vectors)
        self.ids = choose(self.vectors, points, "words" if only_words else "all", self.in_text)

    @property
    def key(self) -> Hashable:
        return stamp(self.work), self.work.source, self.dimensions, tuple(self.ids)

    def chosen(self, token: str) -> int | None:
        """The token that is typed, or else the first word of the text. TextError if there is no such token."""
        if isinstance(token, str) and token.strip(" \t"):
            return find(self.vectors, token)
        words = [id for id in self.in_text if kind_of(self.vectors.names[id]) in (0, 1, 3)]
        return next(iter(words or self.in_text or self.ids), None)

    def chosen_or_none(self, token: str) -> int | None:
        try:
            return self.chosen(token)
        except TextError:
            return None

    def neighbours(self, chosen: int | None) -> list[Any]:
        return [] if chosen is None else neighbours(self.vectors, chosen, NEAREST, self.metric)  # type: ignore[arg-type]

    def nearest(self, chosen: int | None) -> str:
        """The figure of the nearest tokens."""
        if chosen is None:
            return ""
        return neighbours_spec(self.vectors.names[chosen], self.metric, self.neighbours(chosen), self.vectors.title)

    def placed(self) -> Placed | None:
        """The t-SNE of these tokens, if it was computed."""
        return _placed.known(self.key)

    def keep(self, placed: Placed) -> None:
        kept = _placed.get(self.key, lambda: placed)
        kept.points, kept.told = placed.points, placed.told

    def figure(self, chosen: int | None, placed: Placed | None = None) -> str:
        """The map. Of principal components the chosen token and its neighbours are put in, if they are not there."""
        vectors, ids = self.vectors, list(self.ids)
        near = [n.id for n in self.neighbours(chosen)]
        placed = placed or (self.placed() if self.method == TSNE else None)
        if placed is not None:
            points, told = placed.points, placed.told
            axes = ["", "", ""]
        else:
            found = pca(vectors.matrix[ids], self.dimensions)
            there = set(ids)
            more = [id for id in ([] if chosen is None else [chosen, *near]) if id not in there]
            points = np.concatenate([found.points, found.project(vectors.matrix[more])]) if more else found.points
            ids += more
            axes = [f"component {i + 1} ({share:.1%})" for i, share in enumerate(found.explained)]
            told = "principal components: " + ", ".join(f"{share:.1%}" for share in found.explained)
            told += " of the variance"
        left_out = sum(id not in set(ids) for id in near)
        note = f"{left_out} of the nearest tokens are not on the map." if placed is not None and left_out else ""
        subtitle = f"{len(ids):,} of {len(vectors):,} tokens, {vectors.size} numbers each · {told}"
        return map_spec(
            points, [vectors.names[id] for id in ids], ids, vectors.norms[ids], vectors.ranks[ids], axes,
            f"Map of the {vectors.title}", subtitle, self.in_text, chosen, near, note,
        )  # fmt: skip


def _answers(work: Work, a: str, b: str, c: str, how: str) -> list[Any]:
    if how not in METHODS:
        raise ConfigError("Choose how the analogy is computed from the list.")
    vectors = vectors_of(work)
    ids = [find(vectors, text) for text in (a, b, c)]
    return analogy(vectors, ids[0], ids[1], ids[2], NEAREST, how)  # type: ignore[arg-type]
