"""Hugging Face checkpoints (GPT-2, Llama, Marian, Pegasus) as runs: their weights under our names.

    run = import_pretrained("hf:openai-community/gpt2")      # or a directory with config.json and model.safetensors

Only JSON, text, SentencePiece models and safetensors are read. The way back is in `hf_export.py`.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from core import hub
from core.config import DataConfig, ModelConfig, RunConfig, TokenizerConfig
from core.errors import RunError, UserError
from core.files import read_json
from core.model import LanguageModel, build_model
from core.model.hf_config import SUPPORTED, model_config, model_type_of
from core.model.hf_generation import decode_config
from core.model.hf_names import NOT_WEIGHTS, POSITIONS, WEIGHTS, copies, full_name
from core.model.positions import RotaryPositions, SinusoidalPositions
from core.run import Run
from core.tokenizer.base import Encoding, Tokenizer

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


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
        return model


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


def import_pretrained(directory_or_id: str | os.PathLike[str], revision: str | None = None, name: str = "") -> Run:
    """A checkpoint as a run: a directory, or `hf:org/name[@revision]` on the hub.

    The configuration, the tokenizer and the list of weights are checked at once; the weights are read when `run.model`
    is first used. name: what errors and the page call it. Raises RunError, one sentence, naming what does not fit.
    """
    given = os.fspath(directory_or_id)
    directory = hub.fetch(given, revision) if hub.is_hub_name(given) else Path(given)
    name = name or (given if hub.is_hub_name(given) else directory.resolve().name)
    values = read_json(directory / "config.json")
    if not isinstance(values, dict):
        raise RunError(f"config.json of {name} is not an object with keys; download the checkpoint again.")
    config = model_config(values, name)
    size = sum((directory / file).stat().st_size for file in weight_files(directory, name, given))
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
    scores = read_json(directory / "scores.json") if (directory / "scores.json").exists() else {}
    return PretrainedRun(name, run, tokenizer, directory, scores, ids=ids)


def weight_files(directory: Path, name: str, source: str = "") -> dict[str, list[str]]:
    """Safetensors files -> names that the index promises in them (none promised when there is one file)."""
    if (directory / "model.safetensors").is_file():
        return {"model.safetensors": []}
    if not (directory / "model.safetensors.index.json").is_file():
        if any(directory.glob("*.bin")):
            model_type = _json_object(directory / "config.json").get("model_type")
            raise hub.pickled_only(name, (source or str(directory)).removeprefix(hub.PREFIX), model_type)
        raise RunError(f"{name} has no model.safetensors; download the checkpoint again.")
    index = read_json(directory / "model.safetensors.index.json")
    where = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(where, dict) or not where:
        raise RunError(f"model.safetensors.index.json of {name} has no weight_map; download the checkpoint again.")
    files: dict[str, list[str]] = {}
    for key, file in where.items():
        plain = isinstance(file, str) and file.endswith(".safetensors") and not set(file) & set("/\\:\0")
        if not plain or file.startswith("."):
            raise RunError(f"model.safetensors.index.json of {name} names {str(file)[:80]!r}, not a file beside it.")
        files.setdefault(file, []).append(key)
    for file in files:
        if not (directory / file).is_file():
            raise RunError(f"{name} has no {file}, which its index names; download the checkpoint again.")
    return files


def load_weights(directory: Path, config: ModelConfig, name: str) -> LanguageModel:
    """Build the model from the checkpoint's weights, as float32. Every tensor is used, or named in the RunError."""
    with torch.device("meta"):  # no random weights first
        model = build_model(config)
    if model.rotary is not None:  # tables are not in the checkpoint
        model.rotary = RotaryPositions(config.max_seq_len, config.d_head, config.rope_theta, config.rope_scaling)
    if isinstance(model.positions, SinusoidalPositions):
        halves = config.positions == "sinusoidal_halves"
        model.positions = SinusoidalPositions(config.max_seq_len, config.d_model, halves)
    shapes = {ours: tuple(tensor.shape) for ours, tensor in model.state_dict().items()}
    with ExitStack() as stack:
        where = _open_files(directory, config, name, stack)
        state, used = {}, set()
        for weight in WEIGHTS[config.family](config):
            if weight.optional and weight.theirs[0] not in where:
                state[weight.ours] = torch.zeros(shapes[weight.ours])
                continue
            parts = []
            for theirs, shape in zip(weight.theirs, weight.their_shapes(shapes[weight.ours]), strict=True):
                tensor = _read(where, theirs, shape, name)
                parts.append((tensor.t() if weight.transposed else tensor).to(torch.float32))
                used.add(theirs)
            # A copy, so that the model does not hang on the file.
            whole = torch.cat(parts) if len(parts) > 1 else parts[0].clone(memory_format=torch.contiguous_format)
            state[weight.ours] = whole.reshape(shapes[weight.ours])
        rest = {key for key in where if key not in used and not NOT_WEIGHTS[config.family].fullmatch(key)}
        rest -= _doubles(where, rest, model, state["token_embedding.weight"], name)
    if rest:
        more = f" and {len(rest) - 1} more" if len(rest) > 1 else ""
        architecture = SUPPORTED[model_type_of(config)]
        raise RunError(f"{name} holds weights that {architecture} does not have: {min(rest)}{more}.")
    model.load_state_dict(state, assign=True)
    return model.eval()


def _doubles(
    where: dict[str, tuple[Any, str]], rest: set[str], model: LanguageModel, embedding: Tensor, name: str
) -> set[str]:
    """Of the tensors in `rest` those that say again what the model has: embeddings, fixed positions. RunError if they
    say something else."""
    found = set()
    for key in rest.intersection(copies(model.config)):
        if not torch.equal(_read(where, key, tuple(embedding.shape), name).to(torch.float32), embedding):
            what = "embeddings, but its config.json ties the two" if model.config.tie_embeddings else "embeddings"
            raise RunError(f"{name} has a {key} unlike its {what}.")
        found.add(key)
    for key in rest.intersection(POSITIONS):
        if isinstance(model.positions, SinusoidalPositions):
            table = model.positions.table
            stored = _read(where, key, tuple(table.shape), name).to(torch.float32)
            if not torch.allclose(stored, table, rtol=0, atol=0.01):  # half precision has errors of 0.004
                raise RunError(f"{name} has positions ({key}) other than the sines and cosines of our models.")
            found.add(key)
    return found


def _open_files(directory: Path, config: ModelConfig, name: str, stack: ExitStack) -> dict[str, tuple[Any, str]]:
    """Full name of every tensor -> (open file, its name in there)."""
    where: dict[str, tuple[Any, str]] = {}
    for file, promised in weight_files(directory, name).items():
        try:
            opened: Any = stack.enter_context(safe_open(directory / file, framework="pt"))
            keys = list(opened.keys())
        except (SafetensorError, OSError) as error:
            raise RunError(f"{file} of {name} is broken ({error}); download the checkpoint again.") from None
        missing = sorted(set(promised) - set(keys))
        if missing:
            raise RunError(f"{file} of {name} lacks {missing[0]}, which the index promises; download it again.")
        for key in keys:
            full = full_name(config.family, key)
            if full in where:
                raise RunError(f"{name} holds {full} twice; download the checkpoint again.")
            where[full] = (opened, key)
    embedding = WEIGHTS[config.family](config)[0].theirs[0]
    for key in copies(config):  # a converter may have kept another name of the same tensor
        if embedding not in where and key in where:
            where[embedding] = where.pop(key)
    return where


def _read(where: dict[str, tuple[Any, str]], key: str, shape: tuple[int, ...], name: str) -> Tensor:
    if key not in where:
        raise RunError(f"{name} lacks the weight {key} that its config.json asks for; download the checkpoint again.")
    file, stored = where[key]
    try:
        tensor = file.get_tensor(stored)
    except (SafetensorError, OSError) as error:
        raise RunError(f"The weight {key} of {name} cannot be read ({error}); download the checkpoint again.") from None
    if tuple(tensor.shape) != shape:
        raise RunError(
            f"The weight {key} of {name} has shape {tuple(tensor.shape)}, but its config.json asks for {shape}."
        )
    if tensor.dtype not in FLOATS:
        raise RunError(f"The weight {key} of {name} is stored as {tensor.dtype}; give a checkpoint in a float type.")
    return tensor


def _tokenizer(directory: Path, name: str, vocab_size: int) -> Tokenizer:
    from core.tokenizer.load import has_tokenizer, load_tokenizer

    if not has_tokenizer(directory):
        return NoTokenizer(name, vocab_size)
    try:
        return load_tokenizer(directory.resolve())
    except UserError:
        raise
    except Exception as error:  # the tokenizers package raises bare Exception
        raise RunError(f"The tokenizer of {name} is broken ({error}); download the checkpoint again.") from None


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
