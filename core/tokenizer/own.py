"""Tokenizers of a person's own, trained here or brought as a file: a folder each, beside the runs.

    RUNS_DIR/.tokenizers/NAME/   about.json   tokenizer.json, or tokenizer.model, *.tiktoken, vocab.json and merges.txt

`load_tokenizer(NAME)` finds them, after bundled runs and runs of the same name. A file that is brought is opened and
tried before it is kept, and what is kept is only ever read as data.
"""

import shutil
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from core.errors import ConfigError, RunError, UserError
from core.files import NAME, read_json, write_json
from core.run import default_runs_dir
from core.strict import from_dict
from core.tokenizer.base import Tokenizer

ABOUT = "about.json"
MAX_BYTES = 64 << 20  # of a file that is brought; the largest published tokenizer.json have about 35 MB
MAX_TOKENS = 2_000_000
_TRIED = "Hello, world!\n  12345 déjà vu 東京 \U0001f469\u200d\U0001f4bb <s>"


@dataclass(frozen=True)
class About:
    """What is known of an own tokenizer."""

    name: str
    kind: str  # "BPE", "Unigram", "WordPiece", "characters", "SentencePiece", ...
    vocab_size: int
    made: str  # when, as "2026-01-31T12:00:00Z"
    how: str = ""  # "trained" or "from a file"
    data: str = ""  # what it was trained on, or the file's name
    request: dict[str, Any] = field(default_factory=dict)  # the TrainingRequest's values
    bytes: int = 0  # of its files


def tokenizers_dir(runs_dir: Path | None = None) -> Path:
    return (runs_dir or default_runs_dir()) / ".tokenizers"


def check_tokenizer_name(name: str) -> str:
    """The name becomes a folder, so it must not be able to point anywhere else. RunError."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or ".." in name:
        raise RunError(
            f"{str(name)[:80]!r} cannot be a tokenizer's name: use up to 64 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit."
        )
    return name


def own_tokenizers(runs_dir: Path | None = None) -> list[About]:
    """All own tokenizers, the newest first. A folder that is broken is left out."""
    folder = tokenizers_dir(runs_dir)
    found = []
    try:
        names = [path.name for path in folder.iterdir() if NAME.fullmatch(path.name)]
    except OSError:
        return []
    for name in names:
        try:
            found.append(own_about(name, runs_dir))
        except UserError:
            continue
    return sorted(found, key=lambda about: (about.made, about.name), reverse=True)


def own_about(name: str, runs_dir: Path | None = None) -> About:
    """What is known of one of them. RunError if there is none of that name."""
    values = read_json(own_path(name, runs_dir) / ABOUT)
    try:
        request = values.pop("request", {})
        return replace(from_dict(About, {**values, "name": name}), request=request if isinstance(request, dict) else {})
    except (ConfigError, TypeError, AttributeError) as error:
        raise RunError(f"{ABOUT} of the tokenizer {name} is broken: {error}") from None


def own_path(name: str, runs_dir: Path | None = None) -> Path:
    """The folder of an own tokenizer. RunError if there is none of that name."""
    folder = tokenizers_dir(runs_dir) / check_tokenizer_name(name)
    if not (folder / ABOUT).is_file():
        raise RunError(f"There is no tokenizer {name!r} of your own; train one or add a file first.")
    return folder


def has_own(name: str, runs_dir: Path | None = None) -> bool:
    return bool(NAME.fullmatch(name)) and ".." not in name and (tokenizers_dir(runs_dir) / name / ABOUT).is_file()


def unused_tokenizer_name(wanted: str, runs_dir: Path | None = None) -> str:
    """`wanted`, or with the first number behind it that no own tokenizer has."""
    folder, name, number = tokenizers_dir(runs_dir), wanted, 2
    while (folder / name).exists():
        name, number = f"{wanted}-{number}", number + 1
    return name


def save_own(name: str, tokenizer: Tokenizer, about: dict[str, Any], runs_dir: Path | None = None) -> About:
    """Keep a tokenizer as tokenizer.json. `about` may say how, data and request. RunError if the name is taken."""
    check_tokenizer_name(name)
    return _keep(name, tokenizer, {"tokenizer.json": tokenizer.to_json().encode("utf-8")}, about, runs_dir)


def add_file(name: str, *paths: str | Path, pattern: str = "", runs_dir: Path | None = None) -> About:
    """Keep a tokenizer's own file: a tokenizer.json, a SentencePiece model (.model, .spm), a .tiktoken list of ranks,
    or vocab.json and merges.txt (both are given). UserError, one sentence, if it is too large or cannot be used.

    pattern: how a .tiktoken file that has not the name of a published encoding cuts text: gpt2, gpt4, none.
    """
    from core.tokenizer.load import tokenizer_from_files

    check_tokenizer_name(name)
    files = _read_files([Path(path) for path in paths])
    tokenizer, kept = tokenizer_from_files(files, pattern=pattern)
    _try(tokenizer, ", ".join(files))
    return _keep(name, tokenizer, kept, {"how": "from a file", "data": ", ".join(files)}, runs_dir)


def delete_own(name: str, runs_dir: Path | None = None) -> None:
    """Remove an own tokenizer. Runs that were trained with it have their copy. RunError if there is none."""
    folder = own_path(name, runs_dir)
    # Out of the way first, so that nobody finds half of one.
    away = folder.with_name(f".{uuid.uuid4().hex}.deleted")
    try:
        folder.rename(away)
    except OSError as error:
        raise RunError(f"The tokenizer {name} cannot be removed: {error.strerror}.") from None
    shutil.rmtree(away, ignore_errors=True)


def kind_of(tokenizer: Tokenizer) -> str:
    """In a word or two, what kind a tokenizer is."""
    names = {"BPETokenizer": "BPE", "CharTokenizer": "characters", "MarianTokenizer": "Marian"}
    model_type = getattr(tokenizer, "model_type", "")
    return model_type or names.get(type(tokenizer).__name__, type(tokenizer).__name__.removesuffix("Tokenizer"))


def _read_files(paths: Iterable[Path]) -> dict[str, bytes]:
    """Name -> content. RunError for what is too large or cannot be read."""
    files: dict[str, bytes] = {}
    for path in paths:
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise RunError(
                    f"{path.name} has {size / 2**20:,.0f} MB; a tokenizer's file may have up to {MAX_BYTES >> 20} MB."
                )
            if not path.is_file():
                raise RunError(f"{path.name} is not a file; give a tokenizer's file.")
            files[path.name] = path.read_bytes()
        except (OSError, ValueError) as error:
            raise RunError(f"{path.name} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
        if not files[path.name]:
            raise RunError(f"{path.name} is empty; give a tokenizer's file.")
    if not files:
        raise RunError("Choose a tokenizer's file first: tokenizer.json, a SentencePiece model or a .tiktoken file.")
    return files


def _try(tokenizer: Tokenizer, source: str) -> None:
    """Encode and decode a little: what opens but does not work is said now. RunError."""
    if tokenizer.vocab_size > MAX_TOKENS:
        raise RunError(f"{source} has ids up to {tokenizer.vocab_size - 1:,}; up to {MAX_TOKENS:,} can be used.")
    try:
        ids = tokenizer.encode(_TRIED).ids
        tokenizer.decode(ids)
        tokenizer.decode(tokenizer.encode(_TRIED, parse_special=True).ids)
        if any(not 0 <= id < tokenizer.vocab_size for id in ids):
            raise RunError(f"{source} gives ids outside its own vocabulary; it cannot be used.")
    except UserError as error:
        raise RunError(f"{source} opens, but does not work: {error}") from None
    except Exception as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise RunError(f"{source} opens, but does not work: {said.rstrip('.')}.") from None
    except BaseException as error:  # the `tokenizers` package's panics are no Exceptions
        if type(error).__name__ != "PanicException":
            raise
        raise RunError(f"{source} opens, but the tokenizers package fails on a short text with it.") from None


def _keep(
    name: str, tokenizer: Tokenizer, files: dict[str, bytes], about: dict[str, Any], runs_dir: Path | None
) -> About:
    """Write a folder at once or not at all."""
    folder = tokenizers_dir(runs_dir)
    if (folder / name).exists():
        raise RunError(f"There is a tokenizer {name!r} already; choose another name or delete it first.")
    made = About(
        name=name,
        kind=kind_of(tokenizer),
        vocab_size=tokenizer.vocab_size,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        bytes=sum(map(len, files.values())),
        **about,
    )
    temporary = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        temporary.mkdir(parents=True)
        for file, content in files.items():
            (temporary / file).write_bytes(content)
        write_json(temporary / ABOUT, asdict(made))
        temporary.rename(folder / name)
    except OSError as error:
        raise RunError(f"The tokenizer {name} cannot be kept in {folder}: {error.strerror or error}.") from None
    finally:
        if temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)
    return made
