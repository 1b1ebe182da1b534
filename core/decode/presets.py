"""Named settings of decoding, each with a sentence on what it is for, and which settings act on which strategy.

config = with_preset(GenerationConfig(max_new_tokens=40), "top-p")
"""

import difflib
from dataclasses import dataclass, fields, replace
from typing import Any

from core.decode.config import STRATEGIES, GenerationConfig
from core.errors import ConfigError

_DRAWN = ("sample", "best_of", "mbr", "assisted")
_BEAMS = ("beam", "diverse_beam")
# Settings that act on some strategies only, and these, the likeliest first. All others act on every strategy.
ACTS_ON: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("temperature", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"), _DRAWN),
    "top_k": (*_DRAWN, "contrastive"),
    "seed": _DRAWN,
    "num_return_sequences": ("sample", *_BEAMS, "best_of", "mbr"),
    **dict.fromkeys(("num_beams", "early_stopping"), _BEAMS),
    **dict.fromkeys(("length_penalty", "length_penalty_formula"), (*_BEAMS, "best_of")),
    **dict.fromkeys(("num_beam_groups", "diversity_penalty"), ("diverse_beam",)),
    "penalty_alpha": ("contrastive",),
    "num_samples": ("best_of", "mbr"),
    "mbr_metric": ("mbr",),
    **dict.fromkeys(("num_assistant_tokens", "assisted_sampling"), ("assisted",)),
}
# What a preset leaves as it is: it says how tokens are chosen, not how many, from which seed, or what must not appear.
KEPT = (
    "max_new_tokens", "min_new_tokens", "num_return_sequences", "seed", "bad_words_ids", "logit_bias",
    "forced_prefix_ids", "forced_end", "stop_ids", "stop_strings", "num_candidates",
)  # fmt: skip


@dataclass(frozen=True)
class Preset:
    title: str
    sentence: str
    config: GenerationConfig


def _preset(title: str, sentence: str, strategy: Any, **settings: Any) -> Preset:
    return Preset(title, sentence, GenerationConfig(strategy=strategy, **settings))


PRESETS: dict[str, Preset] = {
    "greedy": _preset(
        "Greedy",
        "Always the most probable token: right for short, certain answers; longer texts go round in circles.",
        "greedy",
    ),
    "beam": _preset(
        "Beam search, 5",
        "The likeliest of many whole sentences: the usual choice for translation, dull and repetitive for stories.",
        "beam", num_beams=5,
    ),
    "beam-no-repeat": _preset(
        "Beam search, no repeated 3-grams",
        "Beam search that may write no three tokens twice: for summaries and other long texts to the point.",
        "beam", num_beams=5, no_repeat_ngram_size=3,
    ),
    "diverse-beams": _preset(
        "Diverse beams, 6",
        "Six beams that are made to differ: for a list of alternatives in the place of six times the same sentence.",
        "diverse_beam", num_beams=6, num_beam_groups=3, diversity_penalty=0.5,
    ),
    "pure-sampling": _preset(
        "Pure sampling",
        "Drawn from the model's distribution as it is: what it has learnt, errors in the long tail included.",
        "sample",
    ),
    "temperature": _preset(
        "Temperature 0.7",
        "Drawn with likely tokens made likelier: livelier than greedy, steadier than pure sampling.",
        "sample", temperature=0.7,
    ),
    "top-k": _preset(
        "Top-k 50",
        "Drawn from the 50 most probable tokens: cuts off the tail at the same place however sure the model is.",
        "sample", top_k=50,
    ),
    "top-p": _preset(
        "Top-p 0.9",
        "Drawn from the fewest tokens that hold 90 % of the probability: the usual choice for open-ended text.",
        "sample", top_p=0.9,
    ),
    "min-p": _preset(
        "Min-p 0.1",
        "Drawn from what has at least a tenth of the best token's probability: sound at high temperatures too.",
        "sample", min_p=0.1,
    ),
    "typical": _preset(
        "Typical 0.9",
        "Drawn from tokens about as surprising as the model expects: neither the dullest nor the strangest.",
        "sample", typical_p=0.9,
    ),
    "eta": _preset(
        "Eta 0.002",
        "Drawn from all but what is improbable for how sure the model is: cuts off less than top-p where it is unsure.",
        "sample", eta_cutoff=0.002,
    ),
    "contrastive": _preset(
        "Contrastive search",
        "The likely token that least resembles what has been said: fluent without chance and without going in circles.",
        "contrastive", top_k=4, penalty_alpha=0.6,
    ),
    "best-of": _preset(
        "Best of 16",
        "Sixteen samples, of which the one that the model finds most probable per token is kept.",
        "best_of", num_samples=16, top_p=0.9,
    ),
    "mbr": _preset(
        "Minimum Bayes risk, 16",
        "Sixteen samples, of which the one most like all others is kept: for translation, safe from lucky oddities.",
        "mbr", num_samples=16, mbr_metric="chrf",
    ),
    "assisted": _preset(
        "Assisted",
        "Greedy, drafted by a smaller model and checked by this one: the same text in fewer passes of this one.",
        "assisted",
    ),
    "assisted-sampling": _preset(
        "Assisted sampling",
        "Drawn as with sampling, drafted by a smaller model: the same distribution in fewer passes of this one.",
        "assisted", assisted_sampling=True,
    ),
}  # fmt: skip


def preset(name: str) -> Preset:
    """A preset by its name. Raises ConfigError, which names the nearest."""
    if not isinstance(name, str) or name not in PRESETS:
        near = difflib.get_close_matches(str(name)[:50], PRESETS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"choose {', '.join(PRESETS)}."
        raise ConfigError(f"There is no preset {str(name)[:50]!r}; {hint}")
    return PRESETS[name]


def with_preset(config: GenerationConfig, name: str) -> GenerationConfig:
    """The settings of a preset, with what a preset does not speak of (KEPT) as it is in `config`.

    >>> with_preset(GenerationConfig(max_new_tokens=7, repetition_penalty=1.2), "top-p")  # doctest: +ELLIPSIS
    GenerationConfig(strategy='sample', max_new_tokens=7, ... top_p=0.9, ... repetition_penalty=1.0, ...)
    """
    chosen = preset(name).config
    kept = {field: getattr(config, field) for field in KEPT}
    most = {"beam": chosen.num_beams, "diverse_beam": chosen.num_beams, "sample": kept["num_return_sequences"]}
    most |= dict.fromkeys(("best_of", "mbr"), chosen.num_samples)
    kept["num_return_sequences"] = min(kept["num_return_sequences"], most.get(chosen.strategy, 1))
    return replace(chosen, **kept)


def acting(strategy: str) -> list[str]:
    """The names of the settings that act on a strategy, in the order of GenerationConfig."""
    if strategy not in STRATEGIES:
        raise ConfigError(f"There is no strategy {str(strategy)[:50]!r}: choose {', '.join(STRATEGIES)}.")
    names = [field.name for field in fields(GenerationConfig) if field.name != "strategy"]
    return [name for name in names if strategy in ACTS_ON.get(name, (strategy,))]
