"""The data of the tiny runs."""

import random

import pytest

from tests.core.train import tiny_runs


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A reversal task: the target is the source's words in reverse order."""
    directory = tmp_path_factory.mktemp("data")
    rng = random.Random(0)
    lines = sorted({" ".join(rng.choices(tiny_runs.WORDS, k=rng.randint(1, 5))) for _ in range(700)})
    rng.shuffle(lines)
    (directory / "src.txt").write_text("\n".join(lines) + "\n")
    (directory / "tgt.txt").write_text("\n".join(" ".join(reversed(line.split())) for line in lines) + "\n")
    (directory / "text.txt").write_text("\n".join(lines) + "\n")
    return directory
