"""What several systems made of the same sources, side by side: sorted, filtered, and marked where they agree with the
reference.

    lines = side_by_side(sources, references, {"greedy": outputs, "beam 5": others}, "en")
    lines[0].outputs["beam 5"], lines[0].scores["beam 5"]["chrf"]
    marked("a black cat", "the black cat", "en")               # [("a ", False), ("black cat", True)]
"""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.errors import DataError
from core.evaluate.languages import guess_language, length_of, length_unit
from core.evaluate.scores import LOWER_IS_BETTER, sentence_scores

Order = Literal["difference", "input", "worst", "best", "length"]
ORDERS = ("difference", "input", "worst", "best", "length")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so would be computed by a spreadsheet
MARKED = 4_000  # words or characters of a text that are marked; what is longer stays as it is

_WORDS = re.compile(r"\w+|[^\w\s]")
_CHARACTERS = re.compile(r"\S")


@dataclass(frozen=True)
class Line:
    """One source and what became of it. number: its place in the data, from 1."""

    number: int
    source: str
    reference: str
    outputs: dict[str, str]
    scores: dict[str, dict[str, float]]  # of each output, in each metric


def side_by_side(
    sources: Sequence[str],
    references: Sequence[str],
    outputs: Mapping[str, Sequence[str]],
    language: str = "",
    metric: str = "chrf",
    order: Order = "difference",
    contains: str = "",
    metrics: Sequence[str] | None = None,
    scores: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
) -> list[Line]:
    """A line for each source, in an order by `metric`; ties stay in the data's order.

    order: "difference" puts those first whose outputs' scores lie furthest apart (of a single system the worst),
    "worst" and "best" go by the mean of the outputs' scores, "length" puts long references first. contains: only lines
    with this text in the source, the reference or an output, whatever the case. metrics: what else is scored. scores:
    sentence scores that are known already, by output and metric. Raises DataError.
    """
    if not outputs:
        raise DataError("There is nothing to set side by side: no outputs are given.")
    if order not in ORDERS:
        raise DataError(f"There is no order {order!r}; choose {', '.join(ORDERS)}.")
    if len(sources) != len(references):
        raise DataError(f"There are {len(sources):,} sources but {len(references):,} references.")
    if not references:
        raise DataError("There is nothing to set side by side: no sentence is there.")
    language = language or guess_language(references)
    wanted = list(dict.fromkeys([metric, *(metrics or ())]))
    scored: dict[str, dict[str, Sequence[float]]] = {}
    for name, texts in outputs.items():
        known = dict((scores or {}).get(name, {}))
        missing = [one for one in wanted if len(known.get(one, ())) != len(references)]
        if missing or len(texts) != len(references):
            known |= sentence_scores(texts, references, language, missing or wanted, sources)
        scored[name] = {one: known[one] for one in wanted}
    lines = [
        Line(
            place + 1, sources[place], references[place], {name: texts[place] for name, texts in outputs.items()},
            {name: {one: values[place] for one, values in scored[name].items()} for name in outputs},
        )
        for place in range(len(references))
    ]  # fmt: skip
    if contains.strip():
        sought = contains.strip().casefold()
        lines = [
            line
            for line in lines
            if any(sought in text.casefold() for text in (line.source, line.reference, *line.outputs.values()))
        ]
    return _ordered(lines, metric, order, language)


def _ordered(lines: list[Line], metric: str, order: str, language: str) -> list[Line]:
    if order == "input":
        return lines
    if order == "length":
        return sorted(lines, key=lambda line: -length_of(line.reference, language))
    if order == "difference" and lines and len(lines[0].outputs) > 1:
        return sorted(lines, key=lambda line: -difference(line, metric))
    sign = (-1 if metric in LOWER_IS_BETTER else 1) * (-1 if order == "best" else 1)
    return sorted(lines, key=lambda line: sign * _mean(line, metric))


def difference(line: Line, metric: str) -> float:
    """How far the outputs' scores lie apart."""
    values = [scores[metric] for scores in line.scores.values()]
    return max(values) - min(values)


def _mean(line: Line, metric: str) -> float:
    return sum(scores[metric] for scores in line.scores.values()) / len(line.scores)


# -------------------------------------------------------------------------------------------------- differences


def marked(text: str, reference: str, language: str = "") -> list[tuple[str, bool]]:
    """The text in segments; True: also in the reference, in the same order (a longest common subsequence).

    By words and punctuation marks or, where words have no spaces between them, by characters. The segments joined are
    the text.

    >>> marked("She sees a black cat.", "She saw the black cat.", "en")
    [('She ', True), ('sees a ', False), ('black cat.', True)]
    """
    pattern = _CHARACTERS if length_unit(language) == "characters" else _WORDS
    units = list(pattern.finditer(text))
    others = [unit.group() for unit in pattern.finditer(reference)]
    if len(units) > MARKED or len(others) > MARKED:
        return [(text, True)] if text else []
    common = common_subsequence([unit.group() for unit in units], others)
    segments: list[tuple[str, bool]] = []
    for index, unit in enumerate(units):
        start = unit.start() if index else 0
        end = units[index + 1].start() if index + 1 < len(units) else len(text)
        if segments and segments[-1][1] == (index in common):
            segments[-1] = (segments[-1][0] + text[start:end], segments[-1][1])
        else:
            segments.append((text[start:end], index in common))
    return segments or ([(text, True)] if text else [])


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> set[int]:
    """Places of `first` that make up a longest common subsequence with `second`.

    Row by row of the usual table, a row as the bits of one number (Hyyrö, 2004): bit j is 0 where the length grows from
    column j to the next. So ten million cells take hundredths of a second.

    >>> sorted(common_subsequence("abcbdab", "bdcaba"))
    [1, 2, 3, 5]
    """
    places: dict[str, int] = {}
    for column, unit in enumerate(second):
        places[unit] = places.get(unit, 0) | 1 << column
    everything = (1 << len(second)) - 1
    row, rows = everything, []
    for unit in first:
        matches = row & places.get(unit, 0)
        row = ((row + matches) | (row - matches)) & everything
        rows.append(row)
    found, column = set(), len(second)
    for index in range(len(first) - 1, -1, -1):
        # Of all columns that this row's length may end in, the last growth; if the row above has it as well, this
        # element is not needed.
        grown = ~rows[index] & ((1 << column) - 1)
        if not grown:
            continue
        last = grown.bit_length() - 1
        above = ~rows[index - 1] & ((1 << column) - 1) if index else 0
        if above.bit_count() < grown.bit_count():
            found.add(index)
            column = last
    return found


# ------------------------------------------------------------------------------------------------------- tables


def rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """A flat row a line: number, source, reference; of each output "NAME text", "NAME chrf" and its other scores."""
    table: list[dict[str, Any]] = []
    for line in lines:
        row: dict[str, Any] = {"number": line.number, "source": line.source, "reference": line.reference}
        for name, text in line.outputs.items():
            row[f"{name} text"] = text
            row |= {f"{name} {metric}": round(score, 4) for metric, score in line.scores[name].items()}
        table.append(row)
    return table


def csv_text(lines: Sequence[Line]) -> str:
    """The rows as CSV."""
    return table_text(rows(lines))


def table_text(table: Sequence[Mapping[str, Any]]) -> str:
    """Rows of one kind as CSV (RFC 4180) with a header; text that a spreadsheet would compute has a ' before it."""
    out = io.StringIO(newline="")
    if table:
        writer = csv.DictWriter(out, list(table[0]))
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in table)
    return out.getvalue()


def _cell(value: Any) -> Any:
    return "'" + value if isinstance(value, str) and value.startswith(FORMULAS) else value


def json_text(lines: Sequence[Line]) -> str:
    """The lines as a JSON list of objects with the fields of `Line`."""
    return json.dumps([vars(line) for line in lines], ensure_ascii=False, indent=1)
