"""Evaluations on disk: found, read, added to and deleted.

    RUNS_DIR/NAME/evaluations/ID/           of own runs: they go with the run
    RUNS_DIR/.evaluations/NAME/ID/          of bundled runs, of models of the hub, of runs that lie elsewhere
        evaluation.json                     core.evaluate.request.Evaluation
        outputs.jsonl                       of translations: {"number", "source", "reference", "output", "tokens",
                                            "logprob", "truncated", "seconds"}, a line as soon as it is there
        losses.f32                          of language models: the loss of each token in nats, little-endian float32
        data.jsonl                          texts that were given and are nowhere else: {"source", "reference"} or
                                            {"text"}

What is appended is appended whole, what is written is replaced in one step; what a killed process has left is gone on
with. One process at a time writes an evaluation: it holds a lock, which ends with the process.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import RunError
from core.evaluate.request import LARGEST, Evaluation, Output
from core.files import check_name, out_of_space, read_json, remove_directory, write_atomic, write_json
from core.run import default_runs_dir

if TYPE_CHECKING:
    from core.run import Run

OWN, OTHERS = "evaluations", ".evaluations"
RESULT, OUTPUTS, LOSSES, DATA = "evaluation.json", "outputs.jsonl", "losses.f32", "data.jsonl"
ID = re.compile(r"[0-9a-f]{12}")
LARGEST_RESULT = 20_000_000  # bytes of an evaluation.json that is read
LARGEST_OUTPUTS = 2_000_000_000  # bytes of an outputs.jsonl
MOST_LOSSES = 50_000_000  # tokens whose losses are kept
LARGEST_LOSS = 1e6  # nats of a token
MOST_LISTED = 2_000


@dataclass(frozen=True)
class Listed:
    """An evaluation as it is found on the disk; one that is broken has an error in the place of its values."""

    id: str
    run: str
    directory: Path
    evaluation: Evaluation | None
    error: str = ""


# ------------------------------------------------------------------------------------------------------------- places


def directory_of(run: "Run", id: str, runs_dir: Path | None = None) -> Path:
    """Where an evaluation of the run is kept."""
    runs_dir = runs_dir or default_runs_dir()
    own = run.directory.resolve().parent == runs_dir.resolve() and not run.directory.is_symlink()
    return (run.directory / OWN if own else runs_dir / OTHERS / _folder(run.name)) / id


def directory_named(name: str, id: str, runs_dir: Path | None = None) -> Path:
    """The same of a run that may not be on this machine, by its name."""
    runs_dir = runs_dir or default_runs_dir()
    own = runs_dir / check_name(name)
    return (own / OWN if own.is_dir() and not own.is_symlink() else runs_dir / OTHERS / _folder(name)) / id


def _folder(name: str) -> str:
    """A run's name as a folder's.

    >>> _folder("hf:org/model@main"), _folder("../x")
    ('hf+org+model+main', 'x')
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "+", name).strip("+.")[:120] or "run"


def list_evaluations(runs_dir: Path | None = None, run: str = "") -> list[Listed]:
    """All evaluations that are kept, the newest first, or those of one run. Broken ones are listed with their error."""
    runs_dir = runs_dir or default_runs_dir()
    found = []
    for directory in _directories(runs_dir):
        owner = directory.parent.parent if directory.parent.name == OWN else directory.parent
        try:
            evaluation = read_evaluation(directory)
            if directory.parent.name == OWN:  # the run may have been given another name since
                evaluation = replace(evaluation, run=owner.name)
            found.append(Listed(directory.name, evaluation.run, directory, evaluation))
        except RunError as error:
            found.append(Listed(directory.name, owner.name, directory, None, str(error)))
    found = [listed for listed in found if not run or run in (listed.run, _folder(listed.run))]
    found.sort(key=lambda listed: -(listed.evaluation.created if listed.evaluation else 0.0))
    return found[:MOST_LISTED]


def _directories(runs_dir: Path) -> Iterator[Path]:
    parents = [run / OWN for run in _folders(runs_dir) if not run.name.startswith(".")]
    for parent in [*parents, *_folders(runs_dir / OTHERS)]:
        yield from (path for path in _folders(parent) if ID.fullmatch(path.name))


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return []


def find_evaluation(id: str, runs_dir: Path | None = None) -> Path:
    """The directory of the evaluation whose id begins so (four digits at least). RunError if there is not one."""
    if not re.fullmatch(r"[0-9a-f]{4,12}", id):
        raise RunError(f"{id[:40]!r} is no evaluation's id: `llm-scratch eval --list` shows them.")
    found = [path for path in _directories(runs_dir or default_runs_dir()) if path.name.startswith(id)]
    if not found:
        raise RunError(f"There is no evaluation {id}: `llm-scratch eval --list` shows those that are kept.")
    if len({path.name for path in found}) > 1:
        raise RunError(f"There are several evaluations that begin with {id}: write more of the id.")
    return found[0]


def load_evaluation(id: str, runs_dir: Path | None = None) -> Evaluation:
    """The evaluation whose id begins so. RunError, one sentence, if there is none or it is broken."""
    directory = find_evaluation(id, runs_dir)
    found = read_evaluation(directory)
    return replace(found, run=directory.parent.parent.name) if directory.parent.name == OWN else found


def delete_evaluation(id: str, runs_dir: Path | None = None) -> None:
    """Remove an evaluation with its outputs, for good. RunError while it is being made."""
    directory = find_evaluation(id, runs_dir)
    with locked(directory):
        try:
            remove_directory(directory)
        except OSError as error:
            raise RunError(f"The evaluation {directory.name} cannot be deleted: {error.strerror}.") from None


# -------------------------------------------------------------------------------------------------------------- files


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Nobody else writes the evaluation meanwhile. RunError at once where somebody does."""
    try:
        handle = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except FileNotFoundError:
        raise RunError(f"The evaluation {directory.name} is no longer there: its run was deleted or renamed.") from None
    except OSError as error:
        raise RunError(f"The evaluation cannot be kept in {directory}: {error.strerror}.") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"The evaluation {directory.name} is being made right now by another process: wait for it, or stop it."
            ) from None
        yield
    finally:
        os.close(handle)


def make(directory: Path) -> None:
    """The evaluation's folder. The run's own folder must be there: it is not made again for a run that was deleted."""
    if directory.parent.name == OWN and not directory.parent.parent.is_dir():
        raise RunError(f"The run {directory.parent.parent.name} is no longer there: it was deleted or renamed.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"The evaluation cannot be kept in {directory}: {error.strerror}.") from None


def read_evaluation(directory: Path) -> Evaluation:
    """RunError for one that is not there or broken."""
    path = directory / RESULT
    if path.is_file() and path.stat().st_size > LARGEST_RESULT:
        raise RunError(f"{RESULT} of {directory.name} is too large to be one: delete that evaluation.")
    found = Evaluation.from_dict(read_json(path), directory)
    if found.state != "done":  # a process that was killed has not said how far it came
        found = replace(found, done=_lines(directory / OUTPUTS) or _size(directory / LOSSES) // 4 or found.done)
    if found.id != directory.name:
        raise RunError(f"{RESULT} in {directory.name} is that of {found.id[:40]!r}: delete that evaluation.")
    return found


def write_evaluation(directory: Path, evaluation: Evaluation) -> None:
    _still_there(directory)
    write_json(directory / RESULT, evaluation.to_dict())


def append_outputs(directory: Path, outputs: Sequence[Output]) -> None:
    """In one write, so that readers see all of a batch or nothing."""
    lines = "".join(json.dumps(output.__dict__, ensure_ascii=False) + "\n" for output in outputs)
    _append(directory / OUTPUTS, lines.encode("utf-8", "replace"))


def read_outputs(directory: Path) -> dict[int, Output]:
    """By their numbers. What is not a whole line, or not an output, is left out."""
    from core.files import iter_jsonl

    path = directory / OUTPUTS
    if path.is_file() and path.stat().st_size > LARGEST_OUTPUTS:
        raise RunError(f"{OUTPUTS} of {directory.name} is too large to be read: delete that evaluation.")
    found = {}
    for values in iter_jsonl(path):
        output = _output(values)
        if output is not None:
            found[output.number] = output
    return found


def outputs_of(evaluation: Evaluation) -> list[Output]:
    """Sources, references and outputs, in the order of the data; of what was stopped those that are there."""
    if evaluation.lines or not evaluation.directory:
        return list(evaluation.lines)
    found = read_outputs(Path(evaluation.directory))
    if evaluation.kind == "translation" and evaluation.state == "done" and len(found) != evaluation.total:
        raise RunError(
            f"{OUTPUTS} of {evaluation.id} holds {len(found):,} of {evaluation.total:,} outputs: evaluate again, as "
            "its command says; what is missing is decoded anew."
        )
    return [found[number] for number in sorted(found)]


def write_outputs(directory: Path, outputs: dict[int, Output]) -> None:
    """All of them, in the order of the data, in the place of what was appended."""
    _still_there(directory)
    lines = (json.dumps(outputs[number].__dict__, ensure_ascii=False) + "\n" for number in sorted(outputs))
    text = "".join(lines).encode("utf-8", "replace")
    write_atomic(directory / OUTPUTS, lambda file: file.write(text))


def write_data(directory: Path, items: Sequence[Any]) -> None:
    """Pairs or documents, so that they can be evaluated on again."""
    _still_there(directory)
    rows = [{"text": item} if isinstance(item, str) else {"source": item[0], "reference": item[1]} for item in items]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "replace")
    write_atomic(directory / DATA, lambda file: file.write(text))


def clip(directory: Path) -> None:
    """Take away half a line that a killed process has left, so that what is appended begins a line of its own."""
    path = directory / OUTPUTS
    try:
        with open(path, "rb+") as file:
            data = file.read()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                file.truncate(whole)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise RunError(f"{OUTPUTS} of {directory.name} cannot be written: {error.strerror}.") from None


def append_losses(directory: Path, nats: np.ndarray) -> None:
    _append(directory / LOSSES, np.asarray(nats, dtype="<f4").tobytes())


def read_losses(directory: Path) -> np.ndarray:
    """float32 (N,), of as many tokens as there are, up to one whose loss cannot be one; see `clip_losses`."""
    try:
        data = (directory / LOSSES).read_bytes()
    except FileNotFoundError:
        return np.empty(0, dtype=np.float32)
    except OSError as error:
        raise RunError(f"{LOSSES} of {directory.name} cannot be read: {error.strerror}.") from None
    found = np.frombuffer(data[: len(data) // 4 * 4], dtype="<f4").astype(np.float32)
    possible = (found >= 0) & (found < LARGEST_LOSS)
    return found if possible.all() else found[: possible.argmin()]


def clip_losses(directory: Path, count: int) -> None:
    """Keep the first so many."""
    path = directory / LOSSES
    if path.exists():
        os.truncate(path, 4 * count)


def start_again(directory: Path) -> None:
    """Forget what was put out before."""
    for name in (OUTPUTS, LOSSES):
        (directory / name).unlink(missing_ok=True)


def _append(path: Path, data: bytes) -> None:
    _still_there(path.parent)
    size = path.stat().st_size if path.exists() else 0
    try:
        with open(path, "ab", buffering=0) as file:
            written = file.write(data)
            if written != len(data):  # a disk that fills up takes a part
                os.truncate(path, size)
                raise RunError(
                    f"There is no space left on the disk for {path.name}; what was saved before stands. Free some "
                    "space and evaluate again: it goes on from there."
                )
    except OSError as error:
        if out_of_space(error):
            raise RunError(
                f"There is no space left on the disk for {path.name}; what was saved before stands. Free some space "
                "and evaluate again: it goes on from there."
            ) from error
        raise RunError(f"{path} cannot be written: {error.strerror}.") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _lines(path: Path) -> int:
    if not 0 < _size(path) <= LARGEST_OUTPUTS:
        return 0
    with open(path, "rb") as file:
        return sum(line.endswith(b"\n") for line in file)


def _still_there(directory: Path) -> None:
    if not directory.is_dir():
        raise RunError(f"The evaluation {directory.name} is no longer there: its run was deleted or renamed meanwhile.")


def _output(values: dict[str, Any]) -> Output | None:
    kinds = {"number": int, "source": str, "reference": str, "output": str}
    if any(type(values.get(name)) is not kind for name, kind in kinds.items()) or values["number"] < 0:
        return None
    tokens, logprob, seconds = (values.get(name, 0) for name in ("tokens", "logprob", "seconds"))
    if type(tokens) is not int or any(type(n) not in (int, float) for n in (logprob, seconds)):
        return None
    if not all(abs(n) < LARGEST for n in (tokens, logprob, seconds)):  # also what is no number
        return None
    plain = (values["number"], values["source"], values["reference"], values["output"])
    return Output(*plain, tokens, float(logprob), values.get("truncated") is True, float(seconds))
