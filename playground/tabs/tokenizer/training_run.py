"""A training of the Train part: the form as a job, the merges as they form, the end of it."""

import time
from collections.abc import Iterator
from queue import Empty, Queue
from threading import Thread
from typing import Any

import gradio as gr

from core.errors import ConfigError, RunError, UserError
from core.tokenizer import load_tokenizer
from core.tokenizer.own import own_path, unused_tokenizer_name
from core.tokenizer.split import PATTERNS, check_pattern
from core.tokenizer.train_process import Event, TokenizerTraining, TrainingJob
from core.tokenizer.training import TrainingRequest
from playground.merges_watched import Watched
from playground.running import Running
from playground.site import here
from playground.tabs.tokenizer import own
from playground.tokenizers import Work
from playground.views.notice import notice
from playground.views.tokenizer_training import how_to_use, merges_html, sample_html, the_text

OWN_PATTERN = "own"
SHOWN = 2_000  # characters of the text that are cut in place
EVERY = 0.5  # seconds between two pictures
HOSTED = "Training a tokenizer is off on this hosted page: clone the repository and run it yourself."

_running = Running()


def chosen_pattern(pattern: str, own_pattern: str) -> str:
    """What the splitter is asked for. TextError if it cannot be; on a hosted page only those of the list."""
    if pattern in ("none", *PATTERNS):
        return pattern
    if pattern != OWN_PATTERN or here().is_hosted:
        raise ConfigError("Choose one of the patterns of the list.")
    check_pattern(own_pattern or "")
    return own_pattern


def job_of(
    work: Work, source: str, file: str | None, builtin: str, hub_name: str, column: str, kind: str,
    vocab_size: float | None, pattern: str, own_pattern: str, special: str, min_frequency: float | None, name: str,
) -> TrainingJob:  # fmt: skip
    """What the form describes. UserError if something is to be mended."""
    if here().is_hosted:
        raise RunError(HOSTED)
    if not name.strip():
        raise ConfigError("Give the tokenizer a name first.")
    if vocab_size is None:
        raise ConfigError("Say how many tokens the vocabulary may have.")
    bpe = kind in ("bpe", "bpe-fast")
    request = TrainingRequest.from_values(
        {
            "kind": "bpe" if bpe else kind,
            "engine": "tokenizers" if kind == "bpe-fast" else "ours",
            "vocab_size": int(vocab_size),
            "pattern": "gpt2" if kind == "wordpiece" else chosen_pattern(pattern, own_pattern),
            "special_tokens": special.split(),
            "min_frequency": int(min_frequency or 0),
        }
    )
    if source == "file" and not file:
        raise RunError("Upload a file first, or train on the text above.")
    if source == "hub" and not hub_name.strip():
        raise RunError("Name a data set of the Hugging Face hub first, such as org/name.")
    if source == "text" and not work.text:
        raise RunError("The text is empty: type something, or choose a file or a data set.")
    return TrainingJob(
        request,
        text=work.text if source == "text" else "",
        file=(file or "") if source == "file" else "",
        data=builtin if source == "builtin" else hub_name.strip() if source == "hub" else "",
        column=column.strip() if source in ("file", "hub") else "",
        name=name.strip(),
    )


def start_tokenizer(
    work: Work, source: str, file: str | None, builtin: str, hub_name: str, column: str, kind: str,
    vocab_size: float | None, pattern: str, own_pattern: str, special: str, min_frequency: float | None, name: str,
    request: gr.Request,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """Train, showing the merges as they form. Values for `TrainPart.shown`."""
    busy = [gr.update(visible=False), gr.update(visible=True), True]
    idle = [gr.update(visible=True), gr.update(visible=False), True]
    nothing = ["", gr.update(visible=False, value=None)]
    try:
        job = job_of(
            work, source, file, builtin, hub_name, column, kind, vocab_size, pattern, own_pattern, special,
            min_frequency, name,
        )  # fmt: skip
        watched = Watched(work.text, job.request.pattern)
        last: Event | None = None
        stopped = False  # by somebody; leaving the context ends the process too
        with TokenizerTraining(job) as training, _running.as_job(training, request):
            for last, seconds in _paced(training):
                said = f"{last.text if last else 'It is started'} … {seconds:.0f} s"
                if last is not None:
                    watched.add((m.rank, m.left, m.right, m.count) for m in last.merges)
                    watched.total = last.total or watched.total
                    if last.phase in ("done", "failed"):
                        stopped = training.stopped
                        break
                merges = merges_html(watched, "Merges as they form") if watched.merges else ""
                yield notice(said, "busy"), merges, *nothing, *busy, gr.skip(), gr.skip()
    except UserError as error:
        yield notice(str(error)), gr.skip(), *nothing, *idle[:2], gr.skip(), gr.skip(), gr.skip()
        return
    if last is None or last.phase != "done":
        said = notice(last.text if last else "The training failed.", "info" if stopped else "error")
        yield said, _merges(watched), *nothing, *idle, gr.skip(), gr.skip()
        return
    message = notice(f"{last.text}. It took {last.seconds:.1f} s.", "info")
    result = _merges(watched) or _cut_by(job.name, work.text)
    how = how_to_use(job.name, last.vocab_size)
    saved = gr.update(visible=True, value=own.tokenizer_file(job.name))
    yield message, result, how, saved, *idle, own.now(job.name), unused_tokenizer_name(job.name)


def stop_tokenizer(request: gr.Request) -> None:
    """Nothing is kept; the training says so itself."""
    _running.stop(request)


def _paced(training: TokenizerTraining) -> Iterator[tuple[Event | None, float]]:
    """The training's events, those that came together as one, at most every EVERY seconds; the last one again if
    there is none. With the seconds since the beginning."""
    queue: Queue[Event | None] = Queue()

    def listen() -> None:
        for event in training.events():
            queue.put(event)
        queue.put(None)

    Thread(target=listen, daemon=True).start()
    began = time.monotonic()
    last: Event | None = None
    while True:
        merges: list[Any] = []
        until = time.monotonic() + EVERY
        ended = False
        while not ended and (left := until - time.monotonic()) > 0:
            try:
                event = queue.get(timeout=left)
            except Empty:
                break
            if event is None:
                ended = True
            else:
                last = event
                merges += event.merges
                ended = event.phase in ("done", "failed")
        if last is not None:
            last = Event(**{**vars(last), "merges": tuple(merges)})
        yield last, time.monotonic() - began
        if ended:
            return


def _merges(watched: Watched) -> str:
    return merges_html(watched, "The merges, the last first") if watched.merges else ""


def _cut_by(name: str, text: str) -> str:
    """The text as a new tokenizer cuts it."""
    encoding = load_tokenizer(str(own_path(name))).encode(text[:SHOWN])
    return sample_html([[piece] for piece in encoding.pieces], f"by {name}", the_text(len(text), SHOWN))
