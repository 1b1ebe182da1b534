"""Looking into a model: what a reading, a survey of all heads and a change of head take, and what is sent for a view.

The model has GPT-2 small's layers (12, of 12 heads, 768 wide) with random weights, and a vocabulary of 2,259 tokens: a
smaller one makes the plain forward pass, which a reading is compared with, quicker. Memory is measured in processes of
their own.
"""

import functools
import importlib.util
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Row, against, best_rates

LENGTHS = (512, 1_024)
BERTVIZ_ROOM = 10 * 2**30  # bytes that must be free for BertViz's view of 512 tokens
SMALLER = 128  # tokens that it is asked for otherwise
MEGABYTE = 1e6


@functools.cache
def gpt2_run() -> Any:
    """The model as a run, without files."""
    import torch

    from core.config import ModelConfig, RunConfig
    from core.model import build_model
    from core.run import Run
    from tests.benchmarks.tokenizer import pair

    tokenizer, _ = pair()
    torch.manual_seed(0)
    shape = ModelConfig(
        family="gpt", vocab_size=tokenizer.vocab_size, d_model=768, n_layers=12, n_heads=12, max_seq_len=1_024
    )
    run = Run("gpt2-shaped", RunConfig(model=shape), tokenizer, Path("gpt2-shaped"))
    run.model = build_model(shape).eval().pack()
    return run


def token_ids(length: int) -> list[int]:
    from tests.benchmarks.tokenizer import some_text

    run = gpt2_run()
    return run.model.prompt_ids(run.tokenizer.encode(some_text(20_000)).ids)[:length]  # type: ignore[no-any-return]


def plain(ids: list[int]) -> None:
    """What a reading computes, without a trace."""
    import torch

    model = gpt2_run().model
    with torch.inference_mode():
        model.logits(model.hidden(torch.tensor([ids]))[:, -1:]).argmax()


def readings() -> list[Row]:
    """A reading against a plain forward pass; what it keeps against all attention probabilities."""
    from core.analysis.reading import read_ids

    run, rows = gpt2_run(), []
    for length in LENGTHS:
        ids = token_ids(length)
        rows += against(
            f"read {length:,} tokens, traced", "tokens/s", length,
            lambda ids=ids: read_ids(run, ids), [("untraced", lambda ids=ids: plain(ids))],
        )  # fmt: skip
        reading = read_ids(run, ids)
        model = run.config.model
        maps = model.n_layers * model.n_heads * length**2 * 4
        rows.append(
            Row(
                f"... what it keeps, {length:,}", "MB", reading.nbytes / MEGABYTE, maps / MEGABYTE, "all attention maps"
            )
        )
        if grown := grows(length):
            note = f"more than before; a plain forward pass {grown['plain']:,.0f}"
            rows.append(Row(f"... memory at its peak, {length:,}", "MB", grown["reading"], note=note))
    return rows


def heads() -> list[Row]:
    """All heads at a glance, then one after the other, as the page asks for them."""
    from core.analysis.reading import read_ids
    from core.analysis.survey import survey

    run, rows = gpt2_run(), []
    for length in LENGTHS:
        reading = read_ids(run, token_ids(length))
        (rate,) = best_rates(1, lambda reading=reading: survey(reading, "self"))
        grown = grows(length)
        note = f"{grown['survey']:,.0f} MB more at its peak" if grown else ""
        rows.append(Row(f"survey of 144 heads, {length:,}", "ms", 1e3 / rate, note=note))
    return rows


def views() -> list[Row]:
    """What the server does, and what it sends, when another head is chosen, and when the tab is opened. The peer is
    BertViz's head view (its model view has the same numbers in it): all attention as decimal numbers in one page."""
    from core.analysis.head_scores import SCORES
    from core.analysis.reading import read_ids
    from core.analysis.survey import survey
    from playground.views.attention import Place, heads_spec, lines_spec, map_spec

    run, rows, peer = gpt2_run(), [], _bertviz_payload()
    for length in LENGTHS:
        reading = read_ids(run, token_ids(length))
        names = reading.names

        def head(layer: int, head: int, reading: Any = reading, names: list[str] = names) -> str:
            place = Place("self", layer, head, 12, 12)
            return map_spec(reading.attention("self", layer, head), names, names, "self", place.title, place.file_name)

        places = itertools.cycle((layer, head) for head in range(12) for layer in range(12))
        (rate,) = best_rates(1, lambda head=head, places=places: head(*next(places)), rounds=24)
        slowest = max(_seconds(lambda head=head, place=place: head(*place)) for place in itertools.islice(places, 24))
        grid = heads_spec(survey(reading, "self"), SCORES, "All heads")
        lines = lines_spec(reading.layer_attention("self", 0), names, names, "self", 0, 12, 0, "Layer 1")
        one, opened = len(head(0, 0).encode()), len(grid.encode()) + len(head(0, 0).encode())
        rows += [
            Row(f"switch head, {length:,} tokens", "ms", 1e3 / rate, note=f"the slowest of 24: {1e3 * slowest:.0f}"),
            Row("... sent for that head", "MB", one / MEGABYTE),
            Row("... sent for a layer's lines", "MB", len(lines.encode()) / MEGABYTE),
            Row(
                "... sent for all heads and one", "MB", opened / MEGABYTE, *(peer if length == LENGTHS[0] else ()),
                note="" if length != LENGTHS[0] or peer else "`pip install bertviz` to compare",
            ),
        ]  # fmt: skip
    return rows


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _bertviz_payload() -> tuple[float, str] | tuple[()]:
    """Megabytes that BertViz sends for LENGTHS[0] tokens, and how that is known; nothing where it is not installed."""
    if importlib.util.find_spec("bertviz") is None:
        return ()
    length = LENGTHS[0] if free_memory() > BERTVIZ_ROOM else SMALLER
    found = _child("bertviz", length)
    megabytes = found["bytes"] / MEGABYTE * (LENGTHS[0] / length) ** 2
    told = f"BertViz, made in {found['seconds']:.0f} s with {found['peak'] / 1e3:.1f} GB"
    return megabytes, told if length == LENGTHS[
        0
    ] else f"{told} at {length} tokens, times {(LENGTHS[0] // length) ** 2}"


@functools.cache
def grows(length: int) -> dict[str, float]:
    """`memory`, in a process of its own; nothing where the system does not tell."""
    return _child("memory", length) if Path("/proc/self/clear_refs").exists() else {}


def _child(*arguments: object) -> dict[str, Any]:
    """What `main` below prints, in a process of its own."""
    words = [sys.executable, "-m", "tests.benchmarks.attention", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def _peak() -> float:
    """The most memory, in MB, that this process has had since `_forget_peak`."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / MEGABYTE for line in status if line.startswith("VmHWM:"))


def _forget_peak() -> None:
    """See proc(5): clear_refs."""
    Path("/proc/self/clear_refs").write_text("5")


def memory(length: int) -> dict[str, float]:
    """By how many MB the peak grows in a plain forward pass, in a reading, and when all heads are looked at then."""
    from core.analysis.reading import read_ids
    from core.analysis.survey import survey

    run, ids = gpt2_run(), token_ids(length)
    found = {}
    plain(ids)
    _forget_peak()
    before = _peak()
    plain(ids)
    found["plain"] = _peak() - before
    _forget_peak()
    reading = read_ids(run, ids)
    found["reading"] = _peak() - before
    _forget_peak()
    before = _peak()
    survey(reading, "self")
    return found | {"survey": _peak() - before}


def bertviz(length: int) -> dict[str, float]:
    """Bytes and seconds of BertViz's head view of all heads of the same reading."""
    import torch
    from bertviz import head_view

    from core.analysis.reading import read_ids

    reading = read_ids(gpt2_run(), token_ids(length))
    attention = [torch.from_numpy(reading.layer_attention("self", layer))[None] for layer in range(12)]
    began = time.perf_counter()
    page = head_view(attention, reading.names, html_action="return").data
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "bytes": len(page.encode()), "peak": _peak() if Path("/proc").exists() else 0.0}


def free_memory() -> int:
    """Bytes that can be had now; 0 where that is not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)


if __name__ == "__main__":
    what, size = sys.argv[1], int(sys.argv[2])
    print(json.dumps({"memory": memory, "bertviz": bertviz}[what](size)))
