"""What becomes of texts that a run continues, as a part of its evaluation: degeneration measures of many prompts, and
MAUVE where it is asked for.

    degeneration_scores(run, text=open("test.txt").read())["columns"][0]["repeated"]["4"]

The measures are those of core.evaluate.degeneration, the work is that of core.evaluate.experiment; here both become
plain values, to be kept as JSON.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from core.decode.config import GenerationConfig
from core.errors import DataError
from core.evaluate import mauve
from core.evaluate.experiment import (
    Case,
    ColumnResult,
    Progress,
    cases_from_prompts,
    cases_from_text,
    default_columns,
    experiment,
)

if TYPE_CHECKING:
    from core.run import Run

Columns = Sequence[tuple[str, GenerationConfig]]


def degeneration_scores(
    run: "Run",
    prompts: Sequence[str] = (),
    references: Sequence[str] = (),
    text: str = "",
    columns: Columns | None = None,
    count: int = 20,
    prompt_tokens: int = 32,
    new_tokens: int = 100,
    features: "Run | None" = None,
    progress: Callable[[float, str], Any] | None = None,
) -> dict[str, Any]:
    """Every strategy on given prompts, or on `count` prompts from a text; beside what people wrote, where that is known
    (`references`, or what follows in the text).

    columns: titles and settings, see `default_columns`. features: a language model to compute MAUVE with. Returns
    {"kind": "degeneration", "prompts", "new_tokens", "columns"}, see `column_values`. Raises DataError.
    """
    if bool(text) == bool(prompts):
        raise DataError("Give prompts, or a text to take them from.")
    cases = (
        cases_from_text(run, text, count, prompt_tokens, new_tokens)
        if text
        else cases_from_prompts(run, prompts, references)
    )
    steps = measuring(run, cases, columns, new_tokens, features)
    while True:
        try:
            at = next(steps)
        except StopIteration as end:
            return dict(end.value)
        if progress is not None:
            progress(at.share, at.title)


def measuring(
    run: "Run",
    cases: Sequence[Case],
    columns: Columns | None = None,
    new_tokens: int = 100,
    features: "Run | None" = None,
    assistant: "Run | None" = None,
) -> Generator[Progress, None, dict[str, Any]]:
    """`degeneration_scores` of cases, step by step; closing it stops the work within a step."""
    if features is not None:
        if not all(case.human for case in cases):
            raise DataError("MAUVE compares with texts of people: give what follows each prompt.")
        mauve.check(features, len(cases))  # before the work, not after it
    found: list[ColumnResult] = []
    for at in experiment(run, cases, default_columns() if columns is None else columns, new_tokens, assistant):
        found = at.columns
        yield at
    return degeneration_values(found, cases, new_tokens, features)


def degeneration_values(
    columns: Sequence[ColumnResult], cases: Sequence[Case], new_tokens: int, features: "Run | None" = None
) -> dict[str, Any]:
    """What `degeneration_scores` returns, of what was written."""
    return {
        "kind": "degeneration",
        "prompts": len(cases),
        "new_tokens": new_tokens,
        "columns": [column_values(column, cases, features) for column in columns],
    }


def column_values(column: ColumnResult, cases: Sequence[Case], features: "Run | None" = None) -> dict[str, Any]:
    """A column as plain values: its title, settings (None: people), the measures, seconds, the probability at each
    place, and what was written. With `features`, MAUVE of prompts and continuations against those of people."""
    values = asdict(column.measures)
    values |= {name: {str(n): share for n, share in values[name].items()} for name in ("distinct", "repeated")}
    texts = [hypothesis.text for hypothesis in column.hypotheses]
    if features is not None and column.config is not None:
        written = [case.prompt + text for case, text in zip(cases, texts)]
        score = mauve.mauve_score(written, [case.prompt + case.reference for case in cases], features)
        values |= {"mauve": score.score, "frontier_integral": score.frontier_integral}
        values |= {"mauve_signature": f"{score.signature}|of:prompt+continuation"}
    return {
        "title": column.title,
        "settings": asdict(column.config) if column.config is not None else None,
        **values,
        "seconds": column.seconds,
        "curve": column.curve,
        "outputs": texts,
    }
