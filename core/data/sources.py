"""Where text comes from: built-in data, local files and the Hugging Face hub, cut into train and validation.

The validation split is deterministic by seed and never shares a source sentence (or a document) with the training
split. Whatever cannot be used is one `DataError` sentence; what is left out is counted in `Corpus.dropped`.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.data import readers
from core.data.corpus import Corpus, Pair
from core.data.text import english_forms, join_words
from core.errors import DataError

if TYPE_CHECKING:
    from core.config import DataConfig

Progress = Callable[[float, str], Any]
BUILTIN = ("builtin:enja", "builtin:pydocs")


def load_corpus(
    config: "DataConfig", kind: Literal["pairs", "text"], seed: int = 0, progress: Progress | None = None
) -> Corpus:
    """Read the data that `config` names, as sentence pairs or as documents to model.

    progress: called as progress(share between 0 and 1, what is happening). Raises DataError.
    """
    say = progress or (lambda share, what: None)
    say(0.0, "Reading the data")
    if config.src or config.tgt:
        if kind == "text":
            raise DataError("Parallel files (data.src, data.tgt) train the transformer family; choose it, or a text.")
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
    if config.name == "builtin:pydocs":
        if kind != "text":
            raise DataError("builtin:pydocs is text for the gpt and llama families; choose builtin:enja for pairs.")
        from core.data.pydocs import pydocs_corpus

        return pydocs_corpus(config.max_examples)
    raise DataError(f"There is no built-in data {config.name!r}; choose {' or '.join(BUILTIN)}.")


# ----------------------------------------------------------------------------------------------------- pairs


def _parallel_pairs(src: str, tgt: str) -> list[Pair]:
    sources, targets = readers.read_lines(src), readers.read_lines(tgt)
    if len(sources) != len(targets):
        raise DataError(
            f"{Path(src).name} has {len(sources):,} lines but {Path(tgt).name} has {len(targets):,}; "
            "parallel files need the same number."
        )
    return [Pair(s, t) for s, t in zip(sources, targets, strict=True)]


def _validation_pairs(config: "DataConfig", say: Progress | None = None) -> list[Pair] | None:
    if config.val_src:
        return _parallel_pairs(config.val_src, config.val_tgt)
    if not config.val_data:
        return None
    if is_hub_name(config.name) and not _is_local(config.val_data):  # a split of the same hub data set
        return _pairs_of(config.name, config, config.val_data, say)
    return _pairs_of(config.val_data, config, config.split, say)


def _pairs_of(name: str, config: "DataConfig", split: str, say: Progress | None = None) -> list[Pair]:
    """The pairs of a file, a dataset directory or a hub dataset."""
    if Path(name).suffix.lower() == ".txt" and not is_hub_name(name):
        return _tabbed_pairs(name)
    rows = _rows_of(name, config, split, say)
    title = Path(name).name if not is_hub_name(name) else name
    sources = readers.column_values(rows, config.src_column, title, "src_column")
    targets = readers.column_values(rows, config.tgt_column, title, "tgt_column")
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
    train = _clean(pairs, dropped)
    if not train:
        raise DataError("The data has no pair with text on both sides; check the files and the columns.")
    if config.max_examples:
        train = _sample(train, config.max_examples, seed)
    if val is None:
        train, held_out = _split(train, config.val_fraction, seed)
    else:
        held_out = _clean(val, Counter())
        if not held_out:
            raise DataError("The validation data has no pair with text on both sides; check the files and the columns.")
        known = {_key(pair.src) for pair in held_out}
        kept = [pair for pair in train if _key(pair.src) not in known]
        dropped["in the validation data too"] += len(train) - len(kept)
        train = kept
        if not train:
            raise DataError("Every training pair is in the validation data too; name different files.")
    if config.pretokenized:
        train = _typed_forms(train, config, seed)
        held_out = [_typed(pair, config) for pair in held_out]
    return Corpus("pairs", train, held_out, dropped={why: n for why, n in dropped.items() if n})


def _clean(pairs: Iterable[Pair], dropped: Counter[str]) -> list[Pair]:
    """Pairs with text on both sides, each once, without space around it."""
    kept: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        stripped = pair._replace(src=pair.src.strip(), tgt=pair.tgt.strip())
        if not stripped.src or not stripped.tgt:
            dropped["empty on one side"] += 1
        elif (stripped.src, stripped.tgt) in kept:
            dropped["the same pair again"] += 1
        else:
            kept[stripped.src, stripped.tgt] = stripped
    return list(kept.values())


def _split(pairs: list[Pair], fraction: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Hold out about `fraction` of the pairs, whole groups at a time: a document, or all pairs of one source."""
    by_document = len({pair.document for pair in pairs}) > 1
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.document if by_document else _key(pair.src), []).append(pair)
    if len(groups) < 2:
        raise DataError("One pair (or document) is too little to cut a validation part from; name validation data.")
    wanted, names = max(1, round(fraction * len(pairs))), _shuffled(list(groups), seed)
    held: set[str] = set()
    count = 0
    for name in names[:-1]:  # at least one group stays for training
        if count >= wanted:
            break
        held.add(name)
        count += len(groups[name])
    val = [pair for name in groups if name in held for pair in groups[name]]
    sources = {_key(pair.src) for pair in val}  # "Yes." of another dialogue is not unseen either
    train = [p for name in groups if name not in held for p in groups[name] if _key(p.src) not in sources]
    if not train:
        raise DataError("Too few different source sentences to cut a validation part from; name validation data.")
    return train, val


def _typed(pair: Pair, config: "DataConfig") -> Pair:
    return pair._replace(src=join_words(pair.src, config.src_language), tgt=join_words(pair.tgt, config.tgt_language))


def _typed_forms(pairs: list[Pair], config: "DataConfig", seed: int) -> list[Pair]:
    """Every pair as people type it; an English source also in the corpus's form, and a third in a hasty form."""
    cjk = any("\u3040" <= character <= "\u9fff" for pair in pairs[:50] for character in pair.src)
    english = config.src_language in ("en", "") and not cjk
    chance = random.Random(f"forms-{seed}")
    forms: list[Pair] = []
    for pair in pairs:
        joined = _typed(pair, config)
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
    train = _documents_of(config.name, config, config.split, say)
    if config.max_examples and len(train) > config.max_examples:
        train = _sample(train, config.max_examples, seed)
    dropped: Counter[str] = Counter()
    if config.val_data:
        hub_split = is_hub_name(config.name) and not _is_local(config.val_data)
        source, split = (config.name, config.val_data) if hub_split else (config.val_data, config.split)
        val = _documents_of(source, config, split, say)
        known = set(val)
        kept = [text for text in train if text not in known]
        dropped["in the validation data too"] += len(train) - len(kept)
        if not kept:
            raise DataError("Every training text is in the validation data too; name different files.")
        train = kept
    elif len(train) == 1:
        text = train[0]
        cut = int(len(text) * (1 - config.val_fraction))  # as nanoGPT cuts it
        train, val = [text[:cut]], [text[cut:]]
        if not train[0].strip() or not val[0].strip():
            raise DataError("The text is too short to cut a validation part from; give more text or validation data.")
    else:
        unique = list(dict.fromkeys(train))
        dropped["the same document again"] += len(train) - len(unique)
        if len(unique) < 2:
            raise DataError("All documents are the same; there is nothing to validate on.")
        wanted = min(max(1, round(config.val_fraction * len(unique))), len(unique) - 1)
        held = set(_shuffled(list(range(len(unique))), seed)[:wanted])
        train = [text for i, text in enumerate(unique) if i not in held]
        val = [text for i, text in enumerate(unique) if i in held]
    return Corpus("text", train, val, dropped={why: n for why, n in dropped.items() if n})


def _documents_of(name: str, config: "DataConfig", split: str, say: Progress) -> list[str]:
    if not is_hub_name(name) and Path(name).suffix.lower() in (".txt", ".md", ".text"):
        return [readers.read_text(name)]
    rows = _rows_of(name, config, split, say)
    title = name if is_hub_name(name) else Path(name).name
    texts = [text for text in readers.column_values(rows, config.text_column, title, "text_column") if text.strip()]
    if not texts:
        raise DataError(f"The column {config.text_column!r} of {title} holds no text.")
    return texts


# ---------------------------------------------------------------------------------------------------- helpers


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

    return load_rows(name, config.configuration, split, config.streaming, config.max_examples, say)


def _title(config: "DataConfig") -> str:
    if not is_hub_name(config.name):
        return Path(config.name).name
    return " ".join(filter(None, [config.name, config.configuration, config.split]))


def _key(text: str) -> str:
    """What makes two source sentences the same: their words, whatever the case and spacing."""
    return " ".join(text.casefold().split())


def _shuffled(items: list[Any], seed: int) -> list[Any]:
    """A deterministic order by seed, independent of hash randomisation and of other uses of `random`."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}\0{item}".encode("utf-8", "replace")).digest())


def _sample(items: list[Any], count: int, seed: int) -> list[Any]:
    """`count` items, drawn by seed, in their order."""
    if count < 0:
        raise DataError(f"data.max_examples must not be negative, but is {count}.")
    if count >= len(items):
        return items
    return [items[i] for i in sorted(random.Random(f"sample-{seed}").sample(range(len(items)), count))]
