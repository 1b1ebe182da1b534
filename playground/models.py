"""The runs that the page offers: opened once, kept a while, opened again when their files change."""

import threading
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

from core.config import ModelConfig
from core.errors import UserError
from core.hub import Progress
from core.run import Run, find_run, list_runs, load

KEPT = 6  # opened runs; the bundled ones and one more stay in memory
FILES = (
    *("config.json", "tokenizer.json", "model.safetensors", "README.md", "scores.json"),
    # Of checkpoints of the hub:
    *("model.safetensors.index.json", "tokenizer_config.json", "generation_config.json"),
    *("vocab.json", "merges.txt", "source.spm", "target.spm"),
)

DEFAULT_TEXT = {
    "translation": "I'd like a cup of coffee.",
    "shakespeare": "ROMEO:\nWhat light is this",
    "pydocs": "The function returns",
    "repeats": "The student is kind. Mary took a photo.\nThe student is kind. Mary took",
    "language": "The most important thing is",
}
EXAMPLES = {
    "translation": [
        DEFAULT_TEXT["translation"],
        "She doesn't know where he lives.",
        "The train had already left when I arrived at the station.",
        "Will you help me with my homework?",
        "It is the most beautiful book that I have ever read.",
    ],
    "shakespeare": [
        DEFAULT_TEXT["shakespeare"],
        "First Citizen:\nBefore we proceed any further, hear me speak.",
        "KING RICHARD III:\nNow is the winter",
        "O, that this night were",
    ],
    "pydocs": [
        DEFAULT_TEXT["pydocs"],
        "A class definition defines a",
        "If the expression is",
        'The "try" statement specifies exception handlers',
    ],
    "repeats": [
        DEFAULT_TEXT["repeats"],
        "red likes Emi. the park\nred likes",
        "zolt Perif kan 482 wub. zolt Perif kan",
    ],
    "language": [DEFAULT_TEXT["language"], "Once upon a time", "The weather today"],
}

_lock = threading.Lock()
_opened: OrderedDict[str, tuple[tuple, Run]] = OrderedDict()


def get_run(name: str, progress: Progress | None = None) -> Run:
    """The run of that name (or directory), from memory while its files are as they were. UserError if it cannot be.

    progress: told how far the download of a model of the hub is, in bytes.
    """
    directory = find_run(name or "", progress=progress)
    key = str(directory.resolve())
    with _lock:
        stamp = _stamp(directory)
        if key in _opened and _opened[key][0] == stamp:
            _opened.move_to_end(key)
            return _opened[key][1]
        run = load(name)
        _opened[key] = (stamp, run)
        _opened.move_to_end(key)
        while len(_opened) > KEPT:
            _opened.popitem(last=False)
        return run


def run_stamp(run: Run) -> tuple:
    """Equal as long as the run's files are the same: part of the key of whatever is computed from a run."""
    return str(run.directory.resolve()), _stamp(run.directory)


def _stamp(directory: Path) -> tuple:
    found = []
    for name in FILES:
        try:
            stat = (directory / name).stat()
            found.append((stat.st_mtime_ns, stat.st_size))
        except OSError:
            found.append((0, 0))
    return tuple(found)


def model_choices() -> list[tuple[str, str]]:
    """(label, name) of every run that has a model: bundled ones, then own ones, the newest first."""
    runs = [info for info in list_runs() if info.has_model and not info.error]
    own = {info.name for info in runs if not info.bundled}  # an own run hides a bundled one of the same name
    return [
        (info.name if info.bundled else f"{info.name} · own", info.name)
        for info in runs
        if not (info.bundled and info.name in own)
    ]


def default_model() -> str | None:
    """The run that the page opens with; None when nothing has been trained yet."""
    choices = model_choices()
    preferred = ["enja-transformer", "shakespeare-gpt", "pydocs-llama"]
    names = [name for _, name in choices]
    return next((name for name in preferred if name in names), names[0] if names else None)


def opening_work() -> tuple[str | None, str]:
    """The (model, text) that the page opens with."""
    name = default_model()
    try:
        return name, default_text(get_run(name)) if name else DEFAULT_TEXT["translation"]
    except UserError:
        return name, DEFAULT_TEXT["translation"]


def text_kind(run: Run) -> str:
    """Which examples suit the run: a key of EXAMPLES."""
    if run.is_translation:
        return "translation"
    told = f"{run.config.preset} {run.config.data.name}".lower()
    if "pydocs" in told:
        return "pydocs"
    if "builtin:repeats" in told:
        return "repeats"
    if "shakespeare" in told or "nanogpt" in told or "ROMEO" in "".join(run.config.train.sample_prompts):
        return "shakespeare"
    return "language"


def examples(run: Run) -> list[str]:
    """Texts to try with the run, the default first. A run with its own sample prompts offers those too."""
    prompts = [prompt for prompt in run.config.train.sample_prompts if prompt.strip()]
    return list(dict.fromkeys(EXAMPLES[text_kind(run)] + prompts))


def default_text(run: Run) -> str:
    return DEFAULT_TEXT[text_kind(run)]


def is_example(text: str) -> bool:
    """Whether nobody has typed this text: it is one of ours, of whatever family."""
    return any(text in texts for texts in EXAMPLES.values())


@lru_cache(maxsize=64)
def num_parameters(config: ModelConfig) -> int:
    """Learned weights of a model of this shape."""
    from core.model import build_model

    if config.vocab_size * config.d_model + 16 * config.n_layers * config.d_model**2 < 20_000_000:
        return build_model(config).num_parameters()
    import torch

    with torch.device("meta"):  # no memory, but PyTorch takes two seconds to prepare for it
        return build_model(config).num_parameters()
