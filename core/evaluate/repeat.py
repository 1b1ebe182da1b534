"""How an evaluation is done again: a line for the shell, and the same in Python."""

import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.decode.config import GenerationConfig
from core.decode.recipe import options
from core.evaluate.request import Evaluation, Request
from core.evaluate.store import DATA
from core.hub import is_hub_name
from core.run import BUNDLED, default_runs_dir

if TYPE_CHECKING:
    from core.config import RunConfig
    from core.run import Run

_OPTIONS = (
    *("data", "src", "ref", "text_column", "src_column", "tgt_column", "split", "max_examples", "language"),
    *("assistant", "context", "stride", "device", "precision", "prompts", "mauve"),
)


def with_command(plan: Evaluation, request: Request, run: "Run", runs_dir: Path, directory: Path | None) -> Evaluation:
    """The evaluation with its command and its Python. Texts that were given are read where they are kept with it
    (`directory`); where they are not, nothing does it again."""
    name = name_of(run, runs_dir)
    plan = replace(plan, loads=name)
    if request.pairs is not None or request.documents is not None:
        if directory is None:
            return plan
        request = _read_from(directory, request, run.is_translation)
    request = replace(request, decode=plan.decode)
    more = [] if runs_dir.resolve() == default_runs_dir().resolve() else [f"--runs-dir={runs_dir}"]
    return replace(
        plan, command=command(name, request, run.config, more), python=python(name, request, run.config, runs_dir)
    )


def reading_again(evaluation: Evaluation, given: bool = False) -> Request:
    """The request that reads the same data once more. given: texts that are about to be kept with it."""
    directory = Path(evaluation.directory)
    if evaluation.directory and (given or (directory / DATA).is_file()):
        return _read_from(directory, evaluation.request, evaluation.kind == "translation")
    return evaluation.request


def _read_from(directory: Path, request: Request, translates: bool) -> Request:
    names: dict[str, Any] = {"text_column": "text"}
    if translates:
        names = {"src_column": "source", "tgt_column": "reference"}
    return replace(
        request, pairs=None, documents=None, data=str(directory / DATA), title="", split="", max_examples=0,
        as_given=True, **names,
    )  # fmt: skip


def name_of(run: "Run", runs_dir: Path) -> str:
    """What `core.load` opens the run by."""
    named = is_hub_name(run.name) or run.directory.resolve().parent in (runs_dir.resolve(), BUNDLED.resolve())
    return run.name if named else str(run.directory)


def command(name: str, request: Request, config: "RunConfig", more: list[str]) -> str:
    """`llm-scratch eval` with what differs from the run's own settings. more: options that are added."""
    words = ["llm-scratch", "eval", f"--run={name}", *more]
    for option in _OPTIONS:
        value = getattr(request, option)
        if value != getattr(Request(), option):
            words.append(f"--{option.replace('_', '-')}={value}")
    words += ["--as-given"] if request.as_given else []
    words += ["--metrics=" + ",".join(request.metrics)] if request.metrics else []
    words += ["--overlap"] if request.overlap else []
    words += ["--strategies=" + ",".join(request.strategies)] if request.strategies else []
    words += [f"--max-new-tokens={request.new_tokens}"] if request.prompts else []
    if request.decode is not None:
        words += options(request.decode, replace(config.decode, num_return_sequences=1))
    return shlex.join(words)


def python(name: str, request: Request, config: "RunConfig", runs_dir: Path) -> str:
    """A script that prints the scores."""
    folder = "" if runs_dir.resolve() == default_runs_dir().resolve() else f", Path({str(runs_dir)!r})"
    given = ", ".join(
        f"{f.name}=config" if f.name == "decode" else f"{f.name}={getattr(request, f.name)!r}"
        for f in fields(Request)
        if getattr(request, f.name) != getattr(Request(), f.name)
    )
    lines = ["from pathlib import Path\n"] if folder else []
    lines += ["from core import load", "from core.evaluate.evaluation import Request, measured"]
    if request.decode is not None:
        lines.insert(-1, "from core.decode import GenerationConfig")
        lines += ["", f"config = GenerationConfig({_settings(request.decode)})"]
    lines += [
        "", f"evaluation = measured(load({name!r}{folder}), Request({given}){folder})",
        "print(evaluation.scores, evaluation.loss_per_token, evaluation.numbers)",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _settings(config: GenerationConfig) -> str:
    usual: Any = GenerationConfig()
    names = [f.name for f in fields(GenerationConfig) if getattr(config, f.name) != getattr(usual, f.name)]
    return ", ".join(f"{name}={getattr(config, name)!r}" for name in names)
