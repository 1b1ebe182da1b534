"""The four stages as HTML: everything that a stage made is there, marked by what became of it, and nothing else."""

import html
import random
import re
from types import SimpleNamespace

import pytest

from core.tokenizer import HubTokenizer, train_bpe
from core.tokenizer.inspect import stages
from playground.views import stages as view
from tests.core.tokenizer.kinds import KINDS

NASTY = ["", " ", "a\r\n\tb", "\u200b\ufeff\u202eabc", "<script>alert(1)</script>", "Z\u0337\u0327a\u0334",
         "か\u3099が", "\U0001f469\u200d\U0001f469\u200d\U0001f467🇯🇵", "&lt;b&gt; \"q\" 'x'", "0" * 3000, "ﷺ" * 1500,
         "${1} {{value}} %s", "[UNK] <unk> <s>"]  # fmt: skip


def shown(made: str) -> str:
    return html.unescape(re.sub("<[^>]*>", "", made))


def chips(made: str, stage: int) -> list[tuple[str, str, str]]:
    """(class, chunk number or nothing, what is written small) of each chip of a stage."""
    part = made.split('<li class="stage">')[stage]
    return re.findall(
        r'<span class="chip ?(\w*)" role="listitem" tabindex="-?\d"(?: data-chunk="(\d+)" style="[^"]*")? '
        r'title="[^"]*">.*?<small>(.*?)</small>',
        part,
    )


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "byte_level_nfc", "sentencepiece_bpe"])
def test_any_text_is_shown_and_nothing_of_it_is_markup(kind, text):
    made = stages(HubTokenizer(KINDS[kind]().to_str()), text)
    out = view.stages_html(made, text)
    assert out.count('<li class="stage">') == 4 and "<script" not in out and len(out) < 400_000
    tokens = [small for _, _, small in chips(out, 3)]
    assert tokens == [str(token.id) for token in made.tokens[: view.TOKENS]]
    assert len(chips(out, 2)) in (0, min(len(made.pre_tokens), view.CHUNKS))


def test_a_token_belongs_to_the_chunk_that_it_is_part_of():
    tokenizer = train_bpe(["low lower lowest"] * 9, vocab_size=270)
    made = stages(tokenizer, "lower é low")
    out = view.stages_html(made, "lower é low")
    assert [chunk for _, chunk, _ in chips(out, 2)] == ["0", "1", "2"]
    assert [chunk for _, chunk, _ in chips(out, 3)] == [
        str(number) for number, chunk in enumerate(["lower", " é", " low"]) for _ in tokenizer.encode_chunk(chunk)
    ]
    assert [small for *_, small in chips(out, 2)] == ["0–5", "5–7", "7–11"]


@pytest.mark.parametrize("text", ["\n" * 9_000, "か" * 3_000, "\u200d" * 3_000, " " * 9_000])
def test_of_a_long_chunk_the_beginning_is_written(text):
    tokenizer = train_bpe(["low"], vocab_size=260)
    out = view.stages_html(stages(tokenizer, text), text)
    assert (
        len(chips(out, 2)) <= 2
        and "…</b>" in out
        and f"0–{len(text)}" in out.replace(f"0–{len(text) - 1}", f"0–{len(text)}")
    )
    assert out.split('<li class="stage">')[2].count("<i") <= view.LONG


def test_what_bytes_stand_for_comes_before_how_they_are_spelled():
    out = view.stages_html(stages(train_bpe(["a"], vocab_size=260), " é"), " é")
    assert '<b><i class="space">·</i>é</b><span class="chip-spelling">ĠÃ©</span>' in out
    assert '<i class="bytes">C3</i>' in out


def test_what_was_added_is_marked():
    made = stages(HubTokenizer(KINDS["wordpiece"]().to_str()), "the fox")
    marked = [(kind, small) for kind, _, small in chips(view.stages_html(made, "the fox"), 4)]
    assert marked[0] == ("added", "2") and marked[-1] == ("added", "3")
    assert [small for kind, small in marked if not kind] == [str(token.id) for token in made.tokens]


def test_a_stage_that_does_nothing_says_so():
    out = view.stages_html(stages(train_bpe(["a"], vocab_size=260), "a b"), "a b")
    assert out.count("Nothing to do") == 2
    assert "in one piece" in view.stages_html(stages(train_bpe(["a"], vocab_size=260), "ab"), "ab")
    assert view.stages_html(stages(train_bpe(["a"], vocab_size=260), ""), "").count("No text.") == 4
    bert = stages(HubTokenizer(KINDS["wordpiece"]().to_str()), "the")
    assert "written that way already" in view.stages_html(bert, "the")


def test_a_long_text_is_shown_in_part_and_counted_whole():
    text = "Fox jumps. " * 2000
    made = stages(HubTokenizer(KINDS["wordpiece"]().to_str()), text)
    out = view.stages_html(made, text)
    assert f"… and {len(made.tokens) - view.TOKENS:,} more, of {len(made.tokens):,}." in out
    assert f"… {len(made.tokens) - view.TOKENS:,} more …" in out and f"{len(made.post_processed):,} in all" in out
    assert f"the first {view.CHARACTERS:,} characters of {len(text):,}" in out
    assert [kind for kind, *_ in chips(out, 4)].count("added") == 2
    marks = re.findall(r"<(del|ins)>(.*?)</\1>", out.split('<p class="caption">Changed')[0])
    assert set(marks) == {("del", "F"), ("ins", "f")}  # none for where the text was cut


@pytest.mark.parametrize("seed", range(40))
def test_what_changed_joins_to_both_texts(seed):
    rng = random.Random(seed)
    before = "".join(rng.choices("aAé é\n漢ﬁ", k=rng.randint(0, 120)))
    after = "".join(c for c in before.lower().replace("ﬁ", "fi") if rng.random() < 0.9)
    found = view.changes(before, after)
    assert "".join(old for old, _ in found) == before and "".join(new for _, new in found) == after
    alike = [old == new for old, new in found]
    assert all(one != other for one, other in zip(alike, alike[1:]))


def test_added_tokens_are_those_around_the_models():
    def tokens(*ids):
        return [SimpleNamespace(id=id) for id in ids]

    assert view.added(tokens(1, 1), tokens(1, 1, 1)) == (0, 1)
    assert view.added(tokens(), tokens(1, 2)) == (0, 2)
    assert view.added(tokens(1, 5), tokens(1, 1, 5, 2)) == (1, 1)
    assert view.added(tokens(5), tokens(5)) == (0, 0)
