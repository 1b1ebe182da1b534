"""The tokenizers that the page offers, opened once and kept while their files are as they were.

A tokenizer is named by a key: "" is the one of the model that the header holds, a run's or an own tokenizer's name, a
tiktoken encoding; where the site allows it also hf:org/name and the path of a file or directory.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import NamedTuple

from core.errors import RunError, UserError
from core.hub import is_hub_name
from core.run import find_run
from core.tokenizer import Encoding, Tokenizer, load_tokenizer
from core.tokenizer.chat import ChatTemplate, chat_template_of
from core.tokenizer.load import TIKTOKEN_NAMES
from core.tokenizer.own import own_path, own_tokenizers
from playground import models
from playground.memory import Memory
from playground.site import OWN, Site, here

MODELS_OWN = ""  # the key of the chosen model's tokenizer
OWN_MARK, TIKTOKEN_MARK = "own:", "tiktoken:"  # before the names in keys, so that a run of the same name is another

_opened: Memory[Tokenizer] = Memory(maximum=8)
_encodings: Memory[Encoding] = Memory(maximum=16, max_size=2_000_000, size=len)


class Work(NamedTuple):
    """What the Tokenizer tab is at work on."""

    tokenizer: str  # a key
    model: str | None
    text: str
    parse_special: bool


def open_tokenizer(key: str, model: str | None) -> Tokenizer:
    """The tokenizer of that key. UserError if it cannot be opened, or is not to be opened here."""
    if key == MODELS_OWN:
        if not model:
            raise UserError("No model is chosen, so there is no tokenizer: choose a model, or a tokenizer.")
        return models.get_run(model).tokenizer
    return _opened.get(stamp(key, model), lambda: load_tokenizer(_source(key)))


def stamp(key: str, model: str | None) -> Hashable:
    """Equal as long as the tokenizer is the same: part of the key of whatever is computed with it."""
    if key == MODELS_OWN:
        if not model:
            return None
        return models.run_stamp(models.get_run(model))
    source = _source(key)
    if is_hub_name(source) or key.startswith(TIKTOKEN_MARK):
        return source
    path = Path(source)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return source, tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files if f.is_file())


def encoding_of(work: Work) -> Encoding:
    """The text's tokens, computed once."""
    tokenizer = open_tokenizer(work.tokenizer, work.model)
    key = (stamp(work.tokenizer, work.model), work.text, work.parse_special)
    return _encodings.get(key, lambda: tokenizer.encode(work.text, parse_special=work.parse_special))


def choices(site: Site = OWN) -> list[tuple[str, str]]:
    """(label, key) of all that can be chosen, the model's own first."""
    found = [("The model's own", MODELS_OWN)]
    found += [(f"of {label}", name) for label, name in models.model_choices()]
    if not site.is_hosted or site.launch:
        found += [(f"{own.name} · own tokenizer", OWN_MARK + own.name) for own in own_tokenizers()]
    if site.hub:
        found += [(f"{name} · tiktoken", TIKTOKEN_MARK + name) for name in TIKTOKEN_NAMES]
    return found


def label(key: str, model: str | None) -> str:
    """What to call the tokenizer in a sentence or a table."""
    if key == MODELS_OWN:
        return model or "the model's own"
    name = key.removeprefix(OWN_MARK).removeprefix(TIKTOKEN_MARK)
    return Path(name).name if Path(name).is_absolute() else name


def chat_template(key: str, model: str | None) -> ChatTemplate | None:
    """The chat templates that come with the tokenizer, if there are any. UserError as `open_tokenizer`."""
    source = model if key == MODELS_OWN else key
    return chat_template_of(_source(source)) if source else None


def _source(key: str) -> str:
    """What `load_tokenizer` opens for the key. On a hosted page only what is listed is opened, by its name."""
    key = key.strip()
    site = here()
    if key.startswith(OWN_MARK):
        if site.is_hosted and not site.launch:
            raise RunError("This page opens only the tokenizers of its list: choose one of them.")
        return str(own_path(key.removeprefix(OWN_MARK)))
    if key.startswith(TIKTOKEN_MARK):
        name = key.removeprefix(TIKTOKEN_MARK)
        if not site.hub or name not in TIKTOKEN_NAMES:
            raise RunError(f"There is no tiktoken encoding {name[:40]!r} here: choose one of the list.")
        return name
    if not site.hub:
        site.check_model(key)
        return str(find_run(key))
    if is_hub_name(key):
        return key
    try:
        return str(find_run(key))
    except UserError:
        try:
            path = Path(key).expanduser()
            if path.exists():
                return str(path.resolve())
        except (OSError, ValueError, RuntimeError):  # too long a name, a NUL in it, no such home
            pass
        raise RunError(
            f"There is no tokenizer {key[:80]!r}: choose one of the list, or give hf:org/name or the path of a "
            "tokenizer.json, a SentencePiece model or a .tiktoken file."
        ) from None
