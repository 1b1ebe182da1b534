"""What the Decoding tab's settings mean: the configurations of its three columns, and who can assist a model."""

from dataclasses import replace
from typing import Any

from core.decode.config import GenerationConfig
from core.errors import ConfigError, UserError
from core.run import find_run, list_runs
from playground.models import get_run, model_choices
from playground.site import here

THIRD = {
    "sample": "Top-p", "diverse_beam": "Diverse beams", "contrastive": "Contrastive search", "assisted": "Assisted",
    "best_of": "Best of several", "mbr": "Minimum Bayes risk",
}  # fmt: skip
LOCAL, MODAL = "local", "modal"
PLACES = {LOCAL: "This machine", MODAL: "Modal GPU"}
MAX_SAMPLES = 64
LISTED = 5  # best candidates
LONGEST = 400  # new tokens
MAX_BEAMS = 12


def titles(third: str = "sample") -> list[str]:
    return ["Greedy", "Beam search", THIRD.get(third, third)]


def configs(
    beams: int = 5,
    length_penalty: float = 1.0,
    temperature: float = 1.0,
    top_p: float = 0.9,
    top_k: int = 0,
    max_new_tokens: int = 60,
    repetition_penalty: float = 1.0,
    seed: int = 0,
    third: str = "sample",
    diversity_penalty: float = 0.5,
    penalty_alpha: float = 0.6,
    drafts: int = 5,
    samples: int = 16,
    metric: str = "chrf",
) -> list[GenerationConfig]:
    """The settings of the three columns. ConfigError for what no strategy can do."""
    common = GenerationConfig(
        max_new_tokens=int(max_new_tokens), repetition_penalty=float(repetition_penalty), num_candidates=10
    )
    beam: dict[str, Any] = dict(
        num_beams=int(beams), num_return_sequences=int(beams), length_penalty=float(length_penalty)
    )
    drawn: dict[str, Any] = dict(
        temperature=float(temperature), top_p=float(top_p), top_k=int(top_k), seed=int(seed or 0)
    )
    chosen: dict[str, Any] = dict(num_samples=int(samples), num_return_sequences=min(LISTED, int(samples)))
    settings: dict[str, dict[str, Any]] = {
        "sample": drawn,
        "diverse_beam": beam | dict(diversity_penalty=float(diversity_penalty)),
        "contrastive": dict(penalty_alpha=float(penalty_alpha), top_k=int(top_k)),
        "assisted": dict(num_assistant_tokens=int(drafts)),
        "best_of": drawn | chosen,
        "mbr": drawn | chosen | dict(mbr_metric=metric),
    }
    if third not in settings:
        raise ConfigError(f"The third column can be {', '.join(settings)}, not {third[:50]!r}.")
    return [common, replace(common, strategy="beam", **beam), replace(common, strategy=third, **settings[third])]  # type: ignore[arg-type]


def assistants(model: str | None) -> list[tuple[str, str]]:
    """(label, name) of the runs that do the same with the same tokenizer, and of the model itself: always right."""
    try:
        run = get_run(model or "")
        own = (run.directory / "tokenizer.json").read_bytes()
    except UserError:
        return []
    except OSError:  # a checkpoint with a tokenizer of another kind
        own = b""
    translates = {info.name: info.family == "transformer" for info in list_runs()}
    found = [
        (label, name)
        for label, name in model_choices()
        if name != model and translates[name] == run.is_translation and _tokenizer_file(name) == own
    ]
    return [*found, (f"{model} itself", str(model))]


def chosen_assistant(model: str, assistant: str | None) -> str:
    """Who assists the model. Another model may have been chosen since the list was made: then it assists itself. What
    was typed (a directory, hf:org/name) stands, and is checked when it is opened."""
    listed = [name for _, name in model_choices()]
    suits = assistant in [name for _, name in assistants(model)]
    typed = assistant not in listed and here().hub
    return assistant if assistant and (suits or typed) else model


def _tokenizer_file(name: str) -> bytes | None:
    try:
        return (find_run(name) / "tokenizer.json").read_bytes()
    except (UserError, OSError):
        return None
