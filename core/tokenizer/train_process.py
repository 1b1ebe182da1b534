"""Train a tokenizer in a process of its own, watched: it can be stopped, has a time limit, and tells its merges.

python -m core.tokenizer.train_process < job.json      what is run: one event a line, as JSON

>>> with TokenizerTraining(TrainingJob(TrainingRequest(vocab_size=300), text="a rose is a rose")) as training:
...     events = list(training.events())
>>> events[-1].phase, events[-1].vocab_size
('done', 266)
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.child import environment
from core.errors import ConfigError, RunError, UserError
from core.run import default_runs_dir
from core.strict import from_dict
from core.tokenizer.bpe_train import Merge
from core.tokenizer.own import check_tokenizer_name, save_own, tokenizers_dir
from core.tokenizer.training import TrainingRequest, train_by_request
from core.tokenizer.training_texts import texts_of

LIMIT = 600.0  # seconds
MAX_BYTES = 200_000_000  # of text that is read: far more than a vocabulary changes with
TICK = 0.05  # seconds between the events of merges

Phase = Literal["reading", "counting", "merging", "training", "done", "failed"]


@dataclass(frozen=True)
class TrainingJob:
    """What to train, on which texts, and under which name to keep it ("": it is not kept, only its file is told).

    One of the three: text (typed), file (of this machine), data (builtin:enja, builtin:pydocs, or a data set's name on
    the hub); column: of a table with several ("": its text column).
    """

    request: TrainingRequest = field(default_factory=TrainingRequest)
    text: str = ""
    file: str = ""
    data: str = ""
    configuration: str = ""  # of a hub data set
    column: str = ""
    name: str = ""
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        if sum(map(bool, (self.text, self.file, self.data))) != 1:
            raise ConfigError("Give one thing to train on: a typed text, a file or a data set.")
        if self.name:
            check_tokenizer_name(self.name)

    @property
    def description(self) -> str:
        """What is trained on, in a few words."""
        if self.text:
            return f"{len(self.text):,} typed characters"
        return Path(self.file).name if self.file else " ".join(filter(None, [self.data, self.configuration]))


@dataclass(frozen=True)
class FormedMerge:
    """A merge as it was learned: its rank (from 0), the two tokens that became one, and how often they stood so."""

    rank: int
    left: bytes
    right: bytes
    count: int

    @property
    def merged(self) -> bytes:
        return self.left + self.right


@dataclass(frozen=True)
class Event:
    """How far it is. Every merge is in exactly one event."""

    phase: Phase
    text: str = ""  # a sentence: what happens, what was done, or why not
    done: int = 0  # merges
    total: int = 0
    merges: tuple[FormedMerge, ...] = ()
    name: str = ""  # done: the own tokenizer's name ...
    path: str = ""  # ... or the tokenizer.json, when no name was given
    vocab_size: int = 0
    seconds: float = 0.0


class TokenizerTraining:
    """A training that runs. As a context it ends its process, however it is left. UserError if it cannot be started."""

    def __init__(self, job: TrainingJob, runs_dir: Path | None = None, limit: float = LIMIT) -> None:
        self.job, self.limit, self.began = job, limit, time.monotonic()
        runs_dir = runs_dir or default_runs_dir()
        if job.name and (tokenizers_dir(runs_dir) / job.name).exists():
            raise RunError(f"There is a tokenizer {job.name!r} already; choose another name or delete it first.")
        self.stopped = False
        self.folder = tempfile.TemporaryDirectory(prefix="tokenizer-")  # of the result without a name
        self.noise = tempfile.TemporaryFile()
        values = dataclasses.asdict(job) | {"request": job.request.to_values()}
        question = {"job": values, "limit": limit, "folder": self.folder.name, "runs_dir": str(runs_dir.absolute())}
        # A file, not a pipe: a pipe would fill while nobody reads it yet.
        with tempfile.TemporaryFile() as asked:
            asked.write(json.dumps(question).encode())
            asked.seek(0)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "core.tokenizer.train_process"], stdin=asked, stdout=subprocess.PIPE,
                stderr=self.noise, env=environment(TOKENIZERS_PARALLELISM="true", RUST_BACKTRACE="0"),
            )  # fmt: skip

    def __enter__(self) -> "TokenizerTraining":
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.noise.close()
        self.folder.cleanup()

    def stop(self) -> None:
        """End it now; `events` then ends with a sentence. Nothing is kept."""
        if self.process.poll() is None:
            self.stopped = True
            self.process.kill()

    def events(self) -> Iterator[Event]:
        """Events as they come, the last one "done" or "failed". The result's file without a name is there only within
        the context."""
        watch = threading.Timer(max(0.0, self.limit + 10 - (time.monotonic() - self.began)), self.process.kill)
        watch.daemon = True  # the process ends by itself at its limit; this is for one that cannot
        watch.start()
        last: Event | None = None
        try:
            assert self.process.stdout is not None
            for line in self.process.stdout:
                try:
                    last = _read_event(line)
                except (ValueError, KeyError, TypeError):
                    continue  # no line of ours: what a package says
                yield last
        finally:
            watch.cancel()
        if last is None or last.phase not in ("done", "failed"):
            yield Event("failed", self._why(), seconds=time.monotonic() - self.began)

    def _why(self) -> str:
        if self.stopped:
            return "The training was stopped; nothing was kept."
        if time.monotonic() - self.began >= self.limit:
            return _too_long(self.limit)
        self.process.wait()
        if self.process.returncode == -9:
            return "The training was ended by the system, which was out of memory: give less text."
        self.noise.seek(0)
        said = self.noise.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        return f"The training failed: {(said or ['its process ended'])[0][:300]}."


def _too_long(limit: float) -> str:
    return f"The training took longer than {limit:g} s and was stopped: give less text, or ask for fewer tokens."


# --------------------------------------------------------------------------------------------------------- the process


def _read_event(line: bytes) -> Event:
    values = json.loads(line)
    merges = [FormedMerge(rank, bytes.fromhex(a), bytes.fromhex(b), n) for rank, a, b, n in values.pop("merges", [])]
    return Event(**values, merges=tuple(merges))


class _Teller:
    """Writes events, merges in batches."""

    def __init__(self) -> None:
        self.began = self.last = time.monotonic()
        self.merges: list[tuple[int, str, str, int]] = []
        self.reached = (0, 0)
        self.lock = threading.Lock()

    def say(self, phase: Phase, text: str = "", **more: Any) -> None:
        seconds = round(time.monotonic() - self.began, 3)
        with self.lock:
            sys.stdout.write(json.dumps({"phase": phase, "text": text, "seconds": seconds, **more}) + "\n")
            sys.stdout.flush()

    def merge(self, done: int, total: int, merge: Merge, count: int) -> None:
        self.merges.append((done - 1, merge[0].hex(), merge[1].hex(), count))
        self.reached = (done, total)
        if time.monotonic() - self.last >= TICK:
            self.flush()

    def flush(self) -> None:
        if self.merges:
            done, total = self.reached
            self.say("merging", f"Merge {done:,} of {total:,}", done=done, total=total, merges=self.merges)
            self.merges = []
        self.last = time.monotonic()


def main() -> None:
    question = json.load(sys.stdin)
    teller = _Teller()
    limit = float(question["limit"])

    def end() -> None:  # from a thread: the work may be in a call that cannot be interrupted
        teller.say("failed", _too_long(limit))
        os._exit(1)

    def end_with(parent: int) -> None:  # whoever asked was killed: nobody can stop this any more
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    clock = threading.Timer(limit, end)
    clock.daemon = True
    clock.start()
    threading.Thread(target=end_with, args=[os.getppid()], daemon=True).start()
    try:
        job = from_dict(TrainingJob, question["job"])
        _train(job, teller, Path(question["runs_dir"]), Path(question["folder"]))
    except UserError as error:
        teller.say("failed", str(error))
    except MemoryError:
        teller.say("failed", "The memory is full: give less text.")
    clock.cancel()


def _train(job: TrainingJob, teller: _Teller, runs_dir: Path, folder: Path) -> None:
    teller.say("reading", f"Reading {job.description}")
    texts, left_out = texts_of(job)
    characters = sum(map(len, texts))
    note = f"; {left_out}" if left_out else ""
    teller.say("counting", f"Counting the pieces of {characters:,} characters{note}")
    ours = job.request.kind == "bpe" and job.request.engine == "ours"
    if not ours:
        words = {"bpe": "merges", "wordpiece": "pieces", "unigram": "pieces", "char": "characters"}[job.request.kind]
        teller.say("training", f"Learning {words} from {characters:,} characters{note}")
    tokenizer = train_by_request(job.request, texts, progress=teller.merge if ours else None)
    teller.flush()
    data = f"{job.description}, {characters:,} characters{note}"
    told = {"vocab_size": tokenizer.vocab_size}
    if job.name:
        about = {"how": "trained", "data": data, "request": job.request.to_values()}
        save_own(job.name, tokenizer, about, runs_dir)
        teller.say("done", f"{job.name} has {tokenizer.vocab_size:,} tokens{note}", name=job.name, **told)
    else:
        path = folder / "tokenizer.json"
        tokenizer.save(path)
        teller.say("done", f"{tokenizer.vocab_size:,} tokens{note}", path=str(path), **told)


if __name__ == "__main__":
    main()
