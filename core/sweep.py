"""What a sweep tries, and which trials go on: the part without processes and files.

A sweep trains one configuration several times with other values of some keys. A grid takes every combination; a random
search draws so many (Bergstra and Bengio 2012: better where only some of the keys matter). Losers may be stopped early
by successive halving (Jamieson and Talwalkar 2016; Li et al. 2018, Hyperband's inner loop): all trials are trained to
the first rung, the best 1/eta of them to the second, and so on. The learning rate's schedule always spans
train.max_steps, so that a trial which is stopped at a rung and goes on later is the trial that was never stopped.

>>> spec = SweepSpec(RunConfig(), {"optim.learning_rate": "1e-3,3e-3", "model.d_model": "128,256"})
>>> [trial.assignments for trial in draw_trials(spec)][1]
('optim.learning_rate=1e-3', 'model.d_model=256')
"""

import itertools
import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from core.config import RunConfig
from core.errors import ConfigError
from core.strict import from_dict

Metric = Literal["val_loss", "val_bits_per_byte", "bleu", "chrf"]
HIGHER_IS_BETTER = ("bleu", "chrf")
MAX_TRIALS = 200
DRAWS = 100  # for each trial of a random search, before it is said that there are no more
SET_BY_THE_SWEEP = ("train.max_steps", "train.stop_at", "preset")
RANGES = ("uniform", "log", "int")


@dataclass(frozen=True)
class SweepSpec:
    """A sweep as it is asked for. Raises ConfigError for what cannot be."""

    config: RunConfig  # what all trials share; train.max_steps is the length of a trial that is not stopped early
    axes: dict[str, str] = field(
        default_factory=dict
    )  # key -> "1e-3,3e-3", "uniform:0:0.3", "log:1e-4:1e-2", "int:1:8"
    kind: Literal["grid", "random"] = "grid"
    trials: int = 0  # of a random search
    seed: int = 0  # of a random search
    metric: Metric = "val_loss"  # the best value that a trial has had so far
    eta: int = 0  # 0: no halving; else 1/eta of the trials go on from a rung
    rungs: int = 3  # with halving; the last one is train.max_steps
    at_once: int = 1  # trials that are trained side by side, where the backend can

    def __post_init__(self) -> None:
        if not self.axes:
            raise ConfigError("A sweep needs at least one key with values, such as optim.learning_rate=1e-3,3e-3.")
        for key, text in self.axes.items():
            if key in SET_BY_THE_SWEEP:
                raise ConfigError(f"{key} cannot be swept: it is the same for all trials (set it with --set).")
            axis = Axis.parse(key, text)
            if self.kind == "grid" and axis.range:
                raise ConfigError(f"{key}={text} is a range to draw from, which a random search does, not a grid.")
        if self.kind == "random" and not 1 <= self.trials <= MAX_TRIALS:
            raise ConfigError(f"The number of trials must lie between 1 and {MAX_TRIALS}, not {self.trials}.")
        if self.eta and self.eta < 2:
            raise ConfigError(f"eta must be at least 2 (half of the trials go on), not {self.eta}.")
        if self.eta and not 1 <= self.rungs <= 10:
            raise ConfigError(f"The number of rungs must lie between 1 and 10, not {self.rungs}.")
        if self.at_once < 1:
            raise ConfigError(f"At least 1 trial has to be trained at a time, not {self.at_once}.")
        pairs = self.config.model.family == "transformer"
        if self.metric in HIGHER_IS_BETTER and not (pairs and self.config.train.score_examples):
            raise ConfigError(f"{self.metric} is measured only of translators with train.score_examples above 0.")
        if self.metric == "val_bits_per_byte" and pairs:
            raise ConfigError("val_bits_per_byte is measured only of language models.")
        if self.metric == "val_loss" and any(key.startswith("tokenizer.") for key in self.axes):
            raise ConfigError(
                "Losses per token of different tokenizers cannot be compared: "
                f"choose the metric {'bleu' if pairs else 'val_bits_per_byte'}."
            )

    def to_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "config": self.config.to_dict()}

    @classmethod
    def from_dict(cls, values: Any) -> "SweepSpec":
        return from_dict(cls, values)


@dataclass(frozen=True)
class Axis:
    """The values of one key: a list of texts, or a range to draw from."""

    key: str
    values: tuple[str, ...] = ()
    range: str = ""  # one of RANGES
    low: float = 0.0
    high: float = 0.0

    @classmethod
    def parse(cls, key: str, text: str) -> "Axis":
        """
        >>> Axis.parse("optim.betas", "[0.9, 0.98], [0.9, 0.95]").values
        ('[0.9, 0.98]', '[0.9, 0.95]')
        """
        kind, colon, rest = text.strip().partition(":")
        if not colon or kind not in RANGES:
            values = tuple(filter(None, _split(text)))
            if not values:
                raise ConfigError(f"{key} has no values; give them as {key}=A,B,C.")
            return cls(key, values)
        try:
            low, high = (float(part) for part in rest.split(":"))
        except ValueError:
            raise ConfigError(f"{key}={text} is not of the form {kind}:LOW:HIGH, such as log:1e-4:1e-2.") from None
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ConfigError(f"{key}={text}: the lower end must be below the upper one.")
        if kind == "log" and low <= 0:
            raise ConfigError(f"{key}={text}: both ends must be above 0 to draw evenly on a logarithmic scale.")
        if kind == "int" and (low != int(low) or high != int(high)):
            raise ConfigError(f"{key}={text}: both ends must be whole numbers.")
        return cls(key, range=kind, low=low, high=high)

    def draw(self, rng: random.Random) -> str:
        """A value as text; numbers in four significant digits, so that they can be read and typed again."""
        if not self.range:
            return rng.choice(self.values)
        if self.range == "int":
            return str(rng.randint(int(self.low), int(self.high)))
        if self.range == "log":
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = rng.uniform(self.low, self.high)
        return f"{min(max(float(f'{value:.4g}'), self.low), self.high)!r}"


def _split(text: str) -> list[str]:
    """At the commas that are not in brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{(") - (character in "]})")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


@dataclass(frozen=True)
class Trial:
    """One training of a sweep."""

    number: int  # from 1
    assignments: tuple[str, ...]
    values: dict[str, Any]  # key -> value, as the configuration has it


def draw_trials(spec: SweepSpec) -> list[Trial]:
    """The trials, no two alike; the same ones for the same sweep. ConfigError naming the trial that cannot be.

    A random search may find fewer than were asked for, when there are no more. Draws that contradict the rest of the
    configuration are drawn anew.
    """
    axes = [Axis.parse(key, text) for key, text in spec.axes.items()]
    trials: list[Trial] = []
    seen: set[str] = set()

    def add(texts: Sequence[str]) -> None:
        assignments = tuple(f"{axis.key}={text}" for axis, text in zip(axes, texts))
        try:
            config = spec.config.with_overrides(assignments)
        except ConfigError as error:
            if str(error).startswith("Unknown key"):
                raise
            raise ConfigError(f"The trial with {', '.join(assignments)} cannot be: {error}") from None
        values = {axis.key: value_of(config, axis.key) for axis in axes}
        if (same := json.dumps(values)) not in seen:
            seen.add(same)
            trials.append(Trial(len(trials) + 1, assignments, values))

    if spec.kind == "grid":
        points = math.prod(len(axis.values) for axis in axes)
        if points > MAX_TRIALS:
            raise ConfigError(
                f"The grid has {points:,} points; it may have up to {MAX_TRIALS}. Take fewer values, or draw at random."
            )
        for texts in itertools.product(*(axis.values for axis in axes)):
            add(texts)
        return trials
    rng = random.Random(f"sweep {spec.seed}")
    problem: ConfigError | None = None
    for _ in range(DRAWS * spec.trials):
        if len(trials) == spec.trials:
            break
        try:
            add([axis.draw(rng) for axis in axes])
        except ConfigError as error:
            problem = error
    if not trials:
        assert problem is not None
        raise problem
    return trials


def value_of(config: RunConfig, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return list(value) if isinstance(value, tuple) else value


def trial_config(spec: SweepSpec, trial: Trial, stop_at: int = 0) -> RunConfig:
    """The configuration that the trial is trained with, up to a step (0: to the end)."""
    config = spec.config.with_overrides(trial.assignments)
    return replace(config, train=replace(config.train, stop_at=stop_at))


# --------------------------------------------------------------------------------------------- successive halving


def rung_steps(spec: SweepSpec, count: int) -> list[int]:
    """The steps at which the trials of a sweep are compared; the last one is train.max_steps.

    They lie where trials validate anyway (train.val_every), so that a trial that goes on has done nothing that it would
    not have done by itself. One trial has nobody to be compared with.

    >>> rung_steps(SweepSpec(RunConfig().with_overrides(["train.max_steps=800", "train.val_every=50"]),
    ...                      {"seed": "1,2,3,4"}, eta=2), 4)
    [200, 400, 800]
    """
    last, every = spec.config.train.max_steps, spec.config.train.val_every
    if not spec.eta or count < 2:
        return [last]
    steps = {last}
    for rung in range(1, spec.rungs):
        step = max(1, round(last / spec.eta**rung / every)) * every
        if step < last:
            steps.add(step)
    return sorted(steps)


def goes_on(results: Mapping[int, float | None], eta: int, metric: str) -> list[int]:
    """The trials that go on from a rung, the best first: one in eta of those that were compared, at least one.

    results: number of the trial -> its metric; None (or no number) if it failed or diverged: such a one never goes on.
    Of equal ones the first in the order of trials goes on.

    >>> goes_on({1: 2.0, 2: None, 3: 1.5, 4: 1.5, 5: math.nan}, 2, "val_loss")
    [3, 4]
    """
    ranked = ranking(results, metric)
    return ranked[: max(1, len(results) // eta)]


def ranking(results: Mapping[int, float | None], metric: str) -> list[int]:
    """Trials with a result, the best first."""
    sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
    finite = {n: value for n, value in results.items() if value is not None and math.isfinite(value)}
    return sorted(finite, key=lambda number: (sign * finite[number], number))


def result(metrics: Iterable[Mapping[str, Any]], metric: str, until: int) -> float | None:
    """The best value of a metric up to a step. None if there is none, or if the newest is not a number: it diverged."""
    values = [
        line[metric]
        for line in metrics
        if isinstance(line.get(metric), (int, float)) and isinstance(line.get("step"), int) and line["step"] <= until
    ]
    if not values or not math.isfinite(values[-1]):
        return None
    finite = [value for value in values if math.isfinite(value)]
    return max(finite) if metric in HIGHER_IS_BETTER else min(finite)


def training_steps(spec: SweepSpec, count: int) -> list[tuple[int, int]]:
    """(trials, steps each) of every rung if no trial fails: what the sweep costs."""
    parts, before = [], 0
    for step in rung_steps(spec, count):
        if count == 1:
            step = spec.config.train.max_steps
        parts.append((count, step - before))
        if step == spec.config.train.max_steps:
            break
        before, count = step, max(1, count // spec.eta)
    return parts
