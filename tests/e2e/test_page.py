"""One sentence through every tab, in a real browser, on the bundled models; then a training run of one's own."""

import json
import os
import re
import shutil
import time
import urllib.request
import zipfile

import pytest
from playwright.sync_api import expect

from core import load
from core.run import BUNDLED, Status
from tests.e2e.conftest import serving


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An app of one's own: these tests train, rename and delete runs."""
    with serving(tmp_path_factory.mktemp("runs")) as served:
        yield served


@pytest.fixture(scope="module")
def page(one_page):
    """These tests follow each other on one page, as somebody would go on with it."""
    return one_page


def open_tab(page, name):
    tab = page.locator("#tabs").get_by_role("tab", name=name, exact=True)
    if not tab.count():  # folded away on a narrow page
        page.locator("#tabs .overflow-menu > button").first.click()
        tab = page.locator("#tabs .overflow-dropdown button", has_text=name).first
    tab.click()


def say(page, text):
    box = page.locator("#text textarea")
    box.fill(text)
    box.press("Enter") if "\n" not in text else box.blur()


def choose_model(page, name):
    box = page.locator("#model input")
    box.click()
    page.get_by_role("option", name=re.compile(re.escape(name))).first.click()


def test_nothing_is_empty_on_arrival(page):
    expect(page.locator("#facts")).to_contain_text("Transformer", ignore_case=True)
    expect(page.locator("#token-strip .token").first).to_be_visible()
    tokens = load("enja-transformer").tokenizer.encode(page.locator("#text textarea").input_value())
    expect(page.locator("#token-strip .token")).to_have_count(len(tokens.ids))
    open_tab(page, "Attention")
    expect(page.locator("#head-grid [data-head]").first).to_be_visible()
    expect(page.locator("#attention-map svg").first).to_be_visible()
    open_tab(page, "Decoding")
    for column in (1, 2, 3):
        expect(page.locator(f"#decoding-column-{column} .decoding-token").first).to_be_visible()
    open_tab(page, "Training")
    expect(page.locator("#training-plot .main-svg").first).to_be_visible()


@pytest.mark.parametrize("name", ["shakespeare-gpt", "pydocs-llama"])
def test_every_tab_follows_another_model(page, name):
    before = page.locator("#text textarea").input_value()
    open_tab(page, "Tokenizer")
    choose_model(page, name)
    config = load(name).config.model
    expect(page.locator("#facts")).to_contain_text({"gpt": "GPT", "llama": "Llama"}[config.family])
    text = page.locator("#text textarea").input_value()
    assert text and text != before  # an example of its own, as nothing was typed
    expect(page.locator("#token-strip .token")).to_have_count(len(load(name).tokenizer.encode(text).ids))
    open_tab(page, "Attention")
    expect(page.locator("#head-grid [data-head]")).to_have_count(config.n_layers * config.n_heads)
    open_tab(page, "Decoding")
    for column in (1, 2, 3):
        expect(page.locator(f"#decoding-column-{column} .decoding-token").nth(3)).to_be_visible()


def test_a_sentence_is_followed_through_the_tabs(page):
    text = "I would like a cup of coffee."
    run = load("enja-transformer")
    open_tab(page, "Tokenizer")
    choose_model(page, run.name)
    expect(page.locator("#facts")).to_contain_text("Transformer")
    say(page, text)
    encoding = run.tokenizer.encode(text)
    expect(page.locator("#token-strip .token")).to_have_count(len(encoding.ids))
    expect(page.locator("#token-counts")).to_contain_text(str(len(encoding.ids)))
    expect(page.locator("#token-table")).to_contain_text(str(encoding.ids[0]))
    expect(page.locator("#token-table")).to_contain_text(encoding.pieces[0].hex(" ").upper(), ignore_case=True)

    open_tab(page, "Attention")
    config = run.config.model
    expect(page.locator("#head-grid [data-head]")).to_have_count(config.n_layers * config.n_heads)
    before = page.locator("#attention-map").inner_text()
    page.locator("#head-grid [data-head]").nth(config.n_heads + 2).click()
    expect(page.locator("#attention-map")).not_to_have_text(before)

    open_tab(page, "Decoding")
    expect(page.locator("#decoding-column-1")).to_contain_text("Ended by itself")  # it is written token by token
    expect(page.locator("#decoding-column-2")).to_contain_text("コーヒー")
    from core.decode import GenerationConfig, generate

    expected = generate(run, [text], GenerationConfig(max_new_tokens=60))[0].text
    shown = page.locator("#decoding-column-1 .decoding-text").inner_text()
    assert re.sub(r"\s", "", expected) in re.sub(r"\s", "", shown)


NASTY = [  # every other one is taken through the tabs
    "", "   ", "<script>window.hacked = 1</script><img src=x onerror=window.hacked=1>", "👨‍👩‍👧‍👦 🏳️‍🌈", "word " * 3_000,
    "a" * 100_000, "\x00 NUL",
]  # fmt: skip


def test_any_text_is_taken(page):
    for number, text in enumerate(NASTY):
        say(page, text)
        for tab in ("Attention", "Decoding", "Tokenizer") if number % 2 == 0 else ():
            open_tab(page, tab)
            page.wait_for_timeout(200)
        expect(page.locator("#token-counts")).to_be_visible()
        assert page.evaluate("window.hacked") is None
        assert "Traceback" not in page.locator("body").inner_text()
        assert page.locator(".toast-body.error").count() == 0
        say(page, f"Still alive {number}.")  # and the page goes on working
        expect(page.locator("#token-strip")).to_contain_text("alive")
        expect(page.locator("#token-text")).to_have_text(f"Still alive {number}.")


def test_an_unknown_model_is_one_sentence(page):
    box = page.locator("#model input")
    box.fill("no-such-model")
    box.press("Enter")
    expect(page.locator("#message")).to_contain_text("no run 'no-such-model'")
    choose_model(page, "enja-transformer")
    expect(page.locator("#message")).to_be_empty()


def test_nothing_overflows(page):
    before = page.viewport_size
    for width in (390, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        for tab in ("Tokenizer", "Attention", "Internals", "Embeddings", "Decoding", "Evaluate", "Training"):
            open_tab(page, tab)
            page.wait_for_timeout(500)
            too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert too_wide <= 1, f"{tab} is {too_wide} px too wide"
    page.set_viewport_size(before)


def test_a_training_run_is_started_watched_and_stopped(page, server):
    runs = server[1]
    open_tab(page, "Training")
    name = page.locator("#training-name input, #training-name textarea").first
    name.fill("watched")
    steps = page.locator("#training-steps input")
    steps.fill("2000")
    steps.blur()
    page.locator("#training-start").click()
    status = page.locator("#training-status")
    badge = status.locator(".training-badge")
    expect(status).to_contain_text("watched", timeout=60_000)

    def lines():
        path = runs / "watched" / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    deadline = time.monotonic() + 120
    while len([m for m in lines() if "loss" in m]) < 4 and time.monotonic() < deadline:
        page.wait_for_timeout(500)
    points = "#training-plot .scatterlayer .trace path.js-line"
    page.wait_for_selector(points, state="attached", timeout=60_000)

    # A part of the curve is looked at closely, and stays in sight while the curve grows.
    box = box_of(page, "#training-plot .nsewdrag")
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.9 * box["height"], steps=8)
    page.mouse.up()
    page.wait_for_function(f"{SHOWN}.range[0] > 0")
    close = page.evaluate(SHOWN)
    page.wait_for_function(
        f"before => {SHOWN}.points > before.points + 1", arg=close, timeout=60_000
    )  # the curve moves
    assert page.evaluate(SHOWN)["range"] == close["range"]

    page.locator("#training-pause").click()
    expect(badge).to_have_text("paused", timeout=60_000)
    rested = len(lines())
    page.wait_for_timeout(2_000)
    assert len(lines()) == rested
    page.locator("#training-pause").click()  # it says Continue now
    expect(badge).to_have_text("training", timeout=60_000)
    page.locator("#training-stop").click()
    expect(badge).to_have_text("stopped", timeout=60_000)
    losses = [m["loss"] for m in lines() if "loss" in m]
    assert losses[-1] < losses[0]
    assert (runs / "watched" / "model.safetensors").exists()
    expect(page.locator("#training-runs-table")).to_contain_text("watched")
    page.locator("#model input").click()
    expect(page.get_by_role("option", name=re.compile("watched"))).to_be_visible()


def box_of(page, selector):
    """Where it is on the page: as soon as it is, since what is just being drawn anew is nowhere."""
    deadline = time.monotonic() + 30
    while (box := page.locator(selector).bounding_box()) is None and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    return box


SHOWN = (
    "(() => { const plot = document.querySelector('#training-plot .js-plotly-plot'); "
    "return {range: plot._fullLayout.xaxis.range, points: plot._fullData.reduce((sum, t) => sum + t._length, 0)}; })()"
)


@pytest.fixture
def mine(server):
    """A run of one's own that is there when the page is opened."""
    shutil.copytree(BUNDLED / "shakespeare-gpt", server[1] / "mine")


def test_runs_are_compared_renamed_and_deleted(mine, page, server):
    page.reload()  # the run is new
    expect(page.locator("#token-strip .token").first).to_be_visible()
    open_tab(page, "Training")
    page.locator('#training-runs-table [data-run="mine"]').click()
    expect(page.locator("#training-status")).to_contain_text("mine")
    page.locator("#training-compare input").click()
    page.get_by_role("option", name=re.compile("pydocs-llama")).click()
    page.keyboard.press("Escape")
    expect(page.locator("#training-table")).to_contain_text("model.family", timeout=30_000)
    expect(page.locator("#training-plot .legend")).to_contain_text("pydocs-llama")

    choose_model(page, "mine")
    expect(page.locator("#facts")).to_contain_text("GPT")
    page.locator("#runs-note textarea, #runs-note input").first.fill("<img src=x onerror=window.hacked=1> noted")
    page.locator("#runs-keep").click()
    expect(page.locator("#training-runs-table")).to_contain_text("<img src=x onerror=window.hacked=1> noted")
    page.locator("#runs-name textarea, #runs-name input").first.fill("renamed")
    page.locator("#runs-rename").click()
    expect(page.locator("#model input")).to_have_value(re.compile("renamed"))
    expect(page.locator("#training-follow input")).to_have_value(re.compile("renamed"))
    expect(page.locator('#training-runs-table [data-run="renamed"]')).to_be_visible()
    expect(page.locator("#training-status")).to_contain_text("renamed")
    page.locator("#runs-export").click()
    with page.expect_download() as download:
        page.locator("#runs-files a").first.click()
    assert zipfile.ZipFile(download.value.path()).testzip() is None

    page.locator("#runs-delete").click()
    expect(page.locator("#runs-ask")).to_contain_text("for good?")
    page.locator("#runs-spare").click()
    expect(page.locator("#runs-ask")).to_be_hidden()
    assert (server[1] / "renamed").exists()
    page.locator("#runs-delete").click()
    page.locator("#runs-sure").click()
    expect(page.locator("#runs-message")).to_contain_text("renamed is deleted")
    assert not (server[1] / "renamed").exists() and page.evaluate("window.hacked") is None
    expect(page.locator("#model input")).to_have_value(re.compile("enja-transformer"))
    expect(page.locator("#message")).to_be_empty()


@pytest.fixture
def live(server):
    """A run that is training, as far as its files say: what a page that is opened shows first."""
    directory = server[1] / "live"
    shutil.copytree(BUNDLED / "shakespeare-gpt", directory)
    Status(state="running", pid=os.getpid(), step=10, steps=300, eta=60.0).write(directory)
    yield
    shutil.rmtree(directory)


def test_what_is_chosen_before_the_page_has_heard_what_trains_stays(live, browser, server):
    config = json.loads(urllib.request.urlopen(f"{server[0]}/config").read())
    arriving = {dep["id"] for dep in config["dependencies"] if re.fullmatch(r"arrive(_\d+)?", str(dep["api_name"]))}
    page, late = browser.new_page(viewport={"width": 1400, "height": 1000}), []

    def hold(route):  # what there is, and what trains, is asked for and heard late
        is_late = route.request.post_data_json["fn_index"] in arriving
        late.append(route) if is_late else route.continue_()

    page.route("**/queue/join*", hold)
    page.goto(server[0])
    expect(page.locator("#token-strip .token").first).to_be_visible()
    open_tab(page, "Training")
    page.locator('#training-runs-table [data-run="live"]').wait_for()  # the table is asked for by itself
    page.locator('#training-runs-table [data-run="pydocs-llama"]').click()
    expect(page.locator("#training-status")).to_contain_text("pydocs-llama")
    assert arriving and len(late) == len(arriving)
    for route in late:
        route.continue_()
    page.wait_for_timeout(2_000)
    assert "pydocs-llama" in page.locator("#training-follow input").input_value()
    expect(page.locator("#training-status")).to_contain_text("pydocs-llama")
    page.close()


def test_what_trains_is_shown_first(live, browser, server):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(server[0])
    expect(page.locator("#token-strip .token").first).to_be_visible()
    open_tab(page, "Training")
    expect(page.locator("#training-follow input")).to_have_value(re.compile("live"))
    expect(page.locator("#training-status")).to_contain_text("10 of 300")
    expect(page.locator("#runs-name textarea, #runs-name input").first).to_have_value("live")
    note = page.locator("#runs-note textarea, #runs-note input").first
    note.fill("half a sent")
    Status(state="paused", pid=os.getpid(), step=11, steps=300).write(server[1] / "live")
    expect(page.locator("#training-status .training-badge")).to_have_text("paused")
    page.wait_for_timeout(1_000)
    assert note.input_value() == "half a sent"  # the lists of runs have changed, the run has not
    page.close()


def test_the_data_are_looked_at_before_training(page):
    open_tab(page, "Training")
    page.locator("#training-look").click()
    preview = page.locator("#training-preview")
    expect(preview.locator(".examples tbody tr").first).to_be_visible(timeout=90_000)
    expect(preview).to_contain_text("epochs")
    page.locator("#training-close").click()
    expect(preview.locator(".examples")).to_have_count(0)


def test_a_second_run_of_the_same_name_is_refused(page, server):
    open_tab(page, "Training")
    page.locator("#training-name input, #training-name textarea").first.fill("../escape")
    page.locator("#training-start").click()
    expect(page.locator("#training-message")).to_contain_text("cannot be a run's name")
    (server[1] / "taken").mkdir(exist_ok=True)
    page.locator("#training-name input, #training-name textarea").first.fill("taken")
    page.locator("#training-start").click()
    expect(page.locator("#training-message")).to_contain_text("already a run")
