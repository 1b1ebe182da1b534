"""Evaluations as the page looks at them: kept ones from the disk; what a hosted page has measured from memory."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import gradio as gr

from core.errors import RunError, UserError
from core.evaluate import store
from core.evaluate.request import Evaluation, Output
from core.run import default_runs_dir
from playground.memory import Memory
from playground.readings import owner
from playground.site import here
from playground.tabs.evaluate.form import strategy_name

MOST_OUTPUTS = 200_000  # of an evaluation, that are looked at here
EACH, VISITORS = 6, 200  # evaluations that are remembered for a visitor, and visitors
GONE = "This evaluation is not here any more: measure again."


@dataclass(frozen=True)
class Outcome:
    """outputs: in the order of the data; of what was stopped those that there are."""

    evaluation: Evaluation
    outputs: tuple[Output, ...] = ()
    stamp: Any = None  # equal as long as it is the same

    @property
    def size(self) -> int:
        return sum(len(one.source) + len(one.reference) + len(one.output) + 200 for one in self.outputs)

    @property
    def how(self) -> str:
        """How it was decoded or measured, in a few words."""
        one = self.evaluation
        if one.kind == "language":
            return f"context {one.context:,}, stride {one.stride:,}"
        return strategy_name(one.decode)


_kept: Memory[Outcome] = Memory(maximum=24, max_size=512 * 2**20, size=lambda found: found.size)
_unkept: OrderedDict[str, OrderedDict[str, Outcome]] = OrderedDict()  # visitor -> id -> the last ones
_lock = Lock()


def outcome(id: Any) -> Outcome:
    """The evaluation of that id with its outputs. RunError if this page does not have it."""
    if not isinstance(id, str) or not store.ID.fullmatch(id):
        raise RunError(GONE)
    if here().is_hosted:
        with _lock:
            found = _unkept.get(owner(), OrderedDict()).get(id)
        if found is None:
            raise RunError(GONE)
        return found
    try:
        directory = store.find_evaluation(id)
        stamp = tuple(_stamp(directory / name) for name in (store.RESULT, store.OUTPUTS))
    except UserError:
        raise RunError(GONE) from None

    def read() -> Outcome:
        return Outcome(store.load_evaluation(id), outputs_in(directory), (id, stamp))

    return _kept.get((str(directory), stamp), read)


def outputs_in(directory: Path) -> tuple[Output, ...]:
    found = store.read_outputs(directory)
    if len(found) > MOST_OUTPUTS:
        raise RunError(
            f"The evaluation has {len(found):,} sentences; the page shows up to {MOST_OUTPUTS:,}: look at it with "
            "`llm-scratch eval --show`."
        )
    return tuple(found[number] for number in sorted(found))


def remember(found: Outcome) -> None:
    """Of a hosted page, which keeps nothing on its disk: until the page is closed, or has measured more."""
    with _lock:
        own = _unkept.setdefault(owner(), OrderedDict())
        _unkept.move_to_end(owner())
        own.pop(found.evaluation.id, None)
        own[found.evaluation.id] = found
        while len(own) > EACH:
            own.popitem(last=False)
        while len(_unkept) > VISITORS:
            _unkept.popitem(last=False)


def remembered() -> list[Outcome]:
    """What this page of a hosted one has measured, the last first."""
    with _lock:
        return list(reversed(_unkept.get(owner(), OrderedDict()).values()))


def forget(request: gr.Request) -> None:
    """A page was closed."""
    with _lock:
        _unkept.pop(str(request.session_hash or ""), None)


def newest(run: str) -> str:
    """The id of the last whole evaluation of a run; "" if there is none."""
    if here().is_hosted:
        return ""
    for listed in store.list_evaluations(default_runs_dir(), run):
        if listed.evaluation is not None and listed.evaluation.state == "done":
            return listed.id
    return ""


def names_of(outcomes: Sequence[Outcome]) -> list[str]:
    """What several evaluations are called beside each other: what tells them apart, and never the same name twice."""
    parts = [
        (one.evaluation.run, one.how, one.evaluation.precision, one.evaluation.device, one.evaluation.id[:6])
        for one in outcomes
    ]
    names: list[str] = []
    for wanted in range(1, len(parts[0]) + 1 if parts else 1):
        differ = [i for i in range(wanted) if len({part[i] for part in parts}) > 1] or [0]
        names = [" · ".join(part[i] for i in differ) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
        return stat.st_mtime_ns, stat.st_size
    except OSError:
        return 0, 0
