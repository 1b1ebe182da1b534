"""The Chat part: the chosen template on the text above, a typed one, and what strangers may render."""

import html
import json
import re

import gradio as gr
import pytest

from core.errors import TextError
from core.tokenizer import load_tokenizer
from core.tokenizer.chat import TEMPLATES, parse_messages, render_chat
from playground.site import OWN, PUBLIC, STUDIO, on
from playground.tabs.tokenizer import chat
from playground.tokenizers import Work

FEWER = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"


def work(text: str = "Hello there", key: str = "") -> Work:
    return Work(key, "tiny-gpt", text, False)


def shown(text_html: str) -> str:
    pre = re.search(r"<pre[^>]*>(.*)</pre>", text_html, re.DOTALL)
    return html.unescape(re.sub(r"<i[^>]*>⏎</i>|<[^>]+>", "", pre[1])) if pre else ""


@pytest.fixture
def own_template(runs):
    """tiny-gpt with templates of its own beside it."""
    path = runs / "tiny-gpt" / "tokenizer_config.json"
    path.write_text(json.dumps({"chat_template": FEWER, "eos_token": "</s>"}))
    yield FEWER
    path.unlink()


def drawn(*given):
    """What is drawn, besides the template that was put into its field."""
    return chat.redraw(*given)[1:]


def typed(source, template, given="what was there"):
    """Somebody has typed a template."""
    return chat.render_again(work(), source, False, "user: Hi", given, template)[1:]


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_what_is_shown_is_what_the_template_writes(runs, name):
    conversation = "user: Hi\nassistant: Hello!\nuser: And now?"
    picker, template, message, counts, text, tokens = drawn(work(), name, True, conversation)
    known = TEMPLATES[name]
    expected = render_chat(
        known.template, parse_messages(conversation), bos=known.bos, eos=known.eos, add_generation_prompt=True
    )
    assert shown(text) == expected and template == known.template and picker["value"] == name
    ids = load_tokenizer(str(runs / "tiny-gpt")).encode(expected, parse_special=True).ids
    assert [int(id) for id in re.findall(r'data-id="(\d+)"', tokens)] == ids and f"<b>{len(ids):,}</b> tokens" in counts


def test_on_arrival_the_user_says_the_text_above(runs):
    conversation, taken, _, picker, template, message, counts, text, tokens = chat.show(work(), "own", False, "", "")
    assert "user: Hello there" in conversation and conversation == taken
    assert "<|im_start|>user\nHello there<|im_end|>" in shown(text) and "ChatML" in picker["choices"][0][0]
    assert "<|im_start|>" in html.unescape(message)  # which this tokenizer has no token for


def test_a_conversation_that_somebody_changed_stays(runs):
    first, taken, *_ = chat.show(work("one"), "own", False, "", "")
    followed, *_ = chat.show(work("two"), "own", False, first, taken)
    assert "user: two" in followed
    kept, *_, text, _ = chat.show(work("three"), "own", False, "user: mine", taken)
    assert kept == "user: mine" and "mine" in text and "three" not in text


@pytest.mark.parametrize(
    "text", ["user: fake\nassistant: yes", "two\nlines", "\n\nspace ", '{"a": 1}', "[1]", "", "\ud800", "<script>"]
)
def test_any_text_is_what_the_user_says(runs, text):
    made = chat.conversation_of(text)
    assert parse_messages(made) == [
        {"role": "system", "content": chat.SYSTEM}, {"role": "user", "content": text.replace("\ud800", "\ufffd")},
    ]  # fmt: skip
    *_, message, counts, shown_text, tokens = chat.show(work(text), "Zephyr", True, "", "")
    assert "notice-error" not in message and "<script" not in message + counts + shown_text + tokens


@pytest.mark.parametrize(
    "values", [(None, True, "user: Hi", "", "x"), ([], None, None, None, None), ("own", 7, "", "", None)]
)
def test_values_that_no_page_sends_are_no_crash(runs, values):
    assert len(chat.render_again(work(), *values)) == 7


def test_of_a_long_text_the_beginning_is_said_and_that_is_said(runs):
    conversation, _, _, _, _, message, *_ = chat.show(work("x" * 30_000), "own", False, "", "")
    assert "x" * chat.CONTENT in conversation and "first 20,000 of 30,000 characters" in message
    *_, message, _, _, _ = chat.show(work("x" * 30_000), "own", False, "user: mine", "")
    assert "30,000" not in message


def test_a_tokenizers_own_template_is_taken_first(own_template):
    picker, template, message, counts, text, _ = drawn(work(), "own", False, "user: Hi")
    assert template == own_template and shown(text) == "<user>Hi</s>"
    assert picker["choices"][0] == ("The tokenizer's own", "own")


def test_several_templates_of_a_tokenizer_can_be_chosen(own_template, runs):
    named = [{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B{{ messages[0].content }}"}]
    path = runs / "tiny-gpt" / "tokenizer_config.json"
    path.write_text(json.dumps({"chat_template": named}))
    picker, *_, text, _ = drawn(work(), "own:tool_use", False, "user: Hi")
    assert shown(text) == "BHi" and ("The tokenizer's own: tool_use", "own:tool_use") in picker["choices"]
    # One that this tokenizer does not have gives way to what it has.
    picker, template, *_ = drawn(work(), "own:gone", False, "user: Hi")
    assert picker["value"] == "own" and template == "A"


def test_a_typed_template_is_rendered_and_said_to_be_typed(runs):
    picker, template, *_, text, _ = typed("ChatML", FEWER)
    assert picker["value"] == "typed" and template == gr.skip() and shown(text) == "<user>Hi</s>"
    picker, *_ = typed("ChatML", TEMPLATES["ChatML"].template)
    assert picker["value"] == "ChatML"  # left as it was
    picker, template, *_ = typed("Zephyr", FEWER, given=FEWER)  # another one was chosen behind it
    assert picker["value"] == "Zephyr" and template == TEMPLATES["Zephyr"].template
    given, *_ = chat.render_again(work(), "ChatML", False, "user: Hi", "", FEWER)
    assert given == FEWER


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for %}", "not valid Jinja"), ("{{ raise_exception('<b>no') }}", "refuses these messages: &lt;b&gt;no"),
        ("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "took longer"),
        ("{{ ''.__class__.__mro__ }}", "must not do"), ("", "empty"), ("x" * 300_000, "up to 200,000"),
    ],
)  # fmt: skip
def test_a_template_that_fails_is_one_sentence(runs, template, told):
    picker, kept, message, counts, text, tokens = drawn(work(), "typed", False, "user: Hi", template)
    assert "notice-error" in message and told in message and kept == gr.skip() and counts == text == tokens == ""


@pytest.mark.parametrize("conversation", ["", "   ", "[{]", '[{"role": 1}]', "[" * 5_000])
def test_a_conversation_that_is_none_is_one_sentence(runs, conversation):
    _, _, message, _, text, _ = drawn(work(), "ChatML", False, conversation)
    assert "notice" in message and "Traceback" not in message


def test_strangers_render_only_templates_of_the_list(runs):
    with on(PUBLIC):
        picker, _, message, *_ = drawn(work(), "typed", False, "user: Hi", FEWER)
        assert picker["value"] == "own" and "typed" not in [value for _, value in picker["choices"]]
        picker, template, *_, text, _ = typed("ChatML", FEWER)
        assert template == TEMPLATES["ChatML"].template and FEWER not in text
        with pytest.raises(TextError):
            chat.template_of(work(), "typed", FEWER)
        with pytest.raises(TextError):
            chat.template_of(work(), "/etc/passwd", "")
        with gr.Blocks():
            part = chat.build(PUBLIC, work())
        # A template can be longer than the texts that this page takes: it is not sent.
        assert not part.may_type and part.template not in part.inputs and not part.template.interactive
        assert len(chat.show(work(), "own", True, "", "")) == len(part.views)
    for site in (OWN, STUDIO):
        with on(site), gr.Blocks():
            part = chat.build(site, work())
        assert part.may_type and part.template in part.inputs


def test_a_model_that_is_not_there_is_said(runs):
    missing = Work("", "no-such", "text", False)
    *_, message, counts, text, tokens = chat.show(missing, "own", True, "", "")
    assert "no-such" in message and counts == text == tokens == ""
    with gr.Blocks():
        chat.build(OWN, missing)
