"""What the Embeddings tab looks at: the vectors of a model's tokens, or word vectors that were trained here."""

from collections.abc import Hashable
from typing import NamedTuple

from core.analysis.embeddings import Vectors, matrices, model_vectors, word_vectors
from core.analysis.own_vectors import open_vectors, own_vectors, vectors_path
from core.analysis.words import words_of
from core.errors import RunError, UserError
from core.tokenizer.visible import visible
from playground import models
from playground.memory import Memory
from playground.site import Site, here

INPUT, OUTPUT, OWN = "input", "output", "own:"
TOTAL = 512 * 2**20  # bytes of vectors that are kept beside their models
NO_MODEL = "No model is chosen, so there are no embeddings to see: choose one above."
NOT_HERE = "A hosted page keeps no word vectors: clone the repository and run it yourself."

_kept: Memory[Vectors] = Memory(maximum=6, max_size=TOTAL, size=lambda vectors: vectors.matrix.nbytes)


class Work(NamedTuple):
    """source: INPUT or OUTPUT, of the model; OWN and a name: word vectors of one's own."""

    model: str
    text: str
    source: str = INPUT


def choices(site: Site) -> list[tuple[str, str]]:
    """(label, value) of the vectors that can be looked at, beside those of the model."""
    found = [("Input embeddings of the model", INPUT), ("Output embeddings of the model", OUTPUT)]
    if not site.is_hosted:
        found += [(f"Word2Vec: {about.name}", OWN + about.name) for about in own_vectors()]
    return found


def vectors_of(work: Work) -> Vectors:
    """The vectors that the work is about. UserError if there are none."""
    key = _key(work)
    if work.source.startswith(OWN):
        name = work.source.removeprefix(OWN)
        return _kept.get(key, lambda: word_vectors(open_vectors(name), f"word vectors {name}"))
    run = models.get_run(work.model)
    # With tied embeddings both matrices are one.
    which = "output" if work.source == OUTPUT and OUTPUT in matrices(run) else "input"
    return _kept.get((*key, which), lambda: model_vectors(run, which))  # type: ignore[arg-type]


def is_tied(work: Work) -> bool:
    """Whether the output embeddings that are asked for are the input embeddings."""
    return work.source == OUTPUT and OUTPUT not in matrices(models.get_run(work.model))


def stamp(work: Work) -> Hashable:
    """Equal as long as the vectors are the same."""
    try:
        return _key(work)
    except UserError:
        return None


def text_ids(work: Work, vectors: Vectors) -> list[int]:
    """The tokens (of word vectors: the words) of the header's text that have vectors, each once."""
    if not work.source.startswith(OWN):
        ids = models.get_run(work.model).tokenizer.encode(work.text).ids
        return [id for id in dict.fromkeys(ids) if id < len(vectors)]
    names = words_of(work.text)
    if not any(name in vectors.id_of for name in names) and work.model:  # trained on a tokenizer's tokens, it may be
        names = [visible(piece) for piece in models.get_run(work.model).tokenizer.encode(work.text).pieces]
    return list(dict.fromkeys(vectors.id_of[name] for name in names if name in vectors.id_of))


def _key(work: Work) -> tuple[Hashable, ...]:
    """UserError if there is no such thing."""
    if work.source.startswith(OWN):
        if here().is_hosted:
            raise RunError(NOT_HERE)
        folder = vectors_path(work.source.removeprefix(OWN))
        try:
            return "own", str(folder), (folder / "about.json").stat().st_mtime_ns
        except OSError:
            raise RunError(f"The word vectors {folder.name} are gone.") from None
    if work.source not in (INPUT, OUTPUT):
        raise RunError("Choose one of the vectors of the list.")
    if not work.model:
        raise RunError(NO_MODEL)
    return "run", models.run_stamp(models.get_run(work.model))
