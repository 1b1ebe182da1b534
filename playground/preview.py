"""A look at a training set from the page: in a process of its own, which is ended when it takes too long.

python -m playground.preview < config.json      what the page runs: one JSON document, a preview or a sentence
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from core.child import environment
from core.config import RunConfig
from core.data.preview import Preview, preview
from core.errors import DataError, UserError
from core.run import default_runs_dir
from core.strict import from_dict

LIMIT = 120.0  # seconds
TICK = 0.25


class Asked:
    """A look that has been asked for. As a context it ends its process, however it is left."""

    def __init__(self, config: RunConfig) -> None:
        self.began = time.monotonic()
        # Files, not pipes: a preview of long texts would fill a pipe that nobody reads yet.
        self.said, self.noise = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        with tempfile.TemporaryFile() as question:
            question.write(config.to_json().encode())
            question.seek(0)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "playground.preview"], stdin=question, stdout=self.said, stderr=self.noise,
                env=environment(),
            )  # fmt: skip

    def __enter__(self) -> "Asked":
        return self

    def __exit__(self, *_: Any) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.said.close()
        self.noise.close()

    def wait(self) -> Iterator[float]:
        """Seconds since the beginning, again and again until it is done or the time is up."""
        while self.process.poll() is None and time.monotonic() - self.began < LIMIT:
            yield time.monotonic() - self.began
            try:
                self.process.wait(TICK)
            except subprocess.TimeoutExpired:
                pass

    def result(self) -> Preview:
        """The preview. DataError with a sentence if there is none."""
        if self.process.poll() is None:
            raise DataError(
                f"Reading the data takes longer than {LIMIT:.0f} s; look at it with `llm-scratch prepare`, or train on "
                "it without a look."
            )
        self.said.seek(0)
        try:
            answer = json.loads(self.said.read())
            if "error" in answer:
                raise DataError(str(answer["error"]))
            return from_dict(Preview, answer)
        except ValueError:
            self.noise.seek(0)
            last = self.noise.read().decode("utf-8", "replace").strip().splitlines()[-1:]
            raise DataError(f"The data could not be looked at: {(last or ['its process ended'])[0][:300]}.") from None


def main() -> None:
    try:
        answer = preview(RunConfig.from_json(sys.stdin.read()), default_runs_dir()).to_dict()
    except UserError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": "The memory is full: choose a smaller data set, or one that is streamed."}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
