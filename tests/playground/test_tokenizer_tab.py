"""The Tokenizer tab on small models: what is shown is what the tokenizer did, for any text; one part at a time."""

import json
import re

import gradio as gr
import pytest

from core.tokenizer import train_bpe
from core.tokenizer.own import delete_own, save_own
from playground import models, tokenizers
from playground.header import build_header
from playground.tabs import tokenizer as tab
from playground.tabs.tokenizer import tokens
from playground.tokenizers import Work

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"  # three people joined into one sign
NASTY = [
    "", " ", "\t\r\n\r\n", "a\x00b", "\ud83d alone", FAMILY + "🇯🇵👍🏽", "か\u3099が", "<s>x</s>",
    "<script>alert('x')</script>", "&lt;b&gt; \"quoted\"", "\u200b\ufeff\u202eabc", "Z\u0337\u0327a\u0334",
    "コーヒーを一杯", "a" * 3000, "\u2028line",
]  # fmt: skip


def work(text: str, model: str | None = "tiny-gpt", special: bool = False, key: str = "") -> Work:
    return Work(key, model, text, special)


def shown(data: str) -> tuple[list[int], bytes]:
    """Ids and bytes of what the page draws."""
    data = json.loads(data)
    types = [data["types"][k] for k in data["tokens"]]
    return [t[0] for t in types], bytes.fromhex("".join(t[2] for t in types))


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("name", ["tiny-gpt", "tiny-transformer"])
def test_ids_bytes_and_counts_are_the_tokenizers_own(runs, name, text):
    message, counts, data, _ = tokens.page_of(work(text, name), 1)
    encoding = models.get_run(name).tokenizer.encode(text)
    clean = re.sub("[\ud800-\udfff]", "\ufffd", text)
    assert shown(data) == (encoding.ids, clean.encode())
    assert json.loads(data)["text"] == clean
    assert f"<dd>{len(encoding):,}</dd><dt>token" in counts
    assert f"<dd>{len(clean.encode()):,}</dd><dt>byte" in counts
    assert "<script" not in message + counts


def test_half_surrogates_are_said_to_be_replaced(runs):
    assert "U+FFFD" in tokens.show(work("a\ud800"))[0]
    assert tokens.show(work("a"))[0] == ""


def test_special_tokens_are_text_unless_asked_for(runs):
    plain, _ = shown(tokens.show(work("<s>hi"))[2])
    parsed, data = shown(tokens.show(work("<s>hi", special=True))[2])
    assert plain[0] != 1 and parsed[0] == 1 and data == b"<s>hi"


def test_a_long_text_is_held_in_parts_and_counted_whole(runs, monkeypatch):
    monkeypatch.setattr(tokens, "PAGE", 20_000)
    text = "The function returns 東京 nothing. " * 3000  # about 100 kB
    message, counts, data, page = tokens.page_of(work(text), 1)
    encoding = models.get_run("tiny-gpt").tokenizer.encode(text)
    assert f"<dd>{len(encoding):,}</dd>" in counts and f"{len(encoding):,}" in message
    assert page == {"maximum": -(-len(encoding) // 20_000), "visible": True}
    found = [shown(tokens.other_page(work(text), n + 1)[1]) for n in range(page["maximum"])]
    assert [id for ids, _ in found for id in ids] == encoding.ids
    assert b"".join(data for _, data in found).decode() == text
    assert tokens.other_page(work(text), 10**9)[1] == tokens.other_page(work(text), page["maximum"])[1]
    assert tokens.other_page(work(text), -1)[1] == data


def test_a_bad_model_is_a_sentence(runs):
    message, *rest, page = tokens.page_of(work("x", "no-such-run"), 1)
    assert 'role="alert"' in message and rest == ["", ""] and not page["visible"]
    assert 'role="alert"' in tokens.page_of(work("x", None), 1)[0]


@pytest.fixture
def built(runs):
    with gr.Blocks() as demo:
        header = build_header()
        made = tab.build()
        tab.wire(made, header)
    return demo, made


def test_every_part_is_filled_on_arrival_and_only_the_open_one_follows(built):
    _, made = built
    assert list(made.parts) == list(tab.PARTS)
    inputs = [component.value for component in made.inputs]
    settled = ("tiny-gpt", "another text")
    for name in tab.PARTS:
        message, now, drawn, *views = made.refresh("Tokenizer", settled, "", False, name, {}, *inputs)
        assert message == "" and now == work("another text") and drawn == {name: made.seen(now, made.own(name, inputs))}
        assert len(views) == len(made.views)
        start = 0
        for part_name, part in made.parts.items():
            own = views[start : start + len(part.views)]
            start += len(own)
            assert (own == [gr.skip()] * len(own)) == (part_name != name), (name, part_name)


def test_a_tokenizer_that_cannot_be_opened_is_a_sentence_and_nothing_else_changes(built):
    _, made = built
    inputs = [component.value for component in made.inputs]
    message, *rest = made.refresh("Tokenizer", ("tiny-gpt", "x"), "no-such-tokenizer", False, "Tokens", {}, *inputs)
    assert 'role="alert"' in message and "no-such-tokenizer" in message and rest == [gr.skip()] * len(rest)


def test_a_part_that_was_opened_while_the_work_changed_is_drawn_once_more(built):
    _, made = built
    inputs = [component.value for component in made.inputs]
    before, after = work("before"), work("after")
    part, drawn, *_ = made.opening("Stages")(before, {}, None)
    assert (part, drawn) == ("Stages", {"Stages": made.seen(before)})
    caught = made.catch_up(drawn, part, after, *inputs)
    assert caught == [{"Stages": made.seen(after)}, *made.show(after, "Stages", *inputs)]
    assert len(caught) == 1 + len(made.views)
    assert made.catch_up({}, part, after, *inputs) == caught
    assert made.catch_up(caught[0], part, after, *inputs) == [gr.skip()] * len(caught)


def test_another_tokenizer_of_the_same_name_is_drawn(built):
    _, made = built
    now = work("low lower", key="own:mine")
    for size in (260, 262):
        save_own("mine", train_bpe(["low lower lowest"] * 9, vocab_size=size), {})
        part, drawn, *views = made.opening("Stages")(now, {}, None)
        assert f"BPE, {size - 259} merge" in views[1]
        assert made.opening("Stages")(now, drawn, None)[1] == gr.skip()
        delete_own("mine")
        assert made.opening("Stages")(now, drawn, None)[1] != gr.skip()


def test_a_part_that_shows_all_already_is_not_drawn_when_it_is_opened(built):
    """Its answer could come after that to what somebody has typed meanwhile."""
    _, made = built
    now, drawn = made.work.value, made.drawn.value
    for name in tab.STEADY:
        fields = [component.value for component in made.parts[name].inputs]
        part, *rest = made.opening(name)(now, drawn, *fields, None)
        assert part == name and rest == [gr.skip()] * len(rest)
        assert made.opening(name)(work("another"), drawn, *fields, None)[1] != gr.skip()
    typed = ["coff", *[component.value for component in made.parts["Vocabulary"].inputs][1:]]
    assert made.opening("Vocabulary")(now, drawn, *typed, None)[1] == drawn | {"Vocabulary": made.seen(now, typed)}


def test_the_tokenizer_that_is_chosen_is_the_one_that_is_shown(built):
    _, made = built
    inputs = [component.value for component in made.inputs]
    answer = made.refresh("Tokenizer", ("tiny-gpt", "hello"), "tiny-llama", False, "Tokens", {}, *inputs)
    assert answer[1] == work("hello", key="tiny-llama")
    assert shown(answer[5])[0] == tokenizers.open_tokenizer("tiny-llama", None).encode("hello").ids
