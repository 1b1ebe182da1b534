"""The guard around the events of a hosted page."""

from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.context import LocalContext

from core.errors import RunError, TextError
from playground import guard as guards
from playground.guard import WENT_WRONG, Guard, check_size, limited, may_be
from playground.site import PUBLIC, here

PAGE = "page-1"


@pytest.fixture
def asked():
    """As if an event of a page was running."""
    request = SimpleNamespace(client=SimpleNamespace(host="192.0.2.1"), session_hash=PAGE)
    token = LocalContext.request.set(request)
    yield request
    LocalContext.request.reset(token)


def at_work(site=PUBLIC, pending=()):
    return Guard(SimpleNamespace(_queue=SimpleNamespace(pending_event_ids_session={PAGE: pending})), site)


def test_a_handler_knows_its_site_and_nobody_else_does(asked):
    def act(text):
        return here(), text

    def steps():
        yield here()
        yield here()

    guarded = at_work().stream(steps)()
    assert next(guarded) is PUBLIC
    assert here() is not PUBLIC  # between two steps
    assert next(guarded) is PUBLIC
    assert at_work().call(act)("x") == (PUBLIC, "x")
    assert here() is not PUBLIC


def test_what_goes_wrong_is_said_without_what_was_typed(asked, caplog):
    def broken(text):
        raise ValueError(text)

    def refused(text):
        raise RunError(f"no {text}")

    with pytest.raises(gr.Error) as told:
        at_work().call(broken)("secret")
    assert told.value.message == WENT_WRONG and not told.value.print_exception
    with pytest.raises(gr.Error) as told:
        at_work().call(refused)("secret")
    assert told.value.message == "no secret" and not told.value.print_exception
    assert [record.getMessage() for record in caplog.records] == ["an error in an event"]


def test_a_long_text_is_refused_wherever_it_is(asked):
    called = []
    guarded = at_work(replace(PUBLIC, characters=5)).call(lambda *values: called.append(values))
    for value in ("x" * 6, ["a", ["x" * 6]], {"x" * 6: 1}, {"a": "x" * 6}, ("x" * 6,)):
        with pytest.raises(gr.Error, match="up to 5"):
            guarded("fine", value)
    guarded("x" * 5, ["x" * 5], 10**9, None)
    assert len(called) == 1
    check_size({"a": [1, None, "x"]}, 1)


def test_only_an_upload_can_be_a_file():
    file = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    assert not may_be(file, False) and not may_be([[file]], False)
    assert may_be(file, True) and may_be([file], True)
    assert not may_be({"path": "HTTP://example.org/"}, True)
    assert all(may_be(value, False) for value in ("x", 1, None, True, ["a", 1], []))


def test_a_stream_ends_in_its_own_way_when_its_time_is_over(asked, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(guards.time, "monotonic", lambda: now[0])
    closed = []

    def steps():
        try:
            while True:
                now[0] += 1
                yield now[0]
        except TextError as error:
            yield str(error)
        finally:
            closed.append(True)

    assert list(limited(steps(), replace(PUBLIC, seconds=3.0))) == [
        1, 2, 3, "Stopped after 3 seconds, which is as long as this page works on one thing.",
    ]  # fmt: skip
    assert closed == [True]

    def deaf():
        while True:
            now[0] += 1
            yield now[0]

    with pytest.raises(gr.Error, match="Stopped after 3 seconds"):
        list(at_work(replace(PUBLIC, seconds=3.0)).stream(deaf)())


def test_a_stream_that_is_left_is_closed(asked):
    closed = []

    def steps():
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    work = at_work()
    guarded = work.stream(steps)()
    next(guarded)
    assert work.streams == {"192.0.2.1": 1}
    guarded.close()
    assert closed == [True] and not work.streams


def test_one_visitor_cannot_take_all_streams(asked):
    def steps():
        yield 1

    work = at_work(replace(PUBLIC, streams_each=2))
    begun = [work.stream(steps)() for _ in range(3)]
    assert next(begun[0]) == next(begun[1]) == 1
    with pytest.raises(gr.Error, match="at once"):
        next(begun[2])
    asked.client.host = "192.0.2.2"
    assert next(work.stream(steps)()) == 1
    assert list(begun[0]) == []
    asked.client.host = "192.0.2.1"
    assert list(work.stream(steps)()) == [1]


def test_who_fetches_no_answers_gets_no_more(asked):
    called = []
    with pytest.raises(gr.Error, match="load the page again"):
        at_work(pending=range(guards.UNREAD + 1)).call(lambda: called.append(1))()
    at_work(pending=range(guards.UNREAD)).call(lambda: called.append(2))()
    assert called == [2]
