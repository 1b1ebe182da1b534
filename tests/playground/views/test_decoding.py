"""A decoding column as HTML: every token, every number, nothing unescaped."""

import math
import re
from dataclasses import replace
from html import unescape

import pytest

from core.decode.config import GenerationConfig
from core.decode.result import Hypothesis, Work
from core.decode.trace import Candidate, Distribution, StepTrace
from core.tokenizer import train_bpe
from playground.views.decoding import (
    Column,
    column_html,
    doubt,
    number,
    percent,
    settings_line,
    token_groups,
    tokens_html,
)

TOKENIZER = train_bpe(["a cup of coffee <b>bold</b> & more"] * 4, 300)


def plain(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


def hypothesis(text: str, end: bool = True, steps: bool = False) -> Hypothesis:
    ids = TOKENIZER.encode(text).ids + ([TOKENIZER.eos_id] if end else [])
    logprobs = [-0.25 * (i + 1) for i in range(len(ids))]
    traces = []
    for step, (token, logprob) in enumerate(zip(ids, logprobs, strict=True)):
        candidates = tuple(
            Candidate(t, 1.0, p, (), p) for t, p in ((token, math.exp(logprob)), (5, 0.01), (6, 0.00001))
        )
        where = Distribution(1.5, (), candidates)
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


def test_the_explanation_names_probability_rank_and_alternatives():
    given = hypothesis("a cup", steps=True)
    html = tokens_html(given, TOKENIZER)
    assert html.count('role="tooltip"') == len(given.ids) == html.count('tabindex="0"')
    shown = plain(html)
    assert percent(math.exp(-0.25)) in shown and "−0.25" in shown
    assert "rank 1" in shown and f"rank {len(given.ids)}" in shown
    assert "entropy 1.50" in shown and "1.0 %" in shown and "0.001 %" in shown
    assert html.count("decoding-chosen") == len(given.ids)


def test_the_figures_are_those_of_the_hypothesis():
    given = hypothesis("a cup of coffee")
    column = Column("Greedy", GenerationConfig(), "done", given, seconds=0.5)
    shown = plain(column_html(column, TOKENIZER))
    total, count = sum(given.logprobs), len(given.ids)
    assert f"log-prob{number(total)}" in shown
    assert f"per token{number(total / count)}" in shown
    assert f"perplexity{number(math.exp(-total / count))}" in shown
    assert f"tokens{count}" in shown and f"tokens/s{2 * count}" in shown
    assert "Ended by itself." in shown


def test_beams_are_listed_best_first():
    beams = [hypothesis("a cup"), hypothesis("coffee", end=False)]
    column = Column("Beam", GenerationConfig(strategy="beam"), "done", beams[0], beams)
    rows = re.findall(r"<tr><td>(\d)</td>.*?</tr>", column_html(column, TOKENIZER))
    assert rows == ["1", "2"]
    assert "coffee …" in plain(column_html(column, TOKENIZER))  # not ended


def test_what_was_stopped_cut_or_failed_says_so():
    given = hypothesis("a cup", end=False)
    assert "Stopped by you" in column_html(Column("x", GenerationConfig(), "stopped", given), TOKENIZER)
    assert "longest length" in column_html(Column("x", GenerationConfig(), "done", given), TOKENIZER)
    shortened = Column("x", GenerationConfig(), "done", given, truncated=True)
    assert "longer than the model's context" in column_html(shortened, TOKENIZER).replace("&#x27;", "'")
    failed = column_html(Column("x", GenerationConfig(), "failed", message="<no> run"))
    assert "&lt;no&gt; run" in failed and 'role="alert"' in failed


def test_nothing_written_is_said():
    empty = Hypothesis([], [], 0.0, True, "end")
    assert "(nothing)" in column_html(Column("x", GenerationConfig(), "done", empty), TOKENIZER)


@pytest.mark.parametrize(
    ("probability", "text"),
    [(1.0, "100 %"), (0.8312, "83.1 %"), (0.01, "1.0 %"), (0.00123, "0.12 %"), (1e-9, "1e-07 %"), (0.0, "0e+00 %")],
)
def test_percent(probability, text):
    assert percent(probability) == text


def test_doubt_grows_as_probability_falls():
    assert doubt(0.0) == 0 and doubt(math.log(0.001)) == 1 == doubt(-math.inf)
    assert doubt(math.log(0.1)) == pytest.approx(0.5) and doubt(math.log(0.01)) == pytest.approx(1)


def test_settings_in_words():
    assert "5 hypotheses" in settings_line(GenerationConfig(strategy="beam"))
    sampling = settings_line(GenerationConfig(strategy="sample", top_p=0.9, top_k=40, temperature=0.7, seed=3))
    assert all(word in sampling for word in ("90%", "40 most probable", "0.7", "seed 3"))
    assert settings_line(GenerationConfig(strategy="sample", temperature=0)) == settings_line(GenerationConfig())
    diverse = settings_line(GenerationConfig(strategy="diverse_beam", num_beams=6, num_beam_groups=3))
    assert "6 hypotheses" in diverse and "3 groups" in diverse and "0.5" in diverse
    contrastive = settings_line(GenerationConfig(strategy="contrastive", penalty_alpha=0.3))
    assert "of the 4 most probable" in contrastive and "0.3" in contrastive
    assert "7 tokens drafted" in settings_line(GenerationConfig(strategy="assisted", num_assistant_tokens=7))
    assert "most probable of 9 samples" in settings_line(GenerationConfig(strategy="best_of", num_samples=9))
    assert "by BLEU" in settings_line(GenerationConfig(strategy="mbr", mbr_metric="bleu"))


def test_drafted_tokens_are_underlined():
    given = replace(hypothesis("a cup of"), drafted=[False, True, *[False] * 20][: len(hypothesis("a cup of").ids)])
    for explain in (False, True):
        html = tokens_html(given, TOKENIZER, explain=explain)
        assert html.count("decoding-drafted") == 1 and html.count("drafted by the assistant") == explain
    column = Column("x", GenerationConfig(strategy="assisted"), "done", given, work=Work(3, 9, 8, 1))
    assert "passes3" in plain(column_html(column, TOKENIZER)) and "kept1/8" in plain(column_html(column, TOKENIZER))
