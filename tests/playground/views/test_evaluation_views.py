"""Evaluations as HTML and figures: every number that there is, signatures with them, nothing unescaped."""

import html
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from core.decode.config import GenerationConfig
from core.evaluate.request import Evaluation
from core.evaluate.scores import LengthClass, corpus_scores
from core.evaluate.side_by_side import marked, side_by_side
from core.evaluate.significance import paired
from playground.views import evaluation as view
from playground.views.evaluation_compare import figures_spec, table_html
from playground.views.evaluation_lines import LONGEST, lines_html, place_html
from playground.views.evaluation_list import KeptRow, kept_html
from tests.playground.views.test_attention_views import unpacked

HOSTILE = "<script>hacked = 1</script> \"'&`"
REFERENCES = ["the cat sat on the mat .", "a dog ran home .", "she reads a book .", "we went out ."]
GREEDY = ["the cat sat on a mat .", "a dog ran .", "she reads books .", "we went out ."]
BEAM = ["the cat sat on the mat .", "a dog ran home .", "she reads the book .", "we went out ."]


def translated(**changed):
    scores = corpus_scores(GREEDY, REFERENCES, "en", ("bleu", "chrf", "ter"))
    return replace(
        Evaluation(
            "0123456789ab", "translation", "my-run", 0.0, "done", total=4, done=4, data="test.tsv", examples=4,
            language="en", data_sha256="d" * 64, decode=GenerationConfig(strategy="beam"), scores=scores,
            length_classes=(LengthClass(4, 5, 3, {"bleu": 10.0, "chrf": 20.5}), LengthClass(6, 6, 1, {"bleu": 70.25})),
            loss_per_token=1.25, perplexity=math.exp(1.25), tokens=30, seconds=2.0, tokens_written=20,
            command="llm-scratch eval --run=my-run", python="print(1)",
        ),
        **changed,
    )  # fmt: skip


def language(**changed):
    numbers = {"bits_per_byte": 1.5, "perplexity_per_word": None, "bits_per_token": 4.0, "words": None, "bytes": 100}
    one = Evaluation("0123456789ac", "language", "lm", 0.0, "done", total=9, done=9, data="x", examples=1, context=8,
                     stride=2, loss_per_token=2.5, perplexity=12.18, tokens=9, numbers=numbers)  # fmt: skip
    return replace(one, **changed)


def test_a_score_stands_with_its_signature_and_can_be_copied():
    shown = view.scores_html(translated(), "Beam search, 5")
    for name, score in translated().scores.items():
        assert f"<dd>{score.score:.2f}</dd>" in shown and f"<code>{html.escape(score.signature)}</code>" in shown
        copied = f"{view.title_of(name)} {score.score:.2f} {score.signature}"
        assert f'data-copy-text="{html.escape(copied)}"' in shown
    assert "my-run on test.tsv · Beam search, 5" in shown and "1.2500" in shown
    assert "2.0 sentences and 10 tokens a second" in shown and "data dddddddddddd" in shown
    assert html.escape("llm-scratch eval --run=my-run") in shown and "print(1)" in shown


def test_a_language_model_has_its_figures_and_no_number_where_there_is_none():
    shown = view.scores_html(language())
    assert "1.5000" in shown and "12.180" in shown and "context 8, stride 2" in shown
    assert "Perplexity per word" not in shown and "comparable between tokenizers" in shown
    assert view.figures_of(language()) == {
        "bits_per_byte": 1.5, "perplexity": 12.18, "loss_per_token": 2.5, "bits_per_token": 4.0,
    }  # fmt: skip


def test_what_was_stopped_cut_or_found_in_the_training_data_is_said():
    shown = view.scores_html(translated(state="stopped", done=2, truncated=1, overlap={"summary": "Of 4 pairs, 1."}))
    assert "stopped after 2 of 4" in shown and "1 source is longer" in shown and "Of 4 pairs, 1." in shown


def test_length_classes_are_bars_in_their_unit():
    figure = json.loads(view.lengths_spec(translated()))
    assert "in words" in figure["subtitle"] and "in words" in figure["row_axis"]
    assert figure["rows"] == ["4 to 5 (3)", "6 (1)"] and figure["series"] == ["BLEU", "chrF2"]
    values = unpacked(figure["values"])
    assert values[0].tolist() == [10.0, 20.5] and values[1][0] == 70.25 and np.isnan(values[1][1])
    assert "characters" in view.lengths_spec(translated(language="ja"))
    assert view.lengths_spec(translated(length_classes=())) == ""


def test_scores_that_a_run_came_with():
    scores = {"bleu": 41.6092, "bleu_signature": "nrefs:1|tok:char", "chrf": True, "details": {"chrf_signature": "x"}}
    shown = view.carried_html("run", scores)
    assert "41.61" in shown and "nrefs:1|tok:char" in shown and "chrF" not in shown
    assert view.carried_html("run", {}) == "" and view.carried_html("run", {"details": []}) == ""


@pytest.mark.parametrize("several", [False, True])
def test_lines_mark_what_is_in_no_reference(several):
    outputs = {"greedy": GREEDY, "beam": BEAM} if several else {"greedy": GREEDY}
    lines = side_by_side(REFERENCES, REFERENCES, outputs, "en", "chrf", "input", "", ["bleu", "chrf"])
    marks = {
        (line.number, name): marked(line.outputs[name], line.reference, "en") for line in lines for name in outputs
    }
    shown = lines_html(lines, marks, list(outputs), ["bleu", "chrf"], ("", "en"))
    found = [text for segments in marks.values() for text, known in segments if not known]
    assert re.findall(r"<mark>(.*?)</mark>", shown) == found and {"a ", "books "} <= set(found)
    assert shown.count("<tr data-line=") == 4 and shown.count('<th scope="col">') == (5 if several else 6)
    score = lines[0].scores["greedy"]["chrf"]
    assert f"{score:.1f}" in shown
    plain = html.unescape(re.sub("<[^>]+>", "", shown))
    assert all(text in plain for texts in outputs.values() for text in texts)


def test_hostile_texts_are_text_and_long_ones_are_cut():
    texts = [HOSTILE, HOSTILE * 200]
    lines = side_by_side(texts, texts, {HOSTILE: [HOSTILE + "x", ""]}, "en", "chrf", "input")
    shown = lines_html(lines, {}, [HOSTILE], ["chrf"], (HOSTILE, HOSTILE))
    shown += view.scores_html(translated(run=HOSTILE, data=HOSTILE, command=HOSTILE, python=HOSTILE), HOSTILE)
    shown += view.carried_html(HOSTILE, {"bleu": 1, "bleu_signature": HOSTILE})
    shown += kept_html([KeptRow("a", *[HOSTILE] * 5, 0.0), KeptRow("b", *[HOSTILE] * 5, 0.0, "broken", HOSTILE)])
    shown += table_html([HOSTILE], [{"bleu": 1.0}])
    assert (
        "<script" not in shown and "(nothing)" in shown and len(lines_html(lines[1:], {}, [HOSTILE], [])) < 9 * LONGEST
    )
    assert "<script" not in figures_spec([HOSTILE], [{"bleu": 1.0}], HOSTILE)
    assert "No sentence fits" in lines_html([], {}, ["a"], [])


def test_where_one_is_among_the_sentences():
    assert "1 to 50 of 200" in place_html(1, 50, 200, 200) and "of 7 that fit, of 200" in place_html(1, 7, 7, 200)
    assert place_html(1, 0, 0, 0) == "" and "none" in place_html(1, 0, 0, 5)


@pytest.mark.parametrize("method", ["bootstrap", "randomisation"])
def test_compared_scores_stand_with_intervals_and_p_values(method):
    found = paired({"greedy": GREEDY, "beam": BEAM}, REFERENCES, "en", ("bleu", "ter"), method, 50)
    figures = [{name: score.score for name, score in corpus_scores(t, REFERENCES, "en", ("bleu", "ter")).items()}
               for t in (GREEDY, BEAM)]  # fmt: skip
    figure = json.loads(figures_spec(["greedy", "beam"], figures, "four", found))
    assert [panel["title"] for panel in figure["panels"]] == ["BLEU", "TER"]
    assert [panel["lower"] for panel in figure["panels"]] == [False, True]
    for panel, metric in zip(figure["panels"], ("bleu", "ter")):
        np.testing.assert_allclose(unpacked(panel["values"]), [one[metric] for one in figures], rtol=1e-6)
        results = [tested.scores[metric] for tested in found.systems]
        half, p = unpacked(panel["half"]), unpacked(panel["p"])
        assert np.isnan(p[0]) and p[1] == pytest.approx(results[1].p_value)
        assert np.isnan(half).all() if method == "randomisation" else half[0] == pytest.approx(results[0].interval)
    shown = table_html(["greedy", "beam"], figures, found)
    assert "greedy (baseline)" in shown and f"p = {found.systems[1].scores['bleu'].p_value:.4f}" in shown
    assert ("±" in shown) == (method == "bootstrap") and html.escape(found.metrics["bleu"]) in shown
    best_ter = min(one["ter"] for one in figures)
    assert f"<b>{best_ter:.2f}</b>" in shown and f"<b>{figures[0]['bleu']:.2f}</b>" not in shown


def test_equal_scores_are_no_difference():
    found = paired({"a": GREEDY, "b": list(GREEDY)}, REFERENCES, "en", ("bleu",), "bootstrap", 50)
    assert found.systems[1].scores["bleu"].p_value < 0.05  # as sacreBLEU has it
    figures = [{"bleu": one.scores["bleu"].score} for one in found.systems]
    shown = table_html(["a", "b"], figures, found)
    assert "no difference" in shown and "p =" not in shown
    assert np.isnan(unpacked(json.loads(figures_spec(["a", "b"], figures, "", found))["panels"][0]["p"])).all()


def test_kept_evaluations_are_chosen_opened_and_deleted():
    rows = [
        KeptRow("aaaa", "run", "data", "Greedy", "4 pairs", "BLEU 1.00", 0.0),
        KeptRow("bbbb", "run", "data", "Beam", "2 of 4 pairs", "", 0.0, "stopped"),
        KeptRow("cccc", "run", "", "", "", "", 0.0, "broken", "It is broken."),
    ]
    shown = kept_html(rows, {"aaaa"})
    assert re.findall(r'data-act="(\w+)" data-id="(\w+)"', shown) == [
        ("choose", "aaaa"), ("open", "aaaa"), ("delete", "aaaa"), ("open", "bbbb"), ("delete", "bbbb"),
        ("delete", "cccc"),
    ]  # fmt: skip
    assert shown.count(" checked") == 1 and "It is broken." in shown and "stopped" in shown
    assert 'data-act="delete"' not in kept_html(rows, changing=False)
    assert "Nothing has been measured" in kept_html([])
