"""What a run is evaluated on: pairs of two text files, or the pairs and documents of a table or a data set.

A file that is not what it should be is one sentence that names the file and the line (see core/data/readers.py).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.config import DataConfig
    from core.data.corpus import Pair


def read_pairs(src: str, ref: str, config: "DataConfig") -> "list[Pair]":
    """The pairs of two text files, line by line; split words are joined as the run's training data was.

    Lines that are empty or that come again are kept: what is measured is what the files hold. Raises DataError.
    """
    from core.data.corpus import Pair
    from core.data.readers import parallel_lines

    return [_joined(Pair(source, reference), config) for source, reference in parallel_lines(src, ref)]


def read_data(name: str, config: "DataConfig", kind: str) -> list[Any]:
    """All pairs or documents of a file or hub data set; the columns are those of `config`. Raises DataError."""
    from core.data import sources

    if kind == "pairs":
        return [_joined(pair, config) for pair in sources._pairs_of(name, config, config.split, every_row=True)]
    return sources._documents_of(name, config, config.split, lambda share, what: None)


def _joined(pair: "Pair", config: "DataConfig") -> "Pair":
    if not config.pretokenized:
        return pair
    from core.data.sources import typed

    return typed(pair, config)
