"""The configuration of a run: nested frozen dataclasses, read strictly.

>>> config = RunConfig.from_dict({"model": {"family": "gpt", "d_model": 64}})
>>> config.with_overrides(["model.n_layers=2"]).model.n_layers
2
>>> RunConfig.from_dict({"model": {"d_modle": 64}})
Traceback (most recent call last):
core.errors.ConfigError: Unknown key 'model.d_modle'; the nearest valid key is 'model.d_model'.
"""

import dataclasses
import json
import math
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from core.decode.config import GenerationConfig
from core.errors import ConfigError
from core.strict import all_keys, field_type, from_dict, parse, unknown

MAX_TABLE = 2**27  # numbers in a table of positions: half a gibibyte


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model. Zero means "the usual": see the comments."""

    family: Literal["transformer", "gpt", "llama"] = "gpt"
    vocab_size: int = 0  # 0: taken from the tokenizer when the run is made
    d_model: int = 256  # width of the residual stream
    n_layers: int = 4  # decoder layers (all layers, for gpt and llama)
    n_encoder_layers: int = 0  # transformer only; 0: as many as n_layers
    n_heads: int = 4
    n_kv_heads: int = 0  # llama only: grouped-query attention; 0: as many as n_heads
    d_ff: int = 0  # 0: 4 * d_model, for llama 8/3 * d_model rounded up to a multiple of 32
    max_seq_len: int = 256  # longest sequence, in tokens, on either side
    dropout: float = 0.0
    positions: Literal["auto", "sinusoidal", "sinusoidal_halves", "learned", "rope"] = "auto"
    scale_embeddings: bool = True  # transformer with fixed positions: token embeddings times sqrt(d_model)
    norm_position: Literal["pre", "post"] = "pre"
    activation: Literal["auto", "relu", "gelu", "gelu_tanh", "silu"] = "auto"
    tie_embeddings: bool = True  # one matrix for input embeddings and output logits
    output_bias: bool = False  # transformer only: a learned number added to each token's logit, as Marian has it
    norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    # Llama 3.1's longer context: (factor, low_freq_factor, high_freq_factor, the context before it); empty: none
    rope_scaling: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        defaults = {
            "transformer": ("sinusoidal", "relu"),
            "gpt": ("learned", "gelu_tanh"),
            "llama": ("rope", "silu"),
        }
        positions, activation = defaults[self.family]
        for name, usual in [
            ("positions", positions),
            ("activation", activation),
        ]:
            if getattr(self, name) == "auto":
                object.__setattr__(self, name, usual)
        if self.family == "transformer" and self.n_encoder_layers == 0:
            object.__setattr__(self, "n_encoder_layers", self.n_layers)
        if self.n_kv_heads == 0:
            object.__setattr__(self, "n_kv_heads", self.n_heads)
        if self.d_ff == 0:
            wide = 4 * self.d_model if self.family != "llama" else math.ceil(8 * self.d_model / 3 / 32) * 32
            object.__setattr__(self, "d_ff", wide)
        self._check()

    def _check(self) -> None:
        for name in ("d_model", "n_layers", "n_heads", "n_kv_heads", "d_ff", "max_seq_len"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name} must be at least 1, not {getattr(self, name)}.")
        if self.max_seq_len < 2:
            raise ConfigError("model.max_seq_len must be at least 2, so that a token can follow another, not 1.")
        if self.vocab_size < 0:
            raise ConfigError(f"model.vocab_size must not be negative, but is {self.vocab_size}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"model.dropout must lie in [0, 1), not {self.dropout}.")
        if self.d_model % self.n_heads:
            raise ConfigError(f"model.d_model ({self.d_model}) must be a multiple of model.n_heads ({self.n_heads}).")
        if self.n_heads % self.n_kv_heads:
            raise ConfigError(
                f"model.n_heads ({self.n_heads}) must be a multiple of model.n_kv_heads ({self.n_kv_heads})."
            )
        if self.family != "llama" and self.n_kv_heads != self.n_heads:
            raise ConfigError("model.n_kv_heads can differ from model.n_heads only for the llama family.")
        fixed = ("sinusoidal", "sinusoidal_halves")
        allowed = {"transformer": (*fixed, "learned"), "gpt": ("learned",), "llama": ("rope",)}[self.family]
        if self.positions not in allowed:
            raise ConfigError(
                f"model.positions of the {self.family} family must be {' or '.join(allowed)}, not {self.positions!r}."
            )
        width = self.d_head if self.positions == "rope" else self.d_model
        if self.max_seq_len * width > MAX_TABLE:  # the weights' file bounds every other size, but this is not in it
            raise ConfigError(
                f"A table of positions of model.max_seq_len = {self.max_seq_len:,} rows and {width:,} columns is too "
                f"large: it may hold up to {MAX_TABLE:,} numbers."
            )
        if self.family != "transformer" and self.n_encoder_layers:
            raise ConfigError(f"model.n_encoder_layers is for the transformer family, not for {self.family}.")
        if self.family != "transformer" and self.output_bias:
            raise ConfigError(f"model.output_bias is for the transformer family, not for {self.family}.")
        if self.family != "transformer" and self.norm_position == "post":
            raise ConfigError(f"model.norm_position of the {self.family} family must be 'pre'.")
        if self.positions == "rope" and (self.d_model // self.n_heads) % 2:
            raise ConfigError("Rotary positions need an even head size (model.d_model / model.n_heads).")
        if self.rope_scaling:
            if self.positions != "rope":
                raise ConfigError("model.rope_scaling is for rotary positions, so for the llama family only.")
            factor, low, high, context = (*self.rope_scaling, 0, 0, 0, 0)[:4]
            if len(self.rope_scaling) != 4 or factor < 1 or not 0 < low < high or context < 1:
                raise ConfigError(
                    "model.rope_scaling must be [factor, low_freq_factor, high_freq_factor, original context] with "
                    f"factor at least 1 and 0 < low < high, not {list(self.rope_scaling)}."
                )
        if self.family == "llama" and self.activation != "silu":
            raise ConfigError("model.activation of the llama family must be 'silu' (it is part of SwiGLU).")

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def least_weights(self) -> int:
        """A model of this shape has more weights than this: to be asked before memory is taken for one."""
        layers = self.n_layers + self.n_encoder_layers
        return self.vocab_size * self.d_model + 2 * layers * self.d_model * (self.d_model + self.d_ff)


@dataclass(frozen=True)
class TokenizerConfig:
    """How text becomes ids. A tokenizer is trained on the training split only."""

    kind: Literal["bpe", "wordpiece", "unigram", "char"] = "bpe"
    vocab_size: int = 4_000  # special tokens and (bpe, unigram) the 256 bytes included; char: ignored
    pattern: str = (
        "gpt2"  # how text is cut into chunks: gpt2, gpt4, none or, for bpe, a regular expression of one's own
    )
    path: str = ""  # take this tokenizer.json (or the name of a run or an own tokenizer) instead of training one

    def __post_init__(self) -> None:
        if self.kind == "bpe" and not self.path and self.vocab_size < 260:
            raise ConfigError(
                f"tokenizer.vocab_size must be at least 260 (256 bytes and the special tokens), not {self.vocab_size}."
            )
        if not self.path and (self.kind in ("wordpiece", "unigram") or self.pattern not in ("gpt2", "gpt4", "none")):
            from core.tokenizer.training import TrainingRequest

            try:
                TrainingRequest(self.kind, self.vocab_size, self.pattern)
            except ConfigError as error:
                raise ConfigError(f"tokenizer: {error}") from None


@dataclass(frozen=True)
class DataConfig:
    """Where the text comes from. `name` is `builtin:enja` (or pydocs, repeats), a file or a Hugging Face dataset."""

    name: str = "builtin:enja"
    configuration: str = ""  # of a hub dataset that has several
    split: str = "train"  # of a hub dataset
    text_column: str = "text"  # language modelling
    src_column: str = "src"  # pairs
    tgt_column: str = "tgt"
    src: str = ""  # plain parallel text: a file of sources ...
    tgt: str = ""  # ... and one of targets, line by line
    val_data: str = ""  # a validation file in the format of `name`; empty: cut from the data
    val_src: str = ""
    val_tgt: str = ""
    src_language: str = ""  # "en", "ja" ... : how words are joined, which BLEU is reported
    tgt_language: str = ""
    pretokenized: bool = False  # words are split by spaces: join them; English in the forms that people type
    val_fraction: float = 0.05  # when no validation data is named
    max_examples: int = 0  # 0: all
    streaming: bool = False  # read while training, for sets larger than memory: see core.data.stream
    shuffle_buffer: int = 10_000  # streaming: examples that are shuffled among themselves; 0: in their order
    max_tokens: int = 0  # streaming: use only the first so many tokens, over and over; 0: as many as training takes
    head_examples: int = 10_000  # streaming: so many first examples train the tokenizer and give validation data
    timeout: float = 120.0  # streaming: seconds without a sign of life until a source is given up; 0: never

    def __post_init__(self) -> None:
        if not 0 < self.val_fraction < 1:
            raise ConfigError(f"data.val_fraction must lie between 0 and 1, not {self.val_fraction}.")
        for name in ("max_examples", "shuffle_buffer", "max_tokens", "timeout"):
            if getattr(self, name) < 0:
                raise ConfigError(f"data.{name} must not be negative, but is {getattr(self, name)}.")
        if self.head_examples < 2:
            raise ConfigError(f"data.head_examples must be at least 2, not {self.head_examples}.")
        if bool(self.src) != bool(self.tgt):
            raise ConfigError("data.src and data.tgt name a pair of files: give both.")
        if bool(self.val_src) != bool(self.val_tgt):
            raise ConfigError("data.val_src and data.val_tgt name a pair of files: give both.")


@dataclass(frozen=True)
class OptimConfig:
    """The optimiser, and the learning rate through training."""

    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: for the layers' matrices, AdamW for the rest
    muon_learning_rate: float = 0.02  # of the matrices that muon updates; follows the same schedule
    learning_rate: float = 1e-3  # at the end of the warm-up
    schedule: Literal["cosine", "wsd", "inverse_sqrt", "linear", "constant"] = "cosine"
    warmup_steps: int = 100
    min_lr_ratio: float = 0.1  # cosine, wsd and linear end at this share of learning_rate
    decay_fraction: float = 0.2  # wsd (warm-up, stable, decay): the share of all steps over which it falls
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    weight_decay: float = 0.1  # on matrices only, not on biases, norms and embeddings of positions
    grad_clip: float = 1.0  # 0: off

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ConfigError(f"optim.learning_rate must be positive, not {self.learning_rate}.")
        if self.warmup_steps < 0:
            raise ConfigError(f"optim.warmup_steps must not be negative, but is {self.warmup_steps}.")
        if not 0 < self.decay_fraction <= 1:
            raise ConfigError(f"optim.decay_fraction must lie in (0, 1], not {self.decay_fraction}.")


@dataclass(frozen=True)
class TrainConfig:
    """How long, how much at a time, and what is written on the way."""

    max_steps: int = 1_000  # the learning rate's schedule ends there
    stop_at: int = 0  # stop at this step, to go on later as if nothing had been; 0: at max_steps
    batch_tokens: int = 4_096  # target tokens of one optimiser step, padding included
    accumulate: int = 1  # micro-batches of one step (each of batch_tokens / accumulate), weighted by their tokens
    label_smoothing: float = 0.0
    val_every: int = 200  # steps
    val_batches: int = 0  # 0: the whole validation split
    checkpoint_every: int = 200  # steps
    sample_every: int = 200  # steps
    sample_prompts: tuple[str, ...] = ()  # language models: what samples begin with
    log_every: int = 10  # steps
    patience: int = 0  # validations without a better loss before stopping early; 0: never
    score_examples: int = 0  # translation: BLEU and chrF of so many validation pairs (greedy) at each validation
    ema_decay: float = 0.0  # > 0: validate and keep an exponential moving average of the weights
    average_last: int = 0  # > 1: validate and keep the mean of the weights at the last so many validations
    snapshots: int = 0  # small copies of the weights, spread over the run
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    compile: bool = False
    gradient_checkpointing: bool = False  # compute a layer's activations again in the backward pass: less memory
    threads: int = 0  # CPU threads of each process; 0: all cores
    devices: int = 1  # processes of one machine, each with a GPU if there are any; 0: all GPUs
    num_nodes: int = 1  # machines
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"  # of several devices; auto: ddp
    wandb: Literal["auto", "online", "offline", "disabled"] = "disabled"
    wandb_project: str = "llm-from-scratch"

    def __post_init__(self) -> None:
        for name in ("max_steps", "batch_tokens", "accumulate", "val_every", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"train.{name} must be at least 1, not {getattr(self, name)}.")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"train.label_smoothing must lie in [0, 1), not {self.label_smoothing}.")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"train.ema_decay must lie in [0, 1), not {self.ema_decay}.")
        if self.ema_decay and self.average_last > 1:
            raise ConfigError("train.ema_decay and train.average_last are two ways to average the weights: choose one.")
        for name in ("stop_at", "average_last", "score_examples", "devices", "snapshots", "patience"):
            if getattr(self, name) < 0:
                raise ConfigError(f"train.{name} must not be negative, but is {getattr(self, name)}.")


@dataclass(frozen=True)
class RunConfig:
    """All that is needed to make the same run again."""

    model: ModelConfig = field(default_factory=ModelConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    decode: GenerationConfig = field(default_factory=GenerationConfig)
    seed: int = 0
    preset: str = ""  # the preset that it began as

    def __post_init__(self) -> None:
        if self.train.precision == "16" and self.optim.optimizer == "muon":
            raise ConfigError("train.precision=16 (float16) goes with optim.optimizer=adamw; Muon needs bf16 or 32.")
        if self.train.strategy == "fsdp" and (self.train.ema_decay or self.train.average_last > 1):
            raise ConfigError("train.strategy=fsdp keeps no averages: set train.ema_decay and train.average_last to 0.")
        if self.train.strategy == "fsdp" and self.optim.optimizer == "muon":
            raise ConfigError("train.strategy=fsdp cuts matrices, which Muon needs whole: set optim.optimizer=adamw.")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RunConfig":
        """Read nested dictionaries (as from JSON). Raises ConfigError naming the key that is wrong."""
        return from_dict(cls, values)

    @classmethod
    def from_json(cls, text: str) -> "RunConfig":
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(f"The configuration is not valid JSON: {error}.") from None
        return cls.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def with_overrides(self, assignments: typing.Iterable[str]) -> "RunConfig":
        """A copy with dotted `section.field=value` assignments applied, values read by the field's type."""
        values = self.to_dict()
        for assignment in assignments:
            key, equals, text = assignment.partition("=")
            key = key.strip()
            if not equals:
                raise ConfigError(f"{assignment!r} is not of the form section.field=value.")
            *sections, name = key.split(".")
            hint = field_type(type(self), key.split("."))
            if hint is None:
                raise ConfigError(unknown(key, all_keys(type(self))))
            target = values
            for section in sections:
                target = target[section]
            target[name] = parse(text.strip(), hint)
            _forget_derived(values, key)
        return type(self).from_dict(values)


def _forget_derived(values: dict[str, Any], key: str) -> None:
    """Sizes that followed from the changed one are derived again (d_ff follows d_model, and so on)."""
    model = values["model"]
    if key in ("model.d_model", "model.family"):
        model["d_ff"] = 0
    if key in ("model.n_heads", "model.family"):
        model["n_kv_heads"] = 0
    if key in ("model.n_layers", "model.family"):
        model["n_encoder_layers"] = 0
    if key == "model.family":
        model["positions"] = model["activation"] = "auto"
