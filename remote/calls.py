"""The few questions that this machine asks of Modal, each within its time. Imports modal when it is first asked."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.files import read_json
from remote import names
from remote.link import CallFailed, CloudError, NotThere, ask, is_signed_in

CANCELLED = re.compile(r"\b(input|call|task)s? (was |were |has been )?(cancell?ed|terminated)", re.IGNORECASE)
LINK = "remote.json"  # in the local copy of a run: what it is called there, its launch, its call, its data files


@dataclass(frozen=True)
class Access:
    """Whether Modal can be used from here. `sentence` says what to do if not."""

    signed_in: bool
    deployed: bool | None = None  # None: nobody has asked
    sentence: str = ""


def access(ask_modal: bool = True) -> Access:
    """Signed in, and is the app deployed. ask_modal: else only whether there is a token is looked at."""
    if not is_signed_in():
        return Access(False, None, "This machine is not signed in to Modal: run `modal setup` once, then look again.")
    if not ask_modal:
        return Access(True)
    try:
        ask(lambda: _function(names.TRAIN).hydrate())
    except CloudError as error:
        return Access(True, False, str(error))
    return Access(True, True)


def _function(name: str) -> Any:
    import modal

    return modal.Function.from_name(names.APP, name)


def spawn(function: str, options: dict[str, Any], *args: Any) -> str:
    """Call a function of the app and do not wait. Returns the call's id; options: those of `with_options`."""

    def act() -> str:
        found = _function(function)
        found = found.with_options(**options) if options else found
        return str(found.spawn(*args).object_id)

    return ask(act)


@dataclass(frozen=True)
class Outcome:
    """Of a call. state: "pending", "done", "failed" (with a sentence), "cancelled", or "forgotten" after a week."""

    state: str
    value: Any = None
    error: str = ""


def outcome(call_id: str) -> Outcome:
    """How a call stands. CloudError if Modal cannot say it now."""

    def act() -> Outcome:
        import modal

        try:
            return Outcome("done", modal.FunctionCall.from_id(call_id).get(timeout=0))
        except TimeoutError as error:
            if not error.args:  # the built-in one, bare: no answer yet
                return Outcome("pending")
            return Outcome("failed", error=f"It failed on Modal: {error}.")
        except modal.exception.OutputExpiredError:
            return Outcome("forgotten")
        except modal.exception.InputCancellation:
            return Outcome("cancelled")
        except modal.exception.FunctionTimeoutError:
            return Outcome("failed", error="The function's time limit was reached; what was saved stands.")
        except modal.exception.RemoteError as error:
            said = str(error).strip().splitlines()[0][:300] if str(error).strip() else ""
            if not said or CANCELLED.search(said):  # a call that was ended from elsewhere gives no reason
                return Outcome("cancelled")
            return Outcome("failed", error=f"It failed on Modal: {said}")
        except (modal.exception.InternalFailure, modal.exception.ExecutionError) as error:
            # Of a call that nobody waits for, Modal does not make these good.
            return Outcome(
                "failed", error=f"Modal lost the container or its answer ({type(error).__name__}): resume it."
            )
        except modal.exception.Error:
            raise
        except Exception as error:  # raised by the function itself, and brought here
            return Outcome("failed", error=f"It failed on Modal: {type(error).__name__}: {str(error)[:300]}")

    try:
        return ask(act, "The call")
    except NotThere:
        return Outcome("forgotten")
    except CallFailed as error:
        return Outcome("failed", error=str(error))


def cancel(call_id: str) -> None:
    def act() -> None:
        import modal

        modal.FunctionCall.from_id(call_id).cancel()

    ask(act, "The call")


class CloudFeed:
    """The Dict of feed.py, from this side. CloudError if it cannot be read or written now."""

    def _dict(self) -> Any:
        import modal

        return modal.Dict.from_name(names.FEED, create_if_missing=True)

    def get(self, key: str) -> Any:
        return ask(lambda: self._dict().get(key))

    def put(self, key: str, value: Any) -> None:
        ask(lambda: self._dict().put(key, value))

    def claim(self, key: str, value: Any) -> bool:
        """Put the value if there is none yet. Returns whether it is this one now."""
        return bool(ask(lambda: self._dict().put(key, value, skip_if_exists=True)))

    def drop(self, key: str) -> None:
        ask(lambda: self._dict().pop(key, None))


def read_file(path: str) -> bytes | None:
    """A file of the Volume; None if it is not there or cannot be had now."""

    def act() -> bytes:
        import modal

        return b"".join(modal.Volume.from_name(names.VOLUME).read_file(path))

    try:
        return ask(act, path, seconds=60)
    except CloudError:
        return None


def read_note(name: str) -> dict[str, Any]:
    """launch.json of a run on the Volume: its launch, its call, whether that has ended; empty if there is none."""
    try:
        values = json.loads(read_file(names.volume_path("runs", name, "launch.json")) or b"{}")
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def is_on_volume(name: str) -> bool:
    """Whether there is a run of that name on the Volume."""

    def act() -> bool:
        import modal

        volume = modal.Volume.from_name(names.VOLUME, create_if_missing=True)
        try:
            return len(volume.listdir(names.volume_path("runs", name))) > 0
        except (modal.exception.NotFoundError, FileNotFoundError):
            return False

    return ask(act, f"The run {name}")


def link_of(directory: Path) -> dict[str, Any]:
    """remote.json of a run's copy; empty for a run of this machine."""
    if not (directory / LINK).exists():
        return {}
    values = read_json(directory / LINK)
    return values if isinstance(values, dict) else {}


def account() -> str:
    """The profile of Modal's settings and the environment that are in use: calls are known in these only."""
    try:
        from modal.config import _profile, config

        return f"{_profile}/{config.get('environment') or 'main'}"
    except Exception:
        return ""
