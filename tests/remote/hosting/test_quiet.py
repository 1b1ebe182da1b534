"""Logs without text, in a process of their own: what is changed there is changed for good."""

import logging
import subprocess
import sys

from remote.hosting.quiet import WithoutText, where

MARK = "what-somebody-typed"
CODE = f"""
import asyncio, logging, sys, threading, traceback, warnings
early = logging.getLogger("early")
early.addHandler(logging.StreamHandler()); early.propagate = False
from remote.hosting import quiet
quiet.install()
late = logging.getLogger("late")
late.addHandler(logging.StreamHandler()); late.propagate = False

def fail(text):
    raise ValueError(text)

for logger in (early, late, logging.getLogger("uvicorn.error"), logging.getLogger()):
    logger.error("{MARK} %s", "{MARK}")
    try:
        fail("{MARK}")
    except ValueError as error:
        logger.exception("{MARK}")
        traceback.print_exc()
        traceback.print_exception(error)
        traceback.print_exception(type(error), error, error.__traceback__)
warnings.warn("{MARK}")
thread = threading.Thread(target=fail, args=("{MARK}",)); thread.start(); thread.join()

class Falls:
    def __del__(self):
        fail("{MARK}")

falls = Falls(); del falls

async def forgotten():
    task = asyncio.ensure_future(asyncio.to_thread(fail, "{MARK}"))
    await asyncio.sleep(0.2)
    del task
asyncio.run(forgotten())
logging.getLogger("llm_scratch.test").info("our own words")
try:
    fail("{MARK}")
except ValueError as error:
    raise RuntimeError("{MARK}") from error
"""


def test_nothing_that_was_typed_is_written_and_what_happened_is():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60)
    written = done.stdout + done.stderr
    assert done.returncode == 1 and MARK not in written
    for told in ("ValueError at", "UserWarning", "our own words", "RuntimeError", "because of ValueError", " fail"):
        assert told in written, written
    assert written.count("ValueError at") >= 16


def test_the_place_of_an_error_is_told_from_the_inside_out():
    def inner():
        raise KeyError("secret")

    try:
        inner()
    except KeyError as error:
        told = where(error)
    assert told.startswith("KeyError at test_quiet.py:") and "inner < test_quiet.py" in told and "secret" not in told
    assert where(None) == "nothing"


def test_only_our_own_messages_are_told():
    def line(name):
        return WithoutText().format(
            logging.LogRecord(name, logging.INFO, "/a/file.py", 7, "words %s", ("typed",), None)
        )

    assert line("llm_scratch.x").endswith("INFO llm_scratch.x words typed")
    assert line("llm_scratchy").endswith("INFO llm_scratchy file.py:7")
