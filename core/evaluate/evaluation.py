"""A whole evaluation: read the data, decode (or measure the loss), score, and keep all of it with what it follows from.

    steps = evaluating(load("enja-transformer"), Request(data="test.tsv", metrics=("bleu", "ter")), runs_dir)
    for progress in steps: print(progress.share, progress.scores)           # closing it stops within a step

    evaluation = measured(load("enja-transformer"), Request(max_examples=100))
    evaluation.scores["bleu"].signature, evaluation.command

Outputs are appended as they come, so an evaluation that was stopped or killed goes on where it ended, and one with
other metrics decodes nothing. What is kept is in core.evaluate.store.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from core.errors import ConfigError, DataError, RunError, UserError
from core.evaluate import store
from core.evaluate.request import MOST_CHARACTERS, MOST_EXAMPLES, Evaluation, Output, Progress, Request
from core.run import default_runs_dir

if TYPE_CHECKING:
    from core.config import RunConfig
    from core.run import Run

__all__ = ["Evaluation", "Progress", "Request", "evaluating", "items_of", "measured"]

FORMAT = 1  # of what is put out; another number makes other ids
PARTIAL = ("bleu", "chrf")  # scores of what is done so far
DECODED, LOSS = 0.9, 0.95  # shares of the work: decoding ends, the loss is measured, scores are computed
# What a job's work yields: outputs, losses, facts to be kept, what it does now, or nothing new after a step.
Message = list[Output] | np.ndarray | dict[str, Any] | str | None
Steps = Generator[Progress, None, Evaluation]


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
    plan = plan_of(run, request, items, runs_dir, assistant)
    directory = store.directory_of(run, plan.id, runs_dir) if keep else None

    plan = with_command(plan, request, run, runs_dir, directory)

    def work(known: dict[int, Output], losses: np.ndarray) -> Iterator[Message]:
        if run.is_translation:
            return translate(run, plan, items, frozenset(known), assistant)
        return measure(run, plan, items, losses)

    def more() -> dict[str, Any]:
        return {"overlap": overlap_of(run, items)} if request.overlap else {}

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


class Described(Protocol):
    """What has to be known of a run to read its data: it need not be on this machine."""

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> "RunConfig": ...

    @property
    def is_translation(self) -> bool: ...


def items_of(run: "Described", request: Request) -> list[Any]:
    """The pairs or documents that are asked for. DataError, one sentence, where there are none."""
    from core.data.corpus import Pair
    from core.evaluate import read_data, read_pairs, validation_split
    from core.tokenizer.base import clean_text

    translates = run.is_translation
    if (request.documents is not None and translates) or (
        (request.pairs is not None or request.src) and not translates
    ):
        raise DataError(
            f"{run.name} translates: give sources and references."
            if translates
            else f"{run.name} is a language model: give it a text with --data."
        )
    columns = {
        name: value
        for name in ("text_column", "src_column", "tgt_column", "split")
        if (value := getattr(request, name))
    }
    data = replace(run.config.data, **columns)
    if request.as_given:
        data = replace(data, pretokenized=False)
    items: Sequence[Any]
    if request.pairs is not None:
        items = request.pairs
    elif request.documents is not None:
        items = request.documents
    elif request.src:
        items = read_pairs(request.src, request.ref, data)
    elif request.data.startswith("builtin:"):
        items = _held_out(request.data, run)
    elif request.data:
        items = read_data(request.data, data, "pairs" if translates else "text")
    else:
        items = validation_split(run)  # type: ignore[arg-type]
    items = items[: request.max_examples] if request.max_examples else items
    if not items:
        raise DataError("There is nothing to evaluate on: the data is empty.")
    if len(items) > MOST_EXAMPLES:
        raise DataError(f"There are {len(items):,} examples, of which {MOST_EXAMPLES:,} can be used: ask for fewer.")
    if translates:
        items = [Pair(clean_text(item[0]), clean_text(item[1])) for item in items]
    else:
        items = [text for text in map(clean_text, items) if text.strip()]
        if not items:
            raise DataError("There is nothing to evaluate on: the text is empty.")
    size = sum(len(item) if isinstance(item, str) else len(item[0]) + len(item[1]) for item in items)
    if size > MOST_CHARACTERS:
        raise DataError(f"There are {size:,} characters, of which {MOST_CHARACTERS:,} can be used: ask for fewer.")
    return list(items)


def _held_out(name: str, run: "Described") -> list[Any]:
    """The validation part of built-in data."""
    from core.config import DataConfig
    from core.data.sources import load_corpus

    kind: Any = "pairs" if run.is_translation else "text"
    return load_corpus(DataConfig(name=name), kind, seed=run.config.seed).val


def placed(run: "Run", request: Request) -> "Run":
    """The run, or another one of the same files, where the request wants it to compute: a run that others use at the
    same time stays where it is."""
    if (request.device, request.precision) == ("cpu", "auto"):
        return run
    return replace(run).use(request.device, request.precision)


def plan_of(
    run: "Run", request: Request, items: Sequence[Any], runs_dir: Path | None, assistant: "Run | None" = None
) -> Evaluation:
    """The evaluation as it is before any work: its id, and all that it follows from."""
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
    plan = Evaluation(
        id="",
        kind="translation" if translates else "language",
        run=run.name,
        created=time.time(),
        total=len(items) if translates else 0,
        request=replace(request, pairs=None, documents=None),
        data=request.described or _own_data(run, request),
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


def overlap_of(run: "Run", items: Sequence[Any]) -> dict[str, Any]:
    """See core.evaluate.overlap; where the training data is not within reach, a sentence that says so."""
    raise ConfigError("The overlap with the training data cannot be looked for yet.")


# --------------------------------------------------------------------------------------------------------- what is kept


def kept(
    plan: Evaluation,
    directory: Path | None,
    work: Callable[[dict[int, Output], np.ndarray], Iterator[Message]],
    again: bool = False,
    items: Sequence[Any] | None = None,
    more: Callable[[], dict[str, Any]] = dict,
) -> Steps:
    """Do the work that is not done yet, and score it.

    directory: where it is kept; None: nowhere. work: called with the outputs and the losses that are there already.
    items: pairs or documents that are kept with it, as they are nowhere else. more: facts that are found at the end.
    """
    with ExitStack() as held:
        before: Evaluation | None = None
        outputs: dict[int, Output] = {}
        losses = np.empty(0, dtype=np.float32)
        if directory is not None:
            store.make(directory)
            held.enter_context(store.locked(directory))
            if again:
                store.start_again(directory)
            else:
                before = _before(directory)
            if items is not None:
                store.write_data(directory, items)
            store.clip(directory)
            outputs = {n: o for n, o in store.read_outputs(directory).items() if n < plan.total or not plan.total}
            losses = store.read_losses(directory)
        job = _Job(plan if before is None else _joined(plan, before), directory, outputs, len(losses))
        try:
            if not (job.plan.state == "done" and job.is_whole):
                job.begin()
                with closing(_generator(work(outputs, losses))) as messages:
                    for message in messages:
                        yield job.take(message)
            if plan.kind == "translation":
                yield from job.score()
            facts = more()
        except BaseException:
            job.stopped()
            raise
        return job.finished(facts)


def _before(directory: Path) -> Evaluation | None:
    try:
        return store.read_evaluation(directory)
    except RunError:  # there is none, or it is broken: it is written anew
        return None


def _joined(plan: Evaluation, before: Evaluation) -> Evaluation:
    """What is asked for now, with what came out before: the same job, perhaps with other metrics."""
    results = (
        *("created", "state", "scores", "length_classes", "loss_per_token", "perplexity", "tokens", "numbers"),
        *("seconds", "tokens_written", "truncated", "overlap"),
    )
    return replace(plan, **{name: getattr(before, name) for name in results})


def _generator(messages: Iterator[Message]) -> Generator[Message, None, None]:
    yield from messages


class _Job:
    """An evaluation on its way."""

    def __init__(self, plan: Evaluation, directory: Path | None, outputs: dict[int, Output], count: int) -> None:
        self.plan, self.directory, self.outputs = plan, directory, outputs
        self.count = count  # tokens whose loss is known
        self.what = ""
        self.partial: dict[str, Any] = {}
        self._began = self._last = time.monotonic()
        self._first = len(outputs)
        self._next_scores = 0.0

    @property
    def is_whole(self) -> bool:
        if self.plan.kind == "language":
            return self.plan.loss_per_token is not None
        return len(self.outputs) == self.plan.total

    def begin(self) -> None:
        self.plan = replace(self.plan, state="stopped", done=len(self.outputs))
        self.keep()

    def take(self, message: Message) -> Progress:
        if isinstance(message, list):
            if self.directory is not None:
                store.append_outputs(self.directory, message)
            self.outputs.update({output.number: output for output in message})
        elif isinstance(message, np.ndarray):
            if self.directory is not None and self.count + len(message) <= store.MOST_LOSSES:
                store.append_losses(self.directory, message)
            self.count += len(message)
            self.plan = replace(self.plan, seconds=self.plan.seconds + time.monotonic() - self._last)
        elif isinstance(message, dict):
            if "known" in message:  # losses that are taken as they were
                self.count = self._first = message.pop("known")
                if self.directory is not None:
                    store.clip_losses(self.directory, self.count)
            self.plan = replace(self.plan, **message)
        elif isinstance(message, str):
            self.what = message
        self._last = time.monotonic()
        return self._progress(isinstance(message, list))

    def _progress(self, new: bool) -> Progress:
        translates, total = self.plan.kind == "translation", self.plan.total
        done = len(self.outputs) if translates else self.count
        if translates and new:
            self._score_partly()
        fresh = done - self._first
        left = (time.monotonic() - self._began) / fresh * (total - done) if fresh > 0 else None
        share = (DECODED if translates else LOSS) * (done / total if total else 0.0)
        return Progress(share, self.what, done, total, _plain(self.partial), left)

    def _score_partly(self) -> None:
        """Scores of what is there, when they cost little beside the rest."""
        from core.evaluate.scores import corpus_scores

        if time.monotonic() < self._next_scores:
            return
        began = time.monotonic()
        found = list(self.outputs.values())
        texts, references = [o.output for o in found], [o.reference for o in found]
        self.partial = corpus_scores(texts, references, self.plan.language, PARTIAL)
        self._next_scores = time.monotonic() + max(1.0, 20 * (time.monotonic() - began))

    def score(self) -> Iterator[Progress]:
        """Metric after metric."""
        from core.evaluate.scores import checked, corpus_scores, length_classes

        found = [self.outputs[number] for number in sorted(self.outputs)]
        texts, references, sources = ([getattr(o, name) for o in found] for name in ("output", "reference", "source"))
        language, count = self.plan.language, len(found)
        metrics = checked(texts, references, language, self.plan.request.metrics or None)
        scores = dict(self.plan.scores) if self.plan.state == "done" else {}
        for number, metric in enumerate(metrics):
            share = LOSS + (1 - LOSS) * number / (len(metrics) + 1)
            yield Progress(share, f"computing {metric}", count, count, _plain(scores))
            scores |= corpus_scores(texts, references, language, (metric,), sources)
        yield Progress(0.99, "scoring by length", count, count, _plain(scores))
        by_length = tuple(metric for metric in metrics if metric not in ("ter", "comet")) or PARTIAL
        self.plan = replace(
            self.plan,
            scores=scores,
            length_classes=tuple(length_classes(texts, references, language, by_length)),
            truncated=sum(output.truncated for output in found),
            seconds=round(sum(output.seconds for output in found), 4),
            tokens_written=sum(output.tokens for output in found),
        )

    def keep(self) -> None:
        if self.directory is not None:
            store.write_evaluation(self.directory, self.plan)

    def stopped(self) -> None:
        """Keep how far it came; what ended it is not hidden by what goes wrong here."""
        if self.plan.state == "done":  # only metrics were missing
            return
        done = len(self.outputs) if self.plan.kind == "translation" else self.count
        self.plan = replace(self.plan, done=done, scores=self.partial or self.plan.scores)
        with suppress(UserError):
            self.keep()

    def finished(self, facts: dict[str, Any]) -> Evaluation:
        plan = replace(self.plan, **facts)
        if plan.loss_per_token is not None and not math.isfinite(plan.loss_per_token):
            raise DataError(f"{plan.run} gives no numbers: its weights are broken. Train or copy it again.")
        done = len(self.outputs) if plan.kind == "translation" else plan.tokens
        self.plan = replace(plan, state="done", done=done)
        if self.directory is not None and plan.kind == "translation":
            store.write_outputs(self.directory, self.outputs)
        self.keep()
        if self.directory is not None:
            return replace(self.plan, directory=str(self.directory))
        return replace(self.plan, lines=tuple(self.outputs[number] for number in sorted(self.outputs)))


def _plain(scores: dict[str, Any]) -> dict[str, float]:
    return {name: score.score for name, score in scores.items()}
