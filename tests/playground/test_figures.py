"""metrics.jsonl read as it grows: only what is new, and everything again when it was written anew."""

import json
import time

import numpy as np
import pytest

from core.files import append_jsonl, write_text
from playground import figures
from playground.figures import column, figures_of, read_figures, read_samples


@pytest.fixture
def run(tmp_path):
    for step in (1, 2):
        append_jsonl(tmp_path / "metrics.jsonl", {"step": step, "loss": 3.0 / step, "lr": 0.1})
    return tmp_path


def steps(run):
    return read_figures(run)["step"].tolist()


def test_columns_are_the_lines(run):
    append_jsonl(run / "metrics.jsonl", {"step": 2, "val_loss": 1.25})
    found = read_figures(run)
    assert found["step"].tolist() == [1, 2, 2] and column(found, "val_loss").tolist() == [1.25]
    assert np.isnan(found["loss"][2]) and set(found) == set(figures.KEYS)
    assert {key: values.tolist() for key, values in found.items() if key in ("step", "lr")} == {
        key: values.tolist()
        for key, values in figures_of([json.loads(x) for x in open(run / "metrics.jsonl")]).items()
        if key in ("step",)
    } | {"lr": pytest.approx([0.1, 0.1, float("nan")], nan_ok=True)}


def test_only_what_is_new_is_read(run, monkeypatch):
    assert steps(run) == [1, 2]
    parsed = []
    real = json.loads
    monkeypatch.setattr(figures.json, "loads", lambda line: parsed.append(line) or real(line))
    assert steps(run) == [1, 2] and parsed == []
    append_jsonl(run / "metrics.jsonl", {"step": 3, "loss": 1.0})
    assert steps(run) == [1, 2, 3] and len([line for line in parsed if line]) == 1


def test_half_a_line_waits_until_it_is_whole(run):
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 3, "lo')
    assert steps(run) == [1, 2]
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(b'ss": 1.0}\n')
    assert steps(run) == [1, 2, 3]


def test_a_file_written_anew_is_read_anew(run):
    assert steps(run) == [1, 2]
    write_text(run / "metrics.jsonl", '{"step": 1}\n{"step": 7}\n{"step": 8}\n')  # longer than before
    assert steps(run) == [1, 7, 8]
    write_text(run / "metrics.jsonl", '{"step": 1}\n')
    assert steps(run) == [1]
    with open(run / "metrics.jsonl", "r+b") as file:  # in place: neither its number nor its length tells
        file.write(b'{"step": 9}\n{"step": 5}\n')
    assert steps(run) == [9, 5]
    (run / "metrics.jsonl").unlink()
    assert steps(run) == []


def test_odd_lines_are_left_out(run):
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(b'nonsense\n[]\n{}\n{"step": "x"}\n\xff\n{"step": 3, "loss": "low", "lr": true, "bleu": 1e999}\n')
        file.write(b'{"step": 4, "loss": NaN, "tokens": 1' + b"0" * 400 + b"}\n")
    found = read_figures(run)
    assert found["step"].tolist() == [1, 2, 3, 4] and column(found, "loss").tolist() == [3.0, 1.5]
    assert len(column(found, "bleu")) == len(column(found, "tokens")) == 0


def test_only_so_much_is_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "MAX_FILES", 3)
    monkeypatch.setattr(figures, "MAX_ROWS", 5)
    for name in "abcde":
        (tmp_path / name).mkdir()
        append_jsonl(tmp_path / name / "metrics.jsonl", {"step": 1})
        assert read_figures(tmp_path / name)["step"].tolist() == [1]
    assert len(figures._files) <= 3
    for step in range(20):
        append_jsonl(tmp_path / "a" / "metrics.jsonl", {"step": step})
    assert len(read_figures(tmp_path / "a")["step"]) == 21 and len(figures._files) == 1


def test_a_look_at_a_long_run_is_quick(tmp_path):
    line = {
        "loss": 1.5,
        "lr": 0.1,
        "grad_norm": 1.0,
        "tokens_per_second": 1e4,
        "tokens": 5,
        "seconds": 1.0,
        "time": 1.0,
    }
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step, **line}) + "\n" for step in range(50_000)))
    read_figures(tmp_path)
    append_jsonl(path, {"step": 50_000, **line})
    begin = time.perf_counter()
    assert len(read_figures(tmp_path)["step"]) == 50_001
    assert time.perf_counter() - begin < 0.1  # reading all of it takes several times as long


def test_samples_are_read_again_when_they_have_changed(run):
    assert read_samples(run) == []
    append_jsonl(run / "samples.jsonl", {"step": 1, "samples": []})
    first = read_samples(run)
    assert [line["step"] for line in first] == [1] and read_samples(run) is first
    append_jsonl(run / "samples.jsonl", {"step": 2, "samples": []})
    assert [line["step"] for line in read_samples(run)] == [1, 2]
