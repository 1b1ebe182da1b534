"""Two training programs on one machine, fairly: each in a process of its own, and only one of them runs at a time.

A process that waits is stopped (SIGSTOP) and goes on later where it was, so the programs take turns of a few seconds
through one and the same stretch of the day, each is started once only, and each has all cores while it runs. What a
program has done is read from the lines that it prints, by the time of their arrival.
"""

import math
import os
import re
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.measure import SETTLE


class Racer:
    """A program that trains. count: from a line that it printed, and the seconds since the line before it, to all that
    it has done so far (in tokens), or None for a line that says nothing of that."""

    def __init__(
        self, command: Sequence[str], count: Callable[[str, float], float | None], cwd: Path,
        env: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.count = count
        self.seconds = 0.0  # on its own clock, which stands still while the program is stopped
        self.lines: list[str] = []
        self.marks: list[tuple[float, float, float]] = []  # (own clock, what was done by then, processor seconds)
        self.stretches: list[tuple[int, int]] = []  # of marks
        self._resumed: float | None = None
        self._arrived = time.perf_counter()
        self.process = subprocess.Popen(
            list(command), cwd=cwd, env=os.environ | {"PYTHONUNBUFFERED": "1"} | (env or {}), start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, errors="replace",
        )  # fmt: skip
        self._resumed = time.perf_counter()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.pause()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            now = time.perf_counter()
            self.lines.append(line.rstrip("\n"))
            done = self.count(line, now - self._arrived)
            self._arrived = now
            if done is not None:
                self.marks.append((self.clock(now), done, self._processor_seconds()))

    def clock(self, now: float) -> float:
        return self.seconds + (now - self._resumed if self._resumed is not None else 0.0)

    @property
    def done(self) -> float:
        return self.marks[-1][1] if self.marks else 0.0

    @property
    def is_over(self) -> bool:
        return self.process.poll() is not None

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Let it run for so long, or until it ends or `until` holds; then stop it."""
        if self.is_over:
            return
        first = len(self.marks)
        self._resumed = time.perf_counter()
        self._signal(signal.SIGCONT)
        end = self._resumed + seconds
        while (left := end - time.perf_counter()) > 0 and not (until and until()):
            try:
                self.process.wait(min(left, 0.05))
                break
            except subprocess.TimeoutExpired:
                pass
        self.pause()
        self.stretches.append((first, len(self.marks)))

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)
        if self._resumed is not None:
            self.seconds, self._resumed = self.clock(time.perf_counter()), None

    def rates(self) -> list[float]:
        """Tokens per second of each stretch, from its first mark to its last: what lies across a stop is left out."""
        return [(last[1] - first[1]) / (last[0] - first[0]) for first, last in self._ends()]

    def processor_rate(self) -> float:
        """Tokens per second of processor time: hardly changed by what else runs on the machine. NaN where the system
        does not tell."""
        seconds = sum(last[2] - first[2] for first, last in self._ends())
        return sum(last[1] - first[1] for first, last in self._ends()) / seconds if seconds > 0 else math.nan

    def _ends(self) -> list[tuple[tuple[float, float, float], tuple[float, float, float]]]:
        stretches = [self.marks[first:end] for first, end in self.stretches]
        return [(marks[0], marks[-1]) for marks in stretches if len(marks) > 1]

    def _processor_seconds(self) -> float:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, number: int = signal.SIGKILL, seconds: float = 60.0) -> None:
        """Send it a signal and wait for its end; by force if it takes too long."""
        if not self.is_over:
            self._signal(number)
            self._signal(signal.SIGCONT)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self.process.wait()
        self._reader.join()

    def check(self) -> None:
        """Raise what it last said, if it ended by a failure."""
        if self.is_over and self.process.returncode not in (0, -signal.SIGKILL):
            self._reader.join()
            raise RuntimeError(f"{' '.join(self.process.args[:4])} … failed:\n" + "\n".join(self.lines[-15:]))  # type: ignore[index]

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


def alternate(racers: Sequence[Racer], seconds: float, rounds: int) -> list[tuple[float, float]]:
    """Stretches of so many seconds in turn, and (best, median) tokens per second of each racer over its stretches.

    Each first gets as long as it needs to begin training.
    """
    for racer in racers:
        racer.run(600, until=lambda racer=racer: len(racer.marks) > 1)  # type: ignore[misc]
        racer.check()
        racer.stretches.clear()
    for _ in range(rounds):
        for racer in racers:
            time.sleep(SETTLE)
            racer.run(seconds)
            racer.check()
    result = []
    for racer in racers:
        rates = racer.rates()
        if not rates:
            raise RuntimeError(f"Stretches of {seconds:g} seconds are too short: not two steps were seen in any.")
        result.append((max(rates), statistics.median(rates)))
    return result


def to_the_end(racers: Sequence[Racer], seconds: float = 10.0) -> None:
    """Have all of them run to their ends in turns of so many seconds; `racer.seconds` then says how long each took."""
    while not all(racer.is_over for racer in racers):
        for racer in racers:
            racer.run(seconds)
            racer.check()
    for racer in racers:
        racer.end()


def steps_of(pattern: str, tokens: float = 1.0) -> Callable[[str, float], float | None]:
    """A counter of lines that tell the number of steps done: the pattern's group 1, each step of so many tokens."""
    compiled = re.compile(pattern)

    def count(line: str, seconds: float) -> float | None:
        found = compiled.search(line)
        return float(found[1].replace(",", "")) * tokens if found else None

    return count
