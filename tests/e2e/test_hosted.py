"""The hosted app, served from the function that Modal calls, in a real browser: for everybody, and for members."""

import re
import shutil

import pytest
from playwright.sync_api import expect

from core import load
from core.run import BUNDLED
from tests.hosted_server import USERS, hosted

MARK = "Zanzibar"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    volume = tmp_path_factory.mktemp("volume")
    shutil.copytree(BUNDLED / "shakespeare-gpt", volume / "runs" / "mine")
    (volume / "runs" / "mine" / "checkpoints").mkdir()
    with hosted(volume, USERS, function=True) as server:
        yield server
        assert MARK not in server.output() and "Traceback" not in server.output()


@pytest.fixture
def open_page(browser, site):
    """Opens a page at a path. Fails the test if the console had an error or a request left the machine."""
    contexts, problems, requests = [], [], []

    def opened(path="/", **options):
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 1000}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(45_000)
        page.on("console", lambda m: problems.append(f"{m.text} ({m.location})") if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(site.address + path)
        return page

    opened.problems = problems
    yield opened
    for context in contexts:
        context.close()
    # A page that is left has a stream open to the server: that the browser cuts it is no error of the page.
    cut = ("AbortError: signal is aborted", "Unexpected error Connection errored out")
    assert [problem for problem in problems if not problem.startswith(cut)] == []
    assert [url for url in requests if not url.startswith((site.address, "data:", "blob:"))] == []


def open_tab(page, name):
    expect(page.locator("#tabs [role=tab]").first).to_be_visible()
    tab = page.locator("#tabs").get_by_role("tab", name=name, exact=True)
    if tab.count():
        tab.click()
    else:  # folded away on a narrow page
        page.locator("#tabs .overflow-menu > button").first.click()
        page.locator("#tabs .overflow-dropdown button", has_text=name).first.click()


def sign_in(page, name, password):
    page.locator("input").nth(0).fill(name)
    page.locator("input").nth(1).fill(password)
    page.get_by_role("button", name="Login").click()


def test_everybody_can_look_and_try(open_page, site):
    page = open_page()
    text = f"I saw a cat in {MARK}."
    box = page.locator("#text textarea")
    expect(page.locator("#token-strip .token").first).to_be_visible()
    box.fill(text)
    box.blur()
    tokens = load("enja-transformer").tokenizer.encode(text)
    expect(page.locator("#token-strip .token")).to_have_count(len(tokens.ids))
    open_tab(page, "Attention")
    before = page.locator("#attention-map").inner_text()
    page.locator("#head-grid [data-head]").nth(9).click()
    expect(page.locator("#attention-map")).not_to_have_text(before)
    open_tab(page, "Decoding")
    for column in (1, 2, 3):
        expect(page.locator(f"#decoding-column-{column} .decoding-token").first).to_be_visible()
    expect(page.locator("#decoding-column-1")).to_contain_text("Ended by itself")
    page.locator("#model input").click()
    page.get_by_role("option", name=re.compile("mine")).click()  # of the Volume
    assert (site.runs / "mine" / "config.json").exists() and not (site.runs / "mine" / "checkpoints").exists()
    expect(page.locator("#facts")).to_contain_text("GPT")
    page.locator("#decoding-run").click()
    page.locator("#decoding-stop").click()
    expect(page.locator("#decoding-column-1 .decoding-token").first).to_be_visible()


def test_training_is_shown_and_off(open_page):
    page = open_page()
    open_tab(page, "Training")
    expect(page.locator("#training-plot .main-svg").first).to_be_visible()
    expect(page.locator("#training-off")).to_contain_text("Sign in to train your own.")
    page.locator('#training-runs-table [data-run="mine"]').click()
    expect(page.locator("#training-status")).to_contain_text("mine")
    for control in ("start", "stop", "pause", "go-on", "look", "place", "sweep", "modal"):
        expect(page.locator(f"#training-{control}")).not_to_be_visible()
    for control in ("rename", "delete", "keep", "export", "name", "note"):
        expect(page.locator(f"#runs-{control}")).not_to_be_visible()
    page.locator("#training-off a").click()
    page.wait_for_url("**/studio/")
    expect(page.get_by_role("button", name="Login")).to_be_visible()


def test_members_sign_in_train_on_modal_only_and_sign_out(open_page, site):
    page = open_page("/studio")
    sign_in(page, "ada", "a wrong one")
    expect(page.get_by_text("Incorrect Credentials")).to_be_visible()
    assert open_page.problems.pop().startswith("Failed to load resource: the server responded with a status of 400")
    sign_in(page, "ada", USERS["ada"])
    expect(page.locator("#token-strip .token").first).to_be_visible()
    open_tab(page, "Training")
    expect(page.locator("#training-place label")).to_have_count(1)
    expect(page.locator("#training-place")).to_contain_text("Modal")
    expect(page.locator("#runs-rename")).not_to_be_visible()
    page.locator("#training-name input, #training-name textarea").first.fill("first")
    page.locator("#training-start").click()
    expect(page.locator("#training-message")).to_contain_text("not signed in to Modal")
    assert not (site.runs / "first").exists()
    assert open_page.problems == []
    page.get_by_role("link", name="Sign out").click()
    expect(page.get_by_role("button", name="Login")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [420, 1440])
def test_nothing_overflows_and_signing_in_can_be_read(open_page, scheme, width):
    page = open_page("/studio/", viewport={"width": width, "height": 900}, color_scheme=scheme)
    button = page.get_by_role("button", name="Login")
    expect(button).to_be_visible()
    looks = "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    ink, ground = button.evaluate(looks)
    assert ground not in (ink, "rgba(0, 0, 0, 0)")
    page.goto(page.url.replace("/studio/", "/"))
    expect(page.locator("#token-strip .token").first).to_be_visible()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    open_tab(page, "Training")
    expect(page.locator("#training-off")).to_be_visible()
    too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert too_wide <= 1
