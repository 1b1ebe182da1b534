"""The Assisted part: rounds as a second implementation makes them, the same text as without, honest sums."""

import json
from types import SimpleNamespace

import pytest
import torch

from core.decode import generate, generate_ids
from core.decode.config import GenerationConfig
from core.model.base import LanguageModel
from core.run import load, save_model
from playground.site import PUBLIC, on
from playground.tabs.decoding import assisted as part
from playground.tabs.decoding.work import Work
from playground.views.assisted import pieces
from tests.playground.conftest import make_run

PAGE = SimpleNamespace(session_hash="page")
SETTINGS = (4, 20, "greedy", 1.0, 3)  # drafts, longest, how, temperature, seed
WORK = Work("big", "ROMEO: a cup")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and one that mostly agrees with it."""
    folder = tmp_path_factory.mktemp("assisted")
    make_run("big", "gpt", folder)
    make_run("translator", "transformer", folder)
    directory = make_run("draft", "gpt", folder)
    model: LanguageModel = load(str(directory)).model
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    save_model(model, directory / "model.safetensors")
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("RUNS_DIR", str(folder))
    monkeypatch.setattr("core.run.BUNDLED", tmp_path)
    monkeypatch.setattr("core.tokenizer.load.BUNDLED", tmp_path)
    monkeypatch.setattr(part, "EVERY", 0.0)


def written(work=WORK, assistant="draft", settings=SETTINGS):
    return list(part.write_assisted(PAGE, work, assistant, *settings))


@pytest.mark.parametrize("how", ["greedy", "drawn"])
def test_the_rounds_add_up(how):
    config = GenerationConfig(
        strategy="assisted", num_assistant_tokens=4, max_new_tokens=20, assisted_sampling=how == "drawn", seed=3
    )
    generation = generate(load("big"), [WORK.text], config, assistant=load("draft"))[0]
    shown = written(settings=(4, 20, how, 1.0, 3))
    data = json.loads(shown[-2][1])
    kept = [place for place, state in enumerate(data["state"]) if state in ("own", "accepted")]
    assert [data["ids"][place] for place in kept] == generation.ids
    assert data["state"].count("accepted") == generation.work.accepted == sum(data["accepted"]) > 0
    assert sum(map(len, generation.work.rounds)) == generation.work.drafted
    assert len(generation.work.rounds) == generation.work.forward_passes - 1
    assert any(state == "rejected" for state in data["state"])
    for number, drafts in enumerate(generation.work.rounds, start=1):
        drafted = [p for p, (r, s) in enumerate(zip(data["round"], data["state"])) if r == number and s != "own"]
        assert [data["ids"][place] for place in drafted] == drafts
        states = [data["state"][place] for place in drafted]
        assert states == sorted(states, key=["accepted", "rejected", "dropped"].index) and states.count("rejected") <= 1
    assert f"<td>{generation.work.forward_passes}</td>" in shown[-1][2]
    assert ("Both wrote the same tokens" in shown[-1][2]) == (how == "greedy")


def test_every_draft_is_what_the_assistant_would_have_written():
    config = GenerationConfig(strategy="assisted", num_assistant_tokens=4, max_new_tokens=20)
    generation = generate(load("big"), [WORK.text], config, assistant=load("draft"))[0]
    assert generation.ids == generate(load("big"), [WORK.text], GenerationConfig(max_new_tokens=20))[0].ids
    own = [place for place, drafted in enumerate(generation.best.drafted) if not drafted]
    for number, drafts in enumerate(generation.work.rounds):
        before = own[number] + 1  # what is written when the round begins
        if drafts:
            prefix = [*generation.prompt_ids, *generation.ids[:before]]
            (again,) = generate_ids(
                load("draft").model, [prefix], GenerationConfig(max_new_tokens=len(drafts)), eos_id=-1
            )
            assert again[0].ids == drafts


def test_it_is_written_step_by_step_and_stopped():
    steps = part.write_assisted(PAGE, WORK, "draft", *SETTINGS)
    counts = [len(json.loads(next(steps)[1])["ids"]) for _ in range(3)]
    assert counts == [1, 2, 3]
    part.stop_assisted(PAGE)
    (last,) = list(steps)
    assert "Stopped by you" in last[0] and json.loads(last[1])["drafted"] == []


CHOSEN = {"draft": "draft", "big": "big", None: "draft", "x": "draft", "translator": "draft", 7: "draft", "": "draft"}


@pytest.mark.parametrize("assistant, name", CHOSEN.items(), ids=str)
def test_who_assists(assistant, name):
    with on(PUBLIC):
        last = written(assistant=assistant, settings=(4, 6, "greedy", 1.0, 0))[-1]
        assert f"with {name}" in last[2] and ("drafts for itself" in last[2]) == (name == "big")
        field = part.show_assistants(WORK, assistant)
        assert field.value == name and [value for _, value in field.choices] == ["draft", "big"]


def test_a_translator_and_nothing_to_translate():
    last = written(Work("translator", "a cup"), None, (4, 8, "greedy", 1.0, 0))[-1]
    assert "Both wrote the same tokens" in last[2] and "drafts for itself" in last[2]
    assert len(written(Work("translator", "  "), None)[-1]) == 3


@pytest.mark.parametrize("work", [Work("", "x"), Work("no-such-run", "x")], ids=str)
def test_what_cannot_be_written_is_a_sentence(work):
    ((message, figure, table),) = written(work)
    assert "notice-error" in message and figure == table == ""
    assert part.show_assistants(work, None) is not None


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("value", [None, float("nan"), "x", [], -5, 10**9, True], ids=repr)
def test_settings_that_nobody_can_choose(place, value):
    settings = [2, 3, "drawn", 1.0, 0]
    settings[place] = value
    assert len(written(settings=settings)[-1]) == 3


def test_pieces_of_odd_texts():
    assert pieces([], [], []) == [] == pieces([], [], [[1, 2]])
    ended = pieces([7, 8], [False, True], [[8, 9, 6]])  # an end token that was drafted
    assert [(piece.kind, piece.id, piece.place) for piece in ended] == [
        ("own", 7, 0), ("accepted", 8, 1), ("dropped", 9, None), ("dropped", 6, None),
    ]  # fmt: skip
    assert [piece.kind for piece in pieces([7, 8], [False, False], [])] == ["own", "own"]
