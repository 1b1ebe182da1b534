"""Stages, the merge player and the vocabulary in a real browser: played, stepped and searched, by keyboard too."""

import re

import pytest
from playwright.sync_api import expect

from core import load
from core.tokenizer.inspect import merge_steps, stages, vocabulary

TEXT = "I'd like a cup of コーヒー."


@pytest.fixture(scope="module")
def tokenizer():
    return load("enja-transformer").tokenizer


@pytest.fixture(scope="module")
def page(one_page):
    return one_page


def open_part(page, name, text=TEXT):
    if text:
        box = page.locator("#text textarea")
        box.fill(text)
        box.blur()
    page.locator("#tokenizer-parts").get_by_role("tab", name=name, exact=True).click()


def hexes(page, tokenizer, step):
    """What the player must show after so many steps of the word ' コーヒー'."""
    word = " コーヒー"
    return [bytes([b]) for b in word.encode()] if step == 0 else merge_steps(tokenizer, word)[step - 1].pieces


def test_a_chunk_is_linked_to_its_tokens(page, tokenizer):
    open_part(page, "Stages")
    made = stages(tokenizer, TEXT)
    stage = page.locator("#stages .stage")
    expect(stage).to_have_count(4)
    expect(stage.nth(1).locator(".chip")).to_have_count(len(made.pre_tokens))
    expect(stage.nth(2).locator(".chip")).to_have_count(len(made.tokens))
    chunk = stage.nth(1).locator(".chip", has_text="コーヒー")
    chunk.hover()
    number = chunk.get_attribute("data-chunk")
    inside = len(tokenizer.encode(" コーヒー"))
    expect(stage.nth(2).locator(".chip.lit")).to_have_count(inside)
    expect(stage.nth(2).locator(f'.chip.lit[data-chunk="{number}"]')).to_have_count(inside)
    page.mouse.move(0, 0)
    stage.nth(1).locator('.chip[tabindex="0"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(stage.nth(1).locator(".chip").nth(2)).to_be_focused()
    expect(stage.nth(2).locator(".chip.lit")).to_contain_text(["like"])


def test_merges_are_played_and_stepped(page, tokenizer):
    open_part(page, "Merges")
    page.locator("#merge-words .word", has_text="コーヒー").click()
    total = len(merge_steps(tokenizer, " コーヒー"))
    count, pieces = page.locator(".player-count"), page.locator(".player-pieces .piece")
    made = page.locator('.player-tree .node[role="button"]:not(.hidden)')
    expect(count).to_have_text(f"step {total} of {total}")
    expect(pieces).to_have_count(len(hexes(page, tokenizer, total)))
    expect(made).to_have_count(total)

    page.locator('[data-go="first"]').click()
    for step in (1, 2, 3):
        page.locator('[data-go="forth"]').click()
        expect(count).to_have_text(f"step {step} of {total}")
        expect(pieces).to_have_count(len(hexes(page, tokenizer, step)))
        expect(made).to_have_count(step)
        expect(page.locator('.player-steps [aria-current="step"] .step-number')).to_have_text(str(step))
    page.locator('[data-go="back"]').click()
    expect(count).to_have_text(f"step 2 of {total}")
    expect(page.locator(".player-pieces .piece.next")).to_have_count(2)

    page.locator(".player-speed select").select_option("10")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    expect(count).to_have_text(f"step {total} of {total}")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()  # it has stopped by itself
    ids = [small.inner_text() for small in page.locator(".player-pieces .piece small").all()]
    assert ids == [str(id) for id in tokenizer.encode(" コーヒー").ids]


def test_the_player_answers_to_the_keyboard_and_to_its_list_and_tree(page, tokenizer):
    open_part(page, "Merges")
    page.locator("#merge-words .word", has_text="コーヒー").click()
    total = len(merge_steps(tokenizer, " コーヒー"))
    count = page.locator(".player-count")
    expect(count).to_have_text(f"step {total} of {total}")
    page.locator('[data-go="play"]').focus()
    page.keyboard.press("Home")
    expect(count).to_have_text(f"step 0 of {total}")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(count).to_have_text(f"step 1 of {total}")
    page.locator(".player-steps button").nth(2).click()
    expect(count).to_have_text(f"step 3 of {total}")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".player-steps button").nth(3)).to_be_focused()
    page.locator('.player-tree .node[data-step="2"]').focus()
    expect(page.locator(".player-steps button.lit .step-number")).to_have_text("2")
    page.keyboard.press("Enter")
    expect(count).to_have_text(f"step 2 of {total}")
    page.locator(".player-bar input").fill("4")
    expect(count).to_have_text(f"step 4 of {total}")
    characters = page.locator(".player-tree .character")
    expect(characters).to_have_text(list("コーヒー"))
    assert page.locator(".player-tree .leaf").count() == len(" コーヒー".encode())


def test_a_word_of_ones_own_and_markup(page, tokenizer):
    open_part(page, "Merges")
    page.locator("#merge-words-typed input").press_sequentially("<script>alert(1)</script>${1}{{value}}")
    expect(page.locator("#merge-words .word").first).to_have_text("<")
    expect(page.locator("#merge-words .word", has_text="script").first).to_be_visible()
    assert page.locator("#merge-words script, #merge-player script").count() == 0
    page.locator("#merge-words-typed input").fill("")
    expect(page.locator("#merge-words .word").first).to_have_text("I")


def test_the_vocabulary_is_searched_while_one_types(page, tokenizer):
    open_part(page, "Vocabulary", "")
    words = vocabulary(tokenizer)
    rows = page.locator("#vocabulary-results tbody tr")
    expect(rows).to_have_count(100)
    page.locator("#vocabulary-query input").press_sequentially("coff")
    found = words.search("coff")
    expect(rows).to_have_count(found.total)
    expect(page.locator("#vocabulary-results mark").first).to_have_text("coff")
    page.locator("#vocabulary-by").get_by_label("Regular expression").check()
    page.locator("#vocabulary-query input").fill("^[ぁ-ん]{5,}$")
    expect(rows).to_have_count(min(100, words.search("^[ぁ-ん]{5,}$", "regex").total))
    page.locator("#vocabulary-query input").fill("(")
    expect(page.locator("#vocabulary-message")).to_contain_text("not a valid regular expression")
    page.locator("#vocabulary-query input").fill("")
    expect(page.locator("#vocabulary-reach")).to_contain_text(f"{len(words.unreachable)} tokens of")
    expect(rows).to_have_count(100)

    page.locator("#vocabulary-overview").get_by_role("button", name=re.compile("^Katakana")).click()
    expect(page.locator(".vocabulary-found")).to_contain_text(f"of {words.search(script='Katakana').total} tokens")
    page.get_by_role("button", name="Further ›").click()
    expect(page.locator(".vocabulary-found")).to_contain_text("101 to")
    page.get_by_role("button", name="Not only script: Katakana").click()
    expect(page.locator(".vocabulary-found")).to_contain_text(f"of {words.size:,} tokens")
    expect(page.locator('#vocabulary-overview [aria-pressed="true"]')).to_have_count(0)


def test_a_link_shows_the_same_words_and_the_same_search(page, server, tokenizer):
    linked = page.context.new_page()
    linked.goto(f"{server[0]}/#part=Merges&words=teapots")
    expect(linked.locator("#merge-words .word")).to_have_text(["teapots"])
    expect(linked.locator(".player-pieces .piece")).to_have_count(len(tokenizer.encode("teapots")))
    linked = page.context.new_page()
    linked.goto(f"{server[0]}/#part=Vocabulary&find=%5Ec&by=regex&order=longest")
    found = vocabulary(tokenizer).search("^c", "regex")
    expect(linked.locator(".vocabulary-found")).to_contain_text(f"{found.total} tokens")
