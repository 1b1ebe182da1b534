"""Tokenizers of a person's own, trained here or brought as a file: a folder each, beside the runs.

    RUNS_DIR/.tokenizers/NAME/   about.json   tokenizer.json, or tokenizer.model, *.tiktoken, vocab.json and merges.txt
                                 [tokenizer_config.json chat_template.jinja ...]

`load_tokenizer(NAME)` finds them, after bundled runs and runs of the same name. A file that is brought is opened and
tried before it is kept, and what is kept is only ever read as data.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from core.child import environment
from core.errors import ConfigError, RunError, UserError
from core.files import NAME, read_json, write_json
from core.run import default_runs_dir
from core.strict import from_dict
from core.tokenizer.base import Tokenizer

ABOUT = "about.json"
BESIDE = ("tokenizer_config.json", "chat_template.jinja", "chat_template.json", "special_tokens_map.json")
MAX_BYTES = 64 << 20  # of a file that is brought; the largest published tokenizer.json have about 35 MB
TRY_LIMIT = 60.0  # seconds


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
    about = {"kind": kind_of(tokenizer), "vocab_size": tokenizer.vocab_size, **about}
    return _keep(name, {"tokenizer.json": tokenizer.to_json().encode("utf-8")}, about, runs_dir)


def add_file(name: str, *paths: str | Path, pattern: str = "", runs_dir: Path | None = None) -> About:
    """Keep a tokenizer's own file: a tokenizer.json, a SentencePiece model (.model, .spm), a .tiktoken list of ranks,
    or vocab.json and merges.txt (both are given); beside it what it says of chats (BESIDE), which is kept as it is.
    UserError, one sentence, if it is too large or cannot be used.

    pattern: how a .tiktoken file that has not the name of a published encoding cuts text: gpt2, gpt4, o200k, none.
    """
    check_tokenizer_name(name)
    files = _read_files([Path(path) for path in paths])
    beside = {file: files.pop(file) for file in BESIDE if file in files and len(files) > 1}
    with tempfile.TemporaryDirectory(prefix="tokenizer-") as folder:
        for file, content in files.items():
            (Path(folder) / file).write_bytes(content)
        answer = _tried(Path(folder), list(files), pattern)
        kept = {}
        for file in answer["kept"]:
            kept[file] = (Path(folder) / "kept" / file).read_bytes()
    about = {"kind": answer["kind"], "vocab_size": answer["vocab_size"], "how": "from a file", "data": ", ".join(files)}
    return _keep(name, kept | beside, about, runs_dir)


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
            if not path.is_file():
                raise RunError(f"{path.name} is not a file; give a tokenizer's file.")
            if size > MAX_BYTES:
                raise RunError(
                    f"{path.name} has {size / 2**20:,.0f} MB; a tokenizer's file may have up to {MAX_BYTES >> 20} MB."
                )
            files[path.name] = path.read_bytes()
        except (OSError, ValueError) as error:
            raise RunError(f"{path.name} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
        if not files[path.name]:
            raise RunError(f"{path.name} is empty; give a tokenizer's file.")
    if not files:
        raise RunError("Choose a tokenizer's file first: tokenizer.json, a SentencePiece model or a .tiktoken file.")
    return files


def _tried(folder: Path, files: list[str], pattern: str) -> dict[str, Any]:
    """Have the files opened and tried in a process of its own: nothing in them can hang or end this one. RunError."""
    question = json.dumps({"folder": str(folder), "files": files, "pattern": pattern})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "core.tokenizer.files.try_file"], input=question.encode(), capture_output=True,
            timeout=TRY_LIMIT, env=environment(RUST_BACKTRACE="0"),
        )  # fmt: skip
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise RunError(f"{', '.join(files)} takes longer than {TRY_LIMIT:.0f} s to open; it cannot be used.") from None
    except ValueError:
        raise RunError(
            f"{', '.join(files)} cannot be used: opening it took too much memory, or ended the process that tried it."
        ) from None
    if "error" in answer:
        raise RunError(answer["error"])
    return answer


def _keep(name: str, files: dict[str, bytes], about: dict[str, Any], runs_dir: Path | None) -> About:
    """Write a folder at once or not at all."""
    folder = tokenizers_dir(runs_dir)
    if (folder / name).exists():
        raise RunError(f"There is a tokenizer {name!r} already; choose another name or delete it first.")
    made = About(
        name=name,
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
