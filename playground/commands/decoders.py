"""Who decodes for the command line: this machine, or Modal. Both answer the same questions with the same values."""

import json
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from core.config import RunConfig
from core.decode.config import GenerationConfig
from core.errors import ConfigError, RunError, TextError
from playground.commands.decode_settings import decode_config
from playground.commands.output import download_progress, say

if TYPE_CHECKING:
    from core.decode import Generation, StreamEvent
    from core.run import Run
    from core.tokenizer import Tokenizer

TOGETHER = 10.0  # seconds of work on a file after which what is done is kept
MOST_TASKS = 32  # of a file at once
Answer = dict[str, Any]  # see core.decode.answers
Tasks = Iterator[tuple[int, list[str]]]


class Decoder(Protocol):
    """A run with settings. place: what results say of where they were made; nothing of this machine."""

    name: str
    config: GenerationConfig
    place: dict[str, str]
    language: str  # of translations, where it is known
    lines: int  # of a file that are decoded together

    def open(self) -> None:
        """Read what is needed now, so that the first answer comes at once."""

    def check(self, texts: Sequence[str]) -> None:
        """Before any work: TextError for a text that does not fit, and that must not be cut."""

    def answers(self, texts: Sequence[str], together: int) -> Iterator[Answer]:
        """With all hypotheses, and with --trace their steps, in order, as they come. Raises what is wrong with a
        text."""

    def stream(self, text: str) -> Iterator["StreamEvent"]: ...

    def mapper(self, tasks: Tasks) -> Iterable[tuple[int, list[Answer] | Exception]]:
        """For remote.decoding.shards."""

    def key(self) -> str:
        """Equal for what gives the same results."""


def decoder_of(args: Namespace, what: str) -> Decoder:
    """what: "translation" or "continuation"; a run that does the other is refused."""
    check_place(args)
    return _Cloud(args, what) if args.on == "modal" else _Local(args, what)


def check_place(args: Namespace) -> None:
    """Raises ConfigError for options of the other place."""
    if args.on == "modal" and (args.device != "cpu" or args.precision != "auto"):
        raise ConfigError("--device and --precision are for this machine; for Modal choose a GPU, such as --gpu L4.")
    if args.on != "modal" and args.gpu:
        raise ConfigError("--gpu is for Modal: add --on modal, or use --device cuda for a GPU of this machine.")


def open_assistant(args: Namespace, config: GenerationConfig) -> "Run | None":
    """The run of --assistant, to compute where and as the run itself does."""
    from core.run import load

    _need_assistant(args, config)
    return load(args.assistant, args.runs_dir).use(args.device, args.precision) if args.assistant else None


def assistant_there(args: Namespace, config: GenerationConfig) -> str:
    """The name of --assistant on Modal; empty if there is none."""
    from remote.client import there

    _need_assistant(args, config)
    return there(args.assistant, args.runs_dir).name if args.assistant else ""


def _need_assistant(args: Namespace, config: GenerationConfig) -> None:
    if config.strategy == "assisted" and not args.assistant:
        raise ConfigError("Assisted decoding needs --assistant NAME: a smaller run with the same tokenizer.")


def _check_kind(name: str, config: RunConfig, what: str) -> None:
    translates = config.model.family == "transformer"
    if translates != (what == "translation"):
        other = "translate" if translates else "generate"
        raise RunError(f"{name} is made to {other}: use `llm-scratch {other} --run {name}`.")


class _Local:
    place: dict[str, str] = {}
    lines = 256

    def __init__(self, args: Namespace, what: str) -> None:
        from core.run import load

        self.run = load(args.run, args.runs_dir, download_progress(args))
        self.name, self.args, self.language = self.run.name, args, self.run.config.data.tgt_language
        _check_kind(self.name, self.run.config, what)
        self.config = decode_config(self.run.config, args)
        self.run.use(args.device, args.precision)
        self.assistant = open_assistant(args, self.config)

    def open(self) -> None:
        self.run.model  # noqa: B018 - it is read when it is first used

    def check(self, texts: Sequence[str]) -> None:
        from core.decode.answers import check_text

        for number, text in enumerate(texts if not self.args.truncate else (), start=1):
            check_text(self.run, text, name=f"Text {number}")

    def answers(self, texts: Sequence[str], together: int) -> Iterator[Answer]:
        from core.decode import generate

        for start in range(0, len(texts), together):
            batch = texts[start : start + together]
            for generation in generate(self.run, batch, self.config, self.args.trace, assistant=self.assistant):
                yield _answer(generation, self.config, self.args.trace, self.run.tokenizer)

    def stream(self, text: str) -> Iterator["StreamEvent"]:
        from core.decode import stream

        self.check([text])
        return stream(self.run, text, self.config, assistant=self.assistant)

    def mapper(self, tasks: Tasks) -> Iterable[tuple[int, list[Answer] | Exception]]:
        """So many tasks at once as take about TOGETHER seconds: the more lines, the better they are sorted by length,
        and the more is lost when it is stopped."""
        from core.decode.answers import answers

        most = 1
        while group := list(islice(tasks, most)):
            texts, began = [text for _, lines in group for text in lines], time.monotonic()
            try:
                found = iter(
                    answers(self.run, texts, self.config, self.args.truncate, self.assistant, many=True)
                )  # fmt: skip
            except ConfigError:  # of the settings: no other line would do
                raise
            except Exception as error:
                yield from ((number, error) for number, _ in group)
                continue
            yield from ((number, list(islice(found, len(lines)))) for number, lines in group)
            lasted = max(time.monotonic() - began, 1e-3) / len(group)
            most = min(MOST_TASKS, max(1, int(TOGETHER / lasted)))

    def key(self) -> str:
        from playground.models import run_stamp

        runs = [run_stamp(run) for run in (self.run, self.assistant) if run is not None]
        return _key(self.config, [runs, self.args.truncate, self.args.device, self.args.precision])


class _Cloud:
    place = {"place": "modal"}
    lines = 512

    def __init__(self, args: Namespace, what: str) -> None:
        from remote.client import there

        self.run = there(args.run, args.runs_dir)
        self.name, self.args, self.language = self.run.name, args, self.run.config.data.tgt_language
        _check_kind(self.name, self.run.config, what)
        self.config = decode_config(self.run.config, args)
        self.assistant = assistant_there(args, self.config)
        self.options = {
            "gpu": args.gpu or "", "truncate": args.truncate, "assistant": self.assistant,
            "say": None if args.json else say,
        }  # fmt: skip

    def open(self) -> None:
        """A container is started by the first text, when there is one."""

    def check(self, texts: Sequence[str]) -> None:
        """The tokenizer is there."""

    def answers(self, texts: Sequence[str], together: int) -> Iterator[Answer]:
        from remote.client import written

        if self.args.trace:  # with its steps a text comes as a stream
            for text in texts:
                generation = next(event.generation for event in self.stream(text) if event.generation is not None)
                yield _answer(generation, self.config, True)
            return
        with closing(written(self.run, texts, self.config, **self.options)) as found:
            for number, answer in enumerate(found, start=1):
                if "error" in answer:
                    said = answer["error"]
                    raise TextError(f"Text {number}: {said}" if len(texts) > 1 else said)
                yield answer

    def stream(self, text: str) -> Iterator["StreamEvent"]:
        from remote.client import stream

        given = {name: self.options[name] for name in ("gpu", "assistant", "say")}
        return stream(self.name, text, self.config, runs_dir=self.args.runs_dir, **given)

    def mapper(self, tasks: Tasks) -> Iterable[tuple[int, list[Answer] | Exception]]:
        from remote.client import mapper

        return mapper(self.run, self.config, containers=self.args.containers, **self.options)(tasks)

    def key(self) -> str:
        return _key(self.config, ["modal", self.run.name, self.run.stamp, self.args.truncate, self.assistant])


def _answer(
    generation: "Generation", config: GenerationConfig, trace: bool, tokenizer: "Tokenizer | None" = None
) -> Answer:
    from core.decode.answers import as_plain, traced

    return {**as_plain(generation), **(traced(generation, config, tokenizer) if trace else {})}


def _key(config: GenerationConfig, others: list[Any]) -> str:
    from core.decode.answers import one_result

    return json.dumps([asdict(one_result(config)), others], default=str, sort_keys=True)
