"""Our models in CTranslate2's format, so that it decodes with the very same weights."""

from pathlib import Path

import ctranslate2
import numpy as np
from ctranslate2.specs import TransformerDecoderModelSpec, TransformerSpec, common_spec
from torch import Tensor

from core.model import LanguageModel

ACTIVATIONS = {
    "relu": common_spec.Activation.RELU,
    "gelu": common_spec.Activation.GELU,
    "gelu_tanh": common_spec.Activation.GELUTanh,
}


def token(id: int) -> str:
    """CTranslate2 speaks of tokens by their names."""
    return f"t{id}"


def tokens(ids: list[int]) -> list[str]:
    return [token(id) for id in ids]


def to_ctranslate2(model: LanguageModel, directory: Path, compute_type: str = "float32", threads: int = 0):
    """A ctranslate2.Generator for a GPT, a ctranslate2.Translator for a pre-norm encoder-decoder."""
    config = model.config
    state = {name: _array(value) for name, value in model.state_dict().items()}
    activation = ACTIVATIONS[config.activation]
    names = tokens(list(range(config.vocab_size)))
    if model.is_encoder_decoder:
        spec = TransformerSpec.from_config(
            (config.n_encoder_layers, config.n_layers), config.n_heads, pre_norm=True, activation=activation
        )
        spec.register_source_vocabulary(names)
        spec.register_target_vocabulary(names)
        _embeddings(spec.encoder, spec.encoder.embeddings[0], model, state)
        _norm(spec.encoder.layer_norm, state, "encoder_norm")
        for i, layer in enumerate(spec.encoder.layer):
            _layer(layer, state, f"encoder_layers.{i}")
        spec.config.add_source_bos = spec.config.add_source_eos = False
        spec.config.decoder_start_token = token(model.bos_id)
    else:
        spec = TransformerDecoderModelSpec.from_config(
            config.n_layers, config.n_heads, pre_norm=True, activation=activation
        )
        spec.register_vocabulary(names)
    spec.config.bos_token, spec.config.eos_token = token(model.bos_id), token(model.eos_id)
    spec.config.unk_token = token(model.pad_id)
    _embeddings(spec.decoder, spec.decoder.embeddings, model, state)
    _norm(spec.decoder.layer_norm, state, "norm")
    spec.decoder.projection.weight = state["token_embedding.weight" if model.output is None else "output.weight"]
    for i, layer in enumerate(spec.decoder.layer):
        _layer(layer, state, f"layers.{i}")
    spec.validate()
    directory.mkdir(parents=True, exist_ok=True)
    spec.save(str(directory))
    opened = ctranslate2.Translator if model.is_encoder_decoder else ctranslate2.Generator
    return opened(str(directory), device="cpu", compute_type=compute_type, intra_threads=threads)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().contiguous().numpy()


def _embeddings(side, embeddings, model: LanguageModel, state: dict[str, np.ndarray]) -> None:
    embeddings.weight = state["token_embedding.weight"]
    side.scale_embeddings = False if model.embedding_scale == 1 else np.dtype("float32").type(model.embedding_scale)
    table = state.get("positions.weight")
    side.position_encodings.encodings = _array(model.positions.table) if table is None else table


def _layer(layer, state: dict[str, np.ndarray], name: str) -> None:
    _norm(layer.self_attention.layer_norm, state, f"{name}.attention_norm")
    _linear(layer.self_attention.linear[0], state, f"{name}.attention.qkv")
    _linear(layer.self_attention.linear[1], state, f"{name}.attention.out")
    if f"{name}.cross_norm.weight" in state:
        _norm(layer.attention.layer_norm, state, f"{name}.cross_norm")
        for spec, part in zip(layer.attention.linear, ("q", "kv", "out"), strict=True):
            _linear(spec, state, f"{name}.cross_attention.{part}")
    _norm(layer.ffn.layer_norm, state, f"{name}.feed_forward_norm")
    _linear(layer.ffn.linear_0, state, f"{name}.feed_forward.up")
    _linear(layer.ffn.linear_1, state, f"{name}.feed_forward.down")


def _linear(spec, state: dict[str, np.ndarray], name: str) -> None:
    spec.weight, spec.bias = state[f"{name}.weight"], state[f"{name}.bias"]


def _norm(spec, state: dict[str, np.ndarray], name: str) -> None:
    spec.gamma, spec.beta = state[f"{name}.weight"], state[f"{name}.bias"]
