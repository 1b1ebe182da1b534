"""How a call ended, from all that Modal's library can raise for it."""

import modal
import pytest
from modal import exception as m

from remote import calls
from remote.calls import CloudFeed, outcome
from remote.link import CloudError, Refused


@pytest.fixture
def gets(monkeypatch):
    """What `FunctionCall.get` does."""
    monkeypatch.setenv("MODAL_TOKEN_ID", "ak-x")
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-x")

    def set_to(act):
        class Call:
            @staticmethod
            def from_id(call_id):
                return Call()

            def get(self, timeout):
                if isinstance(act, BaseException):
                    raise act
                return act

        monkeypatch.setattr(modal, "FunctionCall", Call)

    return set_to


@pytest.mark.parametrize(
    "act, state, words",
    [
        ({"state": "done"}, "done", ""),
        (TimeoutError(), "pending", ""),
        (TimeoutError(110, "Connection timed out"), "failed", "timed out"),  # raised by the function
        (m.OutputExpiredError(), "forgotten", ""),
        (m.NotFoundError("no such call"), "forgotten", ""),
        (m.InputCancellation(), "cancelled", ""),
        (m.RemoteError(""), "cancelled", ""),
        (m.RemoteError("Input was cancelled by user"), "cancelled", ""),
        (m.RemoteError("Function call terminated"), "cancelled", ""),
        (m.RemoteError("Runner terminated by signal 9"), "failed", "signal 9"),
        (m.RemoteError("cannot cancel what has ended"), "failed", "cannot cancel"),
        (m.FunctionTimeoutError(""), "failed", "time limit"),
        (m.InternalFailure("worker lost"), "failed", "resume it"),
        (m.ExecutionError("cannot be unpickled"), "failed", "resume it"),
        (RuntimeError("of the function"), "failed", "RuntimeError: of the function"),
    ],
)
def test_how_a_call_stands(act, state, words, gets):
    gets(act)
    found = outcome("fc-1")
    assert found.state == state and words in found.error


@pytest.mark.parametrize(
    "error, kind",
    [(m.ConnectionError("x"), CloudError), (m.AuthError("x"), Refused), (m.ServiceError("x"), CloudError)],
)
def test_what_says_nothing_of_the_call(error, kind, gets):
    gets(error)
    with pytest.raises(kind):
        outcome("fc-1")


def test_a_name_is_claimed_once(modal_server):
    feed = CloudFeed()
    assert feed.claim("x/owner", {"number": "a"}) and not feed.claim("x/owner", {"number": "b"})
    assert feed.get("x/owner") == {"number": "a"}
    feed.drop("x/owner")
    feed.drop("x/owner")
    assert feed.claim("x/owner", {"number": "b"})
    assert calls.read_note("nothing") == {} and not calls.is_on_volume("my-app")
