"""`attention map`, `heads`, `rollout`, `look`, `align` and `training`: what attends to what, in numbers."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ConfigError
from playground.commands.output import say
from playground.commands.readings import (
    check_output,
    context,
    deliver,
    given_text,
    index,
    kind_of,
    open_run,
    position_of,
    reading_of,
    table,
    target_of,
)

if TYPE_CHECKING:
    from core.analysis.reading import Reading

MOST = 5  # keys of a query that are shown to people
MOST_EXAMPLES = 10_000


def attention(args: Namespace) -> None:
    """One ACTION of the command."""
    actions = {"map": map_, "heads": heads, "rollout": rollout, "look": look, "align": align, "training": training}
    actions[args.action](args)


def map_(args: Namespace) -> None:
    from core.analysis.rollout import layer_mean
    from core.analysis.survey import survey

    reading = reading_of(args)
    kind = kind_of(args, reading.kinds)
    layer = None if args.layer is None else index(args.layer, reading.n_layers(kind), "layer")
    head = None if args.head is None else index(args.head, reading.n_heads, "head")
    if head is not None and layer is None:
        raise ConfigError("A head is one of a layer: give --layer too.")
    title, shared = f"{kind} attention, ", None
    if layer is None:
        weights, place = survey(reading, kind, cells=1).mean, "mean over all heads"
    elif head is None:
        weights, place = layer_mean(reading, kind, layer), f"layer {args.layer}, mean over its heads"
    else:
        weights, place = reading.attention(kind, layer, head), f"layer {args.layer}, head {args.head}"
        shared = _shared(reading, kind, head)
        place += f", which reads key and value head {shared}" if shared else ""
    where = {"layer": args.layer, "head": args.head, "key_value_head": shared}
    _show_weights(args, reading, kind, weights, title + place, where)


def _shared(reading: "Reading", kind: str, head: int) -> int | None:
    """The key and value head that a head (from 0) shares with others, from 1; None where each has its own."""
    shared = reading.key_value_head(kind, head)
    return None if shared is None else shared + 1


def rollout(args: Namespace) -> None:
    from core.analysis.rollout import rollout as rolled

    reading = reading_of(args)
    kind = kind_of(args, reading.kinds)
    _show_weights(args, reading, kind, rolled(reading, kind), f"{kind} attention, rolled out through the layers", {})


def _show_weights(
    args: Namespace, reading: "Reading", kind: str, weights: np.ndarray, title: str, place: dict[str, Any]
) -> None:
    queries, keys = reading.queries(kind), reading.keys(kind)
    written = None if kind == "encoder" else reading.written
    rows = []
    for i, row in enumerate(weights):
        best = np.argsort(-row, kind="stable")[:MOST]
        found = ", ".join(f"{keys[j]} ({j}) {row[j]:.3f}" for j in best if row[j] > 0)
        rows.append([i, queries[i], *([written[i]] if written else []), found])
    header = ["", "token", *(["writes"] if written else []), f"looks at (the {MOST} highest weights)"]
    result = {
        "run": reading.run.name, "kind": kind, **place, "queries": queries, "keys": keys, "written": written,
        "attention": weights, **context(reading),
    }  # fmt: skip
    lines = [title, *table(header, rows)]
    columns = ["", *(f"{name} {j}" for j, name in enumerate(keys))]
    deliver(args, result, lines, columns, ([f"{queries[i]} {i}", *row] for i, row in enumerate(weights.tolist())))


def heads(args: Namespace) -> None:
    from core.analysis.head_scores import SCORES, induction_on_repeats
    from core.analysis.survey import survey

    if args.repeats:
        check_output(args)
        if args.text is not None or args.target is not None:
            raise ConfigError("--repeats measures on random tokens: leave the text and --target out.")
        run = open_run(args)
        kind, scores = kind_of(args, ["self"]), {"induction": induction_on_repeats(run)}
        told: dict[str, Any] = {"run": run.name, "kind": kind, "tokens": None, "target": None, "notes": []}
    else:
        reading = reading_of(args)
        kind = kind_of(args, reading.kinds)
        scores = survey(reading, kind, cells=1).scores
        told = {"run": reading.run.name, "kind": kind, "tokens": reading.queries(kind), **context(reading)}
    if args.sort and args.sort not in scores:
        raise ConfigError(f"There is no {args.sort} score of {kind} attention: there are {', '.join(scores)}.")
    rows = _by_head(scores)
    if args.sort:
        place = 2 + list(scores).index(args.sort)
        rows.sort(key=lambda row: -np.inf if np.isnan(row[place]) else row[place], reverse=True)
    header = ["layer", "head", *scores]
    formulas = {name: SCORES[name].formula for name in scores}
    lines = [
        f"{kind} attention", *table(header, rows), "",
        *(f"{SCORES[name].title}: {formula}" for name, formula in formulas.items()),
    ]  # fmt: skip
    deliver(args, {**told, "scores": scores, "formulas": formulas}, lines, header, rows)


def _by_head(scores: dict[str, np.ndarray]) -> list[list[Any]]:
    """Rows of layer and head, from 1, and their scores."""
    layers, count = next(iter(scores.values())).shape
    return [
        [layer + 1, head + 1, *(float(values[layer, head]) for values in scores.values())]
        for layer in range(layers)
        for head in range(count)
    ]


def look(args: Namespace) -> None:
    from core.analysis.look import look as looked

    reading = reading_of(args)
    kind = kind_of(args, reading.kinds)
    layer, head = index(args.layer, reading.n_layers(kind), "layer"), index(args.head, reading.n_heads, "head")
    names, keys = reading.queries(kind), reading.keys(kind)
    query = position_of(args.query, len(names), "query")
    key = None if args.key is None else position_of(args.key, len(keys), "key")
    seen = looked(reading, kind, layer, head, query)
    columns = {
        "dot": seen.dots, "score": seen.scores, "hidden": ~seen.visible, "exponential": seen.exponentials,
        "weight": seen.weights, "value_norm": seen.value_norms, "weighted_norm": seen.weights * seen.value_norms,
    }  # fmt: skip
    header = ["position", "token", *columns]
    rows = [[j, name, *values] for j, (name, *values) in enumerate(zip(keys, *(c.tolist() for c in columns.values())))]
    products = seen.products
    result = {
        "run": reading.run.name, "kind": kind, "layer": args.layer, "head": args.head,
        "key_value_head": _shared(reading, kind, head), "query": query, "token": names[query],
        "divisor": seen.divisor, "q": seen.q, "output": seen.output,
        "keys": [
            {**dict(zip(header, row)), "k": seen.k[j], "products": products[j]} for j, row in enumerate(rows)
        ],
        **context(reading),
    }  # fmt: skip
    shown = [[*row[:4], "hidden" if row[4] else "", *row[5:]] for row in rows]
    lines = [
        f"{kind} attention, layer {args.layer}, head {args.head}: {names[query]} ({query}) looks; "
        f"score = q·k / {seen.divisor:.3f}",
        *table(["", "token", "q·k", "score", "", "exp", "weight", "|v|", "weight·|v|"], shown),
    ]
    if key is not None:
        parts = [
            [d + 1, *values]
            for d, values in enumerate(zip(seen.q.tolist(), seen.k[key].tolist(), products[key].tolist()))
        ]
        parts.sort(key=lambda part: -abs(part[3]))
        lines += [
            "",
            f"what each dimension adds to q·k of {keys[key]} ({key})",
            *table(["", "q", "k", "q·k"], parts),
        ]
    deliver(args, result, lines, header, rows)


def align(args: Namespace) -> None:
    from core.analysis.alignment import ROWS, alignment_scores
    from core.data.grammar import held_out

    check_output(args)
    if not 1 <= args.examples <= MOST_EXAMPLES:
        raise ConfigError(f"--examples is from 1 to {MOST_EXAMPLES:,}.")
    run = open_run(args)
    found = alignment_scores(run, held_out(args.examples)[1], rows=args.rows)
    header = ["layer", "head", "error", "precision", "recall"]
    rows = _by_head({"error": found.by_head, "precision": found.precision, "recall": found.recall})
    layer, head = found.best
    means = [[i + 1, error] for i, error in enumerate(found.by_layer.tolist())]
    lines = [
        f"{found.sentences:,} sentence pairs; a row of attention stands for {ROWS[found.rows]}",
        *table(header, rows),
        "",
        *table(["layer", "error of its heads' mean"], means),
        "",
        f"diagonal: {found.diagonal:.3f}; best: layer {layer + 1}, head {head + 1}",
    ]
    result = {
        "run": run.name, "data": "builtin:enja", "rows": found.rows, "sentences": found.sentences,
        "left_out": found.left_out,
        "aer": {"by_head": found.by_head, "by_layer": found.by_layer, "diagonal": found.diagonal},
        "precision": found.precision, "recall": found.recall, "best": {"layer": layer + 1, "head": head + 1},
    }  # fmt: skip
    deliver(args, result, lines, header, rows)


def training(args: Namespace) -> None:
    from core.analysis.alignment import can_align
    from core.analysis.reading import KINDS
    from core.analysis.snapshots import own_target, through_training
    from core.data.grammar import held_out
    from core.run import read_metrics

    check_output(args)
    if not 0 <= args.examples <= MOST_EXAMPLES:
        raise ConfigError(f"--examples is from 0 to {MOST_EXAMPLES:,}.")
    run = open_run(args)
    kind = kind_of(args, KINDS if run.is_translation else ["self"])
    text, target = given_text(args), target_of(args, run)
    if run.is_translation and target is None:
        target = own_target(run, text)
    aligns = kind == "cross" and can_align(run)  # the errors are of the heads of cross-attention
    examples = held_out(args.examples)[1] if args.examples and aligns else []
    lines = read_metrics(run.directory)
    steps, shown = [], []
    header: list[str] = []
    rows: list[list[Any]] = []
    notes: list[str] = []
    for found in through_training(run, text, kind, target, examples):
        losses = {"train_loss": _last(lines, "loss", found.step), "val_loss": _last(lines, "val_loss", found.step)}
        scores = dict(found.scores)
        if found.induction is not None:
            scores["induction_on_repeats"] = found.induction
        if found.alignment is not None:
            scores["alignment_error"] = found.alignment.by_head
        header = ["step", "layer", "head", *scores]
        rows += [[found.step, *row] for row in _by_head(scores)]
        notes = found.notes
        steps.append({"step": found.step, **losses, "scores": scores})
        shown.append([found.step, *losses.values(), *(_extreme(name, values) for name, values in scores.items())])
    table_header = ["step", "train loss", "val loss", *header[3:]]
    told = [f"{kind} attention; of every score its highest head (LAYER.HEAD), of alignment_error its lowest"]
    result = {"run": run.name, "kind": kind, "text": text, "target": target, "steps": steps, "notes": notes}
    for note in notes:
        say(note)
    deliver(args, result, [*told, *table(table_header, shown)], header, rows)


def _last(lines: list[dict[str, Any]], name: str, step: int) -> float | None:
    """The last value of a figure up to a step."""
    return next((line[name] for line in reversed(lines) if line["step"] <= step and name in line), None)


def _extreme(name: str, values: np.ndarray) -> str:
    """The head that stands out, and its value."""
    if np.isnan(values).all():
        return "–"
    best = np.nanargmin(values) if name == "alignment_error" else np.nanargmax(values)
    layer, head = np.unravel_index(best, values.shape)
    return f"{values[layer, head]:.3f} ({layer + 1}.{head + 1})"
