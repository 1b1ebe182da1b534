"""config.json of a Hugging Face checkpoint -> our ModelConfig. What our models cannot be is refused by its name."""

from typing import Any

from core.config import ModelConfig
from core.errors import ConfigError, RunError

SUPPORTED = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "marian": "MarianMTModel",
    "pegasus": "PegasusForConditionalGeneration",
}
NORM_EPS = 1e-5  # of the translators, whose config.json does not say it
ACTIVATIONS: dict[str, Any] = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def model_config(values: dict[str, Any], name: str) -> ModelConfig:
    """The shape of the model. name: of the checkpoint, for errors. Raises RunError naming the setting."""
    reader = _Reader(values, name)
    model_type = _model_type(values, name)
    if values.get("quantization_config"):
        raise reader.refused("quantization_config")
    try:
        if model_type in ("marian", "pegasus"):
            return _translator(reader, model_type)
        return _gpt2(reader) if model_type == "gpt2" else _llama(reader)
    except ConfigError as error:
        raise RunError(f"{name} has a config.json that describes no model of ours: {error}") from None


def model_type_of(config: ModelConfig) -> str:
    """What a checkpoint of a model of ours is: a key of SUPPORTED."""
    if config.family == "transformer":
        return "marian" if config.norm_position == "post" else "pegasus"
    return "gpt2" if config.family == "gpt" else "llama"


def _model_type(values: dict[str, Any], name: str) -> str:
    architectures = values.get("architectures") or [SUPPORTED.get(str(values.get("model_type")), "")]
    architecture = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    for model_type, supported in SUPPORTED.items():
        if architecture == supported and values.get("model_type", model_type) == model_type:
            return model_type
    shown = architecture or str(values.get("model_type"))
    raise RunError(f"{name} is a {shown[:80]}; supported are {', '.join(SUPPORTED.values())}.")


def _gpt2(read: "_Reader") -> ModelConfig:
    width = read.whole("n_embd", 768)
    read.must_be("scale_attn_weights", True)
    read.must_be("scale_attn_by_inverse_layer_idx", False)
    read.must_be("add_cross_attention", False)
    return ModelConfig(
        family="gpt",
        vocab_size=read.whole("vocab_size", 50257),
        d_model=width,
        n_layers=read.whole("n_layer", 12),
        n_heads=read.whole("n_head", 12),
        d_ff=read.whole("n_inner", 4 * width),
        max_seq_len=read.whole("n_positions", 1024),
        activation=read.activation("gelu_new"),
        tie_embeddings=bool(read.values.get("tie_word_embeddings", True)),
        norm_eps=read.number("layer_norm_epsilon", 1e-5),
    )


def _translator(read: "_Reader", model_type: str) -> ModelConfig:
    """Marian: Vaswani et al.'s Transformer, post-norm. Pegasus: the same, pre-norm. Both have a bias on the logits."""
    vocab = read.whole("vocab_size", 58101 if model_type == "marian" else 50265)
    heads, wide = read.whole("encoder_attention_heads", 16), read.whole("encoder_ffn_dim", 4096)
    read.must_be("share_encoder_decoder_embeddings", True)
    read.must_be("decoder_vocab_size", vocab)
    if read.whole("decoder_attention_heads", 16) != heads:
        raise read.refused("decoder_attention_heads")
    if read.whole("decoder_ffn_dim", 4096) != wide:
        raise read.refused("decoder_ffn_dim")
    return ModelConfig(
        family="transformer",
        vocab_size=vocab,
        d_model=read.whole("d_model", 1024),
        n_layers=read.whole("decoder_layers", 12),
        n_encoder_layers=read.whole("encoder_layers", 12),
        n_heads=heads,
        d_ff=wide,
        max_seq_len=read.whole("max_position_embeddings", 1024),
        positions="sinusoidal_halves",
        scale_embeddings=bool(read.values.get("scale_embedding", False)),
        norm_position="post" if model_type == "marian" else "pre",
        activation=read.activation("gelu"),
        tie_embeddings=bool(read.values.get("tie_word_embeddings", True)),
        output_bias=True,
        norm_eps=NORM_EPS,
    )


def _llama(read: "_Reader") -> ModelConfig:
    width, heads = read.whole("hidden_size", 4096), read.whole("num_attention_heads", 32)
    read.must_be("attention_bias", False)
    read.must_be("mlp_bias", False)
    read.must_be("partial_rotary_factor", 1)
    if read.whole("head_dim", width // heads) * heads != width:
        raise read.refused("head_dim")
    if ACTIVATIONS.get(str(read.values.get("hidden_act", "silu"))) != "silu":
        raise read.refused("hidden_act")
    context = read.whole("max_position_embeddings", 2048)
    theta, scaling = _rope(read, context)
    return ModelConfig(
        family="llama",
        vocab_size=read.whole("vocab_size", 32000),
        d_model=width,
        n_layers=read.whole("num_hidden_layers", 32),
        n_heads=heads,
        n_kv_heads=read.whole("num_key_value_heads", heads),
        d_ff=read.whole("intermediate_size", 11008),
        max_seq_len=context,
        tie_embeddings=bool(read.values.get("tie_word_embeddings", False)),
        norm_eps=read.number("rms_norm_eps", 1e-6),
        rope_theta=theta,
        rope_scaling=scaling,
    )


def _rope(read: "_Reader", context: int) -> tuple[float, tuple[float, ...]]:
    """(theta, scaling), from `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before)."""
    key = "rope_parameters" if read.values.get("rope_parameters") else "rope_scaling"
    rope = read.values.get(key) or {}
    if not isinstance(rope, dict):
        raise read.refused(key)
    parameters = _Reader(rope, read.name, key + ".")
    parameters.must_be("partial_rotary_factor", 1)
    theta = parameters.number("rope_theta", read.number("rope_theta", 10_000.0))
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return theta, ()
    if kind != "llama3":
        raise parameters.refused("rope_type" if "rope_type" in rope else "type")
    return theta, (
        parameters.number("factor"),
        parameters.number("low_freq_factor"),
        parameters.number("high_freq_factor"),
        parameters.number("original_max_position_embeddings", float(context)),
    )


class _Reader:
    """Values of a config.json with their types checked; null counts as not given."""

    def __init__(self, values: dict[str, Any], name: str, prefix: str = "") -> None:
        self.values, self.name, self.prefix = values, name, prefix

    def whole(self, key: str, default: int) -> int:
        value = self.values.get(key)
        if value is None:
            return default
        if type(value) is not int or value < 1:
            raise RunError(f"{self.name}: {self.prefix}{key} in config.json must be a whole number, not {value!r}.")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self.values.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise RunError(f"{self.name}: {self.prefix}{key} in config.json must be a number above 0, not {value!r}.")
        return float(value)

    def activation(self, usual: str) -> Any:
        name = self.values.get("activation_function", usual)
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise self.refused("activation_function")
        return ACTIVATIONS[name]

    def must_be(self, key: str, usual: Any) -> None:
        if self.values.get(key) is not None and self.values[key] != usual:
            raise self.refused(key)

    def refused(self, key: str) -> RunError:
        shown = repr(self.values.get(key))
        shown = shown if len(shown) <= 80 else shown[:79] + "…"
        return RunError(f"{self.name} has {self.prefix}{key} = {shown} in its config.json, which our models cannot do.")
