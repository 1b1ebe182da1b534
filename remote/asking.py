"""Decoding and evaluation on Modal, asked for from this machine: what infer.py does there, as values of core.

Imports modal when something is asked. What goes wrong is a CloudError (or another UserError): one sentence.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import RunConfig
from core.decode.config import GenerationConfig
from core.errors import ConfigError, RunError, UserError
from core.files import check_name
from core.hub import is_checkpoint_config, is_hub_name
from core.run import BUNDLED, find_run, load, read_config
from remote import names
from remote.calls import link_of
from remote.link import CloudError, NotThere, ask, explained
from remote.prices import parse_gpu
from remote.pump import BEAT_SECONDS, pumped
from remote.shards import Answer, Mapper, Task
from remote.store import default_store

if TYPE_CHECKING:
    from core.decode.result import StreamEvent

WAITING = "waiting for a container on Modal; this takes up to a minute or two"
PATIENCE = 5  # questions without an answer, one after the other, that end a long job
TOGETHER = 64  # texts of one call
AHEAD = 8  # shards for each container that are sent before they can be decoded
Say = Callable[[str], Any]


# ---------------------------------------------------------------------------------------------------- what is there


@dataclass(frozen=True)
class There:
    """A run as Modal would open it. stamp: changes with its weights. directory: of the copy here, if there is one."""

    name: str
    config: RunConfig
    stamp: str
    directory: Path | None = None

    @property
    def is_translation(self) -> bool:
        return self.config.model.family == "transformer"


def there(run: str, runs_dir: Path | None = None) -> There:
    """Look the app and the run up on Modal. One sentence, in time, if the app is not deployed or the run not there.

    run: as on this machine; a copy of a run on Modal stands for that.
    """
    run = str(run).strip()
    if is_hub_name(run):
        raise CloudError(
            f"{run} is a model of the hub: make a run of it (`llm-scratch import {run}`), push that "
            "(`llm-scratch push NAME`), and use its name."
        )
    directory = _here(run, runs_dir)
    name = check_name(str(link_of(directory).get("name") or directory.name) if directory is not None else run)
    ask(lambda: _class(names.WRITER).hydrate())
    store = default_store()
    found = {entry.path.rpartition("/")[2]: entry for entry in store.list(f"runs/{name}") if entry.path.count("/") == 2}
    if "config.json" in found:
        weights = sorted(entry for file, entry in found.items() if file.endswith(".safetensors"))
        if not weights:
            raise RunError(f"The run {name} has no model on Modal yet; it is written at the first validation.")
        values = json.loads(ask(lambda: b"".join(store.read(f"runs/{name}/config.json")), f"The run {name}"))
        stamp = str([tuple(entry) for entry in weights])
        return There(name, _config_of(values, name, directory), stamp, directory)
    if directory is not None and BUNDLED not in directory.parents:
        raise CloudError(f"The run {name} is on this machine only; push it first: `llm-scratch push {directory.name}`.")
    if (BUNDLED / name / "config.json").is_file():
        return There(name, read_config(BUNDLED / name), "bundled", BUNDLED / name)
    raise NotThere(f"There is no run {name[:80]!r} on Modal: push one (`llm-scratch push NAME`), or train one there.")


def _here(run: str, runs_dir: Path | None) -> Path | None:
    """Where the run is on this machine, if it is here."""
    try:
        return find_run(run, runs_dir).resolve()
    except UserError:
        return None


def _config_of(values: Any, name: str, directory: Path | None) -> RunConfig:
    if not is_checkpoint_config(values):
        try:
            return RunConfig.from_dict(values)
        except ConfigError as error:
            raise RunError(f"config.json of the run {name} on Modal cannot be used: {error}") from None
    if directory is None:
        raise CloudError(f"{name} is an imported checkpoint: bring it here first (`llm-scratch pull {name}`).")
    return load(str(directory)).config


def _class(name: str) -> Any:
    import modal

    return modal.Cls.from_name(names.APP, name)


def _method(name: str, run: str, method: str, gpu: str, containers: int = 0) -> Any:
    """A method of a class that has opened `run`; asks Modal."""
    options: dict[str, Any] = {"max_containers": containers} if containers else {}
    if gpu:
        options["gpu"] = one_gpu(gpu)
    found = _class(name)
    return getattr((found.with_options(**options) if options else found)(run=run), method)


def one_gpu(gpu: str) -> str:
    """The name of the GPU, as Modal wants it. ConfigError if there is no such one, or if it is several."""
    kind, count = parse_gpu(gpu)
    if count > 1:
        raise ConfigError(f"Decoding takes one GPU: use {kind.name}, not {gpu}.")
    return kind.name


def _alive() -> None:
    ask(lambda: _class(names.WRITER).hydrate(), seconds=BEAT_SECONDS)


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
) -> Iterator[Answer]:
    """Answers with all their hypotheses (see core.decode.answers), or {"error": a sentence}, as they come, in order.

    assistant: its name on Modal. say: told in words what is waited for.
    """
    if gpu:
        one_gpu(gpu)

    settings, what = as_json(decode), f"The run {run.name}"
    if not truncate and not assistant:
        prompts = ((text, settings) for text in texts)
        for answer in _mapped(lambda: _method(names.PROMPTS, run.name, "write", gpu), prompts, what, say):
            yield {"error": str(_failure(answer))} if isinstance(answer, Exception) else answer
        return
    parts = [list(texts[start : start + TOGETHER]) for start in range(0, len(texts), TOGETHER)]
    shards = ((part, settings, truncate, assistant, True) for part in parts)
    results = _mapped(lambda: _method(names.WRITER, run.name, "shard", gpu), shards, what, say)
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
    """For remote.shards: shards decoded by at most so many containers at a time."""
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

        method = partial(_method, names.WRITER, run.name, "shard", gpu, containers)
        for result in _mapped(method, shards(), f"The run {run.name}", say, AHEAD * containers, PATIENCE):
            yield numbers.popleft(), _failure(result) if isinstance(result, Exception) else result

    return work


def _mapped(
    method: Callable[[], Any],
    inputs: Iterator[tuple],
    what: str,
    say: Say | None,
    ahead: int = 1_000,
    patience: int = 1,
) -> Iterator[Any]:
    """Results, or exceptions, of a method for each of its inputs, in order, by Modal's map.

    Modal's map takes all inputs at once, and can be ended only where it waits for them: so it is given as many as are
    not yet answered, up to `ahead`, and waits for another one to the end.
    """
    sent = read = 0
    left = threading.Event()

    async def fed() -> AsyncIterator[tuple]:
        nonlocal sent
        for values in inputs:
            while sent - read >= ahead:
                await nap()
            sent += 1
            yield values
        while read < sent:
            await nap()

    async def nap() -> None:  # the loop is that of the thread that reads the results
        if left.is_set():
            raise _Left
        await asyncio.sleep(0.02)

    def act() -> Iterator[Any]:
        yield from method().starmap(fed(), order_outputs=True, return_exceptions=True)

    results = pumped(act, _alive, what, 1.0, patience, left.set, wait=3.0)
    try:
        for result in _told(results, say):
            read += 1
            yield result
    finally:
        results.close()


class _Left(Exception):
    """Nobody waits for the results any more."""


def _failure(error: Exception) -> Exception:
    """What went wrong with one call. What the function itself refuses (a run that is gone, say) is raised."""
    if isinstance(error, UserError):
        raise error
    found = explained(error)
    return found if isinstance(found, Exception) else error


def _told(stream: Generator[Any, None, None], say: Say | None) -> Generator[Any, None, None]:
    """A stream without its ticks; at the first of them, if nothing has come yet, what is waited for is said."""
    waiting = True
    try:
        for item in stream:
            if item is None:
                if waiting and say is not None:
                    say(WAITING)
                waiting = False
                continue
            waiting = False
            yield item
    finally:
        stream.close()


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
    steps = _told(columns(run, text, [decode], gpu, assistant, 1.0, runs_dir), say)
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
        messages = _method(names.WRITER, found.name, "stream", gpu).remote_gen(text, settings, helper)
        for message in messages:
            if "call" in message:
                calls.append(message["call"])
            yield message

    unpackers = [Unpacker() for _ in decodes]
    messages = pumped(act, _alive, f"The run {run}", tick, close=lambda: _cancel(calls))
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


def _cancel(calls: list[str]) -> None:
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


# ----------------------------------------------------------------------------------------------------- evaluation


def evaluate(
    run: There,
    decode: GenerationConfig | None = None,
    max_examples: int = 0,
    pairs: Sequence[Any] | None = None,
    documents: Sequence[str] | None = None,
    gpu: str = "",
    assistant: str = "",
    say: Say | None = None,
) -> dict[str, Any]:
    """What core.evaluate.evaluate returns. pairs, documents: sent along; without them the run's own validation data is
    read there. Interrupted, the work there is cancelled."""
    if gpu:
        one_gpu(gpu)
    calls: list[str] = []

    def act() -> Iterator[dict[str, Any]]:
        plain = [[pair[0], pair[1]] for pair in pairs] if pairs is not None else None
        given = [as_json(decode) if decode is not None else "", max_examples, plain, documents, assistant]
        call = _method(names.WRITER, run.name, "evaluate", gpu).spawn(*given)
        calls.append(call.object_id)
        yield call.get()

    results = pumped(act, _alive, f"The run {run.name}", tick=1.0, patience=PATIENCE)
    try:
        for result in _told(results, say):
            return dict(result)
    except KeyboardInterrupt:
        ending = threading.Thread(target=_cancel, args=(calls,), daemon=True)
        ending.start()
        ending.join(5)  # else the program ends before it is told
        raise
    raise CloudError("Modal gave no result: try again.")
