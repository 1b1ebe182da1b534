"""What was decoded and how, as JSON, Python and a command line: each gives the same tokens again.

    recipe = Recipe("shakespeare-gpt", "To be", GenerationConfig(strategy="sample", top_p=0.9, seed=3))
    replay(Recipe.from_json(recipe.to_json())).ids
    print(recipe.as_python()), print(recipe.as_command(run.config.decode))

Recipes come from anybody: they are read strictly, nothing in them is run, and what the model's name points to is for
the caller to check before it is loaded.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from core.decode.config import GenerationConfig
from core.decode.presets import ACTS_ON
from core.errors import ConfigError

if TYPE_CHECKING:
    from core.decode.result import Generation
    from core.run import Run

VERSION = 1
LARGEST = 2_000_000  # characters of JSON that are read, a result beside the recipe included
# What the command line has options for; all else is given with --set.
_OPTIONS = (
    "num_beams", "length_penalty", "length_penalty_formula", "early_stopping", "num_beam_groups", "diversity_penalty",
    "temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "penalty_alpha",
    "num_samples", "mbr_metric", "num_assistant_tokens", "repetition_penalty", "presence_penalty", "frequency_penalty",
    "no_repeat_ngram_size", "max_new_tokens", "num_return_sequences", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """One text decoded by one model with one configuration.

    >>> recipe = Recipe("shakespeare-gpt", "To be", GenerationConfig(top_k=3, strategy="sample"))
    >>> Recipe.from_json(recipe.to_json()) == recipe
    True
    >>> print(recipe.as_command(GenerationConfig()))
    llm-scratch generate --run=shakespeare-gpt --strategy=sample --top-k=3 -- 'To be'
    """

    model: str  # a run's name, or what else `core.load` takes
    text: str  # the prompt, or the source
    config: GenerationConfig
    assistant: str = ""  # the run that drafts, of assisted decoding
    translates: bool = False  # which of the two commands makes it

    def to_json(self, result: Mapping[str, Any] | None = None) -> str:
        """result: plain values that are kept beside the recipe, for readers; they are not read again."""
        values: dict[str, Any] = {"recipe": {"version": VERSION, **asdict(self)}}
        if result is not None:
            values["result"] = dict(result)
        return _json(values)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Raises ConfigError, one sentence, for what is not a recipe."""
        from core.decode.answers import settings_of

        values = _object(text, "recipe")
        values = values.get("recipe", values)
        if not isinstance(values, dict) or not {"model", "text", "config"} <= values.keys():
            raise ConfigError("This is no recipe: it needs a model, a text and a config, as they are exported here.")
        unknown = values.keys() - {"version", *(field.name for field in fields(cls))}
        if unknown:
            raise ConfigError(f"A recipe has no {sorted(unknown)[0]!r}: take it out, or export the recipe anew.")
        if values.get("version", VERSION) != VERSION:
            raise ConfigError(f"This recipe is of version {values['version']!r}; version {VERSION} is read here.")
        for name in ("model", "text", "assistant"):
            if not isinstance(values.get(name, ""), str):
                raise ConfigError(f"The {name} of a recipe must be a text.")
        if not values["model"].strip():
            raise ConfigError("The recipe names no model.")
        translates = values.get("translates", False)
        if not isinstance(translates, bool):
            raise ConfigError("translates in a recipe must be true or false.")
        config = settings_of(values["config"])
        return cls(values["model"], values["text"], config, values.get("assistant", ""), translates)

    def as_python(self) -> str:
        """A script that prints what is written."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in _differing(self.config, GenerationConfig()))
        helper = f", assistant=load({self.assistant!r})" if self.assistant else ""
        return (
            "from core import load\n"
            "from core.decode import GenerationConfig, generate\n\n"
            f"run = load({self.model!r})\n"
            f"config = GenerationConfig({arguments})\n"
            f"generation = generate(run, [{self.text!r}], config{helper})[0]\n"
            "print(generation.text)\n"
        )

    def as_command(self, own: GenerationConfig, truncated: bool = False) -> str:
        """The call of the command line. own: the run's own settings (`run.config.decode`), which it begins with.
        truncated: the text is longer than the context (`Generation.truncated`), which is said with an option there."""
        command = ["llm-scratch", "translate" if self.translates else "generate"]
        if not _can_be_argument(self.text, self.translates):
            return shlex.join([*command, "--recipe", "recipe.json"])  # where `to_json` is kept
        command += ["--truncate"] if truncated else []
        command.append(_option("run", self.model))
        if self.assistant:
            command.append(_option("assistant", self.assistant))
        command += options(self.config, own)
        command += ["--from-start"] if not self.text else ["--", self.text]
        return shlex.join(command)


def options(config: GenerationConfig, own: GenerationConfig) -> list[str]:
    """Options of the command line that make `config` of the settings `own`, a word each.

    >>> options(GenerationConfig(strategy="beam", num_beams=4), GenerationConfig())
    ['--strategy=beam', '--num-beams=4']
    """
    found = [_option("strategy", config.strategy)]
    for name, value in _differing(config, own):
        acts = config.strategy in ACTS_ON.get(name, (config.strategy,))
        # Of assisted decoding the command line takes options of sampling as a wish to sample.
        if name in _OPTIONS and acts and config.strategy != "assisted":
            found.append(_option(name, json.dumps(value) if isinstance(value, bool) else str(value)))
        elif name != "strategy":
            found.append(_option("set", f"decode.{name}={json.dumps(value)}"))
    return found


def settings_to_json(config: GenerationConfig) -> str:
    """The settings alone, to be kept."""
    return _json(asdict(config))


def settings_from_json(text: str) -> GenerationConfig:
    """Settings, also out of a whole recipe. ConfigError for what is none, or asks for too much."""
    from core.decode.answers import settings_of

    values = _object(text, "settings")
    for name in ("recipe", "config"):
        values = values.get(name, values)
        if not isinstance(values, dict):
            raise ConfigError(f"These are no settings: {name!r} must be an object with keys.")
    return settings_of(values)


def replay(
    recipe: Recipe, run: "Run | None" = None, assistant: "Run | None" = None, trace: bool = False
) -> "Generation":
    """Decode it again. run, assistant: where they are loaded already; else they are loaded by their names."""
    from core.decode.search import generate
    from core.run import load

    run = run or load(recipe.model)
    if recipe.config.strategy == "assisted" and assistant is None and recipe.assistant:
        assistant = load(recipe.assistant)
    return generate(run, [recipe.text], recipe.config, trace, assistant=assistant)[0]


def recipe_of(run: "Run", text: str, config: GenerationConfig, assistant: str = "") -> Recipe:
    """The recipe of what a run decodes."""
    return Recipe(run.name, text, config, assistant if config.strategy == "assisted" else "", run.is_translation)


def _object(text: str, what: str) -> dict[str, Any]:
    if not isinstance(text, str) or len(text) > LARGEST:
        raise ConfigError(f"This is too long for {what}: {LARGEST:,} characters are read at most.")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"This is no JSON: paste {what} as they are exported here.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"This is JSON, but no {what}: paste it as it is exported here.")
    return values


def _differing(config: GenerationConfig, other: GenerationConfig) -> list[tuple[str, Any]]:
    """The settings in which `config` differs from `other`, by name."""
    names = [field.name for field in fields(GenerationConfig)]
    return [(name, getattr(config, name)) for name in names if getattr(config, name) != getattr(other, name)]


def _option(name: str, value: str) -> str:
    """In one word, as the value may begin with a dash."""
    return f"--{name.replace('_', '-')}={value}"


def _can_be_argument(text: str, translates: bool) -> bool:
    """Whether the command line can be given the text: none that is blank, has a NUL or half a surrogate pair."""
    if not text:
        return not translates
    return bool(text.strip()) and "\0" not in text and _is_unicode(text)


def _is_unicode(text: str) -> bool:
    return text.encode("utf-8", "replace").decode() == text


def _json(values: Any) -> str:
    text = json.dumps(values, ensure_ascii=False, indent=2)
    return text if _is_unicode(text) else json.dumps(values, indent=2)
