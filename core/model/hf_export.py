"""Our GPT and Llama runs as Hugging Face checkpoints, which transformers' from_pretrained opens as they are."""

import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from core.errors import RunError
from core.files import write_atomic, write_json, write_text
from core.model import LanguageModel
from core.model.hf import NoTokenizer
from core.model.hf_names import WEIGHTS
from core.run import Run


def export_pretrained(run: Run, directory: str | os.PathLike[str]) -> Path:
    """Write a GPT or Llama run as a checkpoint that transformers' from_pretrained opens, with the same logits.

    The tokenizer that goes with it puts bos before a text where our model begins so. RunError if the directory is not
    empty, or for a family that has no counterpart.
    """
    path, model = Path(directory), run.model
    config = model.config
    if config.family not in WEIGHTS:
        raise RunError(f"{run.name} is a {config.family}; exported are gpt (as GPT-2) and llama.")
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise RunError(f"{path} is not empty; choose a new directory for the exported model.")
    except OSError as error:
        raise RunError(f"The directory {path} cannot be made: {error.strerror}.") from None
    ours = model.state_dict()
    state: dict[str, Tensor] = {}
    for weight in WEIGHTS[config.family](config):
        state |= weight.split(ours[weight.ours].detach().cpu().float())
    write_json(path / "config.json", pretrained_config(model, run.config.decode.stop_ids))
    if not isinstance(run.tokenizer, NoTokenizer):
        _export_tokenizer(run, path)
    write_atomic(path / "model.safetensors", lambda file: file.write(save(state, metadata={"format": "pt"})))
    return path


def pretrained_config(model: LanguageModel, stop_ids: tuple[int, ...] = ()) -> dict[str, Any]:
    """config.json of the exported model, in the form that versions 4 and 5 of transformers read."""
    config = model.config
    eos = [id for id in (model.eos_id, *stop_ids) if id >= 0]
    shared = {
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_embeddings,
        "pad_token_id": model.pad_id,
        "bos_token_id": model.bos_id,
        "eos_token_id": (eos[0] if len(eos) == 1 else eos) if eos else None,
        "dtype": "float32",
    }
    if config.family == "gpt":
        activations = {"gelu_tanh": "gelu_new"}
        return {
            "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": config.d_model,
            "n_layer": config.n_layers, "n_head": config.n_heads, "n_inner": config.d_ff,
            "n_positions": config.max_seq_len, "layer_norm_epsilon": config.norm_eps,
            "activation_function": activations.get(config.activation, config.activation), **shared,
        }  # fmt: skip
    scaling = None
    if config.rope_scaling:
        factor, low, high, context = config.rope_scaling
        scaling = {"rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
                   "original_max_position_embeddings": int(context)}  # fmt: skip
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": config.d_model,
        "num_hidden_layers": config.n_layers, "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads, "head_dim": config.d_head, "intermediate_size": config.d_ff,
        "max_position_embeddings": config.max_seq_len, "rms_norm_eps": config.norm_eps, "hidden_act": "silu",
        "attention_bias": False, "mlp_bias": False, "rope_theta": config.rope_theta, "rope_scaling": scaling, **shared,
    }  # fmt: skip


def _export_tokenizer(run: Run, path: Path) -> None:
    model, document = run.model, json.loads(run.tokenizer.to_json())
    names = {id: name for name, id in run.tokenizer.special_tokens.items()}
    roles = {"pad_token": model.pad_id, "bos_token": model.bos_id, "eos_token": model.eos_id}
    settings: dict[str, Any] = {role: names[id] for role, id in roles.items() if id in names}
    bos = settings.get("bos_token")
    if bos and model.begins_with_bos and (document.get("post_processor") or {}).get("type") in (None, "ByteLevel"):
        start, text = {"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
        document["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [start, text],
            "pair": [start, text, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos: {"id": bos, "ids": [model.bos_id], "tokens": [bos]}},
        }
    write_text(path / "tokenizer.json", json.dumps(document, ensure_ascii=False))
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": model.max_seq_len}
    write_json(path / "tokenizer_config.json", settings | {"add_bos_token": model.begins_with_bos})
