"""A stand-in for Modal's server, and for its Volume, for all tests of this directory."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import forked
from tests.remote.flaky import Flaky
from tests.remote.modal_stand_in import ModalStandIn


@pytest.fixture(autouse=True, scope="module")
def forking() -> Iterator[None]:
    """Containers, trainings and command lines are forked from this process, which has imported what they need."""
    with forked.forking():
        yield


@pytest.fixture
def new_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is forked: that it works as it is begun for people, too."""
    monkeypatch.setattr(forked, "FORKED", ())


@pytest.fixture
def modal_server(tmp_path: Path) -> Iterator[ModalStandIn]:
    """A running stand-in that this process's modal, and processes started from here, speak to."""
    with ModalStandIn(tmp_path / "modal") as server, server.in_this_process():
        yield server
        assert not server.errors, server.errors[0]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained, with checkpoints and snapshots, and its data files."""
    from core.run import create_run
    from core.train.loop import train
    from tests.core.train.tiny_runs import WORDS, config

    folder = tmp_path_factory.mktemp("trained")
    rng = random.Random(0)
    lines = sorted({" ".join(rng.choices(WORDS, k=rng.randint(1, 5))) for _ in range(300)})
    (folder / "src.txt").write_text("\n".join(lines) + "\n")
    (folder / "tgt.txt").write_text("\n".join(" ".join(reversed(line.split())) for line in lines) + "\n")
    settings = ("train.max_steps=16", "train.snapshots=3", "optim.optimizer=adamw")
    directory = create_run(config(folder, *settings), "tiny", folder / "runs")
    train(directory)
    (directory / "stop").touch()
    (directory / "wandb").mkdir()
    (directory / "wandb" / "debug.log").write_text("of this machine")
    return directory


@pytest.fixture
def store(tmp_path: Path) -> Flaky:
    """A folder in the place of the Volume."""
    (tmp_path / "volume").mkdir()
    return Flaky(tmp_path / "volume")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The runs directory of this machine; not there yet."""
    return tmp_path / "runs"
