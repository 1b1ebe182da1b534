"""Stages, merges and vocabulary of the Tokenizer tab: what is shown is the tokenizer's own, for any text."""

import json
import re
from types import SimpleNamespace

import gradio as gr
import pytest

from core.tokenizer.inspect import stages
from playground import app, models
from playground.site import PUBLIC, on
from playground.tabs.tokenizer import merges, vocabulary
from playground.tabs.tokenizer import stages as stages_part
from playground.tokenizers import Work
from tests.core.tokenizer.kinds import KINDS

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
NASTY = [
    "", " ", "\t\r\n\r\n", "a\x00b", "\ud83d alone", FAMILY + "🇯🇵👍🏽", "か\u3099が", "<s>x</s>", "${1} {{value}}",
    "<script>alert('x')</script>", "&lt;b&gt;", "\u200b\ufeff\u202eabc", "Z\u0337\u0327a\u0334", "a" * 900,
]  # fmt: skip


def work(text="I'd like a cup of coffee.", tokenizer="", model="tiny-gpt", parse_special=False):
    return Work(tokenizer, model, text, parse_special)


def event(**data):
    return SimpleNamespace(_data=data)


def ids(out):
    return [int(id) for id in re.findall(r'<th scope="row">(\d+)</th>', out)]


@pytest.fixture
def wordpiece(tmp_path):
    path = tmp_path / "wordpiece.json"
    KINDS["wordpiece"]().save(str(path))
    return str(path)


# ---- all of them


@pytest.mark.parametrize("text", NASTY)
def test_any_text_is_shown(runs, text):
    message, out = stages_part.show(work(text))
    assert message == "" and out.count('<li class="stage">') == 4 and "<script" not in out
    message, words, player, chosen = merges.show(work(text), "", None)
    assert message == "" and "<script" not in words
    if chosen is None:
        assert player == "" and text.replace("\ud83d", "") == ""
    else:
        assert json.loads(player)["bytes"] == len(chosen.encode())


def test_a_bad_tokenizer_is_a_sentence(runs):
    for bad in (work(model=None), work(model="no-such-run"), work(tokenizer="no-such-run")):
        assert "notice" in stages_part.show(bad)[0] and "notice" in merges.show(bad, "", None)[0]
        assert "notice" in vocabulary.show(bad, "", "text", "all", "id", "")[0]
        assert vocabulary.count_unreachable(bad, "all")[0] == ""
        assert "notice" in merges.choose_word(bad, "", event(word=0))[0]


def test_a_public_page_opens_no_files(runs, wordpiece):
    bad = work(tokenizer=wordpiece)
    assert stages_part.show(bad)[0] == ""
    with on(PUBLIC):
        assert "only the models of its list" in stages_part.show(bad)[0]
        assert "only the models of its list" in merges.show(bad, "", None)[0]
        assert "only the models of its list" in vocabulary.search_vocabulary(bad, "", "text", "all", "id", "")[0]


def test_their_endpoints_have_names_of_their_own(runs):
    names = {re.sub(r"_\d+$", "", dep["api_name"]) for dep in app.build_app().get_config_file()["dependencies"]}
    assert {
        "type_words", "choose_word", "search_vocabulary", "page_before", "page_after", "narrow_vocabulary",
        "count_unreachable",
    } <= names  # fmt: skip


# ---- stages


def test_special_tokens_are_text_unless_asked_for(runs):
    tokenizer = models.get_run("tiny-gpt").tokenizer
    for parsed in (False, True):
        made = stages_part.stages_of(work("<s>hi", parse_special=parsed))
        assert made == stages(tokenizer, "<s>hi", parse_special=parsed)
        assert (made.tokens[0].id == tokenizer.special_tokens["<s>"]) == parsed


def test_of_a_long_text_the_beginning_goes_through_the_stages(runs):
    message, out = stages_part.show(work("word " * 100_000))
    assert "first 10,000 characters of 500,000" in message and "… and" in out
    assert len(stages_part.stages_of(work("word " * 100_000)).normalized) == stages_part.READ


# ---- merges


def test_words_are_those_of_the_text_or_typed_ones(runs):
    _, words, player, chosen = merges.show(work(), "", None)
    assert chosen == " coffee" and words.count("<button") == 8 and 'aria-pressed="true"' in words
    assert json.loads(player)["bytes"] == 7
    _, words, player, chosen = merges.type_words(work(), "teapot", " coffee")
    assert chosen == "teapot" and words.count("<button") == 1
    assert merges.show(work("other text"), "", " text")[3] == " text"  # what was chosen stays, if it is there
    assert merges.show(work("other text"), "", " coffee")[3] == "other"


def test_a_word_is_chosen_by_its_place(runs):
    message, player, chosen = merges.choose_word(work(), "", event(word=2))
    assert message == "" and chosen == " like" and json.loads(player)["word"] == "·like"
    for nonsense in (None, "2", -1, 10**9, 1.5, [], {"a": 1}):
        assert merges.choose_word(work(), "", event(word=nonsense)) == (gr.skip(),) * 3
    assert merges.choose_word(work(), "", event())[0] == gr.skip()
    for nonsense in (None, [], "x", 7):
        assert merges.choose_word(work(), None, SimpleNamespace(_data=nonsense))[0] == gr.skip()
        assert vocabulary.narrow_vocabulary(SimpleNamespace(_data=nonsense))[-1] == ""
    for values in (
        (None, "text", None, "id"),
        ("a", None, "all", "id"),
        ("a", [], "all", "id"),
        ("a", "text", "all", {}),
    ):
        assert "notice" in search(*values)[0]


def test_a_long_word_is_a_sentence_and_a_long_text_is_read_in_part(runs):
    message, words, player, _ = merges.show(work("a" * 3_000), "", None)
    assert "at most 1000 bytes; this one has 3000" in message and player == "" and words.count("<button") == 1
    message, words, player, _ = merges.show(work("a" * 100_000), "", None)
    assert "type a shorter one" in message and words == player == ""
    tokenizer = models.get_run("tiny-gpt").tokenizer
    many = merges.words_of(work(" ".join(f"word{i}" for i in range(10_000))), tokenizer, "")
    assert many[:3] == ["word", "0", " word"] and " word" in many and len(many) < 10_000
    assert len(merges.words_of(work(), tokenizer, "x y " * 10_000)) <= 4


def test_others_show_how_they_choose(runs, tmp_path, wordpiece):
    message, words, player, chosen = merges.show(work("The lazy fox", tokenizer=wordpiece), "", None)
    assert message == "" and words.count("<button") == 3 and chosen == "lazy"
    assert "WordPiece takes the longest" in json.loads(player)["html"]
    path = tmp_path / "unigram.json"
    KINDS["unigram"]().save(str(path))
    message, words, player, chosen = merges.show(work("The lazy fox", tokenizer=str(path)), "", None)
    assert message == "" and chosen == "▁lazy" and "Unigram takes the one" in json.loads(player)["html"]
    message, player, chosen = merges.choose_word(work("x" * 300, tokenizer=str(path)), "", event(word=0))
    assert "at most 200 characters" in message and player == ""


def test_where_nothing_is_merged_or_chosen_there_is_a_sentence(runs, tmp_path):
    path = tmp_path / "words.json"
    KINDS["word_level"]().save(str(path))
    message, words, player, _ = merges.show(work(tokenizer=str(path)), "", None)
    assert "byte-pair encoding" in message and words == player == ""


# ---- vocabulary


def search(query="", by="text", only="all", order="id", narrow="", **named):
    message, results, offset, before, after = vocabulary.search_vocabulary(
        work(**named), query, by, only, order, narrow
    )
    return message, results


def test_a_search_finds_what_the_vocabulary_finds(runs):
    words = vocabulary.vocabulary_of(work())
    for query, by in [("co", "text"), ("^ ?c", "regex"), ("5-9", "id"), ("E3 82", "bytes")]:
        message, results = search(query, by)
        assert message == "" and ids(results) == [entry.id for entry in words.search(query, by, limit=100).entries]
    assert ids(search(order="longest")[1])[0] == words.longest(1)[0].id
    assert ids(search(only="special")[1]) == sorted(models.get_run("tiny-gpt").tokenizer.special_ids)


def test_bars_limit_the_search(runs):
    words = vocabulary.vocabulary_of(work())
    for script, count in words.script_histogram():
        assert words.search(**vocabulary.limits(f"script:{script}")).total == count
    for length, count in words.length_histogram():
        assert words.search(**vocabulary.limits(f"length:{length}")).total == count
    narrowed, narrow = vocabulary.narrow_vocabulary(event(narrow="length:2"))
    found = vocabulary.search_vocabulary(work(), "", "text", "all", "id", narrow)
    assert narrow == "length:2" and "length: 2 bytes" in narrowed
    assert ids(found[1]) == [e.id for e in words.search(lengths=range(2, 3)).entries]
    for nonsense in (
        "length:x",
        "length:-1",
        "length:99999999999999999999",
        "what",
        "script:",
        {"a": 1},
        7,
        None,
        "x" * 10**5,
    ):
        _, narrow = vocabulary.narrow_vocabulary(event(narrow=nonsense))
        found = vocabulary.search_vocabulary(work(), "", "text", "all", "id", narrow)
        assert found[0] == "" and len(narrow) <= 60


def test_pages_follow_each_other(runs):
    asked = work(), "", "text", "all", "id", ""
    total = vocabulary.vocabulary_of(work()).size
    seen, offset = ids(vocabulary.search_vocabulary(*asked)[1]), 0
    while len(seen) < total:
        _, results, offset, before, after = vocabulary.page_after(*asked, offset)
        seen += ids(results)
        assert before.interactive and after.interactive == (len(seen) < total)
    assert seen == sorted(seen) and len(seen) == len(set(seen)) == total
    assert vocabulary.page_before(*asked, offset)[2] == offset - vocabulary.PAGE
    assert vocabulary.page_before(*asked, 0)[2] == 0 and ids(vocabulary.page_after(*asked, 10**9)[1]) == []


@pytest.mark.parametrize(
    ("query", "by"), [("(", "regex"), ("x", "id"), ("zz", "bytes"), ("x" * 501, "text"), ("a", "nothing")]
)
def test_a_search_that_cannot_be_read_is_a_sentence(runs, query, by):
    message, results = search(query, by)
    assert "notice-error" in message and results == ""


def test_unreachable_tokens_are_counted(runs):
    words = vocabulary.vocabulary_of(work())
    out, only = vocabulary.count_unreachable(work(), "unreachable")
    assert f"{len(words.unreachable)} token" in out
    assert only.value == "unreachable"
    assert (f"Unreachable ({len(words.unreachable)})", "unreachable") in only.choices
    assert ids(search(only="unreachable")[1]) == words.unreachable[: vocabulary.PAGE]


def test_a_search_stays_when_the_tokenizer_changes(runs, wordpiece):
    shown = vocabulary.show(work(tokenizer=wordpiece), "e", "text", "partial", "longest", "script:Katakana")
    message, results, offset, before, after, only, narrowed, narrow, reach, overview = shown
    assert message == "" and only.value == "all" and narrow == narrowed == ""  # it has neither
    assert ids(results) and "Latin" in overview and "data-pending" in reach


def test_the_vocabulary_is_made_once(runs):
    assert vocabulary.vocabulary_of(work()) is vocabulary.vocabulary_of(work("other text"))
