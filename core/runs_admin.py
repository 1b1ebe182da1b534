"""Keeping runs in order: rename, note, delete, export. Nothing here touches a bundled run or one that trains.

A run is always named, never given as a path, and a name cannot point elsewhere (core.files.check_name); a link in the
runs directory is neither followed nor removed.
"""

import os
import re
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

from core.errors import RunError
from core.files import check_name, expanded, read_json, remove_directory, write_atomic, write_text
from core.hub import MODEL_FILES
from core.metrics_export import csv_text
from core.run import BUNDLED, default_runs_dir, find_run, has_model, read_metrics, read_status

MAX_NOTE = 500  # characters
NOTE = "note.txt"
# What another machine needs to use the run or to look at it. Neither the log nor the status: they tell of this machine.
EXPORTED = (
    *("config.json", "tokenizer.json", "model.safetensors", "metrics.jsonl", "samples.jsonl", "scores.json"),
    *("README.md", NOTE, "generation_config.json", *(name for name in MODEL_FILES if "*" not in name)),
)


def own_run(name: str, runs_dir: Path | None = None) -> Path:
    """The directory of a run that may be changed: one of the runs directory itself. RunError if it is none."""
    check_name(name)
    directory = (runs_dir or default_runs_dir()) / name
    if directory.is_symlink():
        raise RunError(f"The run {name} is a link to another folder: change it where it lies, or remove the link.")
    if directory.is_dir():
        return directory
    if (BUNDLED / name).is_dir():
        raise RunError(f"{name} came with the program: it cannot be changed or deleted.")
    raise RunError(f"There is no run {name!r}.")


def rename_run(name: str, new: str, runs_dir: Path | None = None) -> Path:
    """Give a run another name. RunError if that is taken, or while the run trains. Returns its directory."""
    directory = own_run(name, runs_dir)
    target = directory.with_name(check_name(new))
    if new == name:
        return directory
    _at_rest(directory, "renamed")
    try:
        target.mkdir()  # takes the name, so that nobody else does; an empty folder is replaced in one step
    except FileExistsError:
        raise RunError(f"There is already a run {new!r}; choose another name.") from None
    except OSError as error:
        raise RunError(f"The run {name} cannot be renamed: {error.strerror}.") from None
    try:
        os.replace(directory, target)
    except OSError as error:
        target.rmdir()
        raise RunError(f"The run {name} cannot be renamed: {error.strerror}.") from None
    return target


def delete_run(name: str, runs_dir: Path | None = None) -> None:
    """Remove a run and all its files for good. RunError while it trains."""
    directory = own_run(name, runs_dir)
    _at_rest(directory, "deleted")
    try:
        remove_directory(directory)
    except OSError as error:
        raise RunError(f"The run {name} cannot be deleted: {error.strerror}.") from None


def _at_rest(directory: Path, what: str) -> None:
    if read_status(directory).is_active:
        raise RunError(f"The run {directory.name} is training; stop it before it is {what}.")


# -------------------------------------------------------------------------------------------------------------- notes


def set_note(name: str, text: str, runs_dir: Path | None = None) -> str:
    """Keep a note with the run, in one line; an empty one is removed. Returns what is kept."""
    directory = own_run(name, runs_dir)
    note = " ".join("".join(c if _is_plain(c) else " " for c in text).split())
    if len(note) > MAX_NOTE:
        raise RunError(f"The note has {len(note):,} characters; it may have up to {MAX_NOTE}.")
    path = directory / NOTE
    if note:
        write_text(path, note + "\n")  # a link that lies there is replaced, not followed
    else:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"The note of {name} cannot be removed: {error.strerror}.") from None
    return note


def read_note(directory: Path) -> str:
    """The run's note, or an empty text."""
    try:
        with open(os.open(directory / NOTE, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8", errors="replace") as file:
            text = file.read(4 * MAX_NOTE)
    except OSError:
        return ""
    return " ".join("".join(c if _is_plain(c) else " " for c in text).split())[:MAX_NOTE]


def _is_plain(character: str) -> bool:
    """Neither a control character nor one that turns the direction of what follows on the page."""
    turns = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    return unicodedata.category(character) not in ("Cc", "Cs") and unicodedata.bidirectional(character) not in turns


# ------------------------------------------------------------------------------------------------------------- export


def export_run(name: str, target: Path, runs_dir: Path | None = None) -> list[str]:
    """Write a zip file with all that another machine needs: unpacked into its runs directory it is a run there.

    Returns the names of the files inside. No path of this machine is in them. RunError if `target` exists.
    """
    target = expanded(target)
    if target.suffix.lower() != ".zip":
        raise RunError(f"A run is exported as a zip file: let the name end in .zip, not {target.name[:80]!r}.")
    directory = find_run(check_name(name), runs_dir)
    if directory.is_symlink():
        raise RunError(f"The run {name} is a link to another folder: export it where it lies.")
    if not has_model(directory):
        raise RunError(f"The run {directory.name} has no weights yet; they are written at the first validation.")
    _new_file(target)
    inside: list[str] = []

    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:

            def add(file_name: str, text: str) -> None:
                archive.writestr(f"{directory.name}/{file_name}", text)
                inside.append(file_name)

            for path in _exported(directory):
                if path.name in ("config.json", "scores.json"):
                    add(path.name, _json(without_folders(read_json(path))))
                else:  # weights do not get smaller by packing
                    packed = zipfile.ZIP_STORED if path.suffix == ".safetensors" else zipfile.ZIP_DEFLATED
                    archive.write(path, f"{directory.name}/{path.name}", packed)
                    inside.append(path.name)
            add("metrics.csv", csv_text(read_metrics(directory)))
            if "README.md" not in inside:
                add("README.md", card(directory))

    write_atomic(target, write)
    return inside


def _new_file(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise RunError(f"{target.name} is there already; choose another name.")
    if not target.parent.is_dir():
        raise RunError(f"There is no folder {target.parent} to write {target.name} to.")


def _exported(directory: Path) -> list[Path]:
    names = [*dict.fromkeys(EXPORTED), *sorted(p.name for p in directory.glob("model-*.safetensors"))]
    return [directory / name for name in names if (directory / name).is_file() and not (directory / name).is_symlink()]


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def without_folders(value: Any) -> Any:
    """Plain values with every path of this machine cut down to the file's name.

    >>> without_folders({"src": "/home/me/train.en", "name": "org/set", "more": ["C:\\\\data\\\\x.csv", "~/y.txt", 3]})
    {'src': 'train.en', 'name': 'org/set', 'more': ['x.csv', 'y.txt', 3]}
    >>> without_folders("12 pairs of /home/me/dev.csv, and/or https://host/a/b")
    '12 pairs of dev.csv, and/or https://host/a/b'
    """
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    if isinstance(value, str) and "\n" not in value:
        if re.match(r"(/|~|\.\.?[/\\]|[A-Za-z]:[/\\]|\\\\)", value):
            return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
        return re.sub(r"(?<![\w:/.])~?(?:/[^\s/'\"]+)+/(?=[^\s/'\"])", "", value)  # in the middle of a sentence
    return value


def card(directory: Path) -> str:
    """A model card of what the run's files say, for a run without one."""
    values = without_folders(read_json(directory / "config.json"))
    values = values if isinstance(values, dict) else {}
    model, data = ({**(values.get(key) or {})} for key in ("model", "data"))
    metrics = read_metrics(directory)
    lines = [f"# {directory.name}", ""]
    if model:
        lines.append(
            f"A {model.get('family')} of {model.get('n_layers')} layers, {model.get('n_heads')} heads, "
            f"{model.get('d_model')} wide, with a vocabulary of {model.get('vocab_size')} tokens."
        )
        lines.append(
            f"Trained on {data.get('src') or data.get('name')}; its preset was {values.get('preset') or 'none'}."
        )
    note = read_note(directory)
    lines += ["", note] if note else []
    best = [
        ("validation loss (nats per token)", min, "val_loss"), ("bits per byte", min, "val_bits_per_byte"),
        ("BLEU during training", max, "bleu"), ("chrF during training", max, "chrf"),
    ]  # fmt: skip
    rows = [("steps", max((line["step"] for line in metrics if isinstance(line.get("step"), int)), default=0))]
    for title, choose, key in best:
        found = [line[key] for line in metrics if isinstance(line.get(key), (int, float))]
        if found:
            rows.append((f"best {title}", choose(found)))
    lines += ["", "| | |", "|---|---|", *(f"| {title} | {value} |" for title, value in rows)]
    lines += ["", f"Unpack the folder into your runs directory; then `--run {directory.name}` opens it.", ""]
    return "\n".join(lines)
