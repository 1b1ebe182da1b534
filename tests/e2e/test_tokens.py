"""Tokens, text and table in a browser: linked both ways, by mouse and keyboard, drawn as they come into view; links."""

import csv
import io
import json
import re

import pytest
from playwright.sync_api import expect

from core import load
from core.tokenizer.inspect.export import as_csv, as_json
from tests.e2e.test_page import choose_model, open_tab, say

RUN = "enja-transformer"


@pytest.fixture(scope="module")
def page(one_page):
    """These tests follow each other on one page; the later ones choose other tokenizers and models."""
    return one_page


def tokenizer():
    return load(RUN).tokenizer


def counted(n):
    return re.compile(rf"^\s*{n:,}\s*token")


def settle(page, text):
    say(page, text)
    n = len(tokenizer().encode(text).ids)
    expect(page.locator("#token-counts")).to_contain_text(counted(n))
    # The text before may have had as many tokens.
    drawn = "(text) => JSON.parse(document.querySelector('.token-view').json).text === text"
    page.wait_for_function(drawn, arg=text)
    return n


def lit(page, where):
    """The numbers of the tokens that are lit there; in the text, of the first and the last that hold the characters."""
    number = "(e) => e.dataset.i ?? `${e.dataset.a}-${e.dataset.b}`"
    return page.locator(f"{where} .lit").evaluate_all(f"all => all.map({number})")


def test_hover_links_token_row_and_text_both_ways(page):
    settle(page, "I like 𓀀 tea.")
    encoding = tokenizer().encode("I like 𓀀 tea.")
    parts = [i for i, span in enumerate(encoding.char_spans) if span == (7, 8) or span == (6, 8)]
    page.locator('#token-strip [data-i="1"]').hover()
    assert lit(page, "#token-table") == ["1"] and lit(page, "#token-text") == ["1-1"]
    page.locator('#token-table tr[data-i="0"]').hover()
    assert lit(page, "#token-strip") == ["0"] and lit(page, "#token-text") == ["0-0"]
    page.locator("#token-text .under", has_text="𓀀").hover()  # a character of several tokens
    assert len(parts) > 1 and lit(page, "#token-strip") == lit(page, "#token-table")
    assert set(map(str, parts)) >= set(lit(page, "#token-strip")) and len(lit(page, "#token-strip")) > 1
    page.locator(f'#token-strip [data-i="{parts[-1]}"]').hover()
    kin = page.locator("#token-strip .kin").evaluate_all("all => all.map((e) => Number(e.dataset.i))")
    assert set(kin) >= set(parts[1:])


def test_keys_go_from_token_to_token_and_the_others_follow(page):
    n = settle(page, "Will you help me with my homework?")
    page.locator('#token-strip [tabindex="0"]').focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.i") == "3" and lit(page, "#token-table") == ["3"]
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.i") == str(n - 1)
    assert page.locator('#token-strip [tabindex="0"]').count() == 1
    page.locator('#token-table tr[data-i="2"]').click()
    page.keyboard.press("ArrowDown")
    assert lit(page, "#token-strip") == ["3"] == lit(page, "#token-table")
    assert page.evaluate("document.activeElement.closest('tr').dataset.i") == "3"
    label = page.locator('#token-strip [data-i="3"]').get_attribute("aria-label")
    assert f"id {tokenizer().encode('Will you help me with my homework?').ids[3]}," in label


@pytest.mark.parametrize("text", ['He said "no",\r\nthen か\u3099 <b>&amp;</b> \u200b😀\tend', "=1+1, 2"])
def test_what_is_saved_and_copied_is_what_python_writes(page, text):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#text textarea").fill(text)
    page.locator("#text textarea").blur()
    text = text.replace("\r\n", "\n")  # a text field knows only one line end
    encoding = tokenizer().encode(text)
    expect(page.locator("#token-counts")).to_contain_text(counted(len(encoding)))
    with page.expect_download() as csv_file:
        page.get_by_role("button", name="Save CSV").click()
    saved = csv_file.value.path().read_text(encoding="utf-8")
    assert list(csv.reader(io.StringIO(saved))) == list(csv.reader(io.StringIO(as_csv(encoding, text))))
    with page.expect_download() as json_file:
        page.get_by_role("button", name="Save JSON").click()
    assert json.loads(json_file.value.path().read_text(encoding="utf-8")) == json.loads(as_json(encoding, text))
    page.get_by_role("button", name="Copy ids").click()
    expect(page.locator(".token-tools [role=status]")).to_contain_text(f"Copied {len(encoding)} ids.")
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == encoding.ids


def test_of_a_long_text_only_what_is_in_view_is_in_the_page(page):
    text = "The train had already left when I arrived at the station.\n" * 500
    n = settle(page, text)
    expect(page.locator("#token-table table")).to_have_attribute("aria-rowcount", str(n + 1))
    assert page.evaluate("document.querySelectorAll('*').length") < 6_000
    page.locator("#token-strip").evaluate("e => { e.scrollTop = e.scrollHeight; }")
    expect(page.locator(f'#token-strip [data-i="{n - 1}"]')).to_be_visible()
    page.locator(f'#token-strip [data-i="{n - 1}"]').click()
    expect(page.locator(f'#token-table tr[data-i="{n - 1}"]')).to_be_visible()
    page.keyboard.press("Home")
    expect(page.locator('#token-strip [data-i="0"]')).to_be_focused()
    assert page.evaluate("document.querySelectorAll('*').length") < 6_000


def test_of_spaces_only_what_is_in_view_is_in_the_page(page):
    settle(page, " " * 60_000)
    assert page.evaluate("document.querySelectorAll('*').length") < 20_000


def test_special_tokens_are_text_or_tokens_by_a_switch(page):
    plain = settle(page, "<s>I like it</s>")
    page.locator("#token-special input").check()
    parsed = len(tokenizer().encode("<s>I like it</s>", parse_special=True).ids)
    expect(page.locator("#token-strip .token")).to_have_count(parsed)
    assert parsed < plain and page.locator("#token-strip .special").count() == 2
    page.locator("#token-special input").uncheck()
    expect(page.locator("#token-strip .token")).to_have_count(plain)


def test_another_tokenizer_than_the_models(page):
    settle(page, "def f(x): return x")
    box = page.locator("#tokenizer input")
    box.click()
    page.get_by_role("option", name="of pydocs-llama", exact=True).click()
    other = load("pydocs-llama").tokenizer.encode("def f(x): return x").ids
    expect(page.locator("#token-counts")).to_contain_text(counted(len(other)))
    page.get_by_text("Ids as a list").click()
    expect(page.locator("#token-ids")).to_have_text(json.dumps(other))
    box.fill("no-such-tokenizer")
    box.press("Enter")
    expect(page.locator("#tokenizer-message")).to_contain_text("no tokenizer 'no-such-tokenizer'")
    expect(page.locator("#token-strip .token")).to_have_count(len(other))
    box.click()
    page.get_by_role("option", name="The model's own").click()
    expect(page.locator("#token-counts")).to_contain_text(counted(len(tokenizer().encode("def f(x): return x"))))


def test_half_a_surrogate_pair_stops_nothing(page):
    page.locator("#text textarea").evaluate(
        """(field) => {
          field.focus();
          field.value = 'tea \\ud83d';
          field.dispatchEvent(new Event('input', {bubbles: true}));
          field.blur();
        }"""
    )
    expect(page.locator("#token-text")).to_have_text("tea \ufffd")
    page.locator("#part-chat-button").click()
    expect(page.locator("#chat-text .chat-message").last).to_have_text("tea \ufffd")
    choose_model(page, "shakespeare-gpt")
    page.locator("#part-tokens-button").click()
    say(page, "more tea")
    expect(page.locator("#token-text")).to_have_text("more tea")


def test_a_link_shows_the_same_again(page, server):
    choose_model(page, "pydocs-llama")
    expect(page.locator("#facts")).to_contain_text("Llama")
    text = "x = [1, 2] # <b>語</b>\n& more"
    page.locator("#text textarea").fill(text)
    page.locator("#text textarea").blur()
    page.locator("#token-special input").check()
    open_tab(page, "Attention")
    page.wait_for_function("decodeURIComponent(location.hash).includes('Attention')")
    link = page.url
    assert server[0] in link and "語" not in link.split("#")[0]
    other = page.context.new_page()
    other.goto(link)
    expect(other.locator("#text textarea")).to_have_value(text)
    expect(other.locator("#facts")).to_contain_text("Llama")
    expect(other.locator("#head-grid [data-head]").first).to_be_visible()
    open_tab(other, "Tokenizer")
    n = len(load("pydocs-llama").tokenizer.encode(text, parse_special=True).ids)
    expect(other.locator("#token-counts")).to_contain_text(counted(n))
    expect(other.locator("#token-special input")).to_be_checked()


def test_a_link_to_what_is_not_listed_opens_nothing(page, server):
    other = page.context.new_page()
    other.goto(f"{server[0]}/#model=hf%3Aorg%2Fname&tokenizer=%2Fetc%2Fpasswd&text=%3Cimg%20src%3Dx%3E")
    expect(other.locator("#message")).to_contain_text("not in the list")
    expect(other.locator("#text textarea")).to_have_value("<img src=x>")
    expect(other.locator("#model input")).to_have_value(RUN)
