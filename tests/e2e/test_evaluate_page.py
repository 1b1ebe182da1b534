"""Evaluate in a browser: measured, copied, looked at, compared and deleted; a text shaded by its losses."""

import csv
import io
import json
import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from core import load
from core.decode.presets import with_preset
from core.evaluate.evaluation import measured
from core.evaluate.request import Request
from core.evaluate.significance import paired
from core.evaluate.token_losses import token_losses

MODEL = "demo-transformer"
HOSTILE = "<script>hacked = 1</script> <img src=x onerror=hacked=1>"


@pytest.fixture
def open_at(browser, server):
    """open_at(part, ...) -> the Evaluate tab at a part, opened by a link. Fails if the console had an error."""
    context, problems = browser.new_context(viewport={"width": 1400, "height": 1000}), []
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server[0])
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.on("console", lambda m: problems.append(f"{m.text} ({m.location})") if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))

    def go(part="", **state):
        state = {"tab": "Evaluate", **({"part": part} if part else {}), **state}
        page.goto(f"{server[0]}/#{urlencode(state)}")
        page.wait_for_selector("#tabs")
        return page

    expect.set_options(timeout=90_000)  # a busy machine is no failure
    yield go
    expect.set_options(timeout=30_000)
    context.close()
    assert problems == []


def request(name, count):
    config = with_preset(load(MODEL).config.decode, name)
    return Request(data="builtin:enja", max_examples=count, decode=config, metrics=("bleu", "chrf"))


def measure(page, strategy, examples):
    page.get_by_role("radio", name="Built in", exact=True).check()
    page.locator("#evaluate-strategy input").click()
    page.get_by_role("option", name=strategy, exact=True).click()
    for name in ("TER", "Exact match"):
        page.locator("#evaluate-metrics").get_by_label(name, exact=True).uncheck()
    number = page.locator("#evaluate-examples input")
    number.fill(str(examples))
    number.press("Tab")
    page.locator("#evaluate-run").click()
    expect(page.locator("#evaluate-scores h3")).to_contain_text(f"the first {examples} · {strategy}")
    expect(page.locator("#evaluate-run")).to_be_visible()


def test_strategies_are_measured_compared_and_deleted(open_at, server):
    page = open_at(model=MODEL)
    expect(page.locator("#evaluate-scores section")).to_contain_text(f"{MODEL}: the scores that it came with")
    found = {name: measured(load(MODEL), request(name, 12), keep=False) for name in ("greedy", "top-p")}
    for title, name in (("Greedy", "greedy"), ("Top-p 0.9", "top-p")):
        measure(page, title, 12)
        bleu = found[name].scores["bleu"]
        expect(page.locator("#evaluate-scores")).to_contain_text(f"{bleu.score:.2f}")
        expect(page.locator("#evaluate-scores")).to_contain_text(bleu.signature)
    page.locator("#evaluate-scores .evaluation-score").first.get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == f"BLEU {bleu.score:.2f} {bleu.signature}"
    rows = page.locator("#evaluate-table tr[data-line]")
    expect(rows).to_have_count(12)
    line = found["top-p"].lines[int(rows.first.get_attribute("data-line")) - 1]
    expect(rows.first).to_contain_text(line.source)
    page.locator("#evaluate-contains input, #evaluate-contains textarea").fill(line.source)
    page.keyboard.press("Tab")
    expect(rows).to_have_count(1)

    page.get_by_role("tab", name="Compare", exact=True).click()
    boxes = page.locator(".evaluation-kept input")
    expect(boxes).to_have_count(2)
    # The first one is the baseline. Both are chosen before an answer can have come.
    page.evaluate(
        "names => names.forEach((name) => [...document.querySelectorAll('.evaluation-kept tbody tr')]"
        ".find((row) => row.textContent.includes(name)).querySelector('input').click())",
        ["Greedy", "Top-p 0.9"],
    )
    for name in ("Greedy", "Top-p 0.9"):
        expect(page.locator(".evaluation-kept tr", has_text=name).locator("input")).to_be_checked()
    expect(page.locator("#compare-scores tbody tr").first).to_contain_text("Greedy (baseline)")
    choose = "([chosen, ...click]) => (keptClicks.push(Object.fromEntries(click)), chooseKept(chosen, 2))"
    for act, on, id, chosen, becomes in (
        ("choose", True, "c", "a", "a,c"), ("choose", True, "c", "a,b", "a,b"), ("choose", False, "a", "a,b", "b"),
        ("choose", True, "a", "a,b", "b,a"), ("open", False, "a", "x,y", "x,y"), ("choose", True, "a", "", "a"),
    ):  # fmt: skip
        assert page.evaluate(choose, [chosen, ["act", act], ["on", on], ["id", id]]) == becomes
    page.locator("#compare-run").click()
    expect(page.locator("#compare-scores tbody")).to_contain_text("p = ")
    lines = {name: [line.output for line in one.lines] for name, one in found.items()}
    test = paired(lines, [line.reference for line in found["top-p"].lines], "ja", ("bleu", "chrf"))
    expect(page.locator("#compare-scores tbody tr").nth(1)).to_contain_text(
        f"p = {test.systems[1].scores['bleu'].p_value:.4f}"
    )
    with page.expect_download() as download:
        page.locator("#compare-figure .figure-exports button", has_text="CSV").click()
    table = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig"))))
    assert [row["evaluation"] for row in table] == ["Greedy", "Top-p 0.9"]
    assert float(table[0]["BLEU"]) == pytest.approx(found["greedy"].scores["bleu"].score, rel=1e-5)

    row = page.locator("#compare-table tr[data-line]").first
    number = int(row.get_attribute("data-line"))
    row.locator("td").nth(0).click()
    expect(page.locator("#tab-attention-button, [role=tab]", has_text="Attention").first).to_have_attribute(
        "aria-selected", "true"
    )
    line = found["greedy"].lines[number - 1]
    expect(page.locator("#text textarea")).to_have_value(line.source)
    expect(page.locator("#target-attention textarea")).to_have_value(line.output)
    expect(page.locator("#attention-map svg")).to_be_visible()

    page.get_by_role("tab", name="Evaluate", exact=True).click()
    for left in (1, 0):
        page.locator(".evaluation-kept .evaluation-delete").first.click()
        page.locator("#compare-sure").click()
        expect(page.locator(".evaluation-kept tbody tr")).to_have_count(left)


def test_a_text_is_shaded_by_its_losses_and_hostile_texts_are_text(open_at):
    words = "The function returns a value."
    page = open_at("Text", model="pydocs-llama", text=words)
    expect(page.locator("#losses-shaded")).to_contain_text("The function returns a value.")
    found = token_losses(load("pydocs-llama"), words)
    expect(page.locator("#losses-facts")).to_contain_text(f"{found.figures['bits_per_byte']:.3f}")
    token = page.locator("#losses-shaded .decoding-token").nth(1)
    token.focus()
    expect(page.locator("#decoding-tip")).to_contain_text("rank")
    said = json.loads(token.get_attribute("data-say"))[0]["line"]
    assert re.search(r"loss [\d.]+ nats", said)

    field = page.locator("#losses-text-field textarea")
    field.fill(HOSTILE)
    page.locator("#losses-stride input").fill("1")
    page.keyboard.press("Tab")
    page.locator("#losses-run").click()
    expect(page.locator("#losses-shaded")).to_contain_text("<script>hacked")
    page.locator("#losses-experiment").click()
    expect(page.locator("#degeneration-run")).to_be_visible()
    assert page.evaluate("typeof hacked") == "undefined" and page.locator("img[src=x]").count() == 0
