"""Where results and remarks go: results on stdout, as lines or as one JSON document, everything else on stderr."""

import json
import sys
from argparse import Namespace
from collections.abc import Iterable
from typing import Any


def show(args: Namespace, result: dict[str, Any], lines: Iterable[str]) -> None:
    """The result as one JSON document, or as lines for people."""
    if args.json:
        print(json.dumps(result, ensure_ascii=False, indent=2))
    else:
        for line in lines:
            print(line)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
