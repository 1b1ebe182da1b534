"""Data prepared on Modal, asked for from here."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.config import RunConfig
from core.errors import DataError
from core.strict import from_dict
from remote import names
from remote.calls import cancel, outcome, spawn
from remote.link import CallFailed

if TYPE_CHECKING:
    from core.data.preview import Preview

LOOK = 1.0  # seconds between two questions for the answer


def prepare(config: RunConfig, say: Callable[[str], None] = lambda text: None) -> "tuple[Preview, str]":
    """What the data holds, and the tokenizer that was trained on it (tokenizer.json; empty if it is very large). All of
    it stays on the Volume, where a training finds it. DataError, CloudError.

    It waits as long as the data takes; whoever breaks it off ends the work on Modal too.
    """
    from core.data.preview import Preview
    from remote.transfer.local_data import stage

    staged, _ = stage(config)
    call_id = spawn(names.PREPARE, {}, staged.to_dict())
    say("the data are prepared on Modal")
    try:
        while (answer := outcome(call_id)).state == "pending":
            time.sleep(LOOK)
    except BaseException:
        cancel(call_id)
        raise
    if answer.state != "done":
        raise CallFailed(answer.error or "The preparation was cancelled on Modal.")
    if "error" in answer.value:
        raise DataError(str(answer.value["error"]))
    return from_dict(Preview, answer.value["preview"]), str(answer.value["tokenizer"])
