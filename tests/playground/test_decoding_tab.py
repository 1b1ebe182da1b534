"""Side by side: what the columns end with is what decoding without streaming gives; stopping; errors in place."""

import json
import re
from dataclasses import replace
from html import unescape
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.helpers import special_args

from core.decode import generate
from core.decode.recipe import Recipe, replay
from core.errors import RunError
from core.evaluate.degeneration import measures
from core.run import load
from playground import decoding_form
from playground.header import build_header
from playground.tabs import decoding as tab
from playground.tabs.decoding import changing, columns, writing
from playground.tabs.decoding.settings import FIRST, Settings, config_of, dump, for_model, preset_column
from playground.tabs.decoding.work import Work
from playground.views.written import number, token_groups

PAGE = SimpleNamespace(session_hash="page")
SKIP = gr.skip()
GREEDY = {"strategy": "greedy", "max_new_tokens": 8}
BEAM = {"strategy": "beam", "num_beams": 4, "max_new_tokens": 8}
DRAWN = {"strategy": "sample", "temperature": 0.8, "top_p": 0.9, "max_new_tokens": 8, "seed": 3}
USUAL = (GREEDY, BEAM, DRAWN)
OTHERS = {
    "diverse_beam": {"num_beams": 4}, "contrastive": {"top_k": 3}, "assisted": {}, "best_of": {"num_samples": 6},
    "mbr": {"num_samples": 6}, "sample": {"num_return_sequences": 3, "typical_p": 0.8},
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(columns, "boards", boards := writing.Boards())
    monkeypatch.setattr(writing, "boards", boards)


def writer(model, text, *wanted, page=PAGE, typed=(), again=False):
    settings = dump(Settings(tuple(wanted or USUAL), together=False))
    if again:
        return columns.write_again(Work(model, text), settings, "local", typed, page)
    return columns.decode_columns(Work(model, text), settings, "local", typed, 1, page)


def shown(pictures):
    """The HTML of each column after each picture: what is skipped stays. The first value says what they share."""
    now = [""] * 7
    for picture in pictures:
        now = [old if new == SKIP else new for old, new in zip(now, picture, strict=True)]
        yield now[1:]


def last(model, text, *wanted, **more):
    *_, end = shown(writer(model, text, *wanted, **more))
    return end[: len(wanted or USUAL)]


def plain(html):
    return unescape(re.sub(r"<[^>]*>", "", html))


def figure(html, name):
    return re.search(rf"<dt>{name}</dt><dd>([^<]*)", html)[1]


def expected(name, text, column):
    run = load(name)
    config = for_model(config_of(column), run.config.decode)
    return generate(run, [text], config, assistant=run if config.strategy == "assisted" else None)[0]


def same(html, generation):
    """Whether a column shows that result."""
    best, strategy = generation.best, json.loads(saved(html))["recipe"]["config"]["strategy"]
    assert figure(html, "log-prob") == number(best.total_logprob) and figure(html, "tokens") == str(len(best.ids))
    assert f'data-ids="{",".join(map(str, best.ids))}"' in html
    assert figure(html, "passes") == str(generation.work.forward_passes)
    if len(generation.hypotheses) > 1:
        for place, hypothesis in enumerate(generation.hypotheses):
            assert f'data-index="{place}" data-ids="{",".join(map(str, hypothesis.ids))}"' in html
        assert html.count("<tr><td>") == len(generation.hypotheses)
        assert ('<th scope="col">score' in html) == (strategy != "sample") and number(generation.score) in html


def saved(html):
    return unescape(re.search(r'<span class="decoding-json" hidden>(.*?)</span>', html, re.S)[1])


@pytest.mark.parametrize("name", ["tiny-transformer", "tiny-gpt", "tiny-llama"])
def test_the_columns_end_with_what_generate_returns(runs, name):
    for html, column in zip(last(name, "ROMEO: a cup"), USUAL, strict=True):
        same(html, expected(name, "ROMEO: a cup", column))
        assert 'aria-busy="true"' not in html


@pytest.mark.parametrize("strategy", OTHERS)
@pytest.mark.parametrize("name", ["tiny-transformer", "tiny-gpt"])
def test_every_strategy_is_what_generate_returns(runs, name, strategy):
    column = {"strategy": strategy, "max_new_tokens": 8, **OTHERS[strategy]}
    (html,) = last(name, "ROMEO: a cup", column)
    result = expected(name, "ROMEO: a cup", column)
    same(html, result)
    if strategy == "assisted":
        assert figure(html, "kept") == f"{result.work.accepted}/{result.work.drafted}"
        assert "decoding-drafted" in html and "drafted by the assistant" in html


def test_a_column_is_made_again_by_what_it_exports(runs):
    for html, column in zip(last("tiny-gpt", "ROMEO: <b>"), USUAL, strict=True):
        text = saved(html)
        recipe, result = Recipe.from_json(text), json.loads(text)["result"]
        assert recipe.text == "ROMEO: <b>" and recipe.model == "tiny-gpt"
        assert replay(recipe).ids == result["hypotheses"][0]["ids"] == expected("tiny-gpt", "ROMEO: <b>", column).ids
        for call in (recipe.as_python(), recipe.as_command(load("tiny-gpt").config.decode)):
            assert call.strip() in unescape(html)


def test_the_measures_are_those_of_what_is_written(runs):
    long = [{"strategy": "greedy", "max_new_tokens": 30}, {**DRAWN, "max_new_tokens": 30, "num_return_sequences": 4}]
    for html, column in zip(last("tiny-gpt", "ROMEO:", *long), long, strict=True):
        result = expected("tiny-gpt", "ROMEO:", column)
        found = measures(result.hypotheses)
        for n in (1, 2, 4):
            assert figure(html, f"distinct-{n}") == number(found.distinct[n])
        assert figure(html, "repeat-3") == number(found.repeated[3]) and figure(html, "Zipf") == number(found.zipf)
        assert ("self-BLEU" in html) == (len(result.hypotheses) > 1)


def test_they_are_written_step_by_step(runs, monkeypatch):
    monkeypatch.setattr(writing, "REFRESH", 0.0)
    seen = [html for html, *_ in shown(writer("tiny-gpt", "ROMEO:"))]
    counts = [int(figure(html, "tokens")) for html in seen]
    assert counts == sorted(counts) and counts[0] == 1 and counts[-1] == 8
    assert 'aria-busy="true"' in seen[0] and 'aria-busy="true"' not in seen[-1]


def test_a_column_does_not_depend_on_the_others(runs):
    alone = last("tiny-gpt", "ROMEO:", DRAWN)[0]
    beside = last("tiny-gpt", "ROMEO:", DRAWN, BEAM, {**DRAWN, "seed": 9})[0]
    assert json.loads(saved(alone))["result"]["hypotheses"] == json.loads(saved(beside))["result"]["hypotheses"]


def test_what_is_written_already_is_not_written_again_unless_asked(runs, monkeypatch):
    asked = []
    stream = writing.stream_of
    monkeypatch.setattr(writing, "stream_of", lambda *a: asked.append(a[2].config.strategy) or stream(*a))
    last("tiny-gpt", "ROMEO:")
    before = last("tiny-gpt", "ROMEO:", GREEDY, {**BEAM, "num_beams": 2}, DRAWN)
    assert asked == ["greedy", "beam", "sample", "beam"]
    assert last("tiny-gpt", "ROMEO:", GREEDY, {**BEAM, "num_beams": 2}, DRAWN) == before and len(asked) == 4
    last("tiny-gpt", "ROMEO:", GREEDY, page=SimpleNamespace(session_hash="other"))
    last("tiny-gpt", "ROMEO:", GREEDY, again=True)
    assert asked[4:] == ["greedy", "greedy"]
    last("tiny-llama", "ROMEO:", GREEDY), last("tiny-gpt", "JULIET:", GREEDY)
    assert len(asked) == 8


def test_only_columns_that_changed_are_sent(runs):
    pictures = list(writer("tiny-gpt", "ROMEO:"))
    assert all(html == "" for html in pictures[0][4:]) and all(html == SKIP for html in pictures[-1][4:])


def test_stop_acts_within_a_step_and_keeps_what_is_written(runs, monkeypatch):
    monkeypatch.setattr(writing, "REFRESH", 0.0)
    pictures = shown(writer("tiny-gpt", "ROMEO:", {**GREEDY, "max_new_tokens": 40}, BEAM, DRAWN))
    for _ in range(3):
        before = next(pictures)
    columns.stop_columns(PAGE)
    (after,) = list(pictures)
    tokens = [int(figure(html, "tokens")) for html in (before[0], after[0])]
    assert tokens[1] - tokens[0] in (0, 1) and tokens[1] < 40
    assert "Stopped by you" in after[0] and "distinct-1" in after[0]


def test_a_newer_request_of_the_page_ends_an_older_one_and_leaves_other_pages_alone(runs, monkeypatch):
    monkeypatch.setattr(writing, "REFRESH", 0.0)
    old, other = writer("tiny-gpt", "old"), shown(writer("tiny-gpt", "old", page=SimpleNamespace(session_hash="other")))
    next(old), next(other)
    next(writer("tiny-gpt", "new"))
    assert list(old) == []
    *_, end = other
    for html, column in zip(end, USUAL):
        same(html, expected("tiny-gpt", "old", column))


def test_gradio_calls_it_with_the_page_and_the_fields(runs):
    with gr.Blocks():
        part = tab.build().parts["Side by side"]
    given = [Work("tiny-gpt", "ROMEO:"), part.settings.value, part.where.value, part.typed.value, 1]
    request = gr.Request(session_hash="real")
    called, *_ = special_args(columns.decode_columns, given, request)
    *_, end = columns.decode_columns(*called)
    assert len(end) == 7 and "real" in columns.boards.pages
    for act in (columns.stop_columns, columns.forget):
        called, *_ = special_args(act, [], request)
        act(*called)
    assert "real" not in columns.boards.pages


def test_nothing_is_written_before_the_part_is_opened(runs):
    with gr.Blocks():
        header = build_header()
        built = tab.build()
        tab.wire(built, header)
    settled = ("tiny-gpt", "a")
    assert built.refresh("Tokenizer", settled, "Side by side", None) == [SKIP] * 8
    work, told, *orders = built.refresh("Decoding", settled, "Side by side", None)
    assert work == Work("tiny-gpt", "a") and orders[0] > 0 and orders[1:] == [SKIP] * 5
    assert built.refresh("Decoding", settled, "Side by side", told) == [SKIP] * 8, "it is there"
    assert built.refresh("Decoding", settled, "Beam tree", told)[4] > 0
    for wrong in ("nope", "", None, 3, ["Beam tree"]):
        assert built.refresh("Decoding", settled, wrong, told) == [SKIP] * 8
    assert all(part.order.value is None for part in built.parts.values())
    (nothing,) = columns.decode_columns(work, "", "local", (), None, PAGE)
    assert nothing == [SKIP] * 7


def test_the_form_shows_the_settings_also_after_a_late_answer(runs):
    work, text = Work("tiny-gpt", "a"), dump(Settings((GREEDY, DRAWN)))
    first = changing.show_form(work, "", 0, None, 1)
    assert changing.show_form(work, "", 0, first[2], 1) == [SKIP] * len(first), "it is there"
    late = changing.show_form(work, text, 1, first[2], 1)
    assert late[2] == (work.model, text, 1) and late[1] == 1
    assert changing.show_form(work, text, 1, None, None) == [SKIP] * len(first), "nobody has opened it"
    with gr.Blocks():
        part = tab.build().parts["Side by side"]
    assert len(part.head) == len(first) == len(late)


def click(n, act, column=-1, **more):
    return {"n": n, "act": act, "column": column, **more}


def test_every_click_counts_once_and_in_order(runs):
    work = Work("tiny-gpt", "a")
    acts = [click(5, "add"), click(6, "remove", 0), click(9, "branch", 0, ids=[4, 5])]
    last, text, _, chosen, *_ = changing.act_on_columns(work, "", 0, json.dumps(acts), 0)
    found = json.loads(text)["columns"]
    assert last == 9 and chosen == 0 and [one["strategy"] for one in found] == ["beam", "sample", "contrastive"]
    assert found[0]["forced_prefix_ids"] == [4, 5]
    again = changing.act_on_columns(work, text, 0, json.dumps([*acts[1:], click(12, "choose", 2)]), last)
    assert again[0] == 12 and json.loads(again[1])["columns"] == found and again[3] == 2, (
        "what was done is not done again"
    )


@pytest.mark.parametrize(
    "acts",
    [None, 3, "", "[", "null", '{"n": 1}', "[[]]", '[{"n": "1", "act": "add"}]', '[{"n": -1, "act": "add"}]',
     '[{"n": 1e99, "act": "add"}]', '[{"n": true}]', '[{"n": 1, "act": [], "column": {}}]',
     '[{"n": 1, "act": "remove", "column": 99}]', '[{"n": 1, "act": "branch", "column": 0, "ids": ["x"]}]',
     "[" * 10_000, "[" + "1," * 30_000 + "1]"],
)  # fmt: skip
def test_clicks_from_anybody_change_nothing_that_is_not_offered(runs, acts):
    assert changing.act_on_columns(Work("tiny-gpt", "a"), "", 0, acts, 0)[1] == ""
    assert changing.act_on_columns(Work("tiny-gpt", "a"), "", "x", acts, "x")[1] == ""


# ----------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("name", ["nope", "../../etc", "hf:org/name", "", "x" * 300])
def test_an_unknown_model_is_one_sentence_in_each_column(runs, name):
    (only,) = shown(writer(name, "text"))
    assert all('role="alert"' in html for html in only[:3]) and not any(only[3:])


@pytest.mark.parametrize("name", ["tiny-transformer", "tiny-gpt"])
@pytest.mark.parametrize("text", ["", " ", "\x00", "\ud800", "👩‍👩‍👧", "<script>alert(1)</script>", "word " * 20_000])
def test_no_text_breaks_it(runs, name, text):
    end = last(name, text)
    assert all('aria-busy="true"' not in html and "<script" not in html for html in end)
    if len(text) > 1_000:
        assert all("longer than the model's context" in plain(html) for html in end)


def test_settings_that_cannot_be_are_said_in_their_column(runs):
    several = {"strategy": "sample", "temperature": 0.0, "num_return_sequences": 3}
    beyond = {"forced_prefix_ids": [10**6]}
    wrong = ({"temperature": -1.0}, GREEDY, {"min_new_tokens": 99}, beyond, several, {"max_new_tokens": "8"})
    end = last("tiny-gpt", "x", *wrong)
    assert "temperature must not be negative" in end[0] and 'role="alert"' not in end[1]
    assert "must not be more than decode.max_new_tokens" in end[2]
    assert "the model's vocabulary ends at" in unescape(end[3])
    assert "num_return_sequences must be 1" in end[4] and "must be a whole number" in end[5]


@pytest.mark.parametrize(
    "column",
    [{"strategy": "sample", "top_k": 10**6}, {"strategy": "sample", "temperature": 0.0},
     {"strategy": "beam", "num_beams": 1}, {"strategy": "sample", "seed": -5}, {"no_repeat_ngram_size": 10**30},
     {"strategy": "sample", "seed": 2**63 - 1}, {"strategy": "contrastive", "penalty_alpha": 0.0},
     {"strategy": "diverse_beam", "num_beams": 6, "num_beam_groups": 3}, {"stop_strings": ["e"]},
     {"strategy": "assisted", "assisted_sampling": True, "temperature": 0.5}, {"repetition_penalty": 1e300},
     {"presence_penalty": -1e300}, {"strategy": "sample", "temperature": 1e-5}, {"logit_bias": {"3": 1e30}},
     {"bad_words_ids": [[5], [6, 7]]}],
)  # fmt: skip
def test_strange_settings_do_something_sensible_or_say_why_not(runs, column):
    (html,) = last("tiny-gpt", "ROMEO:", {"max_new_tokens": 6, **column})
    assert 'role="alert"' in html or int(figure(html, "tokens")) > 0


def test_what_goes_wrong_in_a_column_is_said_there(runs, monkeypatch):
    def broken(*arguments):
        raise RunError("The assistant is gone.")
        yield

    stream = writing.stream_of
    assisted = {"strategy": "assisted", "max_new_tokens": 8}
    monkeypatch.setattr(writing, "stream_of", lambda *a: broken() if a[2].config.strategy == "assisted" else stream(*a))
    end = last("tiny-gpt", "ROMEO:", GREEDY, BEAM, assisted)
    assert "The assistant is gone." in end[2] and 'role="alert"' not in end[0] + end[1]


def test_pages_that_are_gone_are_forgotten():
    boards = writing.Boards()
    for page in range(1_000):
        boards.begin(str(page))
    assert len(boards.pages) <= writing.PAGES and boards.state("999", 1) == "going"


# ---------------------------------------------------------------------------------------- branches and assistants


@pytest.mark.parametrize("name", ["tiny-transformer", "tiny-gpt"])
@pytest.mark.parametrize("column", USUAL, ids=lambda column: column["strategy"])
def test_a_branch_goes_on_from_another_token(runs, name, column):
    before = expected(name, "ROMEO:", column)
    forced = [*before.ids[:2], 100]
    (html,) = last(name, "ROMEO:", {**column, "forced_prefix_ids": forced})
    result = expected(name, "ROMEO:", {**column, "forced_prefix_ids": forced})
    assert result.ids[:3] == forced
    same(html, result)
    assert "3 tokens are given" in html and html.count("decoding-forced") >= len(result.hypotheses)


def test_where_columns_part_is_marked(runs):
    first = expected("tiny-gpt", "ROMEO:", GREEDY).ids
    branch = {**GREEDY, "forced_prefix_ids": [*first[:3], 100]}
    pictures = list(writer("tiny-gpt", "ROMEO:", GREEDY, GREEDY, branch))
    shared, one, same_as_one, other = pictures[-1][:4]
    assert "the same 3 tokens" in shared and "differs from column 1" in shared
    marked = re.compile(r'class="[^"]*decoding-parts[^"]*"[^>]*data-at="(\d+)"')
    tokenizer = load("tiny-gpt").tokenizer
    for html, ids in ((one, first), (other, expected("tiny-gpt", "ROMEO:", branch).ids)):
        (group,) = [group for group in token_groups(ids, tokenizer) if 3 in group]
        assert marked.findall(html) == [str(group[0])]
    assert not marked.findall(same_as_one)
    *_, picture = writer("tiny-gpt", "ROMEO:", GREEDY, GREEDY)
    assert "All columns say the same" in picture[0]


def test_the_assistants_are_runs_of_the_same_tokenizer(runs):
    names = [name for _, name in decoding_form.assistants("tiny-gpt")]
    assert names == ["tiny-llama", "tiny-gpt"]
    assert [name for _, name in decoding_form.assistants("tiny-transformer")] == ["tiny-transformer"]
    assert all(decoding_form.assistants(name) == [] for name in ("nope", None, "../etc"))
    assert decoding_form.chosen_assistant("tiny-gpt", "tiny-llama") == "tiny-llama"
    for stale in ("tiny-transformer", None, "", "hf:org/name"):
        assert decoding_form.chosen_assistant("tiny-gpt", stale) == "tiny-gpt"
    assert decoding_form.chosen_assistant("tiny-gpt", "hf:org/name", ["hf:org/name"]) == "hf:org/name"


def test_an_assistant_that_cannot_gives_way_and_one_that_was_typed_is_opened(runs):
    for name in ("tiny-llama", "tiny-transformer", "/etc", "typed"):
        end = last("tiny-gpt", "ROMEO:", GREEDY, {"strategy": "assisted", "max_new_tokens": 8, "assistant": name})
        assert figure(end[0], "log-prob") == figure(end[1], "log-prob"), "as greedy"
    end = last("tiny-gpt", "ROMEO:", GREEDY, {"strategy": "assisted", "assistant": "typed"}, typed=("typed",))
    assert "There is no run 'typed'" in unescape(end[1]) and 'role="alert"' not in end[0]


def test_the_page_opens_with_the_usual_columns():
    greedy, beam, drawn = map(config_of, FIRST.columns)
    assert greedy.is_greedy and beam.num_beams == 5 == beam.num_return_sequences and drawn.top_p == 0.9
    assert {config.max_new_tokens for config in (greedy, beam, drawn)} == {60}
    assert replace(config_of(preset_column({}, "top-p")), seed=0) == drawn


def test_what_pages_keep_is_bounded(monkeypatch):
    from playground.tabs.decoding import writing

    def column(tokens):
        hypothesis = SimpleNamespace(steps=[None] * tokens)
        return SimpleNamespace(hypothesis=hypothesis, beams=[hypothesis])

    monkeypatch.setattr(writing, "STEPS", 100)
    boards = writing.Boards()
    numbers = {page: boards.begin(page)[0] for page in "abc"}
    for page in "abc":
        boards.keep(page, numbers[page], {"key": column(20)})  # 40 tokens a page
    assert [bool(board.columns) for board in boards.pages.values()] == [False, True, True]
    boards.keep("c", numbers["c"], {"key": column(500)})  # one's own stays, whatever it is
    assert [bool(board.columns) for board in boards.pages.values()] == [False, False, True]
