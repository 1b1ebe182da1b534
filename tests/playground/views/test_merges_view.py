"""The merge player's data: played from nothing but the JSON, it is the merges of the tokenizer."""

import json
import random
import re

import pytest

from core.tokenizer import BPETokenizer, HubTokenizer, train_bpe
from core.tokenizer.inspect import chunks, merge_ranks, merge_steps, merge_tree, rank_meaning
from playground.views import merges as view
from tests.core.tokenizer.kinds import KINDS, TEXTS

OURS = train_bpe([*TEXTS, "aaaa bbbb abab " * 9], vocab_size=420)
WORDS = [
    "",
    "a",
    " the",
    "quick",
    "日本語",
    " naïve",
    "e\u0301",
    "\x00\n",
    "<script>",
    "a" * 999,
    "\U0001f469\u200d\U0001f467",
]


def data_of(tokenizer, word):
    made = view.player_data(word, merge_tree(tokenizer, word), merge_ranks(tokenizer), rank_meaning(tokenizer))
    return json.loads(made)


def shown(piece):
    return (
        piece.hex(" ").upper()
        if len(piece) <= view.SHOWN
        else f"{piece[: view.SHOWN].hex(' ').upper()} … {len(piece)} bytes"
    )


def played(data):
    """(pieces in hex, their ranks as neighbours) after each step, as the script of the page plays them."""
    nodes, ranks = data["nodes"], {(left, right): rank for left, right, rank in data["pairs"]}
    line = [place for place, node in enumerate(nodes) if node[3] is None]
    states = []
    for made in [None, *sorted((n for n in range(len(nodes)) if nodes[n][3] is not None), key=lambda n: nodes[n][3])]:
        if made is not None:
            place = line.index(nodes[made][5])
            assert line[place + 1] == nodes[made][6]
            candidates = {pair: ranks[pair] for pair in zip(line, line[1:]) if pair in ranks}
            assert nodes[made][2] == candidates[line[place], line[place + 1]] == min(candidates.values())
            line[place : place + 2] = [made]
        states.append([data["types"][nodes[n][0]][2] for n in line])
    assert line == data["roots"]
    assert not [pair for pair in zip(line, line[1:]) if pair in ranks]  # nothing is left to merge
    return states


@pytest.mark.parametrize("word", WORDS)
def test_it_plays_the_merges_of_our_tokenizer(word):
    states = played(data_of(OURS, word))
    assert states[0] == [f"{byte:02X}" for byte in word.encode()]
    assert states[1:] == [[shown(piece) for piece in step.pieces] for step in merge_steps(OURS, word)]


@pytest.mark.parametrize("seed", range(30))
def test_it_plays_the_merges_of_random_words(seed):
    rng = random.Random(seed)
    word = "".join(rng.choices("abab the日本語é", k=rng.randint(1, 60)))
    states = played(data_of(OURS, word))
    assert states[1:] == [[shown(piece) for piece in step.pieces] for step in merge_steps(OURS, word)]


@pytest.mark.parametrize("kind", ["byte_fallback", "sentencepiece_bpe", "byte_level_nfc", "end_of_word", "inside_word"])
def test_it_plays_the_merges_of_other_kinds(kind):
    tokenizer = HubTokenizer(KINDS[kind]().to_str())
    for word, _ in chunks(tokenizer, "The quick naïve 日本 fox zzz"):
        data = data_of(tokenizer, word)
        states = played(data)
        assert len(states) == 1 + len(merge_steps(tokenizer, word))
        assert [data["nodes"][root][1] for root in data["roots"]] == [node.id for node in merge_tree(tokenizer, word)]


def test_ids_are_those_of_the_encoding():
    for word in ["lower", " lazy", "日本語", "aaaaaaaaaa"]:
        data = data_of(OURS, word)
        assert [data["nodes"][root][1] for root in data["roots"]] == OURS.encode(word).ids


def test_characters_of_several_bytes_are_named():
    assert data_of(OURS, "a日\u200bé")["characters"] == [["日", 1, 4], ["ZWSP", 4, 7], ["é", 7, 9]]
    assert data_of(HubTokenizer(KINDS["byte_fallback"]().to_str()), "▁the")["characters"] == []


def test_a_deep_tree_is_no_trouble():
    tokenizer = BPETokenizer([(b"x" + b"a" * n, b"a") for n in range(899)], {})
    data = data_of(tokenizer, "x" + "a" * 899)
    assert len(data["roots"]) == 1 and len(data["nodes"]) == 900 + 899 and len(json.dumps(data)) < 500_000


def test_words_are_buttons_with_their_signs():
    out = view.words_html([" a", "<b>", "x" * 50], "<b>", 3)
    assert re.findall(r'data-word="(\d)" aria-pressed="(\w+)"', out) == [("0", "false"), ("1", "true"), ("2", "false")]
    assert "&lt;b&gt;" in out and '<i class="space">·</i>a' in out and f"{'x' * view.LONG}…" in out
    assert "… and 3 more" in out and "more" not in view.words_html(["a"], None)
    assert "… and 3 more in the first 20,000 characters" in view.words_html([" a"], None, 3, 20_000)
    assert "type a text" in view.words_html([], None)
    assert view.words_html(["w"] * 99, None).count("<button") == view.WORDS


def test_markup_in_a_word_stays_text():
    data = view.player_data("</script><b>", merge_tree(OURS, "</script><b>"), merge_ranks(OURS), "")
    types = json.loads(data)["types"]
    assert all("<" not in re.sub(r"</?i[^>]*>", "", shown) for shown, *_ in types)


def test_long_pieces_are_cut_between_characters():
    html, text, hexed = view._type(("a" + "日" * 30).encode())
    assert html == text == "a" + "日" * 11 + " … 91 bytes" and hexed.endswith("A5 … 91 bytes")
    assert view._type(b"\xe3\x81") == ['<i class="bytes">E3 81</i>', "E3 81", "E3 81"]
    assert view._type(b"<>")[1] == "<>" and view._type(b"<a>")[1] == "<a>" and view._type(b"<a><b>")[1] == "<a><b>"
