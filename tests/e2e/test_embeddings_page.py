"""The map of embeddings in a browser: searched, turned, a token chosen, saved as a page that opens offline."""

import csv
import io
import json
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from playground.tabs.embeddings.map import PCA, View
from playground.vectors import INPUT, Work


@pytest.fixture
def linked(browser, server):
    """A page that opens at a link's state. It may have no errors."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page, problems = context.new_page(), []
    page.set_default_timeout(45_000)
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))

    def go(**state):
        page.goto(f"{server[0]}/#{urlencode(state)}")
        return page

    yield go
    context.close()
    assert problems == []


def saved(page, figure, kind):
    with page.expect_download() as download:
        figure.locator(".figure-exports button", has_text=kind).click()
    return download.value.path().read_text(encoding="utf-8-sig")


def test_a_map_is_searched_turned_and_chosen_from(browser, linked):
    page = linked(tab="Embeddings", text="Tea or coffee?", near="coffee", axes="3", dots="100")
    figure = page.locator("#embedding-map")
    view = View(Work("enja-transformer", "Tea or coffee?", INPUT), PCA, 3, 100, True, "cosine")
    subtitle = json.loads(view.figure(view.chosen("coffee")))["subtitle"]  # the page first draws what it opens with
    assert "of 4,000 tokens, 256 numbers each" in subtitle
    expect(figure.locator(".figure-subtitle")).to_have_text(subtitle, timeout=90_000)
    expect(page.locator("#nearest-tokens .figure-title")).to_have_text("Nearest to ·coffee")
    header, *rows = csv.reader(io.StringIO(saved(page, figure, "CSV")))
    assert header[:2] == ["token", "id"] and len(header) == 9
    count = figure.locator("circle.map-token").count()
    assert count == len(rows) >= 100

    figure.get_by_label("Search").fill("tea")  # a name is found, and the field keeps the focus
    expect(figure.locator(".figure-note").first).to_contain_text("hold “tea”")
    expect(figure.get_by_label("Search")).to_be_focused()
    figure.get_by_label("Search").fill("")

    board, dot = figure.locator('[data-focus="board"]'), figure.locator("circle.map-token").nth(5)
    before = dot.get_attribute("cx")
    board.scroll_into_view_if_needed()
    box = board.bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(dot).not_to_have_attribute("cx", before)
    assert figure.get_by_label("Turn").input_value() != "30"

    board.focus()  # with the keys alone
    board.press("ArrowLeft")
    board.press("ArrowLeft")
    chosen = figure.locator(".figure-tip b").text_content()
    assert chosen != "·coffee"
    board.press("Enter")
    expect(page.locator("#nearest-tokens .figure-title")).to_have_text(f"Nearest to {chosen}")
    page.locator("#nearest-tokens .choosable").first.click()
    expect(page.locator("#nearest-tokens .figure-title")).not_to_have_text(f"Nearest to {chosen}")
    page.locator("#analogy-king textarea").fill("he")
    page.locator("#analogy-man textarea").fill("his")
    page.locator("#analogy-woman textarea").fill("my")
    page.locator("#analogy-woman textarea").press("Enter")
    expect(page.locator("#analogy .figure-title")).to_contain_text("his + ·my")

    context = browser.new_context(offline=True)
    alone, problems = context.new_page(), []
    alone.on("pageerror", lambda error: problems.append(str(error)))
    alone.set_content(saved(page, figure, "HTML"))
    expect(alone.locator("circle.map-token").first).to_be_visible()
    assert alone.locator("circle.map-token").count() == figure.locator("circle.map-token").count()
    context.close()
    assert problems == []


def test_word_vectors_are_trained_and_mapped(page):
    page.get_by_role("tab", name="Embeddings", exact=True).click()
    page.get_by_role("tab", name="Word2Vec", exact=True).click()
    page.locator("#vectors-epochs input").fill("2")
    page.locator("#vectors-start").click()
    expect(page.locator("#vectors-message")).to_contain_text("my-vectors has vectors for")
    expect(page.locator("#own-vectors table")).to_contain_text("my-vectors")
    page.get_by_role("tab", name="Map", exact=True).click()
    figure = page.locator("#embedding-map")
    expect(figure.locator(".figure-title")).to_have_text("Map of the word vectors my-vectors")
    page.locator("#map-method label", has_text="t-SNE").click()
    page.locator("#map-compute").click()
    expect(figure.locator(".figure-subtitle")).to_contain_text("after 750 steps")
    page.get_by_role("tab", name="Positions", exact=True).click()
    expect(page.locator("#positions-table .figure-title")).to_have_text("Sinusoidal positions of enja-transformer")
