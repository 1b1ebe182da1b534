"""Recipes on the command line, and the measures of its answers."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from core.decode.config import GenerationConfig
from core.errors import ConfigError, RunError

if TYPE_CHECKING:
    from core.decode.recipe import Recipe
    from core.evaluate.degeneration import Measures


def follow_recipe(args: Namespace, what: str) -> "Recipe | None":
    """Take from the file of --recipe what is not given on the command line: the run, the assistant, the settings. None
    where there is no recipe, or settings alone: then there is no text in it."""
    args.settings = None
    if args.recipe is None:
        return None
    from core.data.readers import read_text
    from core.decode.recipe import Recipe, settings_from_json

    text = read_text(str(args.recipe))
    try:
        recipe = Recipe.from_json(text)
    except ConfigError as error:
        try:
            args.settings = settings_from_json(text)
        except ConfigError:
            raise error from None  # what was wrong with it as a recipe
        return None
    if recipe.translates != (what == "translation"):
        command = "translate" if recipe.translates else "generate"
        raise RunError(f"This is a recipe to {command}: use `llm-scratch {command} --recipe {args.recipe}`.")
    args.settings = recipe.config
    args.run = args.run or recipe.model
    args.assistant = args.assistant or recipe.assistant or None
    return recipe


def measured_answer(
    answer: dict[str, Any], config: GenerationConfig, reference: str = "", language: str = ""
) -> "Measures":
    """The measures of an answer as `core.decode.answers.as_plain` gives it: see `measures_of`."""
    from core.decode.result import Generation, Hypothesis, Work
    from core.evaluate.degeneration import measures_of

    hypotheses = [
        Hypothesis(
            h["ids"], h["logprobs"], h["score"], h["finish_reason"] in ("end", "stop"), h["finish_reason"], h["text"]
        )
        for h in answer["hypotheses"]
    ]
    generation = Generation("", [], hypotheses, answer["truncated"], answer["seconds"], Work(**answer["work"]))
    return measures_of(generation, config, [reference] if reference else None, language)
