"""A run: one trained (or training) model with its tokenizer and configuration, in one directory.

    runs/NAME/  config.json  tokenizer.json  model.safetensors  metrics.jsonl  samples.jsonl  status.json
                train.log  stop  checkpoints/  snapshots/

An imported one is a checkpoint in Hugging Face's format with a status.json: see core.model.hf.

Everything that is read here is JSON or safetensors: loading a run cannot execute anything.
"""

import json
import os
import re
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import RunConfig
from core.errors import ConfigError, RunError, UserError
from core.files import check_name, expanded, read_json, read_jsonl, write_atomic, write_json
from core.hub import FAMILIES, Progress, fetch, has_weights, hint, is_checkpoint, is_checkpoint_config, is_hub_name

if TYPE_CHECKING:
    from core.model import LanguageModel
    from core.model.inference import Precision
    from core.tokenizer import Tokenizer

BUNDLED = Path(__file__).parent / "bundled"
BUNDLED_ORDER = ["enja-transformer", "shakespeare-gpt", "pydocs-llama", "demo-transformer", "demo-gpt"]
DEAD_AFTER = 120.0  # seconds without a heartbeat after which a run of a process that is not known counts as dead
PLACE = "LLM_SCRATCH_PLACE"  # set for a training elsewhere: what status.json says of the place, as JSON


@dataclass
class Run:
    """A loaded run. The model is read from disk when it is first asked for."""

    name: str
    config: RunConfig
    tokenizer: "Tokenizer"
    directory: Path
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def is_translation(self) -> bool:
        return self.config.model.family == "transformer"

    @cached_property
    def model(self) -> "LanguageModel":
        """The model in evaluation mode, float32, on the CPU."""
        return load_model(self.directory, self.config).pack()

    def use(self, device: str = "cpu", precision: "Precision" = "auto") -> "Run":
        """Have the model compute on a device in a precision: see core.model.inference. Returns the run itself."""
        from core.model.inference import for_inference

        self.model = for_inference(self.model, device, precision)
        return self

    @property
    def card(self) -> str:
        """The model card (Markdown), or an empty text. What the hub's cards say to machines, above it, is left out."""
        path = self.directory / "README.md"
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        return re.sub(r"\A\ufeff?---\s*\n.*?\n---[ \t]*(\n|\Z)", "", text, flags=re.DOTALL).lstrip()


def load_model(directory: Path, config: RunConfig, weights: str = "model.safetensors") -> "LanguageModel":
    """Build the model and fill it from a safetensors file of the run. Raises RunError naming what does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from core.model import build_model

    path = directory / weights
    if not path.exists():
        raise RunError(f"The run {directory.name} has no {weights} yet; it is written at the first validation.")
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise RunError(f"{weights} of the run {directory.name} is broken ({error}); train or copy it again.") from None
    found = {name: tuple(t.shape) for name, t in state.items()}
    least = config.model.least_weights
    if least > sum(t.numel() for t in state.values()):  # before memory is taken for a model that cannot be this one
        raise RunError(
            f"{weights} of the run {directory.name} does not fit its config.json: it has "
            f"{sum(t.numel() for t in state.values()):,} weights, of which at least {least:,} are expected."
        )
    model = build_model(config.model)
    expected = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    if expected != found:
        wrong = sorted(expected.items() ^ found.items())[0][0]
        raise RunError(
            f"{weights} of the run {directory.name} does not fit its config.json: see {wrong} "
            f"(expected {expected.get(wrong, 'nothing')}, found {found.get(wrong, 'nothing')})."
        )
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return model.eval()


def save_model(model: "LanguageModel", path: Path, half: bool = False) -> None:
    """Write the weights as safetensors, float32 or float16, atomically."""
    import torch
    from safetensors.torch import save

    dtype = torch.float16 if half else torch.float32
    state = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in model.state_dict().items()}
    write_atomic(path, lambda file: file.write(save(state)))


def default_runs_dir() -> Path:
    return Path(os.environ.get("RUNS_DIR") or "runs")


def load(name: str, runs_dir: Path | None = None, progress: Progress | None = None) -> Run:
    """A run by its name (own runs come before bundled ones of the same name), or a run directory, or a checkpoint in
    Hugging Face's format: its directory, or `hf:org/name` on the hub.

    progress: told how far a download is, in bytes. Raises RunError, one sentence, when there is none or it is broken.
    """
    directory = find_run(name, runs_dir, progress)
    if is_checkpoint(directory):
        from core.model.hf import import_pretrained

        return import_pretrained(directory, name=name if is_hub_name(name) else "")
    return _open(directory)


def _open(directory: Path) -> Run:
    from core.tokenizer import load_tokenizer

    config = read_config(directory)
    if not (directory / "tokenizer.json").exists():
        raise RunError(f"The run {directory.name} has no tokenizer.json yet.")
    try:
        tokenizer = load_tokenizer(directory / "tokenizer.json")
    except UserError:
        raise
    except Exception as error:  # the tokenizers package raises bare Exception
        raise RunError(f"tokenizer.json of the run {directory.name} is broken ({error}).") from None
    scores = read_json(directory / "scores.json") if (directory / "scores.json").exists() else {}
    return Run(directory.name, config, tokenizer, directory, scores)


def read_config(directory: Path) -> RunConfig:
    """The configuration of a run that was trained here. RunError if it is broken, or of an imported checkpoint."""
    values = read_json(directory / "config.json")
    if is_checkpoint_config(values):
        raise RunError(f"{directory.name} is an imported checkpoint: it was not trained here, and cannot be resumed.")
    try:
        return RunConfig.from_dict(values)
    except ConfigError as error:
        raise RunError(f"config.json of the run {directory.name} cannot be used: {error}") from None


def find_run(name: str, runs_dir: Path | None = None, progress: Progress | None = None) -> Path:
    """The directory of a run that is named, or that is given as a path. `hf:org/name` is downloaded first."""
    name = str(name).strip()
    if is_hub_name(name):
        return fetch(name, progress=progress)
    if os.sep in name or name in (".", ".."):
        directory = expanded(name)
        if not (directory / "config.json").is_file():
            raise RunError(f"{name[:200]!r} is not a run directory: it has no config.json{hint(name)}.")
        return directory
    check_name(name)
    for parent in (runs_dir or default_runs_dir(), BUNDLED):
        if (parent / name / "config.json").is_file():
            return parent / name
    known = [info.name for info in list_runs(runs_dir)]
    raise RunError(f"There is no run {name!r}. There are: {', '.join(known) or 'none yet'}.")


def create_run(config: RunConfig, name: str, runs_dir: Path | None = None) -> Path:
    """Make the directory of a new run, state "queued". RunError if the name is taken: nothing is overwritten."""
    check_name(name)
    directory = (runs_dir or default_runs_dir()) / name
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir()
    except FileExistsError:
        raise RunError(f"There is already a run {name!r}; choose another name, or resume it.") from None
    except OSError as error:
        raise RunError(f"The run's directory {directory} cannot be made: {error.strerror}.") from None
    write_json(directory / "config.json", config.to_dict())
    Status(steps=config.train.max_steps).write(directory)
    return directory


@dataclass(frozen=True)
class Status:
    """status.json: what a run is doing, for anyone who looks."""

    state: str = "queued"  # queued, running, paused, stopping, done, failed, cancelled
    step: int = 0
    steps: int = 0
    tokens_per_second: float = 0.0
    eta: float | None = None  # seconds left
    backend: str = "local"
    pid: int | None = None
    call_id: str | None = None  # of a remote run
    machine: str = ""  # of a remote run: its GPUs, such as "H100:2"
    heartbeat: float = 0.0  # time.time() of the last sign of life
    started: float = 0.0
    message: str = ""  # what it is doing, in words
    error: str = ""
    peak_share: float | None = None  # of the machine's matrix products per second, as measured when training began
    memory_bytes: int | None = None  # that the training process holds (on a GPU: the most it held there)
    price_per_hour: float = 0.0  # US dollars, of a machine that is rented; 0: this one
    rented_seconds: float = 0.0  # that such a machine was held so far, starts and interruptions included
    seconds: float = 0.0  # of training so far, over all sessions
    wandb_url: str = ""

    def write(self, directory: Path) -> None:
        write_json(directory / "status.json", {**self.__dict__, **_place(), "heartbeat": time.time()})

    @property
    def is_active(self) -> bool:
        return self.state in ("queued", "running", "paused", "stopping")


def status_from(values: dict[str, Any]) -> Status:
    """The status of plain values, whoever wrote them; what does not fit is left out."""
    return Status(**{key: value for key, value in values.items() if _fits(key, value)})


def _place() -> dict[str, Any]:
    """What the environment says of the place where this process trains; nothing on a person's own machine."""
    values = json.loads(os.environ.get(PLACE) or "{}")
    return {key: value for key, value in values.items() if _fits(key, value)}


def read_status(directory: Path) -> Status:
    """The run's status; one whose process is gone is shown as failed, whatever its file says. Of a run elsewhere only
    that place knows whether it still trains: it is shown as it was last heard of."""
    try:
        status = status_from(read_json(directory / "status.json"))
    except (RunError, AttributeError):
        return Status(state="done" if has_weights(directory) else "failed")
    if status.is_active and not _alive(status):
        status = replace(status, state="failed", error=status.error or "The training process is gone.")
    return status


def _fits(key: str, value: Any) -> bool:
    """Whether a value of status.json is of the field's kind: the file may have been written by anything."""
    if key not in Status.__dataclass_fields__:
        return False
    kind: Any = Status.__dataclass_fields__[key].type
    return isinstance(value, kind) or (isinstance(value, int) and isinstance(float(value), kind))


def _alive(status: Status) -> bool:
    if status.backend != "local":
        return True
    if status.pid is None:
        return time.time() - status.heartbeat < DEAD_AFTER
    try:
        os.kill(status.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    try:
        fields = Path(f"/proc/{status.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return True
    if fields[0] == "Z":  # a finished child that nobody has waited for still has a pid
        return False
    # The system uses numbers again: a process that began after the last sign of life is another one.
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - age < status.heartbeat + 2


@dataclass(frozen=True)
class RunInfo:
    """One line of the list of runs; cheap to make."""

    name: str
    directory: Path
    bundled: bool
    family: str
    preset: str
    status: Status
    has_model: bool
    error: str = ""


def list_runs(runs_dir: Path | None = None) -> list[RunInfo]:
    """Bundled runs first, then own ones, the newest first. A broken one is listed with its error."""
    found = []
    bundled = [BUNDLED / name for name in BUNDLED_ORDER]
    own_parent = runs_dir or default_runs_dir()
    own = [p for p in own_parent.iterdir() if p.is_dir()] if own_parent.is_dir() else []
    own.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    for directory in [p for p in bundled if (p / "config.json").is_file()] + own:
        if directory.name.startswith("."):
            continue
        family = preset = error = ""
        try:
            values = read_json(directory / "config.json")
            if is_checkpoint_config(values):  # what exactly it is, and whether it can be opened, is found when it is
                family = FAMILIES.get(str(values.get("model_type")), "")
                error = "" if family else f"A model of type {str(values.get('model_type'))[:40]!r} cannot be opened."
            else:
                config = RunConfig.from_dict(values)
                family, preset = config.model.family, config.preset
        except UserError as problem:
            error = str(problem)
        status, is_bundled = read_status(directory), directory.parent == BUNDLED
        found.append(
            RunInfo(directory.name, directory, is_bundled, family, preset, status, has_model(directory), error)
        )
    return found


def has_model(directory: Path) -> bool:
    """Whether there is something to open in the run's directory yet."""
    return has_weights(directory) and ((directory / "tokenizer.json").exists() or is_checkpoint(directory))


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    return read_jsonl(directory / "metrics.jsonl")


def read_samples(directory: Path) -> list[dict[str, Any]]:
    return read_jsonl(directory / "samples.jsonl")
