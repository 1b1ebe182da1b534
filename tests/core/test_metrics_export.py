"""Metrics as others read them: the csv module, and TensorBoard's own reader."""

import csv
import math
import sys

import pytest

from core.errors import RunError
from core.metrics_export import EVENTS, table, write_csv, write_tensorboard

LINES = [
    {"step": 1, "loss": 3.5, "lr": 1e-3, "seconds": 0.5, "time": 100.25},
    {"step": 2, "loss": 3.25, "lr": 2e-3, "seconds": 1.0, "time": 101.25, "extra": 7},
    {"step": 2, "val_loss": 3.375, "val_tokens": 40, "seconds": 1.5, "time": 101.75},
    {"step": 10, "val_loss": math.nan, "time": 110.0},
    {"step": 3, "loss": math.inf, "time": 102.0},
]


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_a_step_and_the_columns_of_all(tmp_path):
    rows = read(write_csv(LINES, tmp_path / "m.csv"))
    assert list(rows[0]) == ["step", "loss", "val_loss", "lr", "val_tokens", "seconds", "time", "extra"]
    assert [row["step"] for row in rows] == ["1", "2", "3", "10"]
    assert rows[1] == {
        "step": "2", "loss": "3.25", "val_loss": "3.375", "lr": "0.002", "val_tokens": "40", "seconds": "1.5",
        "time": "101.75", "extra": "7",
    }  # fmt: skip
    assert rows[0]["val_loss"] == "" and float(rows[0]["loss"]) == 3.5
    assert math.isnan(float(rows[3]["val_loss"])) and math.isinf(float(rows[2]["loss"]))


def test_a_resumed_runs_last_word_counts():
    assert table([{"step": 1, "loss": 2.0}, {"step": 1, "loss": 1.0}])[1] == [{"step": 1, "loss": 1.0}]


def test_odd_lines_and_keys_are_left_out(tmp_path):
    odd = [
        {"loss": 1.0}, {"step": "3", "loss": 1.0}, {"step": True, "loss": 1.0}, {"step": 1.5},
        {"step": 4, "=HYPERLINK(1)": 2.0, "loss": "=1+1", "nested": {"a": 1}, "flag": True, "x" * 99: 1.0, "ok": 2},
    ]  # fmt: skip
    assert table(odd) == (["step", "ok"], [{"step": 4, "ok": 2}])


def test_tensorboard_reads_the_same_figures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # written again, it is replaced and not doubled
        path = write_tensorboard("a", LINES, tmp_path / "tb")
    assert path == tmp_path / "tb" / "a" / EVENTS and len(list(path.parent.iterdir())) == 1
    found = EventAccumulator(str(path.parent)).Reload()
    assert sorted(found.Tags()["scalars"]) == ["extra", "loss", "lr", "seconds", "val_loss", "val_tokens"]
    assert [(e.step, e.value, e.wall_time) for e in found.Scalars("loss")] == [
        (1, 3.5, 100.25), (2, 3.25, 101.75), (3, math.inf, 102.0)
    ]  # fmt: skip
    validation = found.Scalars("val_loss")
    assert [e.step for e in validation] == [2, 10] and validation[0].value == 3.375 and math.isnan(validation[1].value)
    assert found.Scalars("lr")[1].value == pytest.approx(2e-3)


def test_what_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(RunError, match="end in .csv"):
        write_csv(LINES, tmp_path / "m.txt")
    with pytest.raises(RunError, match="no metrics"):
        write_csv([], tmp_path / "m.csv")
    with pytest.raises(RunError, match="cannot be written: No such file"):
        write_csv(LINES, tmp_path / "none" / "m.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made"):
        write_tensorboard("a", LINES, tmp_path / "file")
    with pytest.raises(RunError, match="no metrics"):
        write_tensorboard("a", [{"step": 1}][:0], tmp_path / "tb")
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(RunError, match="pip install tensorboard"):
        write_tensorboard("a", LINES, tmp_path / "tb")
    assert not list(tmp_path.glob("*.csv")) and not (tmp_path / "tb").exists()
