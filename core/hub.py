"""Checkpoints of the Hugging Face hub: `hf:org/name` or `hf:org/name@revision` -> a directory on this machine.

The download, the cache, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are huggingface_hub's. What is in the cache is used
when the hub does not answer. Only JSON, text, SentencePiece models and safetensors are fetched: nothing that could run.
"""

import re
import threading
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from core.errors import RunError
from core.files import read_json

PREFIX = "hf:"
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"),
    *("tokenizer.model", "spiece.model", "source.spm", "target.spm"),  # SentencePiece's, Marian's
    *("chat_template.jinja", "chat_template.json"),
)
MODEL_FILES = (
    *("config.json", "generation_config.json", "README.md"),
    *("model.safetensors", "model.safetensors.index.json", "model-*.safetensors"),
    *TOKENIZER_FILES,
)
PICKLED = (".bin", ".pt", ".pth", ".h5", ".msgpack")
TIMEOUT = 5.0  # seconds for the hub to answer
REMEMBER_FAILURE = 20.0  # seconds during which a name that failed is not asked for again
# What kind of model of ours a checkpoint's model_type is.
FAMILIES = {"gpt2": "gpt", "llama": "llama", "marian": "transformer", "pegasus": "transformer"}

Progress = Callable[[int, int], Any]  # called with the bytes that have come so far, and those in all

_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_lock = threading.Lock()
_locks: dict[str, threading.Lock] = {}  # one a name
_found: dict[str, Path] = {}  # one look at the hub for each name and process
_failed: dict[str, tuple[float, str]] = {}


def is_hub_name(name: str) -> bool:
    return name.startswith(PREFIX)


def hint(name: str) -> str:
    """What to add to the sentence that there is no directory `name`, where it may be meant as a name on the hub."""
    return f"; a model of the hub is written {PREFIX}{name}" if _NAME.fullmatch(name) else ""


def is_checkpoint(directory: Path) -> bool:
    """Whether the directory's config.json is a Hugging Face one. A broken file is nobody's."""
    try:
        return is_checkpoint_config(read_json(directory / "config.json"))
    except (RunError, OSError):
        return False


def is_checkpoint_config(values: Any) -> bool:
    return isinstance(values, dict) and ("model_type" in values or "architectures" in values)


def has_weights(directory: Path) -> bool:
    return (directory / "model.safetensors").is_file() or (directory / "model.safetensors.index.json").is_file()


def fetch(name: str, revision: str | None = None, progress: Progress | None = None) -> Path:
    """The directory of `hf:org/name[@revision]` with the files that are needed, downloaded if they are not there yet.

    Raises RunError, within seconds when the hub cannot be reached.
    """
    return _fetch(name, revision, MODEL_FILES, progress)


def fetch_tokenizer(name: str, progress: Progress | None = None) -> Path:
    """As `fetch`, the tokenizer's files only; the repository may be without a model."""
    return _fetch(name, None, TOKENIZER_FILES, progress)


def _fetch(name: str, revision: str | None, files: tuple[str, ...], progress: Progress | None) -> Path:
    repository, _, tag = name.removeprefix(PREFIX).strip().partition("@")
    revision = revision or tag or None
    if not _NAME.fullmatch(repository) or ".." in repository or "--" in repository:
        raise RunError(f"{name[:120]!r} is not a name on the hub: write hf:organisation/model.")
    if revision and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise RunError(f"{revision[:80]!r} is not a revision: write a branch, a tag or a commit.")
    key = f"{repository}@{revision or ''} {files[0]}"
    with _lock:
        lock = _locks.setdefault(key, threading.Lock())
    with lock:  # several tabs ask for the same name at once
        if key in _found and _found[key].is_dir():
            return _found[key]
        when, sentence = _failed.get(key, (0.0, ""))
        if sentence and time.monotonic() - when < REMEMBER_FAILURE:
            raise RunError(sentence)
        try:
            _found[key] = _download(repository, revision, files, progress or (lambda done, total: None))
        except RunError as error:
            _failed[key] = (time.monotonic(), str(error))
            raise
        return _found[key]


def pickled_only(name: str, source: str, model_type: Any) -> RunError:
    """What to say of a checkpoint whose weights are pickled: reading those can run code."""
    kind = "AutoModelForSeq2SeqLM" if FAMILIES.get(str(model_type)) == "transformer" else "AutoModelForCausalLM"
    return RunError(
        f"{name} has only pickled weights (*.bin), which can run code when they are read; convert them once with "
        f"transformers, `for part in (AutoTokenizer, {kind}): part.from_pretrained({source!r})"
        ".save_pretrained('DIRECTORY')`, and choose that directory."
    )


def _download(repository: str, revision: str | None, files: tuple[str, ...], progress: Progress) -> Path:
    try:
        from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub import errors as hub_errors
    except ImportError:
        raise RunError("hf:… needs the package huggingface_hub: pip install huggingface_hub.") from None
    shown = f"{PREFIX}{repository}" + (f"@{revision}" if revision else "")
    if constants.HF_HUB_OFFLINE:
        return _cached(repository, revision, files, shown, "HF_HUB_OFFLINE is set")
    answered = False
    try:
        info = HfApi().model_info(repository, revision=revision, timeout=TIMEOUT, files_metadata=True)
        answered = True
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        if files is MODEL_FILES and not any(name.endswith(".safetensors") for name in sizes):
            if any(name.endswith(PICKLED) for name in sizes):
                raise pickled_only(shown, repository, (info.config or {}).get("model_type"))
            raise RunError(f"{shown} has no model.safetensors; choose a repository that holds a model.")
        sizes = _wanted(sizes, files)
        if not sizes:
            raise RunError(f"{shown} has no tokenizer.json, nor other files of a tokenizer that can be opened.")
        # One quick question first: a download asks on for a minute where nobody answers.
        get_hf_file_metadata(hf_hub_url(repository, next(iter(sizes)), revision=info.sha), timeout=TIMEOUT)
        # The first by the revision's name, so that the cache knows what the name stands for when offline.
        paths: list[str] = []
        done, total = 0, sum(sizes.values())
        for filename, size in sizes.items():
            version = info.sha if paths else revision
            counter = _counter(done, total, progress)
            paths.append(
                hf_hub_download(repository, filename, revision=version, etag_timeout=TIMEOUT, tqdm_class=counter)
            )
            done += size
    except RunError:
        raise
    except hub_errors.GatedRepoError:
        raise RunError(f"{shown} is gated: accept its terms on the hub and set HF_TOKEN to your token.") from None
    except hub_errors.RevisionNotFoundError:
        raise RunError(f"{shown}: there is no such revision; see the repository's branches and tags.") from None
    except hub_errors.RepositoryNotFoundError:
        raise RunError(
            f"There is no model {shown} that you may read; check the name, and set HF_TOKEN if it is private."
        ) from None
    except Exception as error:  # no network, a time-out, a server's error
        if not answered:
            return _cached(repository, revision, files, shown, f"the hub cannot be reached ({type(error).__name__})")
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise RunError(f"{shown} could not be downloaded ({type(error).__name__}: {first}); try again.") from None
    directories = {Path(path).parent for path in paths}
    if len(directories) > 1:
        raise RunError(f"{shown} was changed on the hub while it was downloaded; try again.")
    return directories.pop()


def _wanted(sizes: dict[str, int], files: tuple[str, ...]) -> dict[str, int]:
    """Those of a repository's files (name -> bytes) that are to be fetched."""
    wanted = {
        name: size for name, size in sizes.items() if any(fnmatchcase(name, p) for p in files) and "/" not in name
    }
    if "model.safetensors" in wanted:  # then the same in several files would be for nothing
        wanted = {name: size for name, size in wanted.items() if not name.startswith(("model-", "model.safetensors."))}
    return wanted


def _cached(repository: str, revision: str | None, files: tuple[str, ...], shown: str, reason: str) -> Path:
    """The directory in the cache, if one of the files is there."""
    from huggingface_hub import try_to_load_from_cache

    for name in files:
        path = try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(path, str):
            return Path(path).parent
    raise RunError(f"{shown} is not in the cache on this machine, and {reason}.")


def _counter(before: int, total: int, progress: Progress) -> Any:
    """A class that huggingface_hub takes for a progress bar: it draws nothing and hands the bytes on."""
    from tqdm import tqdm

    class Counter(tqdm):
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **{**settings, "disable": True})
            self.bytes = settings.get("initial") or 0

        def update(self, n: float | None = 1) -> None:
            self.bytes += int(n or 0)
            progress(before + self.bytes, total)

        def update_transfer(self, n: float | None = 1) -> None:
            """What comes over the network is counted when it is in the file."""

    return Counter
