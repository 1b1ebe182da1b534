"""Columns as they are written, here or on Modal: what each page has asked for last, and what it has already.

On this machine one generator drives all streams in turn, a step each, so that a column's speed is measured on its own
steps and stopping takes effect within one of them. A newer request of the same page ends an older one, and what that
had finished with the same settings is not written again.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, NamedTuple

from core.decode.answers import as_plain
from core.decode.config import GenerationConfig
from core.decode.recipe import recipe_of
from core.decode.scoring import rescored
from core.errors import UserError
from core.evaluate.degeneration import measures
from core.run import Run
from playground.decoding_form import LOCAL, MODAL
from playground.models import get_run, run_stamp
from playground.tabs.decoding.there import steps_there, with_event, write_there
from playground.tabs.decoding.work import Work
from playground.views.decoding import Again, Column

REFRESH = 0.2  # seconds between two pictures of the columns: what a browser can show and still answer clicks
PAGES = 200  # pages that are remembered
STEPS = 100_000  # tokens of all pages with what else was likely: some 250 MB
LONGEST_AGAIN = 20_000  # characters of a text that is said again
ONE_ASSISTANT = "On Modal all columns share one assistant: choose that of the first assisted column."


class Wanted(NamedTuple):
    """A column that is to be written. config: None if its settings cannot be, which `problem` says."""

    title: str
    config: GenerationConfig | None
    assistant: str = ""
    problem: str = ""

    def waiting(self) -> Column:
        state = "failed" if self.problem else "writing"
        return Column(self.title, self.config, state, message=self.problem)  # type: ignore[arg-type]


@dataclass
class Board:
    """What a page has asked for: which request is its newest, whether that was stopped, and what it has of it."""

    number: int = 0
    stopped: bool = False
    columns: dict[Hashable, Column] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Tokens that are kept with what else was likely."""
        kept = [h for column in self.columns.values() for h in (column.hypothesis, *column.beams) if h is not None]
        return sum(len(hypothesis.steps) for hypothesis in kept)


class Boards:
    """The boards of all pages; the oldest are forgotten, and their columns where all have too many tokens together."""

    def __init__(self) -> None:
        self.pages: OrderedDict[str, Board] = OrderedDict()
        self.lock = Lock()

    def begin(self, page: str) -> tuple[int, dict[Hashable, Column]]:
        """The number of a new request, and what the page has already."""
        with self.lock:
            board = self.pages.pop(page, None) or Board()
            board.number, board.stopped = board.number + 1, False
            self.pages[page] = board
            while len(self.pages) > PAGES:
                self.pages.popitem(last=False)
            return board.number, dict(board.columns)

    def keep(self, page: str, number: int, columns: dict[Hashable, Column]) -> None:
        """What the page has now, and nothing else, if the request is still its newest."""
        with self.lock:
            board = self.pages.get(page)
            if board is not None and board.number == number:
                board.columns = columns
                total = sum(each.steps for each in self.pages.values())
                for oldest in self.pages.values():
                    if total <= STEPS or oldest is board:
                        break
                    total, oldest.columns = total - oldest.steps, {}

    def stop(self, page: str) -> None:
        with self.lock:
            if page in self.pages:
                self.pages[page].stopped = True

    def state(self, page: str, number: int) -> str:
        with self.lock:
            board = self.pages.get(page)
            if board is None:
                return "going"
            return "old" if board.number != number else "stopped" if board.stopped else "going"

    def forget(self, page: str) -> None:
        with self.lock:
            self.pages.pop(page, None)


boards = Boards()


def written(
    work: Work, run: Run, wanted: Sequence[Wanted], where: str, page: str, fresh: bool = False
) -> Iterator[list[Column]]:
    """All columns after each picture; those that the page has already are not written again, unless `fresh`.

    The last picture has every column done, failed, or stopped at the step at which somebody stopped it.
    """
    number, had = boards.begin(page)
    keys: list[Hashable] = [(run_stamp(run), work.text, repr(one.config), one.assistant, where) for one in wanted]
    known = {} if fresh else had
    columns = [replace(known[key], title=one.title) if key in known else one.waiting()
               for key, one in zip(keys, wanted, strict=True)]  # fmt: skip
    open_places = [place for place, column in enumerate(columns) if column.state == "writing"]

    def ask() -> str:
        return boards.state(page, number)

    def keep() -> None:
        ended = {key: column for key, column in zip(keys, columns, strict=True)
                 if column.state in ("done", "stopped") and column.hypothesis is not None}  # fmt: skip
        boards.keep(page, number, ended)

    keep()
    if not open_places:
        yield list(columns)
        return
    chosen = [wanted[place] for place in open_places]
    seen: dict[int, Column] = {}
    for picture in _there(work, chosen, ask) if where == MODAL else _here(run, work.text, chosen, ask):
        for place, column in zip(open_places, picture, strict=True):
            if seen.get(place) is not column:
                seen[place], columns[place] = column, ended(column, work, run, wanted[place], where)
        keep()
        yield list(columns)


def ended(column: Column, work: Work, run: Run, wanted: Wanted, where: str = LOCAL) -> Column:
    """The column with its measures, its log-probabilities by teacher forcing, and how to make it again, if it has
    ended. where: what Modal has written is not read here again."""
    if column.hypothesis is None or column.state not in ("done", "stopped") or column.measures is not None:
        return column
    config = column.config
    if column.generation is not None and where != MODAL:
        generation = rescored(run, column.generation)
        beams = generation.hypotheses if column.beams else column.beams
        column = replace(column, generation=generation, hypothesis=generation.best, beams=beams)
    drawn = config is not None and config.draws and not config.reranks
    assert column.hypothesis is not None
    column = replace(column, measures=measures(list(column.beams) if drawn and column.beams else [column.hypothesis]))
    if column.generation is None or config is None or len(work.text) > LONGEST_AGAIN:
        return column
    recipe = replace(recipe_of(run, work.text, config, wanted.assistant), model=work.model)
    result = as_plain(column.generation)
    again = Again(recipe.as_python(), recipe.as_command(run.config.decode), recipe.to_json(result))
    return replace(column, again=again)


# ------------------------------------------------------------------------------------------------ this machine


def _here(run: Run, text: str, wanted: list[Wanted], ask: Callable[[], str]) -> Iterator[list[Column]]:
    streams = [stream_of(run, text, one) for one in wanted]
    return write_here(streams, [one.waiting() for one in wanted], ask)


def stream_of(run: Run, text: str, wanted: Wanted) -> Generator[Any, None, None]:
    """A column's events; nothing is done before the first is asked for, so that its errors are its own."""
    from core.decode import stream

    assert wanted.config is not None
    helper = get_run(wanted.assistant) if wanted.config.strategy == "assisted" else None
    yield from stream(run, text, wanted.config, trace=True, assistant=helper)


def write_here(
    streams: list[Generator[Any, None, None]], columns: list[Column], ask: Callable[[], str]
) -> Iterator[list[Column]]:
    """All columns after each picture; the last one when all are done, or at the step at which it was stopped."""
    shown = 0.0
    while any(column.state == "writing" for column in columns):
        for place, events in enumerate(streams):
            if columns[place].state != "writing":
                continue
            said = ask()
            if said != "going":
                for each in streams:
                    each.close()
                if said == "stopped":
                    yield [replace(c, state="stopped") if c.state == "writing" else c for c in columns]
                return
            columns[place] = _advance(columns[place], events)
        if time.monotonic() - shown >= pause(columns):
            shown = time.monotonic()
            yield list(columns)
    yield list(columns)


def pause(columns: Sequence[Column]) -> float:
    """Seconds until the next picture: the longer the texts, the longer a browser takes to show them."""
    tokens = sum(len(column.hypothesis.ids) for column in columns if column.hypothesis is not None)
    return REFRESH * (1 + tokens / 300)


def _advance(column: Column, events: Iterator[Any]) -> Column:
    """One more step of one column."""
    began = time.perf_counter()
    try:
        event = next(events, None)
    except UserError as error:  # of this column's settings; the others go on
        return replace(column, state="failed", message=str(error))
    column = replace(column, seconds=column.seconds + time.perf_counter() - began)
    return with_event(column, event) if event is not None else replace(column, state="done")


# ------------------------------------------------------------------------------------------------------- Modal


def _there(work: Work, wanted: list[Wanted], ask: Callable[[], str]) -> Iterator[list[Column]]:
    """One container writes all of them."""
    helpers = [one.assistant for one in wanted if one.config is not None and one.config.strategy == "assisted"]
    columns = [one.waiting() for one in wanted]
    for place, one in enumerate(wanted):
        if helpers and one.assistant not in ("", helpers[0]):
            columns[place] = replace(columns[place], state="failed", message=ONE_ASSISTANT)
    places = [place for place, column in enumerate(columns) if column.state == "writing"]
    if not places:
        yield columns
        return
    configs = [config for place in places if (config := wanted[place].config) is not None]
    steps = steps_there(work.model, work.text, configs, helpers[0] if helpers else work.model, REFRESH)
    for picture in write_there(steps, [columns[place] for place in places], ask, REFRESH):
        for place, column in zip(places, picture, strict=True):
            columns[place] = column
        yield list(columns)
