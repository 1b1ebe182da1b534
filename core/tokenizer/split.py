"""Pre-tokenisation: cut a text into chunks that merges never cross, by a regular expression.

>>> Splitter("gpt2")("Hello world's  end")
['Hello', ' world', "'s", ' ', ' end']
>>> Splitter("gpt4")("12345")
['123', '45']

Patterns: "gpt2" (Radford et al. 2019), "gpt4" (cl100k_base of tiktoken; Llama 3 uses it too), "none" (a text is one
chunk: then a whole Japanese sentence, or a whole line of English, can become one token) or any regular expression.

What is a letter or a digit is up to the Unicode version of the package `regex`; characters that are newer than the one
of the `tokenizers` package (16.0 in its version 0.23) may be cut differently there.
"""

import re
from collections.abc import Iterator
from typing import Any

from core.errors import TextError
from core.tokenizer.safe_regex import compile_pattern

PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "gpt4": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
TIME_LIMIT = 5.0  # seconds that a regular expression of a user's own may take on one text, and for ...
TIME_PER_CHARACTER = 1e-6  # ... each of its characters

# What is read differently by the `tokenizers` package (Oniguruma, in Ruby's syntax): anchors, which there mean lines,
# flags other than i, recursion, intersections and POSIX classes in brackets, escapes that only one side knows.
_NOT_PORTABLE = re.compile(r"\^|\$|\\[a-zA-Z]|\(\?[a-zA-Z-]+|\(\?[#P\d&|+]|&&|--|~~|\|\||\[\[?:")
_PORTABLE_ESCAPES = frozenset("\\" + c for c in "pPsSdDwWrntbB") | {"(?i"}


def unportable_part(pattern: str) -> str | None:
    """The first part of a regular expression that a tokenizer.json could not carry with the same meaning."""
    if pattern in ("none", *PATTERNS, *PATTERNS.values()):
        return None
    bare = re.sub(r"\\[^a-zA-Z0-9]", "", pattern).replace("[^", "[")  # escaped signs and negated sets are safe
    return next((m.group() for m in _NOT_PORTABLE.finditer(bare) if m.group() not in _PORTABLE_ESCAPES), None)


def check_pattern(pattern: str) -> "Splitter":
    """The splitter of a pattern that a tokenizer may be trained with. TextError if it is not valid or not portable."""
    if pattern not in ("none", *PATTERNS) and re.fullmatch(r"[\w.-]*", pattern):  # more likely a name mistyped
        what = f"There is no splitting pattern {pattern!r}" if pattern else "The splitting pattern is empty"
        raise TextError(f"{what}; choose {', '.join(PATTERNS)} or none, or write a regular expression.")
    splitter = Splitter(pattern)
    if part := unportable_part(pattern):
        raise TextError(f"The splitting pattern has {part!r}, which tokenizer.json cannot carry; write it without.")
    return splitter


class Splitter:
    """Cuts text into chunks whose concatenation is the text, whatever the pattern."""

    def __init__(self, pattern: str = "gpt2") -> None:
        self.name = next((n for n, p in PATTERNS.items() if pattern in (n, p)), pattern)
        self.is_known = self.name in (*PATTERNS, "none")
        self._regex: Any = None
        if self.name == "none":
            return
        self._regex = compile_pattern(PATTERNS.get(self.name, pattern), "The splitting pattern")

    def __call__(self, text: str) -> list[str]:
        if self._regex is None:
            return [text] if text else []
        if self.name in PATTERNS:  # these match every character, so nothing lies between the matches
            return self._regex.findall(text)
        try:
            return list(self._with_gaps(text))
        except TimeoutError:
            raise TextError(
                f"The splitting pattern took more than {TIME_LIMIT:g} s on this text; simplify the pattern."
            ) from None

    def _with_gaps(self, text: str) -> Iterator[str]:
        """Matches, and what lies between them, which becomes chunks of its own."""
        end = 0
        for match in self._regex.finditer(text, timeout=TIME_LIMIT + TIME_PER_CHARACTER * len(text)):
            if match.start() > end:
                yield text[end : match.start()]
            if match.end() > match.start():
                yield match.group()
            end = match.end()
        if end < len(text):
            yield text[end:]

    @property
    def expression(self) -> str:
        """The regular expression; "" where text is not cut."""
        return "" if self.name == "none" else PATTERNS.get(self.name, self.name)

    def to_json(self) -> dict[str, Any]:
        """The `pre_tokenizer` section of a tokenizer.json."""
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
        if self.name == "none":
            return byte_level
        if self.name == "gpt2":
            return byte_level | {"use_regex": True}
        split = {
            "type": "Split",
            "pattern": {"Regex": self.expression},
            "behavior": "Isolated",
            "invert": False,
        }
        return {"type": "Sequence", "pretokenizers": [split, byte_level]}

    @classmethod
    def from_json(cls, section: Any) -> "Splitter | None":
        """The splitter that a `pre_tokenizer` section describes, or None if it is of another kind."""
        if not isinstance(section, dict):
            return None
        if section.get("type") == "ByteLevel" and not section.get("add_prefix_space", True):
            return cls("gpt2" if section.get("use_regex", True) else "none")
        parts = section.get("pretokenizers", [])
        if section.get("type") != "Sequence" or len(parts) != 2 or cls.from_json(parts[1]) is None:
            return None
        split, byte_level = parts
        pattern = split.get("pattern", {}).get("Regex")
        fits = split.get("type") == "Split" and split.get("behavior") == "Isolated" and not split.get("invert")
        if not fits or not pattern or byte_level.get("use_regex", True) or unportable_part(pattern):
            return None
        try:
            return cls(pattern)
        except TextError:  # valid there, but not here
            return None
