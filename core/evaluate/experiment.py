"""The degeneration experiment (Holtzman et al., 2020) on one's own model: many prompts, many strategies, beside what
people wrote.

    cases = cases_from_text(run, text, count=20)
    for progress in experiment(run, cases, default_columns()): print(progress.title, progress.share)
    progress.columns[0].measures

Closing the iterator stops the work within a step; what there is until then is in the last Progress.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from core.decode.config import GenerationConfig
from core.decode.presets import PRESETS
from core.decode.result import Hypothesis
from core.decode.scoring import score_ids
from core.decode.search import BATCH_ROWS, input_ids, stream_ids
from core.errors import DataError, TextError
from core.evaluate.degeneration import Measures, measures, probability_curve

if TYPE_CHECKING:
    from core.run import Run

HUMAN = "Human"
WORD_STARTS = (b" ", b"\n", b"\t")
SEEK = 30  # tokens that are passed over to begin a prompt with a word


@dataclass(frozen=True)
class Case:
    """A prompt or source, and what a person wrote behind it or translated it to."""

    prompt: str
    ids: list[int]  # as the model gets it
    human: list[int] = field(default_factory=list)  # ids; empty: not known
    reference: str = ""  # the same as text


@dataclass(frozen=True)
class ColumnResult:
    """What one strategy wrote, a hypothesis for each case, and its measures. config None: people."""

    title: str
    config: GenerationConfig | None
    hypotheses: list[Hypothesis]
    measures: Measures
    curve: list[float]  # the model's mean probability of the token at each place
    seconds: float


@dataclass(frozen=True)
class Progress:
    """How far it is. `columns`: the finished ones; `finish` adds the one that is being written."""

    columns: list[ColumnResult]
    title: str  # of the column that is being written
    done: int  # its cases that are done
    total: int  # cases of a column
    tokens: int  # written in it, as far as its cases are done
    share: float  # of all the work, 0 to 1
    finish: Callable[[], list[ColumnResult]] = field(repr=False, compare=False)


def default_columns() -> list[tuple[str, GenerationConfig]]:
    """Strategies like those of the paper's table 1."""
    names = ("greedy", "beam", "pure-sampling", "temperature", "top-k", "top-p", "typical")
    return [(PRESETS[name].title, PRESETS[name].config) for name in names]


def cases_from_text(
    run: "Run", text: str, count: int = 20, prompt_tokens: int = 32, new_tokens: int = 100
) -> list[Case]:
    """Prompts at even distances in a text, each with the tokens that follow it there; fewer where the text is short.

    For models that continue texts. Prompts begin with a word where one is near. Raises DataError for a text that is too
    short for one.
    """
    if run.is_translation:
        raise DataError(f"{run.name} translates: give sources and their translations, line by line.")
    prompt_tokens = max(1, min(prompt_tokens, run.config.model.max_seq_len - new_tokens - 1))
    ids, size = run.tokenizer.encode(text).ids, prompt_tokens + new_tokens
    if len(ids) < size:
        raise DataError(
            f"The text has {len(ids):,} tokens; a prompt of {prompt_tokens:,} and {new_tokens:,} behind it need "
            f"{size:,}: give a longer text, or ask for less."
        )
    count = max(1, min(count, len(ids) // size))
    cases = []
    for number in range(count):
        start = number * len(ids) // count
        last = min(start + SEEK, (number + 1) * len(ids) // count - size)
        start = next((at for at in range(start, last + 1) if at == 0 or _begins_word(run, ids[at])), start)
        prompt, human = ids[start : start + prompt_tokens], ids[start + prompt_tokens : start + size]
        decode = run.tokenizer.decode
        cases.append(Case(decode(prompt), run.model.prompt_ids(prompt), human, decode(human)))
    return cases


def cases_from_prompts(run: "Run", prompts: Sequence[str], references: Sequence[str] = ()) -> list[Case]:
    """Prompts, or sources with their translations. Raises DataError where they do not go together."""
    if references and len(references) != len(prompts):
        raise DataError(f"There are {len(prompts):,} texts but {len(references):,} references: give one for each.")
    cases = []
    for number, prompt in enumerate(prompts):
        ids = input_ids(run, prompt)
        if ids is None:
            raise DataError(f"Text {number + 1} is empty: there is nothing to translate.")
        reference, human = references[number] if references else "", []
        if reference and run.is_translation:
            human = [*run.tokenizer.for_target().encode(reference).ids, run.model.eos_id]
        elif reference:
            human = run.tokenizer.encode(reference).ids
        cases.append(Case(prompt, ids, human, reference))
    return cases


def experiment(
    run: "Run",
    cases: Sequence[Case],
    columns: Sequence[tuple[str, GenerationConfig]],
    new_tokens: int = 100,
    assistant: "Run | None" = None,
) -> Generator[Progress, None, None]:
    """Every column on every case, people first where they are known; a Progress after each step.

    Each column has one result a case, and new_tokens for it at most; all else is as its settings say. assistant: of
    columns that decode assisted. Raises DataError without cases; errors of a column's settings are raised when its turn
    comes.
    """
    if not cases:
        raise DataError("There are no prompts: type some, or choose a text to take them from.")
    human = all(case.human for case in cases)
    parts = len(columns) + human
    finished: list[ColumnResult] = []
    if human:
        finished.append(_people(run, cases))
        yield Progress(list(finished), HUMAN, len(cases), len(cases), 0, 1 / parts, lambda: finished)
    for title, config in columns:
        config = replace(config, max_new_tokens=new_tokens, min_new_tokens=min(config.min_new_tokens, new_tokens))
        config = replace(config, num_return_sequences=1)
        writing = _Writing(run, cases, title, config)
        before = len(finished)
        for done in writing.steps(assistant if config.strategy == "assisted" else None):
            share = (before + done / len(cases)) / parts
            tokens = sum(len(found.ids) for found in writing.found.values())
            yield Progress(list(finished), title, done, len(cases), tokens, share, writing.after(finished))
        finished.append(writing.result())
        yield Progress(
            list(finished), title, len(cases), len(cases), finished[-1].measures.tokens, (before + 1) / parts,
            lambda: finished,
        )  # fmt: skip


class _Writing:
    """One column on its way."""

    def __init__(self, run: "Run", cases: Sequence[Case], title: str, config: GenerationConfig) -> None:
        self.run, self.cases, self.title, self.config = run, cases, title, config
        self.found: dict[int, Hypothesis] = {}
        self.seconds, self.passes = 0.0, 0

    def steps(self, assistant: "Run | None") -> Iterator[int]:
        """After each step the number of cases that are done."""
        run, tokenizer = self.run, self.run.tokenizer
        together = max(1, BATCH_ROWS // self.config.rows)
        for start in range(0, len(self.cases), together):
            batch = [case.ids for case in self.cases[start : start + together]]
            # Texts are made at the end; on the way only what ends or ranks by them needs them.
            by_text = bool(self.config.stop_strings) or self.config.strategy == "mbr"
            events = stream_ids(
                run.model, batch, self.config, tokenizer=tokenizer if by_text else None,
                assistant=assistant.model if assistant is not None else None,
            )  # fmt: skip
            with closing(events):
                while True:
                    began = time.perf_counter()
                    event = next(events, None)
                    self.seconds += time.perf_counter() - began
                    if event is None:
                        break
                    if event.generation is not None:
                        best = event.generation.best
                        ids = best.ids[:-1] if best.finish_reason == "end" else best.ids
                        self.found[start + event.row] = best if by_text else replace(best, text=tokenizer.decode(ids))
                        self.passes += event.generation.forward_passes
                    yield len(self.found)

    def result(self) -> ColumnResult:
        """Of the cases that are done, in their order."""
        places = sorted(self.found)
        hypotheses = [self.found[place] for place in places]
        references = [self.cases[place].reference for place in places] if self.run.is_translation else []
        measured = measures(
            hypotheses, self.seconds, self.passes, references if all(references) else None,
            self.run.config.data.tgt_language if self.run.is_translation else "",
        )  # fmt: skip
        return ColumnResult(self.title, self.config, hypotheses, measured, probability_curve(hypotheses), self.seconds)

    def after(self, finished: list[ColumnResult]) -> Callable[[], list[ColumnResult]]:
        columns = list(finished)
        return lambda: [*columns, self.result()] if self.found else columns


def _people(run: "Run", cases: Sequence[Case]) -> ColumnResult:
    """What people wrote, by the model's judgement."""
    hypotheses = []
    for case in cases:
        ids, room = case.human, run.model.max_seq_len - (1 if run.is_translation else len(case.ids))
        if room < 1:
            raise TextError(f"A prompt of {len(case.ids):,} tokens leaves no room in the model's context: shorten it.")
        ids = ids[:room]
        logprobs = score_ids(run, case.ids, ids)
        reason = "end" if ids and ids[-1] == run.model.eos_id else "length"
        text = case.reference if len(ids) == len(case.human) else run.tokenizer.decode(ids)
        hypotheses.append(Hypothesis(ids, logprobs, sum(logprobs), reason == "end", reason, text))  # type: ignore[arg-type]
    return ColumnResult(HUMAN, None, hypotheses, measures(hypotheses), probability_curve(hypotheses), 0.0)


def _begins_word(run: "Run", token: int) -> bool:
    return run.tokenizer.token_bytes(token).startswith(WORD_STARTS)
