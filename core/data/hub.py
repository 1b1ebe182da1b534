"""Hugging Face datasets: by name from the hub, or a directory on this machine. Nothing of a dataset is run as code.

Loading goes through `datasets` (parquet, json, csv, text and what else it reads), with its cache. A hub that cannot
be reached is noticed within seconds; a dataset that was loaded before is then taken from the cache.
"""

import itertools
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.data.readers import SUFFIXES
from core.data.shards import Shards, decoded
from core.errors import DataError

_PROBE_SECONDS = 5.0
_TABLE_ROWS = 256  # rows of a stream that are decoded at a time


def load_rows(
    name: str,
    configuration: str = "",
    split: str = "train",
    progress: Callable[[float, str], Any] | None = None,
) -> list[dict[str, Any]]:
    """The rows of one split. Raises DataError: unknown name, configuration or split, or no way to the hub."""
    loaded, online = _open(name, configuration, split, False, progress)
    try:
        rows = loaded.to_list()
    except Exception as error:
        raise DataError(_sentence(name, configuration, split, error, online)) from None
    if not rows:
        raise DataError(f"The split {split!r} of {name} has no rows.")
    return rows


class HubShards(Shards):
    """A data set of the hub, or a directory with one, read as it arrives: a shard is a file of it."""

    def __init__(self, name: str, configuration: str = "", split: str = "train") -> None:
        self.title, self.configuration, self.split = name, configuration, split
        loaded, self.online = _open(name, configuration, split, True)
        if hasattr(loaded, "to_iterable_dataset"):  # saved on this disk: its rows are mapped, not read
            self.total = len(loaded)
            loaded = loaded.to_iterable_dataset()
        elif loaded.info.splits and split in loaded.info.splits:
            self.total = loaded.info.splits[split].num_examples or 0
        self.tables = loaded.with_format("arrow")
        self.count = max(1, self.tables.num_shards)

    def rows(self, shard: int, start: int = 0) -> Iterator[dict[str, Any]]:
        try:
            tables = self.tables.shard(num_shards=self.count, index=shard) if self.count > 1 else self.tables
            yield from decoded(tables.iter(batch_size=_TABLE_ROWS), start)
        except Exception as error:
            raise DataError(_sentence(self.title, self.configuration, self.split, error, self.online)) from None


def _open(
    name: str,
    configuration: str,
    split: str,
    streaming: bool,
    progress: Callable[[float, str], Any] | None = None,
) -> tuple[Any, bool]:
    """The split as `datasets` opens it, and whether the hub (or the directory) is there."""
    directory = Path(name).expanduser()
    is_directory = directory.is_dir()
    if is_directory:
        _check_directory(directory)
    else:
        _check_name(name)
        if progress:
            progress(0.0, f"Asking the Hugging Face hub for {name}")
    online = is_directory or _hub_answers(name)
    import datasets

    datasets.disable_progress_bars()
    try:
        if is_directory and _is_saved_dataset(directory):
            loaded = datasets.load_from_disk(str(directory))
            if isinstance(loaded, datasets.DatasetDict):
                if split not in loaded:
                    raise DataError(f"{name} has no split {split!r}; its splits are {', '.join(loaded)}.")
                loaded = loaded[split]
        else:
            with _offline(not online):
                loaded = datasets.load_dataset(
                    str(directory) if is_directory else name, configuration or None, split=split, streaming=streaming
                )
    except DataError:
        raise
    except Exception as error:  # `datasets` raises a dozen kinds of its own, of pyarrow's and of the network's
        raise DataError(_sentence(name, configuration, split, error, online)) from None
    return loaded, online


def _check_directory(directory: Path) -> None:
    """A directory of data has some near its top; anything else (a home directory!) would be searched for long."""
    for pattern in ("*", "*/*"):
        for path in itertools.islice(directory.glob(pattern), 10_000):
            if path.suffix.lower() in (*SUFFIXES, ".arrow", ".gz", ".zst"):
                return
    raise DataError(f"{directory} holds no data files; it needs some of {', '.join(SUFFIXES)}, or name a file.")


def _check_name(name: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        raise DataError(
            f"{name[:80]!r} is neither a file on this machine nor a Hugging Face dataset name such as org/name."
        ) from None


def _hub_answers(name: str) -> bool:
    """Whether the hub answers at all (a refusal is an answer). `datasets` itself would try for minutes."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    url = f"{os.environ.get('HF_ENDPOINT') or constants.ENDPOINT}/api/datasets/{urllib.parse.quote(name)}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_PROBE_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False


class _offline:
    """While in force, `datasets` and `huggingface_hub` look only into their caches."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted

    def __enter__(self) -> None:
        import datasets.config
        import huggingface_hub.constants

        self.before = datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE
        if self.wanted:
            datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True

    def __exit__(self, *error: object) -> None:
        import datasets.config
        import huggingface_hub.constants

        datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE = self.before


def _is_saved_dataset(directory: Path) -> bool:
    return (directory / "state.json").is_file() or (directory / "dataset_dict.json").is_file()


def _sentence(name: str, configuration: str, split: str, error: Exception, online: bool) -> str:
    """One sentence for what `datasets` says in many."""
    text = " ".join(str(error).split())
    if not online:
        return f"The Hugging Face hub cannot be reached, and {name} is not in the cache; connect, or name a file."
    if "Config name is missing" in text or "BuilderConfig" in text and "not found" in text:
        configurations = text[text.find("[") + 1 : text.find("]")].replace("'", "")
        problem = f"no configuration {configuration!r}" if configuration else "several configurations"
        return f"{name} has {problem}; set data.configuration to one of: {configurations}."
    if "Unknown split" in text or "Bad split" in text:
        splits = text[text.find("[") + 1 : text.find("]")].replace("'", "")
        return f"{name} has no split {split!r}; its splits are {splits}."
    if type(error).__name__ in ("DatasetNotFoundError", "RepositoryNotFoundError", "GatedRepoError"):
        return f"The Hugging Face hub has no dataset {name!r} that is open to you; check the name, or set HF_TOKEN."
    if "scripts are no longer supported" in text:
        return f"{name} needs to run its own code to be read, which is not allowed here; choose another dataset."
    return f"{name} cannot be read as a dataset: {text[:200].rstrip('.')}."
