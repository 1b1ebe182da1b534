"""WordPiece and Unigram at work as HTML: all that was tried or fits, the chosen ones marked."""

import re

import pytest

from core.tokenizer import HubTokenizer
from core.tokenizer.inspect.choosing import lattice, longest_matches
from playground.views import choosing as view
from tests.core.tokenizer.kinds import KINDS

WORDPIECE, UNIGRAM = (HubTokenizer(KINDS[kind]().to_str()) for kind in ("wordpiece", "unigram"))
WORDS = ["thefox", "quickly", "日本語", "<u>x</u>", "\u200b", "a" * 150, "&amp;", "##x", "\u0301e"]


def ids(out):
    return re.findall(r"<small>(\d+|unknown|)</small>", out.split("</div>")[0])


@pytest.mark.parametrize("word", WORDS)
def test_wordpiece_shows_what_it_tried(word):
    matches = longest_matches(WORDPIECE, word)
    out = view.matches_html(matches, "##", "[UNK]")
    assert out.count("<li>") == len(matches) and "<u>" not in out
    assert out.count('class="try found"') == sum(match.id is not None for match in matches)
    failed = any(match.id is None for match in matches)
    assert ids(out) == ([""] if failed else [str(match.id) for match in matches])
    assert ("nothing fits" in out) == failed
    shown = len(re.findall(r'class="try(?: found)?"', out))
    hidden = sum(int(n.replace(",", "")) for n in re.findall(r"… ([\d,]+) more …", out))
    assert shown + hidden == sum(len(match.tried) for match in matches)


@pytest.mark.parametrize("word", WORDS)
def test_unigram_shows_every_piece_once_and_none_over_another(word):
    seen = lattice(UNIGRAM, word)
    out = view.lattice_html(word, seen)
    found = re.findall(r'class="candidate( chosen)?"[^>]*grid-column: (\d+) / (\d+); grid-row: (\d+)"', out)
    assert sorted((int(a) - 1, int(b) - 1, bool(c)) for c, a, b, _ in found) == sorted(
        (c.start, c.end, c.is_chosen) for c in seen.candidates
    )
    cells = [(int(row), column) for _, a, b, row in found for column in range(int(a), int(b))]
    assert len(cells) == len(set(cells)) and all((row == "2") == bool(chosen) for chosen, *_, row in found)
    assert ids(out) == ["unknown" if c.id is None else str(c.id) for c in seen.candidates if c.is_chosen]
    assert f"{seen.score:.2f}" in out and "<u>" not in out
