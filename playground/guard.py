"""What every event of a hosted page goes through: limits, and errors that tell the log nothing of what was typed.

Endpoints can be called by anybody with any values, with or without the page; so what the page does not offer is
refused here once more.
"""

import functools
import inspect
import ipaddress
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
from playground.site import Site, on

WENT_WRONG = "That did not work, because of a mistake in this program. Try something else, or load the page again."
logger = logging.getLogger("llm_scratch.guard")


def guard(demo: gr.Blocks, site: Site) -> None:
    """Put the guard around all events of a page that has been built."""
    busy = Streams(site)
    for event in demo.fns.values():
        if event.fn is None:  # a script of the page
            continue
        streams = inspect.isgeneratorfunction(event.fn)
        event.fn = _stream(event.fn, site, busy) if streams else _call(event.fn, site)
        if event.concurrency_limit is None:
            event.concurrency_limit = site.streams


class Streams:
    """Which visitor has how many streams. A visitor is an address, as pages can be opened at will."""

    def __init__(self, site: Site) -> None:
        self.most = site.streams_each
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()

    @contextmanager
    def one_more(self, who: str) -> Iterator[None]:
        """TextError if the visitor has as many as one may have."""
        with self.lock:
            if self.most is not None and self.counts[who] >= self.most:
                raise TextError("Too much is being written for you at once: wait until something is done.")
            self.counts[who] += 1
        try:
            yield
        finally:
            with self.lock:
                self.counts[who] -= 1
                self.counts += Counter()  # forgets who has none


def visitor(host: str | None) -> str:
    """The address that counts as one visitor: of IPv6 the network, since whoever has one has all of its addresses."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host or ""
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


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


def _call(act: Callable[..., Any], site: Site) -> Callable[..., Any]:
    @functools.wraps(act)
    def call(*values: Any, **named: Any) -> Any:
        with _explained(), on(site):
            check_size([values, named], site.characters)
            return act(*values, **named)

    return call


def _stream(act: Callable[..., Any], site: Site, busy: Streams) -> Callable[..., Any]:
    @functools.wraps(act)
    def stream(*values: Any, **named: Any) -> Iterator[Any]:
        with _explained():
            check_size([values, named], site.characters)
            request = LocalContext.request.get(None)
            client = getattr(request, "client", None)
            with busy.one_more(visitor(getattr(client, "host", None))):
                yield from _limited(act(*values, **named), site)

    return stream


def _limited(steps: Generator[Any, None, None], site: Site) -> Iterator[Any]:
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
        logger.error("%s in an event", type(error).__name__, exc_info=error)
        raise gr.Error(WENT_WRONG, print_exception=False) from None
