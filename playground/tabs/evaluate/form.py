"""What the Measure part's form asks for, as a core.evaluate Request: checked, whatever the fields hold."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.data.sources import is_hub_name
from core.decode.config import GenerationConfig
from core.decode.presets import PRESETS, with_preset
from core.decode.recipe import settings_from_json
from core.errors import ConfigError, DataError
from core.evaluate.request import Request
from core.evaluate.scores import METRICS
from core.run import Run, list_runs
from playground.site import Site, here
from playground.tabs.decoding.settings import for_model
from playground.training_form import HUB_NAME, keep_upload
from playground.views.facts import data_name

OWN, BUILTIN, FILES, HUB, TYPED = "own", "builtin", "files", "hub", "typed"
SOURCES = {
    OWN: "The run’s own", BUILTIN: "Built in", FILES: "Files", HUB: "Hugging Face", TYPED: "Typed",
}  # fmt: skip
PAIRS = [("English and Japanese sentences", "builtin:enja")]
TEXTS = [("Python’s language reference", "builtin:pydocs"), ("Passages that are said twice", "builtin:repeats")]
LEAST_STRIDE = 16  # of a hosted page
AS_TRAINED, JSON = "own", "json"  # strategies that are no preset
MOST, MOST_STRANGERS = 1_000_000, 24  # examples, on one's own page and on a hosted one
LONGEST_COLUMN, LONGEST_JSON = 200, 20_000  # characters of a column’s name, and of settings
UPLOADS = [".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet"]
_FIRST = ("beam", "greedy")
_ASSISTED = ("assisted", "assisted-sampling")  # what they write is what another strategy writes
STRATEGIES = [
    ("As the run says", AS_TRAINED),
    *((PRESETS[name].title, name) for name in _FIRST),
    *((known.title, name) for name, known in PRESETS.items() if name not in (*_FIRST, *_ASSISTED)),
    ("Settings of one’s own, as JSON", JSON),
]  # fmt: skip


@dataclass(frozen=True)
class Form:
    """The values of the fields, in their order."""

    source: Any = OWN
    builtin: Any = ""
    file: Any = None  # where Gradio put the uploaded file
    references: Any = None  # the references, where they are a file of their own
    hub: Any = ""
    split: Any = ""
    src_column: Any = ""
    tgt_column: Any = ""
    text_column: Any = ""
    typed: Any = ""
    strategy: Any = "beam"
    settings: Any = ""
    examples: Any = 200
    metrics: Any = ()
    context: Any = 0
    stride: Any = 0
    overlap: Any = False
    prompts: Any = 0
    new_tokens: Any = 40
    strategies: Any = ()
    mauve: Any = ""  # the run that reads what is written, for MAUVE
    place: Any = "local"


WRITING = [(known.title, name) for name, known in PRESETS.items() if name not in _ASSISTED]
MOST_PROMPTS, MOST_NEW_TOKENS = 200, 200  # that a language model writes behind


def sources(site: Site) -> list[tuple[str, str]]:
    """(label, name) of where data may come from. A hosted page has no files and asks no hub."""
    names = (BUILTIN, TYPED) if site.is_hosted else tuple(SOURCES)
    return [(SOURCES[name], name) for name in names]


def readers() -> list[str]:
    """Language models that may read texts for MAUVE."""
    return [info.name for info in list_runs() if info.family != "transformer" and info.has_model and not info.error]


def built_in(run: Run) -> list[tuple[str, str]]:
    return PAIRS if run.is_translation else TEXTS


def own_data(run: Run) -> str:
    """What the run's own validation data is called; "" if that is not known."""
    name = data_name(run.config.data)
    if not name:
        return ""
    given = run.config.data.val_data or run.config.data.val_src
    return f"the validation data {Path(given).name}" if given else f"the validation split of {name}"


def own_is_here(run: Run) -> bool:
    """Whether the run's validation data can be read: it is built in, of the hub, or its files are on this machine."""
    data = run.config.data
    if not data_name(data):
        return False
    files = [data.src, data.tgt, data.val_src, data.val_tgt]
    if not data.src:
        builtin = data.name.startswith("builtin:")
        files = [name for name in (data.name, data.val_data) if not builtin and not is_hub_name(name)]
    try:
        return all(Path(name).expanduser().exists() for name in files if name)
    except (OSError, ValueError):
        return False


def request_of(run: Run, form: Form, keep: bool = True) -> Request:
    """The request. UserError, one sentence, for what cannot be.

    keep: copy uploaded files to where the evaluation can be repeated from.
    """
    given = _data(run, form, keep)
    site = here()
    most = MOST_STRANGERS if site.is_hosted else MOST
    examples = _whole("The number of examples", form.examples, most, 1 if site.is_hosted else 0)
    request = replace(given, max_examples=examples, overlap=form.overlap is True and not site.is_hosted)
    if run.is_translation:
        return replace(request, decode=decode_of(run, form.strategy, form.settings), metrics=_metrics(form.metrics))
    longest = run.config.model.max_seq_len
    if site.is_hosted and form.stride and _whole("The stride", form.stride, longest) < LEAST_STRIDE:
        raise ConfigError(f"The stride may be {LEAST_STRIDE} tokens or more here: smaller ones take long.")
    request = replace(
        request, context=_whole("The context", form.context, longest), stride=_whole("The stride", form.stride, longest)
    )
    return request if site.is_hosted else replace(request, **_writing(form))


def decode_of(run: Run, strategy: Any, settings: Any) -> GenerationConfig:
    """The settings that translations are written with."""
    own = run.config.decode
    if strategy == AS_TRAINED:
        config = own
    elif strategy == JSON:
        if not isinstance(settings, str) or not settings.strip():
            raise ConfigError("Paste settings or a recipe as JSON, such as “Save as JSON” of the Decoding tab gives.")
        config = for_model(settings_from_json(settings), own)
        if config.strategy == "assisted":
            raise ConfigError("Assisted decoding writes what greedy decoding writes, only sooner: measure that.")
    else:
        if strategy not in [name for _, name in STRATEGIES]:
            raise ConfigError("Choose a strategy of the list.")
        config = with_preset(own, strategy)
    site = here()
    for name, acts, most in (
        ("num_beams", config.searches_beams, site.beams), ("num_samples", config.reranks, site.samples),
    ):  # fmt: skip
        if acts and getattr(config, name) > most:
            raise ConfigError(f"{name} may be {most:,} at most here, not {getattr(config, name):,}.")
    return replace(config, num_return_sequences=1, max_new_tokens=min(config.max_new_tokens, site.new_tokens))


def strategy_name(config: GenerationConfig | None) -> str:
    """What settings are called: the preset's title, or the strategy with its beams."""
    if config is None:
        return ""
    known = next(
        (found for name, found in PRESETS.items() if with_preset(config, name) == config), None
    )  # fmt: skip
    if known is not None:
        return known.title
    name = config.strategy.replace("_", " ").capitalize()
    return f"{name}, {config.num_beams}" if config.searches_beams else name


def _data(run: Run, form: Form, keep: bool) -> Request:
    if form.source not in [name for _, name in sources(here())]:
        raise DataError("Choose where the data comes from.")
    if form.source == OWN:
        return Request()
    if form.source == BUILTIN:
        if form.builtin not in [name for _, name in built_in(run)]:
            raise DataError("Choose a data set of the list.")
        return Request(data=form.builtin)
    columns: dict[str, Any] = {
        name: _column(getattr(form, name), name) for name in ("src_column", "tgt_column", "text_column")
    }  # fmt: skip
    if form.source == HUB:
        name = form.hub.strip() if isinstance(form.hub, str) else ""
        if not HUB_NAME.fullmatch(name) or Path(name).exists():
            raise DataError(f"{name[:80]!r} is not the name of a Hugging Face dataset; write it as org/name.")
        return Request(data=name, split=_column(form.split, "split"), **columns)
    if form.source == FILES:
        return _files(run, form, columns, keep)
    return _typed(run, form.typed)


def _files(run: Run, form: Form, columns: dict[str, Any], keep: bool) -> Request:
    if not isinstance(form.file, str) or not form.file:
        raise DataError("Choose a file to upload first, or another kind of data.")
    path = str(keep_upload(form.file)) if keep else form.file
    if not run.is_translation or not isinstance(form.references, str) or not form.references:
        return Request(data=path, **columns)
    return Request(src=path, ref=str(keep_upload(form.references)) if keep else form.references)


def _typed(run: Run, typed: Any) -> Request:
    text = typed if isinstance(typed, str) else ""
    if len(text) > here().characters:
        raise DataError(f"The text has {len(text):,} characters; this page takes up to {here().characters:,}.")
    if not text.strip():
        what = "sentences, a tab and their translations behind them, one a line" if run.is_translation else "a text"
        raise DataError(f"There is nothing to evaluate on: type {what}.")
    if not run.is_translation:
        return Request(documents=(text,), title="a typed text", as_given=True)
    pairs = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        source, tab, reference = line.partition("\t")
        if not tab or not source.strip() or not reference.strip():
            raise DataError(
                f"Line {number:,} has no translation behind a tab: type the sentence, a tab, its translation."
            )
        pairs.append((source.strip(), reference.strip()))
    return Request(pairs=tuple(pairs), title="typed sentences", as_given=True)


def _metrics(metrics: Any) -> tuple[str, ...]:
    if not isinstance(metrics, (list, tuple)) or not metrics:
        raise ConfigError("Choose a metric at least.")
    if any(not isinstance(name, str) or name not in METRICS for name in metrics):
        raise ConfigError("Choose metrics of the list.")
    if here().is_hosted and "comet" in metrics:
        raise ConfigError("COMET needs a large model of its own and is not measured here: leave it out.")
    return tuple(name for name in METRICS if name in metrics)


def _writing(form: Form) -> dict[str, Any]:
    """What the model is to write behind prompts; of none nothing."""
    prompts = _whole("The number of prompts", form.prompts, MOST_PROMPTS)
    if not prompts:
        return {}
    names = form.strategies if isinstance(form.strategies, (list, tuple)) else ()
    if not names or any(name not in [value for _, value in WRITING] for name in names):
        raise ConfigError("Choose a strategy at least that writes behind the prompts.")
    new_tokens = _whole("New tokens", form.new_tokens, MOST_NEW_TOKENS, 1)
    if form.mauve and form.mauve not in readers():
        raise ConfigError("MAUVE needs a language model that reads the texts: choose one of the list.")
    return {
        "prompts": prompts, "new_tokens": new_tokens, "strategies": tuple(dict.fromkeys(names)),
        "mauve": form.mauve or "",
    }  # fmt: skip


def _column(value: Any, what: str) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > LONGEST_COLUMN:
        raise DataError(f"The {what.replace('_', ' ')} has {len(text):,} characters: write a shorter name.")
    return text


def _whole(name: str, value: Any, most: int, least: int = 0) -> int:
    value = 0 if value is None else value
    if (
        isinstance(value, bool) or not isinstance(value, (int, float)) or value != value
        or not least <= value <= most or int(value) != value
    ):  # fmt: skip
        raise ConfigError(f"{name} must be a whole number from {least:,} to {most:,}.")
    return int(value)
