"""The token table as a file: CSV or JSON, every token with all that is known of it."""

import csv
import io
import json

from core.tokenizer.base import Encoding, clean_text
from core.tokenizer.inspect.rows import TokenRow, token_rows
from core.tokenizer.visible import visible

COLUMNS = (
    "index", "id", "text", "bytes", "byte_start", "byte_end", "char_start", "char_end", "special", "partial",
    "characters",
)  # fmt: skip


def as_csv(encoding: Encoding, text: str) -> str:
    """A header and a line a token. Text is written with signs for what is invisible, so that a line is a line;
    `characters` are the whole characters that the token touches, in the same way."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in token_rows(encoding, text):
        values = _values(row)
        values["characters"] = visible(row.characters.encode("utf-8"))
        writer.writerow([int(v) if isinstance(v, bool) else v for v in values.values()])
    return out.getvalue()


def as_json(encoding: Encoding, text: str) -> str:
    """An object with the text, the ids, and the tokens as a list of objects with the columns of the CSV."""
    tokens = [_values(row) for row in token_rows(encoding, text)]
    return json.dumps({"text": clean_text(text), "ids": encoding.ids, "tokens": tokens}, ensure_ascii=False, indent=1)


def _values(row: TokenRow) -> dict[str, object]:
    values = (
        row.index, row.id, row.text, row.bytes_hex, *row.byte_span, *row.char_span, row.is_special, row.is_partial,
        row.characters,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))
