"""What an evaluation follows from, as hashes: weights, tokenizer, data. The same hashes, the same outputs.

A file's SHA-256 is remembered with the file's size and times, so that large weights are read for it once: in memory
and, where evaluations are kept, under RUNS_DIR/.cache/hashes. Where a file has changed since, its hash is made anew.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import RunError
from core.files import write_json
from core.hub import TOKENIZER_FILES

if TYPE_CHECKING:
    from core.model import LanguageModel
    from core.run import Run

BLOCK = 1 << 20  # bytes read at a time
MOST_REMEMBERED = 1_000  # files

_remembered_here: dict[Path, tuple[list[int], str]] = {}  # file -> stamp and hash


def data_sha256(items: Iterable[Sequence[str] | str]) -> str:
    """Of pairs (source and reference) or documents, in their order: the SHA-256 of a line of JSON for each.

    >>> data_sha256([("Yes.", "はい。")]) == hashlib.sha256('["Yes.", "はい。"]\\n'.encode()).hexdigest()
    True
    """
    found = hashlib.sha256()
    for item in items:
        value: Any = item if isinstance(item, str) else [item[0], item[1]]
        found.update((json.dumps(value, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def weights_sha256(run: "Run", runs_dir: Path | None = None) -> str:
    """The SHA-256 of the run's model.safetensors as `sha256sum` prints it; of several files, that of their list."""
    paths = sorted(run.directory.glob("model*.safetensors"))
    return _of_files(paths, runs_dir) if paths else _of_memory(run.model)


def tokenizer_sha256(run: "Run", runs_dir: Path | None = None) -> str:
    """The same of the files that the run's tokenizer was read from."""
    paths = [run.directory / name for name in TOKENIZER_FILES if (run.directory / name).is_file()]
    if run.directory / "tokenizer.json" in paths:
        paths = [run.directory / "tokenizer.json"]
    if not paths:
        return hashlib.sha256(run.tokenizer.to_json().encode()).hexdigest()
    return _of_files(paths, runs_dir)


def precision_of(model: "LanguageModel") -> str:
    """ "float32", "bfloat16" or "int8": what the model computes in."""
    import torch

    from core.model.quantize import Int8Linear

    if any(isinstance(module, Int8Linear) for module in model.modules()):
        return "int8"
    return str(next(model.parameters()).dtype if model.device.type != "cpu" else torch.float32).removeprefix("torch.")


def device_of(model: "LanguageModel") -> str:
    """ "cpu", or the name of the GPU."""
    import torch

    return torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else model.device.type


def hashed(values: Any) -> str:
    """Twelve hexadecimal digits of plain values: an evaluation's name."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def model_values(run: "Run") -> dict[str, Any]:
    """What of the configuration changes results: the model's shape."""
    return asdict(run.config.model)


def software() -> dict[str, str]:
    """Versions of what computes and of what scores."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in ("llm-from-scratch-playground", "torch", "sacrebleu", "tokenizers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _of_files(paths: Sequence[Path], runs_dir: Path | None) -> str:
    hashes = [(path.name, _of_file(path, runs_dir)) for path in paths]
    if len(hashes) == 1:
        return hashes[0][1]
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


def _of_file(path: Path, runs_dir: Path | None) -> str:
    """A file's SHA-256: as it is remembered, if the file is the same."""
    try:
        path = path.resolve()  # the hub's cache links to what it keeps
        stamp = _stamp(path)
        seen, known = _remembered_here.get(path, ([], ""))
        if seen == stamp:
            return known
        kept = _kept_at(path, runs_dir)
        known = _remembered(kept, stamp)
        if not known:
            found = hashlib.sha256()
            with open(path, "rb") as file:
                while block := file.read(BLOCK):
                    found.update(block)
            known = found.hexdigest()
            if _stamp(path) != stamp:  # it is being written: a hash of this moment only
                return known
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_json(kept, {"file": str(path), "stamp": stamp, "sha256": known})
        if len(_remembered_here) >= MOST_REMEMBERED:
            _remembered_here.clear()
        _remembered_here[path] = (stamp, known)
        return known
    except OSError as error:
        raise RunError(f"{path.name} in {path.parent.name} cannot be read: {error.strerror}.") from None


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _kept_at(path: Path, runs_dir: Path | None) -> Path | None:
    if runs_dir is None or not os.access(runs_dir if runs_dir.is_dir() else runs_dir.parent, os.W_OK):
        return None
    return runs_dir / ".cache" / "hashes" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:24]}.json"


def _remembered(kept: Path | None, stamp: list[int]) -> str:
    if kept is None:
        return ""
    try:
        values = json.loads(kept.read_text(encoding="utf-8"))
        known = values["sha256"] if values["stamp"] == stamp else ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return known if isinstance(known, str) and len(known) == 64 else ""


def _of_memory(model: "LanguageModel") -> str:
    """Of a model without a file."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode() + b"\0" + tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
