"""Nested dataclasses from plain values, strictly: an unknown key or a wrong type is one sentence that names the key.

>>> @dataclasses.dataclass(frozen=True)
... class Point:
...     width: int = 0
>>> from_dict(Point, {"width": 1})
Point(width=1)
>>> from_dict(Point, {"witdh": 1})
Traceback (most recent call last):
core.errors.ConfigError: Unknown key 'witdh'; the nearest valid key is 'width'.
"""

import dataclasses
import difflib
import functools
import json
import math
import sys
import types
import typing
from typing import Any, Literal, TypeVar

from core.errors import ConfigError

T = TypeVar("T")


def from_dict(cls: type[T], values: Any, path: str = "") -> T:
    """Build the dataclass `cls` from plain values, strictly: unknown keys and wrong types raise ConfigError."""
    if not isinstance(values, dict):
        raise ConfigError(f"{path or 'The configuration'} must be an object with keys, not {_kind(values)}.")
    hints = _hints(cls)  # type: ignore[arg-type]
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    built = {}
    for key, value in values.items():
        name = f"{path}.{key}" if path else str(key)
        if key not in known:
            raise ConfigError(unknown(name, [f"{path}.{k}" if path else k for k in sorted(known)]))
        built[key] = _convert(value, hints[key], name)
    return cls(**built)


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    """Types of the fields: half of the time of reading a configuration, and a list of runs reads hundreds."""
    return typing.get_type_hints(cls)


def _convert(value: Any, hint: Any, name: str) -> Any:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value, name)  # type: ignore[arg-type]
    if origin is Literal:
        options = typing.get_args(hint)
        for option in options:
            if value == option and type(value) is type(option):
                return value
        near = difflib.get_close_matches(str(value), [str(o) for o in options], n=1)
        hint_text = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{name} must be one of {', '.join(map(repr, options))}, not {value!r}.{hint_text}")
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        for option in options:
            if option is not type(None):
                try:
                    return _convert(value, option, name)
                except ConfigError as error:
                    failure = error
        raise failure
    if origin is tuple:
        items = typing.get_args(hint)
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{name} must be a list, not {_kind(value)}.")
        if len(items) == 2 and items[1] is Ellipsis:
            items = (items[0],) * len(value)
        if len(value) != len(items):
            raise ConfigError(f"{name} must be a list of {len(items)} values, not {len(value)}.")
        return tuple(_convert(v, item, f"{name}[{i}]") for i, (v, item) in enumerate(zip(value, items)))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{name} must be an object with keys, not {_kind(value)}.")
        key_hint, value_hint = typing.get_args(hint)
        return {_key(k, key_hint, name): _convert(v, value_hint, f"{name}.{k}") for k, v in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > sys.float_info.max:
            raise ConfigError(f"{name} must be a number of at most {sys.float_info.max:.2g}.")
        return float(value)
    if hint is float and isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(f"{name} must be a finite number, not {value}.")
        return value
    if type(value) is hint:
        return value
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    raise ConfigError(f"{name} must be {words.get(hint, hint)}, not {_kind(value)} ({value!r}).")


def _key(key: Any, hint: Any, name: str) -> Any:
    """JSON has only text as keys; read them back as what they were."""
    if hint is int and isinstance(key, str):
        try:
            return int(key)
        except ValueError:
            raise ConfigError(f"The keys of {name} must be whole numbers, not {key!r}.") from None
    return _convert(key, hint, name)


def parse(text: str, hint: Any) -> Any:
    """Read the text of an override. JSON where it is JSON; text fields take it as it stands."""
    if hint is str or (typing.get_origin(hint) is Literal):
        return text
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false", "none", "null") else text)
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, or too deep
        pass
    try:
        return int(text)  # 1_000 is a number as Python writes it
    except ValueError:
        return None if text.lower() == "none" else text  # the type check names the key and says what it should be


def field_type(cls: Any, path: list[str]) -> Any:
    """The type of the field at a dotted path; None if there is none, or if it is a section."""
    for name in path:
        if not dataclasses.is_dataclass(cls) or name not in (hints := typing.get_type_hints(cls)):
            return None
        cls = hints[name]
    return None if dataclasses.is_dataclass(cls) else cls


def all_keys(cls: Any, path: str = "") -> list[str]:
    keys = []
    for name, hint in typing.get_type_hints(cls).items():
        key = f"{path}.{name}" if path else name
        keys += all_keys(hint, key) if dataclasses.is_dataclass(hint) else [key]
    return keys


def unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    last = name.rpartition(".")[2]
    if not near:  # the right field in the wrong section
        near = [k for k in known if k.rpartition(".")[2] == last][:1]
    hint = f"the nearest valid key is {near[0]!r}." if near else f"valid keys are {', '.join(known)}."
    return f"Unknown key {name!r}; {hint}"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true/false", int: "a whole number"}
    return "nothing (null)" if value is None else names.get(type(value), f"a {type(value).__name__}")
