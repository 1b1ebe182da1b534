"""`internals lens`, `norms`, `attribute` and `ablate`: what happens between the layers, in numbers."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core.errors import ConfigError
from playground.commands.readings import context, deliver, position_of, reading_of, table

if TYPE_CHECKING:
    from core.analysis.lens import Lens
    from core.analysis.reading import Reading


def internals(args: Namespace) -> None:
    """One ACTION of the command."""
    from playground.commands.ablation import ablate

    actions = {"lens": lens, "norms": norms, "attribute": attribute, "ablate": ablate}
    actions[args.action](args)


def lens(args: Namespace) -> None:
    from core.analysis.lens import lens as looked

    if not 1 <= args.top <= 100:
        raise ConfigError("--top is from 1 to 100.")
    reading = reading_of(args)
    positions = None if args.position is None else [position_of(args.position, len(reading.ids))]
    seen = looked(reading, _layers(args.layers, len(reading.trace.residual["decoder"])), positions, args.top)
    names, finals = _names(reading, seen.ids), _names(reading, seen.final)
    places: list[dict[str, Any]] = [
        {
            "position": position, "token": reading.names[position], "written": reading.written[position],
            "final": {"id": seen.final[p], "token": finals[p]},
            "layers": [_lens_layer(seen, row, p, names[row][p]) for row in range(len(seen.layers))],
        }
        for p, position in enumerate(seen.positions)
    ]  # fmt: skip
    if args.position is None:
        table_header = ["", "token", *(f"layer {layer}" for layer in seen.layers)]
        shown = [
            [position, reading.names[position], *(names[row][p][0] for row in range(len(seen.layers)))]
            for p, position in enumerate(seen.positions)
        ]
        lines = ["the most probable next token after each layer (0: the embedding)", *table(table_header, shown)]
    else:
        table_header = ["layer", "entropy", f"rank of {finals[0]}", "probable next tokens"]
        shown = [
            [
                layer["layer"], layer["entropy"], layer["rank"],
                ", ".join(f"{one['token']} {one['probability']:.3f}" for one in layer["top"]),
            ]
            for layer in places[0]["layers"]
        ]  # fmt: skip
        lines = [f"after {reading.names[seen.positions[0]]} ({seen.positions[0]})", *table(table_header, shown)]
    one_layer = ["layer", "entropy", "rank", "logprob"]
    numbered = [f"{what} {k + 1}" for k in range(seen.ids.shape[2]) for what in ("id", "token", "probability")]
    rows = [
        [place["position"], place["token"], *(layer[name] for name in one_layer)]
        + [value for one in layer["top"] for value in one.values()]
        for place in places
        for layer in place["layers"]
    ]
    result = {"run": reading.run.name, "positions": places, **context(reading)}
    deliver(args, result, lines, ["position", "token", *one_layer, *numbered], rows)


def _lens_layer(seen: "Lens", row: int, column: int, names: list[str]) -> dict[str, Any]:
    """One layer at one position. rank and logprob are of the model's final choice."""
    place = row, column
    best = zip(seen.ids[place], names, seen.probabilities[place], strict=True)
    return {
        "layer": seen.layers[row], "entropy": seen.entropy[place], "divergence": seen.divergence[place],
        "rank": seen.final_rank[place], "logprob": seen.final_logprob[place],
        "written_rank": seen.followed_rank[place] or None, "written_logprob": seen.followed_logprob[place],
        "top": [{"id": id, "token": name, "probability": share} for id, name, share in best],
    }  # fmt: skip


def _layers(given: str | None, count: int) -> list[int] | None:
    """The layers of --layers; None: all. 0 is the embedding."""
    if given is None:
        return None
    try:
        layers = [int(word) for word in given.split(",")]
    except ValueError:
        raise ConfigError(f"--layers is a list of numbers, such as 0,3,6, not {given!r}.") from None
    for layer in layers:
        if not 0 <= layer < count:
            raise ConfigError(f"There is no layer {layer}: choose from 0 (the embedding) to {count - 1}.")
    return list(dict.fromkeys(layers))


def _names(reading: "Reading", ids: np.ndarray) -> Any:
    """Names of an array of ids, as nested lists."""
    from core.analysis.reading import token_names

    known: dict[int, str] = {}
    flat = [int(id) for id in ids.reshape(-1)]
    distinct = sorted(set(flat))
    known.update(zip(distinct, token_names(reading.run.tokenizer, distinct), strict=True))
    names = np.array([known[id] for id in flat], dtype=object).reshape(ids.shape)
    return names.tolist()


def norms(args: Namespace) -> None:
    from core.analysis.lens import stream_norms

    reading = reading_of(args)
    sides: dict[str, Any] = {}
    header, rows, lines = ["side", "layer", "part", "position", "token", "norm"], [], []
    for side in ("encoder", "decoder") if reading.is_translation else ("decoder",):
        found = stream_norms(reading, side)
        tokens = reading.source_names if side == "encoder" else reading.names
        sides[side] = {"tokens": tokens, "stream": found.stream, "added": found.added}
        parts = [("stream", 0, found.stream), *((name, 1, values) for name, values in found.added.items())]
        for name, first, values in parts:  # what a layer adds counts from 1, the stream from the embedding
            rows += [
                [side, layer + first, name, t, token, values[layer, t]]
                for layer in range(len(values))
                for t, token in enumerate(tokens)
            ]
        means: list[list[Any]] = [
            [layer, float(found.stream[layer].mean())]
            + [float(values[layer - 1].mean()) if layer else None for values in found.added.values()]
            for layer in range(len(found.stream))
        ]
        lines += [
            f"{side}: mean over {len(tokens):,} {'token' if len(tokens) == 1 else 'tokens'}",
            *table(["layer", "stream", *(f"{name} adds" for name in found.added)], means),
        ]
    deliver(args, {"run": reading.run.name, "sides": sides, **context(reading)}, lines, header, rows)


def attribute(args: Namespace) -> None:
    from core.analysis.attribution import attribute as attributed

    reading = reading_of(args)
    position = position_of(args.position, len(reading.ids))
    token = None if args.token is None else token_id(reading, args.token, "--token")
    other: int | Literal["mean"] | None = None
    if args.versus is not None:
        other = "mean" if args.versus == "mean" else token_id(reading, args.versus, "--versus")
    found = attributed(reading, position, token, other)
    [name] = _names(reading, np.array([found.token]))
    against = _names(reading, np.array([other]))[0] if isinstance(other, int) else other
    parts: list[dict[str, Any]] = [
        {
            "kind": part.kind, "attention": part.attention or None, "layer": part.layer + 1 or None,
            "head": part.head + 1 or None, "logit": part.value,
        }
        for part in found.parts
    ]  # fmt: skip
    result = {
        "run": reading.run.name, "position": position, "token": {"id": found.token, "token": name},
        "versus": {"id": other, "token": against} if isinstance(other, int) else other, "logit": found.logit,
        "total": found.total, "parts": parts, **context(reading),
    }  # fmt: skip
    what = f"logit of {name} after {reading.names[position]} ({position})"
    if other is not None:
        what += f", less {'the mean of all' if other == 'mean' else f'that of {against}'}"
    header = ["part", "layer", "head", "adds"]
    largest = sorted(parts, key=lambda part: -abs(part["logit"]))
    shown = [[_part_name(part), part["layer"], part["head"], part["logit"]] for part in largest]
    lines = [f"{what}: {found.logit:.4f}; the parts sum to {found.total:.4f}", *table(header, shown)]
    columns = ["kind", "attention", "layer", "head", "logit"]
    deliver(args, result, lines, columns, (list(part.values()) for part in parts))


def _part_name(part: dict[str, Any]) -> str:
    return f"{part['attention']} {part['kind']}" if part["attention"] else part["kind"]


def token_id(reading: "Reading", given: str, option: str) -> int:
    """The id of a token given as #ID, or as a text that is one token of what the model writes."""
    if given.startswith("#") and given[1:].isascii() and given[1:].isdecimal() and len(given) < 12:
        return int(given[1:])
    tokenizer = reading.run.tokenizer
    ids = (tokenizer.for_target() if reading.is_translation else tokenizer).encode(given).ids
    if len(ids) != 1:
        raise ConfigError(f"{option} is one token, but {given!r} is {len(ids)}: give another text, or #ID.")
    return ids[0]
