"""Checkpoints of the Hugging Face hub: `hf:org/name` or `hf:org/name@revision` -> a directory on this machine.

The download, the cache, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are huggingface_hub's. What is in the cache is used
when the hub does not answer. Only JSON, text and safetensors are fetched: nothing that could run.
"""

import re
import threading
import time
from pathlib import Path

from core.errors import RunError
from core.files import read_json

PREFIX = "hf:"
FILES = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
]
TIMEOUT = 5.0  # seconds for the hub to answer
REMEMBER_FAILURE = 20.0  # seconds during which a name that failed is not asked for again

_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_lock = threading.Lock()
_found: dict[str, Path] = {}  # one look at the hub for each name and process
_failed: dict[str, tuple[float, str]] = {}


def is_hub_name(name: str) -> bool:
    return name.startswith(PREFIX)


def is_checkpoint(directory: Path) -> bool:
    """Whether the directory's config.json is a Hugging Face one. A broken file is nobody's."""
    try:
        values = read_json(directory / "config.json")
    except (RunError, OSError):
        return False
    return isinstance(values, dict) and ("model_type" in values or "architectures" in values)


def fetch(name: str, revision: str | None = None) -> Path:
    """The directory of `hf:org/name[@revision]` with the files that are needed, downloaded if they are not there yet.

    Raises RunError, within seconds when the hub cannot be reached.
    """
    repository, _, tag = name.removeprefix(PREFIX).strip().partition("@")
    revision = revision or tag or None
    if not _NAME.fullmatch(repository) or ".." in repository or "--" in repository:
        raise RunError(f"{name[:120]!r} is not a name on the hub: write hf:organisation/model.")
    if revision and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise RunError(f"{revision[:80]!r} is not a revision: write a branch, a tag or a commit.")
    key = f"{repository}@{revision or ''}"
    with _lock:  # several tabs ask for the same name at once
        if key in _found and (_found[key] / "config.json").is_file():
            return _found[key]
        when, sentence = _failed.get(key, (0.0, ""))
        if sentence and time.monotonic() - when < REMEMBER_FAILURE:
            raise RunError(sentence)
        try:
            _found[key] = _download(repository, revision)
        except RunError as error:
            _failed[key] = (time.monotonic(), str(error))
            raise
        return _found[key]


def pickled_only(name: str, source: str = "") -> RunError:
    """What to say of a checkpoint whose weights are pickled: reading those can run code."""
    return RunError(
        f"{name} has only pickled weights (*.bin), which can run code when they are read; convert them once with "
        f"transformers, `AutoModelForCausalLM.from_pretrained({(source or name).removeprefix(PREFIX)!r})"
        ".save_pretrained('DIRECTORY')`, and choose that directory."
    )


def _download(repository: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import HfApi, constants, snapshot_download
        from huggingface_hub import errors as hub_errors
    except ImportError:
        raise RunError("hf:… needs the package huggingface_hub: pip install huggingface_hub.") from None
    shown = f"{PREFIX}{repository}" + (f"@{revision}" if revision else "")
    commit = None
    reason = "HF_HUB_OFFLINE is set"
    if not constants.HF_HUB_OFFLINE:
        try:
            info = HfApi().model_info(repository, revision=revision, timeout=TIMEOUT)
            names = [file.rfilename for file in info.siblings or []]
            if not any(name.endswith(".safetensors") for name in names):
                if any(name.endswith((".bin", ".pt", ".pth", ".h5", ".msgpack")) for name in names):
                    raise pickled_only(shown)
                raise RunError(f"{shown} has no model.safetensors; choose a repository that holds a model.")
            commit = info.sha
        except hub_errors.GatedRepoError:
            raise RunError(f"{shown} is gated: accept its terms on the hub and set HF_TOKEN to your token.") from None
        except hub_errors.RevisionNotFoundError:
            raise RunError(f"{shown}: there is no such revision; see the repository's branches and tags.") from None
        except hub_errors.RepositoryNotFoundError:
            raise RunError(
                f"There is no model {shown} that you may read; check the name, and set HF_TOKEN if it is private."
            ) from None
        except RunError:
            raise
        except Exception as error:  # no network, a time-out, a server's error: what is in the cache will do
            reason = f"the hub cannot be reached ({type(error).__name__})"
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision,  # by its name, so that the cache knows what the name stands for when offline
                allow_patterns=FILES,
                etag_timeout=TIMEOUT,
                local_files_only=commit is None,
            )
        )
    except hub_errors.GatedRepoError:
        raise RunError(f"{shown} is gated: accept its terms on the hub and set HF_TOKEN to your token.") from None
    except Exception as error:
        if commit is None:
            raise RunError(f"{shown} is not in the cache on this machine, and {reason}.") from None
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise RunError(f"{shown} could not be downloaded ({type(error).__name__}: {first}); try again.") from None
