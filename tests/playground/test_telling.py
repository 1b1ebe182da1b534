"""Work in a thread that says what it does."""

import threading

import pytest

from core.errors import RunError
from playground.site import PUBLIC, here, on
from playground.telling import Work


def test_it_says_what_it_does_while_it_does_it_and_ends_with_a_result_or_an_error():
    go_on = threading.Event()

    def act(say):
        say("sending: 1 of 2 MB")
        assert go_on.wait(20)
        say("sending: 2 of 2 MB")
        return "sent"

    work = Work(act)
    said = iter(work)
    assert next(said) == "sending: 1 of 2 MB"  # it is not done yet
    go_on.set()
    assert list(said) == ["sending: 2 of 2 MB"] and work.result() == "sent"

    def fail(say):
        raise RunError("There is already a run.")

    work = Work(fail)
    assert list(work) == []
    with pytest.raises(RunError, match="already a run"):
        work.result()


def test_what_is_checked_of_the_site_of_an_event_holds_in_the_thread():
    with on(PUBLIC):
        work = Work(lambda say: here())
        assert list(work) == [] and work.result() is PUBLIC
