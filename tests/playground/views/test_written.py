"""What was written as HTML: every token, every number, nothing unescaped."""

import json
import math
import re
from dataclasses import replace
from html import unescape

import pytest

from core.decode.result import Hypothesis
from core.decode.trace import Candidate, Distribution, StepTrace
from core.tokenizer import train_bpe
from playground.views.written import doubt, number, percent, token_groups, tokens_html

TOKENIZER = train_bpe(["a cup of coffee <b>bold</b> & more"] * 4, 300)


def plain(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


def hypothesis(text: str, end: bool = True, steps: bool = False) -> Hypothesis:
    ids = TOKENIZER.encode(text).ids + ([TOKENIZER.eos_id] if end else [])
    logprobs = [-0.25 * (i + 1) for i in range(len(ids))]
    traces = []
    for step, (token, logprob) in enumerate(zip(ids, logprobs, strict=True)):
        candidates = tuple(
            Candidate(t, 1.0, p, left, p)
            for t, p, left in ((token, math.exp(logprob), (1.0,)), (5, 0.01, (1.0,)), (6, 0.00001, (None,)))
        )
        where = Distribution(1.5, ("top_p",), candidates)
        traces.append(StepTrace(step, token, logprob, 1 + step, where, 0.0, 0.0, 0, 0, "kept"))
    reason = "end" if end else "length"
    return Hypothesis(ids, logprobs, -1.0, end, reason, TOKENIZER.decode(ids), traces if steps else [])


@pytest.mark.parametrize(
    "text",
    [
        "a cup of coffee", "<script>alert(1)</script>", "${1+1} {{x}} &amp; \"quotes\" 'single'", "コーヒーを一杯。",
        "\U0001f469\u200d\U0001f469\u200d\U0001f467 a\nb", "\x00\x01 NUL", "  two  spaces ",
    ],
)  # fmt: skip
def test_the_text_can_be_read_and_nothing_in_it_is_markup(text):
    html = tokens_html(hypothesis(text, end=False), TOKENIZER, explain=False)
    tags = set(re.findall(r"</?([a-z]+)", html))
    assert tags <= {"span", "br"}
    shown = plain(html)
    for hidden, sign in (("\x00", "␀"), ("\x01", "␁"), ("\n", "⏎"), ("\u200d", "ZWJ")):
        text = text.replace(hidden, sign)
    assert shown == text


def test_tokens_that_make_one_character_are_shown_as_it():
    ids = TOKENIZER.encode("か").ids
    assert len(ids) == 3  # nothing of it was merged in training
    assert token_groups(ids, TOKENIZER) == [[0, 1, 2]]
    assert plain(tokens_html(hypothesis("か", end=False), TOKENIZER, explain=False)) == "か"


def test_a_character_that_is_cut_short_is_shown_as_bytes():
    ids = TOKENIZER.encode("aか").ids[:-1]
    cut = Hypothesis(ids, [-0.1] * len(ids), 0.0, False)
    assert token_groups(ids, TOKENIZER) == [[0], [1, 2]]
    assert plain(tokens_html(cut, TOKENIZER, explain=False)) == "aE3 81"


def test_ids_without_a_token_and_special_ones_do_not_break_it():
    strange = Hypothesis([TOKENIZER.vocab_size + 7, TOKENIZER.eos_id], [-1.0, -2.0], 0.0, True)
    shown = plain(tokens_html(strange, TOKENIZER))
    assert f"id {TOKENIZER.vocab_size + 7}" in shown and "</s>" in shown


def told(html):
    """What the page is told of each token, as a browser reads it."""
    return [json.loads(unescape(said)) for said in re.findall(r"data-say='([^']*)'", html)]


def test_the_explanation_names_probability_rank_and_alternatives():
    given = hypothesis("a cup", steps=True)
    html = tokens_html(given, TOKENIZER)
    found = [token for group in told(html) for token in group]
    assert len(found) == len(given.ids) and html.count('tabindex="0"') == 1
    for place, (token, logprob) in enumerate(zip(given.ids, given.logprobs, strict=True)):
        said = found[place]
        assert said["head"] == f"id {token:,} · rank {place + 1}"
        assert percent(math.exp(logprob)) in said["line"] and number(logprob) in said["line"]
        assert "entropy 1.50 nats" in said["line"]
        assert [option[0] for option in said["options"]] == [token, 5, 6]
        assert [option[4] for option in said["options"]] == [1, 0, 0]
        assert [option[3] for option in said["options"]] == [percent(math.exp(logprob)), "1.0 %", "0.001 %"]
        assert [option[5] for option in said["options"]] == ["", "", "top-p"], "what removed it"


@pytest.mark.parametrize("text", ["<script>alert('1')</script>", "\" ' & \\ </span>", "&#39; &amp;", "コー'ヒー"])
def test_nothing_in_an_explanation_leaves_its_attribute(text):
    given = hypothesis(text, end=False, steps=True)
    html = tokens_html(given, TOKENIZER)
    assert set(re.findall(r"</?([a-z]+)", re.sub(r"data-say='[^']*'", "", html))) <= {"span", "br"}
    groups = told(html)
    assert len(groups) == len(token_groups(given.ids, TOKENIZER))
    assert "<" not in "".join(re.findall(r"data-say='([^']*)'", html))
    assert sum(map(len, groups)) == len(given.ids)


def test_tokens_that_were_given_and_where_columns_part():
    given = hypothesis("a bold cup of more", end=False, steps=True)
    assert len(given.ids) > 3
    html = tokens_html(given, TOKENIZER, forced=2, marked=3)
    assert (
        html.count("decoding-forced") == 2 == sum("given" in token["note"] for group in told(html) for token in group)
    )
    assert not any(option[5] for token in told(html)[0] for option in token["options"])
    assert re.findall(r'decoding-parts" [^>]*data-at="(\d+)"', html) == ["3"]


def test_drafted_tokens_are_underlined():
    given = hypothesis("a cup of")
    given = replace(given, drafted=[False, True, *[False] * 20][: len(given.ids)])
    for explain in (False, True):
        html = tokens_html(given, TOKENIZER, explain=explain)
        assert html.count("decoding-drafted") == 1 and html.count("drafted by the assistant") == explain


@pytest.mark.parametrize(
    ("probability", "text"),
    [(1.0, "100 %"), (0.8312, "83.1 %"), (0.01, "1.0 %"), (0.00123, "0.12 %"), (1e-9, "1e-07 %"), (0.0, "0e+00 %")],
)
def test_percent(probability, text):
    assert percent(probability) == text


def test_doubt_grows_as_probability_falls():
    assert doubt(0.0) == 0 and doubt(math.log(0.001)) == 1 == doubt(-math.inf)
    assert doubt(math.log(0.1)) == pytest.approx(0.5) and doubt(math.log(0.01)) == pytest.approx(1)
