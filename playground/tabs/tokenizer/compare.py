"""Compare: the tab's tokenizer and up to five others on the same text, on one ruler of characters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import UserError
from core.tokenizer import Tokenizer
from core.tokenizer.base import clean_text
from core.tokenizer.inspect import Comparison, compare
from playground import models, tokenizers
from playground.memory import Memory
from playground.site import Site, here
from playground.tabs.tokenizer import compare_file
from playground.tabs.tokenizer.lanes import MOST, lane_keys
from playground.tokenizers import Work
from playground.views.compare import agreement, counts_table, ruler_data
from playground.views.notice import notice

BYTES = 300_000  # of UTF-8 on the ruler, shared by all lanes: of a text of 100,000 three tokenizers show all
ON_ARRIVAL = 3
Opened = dict[str, tuple[Any, Tokenizer]]  # name -> stamp and tokenizer
# assets/tokenizer-compare.js draws; it may be loaded after this.
DRAW = """
const draw = () => window.compareView ? window.compareView(element, props.value) : setTimeout(draw, 20);
watch('value', draw);
draw();
"""

_comparisons: Memory[Comparison] = Memory(
    maximum=8, max_size=3_000_000, size=lambda made: sum(len(lane.encoding) for lane in made.lanes)
)


@dataclass
class ComparePart:
    others: gr.Dropdown
    message: gr.HTML
    counts: gr.HTML
    ruler: gr.HTML
    file: compare_file.FilePart | None  # only where files are taken

    @property
    def views(self) -> list[Any]:
        return [self.others, *self.drawn]

    @property
    def drawn(self) -> list[Any]:
        return [self.message, self.counts, self.ruler]

    @property
    def inputs(self) -> list[Any]:
        return [self.others]

    @property
    def shared(self) -> dict[str, Any]:
        return {"compare": self.others}


def build(site: Site, work: Work) -> ComparePart:
    others = on_arrival()
    message, counts, ruler = drawn(work, others)
    picker = gr.Dropdown(
        tokenizers.choices(site), value=others, multiselect=True, max_choices=MOST, allow_custom_value=site.hub,
        label=f"Compared with the tokenizer above (up to {MOST} in all)", elem_id="compare-others",
    )  # fmt: skip
    message_html = gr.HTML(message, elem_id="compare-message", js_on_load=None)
    counts_html = gr.HTML(counts, elem_id="compare-counts", js_on_load=None)
    ruler_html = gr.HTML(
        ruler, html_template='<div class="compare-view"></div>', js_on_load=DRAW, elem_id="compare-view"
    )
    file = compare_file.build(site) if site.launch else None
    return ComparePart(picker, message_html, counts_html, ruler_html, file)


def wire(part: ComparePart, work: gr.State) -> None:
    part.others.input(
        compare_with, [work, part.others], part.drawn,
        api_visibility="private", show_progress="hidden", trigger_mode="always_last",
    )  # fmt: skip
    if part.file is not None:
        compare_file.wire(part.file, work, part.others)


def show(work: Work, others: Sequence[str] | None) -> tuple[Any, ...]:
    """The picker with what can be chosen by now, and what is drawn."""
    return gr.update(choices=tokenizers.choices(here())), *drawn(work, others)


def compare_with(work: Work, others: Sequence[str] | None) -> tuple[str, str, str]:
    """Other tokenizers were chosen."""
    return drawn(work, others)


def on_arrival() -> list[str]:
    """The bundled runs; where there are none, the newest of one's own."""
    choices = models.model_choices()
    bundled = [name for label, name in choices if label == name]
    return (bundled or [name for _, name in choices])[:ON_ARRIVAL]


def drawn(work: Work, others: Sequence[str] | None) -> tuple[str, str, str]:
    """HTML of message and counts, and the ruler as assets/tokenizer-compare.js draws it."""
    opened, problems = lanes(work, others)
    if not opened:
        return notice(" ".join(problems)), "", ""
    text = beginning(work.text, BYTES // len(opened))
    if len(text) < len(work.text):
        problems.append(
            f"Here are the first {len(text):,} of {len(work.text):,} characters"
            + ("; a whole file can be counted below." if here().launch else ".")
        )
    try:
        comparison = compared(text, opened, work.parse_special)
    except UserError:
        refused = refusals(text, opened, work.parse_special)
        problems += [f"{name} is left out: {why}" for name, why in refused.items()]
        opened = {name: one for name, one in opened.items() if name not in refused}
        if not opened:
            return notice(" ".join(problems)), "", ""
        comparison = compared(text, opened, work.parse_special)
    sentence = agreement(comparison)
    below = f'<p class="caption compare-agreement">{sentence}</p>' if sentence else ""
    sizes = [opened[lane.name][1].vocab_size for lane in comparison.lanes]
    return notice(" ".join(problems), "info"), counts_table(comparison, sizes) + below, ruler_data(comparison)


def compared(text: str, opened: Opened, parse_special: bool) -> Comparison:
    """Computed once. UserError if one of them cannot take the text."""
    key = (tuple((name, stamp) for name, (stamp, _) in opened.items()), text, parse_special)
    named = {name: tokenizer for name, (_, tokenizer) in opened.items()}
    return _comparisons.get(key, lambda: compare(text, named, parse_special))


def refusals(text: str, opened: Opened, parse_special: bool) -> dict[str, str]:
    """Which of the tokenizers cannot take the text, and why."""
    found = {}
    for name, (_, tokenizer) in opened.items():
        try:
            tokenizer.encode(text, parse_special=parse_special)
        except UserError as error:
            found[name] = str(error)
    return found


def beginning(text: str, most: int) -> str:
    """As many characters as have at most so many bytes.

    >>> beginning("日本", 5), beginning("ab", 2)
    ('日', 'ab')
    """
    return clean_text(text[:most]).encode("utf-8")[:most].decode("utf-8", "ignore")


def lanes(work: Work, others: Sequence[str] | None) -> tuple[Opened, list[str]]:
    """Name -> (stamp, tokenizer) of what is compared, the tab's first, each once; and sentences on what is left out."""
    opened: Opened = {}
    problems: list[str] = []
    for name, key in lane_keys(work, others).items():
        if len(opened) == MOST:
            problems.append(f"Up to {MOST} tokenizers are compared at a time; the others are left out.")
            break
        try:
            opened[name] = tokenizers.stamp(key, work.model), tokenizers.open_tokenizer(key, work.model)
        except UserError as error:
            problems.append(str(error))
            if len(problems) == MOST:
                break
    return opened, problems
