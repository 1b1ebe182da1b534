"""The scores of all heads as a table, and what each score is."""

from collections.abc import Mapping
from html import escape

from core.analysis.head_scores import Score
from core.analysis.survey import Survey
from playground.views.attention import told_scores
from playground.views.figure import spec


def scores_spec(survey: Survey, scores: Mapping[str, Score], title: str, layer: int, head: int) -> str:
    """The figure of all heads with all scores that the survey has. layer, head: the chosen ones, from 0."""
    layers, heads = survey.small.shape[:2]
    return spec(
        "scores", f"attention-{survey.kind}-head-scores", title,
        f"{layers * heads} heads, as layer.head · bars are shares of a column's largest · choose a head to see it",
        layers=layers, heads=heads, scores=told_scores(survey, scores), layer=layer, head=head,
    )  # fmt: skip


def formulas(survey: Survey, scores: Mapping[str, Score]) -> str:
    """What each score is, to be opened."""
    told = "".join(
        f"<dt>{escape(scores[name].title)}</dt><dd><code>{escape(scores[name].formula)}</code>"
        f"<span>{escape(scores[name].meaning)}</span></dd>"
        for name in survey.scores
    )
    return (
        '<details class="score-formulas"><summary>The formulas</summary><p class="caption">i is the place of a query, '
        "j that of a key, both from 0; a is the weight, t the token; Q queries and K keys.</p>"
        f"<dl>{told}</dl></details>"
    )
