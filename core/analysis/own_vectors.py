"""Word vectors that were trained here, a folder each, beside the runs.

    RUNS_DIR/.embeddings/NAME/   about.json   words.json   vectors.safetensors (input and output, float32)

What is opened is JSON and safetensors: it cannot run code.
"""

import shutil
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core.analysis.word2vec import Settings, Word2Vec
from core.errors import ConfigError, RunError, UserError
from core.files import NAME, read_json, write_atomic, write_json
from core.run import default_runs_dir
from core.strict import from_dict

ABOUT, WORDS, VECTORS = "about.json", "words.json", "vectors.safetensors"


@dataclass(frozen=True)
class About:
    """What is known of own word vectors."""

    name: str
    made: str  # when, as "2026-01-31T12:00:00Z"
    data: str  # what they were trained on
    words: int  # that have vectors
    settings: Settings
    text_words: int = 0  # that were worked on, over all epochs
    seconds: float = 0.0
    loss: float | None = None  # of a pair, at the end; None: no word had another beside it
    bytes: int = 0  # of the files


def embeddings_dir(runs_dir: Path | None = None) -> Path:
    return (runs_dir or default_runs_dir()) / ".embeddings"


def check_vectors_name(name: str) -> str:
    """The name becomes a folder, so it must not be able to point anywhere else. RunError."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or ".." in name:
        raise RunError(
            f"{str(name)[:80]!r} cannot be a name of word vectors: use up to 64 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit."
        )
    return name


def own_vectors(runs_dir: Path | None = None) -> list[About]:
    """All own word vectors, the newest first. A folder that is broken is left out."""
    found = []
    try:
        names = [path.name for path in embeddings_dir(runs_dir).iterdir() if NAME.fullmatch(path.name)]
    except OSError:
        return []
    for name in names:
        try:
            found.append(about_vectors(name, runs_dir))
        except UserError:
            continue
    return sorted(found, key=lambda about: (about.made, about.name), reverse=True)


def vectors_path(name: str, runs_dir: Path | None = None) -> Path:
    """The folder of own word vectors. RunError if there are none of that name."""
    folder = embeddings_dir(runs_dir) / check_vectors_name(name)
    if not (folder / ABOUT).is_file():
        known = ", ".join(about.name for about in own_vectors(runs_dir)[:10]) or "none yet"
        raise RunError(f"There are no word vectors {name!r} of your own; there are: {known}.")
    return folder


def about_vectors(name: str, runs_dir: Path | None = None) -> About:
    """What is known of own word vectors. RunError if there are none of that name, or about.json is broken."""
    folder = vectors_path(name, runs_dir)
    try:
        return from_dict(About, {**read_json(folder / ABOUT), "name": name})
    except (ConfigError, TypeError) as error:
        raise RunError(f"{ABOUT} of the word vectors {name} is broken: {error}") from None


def open_vectors(name: str, runs_dir: Path | None = None) -> Word2Vec:
    """RunError if there are none of that name, or their files are broken."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    about, folder = about_vectors(name, runs_dir), vectors_path(name, runs_dir)
    broken = RunError(f"The files of the word vectors {name} do not fit together; train them again.")
    words = read_json(folder / WORDS)
    try:
        found = load_file(folder / VECTORS)
    except (SafetensorError, OSError) as error:
        raise RunError(f"{VECTORS} of the word vectors {name} is broken ({error}); train them again.") from None
    shape = (about.words, about.settings.size)
    if not isinstance(words, list) or len(words) != about.words or not all(isinstance(word, str) for word in words):
        raise broken
    if {key: array.shape for key, array in found.items()} != {"input": shape, "output": shape, "counts": shape[:1]}:
        raise broken
    input, output = (found[key].astype(np.float32) for key in ("input", "output"))
    return Word2Vec(words, found["counts"].astype(np.int64), input, output, about.settings)


def unused_vectors_name(wanted: str, runs_dir: Path | None = None) -> str:
    """`wanted`, or with the first number behind it that no own word vectors have."""
    folder, name, number = embeddings_dir(runs_dir), wanted, 2
    while (folder / name).exists():
        name, number = f"{wanted}-{number}", number + 1
    return name


def check_vectors_free(name: str, runs_dir: Path | None = None) -> str:
    """RunError if the name cannot be one, or is taken."""
    if (embeddings_dir(runs_dir) / check_vectors_name(name)).exists():
        raise RunError(f"There are word vectors {name!r} already; choose another name or delete them first.")
    return name


def save_vectors(
    name: str, model: Word2Vec, data: str, text_words: int = 0, seconds: float = 0.0,
    loss: float = float("nan"), runs_dir: Path | None = None,
) -> About:  # fmt: skip
    """Keep word vectors, at once or not at all. RunError if the name is taken or the disk refuses."""
    from safetensors.numpy import save

    check_vectors_free(name, runs_dir)
    folder = embeddings_dir(runs_dir)
    packed = save({"input": model.input, "output": model.output, "counts": model.counts})
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    told = float(loss) if np.isfinite(loss) else None
    about = About(
        name, made, data, len(model.words), model.settings, int(text_words), float(seconds), told, len(packed)
    )
    temporary = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        temporary.mkdir(parents=True)
        write_atomic(temporary / VECTORS, lambda file: file.write(packed))
        write_json(temporary / WORDS, model.words)
        write_json(temporary / ABOUT, asdict(about))
        temporary.rename(folder / name)
    except OSError as error:
        raise RunError(f"The word vectors {name} cannot be kept in {folder}: {error.strerror or error}.") from None
    finally:
        if temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)
    return about


def delete_vectors(name: str, runs_dir: Path | None = None) -> None:
    """Remove own word vectors. RunError if there are none of that name."""
    folder = vectors_path(name, runs_dir)
    away = folder.with_name(f".{uuid.uuid4().hex}.deleted")  # out of the way first: nobody finds half of them
    try:
        folder.rename(away)
    except OSError as error:
        raise RunError(f"The word vectors {name} cannot be removed: {error.strerror}.") from None
    shutil.rmtree(away, ignore_errors=True)
