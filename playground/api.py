"""What programs can ask of one's own page, by name and as plain JSON: see docs/API.md. A hosted page has none of it.

from gradio_client import Client

client = Client("http://127.0.0.1:7860")
client.predict("ROMEO:", "shakespeare-gpt", api_name="/next_token")
"""

import inspect
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import wraps
from typing import Any

import gradio as gr

from core.decode import stream as stream_of
from core.decode.answers import as_plain, settings_of, traced
from core.decode.config import GenerationConfig
from core.decode.cursor import cursor_at
from core.decode.presets import acting, with_preset
from core.decode.recipe import recipe_of
from core.decode.scoring import rescored, score_tokens
from core.decode.search import input_ids
from core.errors import ConfigError, RunError, TextError, UserError
from core.evaluate.degeneration import measures_of
from core.run import Run, list_runs
from core.tokenizer.visible import visible
from playground.models import default_model, get_run, model_choices
from playground.readings import Work, reading_of
from playground.site import Site, here

MOST_ROWS = 1_000  # tokens of a distribution that are listed
EVERY = 0.05  # seconds between two pictures of a stream
LONGEST_WRITTEN = 100_000  # ids


def add_api(site: Site) -> None:
    """Offer the functions below, in a page that is being built."""
    if site.is_hosted:
        return
    for act in (models, tokenize, next_token, decode, stream, score, attention):
        gr.api(_in_one_sentence(act), api_name=act.__name__, concurrency_limit=2)


def models() -> list[dict[str, Any]]:
    """The models that there are: {"name", "family", "translates"}."""
    families = {info.name: info.family for info in list_runs()}
    return [
        {"name": name, "family": families[name], "translates": families[name] == "transformer"}
        for _, name in model_choices()
    ]


def tokenize(text: str, model: str = "") -> dict[str, Any]:
    """The text's tokens: {"model", "ids", "tokens", "byte_spans", "special"}; spaces and the like are made visible."""
    run = _run(model)
    encoding = run.tokenizer.encode(_text(text))
    return {
        "model": run.name, "ids": encoding.ids, "tokens": [visible(piece) for piece in encoding.pieces],
        "byte_spans": [list(span) for span in encoding.byte_spans], "special": list(encoding.special_mask),
    }  # fmt: skip


def next_token(
    text: str, model: str = "", settings: dict[str, Any] | None = None, written: list[int] | None = None, top: int = 10
) -> dict[str, Any]:
    """The next token's distribution behind a text (of a translator: a source) and the ids written so far, before and
    after the settings act on it.

    {"model", "written", "entropy", "perplexity", "final_entropy", "kept", "mass", "processors", "choice", "tokens":
    [{"id", "text", "rank", "logit", "probability", "after", "final", "removed_by"}]}
    """
    run = _run(model)
    config = _settings(run, settings)
    cursor = cursor_at(run, _text(text), _ids(written), max_new_tokens=config.max_new_tokens)
    after = cursor.stages(config)
    rows = after.top(_whole("top", top, MOST_ROWS))
    return {
        "model": run.name, "written": cursor.written_text, "entropy": after.entropy, "perplexity": after.perplexity,
        "final_entropy": after.final_entropy, "kept": after.kept, "mass": after.mass,
        "processors": list(after.processors), "choice": cursor.choice(config, after), "tokens": rows,
    }  # fmt: skip


def decode(
    text: str, model: str = "", settings: dict[str, Any] | None = None, preset: str = "", assistant: str = "",
    trace: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Go on with a text, or translate it: {"text", "score", "tokens", "logprob", "hypotheses": [...], "measures",
    "recipe", ...}. trace: with what there was to choose from at every step."""
    *_, last = stream(text, model, settings, preset, assistant, trace)
    return last


def stream(
    text: str, model: str = "", settings: dict[str, Any] | None = None, preset: str = "", assistant: str = "",
    trace: bool = False,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """`decode` as it goes: {"text", "ids", "logprobs"} of what is written so far, at last what `decode` gives."""
    run = _run(model)
    config, text = _settings(run, settings, preset), _text(text)
    helper = None
    if config.strategy == "assisted":
        helper = _run(assistant) if assistant else run
    shown = time.monotonic()
    for event in stream_of(run, text, config, trace=bool(trace), assistant=helper):
        if event.generation is not None:
            done = rescored(run, event.generation)
            more = traced(done, config, run.tokenizer) if trace else {}
            recipe = recipe_of(run, text, config, helper.name if helper is not None else "")
            found = {
                "model": run.name, **as_plain(done), **more,
                "measures": asdict(measures_of(done, config)),
                "recipe": json.loads(recipe.to_json())["recipe"],
            }  # fmt: skip
            yield json.loads(json.dumps(found))  # texts for numbers as keys
        elif event.sample == 0 and time.monotonic() - shown > EVERY:
            shown = time.monotonic()
            now = event.hypothesis
            yield {"text": now.text, "ids": now.ids, "logprobs": now.logprobs}


def score(text: str, continuation: str, model: str = "") -> dict[str, Any]:
    """What the model thinks of a continuation (of a translator: a translation, end included), in one forward pass:
    {"model", "ids", "tokens", "logprobs", "ranks", "entropies", "logprob"}."""
    run = _run(model)
    given = input_ids(run, _text(text))
    if given is None:
        raise TextError("There is nothing to translate: give a text.")
    tokenizer = run.tokenizer.for_target() if run.is_translation else run.tokenizer
    ids = tokenizer.encode(_text(continuation, "The continuation")).ids
    ids = [*ids, run.model.eos_id] if run.is_translation else ids
    scores = score_tokens(run, given, ids)
    return {
        "model": run.name, "ids": ids, "tokens": [visible(tokenizer.token_bytes(token)) for token in ids],
        "logprobs": [each.logprob for each in scores], "ranks": [each.rank for each in scores],
        "entropies": [each.entropy for each in scores], "logprob": sum(each.logprob for each in scores),
    }  # fmt: skip


def attention(
    text: str, model: str = "", kind: str = "", layer: int = 1, head: int = 1, target: str | None = None
) -> dict[str, Any]:
    """One head on a text (a translator: and on a target, its own translation by default): {"model", "kind", "layer",
    "head", "queries", "keys", "weights": a row for each query, "notes"}. Layers and heads are counted from 1; kind is
    cross, encoder or self."""
    run = _run(model)
    reading = reading_of(Work(model or run.name, _text(text), None if target is None else _text(target, "The target")))
    kind = kind or reading.kinds[0]
    if kind not in reading.kinds:
        raise ConfigError(f"{run.name} has no attention {kind!r:.40}: choose {' or '.join(reading.kinds)}.")
    layer, head = _whole("layer", layer, reading.n_layers(kind)), _whole("head", head, reading.n_heads)
    return {
        "model": run.name, "kind": kind, "layer": layer, "head": head, "queries": reading.queries(kind),
        "keys": reading.keys(kind), "weights": reading.attention(kind, layer - 1, head - 1).tolist(),
        "notes": list(reading.notes),
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------- what is asked for


def _run(name: Any) -> Run:
    if not isinstance(name, str):
        raise RunError("A model is given by its name.")
    name = name or default_model() or ""
    if not name:
        raise RunError("There is no model yet: train one first.")
    here().check_model(name)
    return get_run(name)


def _settings(run: Run, settings: Any, preset: str = "") -> GenerationConfig:
    """The run's own settings, with those of a preset, with those that are given. ConfigError also for what would do
    nothing."""
    if settings is not None and not isinstance(settings, dict):
        raise ConfigError("Settings are an object: the fields of a GenerationConfig.")
    base = with_preset(run.config.decode, preset) if preset else run.config.decode
    given = settings or {}
    config = settings_of(json.loads(json.dumps(asdict(base))) | given)
    for name, value in asdict(config).items():
        if isinstance(value, int) and not -(2**63) <= value < 2**63:  # no answer could hold it
            raise ConfigError(f"decode.{name} must be a whole number of 64 bits.")
    usual, acts = GenerationConfig(), {"strategy", *acting(config.strategy)}
    idle = sorted(name for name in given.keys() - acts if getattr(config, name) != getattr(usual, name))
    if idle:
        raise ConfigError(f"{idle[0]} does nothing to the strategy {config.strategy}: give another strategy with it.")
    return config


def _text(text: Any, name: str = "The text") -> str:
    if not isinstance(text, str):
        raise TextError(f"{name} must be a text.")
    if len(text) > here().characters:
        raise TextError(f"{name} has {len(text):,} characters; {here().characters:,} are the most: shorten it.")
    return text


def _ids(ids: Any) -> list[int]:
    if ids is None:
        return []
    if not isinstance(ids, list) or len(ids) > LONGEST_WRITTEN or any(type(token) is not int for token in ids):
        raise TextError("What is written is a list of token ids.")
    return ids


def _whole(name: str, value: Any, most: int) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise ConfigError(f"{name} must be a whole number from 1 to {most:,}.")
    return value


def _in_one_sentence(act: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but what is wrong with the values is an error of one sentence for the caller."""
    if inspect.isgeneratorfunction(act):

        @wraps(act)
        def streamed(*values: Any, **named: Any) -> Iterator[Any]:
            try:
                yield from act(*values, **named)
            except UserError as error:
                raise gr.Error(str(error), print_exception=False) from None

        return streamed

    @wraps(act)
    def answered(*values: Any, **named: Any) -> Any:
        try:
            return act(*values, **named)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return answered
