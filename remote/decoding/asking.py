"""Decoding and evaluation on Modal, asked for from this machine: what infer.py does there, as values of core.

Imports modal when something is asked. What goes wrong is a CloudError (or another UserError): one sentence.
"""

import json
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.decode.config import GenerationConfig
from core.errors import ConfigError, UserError
from remote import names
from remote.decoding.on_modal import There, alive, method_of, one_gpu, there
from remote.decoding.pump import WAITING as WAITING
from remote.decoding.pump import Say, mapped, pumped, told
from remote.decoding.shards import Answer, Mapper, Task
from remote.link import CloudError, ask, explained

if TYPE_CHECKING:
    from core.decode.result import StreamEvent

PATIENCE = 5  # questions without an answer, one after the other, that end a long job
TOGETHER = 64  # texts of one call
AHEAD = 8  # shards for each container that are sent before they can be decoded


def as_json(config: GenerationConfig) -> str:
    return json.dumps(asdict(config))


# --------------------------------------------------------------------------------------------------------- texts


def write(run: str, texts: Sequence[str], decode: GenerationConfig, gpu: str = "", **options: Any) -> list[Answer]:
    """An answer for each text, in order; see `written`."""
    return list(written(there(run), texts, decode, gpu, **options))


def written(
    run: There,
    texts: Sequence[str],
    decode: GenerationConfig,
    gpu: str = "",
    truncate: bool = False,
    assistant: str = "",
    say: Say | None = None,
) -> Generator[Answer, None, None]:
    """Answers with all their hypotheses (see core.decode.answers), or {"error": a sentence}, as they come, in order.

    assistant: its name on Modal. say: told in words what is waited for.
    """
    if gpu:
        one_gpu(gpu)

    settings, what = as_json(decode), f"The run {run.name}"
    if not truncate and not assistant:
        prompts = ((text, settings) for text in texts)
        for answer in mapped(lambda: method_of(names.PROMPTS, run.name, "write", gpu), prompts, alive, what, say):
            yield {"error": str(_failure(answer))} if isinstance(answer, Exception) else answer
        return
    parts = [list(texts[start : start + TOGETHER]) for start in range(0, len(texts), TOGETHER)]
    shards = ((part, settings, truncate, assistant, True) for part in parts)
    results = mapped(lambda: method_of(names.WRITER, run.name, "shard", gpu), shards, alive, what, say)
    for part, result in zip(parts, results):
        failed = isinstance(result, Exception)
        yield from [{"error": str(_failure(result))}] * len(part) if failed else result


def mapper(
    run: There,
    decode: GenerationConfig,
    gpu: str = "",
    containers: int = 4,
    truncate: bool = False,
    assistant: str = "",
    say: Say | None = None,
) -> Mapper:
    """For remote.decoding.shards: shards decoded by at most so many containers at a time."""
    if containers < 1:
        raise ConfigError(f"There must be at least one container, not {containers}.")
    if gpu:
        one_gpu(gpu)

    def work(tasks: Iterator[Task]) -> Iterator[tuple[int, list[Answer] | Exception]]:
        first = next(tasks, None)
        if first is None:
            return
        numbers: deque[int] = deque()  # of what was sent: the results come in the same order

        def shards() -> Iterator[tuple]:
            for number, texts in chain([first], tasks):
                numbers.append(number)
                yield texts, as_json(decode), truncate, assistant

        method = partial(method_of, names.WRITER, run.name, "shard", gpu, containers)
        for result in mapped(method, shards(), alive, f"The run {run.name}", say, AHEAD * containers, PATIENCE):
            yield numbers.popleft(), _failure(result) if isinstance(result, Exception) else result

    return work


def _failure(error: Exception) -> Exception:
    """What went wrong with one call. What the function itself refuses (a run that is gone, say) is raised."""
    if isinstance(error, UserError):
        raise error
    found = explained(error)
    return found if isinstance(found, Exception) else error


# -------------------------------------------------------------------------------------------------------- streams


def stream(
    run: str,
    text: str,
    decode: GenerationConfig,
    gpu: str = "",
    assistant: str = "",
    runs_dir: Path | None = None,
    say: Say | None = None,
) -> Generator["StreamEvent", None, None]:
    """core.decode.stream with traces, on Modal. Closing it stops the work there."""
    steps = told(columns(run, text, [decode], gpu, assistant, 1.0, runs_dir), say)
    try:
        for step in steps:
            if isinstance(step.event, str):
                raise CloudError(step.event)
            yield step.event
    finally:
        steps.close()


@dataclass(frozen=True)
class Step:
    """Of one column. event: a text if the column has failed. seconds: that it took so far."""

    column: int
    seconds: float
    event: "StreamEvent | str"


def columns(
    run: str,
    text: str,
    decodes: Sequence[GenerationConfig],
    gpu: str = "",
    assistant: str = "",
    tick: float | None = None,
    runs_dir: Path | None = None,
) -> Generator[Step | None, None, None]:
    """Decode a text with several settings side by side in one container. Closing it stops the work there.

    tick: seconds after which None is yielded where nothing has come, so that a reader can be stopped at any time; a
    container may take minutes to start.
    """
    from core.decode.plain import Unpacker

    if gpu:
        one_gpu(gpu)
    calls: list[str] = []

    def act() -> Iterator[Any]:
        found = there(run, runs_dir)
        helper = ""
        if any(config.strategy == "assisted" for config in decodes):
            helper = there(assistant or run, runs_dir).name
        settings = [as_json(config) for config in decodes]
        messages = method_of(names.WRITER, found.name, "stream", gpu).remote_gen(text, settings, helper)
        for message in messages:
            if "call" in message:
                calls.append(message["call"])
            yield message

    unpackers = [Unpacker() for _ in decodes]
    messages = pumped(act, alive, f"The run {run}", tick, close=lambda: cancel(calls))
    try:
        for message in messages:
            if message is None:
                yield None
                continue
            for column, seconds, packed in message.get("events", ()):
                if "error" in packed:
                    yield Step(column, seconds, packed["error"])
                else:
                    yield Step(column, seconds, unpackers[column].unpack(packed))
    finally:
        messages.close()


def cancel(calls: list[str]) -> None:
    """Nobody waits for their results. What cannot be cancelled now ends by itself."""
    while calls:
        call = calls.pop()

        def act(call: str = call) -> None:
            import modal

            modal.FunctionCall.from_id(call).cancel()

        try:
            ask(act)
        except Exception:
            pass
