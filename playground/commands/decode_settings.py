"""The decoding settings of the command line, and the strategy that they choose."""

from argparse import Namespace
from dataclasses import replace
from typing import Any

from core.config import RunConfig
from core.decode.config import GenerationConfig
from core.errors import ConfigError
from playground.commands.output import say

DRAWN = ("sample", "best_of", "mbr", "assisted")
BEAMS = ("beam", "diverse_beam")
# Settings that act on some strategies only, and these, the likeliest first.
ACTS_ON: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("temperature", "top_p", "min_p", "typical_p"), DRAWN),
    "top_k": (*DRAWN, "contrastive"),
    **dict.fromkeys(("num_beams", "early_stopping"), BEAMS),
    **dict.fromkeys(("length_penalty", "length_penalty_formula"), (*BEAMS, "best_of")),
    **dict.fromkeys(("num_beam_groups", "diversity_penalty"), ("diverse_beam",)),
    "penalty_alpha": ("contrastive",),
    "num_samples": ("best_of", "mbr"),
    "mbr_metric": ("mbr",),
    **dict.fromkeys(("num_assistant_tokens", "assisted_sampling"), ("assisted",)),
}
SAMPLING = {name for name, strategies in ACTS_ON.items() if "sample" in strategies}
OTHERS = ("repetition_penalty", "no_repeat_ngram_size", "max_new_tokens", "num_return_sequences", "seed")


def decode_config(config: RunConfig, args: Namespace) -> GenerationConfig:
    """The run's settings with those of the command line. Settings that act on some strategies only choose one: the
    run's own if they act on it."""
    given: dict[str, Any] = {name: value for name in (*ACTS_ON, *OTHERS) if (value := getattr(args, name)) is not None}
    if "early_stopping" in given:
        given["early_stopping"] = {"true": True, "false": False}.get(given["early_stopping"], "never")
    if args.stop_string:
        given["stop_strings"] = tuple(args.stop_string)
    if any(not assignment.startswith("decode.") for assignment in args.set):
        raise ConfigError("--set takes decode.FIELD=VALUE here: the other sections were settled by training.")
    changed = config.with_overrides(args.set).decode
    strategy = args.strategy or _strategy_of(given, bool(args.assistant), changed.strategy)
    idle = [name for name in given if strategy not in ACTS_ON.get(name, (strategy,))]
    if idle:
        flags = " and ".join("--" + name.replace("_", "-") for name in idle)
        say(f"{flags} {'has' if len(idle) == 1 else 'have'} no effect on the strategy {strategy}.")
    if strategy == "assisted" and given.keys() & SAMPLING:
        given.setdefault("assisted_sampling", True)
    return replace(changed, **given | {"strategy": strategy})


def _strategy_of(given: dict[str, Any], assistant: bool, own: str) -> str:
    """The strategy that all given settings act on, or the run's own where they do not say."""
    wanted = {name: ACTS_ON[name] for name in given if name in ACTS_ON}
    if assistant:
        wanted["assistant"] = ("assisted",)
    possible = [s for s in next(iter(wanted.values()), (own,)) if all(s in acts for acts in wanted.values())]
    if not possible:
        flags = " and ".join("--" + name.replace("_", "-") for name in wanted)
        raise ConfigError(f"{flags} act on no strategy together: say which one is meant with --strategy.")
    return own if own in possible else possible[0]
