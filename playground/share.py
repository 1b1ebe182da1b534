"""The page's state in its address: what is chosen and typed stands behind the #, so that a link shows the same again.

What stands behind a # is never sent to a server, so no log holds anybody's text; assets/share.js writes and reads it.
A link can come from anybody: only what the page lists itself is taken from it. A model of the hub or a file is opened
by whoever sits at the page, not by a link.
"""

import json
import math
from typing import Any

import gradio as gr

from playground import models, tokenizers, vectors
from playground.header import Header, text_problem
from playground.site import Site
from playground.tabs.decoding import next_settings
from playground.views.notice import notice

LONGEST = 200_000  # characters of a link that are looked at
CHECKED = {"next": next_settings.from_link}  # fields that hold more than one thing: what is left of a link's value


def wire_share(demo: gr.Blocks, header: Header, fields: dict[str, Any], site: Site) -> None:
    """fields: names in the address -> components of the tabs, beside "model" and "text" of the header."""
    everything = {"model": header.model, "text": header.text, **fields}
    given = gr.Textbox(visible=False, label="Link")

    def arrive_by_link(link: str) -> list[Any]:
        return restore(link, fields, site)

    arrived = demo.load(
        arrive_by_link,
        given,
        [header.message, header.settled, *everything.values()],
        js=f"() => window.sharedState({json.dumps({name: c.value for name, c in everything.items()})})",
        api_visibility="private",
        show_progress="hidden",
    )
    # What is opened shows the fields as they are by then.
    arrived.then(None, None, None, js="() => { window.openLinked(); }", api_visibility="private")
    for name, component in everything.items():  # each its own: the page looks every input of an event up, one by one
        component.change(
            None, component, None, js=f"(value) => {{ window.shareState({json.dumps(name)}, value); }}",
            api_visibility="private",
        )  # fmt: skip


def restore(link: str, fields: dict[str, Any], site: Site) -> list[Any]:
    """Message, settled and the values of model, text and `fields`, for a link's JSON of names and values."""
    try:
        state = json.loads(link[:LONGEST]) if link else {}
    except (ValueError, RecursionError):
        state = {}
    if not isinstance(state, dict) or not state:
        return [gr.skip()] * (4 + len(fields))
    opening_model, opening_text = models.opening_work()
    keys = [key for _, key in tokenizers.choices(site)]  # with those that were made since the page was built
    listed = {"watched": models.model_choices(), "vectors": vectors.choices(site), "assistant": models.model_choices()}
    wanted: dict[str, Any] = {
        name: CHECKED[name](state.get(name)) or gr.skip()
        if name in CHECKED
        else _value(component, state.get(name), keys, listed.get(name, []))
        for name, component in fields.items()
    }
    names = [name for _, name in listed["watched"]]
    model, text, problem = state.get("model", opening_model), state.get("text", opening_text), ""
    if model not in names:
        problem = f"The link names the model {str(model)[:80]!r}, which is not in the list here."
        model = opening_model
    if "tokenizer" in wanted and state.get("tokenizer"):
        if state["tokenizer"] in keys:
            wanted["tokenizer"] = state["tokenizer"]
        else:
            problem = (
                problem or f"The link names a tokenizer that is not listed here: {str(state['tokenizer'])[:80]!r}."
            )
    if not isinstance(text, str) or text_problem(text):
        text = opening_text
    settled = (model or "", text)
    return [notice(problem, "info"), settled, model, text, *wanted.values()]


def _value(component: Any, value: Any, keys: list[str], newer: list[Any]) -> Any:
    """The value if the component can hold it; else nothing is changed. keys: of the tokenizers there are. newer: what
    may be chosen by now, though it was no choice when the page was built."""
    choices = [key for _, key in getattr(component, "choices", None) or []]
    if isinstance(component, gr.Checkbox):
        return value if isinstance(value, bool) else gr.skip()
    if isinstance(component, gr.Dropdown) and component.multiselect:
        listed = isinstance(value, list) and len(value) <= 6 and all(part in choices or part in keys for part in value)
        return value if listed else gr.skip()
    if isinstance(component, (gr.Dropdown, gr.Radio)):
        if value in choices:
            return value
        found = [choice for choice in newer if choice[1] == value]
        known: list[Any] = [*(component.choices or []), *found]
        return gr.Dropdown(choices=known, value=value) if found else gr.skip()
    if isinstance(component, (gr.Number, gr.Slider)):
        low, high = (-math.inf if component.minimum is None else component.minimum), component.maximum or math.inf
        return value if type(value) in (int, float) and low <= value <= high else gr.skip()
    if isinstance(component, gr.Textbox):
        most = component.max_length or 1_000
        return value if isinstance(value, str) and len(value) <= most else gr.skip()
    return gr.skip()
