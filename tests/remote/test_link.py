"""Every way in which Modal can fail to answer is one sentence, in time."""

import os
import threading
import time

import grpclib
import pytest
from modal import exception as m

from core.errors import UserError
from remote import link
from remote.link import (
    CallFailed,
    CloudError,
    NoAnswer,
    NotDeployed,
    NotThere,
    Refused,
    ask,
    ask_each,
    explained,
    is_signed_in,
)


@pytest.fixture(autouse=True)
def signed_in(monkeypatch):
    monkeypatch.setenv("MODAL_TOKEN_ID", "ak-x")
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-x")


@pytest.mark.parametrize(
    "error, kind, words",
    [
        (m.AuthError("Token ID is malformed"), Refused, "modal setup"),
        (m.NotFoundError("App 'llm-scratch' not found in environment 'main'"), NotDeployed, "llm-scratch deploy"),
        (m.NotFoundError("Lookup failed for Function 'train_run' from the 'llm-scratch' app"), NotDeployed, "deploy"),
        (m.NotFoundError("No such file or directory: runs/x/config.json"), NotThere, "The run x is not there"),
        (FileNotFoundError("runs/x"), NotThere, "The run x is not there"),
        (m.PermissionDeniedError("no"), Refused, "does not allow this (no)"),
        (m.ResourceExhaustedError("GPU quota of 8 is used"), Refused, "limit for this account"),
        (m.FunctionTimeoutError(""), CallFailed, "time limit"),
        (m.OutputExpiredError(), NotThere, "seven days"),
        (m.VersionError("2.0 is needed"), Refused, "another version"),
        (m.RemoteError("it broke\nin line 3"), CallFailed, "It failed on Modal: it broke"),
        (m.ConnectionError("Deadline exceeded"), CloudError, "cannot be reached"),
        (ConnectionRefusedError(111, "refused"), CloudError, "cannot be reached"),
        (m.InternalFailure("x"), CloudError, "cannot be reached"),
        (TimeoutError(), CloudError, "did not answer in time"),
        (m.TimeoutError(), CloudError, "did not answer in time"),
        (m.InvalidError("not so"), Refused, "Modal refused: not so"),
        (grpclib.exceptions.StreamTerminatedError("Connection lost"), CloudError, "connection to Modal broke"),
    ],
)
def test_what_an_error_means(error, kind, words):
    said = explained(error, "The run x")
    assert type(said) is kind and words in str(said)
    assert "\n" not in str(said) and str(said).endswith(".")

    def act():
        raise error

    with pytest.raises(kind):
        ask(act, "The run x")
    with pytest.raises(kind):
        list(ask_each(act, "The run x"))


def test_what_is_no_error_of_modal_is_raised_as_it_is():
    for error in (UserError("a sentence"), KeyError("a bug"), NoAnswer("in vain")):
        with pytest.raises(type(error)):
            ask(lambda error=error: (_ for _ in ()).throw(error))


def test_nobody_waits_longer_than_that():
    began, free = time.monotonic(), threading.Event()
    with pytest.raises(NoAnswer, match="0 seconds"):
        ask(free.wait, seconds=0.2)
    assert time.monotonic() - began < 5
    free.set()
    assert ask(lambda: 3) == 3


def test_a_stream_that_stops_coming():
    free = threading.Event()

    def items():
        yield 1
        yield 2
        free.wait(10)
        yield 3

    found = []
    with pytest.raises(NoAnswer):
        for item in ask_each(items, seconds=0.3):
            found.append(item)
    assert found == [1, 2]
    free.set()
    assert list(ask_each(lambda: range(1000))) == list(range(1000))


def test_a_stream_that_nobody_wants_any_more_ends():
    made, ended = [], threading.Event()

    def items():
        try:
            for number in range(10**9):
                made.append(number)
                yield number
        finally:
            ended.set()

    stream = ask_each(items)
    assert next(stream) == 0
    stream.close()
    assert ended.wait(10) and len(made) < 10_000


def test_signed_in_or_not(monkeypatch, tmp_path):
    assert is_signed_in()
    monkeypatch.delenv("MODAL_TOKEN_ID")
    monkeypatch.delenv("MODAL_TOKEN_SECRET")
    from modal import config

    monkeypatch.setattr(config, "_user_config", {})
    assert not is_signed_in()
    with pytest.raises(CloudError, match="modal setup"):
        ask(lambda: 1)
    with pytest.raises(CloudError, match="modal setup"):
        next(ask_each(lambda: [1]))
    monkeypatch.setenv("MODAL_IS_REMOTE", "1")  # a container acts for its account
    assert is_signed_in()


def test_modal_is_not_imported_before_it_is_asked():
    import subprocess
    import sys

    code = "import sys, remote.client; print([n for n in ('modal', 'torch', 'gradio', 'grpclib') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]" and link.SECONDS == 10
