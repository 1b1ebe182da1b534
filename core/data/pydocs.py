"""`builtin:pydocs`: the language reference that every CPython carries for `help()`, read at run time.

`pydoc_data.topics` holds the text of about eighty topics of the Python language reference ("The import statement",
"Sequence types" ...), about 700 kB of English and code. Each topic is one document; one in sixteen is held out for
validation and one in sixteen for test, chosen by a hash of its name: the same topics on every machine.
"""

import hashlib

from core.data.corpus import Corpus
from core.errors import DataError

_SHARES = 16  # one share each for validation and test


def pydocs_topics() -> dict[str, str]:
    """Topic name → its text. Raises DataError on a Python that does not carry them."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise DataError(
            "This Python does not carry its documentation topics (pydoc_data); install the full standard library."
        ) from None
    return {name: text for name, text in sorted(topics.items()) if text.strip()}


def pydocs_corpus(max_examples: int = 0) -> Corpus:
    """The topics as a corpus of documents; max_examples limits the training topics (0: all)."""
    corpus = Corpus("text", [], [], [], description="Python's language reference (pydoc topics)")
    seen: set[str] = set()
    for name, text in pydocs_topics().items():
        if text in seen:  # a few topics are the same text under two names
            continue
        seen.add(text)
        share = hashlib.sha256(name.encode()).digest()[0] % _SHARES
        (corpus.val if share == 0 else corpus.test if share == 1 else corpus.train).append(text)
    if max_examples:
        corpus.train = corpus.train[:max_examples]
    return corpus
