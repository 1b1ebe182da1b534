"""Local files as text or as rows: txt, csv, tsv, jsonl, json and parquet, each mistake named in one sentence.

Text is UTF-8 (with or without a byte order mark; UTF-16 with one). Line ends are made "\\n". The lines of parallel
files are cut at line ends only, never at rarer separators such as U+2028 or at a stray carriage return, so that they
keep step.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from core.errors import DataError

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet")
DOCUMENT_COLUMNS = ("document", "doc_id", "document_id", "dialogue_id", "conversation_id", "id")


def existing_file(name: str) -> Path:
    """The path of a regular file, or DataError saying what is wrong with it."""
    path = Path(name).expanduser()
    try:
        if path.is_file():
            return path
        exists = path.exists()
    except (OSError, ValueError) as error:  # too long, or with a NUL character
        raise DataError(f"{name[:80]!r} is not a usable file name: {error}.") from None
    if exists:
        raise DataError(f"{name} is not a file; name a file that ends in {', '.join(SUFFIXES)}.")
    raise DataError(f"There is no file {name}; check the name and the folder.")


def read_text(name: str) -> str:
    """The whole of a text file, decoded, with "\\n" line ends."""
    return _with_line_ends(_read(name))


def _read(name: str) -> str:
    """The whole of a text file, decoded."""
    path = existing_file(name)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}.") from None
    return _decoded(data, path.name)


def decode(data: bytes, name: str) -> str:
    """Bytes of a file (or upload) as text with "\\n" line ends, or DataError when they are no text."""
    return _with_line_ends(_decoded(data, name))


def _with_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes, name: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError:
            raise DataError(f"{name} is not a text file; give UTF-8 text.") from None
    else:
        if b"\0" in data:
            line = data[: data.index(b"\0")].count(b"\n") + 1
            raise DataError(f"{name} is not a text file (line {line:,} holds a NUL byte); give UTF-8 text.")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            bad = error.object[: error.start]  # bytes after a byte order mark, if there was one
            line = bad.count(b"\n") + 1
            raise DataError(
                f"{name} is not UTF-8 text: line {line:,} holds the byte 0x{error.object[error.start]:02x}; "
                "save it as UTF-8."
            ) from None
    if not text.strip():
        raise DataError(f"{name} is empty; give a file with text in it.")
    return text


def read_lines(name: str) -> list[str]:
    """The lines of a text file, without their line ends; a last line end ends the last line and starts none.

    A carriage return within a line is a character like others, unless the file has no other line ends.
    """
    text = _read(name).replace("\r\n", "\n")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    return (text[:-1] if text.endswith("\n") else text).split("\n")


def parallel_lines(first: str, second: str) -> list[tuple[str, str]]:
    """The lines of two text files side by side, or DataError naming the first line that has nothing beside it."""
    sides = read_lines(first), read_lines(second)
    counts, names = [len(lines) for lines in sides], [Path(first).name, Path(second).name]
    if counts[0] != counts[1]:
        longer, line = int(counts[1] > counts[0]), min(counts)
        raise DataError(
            f"{names[0]} has {counts[0]:,} lines but {names[1]} has {counts[1]:,}: line {line + 1:,} of "
            f"{names[longer]} ({sides[longer][line][:40]!r}) has none beside it; parallel files need the same number."
        )
    return list(zip(*sides, strict=True))


def read_rows(name: str) -> list[dict[str, Any]]:
    """The rows of a table file as dictionaries. Raises DataError naming the line where it cannot be read."""
    path = existing_file(name)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        rows = _parquet_rows(path)
    elif suffix == ".csv":
        rows = _table_rows(read_text(name), ",", path.name)
    elif suffix == ".tsv":
        rows = _table_rows(read_text(name), "\t", path.name)
    elif suffix == ".jsonl":
        rows = list(_jsonl_rows(read_text(name), path.name))
    elif suffix == ".json":
        rows = _json_rows(read_text(name), path.name)
    else:
        raise DataError(f"{path.name} is of a kind that is not known here; use {', '.join(SUFFIXES)}.")
    if not rows:
        raise DataError(f"{path.name} has no rows; give a file with data in it.")
    return rows


def _table_rows(text: str, delimiter: str, name: str) -> list[dict[str, Any]]:
    csv.field_size_limit(2**31 - 1)  # a column may hold whole documents
    lines = io.StringIO(text, newline="")
    if delimiter == ",":
        reader = csv.reader(lines, strict=True)
    else:  # tsv: a quote is a quote
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    rows: list[dict[str, Any]] = []
    try:
        header = [column.strip() for column in next(reader)]
        if len(set(header)) < len(header):
            raise DataError(f"{name} names a column twice in its first line: {', '.join(header)}.")
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                raise DataError(
                    f"Line {reader.line_num:,} of {name} has {len(fields)} fields, but the first line names "
                    f"{len(header)} columns ({', '.join(header)})."
                )
            rows.append(dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        raise DataError(f"Line {reader.line_num:,} of {name} is not valid: {error}.") from None
    return rows


def _jsonl_rows(text: str, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # also a number of thousands of digits
            raise DataError(f"Line {number:,} of {name} is not valid JSON: {error}.") from None
        if not isinstance(row, dict):
            raise DataError(f'Line {number:,} of {name} must be an object such as {{"text": "..."}}.')
        yield row


def _json_rows(text: str, name: str) -> list[dict[str, Any]]:
    """A list of objects, one object that holds such a list, an object of columns, or dialogues with lists inside."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is not valid JSON: {error}.") from None
    if isinstance(values, dict):
        lists = {key: value for key, value in values.items() if isinstance(value, list)}
        tables = [value for value in lists.values() if value and all(isinstance(row, dict) for row in value)]
        if len(tables) == 1:
            values = tables[0]
        elif lists and len({len(value) for value in lists.values()}) == 1:  # {"src": [...], "tgt": [...]}
            return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    if not isinstance(values, list) or not all(isinstance(row, dict) for row in values):
        raise DataError(f'{name} must be a list of objects such as [{{"src": "...", "tgt": "..."}}].')
    return [row for index, value in enumerate(values) for row in _flatten(value, index)]


def _flatten(row: dict[str, Any], index: int) -> list[dict[str, Any]]:
    """A dialogue {"id": ..., "conversation": [{...}, ...]} as its sentences, each with the dialogue as document."""
    inner = [key for key, value in row.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if len(inner) != 1 or not all(isinstance(child, dict) for child in row[inner[0]]):
        return [row]
    shared = {key: value for key, value in row.items() if key != inner[0]}
    document = str(shared.get("id", index))
    return [{**shared, "document": document, **child} for child in row[inner[0]]]


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path.name} is not a valid parquet file: {reason}.") from None


def column_values(
    rows: Iterable[dict[str, Any]], column: str, name: str, option: str, every_row: bool = False
) -> Iterator[str]:
    """The text of one column, row by row; dots reach into objects (`translation.en`). Missing values become ""; a row
    of json that leaves the column out is a mistake only if every_row is set."""
    for number, row in enumerate(rows, start=1):
        value = _value(row, column)
        if value is _MISSING and (number == 1 or every_row or not _has_prefix(row, column)):
            where = f"Row {number:,} of {name}" if number > 1 else name
            raise DataError(
                f"{where} has no column {column!r}; its columns are {', '.join(column_names(row))} (see data.{option})."
            )
        if value is None or value is _MISSING:
            yield ""
        elif isinstance(value, str):
            yield value.replace("\r\n", "\n")
        else:
            kind = "objects" if isinstance(value, dict) else "lists" if isinstance(value, list) else "numbers"
            inside = f" (there is {', '.join(f'{column}.{key}' for key in value)})" if isinstance(value, dict) else ""
            raise DataError(f"The column {column!r} of {name} holds {kind}, not text{inside}; see row {number:,}.")


def column_names(row: dict[str, Any]) -> list[str]:
    """The columns of a row, those inside objects dotted."""
    names = []
    for key, value in row.items():
        names += [f"{key}.{inner}" for inner in column_names(value)] if isinstance(value, dict) and value else [key]
    return names


def document_values(rows: list[dict[str, Any]]) -> list[str]:
    """The document that each row belongs to, by a column that says so; "" where none is named."""
    column = document_column(rows)
    return [document_name(row.get(column)) or "" for row in rows] if column else [""] * len(rows)


def document_column(rows: list[dict[str, Any]]) -> str:
    """The column that says which document a row belongs to, or "".

    A column with another value in every row names the row, one with a single value the data set: neither is a document.
    A plain `id` must have one and a half rows a value at least, as repeated ids happen where data sets were joined.
    """
    for column in DOCUMENT_COLUMNS:
        if not any(column in row for row in rows):
            continue
        values = [document_name(row.get(column)) for row in rows]
        if None in values:
            continue
        known = [value for value in values if value]
        different = len(set(known))
        if 1 < different < len(known) / (1.5 if column == "id" else 1):
            return column
    return ""


def document_name(value: Any) -> str | None:
    """A document's name as text: 7, 7.0 and "7" are the same one, as files of different kinds have it. "" for a value
    that is missing, None for one that names nothing (a list, an object)."""
    if value is None or isinstance(value, float) and value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() if isinstance(value, (str, int, float)) else None


_MISSING = object()


def _value(row: dict[str, Any], column: str) -> Any:
    if column in row:
        return row[column]
    value: Any = row
    for key in column.split("."):
        if not isinstance(value, dict) or key not in value:
            return _MISSING
        value = value[key]
    return value


def _has_prefix(row: dict[str, Any], column: str) -> bool:
    """Later rows of json may leave a column out; that is an empty value as long as the row has other columns."""
    return bool(row)
