"""The figures of the Internals tab: what is sent are the numbers themselves, and names are text whatever they hold."""

import json

import numpy as np
import pytest

from core.analysis.ablation import Ablation, Outcome
from core.analysis.attribution import Attribution, Part
from core.analysis.lens import Lens, Norms
from playground.views.ablation import losses_spec, outcome_html, probabilities_spec, progress_html, switches_spec
from playground.views.attribution import keys_spec, map_columns, map_spec, part_name, parts_spec
from playground.views.bars import bars_spec
from playground.views.lens import lens_spec
from tests.playground.views.test_attention_views import unpacked

HOSTILE = "</script><b>&\"'\n\u202e"


def some_lens(rng, layers=4, positions=3, top=2):
    shape = layers, positions
    floats = {name: rng.normal(size=shape).astype(np.float32) for name in ("entropy", "divergence", "own", "other")}
    ids = rng.integers(0, 9, size=(*shape, top)).astype(np.int32)
    return Lens(
        list(range(layers)), [4, 5, 9], ids, rng.random((*shape, top)).astype(np.float32), floats["entropy"],
        floats["divergence"], np.array([1, 2, 3], np.int32), np.ones(shape, np.int32), floats["own"],
        np.array([5, -1, 7], np.int32), np.ones(shape, np.int32), floats["other"],
    )  # fmt: skip


def test_the_lens_sends_its_numbers_and_each_name_once():
    rng = np.random.default_rng(0)
    found = some_lens(rng)
    norms = Norms(rng.random((4, 12)).astype(np.float32), {"self": rng.random((3, 12)), "mlp": rng.random((3, 12))})
    names = {id: f"{HOSTILE}{id}" for id in range(9)}
    text = lens_spec(found, norms, names, ["a", "b", HOSTILE], ["b", HOSTILE, "d"], 9)
    figure = json.loads(text)
    assert "<" not in text and figure["read"][2] == HOSTILE and figure["written"][1] == HOSTILE
    top = unpacked(figure["top"])
    assert np.array(figure["ids"])[top].tolist() == found.ids.tolist()
    assert [figure["words"][place] for place in top.ravel()] == [names[id] for id in found.ids.ravel().tolist()]
    assert len(figure["ids"]) == len(set(found.ids.ravel().tolist()))
    np.testing.assert_array_equal(unpacked(figure["shares"]), found.probabilities)
    np.testing.assert_array_equal(unpacked(figure["final_logprob"]), found.final_logprob)
    assert figure["final"] == [names[1], names[2], names[3]] and figure["followed"] == [names[5], "", names[7]]
    np.testing.assert_array_equal(unpacked(figure["stream"]), norms.stream[:, [4, 5, 9]])
    self_added, mlp_added = (unpacked(one["values"]) for one in figure["added"])
    assert np.isnan(self_added[0]).all() and np.isnan(mlp_added[0]).all()  # nothing is added where embeddings stand
    np.testing.assert_allclose(self_added[1:], norms.added["self"][:, [4, 5, 9]], rtol=1e-6)


def some_parts():
    heads = [Part("head", layer + head / 10, layer, kind, head) for layer in (0, 1) for kind in ("self", "cross")
             for head in (0, 1, 2)]  # fmt: skip
    rest = [Part("embedding", 0.5), Part("position", -0.25), Part("mlp", 2.0, 0), Part("mlp", -3.0, 1),
            Part("norm bias", 0.125, 1, "cross"), Part("norm bias", 0.25), Part("output bias", 1.0)]  # fmt: skip
    parts = rest[:2] + heads + rest[2:]
    return Attribution(3, 7, None, sum(part.value for part in parts), parts)


def test_bars_of_a_logit_and_their_groups():
    found = some_parts()
    figure = json.loads(parts_spec(found, HOSTILE, "", cross=True))
    values = unpacked(figure["values"])[:, 0]
    np.testing.assert_allclose(values, [part.value for part in found.parts])
    assert figure["title"] == HOSTILE and len(set(figure["rows"])) == len(found.parts)
    layers = {group["title"]: group["of"] for group in figure["groups"]}["layers"]
    for layer in (0, 1):
        of_layer = sum(v for v, name in zip(values, layers, strict=True) if name == f"layer {layer + 1}")
        of_parts = sum(part.value for part in found.parts if part.layer == layer)
        assert of_layer == pytest.approx(of_parts, abs=1e-6) and of_parts != 0
    assert [row for row, sent in enumerate(figure["sends"]) if sent is not None] == list(range(2, 14))
    assert f"{found.logit:.5f}" in figure["note"]


def test_the_map_of_a_logit():
    found = some_parts()
    figure = json.loads(map_spec(found, "t", "s"))
    columns = map_columns(found)
    assert [name for name, _, _ in columns] == figure["columns"] and columns[-1] == ("feed-forward", "", -1)
    values = unpacked(figure["values"])
    for part in found.parts:
        if part.kind in ("head", "mlp"):
            place = [(kind, head) for _, kind, head in columns].index((part.attention, part.head))
            assert values[part.layer, place] == pytest.approx(part.value)
    one_kind = Attribution(0, 1, None, 1.0, [part for part in found.parts if part.attention != "cross"])
    assert map_columns(one_kind)[0] == ("head 1", "self", 0)


def test_parts_have_names_for_people():
    assert part_name(Part("mlp", 0, 0), False) == "L1 · feed-forward"
    assert part_name(Part("head", 0, 1, "self", 0), False) == "L2 · head 1"
    assert part_name(Part("attention bias", 0, 0, "self"), False) == "L1 · attention bias"
    assert part_name(Part("attention bias", 0, 0, "cross"), True) == "L1 · cross bias"
    assert part_name(Part("norm bias", 0, 0), True) == "L1 · bias of the norm after feed-forward"
    assert part_name(Part("norm bias", 0), True) == "bias of the last norm"


def test_bars_refuse_what_does_not_fit_and_take_none():
    assert json.loads(bars_spec("x", "t", "", [], np.zeros((0, 2)), ("a", "b")))["values"]["shape"] == [0, 2]
    with pytest.raises(ValueError):
        bars_spec("x", "t", "", ["a"], np.zeros((1, 3)), ("a", "b"))
    assert json.loads(keys_spec(np.array([0.5, np.nan]), ["a", HOSTILE], "t", ""))["rows"][1].endswith(HOSTILE)


def some_ablation(count, written=HOSTILE):
    rng = np.random.default_rng(1)
    before, after = (rng.random(count).astype(np.float32) for _ in range(2))
    chances = rng.random((2, 4)).astype(np.float32)
    return Ablation(1, [1, 2, 3, 4], list(range(count)), Outcome(written, before, chances[0]),
                    Outcome("", after, chances[1]))  # fmt: skip


def test_before_and_after_side_by_side():
    found = some_ablation(5)
    html = outcome_html(found, 3, "Its translation")
    assert "</script>" not in html and "&lt;b&gt;" in html and "After: 3 switched off" in html
    assert f"{found.loss_change:+.4f}" in html and f"{found.before.losses.mean():.4f}" in html
    figure = json.loads(losses_spec(found, list("abcde"), "text"))
    np.testing.assert_array_equal(unpacked(figure["values"])[:, 1], found.after.losses)
    assert figure["sends"] == [0, 1, 2, 3, 4] and figure["chosen"] == 1
    chances = unpacked(json.loads(probabilities_spec(found, list("abcd"), HOSTILE))["values"])
    np.testing.assert_array_equal(chances, np.stack([found.before.probabilities, found.after.probabilities], 1))
    nothing = some_ablation(0)
    assert "no token to predict" in outcome_html(nothing, 0, "") and "nan" not in outcome_html(nothing, 0, "")
    assert json.loads(losses_spec(nothing, [], "text"))["rows"] == []


def test_of_a_long_text_the_tokens_that_change_most():
    found = some_ablation(1_000)
    figure = json.loads(losses_spec(found, [str(i) for i in range(1_000)], "text"))
    change = np.abs(found.after.losses - found.before.losses)
    assert len(figure["rows"]) == 400 and figure["sends"] == sorted(figure["sends"])
    assert change[figure["sends"]].min() >= np.sort(change)[-400]
    assert len(losses_spec(found, [str(i) for i in range(1_000)], "text")) < 30_000


def test_switches_and_how_far_it_is():
    changes = {"self": np.array([[0.5, np.nan]], np.float32)}
    text = switches_spec([("self", 1, 2), ("mlp", 1, 1)], ["self.1.2"], HOSTILE, True, changes)
    figure = json.loads(text)
    assert [block["title"] for block in figure["blocks"]] == ["Decoder self-attention", "Feed-forward"]
    assert "changes" not in figure["blocks"][1] and figure["off"] == ["self.1.2"] and figure["of"] == HOSTILE
    np.testing.assert_array_equal(unpacked(figure["blocks"][0]["changes"]), changes["self"])
    assert "<progress" in progress_html(1, 3, "running") and "<progress" not in progress_html(3, 3, "done")
