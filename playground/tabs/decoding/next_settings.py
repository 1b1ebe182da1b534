"""The settings of the Next token part as one JSON text, as the page holds it and its address: those that are not as
they usually are, by their names in `GenerationConfig`; "how", what a step takes; and "find", what is looked up.

A text may come from anybody: nothing gets through that the fields of the page could not hold.
"""

import json
from collections.abc import Callable
from typing import Any

from core.errors import ConfigError
from playground.tabs.decoding.settings import json_of
from playground.views.next_settings import Range

RANGES = (
    Range("temperature", "Temperature", "0 is greedy", 0, 2, 1, 0.05),
    Range("top_k", "Top-k", "0 is off", 0, 200, 0, 1),
    Range("top_p", "Top-p", "1 is off", 0.05, 1, 1, 0.01),
    Range("min_p", "Min-p", "0 is off", 0, 1, 0, 0.01),
    Range("typical_p", "Typical", "1 is off", 0.05, 1, 1, 0.01),
    Range("repetition_penalty", "Repetition penalty", "1 is off", 1, 2, 1, 0.05),
    Range("presence_penalty", "Presence penalty", "0 is off", -2, 2, 0, 0.1),
    Range("frequency_penalty", "Frequency penalty", "0 is off", -2, 2, 0, 0.1),
)
HOW = (("best", "most probable"), ("drawn", "drawn"))
LARGEST_SEED = 2**53 - 1  # the largest whole number that a browser counts to
TYPED = 100  # characters of what is looked up
LONGEST = 2_000  # characters of the JSON
USUAL: dict[str, Any] = {setting.name: setting.usual for setting in RANGES} | {"seed": 0, "how": "best", "find": ""}


def read(text: Any) -> dict[str, Any]:
    """All settings, from JSON of some; the others are as usual. ConfigError for what the fields cannot hold.

    >>> settings = read('{"top_k":40,"how":"drawn"}')
    >>> settings["top_k"], settings["temperature"], settings["how"]
    (40, 1, 'drawn')
    """
    values = _object(text)
    for name, value in values.items():
        if name not in CHECKS:
            raise ConfigError(f"The next token has no setting {name[:50]!r}.")
        holds, sentence = CHECKS[name]
        if not holds(value):
            raise ConfigError(sentence)
    return USUAL | values


def from_link(text: Any) -> str:
    """The JSON text of what the fields can hold of a link's (that text, or the object itself: it is easier to type);
    all else is dropped. "" if nothing is left.

    >>> from_link('{"top_k":40,"top_p":7,"other":[1],"seed":0}')
    '{"top_k":40}'
    """
    try:
        values = text if isinstance(text, dict) else _object(text)
    except ConfigError:
        return ""
    kept = {name: values[name] for name in USUAL if name in values and CHECKS[name][0](values[name])}
    return dump(kept)


def dump(values: dict[str, Any]) -> str:
    """The shortest JSON that `read` takes for them, as the page itself writes it.

    >>> dump({"temperature": 0.7, "top_k": 0}), dump({"temperature": 1.0})
    ('{"temperature":0.7}', '')
    """
    plain = {
        name: int(value) if isinstance(value, float) and value == int(value) else value
        for name, value in values.items()
    }
    kept = {name: plain[name] for name in USUAL if name in plain and plain[name] != USUAL[name]}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False) if kept else ""


def _object(text: Any) -> dict[str, Any]:
    if text == "" or text is None:
        return {}
    values = json_of(text, LONGEST, "the next token")
    if not isinstance(values, dict):
        raise ConfigError("The settings of the next token are an object: names and values.")
    return values


def _number(low: float, high: float, whole: bool) -> Callable[[Any], bool]:
    kinds = (int,) if whole else (int, float)
    return lambda value: type(value) in kinds and low <= value <= high  # neither true, nor NaN, nor infinity


def _text(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > TYPED:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half a character
        return False
    return True


# name -> what the field holds, and the sentence for what it does not
CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    setting.name: (
        _number(setting.low, setting.high, setting.whole),
        f"{setting.label} is a {'whole ' if setting.whole else ''}number from {setting.low:g} to {setting.high:g}.",
    )
    for setting in RANGES
} | {
    "seed": (_number(0, LARGEST_SEED, whole=True), f"The seed is a whole number from 0 to {LARGEST_SEED:,}."),
    "how": (lambda value: value in ("best", "drawn"), "A step takes what is most probable, or what is drawn."),
    "find": (_text, f"What is looked up is a text of {TYPED} characters at most."),
}
