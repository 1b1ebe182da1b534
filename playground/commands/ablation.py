"""`internals ablate`: heads and feed-forward networks switched off, and what changes."""

import re
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.errors import ConfigError
from playground.commands.readings import context, deliver, index, kind_of, reading_of, table

if TYPE_CHECKING:
    from core.analysis.ablation import Head, Network
    from core.analysis.reading import Reading

HEAD = re.compile(r"(?:(cross|encoder|self):)?(\d{1,5})\.(\d{1,5})", re.ASCII)
NETWORK = re.compile(r"(?:(encoder|decoder):)?(\d{1,5})", re.ASCII)


def ablate(args: Namespace) -> None:
    from core.analysis.ablation import ablated, compare_ablation
    from core.analysis.reading import token_names

    if args.importance:
        return _importance(args)
    if not (_words(args.heads) or _words(args.mlps)):
        raise ConfigError("Nothing is switched off: give --heads, --mlps or --importance.")
    reading = reading_of(args)
    heads, networks = _heads(args, reading), _networks(args, reading)
    changed = ablated(reading.model, heads, networks, args.how, reading)
    found = compare_ablation(reading, changed)
    names = token_names(reading.run.tokenizer, found.ids)
    targets = token_names(reading.run.tokenizer, found.targets)
    result: dict[str, Any] = {
        "run": reading.run.name, "how": args.how,
        "off": {
            "heads": [{"kind": kind, "layer": layer + 1, "head": head + 1} for kind, layer, head in heads],
            "mlps": [{"side": side, "layer": layer + 1} for side, layer in networks],
        },
        "loss_change": found.loss_change, "position": found.position,
        "next": [{"id": id, "token": name} for id, name in zip(found.ids, names, strict=True)],
        "tokens": [{"id": id, "token": name} for id, name in zip(found.targets, targets, strict=True)],
    }  # fmt: skip
    for name, outcome in (("before", found.before), ("after", found.after)):
        result[name] = {
            "written": outcome.written, "probabilities": outcome.probabilities, "losses": outcome.losses
        }  # fmt: skip
    both = list(zip(found.before.probabilities, found.after.probabilities, strict=True))
    what = "translation" if reading.is_translation else "continuation"
    lines = [
        f"{what} before: {_line(found.before.written)}", f"{what} after:  {_line(found.after.written)}",
        f"loss: {_mean(found.before.losses)} → {_mean(found.after.losses)} nats a token",
        "", *table(["next token", "before", "after"], [[name, *pair] for name, pair in zip(names, both, strict=True)]),
    ]  # fmt: skip
    header = ["token", "loss_before", "loss_after"]
    rows = list(zip(targets, found.before.losses, found.after.losses, strict=True))
    if rows:
        lines += ["", *table(["token of the text", "loss before", "loss after"], rows)]
    deliver(args, {**result, **context(reading)}, lines, header, rows)


def _importance(args: Namespace) -> None:
    from core.analysis.ablation import head_importance, token_losses

    if args.heads or args.mlps:
        raise ConfigError("--importance switches off every head by itself: leave --heads and --mlps out.")
    reading = reading_of(args)
    kind = kind_of(args, reading.kinds)
    losses = token_losses(reading)
    if not len(losses):
        raise ConfigError("The loss is measured on the tokens of a text: give one of two tokens or more.")
    changes = head_importance(reading, kind, args.how, _progress())
    rows = [[layer + 1, head + 1, change] for layer, line in enumerate(changes) for head, change in enumerate(line)]
    rows.sort(key=lambda row: -row[2])
    loss = float(losses.mean())
    lines = [f"{kind} attention: loss {loss:.3f} nats a token; without a head:"]
    result = {"run": reading.run.name, "kind": kind, "how": args.how, "loss": loss, "loss_change": changes}
    header = ["layer", "head", "loss change"]
    deliver(args, {**result, **context(reading)}, [*lines, *table(header, rows)], header, rows)


def _progress() -> Callable[[float], None]:
    """Says on stderr how far it is, where a person looks."""
    live = sys.stderr.isatty()

    def tell(share: float) -> None:
        if live:
            print(f"\r{share:4.0%}", end="\r" if share >= 1 else "", file=sys.stderr, flush=True)

    return tell


def _heads(args: Namespace, reading: "Reading") -> "list[Head]":
    """Of --heads. Without a kind in front it is that of --kind."""
    usual, heads = kind_of(args, reading.kinds), []
    for word in _words(args.heads):
        if not (match := HEAD.fullmatch(word)):
            raise ConfigError(f"--heads is a list of LAYER.HEAD, such as 1.2 or cross:2.4, not {word!r}.")
        kind = match[1] or usual
        if kind not in reading.kinds:
            raise ConfigError(f"The model has no {kind} attention: it has {', '.join(reading.kinds)}.")
        layer = index(int(match[2]), reading.n_layers(kind), "layer")
        heads.append((kind, layer, index(int(match[3]), reading.n_heads, "head")))
    return list(dict.fromkeys(heads))


def _networks(args: Namespace, reading: "Reading") -> "list[Network]":
    """Of --mlps. Without a side in front it is the decoder."""
    networks = []
    for word in _words(args.mlps):
        if not (match := NETWORK.fullmatch(word)):
            raise ConfigError(f"--mlps is a list of layers, such as 1,3 or encoder:1, not {word!r}.")
        side = match[1] or "decoder"
        if side == "encoder" and not reading.is_translation:
            raise ConfigError("The model has no encoder.")
        count = reading.n_layers("encoder" if side == "encoder" else "self")
        networks.append((side, index(int(match[2]), count, "layer")))
    return list(dict.fromkeys(networks))


def _words(given: str | None) -> list[str]:
    """What stands between commas."""
    return [word.strip() for word in (given or "").split(",") if word.strip()]


def _line(text: str) -> str:
    """On one line, whatever is in it."""
    from core.tokenizer.visible import visible

    return visible(text.encode("utf-8", "replace"))


def _mean(losses: Any) -> str:
    return f"{losses.mean():.3f}" if len(losses) else "–"
