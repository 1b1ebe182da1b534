"""Asking Modal for something: within a time limit, and with one clear sentence for whatever goes wrong.

Every call to Modal's library goes through `ask`. The library waits and retries as a server would want it to; a person
at a page is told after ten seconds. modal is imported when something is asked for the first time.
"""

import builtins
import logging
import os
import threading
from collections.abc import Callable, Generator, Iterable
from queue import Empty, Queue
from typing import Any, TypeVar

from core.errors import UserError
from remote import names

SECONDS = 10.0  # that a person waits for an answer, or for the sentence why there is none
THREAD = "asking Modal"  # threads of this name may be left alone with a call that hangs: see playground.cli.run
T = TypeVar("T")


class CloudError(UserError):
    """Modal cannot be reached, refuses, or has failed: one sentence that says what to do."""


class NoAnswer(CloudError):
    """Nothing was heard in time: whether what was asked for is being done is not known."""


class Refused(CloudError):
    """Modal has said no: nothing of what was asked for is being done."""


class NotDeployed(Refused):
    """The app is not there yet, or an old one is."""


class CallFailed(CloudError):
    """The function itself failed, in the cloud."""


class NotThere(CloudError):
    """A run or a file that is not on the Volume."""


def ask(act: Callable[[], T], what: str = "", seconds: float = SECONDS) -> T:
    """The result of `act`, which calls modal. CloudError if there is none within `seconds`, or if it fails.

    what: what is asked for, as in "the run demo-1"; it is named when it is not there. An exception that is no error of
    Modal's (a UserError, a bug) is raised as it is.
    """
    _check_signed_in()
    answer: Queue[tuple[bool, Any]] = Queue()

    def work() -> None:
        try:
            answer.put((True, act()))
        except BaseException as error:  # whatever it is, it is the asker's
            answer.put((False, error))

    # A thread of its own that nobody waits for: a call that hangs cannot be ended, only left alone.
    threading.Thread(target=work, daemon=True, name=THREAD).start()
    try:
        fine, value = answer.get(timeout=seconds)
    except Empty:
        raise NoAnswer(_no_answer(seconds)) from None
    if fine:
        return value  # type: ignore[no-any-return]
    raise explained(value, what) from (value if isinstance(value, Exception) else None)


def ask_each(act: Callable[[], Iterable[T]], what: str = "", seconds: float = SECONDS) -> Generator[T, None, None]:
    """`ask` for a stream: each item must come within `seconds` of the one before. Closing the generator ends it."""
    _check_signed_in()
    answers: Queue[tuple[str, Any]] = Queue(maxsize=64)
    closed = threading.Event()

    def work() -> None:
        try:
            for item in act():
                answers.put(("item", item))
                if closed.is_set():
                    return
            answers.put(("end", None))
        except BaseException as error:
            answers.put(("error", error))

    threading.Thread(target=work, daemon=True, name=THREAD).start()
    try:
        while True:
            try:
                kind, value = answers.get(timeout=seconds)
            except Empty:
                raise NoAnswer(_no_answer(seconds)) from None
            if kind == "end":
                return
            if kind == "error":
                raise explained(value, what) from (value if isinstance(value, Exception) else None)
            yield value
    finally:
        closed.set()
        while not answers.empty():  # whoever waits to put another item is let go
            answers.get_nowait()


def is_signed_in() -> bool:
    """Whether this machine has a token, valid or not. Asks nobody."""
    if os.environ.get("MODAL_IS_REMOTE") == "1":  # a container acts for the account that it belongs to
        return True
    try:
        from modal.config import config
    except Exception:  # a broken ~/.modal.toml stops the import
        return False
    return bool((config.get("token_id") and config.get("token_secret")) or config.get("oauth_refresh_token"))


class _QuietEnd(logging.Filter):
    """A program that ends while a call hangs has said so in a sentence; modal's event loops add tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(
            ("unhandled exception during asyncio.run() shutdown", "Task was destroyed but it is pending!")
        )


_quiet_end = _QuietEnd()


def _check_signed_in() -> None:
    logging.getLogger("asyncio").addFilter(_quiet_end)  # a second time does nothing
    if is_signed_in():
        return
    try:
        import modal.config  # noqa: F401
    except Exception as error:
        raise Refused(
            f"Modal's settings in ~/.modal.toml cannot be read ({_first_line(error)}): mend it, or run `modal setup`."
        ) from None
    raise Refused(
        "This machine is not signed in to Modal: run `modal setup` once (the account is free), then try again."
    )


def _no_answer(seconds: float) -> str:
    return (
        f"Modal did not answer within {seconds:.0f} seconds: look at the network of this machine and at "
        "status.modal.com, then try again. What runs there goes on."
    )


def explained(error: BaseException, what: str = "") -> BaseException:
    """The CloudError that says what an error of Modal's library means; another error as it is."""
    if isinstance(error, UserError):
        return error
    try:
        from modal import exception as m
    except Exception:
        return error
    said = _first_line(error)
    thing = what or "What was asked for"
    if isinstance(error, m.AuthError):
        return Refused(f"Modal does not accept this machine's token ({said}): run `modal setup` to make a new one.")
    if isinstance(error, m.NotFoundError):
        if _means_the_app(said):
            return NotDeployed(
                f"The app {names.APP} is not deployed on Modal, or is an older one: run `llm-scratch deploy` first."
            )
        return NotThere(f"{thing} is not there on Modal.")
    if isinstance(error, FileNotFoundError):
        return NotThere(f"{thing} is not there on Modal.")
    if isinstance(error, m.PermissionDeniedError):
        return Refused(f"Modal does not allow this ({said}): ask for the right in the workspace, or use another.")
    if isinstance(error, m.ResourceExhaustedError):
        return Refused(
            f"Modal's limit for this account is reached ({said}): stop something that runs, wait, or raise the limit "
            "at modal.com/settings."
        )
    if isinstance(error, m.FunctionTimeoutError):
        return CallFailed(
            "The time limit of the function was reached; what was saved stands. Resume with a longer one."
        )
    if isinstance(error, m.OutputExpiredError):
        return NotThere(
            "Modal keeps results for seven days, and this one is older; what was saved on the Volume stands."
        )
    if isinstance(error, m.VersionError):
        return Refused(f"Modal asks for another version of its library ({said}): update it with pip.")
    if isinstance(error, m.RemoteError):
        return CallFailed(f"It failed on Modal: {said or 'no reason is given'}.")
    if isinstance(error, (m.ConnectionError, m.InternalFailure, m.InternalError, m.ServiceError, ConnectionError)):
        return CloudError(
            f"Modal cannot be reached ({said}): look at the network, then try again. What runs there goes on."
        )
    if isinstance(error, (m.TimeoutError, builtins.TimeoutError)):
        return CloudError(f"Modal did not answer in time ({said or 'no answer'}). What runs there goes on.")
    if isinstance(error, m.InvalidError):
        return Refused(f"Modal refused: {said}.")
    if isinstance(error, m.Error):
        return CloudError(f"Modal refused: {said}.")
    if type(error).__module__.startswith(("grpclib", "aiohttp", "h2")):
        return CloudError(f"The connection to Modal broke ({said or type(error).__name__}): try again.")
    return error


def _means_the_app(said: str) -> bool:
    """Whether what is not found is the app or one of its functions, and not a file."""
    text = said.lower()
    return any(word in text for word in ("app ", "app'", "function", "class", "deployment"))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300].rstrip(".") if lines else ""
