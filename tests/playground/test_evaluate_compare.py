"""Compare and Text: paired tests equal the library's, what is kept is listed and deleted, losses are the library's."""

import json
import time

import gradio as gr
import numpy as np
import pytest

from core import load
from core.decode import generate
from core.evaluate import store
from core.evaluate.evaluation import measured
from core.evaluate.request import Request
from core.evaluate.significance import paired
from core.evaluate.token_losses import token_losses
from core.evaluate.windows import window_losses
from playground.site import OWN, PUBLIC, on
from playground.tabs.decoding.work import Work
from playground.tabs.evaluate import compare, outcomes, text
from playground.tabs.evaluate.form import decode_of
from playground.tabs.evaluate.watched import Watched
from tests.playground.views.test_attention_views import unpacked

PAGE = gr.Request(session_hash="page")
TRANSLATOR, GPT = Work("tiny-transformer", "a cup of coffee"), Work("tiny-gpt", "What light is this")
SOURCES = ("coffee", "a cup", "of coffee.", "I'd like")
PAIRS = tuple((source, "コーヒー") for source in SOURCES)
SORTING = ("difference", "chrf", "")
WRONG = [None, "x", -1, 10**12, float("nan"), [], {}]


@pytest.fixture(scope="module")
def kept(small_runs):
    """Two strategies on the same pairs, and a text of a language model: their ids."""
    run = load("tiny-transformer", small_runs)
    wrote = [found.text for found in generate(run, list(SOURCES), decode_of(run, "greedy", ""))]
    pairs = tuple((source, f"{text} コーヒー") for source, text in zip(SOURCES, wrote))  # so that greedy is better
    ids = [
        measured(run, Request(pairs=pairs, as_given=True, decode=decode_of(run, name, ""), metrics=("bleu", "chrf")),
                 small_runs).id for name in ("greedy", "pure-sampling")
    ]  # fmt: skip
    ids.append(measured(load("tiny-gpt", small_runs), Request(documents=("What light is this",)), small_runs).id)
    yield ids
    for listed in store.list_evaluations(small_runs):
        store.delete_evaluation(listed.id, small_runs)


def clicked(act, id, on=False, chosen=""):
    return compare.act_on_kept(chosen, gr.EventData(None, {"act": act, "id": id, "on": on}))


def outcome_of(ids, method="bootstrap", metrics=("bleu", "chrf"), samples=40, seed=7):
    *_, end = compare.test_difference(PAGE, ",".join(ids), method, list(metrics), samples, seed, *SORTING)
    return end


@pytest.mark.parametrize("method", ["bootstrap", "randomisation"])
def test_the_test_is_that_of_the_library(runs, kept, method):
    message, figure, table, run, stop = outcome_of(kept[:2], method)
    assert message == "" and run.visible and not stop.visible
    outputs = [[one.output for one in outcomes.outcome(id).outputs] for id in kept[:2]]
    references = [one.reference for one in outcomes.outcome(kept[0]).outputs]
    found = paired(
        dict(zip("ab", outputs)),
        references,
        outcomes.outcome(kept[0]).evaluation.language,
        ("bleu", "chrf"),
        method,
        40,
        7,
    )
    for panel, metric in zip(json.loads(figure)["panels"], ("bleu", "chrf")):
        scores = [system.scores[metric] for system in found.systems]
        np.testing.assert_allclose(unpacked(panel["values"]), [one.score for one in scores], rtol=1e-6)
        same = scores[0].score == scores[1].score  # then there is no difference to be tested
        assert unpacked(panel["p"])[1] == pytest.approx(np.nan if same else scores[1].p_value, nan_ok=True)
    assert not same
    assert json.loads(figure)["rows"] == ["Greedy", "Pure sampling"] and "(baseline)" in table
    shown = compare.show_compared(",".join(kept[:2]), method, ["bleu", "chrf"], 40, 7, *SORTING)
    assert shown[2] == figure  # what is known is shown at once


def test_kept_evaluations_are_listed_and_chosen_in_turn(runs, kept):
    shown = compare.show(TRANSLATOR, "", "bootstrap", ["bleu"], 0, 1, *SORTING)
    with gr.Blocks():
        assert len(shown) == len(compare.build(OWN, TRANSLATOR).views)
    assert all(f'data-id="{id}"' in shown[0] for id in kept) and "Pure sampling" in shown[0]
    chosen = f"{kept[1]},{kept[0]}"
    assert clicked("choose", kept[1], True) == clicked("choose", kept[0], False, chosen) == [gr.skip()] * 5
    table, message, figure, scores, box, place, lines, *_ = compare.show_compared(
        chosen, "bootstrap", ["bleu"], 0, 1, *SORTING
    )
    assert message == "" and table.count(" checked") == 2 and json.loads(figure)["rows"] == ["Pure sampling", "Greedy"]
    assert box.visible and lines.count("<tr data-line=") == len(PAIRS)
    opened = clicked("open", kept[0])[4]
    assert compare.open_kept(opened) == kept[0]
    many = ",".join(f"{n:012x}" for n in range(6))
    assert "6 evaluations are the most" in clicked("choose", "f" * 12, True, many)[3]
    assert clicked("choose", "f" * 12, True, many[13:]) == clicked("choose", many[:12], True, many) == [gr.skip()] * 5


def test_what_does_not_go_together_is_one_sentence(runs, kept):
    assert "two evaluations or more" in compare.show_compared(kept[0], "none", ["bleu"], 0, 1, *SORTING)[1]
    mixed = compare.show_compared(f"{kept[0]},{kept[2]}", "bootstrap", ["bleu"], 0, 1, *SORTING)
    assert "not on the same data" in mixed[1] and mixed[2] == ""
    gone = compare.show_compared(f"{kept[0]},{'0' * 12}", "bootstrap", ["bleu"], 0, 1, *SORTING)
    assert "not here any more" in gone[1]
    assert "two evaluations or more" in outcome_of(kept[:1])[0] and "Choose a test" in outcome_of(kept[:2], "none")[0]
    assert "Choose a metric" in outcome_of(kept[:2], metrics=())[0]


def test_an_evaluation_is_deleted_after_a_question(runs, kept):
    run = load("tiny-transformer", runs)
    id = measured(run, Request(pairs=PAIRS[:1], metrics=("chrf",), title="one"), runs).id
    row, question, asked, _, _ = clicked("delete", id)
    assert row.visible and asked == id and "for good" in question
    table, row, asked, chosen, message = compare.delete_kept(id, f"{kept[0]},{id}")
    assert id not in table and not row.visible and chosen == kept[0] and "is deleted" in message
    assert "There is no evaluation" in compare.delete_kept(id, "")[4] and "again" in compare.delete_kept(None, "")[4]
    with on(PUBLIC):
        assert clicked("delete", kept[0]) == [gr.skip()] * 5 and kept[0] not in compare.kept_html(compare.kept_rows())


@pytest.mark.parametrize("wrong", WRONG)
def test_any_value_from_anybody_is_answered(runs, kept, wrong):
    pair = ",".join(kept[:2])
    for place in range(8):
        given = [pair, "bootstrap", ["bleu"], 5, 7, *SORTING]
        given[place] = wrong
        assert len(compare.show_compared(*given)) == 9
        *_, end = compare.test_difference(PAGE, *given)
        assert len(end) == 5
    for data in (wrong, {"act": wrong, "id": wrong}, {"act": "choose", "id": kept[0], "on": wrong}):
        assert len(compare.act_on_kept(wrong, gr.EventData(None, data))) == 5
    with pytest.raises(gr.Error):
        compare.open_kept(wrong)
    for place in range(3):
        given = ["To be or not", 8, 2]
        given[place] = wrong
        *_, end = text.measure_text(PAGE, GPT, *given)
        assert len(end) == 6 and end[4].visible
        assert len(text.show(GPT, wrong, *given)) == 9
        text.show_page(GPT, *given, wrong)
        text.save_tokens(GPT, *given)


def test_the_losses_of_a_text_are_those_of_the_library(runs, monkeypatch):
    run, words = load("tiny-gpt"), "What light is this? And a cup of coffee. " * 3
    *_, (message, facts, shaded, page, start, stop) = text.measure_text(PAGE, GPT, words, 16, 3)
    found = token_losses(run, words, "", 16, 3)
    np.testing.assert_allclose(found.nats, window_losses(run.model, run.tokenizer.encode(words).ids, 16, 3), atol=1e-6)
    assert message == "" and f"{found.figures['bits_per_byte']:.3f}" in facts and start.visible
    assert shaded.count('class="decoding-token"') == len(found.groups) and not page.visible
    _, file = text.save_tokens(GPT, words, 16, 3)
    saved = json.loads(open(file.value["path"]).read())
    np.testing.assert_allclose([row["nats"] for row in saved["tokens"]], found.nats)
    monkeypatch.setattr(text, "MOST_READ", 200)
    assert "larger stride" in list(text.measure_text(PAGE, GPT, words, 16, 1))[-1][0]
    assert "stride" in list(text.measure_text(PAGE, GPT, words, 8, 9))[-1][0]


def test_the_header_s_text_is_measured_when_the_part_is_opened(runs):
    about, field, context, stride, experiment, message, facts, shaded, page = text.show(GPT, None, "", 0, 0)
    assert field.value == GPT.text and context.visible and experiment.visible and "Bits per byte" in facts
    assert text.show(GPT, about, "", 0, 0) == [gr.skip()] * 9
    _, field, context, *_, facts, shaded, _ = text.show(TRANSLATOR, about, "", 0, 0)
    assert not context.visible and "its own" in field.label
    assert "Bits per byte" in facts or not field.value  # a random model may write nothing
    assert "nope" in text.show(Work("nope", ""), None, "", 0, 0)[5]
    assert "press Measure" in text.show(Work("tiny-gpt", "coffee " * 2_000), None, "", 48, 1)[5]


def test_a_watched_function_is_stopped_at_its_next_sign():
    def work(tell):
        for number in range(10_000):
            tell(number / 10_000)
            time.sleep(0.001)

    with Watched(work) as watched:
        for _ in watched:
            break
    with pytest.raises(InterruptedError):
        print(watched.value)
