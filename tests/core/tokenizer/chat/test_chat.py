"""Chat templates: rendered as transformers renders them, kept from doing harm, and found beside a tokenizer."""

import json
import time

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from core.errors import TextError
from core.tokenizer import chat
from core.tokenizer.chat import TEMPLATES, chat_template_of, parse_messages, render, render_chat

MESSAGES = [
    {"role": "system", "content": "Be brief & <kind>."},
    {"role": "user", "content": "  Grüße, 東京!\n\n"},
    {"role": "assistant", "content": "Hi\nthere"},
    {"role": "user", "content": "{{ 1 }} {% if %} <|im_end|>"},
]
TOOLS = [{"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}]
# What published templates make use of, one thing each.
FEATURES = {
    "loop": "{% for m in messages %}{{ loop.index0 }}{{ m.role }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "whitespace": "  {% if true %}\n   a\n  {% endif %}\n b {%- if true -%} c {%+ endif %} \n",
    "break": "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ m['content'] }}{% endfor %}",
    "continue": "{% for m in messages %}{% if m.role == 'user' %}{% continue %}{% endif %}{{ m.content }}{% endfor %}",
    "namespace": "{% set ns = namespace(n=0, self=1) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{% endfor %}{{ ns.n }}",
    "macro": "{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(messages[0].role) }}{{ f('b') | trim }}",
    "tojson": "{{ messages[1] | tojson }}{{ tools | tojson(indent=2) }}{{ {'b': 1, 'a': '<é>'}"
    " | tojson(sort_keys=true) }}",
    "filters": "{{ messages | map(attribute='role') | join(',') }}"
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
    "slices": "{{ messages[1:][::-1][0].content.strip().split('\\n')[0].upper() }}{{ 'x' ~ 3 }}"
    "{{ messages[-1]['nothing'] }}",
    "tests": "{{ tools is none }}{{ documents is defined }}{{ foo is defined }}{{ messages is iterable }}"
    "{{ add_generation_prompt }}",
    "date": "{{ strftime_now('%Y-%m-%d') }}",
    "dict": "{{ dict(a=1) }}{{ dict.fromkeys(['a', 'b']) }}{% for k, v in messages[0].items() %}{{ k }}"
    "={{ v }};{% endfor %}",
    "generation": "a{% for m in messages %}{% generation %}[{{ m.content }}]{% endgeneration %}-{% endfor %}",
    "variables": "{{ bos_token }}{{ eos_token }}{{ enable_thinking }}{{ nothing }}",
    "escapes": "{{ '<b>&' }}{{ '\\u00e9\\n' }}{{ \"it's\" }}{# a comment #}{% raw %}{{ x }}{% endraw %}",
    "thinking": "{{ messages[0].reasoning_content }}{{ messages[0].thinking }}",
}  # fmt: skip


def theirs(template, messages, **variables):
    text, spans = render_jinja_template(
        [messages], chat_template=template, return_assistant_tokens_mask=True, **variables
    )
    return text[0], [tuple(span) for span in spans[0]]


@pytest.mark.parametrize(
    ("name", "prompt"), [(name, False) for name in FEATURES] + [(name, True) for name in TEMPLATES]
)
def test_as_transformers_renders(name, prompt):
    template = TEMPLATES[name].template if name in TEMPLATES else FEATURES[name]
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    messages = MESSAGES[1:] if name == "Gemma" else MESSAGES
    if name == "thinking":
        messages = [{"role": "user", "content": "x", "reasoning": "why"}]
    more = {"enable_thinking": True}
    ours = render(template, messages, special_tokens=tokens, add_generation_prompt=prompt, tools=TOOLS, variables=more)
    text, spans = theirs(template, messages, add_generation_prompt=prompt, tools=TOOLS, **tokens, **more)
    assert ours.text == text and list(ours.generated) == spans


# As the formats' publishers show them.
PUBLISHED = {
    "ChatML": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
    "<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n",
    "Llama 2": "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A </s><s>[INST] V [/INST]",
    "Llama 3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user"
    "<|end_header_id|>\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|><|start_header_id|>user"
    "<|end_header_id|>\n\nV<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "Zephyr": "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\nA</s>\n<|user|>\nV</s>\n<|assistant|>\n",
    "Gemma": "<bos><start_of_turn>user\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n<start_of_turn>user\n"
    "V<end_of_turn>\n<start_of_turn>model\n",
    "Phi-3": "<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\nA<|end|>\n<|user|>\nV<|end|>\n<|assistant|>\n",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_published_formats(name):
    form = TEMPLATES[name]
    turns = [{"role": r, "content": c} for r, c in (("system", "S"), ("user", "U"), ("assistant", "A"), ("user", "V"))]
    messages = turns[1:] if name == "Gemma" else turns
    text = render_chat(form.template, messages, bos=form.bos, eos=form.eos, add_generation_prompt=True)
    assert text == PUBLISHED[name]
    rendered = render(form.template, messages, special_tokens={"bos_token": form.bos, "eos_token": form.eos})
    assert [rendered.text[start:end].strip()[:1] for start, end in rendered.generated] == ["A"]
    if name in ("Gemma", "Llama 2"):
        with pytest.raises(TextError, match="refuses these messages"):
            render_chat(form.template, [turns[0], turns[2]])


HOSTILE = {
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}": "longer than",
    "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}": "more than .* characters|longer",
    "{{ 'x' * 10**9 }}": "memory",
    "{{ 'x'.ljust(10**10) }}": "memory",
    "{{ '%99999999999d' % 1 }}": "memory",
    "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}": "memory",
    "{{ range(10**9) | list }}": "range",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": "without end",
    "{{" + "(" * 5_000 + "1" + ")" * 5_000 + "}}": "nested",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}": "must not do",
    "{{ lipsum.__globals__['os'].popen('id').read() }}": "must not do",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}": "must not do",
    "{{ '{0.__class__.__mro__}'.format(messages) }}": "must not do",
    "{{ messages.append(1) }}": "must not do",
    "{{ messages[0].update(a=1) }}": "must not do",
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}": "must not do|not valid",
    "{% include '/etc/passwd' %}": "fails",
    "{% import 'os' as os %}": "fails",
    "{% extends 'x' %}": "fails",
    "{% for %}": "not valid Jinja: line 1",
    "{{ foo.bar.baz }}": "not there",
    "{{ raise_exception('no, sir') }}": "refuses these messages: no, sir",
    "{{ 1 / 0 }}": "fails",
    "{{ strftime_now('%Y').__class__ }}{{ strftime_now.__self__.x }}": "must not do|not there",
    "{% generation %}": "not valid",
    " ": "empty",
    "x" * 200_001: "200,001 characters",
}


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_templates_are_one_sentence(number):
    template, said = list(HOSTILE.items())[number]
    began = time.monotonic()
    with pytest.raises(TextError, match=said) as error:
        render_chat(template, MESSAGES)
    assert "\n" not in str(error.value) and str(error.value).endswith(".") and time.monotonic() - began < 30


@pytest.mark.parametrize(
    "template", ["{{ messages.__class__ }}", "{{ ''|attr('__class__') }}", "{{ raise_exception.__globals__ }}",
     "{{ dict.__init__ }}"],
)  # fmt: skip
def test_what_is_unsafe_is_undefined(template):
    assert render_chat(template, MESSAGES) == ""


def test_the_process_knows_no_secrets_and_writes_no_files(monkeypatch):
    seen = {}
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    real = chat.subprocess.run
    monkeypatch.setattr(chat.subprocess, "run", lambda *a, **k: seen.update(k) or real(*a, **k))
    assert render_chat("{{ 1 + 1 }}", MESSAGES) == "2" and "WANDB_API_KEY" not in seen["env"]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("Hello!", [("user", "Hello!")]),
        ("user: a\nb\n\nc\nassistant: d", [("user", "a\nb\n\nc"), ("assistant", "d")]),
        ("System:  x \r\nUSER:y", [("system", " x "), ("user", "y")]),
        ("note: this\nuser: z", [("user", "note: this"), ("user", "z")]),
        ("user:\nhello\n", [("user", "hello")]),
        ("[1] is a footnote", [("user", "[1] is a footnote")]),
        ('[{"role": "user", "content": "x"}]', [("user", "x")]),
        ('{"messages": [{"role": "tool", "content": "y"}]}', [("tool", "y")]),
    ],
)
def test_messages_are_read(text, messages):
    assert [(message["role"], message["content"]) for message in parse_messages(text)] == messages


def test_messages_keep_what_json_says():
    message = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    assert parse_messages(json.dumps([message])) == [message]
    assert (
        render_chat("{{ messages[0].tool_calls[0].function.name }}{{ messages[0].content is defined }}", [message])
        == "fFalse"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no message"), (" \n ", "no message"), ("[]", "no message"), ('[{"content": "x"}]', "Message 1 must"),
        ('[{"role": 5}]', "Message 1"), ('[{"role": "user", "content": 5}]', "content of message 1"),
        ("[[]]", "Message 1"),
        ('{"messages": 5}', "must be a list"), ('[{"role": "user", ]', "not valid JSON"),
        ("[" * 100_000, "too deep|Message 1"),
        ('{"a": 1}', "must be a list"), ("x" * 5_000_000, "characters"),
        (json.dumps([{"role": "u"}] * 1_001), "1,001 messages"),
    ],
    ids=range(13),
)  # fmt: skip
def test_messages_that_cannot_be(text, said):
    with pytest.raises(TextError, match=said):
        parse_messages(text)


def test_values_that_are_no_json():
    with pytest.raises(TextError, match="plain values"):
        render_chat("x", MESSAGES, variables={"f": print})


def test_beside_a_tokenizer(tmp_path, make_tokenizer):
    make_tokenizer().save(tmp_path)
    assert chat_template_of(tmp_path) is None and chat_template_of("no such thing") is None
    config = {
        "chat_template": "A",
        "bos_token": {"content": "<s>", "lstrip": False},
        "eos_token": "</s>",
        "pad_token": None,
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    found = chat_template_of(tmp_path)
    assert found.templates == {"default": "A"} and found.special_tokens == {"bos_token": "<s>", "eos_token": "</s>"}
    assert chat_template_of(tmp_path / "tokenizer.json") == found
    named = [{"name": "default", "template": "B"}, {"name": "tool_use", "template": "C"}, {"name": 5}, "x"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": named}))
    assert chat_template_of(str(tmp_path)).templates == {"default": "B", "tool_use": "C"}
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "D"}))
    (tmp_path / "chat_template.jinja").write_text("E", encoding="utf-8")
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("F")
    assert chat_template_of(tmp_path).templates == {"default": "E", "tool_use": "C", "rag": "F"}
    (tmp_path / "tokenizer_config.json").write_text("[" * 100_000)
    assert chat_template_of(tmp_path).templates["default"] == "E"
