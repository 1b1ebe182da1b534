"""Merges: a word of the text, or one's own, and every merge that makes its tokens, step by step.

Of tokenizers that merge nothing (WordPiece, Unigram) it shows how they choose.
"""

import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import TextError, UserError
from core.tokenizer.base import Tokenizer, clean_text
from core.tokenizer.hub import HubTokenizer
from core.tokenizer.inspect import chunks, merge_ranks, merge_steps, merge_tree, rank_meaning
from core.tokenizer.inspect.choosing import choice_words, choosing, lattice, longest_matches
from playground import tokenizers
from playground.memory import Memory
from playground.site import Site
from playground.tokenizers import Work
from playground.views.choosing import lattice_html, matches_html
from playground.views.merges import WORDS, player_data, words_html
from playground.views.notice import notice

READ = 20_000  # characters of the text whose words can be chosen
OWN_WORDS = 1_000  # characters that one may type
CLICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('.word');
  if (!button) return;
  element.querySelectorAll('.word').forEach((word) => word.setAttribute('aria-pressed', String(word === button)));
  trigger('select', {word: Number(button.dataset.word)});
});
"""
# assets/tokenizer-merges.js draws; it may be loaded after this.
DRAW = """
const draw = () => window.mergePlayer ? window.mergePlayer(element, props.value) : setTimeout(draw, 20);
watch('value', draw);
draw();
"""

_words: Memory[list[str]] = Memory(maximum=16)
_ranks: Memory[dict[tuple[int, int], int]] = Memory(maximum=2)
_players: Memory[str] = Memory(maximum=64, max_size=20_000_000, size=len)


@dataclass
class MergesPart:
    typed: gr.Textbox
    message: gr.HTML
    words: gr.HTML
    player: gr.HTML
    chosen: gr.State  # the word whose merges are shown

    @property
    def views(self) -> list[Any]:
        return [self.message, self.words, self.player, self.chosen]

    @property
    def inputs(self) -> list[Any]:
        return [self.typed, self.chosen]

    @property
    def shared(self) -> dict[str, Any]:
        return {"words": self.typed}


def build(site: Site, work: Work) -> MergesPart:
    message, words, player, chosen = show(work, "", None)
    typed = gr.Textbox(
        "", label="Words of the text; type here to choose among your own", placeholder="tokenization", lines=1,
        max_lines=1, max_length=OWN_WORDS, elem_id="merge-words-typed", elem_classes="settles",
    )  # fmt: skip
    words_list = gr.HTML(words, elem_id="merge-words", js_on_load=CLICK)
    message_html = gr.HTML(message, elem_id="merge-message", js_on_load=None)
    player_html = gr.HTML(player, html_template='<div class="player"></div>', js_on_load=DRAW, elem_id="merge-player")
    return MergesPart(typed, message_html, words_list, player_html, gr.State(chosen))


def wire(part: MergesPart, work: gr.State) -> None:
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "always_last"}
    gr.on([part.typed.submit, part.typed.blur], type_words, [work, *part.inputs], part.views, **quiet)
    part.words.select(choose_word, [work, part.typed], [part.message, part.player, part.chosen], **quiet)


def show(work: Work, typed: str, chosen: str | None) -> tuple[str, str, str, str | None]:
    """HTML of a message and of the words, the player's data, and the word that is chosen: the same as before if it is
    still one of the words, else the one of most letters that can be seen at once."""
    try:
        tokenizer = tokenizers.open_tokenizer(work.tokenizer, work.model)
        words = words_of(work, tokenizer, typed)
        if chosen not in words:
            chosen = max(words[:WORDS], key=lambda word: sum(map(str.isalpha, word)) * (len(word) <= 24), default=None)
        message, player = player_of(work, tokenizer, chosen)
        read = READ if not typed and len(work.text) > READ else 0
        return message, words_html(words, chosen, len(words) - WORDS, read), player, chosen
    except UserError as error:
        return notice(str(error), "info"), "", "", chosen


def type_words(work: Work, typed: str, chosen: str | None) -> tuple[Any, ...]:
    """Words were typed, or taken back; if none are new, nothing happens."""
    return show(work, typed, chosen)


def choose_word(work: Work, typed: str, event: gr.EventData) -> tuple[Any, ...]:
    """A word of the list was clicked."""
    try:
        tokenizer = tokenizers.open_tokenizer(work.tokenizer, work.model)
        words = words_of(work, tokenizer, typed)
        place = event._data.get("word") if isinstance(event._data, dict) else None
        if not isinstance(place, int) or not 0 <= place < len(words):
            return gr.skip(), gr.skip(), gr.skip()
        return *player_of(work, tokenizer, words[place]), words[place]
    except UserError as error:
        return notice(str(error), "info"), "", None


def words_of(work: Work, tokenizer: Tokenizer, typed: str) -> list[str]:
    """The distinct words of what was typed, or else of the text, in order. TextError for tokenizers without merges."""
    text = clean_text((typed or "")[:OWN_WORDS] or work.text)

    def find() -> list[str]:
        find_words = choice_words if choosing(tokenizer) else chunks
        found = find_words(tokenizer, text[:READ])
        if len(text) > READ and found:
            found.pop()  # cut in two, maybe
            if not found:
                raise TextError(f"The first word has more than {READ:,} characters: type a shorter one.")
        return list(dict.fromkeys(word for word, _ in found if word))

    return _words.get((tokenizers.stamp(work.tokenizer, work.model), text[: READ + 1]), find)


def player_of(work: Work, tokenizer: Tokenizer, word: str | None) -> tuple[str, str]:
    """HTML of a message, and the player's data of a word."""
    if word is None:
        return "", ""
    try:
        stamp = tokenizers.stamp(work.tokenizer, work.model)
        if choosing(tokenizer):
            return "", _players.get((stamp, word), lambda: _choosing(tokenizer, word))
        ranks = _ranks.get(stamp, lambda: merge_ranks(tokenizer))
        return "", _players.get((stamp, word), lambda: _player(tokenizer, word, ranks))
    except UserError as error:
        return notice(str(error), "info"), ""


def _choosing(tokenizer: Tokenizer, word: str) -> str:
    """What a tokenizer without merges does, for the place of the player."""
    if choosing(tokenizer) == "Unigram":
        return json.dumps({"html": lattice_html(word, lattice(tokenizer, word))}, ensure_ascii=False)
    assert isinstance(tokenizer, HubTokenizer)
    model = tokenizer.document["model"]
    prefix, unknown = model.get("continuing_subword_prefix", "##"), model.get("unk_token", "[UNK]")
    return json.dumps({"html": matches_html(longest_matches(tokenizer, word), prefix, unknown)}, ensure_ascii=False)


def _player(tokenizer: Tokenizer, word: str, ranks: dict[tuple[int, int], int]) -> str:
    roots = merge_tree(tokenizer, word)
    taken_whole = len(roots) == 1 and not roots[0].children and bool(merge_steps(tokenizer, word))
    return player_data(word, roots, ranks, rank_meaning(tokenizer), taken_whole)
