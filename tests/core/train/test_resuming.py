"""What is not gone on with here: a run that trains, or whose checkpoints are elsewhere. Nothing of it is touched."""

import os

import pytest

from core.errors import RunError
from core.run import PLACE, Status, create_run
from core.train.loop import train
from playground import cli
from playground.jobs import LocalBackend
from tests.core.train.tiny_runs import config


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def pulled(files, tmp_path):
    """A run that was trained on Modal and brought here to be used: no checkpoints."""
    directory = create_run(config(files), "there", tmp_path)
    Status(state="cancelled", step=24, steps=24, backend="modal").write(directory)
    (directory / "model.safetensors").write_bytes(b"the weights of Modal")
    return directory


@pytest.mark.parametrize(
    "status, words",
    [
        (Status(state="running", step=3, backend="modal"), "is training"),
        (Status(state="queued", backend="modal"), "is training"),
        (Status(state="cancelled", step=24, steps=24, backend="modal"), "--on modal"),
        (Status(state="failed", step=24, steps=24, backend="modal"), "pull there --what all"),
        (Status(state="running", step=3, pid=os.getppid()), "training"),
    ],
)
def test_nothing_is_trained_over_it(status, words, pulled, capsys):
    status.write(pulled)
    before = contents(pulled)
    with pytest.raises(RunError, match=words):
        train(pulled, resume=True)
    with pytest.raises(RunError, match=words):
        LocalBackend(pulled.parent).resume("there", ["train.max_steps=90"])
    more = ["--set", "train.max_steps=90"]
    assert cli.main(["train", "--resume", "--run-name", "there", "--runs-dir", str(pulled.parent), *more]) == 1
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert contents(pulled) == before


def test_with_its_checkpoints_or_before_its_first_step_it_is_gone_on_with(files, tmp_path, monkeypatch):
    directory = create_run(config(files, "train.stop_at=8"), "there", tmp_path)
    Status(state="cancelled", backend="modal").write(directory)  # it was cancelled before it began
    assert train(directory, resume=True).step == 8
    Status(state="cancelled", step=8, steps=24, backend="modal").write(directory)
    assert train(directory, resume=True).step == 8
    # A container that was taken away before the first checkpoint begins again: there the run is its own.
    monkeypatch.setenv(PLACE, '{"backend": "modal"}')
    early = create_run(config(files, "train.stop_at=4"), "early", tmp_path)
    Status(state="failed", step=2, steps=24).write(early)
    assert train(early, resume=True).step == 4
