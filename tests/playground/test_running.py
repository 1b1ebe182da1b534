"""A page's job: stopped by the page, by a newer one, and when the page shows something else."""

from types import SimpleNamespace

import pytest
from gradio.context import LocalContext

from playground.running import PAGES, Asked, Latest, Running


@pytest.fixture
def asking():
    """asking(page): who asks from here on."""
    before = LocalContext.request.get(None)
    yield lambda page: LocalContext.request.set(SimpleNamespace(session_hash=page))
    LocalContext.request.set(before)


def test_a_job_is_left_when_its_page_shows_something_else(asking):
    running = Running()
    with running.as_job(Asked(("model", 1)), SimpleNamespace(session_hash="a")) as job:
        asking("b")
        running.leave(("model", 2))  # another page
        asking("a")
        running.leave(("model", 1))  # the same is shown again
        assert not job.stopped and not job.left
        running.leave(("model", 2))
        assert job.stopped and job.left
    running.leave()  # none is at work


def test_a_newer_job_and_the_page_stop_a_job_that_is_still_shown():
    running, page = Running(), SimpleNamespace(session_hash="a")
    with running.as_job(Asked(), page) as older, running.as_job(Asked(), page) as newer:
        assert older.stopped and not older.left and not newer.stopped
        running.stop(page)
        assert newer.stopped and not newer.left


def test_what_a_page_opened_last_is_open_whatever_is_begun_first():
    latest = Latest()
    assert latest.is_latest("a page", "Text", 20.5) and latest.last("a page") == "Text"
    assert not latest.is_latest("a page", "Measure", 20.0) and latest.last("a page") == "Text"
    assert latest.is_latest("another", "Measure", 1) and latest.last("a page") == "Text"
    for odd in (None, float("nan"), float("inf"), "now", [], 30):  # no moment: as it comes
        assert latest.is_latest("a page", "Compare", odd) and latest.last("a page") == "Compare"
    for number in range(PAGES):
        latest.is_latest(str(number), "Text", 1)
    assert latest.last("a page") == ""
