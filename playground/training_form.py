"""The Training tab's form as a configuration, and the files that are given to it.

What people type or upload is checked here, before a run is made: a run that cannot work is not started.
"""

import hashlib
import json
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from core.config import DataConfig, ModelConfig, RunConfig, TokenizerConfig
from core.data.readers import SUFFIXES, decode
from core.data.sources import load_corpus
from core.errors import ConfigError, DataError, UserError
from core.files import write_atomic
from core.presets import preset
from core.run import default_runs_dir
from core.tokenizer import load_tokenizer, with_control_tokens
from core.tokenizer.own import has_own, own_about, own_path, own_tokenizers, tokenizers_dir

MAX_UPLOAD = 50_000_000  # bytes
MAX_STEPS = 1_000_000
TEXT_SUFFIXES = (".txt", ".md", ".text")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
SIZES: dict[str, tuple[int, int]] = {"small": (128, 2), "medium": (256, 4), "large": (512, 6)}  # d_model, n_layers

KIND = "kind:"  # before a kind of tokenizer, which no own one's name can begin with
KINDS = {"bpe": "BPE", "unigram": "Unigram", "wordpiece": "WordPiece", "char": "Characters"}

DataKind = Literal["builtin", "upload", "hub"]


@dataclass(frozen=True)
class Form:
    """What the Training tab's fields hold."""

    preset: str = "demo"
    size: str = "preset"  # preset, own, or a key of SIZES
    d_model: float | None = None  # own
    n_layers: float | None = None
    data: str = "builtin"
    upload: str | None = None  # the uploaded file, where Gradio put it
    upload_tgt: str | None = None  # the translations, when the two sides are two files
    hub_name: str = ""
    hub_configuration: str = ""
    text_column: str = "text"
    src_column: str = "src"
    tgt_column: str = "tgt"
    steps: float | None = None
    learning_rate: float | None = None
    seed: float | None = 0
    tokenizer: str = ""  # as the preset trains it; KIND and a kind: another kind, trained so; else an own one's name
    # More; None, or the preset's own value: as the preset has it.
    batch_tokens: float | None = None
    optimizer: str | None = None
    schedule: str | None = None
    warmup_steps: float | None = None
    dropout: float | None = None
    label_smoothing: float | None = None
    ema_decay: float | None = None
    val_every: float | None = None
    patience: float | None = None
    score_examples: float | None = None
    snapshots: float | None = None
    precision: str | None = None
    compile: bool | None = None
    gradient_checkpointing: bool | None = None
    devices: float | None = None
    wandb: str | None = None


# Fields under "More": name -> (section of the configuration, least, most). Whole numbers where both are whole.
NUMBERS: dict[str, tuple[str, float, float]] = {
    "batch_tokens": ("train", 1, 10_000_000), "warmup_steps": ("optim", 0, MAX_STEPS), "dropout": ("model", 0.0, 0.9),
    "label_smoothing": ("train", 0.0, 0.9), "ema_decay": ("train", 0.0, 0.99999), "val_every": ("train", 1, MAX_STEPS),
    "patience": ("train", 0, 10_000), "score_examples": ("train", 0, 100_000), "snapshots": ("train", 0, 200),
    "devices": ("train", 0, 64),
}  # fmt: skip
CHOICES = {
    "optimizer": "optim", "schedule": "optim", "precision": "train", "compile": "train",
    "gradient_checkpointing": "train", "wandb": "train",
}  # fmt: skip
SECTIONS = {**{name: section for name, (section, _, _) in NUMBERS.items()}, **CHOICES}
MORE = [field.name for field in fields(Form) if field.name in SECTIONS]
TITLES = {
    "batch_tokens": "The tokens of a step", "warmup_steps": "The warm-up", "dropout": "Dropout",
    "label_smoothing": "Label smoothing", "ema_decay": "The moving average's decay", "val_every": "Validation every",
    "patience": "Early stopping", "score_examples": "The number of pairs for BLEU", "snapshots": "Snapshots",
    "devices": "Devices",
}  # fmt: skip


def is_pairs(preset_name: str) -> bool:
    return preset(preset_name).model.family == "transformer"


def usual_data(preset_name: str) -> DataKind:
    """Where a preset's data comes from when nothing is chosen."""
    return "hub" if "/" in preset(preset_name).data.name else "builtin"


def configuration(form: Form, keep: bool = True) -> RunConfig:
    """The run that the form describes. UserError saying which field to mend.

    keep: take uploaded files into the runs directory (else they are not looked at: for a look at the sizes).
    """
    config = preset(form.preset)
    config = replace(config, data=data_config(config, form, keep), seed=_whole(form.seed or 0, "The seed", 0, 2**31))
    assignments = model_assignments(config.model, form)
    steps = _whole(config.train.max_steps if form.steps is None else form.steps, "Steps", 1, MAX_STEPS)
    often = max(1, steps // 6)  # even a short run shows how it goes
    assignments += [
        f"train.max_steps={steps}",
        f"train.val_every={min(config.train.val_every, often)}",
        f"train.checkpoint_every={min(config.train.checkpoint_every, often)}",
        f"train.sample_every={min(config.train.sample_every, often)}",
        f"train.log_every={min(config.train.log_every, max(1, steps // 60))}",
        f"optim.warmup_steps={min(config.optim.warmup_steps, max(1, steps // 5))}",
    ]
    if form.learning_rate is not None:
        if not 0 < form.learning_rate <= 10:
            raise ConfigError("The learning rate must lie between 0 and 10; 0.001 is a usual one.")
        assignments.append(f"optim.learning_rate={form.learning_rate!r}")
    assignments += tokenizer_assignments(form.tokenizer, keep, pad=config.model.family == "transformer")
    return config.with_overrides([*assignments, *more_assignments(config, form)])


def tokenizer_choices() -> list[tuple[str, str]]:
    """(label, value) of what `Form.tokenizer` may be; of own ones the newest first."""
    found = [("As the preset has it", "")]
    found += [(f"{label}, trained on the data", KIND + kind) for kind, label in KINDS.items()]
    return found + [(f"{own.name} ({own.kind}, {own.vocab_size:,} tokens)", own.name) for own in own_tokenizers()]


def tokenizer_assignments(wanted: str, keep: bool = True, pad: bool = True) -> list[str]:
    """What is asked for other than the preset's tokenizer. UserError if it cannot be had. keep: the run is to be made,
    so an own one is opened; pad: with a token for padding."""
    wanted = (wanted or "").strip()
    if not wanted:
        return []
    if wanted.startswith(KIND):
        if wanted.removeprefix(KIND) not in KINDS:
            raise ConfigError(f"There is no kind of tokenizer {wanted[:40]!r}; choose one of the list.")
        return [f"tokenizer.kind={wanted.removeprefix(KIND)}"]
    # Relative to nothing, and not by its name, which a run may have too.
    path = own_path(wanted).resolve()
    if keep:
        with_control_tokens(load_tokenizer(path), pad)
    return [f"tokenizer.path={path}"]


def expected_vocabulary(config: TokenizerConfig) -> int:
    """About how many tokens there will be: what is not trained yet is not known, but asked for."""
    path = Path(config.path)
    if config.path and (path.parent.name == tokenizers_dir().name or has_own(config.path)):
        try:
            return own_about(path.name).vocab_size
        except UserError:
            pass
    return 100 if config.kind == "char" and not config.path else config.vocab_size


def more_values(preset_name: str) -> list[Any]:
    """What a preset has in the fields of `MORE`, in their order."""
    config = preset(preset_name)
    return [getattr(getattr(config, SECTIONS[name]), name) for name in MORE]


def more_assignments(config: RunConfig, form: Form) -> list[str]:
    """What is asked for under "More" other than the preset's own. UserError saying which field to mend."""
    found = []
    for name in MORE:
        value, section = getattr(form, name), SECTIONS[name]
        usual = getattr(getattr(config, section), name)
        if value is None or value == "" or value == usual:
            continue
        if name in NUMBERS:
            _, least, most = NUMBERS[name]
            if isinstance(least, int):
                value = _whole(value, TITLES[name], least, int(most))
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
                raise ConfigError(f"{TITLES[name]} must lie between {least:g} and {most:g}.")
        found.append(f"{section}.{name}={json.dumps(value) if not isinstance(value, str) else value}")
    return found


def model_assignments(model: ModelConfig, form: Form) -> list[str]:
    if form.size == "preset":
        return []
    if form.size in SIZES:
        d_model, n_layers = SIZES[form.size]
    else:
        d_model = _whole(form.d_model, "The width (d_model)", 16, 2_048)
        n_layers = _whole(form.n_layers, "The number of layers", 1, 48)
    # Heads of 32 to 64 where the width allows it; rotary positions need an even head size.
    heads = next(
        (n for n in (16, 8, 4, 2, 1) if d_model % n == 0 and d_model // n >= 32 and (d_model // n) % 2 == 0), 1
    )
    if (d_model // heads) % 2:
        raise ConfigError(f"The width (d_model) must be even, not {d_model}.")
    groups = [f"model.n_kv_heads={max(1, heads // 4)}"] if model.family == "llama" else []
    return [f"model.d_model={d_model}", f"model.n_layers={n_layers}", f"model.n_heads={heads}", *groups]


def data_config(config: RunConfig, form: Form, keep: bool) -> DataConfig:
    """The data that is asked for, checked as far as that is quick."""
    pairs = config.model.family == "transformer"
    # Of the preset only the languages hold for other data.
    plain = DataConfig(
        src_language=config.data.src_language,
        tgt_language=config.data.tgt_language,
        text_column=form.text_column.strip() or "text",
        src_column=form.src_column.strip() or "src",
        tgt_column=form.tgt_column.strip() or "tgt",
        val_fraction=config.data.val_fraction,
    )
    if form.data == "builtin":
        own = config.data.name if config.data.name.startswith("builtin:") else ""
        return replace(plain, name=own or ("builtin:enja" if pairs else "builtin:pydocs"))
    if form.data == "hub":
        name = form.hub_name.strip()
        if not HUB_NAME.fullmatch(name) or Path(name).exists():
            raise DataError(f"{name[:80]!r} is not the name of a Hugging Face dataset; write it as org/name.")
        same = name == config.data.name
        return replace(
            config.data if same else plain,
            name=name,
            configuration=form.hub_configuration.strip() or (config.data.configuration if same else ""),
            text_column=plain.text_column,
            src_column=plain.src_column,
            tgt_column=plain.tgt_column,
            max_examples=config.data.max_examples,
            streaming=config.data.streaming,
        )
    if not keep:
        return plain
    if not form.upload:
        raise DataError("Choose a file to upload first, or another kind of data.")
    if pairs and form.upload_tgt:
        found = replace(plain, src=str(keep_upload(form.upload)), tgt=str(keep_upload(form.upload_tgt)))
    else:
        found = replace(plain, name=str(keep_upload(form.upload)))
    load_corpus(found, "pairs" if pairs else "text")  # a column that is not there, an empty file: said now
    return found


def keep_upload(path: str) -> Path:
    """Copy an uploaded file to where the run finds it again. DataError if it is too large or not what can be read.

    The same file is kept once. Its name is only for people: nothing in it can point to another folder.
    """
    source = Path(path)
    name = re.sub(r"[^\w.-]", "_", source.name).lstrip(".")[-80:] or "upload.txt"
    suffix = Path(name).suffix.lower()
    if suffix not in (*SUFFIXES, *TEXT_SUFFIXES):
        raise DataError(f"{name} is of a kind that cannot be read; upload a file ending in {', '.join(SUFFIXES)}.")
    try:
        size = source.stat().st_size
        if size > MAX_UPLOAD:
            raise DataError(
                f"{name} has {size / 1e6:,.0f} MB; the page takes files of up to {MAX_UPLOAD / 1e6:.0f} MB. "
                "Train larger ones with `llm-scratch train --data FILE`."
            )
        data = source.read_bytes()
    except OSError as error:
        raise DataError(f"{name} could not be read ({error.strerror}); upload it again.") from None
    if suffix != ".parquet":
        decode(data, name)
    # Relative to nothing: the training process may run elsewhere.
    folder = (default_runs_dir() / ".uploads" / hashlib.sha256(data).hexdigest()[:16]).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{name} cannot be kept in {folder.parent} ({error.strerror}).") from None
    if not (folder / name).exists():
        write_atomic(folder / name, lambda file: file.write(data))
    return folder / name


def rest_assignments(steps: float | None, learning_rate: float | None, config: RunConfig) -> list[str]:
    """What is changed for the rest of a run that goes on: its steps in all, and the learning rate."""
    found = []
    if steps is not None and steps != config.train.max_steps:
        found.append(f"train.max_steps={_whole(steps, 'Steps', 1, MAX_STEPS)}")
    if learning_rate is not None and learning_rate != config.optim.learning_rate:
        if not 0 < learning_rate <= 10:
            raise ConfigError("The learning rate must lie between 0 and 10; 0.001 is a usual one.")
        found.append(f"optim.learning_rate={learning_rate!r}")
    return found


def _whole(value: float | None, what: str, least: int, most: int) -> int:
    if not isinstance(value, (int, float)) or not least <= value <= most or int(value) != value:
        raise ConfigError(f"{what} must be a whole number from {least:,} to {most:,}.")
    return int(value)
