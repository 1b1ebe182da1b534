"""Chat: a conversation as a chat template writes it, what the template adds, and what that costs in tokens."""

import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import TextError, UserError
from core.tokenizer import Tokenizer
from core.tokenizer.base import clean_text
from core.tokenizer.chat import TEMPLATES, ChatTemplate, parse_messages, render
from playground import tokenizers
from playground.chat_parts import parts_of, tokens_of
from playground.memory import Memory
from playground.site import Site, here
from playground.tokenizers import Work
from playground.views.chat import counts_html, missing_sentence, text_html, tokens_html
from playground.views.notice import notice

OWN, OWN_MARK, TYPED = "own", "own:", "typed"  # own: the tokenizer's; with a name behind it, that one of several
INSTEAD = "ChatML"  # for a tokenizer that has none
SYSTEM = "You are a helpful assistant."
CONTENT = 20_000  # characters of the text above that are taken over

_rendered: Memory[tuple[str, Any]] = Memory(maximum=32, max_size=10_000_000, size=lambda made: len(made[0]))


@dataclass
class ChatPart:
    source: gr.Dropdown
    generation: gr.Checkbox
    conversation: gr.Textbox
    template: gr.Textbox
    message: gr.HTML
    counts: gr.HTML
    text: gr.HTML
    tokens: gr.HTML
    given: gr.State  # the template that was put into its field, to tell whether somebody has typed another
    taken: gr.State  # the conversation as it was made of the text above, to tell whether somebody has changed it
    may_type: bool

    @property
    def views(self) -> list[Any]:
        return [self.conversation, self.taken, *self.drawn]

    @property
    def shared(self) -> dict[str, Any]:
        return {"template": self.source, "answer": self.generation}

    @property
    def drawn(self) -> list[Any]:
        return [self.given, self.source, self.template, self.message, self.counts, self.text, self.tokens]

    @property
    def inputs(self) -> list[Any]:
        """A template is sent only where it may be typed."""
        typed = [self.template] if self.may_type else []
        return [self.source, self.generation, self.conversation, self.taken, *typed]


def build(site: Site, work: Work) -> ChatPart:
    """The conversation and the template; what is rendered, which takes a process, comes when the part is opened."""
    conversation = conversation_of(work.text)
    try:
        source, template, _ = chosen(work, OWN, "")
    except UserError:
        source, template = {"choices": choices(None), "value": OWN}, ""
    may_type = site.launch
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            picker = gr.Dropdown(label="Chat template", elem_id="chat-source", **source)
            generation = gr.Checkbox(True, label="Begin the assistant's answer", elem_id="chat-generation")
            talk = gr.Textbox(
                conversation, label='Conversation: lines "role: text", or JSON', lines=6, max_lines=16,
                max_length=site.characters if site.is_hosted else None, elem_id="chat-conversation",
                elem_classes="settles",
            )  # fmt: skip
            with gr.Accordion("The template (Jinja)", open=False):
                code = gr.Textbox(
                    template, label="Template; typed here, it is rendered at once" if may_type else "Template",
                    lines=8, max_lines=24, interactive=may_type, elem_id="chat-template",
                    elem_classes="settles",
                )  # fmt: skip
            counts_box = gr.HTML("", elem_id="chat-counts", js_on_load=None)
        with gr.Column(scale=5, min_width=320):
            message_html = gr.HTML("", elem_id="chat-message", js_on_load=None)
            text_box = gr.HTML("", elem_id="chat-text", js_on_load=None)
            tokens_box = gr.HTML("", elem_id="chat-tokens", js_on_load=None)
    return ChatPart(
        picker, generation, talk, code, message_html, counts_box, text_box, tokens_box, gr.State(template),
        gr.State(conversation), may_type,
    )  # fmt: skip


def wire(part: ChatPart, work: gr.State) -> None:
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "always_last"}
    looks = [work, part.source, part.generation, part.conversation, part.given]
    typed = []
    if part.may_type:
        looks.append(part.template)
        typed = [part.template.submit, part.template.blur]
    # One event for all, so that the last answer is about what the fields hold last.
    gr.on(
        [part.source.input, part.generation.input, part.conversation.submit, part.conversation.blur, *typed],
        render_again, looks, part.drawn, **quiet,
    )  # fmt: skip


def show(
    work: Work, source: str, generation: bool, conversation: str, taken: str, template: str = ""
) -> tuple[Any, ...]:
    """The text above is what the user says, unless somebody has changed the conversation."""
    if conversation == taken:
        conversation = taken = conversation_of(work.text)
    return conversation, taken, *redraw(work, source, generation, conversation, template)


def render_again(
    work: Work, source: str, generation: bool, conversation: str, given: str = "", template: str = ""
) -> tuple[Any, ...]:
    """Another template, conversation or beginning. given: the template that was put into its field. Another one there
    was typed, and is the chosen one from now on, unless it is the text of that."""
    source, template = source or OWN, template or ""
    if here().launch and template != given:
        try:
            typed = template != template_of(work, source, template)[0]
        except UserError:
            typed = True
        source = TYPED if typed else source
    return redraw(work, source, generation, conversation, template)


def redraw(work: Work, source: str, generation: bool, conversation: str, template: str = "") -> tuple[Any, ...]:
    """Values for `ChatPart.drawn`."""
    picker, chosen, *rest = drawn(work, source, generation, conversation, template)
    # The field is left alone where it is typed in, also while this was on its way.
    stays = picker["value"] == TYPED or chosen == template
    return chosen, gr.update(**picker), gr.skip() if stays else chosen, *rest


def conversation_of(text: str) -> str:
    """A small conversation in which the user says the text."""
    text = clean_text(text[:CONTENT])
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    lines = f"system: {SYSTEM}\nuser: {text}"
    try:
        if parse_messages(lines) == messages:
            return lines
    except TextError:
        pass
    return json.dumps(messages, ensure_ascii=False, indent=1)  # a text that looks like roles, or with lines at its ends


def choices(own: ChatTemplate | None) -> list[tuple[str, str]]:
    """(label, source) of the templates that can be chosen."""
    found = [("The tokenizer's own" if own else f"{INSTEAD}, as the tokenizer has none", OWN)]
    if own:
        found += [(f"The tokenizer's own: {name}", OWN_MARK + name) for name in own.templates if name != "default"]
    found += [(name, name) for name in TEMPLATES]
    return found + ([("As typed below", TYPED)] if here().launch else [])


def template_of(work: Work, source: str, typed: str) -> tuple[str, dict[str, str]]:
    """A template's text and the special tokens that it is given. TextError for one that is not offered."""
    own = tokenizers.chat_template(work.tokenizer, work.model)
    if source == TYPED:
        if not here().launch:
            raise TextError("This page renders only the templates of its list: choose one of them.")
        tokenizer = tokenizers.open_tokenizer(work.tokenizer, work.model)
        return typed, {**names_of(tokenizer), **(own.special_tokens if own else {})}
    if source in TEMPLATES or (source == OWN and own is None):
        known = TEMPLATES[source if source in TEMPLATES else INSTEAD]
        return known.template, {"bos_token": known.bos, "eos_token": known.eos}
    name = source.removeprefix(OWN_MARK) if source.startswith(OWN_MARK) else "default"
    if own is None or not (source == OWN or source.startswith(OWN_MARK)):
        raise TextError("Choose one of the templates of the list.")
    template = own.templates.get(name) or next(iter(own.templates.values()))
    return template, own.special_tokens


def names_of(tokenizer: Tokenizer) -> dict[str, str]:
    """A tokenizer's own begin and end token, as templates ask for them."""
    text_of = {id: text for text, id in tokenizer.special_tokens.items()}
    ids = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.eos_id}
    return {role: text_of[id] for role, id in ids.items() if id is not None and id in text_of}


def chosen(work: Work, source: str, typed: str) -> tuple[dict[str, Any], str, dict[str, str]]:
    """The picker (as arguments of it), the template, and the special tokens that it is given."""
    offered = choices(tokenizers.chat_template(work.tokenizer, work.model))
    source = source if source in [value for _, value in offered] else OWN
    return {"choices": offered, "value": source}, *template_of(work, source, typed)


def drawn(
    work: Work, source: str, generation: bool, conversation: str, typed: str
) -> tuple[dict[str, Any], str, str, str, str, str]:
    """The picker (as arguments of it), the template, then HTML of message, counts, text and tokens."""
    picker: dict[str, Any] = {"choices": choices(None), "value": source}
    template = typed
    try:
        picker, template, special = chosen(work, source, typed)
        messages = parse_messages(conversation or "")
        tokenizer = tokenizers.open_tokenizer(work.tokenizer, work.model)

        def write(messages: list[dict[str, Any]]) -> str:
            return render(template, messages, special_tokens=special, add_generation_prompt=bool(generation)).text

        def compute() -> tuple[str, Any]:
            text = write(messages)
            return text, parts_of(text, messages, write)

        text, parts = _rendered.get((template, tuple(special.items()), bool(generation), json.dumps(messages)), compute)
        tokens = tokens_of(tokenizer, text, parts)
    except UserError as error:
        return picker, template, notice(str(error)), "", "", ""
    roles = [str(message["role"]) for message in messages]
    characters = [sum(p.end - p.start for p in parts if p.message == number) for number in (*range(len(roles)), None)]
    name = tokenizers.label(work.tokenizer, work.model)
    sentences = [missing_sentence(tokens.missing, name)]
    if len(work.text) > CONTENT and conversation == conversation_of(work.text):
        sentences.append(f"The user says the first {CONTENT:,} of {len(work.text):,} characters of the text above.")
    return (
        picker,
        template,
        notice(" ".join(filter(None, sentences)), "info"),
        counts_html(tokens, roles, characters),
        text_html(text, parts, roles),
        tokens_html(tokens, roles, name),
    )
