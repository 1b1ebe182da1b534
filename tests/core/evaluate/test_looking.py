"""The search for overlaps, step by step: the same as at once, with its progress; it can be stopped; errors are told."""

import threading
import time
from types import SimpleNamespace

import pytest

from core.config import DataConfig
from core.data.sources import load_corpus
from core.evaluate import overlap
from core.evaluate.looking import looking
from tests.generators import finished


def run_of(name):
    config = SimpleNamespace(data=DataConfig(name=name), seed=0)
    return SimpleNamespace(name="one", config=config, is_translation=True)


def test_it_is_what_is_found_at_once(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("src\ttgt\n" + "".join(f"cup {n}\t茶 {n}\n" for n in range(2_000)), encoding="utf-8")
    run = run_of(str(path))
    items = [*load_corpus(run.config.data, "pairs").train[:3], ("not in there at all", "水")]
    items = [overlap.Pair(*item) for item in items]
    found, told = finished(looking(run, items))
    assert found == overlap.overlap_with_training(run, items).to_dict() and found["pairs"] == 3
    assert told[0] == (0.0, "looking for it in the training data") and all(0 <= share <= 1 for share, _ in told)


def test_training_data_that_is_not_here_is_one_sentence():
    found, _ = finished(looking(run_of("notes.tsv"), [overlap.Pair("a", "b")]))
    assert list(found) == ["summary"] and "no file notes.tsv" in found["summary"]
    assert "is not known" in finished(looking(run_of(""), [overlap.Pair("a", "b")]))[0]["summary"]


@pytest.fixture
def endless(monkeypatch):
    """Training data that has no end."""
    seen = []

    def rows():
        for number in iter(int, 1):
            seen.append(number)
            yield overlap.Pair("a", "b")

    monkeypatch.setattr(overlap, "training_examples", lambda *_: (rows(), 1_000))
    monkeypatch.setattr(overlap, "MOST_ROWS", 0)
    return seen


def test_it_tells_how_far_it_is_and_ends_when_it_is_closed(endless):
    steps = looking(run_of("builtin:enja"), [overlap.Pair("a", "b")])
    end = time.monotonic() + 60
    while "training examples" not in next(steps)[1] and time.monotonic() < end:
        pass
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "overlap"]
    steps.close()
    thread.join(60)
    assert not thread.is_alive() and endless


def test_what_goes_wrong_is_raised(monkeypatch):
    monkeypatch.setattr(overlap, "training_examples", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        finished(looking(run_of("builtin:enja"), [overlap.Pair("a", "b")]))
