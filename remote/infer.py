"""Decoding and evaluation in the cloud: a run is read once per container, and answers as long as that lives.

    Prompts    single texts of many askers, gathered into batches
    Writer     shards of files, streams of tokens, evaluation, continuations that are measured

Texts, settings and results are plain values: settings are the JSON of a GenerationConfig, answers those of
core.decode.answers.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import modal

from core.decode.answers import LONGEST, answers, settings
from core.errors import ConfigError, TextError, UserError
from core.run import Run, find_run, load
from remote import names
from remote.image import app, reload, volumes

MOST_LINES = 4_096  # of a shard
MOST_COLUMNS = 8  # of a stream
MESSAGE_EVERY = 0.05  # seconds between two messages of a stream
LOOK_EVERY = 30.0  # seconds after which the Volume is looked at for newer weights
GPU_ROWS = 256  # decoded together on a GPU

OPTIONS: dict[str, Any] = {
    "gpu": names.DEFAULT_GPU,
    "volumes": volumes,
    "enable_memory_snapshot": True,  # with the run in it: the next container begins where reading ended
    "scaledown_window": 120,  # seconds that a container waits for more
    "max_containers": 8,
}


@app.cls(timeout=600, **OPTIONS)
class Prompts:
    """Texts that are asked for one by one, by anybody, decoded in batches. (A batched class has no other method.)"""

    run: str = modal.parameter()

    @modal.enter(snap=True)
    def read(self) -> None:
        self.opened = Opened(self.run)

    @modal.enter(snap=False)
    def use(self) -> None:
        self.opened.use()

    @modal.batched(max_batch_size=64, wait_ms=50)
    def write(self, texts: list[str], decodes: list[str]) -> list[dict[str, Any]]:
        """An answer with all its hypotheses for each text, or {"error": a sentence}. Texts may have different settings;
        who else is in the batch changes nothing."""
        try:
            run = self.opened.current()
        except UserError as error:
            return [{"error": str(error)} for _ in texts]
        found: list[dict[str, Any]] = [{}] * len(texts)
        decodes = [decode if isinstance(decode, str) else "" for decode in decodes]
        for decode in dict.fromkeys(decodes):
            places = [place for place, other in enumerate(decodes) if other == decode]
            try:
                config = settings(decode)
                if config.strategy == "assisted":
                    raise ConfigError("Single prompts have no assistant; ask Writer.shard, which takes one.")
                given = answers(run, [texts[place] for place in places], config, full=True, batch_rows=_rows(run))
            except UserError as error:  # of these settings; others may do
                given = [{"error": str(error)} for _ in places]
            for place, answer in zip(places, given, strict=True):
                found[place] = answer
        return found


@app.cls(timeout=3600, **OPTIONS)
class Writer:
    """Shards of files, streams for the page, and evaluation."""

    run: str = modal.parameter()

    @modal.enter(snap=True)
    def read(self) -> None:
        self.opened = Opened(self.run)
        self.assistants: dict[str, Opened] = {}

    @modal.enter(snap=False)
    def use(self) -> None:
        self.opened.use()

    @modal.method()
    def shard(
        self, lines: list[str], decode: str, truncate: bool = False, assistant: str = "", full: bool = False
    ) -> list[dict[str, Any]]:
        """An answer for each line; see core.decode.answers. Raises UserError for what no line can be decoded with."""
        if len(lines) > MOST_LINES:
            raise TextError(f"A shard may have {MOST_LINES:,} lines, not {len(lines):,}: cut the file into more.")
        run, config = self.opened.current(), settings(decode)
        return answers(run, lines, config, truncate, self._assistant(assistant), full, _rows(run))

    @modal.method()
    def stream(self, text: str, decodes: list[str], assistant: str = "") -> Iterator[dict[str, Any]]:
        """Decode a text with several settings side by side, a step each in turn, with traces.

        First {"call": its id}. Then messages {"events": [...]}, one every 50 ms, of [column, seconds that the column
        took so far, an event as core.decode.plain packs it] or [column, seconds, {"error": a sentence}].
        """
        from core.decode import stream as decode_stream
        from core.decode.plain import Packer
        from core.decode.scoring import rescored

        yield {"call": modal.current_function_call_id() or ""}
        if len(text) > LONGEST:
            raise TextError(f"The text has {len(text):,} characters; {LONGEST:,} are the most: shorten it.")
        if len(decodes) > MOST_COLUMNS:
            raise ConfigError(f"A stream may have {MOST_COLUMNS} columns, not {len(decodes)}.")
        run = self.opened.current()

        def events(decode: str) -> Iterator[Any]:
            config = settings(decode)
            helper = self._assistant(assistant) if config.strategy == "assisted" else None
            for event in decode_stream(run, text, config, trace=True, assistant=helper):
                done = event.generation
                yield event if done is None else replace(event, generation=rescored(run, done))

        going = {column: (events(decode), Packer()) for column, decode in enumerate(decodes)}
        seconds = [0.0] * len(decodes)
        held: list[list[Any]] = []
        sent = time.monotonic()
        while going:
            for column, (stream, packer) in list(going.items()):
                began = time.perf_counter()
                try:
                    event = next(stream, None)
                except UserError as error:  # of this column; the others go on
                    held.append([column, seconds[column], {"error": str(error)}])
                    event = None
                seconds[column] += time.perf_counter() - began
                if event is None:
                    del going[column]
                else:
                    held.append([column, seconds[column], packer.pack(event)])
            if held and (not going or time.monotonic() - sent > MESSAGE_EVERY):
                yield {"events": held}
                held, sent = [], time.monotonic()

    @modal.method()
    def evaluation(
        self,
        request: str,
        items: list[Any] | None = None,
        done: Sequence[int] = (),
        assistant: str = "",
        losses: bytes = b"",
    ) -> Iterator[dict[str, Any]]:
        """The messages of core.evaluate.work as plain values, for remote.decoding.evaluating.

        request: JSON of a core.evaluate.request.Request. items: [source, reference] each, or documents; else the
        validation split of the run's own data, which must be within reach from here. done: numbers of pairs that need
        no translation. losses: of the first tokens of a language model's text, float32. First {"call": its id}, last
        {"end": True}.
        """
        from remote.decoding.telling import asked, evaluation_messages

        yield {"call": modal.current_function_call_id() or ""}
        run = self.opened.current()
        wanted, found = asked(run, request, items)
        yield from evaluation_messages(run, wanted, found, done, self._assistant(assistant), losses)
        yield {"end": True}

    @modal.method()
    def continuations(self, request: str, items: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """What a language model writes behind prompts from the documents: see remote.decoding.continuing. Parameters
        as those of `evaluation`; first {"call": its id}, last {"end": True}."""
        from remote.decoding.continuing import continuation_messages
        from remote.decoding.telling import asked

        yield {"call": modal.current_function_call_id() or ""}
        run = self.opened.current()
        yield from continuation_messages(run, *asked(run, request, items))
        yield {"end": True}

    def _assistant(self, name: str) -> Run | None:
        if not name:
            return None
        if name not in self.assistants:
            self.assistants[name] = Opened(name)
        return self.assistants[name].current()


def _rows(run: Run) -> int:
    from core.decode.search import BATCH_ROWS

    return GPU_ROWS if run.model.device.type == "cuda" else BATCH_ROWS


class Opened:
    """A run as a container holds it: read on the CPU, moved to the GPU if there is one, read again when the Volume has
    another. A run that cannot be opened says so when it is used: a container that cannot start says nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._run: Run | None = None
        self._stamp: tuple = ()
        self._looked = self._used = 0.0
        self._problem: UserError | None = None
        self._read()

    def use(self) -> None:
        """Bring the run up to date, and to where it is to compute. The memory that this begins with may be old."""
        reload()
        self._looked = time.monotonic()
        if self._run is None or self._stamp != self._stamp_now():
            self._read()
        if self._run is not None:
            self._run.use("auto")

    def current(self) -> Run:
        """The run, ready to compute. UserError if there is none."""
        if time.monotonic() - self._looked > LOOK_EVERY or self._problem is not None:
            self.use()
        if self._run is None:
            raise self._problem or ConfigError(f"The run {self.name} could not be opened.")
        return self._run

    def _read(self) -> None:
        # Nothing here asks whether there is a GPU: PyTorch would keep the answer in the snapshot.
        self._run, self._problem = None, None
        self._stamp = self._stamp_now()
        try:
            run = load(self.name, names.RUNS)
            run.model  # noqa: B018 - read from disk now
        except UserError as error:
            self._problem = error
        else:
            self._run = run

    def _stamp_now(self) -> tuple:
        """Equal as long as the run's files are the same."""
        try:
            directory = find_run(self.name, names.RUNS)
        except UserError:
            return ()
        return tuple(sorted(_stat(path) for path in directory.iterdir() if path.suffix in SUFFIXES))


SUFFIXES = (".safetensors", ".json", ".txt", ".spm")  # weights, settings, vocabularies


def _stat(path: Path) -> tuple:
    if path.name in ("status.json", "scores.json"):  # change, and change nothing here
        return (path.name,)
    stat = path.stat()
    return path.name, stat.st_mtime_ns, stat.st_size
