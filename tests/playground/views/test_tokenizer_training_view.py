"""Train: merges as they form, what they do to the sample, chunks and the list, as HTML that holds any text."""

import random
import re
from html import unescape

import pytest

from core.tokenizer import train_bpe
from core.tokenizer.bpe_train import count_chunks, learn_merges
from core.tokenizer.own import About
from core.tokenizer.split import Splitter
from playground.merges_watched import AT_ONCE, Watched, merges_of
from playground.views.tokenizer_training import (
    CHUNKS,
    LISTED,
    cut_html,
    how_to_use,
    merges_html,
    own_table,
    sample_html,
)

TEXT = "she sells sea shells by the sea shore, 東京の海 \n\n the the the"


def formed(texts, pattern, n):
    """Merges as the trainer tells them."""
    told = []

    def progress(done, total, merge, count):
        told.append((done - 1, *merge, count))

    learn_merges(count_chunks(texts, Splitter(pattern)), n, progress=progress)
    return told


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "none"])
@pytest.mark.parametrize("sample", [TEXT, "", "a" * 90, "sheshe she 海海\U0001f600", "\x00\t <b>"])
def test_the_sample_is_cut_as_a_tokenizer_with_these_merges_cuts_it(pattern, sample):
    merges = formed([TEXT] * 3, pattern, 60)
    watched = Watched(sample, pattern)
    for so_far in range(len(merges)):
        watched.add([merges[so_far]])
        if so_far % 20 == 19 or so_far + 1 == len(merges):
            tokenizer = train_bpe([TEXT] * 3, 259 + so_far + 1, pattern=pattern)
            assert [piece for chunk in watched.sample for piece in chunk] == tokenizer.encode(sample).pieces
    assert watched.counts == [count for *_, count in merges]


def test_merges_that_come_together_do_what_they_do_one_by_one():
    merges = formed([TEXT] * 5, "gpt2", 100)
    one, all_ = Watched(TEXT, "gpt2"), Watched(TEXT, "gpt2")
    for merge in merges:
        one.add([merge])
    all_.add(merges)
    assert one.sample == all_.sample and one.merges == all_.merges == merges


def test_what_a_text_alone_would_teach_is_what_the_trainer_learns():
    watched = merges_of(TEXT, "gpt2")
    assert watched.merges == formed([TEXT], "gpt2", AT_ONCE[1])
    draw = random.Random(1)
    for _ in range(20):
        text = "".join(draw.choice("ab c東\n\ud800") for _ in range(draw.randint(0, 300)))
        merges_html(merges_of(text, "none"), "any")


def test_the_newest_merges_are_listed_first():
    merges = [(rank, b"a" * (rank + 1), b"b", 5_000 - rank) for rank in range(250)]
    watched = Watched("", "gpt2")
    watched.add(merges)
    watched.total = 500
    html = merges_html(watched, "Merges <i>")
    ranks = [int(rank.replace(",", "")) for rank in re.findall(r'<th scope="row">([\d,]+)</th>', html)]
    assert ranks == list(range(249, 249 - LISTED, -1)) and f"and {250 - LISTED} before" in html
    assert "width:50.0%" in html and "&lt;i&gt;" in html and "4,751" in html and "<svg" in html
    assert "no pair" in merges_html(Watched("x", "gpt2"), "none")


def test_pieces_are_escaped_and_what_cannot_be_seen_has_a_sign():
    html = sample_html([[b"<b>", b" x"], ["か".encode()[:2]]])
    assert "&lt;b&gt;" in html and '<i class="space">·</i>x' in html and "E3 81" in html and "3 tokens" in html
    assert sample_html([]) == ""


def test_chunks_are_the_text():
    chunks = Splitter("gpt2")("it's <b>2</b> late")
    html = cut_html(chunks)
    boxes = re.findall(r'<span class="cut"[^>]*>(.*?)</span>', html)
    shown = "".join(unescape(re.sub(r'<i class="space">·</i>', " ", box)) for box in boxes)
    assert shown == "it's <b>2</b> late" and f"{len(chunks)} chunks" in html
    assert cut_html(["a"] * (CHUNKS + 5)).count('class="cut"') == CHUNKS
    assert "empty" in cut_html([])
    assert "The first 400 characters of the text above, cut" in merges_html(merges_of("word " * 99, "gpt2"), "any")
    assert "The text above, cut" in merges_html(merges_of("word " * 9, "gpt2"), "any")


def test_the_list_of_own_tokenizers_is_escaped():
    html = own_table([About("mine", "BPE", 4_000, "2026-01-31T12:00:00Z", "trained", "<script>")])
    assert "4,000" in html and "2026-01-31 12:00" in html and "trained on &lt;script&gt;" in html
    assert "none yet" in own_table([])
    assert "tokenizer.path=mine" in how_to_use("mine", 300)
