"""The Internals tab in a browser: the lens, a logit taken apart, heads switched off, pages that open offline."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.test_attention_scores_page import numbers, offline, open_at  # noqa: F401


def test_lens_attribution_and_ablation(browser, open_at):  # noqa: F811
    page, figure = open_at("Lens", "#lens-figure", tab="Internals")
    header, *rows = numbers(page, figure)
    assert [row[header.index("final choice: rank")] for row in rows[-5:]] == ["1"] * 5  # the last layer's own choice
    assert "goes on with" in offline(browser, page, figure)[0]
    board = figure.locator(".lens-board")
    board.focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    place = len(rows) // 7 - 3
    chosen = rows[5 * (len(rows) // 7) + place]
    assert chosen[:2] == ["5", str(place)]
    expect(figure.locator("svg")).to_contain_text(f"Position {place}, behind")
    expect(page).to_have_url(re.compile(f"logit=%22{place}\\."))

    page.get_by_role("tab", name="Attribution", exact=True).click()
    bars = page.locator("#attribution-bars")
    expect(bars.locator(".figure-title")).to_have_text(f"What makes the logit of “{chosen[header.index('token 1')]}”")
    logit = float(re.search(r"logit (-?[\d.]+)", bars.locator(".figure-subtitle").inner_text())[1])
    assert sum(float(row[-1]) for row in numbers(page, bars)[1:]) == pytest.approx(logit, abs=1e-3)
    bars.locator(".choosable").first.press("Enter")
    keys = page.locator("#attribution-keys")
    part = bars.locator(".choosable").first.get_attribute("aria-label").split(", ")
    expect(keys.locator(".figure-title")).to_contain_text(part[0])
    assert sum(float(row[-1]) for row in numbers(page, keys)[1:]) == pytest.approx(float(part[1]), abs=1e-3)
    page.locator("#attribution-other input").click()
    page.get_by_role("option", name="the mean of the vocabulary").click()
    expect(bars.locator(".figure-title")).to_contain_text("more likely than the mean of the vocabulary")
    expect(page).to_have_url(re.compile(r"logit=%22\d+\.\d*\.mean"))
    assert "sum of all parts" in offline(browser, page, bars)[0]

    page.get_by_role("tab", name="Ablation", exact=True).click()
    switches, outcome = page.locator("#ablation-switches"), page.locator("#ablation-outcome")
    expect(outcome).to_contain_text("The loss changes by +0.0000")
    for part in ("self.1.1", "self.5.3", "mlp.1.1", "self.5.3", "self.6.2"):  # quick clicks: every one counts
        switches.locator(f'[data-part="{part}"]').click()
    expect(outcome).to_contain_text("After: 3 switched off")
    expect(page).to_have_url(re.compile("off=mlp.1.1%2Cself.1.1%2Cself.6.2"))
    expect(switches.locator('[aria-checked="false"]')).to_have_count(3)
    page.locator("#ablation-losses .choosable").nth(2).click()
    expect(page.locator("#ablation-next .figure-subtitle")).to_contain_text("(position 2)")
    page.get_by_role("button", name="Switch off each part alone").click()
    expect(page.locator("#ablation-progress")).to_contain_text("42 of 42 parts were switched off, each alone.")
    header, *rows = numbers(page, switches)
    assert len(rows) == 42 and all(row[header.index("loss change alone")] for row in rows)
    assert "switched off" in offline(browser, page, switches)[0]
