"""Measure and its sentences: the page's numbers are the library's, what is kept goes on, any value is answered."""

import csv
import json
import sys
from contextlib import closing
from dataclasses import replace

import gradio as gr
import pytest

from core import load
from core.decode.presets import with_preset
from core.errors import TextError, UserError
from core.evaluate import store
from core.evaluate.evaluation import evaluating, measured
from core.evaluate.request import Request
from core.evaluate.scores import sentence_scores
from playground.site import OWN, PUBLIC, on
from playground.tabs.decoding.work import Work
from playground.tabs.evaluate import form, lines, measure, measuring, outcomes
from playground.tabs.evaluate.form import Form

PAGE = gr.Request(session_hash="page")
TRANSLATOR, GPT = Work("tiny-transformer", "coffee"), Work("tiny-gpt", "To be")
TYPED = "coffee\tコーヒー\na cup\t一杯\n\nof coffee.\tいただきたい。\nI'd like\t僕は"
FEW = {"source": "typed", "typed": TYPED, "strategy": "greedy", "metrics": ["bleu", "chrf"], "examples": 0}


@pytest.fixture(autouse=True)
def clean(runs):
    """Nothing that another test has kept."""
    for listed in store.list_evaluations(runs):
        store.delete_evaluation(listed.id, runs)


def asked(work=TRANSLATOR, **given):
    return measuring.measure(PAGE, work, *vars(Form(**FEW | given)).values())


def last(*given, **named):
    *_, end = asked(*given, **named)
    message, _, run, stop, go_on, id, *results = end
    assert run.visible and not stop.visible and len(results) == measuring.RESULTS
    return message, go_on.visible, id, results


def kept_ids(runs):
    return [listed.id for listed in store.list_evaluations(runs)]


def test_the_scores_are_those_of_the_library_and_are_kept(runs, monkeypatch):
    message, _, id, results = last()
    assert message == "" and kept_ids(runs) == [id]
    run = load("tiny-transformer")
    pairs = tuple(tuple(line.split("\t")) for line in TYPED.split("\n") if line)
    found = measured(run, Request(pairs=pairs, as_given=True, decode=with_preset(run.config.decode, "greedy"),
                                  metrics=("bleu", "chrf")), runs, keep=False)  # fmt: skip
    assert found.id == id
    for score in found.scores.values():
        assert f"<dd>{score.score:.2f}</dd>" in results[1] and score.signature.split("|")[-1] in results[1]
    box, place, table, *_ = results[5:]
    assert box.visible and "1 to 4 of 4" in place and table.count("<tr data-line=") == 4
    monkeypatch.setattr("core.evaluate.work.translated", None)  # nothing is decoded for another metric
    again = last(metrics=["ter"])
    assert again[2] == id and "TER" in again[3][1] and "BLEU" in again[3][1]


def test_language_models_are_measured_in_windows(runs):
    message, _, id, results = last(GPT, source="builtin", builtin="builtin:pydocs", examples=1, context=16, stride=4)
    found = measured(load("tiny-gpt"), Request(data="builtin:pydocs", max_examples=1, context=16, stride=4), runs)
    assert message == "" and id == found.id and f"{found.numbers['bits_per_byte']:.4f}" in results[1]
    assert "context 16, stride 4" in results[1] and not results[5].visible
    writing = {"prompts": 2, "new_tokens": 3, "strategies": ["greedy"]}
    *_, results = last(GPT, source="typed", typed="The function returns what light is this. " * 9, **writing)
    assert [row[0] for row in json.loads(results[3])["numbers"]] == ["Human", "Greedy"] and results[4]


def test_mauve_where_it_is_installed(runs, monkeypatch):
    """With a stand-in for the package, which is in none of ours."""
    asked_of = []

    class Package:
        @staticmethod
        def compute_mauve(p_features, q_features, **given):
            asked_of.append((p_features.shape, q_features.shape))
            return type("Found", (), {"mauve": 0.5, "frontier_integral": 0.25, "num_buckets": 2})

    assert "tiny-gpt" in form.readers() and "tiny-transformer" not in form.readers()
    few = {"source": "typed", "typed": "The function returns what light is this. " * 120, "prompts": 20,
           "new_tokens": 2, "strategies": ["greedy", "top-p"], "mauve": "tiny-gpt"}  # fmt: skip
    with pytest.raises(UserError, match="choose one of the list"):
        form.request_of(load("tiny-gpt"), Form(**FEW | few | {"mauve": "../tiny-gpt"}))
    assert "pip install mauve-text" in last(GPT, **few)[0]
    monkeypatch.setitem(sys.modules, "mauve", Package)
    monkeypatch.setattr("core.evaluate.mauve.is_installed", lambda: True)
    monkeypatch.setattr("core.evaluate.mauve.importlib.metadata.version", lambda name: "0.4.0")
    message, _, id, results = last(GPT, **few)
    assert "MAUVE, read by tiny-gpt: Greedy 0.500, Top-p 0.9 0.500" in json.loads(results[3])["subtitle"], message
    width = load("tiny-gpt").config.model.d_model
    assert asked_of == [((20, width), (20, width))] * 2
    assert store.load_evaluation(id, runs).request.mauve == "tiny-gpt"


def test_what_is_stopped_goes_on(runs, monkeypatch):
    monkeypatch.setattr("core.decode.many.ROWS", 1)  # a batch for each sentence
    monkeypatch.setattr(measuring, "EVERY", 0)
    steps = asked()
    for step in steps:
        if "1 of 4" in str(step[0]):
            break
    measuring.stop_measuring(PAGE)
    *_, (message, wanted, _, _, go_on, id, *_) = steps
    assert "Stopped by you" in message and go_on.visible and store.load_evaluation(id, runs).state == "stopped"
    kept = store.read_outputs(store.find_evaluation(id, runs))
    assert 1 <= len(kept) < 4
    *_, (message, _, _, _, go_on, same, *_) = measuring.go_on_measuring(PAGE, wanted)
    assert message == "" and same == id and not go_on.visible
    assert store.load_evaluation(id, runs).state == "done"
    assert {number: one for number, one in store.read_outputs(store.find_evaluation(id, runs)).items()
            if number in kept} == kept  # fmt: skip
    *_, end = measuring.go_on_measuring(PAGE, None)
    assert "nothing to go on with" in end[0]


def test_what_was_stopped_goes_on_from_the_list(runs, monkeypatch):
    monkeypatch.setattr("core.decode.many.ROWS", 1)
    run = load("tiny-transformer")
    greedy = with_preset(run.config.decode, "greedy")

    def stopped(**given):
        """The id of what was stopped after its first step."""
        with closing(evaluating(run, Request(decode=greedy, metrics=("bleu",), **given), runs)) as steps:
            while next(steps).done < 1:
                pass
        return next(one.id for one in store.list_evaluations(runs) if one.evaluation.state == "stopped")

    def opened(id, before=None):
        return measuring.turn_to_evaluation(PAGE, id, None, "worst", "chrf", "", before)

    id = stopped(data="builtin:enja", max_examples=3)
    wanted, go_on, *results = opened(id)
    assert go_on.visible and wanted[0] == "tiny-transformer" and len(results) == measuring.RESULTS
    *_, (message, _, _, _, _, same, *_) = measuring.go_on_measuring(PAGE, wanted)
    assert message == "" and same == id and store.load_evaluation(id, runs).state == "done"
    assert not opened(id, wanted)[1].visible and not opened("0" * 12)[1].visible
    pairs = (("coffee", "コーヒー"), ("a cup", "一杯"))  # texts that only the page which they were typed into knows
    id = stopped(pairs=pairs, as_given=True, title="typed sentences")
    typed = Request(pairs=pairs, as_given=True, title="typed sentences", decode=greedy, metrics=("bleu",))
    assert not opened(id)[1].visible and not opened(id, wanted)[1].visible
    assert opened(id, ("tiny-transformer", typed, "local"))[1].visible


def test_a_hosted_page_keeps_nothing_and_offers_less(runs):
    with on(PUBLIC):
        assert [name for _, name in form.sources(PUBLIC)] == ["builtin", "typed"]
        message, _, id, results = last(examples=4)
        assert message == "" and results[5].visible and kept_ids(runs) == []
        assert not list(runs.glob("**/.uploads")) and outcomes.outcome(id).outputs
        for changed in ({"source": "own"}, {"source": "files", "file": "/etc/passwd"}, {"source": "hub", "hub": "a/b"},
                        {"examples": 25}, {"examples": 0}, {"metrics": ["comet"]}):  # fmt: skip
            message, _, _, _ = last(**{"examples": 4} | changed)
            assert "notice-error" in message, changed
        assert "16 tokens or more" in last(GPT, typed="A text of some length.", stride=1, examples=1)[0]
        steps = asked(examples=4)
        next(steps)
        *_, end = [steps.throw(TextError("The time is over.")), *steps]
        assert "The time is over." in end[0] and end[2].visible
        outcomes.forget(gr.Request(session_hash=""))
        with pytest.raises(UserError, match="not here any more"):
            outcomes.outcome(id)


def test_files_are_read_and_can_be_named_again(runs, tmp_path):
    (tmp_path / "a.txt").write_text("coffee\na cup\n")
    (tmp_path / "b.txt").write_text("コーヒー\n一杯\n")
    message, _, id, _ = last(source="files", file=str(tmp_path / "a.txt"), references=str(tmp_path / "b.txt"))
    assert message == "" and ".uploads" in store.load_evaluation(id, runs).request.src
    (tmp_path / "c.csv").write_text("en,ja\ncoffee,コーヒー\n")
    message, *_ = last(source="files", file=str(tmp_path / "c.csv"), src_column="en", tgt_column="ja")
    assert message == ""
    (tmp_path / "b.txt").write_text("コーヒー\n")
    message, *_ = last(source="files", file=str(tmp_path / "a.txt"), references=str(tmp_path / "b.txt"))
    assert "notice-error" in message and "a.txt" in message
    (tmp_path / "d.txt").write_bytes(b"\0\1\2")
    message, *_ = last(source="files", file=str(tmp_path / "d.txt"))
    assert "d.txt" in message and "notice-error" in message


@pytest.mark.parametrize("wrong", [None, "x", -1, 10**12, float("nan"), [], {}])
def test_any_value_from_anybody_is_answered(runs, wrong):
    for name in Form.__dataclass_fields__:
        if name == "overlap":
            continue
        message, _, id, results = last(**{name: wrong})
        assert len(results) == measuring.RESULTS and ("notice-error" in message or isinstance(id, str)), name
    for values in ((wrong, None, "worst", "chrf", ""), ("0" * 12, wrong, wrong, wrong, wrong)):
        assert len(measuring.show_evaluation(*values)) == measuring.RESULTS
    assert len(measure.choose_fields(TRANSLATOR, wrong, wrong)) == 10


@pytest.mark.parametrize("wrong", [None, "x", -1, 10**12, float("nan"), [], {}])
def test_any_value_for_the_sentences_is_answered(runs, wrong):
    id = last()[2]
    for values in ((wrong, "worst", "chrf", "", 1), (id, wrong, "chrf", "", 1), (id, "worst", wrong, "", 1),
                   (id, "worst", "chrf", wrong, 1), (id, "worst", "chrf", "", wrong)):  # fmt: skip
        assert len(lines.show_lines(*values)) == 5 and len(lines.first_page(*values[:4])) == 6
        assert len(lines.page_on(*values)) == len(lines.page_back(*values)) == 6
    lines.save_lines(wrong)
    for data in ({"line": wrong, "name": wrong}, wrong):
        try:
            found = lines.look_at_line(id, gr.EventData(None, data))
            assert found[0] == "tiny-transformer"
        except gr.Error:
            pass


def test_what_cannot_be_is_one_sentence(runs):
    assert "no trained model" in last(Work("", ""))[0] and "nope" in last(Work("nope", ""))[0]
    assert "Line 2" in last(typed="a\tb\nonly a sentence")[0] and "nothing to evaluate on" in last(typed=" \n")[0]
    assert "Choose a metric" in last(metrics=[])[0] and "as JSON" in last(strategy="json")[0]
    assert "decode.num_beams" in last(strategy="json", settings='{"strategy": "beam", "num_beams": -1}')[0]
    assert "Assisted" in last(strategy="json", settings='{"strategy": "assisted"}')[0]
    assert "org/name" in last(source="hub", hub="../etc")[0] and "upload first" in last(source="files")[0]
    assert "stride" in last(GPT, typed="A text.", stride=10**6)[0]
    assert "notes.txt" in last(GPT, source="own")[0]


def test_settings_are_taken_as_json_and_named(runs):
    _, _, id, results = last(strategy="json", settings='{"strategy": "beam", "num_beams": 3}')
    assert store.load_evaluation(id, runs).decode.num_beams == 3 and "Beam, 3" in results[1]
    run = load("tiny-transformer")
    for title, name in form.STRATEGIES:
        if name not in (form.AS_TRAINED, form.JSON):
            assert form.strategy_name(form.decode_of(run, name, "")) == title
    assert form.decode_of(run, form.AS_TRAINED, "") == replace(run.config.decode, num_return_sequences=1)


def test_sentences_are_sorted_filtered_and_saved(runs, tmp_path):
    id = last()[2]
    found = outcomes.outcome(id)
    texts, references = [one.output for one in found.outputs], [one.reference for one in found.outputs]
    scores = sentence_scores(texts, references, found.evaluation.language, ("chrf",))["chrf"]
    for order, expected in (("worst", sorted(range(4), key=lambda i: scores[i])), ("input", [0, 1, 2, 3]),
                            ("best", sorted(range(4), key=lambda i: -scores[i]))):  # fmt: skip
        table = lines.show_lines(id, order, "chrf", "", 1)[2]
        shown = [int(part.split('"')[0]) - 1 for part in table.split('<tr data-line="')[1:]]
        assert shown == expected
    _, place, table, *_ = lines.show_lines(id, "input", "chrf", "COFFEE", 1)
    assert "1 to 2 of 2 that fit, of 4" in place and table.count("<tr data-line=") == 2
    _, files = lines.save_lines(id)
    with open(files.value[0]["path"], encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == [one.source for one in found.outputs]
    assert json.loads(open(files.value[1]["path"]).read())[0]["reference"] == references[0]


def test_many_sentences_come_a_page_at_a_time(runs, monkeypatch):
    monkeypatch.setattr(lines, "PAGE", 3)
    id = last()[2]
    _, place, table, before, after = lines.show_lines(id, "input", "chrf", "", 1)
    assert "1 to 3 of 4" in place and not before.interactive and after.interactive
    page, _, place, table, before, after = lines.page_on(id, "input", "chrf", "", 1)
    assert page == 2 and "4 to 4 of 4" in place and before.interactive and not after.interactive
    assert table.count("<tr data-line=") == 1 and lines.page_back(id, "input", "chrf", "", 2)[0] == 1


def test_a_sentence_is_looked_at_with_what_the_model_wrote(runs):
    id = last()[2]
    output = outcomes.outcome(id).outputs[1]
    model, text, message, settled, target = lines.look_at_line(id, gr.EventData(None, {"line": 2, "name": ""}))
    assert (model, text, message, settled) == ("tiny-transformer", "a cup", "", ("tiny-transformer", "a cup"))
    assert target is None if not output.output.strip() else target[:3] == (*settled, output.output)
    with pytest.raises(gr.Error, match="no such sentence"):
        lines.look_at_line(id, gr.EventData(None, {"line": 99, "name": ""}))


def test_the_form_follows_the_model(runs):
    with gr.Blocks():
        part = measure.build(OWN, TRANSLATOR)
    given = [field.value for field in part.inputs]
    shown = measure.show(TRANSLATOR, *given)
    assert len(shown) == len(part.views) == measure.VIEWS
    about, *suited = shown[: 1 + measure.SUITED]
    assert suited[0] == "own" and suited[3].visible and not suited[6].visible  # its data is built in
    assert "BLEU" in shown[-9] and "12.35" in shown[-9]  # the score that it came with
    again = measure.show(TRANSLATOR, about, *given[1:])
    assert again == [gr.skip()] * measure.VIEWS
    other = measure.show(GPT, about, *given[1:])
    assert other[1] == "builtin" and not other[4].visible and other[7].visible and other[3].value
    id = last()[2]
    assert measure.show(TRANSLATOR, None, *given[1:])[measure.SUITED + 2] == id  # the last one is shown
    assert "nope" in measure.show(Work("nope", ""), about, *given[1:])[measure.SUITED + 1]
    # What the list has opened stays when the form follows another model; what is of the model before gives way.
    opened = [about, id, *given[2:]]
    assert measure.show(GPT, (GPT.model, None), *opened[1:])[measure.SUITED + 2] == id
    assert measure.show(GPT, about, *opened[1:])[measure.SUITED + 2] == outcomes.newest("tiny-gpt")
