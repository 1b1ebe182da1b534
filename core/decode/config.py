"""How the next token is chosen: one frozen dataclass that plain JSON can fill.

Only the standard library is imported here: core.config holds a GenerationConfig and must stay quick to import.
"""

import sys
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from core.errors import ConfigError

Strategy = Literal["greedy", "beam", "diverse_beam", "sample", "contrastive", "assisted", "best_of", "mbr"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
CANDIDATES = 4  # of contrastive search, where top_k does not say
MOST_ROWS = 4_096  # of beams, samples, results: what a machine can hold, and anybody would wait for


@dataclass(frozen=True)
class GenerationConfig:
    """Settings of `generate`. Names and meanings are Hugging Face's where it has the setting.

    The strategy decides which settings act. Penalties, bans, bias, forced prefix and lengths act on all of them.
    Temperature and the truncations (top_k ... eta_cutoff) act where something is drawn: sample, best_of, mbr and
    assisted with assisted_sampling; beams, length penalty and early stopping on beam search only, except that `score`
    is normalised by the length penalty everywhere (with mbr it is the utility).

    >>> GenerationConfig(strategy="sample", top_p=0.9, seed=1).top_p
    0.9
    >>> GenerationConfig(top_p=1.5)
    Traceback (most recent call last):
    core.errors.ConfigError: decode.top_p must lie in (0, 1], not 1.5.
    """

    strategy: Strategy = "greedy"
    max_new_tokens: int = 100  # the end token counts
    min_new_tokens: int = 0  # no end token before so many
    num_return_sequences: int = 1  # samples, or best beams or candidates, of one prompt
    seed: int = 0  # of sampling; with the prompt and the sample's number it decides every draw

    # Beam search
    num_beams: int = 5  # 1 is greedy
    length_penalty: float = 1.0  # above 0 favours longer hypotheses, 0 compares plain sums of log-probabilities
    length_penalty_formula: Literal["hf", "gnmt", "ctranslate2"] = "hf"  # see core.decode.length_penalty
    early_stopping: bool | Literal["never"] = False  # when a row's search may end; see core.decode.beam
    num_beam_groups: int = 0  # of diverse_beam: equal parts of num_beams; 0: every beam is a group of its own
    diversity_penalty: float = 0.5  # for each time that an earlier group has chosen the token at the same step

    # Sampling
    temperature: float = 1.0  # 0 is greedy; else at least 1e-5
    top_k: int = 0  # 0: off; more than the vocabulary is the whole vocabulary
    top_p: float = 1.0  # 1: off
    min_p: float = 0.0  # 0: off, as are the two cutoffs
    typical_p: float = 1.0  # 1: off
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0

    # Contrastive search: the best of top_k candidates (of 4, where top_k is 0)
    penalty_alpha: float = 0.6  # 0 is greedy, 1 looks at the degeneration penalty only

    # Assisted decoding
    num_assistant_tokens: int = 5  # drafted by the assistant in one go
    assisted_sampling: bool = False  # false: the result is that of greedy; true: drawn as with sample

    # Reranking of samples: best_of and mbr
    num_samples: int = 16  # candidates drawn
    mbr_metric: Literal["chrf", "bleu"] = "chrf"  # the utility

    # Penalties, bans and bias
    repetition_penalty: float = 1.0  # 1: off; over prompt and continuation (Keskar et al., 2019)
    presence_penalty: float = 0.0  # taken once from the logit of what has been generated; the prompt does not count
    frequency_penalty: float = 0.0  # taken as often as it has been generated
    no_repeat_ngram_size: int = 0  # 0: off
    bad_words_ids: tuple[tuple[int, ...], ...] = ()  # token sequences that must not appear
    logit_bias: dict[int, float] = field(default_factory=dict, hash=False)  # token id -> added to its logit
    forced_prefix_ids: tuple[int, ...] = ()  # the continuation begins with these
    forced_end: bool = False  # the last of max_new_tokens is an end token
    renormalize_logits: bool = False  # to probabilities again, after all of the above: it counts in the sums of beams

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
        for name, choices in (
            ("strategy", STRATEGIES),
            ("length_penalty_formula", ("hf", "gnmt", "ctranslate2")),
            ("mbr_metric", ("chrf", "bleu")),
        ):
            if getattr(self, name) not in choices:
                *others, last = map(repr, choices)
                raise ConfigError(f"decode.{name} must be {', '.join(others)} or {last}, not {getattr(self, name)!r}.")
        if not (isinstance(self.early_stopping, bool) or self.early_stopping == "never"):
            raise ConfigError(f"decode.early_stopping must be true, false or 'never', not {self.early_stopping!r}.")
        for name in ("assisted_sampling", "forced_end", "renormalize_logits"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"decode.{name} must be true or false, not {getattr(self, name)!r}.")
        for name in (
            *("max_new_tokens", "min_new_tokens", "num_return_sequences", "seed", "num_beams", "num_beam_groups"),
            *("top_k", "num_assistant_tokens", "num_samples", "no_repeat_ngram_size", "num_candidates"),
        ):
            _whole(name, getattr(self, name))
        for name in (
            *("length_penalty", "temperature", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"),
            *("diversity_penalty", "penalty_alpha"),
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
        for name in (
            *("max_new_tokens", "num_return_sequences", "num_beams", "num_candidates"),
            *("num_assistant_tokens", "num_samples"),
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"decode.{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("num_return_sequences", "num_beams", "num_candidates", "num_assistant_tokens", "num_samples"):
            if getattr(self, name) > MOST_ROWS:
                raise ConfigError(f"decode.{name} may be {MOST_ROWS:,} at most, not {getattr(self, name):,}.")
        for name in (
            *("min_new_tokens", "top_k", "no_repeat_ngram_size", "temperature"),
            *("num_beam_groups", "diversity_penalty"),
        ):
            if getattr(self, name) < 0:
                raise ConfigError(f"decode.{name} must not be negative, but is {getattr(self, name)}.")
        for name in ("top_p", "typical_p"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"decode.{name} must lie in (0, 1], not {getattr(self, name)}.")
        for name in ("min_p", "penalty_alpha"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"decode.{name} must lie in [0, 1], not {getattr(self, name)}.")
        if abs(self.length_penalty) > 20:  # powers of lengths that are still numbers
            raise ConfigError(f"decode.length_penalty must lie in [-20, 20], not {self.length_penalty}.")
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
        if self.strategy == "diverse_beam" and self.num_beams % self.beam_groups:
            raise ConfigError(
                f"decode.num_beams ({self.num_beams}) must be a multiple of "
                f"decode.num_beam_groups ({self.num_beam_groups})."
            )
        most = {"beam": "num_beams", "diverse_beam": "num_beams", "best_of": "num_samples", "mbr": "num_samples"}
        name = most.get(self.strategy)
        if name is not None:
            if self.num_return_sequences > getattr(self, name):
                raise ConfigError(
                    f"decode.num_return_sequences ({self.num_return_sequences}) must not be more than "
                    f"decode.{name} ({getattr(self, name)})."
                )
        elif self.num_return_sequences > 1 and not self.draws:
            raise ConfigError(
                "decode.num_return_sequences must be 1 where there is one result (greedy, contrastive and assisted "
                "decoding, a temperature of 0); choose the strategy 'sample' with a temperature above 0, or 'beam'."
            )
        if self.reranks and self.temperature == 0:
            raise ConfigError(
                f"decode.temperature must be above 0 with the strategy {self.strategy!r}, which chooses among samples."
            )

    @property
    def is_greedy(self) -> bool:
        """Whether each step takes the most probable token: greedy by name (or with an assistant), a temperature of 0,
        a single beam."""
        if self.strategy in ("beam", "diverse_beam"):
            return self.num_beams == 1
        return self.strategy != "contrastive" and not self.draws

    @property
    def draws(self) -> bool:
        """Whether tokens are drawn by lot."""
        drawn = self.strategy in ("sample", "best_of", "mbr") or (
            self.strategy == "assisted" and self.assisted_sampling
        )
        return drawn and self.temperature > 0

    @property
    def searches_beams(self) -> bool:
        return self.strategy in ("beam", "diverse_beam") and not self.is_greedy

    @property
    def reranks(self) -> bool:
        """Whether results are chosen among samples."""
        return self.strategy in ("best_of", "mbr")

    @property
    def beam_groups(self) -> int:
        """The number of groups that the beams are divided into."""
        return (self.num_beam_groups or self.num_beams) if self.strategy == "diverse_beam" else 1

    @property
    def num_paths(self) -> int:
        """Continuations of one input that are written independently of each other."""
        return self.num_samples if self.reranks else self.num_return_sequences if self.draws else 1

    @property
    def rows(self) -> int:
        """Rows of a batch that one input takes."""
        if self.searches_beams:
            return self.num_beams
        return (self.top_k or CANDIDATES) if self.strategy == "contrastive" else self.num_paths


def _whole(name: str, value: Any) -> int:
    if type(value) is not int:
        raise ConfigError(f"decode.{name} must be a whole number, not {value!r}.")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
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
