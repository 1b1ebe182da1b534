"""Where results and remarks go: results on stdout, as lines or as one JSON document, everything else on stderr."""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable
from typing import Any

from playground.views.facts import megabytes


def show(args: Namespace, result: dict[str, Any], lines: Iterable[str]) -> None:
    """The result as one JSON document, or as lines for people."""
    if args.json:
        print(json.dumps(result, ensure_ascii=False, indent=2))
    else:
        for line in lines:
            print(line)


def download_progress(args: Namespace) -> Callable[[int, int], None] | None:
    """Says on stderr how far a download is: on one line for a person, else every few seconds. Nothing with --json."""
    if args.json:
        return None
    last = [0.0]
    live = sys.stderr.isatty()

    def tell(done: int, total: int) -> None:
        if time.monotonic() - last[0] < (0.2 if live else 5) and done < total:
            return
        last[0] = time.monotonic()
        text = f"downloading: {megabytes(done, total)}"
        end = "" if live and done < total else "\n"
        print(("\r" if live else "") + text, end=end, file=sys.stderr, flush=True)

    return tell


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
