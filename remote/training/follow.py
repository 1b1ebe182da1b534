"""Following runs that train on Modal: a process of its own keeps their copies here up to date, whoever looks at them.

    python -m remote.training.follow RUNS_DIR

It reads the feed every other second, asks for the outcome of the call now and then, and at the end brings the results
from the Volume. It ends when no run is left to follow. `ensure_followed` starts it where it is not running; so runs are
found again after the machine was switched off, by the ids in their directories.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.child import detached
from core.errors import RunError, UserError
from core.files import write_atomic, write_json
from core.run import Status, read_status, status_from
from remote import names
from remote.calls import LINK, CloudFeed, Outcome, account, link_of, outcome, read_file
from remote.link import CloudError
from remote.training.feed import Feed, Picture, apply

FOLDER = ".remote"
LOOK = 1.5  # seconds between two looks at the feed
ASK = 10.0  # between two questions for a call's outcome
SLOW = 30.0  # between two looks while Modal cannot be reached
IDLE = 20.0  # without a run to follow, after which the process ends
LOST = 24 * 3600.0  # after which a run that Modal never confirmed counts as not begun
KNOWN = 7 * 24 * 3600.0  # for which Modal knows a call
SILENT = 600.0  # after the end of a training whose call has no end


@dataclass
class Follower:
    """runs_dir: where the copies are. The rest: how Modal is asked; others in tests."""

    runs_dir: Path
    feed: Feed = field(default_factory=CloudFeed)
    outcome: Callable[[str], Outcome] = outcome
    read: Callable[[str], bytes | None] = read_file
    fetch: Callable[[Path], None] | None = None  # brings the results of a run that has ended
    say: Callable[[str], None] = lambda text: None
    account: Callable[[], str] = account  # which one is asked
    _asked: dict[str, float] = field(default_factory=dict)

    def active(self) -> list[Path]:
        """The copies of runs that train on Modal, as far as is known."""
        found = []
        for path in self.runs_dir.glob(f"*/{LINK}"):
            status = read_status(path.parent)
            if status.backend == "modal" and status.is_active:
                found.append(path.parent)
        return sorted(found)

    def look(self, directory: Path) -> bool:
        """Bring one copy up to date. Returns whether it is still active. CloudError if Modal cannot be asked now."""
        link, status = link_of(directory), read_status(directory)
        picture = Picture.from_dict(self.feed.get(link["name"]))
        if picture is not None and picture.launch != link["launch"]:
            picture = None  # of an earlier launch
        if picture is not None:
            link = self._knows_call(directory, link, picture.call_id)
            apply(directory, picture, lambda name: self.read(names.volume_path("runs", link["name"], name)))
            status = self._shown(directory, picture)
            self._tokenizer(directory, link)
        if not link.get("call_id"):
            return self._unconfirmed(directory, link)
        if link.get("account") and link["account"] != self.account():
            raise CloudError(
                f"the run belongs to Modal's profile and environment {link['account']}, but {self.account()} is in "
                "use: set MODAL_PROFILE or MODAL_ENVIRONMENT"
            )
        ended = picture is not None and not status_from(picture.status).is_active
        since = time.time() - self._asked.get(directory.name, 0.0)
        if since >= ASK or (ended and since >= LOOK):
            self._asked[directory.name] = time.time()
            answer = self._answer(link, picture if ended else None)
            if answer.state != "pending":
                self._end(directory, link, answer, status)
                return False
        return True

    def _answer(self, link: dict[str, Any], end: Picture | None) -> Outcome:
        """The outcome of the call. end: the picture of a training that has ended: if the call does not for long, or
        cannot be asked for, what the Volume says is believed."""
        try:
            answer = self.outcome(link["call_id"])
        except CloudError:
            if end is None or time.time() - status_from(end.status).heartbeat < SILENT:
                raise
            return Outcome("forgotten")
        if answer.state == "forgotten" and end is None and time.time() - link.get("sent", 0.0) < KNOWN:
            raise CloudError("Modal does not know the call of this run")
        return answer

    def _knows_call(self, directory: Path, link: dict[str, Any], call_id: str) -> dict[str, Any]:
        if call_id and not link.get("call_id"):
            link = {**link_of(directory), "call_id": call_id}
            write_json(directory / LINK, link)
        return link

    def _shown(self, directory: Path, picture: Picture) -> Status:
        """The status of the copy while the call goes on: that of the picture. An end is shown once the call has ended:
        a training that has failed there may be going on in another container."""
        status = replace(status_from(picture.status), backend="modal", pid=None, call_id=picture.call_id)
        if not status.is_active:
            again = status.state == "failed"
            message = "interrupted; going on in another container" if again else "finishing on Modal"
            status = replace(status, state="running", message=message, error="")
        if status.__dict__ | {"heartbeat": 0} != read_status(directory).__dict__ | {"heartbeat": 0}:
            status.write(directory)
        return status

    def _tokenizer(self, directory: Path, link: dict[str, Any]) -> None:
        """The tokenizer, once, so that samples can be looked at before the end."""
        if (directory / "tokenizer.json").exists() or not (directory / "metrics.jsonl").exists():
            return
        data = self.read(names.volume_path("runs", link["name"], "tokenizer.json"))
        if data:
            write_atomic(directory / "tokenizer.json", lambda file: file.write(data))

    def _unconfirmed(self, directory: Path, link: dict[str, Any]) -> bool:
        if time.time() - link.get("sent", 0.0) < LOST:
            return True
        error = "Modal did not take the run; start it again under another name."
        replace(read_status(directory), state="failed", error=error, message="").write(directory)
        return False

    def _end(self, directory: Path, link: dict[str, Any], answer: Outcome, status: Status) -> None:
        """The call has ended: fetch what came of it, then say so."""
        final = status_from(answer.value if isinstance(answer.value, dict) else {})
        if answer.state != "done" or final.is_active:
            final = self._truth(link, answer, status)
        elif final.state == "failed" and not final.step:  # refused before anything was done: it is as it was
            final = replace(status, state="failed", error=final.error, message="", eta=None)
        final = replace(
            final, backend="modal", pid=None, call_id=link["call_id"], machine=final.machine or status.machine,
            price_per_hour=final.price_per_hour or status.price_per_hour, steps=final.steps or status.steps,
            rented_seconds=max(final.rented_seconds, status.rented_seconds),
        )  # fmt: skip
        if final.step or final.state == "done":
            replace(final, state="running", error="", message="fetching the results").write(directory)
            try:
                if self.fetch is not None:
                    self.fetch(directory)
            except Exception as error:  # the run has ended well; `pull` can be tried again
                told = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                final = replace(final, message=f"{final.message}; not fetched: {told}")
        (directory / "pause").unlink(missing_ok=True)
        final.write(directory)
        self.say(f"{directory.name}: {final.state} at step {final.step:,}")

    def _truth(self, link: dict[str, Any], answer: Outcome, status: Status) -> Status:
        """What the Volume says of a run whose call gives no result."""
        data = self.read(names.volume_path("runs", link["name"], "status.json"))
        try:
            kept = status_from(json.loads(data)) if data else status
        except (ValueError, AttributeError):
            kept = status
        if answer.state == "cancelled" or link.get("cancelled"):
            return replace(kept, state="cancelled", error="", message="cancelled; its last checkpoint stands on Modal")
        if answer.state == "failed":
            return replace(kept, state="failed", error=kept.error or answer.error, message="")
        if kept.is_active:  # the call is forgotten, and nobody wrote an end
            return replace(kept, state="failed", error="Modal does not know the call any more.", message="")
        return kept

    def run(self) -> None:
        """Until there is nothing to follow."""
        last = time.monotonic()
        later: dict[Path, float] = {}  # runs that are not looked at before that time
        while time.monotonic() - last < IDLE:
            for directory in self.active():
                last = time.monotonic()
                if later.get(directory, 0.0) > last:
                    continue
                try:
                    self.look(directory)
                except CloudError as error:
                    later[directory] = time.monotonic() + SLOW
                    self.say(f"{directory.name}: {error}")
                    _tell(directory, f"not heard of just now: {error}")
                except Exception as error:  # one broken copy does not keep the others from being followed
                    later[directory] = time.monotonic() + SLOW
                    self.say(f"{directory.name}: {type(error).__name__}: {error}")
            time.sleep(LOOK)


def _tell(directory: Path, message: str) -> None:
    status = read_status(directory)
    if status.is_active and status.message != message:
        replace(status, message=message).write(directory)


def fetch_results(directory: Path) -> None:
    """What is needed to use the run, and its curves."""
    from remote.transfer import pull

    pull(directory.name, directory.parent)


# ------------------------------------------------------------------------------------------------------- the process


def ensure_followed(runs_dir: Path) -> bool:
    """Start the process that follows, if there is something to follow and it is not running. Returns whether it was
    started. Asks nobody but the disk."""
    runs_dir = runs_dir.resolve()
    if not runs_dir.is_dir() or not Follower(runs_dir).active():
        return False
    folder = runs_dir / FOLDER
    folder.mkdir(exist_ok=True)
    try:
        with _only_one(folder):
            pass
    except RunError:
        return False
    detached("remote.training.follow", str(runs_dir), log=folder / "follow.log")
    return True


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """RunError if another process has it. The system lets go of it when a process ends, however it does."""
    with open(folder / "lock", "ab") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            pass
        except OSError:
            raise RunError("The runs are being followed already.") from None
        yield


def main(runs_dir: Path) -> int:
    def say(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)

    (runs_dir / FOLDER).mkdir(parents=True, exist_ok=True)
    try:
        with _only_one(runs_dir / FOLDER):
            Follower(runs_dir, fetch=fetch_results, say=say).run()
    except RunError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
