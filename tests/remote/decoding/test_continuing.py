"""What an evaluation on Modal has beside its scores, overlaps and continuations, is what it is here; it is stopped and
gone on with. Modal's own library and containers, with a stand-in for its server."""

import json
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from core.data.sources import load_corpus
from core.errors import DataError
from core.evaluate import mauve, store
from core.evaluate.evaluation import measured
from core.evaluate.request import Evaluation, Request
from core.evaluate.store import list_evaluations
from core.files import read_json, write_json
from core.run import load
from playground import cli
from remote.decoding import asking, evaluating
from remote.link import NotDeployed
from tests.generators import finished
from tests.playground.conftest import make_run
from tests.remote.inference_server import inference_server, runs_of

TEXT = "The function returns a cup of coffee, or what light through yonder window breaks.\n" * 9
BARE = Evaluation("", "language", "documented", 0.0)
WRITING = Request(documents=(TEXT,), prompts=3, new_tokens=5, strategies=("greedy", "beam", "top-p"))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    with inference_server(tmp_path_factory.mktemp("modal")) as server:
        pairs = tmp_path_factory.mktemp("data") / "pairs.tsv"
        pairs.write_text("src\ttgt\n" + "".join(f"cup {n}\t茶 {n}\n" for n in range(400)), encoding="utf-8")
        for name, family, data in (("documented", "gpt", "builtin:pydocs"), ("paired", "transformer", str(pairs))):
            path = make_run(name, family, runs_of(server)) / "config.json"
            values = read_json(path)
            write_json(path, {**values, "data": {**values["data"], "name": data}})
        yield server


@pytest.fixture
def server(deployed, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    return deployed


def there(name, request, runs, **options):
    return finished(evaluating.evaluating(asking.there(name), request, runs, **options))


def without_times(degeneration):
    columns = [{**column, "seconds": 0, "tokens_per_second": 0} for column in degeneration["columns"]]
    return {**degeneration, "columns": columns}


def test_overlaps_are_what_they_are_here(server, tmp_path):
    run, runs = load("paired", runs_of(server)), tmp_path / "runs"
    known = load_corpus(run.config.data, "pairs", seed=run.config.seed).train[0]
    decode = replace(run.config.decode, max_new_tokens=3)
    for request in (
        Request(pairs=((known.src, known.tgt), ("not in there at all", "水")), decode=decode, overlap=True),
        Request(max_examples=3, decode=decode, overlap=True),  # its own validation data, which is read there and here
    ):
        found, told = there("paired", request, runs)
        here = measured(run, request, keep=False)
        assert found.overlap == here.overlap and "summary" in found.overlap and found.scores == here.scores
        assert found.overlap["pairs"] == (0 if request.is_own else 1)
        assert store.load_evaluation(found.id, runs) == found and "--overlap" in found.command
        shares = [progress.share for progress in told]
        assert shares == sorted(shares) and "training data" in " ".join(progress.what for progress in told)
    request = Request(max_examples=2, overlap=True)
    assert there("documented", request, runs)[0].overlap == measured(
        load("documented", runs_of(server)), request, keep=False
    ).overlap  # fmt: skip


def test_training_data_that_is_not_here_is_the_same_sentence(server, tmp_path):
    request = Request(documents=(TEXT,), overlap=True)
    found, _ = there("tiny-gpt", request, tmp_path / "runs")
    assert found.overlap == measured(load("tiny-gpt", runs_of(server)), request, keep=False).overlap
    assert "There is no file notes.txt" in found.overlap["summary"]


def test_validation_data_that_is_another_one_here_is_told(server):
    run = asking.there("documented")
    steps = evaluating._overlap(run, Request(max_examples=1), None, replace(BARE, data_sha256="0" * 64))
    with pytest.raises(StopIteration) as end:
        while True:
            next(steps)
    assert "another one here than on Modal" in end.value.value["summary"]
    steps = evaluating._overlap(asking.there("tiny-gpt"), Request(), None, BARE)
    with pytest.raises(StopIteration) as end:
        while True:
            next(steps)
    assert "There is no file notes.txt" in end.value.value["summary"]


def test_continuations_are_what_they_are_here(server, tmp_path):
    runs = tmp_path / "runs"
    found, told = there("tiny-gpt", WRITING, runs)
    here = measured(load("tiny-gpt", runs_of(server)), WRITING, keep=False)
    assert without_times(found.degeneration) == without_times(here.degeneration)
    titles = [column["title"] for column in found.degeneration["columns"]]
    assert titles == ["Human", "Greedy", "Beam search, 5", "Top-p 0.9"]
    assert all(column["seconds"] > 0 for column in found.degeneration["columns"][1:])
    kept = store.load_evaluation(found.id, runs)
    assert kept.degeneration == json.loads(json.dumps(found.degeneration)) and "--prompts=3" in found.command
    shares = [progress.share for progress in told]
    assert shares == sorted(shares) and "continuing: Top-p 0.9" in [progress.what for progress in told]
    before = len(server.calls.calls)
    more, _ = there("tiny-gpt", replace(WRITING, strategies=("pure-sampling",)), runs)
    assert more.id == found.id and more.loss_per_token == found.loss_per_token
    assert len(server.calls.calls) == before + 1, "losses that are there are not asked for again"
    assert [column["title"] for column in more.degeneration["columns"]][0] == "Human"
    with pytest.raises(DataError, match="give a longer text"):
        there("tiny-gpt", replace(WRITING, documents=("short",)), runs)


def test_mauve_is_computed_here(server, tmp_path, monkeypatch):
    reader = str(runs_of(server) / "tiny-llama")
    request, before = replace(WRITING, mauve=reader, strategies=("greedy",)), len(server.calls.calls)
    with pytest.raises(DataError, match="give 20 texts or more"):
        there("tiny-gpt", request, tmp_path / "runs")
    assert len(server.calls.calls) == before, "it is said before any work"
    heard = []

    def scored(texts, references, features):
        heard.append((texts, references, features.name))
        return mauve.Mauve(len("".join(texts)) / 1_000, 0.5, "made up")

    monkeypatch.setattr(mauve, "check", lambda features, count: None)
    monkeypatch.setattr(mauve, "mauve_score", scored)
    found, _ = there("tiny-gpt", request, tmp_path / "runs")
    here = measured(load("tiny-gpt", runs_of(server)), request, keep=False)
    assert without_times(found.degeneration) == without_times(here.degeneration)
    assert heard[0] == heard[1] and len(heard) == 2 and len(heard[0][0]) == 3


def test_continuations_that_are_left_are_cancelled_there_and_the_losses_stay(server, tmp_path):
    runs, long = tmp_path / "runs", Request(documents=(TEXT * 99,), prompts=2, new_tokens=1_500, strategies=("greedy",))
    with closing(evaluating.evaluating(asking.there("long-gpt"), long, runs)) as steps:
        end = time.monotonic() + 60
        while not next(steps).what.startswith("continuing: ") and time.monotonic() < end:
            pass
        (call,) = [c for c in server.calls.calls.values() if not all(i.done for i in c.inputs.values())]
    while not call.cancelled and time.monotonic() < end:
        time.sleep(0.01)
    assert call.cancelled
    (listed,) = list_evaluations(runs)
    assert listed.evaluation.state == "stopped" and listed.evaluation.loss_per_token is not None
    assert len(store.read_losses(listed.directory)) == listed.evaluation.total


def test_losses_that_are_there_are_not_measured_again(server, tmp_path):
    """A language model's evaluation that was stopped goes on."""
    run, runs, request = asking.there("tiny-gpt"), tmp_path / "runs", Request(documents=(TEXT,), context=16, stride=8)
    whole, _ = there("tiny-gpt", request, runs)
    (listed,) = list_evaluations(runs)
    losses = store.read_losses(listed.directory)
    store.write_evaluation(listed.directory, replace(whole, state="stopped", loss_per_token=None, perplexity=None))
    store.start_again(listed.directory)
    store.append_losses(listed.directory, np.ones(16 + 3 * 8 + 5, dtype=np.float32))  # the last window is not whole
    found, _ = there("tiny-gpt", request, runs)
    kept = store.read_losses(listed.directory)
    assert run.name == found.run and found.id == whole.id and found.state == "done" and len(kept) == len(losses)
    assert (kept[:40] == 1).all() and kept[40:] == pytest.approx(losses[40:], abs=1e-5)
    assert found.loss_per_token == pytest.approx(float(kept.astype(np.float64).mean()), rel=1e-6)


def test_what_was_begun_on_other_data_is_not_gone_on_with(server, tmp_path):
    """The run's own validation data is read there; it may have been replaced since."""
    runs, request = tmp_path / "runs", Request(max_examples=1)
    whole, _ = there("documented", request, runs)
    (listed,) = list_evaluations(runs)
    stopped = replace(whole, state="stopped", loss_per_token=None, perplexity=None)
    store.write_evaluation(listed.directory, replace(stopped, data_sha256="0" * 64))
    with pytest.raises(DataError, match="add --again"):
        there("documented", request, runs)
    store.write_evaluation(listed.directory, stopped)
    assert there("documented", request, runs)[0].loss_per_token == pytest.approx(whole.loss_per_token, rel=1e-6)


def test_from_the_command_line(server, tmp_path, capsys):
    options = ("--text", TEXT, "--overlap", "--prompts", "2", "--max-new-tokens", "4", "--strategies", "greedy")
    where = ("--runs-dir", str(tmp_path / "runs"), "--on", "modal", "--run", "documented", "--json")
    code = cli.main(["eval", *where, *options])
    told = capsys.readouterr()
    assert code == 0, told.err
    found = json.loads(told.out)
    assert found["overlap"]["kind"] == "text" and found["place"] == "modal"
    assert [column["title"] for column in found["degeneration"]["columns"]] == ["Human", "Greedy"]


def test_an_older_app_is_told(server):
    with pytest.raises(NotDeployed, match="llm-scratch deploy"):
        list(evaluating._told(asking.there("tiny-gpt"), "nothing_like_it", ("{}", None), "", None))
