"""How good a run is, as numbers that others can check: BLEU and chrF with signatures, loss per token, bits per byte.

    evaluate(load("enja-transformer"))                                   # on the validation split of its data
    evaluate(run, pairs=read_pairs("test.en", "test.ja", run.config.data))

Everything heavy is imported when it is needed.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import DataError
from core.evaluate.inputs import read_data, read_pairs

if TYPE_CHECKING:
    from core.data.corpus import Pair
    from core.decode.config import GenerationConfig
    from core.run import Run

__all__ = ["Progress", "evaluate", "read_data", "read_pairs", "validation_split"]

Progress = Callable[[float, str], Any]


def evaluate(
    run: "Run",
    pairs: "Sequence[Pair] | None" = None,
    documents: Sequence[str] | None = None,
    decode: "GenerationConfig | None" = None,
    max_examples: int = 0,
    progress: Progress | None = None,
    assistant: "Run | None" = None,
) -> dict[str, Any]:
    """The run's scores, as plain values: on given pairs or documents, else on the validation split of its own data.

    decode: how translations are written; the run's own settings by default. max_examples: only the first so many
    pairs or documents (0: all). progress: called as progress(share, what is happening). assistant: see
    core.decode.generate. Raises DataError.
    """
    from core.evaluate.language import evaluate_language
    from core.evaluate.translation import evaluate_translation

    items: Sequence[Any] | None = pairs if run.is_translation else documents
    if items is None:
        if pairs is not None or documents is not None:
            raise DataError(
                f"{run.name} {'translates: give pairs' if run.is_translation else 'writes text: give documents'}."
            )
        items = validation_split(run, progress)
    if max_examples:
        items = items[:max_examples]
    if not items:
        raise DataError("There is nothing to evaluate on: the data is empty.")
    if run.is_translation:
        return evaluate_translation(run, items, decode, progress, assistant)
    return evaluate_language(run, items, progress)


def validation_split(run: "Run", progress: Progress | None = None) -> list[Any]:
    """The validation pairs or documents of the data that the run was trained on. DataError if it is not there."""
    from core.data.sources import load_corpus

    if not run.config.data.name and not run.config.data.src:
        raise DataError(f"What {run.name} was trained on is not known: name the data to measure it on.")
    kind: Any = "pairs" if run.is_translation else "text"
    try:
        return load_corpus(run.config.data, kind, seed=run.config.seed, progress=progress).val
    except DataError as error:
        raise DataError(f"{error} (This is the data that {run.name} was trained on; name other data.)") from None
