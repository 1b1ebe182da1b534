"""Logs without text: what went wrong and where, never what a visitor typed.

Messages and tracebacks of libraries quote what they were given. So of a record only its place is written, unless it is
one of our own, whose messages are words of this program; and of an error its kind and the places it came through.
"""

import logging
import sys
import threading
import traceback
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

OURS = "llm_scratch"
DEEPEST = 6  # places that are named, the last ones


def where(error: BaseException | None) -> str:
    """The kind of an error, and the places it came through.

    >>> where(ValueError("what somebody typed"))
    'ValueError'
    """
    if error is None:
        return "nothing"
    frames = traceback.extract_tb(error.__traceback__)[-DEEPEST:]
    places = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    told = f"{type(error).__name__}{' at ' if places else ''}{places}"
    return f"{told}; because of {where(cause)}" if cause is not None and cause is not error else told


class WithoutText(logging.Formatter):
    """A line a record: time, level, logger, and what may be told of it."""

    def format(self, record: logging.LogRecord) -> str:
        ours = record.name.split(".")[0] == OURS
        told = record.getMessage() if ours else f"{Path(record.pathname).name}:{record.lineno}"
        if record.exc_info and record.exc_info[1] is not None:
            told += f": {where(record.exc_info[1])}"
        return f"{self.formatTime(record)} {record.levelname} {record.name} {told}"


def install() -> None:
    """For this process, from now on. Errors that reach nobody are told in the same way."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(WithoutText())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.lastResort = handler
    setattr(logging.Logger, "addHandler", lambda self, added: None)  # noqa: B010 - some libraries bring their own
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger(OURS).setLevel(logging.INFO)
    warnings.showwarning = _warned
    traceback.print_exc = traceback.print_exception = _printed
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _tell(args.exc_value)
    sys.unraisablehook = lambda args: _tell(args.exc_value)


def _warned(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any) -> None:
    logging.getLogger(f"{OURS}.warnings").warning("%s at %s:%d", category.__name__, Path(filename).name, lineno)


def _printed(*given: Any, **_: Any) -> None:
    """In place of traceback.print_exc() and print_exception(error), or (kind, error, traceback)."""
    error = next((value for value in given if isinstance(value, BaseException)), None) or sys.exc_info()[1]
    _tell(error)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    _tell(error)


def _tell(error: BaseException | None) -> None:
    logging.getLogger(f"{OURS}.errors").error("%s", where(error))
