"""An evaluation on Modal, asked for from this machine: what comes is kept and scored here, as core.evaluate does.

Imports modal when something is asked.
"""

import json
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import DataError
from core.run import default_runs_dir
from remote import names
from remote.decoding import asking
from remote.decoding.continuing import measured_here
from remote.decoding.on_modal import There, alive, method_of, one_gpu
from remote.decoding.pump import WAITING, Say, pumped
from remote.link import CloudError

if TYPE_CHECKING:
    from core.evaluate.evaluation import Message, Steps
    from core.evaluate.request import Evaluation, Output, Progress, Request
    from core.run import Run


def evaluating(
    run: There,
    request: "Request | None" = None,
    runs_dir: Path | None = None,
    gpu: str = "",
    assistant: str = "",
    keep: bool = True,
    again: bool = False,
    say: Say | None = None,
) -> "Steps":
    """`core.evaluate.evaluation.evaluating` on Modal: texts that are named here are sent along; without them the run's
    own validation data is read there. Closing it stops the work there. assistant: its name on Modal."""
    from core.evaluate.evaluation import items_of, kept
    from core.evaluate.request import Progress, Request

    request, runs_dir = request or Request(), runs_dir or default_runs_dir()
    if gpu:
        one_gpu(gpu)
    yield Progress(0.0, "reading the data")
    features = _reader(run, request, runs_dir)
    items = None if request.is_own else items_of(run, request)
    plan = _plan(run, request, items, gpu or names.DEFAULT_GPU, assistant)
    directory = _directory(run, plan.id, runs_dir) if keep else None
    plan = _with_command(plan, request, run, gpu, directory)

    asked = json.dumps(replace(request, decode=plan.decode, language=plan.language).to_dict())
    plain = [item if isinstance(item, str) else [item[0], item[1]] for item in items] if items is not None else None

    def work(known: "dict[int, Output]", losses: np.ndarray) -> "Iterator[Message]":
        measured = [losses.astype("<f4").tobytes()] if len(losses) else []
        told = _told(run, "evaluation", (asked, plain, sorted(known), assistant, *measured), gpu, say)
        return _messages(told, _data_before(directory) if items is None and (known or measured) else "")

    def more(done: "Evaluation") -> "Generator[Progress, None, dict[str, Any]]":
        facts: dict[str, Any] = {}
        if request.overlap:
            facts["overlap"] = yield from _overlap(run, request, items, done)
        if request.prompts and not run.is_translation:
            with closing(_told(run, "continuations", (asked, plain), gpu, say)) as messages:
                facts["degeneration"] = yield from measured_here(messages, request, features)
        return facts

    given = request.pairs is not None or request.documents is not None
    return (yield from kept(plan, directory, work, again, items if given else None, more))


def _reader(run: There, request: "Request", runs_dir: Path) -> "Run | None":
    """The run that reads for MAUVE, which is computed here; what is wrong with it is said before the work."""
    from core.evaluate import mauve
    from core.run import load

    if not request.mauve or not request.prompts or run.is_translation:
        return None
    features = load(request.mauve, runs_dir)
    mauve.check(features, request.prompts)
    return features


def _overlap(
    run: There, request: "Request", items: Sequence[Any] | None, done: "Evaluation"
) -> "Generator[Progress, None, dict[str, Any]]":
    """What of the data stands in the run's training data, as far as that is here: looked for here, as the model is not
    needed. items: None if the run's own validation data was read there; it is read here too, then."""
    from core.evaluate.evaluation import SCORED, items_of, overlap_of
    from core.evaluate.identity import data_sha256
    from core.evaluate.keeping import LOSS
    from core.evaluate.request import Progress

    if items is None:
        yield Progress(SCORED if run.is_translation else LOSS, "reading the data")
        try:
            items = items_of(run, request)
        except DataError as error:
            return {"summary": str(error)}
        if data_sha256(items) != done.data_sha256:
            return {
                "summary": f"The validation data of {run.name} is another one here than on Modal, so overlaps cannot "
                "be looked for here."
            }
    return (yield from overlap_of(run, items, done.total))


def _plan(run: There, request: "Request", items: Sequence[Any] | None, gpu: str, assistant: str) -> "Evaluation":
    """As `core.evaluate.evaluation.plan_of`, of weights that are elsewhere: their stamp stands for their hash."""
    from core.evaluate.evaluation import FORMAT
    from core.evaluate.identity import data_sha256, hashed
    from core.evaluate.request import Evaluation
    from core.evaluate.scores import guess_language
    from core.evaluate.windows import resolved

    translates = run.is_translation
    decode = replace(request.decode or run.config.decode, num_return_sequences=1) if translates else None
    context, stride = (0, 0) if translates else resolved(request.context, request.stride, run.config.model.max_seq_len)
    language = request.language or (run.config.data.tgt_language if translates else "")
    if translates and not language and items is not None:
        language = guess_language([item[1] for item in items])
    own = "the validation split of " + (run.config.data.src or run.config.data.name)
    own += f", the first {request.max_examples:,}" if request.max_examples else ""
    plan = Evaluation(
        id="",
        kind="translation" if translates else "language",
        run=run.name,
        created=time.time(),
        total=len(items) if translates and items is not None else 0,
        request=replace(request, pairs=None, documents=None),
        data=request.described or own,
        examples=len(items) if items is not None else 0,
        language=language,
        data_sha256=data_sha256(items) if items is not None else "",
        stamp=run.stamp,
        decode=decode,
        context=context,
        stride=stride,
        device=gpu,
        place="modal",
    )
    follows = [FORMAT, "modal", run.name, run.stamp, gpu, assistant, request.max_examples, plan.data_sha256]
    return replace(plan, id=hashed([*follows, plan.to_dict()["decode"], context, stride, language]))


def _directory(run: There, id: str, runs_dir: Path) -> Path:
    from core.evaluate.store import directory_named

    here = run.directory is not None and run.directory.parent == runs_dir.resolve()
    return directory_named(run.directory.name if here and run.directory is not None else run.name, id, runs_dir)


def _with_command(plan: "Evaluation", request: "Request", run: There, gpu: str, directory: Path | None) -> "Evaluation":
    """The command; in Python it is remote.client's function."""
    from core.evaluate.repeat import command, reading_again

    if request.pairs is not None or request.documents is not None:
        if directory is None:
            return plan
        request = reading_again(replace(plan, directory=str(directory)), given=True)
    more = ["--on=modal", *([f"--gpu={gpu}"] if gpu else [])]
    name = run.directory.name if run.directory is not None else run.name
    return replace(plan, command=command(name, replace(request, decode=plan.decode), run.config, more))


def _data_before(directory: Path | None) -> str:
    """The SHA-256 of the data that what is kept was made of; "" where that is not known."""
    from core.evaluate import store

    return store.read_evaluation(directory).data_sha256 if directory is not None else ""


def _messages(told: "Generator[dict[str, Any] | None, None, None]", data_sha256: str = "") -> "Iterator[Message]":
    """What the container tells, as core.evaluate.work does. data_sha256: of the data that is gone on with; raises
    DataError if the container has another."""
    from core.evaluate.request import Output

    yield WAITING
    with closing(told):
        for message in told:
            if message is None:
                yield None
                continue
            if "what" in message:
                yield message["what"]
            if "facts" in message:
                if data_sha256 and message["facts"].get("data_sha256", data_sha256) != data_sha256:
                    raise DataError(
                        "The validation data on Modal is another one than when this evaluation was begun: add --again."
                    )
                yield dict(message["facts"])
            if "losses" in message:
                yield np.frombuffer(message["losses"], dtype="<f4")
            if "outputs" in message:
                yield [Output(**output) for output in message["outputs"]]


def _told(
    run: There, method: str, arguments: tuple[Any, ...], gpu: str, say: Say | None
) -> "Generator[dict[str, Any] | None, None, None]":
    """The messages of a method of Writer, up to its {"end": True}; None where none has come for a second. Closing it
    stops the work there."""
    calls: list[str] = []

    def act() -> Iterator[Any]:
        for message in method_of(names.WRITER, run.name, method, gpu).remote_gen(*arguments):
            if "call" in message:
                calls.append(message["call"])
            yield message

    messages: Generator[Any, None, None] = pumped(
        act, alive, f"The run {run.name}", 1.0, asking.PATIENCE, close=lambda: asking.cancel(calls)
    )
    came = False
    try:
        with closing(messages):
            for message in messages:
                if message is None:
                    if not came and say is not None:
                        say(WAITING)
                        say = None
                    yield None
                    continue
                came = True
                if message.get("end"):
                    return
                yield message
    except KeyboardInterrupt:  # the program ends: it is told there before
        ending = threading.Thread(target=asking.cancel, args=(calls,), daemon=True)
        ending.start()
        ending.join(5)
        raise
    raise CloudError("Modal ended the work before it was done: try again, it goes on from there.")
