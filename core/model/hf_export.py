"""Our runs as Hugging Face checkpoints, which transformers' from_pretrained opens as they are.

GPT -> GPT2LMHeadModel, Llama -> LlamaForCausalLM,
Transformer -> MarianMTModel (post-norm) or PegasusForConditionalGeneration (pre-norm)
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from core.config import ModelConfig
from core.errors import RunError
from core.files import expanded, write_atomic, write_json, write_text
from core.model import LanguageModel
from core.model.hf import NoTokenizer
from core.model.hf_config import NORM_EPS, SUPPORTED, model_type_of
from core.model.hf_generation import generation_values
from core.model.hf_names import POSITIONS, WEIGHTS, copies
from core.model.positions import sinusoidal_table
from core.run import Run
from core.tokenizer import MarianTokenizer

ACTIVATIONS = {"gelu_tanh": "gelu_new"}  # where transformers' name is not ours


def export_pretrained(run: Run, directory: str | os.PathLike[str]) -> Path:
    """Write a run as a checkpoint that transformers' from_pretrained opens, with the same logits.

    The tokenizer that goes with it puts bos before a text where our model begins so, and eos behind a source. RunError
    if the directory is not empty, or for a model that has no counterpart.
    """
    path, model = expanded(directory), run.model
    _check(model.config, run.name)
    new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise RunError(f"{path} is not empty; choose a new directory for the exported model.")
    except OSError as error:
        raise RunError(f"The directory {path} cannot be made: {error.strerror}.") from None
    try:
        _write(run, path)
    except BaseException:  # interrupted, or the disk is full: nothing half-made is left
        for file in path.iterdir():  # it was empty
            file.unlink()
        if new:
            path.rmdir()
        raise
    return path


def _write(run: Run, path: Path) -> None:
    model = run.model
    write_json(path / "config.json", pretrained_config(model, run.config.decode.stop_ids))
    decode = run.config.decode
    ids = _special_ids(model, decode.stop_ids)
    write_json(path / "generation_config.json", ids | generation_values(decode, model.max_seq_len, model.eos_id))
    if not isinstance(run.tokenizer, NoTokenizer):
        _export_tokenizer(run, path)
    data = save(pretrained_weights(model), metadata={"format": "pt"})
    write_atomic(path / "model.safetensors", lambda file: file.write(data))


def _check(config: ModelConfig, name: str) -> None:
    """RunError, naming the setting, for what Marian and Pegasus are not."""
    if config.family != "transformer":
        return
    architecture = SUPPORTED[model_type_of(config)]
    if config.positions == "learned":
        raise RunError(f"{name} has model.positions = 'learned', but {architecture} has sines and cosines only.")
    if config.norm_eps != NORM_EPS:
        raise RunError(f"{name} has model.norm_eps = {config.norm_eps}, but {architecture} has {NORM_EPS} only.")


def pretrained_weights(model: LanguageModel) -> dict[str, Tensor]:
    """The model's weights, float32, under the checkpoint's names."""
    config = model.config
    ours = {name: tensor.detach().cpu().float() for name, tensor in model.state_dict().items()}
    if config.positions == "sinusoidal":
        ours = sines_first(ours, config.d_model)
    state: dict[str, Tensor] = {}
    for weight in WEIGHTS[config.family](config):
        state |= weight.split(ours[weight.ours])
    if config.family == "transformer":
        state.setdefault("final_logits_bias", torch.zeros(1, config.vocab_size))
        if not config.tie_embeddings:  # then transformers ties nothing, and wants each side's embeddings
            state |= {name: state["model.shared.weight"].clone() for name in copies(config)}
        if config.norm_position == "pre":  # Pegasus keeps its positions beside the weights
            state |= {name: sinusoidal_table(config.max_seq_len, config.d_model, halves=True) for name in POSITIONS}
    return state


def sines_first(state: dict[str, Tensor], d_model: int) -> dict[str, Tensor]:
    """The weights of the same model with its residual stream in another order: what was added to by sines first.

    Our positions alternate sine and cosine, Marian's are all sines, then all cosines. The order of the stream's
    dimensions means nothing as long as all that reads from it or writes to it agrees.
    """
    order = torch.cat([torch.arange(0, d_model, 2), torch.arange(1, d_model, 2)])
    reads = re.compile(r"(.*\.)?(token_embedding|output|qkv|q|kv|up)\.weight")  # the stream is their last axis
    writes = re.compile(r".*\.(out|down)\.(weight|bias)|(.*[._])?norm\.(weight|bias)")  # it is their first axis

    def reordered(name: str, tensor: Tensor) -> Tensor:
        if reads.fullmatch(name):
            return tensor[..., order]
        return tensor[order] if writes.fullmatch(name) else tensor

    return {name: reordered(name, tensor) for name, tensor in state.items()}


def _special_ids(model: LanguageModel, stop_ids: tuple[int, ...]) -> dict[str, Any]:
    eos = [id for id in (model.eos_id, *stop_ids) if id >= 0]
    ids = {"pad_token_id": model.pad_id, "bos_token_id": model.bos_id,
           "eos_token_id": (eos[0] if len(eos) == 1 else eos) if eos else None}  # fmt: skip
    return ids | ({"decoder_start_token_id": model.bos_id} if model.is_encoder_decoder else {})


def pretrained_config(model: LanguageModel, stop_ids: tuple[int, ...] = ()) -> dict[str, Any]:
    """config.json of the exported model, in the form that versions 4 and 5 of transformers read."""
    config = model.config
    model_type = model_type_of(config)
    shared = {
        "architectures": [SUPPORTED[model_type]], "model_type": model_type, "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_embeddings, "dtype": "float32", **_special_ids(model, stop_ids),
    }  # fmt: skip
    activation = ACTIVATIONS.get(config.activation, config.activation)
    if config.family == "gpt":
        return {
            "n_embd": config.d_model, "n_layer": config.n_layers, "n_head": config.n_heads, "n_inner": config.d_ff,
            "n_positions": config.max_seq_len, "layer_norm_epsilon": config.norm_eps,
            "activation_function": activation, **shared,
        }  # fmt: skip
    if config.family == "transformer":
        sides = {"attention_heads": config.n_heads, "ffn_dim": config.d_ff}
        return {
            "d_model": config.d_model, "encoder_layers": config.n_encoder_layers, "decoder_layers": config.n_layers,
            **{f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in sides.items()},
            "max_position_embeddings": config.max_seq_len, "activation_function": activation,
            "scale_embedding": config.scale_embeddings, "dropout": config.dropout, "is_encoder_decoder": True,
            "forced_eos_token_id": None, **shared,
        }  # fmt: skip
    scaling = None
    if config.rope_scaling:
        factor, low, high, context = config.rope_scaling
        scaling = {"rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
                   "original_max_position_embeddings": int(context)}  # fmt: skip
    return {
        "hidden_size": config.d_model, "num_hidden_layers": config.n_layers, "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads, "head_dim": config.d_head, "intermediate_size": config.d_ff,
        "max_position_embeddings": config.max_seq_len, "rms_norm_eps": config.norm_eps, "hidden_act": "silu",
        "attention_bias": False, "mlp_bias": False, "rope_theta": config.rope_theta, "rope_scaling": scaling, **shared,
    }  # fmt: skip


def _export_tokenizer(run: Run, path: Path) -> None:
    if isinstance(run.tokenizer, MarianTokenizer):
        run.tokenizer.copy_to(path)
        return
    model, document = run.model, json.loads(run.tokenizer.to_json())
    names = {id: name for name, id in run.tokenizer.special_tokens.items()}
    roles = {"pad_token": model.pad_id, "bos_token": model.bos_id, "eos_token": model.eos_id}
    settings: dict[str, Any] = {role: names[id] for role, id in roles.items() if id in names}
    around = settings.get("eos_token" if model.is_encoder_decoder else "bos_token")
    wanted = model.is_encoder_decoder or model.begins_with_bos
    if around and wanted and (document.get("post_processor") or {}).get("type") in (None, "ByteLevel"):
        token: dict[str, Any] = {"SpecialToken": {"id": around, "type_id": 0}}
        text: dict[str, Any] = {"Sequence": {"id": "A", "type_id": 0}}
        second: dict[str, Any] = {"Sequence": {"id": "B", "type_id": 1}}
        id = run.tokenizer.special_tokens[around]
        document["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [text, token] if model.is_encoder_decoder else [token, text],
            "pair": [text, second, token] if model.is_encoder_decoder else [token, text, second],
            "special_tokens": {around: {"id": around, "ids": [id], "tokens": [around]}},
        }
    write_text(path / "tokenizer.json", json.dumps(document, ensure_ascii=False))
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": model.max_seq_len}
    if not model.is_encoder_decoder:
        settings["add_bos_token"] = model.begins_with_bos
    write_json(path / "tokenizer_config.json", settings)
