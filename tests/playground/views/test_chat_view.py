"""Chats: whose each character and token is, and HTML that holds any text."""

import re
from html import unescape

import pytest

from core.errors import TextError
from core.tokenizer import train_bpe
from playground.chat_parts import ChatTokens, Part, parts_of, tokens_of
from playground.views.chat import counts_html, missing_sentence, text_html, tokens_html

TOKENIZER = train_bpe(
    ["hello there, how are you"] * 4, 300, special_tokens=["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
)
ROLES = ["system", "user", "assistant"]
MESSAGES = [
    {"role": "system", "content": "be brief"}, {"role": "user", "content": "hello there "},
    {"role": "assistant", "content": ""},
]  # fmt: skip


def plain(messages):
    return "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)


def trimmed(messages):
    return "".join(f"[{m['role']}] {m['content'].strip()}\n" for m in messages)


def picky(messages):
    """Looks into its messages: what it writes depends on the text."""
    if any("\ue000" in m["content"] for m in messages):
        raise TextError("no")
    return "".join(f"({len(m['content'])}) {m['content'].strip()};" for m in messages)


def measured(messages):
    return "".join(f"({len(m['content'])}) {m['content'].strip()};" for m in messages)


@pytest.mark.parametrize("render", [plain, trimmed, picky, measured])
@pytest.mark.parametrize("twist", ["", "x", "\n", "<|im_end|>", "东京 \U0001f600", "1-", "\ue000", "be brief"])
def test_every_character_is_the_messages_or_the_templates(render, twist):
    messages = [{**m, "content": m["content"] + twist} for m in MESSAGES]
    try:
        text = render(messages)
    except TextError:
        return
    parts = parts_of(text, messages, render)
    assert "".join(text[part.start : part.end] for part in parts) == text
    for number, message in enumerate(messages):
        own = "".join(text[part.start : part.end] for part in parts if part.message == number)
        assert own.strip() == message["content"].strip()


def test_what_a_message_says_is_its_own_even_if_the_template_says_so_too():
    messages = [{"role": "user", "content": "user"}]
    text = plain(messages)
    assert [text[p.start : p.end] for p in parts_of(text, messages, plain) if p.message == 0] == ["user"]
    assert parts_of(text, messages, plain)[1].start == text.rindex("user")


def test_contents_of_several_pieces():
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what is it"}]}]

    def render(messages):
        return "".join(f"<{piece.get('text', 'img')}>" for piece in messages[0]["content"])

    text = render(messages)
    assert [(text[p.start : p.end], p.message) for p in parts_of(text, messages, render)] == [
        ("<img><", None), ("what is it", 0), (">", None),
    ]  # fmt: skip


def test_tokens_belong_to_messages_and_their_sum_is_all():
    text = plain(MESSAGES)
    parts = parts_of(text, MESSAGES, plain)
    tokens = tokens_of(TOKENIZER, text, parts)
    encoding = TOKENIZER.encode(text, parse_special=True)
    assert tokens.ids == encoding.ids and tokens.special == encoding.special_mask
    assert tokens.of_template + sum(tokens.of_message(i) for i in range(3)) == len(encoding)
    assert tokens.of_message(0) == len(TOKENIZER.encode("be brief")) and tokens.of_message(2) == 0
    assert tokens.missing == []


def test_a_token_across_the_border_is_the_templates():
    tokenizer = train_bpe(["ab"] * 9, 300)
    tokens = tokens_of(tokenizer, "ab", [Part(0, 1, None), Part(1, 2, 0)])
    assert len(tokens.ids) == 1 and tokens.message == [None]


def test_signs_without_a_token_are_named():
    parts = [Part(0, 8, None)]
    assert tokens_of(TOKENIZER, "[INST]x\n", parts).missing == ["[INST]"]
    said = missing_sentence([f"<|{i}|>" for i in range(9)], "tok")
    assert said.count("<|") == 4 and "and others" in said and missing_sentence([], "tok") == ""


@pytest.mark.parametrize("content", ["<script>alert('x')</script>", "\x00\u202e&amp;", "a\nb" * 9_000])
def test_text_and_tokens_are_escaped(content):
    messages = [{"role": "user", "content": content}]
    text = plain(messages)
    parts = parts_of(text, messages, plain)
    html = text_html(text, parts, ['<b>"role']) + tokens_html(tokens_of(TOKENIZER, text, parts), ["user"], "<i>name")
    assert "<script" not in html and "<i>name" not in html and "<b>" not in html
    assert html.count("<span") == html.count("</span>")


def test_the_text_is_all_there():
    text = plain(MESSAGES)
    html = text_html(text, parts_of(text, MESSAGES, plain), ROLES)
    pre = re.search(r"<pre[^>]*>(.*)</pre>", html, re.DOTALL)[1]
    assert unescape(re.sub(r"<i[^>]*>⏎</i>|<[^>]+>", "", pre)) == text


def test_costs_are_listed():
    tokens = ChatTokens([1] * 10, [b"x"] * 10, [False] * 10, [None] * 4 + [0] * 5 + [1], [])
    html = counts_html(tokens, ["system", "<b>"], [50, 1, 40])
    assert "<b>10</b> tokens" in html and "adds <b>4</b>" in html and "&lt;b&gt;" in html
    assert "<td>5</td><td>50 %</td><td>50</td>" in html and "<td>4</td><td>40 %</td><td>40</td>" in html
