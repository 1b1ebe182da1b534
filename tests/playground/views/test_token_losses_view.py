"""The text shaded by its loss: nothing of it is lost or runs, no page is too large, the shades are the losses."""

import json
import math
import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from core.evaluate.language import text_figures
from core.evaluate.token_losses import TokenLosses
from core.tokenizer import train_bpe
from playground.views.token_losses import SHOWN, TOLD, losses_facts, shade, token_losses_html

TOKENIZER = train_bpe(["the cat sat on the mat. "], 300)
NASTY = 'the cat<script>alert(1)</script> "q\'" &amp; コーヒー e\u0301 \u202e\0\ta\ufffdb'


def losses_of(text, source="", end=False, tokenizer=TOKENIZER, seed=0):
    """Losses of a text by no model: random ones."""
    encoding = tokenizer.encode(text)
    if end:
        for values, last in zip(
            (encoding.ids, encoding.pieces, encoding.byte_spans, encoding.char_spans, encoding.special_mask),
            (2, b"", (len(text.encode()),) * 2, (len(text),) * 2, True),
        ):
            values.append(last)
    count, rng = len(encoding), np.random.default_rng(seed)
    return TokenLosses(
        text, source, encoding, rng.exponential(3, count), rng.integers(1, 300, count), rng.random(count),
        rng.integers(0, tokenizer.vocab_size, (count, 5)), np.sort(rng.random((count, 5)))[:, ::-1], 8, 8,
        tokenizer=tokenizer,
    )  # fmt: skip


class Page(HTMLParser):
    """Tags and the text of each token."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.tokens, self.depth, self.within = [], [], 0, None
        self.feed(html)
        assert self.depth == 0

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.depth += tag != "br"
        values = dict(attributes)
        if "decoding-token" in values.get("class", ""):
            self.tokens.append([values, ""])
            self.within = self.depth

    def handle_endtag(self, tag):
        if self.within == self.depth:
            self.within = None
        self.depth -= 1

    def handle_data(self, data):
        if self.within is not None:
            self.tokens[-1][1] += data


def test_all_of_the_text_is_there_and_nothing_runs():
    losses = losses_of(NASTY, source="<img src=x onerror=alert(1)>")
    page = Page(token_losses_html(losses))
    assert set(page.tags) <= {"section", "p", "div", "span", "br"}
    shown = "".join(text for _, text in page.tokens)
    assert shown.startswith('the cat<script>alert(1)</script> "q\'" &amp; コーヒー e\u0301 ')
    assert "\u202e" not in shown and "\0" not in shown  # they would turn or cut the page: there are signs for them
    for values, _ in page.tokens:
        assert json.loads(values["data-say"])[0]["name"]
        assert set(values) == {"class", "tabindex", "role", "aria-label", "data-at", "data-say", "style"}


def test_shades_and_words_are_the_losses():
    losses = losses_of("the cat sat on the mat")
    page = Page(token_losses_html(losses))
    assert len(page.tokens) == len(losses.groups) == len(losses)
    for position, (values, _) in enumerate(page.tokens):
        nats = losses.nats[position]
        assert float(re.search(r"--doubt:([\d.]+)", values["style"])[1]) == pytest.approx(shade(nats), abs=1e-3)
        told = json.loads(values["data-say"])[0]
        assert f"loss {nats:.2f} nats, {nats / math.log(2):.2f} bits" in told["line"]
        assert f"rank {losses.ranks[position]:,}" in told["head"]
        chosen = [option for option in told["options"] if option[4]]
        assert [option[0] for option in chosen] == [losses.encoding.ids[position]]
    assert [values["tabindex"] for values, _ in page.tokens].count("0") == 1


def test_no_character_is_torn():
    text = "コーヒー e\u0301 👍"
    losses = losses_of(text, end=True)
    assert len(losses) > len(losses.groups)  # of three bytes each
    page = Page(token_losses_html(losses))
    assert [text for _, text in page.tokens] == [*"コーヒー", " ", "e\u0301", " ", "👍", "</s>"]
    first = json.loads(page.tokens[0][0]["data-say"])
    assert len(first) == 3 and [told["name"] for told in first] == ["<E3>", "<82>", "<B3>"]
    assert float(re.search(r"--doubt:([\d.]+)", page.tokens[0][0]["style"])[1]) == pytest.approx(
        shade(losses.nats[:3].sum()), abs=1e-3
    )


def test_pages():
    losses = losses_of("the cat sat on the mat. コーヒー " * 40)
    seen = []
    for start in range(0, len(losses), 70):
        html = token_losses_html(losses, start, 70)
        found = [int(values["data-at"]) for values, _ in Page(html).tokens]
        assert all(start <= place < start + 70 for place in found) and " of " in html
        seen += found
    assert seen == [group.start for group in losses.groups]
    assert len(Page(token_losses_html(losses)).tokens) <= SHOWN
    for start, count in ((-5, 3), (10**9, 3), (len(losses) - 1, 1), (0, 0), (1, -1), (24, 1)):  # 24: within a character
        assert Page(token_losses_html(losses, start, count)).tokens
    whole = Page(token_losses_html(losses, 0, len(losses)))
    assert "".join(text for _, text in whole.tokens) == losses.text


def test_space_that_no_token_stands_for_is_there():
    losses = losses_of("the cat")
    spans = losses.encoding.char_spans
    losses.encoding.char_spans[:] = [(start + 2, end + 2) for start, end in spans]
    moved = TokenLosses("  the cat  \n", *[getattr(losses, name) for name in (
        "source", "encoding", "nats", "ranks", "entropies", "best", "best_probabilities", "context", "stride")],
        tokenizer=TOKENIZER)  # fmt: skip
    html = token_losses_html(moved)
    text = re.search(r'<div class="decoding-text[^>]*>(.*)</div>', html, re.DOTALL)[1]
    assert unescape(re.sub("<[^>]*>", "", text)) == "  the cat  ⏎"


def test_a_page_stays_small():
    """Of a thousand tokens, of a letter with a hundred thousand accents, of a very long source."""
    assert len(token_losses_html(losses_of("the cat sat on the mat. " * 2_000))) < 700_000
    assert len(token_losses_html(losses_of("e" + "\u0301" * 20_000))) < 1_500_000
    assert len(token_losses_html(losses_of("the", source="x" * 10**6))) < 10_000
    assert TOLD < 100


def test_figures():
    html = losses_facts({"tokens": 1234, **text_figures(1234 * math.log(4), 1234, ["two words"])})
    for words in ("1,234", "1.39 nats · 2.00 bits", "4.00", "274.222"):
        assert words in html
    assert "<dd>–</dd>" in losses_facts({"tokens": 3, **text_figures(3.0, 3, ["コーヒー"])})
