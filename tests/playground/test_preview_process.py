"""A look at the data: in a process of its own, bounded, and ended when nobody waits for it."""

import sys
import time

import pytest

from core.config import RunConfig
from core.errors import DataError
from playground import preview
from playground.preview import Asked
from playground.tabs import training_start
from playground.training_form import Form


def config(tmp_path, lines) -> RunConfig:
    (tmp_path / "text.txt").write_text("".join(f"{line}\n" for line in lines))
    return RunConfig.from_dict(
        {
            "model": {"family": "gpt", "d_model": 16, "n_layers": 1, "n_heads": 2, "max_seq_len": 16},
            "tokenizer": {"kind": "char"}, "data": {"name": str(tmp_path / "text.txt"), "val_fraction": 0.2},
        }
    )  # fmt: skip


def test_what_there_is_is_counted(no_runs, tmp_path):
    with Asked(config(tmp_path, [f"line {i} is one of a few" for i in range(40)])) as asked:
        waited = list(asked.wait())
        found = asked.result()
    assert waited == sorted(waited) and found.kind == "text" and found.train.examples > 0
    assert found.train.characters > 500 and found.examples and found.lengths


def test_what_cannot_be_read_is_one_sentence(no_runs, tmp_path):
    missing = config(tmp_path, ["x"]).with_overrides(["data.name=/nowhere/at/all.txt"])
    with Asked(missing) as asked:
        list(asked.wait())
        with pytest.raises(DataError, match="no file"):
            asked.result()


def test_it_takes_no_longer_than_its_time(no_runs, tmp_path, monkeypatch):
    monkeypatch.setattr(preview, "LIMIT", 0.0)
    with Asked(config(tmp_path, ["x"])) as asked:
        list(asked.wait())
        with pytest.raises(DataError, match="takes longer than"):
            asked.result()
        assert asked.process.poll() is None
    assert asked.process.poll() is not None  # it is ended, not left behind


def test_a_process_that_dies_is_one_sentence(no_runs, tmp_path, monkeypatch):
    monkeypatch.setattr(preview.sys, "executable", "false")
    with Asked(config(tmp_path, ["x"])) as asked:
        list(asked.wait())
        with pytest.raises(DataError, match="could not be looked at"):
            asked.result()


def test_a_page_that_is_closed_ends_the_look(no_runs, monkeypatch):
    made = []
    real = preview.Asked.__init__

    def note(self, config):
        real(self, config)
        made.append(self)

    monkeypatch.setattr(preview.Asked, "__init__", note)
    looking = training_start.look_at_data(*vars(Form()).values())
    said, close = next(looking)
    assert "are read" in said and close["visible"]
    looking.close()
    deadline = time.monotonic() + 10
    while made[0].process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert made[0].process.poll() is not None


def test_a_form_that_cannot_be_is_said_without_a_process(no_runs, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere")
    form = vars(Form(steps=0)).values()
    assert ["Steps must be" in said for said, _ in training_start.look_at_data(*form)] == [True]
