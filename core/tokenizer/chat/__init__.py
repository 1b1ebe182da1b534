"""Chat templates: messages → the one text that a chat model was trained to read.

A template is a Jinja program that comes with a model, so anybody's: it is rendered as transformers' apply_chat_template
renders it, in a sandbox, in a process of its own with limits (process.py).

>>> messages = parse_messages("system: Be brief.\\nuser: Hello!")
>>> render_chat(TEMPLATES["ChatML"].template, messages, add_generation_prompt=True)
'<|im_start|>system\\nBe brief.<|im_end|>\\n<|im_start|>user\\nHello!<|im_end|>\\n<|im_start|>assistant\\n'
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import RunError, TextError, UserError
from core.files import read_json
from core.tokenizer.chat.formats import TEMPLATES

__all__ = [
    "MAX_OUTPUT",
    "TEMPLATES",
    "ChatTemplate",
    "RenderedChat",
    "chat_template_of",
    "parse_messages",
    "render",
    "render_chat",
]

TIME_LIMIT = 2.0  # seconds that a template may take
START_LIMIT = 20.0  # seconds more, for the process to start on a busy machine
MAX_TEMPLATE = 200_000  # characters; the longest published ones have about 20,000
MAX_MESSAGES = 1_000
MAX_TEXT = 2_000_000  # characters of all messages
MAX_OUTPUT = 4_000_000
ROLES = ("system", "developer", "user", "assistant", "model", "tool", "function", "ipython", "context", "documents")
_LINE = re.compile(rf"[ \t]*({'|'.join(ROLES)})[ \t]*:[ \t]?(.*)", re.IGNORECASE)

Message = dict[str, Any]  # {"role": ..., "content": ...}


@dataclass(frozen=True)
class RenderedChat:
    """A chat as text. generated: (start, end) characters of what the template marks, by {% generation %}, as written by
    the assistant."""

    text: str
    generated: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class ChatTemplate:
    """What a tokenizer says of chats: its templates by name ("default" is the usual one), and the special tokens that
    they are given, such as {"bos_token": "<s>"}."""

    templates: dict[str, str]
    special_tokens: dict[str, str] = field(default_factory=dict)


def render_chat(
    template: str,
    messages: Sequence[Message],
    *,
    bos: str = "",
    eos: str = "",
    add_generation_prompt: bool = False,
    tools: Sequence[Any] | None = None,
    documents: Sequence[Any] | None = None,
    variables: Mapping[str, Any] | None = None,
) -> str:
    """The text of a chat. bos, eos: the text of the special tokens, where the template asks for them; variables: more
    that it may ask for (pad_token, enable_thinking ...). TextError, one sentence, if it fails or takes too much."""
    return render(
        template,
        messages,
        special_tokens={"bos_token": bos, "eos_token": eos},
        add_generation_prompt=add_generation_prompt,
        tools=tools,
        documents=documents,
        variables=variables,
    ).text


def render(
    template: str,
    messages: Sequence[Message],
    *,
    special_tokens: Mapping[str, str] | None = None,
    add_generation_prompt: bool = False,
    tools: Sequence[Any] | None = None,
    documents: Sequence[Any] | None = None,
    variables: Mapping[str, Any] | None = None,
) -> RenderedChat:
    """As `render_chat`, with what the assistant wrote."""
    if not template.strip():
        raise TextError("The chat template is empty; choose one or write one.")
    if len(template) > MAX_TEMPLATE:
        raise TextError(f"The chat template has {len(template):,} characters; up to {MAX_TEMPLATE:,} can be used.")
    chat = [_message(message) for message in _checked(list(messages))]
    question = {
        "template": template,
        "messages": chat,
        "tools": tools,
        "documents": documents,
        "add_generation_prompt": bool(add_generation_prompt),
        "variables": {**{k: v for k, v in (special_tokens or {}).items() if v}, **(variables or {})},
        "limit": TIME_LIMIT,
        "max_output": MAX_OUTPUT,
    }
    try:
        data = json.dumps(question).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise TextError(f"The messages, tools and variables must be plain values, as in JSON: {error}.") from None
    return _ask(data)


def _ask(question: bytes) -> RenderedChat:
    # Nothing of this process's environment that the template has no need for, and -I: no modules from elsewhere.
    needed = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "TZ", "SYSTEMROOT")}
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(Path(__file__).with_name("process.py"))], input=question,
            capture_output=True, timeout=TIME_LIMIT + START_LIMIT, env=needed,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise TextError(_too_long()) from None
    if done.returncode in (-signal.SIGALRM, -signal.SIGXCPU):
        raise TextError(_too_long())
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise TextError("The chat template ended the process that rendered it; it cannot be used.") from None
    if "error" in answer:
        raise TextError(answer["error"])
    return RenderedChat(answer["text"], tuple((start, end) for start, end in answer["generated"]))


def _too_long() -> str:
    return f"The chat template took longer than {TIME_LIMIT:g} s; it cannot be used."


def _checked(messages: list[Any]) -> list[Message]:
    if not messages:
        raise TextError('There is no message; write one, such as "user: Hello!".')
    if len(messages) > MAX_MESSAGES:
        raise TextError(f"There are {len(messages):,} messages; up to {MAX_MESSAGES:,} can be rendered.")
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise TextError(f'Message {number} must be an object such as {{"role": "user", "content": "Hello!"}}.')
        if not isinstance(message.get("content"), (str, list, type(None))):
            raise TextError(f"The content of message {number} must be text.")
    if sum(len(str(message.get("content") or "")) for message in messages) > MAX_TEXT:
        raise TextError(f"The messages have more than {MAX_TEXT:,} characters.")
    return messages


def _message(message: Message) -> Message:
    """As transformers hands it on: keys without a value are left out, and what the model thought has all its names."""
    known = {key: value for key, value in message.items() if value is not None}
    thought = next((known[key] for key in ("reasoning_content", "thinking", "reasoning") if key in known), None)
    return known if thought is None else {"thinking": thought, **known, "reasoning_content": thought}


def parse_messages(text: str) -> list[Message]:
    """Messages from JSON (a list, or an object with "messages"), or from lines "role: text", where lines without a role
    go on with the message before; a text without any role is the user's. TextError, one sentence.

    >>> parse_messages("user: Hello!\\nHow are you?\\nassistant: Fine.")
    [{'role': 'user', 'content': 'Hello!\\nHow are you?'}, {'role': 'assistant', 'content': 'Fine.'}]
    """
    if len(text) > 2 * MAX_TEXT:
        raise TextError(f"The messages have more than {MAX_TEXT:,} characters.")
    if text.lstrip()[:1] in ("[", "{"):
        try:
            values = json.loads(text)
        except ValueError as error:
            if re.match(r'\s*[\[{]\s*["{}\]]', text):  # meant as JSON, not a text that begins with a bracket
                raise TextError(f"The messages are not valid JSON: {error}.") from None
        except RecursionError:
            raise TextError("The messages are not usable JSON: it is nested too deep.") from None
        else:
            values = values.get("messages", values) if isinstance(values, dict) else values
            if not isinstance(values, list):
                raise TextError('The messages must be a list such as [{"role": "user", "content": "Hello!"}].')
            return _checked(values)
    messages: list[Message] = []
    for line in text.split("\n"):
        found = _LINE.fullmatch(line.removesuffix("\r"))
        if found:
            messages.append({"role": found[1].lower(), "content": found[2]})
        elif messages:
            messages[-1]["content"] += "\n" + line
        elif line.strip():
            messages.append({"role": "user", "content": line})
    for message in messages:
        message["content"] = message["content"].strip("\n")
    return _checked(messages)


# ------------------------------------------------------------------------------------------------ beside a tokenizer


def chat_template_of(name_or_path: str | os.PathLike[str]) -> ChatTemplate | None:
    """What lies beside the tokenizer that `load_tokenizer` opens by that name: chat_template.jinja (and further ones in
    additional_chat_templates), chat_template.json or tokenizer_config.json, in this order. None if there is nothing."""
    from core.tokenizer.load import directory_of

    directory = directory_of(name_or_path)
    if directory is None:
        return None
    settings = _object(directory / "tokenizer_config.json")
    found: dict[str, str] = {}
    _add(found, settings.get("chat_template"))
    _add(found, _object(directory / "chat_template.json").get("chat_template"))
    try:
        for path in sorted((directory / "additional_chat_templates").glob("*.jinja"))[:100]:
            found[path.stem] = _text(path)
        if (directory / "chat_template.jinja").is_file():
            found["default"] = _text(directory / "chat_template.jinja")
    except OSError:
        pass
    if not found:
        return None
    roles = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
    special = {**_object(directory / "special_tokens_map.json"), **settings}
    tokens = {role: _content(special.get(role)) for role in roles}
    return ChatTemplate(found, {role: text for role, text in tokens.items() if text})


def _add(found: dict[str, str], given: Any) -> None:
    """A template, or a list of named ones."""
    if isinstance(given, str) and given.strip():
        found["default"] = given
    for entry in given if isinstance(given, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("name"), str) and isinstance(entry.get("template"), str):
            found[entry["name"]] = entry["template"]


def _object(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path)
    except UserError:
        return {}
    return values if isinstance(values, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path.name} cannot be read: {error}.") from None


def _content(given: Any) -> str:
    given = given.get("content") if isinstance(given, dict) else given
    return given if isinstance(given, str) else ""
