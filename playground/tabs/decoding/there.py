"""The Decoding tab's columns from Modal: one container writes all of them, and they grow as it tells."""

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

from core.decode.config import GenerationConfig
from core.errors import UserError
from playground.views.decoding import Column


def with_event(column: Column, event: Any) -> Column:
    config = column.config
    assert config is not None
    generation = event.generation
    if generation is not None:
        several = config.searches_beams or config.reranks or len(generation.hypotheses) > 1
        return replace(
            column, state="done", hypothesis=generation.best, beams=generation.hypotheses if several else [],
            generation=replace(generation, trace=[]),
        )  # fmt: skip
    if config.draws and not config.reranks and config.num_paths > 1:
        samples = list(column.beams)
        samples[event.sample : event.sample + 1] = [event.hypothesis]
        return replace(column, hypothesis=samples[0], beams=samples)
    if event.sample:  # of several samples the first is shown until one is chosen
        return column
    return replace(column, hypothesis=event.hypothesis, beams=event.beams)


def steps_there(
    model: str, text: str, configs: list[GenerationConfig], assistant: str, tick: float
) -> Generator[Any, None, None]:
    """Steps of all columns from Modal (remote.decoding.asking.Step); None now and then, where there is nothing new."""
    from remote.client import columns

    yield from columns(model, text, configs, assistant=assistant, tick=tick)


def write_there(
    steps: Generator[Any, None, None], columns: list[Column], ask: Any, refresh: float
) -> Iterator[list[Column]]:
    """All columns after each picture, which are `refresh` seconds apart or more. While no step has come, a container
    starts. ask: "going", "stopped" or "old" (there is a newer request)."""
    from remote.client import WAITING

    columns = [replace(column, state="writing", note=f"{WAITING[0].upper()}{WAITING[1:]}.") for column in columns]
    yield columns
    shown, changed = time.monotonic(), False
    try:
        for step in steps:
            said = ask()
            if said != "going":
                if said == "stopped":
                    yield [_stopped(c) if c.state == "writing" else c for c in columns]
                return
            if step is not None:
                column = replace(columns[step.column], seconds=step.seconds)
                if isinstance(step.event, str):
                    column = replace(column, state="failed", message=step.event)
                else:
                    column = with_event(column, step.event)
                columns = [replace(c, note="") for c in columns]
                columns[step.column] = column
                changed = True
            if changed and time.monotonic() - shown >= refresh:
                shown, changed = time.monotonic(), False
                yield columns
        yield [replace(c, state="done", note="") if c.state == "writing" else c for c in columns]
    except UserError as error:  # of all columns: what is written stands
        yield [replace(c, state="failed", note="", message=str(error)) if c.state == "writing" else c for c in columns]
    finally:
        steps.close()


def _stopped(column: Column) -> Column:
    note = "" if column.hypothesis is not None else "Stopped by you before anything was written."
    return replace(column, state="stopped", note=note)
