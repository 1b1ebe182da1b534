"""What the form of a sweep means: the sweep itself, how many trials it has, and about how long it takes."""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from core.config import RunConfig
from core.errors import ConfigError, UserError
from core.presets import preset
from core.run import list_runs, read_config, read_metrics
from core.sweep import MAX_TRIALS, SET_BY_THE_SWEEP, SweepSpec, draw_trials, training_steps, trial_config
from playground import models
from playground.training_form import Form, configuration, expected_vocabulary, usual_data

if TYPE_CHECKING:
    from remote.client import Estimate

COMMON = (
    "optim.learning_rate", "model.d_model", "model.n_layers", "model.n_heads", "model.dropout", "train.batch_tokens",
    "optim.warmup_steps", "optim.weight_decay", "optim.optimizer", "optim.schedule", "tokenizer.vocab_size",
    "train.label_smoothing", "train.ema_decay", "seed",
)  # fmt: skip
LOOKED_AT = 20  # runs whose speed is looked at, the newest
ENOUGH = 20  # steps of a run that tell its speed: the first ones are slower
ALIKE = 3.0  # times larger or smaller: a model of about the same size
START_UP = 8.0  # seconds for a trial to read its data and begin
SHARE = 0.3  # of the machine's matrix products that training makes use of, where nothing has been trained yet


@lru_cache(maxsize=1)
def keys() -> list[str]:
    """All keys that can be swept, the usual ones first."""

    def below(cls: Any, path: str) -> list[str]:
        found = []
        for field in fields(cls):
            hint, key = get_type_hints(cls)[field.name], f"{path}{field.name}"
            found += below(hint, f"{key}.") if is_dataclass(hint) else [key]
        return found

    every = [key for key in below(RunConfig, "") if key not in SET_BY_THE_SWEEP]
    return [*COMMON, *(key for key in every if key not in COMMON)]


@dataclass(frozen=True)
class SweepForm:
    """What the fields hold. Keys and values come as pairs; an empty pair is left out."""

    kind: str = "grid"
    trials: float | None = 8
    halving: bool = True
    eta: float | None = 2
    rungs: float | None = 3
    metric: str = "val_loss"
    pairs: tuple[tuple[str | None, str | None], ...] = ()


def of_preset(name: str, steps: float | None) -> RunConfig:
    """A preset on the data that it has without a file."""
    data = preset(name).data
    form = Form(name, data=usual_data(name), steps=steps)
    if form.data == "hub":
        form = replace(
            form, hub_name=data.name, text_column=data.text_column, src_column=data.src_column,
            tgt_column=data.tgt_column,
        )  # fmt: skip
    return configuration(form)


def spec_of(config: RunConfig, form: SweepForm) -> SweepSpec:
    """The sweep that the form describes. UserError saying which field to mend."""
    axes: dict[str, str] = {}
    for key, values in form.pairs:
        key, values = (key or "").strip(), (values or "").strip()
        if not key and not values:
            continue
        if not key:
            raise ConfigError(f"Choose the key that {values[:80]} are values of.")
        if not values:
            raise ConfigError(f"{key} has no values: give them as 1, 2, 3.")
        if key in axes:
            raise ConfigError(f"{key} is chosen twice; give all its values in one line.")
        axes[key] = values
    trials = _whole(form.trials, "The number of trials", 1, MAX_TRIALS) if form.kind == "random" else 0
    eta = _whole(form.eta, "One in ... goes on", 2, 100) if form.halving else 0
    rungs = _whole(form.rungs, "The number of rungs", 1, 10) if form.halving else 3
    if form.metric in ("bleu", "chrf") and not config.train.score_examples:
        config = config.with_overrides(["train.score_examples=100"])
    return SweepSpec(config, axes, form.kind, trials, 0, form.metric, eta, rungs)  # type: ignore[arg-type]


def _whole(value: float | None, what: str, least: int, most: int) -> int:
    if value is None or not least <= value <= most or int(value) != value:
        raise ConfigError(f"{what} must be a whole number from {least:,} to {most:,}.")
    return int(value)


# --------------------------------------------------------------------------------------------------- time


@dataclass(frozen=True)
class Cost:
    """What a sweep costs. seconds is an estimate."""

    trials: int
    parts: list[tuple[int, int]]  # (trials, steps each) of every rung
    seconds: float
    told_by: str  # the run whose speed it is reckoned from; empty: none has been trained here

    @property
    def steps(self) -> int:
        return sum(count * steps for count, steps in self.parts)


def cost(spec: SweepSpec, runs_dir: Path | None = None) -> Cost:
    """Reckoned with the speed of a run of about this size that was trained here, if there is one. UserError for a
    sweep that cannot be."""
    trials = draw_trials(spec)
    parts = training_steps(spec, len(trials))
    configs = [trial_config(spec, trial) for trial in trials]
    size = statistics.fmean(weights(config) for config in configs)
    each, told_by = seconds_per_token_and_weight(size, runs_dir)
    # Which trials go on is not known: as if they were like the mean.
    step = statistics.fmean(config.train.batch_tokens * weights(config) * each for config in configs)
    starts = sum(count for count, _ in parts)
    return Cost(len(trials), parts, sum(c * s for c, s in parts) * step + starts * START_UP, told_by)


def cost_there(spec: SweepSpec, gpu: str, hours: float) -> "Estimate":
    """What all trials take and cost on Modal together, each training stopped after so many hours. UserError for a sweep
    that cannot be."""
    from remote.client import Estimate, estimate

    trials = draw_trials(spec)
    configs = [trial_config(spec, trial) for trial in trials]
    sizes = [weights(config) for config in configs]
    found: list[tuple[float, Estimate]] = []
    for count, steps in training_steps(spec, len(trials)):
        # Which trials go on is not known: as if they were like the mean.
        each = [estimate(config, size, gpu, steps, hours) for config, size in zip(configs, sizes)]
        found += [(count / len(each), one) for one in each]

    def all_of(name: str) -> tuple[float, float]:
        return tuple(sum(share * getattr(one, name)[end] for share, one in found) for end in (0, 1))  # type: ignore[return-value]

    fewest, most = all_of("steps")
    return Estimate(all_of("seconds"), all_of("usd"), found[0][1].usd_per_hour, (round(fewest), round(most)))


def weights(config: RunConfig) -> int:
    size = config.model.vocab_size or expected_vocabulary(config.tokenizer)
    return models.num_parameters(replace(config.model, vocab_size=size))


def seconds_per_token_and_weight(size: float, runs_dir: Path | None = None) -> tuple[float, str]:
    """How long training a model of so many weights takes here, all in all, and the run that tells: the nearest in size.

    Small models have a larger share of what is not arithmetic, so one of quite another size tells nothing.
    """
    found: list[tuple[float, float, str]] = []
    for info in [info for info in list_runs(runs_dir) if not info.bundled and not info.error][:LOOKED_AT]:
        lines = [
            line for line in read_metrics(info.directory)
            if all(isinstance(line.get(key), (int, float)) for key in ("step", "tokens", "seconds"))
        ]  # fmt: skip
        try:
            own = weights(read_config(info.directory))
        except UserError:
            continue
        if lines and lines[-1]["step"] >= ENOUGH and lines[-1]["tokens"] > 0 and lines[-1]["seconds"] > 0:
            each = lines[-1]["seconds"] / lines[-1]["tokens"] / own
            apart = abs(math.log(own / size))
            if math.isfinite(each) and apart <= math.log(ALIKE):
                found.append((apart, each, info.name))
    if found:
        _, each, name = min(found)
        return each, name
    return 6 / (SHARE * _flops()), ""


@lru_cache(maxsize=1)
def _flops() -> float:
    """Floating point operations per second in a product of matrices, measured once."""
    import torch

    size = 768
    matrix = torch.ones(size, size)
    best = math.inf
    for _ in range(4):
        began = time.perf_counter()
        torch.mm(matrix, matrix)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def pairs_of(values: Sequence[Any]) -> tuple[tuple[Any, Any], ...]:
    """[key, values, key, values ...] -> pairs."""
    return tuple(zip(values[::2], values[1::2]))
