"""Hugging Face checkpoints (GPT-2, Llama) as runs: their weights under our names.

    run = import_pretrained("hf:openai-community/gpt2")      # or a directory with config.json and model.safetensors

Only JSON, text and safetensors are read. The way back is in `hf_export.py`.
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
from core.decode.config import GenerationConfig
from core.errors import RunError, UserError
from core.files import read_json
from core.model import LanguageModel, build_model
from core.model.hf_config import SUPPORTED, model_config
from core.model.hf_names import NOT_WEIGHTS, WEIGHTS, full_name
from core.model.positions import RotaryPositions
from core.run import Run
from core.tokenizer.base import Encoding, Tokenizer

ARCHITECTURES = {"gpt": SUPPORTED["gpt2"], "llama": SUPPORTED["llama"]}
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(frozen=True)
class Ids:
    """The special tokens as the checkpoint has them. eos: the first is the model's; others end a text too."""

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
    weight_files(directory, name, given)
    tokenizer = _tokenizer(directory, name, config.vocab_size)
    ids = _special_ids(directory, values, config)
    run = RunConfig(
        model=config,
        tokenizer=TokenizerConfig(path="tokenizer.json"),
        data=DataConfig(name="unknown"),
        decode=GenerationConfig(stop_ids=ids.eos[1:]),
    )
    return PretrainedRun(name, run, tokenizer, directory, ids=ids)


def weight_files(directory: Path, name: str, source: str = "") -> dict[str, list[str]]:
    """Safetensors files -> names that the index promises in them (none promised when there is one file)."""
    if (directory / "model.safetensors").is_file():
        return {"model.safetensors": []}
    if not (directory / "model.safetensors.index.json").is_file():
        if any(directory.glob("*.bin")):
            raise hub.pickled_only(name, source)
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
    if model.rotary is not None:  # not in the checkpoint
        model.rotary = RotaryPositions(config.max_seq_len, config.d_head, config.rope_theta, config.rope_scaling)
    shapes = {ours: tuple(tensor.shape) for ours, tensor in model.state_dict().items()}
    with ExitStack() as stack:
        where = _open_files(directory, config.family, name, stack)
        state, used = {}, set()
        for weight in WEIGHTS[config.family](config):
            parts = []
            for theirs, shape in zip(weight.theirs, weight.their_shapes(shapes[weight.ours]), strict=True):
                tensor = _read(where, theirs, shape, name)
                parts.append((tensor.t() if weight.transposed else tensor).to(torch.float32))
                used.add(theirs)
            # A copy, so that the model does not hang on the file.
            state[weight.ours] = torch.cat(parts) if len(parts) > 1 else parts[0].clone(
                memory_format=torch.contiguous_format
            )  # fmt: skip
        rest = [key for key in where if key not in used and not NOT_WEIGHTS[config.family].fullmatch(key)]
        if config.tie_embeddings and "lm_head.weight" in rest:
            embedding = state["token_embedding.weight"]
            head = _read(where, "lm_head.weight", tuple(embedding.shape), name)
            if not torch.equal(head.to(torch.float32), embedding):
                raise RunError(f"{name} has an lm_head.weight unlike its embeddings, but its config.json ties the two.")
            rest.remove("lm_head.weight")
    if rest:
        rest.sort()
        more = f" and {len(rest) - 1} more" if len(rest) > 1 else ""
        raise RunError(f"{name} holds weights that {ARCHITECTURES[config.family]} does not have: {rest[0]}{more}.")
    model.load_state_dict(state, assign=True)
    return model.eval()


def _open_files(directory: Path, family: str, name: str, stack: ExitStack) -> dict[str, tuple[Any, str]]:
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
            full = full_name(family, key)
            if full in where:
                raise RunError(f"{name} holds {full} twice; download the checkpoint again.")
            where[full] = (opened, key)
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
    from core.tokenizer import load_tokenizer

    own = (directory / "tokenizer.json").is_file()
    if not own and not ((directory / "vocab.json").is_file() and (directory / "merges.txt").is_file()):
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
