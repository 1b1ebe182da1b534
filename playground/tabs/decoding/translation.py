"""Translation: what the translator looked at for each token that it wrote, the best of its beams, and beside them the
choice of minimum Bayes risk; scored against a reference that somebody types."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import gradio as gr

from core.analysis.reading import read_translation
from core.decode import stream
from core.decode.config import GenerationConfig
from core.decode.rerank import rerank
from core.decode.result import Generation
from core.decode.scoring import rescored
from core.decode.utility import utilities
from core.errors import ConfigError, RunError, UserError
from core.run import Run
from playground.decoding_form import MAX_BEAMS, MAX_SAMPLES
from playground.figure_html import figure_html
from playground.header import NO_MODEL
from playground.models import get_run
from playground.parts import QUIET
from playground.running import Asked, Running
from playground.site import Site, here
from playground.tabs.decoding.settings import for_model
from playground.tabs.decoding.work import Work, no_order, stamp
from playground.views.notice import notice
from playground.views.translation import Candidate, attention_spec, candidates_html

LONGEST = 200  # tokens
TYPED = 2_000  # characters of a reference
METRICS = {"chrf": "chrF", "bleu": "BLEU"}
NAMES = ("beams", "penalty", "samples", "temperature", "likeness", "seed")  # in the page's address

_running = Running()


class Found(NamedTuple):
    """What there is to look at: of which text and model, the source as the model got it, and the candidates."""

    about: Hashable = None
    source: tuple[int, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    samples: int = 0
    metric: str = "chrf"


@dataclass
class TranslationPart:
    message: gr.HTML
    shown: gr.Dropdown
    figure: gr.HTML
    table: gr.HTML
    found: gr.State
    reference: gr.Textbox
    order: gr.State  # changes when it is to be translated
    settings: list[Any]  # as `_configs` takes them
    run: gr.Button
    stop: gr.Button

    @property
    def results(self) -> list[Any]:
        return [self.message, self.shown, self.figure, self.table, self.found]

    @property
    def shared(self) -> dict[str, Any]:
        return {f"translation-{name}": field for name, field in zip(NAMES, self.settings, strict=True)}


def build(site: Site, work: Work) -> TranslationPart:
    with gr.Row(elem_classes="toolbar tree-toolbar"):
        settings = [
            gr.Slider(1, min(MAX_BEAMS, site.beams), 5, step=1, label="Beams", info="1 is greedy", min_width=150),
            gr.Slider(-1, 3, 1.0, step=0.1, label="Length penalty", info="Above 0 favours longer", min_width=150),
            gr.Slider(2, min(MAX_SAMPLES, site.samples), min(16, site.samples), step=1, label="Samples",
                      info="For minimum Bayes risk", min_width=150),
            gr.Slider(0.1, 2, 1.0, step=0.05, label="Temperature", info="Of the samples", min_width=150),
            gr.Dropdown([(title, name) for name, title in METRICS.items()], value="chrf", label="Likeness",
                        min_width=110),
            gr.Number(0, label="Seed", precision=0, min_width=90),
        ]  # fmt: skip
        run = gr.Button("Translate", variant="primary", size="sm", scale=0, min_width=90, elem_id="translation-run")
        stop = gr.Button("Stop", variant="stop", size="sm", scale=0, min_width=90, elem_id="translation-stop")
    message = gr.HTML("", js_on_load=None)
    shown = gr.Dropdown([], value=None, label="Shown", elem_id="translation-shown", allow_custom_value=True)
    figure = figure_html("", "translation-figure")
    reference = gr.Textbox(
        "", label="Reference: a good translation, to compare with", placeholder="type it here", max_length=TYPED,
        lines=1, max_lines=4, elem_classes="settles", elem_id="translation-reference",
    )  # fmt: skip
    table = gr.HTML("", js_on_load=None, elem_id="translation-table")
    return TranslationPart(message, shown, figure, table, gr.State(Found()), reference, no_order(), settings, run, stop)


def wire(part: TranslationPart, work: gr.State) -> None:
    changed = [field.release if isinstance(field, gr.Slider) else field.input for field in part.settings]
    gr.on(
        [part.order.change, part.run.click, *changed], translate_by_hand,
        [work, part.reference, *part.settings], part.results,
        concurrency_limit=2, **QUIET | {"trigger_mode": "multiple"},
    )  # fmt: skip
    part.stop.click(stop_translation, None, None, queue=False, show_progress="hidden", api_visibility="private")
    part.shown.input(show_candidate, [work, part.found, part.shown], part.figure, **QUIET)
    gr.on([part.reference.blur, part.reference.submit], score_candidates, [part.found, part.reference], part.table,
          **QUIET)  # fmt: skip


def stop_translation(request: gr.Request) -> None:
    _running.stop(request)


def translate_by_hand(request: gr.Request, work: Work, reference: Any, *settings: Any) -> Iterator[tuple[Any, ...]]:
    """The beams, then the samples and their choice: message, which is shown, figure, table, and all that was found."""
    nothing = gr.Dropdown(choices=[], value=None, visible=False), "", "", Found()
    try:
        if not work.model:
            raise RunError(NO_MODEL)
        run = get_run(work.model)
        if not run.is_translation:
            note = f"{work.model} continues texts and has nothing to translate into: choose a translator above."
            yield notice(note, "info"), *nothing
            return
        beams, samples = _configs(run, settings)
        with _running.as_job(Asked(), request) as job:
            generation = _decoded(run, work.text, beams, job)
            if generation is None and not _running.is_newest(job, request):
                return
            if generation is None:
                yield notice("Stopped by you before anything was found.", "info"), *nothing
                return
            kept = tuple(
                Candidate("beam", tuple(h.ids), h.text, h.total_logprob, h.score, h.finished)
                for h in generation.hypotheses
            )
            found = Found(_about(work), tuple(generation.prompt_ids), kept, 0, samples.mbr_metric)
            note = "The text was longer than the model’s context: its beginning is translated."
            message = notice(note if generation.truncated else "", "info")
            figure = _figure(run, found, 0)
            yield message, _choices(found), figure, _table(found, reference), found
            drawn = _decoded(run, work.text, samples, job) if generation.prompt_ids else None
            if drawn is not None:
                found = with_samples(found, drawn, samples)
                yield message, _choices(found), gr.skip(), _table(found, reference), found
            elif job.stopped and _running.is_newest(job, request):
                yield notice("Stopped by you: there are the beams alone.", "info"), *[gr.skip()] * 4
    except UserError as error:
        yield notice(str(error)), *nothing


def show_candidate(work: Work, found: Any, shown: Any) -> Any:
    """Another candidate is looked at."""
    if not isinstance(found, Found) or found.about != _about(work):
        return gr.skip()
    places = {str(place): place for place in range(len(found.candidates))}
    if not isinstance(shown, str) or shown not in places:
        return gr.skip()
    try:
        return _figure(get_run(work.model), found, places[shown])
    except UserError:
        return gr.skip()


def score_candidates(found: Any, reference: Any) -> Any:
    """A reference was typed, or taken away."""
    return _table(found, reference) if isinstance(found, Found) and found.candidates else gr.skip()


# ------------------------------------------------------------------------------------------------ what is computed


def with_samples(found: Found, drawn: Generation, config: GenerationConfig) -> Found:
    """With the sample that minimum Bayes risk takes, and how much each candidate is like the samples."""
    mbr = replace(config, strategy="mbr", num_samples=len(drawn.hypotheses), num_return_sequences=1)
    best = rerank(drawn.hypotheses, mbr)[0]
    chosen = Candidate("mbr", tuple(best.ids), best.text, best.total_logprob, None, best.finished)
    candidates = [*found.candidates, chosen]
    texts = [one.text for one in candidates]
    table = utilities([*texts, *[h.text for h in drawn.hypotheses]], config.mbr_metric)
    liked = table[: len(texts), len(texts) :].mean(axis=1)
    scored = tuple(replace(one, utility=float(value)) for one, value in zip(candidates, liked, strict=True))
    return found._replace(candidates=scored, samples=len(drawn.hypotheses))


def against(text: str, reference: str) -> tuple[float, float]:
    """Sentence BLEU and chrF, as sacreBLEU works them out."""
    return float(utilities([text, reference], "bleu")[0, 1]), float(utilities([text, reference], "chrf")[0, 1])


def _decoded(run: Run, text: str, config: GenerationConfig, job: Asked) -> Generation | None:
    """What the stream ends with; None if it was stopped."""
    events = stream(run, text, config)
    for event in events:
        if job.stopped:
            events.close()
            return None
        if event.generation is not None:
            return rescored(run, event.generation)
    return None


def _figure(run: Run, found: Found, place: int) -> str:
    one = found.candidates[place]
    if not one.ids or not found.source:
        return ""
    reading = read_translation(run, list(found.source), list(one.ids))
    count = min(len(one.ids), len(reading.written))
    layers = [
        reading.layer_attention("cross", layer).mean(axis=0)[:count] for layer in range(reading.n_layers("cross"))
    ]
    title = f"What was looked at for {'beam ' + str(place + 1) if one.kind == 'beam' else 'minimum Bayes risk'}"
    return attention_spec(layers, reading.source_names, reading.written[:count], title)


def _table(found: Found, reference: Any) -> str:
    typed = reference.strip()[:TYPED] if isinstance(reference, str) else ""
    scores = [against(one.text, typed) for one in found.candidates] if typed else []
    return candidates_html(found.candidates, found.samples, METRICS[found.metric], scores)


def _choices(found: Found) -> Any:
    names = [
        (f"{f'beam {place + 1}' if one.kind == 'beam' else 'minimum Bayes risk'}: {one.text}"[:120], str(place))
        for place, one in enumerate(found.candidates)
    ]
    if found.samples:  # what is looked at stays
        return gr.Dropdown(choices=names)
    return gr.Dropdown(choices=names, value="0", visible=True)


def _about(work: Work) -> Hashable:
    return stamp(work), work.text


def _configs(run: Run, settings: tuple[Any, ...]) -> tuple[GenerationConfig, GenerationConfig]:
    """Of the beams, and of the samples."""
    beams, penalty, samples, temperature, metric, seed = settings
    try:
        beams, samples, seed = int(beams), int(samples), int(seed or 0)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError("Beams, samples and the seed are whole numbers.") from None
    longest = max(1, min(LONGEST, here().new_tokens, run.config.decode.max_new_tokens))
    if not (1 <= beams <= min(MAX_BEAMS, here().beams) and 2 <= samples <= min(MAX_SAMPLES, here().samples)):
        raise ConfigError("The page does not offer so many beams or samples: load it again.")
    searched = GenerationConfig(
        strategy="beam", num_beams=beams, num_return_sequences=beams, length_penalty=penalty, max_new_tokens=longest
    )
    drawn = GenerationConfig(
        strategy="sample", num_return_sequences=samples, temperature=temperature, seed=seed, mbr_metric=metric,
        max_new_tokens=longest,
    )  # fmt: skip
    own = run.config.decode
    return for_model(searched, own), for_model(drawn, own)
