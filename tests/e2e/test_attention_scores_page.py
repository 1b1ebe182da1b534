"""Head scores and a query's steps in a browser: sorting, opening heads, choosing keys, pages that open offline."""

import csv
import io
import json
import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

TEXT = "To be, or not to be, that is the question: to be or not."


@pytest.fixture
def open_at(browser, server):
    """Open a link to a part: its page, and the figure that is to be seen there. The page may have no errors."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page, problems = context.new_page(), []
    page.set_default_timeout(45_000)
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))

    def go(part, figure, **fields):
        state = {"tab": "Attention", "part": part, "model": "shakespeare-gpt", "text": TEXT, **fields}
        page.goto(f"{server[0]}/#{urlencode(state)}")
        expect(page.locator(f"{figure} svg").first).to_be_visible()
        return page, page.locator(figure)

    yield go
    context.close()
    assert problems == []


def saved(page, figure, kind):
    with page.expect_download() as download:
        figure.locator(".figure-exports button", has_text=kind).click()
    return download.value.path()


def numbers(page, figure):
    return list(csv.reader(io.StringIO(saved(page, figure, "CSV").read_text(encoding="utf-8-sig"))))


def offline(browser, page, figure):
    """The figure's page of its own, opened without a network."""
    file = saved(page, figure, "HTML")
    context = browser.new_context(offline=True)
    alone, problems = context.new_page(), []
    alone.on("pageerror", lambda error: problems.append(str(error)))
    alone.set_content(file.read_text(encoding="utf-8"))
    expect(alone.locator("svg.figure-svg")).to_be_visible()
    texts = alone.locator("svg.figure-svg").all_text_contents()
    context.close()
    assert problems == []
    return texts


def test_heads_are_sorted_by_a_score_and_opened(browser, open_at):
    page, table = open_at("Scores", "#head-scores", average="head")
    header, *rows = numbers(page, table)
    for _ in range(100):  # a part that is opened at once is drawn first of what the page showed before
        if len(rows) == 36:
            break
        page.wait_for_timeout(200)
        header, *rows = numbers(page, table)
    assert header[:2] == ["layer", "head"] and len(rows) == 36
    column = header.index("Induction")
    strongest = max(rows, key=lambda row: float(row[column]))
    table.locator('[data-focus="column-induction"]').click()
    expect(table.locator(".figure-note").first).to_contain_text("Induction = 1/|I|")
    place = f"{int(strongest[0]) - 1}-{int(strongest[1]) - 1}"
    expect(table.locator("[data-layer]").first).to_have_attribute("data-focus", place)
    assert numbers(page, table)[1] == strongest  # the files are sorted alike
    assert table.locator("[data-layer]").count() == 24
    table.locator("select").nth(1).select_option("all")
    expect(table.locator("[data-layer]")).to_have_count(36)
    table.locator('[data-focus="column-induction"]').press("Enter")  # once more: the other way round
    expect(table.locator("[data-layer]").last).to_have_attribute("data-focus", place)
    table.locator("[data-layer]").last.press("Enter")
    expect(page.locator("#attention-average-map .figure-title")).to_contain_text(
        f"layer {strongest[0]} of 6 · head {strongest[1]} of 6"
    )
    expect(table.locator('[aria-pressed="true"]')).to_have_attribute("data-focus", place)
    expect(page.locator("#attention-head label.selected")).to_have_text(strongest[1])
    page.locator("#attention-average label", has_text="Rollout").click()
    expect(page.locator("#attention-average-map .figure-title")).to_have_text("Self-attention · rollout")
    expect(page).to_have_url(re.compile("average=rollout"))
    assert "Induction" in offline(browser, page, table)[0]


def test_a_query_step_by_step(browser, open_at):
    page, figure = open_at("From scores to weights", "#attention-look", look="self.3.4", query=json.dumps("7"))
    expect(figure.locator(".figure-subtitle")).to_contain_text("query 7 ·")
    header, *rows = numbers(page, figure)
    steps = {name: [row[header.index(name)] for row in rows] for name in ("q · k", "score", "seen", "exp", "weight")}
    assert steps["seen"] == ["yes"] * 8 + ["no"] * (len(rows) - 8)
    weights = [float(weight) for weight in steps["weight"]]
    assert sum(weights) == pytest.approx(1, abs=1e-5) and set(weights[8:]) == {0}
    adds = [sum(float(value) for value in row[header.index("dimension 1 adds") :]) for row in rows]
    assert adds == pytest.approx([float(score) for score in steps["score"]], abs=1e-4)
    note = figure.locator(".figure-note").first
    best = weights.index(max(weights))
    expect(note).to_contain_text(f"→ {rows[best][1]}: q · k")
    figure.locator('[data-focus="key-4"]').click()
    expect(note).to_contain_text(f"→ {rows[4][1]}: q · k")
    expect(figure.locator('[aria-pressed="true"]')).to_have_attribute("data-focus", "key-4")
    figure.locator('[data-focus="key-9"]').press("Enter")
    expect(note).to_contain_text("lies ahead of the query")
    page.locator("#look-query input").click()
    page.get_by_role("option").nth(12).click()
    expect(figure.locator(".figure-subtitle")).to_contain_text("query 12 ·")
    expect(note).to_contain_text(f"→ {rows[9][1]}: q · k")  # the same key, which can be seen now
    expect(page).to_have_url(re.compile("query=%2212%22"))
    page.locator("#attention-head label", has_text="1").click()
    expect(figure.locator(".figure-title")).to_contain_text("head 1 of 6")
    expect(figure.locator(".figure-subtitle")).to_contain_text("query 12 ·")
    assert "From scores to weights" in offline(browser, page, figure)[0]
