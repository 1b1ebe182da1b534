"""The Attention tab on small models: the right trace, computed once, and every choice within it."""

import numpy as np
import pytest
import torch

from playground import models
from playground.tabs import attention as tab
from playground.tabs.attention import Choice

TEXT = "I'd like a cup of coffee."


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(tab, "_traces", tab.Memory(maximum=12, max_size=2**28, size=lambda traced: traced.nbytes))


@pytest.mark.parametrize("name", ["tiny-gpt", "tiny-llama"])
def test_a_text_models_attention_is_the_forward_passes_own(runs, name):
    run = models.get_run(name)
    traced = tab.trace(name, TEXT, None)
    ids = [1, *run.tokenizer.encode(TEXT).ids]
    expected = run.model(torch.tensor([ids]), trace=True).trace.attention["self"]
    maps = traced.kinds["self"]
    assert list(traced.kinds) == ["self"] and maps.causal
    np.testing.assert_allclose(maps.weights, torch.cat(expected).detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(maps.weights.sum(-1), 1, atol=1e-5)
    assert (maps.weights[..., *np.triu_indices(len(ids), 1)] == 0).all()
    assert maps.queries == maps.keys and len(maps.queries) == len(ids) and maps.queries[0] == "<s>"
    assert maps.written[:-1] == maps.queries[1:]


def test_a_translators_attention_has_three_kinds_with_its_own_translation_as_target(runs):
    from core.decode import generate

    run = models.get_run("tiny-transformer")
    traced = tab.trace("tiny-transformer", TEXT, None)
    assert list(traced.kinds) == ["cross", "encoder", "self"]
    source, target = len(run.tokenizer.encode(TEXT).ids) + 1, len(traced.kinds["self"].queries)
    assert traced.kinds["cross"].weights.shape == (3, 4, target, source)
    assert traced.kinds["encoder"].weights.shape == (2, 4, source, source)
    assert traced.kinds["self"].weights.shape == (3, 4, target, target)
    for maps in traced.kinds.values():
        np.testing.assert_allclose(maps.weights.sum(-1), 1, atol=1e-5)
    own = generate(run, [TEXT], run.config.decode)[0]
    assert traced.target == run.tokenizer.decode([id for id in own.ids if id != 2])


def test_a_typed_target_is_read_as_typed(runs):
    run = models.get_run("tiny-transformer")
    traced = tab.trace("tiny-transformer", TEXT, "コーヒー")
    ids = run.tokenizer.encode("コーヒー").ids
    assert traced.target == "コーヒー" and len(traced.kinds["cross"].queries) == len(ids) + 1
    assert traced.kinds["cross"].written[-1] == "</s>"
    memory = run.model.encode(torch.tensor([[*run.tokenizer.encode(TEXT).ids, 2]]))
    expected = run.model(torch.tensor([[1, *ids]]), memory=memory, trace=True).trace.attention["cross"]
    np.testing.assert_allclose(traced.kinds["cross"].weights, torch.cat(expected).detach().numpy(), atol=1e-6)
    assert tab.trace("tiny-transformer", TEXT, "").kinds["cross"].weights.shape[2] == 1  # an empty target: only <s>


def test_nothing_is_computed_again_when_only_the_head_changes(runs, monkeypatch):
    calls = []
    real = tab.trace_attention
    monkeypatch.setattr(tab, "trace_attention", lambda *args: calls.append(args[1]) or real(*args))
    settled = ("tiny-transformer", TEXT)
    typed, *_ = tab.follow(settled, "cross", 1, 1, "whole", False)
    for layer in (1, 2, 3):
        for head in (1, 2, 3, 4):
            tab.change_head(settled, typed, "cross", layer, head, "whole", False)
    tab.change_kind(settled, typed, "encoder", 2, 1, "whole", True)
    assert calls == [TEXT]
    tab.retarget(settled, None, "別の訳", "cross", 1, 1, "whole", False)
    assert calls == [TEXT, TEXT]


def test_the_memory_is_bounded(runs, monkeypatch):
    one = tab.trace("tiny-gpt", "a", None).nbytes
    monkeypatch.setattr(tab, "_traces", tab.Memory(maximum=3, max_size=10**9, size=lambda traced: traced.nbytes))
    for text in "abcde":
        tab.trace("tiny-gpt", text, None)
    assert len(tab._traces) == 3
    monkeypatch.setattr(tab, "_traces", tab.Memory(maximum=9, max_size=2 * one, size=lambda traced: traced.nbytes))
    for text in "abcde":
        tab.trace("tiny-gpt", text, None)
    assert len(tab._traces) == 2


def test_choices_are_kept_within_the_model(runs):
    traced = tab.trace("tiny-transformer", TEXT, None)
    assert Choice("cross", 99, 99, "7,7").within(traced) == Choice("cross", 3, 4, "whole")
    assert Choice("encoder", 3, -1, "whole").within(traced) == Choice("encoder", 2, 1, "whole")
    assert Choice("nonsense").within(tab.trace("tiny-gpt", TEXT, None)).kind == "self"
    weights = traced.kinds["cross"].weights  # nothing chosen yet: the head that finds most source tokens
    found = {(i + 1, j + 1): weights[i, j].max(axis=0).mean() for i in range(3) for j in range(4)}
    for nothing in (0, None):
        chosen = Choice("cross", nothing, nothing, "whole").within(traced)
        assert (chosen.layer, chosen.head) == max(found, key=found.get)


def test_a_click_on_a_small_picture_opens_that_head(runs):
    class Event:
        _data = {"layer": 1, "head": 3}

    settled = ("tiny-gpt", TEXT)
    layer, head, figure, *_ = tab.open_head(settled, None, "self", 1, 1, "whole", False, Event())
    assert (layer, head) == (2, 4)
    assert "layer 2 of 2 · head 4 of 4" in figure.layout.title.text
    weights = tab.trace(*settled, None).kinds["self"].weights[1, 3]
    np.testing.assert_allclose(figure.data[0].z, np.where(np.tri(len(weights)), weights, np.nan), atol=1e-6)


def test_what_does_not_fit_is_cut_and_said(runs):
    long = "coffee and more coffee " * 60
    traced = tab.trace("tiny-gpt", long, None)
    assert len(traced.kinds["self"].queries) == 48 and "first 48 are read" in traced.notes[0]
    translated = tab.trace("tiny-transformer", long, long)
    assert len(translated.kinds["encoder"].queries) == 48 and translated.kinds["encoder"].queries[-1] == "</s>"
    assert len(translated.kinds["self"].queries) == 48 and len(translated.notes) == 2


@pytest.mark.parametrize(
    "text", ["", "  \n ", "\x00", "\ud800", "\U0001f469\u200d\U0001f467", "<s></s><script>", "x" * 100_000]
)
@pytest.mark.parametrize("name", ["tiny-gpt", "tiny-transformer"])
def test_any_text_gives_attention_or_a_sentence(runs, name, text):
    message, *rest = tab._everything((name, text), None, Choice(), True)
    if name == "tiny-transformer" and not text.strip():
        assert 'role="alert"' in message and rest[0]["visible"] is False
        assert tab.change_head((name, text), None, "cross", 1, 1, "whole", True) == (None, "", "")
    else:
        assert 'role="alert"' not in message and rest[0]["visible"] and rest[7] is not None
        assert "<script>" not in "".join(part for part in rest[6:] if isinstance(part, str))


def test_leaving_the_target_as_it_is_computes_and_changes_nothing(runs):
    settled = ("tiny-transformer", TEXT)
    own = tab.trace(*settled, None).target
    updates = tab.retarget(settled, None, own, "cross", 1, 1, "whole", False)
    assert all(update["__type__"] == "update" for update in updates) and len(tab._traces) == 1
