"""`pull` and `push`: runs between this machine and Modal."""

import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from playground.commands.output import show
from playground.views.facts import megabytes

if TYPE_CHECKING:
    from remote.client import Transferred


def pull(args: Namespace) -> None:
    from remote.client import pull as bring

    done = bring(args.name, args.runs_dir, args.what, progress=_progress(args, "pulling"))
    _show(args, done, f"{args.name} is in {done.directory}; `llm-scratch runs {args.name}` shows it")


def push(args: Namespace) -> None:
    from remote.client import push as put

    done = put(args.name, args.runs_dir, args.what, progress=_progress(args, "pushing"))
    _show(args, done, f"{args.name} is on Modal; `--on modal` uses it there")


def _show(args: Namespace, done: "Transferred", end: str) -> None:
    result: dict[str, Any] = {
        "run": args.name, "directory": str(done.directory.resolve()), "files": done.files, "bytes": done.bytes,
        "skipped": done.skipped,
    }  # fmt: skip
    there = f", {len(done.skipped)} were there already" if done.skipped else ""
    show(args, result, [f"{len(done.files)} files, {done.bytes / 1e6:,.1f} MB{there}", end])


def _progress(args: Namespace, word: str) -> Callable[[int, int, str], None] | None:
    """Says on stderr how far it is: on one line for a person, else every few seconds. Nothing with --json."""
    if args.json:
        return None
    live = sys.stderr.isatty()
    last, width, shown = 0.0, 0, (-1, -1)

    def tell(done: int, total: int, file: str) -> None:
        nonlocal last, width, shown
        if (time.monotonic() - last < (0.2 if live else 5) and done < total) or (done, total) == shown:
            return
        last, shown = time.monotonic(), (done, total)
        text = f"{word}: {megabytes(done, total)}  {file}"
        begin, end = ("\r", "" if done < total else "\n") if live else ("", "\n")
        print(begin + text.ljust(width), end=end, file=sys.stderr, flush=True)
        width = len(text)

    return tell
