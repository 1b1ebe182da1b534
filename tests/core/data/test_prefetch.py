"""Work ahead: in order, bounded, ended cleanly; what hangs, fails or is slow is told or borne."""

import gc
import subprocess
import sys
import threading
import time

import pytest

from core.data.prefetch import Prefetch
from core.errors import DataError, RunError


def alive(prefetch):
    prefetch.thread.join(3)
    return prefetch.thread.is_alive()


def test_all_in_order():
    prefetch = Prefetch(lambda life: iter(range(1_000)), depth=3)
    assert list(prefetch) == list(range(1_000)) and list(prefetch) == []
    assert not alive(prefetch)


def test_only_so_much_ahead():
    made = []

    def source(life):
        for i in range(100):
            made.append(i)
            yield i

    prefetch = Prefetch(source, depth=2)
    assert next(prefetch) == 0
    time.sleep(0.3)
    assert len(made) == 4  # one taken, two held, one waiting
    prefetch.close()
    assert not alive(prefetch) and len(made) <= 5
    with pytest.raises(StopIteration):
        next(prefetch)


def test_a_source_that_raises():
    def source(life):
        yield 1
        raise ValueError("bad\n row")

    prefetch = Prefetch(source, what="org/data")
    assert next(prefetch) == 1
    with pytest.raises(DataError, match=r"^org/data cannot be read on: ValueError: bad row\.$"):
        next(prefetch)
    assert not alive(prefetch)

    def told(life):
        raise RunError("A sentence already.")
        yield

    with pytest.raises(RunError, match=r"^A sentence already\.$"):
        next(Prefetch(told))


def test_a_source_that_hangs_is_given_up():
    forever = threading.Event()

    def source(life):
        yield 1
        forever.wait()

    prefetch = Prefetch(source, timeout=0.4, what="org/data")
    assert next(prefetch) == 1
    began = time.monotonic()
    with pytest.raises(DataError, match="org/data has not answered for 0 seconds; what was saved before stands"):
        next(prefetch)
    assert 0.3 < time.monotonic() - began < 3
    with pytest.raises(StopIteration):
        next(prefetch)
    forever.set()


def test_a_slow_source_that_shows_life_is_waited_for():
    def source(life):
        for i in range(3):
            for _ in range(5):
                time.sleep(0.12)
                life.beat()
            yield i

    assert list(Prefetch(source, timeout=0.4)) == [0, 1, 2]


def test_a_slow_consumer_is_no_stalled_source():
    prefetch = Prefetch(lambda life: iter(range(5)), depth=1, timeout=0.2)
    for i in range(5):
        time.sleep(0.4)
        assert next(prefetch) == i


def test_forgetting_it_ends_the_thread():
    prefetch = Prefetch(lambda life: iter(int, 1), depth=1)
    next(prefetch)
    thread = prefetch.thread
    del prefetch
    gc.collect()
    thread.join(3)
    assert not thread.is_alive()


def test_the_source_is_closed():
    closed = threading.Event()

    def source(life):
        try:
            while True:
                yield 1
        finally:
            closed.set()

    prefetch = Prefetch(source)
    next(prefetch)
    prefetch.close()
    assert closed.wait(3)


@pytest.mark.parametrize("body", ["while True: yield 1", "yield 1; threading.Event().wait()"])
def test_the_interpreter_exits_with_a_thread_at_work(body):
    code = f"""
import threading
from core.data import prefetch
prefetch._JOIN = 0.5
def source(life):
    {body}
reader = prefetch.Prefetch(source)
print(next(reader))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
