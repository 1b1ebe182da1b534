"""What the sections of a tokenizer.json do, one line each for people.

>>> describe_normalizer({"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]})
'NFKC, lowercase'
>>> describe_pre_tokenizer({"type": "ByteLevel", "add_prefix_space": False, "use_regex": True})
"GPT-2's pattern, then bytes"
"""

from typing import Any

from core.tokenizer.split import PATTERNS

Section = dict[str, Any] | None


def describe_normalizer(section: Section) -> str:
    """NFC, lower case and the like."""
    return ", ".join(_normalizer(part) for part in _parts(section, "normalizers")) or "none"


def _normalizer(part: dict[str, Any]) -> str:
    kind = part.get("type", "")
    if kind == "BertNormalizer":
        lowercase, strip_accents = part.get("lowercase"), part.get("strip_accents")
        does = [
            "control characters removed" if part.get("clean_text") else "",
            "Chinese characters set apart" if part.get("handle_chinese_chars") else "",
            "accents removed" if (lowercase if strip_accents is None else strip_accents) else "",
            "lowercase" if lowercase else "",
        ]
        return "BERT's: " + (", ".join(filter(None, does)) or "nothing")
    if kind == "Replace":
        return f"{_pattern(part)} becomes {part.get('content', '')!r}"
    return {
        "Lowercase": "lowercase",
        "StripAccents": "accents removed",
        "Strip": "white space at the ends removed",
        "Precompiled": "SentencePiece's character map",
        "Nmt": "control characters and odd spaces replaced",
        "Prepend": f"{part.get('prepend', '')!r} put in front",
        "ByteLevel": "bytes as GPT-2's characters",
    }.get(kind, kind)


def describe_pre_tokenizer(section: Section) -> str:
    """Where a text is cut before the model sees it."""
    return ", then ".join(filter(None, map(_pre_tokenizer, _parts(section, "pretokenizers")))) or "none"


def _pre_tokenizer(part: dict[str, Any]) -> str:
    kind = part.get("type", "")
    if kind == "ByteLevel":
        space = "a space put in front, " if part.get("add_prefix_space", True) else ""
        return space + ("GPT-2's pattern, then bytes" if part.get("use_regex", True) else "bytes")
    if kind == "Split":
        regex = part.get("pattern", {}).get("Regex")
        name = describe_pattern(_name(regex)) if regex else f"at {_pattern(part)}"
        behaviour = {"Isolated": "", "Removed": ", matches removed"}.get(
            part.get("behavior", ""), f", matches {part.get('behavior', '')}"
        )
        return name + behaviour + (", inverted" if part.get("invert") else "")
    if kind == "Metaspace":
        where = {"always": "in front too", "first": "at the very beginning too"}.get(part.get("prepend_scheme", ""), "")
        words = f"spaces as {part.get('replacement', '▁')!r}" + (f", {where}" if where else "")
        return words + (", words apart" if part.get("split", True) else "")
    return {
        "BertPreTokenizer": "words and each punctuation mark, spaces dropped",
        "Whitespace": "words and runs of signs, spaces dropped",
        "WhitespaceSplit": "at white space, which is dropped",
        "Digits": "each digit alone" if part.get("individual_digits") else "numbers apart",
        "Punctuation": "punctuation apart",
        "UnicodeScripts": "scripts apart",
        "CharDelimiterSplit": f"at {part.get('delimiter', '')!r}",
        "FixedLength": f"pieces of {part.get('length', '')} characters",
    }.get(kind, kind)


def describe_pattern(name: str) -> str:
    """A splitting pattern by the name that Splitter gives it."""
    known = {"gpt2": "GPT-2's pattern", "gpt4": "GPT-4's pattern", "none": "nothing cut"}
    assert known.keys() == {*PATTERNS, "none"}
    return known.get(name, f"the pattern {name if len(name) <= 60 else name[:59] + '…'}")


def describe_model(model: dict[str, Any]) -> str:
    """The model's kind and size."""
    kind, vocab = model.get("type", ""), model.get("vocab") or ()
    if kind == "BPE":
        more = ", unknown characters as bytes" if model.get("byte_fallback") else ""
        more += ", a word in the vocabulary needs none" if model.get("ignore_merges") else ""
        return f"BPE, {len(model.get('merges') or ()):,} merges{more}"
    if kind == "WordPiece":
        return f"WordPiece, {len(vocab):,} entries, the longest match first"
    if kind == "Unigram":
        more = ", unknown characters as bytes" if model.get("byte_fallback") else ""
        return f"Unigram, {len(vocab):,} pieces with scores, the likeliest cut{more}"
    if kind == "WordLevel":
        return f"whole words, {len(vocab):,} of them"
    return kind


def describe_processor(section: Section) -> str:
    """What is added around a text, or done to positions."""
    said = []
    for part in _parts(section, "processors"):
        kind = part.get("type", "")
        if kind == "TemplateProcessing":
            pieces = [
                item["SpecialToken"]["id"] if "SpecialToken" in item else "text" for item in part.get("single", [])
            ]
            said.append("none added" if pieces == ["text"] else " ".join(pieces))
        elif kind in ("BertProcessing", "RobertaProcessing"):
            said.append(f"{part['cls'][0]} text {part['sep'][0]}")
        elif kind == "ByteLevel":
            said.append("positions without the spaces" if part.get("trim_offsets", True) else "")
        else:
            said.append(kind)
    return ", ".join(filter(None, said)) or "none"


def _parts(section: Section, key: str) -> list[dict[str, Any]]:
    """A section's parts in order, sequences opened."""
    if not section:
        return []
    if section.get("type") == "Sequence":
        return [inner for part in section.get(key, []) for inner in _parts(part, key)]
    return [section]


def _pattern(part: dict[str, Any]) -> str:
    pattern = part.get("pattern", {})
    return repr(pattern["String"]) if "String" in pattern else f"the pattern {pattern.get('Regex', '')}"


def _name(regex: str) -> str:
    return next((name for name, pattern in PATTERNS.items() if pattern == regex), regex)
