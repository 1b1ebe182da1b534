"""How good a run is, as numbers that others can check: BLEU and chrF with signatures, loss per token, bits per byte.

    evaluate(load("enja-transformer"))                                   # on the validation split of its data
    evaluate(run, pairs=read_pairs("test.en", "test.ja", run.config.data))

Everything heavy is imported when it is needed.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import DataError

if TYPE_CHECKING:
    from core.config import DataConfig
    from core.data.corpus import Pair
    from core.decode.config import GenerationConfig
    from core.run import Run

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


def read_pairs(src: str, ref: str, config: "DataConfig") -> "list[Pair]":
    """The pairs of two text files, line by line; split words are joined as the run's training data was."""
    from core.data.corpus import Pair
    from core.data.readers import read_lines

    sources, references = read_lines(src), read_lines(ref)
    if len(sources) != len(references):
        raise DataError(
            f"{src} has {len(sources):,} lines but {ref} has {len(references):,}; sources and references need the "
            "same number."
        )
    return [_joined(Pair(s, r), config) for s, r in zip(sources, references, strict=True)]


def read_data(name: str, config: "DataConfig", kind: str) -> list[Any]:
    """All pairs or documents of a file or hub data set; the columns are those of `config`."""
    from core.data import sources

    if kind == "pairs":
        return [_joined(pair, config) for pair in sources._pairs_of(name, config, config.split)]
    return sources._documents_of(name, config, config.split, lambda share, what: None)


def _joined(pair: "Pair", config: "DataConfig") -> "Pair":
    if not config.pretokenized:
        return pair
    from core.data.text import join_words

    return pair._replace(src=join_words(pair.src, config.src_language), tgt=join_words(pair.tgt, config.tgt_language))
