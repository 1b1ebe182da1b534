"""The script that a text is written in, by the Unicode property of its letters.

>>> [script_of(text) for text in ["the cat", "кот", "猫", "ねこ", "猫です", "42", "!?", " ", "👍"]]
['Latin', 'Cyrillic', 'Han', 'Hiragana', 'Han and kana', 'digits', 'signs', 'space', 'emoji']
"""

import functools
import unicodedata
from collections import Counter

import regex

# The scripts of living languages that are written in Unicode today; others are "other letters".
SCRIPTS = (
    "Latin", "Greek", "Cyrillic", "Armenian", "Georgian", "Hebrew", "Arabic", "Syriac", "Thaana", "Nko", "Devanagari",
    "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Thai", "Lao",
    "Tibetan", "Myanmar", "Khmer", "Mongolian", "Ethiopic", "Cherokee", "Canadian_Aboriginal", "Tifinagh", "Javanese",
    "Balinese", "Han", "Hiragana", "Katakana", "Bopomofo", "Hangul", "Yi",
)  # fmt: skip
_SCRIPT = regex.compile("|".join(rf"(\p{{Script={name}}})" for name in SCRIPTS))
_COMMON = regex.compile(r"\p{Script=Common}")  # such as ー, which all kana share
_EMOJI = regex.compile(r"\p{Extended_Pictographic}|\p{Regional_Indicator}")
_KANA = ("Hiragana", "Katakana")


def script_of(text: str) -> str:
    """The script of most letters (of equally many, the first in the text). A text of Han and kana is "Han and kana".
    Without letters: "digits", "emoji", "signs" or "space", whichever comes first in this list; "none" for no text."""
    kinds = Counter(map(_kind, text))
    scripts = [(n, name) for name, n in kinds.items() if name[0].isupper() or name == "other letters"]
    if scripts:
        best = max(scripts, key=lambda found: found[0])[1]
        mixed = kinds["Han"] and any(kinds[name] for name in _KANA)
        return "Han and kana" if mixed and best in ("Han", *_KANA) else best
    return next((kind for kind in ("digits", "emoji", "signs", "space") if kinds[kind]), "none")


@functools.lru_cache(maxsize=50_000)
def _kind(char: str) -> str:
    category = unicodedata.category(char)
    if category[0] in "LM" and (found := _SCRIPT.fullmatch(char)):
        return SCRIPTS[found.lastindex - 1].replace("_", " ")
    if category[0] == "L" and not _COMMON.match(char):
        return "other letters"
    if category[0] == "N":
        return "digits"
    if char.isspace():
        return "space"
    return "emoji" if _EMOJI.match(char) else "signs"
