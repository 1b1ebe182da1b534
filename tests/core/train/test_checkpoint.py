"""Checkpoint files: whole or not read."""

import os

import pytest
import torch

from core.errors import RunError
from core.train.checkpoint import read_checkpoint, write_checkpoint


def write(directory, step, best=False):
    state = {"step": step, "model": {"w": torch.full((50, 60), float(step))}, "place": [0, step], "best": float("inf")}
    write_checkpoint(directory, state, best)


def test_there_is_none_yet(tmp_path):
    assert read_checkpoint(tmp_path) is None


def test_the_newest_is_read_and_the_one_before_is_kept(tmp_path):
    for step in (1, 2, 3):
        write(tmp_path, step, best=step == 2)
    state = read_checkpoint(tmp_path)
    assert state["step"] == 3 and state["model"]["w"][0, 0] == 3 and state["place"] == [0, 3]
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {"last.ckpt", "previous.ckpt", "best.ckpt"}
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["step"] == 2


def cut(data):
    return data[: len(data) // 2]


def without_its_end(data):
    return data[:-1]


def a_bit_turned(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def zeros(data):  # as a file system may leave it that had no time to write the blocks
    return bytes(len(data))


def empty(data):
    return b""


DAMAGES = [cut, without_its_end, a_bit_turned, zeros, empty]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_torn_one_is_not_read_but_the_one_before_is(damage, tmp_path):
    write(tmp_path, 1)
    write(tmp_path, 2)
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.write_bytes(damage(last.read_bytes()))
    said = []
    assert read_checkpoint(tmp_path, said.append)["step"] == 1
    assert said == ["checkpoint last.ckpt is torn; going on from the one before it"]


def test_all_torn_is_one_sentence(tmp_path):
    write(tmp_path, 1)
    write(tmp_path, 2)
    for name in ("last", "previous"):
        (tmp_path / "checkpoints" / f"{name}.ckpt").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(RunError, match="No checkpoint of .* is whole"):
        read_checkpoint(tmp_path)


def test_killed_between_the_two_renames(tmp_path):
    write(tmp_path, 1)
    folder = tmp_path / "checkpoints"
    os.replace(folder / "last.ckpt", folder / "previous.ckpt")
    assert read_checkpoint(tmp_path)["step"] == 1
    write(tmp_path, 2)
    assert read_checkpoint(tmp_path)["step"] == 2


def test_a_file_that_would_run_code_is_not_read(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "hacked"),))

    write_checkpoint(tmp_path, {"step": 1, "evil": Evil()})
    with pytest.raises(RunError):
        read_checkpoint(tmp_path)
    assert not (tmp_path / "hacked").exists()


def test_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("not supported here")

    monkeypatch.setattr(os, "link", refuse)
    write(tmp_path, 1, best=True)
    folder = tmp_path / "checkpoints"
    assert (folder / "best.ckpt").read_bytes() == (folder / "last.ckpt").read_bytes()
