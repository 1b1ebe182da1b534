"""What is being worked on for each page, so that the page can stop it, and a newer request ends an older one."""

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Protocol, TypeVar

import gradio as gr
from gradio.context import LocalContext


class Stoppable(Protocol):
    def stop(self) -> None: ...


J = TypeVar("J", bound=Stoppable)


class Running:
    """One job a page."""

    def __init__(self) -> None:
        self._jobs: dict[str, Stoppable] = {}
        self._lock = Lock()

    @contextmanager
    def as_job(self, job: J, request: gr.Request | None) -> Iterator[J]:
        """While the job is at work, `stop` of the same page stops it."""
        page = page_of(request)
        with self._lock:
            older, self._jobs[page] = self._jobs.get(page), job
        if older is not None:
            older.stop()
        try:
            yield job
        finally:
            with self._lock:
                if self._jobs.get(page) is job:
                    del self._jobs[page]

    def stop(self, request: gr.Request | None) -> None:
        with self._lock:
            job = self._jobs.get(page_of(request))
        if job is not None:
            job.stop()

    def is_newest(self, job: Stoppable, request: gr.Request | None) -> bool:
        """Whether the page has asked for nothing else since. What was stopped for that has nothing more to say."""
        with self._lock:
            return self._jobs.get(page_of(request)) is job

    def is_busy(self, request: gr.Request | None) -> bool:
        """Whether the page has a job that is at work."""
        with self._lock:
            return page_of(request) in self._jobs

    def leave(self, about: Hashable = None) -> None:
        """The page that asks shows something about `about` now: its job about anything else ends, and is not shown."""
        with self._lock:
            job = self._jobs.get(page_of(LocalContext.request.get(None)))
        if isinstance(job, Asked) and job.about != about:
            job.leave()


def page_of(request: gr.Request | None) -> str:
    return str(getattr(request, "session_hash", None) or "")


PAGES = 1_000  # that are remembered
# The last of an event's inputs becomes the time on the page's clock: milliseconds since the page was opened.
MOMENT = "(...given) => [...given.slice(0, -1), performance.now()]"


class Latest:
    """What each page has opened last, by its own clock: requests of different events may be begun here in any order.

    >>> latest = Latest()
    >>> latest.is_latest("page", "Text", 20.0), latest.is_latest("page", "Measure", 10.0)
    (True, False)
    """

    def __init__(self) -> None:
        self._last: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._lock = Lock()

    def is_latest(self, page: str, name: str, moment: Any) -> bool:
        """Whether the page has opened nothing since. Without a moment it is what the page opens now."""
        with self._lock:
            when, _ = self._last.get(page, (-math.inf, ""))
            known = isinstance(moment, (int, float)) and math.isfinite(moment)
            if known and moment < when:
                return False
            self._last[page] = (float(moment) if known else when, name)
            self._last.move_to_end(page)
            while len(self._last) > PAGES:
                self._last.popitem(last=False)
            return True

    def after(self, page: str, moment: Any) -> str | None:
        """The name of what the page has opened later than at this moment; None if it has not."""
        with self._lock:
            when, name = self._last.get(page, (-math.inf, ""))
            known = isinstance(moment, (int, float)) and math.isfinite(moment)
            return name if known and when > moment else None

    def last(self, page: str) -> str:
        """The name of what it has opened last."""
        with self._lock:
            return self._last.get(page, (0.0, ""))[1]


class Asked:
    """A job that only notes that it is to stop: whoever works looks now and then.

    about: what it works on, for `Running.leave`. left: the page shows something else by now, so the job shows nothing.
    """

    def __init__(self, about: Hashable = None) -> None:
        self.about = about
        self.stopped = self.left = False

    def stop(self) -> None:
        self.stopped = True

    def leave(self) -> None:
        self.stopped = self.left = True
