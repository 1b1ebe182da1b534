"""What every event of a hosted page goes through: limits, and errors that tell the log nothing of what was typed.

Endpoints can be called by anybody with any values, with or without the page; so what the page does not offer is
refused here once more.
"""

import functools
import inspect
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from core.errors import TextError, UserError
from playground.blocks import PageBlocks
from playground.site import Site, on, visitor

SESSIONS = 200  # pages that are remembered; the oldest are forgotten
UNREAD = 40  # answers that wait for a page to fetch them
WENT_WRONG = "That did not work, because of a mistake in this program. Try something else, or load the page again."
OUT_OF_DATE = "This page does not offer that, or not any more: load it again."
logger = logging.getLogger("llm_scratch.guard")


class HostedBlocks(PageBlocks):
    """A page whose values are looked at before Gradio does anything with them.

    To Gradio some dictionaries are files, which it would copy from wherever they are said to be.
    """

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *given: Any, **named: Any) -> Any:
        for component, value in zip(block_fn.inputs, inputs):
            if not may_be(value, isinstance(component, gr.File)):
                raise gr.Error(OUT_OF_DATE, print_exception=False)
        try:
            return await super().preprocess_data(block_fn, inputs, *given, **named)
        except Exception as error:  # a choice that is not offered (any more), a number out of its bounds
            logger.info("a value was refused: %s", type(error).__name__)
            raise gr.Error(OUT_OF_DATE, print_exception=False) from None


def may_be(value: Any, file: bool) -> bool:
    """Whether a value can have come from the page: plain values and lists of them, or uploaded files."""
    if isinstance(value, list):
        return all(may_be(part, file) for part in value)
    if isinstance(value, dict):
        return file and not str(value.get("path") or "").lower().startswith(("http:", "https:"))
    return True


def guard(demo: gr.Blocks, site: Site) -> None:
    """Put the guard around a page that has been built, and its queue."""
    # Gradio lets only what was uploaded pass for an upload if the page was launched; one that is mounted never is.
    demo.has_launched = True
    demo.state_session_capacity = demo._queue.pending_messages_per_session.max_size = SESSIONS
    at_work = Guard(demo, site)
    for event in demo.fns.values():
        if event.fn is None:  # a script of the page
            continue
        event.fn = at_work.stream(event.fn) if inspect.isgeneratorfunction(event.fn) else at_work.call(event.fn)
        if event.concurrency_limit is None:
            event.concurrency_limit = site.streams


class Guard:
    """Wraps the handlers of a page's events. A visitor is an address, as pages can be opened at will."""

    def __init__(self, demo: gr.Blocks, site: Site) -> None:
        self.demo, self.site = demo, site
        self.streams: Counter[str] = Counter()  # of each visitor, at the moment
        self.lock = threading.Lock()

    def call(self, act: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(act)
        def guarded(*values: Any, **named: Any) -> Any:
            with _explained(), on(self.site):
                self._check([values, named])
                return act(*values, **named)

        return guarded

    def stream(self, act: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(act)
        def guarded(*values: Any, **named: Any) -> Iterator[Any]:
            with _explained():
                self._check([values, named])
                client = getattr(LocalContext.request.get(None), "client", None)
                with self._one_more(visitor(getattr(client, "host", None))):
                    yield from limited(act(*values, **named), self.site)

        return guarded

    def _check(self, values: Any) -> None:
        check_size(values, self.site.characters)
        page = getattr(LocalContext.request.get(None), "session_hash", None)
        if len(self.demo._queue.pending_event_ids_session.get(page or "", ())) > UNREAD:
            raise TextError("Too much is being asked for at once: load the page again.")

    @contextmanager
    def _one_more(self, who: str) -> Iterator[None]:
        """TextError if the visitor has as many streams as one may have."""
        with self.lock:
            if self.site.streams_each is not None and self.streams[who] >= self.site.streams_each:
                raise TextError("Too much is being written for you at once: wait until something is done.")
            self.streams[who] += 1
        try:
            yield
        finally:
            with self.lock:
                self.streams[who] -= 1
                self.streams += Counter()  # forgets who has none


def limited(steps: Generator[Any, None, None], site: Site) -> Iterator[Any]:
    """The steps of a stream until its time is over. Then the stream is told, and says so in its own way.

    A step may run in another thread than the one before: the site is said anew for each.
    """
    end = time.monotonic() + (site.seconds or float("inf"))
    try:
        while time.monotonic() < end:
            with on(site):
                try:
                    step = next(steps)
                except StopIteration:
                    return
            yield step
        over = TextError(f"Stopped after {site.seconds:.0f} seconds, which is as long as this page works on one thing.")
        with on(site):
            try:
                step = steps.throw(over)
            except StopIteration:
                return
        yield step
    finally:
        steps.close()


def check_size(value: Any, most: int) -> None:
    """TextError if a text somewhere in the value is longer than `most` characters."""
    if isinstance(value, str):
        if len(value) > most:
            raise TextError(f"The text has {len(value):,} characters; this page takes up to {most:,}. Shorten it.")
    elif isinstance(value, (list, tuple)):
        for part in value:
            check_size(part, most)
    elif isinstance(value, dict):
        for part in (*value, *value.values()):
            check_size(part, most)


@contextmanager
def _explained() -> Iterator[None]:
    """An error for the visitor. Whatever else it is, only its kind and its place go to the log."""
    try:
        yield
    except gr.Error as error:
        raise gr.Error(error.message, print_exception=False) from None
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from None
    except Exception as error:
        logger.error("an error in an event", exc_info=error)
        raise gr.Error(WENT_WRONG, print_exception=False) from None
