"""The settings of the next token as plain fields: ranges with their numbers, what a step takes, a seed, a text.

assets/decoding-next-settings.js makes one value of them.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple


class Range(NamedTuple):
    """A number that is chosen by a slider. info: a few words on it. usual: what it is where nothing is chosen."""

    name: str
    label: str
    info: str
    low: float
    high: float
    usual: float
    step: float

    @property
    def whole(self) -> bool:
        return float(self.step).is_integer()


def settings_html(ranges: Sequence[Range], how: Sequence[tuple[str, str]], largest_seed: int, typed: int) -> str:
    """how: (value, words) of what a step takes, the usual one first. typed: the longest text that is looked up."""
    choices = "".join(
        f'<label><input type="radio" name="next-how" value="{escape(value)}"{"" if place else " checked"}>'
        f"<span>{escape(words)}</span></label>"
        for place, (value, words) in enumerate(how)
    )
    return (
        '<div class="next-form" role="group" aria-label="Settings of the next token">'
        f'<fieldset class="next-how" data-name="how"><legend>A step takes</legend>{choices}</fieldset>'
        f"{''.join(map(_range_html, ranges))}"
        '<div class="next-setting" data-name="seed" data-usual="0"><label for="next-seed">Seed</label>'
        '<p id="next-seed-info">Of what is drawn</p>'
        f'<input type="number" id="next-seed" min="0" max="{largest_seed}" step="1" value="0" '
        'aria-describedby="next-seed-info"></div>'
        '<div class="next-setting settles" data-name="find"><label for="next-find">Look up a token</label>'
        f'<input type="text" id="next-find" maxlength="{typed}" placeholder="its text" autocomplete="off" '
        'spellcheck="false"></div>'
        '<button type="button" class="next-reset">Reset</button></div>'
    )


def _range_html(setting: Range) -> str:
    name, label, info = (escape(text) for text in (setting.name, setting.label, setting.info))
    low, high, usual, step = (f"{value:g}" for value in (setting.low, setting.high, setting.usual, setting.step))
    field = f'min="{low}" max="{high}" step="{step}" value="{usual}" aria-describedby="next-{name}-info"'
    return (
        f'<div class="next-setting" data-name="{name}" data-usual="{usual}">'
        f'<label for="next-{name}">{label}</label><p id="next-{name}-info">{info}</p>'
        f'<input type="number" id="next-{name}" aria-label="number input for {label}" {field}>'
        f'<span class="next-range"><span aria-hidden="true">{low}</span>'
        f'<input type="range" aria-label="range slider for {label}" {field}>'
        f'<span aria-hidden="true">{high}</span></span></div>'
    )
