"""The texts that a tokenizer is trained on: typed, of a file, or of a data set."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import DataConfig
from core.data import readers
from core.data.sources import load_corpus
from core.errors import DataError
from core.files import expanded

if TYPE_CHECKING:
    from core.tokenizer.train_process import TrainingJob

TEXT_SUFFIXES = (".txt", ".md", ".text")


def texts_of(job: "TrainingJob") -> tuple[list[str], str]:
    """The texts to train on, up to `max_bytes`, and what was left out ("" if nothing). DataError if there are none."""
    if job.text:
        texts = [job.text]
    elif job.file:
        if Path(job.file).suffix.lower() in TEXT_SUFFIXES:
            texts = [readers.read_text(job.file)]
        else:
            rows = readers.read_rows(job.file)
            column = job.column or _text_column(rows[0])
            texts = list(readers.column_values(rows, column, Path(job.file).name, "text_column"))
    elif job.data == "builtin:enja":
        texts = load_corpus(DataConfig(name=job.data), "pairs").texts()
    else:
        if not job.data.startswith("builtin:") and expanded(job.data).exists():
            raise DataError(f"{job.data[:80]!r} is a file of this machine: give it as a file, not as a data set.")
        plain = DataConfig(name=job.data, configuration=job.configuration)
        config = dataclasses.replace(plain, text_column=job.column) if job.column else plain
        texts = load_corpus(config, "text").texts()
    return _cut(texts, job.max_bytes)


def _text_column(row: dict[str, Any]) -> str:
    """The column named text, or else the only one that holds text."""
    columns = [name for name, value in row.items() if isinstance(value, str)]
    if "text" in row or not columns:
        return "text"
    if len(columns) > 1:
        raise DataError(f"The file has the columns {', '.join(columns[:8])}; say which one to train on.")
    return columns[0]


def _cut(texts: list[str], max_bytes: int) -> tuple[list[str], str]:
    kept, left = [], max_bytes
    for text in texts:
        size = len(text.encode("utf-8", "replace"))
        if size > left:
            kept.append(text.encode("utf-8", "replace")[:left].decode("utf-8", "ignore"))
            return kept, f"only the first {max_bytes / 1e6:,.1f} MB were read"
        kept.append(text)
        left -= size
    return kept, ""
