"""A whole evaluation: read the data, decode (or measure the loss), score, and keep all of it with what it follows from.

    steps = evaluating(load("enja-transformer"), Request(data="test.tsv", metrics=("bleu", "ter")), runs_dir)
    for progress in steps: print(progress.share, progress.scores)           # closing it stops within a step

    evaluation = measured(load("enja-transformer"), Request(max_examples=100))
    evaluation.scores["bleu"].signature, evaluation.command

Outputs are appended as they come, so an evaluation that was stopped or killed goes on where it ended, and one with
other metrics decodes nothing. What is kept is in core.evaluate.store.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.evaluate import store
from core.evaluate.items import Described, items_of
from core.evaluate.keeping import LOSS, Message, Steps, kept
from core.evaluate.request import Evaluation, Output, Progress, Request
from core.run import default_runs_dir

if TYPE_CHECKING:
    from core.decode.config import GenerationConfig
    from core.evaluate.experiment import Case
    from core.run import Run

__all__ = ["Evaluation", "Message", "Progress", "Request", "Steps", "evaluating", "items_of", "kept", "measured"]

FORMAT = 1  # of what is put out; another number makes other ids
SCORED, CONTINUING = 0.99, 0.96  # shares of the work behind which overlaps are looked for, and prompts continued


def evaluating(
    run: "Run",
    request: Request | None = None,
    runs_dir: Path | None = None,
    keep: bool = True,
    again: bool = False,
    assistant: "Run | None" = None,
) -> Steps:
    """The evaluation of a run, step by step; the generator's value is the Evaluation. Closing it stops the work.

    keep: with the run, or under RUNS_DIR/.evaluations (see core.evaluate.store); else nothing is written. again: decode
    anew what is there. assistant: a run that is loaded already; else the request's is. Raises UserError.
    """
    from core.evaluate.repeat import with_command
    from core.evaluate.work import measure, translate

    request, runs_dir = request or Request(), runs_dir or default_runs_dir()
    yield Progress(0.0, "reading the data")
    items = items_of(run, request)
    run = placed(run, request)
    yield Progress(0.01, "opening the model")
    if run.is_translation and assistant is None and request.assistant:
        from core.run import load

        assistant = placed(load(request.assistant, runs_dir), request)
    plan = plan_of(run, request, items, runs_dir if keep else None, assistant)
    directory = store.directory_of(run, plan.id, runs_dir) if keep else None

    plan = with_command(plan, request, run, runs_dir, directory)

    def work(known: dict[int, Output], losses: np.ndarray) -> Iterator[Message]:
        if run.is_translation:
            return translate(run, plan, items, frozenset(known), assistant)
        return measure(run, plan, items, losses)

    def more(plan: Evaluation) -> Generator[Progress, None, dict[str, Any]]:
        facts: dict[str, Any] = {}
        if request.overlap:
            facts["overlap"] = yield from overlap_of(run, items, plan.total)
        if request.prompts and not run.is_translation:
            facts["degeneration"] = yield from continued(run, request, items, runs_dir)
        return facts

    given = request.pairs is not None or request.documents is not None
    return (yield from kept(plan, directory, work, again, items if given else None, more))


def measured(run: "Run", request: Request | None = None, runs_dir: Path | None = None, **options: Any) -> Evaluation:
    """`evaluating` to its end."""
    steps = evaluating(run, request, runs_dir, **options)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


# ----------------------------------------------------------------------------------------------- what it follows from


def placed(run: "Run", request: Request) -> "Run":
    """The run, or another one of the same files, where the request wants it to compute: a run that others use at the
    same time stays where it is."""
    if (request.device, request.precision) == ("cpu", "auto"):
        return run
    return replace(run).use(request.device, request.precision)


def plan_of(
    run: "Run", request: Request, items: Sequence[Any], runs_dir: Path | None, assistant: "Run | None" = None
) -> Evaluation:
    """The evaluation as it is before any work: its id, and all that it follows from. runs_dir: None writes nothing."""
    from core.evaluate.identity import (
        data_sha256,
        device_of,
        hashed,
        model_values,
        precision_of,
        software,
        tokenizer_sha256,
        weights_sha256,
    )
    from core.evaluate.scores import guess_language
    from core.evaluate.windows import resolved

    translates = run.is_translation
    decode = replace(request.decode or run.config.decode, num_return_sequences=1) if translates else None
    context, stride = (0, 0) if translates else resolved(request.context, request.stride, run.config.model.max_seq_len)
    language = request.language
    if translates:
        language = language or run.config.data.tgt_language or guess_language([item[1] for item in items])
    named = replace(request, max_examples=0) if len(items) < request.max_examples else request  # all that there are
    plan = Evaluation(
        id="",
        kind="translation" if translates else "language",
        run=run.name,
        created=time.time(),
        total=len(items) if translates else 0,
        request=replace(request, pairs=None, documents=None),
        data=named.described or _own_data(run, named),
        examples=len(items),
        language=language,
        data_sha256=data_sha256(items),
        weights_sha256=weights_sha256(run, runs_dir),
        tokenizer_sha256=tokenizer_sha256(run, runs_dir),
        assistant_sha256=weights_sha256(assistant, runs_dir) if assistant is not None else "",
        decode=decode,
        context=context,
        stride=stride,
        device=device_of(run.model),
        precision=precision_of(run.model),
        software=software(),
    )
    follows = [
        *(FORMAT, plan.kind, plan.data_sha256, plan.weights_sha256, plan.tokenizer_sha256, plan.assistant_sha256),
        *(model_values(run), plan.to_dict()["decode"], plan.context, plan.stride, plan.device, plan.precision),
    ]
    return replace(plan, id=hashed(follows))


def _own_data(run: "Run", request: Request) -> str:
    named = "the validation split of " + (run.config.data.src or run.config.data.name)
    return named + (f", the first {request.max_examples:,}" if request.max_examples else "")


def overlap_of(run: Described, items: Sequence[Any], total: int = 0) -> Generator[Progress, None, dict[str, Any]]:
    """See core.evaluate.looking. total: pairs or tokens of the evaluation, for its progress."""
    from core.evaluate.looking import looking

    first, last = (SCORED, 1.0) if run.is_translation else (LOSS, CONTINUING)
    with closing(looking(run, items)) as steps:
        while True:
            try:
                share, what = next(steps)
            except StopIteration as end:
                return dict(end.value)
            yield Progress(first + (last - first) * share, what, total, total)


def continued(
    run: "Run", request: Request, documents: Sequence[str], runs_dir: Path | None
) -> Generator[Progress, None, dict[str, Any]]:
    """Degeneration measures of what the run writes behind beginnings that are taken from the documents."""
    from core.evaluate.continuations import measuring
    from core.run import load

    cases, columns = what_to_continue(run, request, documents)
    features = load(request.mauve, runs_dir) if request.mauve else None
    steps = measuring(run, cases, columns, request.new_tokens, features)
    with closing(steps):
        while True:
            try:
                at = next(steps)
            except StopIteration as end:
                return dict(end.value)
            yield continuing(at.share, at.title, at.done, at.total)


def what_to_continue(
    run: "Run", request: Request, documents: Sequence[str]
) -> "tuple[list[Case], list[tuple[str, GenerationConfig]]]":
    """The prompts, which are taken from the documents, and the titles and settings of what continues them."""
    from core.decode.presets import PRESETS
    from core.evaluate.experiment import cases_from_text, default_columns

    cases = cases_from_text(run, "\n".join(documents), request.prompts, new_tokens=request.new_tokens)
    columns = [(PRESETS[name].title, PRESETS[name].config) for name in request.strategies]
    return cases, columns or default_columns()


def continuing(share: float, title: str, done: int, total: int) -> Progress:
    """share: of the continuations, 0 to 1. done, total: prompts of one strategy."""
    return Progress(CONTINUING + (1 - CONTINUING) * share, f"continuing: {title}", done, total)
