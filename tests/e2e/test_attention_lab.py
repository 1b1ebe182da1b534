"""Attention in a browser: heads opened and scaled, figures saved and opened offline, links, long and hostile texts."""

import csv
import io
import re
import xml.etree.ElementTree
from urllib.parse import urlencode

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from core import load
from core.analysis.reading import read
from core.config import RunConfig
from core.files import write_text
from core.model import build_model
from core.run import Status, create_run, save_model
from core.tokenizer import train_bpe

MODEL, TEXT = "enja-transformer", "Will you help me with my homework?"
HOSTILE = "<script>hacked = 1</script> <img src=x onerror=hacked=1> &lt;b&gt; \"'`"


@pytest.fixture
def open_at(browser, server):
    """open_at(run, text) -> the Attention tab of a model on a text, and its reading. No console may have an error."""
    contexts, problems = [], []

    def go(run=None, text=TEXT, theme="light", link=""):
        reading = read(run or load(MODEL), text)
        contexts.append(browser.new_context(viewport={"width": 1400, "height": 1000}))
        page = contexts[-1].new_page()
        page.set_default_timeout(45_000)
        page.on("console", lambda m: problems.append(f"{m.text} ({m.location})") if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        state = {"tab": "Attention", "model": reading.run.name, "text": text}
        page.goto(link or f"{server[0]}/?__theme={theme}#{urlencode(state)}")
        kind = reading.kinds[0]  # the page opens with other work, until the link has arrived
        size = f"{len(reading.queries(kind))} rows, {len(reading.keys(kind))} columns"
        matrix = page.locator("#attention-map svg.figure-svg")
        expect(matrix).to_have_attribute("aria-label", re.compile(size), timeout=90_000)
        expect(page.locator("#head-grid svg.figure-svg")).to_be_visible()
        return page, reading

    yield go
    for context in contexts:
        context.close()
    assert problems == []


def traffic(page):
    """traffic(page)() -> bytes that the page has received since the last call."""
    received = []
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.dataReceived", lambda event: received.append(event["dataLength"]))

    def since():
        total = sum(received)
        received.clear()
        return total

    return since


@pytest.fixture
def alone(browser, tmp_path):
    """alone(page) -> the matrix of the page, saved as a page of its own and opened from the disk without a network."""
    contexts, problems = [], []

    def go(page):
        file = tmp_path / f"{len(contexts)}.html"
        saved(page, "#attention-map", "HTML").save_as(file)
        contexts.append(browser.new_context(offline=True))
        other = contexts[-1].new_page()
        other.on("pageerror", lambda error: problems.append(str(error)))
        other.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        other.goto(file.as_uri())
        expect(other.locator("svg.figure-svg")).to_be_visible()
        return other

    yield go
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def gpt(server):
    """A run of GPT-2's 12 x 12 heads (narrow ones), with random weights, that reads 512 tokens."""
    tokenizer = train_bpe(["the quick brown fox jumps over the lazy dog. " * 4], 300)
    shape = {"family": "gpt", "vocab_size": tokenizer.vocab_size, "d_model": 96, "n_layers": 12, "n_heads": 12,
             "max_seq_len": 512}  # fmt: skip
    config = RunConfig.from_dict({"model": shape, "data": {"name": "notes.txt"}})
    if not (server[1] / "gpt").exists():
        directory = create_run(config, "gpt", server[1])
        write_text(directory / "tokenizer.json", tokenizer.to_json())
        torch.manual_seed(0)
        save_model(build_model(config.model), directory / "model.safetensors")
        Status(state="done").write(directory)
    return load("gpt", server[1])


def title(page):
    return page.locator("#attention-map .figure-title")


def saved(page, figure, kind):
    with page.expect_download() as download:
        page.locator(f"{figure} .figure-exports button", has_text=kind).click()
    return download.value


def numbers(page, figure="#attention-map"):
    """Names of queries, names of keys, weights: as the CSV has them."""
    text = saved(page, figure, "CSV").path().read_text(encoding="utf-8-sig")
    header, *rows = csv.reader(io.StringIO(text))
    return [row[0] for row in rows], header[1:], np.array([row[1:] for row in rows], dtype=float)


def test_a_head_is_chosen_scaled_saved_and_shared(open_at, alone):
    page, reading = open_at()
    page.locator('#head-grid [data-focus="1-4"]').click()
    expect(title(page)).to_have_text("Cross-attention · layer 2 of 3 · head 5 of 8")
    expect(page.locator('#head-grid [aria-pressed="true"]')).to_have_attribute("data-focus", "1-4")
    queries, keys, weights = numbers(page)
    np.testing.assert_allclose(weights, reading.attention("cross", 1, 4), atol=1e-5)
    assert [name.rsplit(" ", 1)[0] for name in keys] == reading.keys("cross")
    assert [name.rsplit(" ", 1)[0] for name in queries] == reading.written

    picture = page.locator("#attention-map svg.figure-svg image").first
    drawn = picture.get_attribute("href")
    for scale, shade in (("rows", "linear"), ("columns", "linear"), ("all", "log")):
        page.locator("#attention-map select").nth(0).select_option(scale)
        page.locator("#attention-map select").nth(1).select_option(shade)
        assert (now := picture.get_attribute("href")) != drawn
        drawn = now
    np.testing.assert_allclose(numbers(page)[2], weights)  # colours change, numbers do not
    page.locator("#attention-map .figure-toggle input").check()
    expect(page.locator("#attention-map .figure-note").first).to_contain_text("The first key is taken out")
    page.locator("#attention-map [data-focus=board]").focus()
    page.keyboard.press("ArrowDown")  # to the first cell
    page.keyboard.press("ArrowDown")
    expect(page.locator("#attention-map .figure-tip")).to_contain_text(f"{weights[1, 1]:.4f}")

    assert saved(page, "#attention-map", "PNG").path().read_bytes().startswith(b"\x89PNG")
    svg = xml.etree.ElementTree.fromstring(saved(page, "#attention-map", "SVG").path().read_text(encoding="utf-8"))
    texts = [node.text for node in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "Cross-attention · layer 2 of 3 · head 5 of 8" in texts and reading.keys("cross")[1] in texts
    other = alone(page)
    expect(other.locator("svg.figure-svg image").first).to_have_attribute("href", picture.get_attribute("href"))
    np.testing.assert_allclose(numbers(other, "#figure")[2], weights)

    expect(page).to_have_url(re.compile("look=cross.2.5"))
    linked, _ = open_at(link=page.url)
    expect(title(linked)).to_have_text("Cross-attention · layer 2 of 3 · head 5 of 8")
    np.testing.assert_allclose(numbers(linked)[2], weights)


def test_512_tokens_of_144_heads_are_sent_in_two_megabytes(open_at, gpt):
    page, _ = open_at(gpt, "the quick")
    expect(title(page)).to_contain_text("of 12 · head")
    since = traffic(page)
    text = "the quick brown fox jumps over the lazy dog " * 60
    page.locator("#text textarea").fill(text)
    page.locator("#text textarea").blur()
    expect(page.locator("#attention-part")).to_be_visible()
    expect(page.locator("#tab-attention")).to_contain_text("the first 512 are read")
    page.wait_for_timeout(500)  # whatever else is on its way
    assert 100_000 < since() <= 2_000_000
    page.locator('#head-grid [data-focus="11-7"]').click()
    expect(title(page)).to_contain_text("layer 12 of 12 · head 8 of 12")
    page.wait_for_timeout(500)
    assert 100_000 < since() <= 1_000_000  # one head, and not the small pictures again
    reading = read(gpt, text)
    np.testing.assert_allclose(numbers(page)[2], reading.attention("self", 11, 7), atol=1e-5)


def test_hostile_tokens_are_shown_and_not_run(open_at, alone):
    page, reading = open_at(load("shakespeare-gpt"), HOSTILE)
    _, keys, weights = numbers(page)
    assert [name.rsplit(" ", 1)[0] for name in keys] == reading.keys("self")
    assert weights.shape == (len(keys), len(keys))
    expect(page.locator("#attention-map .figure-toggle")).to_have_text("Without the first key (<s>)")  # not that before
    assert any("<" in text for text in page.locator("#attention-map svg.figure-svg text").all_text_contents())
    for seen in (page, alone(page)):
        assert seen.evaluate("typeof hacked") == "undefined"
        assert seen.locator("img[src=x]").count() == 0


def test_dark_paper_is_dark_in_what_is_saved_too(open_at, alone):
    page, _ = open_at(theme="dark")
    colours = """() => [getComputedStyle(document.body).getPropertyValue('--paper'),
                        getComputedStyle(document.querySelector('#DIV svg.figure-svg text')).fill]"""
    here = page.evaluate(colours.replace("DIV", "attention-map"))
    other = alone(page)
    assert here == other.evaluate(colours.replace("DIV", "figure"))
    paper = other.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", paper)[:3])) < 200 < sum(map(int, re.findall(r"\d+", here[1])[:3]))
