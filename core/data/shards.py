"""Rows of data sets that are larger than memory: in shards (mostly files), each read from any row on.

A place in such a set is (shard, row), so that reading can go on where it was left. Rows that are passed over are read
but not decoded where the format allows (parquet: not even read, but for those of the same row group).
"""

import csv
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.readers import SUFFIXES, existing_file
from core.errors import DataError

if TYPE_CHECKING:
    from core.config import DataConfig

Row = dict[str, Any]
_PIECE = 1 << 16  # characters of a piece of a plain text
_LINE = 1 << 26  # characters of a line: a file without line ends must not fill the memory
_TABLE_ROWS = 256  # rows of a columnar file that are decoded at a time


class Shards(ABC):
    """A set of rows. `total` is their number where it is known without reading them, else 0."""

    title: str
    count: int = 1
    total: int = 0
    one_piece: bool = False  # the rows are consecutive pieces of one text

    @abstractmethod
    def rows(self, shard: int, start: int = 0) -> Iterator[Row]:
        """The rows of a shard from number `start` on; none if it has fewer. Raises DataError."""


class FileShards(Shards):
    """One local file: jsonl, csv, tsv, parquet, or txt (pieces of one text; lines with a tab for pairs)."""

    def __init__(self, name: str, pairs: bool, src_column: str = "src", tgt_column: str = "tgt") -> None:
        self.path = existing_file(name)
        self.title, self.suffix = self.path.name, self.path.suffix.lower()
        self.pairs, self.columns = pairs, (src_column, tgt_column)
        self.one_piece = not pairs and self.suffix in (".txt", ".md", ".text")
        if self.suffix == ".json":
            raise DataError(f"{self.title} cannot be read as a stream; write it as .jsonl, one object a line.")
        if self.suffix not in (*SUFFIXES, ".md", ".text"):
            raise DataError(f"{self.title} is of a kind that is not known here; use {', '.join(SUFFIXES)}.")
        if self.suffix == ".parquet":
            with self._parquet() as file:
                self.total = file.metadata.num_rows

    def rows(self, shard: int, start: int = 0) -> Iterator[Row]:
        if self.suffix == ".parquet":
            yield from self._parquet_rows(start)
        elif self.suffix == ".jsonl":
            yield from self._jsonl_rows(start)
        elif self.suffix in (".csv", ".tsv"):
            yield from self._table_rows(start)
        elif self.pairs:
            yield from self._tabbed_rows(start)
        else:
            pieces = _pieces(text_lines(self.path))
            yield from ({"text": piece} for piece in itertools.islice(pieces, start, None))

    def _jsonl_rows(self, start: int) -> Iterator[Row]:
        lines = ((n, line) for n, line in enumerate(text_lines(self.path), start=1) if line.strip())
        for number, line in itertools.islice(lines, start, None):
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise DataError(f"Line {number:,} of {self.title} is not valid JSON: {error}.") from None
            if not isinstance(row, dict):
                raise DataError(f'Line {number:,} of {self.title} must be an object such as {{"text": "..."}}.')
            yield row

    def _table_rows(self, start: int) -> Iterator[Row]:
        csv.field_size_limit(2**31 - 1)
        lines = text_lines(self.path)
        if self.suffix == ".csv":
            reader = csv.reader(lines, strict=True)
        else:  # tsv: a quote is a quote
            reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
        try:
            header = [column.strip() for column in next(reader, [])]
            if not header or len(set(header)) < len(header):
                raise DataError(f"{self.title} must name its columns in its first line, each once.")
            for fields in itertools.islice((fields for fields in reader if fields), start, None):
                if len(fields) != len(header):
                    raise DataError(
                        f"Line {reader.line_num:,} of {self.title} has {len(fields)} fields, but the first line names "
                        f"{len(header)} columns ({', '.join(header)})."
                    )
                yield dict(zip(header, fields, strict=True))
        except csv.Error as error:
            raise DataError(f"Line {reader.line_num:,} of {self.title} is not valid: {error}.") from None

    def _tabbed_rows(self, start: int) -> Iterator[Row]:
        lines = ((n, line) for n, line in enumerate(text_lines(self.path), start=1) if line.strip())
        for number, line in itertools.islice(lines, start, None):
            fields = line.rstrip("\n").split("\t")
            if len(fields) < 2:
                raise DataError(
                    f"Line {number:,} of {self.title} has no tab; a text file of pairs has one pair a line, "
                    "source, tab, target."
                )
            yield dict(zip(self.columns, fields))

    def _parquet(self) -> Any:
        import pyarrow
        import pyarrow.parquet

        try:
            return pyarrow.parquet.ParquetFile(self.path)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{self.title} is not a valid parquet file: {str(error).splitlines()[0]}.") from None

    def _parquet_rows(self, start: int) -> Iterator[Row]:
        import pyarrow

        with self._parquet() as file:
            first, before = 0, 0  # the row group that holds row `start`, and the rows before it
            while first < file.num_row_groups and before + file.metadata.row_group(first).num_rows <= start:
                before += file.metadata.row_group(first).num_rows
                first += 1
            groups = list(range(first, file.num_row_groups))
            try:
                yield from decoded(file.iter_batches(_TABLE_ROWS, row_groups=groups), start - before)
            except (pyarrow.ArrowException, OSError) as error:
                raise DataError(f"{self.title} cannot be read on: {str(error).splitlines()[0]}.") from None


class ParallelShards(Shards):
    """Two text files, line by line."""

    def __init__(self, src: str, tgt: str, columns: tuple[str, str]) -> None:
        self.paths, self.columns = (existing_file(src), existing_file(tgt)), columns
        self.title = f"{self.paths[0].name} and {self.paths[1].name}"

    def rows(self, shard: int, start: int = 0) -> Iterator[Row]:
        sides = [text_lines(path, newline="\n") for path in self.paths]
        lines = enumerate(itertools.zip_longest(*sides), start=1)
        for number, (src, tgt) in itertools.islice(lines, start, None):
            if src is None or tgt is None:
                raise DataError(
                    f"{self.title} have different numbers of lines: line {number:,} of {self.paths[src is None].name} "
                    "has none beside it; parallel files need the same number."
                )
            yield dict(zip(self.columns, (src.rstrip("\r\n"), tgt.rstrip("\r\n"))))


def decoded(tables: Iterator[Any], start: int = 0) -> Iterator[Row]:
    """The rows of arrow tables (or record batches), without those before number `start`."""
    for table in tables:
        if start >= len(table):
            start -= len(table)
            continue
        yield from table.slice(start).to_pylist()
        start = 0


def open_shards(config: "DataConfig", pairs: bool, name: str = "", split: str = "") -> Shards:
    """The data that `config` names (or other data of the same shape), to be read as a stream."""
    name, split = name or config.name, split or config.split
    columns = (config.src_column, config.tgt_column)
    if config.src and name == config.name:
        return ParallelShards(config.src, config.tgt, columns)
    from core.data.sources import is_hub_name

    if is_hub_name(name) or Path(name).expanduser().is_dir():
        from core.data.hub import HubShards

        return HubShards(name, config.configuration, split)
    return FileShards(name, pairs, *columns)


def text_lines(path: Path, newline: str | None = None) -> Iterator[str]:
    """The lines of a text file of any size, each with its "\\n": UTF-8 (or UTF-16 with a byte order mark). newline: as
    of `open`; "\\n" keeps carriage returns."""
    try:
        with open(path, "rb") as raw:
            begin = raw.read(2)
        encoding = "utf-16" if begin in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        with open(path, encoding=encoding, newline=newline) as file:
            number = 0
            while line := file.readline(_LINE):
                number += 1
                if "\0" in line:
                    raise DataError(f"{path.name} is not a text file (line {number:,} holds NUL characters).")
                if len(line) >= _LINE and path.suffix.lower() not in (".txt", ".md", ".text"):
                    raise DataError(f"Line {number:,} of {path.name} is longer than {_LINE:,} characters.")
                yield line
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not UTF-8 text (after line {number:,}: {error.reason}).") from None
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror}.") from None


def _pieces(lines: Iterator[str]) -> Iterator[str]:
    """Whole lines, put together to pieces of about _PIECE characters; a longer line is cut."""
    piece: list[str] = []
    size = 0
    for line in lines:
        for at in range(0, len(line), _PIECE):
            part = line[at : at + _PIECE]
            if size + len(part) > _PIECE and piece:
                yield "".join(piece)
                piece, size = [], 0
            piece.append(part)
            size += len(part)
    if piece:
        yield "".join(piece)
