"""Several tokenizers on one text, a tokenizer of one's own, and a chat, in a real browser."""

import json
import re

import pytest
from playwright.sync_api import expect

from core import load
from core.tokenizer import load_tokenizer
from core.tokenizer.inspect import compare

NAMES = ["enja-transformer", "shakespeare-gpt", "pydocs-llama"]
TEXT = "First, the 'quick' brown fox — 東京 🙂\n\tjumps over 12345 lazy dogs"


@pytest.fixture(scope="module")
def page(one_page):
    return one_page


def open_part(page, name):
    page.locator(f"#part-{name}-button").click()


def say(page, text):
    box = page.locator("#text textarea")
    box.fill(text)
    box.blur()


def lanes(page):
    """The ids in each lane, as they are drawn."""
    boxes = page.locator("#compare-view [data-i]").evaluate_all(
        "all => all.map(e => [Number(e.dataset.k), Number(e.dataset.i), Number(e.textContent)])"
    )
    found: dict[int, dict[int, int]] = {}
    for lane, place, id in boxes:
        found.setdefault(lane, {})[place] = id
    return {lane: [ids[i] for i in sorted(ids)] for lane, ids in found.items()}


def test_tokenizers_are_compared_on_one_ruler(page):
    open_part(page, "compare")
    expect(page.locator(".compare-counts tbody tr")).to_have_count(3)
    say(page, TEXT)
    tokenizers = {name: load(name).tokenizer for name in NAMES}
    comparison = compare(TEXT, tokenizers)
    for lane, name in zip(comparison.lanes, NAMES):
        expect(page.locator(".compare-counts tr", has_text=name)).to_contain_text(str(lane.counts.tokens))
    expect(page.locator(".compare-place")).to_have_text(f"{len(comparison.differing)} differences")
    assert lanes(page) == {k: lane.encoding.ids for k, lane in enumerate(comparison.lanes)}

    # Every box stands exactly over its characters.
    wrong = page.evaluate(
        """() => {
          const near = (a, b) => Math.abs(a - b) < 1.5;
          const chars = [...document.querySelectorAll('#compare-view [data-c]')].map((e) => e.getBoundingClientRect());
          const edges = chars.flatMap((box) => [box.left, box.right]);
          return [...document.querySelectorAll('#compare-view b[data-i]:not(.part)')].filter((e) => {
            const box = e.getBoundingClientRect();
            return !edges.some((x) => near(x, box.left)) || !edges.some((x) => near(x, box.right));
          }).length;
        }"""
    )
    assert wrong == 0

    page.get_by_role("button", name="Next difference").click()
    start, end = comparison.differing[0]
    expect(page.locator(".compare-place")).to_have_text(f"difference 1 of {len(comparison.differing)}")
    lit = page.locator("#compare-view [data-c].lit").evaluate_all("all => all.map(e => Number(e.dataset.c))")
    assert lit == list(range(start, end))
    page.locator(".compare-scroller").focus()
    page.keyboard.press("n")
    expect(page.locator(".compare-place")).to_have_text(f"difference 2 of {len(comparison.differing)}")
    page.keyboard.press("p")
    page.keyboard.press("p")
    last = len(comparison.differing)
    expect(page.locator(".compare-place")).to_have_text(f"difference {last} of {last}")

    # What is pointed at is named, in every lane.
    page.locator(f'#compare-view [data-c="{TEXT.index("東")}"]').hover()
    expect(page.locator(".compare-read")).to_contain_text("U+6771")
    covering = [i for i, (a, b) in enumerate(comparison.lanes[1].encoding.char_spans) if a <= TEXT.index("東") < b]
    ids = page.locator(".compare-read dd").nth(1).locator("small").all_inner_texts()
    assert ids == [str(comparison.lanes[1].encoding.ids[i]) for i in covering]


def test_a_lane_is_taken_out_and_a_long_text_draws_only_what_is_seen(page):
    open_part(page, "compare")
    expect(page.locator(".compare-counts tbody tr")).to_have_count(3)
    page.locator("#compare-others .token", has_text="pydocs-llama").locator(".token-remove").click()
    expect(page.locator(".compare-counts tbody tr")).to_have_count(2)
    text = "The quick brown fox jumps over the lazy dog.\n" * 700  # about 30 kB
    say(page, text)
    tokens = f"{len(load(NAMES[1]).tokenizer.encode(text).ids):,}"
    expect(page.locator(".compare-counts tr", has_text=NAMES[1])).to_contain_text(tokens)
    expect(page.locator("#compare-view [data-c]").first).to_be_visible()
    assert page.locator("#compare-view [data-c]").count() < 5_000
    page.evaluate("document.querySelector('.compare-scroller').scrollTop = 1e9")
    expect(page.locator('#compare-view [data-c="31499"]')).to_be_attached()
    assert page.locator("#compare-view [data-c]").count() < 5_000
    page.locator("#compare-view select").select_option("40")
    expect(page.locator("#compare-view .compare-row").first).to_be_attached()


def test_a_whole_file_is_counted(page, tmp_path):
    path = tmp_path / "langs.tsv"
    path.write_text("lang\ttext\n" + "en\tthe cat sat\nja\t猫が座った\n" * 300, encoding="utf-8")
    open_part(page, "compare")
    page.get_by_text("A whole file").click()
    page.locator("#compare-upload input[type=file]").set_input_files(path)
    expect(page.locator("#compare-file-message")).to_contain_text("600 lines")
    page.locator("#compare-group input").click()
    page.get_by_role("option", name="column lang").click()
    page.locator("#compare-start").click()
    expect(page.locator("#compare-file-message")).to_contain_text("600 of 600 lines")
    expect(page.locator("#compare-plot .main-svg").first).to_be_visible()
    tokens = 300 * len(load(NAMES[1]).tokenizer.encode("猫が座った"))
    with page.expect_download() as download:
        page.locator("#compare-saved a").first.click()
    assert f",{tokens}," in download.value.path().read_text().split("\nja,")[1].split("\n")[0]


def test_an_own_tokenizer_is_trained_chosen_and_deleted(page, server):
    text = "the rose that is a rose, and the roses that are the roses " * 4
    say(page, text)
    open_part(page, "train")
    expect(page.locator("#train-merges")).to_contain_text("learns from the text above")
    page.locator("#train-vocab input").fill("280")
    page.locator("#train-name textarea, #train-name input").first.fill("roses")
    page.locator("#train-start").click()
    expect(page.locator("#train-message")).to_contain_text("roses has")
    expect(page.locator("#tokenizer input")).to_have_value(re.compile("roses"))
    with page.expect_download() as download:
        page.locator("#train-saved a").first.click()
    made = load_tokenizer(str(server[1] / ".tokenizers" / "roses"))
    assert json.loads(download.value.path().read_text())["model"] == json.loads(made.to_json())["model"]
    open_part(page, "tokens")
    expect(page.locator("#token-counts")).to_contain_text(str(len(made.encode(text).ids)))

    open_part(page, "train")
    expect(page.locator("#train-merges")).to_contain_text("The merges")  # those of the training are still there
    page.locator("#own-delete").click()
    page.locator("#own-sure").click()
    expect(page.locator("#own-message")).to_contain_text("deleted")
    expect(page.locator("#tokenizer input")).to_have_value("The model's own")
    assert not (server[1] / ".tokenizers" / "roses").exists()


def test_a_chat_is_rendered_and_its_template_told_apart(page):
    open_part(page, "chat")
    expect(page.locator("#chat-text .chat-message").last).to_have_text(page.locator("#text textarea").input_value())
    page.locator("#chat-source input").click()
    page.get_by_role("option", name="Llama 3").click()
    expect(page.locator("#chat-text")).to_contain_text("<|start_header_id|>system<|end_header_id|>")
    box = page.locator("#chat-conversation textarea")
    box.fill("user: Hello <b>there</b>\nassistant: General!")
    box.blur()
    expect(page.locator("#chat-text .chat-message")).to_have_text(["Hello <b>there</b>", "General!"])
    page.get_by_text("The template (Jinja)").click()
    code = page.locator("#chat-template textarea")
    code.fill("{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}")
    code.blur()
    expect(page.locator("#chat-text")).to_contain_text("[assistant] General!")
    expect(page.locator("#chat-source input")).to_have_value("As typed below")
