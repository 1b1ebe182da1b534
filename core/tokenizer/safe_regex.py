"""Regular expressions that people type, compiled within bounds.

The package `regex` has a time limit for matching, but compiling writes counted repeats out: ((a{1000}){1000}){1000}
would take all memory there is. A pattern that calls itself, (?R), takes it while matching; and so do many groups,
whose every repetition is kept.

>>> expanded_size("(ab{3}){10}c")  # (abbb) ten times, and c
41
"""

import re
from typing import Any

import regex

from core.errors import TextError

MAX_LENGTH = 2_000  # characters of a pattern
MAX_SIZE = 20_000  # of a pattern whose repeats are written out, in characters and classes
MAX_GROUPS = 10  # that keep what they matched; one takes about 50 bytes for each repetition
_CALLS = re.compile(r"\(\?(?:R\)|[+-]?\d+\)|&|P>)")
# A class ends at its first bracket, so that nothing which is repeated can hide in one.
_PART = re.compile(r"\\.|\[\^?(?:\\.|[^\]\\])*\]|\{\s*(\d*)\s*(?:,\s*(\d*)\s*)?\}[?+]?|.", re.DOTALL)


def compile_pattern(pattern: str, what: str) -> Any:
    """A compiled pattern of the package `regex`. TextError, beginning with `what`, if it is not valid or too much."""
    if len(pattern) > MAX_LENGTH:
        raise TextError(f"{what} has {len(pattern):,} characters; it may have up to {MAX_LENGTH:,}.")
    if found := _CALLS.search(pattern):
        raise TextError(f"{what} cannot call its own groups, as {found[0]!r} does; write it without.")
    if expanded_size(pattern) > MAX_SIZE:
        raise TextError(f"{what} repeats more than {MAX_SIZE:,} characters or classes in all; make its {{n}} smaller.")
    try:
        compiled = regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise TextError(f"{what} is not a valid regular expression: {error}.") from error
    if compiled.groups > MAX_GROUPS:
        raise TextError(f"{what} has {compiled.groups} groups; write (?:...) for (...), of which {MAX_GROUPS} may be.")
    return compiled


def expanded_size(pattern: str) -> int:
    """About how many characters and classes the pattern has when its counted repeats are written out."""
    open_groups: list[int] = [0]  # the size of each group so far, the innermost last
    last = 0  # the size of what a repeat would repeat
    for part in _PART.finditer(pattern):
        text = part[0]
        if text == "(":
            open_groups.append(0)
            last = 0
        elif text == ")" and len(open_groups) > 1:
            last = max(1, open_groups.pop())
            open_groups[-1] += last
        elif text[0] == "{" and len(text) > 1:
            times = max(int(part[1] or 0), int(part[2] or 0), 1)
            open_groups[-1] += last * (times - 1)
            last *= times
        else:
            last = max(1, last) if text.isspace() else 1  # under (?x) a space is nothing, and the repeat is of what was
            open_groups[-1] += 1
    return sum(open_groups)
