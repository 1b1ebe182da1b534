"""The words of a text, as Word2Vec learns from them, and the texts to learn from."""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from core.errors import DataError
from core.tokenizer.visible import visible

if TYPE_CHECKING:
    from core.tokenizer import Tokenizer

MAX_BYTES = 20_000_000  # of text that is read: some minutes of training

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+")
_SPACELESS = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


def words_of(text: str) -> list[str]:
    """A text's words in lower case, without marks. Scripts without spaces are taken character by character.

    >>> words_of("It's 10 o'clock: 東京, NaÏve!")
    ["it's", '10', "o'clock", '東', '京', 'naïve']
    """
    words = _WORD.findall(text.lower().replace("’", "'"))
    if not _SPACELESS.search(text):
        return words
    return [part for word in words for part in (word if _SPACELESS.search(word) else [word])]


def sentences_of(texts: Iterable[str], tokenizer: "Tokenizer | None" = None) -> Iterator[list[str]]:
    """What contexts stay within: the words of each paragraph (empty lines lie between them), or its tokens, named as
    they are shown.

    >>> list(sentences_of(["A rose\\nis a rose.\\n\\nIs it?"]))
    [['a', 'rose', 'is', 'a', 'rose'], ['is', 'it']]
    """
    for text in texts:
        for paragraph in re.split(r"\n\s*\n", text):
            if tokenizer is None:
                words = words_of(paragraph)
            else:
                words = [visible(piece) for piece in tokenizer.encode(paragraph).pieces]
            if words:
                yield words


def read_texts(
    text: str = "", file: str = "", data: str = "", column: str = "", max_bytes: int = MAX_BYTES
) -> tuple[list[str], str]:
    """The texts to learn from, and what they are in a few words. One of the three is given.

    file: of this machine. data: builtin:enja (its English sentences), builtin:pydocs, or a data set of the hub. column:
    of a table with several. Of more than max_bytes only the beginning is read. DataError, ConfigError.
    """
    from core.tokenizer.train_process import TrainingJob
    from core.tokenizer.training_texts import texts_of

    if data == "builtin:enja" and not (text or file):
        from core.data.grammar import DEFAULT_TRAIN, generate_pairs

        return [pair.src for pair in generate_pairs(DEFAULT_TRAIN)], "the English sentences of builtin:enja"
    job = TrainingJob(text=text, file=file, data=data, column=column, max_bytes=max_bytes)
    texts, left_out = texts_of(job)
    if not any(text.strip() for text in texts):
        raise DataError("There is no text to learn from.")
    return texts, "; ".join(filter(None, [job.description, left_out]))
