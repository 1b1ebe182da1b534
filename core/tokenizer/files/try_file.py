"""Open a tokenizer's file that somebody brings, and try it: in a process of its own, with limits.

python -m core.tokenizer.files.try_file < question.json      what core.tokenizer.own runs; it answers in JSON
"""

import contextlib
import json
import resource
import sys
from pathlib import Path

from core.errors import RunError, UserError
from core.tokenizer.base import Tokenizer
from core.tokenizer.files.json_check import MAX_TOKENS
from core.tokenizer.load import tokenizer_from_files
from core.tokenizer.own import kind_of

MEMORY = 6 << 30  # bytes of address space
TRIED = (
    "",
    "Hello, world!\n  12345 déjà vu 東京 \U0001f469\u200d\U0001f4bb <s>",
    "a" * 2_000,
    "".join(chr(code) for code in (*range(0x250), *range(0x3040, 0x3100), 0x1F1EF, 0x1F1F5, 0xFEFF, 0xFFFD)),
)


def try_tokenizer(tokenizer: Tokenizer, source: str) -> None:
    """Encode and decode a little: what opens but does not work is said. RunError, one sentence."""
    if tokenizer.vocab_size > MAX_TOKENS:
        raise RunError(f"{source} has ids up to {tokenizer.vocab_size - 1:,}; up to {MAX_TOKENS:,} can be used.")
    try:
        for text in TRIED:
            for parse_special in (False, True):
                ids = tokenizer.encode(text, parse_special=parse_special).ids
                tokenizer.decode(ids)
                if any(not 0 <= id < tokenizer.vocab_size for id in ids):
                    raise RunError(f"{source} gives ids outside its own vocabulary; it cannot be used.")
        tokenizer.encode_batch(list(TRIED))
    except UserError as error:
        raise RunError(f"{source} opens, but does not work: {error}") from None
    except Exception as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise RunError(f"{source} opens, but does not work: {said.rstrip('.')}.") from None
    except BaseException as error:  # the `tokenizers` package's panics are no Exceptions
        if type(error).__name__ != "PanicException":
            raise
        raise RunError(f"{source} opens, but the tokenizers package fails on a text with it.") from None


def main() -> None:
    question = json.load(sys.stdin)
    with contextlib.suppress(ValueError, OSError):  # where the system has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    folder = Path(question["folder"])
    source = ", ".join(question["files"])
    try:
        files = {name: (folder / name).read_bytes() for name in question["files"]}
        tokenizer, kept = tokenizer_from_files(files, pattern=question["pattern"])
        try_tokenizer(tokenizer, source)
        (folder / "kept").mkdir()
        for name, content in kept.items():
            (folder / "kept" / name).write_bytes(content)
        answer = {"kind": kind_of(tokenizer), "vocab_size": tokenizer.vocab_size, "kept": list(kept)}
    except UserError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": f"{source} needs more memory than a tokenizer should; it cannot be used."}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
