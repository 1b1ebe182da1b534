"""What the parts of the Attention tab call things."""

from core.analysis.reading import Reading
from playground.readings import Work, reading_of
from playground.views.attention import Place


def place_for_people(work: Work) -> Place:
    """The work's kind, layer and head, with its titles. The work must be `within` its reading."""
    reading = reading_of(work)
    shared = reading.key_value_head(work.kind, work.head)
    key_value = None if shared is None else (shared, reading.run.config.model.n_kv_heads)
    return Place(
        work.kind, work.layer, work.head, reading.n_layers(work.kind), reading.n_heads, key_value,
        reading.is_translation,
    )  # fmt: skip


def row_names(reading: Reading, kind: str) -> list[str]:
    """A decoder's row is best known by the word that it is about to write: where it looks for that is the question."""
    return reading.written if kind == "cross" else reading.queries(kind)
