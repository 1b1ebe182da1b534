"""Degeneration measures as a part of an evaluation: the experiment's, as plain values, and MAUVE beside them."""

import json

import pytest

from core import load
from core.decode import GenerationConfig
from core.errors import DataError
from core.evaluate import mauve
from core.evaluate.continuations import degeneration_scores, measuring
from core.evaluate.experiment import cases_from_text, experiment

TEXT = "The king is in the castle, and the queen is in the garden with her friends. " * 60
COLUMNS = [("Greedy", GenerationConfig()), ("Drawn", GenerationConfig(strategy="sample", seed=3))]


@pytest.fixture(scope="module")
def gpt():
    return load("demo-gpt")


def test_the_values_are_the_experiment_s(gpt):
    shares = []
    found = degeneration_scores(
        gpt, text=TEXT, columns=COLUMNS, count=4, prompt_tokens=8, new_tokens=10,
        progress=lambda share, what: shares.append(share),
    )  # fmt: skip
    assert json.loads(json.dumps(found))["columns"][0] == found["columns"][0]  # plain values
    assert shares == sorted(shares) and shares[-1] == 1.0
    *_, last = experiment(gpt, cases_from_text(gpt, TEXT, 4, 8, 10), COLUMNS, 10)
    assert [column["title"] for column in found["columns"]] == [column.title for column in last.columns]
    assert (found["prompts"], found["new_tokens"]) == (4, 10)
    for values, column in zip(found["columns"], last.columns):
        assert values["outputs"] == [hypothesis.text for hypothesis in column.hypotheses]
        assert values["perplexity"] == column.measures.perplexity
        assert values["repeated"]["4"] == column.measures.repeated[4]
        assert values["curve"] == column.curve and "mauve" not in values
    assert found["columns"][0]["settings"] is None and found["columns"][1]["settings"]["strategy"] == "greedy"


def test_prompts_and_no_people(gpt):
    found = degeneration_scores(gpt, ["The king", ""], columns=COLUMNS[:1], new_tokens=4)
    assert [column["title"] for column in found["columns"]] == ["Greedy"] and found["prompts"] == 2


def test_it_can_be_stopped(gpt):
    steps = measuring(gpt, cases_from_text(gpt, TEXT, 2, 8, 10), COLUMNS, 10)
    assert next(steps).share < 1
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


def test_what_cannot_be_measured(gpt):
    for given in ({}, {"prompts": ["x"], "text": "x"}):
        with pytest.raises(DataError, match="Give prompts, or a text"):
            degeneration_scores(gpt, **given)
    with pytest.raises(DataError, match="texts of people"):
        degeneration_scores(gpt, ["x"], features=gpt)
    with pytest.raises(DataError, match="20 texts or more"):  # said before anything is written
        degeneration_scores(gpt, text=TEXT, count=2, prompt_tokens=8, new_tokens=10, features=gpt)


def test_mauve_is_of_prompts_and_continuations(gpt, monkeypatch):
    asked = []
    monkeypatch.setattr(mauve, "is_installed", lambda: True)
    monkeypatch.setattr(
        mauve, "mauve_score", lambda *texts: asked.append(texts) or mauve.Mauve(0.5, 0.25, "features:demo-gpt")
    )
    found = degeneration_scores(
        gpt, text=TEXT, columns=COLUMNS[:1], count=20, prompt_tokens=8, new_tokens=10, features=gpt
    )
    cases = cases_from_text(gpt, TEXT, 20, 8, 10)
    (written, people, features), column = asked[0], found["columns"][1]
    assert features is gpt and len(asked) == 1  # people are not compared with themselves
    assert people == [case.prompt + case.reference for case in cases]
    assert written == [case.prompt + text for case, text in zip(cases, column["outputs"])]
    assert (column["mauve"], column["frontier_integral"]) == (0.5, 0.25)
    assert column["mauve_signature"] == "features:demo-gpt|of:prompt+continuation"
