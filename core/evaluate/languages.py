"""What scores have to know of a language: how its text is cut, and what its length is counted in."""

import importlib.util
from collections.abc import Sequence

UNSPACED = ("ja", "zh", "th", "lo", "km", "my")  # languages whose words have no spaces between them


def language_code(language: str) -> str:
    """The two letters of a language's name in any common spelling.

    >>> [language_code(name) for name in ("ja-JP", "zh_Hant", "EN", "jpn_Jpan", "")]
    ['ja', 'zh', 'en', 'ja', '']
    """
    code = language.strip().lower().replace("_", "-").split("-")[0]
    return {"jpn": "ja", "zho": "zh", "cmn": "zh", "eng": "en", "deu": "de"}.get(code, code)


def guess_language(texts: Sequence[str]) -> str:
    """Returns "ja" for text with kana, "zh" for text with Han characters only, else "" (words with spaces)."""
    sample = "".join(texts[:200])
    if any("\u3040" <= character <= "\u30ff" for character in sample):
        return "ja"
    return "zh" if any("\u4e00" <= character <= "\u9fff" for character in sample) else ""


def length_unit(language: str) -> str:
    """What lengths are counted in: "characters" where words have no spaces between them, else "words"."""
    return "characters" if language_code(language) in UNSPACED else "words"


def length_of(text: str, language: str) -> int:
    """A text's length in that unit; spaces are no characters.

    >>> length_of("Yes, of course.", "en"), length_of("はい、 もちろん。", "ja")
    (3, 8)
    """
    words = text.split()
    return sum(map(len, words)) if length_unit(language) == "characters" else len(words)


def as_line(text: str) -> str:
    """The text as it stands in a file with a sentence a line, which is what sacreBLEU's command line reads: "\\n" is a
    space, space at the end does not count, and what is no UTF-8 (a lone surrogate) is "?"."""
    return text.replace("\n", " ").encode("utf-8", "replace").decode("utf-8").rstrip()


def bleu_tokenizer(language: str) -> str:
    """sacreBLEU's tokenizer for a target language ("en", "ja", "zh" ...)."""
    code = language_code(language)
    if code == "ja":
        installed = importlib.util.find_spec("MeCab") and importlib.util.find_spec("ipadic")
        return "ja-mecab" if installed else "char"
    return "zh" if code == "zh" else "char" if code in UNSPACED else "13a"
