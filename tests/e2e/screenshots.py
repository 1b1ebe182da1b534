"""Take the README's pictures of a running app: `python -m tests.e2e.screenshots http://127.0.0.1:7860 docs/images`.

Options after the folder: a width (1400), light or dark, the run's name that the pictures are of, and, for the Training
tab, names of runs with commas between them: the first is followed, the others are compared with it.
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.e2e.conftest import browser_path

READY = {
    "tokenizer": "#token-strip .token",
    "attention": "#attention-map svg",
    "decoding": "#decoding-column-2 .decoding-number",
    "training": "#training-plot .main-svg",
}
PARTS = {  # of the tabs: what stands behind the # of the address, and what is there when it is drawn
    "merges": ("tab=Tokenizer&part=Merges", "#merge-player svg"),
    "compare": ("tab=Tokenizer&part=Compare", "#compare-view .compare-sheet"),
    "scores": ("tab=Attention&part=Scores", "#head-scores svg"),
    "forming": ("model=demo-gpt&look=self.2.1&tab=Attention&part=Through+training", "#through-map svg"),
    "internals": ("tab=Internals", "#lens-figure svg"),
    "embeddings": ("tab=Embeddings", "#embedding-map svg"),
    "next-token": ("tab=Decoding&part=Next+token", "#next-figure svg"),
    "evaluate": ("tab=Evaluate", "#evaluate-scores section"),  # what was measured last in RUNS_DIR
    "losses": ("model=pydocs-llama&tab=Evaluate&part=Text", "#losses-shaded .decoding-token"),
    "beam-tree": ("tab=Decoding&part=Beam+tree", "#tree-figure svg"),
}


def main(
    address: str, folder: str, width: str = "1400", scheme: str = "light", model: str = "", runs: str = ""
) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": int(width), "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(f"{address}/?__theme={scheme}")
        page.wait_for_selector(READY["tokenizer"], timeout=60_000)
        if model:
            page.locator("#model input").click()
            page.get_by_role("option", name=model).first.click()
            page.wait_for_timeout(4_000)
        for name, ready in READY.items():
            tab = page.get_by_role("tab", name=name.capitalize(), exact=True)
            if not tab.is_visible():  # folded into the tabs' menu on a narrow page
                page.locator("#tabs .overflow-menu > button").first.click()
                page.locator("#tabs .overflow-dropdown button", has_text=name.capitalize()).first.click()
            else:
                tab.click()
            page.wait_for_selector(ready, timeout=60_000)
            for place, run in enumerate(filter(None, runs.split(",")) if name == "training" else []):
                page.locator("#training-compare input" if place else "#training-follow input").click()
                page.wait_for_timeout(1_000)
                page.get_by_role("option", name=run).first.click()
                page.keyboard.press("Tab")
                page.wait_for_timeout(2_000)
            page.wait_for_timeout(2_500)
            page.screenshot(path=f"{folder}/{name}.png", full_page=True)
        for name, (fragment, ready) in PARTS.items():
            part = browser.new_page(viewport={"width": int(width), "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
            own = f"&model={model}" if model and "model=" not in fragment else ""
            part.goto(f"{address}/?__theme={scheme}#{fragment}{own}")
            part.wait_for_selector(ready, timeout=90_000)
            part.wait_for_timeout(4_000)
            part.screenshot(path=f"{folder}/{name}.png", full_page=True)
            part.close()
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
