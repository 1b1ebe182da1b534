"""How the next token is chosen: one frozen dataclass that plain JSON can fill.

Only the standard library is imported here: core.config holds a GenerationConfig and must stay quick to import.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from core.errors import ConfigError


@dataclass(frozen=True)
class GenerationConfig:
    """Settings of `generate`. Names and meanings are Hugging Face's where it has the setting.

    The strategy decides which settings act. Penalties, bans, bias, forced prefix and lengths act on all of them.
    Temperature and the truncations (top_k ... eta_cutoff) act on sampling only; beams, length penalty and early
    stopping on beam search only, except that `score` is normalised by the length penalty everywhere.

    >>> GenerationConfig(strategy="sample", top_p=0.9, seed=1).top_p
    0.9
    >>> GenerationConfig(top_p=1.5)
    Traceback (most recent call last):
    core.errors.ConfigError: decode.top_p must lie in (0, 1], not 1.5.
    """

    strategy: Literal["greedy", "beam", "sample"] = "greedy"
    max_new_tokens: int = 100  # the end token counts
    min_new_tokens: int = 0  # no end token before so many
    num_return_sequences: int = 1  # samples, or best beams, of one prompt
    seed: int = 0  # of sampling; with the prompt and the sample's number it decides every draw

    # Beam search
    num_beams: int = 5  # 1 is greedy
    length_penalty: float = 1.0  # above 0 favours longer hypotheses, 0 compares plain sums of log-probabilities
    length_penalty_formula: Literal["hf", "gnmt", "ctranslate2"] = "hf"  # see core.decode.length_penalty
    early_stopping: bool | Literal["never"] = False  # when a row's search may end; see core.decode.beam

    # Sampling
    temperature: float = 1.0  # 0 is greedy; else at least 1e-5
    top_k: int = 0  # 0: off; more than the vocabulary is the whole vocabulary
    top_p: float = 1.0  # 1: off
    min_p: float = 0.0  # 0: off, as are the two cutoffs
    typical_p: float = 1.0  # 1: off
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0

    # Penalties, bans and bias
    repetition_penalty: float = 1.0  # 1: off; over prompt and continuation (Keskar et al., 2019)
    presence_penalty: float = 0.0  # taken once from the logit of what has been generated; the prompt does not count
    frequency_penalty: float = 0.0  # taken as often as it has been generated
    no_repeat_ngram_size: int = 0  # 0: off
    bad_words_ids: tuple[tuple[int, ...], ...] = ()  # token sequences that must not appear
    logit_bias: dict[int, float] = field(default_factory=dict, hash=False)  # token id -> added to its logit
    forced_prefix_ids: tuple[int, ...] = ()  # the continuation begins with these

    # Ends, beside the model's end token
    stop_ids: tuple[int, ...] = ()
    stop_strings: tuple[str, ...] = ()  # the text ends before the first of them; the ids keep it

    # What a trace keeps
    num_candidates: int = 10  # most probable tokens of each step

    def __post_init__(self) -> None:
        self._check_types()
        self._check_ranges()
        self._check_combinations()

    def _check_types(self) -> None:
        """Direct construction gets what JSON gets: strict types, lists taken as tuples."""
        if self.strategy not in ("greedy", "beam", "sample"):
            raise ConfigError(f"decode.strategy must be 'greedy', 'beam' or 'sample', not {self.strategy!r}.")
        if self.length_penalty_formula not in ("hf", "gnmt", "ctranslate2"):
            raise ConfigError(
                "decode.length_penalty_formula must be 'hf', 'gnmt' or 'ctranslate2', "
                f"not {self.length_penalty_formula!r}."
            )
        if not (isinstance(self.early_stopping, bool) or self.early_stopping == "never"):
            raise ConfigError(f"decode.early_stopping must be true, false or 'never', not {self.early_stopping!r}.")
        for name in (
            *("max_new_tokens", "min_new_tokens", "num_return_sequences", "seed", "num_beams"),
            *("top_k", "no_repeat_ngram_size", "num_candidates"),
        ):
            _whole(name, getattr(self, name))
        for name in (
            *("length_penalty", "temperature", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"),
            *("repetition_penalty", "presence_penalty", "frequency_penalty"),
        ):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        for name in ("forced_prefix_ids", "stop_ids"):
            object.__setattr__(self, name, _ids(name, getattr(self, name)))
        words = _list("bad_words_ids", self.bad_words_ids)
        words = tuple(_ids(f"bad_words_ids[{i}]", word) for i, word in enumerate(words))
        object.__setattr__(self, "bad_words_ids", words)
        strings = _list("stop_strings", self.stop_strings)
        if not all(isinstance(string, str) and string for string in strings):
            raise ConfigError(f"decode.stop_strings must be a list of texts that are not empty, not {strings!r}.")
        object.__setattr__(self, "stop_strings", strings)
        if not isinstance(self.logit_bias, dict):
            raise ConfigError(f"decode.logit_bias must map token ids to numbers, not be {self.logit_bias!r}.")
        bias = {_token("logit_bias", key): _number(f"logit_bias.{key}", v) for key, v in self.logit_bias.items()}
        object.__setattr__(self, "logit_bias", bias)

    def _check_ranges(self) -> None:
        for name in ("max_new_tokens", "num_return_sequences", "num_beams", "num_candidates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"decode.{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("min_new_tokens", "top_k", "no_repeat_ngram_size", "temperature"):
            if getattr(self, name) < 0:
                raise ConfigError(f"decode.{name} must not be negative, but is {getattr(self, name)}.")
        for name in ("top_p", "typical_p"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"decode.{name} must lie in (0, 1], not {getattr(self, name)}.")
        if not 0 <= self.min_p <= 1:
            raise ConfigError(f"decode.min_p must lie in [0, 1], not {self.min_p}.")
        for name in ("epsilon_cutoff", "eta_cutoff"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"decode.{name} must lie in [0, 1), not {getattr(self, name)}.")
        if 0 < self.temperature < 1e-5:
            raise ConfigError(
                f"decode.temperature must be 0 (greedy) or at least 0.00001, not {self.temperature}: "
                "logits divided by less overflow."
            )
        if self.repetition_penalty <= 0:
            raise ConfigError(f"decode.repetition_penalty must be positive, not {self.repetition_penalty}.")
        if any(not word for word in self.bad_words_ids):
            raise ConfigError("decode.bad_words_ids holds an empty sequence; remove it.")

    def _check_combinations(self) -> None:
        if self.min_new_tokens > self.max_new_tokens:
            raise ConfigError(
                f"decode.min_new_tokens ({self.min_new_tokens}) must not be more than "
                f"decode.max_new_tokens ({self.max_new_tokens})."
            )
        if self.strategy == "beam" and self.num_return_sequences > self.num_beams:
            raise ConfigError(
                f"decode.num_return_sequences ({self.num_return_sequences}) must not be more than "
                f"decode.num_beams ({self.num_beams})."
            )
        if self.num_return_sequences > 1 and self.is_greedy and self.strategy != "beam":
            raise ConfigError(
                "decode.num_return_sequences must be 1 when decoding is greedy, which gives one result; "
                "choose the strategy 'sample' with a temperature above 0, or 'beam'."
            )

    @property
    def is_greedy(self) -> bool:
        """Whether each step takes the most probable token: greedy by name, a temperature of 0, a single beam."""
        return (
            self.strategy == "greedy"
            or (self.strategy == "sample" and self.temperature == 0)
            or (self.strategy == "beam" and self.num_beams == 1)
        )


def _whole(name: str, value: Any) -> int:
    if type(value) is not int:
        raise ConfigError(f"decode.{name} must be a whole number, not {value!r}.")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"decode.{name} must be a finite number, not {value!r}.")
    return float(value)


def _list(name: str, value: Any) -> tuple:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"decode.{name} must be a list, not {value!r}.")
    return tuple(value)


def _token(name: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ConfigError(f"decode.{name} must hold token ids (whole numbers from 0), not {value!r}.")
    return value


def _ids(name: str, value: Any) -> tuple[int, ...]:
    return tuple(_token(name, item) for item in _list(name, value))
