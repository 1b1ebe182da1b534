"""A decoding column as HTML: every number, every hypothesis, nothing unescaped."""

import math
import re
from html import unescape

from core.decode.config import GenerationConfig
from core.decode.result import Generation, Hypothesis, Work
from core.evaluate.degeneration import measures
from playground.views.column_settings import chips_html, settings_line
from playground.views.decoding import Again, Column, column_html
from playground.views.written import number
from tests.playground.views.test_written import TOKENIZER, hypothesis, plain


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
    html = column_html(column, TOKENIZER)
    assert re.findall(r"<tr><td>(\d)</td>.*?</tr>", html) == ["1", "2"]
    assert "coffee …" in plain(html)  # not ended
    texts = re.findall(r'data-index="(\d)" data-ids="([\d,]*)"( hidden)?>', html)
    assert texts == [("0", ",".join(map(str, beams[0].ids)), ""), ("1", ",".join(map(str, beams[1].ids)), " hidden")]
    assert re.findall(r'data-show="(\d)" aria-pressed="(\w+)"', html) == [("0", "true"), ("1", "false")]


def test_samples_have_no_score_and_long_ones_are_not_all_explained():
    one = hypothesis("a cup of coffee " * 200)
    config = GenerationConfig(strategy="sample", num_return_sequences=8)
    html = column_html(Column("x", config, "done", one, [one] * 8), TOKENIZER)
    assert "The 8 samples" in html and ">score<" not in html
    explained = html.count("data-index=")
    assert 1 <= explained < 8 and explained == html.count("data-show=") and html.count("<tr><td>") == 8
    writing = column_html(Column("x", config, "writing", one, [one] * 8), TOKENIZER)
    assert "data-say" not in writing and "data-show" not in writing


def test_what_was_stopped_cut_or_failed_says_so():
    given = hypothesis("a cup", end=False)
    assert "Stopped by you" in column_html(Column("x", GenerationConfig(), "stopped", given), TOKENIZER)
    assert "longest length" in column_html(Column("x", GenerationConfig(), "done", given), TOKENIZER)
    generation = Generation("", [], [given], True, 1.0, Work())
    shortened = Column("x", GenerationConfig(), "done", given, generation=generation)
    assert "longer than the model's context" in column_html(shortened, TOKENIZER).replace("&#x27;", "'")
    failed = column_html(Column("x", GenerationConfig(), "failed", message="<no> run"))
    assert "&lt;no&gt; run" in failed and 'role="alert"' in failed


def test_nothing_written_is_said():
    empty = Hypothesis([], [], 0.0, True, "end")
    assert "(nothing)" in column_html(Column("x", GenerationConfig(), "done", empty), TOKENIZER)


def test_what_an_assisted_column_took():
    given = hypothesis("a cup")
    generation = Generation("", [], [given], False, 1.0, Work(3, 9, 8, 1))
    column = Column("x", GenerationConfig(strategy="assisted"), "done", given, generation=generation)
    assert "passes3" in plain(column_html(column, TOKENIZER)) and "kept1/8" in plain(column_html(column, TOKENIZER))


def test_measures_and_how_to_make_it_again():
    given = hypothesis("a cup a cup a cup", end=False)
    again = Again("print('<b>')", "llm-scratch '<b>' & more", '{"text": "</span><script>"}')
    column = Column("x", GenerationConfig(), "done", given, measures=measures([given]), again=again)
    html = column_html(column, TOKENIZER)
    assert f"distinct-2</dt><dd>{number(measures([given]).distinct[2])}" in html and "self-BLEU" not in html
    assert "<b>" not in html and "<script" not in html and html.count("</section>") == 1
    assert again.python in unescape(html) and again.command in unescape(html) and again.json in unescape(html)


def test_a_branch_and_settings_that_cannot_be():
    given = hypothesis("a cup")
    branch = column_html(Column("x", GenerationConfig(forced_prefix_ids=(5,)), "done", given), TOKENIZER, 2)
    assert "1 token is given" in branch and 'data-act="unbranch"' in branch and 'data-column="2"' in branch
    broken = column_html(Column("<x>", None, "failed", message="No <b>."), TOKENIZER)
    assert "No &lt;b&gt;." in broken and "<x>" not in broken


def test_chips():
    html = chips_html(["A", "<b>"], 1, 3)
    assert re.findall(r'data-act="choose" data-column="(\d)" aria-pressed="(\w+)"', html) == [
        ("0", "false"),
        ("1", "true"),
    ]
    assert html.count('data-act="remove"') == 2 and 'data-act="add"' in html and "<b>" not in html
    assert 'data-act="remove"' not in chips_html(["A"], 0, 3) and 'data-act="add"' not in chips_html(["A"] * 3, 0, 3)


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
    drawn = settings_line(GenerationConfig(strategy="sample", min_p=0.1, typical_p=0.8, frequency_penalty=0.5))
    assert all(word in drawn for word in ("min-p 0.1", "typical-p 0.8", "frequency penalty 0.5"))
    assert "no 3-gram twice" in settings_line(GenerationConfig(no_repeat_ngram_size=3))
    assert "drawn" in settings_line(GenerationConfig(strategy="assisted", assisted_sampling=True))
