"""What the forms of the Decoding tab offer: how much of everything, where, and who can assist a model."""

from collections.abc import Sequence

from core.errors import UserError
from core.run import find_run, list_runs
from playground.models import get_run, model_choices
from playground.site import here

LOCAL, MODAL = "local", "modal"
PLACES = {LOCAL: "This machine", MODAL: "Modal GPU"}
MAX_SAMPLES = 64
LISTED = 5  # best candidates
LONGEST = 400  # new tokens
MAX_BEAMS = 12


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


def chosen_assistant(model: str, assistant: str | None, typed: Sequence[str] = ()) -> str:
    """Who assists the model. Another model may have been chosen since the list was made: then it assists itself.

    typed: what somebody has typed on this page (a directory, hf:org/name): that stands, and is checked when it is
    opened. A link names only what is listed.
    """
    listed = [name for _, name in model_choices()]
    suits = assistant in [name for _, name in assistants(model)]
    own = assistant in typed and assistant not in listed and here().hub
    return assistant if assistant and (suits or own) else model


def _tokenizer_file(name: str) -> bytes | None:
    try:
        return (find_run(name) / "tokenizer.json").read_bytes()
    except (UserError, OSError):
        return None
