"""Weights & Biases, kept at arm's length: a process of its own follows metrics.jsonl and samples.jsonl and sends them.

Training only starts that process and, at the end, gives it a few seconds to finish. So whatever goes wrong over there
(no network, a wrong key, a library that raises, hangs or dies) costs a sentence in the log, and the steps stay as quick
as without it. The run's number and link are kept in wandb_run.json: a resumed run goes on under the same ones.

    python -m core.train.wandb_log DIRECTORY MODE       what `start` runs; it ends when its standard input does
"""

import json
import netrc
import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

from core.child import environment
from core.config import RunConfig
from core.errors import RunError
from core.files import read_json, write_json

FINISH = 18.0  # seconds that the end of a run waits for it, all in all
CONNECT = 8.0  # seconds within which the server has to answer at the start
UPLOAD = 6.0  # seconds for what is not sent yet at the end
LOOK = 0.5  # seconds between two looks at the files
KEPT = "wandb_run.json"
COLUMNS = ("prompt", "output", "reference")  # of the table of samples
Say = Callable[[str], None]


# ------------------------------------------------------------------------------------ on the side of training


def choose_mode(asked: str) -> str:
    """online, offline or disabled: "auto" is online where there is a key (WANDB_MODE has the word before), else
    disabled; "online" without a key is offline."""
    if asked == "auto":
        asked = os.environ.get("WANDB_MODE") or ("online" if has_key() else "disabled")
        asked = asked if asked in ("online", "offline") else "disabled"
    return "offline" if asked == "online" and not has_key() else asked


def has_key() -> bool:
    """Whether there is a key in the environment or, from `wandb login`, in the netrc file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    for name in filter(None, [os.environ.get("NETRC"), "~/.netrc", "~/_netrc"]):
        try:
            return netrc.netrc(os.path.expanduser(name)).authenticators(host) is not None
        except (OSError, netrc.NetrcParseError):
            continue
    return False


class WandbLog:
    """The process that logs a run. `url` is the run's page, once it is known. Nothing here raises, or waits but
    for `finish`."""

    def __init__(self, process: subprocess.Popen, say: Say) -> None:
        self.url = ""
        self._process, self._say = process, say
        self._finished = self._ended = False  # asked to finish; ended by force
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                values = json.loads(line)
                url = str(values.get("url") or "")
                self.url = url if url.startswith(("https://", "http://")) else self.url
                self._tell(values["say"])
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # what a library prints is no message
        if self._process.wait() and not self._ended:
            self._tell("wandb: its process has ended; training goes on without it")

    def _tell(self, text: str) -> None:
        try:
            self._say(text)
        except (OSError, ValueError):
            pass  # the log is closed: training is over

    def finish(self, completed: bool = True) -> None:
        """Have it send the rest; after FINISH seconds it is ended. completed: False marks the run as failed there."""
        if self._finished:
            return
        self._finished = True
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(b"completed\n" if completed else b"failed\n")
            stdin.close()
        except OSError:
            pass  # it is gone already
        try:
            self._process.wait(FINISH)
        except subprocess.TimeoutExpired:
            self._ended = True
            self._process.kill()
            self._tell(f"wandb: it did not finish within {FINISH:.0f} s and was ended; what it has is kept in wandb/")
        self._reader.join(1)


def start(config: RunConfig, directory: Path, say: Say) -> WandbLog | None:
    """Log the run from now on, as train.wandb says; None if it is not to be logged. Call it when metrics.jsonl holds
    exactly what is to stand before the next line."""
    mode = choose_mode(config.train.wandb)
    if mode == "disabled":
        return None
    if mode != config.train.wandb and config.train.wandb == "online":
        say("wandb: there is no WANDB_API_KEY, so the run is logged offline")
    sizes = ["0", "0"]
    if (directory / KEPT).exists():  # logged before: only what is new; else all that there is
        sizes = [str(_size(directory / name)) for name in ("metrics.jsonl", "samples.jsonl")]
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.train.wandb_log", str(directory.resolve()), mode, *sizes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for training; this ends after it
            env=environment(),
        )
    except OSError as error:
        say(f"wandb: its process cannot be started ({error.strerror}); training goes on without it")
        return None
    return WandbLog(process, say)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# ---------------------------------------------------------------------------------- in the process of its own


def follow(directory: Path, mode: str, sizes: list[int], ended: Callable[[], str], say: Callable[..., None]) -> None:
    """Log until `ended` returns a word ("completed", "failed"). Raises what wandb raises."""
    run = _init(directory, mode, say)
    import wandb

    # The step is a column like others: lines of steps that a resumed run takes again are not dropped.
    run.define_metric("step")
    run.define_metric("*", step_metric="step")
    run.define_metric("val_loss", summary="min", step_metric="step")
    metrics, samples = _Tail(directory / "metrics.jsonl", sizes[0]), _Tail(directory / "samples.jsonl", sizes[1])
    word = ""
    while True:
        for line in metrics.new():
            run.log({key: value for key, value in line.items() if key != "time"})
        for line in samples.new():
            rows = [[line["step"], *[str(s.get(c) or "") for c in COLUMNS]] for s in line.get("samples", [])]
            run.log({"samples": wandb.Table(columns=["step", *COLUMNS], data=rows), "step": line["step"]})
        if word:
            break
        word = ended()  # what was written before it ended is still logged
    run.finish(exit_code=0 if word == "completed" else 1)


def _init(directory: Path, mode: str, say: Callable[..., None]) -> Any:
    """A wandb run: one that is online if that works, else one that is kept here and can be sent later."""
    import wandb

    try:
        kept = read_json(directory / KEPT)
        name = str(kept["id"])
    except (RunError, KeyError, TypeError):
        name = secrets.token_hex(4)
        write_json(directory / KEPT, {"id": name, "url": ""})
    config = read_json(directory / "config.json")

    def init(mode: Any) -> Any:
        return wandb.init(
            project=config["train"]["wandb_project"], name=directory.name, id=name, resume="allow", dir=str(directory),
            mode=mode, config=config,
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, disable_code=True, init_timeout=CONNECT,
                finish_timeout=UPLOAD, finish_timeout_raises=True,
            ),
        )  # fmt: skip

    if mode == "online":
        try:
            run = init("online")
            write_json(directory / KEPT, {"id": name, "url": run.url or ""})
            say(f"wandb: {run.url}", url=run.url)
            return run
        except Exception as error:
            say(f"wandb: not online ({_reason(error)}), so the run is logged offline")
            wandb.teardown()
    run = init("offline")
    say(f"wandb: offline; this sends it later: {sync_command(directory, name)}")
    return run


def sync_command(directory: Path, name: str) -> str:
    """The command line that sends what was logged offline, all sessions of the run."""
    return f"wandb sync --yes {shlex.quote(str(directory.resolve() / 'wandb'))}/offline-run-*-{name}"


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


class _Tail:
    """The whole lines that are appended to a file, from a place on."""

    def __init__(self, path: Path, place: int) -> None:
        self.path, self.place = path, place

    def new(self) -> Iterator[dict[str, Any]]:
        if _size(self.path) <= self.place:
            return
        with open(self.path, "rb") as file:
            file.seek(self.place)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.place += len(whole)
        for line in whole.splitlines():
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if isinstance(values, dict):
                yield values


def main(arguments: list[str]) -> int:
    directory, mode, sizes = Path(arguments[0]), arguments[1], [int(text) for text in arguments[2:4]]
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print is not taken for a message
    parent, over, word = os.getppid(), Event(), ["failed"]

    def say(text: str, **values: Any) -> None:
        try:
            print(json.dumps({"say": text, **values}), file=out)
        except OSError:
            pass  # training was killed; what there is is still logged

    def wait() -> None:
        word[0] = sys.stdin.readline().strip() or "failed"  # an end without a word: training was killed
        over.set()

    def ended() -> str:
        over.wait(LOOK)
        return word[0] if over.is_set() or os.getppid() != parent else ""

    Thread(target=wait, daemon=True).start()
    try:
        follow(directory, mode, sizes, ended, say)
    except TimeoutError:
        say("wandb: not all could be sent in time; it is kept, and this sends it: "
            f"wandb sync --yes --include-online {shlex.quote(str(directory / 'wandb'))}/run-*")  # fmt: skip
    except Exception as error:
        say(f"wandb: logging has ended ({_reason(error)}); training goes on without it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
