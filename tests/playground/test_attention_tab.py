"""The Attention tab on small models: one reading, computed once, and every choice within it."""

import json

import gradio as gr
import numpy as np
import pytest

from core.analysis.head_scores import SCORES
from playground import models, readings
from playground.header import build_header
from playground.memory import Memory
from playground.readings import Work, at_place, place_of, reading_of, survey_of, within
from playground.tabs import attention as tab
from playground.tabs import target as target_row
from playground.tabs.attention import heads, lines
from tests.playground.views.test_attention_views import unpacked

TEXT = "I'd like a cup of coffee."
TRANSLATION = ("tiny-transformer", TEXT)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(readings, "_kept", Memory(maximum=9, max_size=2**28, size=lambda kept: kept.nbytes, each=4))


@pytest.fixture(scope="module")
def built(small_runs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(small_runs))
        with gr.Blocks():
            header = build_header()
            made = tab.build()
            tab.wire(made, header)
    return made


def refresh(built, settled, place="", target=None, opened="Heads", drawn=None, open_tab="Attention"):
    inputs = [component.value for component in built.inputs]
    values = built.refresh(open_tab, settled, target, place, opened, drawn or {}, *inputs)
    names = ["place", "pickers", "kind", "layer", "head", "row", "target", "work", "drawn"]
    return dict(zip(names, values)), dict(zip([id(view) for view in built.views], values[len(names) :]))


def test_the_open_part_shows_the_place_and_the_pickers_follow(runs, built):
    for settled, place in ((TRANSLATION, "encoder.2.3"), (("tiny-llama", TEXT), "self.1.4")):
        shown, views = refresh(built, settled, place)
        assert shown["place"] == place
        kind, layer, head = place.split(".")
        assert (shown["kind"].value, shown["layer"].value, shown["head"].value) == (kind, int(layer), int(head))
        work = shown["work"]
        figure = json.loads(views[id(built.parts["Heads"].map)])
        expected = reading_of(work).attention(kind, int(layer) - 1, int(head) - 1)
        np.testing.assert_allclose(unpacked(figure["values"]), expected, atol=1e-7)
        assert f"layer {layer} of" in figure["title"] and f"head {head} of 4" in figure["title"]
        assert ("key-value head 2 of 2" in figure["title"]) == (settled[0] == "tiny-llama")
        others = [view for part in list(built.parts)[1:] for view in built.parts[part].views]
        assert all(views[id(view)] == gr.skip() for view in others)


def test_without_a_place_it_is_the_head_that_finds_most(runs, built):
    shown, _ = refresh(built, TRANSLATION)
    work = shown["work"]
    reading = reading_of(work)
    found = {(i, j): reading.attention("cross", i, j).max(axis=0).mean() for i in range(3) for j in range(4)}
    assert (work.kind, work.layer, work.head) == ("cross", *max(found, key=found.get))


def test_another_head_sends_no_small_pictures_and_reads_nothing_again(runs, monkeypatch):
    calls = []
    real = readings.read
    monkeypatch.setattr(readings, "read", lambda *args: calls.append(args[1]) or real(*args))
    work = within(Work(*TRANSLATION, kind="cross", layer=0, head=0))
    _, grid, _, _, shown = heads.show(work, "whole", None)
    assert json.loads(grid)["kind"] == "heads"
    for layer in range(3):
        for head in range(4):
            _, grid, large, _, again = heads.show(work._replace(layer=layer, head=head), "whole", shown)
            assert grid == gr.skip() and again == shown and f"layer {layer + 1} of 3 · head {head + 1}" in large
    _, grid, *_ = heads.show(within(work._replace(kind="encoder")), "whole", shown)
    assert grid != gr.skip() and calls == [TEXT]
    lines.show(work)
    assert calls == [TEXT]


def test_what_is_shown_already_is_not_drawn_again(runs, built):
    shown, _ = refresh(built, TRANSLATION, "cross.1.1")
    again, views = refresh(built, TRANSLATION, "cross.1.1", drawn=shown["drawn"])
    assert all(value == gr.skip() for value in [*again.values(), *views.values()])
    hidden, views = refresh(built, TRANSLATION, "cross.1.2", open_tab="Decoding")
    assert all(value == gr.skip() for value in [*hidden.values(), *views.values()])


def test_a_model_that_cannot_be_read_is_one_sentence(runs, built):
    for settled in (("tiny-transformer", " "), ("no-such-run", "x"), ("", "x")):
        shown, views = refresh(built, settled, "cross.1.1")
        assert not shown["pickers"].visible and 'role="alert"' in views[id(built.parts["Heads"].message)]
        assert views[id(built.parts["Heads"].map)] == "" == views[id(built.parts["Heads"].grid)]


def test_a_place_is_what_it_says_and_nothing_else(runs):
    work = within(Work(*TRANSLATION))
    for place in ("cross.1.1", "encoder.2.4", "self.3.1"):
        assert place_of(within(at_place(work, place))) == place
    for nonsense in (
        None,
        "",
        5,
        "cross",
        "cross.1",
        "cross.-1.2",
        "cross.1.2.3",
        "x.1.1",
        "cross.١.1",
        "self.99999.1",
    ):
        now = at_place(work, nonsense)
        assert now == work or (now.layer, now.head) != (-2, -2) and within(now)
    assert place_of(within(at_place(work, "encoder.99.99"))) == "encoder.2.4"
    assert place_of(within(at_place(Work("tiny-gpt", TEXT), "cross.2.1"))) == "self.2.1"
    assert place_of(within(at_place(work, "cross.0.0"))) == "cross.1.1"


def test_a_click_on_a_small_picture_is_a_place(runs):
    def clicked(data, place="cross.2.1"):
        event = type("Event", (), {"_data": data})()
        return heads.open_head(place, event)

    assert clicked({"layer": 1, "head": 3}) == "cross.2.4"
    assert clicked({"layer": 0, "head": 0, "kind": "encoder"}) == "encoder.1.1"
    for wrong in (None, {}, {"layer": "1", "head": 2}, {"layer": -1, "head": 0}, {"layer": 1e9, "head": 0}, [1, 2]):
        assert clicked(wrong) == gr.skip()


def test_a_typed_target_is_read_until_the_text_changes(runs, built):
    own = reading_of(Work(*TRANSLATION)).target
    assert target_row.type_target(own, TRANSLATION, None) == gr.skip()  # as it is shown
    kept = target_row.type_target("別の訳", TRANSLATION, None)
    assert target_row.typed_target(TRANSLATION, kept) == "別の訳"
    assert target_row.typed_target(("tiny-transformer", "another text"), kept) is None
    shown, _ = refresh(built, TRANSLATION, target=kept)
    assert shown["work"].target == "別の訳" and shown["target"] == gr.skip() and shown["row"].visible
    assert reading_of(shown["work"]).target == "別の訳"
    shown, _ = refresh(built, TRANSLATION, target=target_row.own_target())
    assert shown["target"] == own
    assert refresh(built, ("tiny-gpt", TEXT))[0]["row"].visible is False
    for wrong in ("x", 5, [1], ["a", "b"], {}):
        assert target_row.typed_target(TRANSLATION, wrong) is None


def test_readings_are_kept_for_each_visitor_and_let_go(runs, monkeypatch):
    visitor = ["one"]
    monkeypatch.setattr(readings, "owner", lambda: visitor[0])
    for text in "abcdef":
        reading_of(Work("tiny-gpt", text))
    assert len(readings._kept) == 4  # of the six, the last ones
    visitor[0] = "two"
    calls = []
    real = readings.read
    monkeypatch.setattr(readings, "read", lambda *args: calls.append(args[1]) or real(*args))
    reading_of(Work("tiny-gpt", "f"))  # shared, and now kept by both
    reading_of(Work("tiny-gpt", "g"))
    assert calls == ["g"] and len(readings._kept) == 5
    readings.forget(type("Request", (), {"session_hash": "one"})())
    assert len(readings._kept) == 2
    readings.forget(type("Request", (), {"session_hash": "two"})())
    assert len(readings._kept) == 0


def test_the_survey_is_of_all_heads(runs):
    work = within(Work(*TRANSLATION, kind="self"))
    seen = survey_of(work)
    assert seen.small.shape[:2] == (3, 4) and seen is survey_of(work)
    assert set(seen.scores) == {name for name, score in SCORES.items() if "self" in score.kinds}


def test_a_long_text_is_looked_at_part_by_part(runs, monkeypatch):
    from playground.views import attention as view

    monkeypatch.setattr(view, "PART", 16)
    work = within(Work("tiny-gpt", "coffee and more coffee " * 60))
    message, _, large, box, _ = heads.show(work, "1,0", None)
    assert "first 48 are read" in message and box.visible and box.value == "1,0"
    values = unpacked(json.loads(large)["values"])
    np.testing.assert_allclose(values, reading_of(work).attention("self", work.layer, work.head)[16:32, :16])
    for nonsense in ("0,7", "x", None, 5):
        assert heads.show(work, nonsense, None)[3].value == "whole"


@pytest.mark.parametrize(
    "text", ["", "  \n ", "\x00", "\ud800", "\U0001f469\u200d\U0001f467", "<s></s><script>", "x" * 100_000]
)
@pytest.mark.parametrize("name", ["tiny-gpt", "tiny-transformer"])
def test_any_text_gives_attention_or_a_sentence(runs, name, text):
    models.get_run(name)
    message, grid, large, *_ = heads.show(Work(name, text), "whole", None)
    _, drawn = lines.show(Work(name, text))
    if name == "tiny-transformer" and not text.strip():
        assert 'role="alert"' in message and (grid, large, drawn) == ("", "", "")
    else:
        assert 'role="alert"' not in message and grid and large and drawn
        assert "<script>" not in grid + large + drawn
