"""Continuations that are measured (core.evaluate.continuations), written by one machine and measured by another.

What is written there comes as plain values, in this order: {"cases"} once, then for each strategy {"at"} as it is being
written and, when it is, {"column"} with {"hypotheses"}. The measures, and MAUVE, are computed here from these.
"""

import json
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.evaluate.request import Progress, Request
    from core.run import Run

EVERY = 0.5  # seconds between two messages that only tell how far it is
TOGETHER = 256  # hypotheses of a message
FIELDS = ("ids", "logprobs", "score", "finished", "finish_reason", "text")  # of a hypothesis, that are sent


def continuation_messages(run: "Run", request: "Request", documents: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Of prompts from the documents, what people and each strategy wrote behind them. Raises UserError."""
    from core.evaluate.evaluation import what_to_continue
    from core.evaluate.experiment import experiment

    cases, columns = what_to_continue(run, request, documents)
    yield {"cases": [[case.prompt, case.reference] for case in cases]}
    sent, last = 0, time.monotonic()
    with closing(experiment(run, cases, columns, request.new_tokens)) as steps:
        for at in steps:
            for column in at.columns[sent:]:
                yield {
                    "column": {
                        "title": column.title,
                        "settings": json.dumps(asdict(column.config)) if column.config is not None else "",
                        "seconds": column.seconds,
                        "passes": column.measures.forward_passes,
                    }
                }
                for start in range(0, len(column.hypotheses), TOGETHER):
                    part = column.hypotheses[start : start + TOGETHER]
                    yield {"hypotheses": [{name: getattr(found, name) for name in FIELDS} for found in part]}
            if len(at.columns) > sent or time.monotonic() - last > EVERY:
                yield {"at": [at.share, at.title, at.done, at.total]}
                last = time.monotonic()
            sent = len(at.columns)


def measured_here(
    messages: "Iterable[dict[str, Any] | None]", request: "Request", features: "Run | None" = None
) -> "Generator[Progress, None, dict[str, Any]]":
    """The same values as core.evaluate.continuations.measuring returns. messages: None where nothing has come for a
    while. features: the language model that reads for MAUVE. Raises DataError."""
    from core.decode.answers import settings
    from core.decode.result import Hypothesis
    from core.evaluate import mauve
    from core.evaluate.continuations import degeneration_values
    from core.evaluate.degeneration import measures, probability_curve
    from core.evaluate.evaluation import continuing
    from core.evaluate.experiment import Case, ColumnResult

    cases: list[Case] = []
    columns: list[dict[str, Any]] = []
    written: list[list[Hypothesis]] = []  # of each column
    at = continuing(0.0, "waiting for the first words", 0, 0)
    for message in messages:
        if message is not None:
            if "cases" in message:
                cases = [Case(prompt, [], [], reference) for prompt, reference in message["cases"]]
                if features is not None:
                    mauve.check(features, len(cases))  # before most of the work, not after it
            if "column" in message:
                columns.append(message["column"])
                written.append([])
            if "hypotheses" in message:
                written[-1] += [Hypothesis(**values) for values in message["hypotheses"]]
            if "at" in message:
                at = continuing(*message["at"])
        yield at
    results = []
    for column, hypotheses in zip(columns, written, strict=True):
        config = settings(column["settings"]) if column["settings"] else None
        found = measures(hypotheses, column["seconds"], column["passes"])
        curve = probability_curve(hypotheses)
        results.append(ColumnResult(column["title"], config, hypotheses, found, curve, column["seconds"]))
    return degeneration_values(results, cases, request.new_tokens, features)
