"""What the browser draws: a figure as one JSON text of plain values. The drawing is in assets/figures.js and beside it.

A figure is drawn and exported (PNG, SVG, standalone HTML, CSV, JSON) where it is seen; the server sends numbers only.
"""

import json
from base64 import b64encode
from typing import Any

import numpy as np

_TYPES = {"f4": np.float32, "u1": np.uint8, "u2": np.uint16}


def spec(kind: str, name: str, title: str, subtitle: str = "", **data: Any) -> str:
    """A figure of a kind. name: of the files that it is saved as. Strings of `data` may be anybody's: they are only
    ever put into the page as text. Non-finite numbers have no place in JSON: pack them.

    >>> spec("bars", "example", "A title", values=[1, 2])
    '{"kind":"bars","name":"example","title":"A title","subtitle":"","values":[1,2]}'
    """
    figure = {"kind": kind, "name": name, "title": title, "subtitle": subtitle, **data}
    return json.dumps(figure, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def packed(array: np.ndarray, dtype: str = "f4", lower: bool = False) -> dict[str, Any]:
    """An array as base64 of its little-endian bytes, of any shape. NaN stays NaN.

    lower: of a square matrix (.., n, n) whose upper triangle is nothing: only what is on and below the diagonal.

    >>> packed(np.array([[1, 2]]), "u1")
    {'shape': [1, 2], 'dtype': 'u1', 'lower': False, 'data': 'AQI='}
    """
    values = np.asarray(array, dtype=_TYPES[dtype])
    shape = list(values.shape)
    if lower:
        values = values[(..., *np.tril_indices(shape[-1]))]
    little = values.astype(values.dtype.newbyteorder("<"))
    return {"shape": shape, "dtype": dtype, "lower": lower, "data": b64encode(little.tobytes()).decode("ascii")}
