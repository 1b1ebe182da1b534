"""How the rest of a run that goes on is changed: in its config.json, before it is trained further."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import ConfigError, RunError
from core.files import write_json
from core.run import read_config, read_status

CHANGEABLE = ("train.", "optim.", "decode.")


def change_rest(directory: Path, assignments: Sequence[str]) -> None:
    """Write `section.field=value` assignments into a run's configuration.

    How the rest is trained may be changed; what the checkpoint's weights stand for may not. Raises ConfigError, or
    RunError while the run trains.
    """
    if not assignments:
        return
    wrong = [a for a in assignments if not a.startswith(CHANGEABLE)]
    if wrong:
        raise ConfigError(f"A resumed run keeps its model, tokenizer and data: {wrong[0]!r} cannot be changed.")
    if read_status(directory).is_active:
        raise RunError(f"The run {directory.name} is still training; stop it first.")
    config = read_config(directory).with_overrides(assignments)
    write_json(directory / "config.json", config.to_dict())
