"""Where text comes from: built-in data, local files and the Hugging Face hub, cut into train and validation.

How the validation part is cut is in splits.py. Whatever cannot be used is one `DataError` sentence; what is left out is
counted in `Corpus.dropped`.
"""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.data import readers
from core.data.corpus import Corpus, Pair
from core.data.splits import HELD_OUT, clean_pairs, key, sample, split_pairs, split_texts, without
from core.data.text import english_forms, join_words
from core.errors import DataError

if TYPE_CHECKING:
    from core.config import DataConfig

Progress = Callable[[float, str], Any]
BUILTIN = ("builtin:enja", "builtin:pydocs", "builtin:repeats")


def load_corpus(
    config: "DataConfig", kind: Literal["pairs", "text"], seed: int = 0, progress: Progress | None = None
) -> Corpus:
    """Read the data that `config` names, as sentence pairs or as documents to model; of a stream its beginning.

    progress: called as progress(share between 0 and 1, what is happening). Raises DataError.
    """
    say = progress or (lambda share, what: None)
    say(0.0, "Reading the data")
    if config.src and kind == "text":
        raise DataError("Parallel files (data.src, data.tgt) train the transformer family; choose it, or a text.")
    if is_stream(config):
        from core.data.head import read_head

        return read_head(config, kind, seed, say).corpus
    if config.src or config.tgt:
        corpus = _from_pairs(_parallel_pairs(config.src, config.tgt), _validation_pairs(config), config, seed)
        corpus.description = f"{Path(config.src).name} and {Path(config.tgt).name}"
    elif config.name.startswith("builtin:"):
        corpus = _builtin(config, kind, seed)
    elif kind == "pairs":
        pairs = _pairs_of(config.name, config, config.split, say)
        corpus = _from_pairs(pairs, _validation_pairs(config, say), config, seed)
        corpus.description = _title(config)
    else:
        corpus = _text_corpus(config, seed, say)
        corpus.description = _title(config)
    what = "documents" if kind == "text" else "pairs"
    sources = " (each in the forms that people type)" if config.pretokenized and kind == "pairs" else ""
    corpus.description += f": {len(corpus.train):,} training{sources} and {len(corpus.val):,} validation {what}"
    corpus.src_language = corpus.src_language or config.src_language
    corpus.tgt_language = corpus.tgt_language or config.tgt_language
    say(1.0, corpus.description)
    return corpus


# ---------------------------------------------------------------------------------------------------- built in


def _builtin(config: "DataConfig", kind: str, seed: int) -> Corpus:
    if config.name == "builtin:enja":
        if kind != "pairs":
            raise DataError("builtin:enja holds sentence pairs for the transformer family; choose builtin:pydocs.")
        from core.data.grammar import enja_corpus

        return enja_corpus(config.max_examples, seed)
    if config.name in ("builtin:pydocs", "builtin:repeats"):
        if kind != "text":
            raise DataError(f"{config.name} is text for the gpt and llama families; choose builtin:enja for pairs.")
        if config.name == "builtin:repeats":
            from core.data.repeats import repeats_corpus

            return repeats_corpus(config.max_examples, seed)
        from core.data.pydocs import pydocs_corpus

        return pydocs_corpus(config.max_examples)
    raise DataError(f"There is no built-in data {config.name!r}; choose {', '.join(BUILTIN)}.")


# ----------------------------------------------------------------------------------------------------- pairs


def _parallel_pairs(src: str, tgt: str) -> list[Pair]:
    return [Pair(source, target) for source, target in readers.parallel_lines(src, tgt)]


def _validation_pairs(config: "DataConfig", say: Progress | None = None) -> list[Pair] | None:
    if config.val_src:
        return _parallel_pairs(config.val_src, config.val_tgt)
    if not config.val_data:
        return None
    if is_hub_name(config.name) and not _is_local(config.val_data):  # a split of the same hub data set
        return _pairs_of(config.name, config, config.val_data, say)
    return _pairs_of(config.val_data, config, config.split, say)


def _pairs_of(
    name: str, config: "DataConfig", split: str, say: Progress | None = None, every_row: bool = False
) -> list[Pair]:
    """The pairs of a file, a dataset directory or a hub dataset; every_row: see readers.column_values."""
    if Path(name).suffix.lower() == ".txt" and not is_hub_name(name):
        return _tabbed_pairs(name)
    rows = _rows_of(name, config, split, say)
    title = Path(name).name if not is_hub_name(name) else name
    sources = readers.column_values(rows, config.src_column, title, "src_column", every_row)
    targets = readers.column_values(rows, config.tgt_column, title, "tgt_column", every_row)
    documents = readers.document_values(rows)
    return [Pair(s, t, None, d) for s, t, d in zip(sources, targets, documents, strict=True)]


def _tabbed_pairs(name: str) -> list[Pair]:
    """A text file with one pair a line: source, tab, target."""
    pairs = []
    for number, line in enumerate(readers.read_lines(name), start=1):
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) < 2:
            raise DataError(
                f"Line {number:,} of {Path(name).name} has no tab; a text file of pairs has one pair a line, "
                "source, tab, target."
            )
        pairs.append(Pair(fields[0], fields[1]))
    return pairs


def _from_pairs(pairs: list[Pair], val: list[Pair] | None, config: "DataConfig", seed: int) -> Corpus:
    """Clean, split and (for split words) give the pairs the forms that people type."""
    dropped: Counter[str] = Counter()
    train = clean_pairs(pairs, dropped)
    if not train:
        raise DataError("The data has no pair with text on both sides; check the files and the columns.")
    if config.max_examples:
        train = sample(train, config.max_examples, seed)
    if val is None:
        train, held_out = split_pairs(train, config.val_fraction, seed, dropped)
    else:
        held_out = clean_pairs(val, Counter())
        if not held_out:
            raise DataError("The validation data has no pair with text on both sides; check the files and the columns.")
        known = {key(pair.src) for pair in held_out}
        kept = [pair for pair in train if key(pair.src) not in known]
        dropped[HELD_OUT] += len(train) - len(kept)
        train = kept
        if not train:
            raise DataError("Every training pair is in the validation data too; name different files.")
    if config.pretokenized:
        train = typed_forms(train, config, seed)
        held_out = [typed(pair, config) for pair in held_out]
    documents = len({pair.document for pair in (*train, *held_out) if pair.document})
    return Corpus("pairs", train, held_out, dropped={why: n for why, n in dropped.items() if n}, documents=documents)


def typed(pair: Pair, config: "DataConfig") -> Pair:
    return pair._replace(src=join_words(pair.src, config.src_language), tgt=join_words(pair.tgt, config.tgt_language))


def typed_forms(pairs: list[Pair], config: "DataConfig", seed: int) -> list[Pair]:
    """Every pair as people type it; an English source also in the corpus's form, and a third in a hasty form."""
    cjk = any("\u3040" <= character <= "\u9fff" for pair in pairs[:50] for character in pair.src)
    english = config.src_language in ("en", "") and not cjk
    chance = random.Random(f"forms-{seed}")
    forms: list[Pair] = []
    for pair in pairs:
        joined = typed(pair, config)
        if not english:
            forms.append(joined)
            continue
        draw = chance.random()
        for text, weight in english_forms(pair.src):
            if weight >= 1:
                forms.append(joined._replace(src=text))
                continue
            draw -= weight  # at most one of the hasty forms
            if draw < 0:
                forms.append(joined._replace(src=text))
                break
    return forms


# ------------------------------------------------------------------------------------------------------ text


def _text_corpus(config: "DataConfig", seed: int, say: Progress) -> Corpus:
    """Documents of a file or dataset; of one plain text, the last `val_fraction` of its characters is validation."""
    dropped: Counter[str] = Counter()
    texts, documents = _texts_of(config.name, config, config.split, say, dropped)
    if config.max_examples and len(texts) > config.max_examples:
        chosen = sample(list(range(len(texts))), config.max_examples, seed)
        texts, documents = [texts[i] for i in chosen], [documents[i] for i in chosen]
    if config.val_data:
        hub_split = is_hub_name(config.name) and not _is_local(config.val_data)
        source, split = (config.name, config.val_data) if hub_split else (config.val_data, config.split)
        val = _documents_of(source, config, split, say)
        train = without(texts, val, dropped)
        if not train:
            raise DataError("Every training text is in the validation data too; name different files.")
    elif len(texts) == 1:
        text = texts[0]
        cut = int(len(text) * (1 - config.val_fraction))  # as nanoGPT cuts it
        train, val = [text[:cut]], [text[cut:]]
        if not train[0].strip() or not val[0].strip():
            raise DataError("The text is too short to cut a validation part from; give more text or validation data.")
    else:
        train, val = split_texts(texts, documents, config.val_fraction, seed, dropped)
    known = len(set(filter(None, documents)))
    return Corpus("text", train, val, dropped={why: n for why, n in dropped.items() if n}, documents=known)


def _documents_of(name: str, config: "DataConfig", split: str, say: Progress) -> list[str]:
    return _texts_of(name, config, split, say, Counter())[0]


def _texts_of(
    name: str, config: "DataConfig", split: str, say: Progress, dropped: Counter[str]
) -> tuple[list[str], list[str]]:
    """The texts, and for each the document that it is a line of, where a column says so."""
    if not is_hub_name(name) and Path(name).suffix.lower() in (".txt", ".md", ".text"):
        return [readers.read_text(name)], [""]
    rows = _rows_of(name, config, split, say)
    title = name if is_hub_name(name) else Path(name).name
    values = list(readers.column_values(rows, config.text_column, title, "text_column"))
    kept = [i for i, text in enumerate(values) if text.strip()]
    if not kept:
        raise DataError(f"The column {config.text_column!r} of {title} holds no text.")
    dropped["empty"] += len(values) - len(kept)
    documents = readers.document_values(rows)
    return [values[i] for i in kept], [documents[i] for i in kept]


# ---------------------------------------------------------------------------------------------------- helpers


def is_stream(config: "DataConfig") -> bool:
    """Whether the data is read while training (what is built in is small and never is)."""
    return config.streaming and (bool(config.src) or not config.name.startswith("builtin:"))


def is_hub_name(name: str) -> bool:
    """True for what can only be a Hugging Face dataset: "org/name", or "name" without a known file ending."""
    return not _is_local(name) and Path(name).suffix.lower() not in (*readers.SUFFIXES, ".md", ".text")


def _is_local(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, ValueError):
        return False


def _rows_of(name: str, config: "DataConfig", split: str, say: Progress | None) -> list[dict[str, Any]]:
    if not is_hub_name(name) and not Path(name).expanduser().is_dir():
        return readers.read_rows(name)
    from core.data.hub import load_rows

    return load_rows(name, config.configuration, split, say)


def _title(config: "DataConfig") -> str:
    if not is_hub_name(config.name):
        return Path(config.name).name
    return " ".join(filter(None, [config.name, config.configuration, config.split]))
