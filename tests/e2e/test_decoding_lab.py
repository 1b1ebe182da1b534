"""Decoding in a browser: columns, branches, recipes, the next token, a beam tree, the experiment, hostile texts."""

import csv
import io
import json
import math
import re
from urllib.parse import urlencode

import pytest
from gradio_client import Client
from playwright.sync_api import expect

from core import load
from core.decode import GenerationConfig, generate
from core.decode.cursor import cursor_at
from core.decode.recipe import Recipe, replay

MODEL, TEXT = "shakespeare-gpt", "ROMEO:\nWhat light is this"
GREEDY, DRAWN = {"strategy": "greedy"}, {"strategy": "sample", "top_p": 0.9, "seed": 4}
HOSTILE = "<script>hacked = 1</script> <img src=x onerror=hacked=1> &lt;b&gt; \"'`"


@pytest.fixture(scope="module")
def page(browser, server):
    """One page for all tests, opened by a link with two columns. Fails if the console had an error."""
    context, problems = browser.new_context(viewport={"width": 1400, "height": 1000}), []
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.on("console", lambda m: problems.append(f"{m.text} ({m.location})") if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    state = {"tab": "Decoding", "model": MODEL, "text": TEXT, "columns": json.dumps(settings(GREEDY, DRAWN))}
    expect.set_options(timeout=90_000)  # a busy machine is no failure
    page.goto(f"{server[0]}/#{urlencode(state)}")
    yield page
    expect.set_options(timeout=30_000)
    context.close()
    assert problems == []


def settings(*columns, tokens=8):
    """As they stand in an address."""
    return json.dumps({"columns": [{**one, "max_new_tokens": tokens} for one in columns], "together": False})


def open_part(page, name):
    """A part of the tab; where it does not fit beside the others it is in their list."""
    tab = page.locator("#decoding-parts").get_by_role("tab", name=name, exact=True).first
    tab.click()
    expect(tab).to_have_attribute("aria-selected", "true")


def column(page, number):
    return page.locator(f"#decoding-column-{number}")


def ids_of(page, number):
    return [
        int(token)
        for token in column(page, number).locator(".decoding-text").first.get_attribute("data-ids").split(",")
    ]


def saved(page, button):
    with page.expect_download() as download:
        button.click()
    return download.value.path().read_text(encoding="utf-8-sig")


def numbers(page, figure):
    header, *rows = csv.reader(
        io.StringIO(saved(page, page.locator(f"{figure} .figure-exports button", has_text="CSV")))
    )
    return [dict(zip(header, row)) for row in rows]


def test_columns_are_added_branched_and_saved(page, server):
    expect(column(page, 2)).to_contain_text("Make it again")
    run = load(MODEL)
    expect(column(page, 1).locator(".decoding-text").first).to_have_attribute(
        "data-ids", ",".join(map(str, generate(run, [TEXT], GenerationConfig(max_new_tokens=8))[0].ids))
    )
    page.locator(".decoding-add").click()
    expect(column(page, 3)).to_contain_text("Make it again")

    before = ids_of(page, 1)
    token = column(page, 1).locator(".decoding-token").nth(2)
    token.focus()
    tip = page.locator("#decoding-tip")
    expect(tip).to_contain_text("log-probability")
    other = tip.locator(".decoding-option:not(.decoding-chosen)").first
    at, chosen = int(other.get_attribute("data-at")), int(other.get_attribute("data-id"))
    other.press("Enter")
    expect(column(page, 1)).to_contain_text(re.compile(rf"Branched: {at + 1} tokens? (is|are) given"))
    expect(column(page, 1)).to_contain_text("Make it again")
    branched = ids_of(page, 1)
    assert branched[: at + 1] == [*before[:at], chosen] and branched[at] != before[at]
    expect(page.locator("#decoding-agreement")).to_contain_text("differs from column 1")
    expect(column(page, 1).locator(f'.decoding-token[data-at="{at}"]')).to_be_focused()

    column(page, 2).get_by_text("Make it again").click()
    recipe = Recipe.from_json(saved(page, column(page, 2).locator("[data-save]")))
    assert recipe.model == MODEL and recipe.text == TEXT and recipe.config.seed == 4
    assert replay(recipe, run).ids == ids_of(page, 2)
    config = json.loads(recipe.to_json())["recipe"]["config"]
    answer = Client(server[0], verbose=False).predict(TEXT, MODEL, config, api_name="/decode")
    assert answer["hypotheses"][0]["ids"] == ids_of(page, 2)


def test_columns_are_stopped_while_they_are_busy(page):
    wide = {"strategy": "beam", "num_beams": 12, "min_new_tokens": 390}
    page.locator("#decoding-settings textarea").evaluate(
        "(field, value) => { field.value = value; field.dispatchEvent(new Event('input', {bubbles: true})); }",
        settings(wide, {**wide, "length_penalty": 0.5}, {**wide, "length_penalty": 2.0}, tokens=390),
    )
    expect(column(page, 3).locator(".decoding-text[aria-busy=true] .decoding-token").nth(5)).to_be_visible()
    page.locator("#decoding-stop").click()
    for number in (1, 2, 3):
        expect(column(page, number)).to_contain_text("Stopped by you")
        assert 5 < len(ids_of(page, number)) < 390


def test_the_next_token_by_hand_and_a_tree(page):
    open_part(page, "Next token")
    figure = "#next-figure"
    expect(page.locator(f"{figure} svg.figure-svg")).to_be_visible()
    top_k = page.locator("#part-next-token").get_by_label(re.compile("number input for Top-k"))
    top_k.fill("3")
    top_k.press("Enter")
    expect(page.locator(figure)).to_contain_text("· top-k")
    after = cursor_at(load(MODEL), TEXT).stages(GenerationConfig(strategy="sample", top_k=3))
    rows = numbers(page, figure)
    for row, found in zip(rows[:6], after.top(6)):
        assert int(row["id"]) == found["id"] and math.isclose(float(row["probability"]), found["final"], abs_tol=1e-6)
    assert [bool(row["removed by"]) for row in rows[:6]] == [False] * 3 + [True] * 3

    page.locator(f'{figure} [data-focus="token-1"]').click()
    expect(page.locator(f"{figure} .next-token")).to_have_count(1)
    page.locator("#next-step").click()
    expect(page.locator(f"{figure} .next-token")).to_have_count(2)
    page.locator("#next-back").click()
    expect(page.locator(f"{figure} .next-token")).to_have_count(1)

    open_part(page, "Beam tree")
    expect(page.locator("#tree-table")).to_contain_text("score")
    best = generate(load(MODEL), [TEXT], GenerationConfig(strategy="beam", num_beams=5, max_new_tokens=30))[0]
    states = [row["state"] for row in numbers(page, "#tree-figure")]
    assert states.count("pruned") > 0 and best.text.split()[0] in page.locator("#tree-table").inner_text()


def test_the_settings_of_a_tree_are_in_the_address(page, server):
    other = page.context.new_page()
    state = {"tab": "Decoding", "part": "Beam tree", "model": MODEL, "text": TEXT, "tree-beams": 3, "tree-longest": 9,
             "tree-penalty": -0.5, "tree-scores": "gnmt", "tree-groups": 99}  # fmt: skip
    other.goto(f"{server[0]}/#{urlencode(state)}")
    config = GenerationConfig(
        strategy="beam", num_beams=3, max_new_tokens=9, length_penalty=-0.5, length_penalty_formula="gnmt"
    )
    best = generate(load(MODEL), [TEXT], config)[0]
    expect(other.locator("#tree-table")).to_contain_text(best.text.split()[-1])
    expect(other.locator("#tree-table")).to_contain_text(f"{abs(best.score):.4f}")
    beams = other.locator("#tree-beams input[type=number]")
    expect(beams).to_have_value("3")
    beams.fill("4")
    beams.blur()
    other.wait_for_function("location.hash.includes('tree-beams=4')")
    assert "tree-longest=9" in other.url and "tree-groups" not in other.url  # no field holds 99
    other.close()


def test_the_settings_of_the_next_token_are_one_link(page, server):
    other = page.context.new_page()
    problems = []
    other.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    other.on("pageerror", lambda error: problems.append(str(error)))
    linked = '{"temperature":0.72,"top_k":40,"how":"drawn","top_p":7,"other":"x"}'
    state = {"tab": "Decoding", "part": "Next token", "model": MODEL, "text": TEXT, "next": json.dumps(linked)}
    other.goto(f"{server[0]}/#{urlencode(state)}")
    form, figure = other.locator("#next-settings"), other.locator("#next-figure")

    def field(name):
        return form.get_by_label(f"number input for {name}"), form.get_by_label(f"range slider for {name}")

    expect(figure).to_contain_text("· 40 kept")
    after = cursor_at(load(MODEL), TEXT).stages(GenerationConfig(strategy="sample", temperature=0.72, top_k=40))
    expect(figure.locator(".figure-subtitle")).to_contain_text(f"→ {after.final_entropy:.3f} nats")
    (number, slider), (top_p, _) = field("Top-k"), field("Top-p")
    expect(field("Temperature")[0]).to_have_value("0.72")
    expect(top_p).to_have_value("1")  # what the field cannot hold is dropped
    expect(form.get_by_label("drawn", exact=True)).to_be_checked()

    slider.focus()  # the keyboard; both fields agree, the answer leaves the focus where it is
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    expect(number).to_have_value("42")
    expect(figure).to_contain_text("· 42 kept")
    expect(slider).to_be_focused()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    other.mouse.move(box["x"] + box["width"] / 2, middle)  # dragged from the middle to the end, with answers between
    other.mouse.down()
    for share in range(50, 105, 5):
        other.mouse.move(box["x"] + box["width"] * share / 100, middle)
        other.wait_for_timeout(30)
    expect(figure).to_contain_text("· 200 kept")
    other.mouse.move(box["x"] + box["width"] * 0.5, middle)
    other.mouse.up()
    expect(number).not_to_have_value("200")
    expect(figure).to_contain_text(f"· {number.input_value()} kept")
    expect(slider).to_have_value(number.input_value())

    for typed, holds in (("1e9", "200"), ("-3", "0"), ("7.6", "8"), ("", "8")):
        number.fill(typed)
        number.press("Enter")
        expect(number).to_have_value(holds)
        expect(slider).to_have_value(holds)
    expect(figure).to_contain_text("· 8 kept")
    form.get_by_label("Look up a token").fill(HOSTILE[:8])
    form.get_by_label("Look up a token").press("Enter")
    other.wait_for_function("new URLSearchParams(location.hash.slice(1)).get('next')?.includes('<script>')")
    again = json.loads(other.evaluate("JSON.parse(new URLSearchParams(location.hash.slice(1)).get('next'))"))
    assert again == {"temperature": 0.72, "top_k": 8, "how": "drawn", "find": "<script>"}

    form.get_by_role("button", name="Reset").click()
    expect(number).to_have_value("0")
    expect(form.get_by_label("most probable")).to_be_checked()
    expect(figure).not_to_contain_text("· top-k")
    other.wait_for_function("!location.hash.includes('next=')")
    other.close()
    assert problems == []


def test_the_experiment_is_run_and_stopped(page):
    open_part(page, "Degeneration")
    typed = page.locator("#degeneration-typed textarea")
    expect(typed).not_to_have_value("")  # examples are offered: the form suits the model
    typed.fill("To be, or\t not to be, that is the question\nO Romeo,\t Romeo! wherefore art thou Romeo?")
    for name in ("Pure sampling", "Temperature 0.7", "Top-k 50", "Typical 0.9", "Beam search, 5"):
        page.locator("#degeneration-strategies").get_by_label(name, exact=True).uncheck()
    tokens = page.locator("#degeneration-tokens").get_by_label(re.compile("number input"))
    tokens.fill("10")
    tokens.press("Enter")
    page.locator("#degeneration-run").click()
    expect(page.locator("#degeneration-curves svg")).to_contain_text("Top-p 0.9")
    expect(page.locator("#degeneration-run")).to_be_visible()
    rows = numbers(page, "#degeneration-measures")
    assert [row["texts by"] for row in rows] == ["Human", "Greedy", "Top-p 0.9"]
    assert {row["texts"] for row in rows} == {"2"} and float(rows[1]["perplexity"]) < float(rows[0]["perplexity"])
    expect(page.locator("#degeneration-texts")).to_contain_text("behind prompt 1")

    typed.fill("\n".join([HOSTILE] * 12))
    page.locator("#degeneration-strategies").get_by_label("Minimum Bayes risk, 16", exact=True).check()
    tokens.fill("200")
    tokens.press("Enter")
    page.locator("#degeneration-run").click()
    expect(page.locator("#degeneration-message progress")).to_be_visible()
    page.locator("#degeneration-stop").click()
    expect(page.locator("#degeneration-message")).to_contain_text("Stopped by you")


def test_hostile_texts_are_shown_and_not_run(page):
    page.locator("#degeneration-strategies").get_by_label("Minimum Bayes risk, 16", exact=True).uncheck()
    tokens = page.locator("#degeneration-tokens").get_by_label(re.compile("number input"))
    tokens.fill("5")
    tokens.press("Enter")
    expect(page.locator("#degeneration-run")).to_be_visible()
    page.locator("#degeneration-run").click()
    expect(page.locator(".degeneration-prompt").first).to_contain_text("<script>hacked = 1</script>")
    expect(page.locator("#degeneration-run")).to_be_visible()
    page.locator("#text textarea").fill(HOSTILE)
    page.locator("#text textarea").blur()
    open_part(page, "Next token")
    expect(page.locator("#next-figure .next-prompt").first).to_contain_text("<script>hacked = 1</script>")
    assert page.evaluate("typeof hacked") == "undefined" and page.locator("img[src=x]").count() == 0
