"""The list of runs in the tab: renamed, noted, exported, deleted after a second question; the header follows."""

import os
import shutil
import zipfile
from types import SimpleNamespace

import gradio as gr
import pytest

from core.files import append_jsonl
from core.run import Status
from playground import export_files
from playground.tabs import training_runs


@pytest.fixture
def mine(no_runs, small_runs):
    """Two own runs, "one" and "two", of which "one" has metrics."""
    for name in ("one", "two"):
        shutil.copytree(small_runs / "tiny-llama", no_runs / "runs" / name)
    append_jsonl(no_runs / "runs" / "one" / "metrics.jsonl", {"step": 5, "val_loss": 2.5})
    return no_runs / "runs"


def test_the_table_tells_of_every_run(mine):
    training_runs.set_note("two", "<b>good</b>")
    row = {row.name: row for row in training_runs.rows()}
    assert row["one"].best_loss == 2.5 and row["one"].score == "BLEU 12.3" and row["one"].step == 5
    html = training_runs.table_html("one")
    assert "&lt;b&gt;good&lt;/b&gt;" in html and "2.500" in html and html.count("aria-current") == 1


def test_a_click_follows_a_run_and_only_a_run(mine):
    follow, message = training_runs.choose(SimpleNamespace(run="two"))
    assert follow["value"] == "two" and message == ""
    for odd in (SimpleNamespace(run="../two"), SimpleNamespace(run=None), SimpleNamespace()):
        assert 'role="alert"' in training_runs.choose(odd)[1]


def test_the_header_follows_a_run_that_is_renamed(mine):
    message, follow, compare, model, table = training_runs.rename("one", " better ", ["one", "two"], "one")
    assert "one is now better" in message and (mine / "better").is_dir()
    assert follow["value"] == model["value"] == "better" and compare["value"] == ["better", "two"]
    assert ("better · own", "better") in model["choices"] and 'data-run="better"' in table
    assert training_runs.rename("better", "x", [], "two")[3]["value"] == "two"


@pytest.mark.parametrize("new", ["two", "../x", "", None, "a/b"])
def test_a_name_that_cannot_be_is_one_sentence(mine, new):
    message, *rest = training_runs.rename("one", new, [], "one")
    assert 'role="alert"' in message and sorted(p.name for p in mine.iterdir()) == ["one", "two"]


def test_a_run_is_deleted_only_after_a_second_question(mine):
    message, row, question, asked = training_runs.ask_first("one")
    assert row["visible"] and "for good?" in question and asked == "one" and (mine / "one").exists()
    # The question was about another run than the one that is followed now.
    assert "again" in training_runs.delete("two", asked, [], "one")[0] and (mine / "two").exists()
    assert "again" in training_runs.delete("one", None, [], "one")[0] and (mine / "one").exists()
    message, follow, compare, model, table, row, asked = training_runs.delete("one", "one", ["one", "two"], "one")
    assert "one is deleted" in message and not (mine / "one").exists()
    assert follow["value"] == "two" == model["value"] and compare["value"] == ["two"]
    assert not row["visible"] and asked is None and 'data-run="one"' not in table
    last = training_runs.delete("two", "two", [], "two")
    assert last[1]["value"] is None and last[3]["value"] is None and "no runs yet" in last[4]


def test_another_question_is_forgotten_with_another_run(mine):
    names = ("which", "name", "rename", "note", "keep", "delete", "ask", "asked", "files", "named")
    values = dict(zip(names, training_runs.about("two", ["/x/one.zip"])))
    assert training_runs.about("two", ["/x/two.zip"])[-2] == training_runs.about("two", None)[-2] == gr.skip()
    assert values["asked"] is None and not values["ask"]["visible"] and not values["files"]["visible"]
    assert values["name"]["value"] == "two" == values["named"] and values["delete"]["interactive"]


def test_what_is_typed_about_a_run_stays_when_the_list_of_runs_changes(mine):
    line, name, rename, note, keep, delete, *others = training_runs.about("two", None, "two")
    assert name == rename == note == keep == delete == gr.update(interactive=True)
    assert others == [gr.skip()] * 4


def test_a_run_that_trains_is_not_asked_about(mine):
    Status(state="running", pid=os.getpid()).write(mine / "one")
    message, row, *_ = training_runs.ask_first("one")
    assert "stop it before" in message and not row["visible"]
    assert "stop it before" in training_runs.delete("one", "one", [], None)[0] and (mine / "one").exists()


def test_a_bundled_run_is_not_for_changing(runs, monkeypatch, small_runs, tmp_path):
    import core.run
    import core.runs_admin

    for module in (core.run, core.runs_admin):
        monkeypatch.setattr(module, "BUNDLED", small_runs)
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "own"))
    line, name, rename, *_ = training_runs.about("tiny-gpt")
    assert "came with the program" in line and not rename["interactive"]
    for values in (
        training_runs.rename("tiny-gpt", "x", [], None),
        training_runs.ask_first("tiny-gpt"),
        training_runs.note("tiny-gpt", "x"),
    ):
        assert "came with the program" in values[0]


def test_a_note_is_kept_and_removed(mine):
    message, kept, table = training_runs.note("one", " a\nb ")
    assert kept == "a b" and "a b" in table and training_runs.about("one")[3]["value"] == "a b"
    assert "no note now" in training_runs.note("one", "")[0]
    assert 'role="alert"' in training_runs.note("one", "x" * 501)[0]


def test_an_export_is_a_zip_and_a_table(mine, tmp_path, monkeypatch):
    monkeypatch.setattr(export_files.tempfile, "gettempdir", lambda: str(tmp_path))
    message, files = training_runs.export("one")
    assert message == "" and files["visible"]
    archive, table = files["value"]
    assert zipfile.ZipFile(archive).testzip() is None and open(table).read().startswith("step,val_loss")
    assert not str(archive).startswith(str(mine))  # never a file of the run itself
    old = os.path.dirname(archive)
    os.utime(old, (1, 1))
    assert len(training_runs.export("two")[1]["value"]) == 1  # it has no metrics
    assert not os.path.exists(old)
    for name in (None, "../x", "nope"):
        message, files = training_runs.export(name)
        assert 'role="alert"' in message and not files["visible"]
