"""Losses of single tokens: against teacher forcing and the loss of the whole; spans that tear no character."""

import math
import random

import numpy as np
import pytest
import torch

from core import load
from core.data.corpus import Pair
from core.decode.scoring import score_tokens
from core.decode.search import input_ids
from core.errors import ConfigError, TextError
from core.evaluate.language import evaluate_language
from core.evaluate.token_losses import TOGETHER, token_losses, whole_characters
from core.evaluate.translation import loss_per_token
from core.evaluate.windows import window_losses

NASTY = [
    "To be, or not to be: that is the question.", "x", "\n", "  ", "コーヒーを一杯ください。", "が e\u0301 👨‍👩‍👧 🇯🇵 x",
    "a\ud800b", "\u202e<b onclick='x'>&amp;\"</b>", "\0\t\r\n", "e" + "\u0301" * 20, "ﬁ ﷽ Å",
]  # fmt: skip


@pytest.fixture(scope="module")
def gpt():
    return load("demo-gpt")


@pytest.fixture(scope="module")
def translator():
    return load("demo-transformer")


@pytest.mark.parametrize("text", NASTY)
def test_a_short_text_is_teacher_forcing(gpt, text):
    found = token_losses(gpt, text)
    ids = gpt.tokenizer.encode(text).ids
    scores = score_tokens(gpt, [gpt.model.bos_id], ids)
    assert found.encoding.ids == ids and len(found) == len(ids)
    np.testing.assert_allclose(-found.nats, [score.logprob for score in scores], atol=1e-5)
    np.testing.assert_array_equal(found.ranks, [score.rank for score in scores])
    np.testing.assert_allclose(found.entropies, [score.entropy for score in scores], atol=1e-4)
    if text.strip():
        whole = evaluate_language(gpt, [text])
        assert found.figures.pop("words") == whole["words"]
        figures = {name: value for name, value in found.figures.items() if value is not None}
        assert figures == pytest.approx({name: whole[name] for name in figures}, rel=1e-5)


@torch.inference_mode()
def test_the_most_probable_tokens(gpt):
    found = token_losses(gpt, NASTY[0])
    inputs = torch.tensor([[gpt.model.bos_id, *found.encoding.ids[:-1]]])
    expected = gpt.model(inputs).logits[0].softmax(-1)
    for place, probabilities in enumerate(expected):
        np.testing.assert_allclose(found.best_probabilities[place], probabilities.topk(5).values, rtol=1e-4)
        np.testing.assert_allclose(found.best_probabilities[place], probabilities[found.best[place]], rtol=1e-4)
    rows = found.rows()
    assert [row["position"] for row in rows] == list(range(len(found)))
    for row in rows:
        assert row["probability"] == pytest.approx(math.exp(-row["nats"])) == pytest.approx(2 ** -row["bits"])
        assert (row["rank"] == 1) == (row["probability"] >= row["best_probability"] * (1 - 1e-6))
    assert rows[0]["token"] == "T" and "".join(found.text[row["start"] : row["end"]] for row in rows) == NASTY[0]


def test_a_long_text_is_read_in_windows(gpt):
    text, shares = NASTY[0] * 40, []
    ids = gpt.tokenizer.encode(text).ids
    assert len(ids) > 2 * gpt.model.max_seq_len
    for context, stride in ((0, 0), (64, 24)):
        found = token_losses(
            gpt, text, context=context, stride=stride, progress=lambda share, what: shares.append(share)
        )
        np.testing.assert_allclose(found.nats, window_losses(gpt.model, ids, context, stride), atol=1e-5)
        assert (found.context, found.stride) == (context or gpt.model.max_seq_len, stride or gpt.model.max_seq_len)
    assert shares[-1] == 1.0


def test_a_translation_given_its_source(translator):
    source, reference = "I would like a cup of coffee.", "コーヒーを一杯ください。"
    found = token_losses(translator, reference, source)
    tokenizer = translator.tokenizer.for_target()
    ids = [*tokenizer.encode(reference).ids, translator.model.eos_id]
    scores = score_tokens(translator, input_ids(translator, source), ids)
    assert found.encoding.ids == ids
    np.testing.assert_allclose(-found.nats, [score.logprob for score in scores], atol=1e-5)
    loss, tokens = loss_per_token(translator, [Pair(source, reference)])
    assert (found.figures["tokens"], found.figures["loss_per_token"]) == (tokens, pytest.approx(loss, rel=1e-5))
    assert found.figures["words"] is None and found.encoding.char_spans[-1] == (len(reference),) * 2
    other = token_losses(translator, reference, "He reads a book.")
    assert other.nats.sum() > found.nats.sum() + 1  # the source is read


@pytest.mark.parametrize("name, text, source, windows, error, sentence", [
    ("demo-gpt", "", "", {}, TextError, "empty"),
    ("demo-gpt", "x", "y", {}, TextError, "without a source"),
    ("demo-gpt", "x", "", {"stride": 10**6}, ConfigError, "stride"),
    ("demo-transformer", "x", "", {}, TextError, "source is empty"),
    ("demo-transformer", "x", " \n", {}, TextError, "source is empty"),
    ("demo-transformer", "", "x", {}, TextError, "empty"),
    ("demo-transformer", "x", "x", {"stride": 1}, ConfigError, "translates"),
    ("demo-transformer", "x", "a b c " * 2_000, {}, TextError, "source has .* shorten"),
    ("demo-transformer", "a b c " * 2_000, "x", {}, TextError, "translation has .* shorten"),
])  # fmt: skip
def test_what_cannot_be_measured(name, text, source, windows, error, sentence):
    with pytest.raises(error, match=sentence):
        token_losses(load(name), text, source, **windows)


def torn(text, cuts):
    """Character spans of tokens that cut the text's bytes anywhere."""
    begins = [len(text[:i].encode()) for i in range(len(text) + 1)]
    spans = []
    for start, end in zip([0, *cuts], [*cuts, begins[-1]]):
        inside = [i for i in range(len(text)) if begins[i] < end and begins[i + 1] > start]
        spans.append((inside[0], inside[-1] + 1))
    return spans


def test_groups_are_whole_characters():
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(rng.choice(["a", " ", "か", "👍", "ä", "\n"]) for _ in range(rng.randint(1, 20)))
        size = len(text.encode())
        spans = torn(text, sorted(rng.sample(range(1, size), rng.randint(0, size - 1))))
        groups = whole_characters(text, spans)
        assert [place for group in groups for place in group] == list(range(len(spans)))
        shown = [text[spans[group[0]][0] : max(spans[place][1] for place in group)] for group in groups]
        assert "".join(shown) == text
        for group in groups:  # none could be cut in two
            for cut in group[1:]:
                before = max(spans[place][1] for place in range(group[0], cut))
                assert spans[cut][0] < before
    assert whole_characters("", []) == []


def test_accents_and_joined_emoji_stay_together(gpt):
    for text in ("e\u0301x", "👨‍👩‍👧x", "🇯🇵x", "か\u3099x"):
        found = token_losses(gpt, text)
        spans = found.encoding.char_spans
        assert len(found.groups) == 2 and spans[found.groups[1][0]] == (len(text) - 1, len(text)), text
    many = whole_characters("e" + "\u0301" * 100, [(i, i + 1) for i in range(101)])
    assert max(map(len, many)) == TOGETHER  # what no reader would take for one letter is not held together


def test_a_hopeless_token_is_a_number(gpt, monkeypatch):
    sure = torch.zeros(gpt.model.config.vocab_size).index_fill(0, torch.tensor(3), 1e4)  # all probability on token 3
    monkeypatch.setattr(gpt.model, "logits", lambda states: sure.expand(len(states), -1), raising=False)
    found = token_losses(gpt, "x")
    assert found.nats[0] == pytest.approx(1e4) and found.probabilities[0] == 0 and found.ranks[0] == 2
    assert found.figures["perplexity"] == math.exp(700)
