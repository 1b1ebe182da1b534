"""The decoding settings of the command line, and the strategy that they choose."""

from argparse import Namespace
from dataclasses import replace
from typing import Any

from core.config import RunConfig
from core.decode.config import GenerationConfig
from core.decode.presets import ACTS_ON, with_preset
from core.errors import ConfigError
from playground.commands.output import say

OTHERS = (
    "repetition_penalty", "presence_penalty", "frequency_penalty", "no_repeat_ngram_size", "max_new_tokens",
    "num_return_sequences", "seed",
)  # fmt: skip
CHOOSING = {name: strategies for name, strategies in ACTS_ON.items() if name not in OTHERS}  # these choose a strategy
SAMPLING = {name for name, strategies in CHOOSING.items() if "sample" in strategies}


def decode_config(config: RunConfig, args: Namespace) -> GenerationConfig:
    """The run's settings with those of the command line. Settings that act on some strategies only choose one: the
    run's own (or the recipe's, or the preset's) if they act on it."""
    names = (*CHOOSING, *OTHERS)
    given: dict[str, Any] = {name: value for name in names if (value := getattr(args, name)) is not None}
    if "early_stopping" in given:
        given["early_stopping"] = {"true": True, "false": False}.get(given["early_stopping"], "never")
    if args.stop_string:
        given["stop_strings"] = tuple(args.stop_string)
    if any(not assignment.startswith("decode.") for assignment in args.set):
        raise ConfigError("--set takes decode.FIELD=VALUE here: the other sections were settled by training.")
    if getattr(args, "settings", None) is not None:  # those of --recipe
        config = replace(config, decode=args.settings)
    if args.preset:
        config = replace(config, decode=with_preset(config.decode, args.preset))
    changed = config.with_overrides(args.set).decode
    strategy = args.strategy or _strategy_of(given, bool(args.assistant), changed.strategy)
    idle = [name for name in given if strategy not in CHOOSING.get(name, (strategy,))]
    if idle:
        flags = " and ".join("--" + name.replace("_", "-") for name in idle)
        say(f"{flags} {'has' if len(idle) == 1 else 'have'} no effect on the strategy {strategy}.")
    if strategy == "assisted" and given.keys() & SAMPLING:
        given.setdefault("assisted_sampling", True)
    return replace(changed, **given | {"strategy": strategy})


def _strategy_of(given: dict[str, Any], assistant: bool, own: str) -> str:
    """The strategy that all given settings act on, or the run's own where they do not say."""
    wanted = {name: CHOOSING[name] for name in given if name in CHOOSING}
    if assistant:
        wanted["assistant"] = ("assisted",)
    possible = [s for s in next(iter(wanted.values()), (own,)) if all(s in acts for acts in wanted.values())]
    if not possible:
        flags = " and ".join("--" + name.replace("_", "-") for name in wanted)
        raise ConfigError(f"{flags} act on no strategy together: say which one is meant with --strategy.")
    return own if own in possible else possible[0]
