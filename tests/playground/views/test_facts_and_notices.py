"""Notices, and the line of facts."""

import pytest

from core.config import RunConfig
from playground.views.facts import fact_rows, facts
from playground.views.notice import notice


def test_notices_are_escaped_and_announced():
    html = notice("No run '<b>x</b>' & co.")
    assert 'role="alert"' in html and "<b>" not in html and "&lt;b&gt;" in html
    assert 'role="status"' in notice("by the way", "info") and notice("") == ""
    with pytest.raises(ValueError, match="kind"):
        notice("x", "shout")


def test_facts_say_what_a_model_is():
    config = RunConfig.from_dict(
        {
            "model": {"family": "llama", "d_model": 64, "n_heads": 8, "n_kv_heads": 2, "vocab_size": 2048},
            "data": {"name": "/home/someone/secret place/notes<1>.txt"},
        }
    )
    rows = dict(
        fact_rows(config, 5_312_000, {"loss_per_token": 1.23456, "bits_per_byte": 1.5, "note": "x", "ok": True})
    )
    assert rows["Heads"] == "8 (2 key-value)" and rows["Parameters"] == "5.3 M" and rows["Vocabulary"] == "2,048"
    assert rows["Trained on"] == "notes<1>.txt" and rows["Loss per token"] == "1.235" and "note" not in rows
    html = facts(config, 5_312_000, {})
    assert "notes&lt;1&gt;.txt" in html and "secret" not in html


def test_a_translators_layers_are_named_by_side():
    config = RunConfig.from_dict({"model": {"family": "transformer", "n_layers": 3, "n_encoder_layers": 2}})
    rows = dict(fact_rows(config, 1, {}))
    assert rows["Layers"] == "2 encoder + 3 decoder" and rows["Trained on"] == "built-in English-Japanese"
