"""Work on many things side by side on a CPU: by processes where that is safe, else by threads.

PyTorch's products use all cores by themselves, but small matrices gain less from being cut in two than from a second
batch beside them. Threads share one interpreter: while one chooses tokens, the other waits (about a tenth of the time).
Processes do not. They are forked: whatever the work needs is theirs without a copy. A fork takes only the thread that
forks, and a lock that another one holds stays locked for ever, so it is for programs that have no other thread.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from multiprocessing.connection import Connection, wait
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import torch

from core.errors import RunError

T = TypeVar("T")
R = TypeVar("R")
Work = Callable[[T], Iterator[R | None]]
PR_SET_PDEATHSIG = 1  # of Linux (prctl.h): a signal when the parent is gone
TICK = 0.05  # seconds between two looks of who waits


def side_by_side(work: Work[T, R], items: Sequence[T], workers: int) -> Generator[R | None, None, None]:
    """What `work` yields of every item, in the order in which it comes, from so many workers; None every 50 ms.

    Each worker computes by itself (PyTorch's products are not divided further). The first error is raised. Closing it,
    and an error, ends all workers within a step.
    """
    return (by_processes if may_fork() else by_threads)(work, items, workers)


def may_fork() -> bool:
    alone = threading.active_count() == 1 and threading.current_thread() is threading.main_thread()
    return sys.platform == "linux" and alone and not multiprocessing.current_process().daemon


# ------------------------------------------------------------------------------------------------------- processes


def by_processes(work: Work[T, R], items: Sequence[T], workers: int) -> Generator[R | None, None, None]:
    """`side_by_side` by processes. What is yielded goes through pickle."""
    context = multiprocessing.get_context("fork")
    taken = context.Value("i", 0)  # items that somebody works on, or has
    readers: list[Connection] = []
    processes = []
    try:
        for _ in range(workers):
            reader, writer = context.Pipe(duplex=False)
            readers.append(reader)
            process = context.Process(
                target=_follow, args=(work, items, taken, writer, readers, os.getpid()), daemon=True
            )
            with warnings.catch_warnings():  # of other threads: there are none but PyTorch's idle ones
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
            writer.close()  # so that the reader sees the end of the process
            processes.append(process)
        going = list(readers)
        while going:
            ready = wait(going, TICK)
            if not ready:
                yield None
            for found in ready:
                assert isinstance(found, Connection)
                try:
                    kind, value = found.recv()
                except EOFError:
                    raise RunError(
                        "A process that decodes was ended from outside, likely for want of memory: try it with fewer "
                        "beams or shorter outputs."
                    ) from None
                if kind == "error":
                    raise value
                if kind == "end":
                    going.remove(found)
                else:
                    yield value
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        for reader in readers:
            reader.close()


def _follow(
    work: Work[T, R], items: Sequence[T], taken: Any, writer: Connection, readers: list[Connection], parent: int
) -> None:
    """A worker's life. It ends when there is nothing left, and with its parent, whatever that dies of."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears of it, and ends this
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    for reader in readers:
        reader.close()  # with the parent gone nobody may seem to read
    gc.freeze()  # what is the parent's is not looked through, and so stays shared
    torch.set_num_threads(1)
    try:
        while True:
            with taken.get_lock():
                place, taken.value = taken.value, taken.value + 1
            if place >= len(items):
                break
            for found in work(items[place]):
                if found is not None:
                    writer.send(("found", found))
        writer.send(("end", None))
    except BrokenPipeError:
        return
    except BaseException as error:
        error.add_note("In a process that decodes:\n" + traceback.format_exc())
        try:
            writer.send(("error", error))
        except Exception:  # that is an error which cannot be sent
            writer.send(("error", RunError(f"{type(error).__name__}: {error}")))


# --------------------------------------------------------------------------------------------------------- threads


def by_threads(work: Work[T, R], items: Sequence[T], workers: int) -> Generator[R | None, None, None]:
    """`side_by_side` by threads."""
    threads = torch.get_num_threads()
    left, came, ended = iter(items), SimpleQueue[tuple[str, Any]](), threading.Event()
    lock, ready = threading.Lock(), threading.Barrier(workers + 1)

    def follow() -> None:
        torch.get_num_threads()  # a thread's own number is set by its first use of it, to that of all
        torch.set_num_threads(1)
        ready.wait()
        try:
            while not ended.is_set():
                with lock:
                    item = next(left, None)
                if item is None:
                    break
                with closing(_generator(work(item))) as steps:
                    for found in steps:
                        if ended.is_set():
                            return
                        if found is not None:
                            came.put(("found", found))
            came.put(("end", None))
        except BaseException as error:
            came.put(("error", error))

    started = [threading.Thread(target=follow, daemon=True, name="decoding") for _ in range(workers)]
    for thread in started:
        thread.start()
    ready.wait()
    torch.set_num_threads(threads)  # what other threads begin with; those above keep their one
    going = workers
    try:
        while going:
            try:
                kind, value = came.get(timeout=TICK)
            except Empty:
                yield None
                continue
            if kind == "error":
                raise value
            if kind == "end":
                going -= 1
            else:
                yield value
    finally:
        ended.set()
        for thread in started:
            thread.join()


def _generator(steps: Iterator[R]) -> Generator[R, None, None]:
    yield from steps
