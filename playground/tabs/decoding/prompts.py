"""Prompts of the degeneration experiment: typed, cut from a text, or of built-in data that no bundled run has seen."""

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any

from core.config import DataConfig
from core.data.grammar import held_out
from core.data.repeats import passages
from core.data.sources import load_corpus
from core.errors import DataError, UserError
from core.evaluate.experiment import Case, cases_from_prompts, cases_from_text
from core.run import Run
from playground.models import examples, get_run

TYPED, TEXT, DATA = "typed", "text", "data"
SOURCES = [("Typed", TYPED), ("Cut from a text", TEXT), ("Built-in data", DATA)]
PAIRS = [("English sentences and their translations", "builtin:enja")]
TEXTS = [("Python’s language reference", "builtin:pydocs"), ("Passages that are said twice", "builtin:repeats")]
HELD_OUT = 100  # sentence pairs


def data_sets(run: Run) -> list[tuple[str, str]]:
    """(label, name) of the built-in data that a run can be given."""
    return PAIRS if run.is_translation else TEXTS


def cases_of(
    run: Run, source: Any, typed: Any, text: Any, data: Any, count: int, prompt_tokens: int, new_tokens: int
) -> list[Case]:
    """The prompts, `count` at most. Raises DataError, whatever the values are."""
    if source == TYPED:
        return _typed_cases(run, typed, count)
    if source == TEXT:
        if run.is_translation:
            raise DataError(f"{run.name} translates: type sentences, one a line, or take built-in ones.")
        if not isinstance(text, str) or not text.strip():
            raise DataError("There is no text: paste one, from which prompts are cut.")
        return cases_from_text(run, text, count, prompt_tokens, new_tokens)
    if source != DATA or data not in [name for _, name in [*PAIRS, *TEXTS]]:
        raise DataError("Choose where prompts come from, and a data set of the list.")
    names = [name for _, name in data_sets(run)]
    data = data if data in names else names[0]  # of another model: the page is about to show what suits this one
    if data == "builtin:enja":
        pairs = _pairs()[:count]
        return cases_from_prompts(run, [source for source, _ in pairs], [target for _, target in pairs])
    return _document_cases(run, _documents(data, run.config.seed), count, prompt_tokens, new_tokens)


def _typed_cases(run: Run, typed: Any, count: int) -> list[Case]:
    """A prompt a line, with what a person wrote behind a tab."""
    lines = [line for line in (typed if isinstance(typed, str) else "").splitlines() if line.strip()]
    if not lines:
        raise DataError("There are no prompts: type some, one a line.")
    if len(lines) > count:
        raise DataError(f"There are {len(lines):,} prompts; {count:,} are asked for: raise that, or take some out.")
    parts = [line.replace("\\n", "\n").split("\t", 1) for line in lines]
    references = [part[1] for part in parts if len(part) == 2 and part[1].strip()]
    if references and len(references) < len(lines):
        raise DataError("Some lines have what a person wrote behind a tab, others have not: give it for all, or none.")
    return cases_from_prompts(run, [part[0] for part in parts], references)


def _document_cases(run: Run, documents: Sequence[str], count: int, prompt_tokens: int, new_tokens: int) -> list[Case]:
    """Prompts of many documents, at even distances; of those that are long enough."""
    found: list[Case] = []
    problem: DataError | None = None
    for document in documents:
        try:
            found += cases_from_text(run, document, 10**6, prompt_tokens, new_tokens)
        except DataError as error:
            problem = error
    if not found:
        raise DataError(
            f"No text of this data has {prompt_tokens + new_tokens:,} tokens: ask for shorter prompts, or fewer tokens."
        ) from problem
    count = min(count, len(found))
    return [found[number * len(found) // count] for number in range(count)]


@lru_cache(maxsize=1)
def _pairs() -> list[tuple[str, str]]:
    return [(example.src, example.tgt) for example in held_out(HELD_OUT)[0]]


@lru_cache(maxsize=4)
def _documents(data: str, seed: int) -> list[str]:
    """The validation part."""
    if data == "builtin:repeats":
        return passages(400, 0, "val")
    return [str(document) for document in load_corpus(DataConfig(name=data), "text", seed=seed).val]


def example_prompts(run: Run) -> str:
    """The run's examples, as one would type them."""
    return "\n".join(text.replace("\n", "\\n") for text in examples(run))


def are_examples(typed: str, about: Hashable) -> bool:
    """Whether nobody has typed these prompts: they are the examples of the model before."""
    try:
        return isinstance(about, tuple) and bool(about[0]) and typed == example_prompts(get_run(about[0]))
    except UserError:
        return False
