"""The settings of all columns as one JSON text, as the page's address holds it, and what they mean.

A column is a plain dictionary: the fields of a GenerationConfig that are not as they usually are, and "assistant". A
text may come from anybody: `read` lets nothing but such dictionaries through, and `config_of` nothing beyond what the
site allows.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from typing import Any, NamedTuple

from core.decode.config import GenerationConfig
from core.decode.presets import PRESETS, with_preset
from core.errors import ConfigError
from core.strict import from_dict
from playground.decoding_form import LISTED, LONGEST, MAX_BEAMS, MAX_SAMPLES
from playground.site import Site, here

MAX_COLUMNS = 6
MAX_SHOWN = 8  # samples of a column
MAX_CANDIDATES = 20  # of contrastive search: rows that are computed together; and of a trace
MAX_DRAFTS = 20
LONGEST_TEXT = 20_000  # characters of the JSON
USUAL = GenerationConfig(max_new_tokens=60, num_candidates=10)
FIELDS = {field.name: getattr(USUAL, field.name) for field in fields(GenerationConfig)}
TOGETHER = ("seed", "max_new_tokens")  # the same in all columns, if so wanted
STRATEGY_NAMES = {
    "greedy": "Greedy", "beam": "Beam search", "sample": "Sampling", "diverse_beam": "Diverse beams",
    "contrastive": "Contrastive search", "assisted": "Assisted", "best_of": "Best of several",
    "mbr": "Minimum Bayes risk",
}  # fmt: skip

Column = dict[str, Any]


class Settings(NamedTuple):
    columns: tuple[Column, ...]
    together: bool = True  # one seed and one length for all columns

    def with_column(self, place: int, column: Column) -> "Settings":
        """Another column in that place. What all columns have together, the others take from it."""
        columns = [column if i == place else other for i, other in enumerate(self.columns)]
        if self.together:
            columns = [_without(other, TOGETHER) | _only(column, TOGETHER) for other in columns]
        return self._replace(columns=tuple(columns))


FIRST = Settings(({"strategy": "greedy"}, {"strategy": "beam"}, {"strategy": "sample", "top_p": 0.9}))
NEXT = ("contrastive", "top-k", "min-p", "typical", "temperature", "mbr")  # presets of columns that are added


def json_of(text: Any, longest: int, what: str) -> Any:
    """What stands in a JSON text that may come from anybody. ConfigError, of the settings of `what`."""
    if not isinstance(text, str) or len(text) > longest:
        raise ConfigError(f"The settings of {what} are no JSON of a sensible size.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"The settings of {what} are no JSON.") from None


def read(text: Any) -> Settings:
    """Settings from JSON; "" are those of the page as it opens. ConfigError for what they cannot be.

    >>> read('{"columns":[{"strategy":"beam","num_beams":3}]}').columns
    ({'strategy': 'beam', 'num_beams': 3},)
    """
    if text == "" or text is None:
        return FIRST
    values = json_of(text, LONGEST_TEXT, "the columns")
    if not isinstance(values, dict) or not values.keys() <= {"columns", "together"}:
        raise ConfigError('The settings of the columns are an object with "columns" and "together".')
    columns, together = values.get("columns"), values.get("together", True)
    if not isinstance(columns, list) or not 1 <= len(columns) <= MAX_COLUMNS or not isinstance(together, bool):
        raise ConfigError(f'"columns" is a list of one to {MAX_COLUMNS} columns, "together" is true or false.')
    for column in columns:
        if not isinstance(column, dict):
            raise ConfigError("A column is an object: the fields of its settings.")
        unknown = column.keys() - FIELDS.keys() - {"assistant"}
        if unknown:
            raise ConfigError(f"A column has no setting {min(unknown)[:50]!r}.")
        strategy = column.get("strategy", "greedy")
        if not isinstance(strategy, str) or strategy not in STRATEGY_NAMES:
            raise ConfigError(f"The strategy of a column is one of {', '.join(STRATEGY_NAMES)}.")
        if not isinstance(column.get("assistant", ""), str):
            raise ConfigError("The assistant of a column is the name of a run.")
    return Settings(tuple(columns), together)


def dump(settings: Settings) -> str:
    """The shortest JSON that `read` takes for them; "" if they are as the page opens."""
    if settings == FIRST:
        return ""
    values: dict[str, Any] = {"columns": list(settings.columns)}
    return json.dumps(values | ({} if settings.together else {"together": False}), separators=(",", ":"))


def config_of(column: Column, site: Site | None = None) -> GenerationConfig:
    """What the column is to be written with. ConfigError for what no strategy can do, or the site does not do."""
    values = _without(column, ("assistant",))
    strategy = values.get("strategy", "greedy")
    if strategy in ("beam", "diverse_beam"):
        values.setdefault("num_return_sequences", values.get("num_beams", USUAL.num_beams))
    if strategy in ("best_of", "mbr"):
        samples = values.get("num_samples", USUAL.num_samples)
        values.setdefault("num_return_sequences", min(LISTED, samples) if isinstance(samples, int) else LISTED)
    config = from_dict(GenerationConfig, _only(FIELDS, ("max_new_tokens", "num_candidates")) | values, "decode")
    site = site or here()
    most = {
        "max_new_tokens": min(LONGEST, site.new_tokens), "seed": 2**63 - 1, "top_k": 10**6,
        "num_candidates": MAX_CANDIDATES, "num_assistant_tokens": MAX_DRAFTS,
        "num_beams": min(MAX_BEAMS, site.beams), "num_samples": min(MAX_SAMPLES, site.samples),
        "num_return_sequences": min(MAX_SHOWN, site.samples) if strategy == "sample" else MAX_SAMPLES,
    } | ({"top_k": MAX_CANDIDATES} if strategy == "contrastive" else {})  # fmt: skip
    for name, limit in most.items():
        if getattr(config, name) > limit:
            raise ConfigError(f"{name} may be {limit:,} at most here, not {getattr(config, name):,}.")
    return config


def column_of(config: GenerationConfig, assistant: str = "") -> Column:
    """The column with these settings: what `config_of` makes the same of."""
    values = {name: value for name, value in asdict(config).items() if value != FIELDS[name]}
    if config.strategy in ("beam", "diverse_beam") and config.num_return_sequences == config.num_beams:
        values.pop("num_return_sequences", None)
    if config.reranks and config.num_return_sequences == min(LISTED, config.num_samples):
        values.pop("num_return_sequences", None)
    values |= {"assistant": assistant} if assistant else {}
    return {"strategy": config.strategy} | json.loads(json.dumps(values))  # lists for tuples, texts for numbers as keys


def preset_column(column: Column, name: str) -> Column:
    """The column with a preset's settings; how long it may get and its seed stay, and its branch goes."""
    kept = _only(column, (*TOGETHER, "assistant"))
    return column_of(with_preset(USUAL, name)) | kept


def preset_of(column: Column) -> str | None:
    """The name of the preset that the column is as, if there is one."""
    try:
        config = config_of(_without(column, ("forced_prefix_ids",)))
        return next((name for name in PRESETS if with_preset(config, name) == config), None)
    except ConfigError:
        return None


def title_of(column: Column) -> str:
    name = preset_of(column)
    return PRESETS[name].title if name else STRATEGY_NAMES[column.get("strategy", "greedy")]


def for_model(config: GenerationConfig, own: GenerationConfig) -> GenerationConfig:
    """What the model must never write, what ends a text of it and what it begins with is not up to the settings."""
    return replace(
        config,
        bad_words_ids=tuple(dict.fromkeys((*own.bad_words_ids, *config.bad_words_ids))),
        stop_ids=tuple(dict.fromkeys((*own.stop_ids, *config.stop_ids))),
        forced_prefix_ids=config.forced_prefix_ids or own.forced_prefix_ids,
    )


def _only(values: Column, names: Iterable[str]) -> Column:
    return {name: values[name] for name in names if name in values}


def _without(values: Column, names: Iterable[str]) -> Column:
    return {name: value for name, value in values.items() if name not in names}
