"""The Translation part: attention of the tokens that were written, choices and scores as the libraries give them."""

import json
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from core.analysis.reading import read, read_translation
from core.decode import generate
from core.decode.config import GenerationConfig
from core.run import load
from playground.site import PUBLIC, on
from playground.tabs.decoding import translation as part
from playground.tabs.decoding.work import Work
from playground.views.translation import CELLS, attention_spec
from tests.playground.views.test_attention_views import unpacked

PAGE = SimpleNamespace(session_hash="page")
SETTINGS = (3, 1.0, 6, 1.0, "chrf", 2)  # beams, length penalty, samples, temperature, likeness, seed
WORK = Work("tiny-transformer", "I'd like a cup")
BEAM = GenerationConfig(strategy="beam", num_beams=3, num_return_sequences=3, max_new_tokens=12)


def pictures(work=WORK, reference="", settings=SETTINGS):
    return list(part.translate_by_hand(PAGE, work, reference, *settings))


@pytest.fixture
def found(runs):
    return pictures()[-1][4]


def test_the_candidates_are_those_of_generate(found):
    run = load(WORK.model)
    beams = generate(run, [WORK.text], BEAM)[0].hypotheses
    *kept, chosen = found.candidates
    assert [list(one.ids) for one in kept] == [hypothesis.ids for hypothesis in beams]
    assert [one.score for one in kept] == pytest.approx([hypothesis.score for hypothesis in beams], abs=1e-6)
    config = GenerationConfig(strategy="mbr", num_samples=6, seed=2, max_new_tokens=12)
    best = generate(run, [WORK.text], config)[0].best
    assert (chosen.kind, chosen.text) == ("mbr", best.text) and chosen.utility == pytest.approx(best.score)
    samples = generate(
        run, [WORK.text], GenerationConfig(strategy="sample", num_return_sequences=6, seed=2, max_new_tokens=12)
    )[0].hypotheses
    for one in found.candidates:
        scores = [CHRF().sentence_score(one.text, [sample.text]).score for sample in samples]
        assert one.utility == pytest.approx(np.mean(scores), abs=1e-6)


def test_the_attention_is_that_of_the_tokens_that_were_written(found):
    run = load(WORK.model)
    shown = pictures()
    data = json.loads(shown[0][2])
    reading = read_translation(run, list(found.source), list(found.candidates[0].ids))
    assert reading.written_ids[: len(found.candidates[0].ids)] == list(found.candidates[0].ids)
    layers = [reading.layer_attention("cross", layer).mean(axis=0) for layer in range(3)]
    for name, expected in {"0": layers[0], "2": layers[2], "mean": np.mean(layers, axis=0)}.items():
        values = unpacked(data["weights"][name])
        np.testing.assert_allclose(values, expected[: len(values)], atol=1e-6)
        np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-5)
    assert len(data["produced"]) == len(found.candidates[0].ids) and len(data["source"]) == len(found.source)
    for place in range(len(found.candidates)):
        other = json.loads(part.show_candidate(WORK, found, str(place)))
        assert len(other["produced"]) == len(found.candidates[place].ids)


@pytest.mark.parametrize("text", ["I'd like a cup", "Hello."])
def test_reading_a_translation_is_reading_its_own(runs, text):
    run = load(WORK.model)
    own = read(run, text)
    ids = [*own.ids[1:], *([own.written_ids[-1]] if own.written_ids[-1] >= 0 else [])]
    again = read_translation(run, own.source, ids)
    assert again.ids == own.ids and again.written == own.written
    np.testing.assert_allclose(again.attention("cross", 1, 2), own.attention("cross", 1, 2), atol=1e-6)


def test_a_reference_is_scored_as_sacrebleu_scores_it(found):
    reference = found.candidates[1].text + " 杯"
    html = part.score_candidates(found, f" {reference} ")
    for one in found.candidates:
        assert f"{CHRF().sentence_score(one.text, [reference]).score:.2f}" in html
    bleu, chrf = part.against("the cat sat on the mat", "the cat is on the mat")
    expected = BLEU(effective_order=True).sentence_score("the cat sat on the mat", ["the cat is on the mat"]).score
    assert bleu == pytest.approx(expected) and chrf > 50
    assert "BLEU" not in part.score_candidates(found, "  ") and "<th" in part.score_candidates(found, "")
    assert part.score_candidates("nonsense", "x") == gr.skip()
    assert "&lt;b&gt;" not in html and len(part.score_candidates(found, "x" * 10**6)) > 0


def test_the_beams_come_first_and_stop_keeps_them(runs):
    steps = part.translate_by_hand(PAGE, WORK, "", *SETTINGS)
    first = next(steps)
    assert first[4].samples == 0 and json.loads(first[2])
    part.stop_translation(PAGE)
    (last,) = list(steps)
    assert "Stopped by you" in last[0] and last[2] == gr.skip()


@pytest.mark.parametrize(
    "work, words",
    [(Work("tiny-gpt", "x"), "tiny-gpt continues texts"), (Work("", "x"), "There is no"), (Work("no", "x"), "no")],
    ids=str,
)
def test_what_does_not_translate_is_a_kind_sentence(runs, work, words):
    ((message, _, figure, table, found),) = pictures(work)
    assert words in message and figure == table == "" and found == part.Found()


def test_nothing_to_translate(runs):
    last = pictures(Work("tiny-transformer", "  "))[-1]
    assert last[2] == "" and "(nothing)" in last[3]


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("value", [None, float("nan"), "x", [], -5, 10**9, True], ids=repr)
def test_settings_that_nobody_can_choose(runs, place, value):
    settings = [*SETTINGS]
    settings[place] = value
    assert len(pictures(settings=settings)[-1]) == 5


@pytest.mark.parametrize("shown", [None, "x", "99", "-1", 0, [], "²"], ids=repr)
def test_a_candidate_that_there_is_not(found, shown):
    assert part.show_candidate(WORK, found, shown) == gr.skip()
    assert part.show_candidate(WORK._replace(text="another"), found, "0") == gr.skip()
    assert part.show_candidate(WORK, "nonsense", "0") == gr.skip()


def test_a_long_text_sends_two_layers():
    rows = int((CELLS / 4) ** 0.5) + 50
    figure = json.loads(attention_spec([np.zeros((rows, rows))] * 3, ["x"] * rows, ["y"] * rows, "A title"))
    assert list(figure["weights"]) == ["mean", "2"]


def test_a_public_page_offers_less(runs):
    with gr.Blocks():
        made = part.build(PUBLIC, WORK)
    assert made.settings[0].maximum == PUBLIC.beams and made.settings[2].maximum == PUBLIC.samples
    with on(PUBLIC):
        assert "does not offer" in pictures(settings=(12, *SETTINGS[1:]))[-1][0]
        assert pictures(settings=[field.value for field in made.settings])[-1][4].samples == PUBLIC.samples
