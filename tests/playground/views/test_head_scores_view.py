"""The table of head scores: every head, every score of the kind, with its formula."""

import json
import re

import numpy as np
import pytest
from test_attention_views import unpacked

from core.analysis.head_scores import SCORES, head_scores
from core.analysis.survey import Survey
from playground.views.head_scores import formulas, scores_spec


def survey(kind, ids=(4, 5, 6, 4)):
    rng = np.random.default_rng(2)
    weights = rng.dirichlet(np.ones(4), size=(3, 2, 4))
    scores = [head_scores(layer, kind, list(ids), list(ids)) for layer in weights]
    stacked = {name: np.stack([layer[name] for layer in scores]) for name in scores[0]}
    return Survey(kind, np.zeros((3, 2, 4, 4), np.uint8), stacked, weights.mean(axis=(0, 1)))


@pytest.mark.parametrize("kind", ["cross", "encoder", "self"])
def test_all_heads_and_scores_are_sent_as_they_are(kind):
    seen = survey(kind)
    figure = json.loads(scores_spec(seen, SCORES, "Head scores · <b>", 2, 1))
    assert (figure["kind"], figure["title"], figure["layer"], figure["head"]) == ("scores", "Head scores · <b>", 2, 1)
    assert (figure["layers"], figure["heads"]) == (3, 2) and "6 heads" in figure["subtitle"]
    assert [score["name"] for score in figure["scores"]] == [n for n, score in SCORES.items() if kind in score.kinds]
    for score in figure["scores"]:
        known = SCORES[score["name"]]
        assert (score["title"], score["formula"], score["meaning"]) == (known.title, known.formula, known.meaning)
        np.testing.assert_allclose(unpacked(score["values"]), seen.scores[score["name"]], rtol=1e-6)


def test_what_is_not_defined_is_not_a_number():
    figure = json.loads(scores_spec(survey("self", range(4)), SCORES, "t", 0, 0))
    blank = {score["name"] for score in figure["scores"] if np.isnan(unpacked(score["values"])).all()}
    assert blank == {"duplicate", "induction"}


def test_the_formulas_of_the_kind_are_at_hand():
    html = formulas(survey("cross"), SCORES)
    assert re.findall("<dt>(.*?)</dt>", html) == ["Entropy", "Sink share", "Alignment sharpness", "Coverage"]
    assert SCORES["sharpness"].formula in html and html.count("<code>") == 4 and "Induction" not in html
