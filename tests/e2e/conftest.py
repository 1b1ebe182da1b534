"""The page served as a user serves it, and the system's Chromium looking at it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
# The first is Chromium without its window, which begins sooner and takes a third less time for a page.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def browser_path() -> str:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    assert path, "The browser tests need Chromium: .ci/run installs it, or `apt-get install chromium`."
    return path


@contextmanager
def serving(runs):
    """`llm-scratch app` on a runs directory: (address, runs directory, seconds until it was up)."""
    port = free_port()
    environment = {**os.environ, "PORT": str(port), "RUNS_DIR": str(runs), "CI": "true"}
    began = time.monotonic()
    with open(runs / "server.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "playground", "app"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (runs / "server.log").read_text()
                assert time.monotonic() - began < 120, "the server did not come up"
                time.sleep(0.1)
        yield address, runs, time.monotonic() - began
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """An app with no run but the bundled ones, for all test files of a worker: a test that changes the list of runs
    for others has one of its own."""
    with serving(tmp_path_factory.mktemp("runs")) as served:
        yield served


@pytest.fixture(scope="module")  # while it is open, this thread has a running event loop, which other tests cannot bear
def browser():
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)  # a busy machine is no failure
    path = browser_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield browser
        browser.close()


@contextmanager
def watched(browser, server):
    """A page on the app. It fails at its end if the console had an error or a request left the machine."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(45_000)
    problems, requests = [], []
    page.on("console", lambda m: problems.append(f"{m.text} ({m.location})") if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(server[0])
    page.wait_for_selector("#token-strip .token")
    yield page
    context.close()
    assert problems == []
    away = [url for url in requests if not url.startswith((server[0], "data:", "blob:"))]
    assert away == []


@pytest.fixture
def page(browser, server):
    with watched(browser, server) as page:
        yield page


@pytest.fixture(scope="module")
def one_page(browser, server):
    """One page for all tests of a file, as somebody goes on with it: opening one is most of a short test's time."""
    with watched(browser, server) as page:
        yield page
