"""An evaluation on its way: outputs are kept as they come, and scored at the end; what is there is gone on with.

Who does the work, this machine or another, only yields messages; see core.evaluate.work.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DataError, RunError, UserError
from core.evaluate import store
from core.evaluate.request import Evaluation, Output, Progress

PARTIAL = ("bleu", "chrf")  # scores of what is done so far
DECODED, LOSS = 0.9, 0.95  # shares of the work: decoding ends, the loss is measured, scores are computed
# Outputs, losses of further tokens, facts to be kept, what is done now, or nothing new after a step.
Message = list[Output] | np.ndarray | dict[str, Any] | str | None
Steps = Generator[Progress, None, Evaluation]


def kept(
    plan: Evaluation,
    directory: Path | None,
    work: Callable[[dict[int, Output], np.ndarray], Iterator[Message]],
    again: bool = False,
    items: Sequence[Any] | None = None,
    more: Callable[[Evaluation], Generator[Progress, None, dict[str, Any]]] | None = None,
) -> Steps:
    """Do the work that is not done yet, and score it.

    directory: where it is kept; None: nowhere. work: called with the outputs and the losses that are there already.
    items: pairs or documents that are kept with it, as they are nowhere else. more: finds further facts at the end.
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
            facts = (yield from more(job.plan)) if more is not None else {}
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
    results: tuple[str, ...] = (
        *("created", "state", "scores", "length_classes", "loss_per_token", "perplexity", "tokens", "numbers"),
        *("seconds", "tokens_written", "truncated", "overlap", "degeneration"),
    )
    if plan.place == "modal":  # and what only the container could tell
        results += ("total", "examples", "language", "device", "precision", "software")
        results += ("data_sha256", "weights_sha256", "tokenizer_sha256", "assistant_sha256")
    joined = replace(plan, **{name: getattr(before, name) for name in results})
    if plan.kind == "language" and plan.language != before.language:  # which tells what a word is: figures made anew
        return replace(joined, state="stopped", loss_per_token=None)
    return joined


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
            if "total" in message:  # what a killed process has left tells of how many
                self.keep()
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
