"""`translate` and `generate` with --input and --output: a file decoded line by line, here or on Modal."""

import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.errors import ConfigError, UserError
from playground.commands.decoders import check_place, decoder_of
from playground.commands.output import say, show

if TYPE_CHECKING:
    from remote.client import FileProgress


def decode_file(args: Namespace, what: str) -> int:
    """Exit code 0 if there is a result, even if some lines failed: those are listed beside it."""
    from remote.client import check_files, parts_folder, write_file

    check_place(args)
    if not (args.input and args.output):
        raise ConfigError("--input and --output go together: a file to read, and one to write.")
    if args.text or getattr(args, "from_start", False):
        raise ConfigError("--input takes the place of texts: give one or the other.")
    check_files(args.input, args.output)
    decoder = decoder_of(args, what)
    if decoder.config.num_return_sequences > 1:
        say("A file gets one result a line: --num-return-sequences has no effect.")

    def line(text: str, answer: dict[str, Any]) -> str:
        return answer["text"] if what == "translation" else text + answer["text"]

    try:
        done = write_file(args.input, args.output, decoder.mapper, decoder.key(), line, _progress_line(), decoder.lines)
    except (KeyboardInterrupt, UserError):
        parts = parts_folder(args.output)
        if any(parts.glob("*/*.jsonl")):
            say(f"What is done is kept in {parts}: the same command goes on with it.")
        raise
    result = {
        "run": decoder.name, **decoder.place, "output": str(args.output), "lines": done.lines, "failed": done.failed,
        "failures": str(done.failures) if done.failures else None, "seconds": done.seconds,
        "lines_per_second": done.lines_per_second,
    }  # fmt: skip
    show(args, result, [f"{done.lines:,} lines in {args.output}, {done.lines_per_second:,.1f} a second"])
    if done.failed:
        say(f"{done.failed:,} of {done.lines:,} lines failed, and are empty there: see {done.failures}.")
    return 1 if done.failed and done.failed == done.lines else 0


def _progress_line() -> "Callable[[FileProgress], None]":
    """Says on stderr how far it is: on one line where a person looks, else every ten seconds."""
    live = sys.stderr.isatty()
    last = [time.monotonic() if not live else 0.0]

    def tell(progress: "FileProgress") -> None:
        end = progress.done == progress.lines
        if time.monotonic() - last[0] < (0.2 if live else 10) and not (live and end):
            return
        last[0] = time.monotonic()
        failed = f", {progress.failed:,} failed" if progress.failed else ""
        left = f", {_duration(progress.eta)} left" if progress.eta and not end else ""
        text = f"{progress.done:,} of {progress.lines:,} lines{failed}, {progress.lines_per_second:,.1f} lines/s{left}"
        print(f"\r{text:<70}" if live else text, end="\n" if end or not live else "", file=sys.stderr, flush=True)

    return tell


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds) + 1, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
