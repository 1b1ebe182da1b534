"""The weights of a Hugging Face checkpoint: safetensors, in one file or several, under our names.

Every tensor that the configuration asks for is read, and every tensor that is there is used or named in the error.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from core import hub
from core.config import ModelConfig
from core.errors import RunError
from core.files import read_json
from core.model import LanguageModel, build_model
from core.model.hf_config import SUPPORTED, model_type_of
from core.model.hf_names import NOT_WEIGHTS, POSITIONS, WEIGHTS, copies, full_name
from core.model.positions import RotaryPositions, SinusoidalPositions

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def weight_files(directory: Path, name: str, source: str = "", model_type: Any = None) -> dict[str, list[str]]:
    """Safetensors files -> names that the index promises in them (none promised when there is one file).

    source, model_type: where the checkpoint comes from and what it is, for the error when its weights are pickled.
    """
    if (directory / "model.safetensors").is_file():
        return {"model.safetensors": []}
    if not (directory / "model.safetensors.index.json").is_file():
        if any(directory.glob("*.bin")):
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
