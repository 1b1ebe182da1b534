"""What is being worked on for each page, so that the page can stop it, and a newer request ends an older one."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Protocol, TypeVar

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

    def leave(self, about: Hashable = None) -> None:
        """The page that asks shows something about `about` now: its job about anything else ends, and is not shown."""
        with self._lock:
            job = self._jobs.get(page_of(LocalContext.request.get(None)))
        if isinstance(job, Asked) and job.about != about:
            job.leave()


def page_of(request: gr.Request | None) -> str:
    return str(getattr(request, "session_hash", None) or "")


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
