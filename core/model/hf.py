"""Hugging Face checkpoints (GPT-2, Llama, Marian, Pegasus) as runs: their weights under our names.

    run = import_pretrained("hf:openai-community/gpt2")      # or a directory with config.json and model.safetensors

Only JSON, text, SentencePiece models and safetensors are read. The way back is in `hf_export.py`.
"""

import os
import re
import shutil
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from core import hub
from core.config import DataConfig, ModelConfig, RunConfig, TokenizerConfig
from core.errors import RunError, TextError, UserError
from core.files import check_name, expanded, read_json
from core.model import LanguageModel
from core.model.hf_config import model_config
from core.model.hf_generation import decode_config
from core.model.hf_weights import load_weights, weight_files
from core.run import Run, Status, default_runs_dir
from core.tokenizer.base import Encoding, Tokenizer


@dataclass(frozen=True)
class Ids:
    """The special tokens as the checkpoint has them. eos: the first is the model's; others end a text too.

    bos: what the decoder begins with; Marian's begins with pad.
    """

    pad: int
    bos: int
    eos: tuple[int, ...]
    begins_with_bos: bool


@dataclass
class PretrainedRun(Run):
    """A run whose directory is a checkpoint of the hub's format."""

    ids: Ids = field(default_factory=lambda: Ids(0, 1, (2,), True))

    @cached_property
    def model(self) -> LanguageModel:
        """The model in evaluation mode, float32, on the CPU."""
        model = load_weights(self.directory, self.config.model, self.name)
        model.pad_id, model.bos_id = self.ids.pad, self.ids.bos
        model.eos_id = self.ids.eos[0] if self.ids.eos else -1
        model.begins_with_bos = self.ids.begins_with_bos
        return model.pack()


class NoTokenizer(Tokenizer):
    """In the place of a tokenizer that a checkpoint does not have: says so when a text is to be read or written."""

    def __init__(self, name: str, vocab_size: int) -> None:
        super().__init__(vocab_size, {})
        self.name = name

    def error(self) -> RunError:
        return RunError(f"{self.name} has no tokenizer.json, so it cannot read text; add the file to its directory.")

    def encode(self, text: str, *, parse_special: bool = False) -> Encoding:
        raise self.error()

    def token_bytes(self, id: int) -> bytes:
        raise self.error()

    def to_json(self) -> str:
        raise self.error()


def import_pretrained(
    directory_or_id: str | os.PathLike[str],
    revision: str | None = None,
    name: str = "",
    progress: hub.Progress | None = None,
) -> Run:
    """A checkpoint as a run: a directory, or `hf:org/name[@revision]` on the hub.

    The configuration, the tokenizer and the list of weights are checked at once; the weights are read when `run.model`
    is first used. name: what errors and the page call it. progress: told how far a download is, in bytes. Raises
    RunError, one sentence, naming what does not fit.
    """
    given = os.fspath(directory_or_id)
    if revision and not hub.is_hub_name(given):
        raise RunError(f"A revision is of a model of the hub, hf:org/name; {given[:200]!r} is a directory.")
    directory = hub.fetch(given, revision, progress) if hub.is_hub_name(given) else expanded(given)
    if not given or not directory.is_dir():
        raise RunError(f"There is no directory {given[:200]!r}{hub.hint(given)}.")
    name = name or (given if hub.is_hub_name(given) else directory.resolve().name)
    if not (directory / "config.json").is_file():
        raise RunError(f"{given[:200]!r} is no checkpoint: it has no config.json.")
    values = read_json(directory / "config.json")
    if not isinstance(values, dict) or not hub.is_checkpoint_config(values):
        raise RunError(
            f"{name} is no Hugging Face checkpoint: its config.json names no architecture and no model_type."
        )
    config = model_config(values, name)
    size = sum(
        (directory / file).stat().st_size for file in weight_files(directory, name, given, values.get("model_type"))
    )
    if 2 * config.least_weights > size:  # before anything is made of that size; a weight has two bytes or more
        raise RunError(
            f"{name} has {size:,} bytes of weights, but its config.json asks for more than {config.least_weights:,} "
            "weights; download the checkpoint again."
        )
    tokenizer = _tokenizer(directory, name, config.vocab_size)
    ids = _special_ids(directory, values, config)
    run = RunConfig(
        model=config,
        tokenizer=TokenizerConfig(path="tokenizer.json"),
        data=DataConfig(name=""),  # nobody has said what it was trained on
        decode=decode_config(directory, values, config, ids.eos, name),
    )
    return PretrainedRun(name, run, tokenizer, directory, _json_object(directory / "scores.json"), ids=ids)


def keep(run: Run, name: str | None = None, runs_dir: Path | None = None) -> Path:
    """Copy an imported checkpoint's files, as they are, to a run of one's own. Returns the run's directory.

    name: by default the checkpoint's. All weights are read first, so that what is kept can be used. The directory
    appears when it is whole. RunError if the name is taken, or if the checkpoint is broken.
    """
    if name is None:
        plain = run.name.removeprefix(hub.PREFIX).partition("@")[0].rpartition("/")[2]
        name = re.sub(r"[^A-Za-z0-9._-]+|\.\.+", "-", plain).strip("-._")[:64] or "imported"
    check_name(name)
    run.model  # noqa: B018
    target = (runs_dir or default_runs_dir()) / name
    if target.exists():
        raise RunError(f"There is already a run {name!r}; choose another name.")
    temporary = target.with_name(f".{name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        weights = weight_files(run.directory, run.name)
        for file in sorted(run.directory.iterdir()):
            wanted = any(fnmatchcase(file.name, pattern) for pattern in hub.MODEL_FILES)
            if file.name in weights or (wanted and file.is_file() and file.suffix != ".safetensors"):
                shutil.copyfile(file, temporary / file.name)
        source = run.name if hub.is_hub_name(run.name) else run.directory.resolve()
        Status(state="done", message=f"imported from {source}").write(temporary)
        temporary.rename(target)
    except OSError as error:
        raise RunError(f"The checkpoint cannot be copied to {target}: {error.strerror}.") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _tokenizer(directory: Path, name: str, vocab_size: int) -> Tokenizer:
    from core.tokenizer.load import has_tokenizer, load_tokenizer

    if not has_tokenizer(directory):
        return NoTokenizer(name, vocab_size)
    try:
        tokenizer = load_tokenizer(directory.resolve())
    except UserError:
        raise
    except Exception as error:  # the tokenizers package raises bare Exception
        raise RunError(f"The tokenizer of {name} is broken ({error}); download the checkpoint again.") from None
    if _writes_beyond(tokenizer, vocab_size):
        raise RunError(
            f"The tokenizer of {name} has {tokenizer.vocab_size:,} tokens, but its model only {vocab_size:,}: put the "
            "model's own tokenizer in its directory."
        )
    return tokenizer


def _writes_beyond(tokenizer: Tokenizer, vocab_size: int) -> bool:
    """Whether a text may be cut into tokens that the model does not have. Special ones (a pad that was added, say) do
    not come from texts."""
    for id in range(vocab_size, min(tokenizer.vocab_size, vocab_size + 1_000)):
        if id not in tokenizer.special_ids:
            try:
                tokenizer.token_bytes(id)
            except TextError:  # a gap
                continue
            return True
    return False


def _special_ids(directory: Path, values: dict[str, Any], config: ModelConfig) -> Ids:
    """From generation_config.json and config.json; ids beyond the vocabulary count as none."""
    generation = _json_object(directory / "generation_config.json")

    def ids(key: str) -> tuple[int, ...]:
        value = generation.get(key) if generation.get(key) is not None else values.get(key)
        listed = value if isinstance(value, list) else [value]
        return tuple(dict.fromkeys(id for id in listed if type(id) is int and 0 <= id < config.vocab_size))

    bos, eos, pad = ids("bos_token_id"), ids("eos_token_id"), ids("pad_token_id")
    begins = bool(bos) and _begins_with_bos(directory, config.family, bos[0])
    if config.family == "transformer":
        bos = ids("decoder_start_token_id") or bos or pad
    first = (bos or eos or (0,))[0]  # an empty prompt has to begin with something
    return Ids((pad or eos or (0,))[0], first, eos, begins)


def _begins_with_bos(directory: Path, family: str, bos: int) -> bool:
    """Whether the checkpoint's own tokenizer puts bos before a text; without one, what is usual in the family."""
    added = _json_object(directory / "tokenizer_config.json").get("add_bos_token")
    if isinstance(added, bool):
        return added
    document = _json_object(directory / "tokenizer.json")
    if not document:
        return family == "llama"
    processor = document.get("post_processor") or {}
    for step in processor.get("processors") or [processor]:
        if isinstance(step, dict) and step.get("type") == "TemplateProcessing":
            first = (step.get("single") or [{}])[0].get("SpecialToken", {}).get("id")
            return bos in (step.get("special_tokens", {}).get(first) or {}).get("ids", [])
    return False


def _json_object(path: Path) -> dict[str, Any]:
    values = read_json(path) if path.is_file() else {}
    return values if isinstance(values, dict) else {}
