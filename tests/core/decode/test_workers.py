"""Workers side by side, threads and processes: all that is yielded, each computing by itself, errors, and the end."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from core.decode import workers
from core.decode.workers import by_processes, by_threads, may_fork
from core.errors import ConfigError, RunError

BOTH = pytest.mark.parametrize("way", [by_threads, by_processes])


def children():
    with open(f"/proc/self/task/{threading.main_thread().native_id}/children") as file:
        return set(file.read().split())


@BOTH
def test_everything_comes_and_each_computes_by_itself(way):
    """PyTorch sets a thread's own number of threads when it computes for the first time; ours has to outlast that."""
    threads, before = torch.get_num_threads(), children()
    torch.set_num_threads(2)
    try:

        def work(item):
            yield None
            torch.randn(300, 300).exp().sum()
            yield item, torch.get_num_threads()

        found = [one for one in way(work, range(20), 3) if one is not None]
        assert sorted(found) == [(item, 1) for item in range(20)]
        assert torch.get_num_threads() == 2 and children() == before
    finally:
        torch.set_num_threads(threads)


@BOTH
def test_it_can_be_stopped_at_any_time_and_ends_all(way):
    before = children()

    def work(item):
        yield item
        while True:
            time.sleep(0.01)
            yield None

    steps = way(work, range(20), 2)
    first = {next(one for one in steps if one is not None), next(one for one in steps if one is not None)}
    assert first == {0, 1} and next(steps) is None  # who waits is asked now and then
    steps.close()
    assert children() == before and not [t for t in threading.enumerate() if t.name == "decoding"]


@BOTH
def test_the_first_error_is_raised_as_it_was(way):
    before = children()

    def work(item):
        yield None
        if item == 2:
            raise ConfigError("not so")
        yield item

    with pytest.raises(ConfigError, match="not so"):
        list(way(work, range(9), 2))
    assert children() == before and not [t for t in threading.enumerate() if t.name == "decoding"]


def test_an_error_of_a_process_says_where_it_was_and_need_not_travel():
    class Odd(Exception):
        """Pickle does not find this class."""

    def work(item):
        raise Odd("strange") if item else ValueError("plain")
        yield

    with pytest.raises(ValueError, match="plain") as told:
        list(by_processes(work, [0], 1))
    assert "in work" in told.value.__notes__[0]
    with pytest.raises(RunError, match="Odd: strange"):
        list(by_processes(work, [1], 1))


def test_a_process_that_is_ended_from_outside_is_told():
    def work(item):
        yield None
        if item == 1:
            os.kill(os.getpid(), signal.SIGKILL)  # as the system does that has no memory left
        yield item

    with pytest.raises(RunError, match="ended from outside"):
        list(by_processes(work, range(9), 2))


SLEEPERS = """
import os, sys, time
from core.decode.workers import side_by_side

def work(item):
    yield os.getpid()
    while True:
        time.sleep(0.01)
        yield None

for found in side_by_side(work, range(2), 2):
    if found:
        print(found, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_whoever_began_them(how):
    parent = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + SLEEPERS],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    pids = [int(parent.stdout.readline()) for _ in range(2)]
    assert len({*pids, parent.pid}) == 3  # a program without other threads forks
    parent.send_signal(how)
    assert parent.wait(30) != 0
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, pids))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_where_there_are_other_threads_nothing_is_forked(monkeypatch):
    monkeypatch.setattr(workers, "by_processes", None)
    left = threading.Event()
    other = threading.Thread(target=left.wait)
    other.start()
    try:
        assert not may_fork()
        assert [one for one in workers.side_by_side(lambda item: iter([item]), [1, 2], 2) if one] in ([1, 2], [2, 1])
    finally:
        left.set()
        other.join()
