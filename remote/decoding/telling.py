"""An evaluation as a container does it: the work of core.evaluate.work, as messages that JSON or pickle carries.

remote.decoding.evaluating reads them on the machine that has asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import DataError

if TYPE_CHECKING:
    from core.evaluate.request import Request
    from core.run import Run

MOST_CHARACTERS = 100_000_000  # of data to evaluate on, sent along


def asked(run: "Run", request: str, items: list[Any] | None) -> "tuple[Request, list[Any]]":
    """The request, from JSON, as it is to be read here, with its pairs or documents. items: as they were sent along;
    None: those of the run's own data. Raises UserError."""
    from core.evaluate.evaluation import items_of
    from core.evaluate.request import Request

    given = [text for item in items or [] for text in ([item] if isinstance(item, str) else item)]
    if sum(map(len, given)) > MOST_CHARACTERS:
        raise DataError(f"There are more than {MOST_CHARACTERS:,} characters to evaluate on: use a part of them.")
    wanted = Request.from_json(request)
    if items is not None:  # named there, read there
        texts: dict[str, Any] = {"documents": tuple(items)}
        if run.is_translation:
            texts = {"pairs": tuple((item[0], item[1]) for item in items)}
        wanted = replace(wanted, data="", src="", ref="", as_given=True, max_examples=0, **texts)
    return wanted, items_of(run, wanted)


def evaluation_messages(
    run: "Run",
    request: "Request",
    items: list[Any],
    done: Sequence[int],
    assistant: "Run | None",
    losses: bytes = b"",
) -> Iterator[dict[str, Any]]:
    """One a batch, and one a second between. done: numbers of pairs that need no translation. losses: float32, of the
    first tokens of a language model's text."""
    from core.evaluate.evaluation import plan_of
    from core.evaluate.work import measure, translate

    plan = plan_of(run, request, items, None, assistant)
    facts = ("total", "examples", "language", "data_sha256", "weights_sha256", "tokenizer_sha256", "assistant_sha256")
    yield {"facts": {name: getattr(plan, name) for name in (*facts, "device", "precision", "software")}}
    work = (
        translate(run, plan, items, frozenset(done), assistant)
        if run.is_translation
        else measure(run, plan, items, np.frombuffer(losses, dtype="<f4"))
    )
    for message in work:
        if isinstance(message, str):
            yield {"what": message}
        elif isinstance(message, dict):
            yield {"facts": message}
        elif isinstance(message, list):
            yield {"outputs": [asdict(output) for output in message]}
        elif message is not None:
            yield {"losses": np.asarray(message, dtype="<f4").tobytes()}
