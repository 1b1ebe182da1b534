"""What an evaluation is asked to do, and what it comes to: plain values, kept as JSON, read strictly."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from core.decode.config import GenerationConfig
from core.decode.presets import PRESETS
from core.errors import ConfigError, RunError
from core.evaluate.scores import METRICS, LengthClass, Score
from core.strict import from_dict

VERSION = 1
MOST_EXAMPLES = 1_000_000
MOST_CHARACTERS = 500_000_000  # of what is evaluated on
LARGEST = 1e15  # a count or a time in an evaluation's file
MOST_PROMPTS, MOST_NEW_TOKENS = 10_000, 2_000


@dataclass(frozen=True)
class Request:
    """What is measured, on what and how. Empty fields: as the run's own configuration says.

    >>> Request(data="test.tsv", max_examples=100).described
    'test.tsv, the first 100'
    >>> Request(metrics=("blue",))
    Traceback (most recent call last):
    core.errors.ConfigError: There is no metric 'blue'; choose bleu, chrf, chrf++, ter, exact, comet.
    """

    # On what: nothing of these is the validation data that the run was trained beside.
    data: str = ""  # a file, a data set of the hub, or builtin:...
    src: str = ""  # parallel files, line by line ...
    ref: str = ""
    pairs: tuple[tuple[str, str], ...] | None = None  # the texts themselves; they are not kept with the request
    documents: tuple[str, ...] | None = None
    title: str = ""  # what such texts are, in words
    text_column: str = ""
    src_column: str = ""
    tgt_column: str = ""
    split: str = ""
    as_given: bool = False  # take texts as they stand, also where the training data's words were joined
    max_examples: int = 0  # only the first so many pairs or documents; 0: all
    language: str = ""  # of the references, where the run does not say: "ja" ...

    # How
    decode: GenerationConfig | None = None  # of translations
    assistant: str = ""
    context: int = 0  # of language models: tokens that a window predicts; 0: all that the model can
    stride: int = 0  # 0: as the context; 1: every token from all that the model can read
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"

    # What
    metrics: tuple[str, ...] = ()  # of translations; empty: core.evaluate.scores.default_metrics
    overlap: bool = False  # look for what is evaluated on in the training data
    prompts: int = 0  # of language models: continue so many places of the text, and measure what is written
    new_tokens: int = 100  # of each continuation
    strategies: tuple[str, ...] = ()  # that continue: names of core.decode.presets; empty: those of the paper
    mauve: str = ""  # a run that reads what was written, for MAUVE

    def __post_init__(self) -> None:
        wrong = next((name for name in self.metrics if name not in METRICS), None)
        if wrong is not None:
            raise ConfigError(f"There is no metric {wrong[:40]!r}; choose {', '.join(METRICS)}.")
        for name in ("max_examples", "context", "stride", "prompts", "new_tokens"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise ConfigError(f"{name} must be a whole number of at least 0, not {value!r}.")
        unknown = next((name for name in self.strategies if name not in PRESETS), None)
        if unknown is not None:
            raise ConfigError(f"There is no preset {unknown[:40]!r}; choose {', '.join(PRESETS)}.")
        if self.prompts > MOST_PROMPTS or not 1 <= self.new_tokens <= MOST_NEW_TOKENS:
            raise ConfigError(
                f"Up to {MOST_PROMPTS:,} prompts can be continued, by 1 to {MOST_NEW_TOKENS:,} tokens each."
            )
        if bool(self.src) != bool(self.ref):
            raise ConfigError("--src and --ref name a pair of files: give both.")
        named = [bool(self.data), bool(self.src), self.pairs is not None, self.documents is not None]
        if sum(named) > 1:
            raise ConfigError("Name one thing to evaluate on: --data, or --src and --ref, or the texts themselves.")

    @property
    def is_own(self) -> bool:
        """Whether nothing is named: the run's own validation data."""
        return not (self.data or self.src) and self.pairs is None and self.documents is None

    @property
    def described(self) -> str:
        """In words, for people; "" for the run's own validation data."""
        given = self.pairs is not None or self.documents is not None
        what = self.data or (f"{self.src} and {self.ref}" if self.src else "")
        what = what or (self.title or "given texts" if given else "")
        what += f" ({self.split})" if what and self.split else ""
        return what + (f", the first {self.max_examples:,}" if self.max_examples and what else "")

    @classmethod
    def from_json(cls, text: str) -> "Request":
        """Of `to_dict` as JSON. Raises ConfigError."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            raise ConfigError("This is no JSON: send the fields of a Request.") from None
        return from_dict(cls, values, "request")

    def to_dict(self) -> dict[str, Any]:
        """Without the texts."""
        values = asdict(replace(self, pairs=None, documents=None))
        usual = asdict(Request())
        return {key: value for key, value in values.items() if value != usual[key]}


@dataclass(frozen=True)
class Output:
    """One translation: a line of outputs.jsonl."""

    number: int  # its place in the data, from 0
    source: str
    reference: str
    output: str
    tokens: int = 0
    logprob: float = 0.0
    truncated: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """What was measured and all that it follows from. `id` is a hash of that, metrics apart: the same again is the same
    evaluation, to which metrics are added without decoding."""

    id: str
    kind: Literal["translation", "language"]
    run: str
    created: float  # time.time()
    state: Literal["done", "stopped"] = "stopped"
    total: int = 0  # pairs, or tokens of a language model's text
    done: int = 0

    # What it follows from
    loads: str = ""  # what `core.load` opens the run by: its name, or its directory
    request: Request = field(default_factory=Request)
    data: str = ""  # in words
    examples: int = 0  # pairs or documents
    language: str = ""
    data_sha256: str = ""
    weights_sha256: str = ""
    tokenizer_sha256: str = ""
    assistant_sha256: str = ""
    stamp: str = ""  # of weights elsewhere, see remote.decoding
    decode: GenerationConfig | None = None
    context: int = 0
    stride: int = 0
    device: str = "cpu"  # or the GPU's name
    precision: str = "float32"
    place: Literal["local", "modal"] = "local"
    software: dict[str, str] = field(default_factory=dict)

    # What it took
    seconds: float = 0.0  # of decoding or of measuring the loss
    tokens_written: int = 0

    # What came out. Of what is stopped: nothing yet.
    scores: dict[str, Score] = field(default_factory=dict)
    length_classes: tuple[LengthClass, ...] = ()
    loss_per_token: float | None = None
    perplexity: float | None = None
    tokens: int = 0  # that the loss is a mean of
    numbers: dict[str, int | float | None] = field(default_factory=dict)  # of language models: bits_per_byte, words ...
    truncated: int = 0  # sources longer than the context
    overlap: dict[str, Any] = field(default_factory=dict)  # core.evaluate.overlap.Overlap, or why it is not known
    degeneration: dict[str, Any] = field(default_factory=dict)  # core.evaluate.continuations.measuring
    command: str = ""  # a line for the shell that does it again
    python: str = ""

    # Not part of what is kept:
    directory: str = ""  # where it is kept
    lines: tuple[Output, ...] = field(default=(), repr=False, compare=False)  # of what is kept nowhere

    @property
    def tokens_per_second(self) -> float | None:
        count = self.tokens_written if self.kind == "translation" else self.tokens
        return count / self.seconds if self.seconds and count else None

    @property
    def examples_per_second(self) -> float | None:
        return self.done / self.seconds if self.seconds and self.kind == "translation" else None

    def to_dict(self) -> dict[str, Any]:
        values = asdict(replace(self, lines=()))
        del values["directory"], values["lines"]
        values["request"] = self.request.to_dict()
        return {"version": VERSION, **values}

    @classmethod
    def from_dict(cls, values: Any, directory: Path | None = None) -> "Evaluation":
        """Raises RunError, one sentence, for what is no evaluation as `to_dict` gives it."""
        if not isinstance(values, dict) or "id" not in values:
            raise RunError("This is no evaluation: it needs an id, a kind and a run.")
        if values.get("version") != VERSION:
            raise RunError(f"This evaluation is of version {str(values.get('version'))[:20]}; {VERSION} is read here.")
        if "directory" in values or "lines" in values:
            raise RunError("An evaluation's file does not say where it lies: it was written by something else.")
        free = {name: values.get(name, {}) for name in ("overlap", "degeneration")}  # plain values as they are
        if not _is_overlap(free["overlap"]) or not _is_degeneration(free["degeneration"]):
            raise RunError(
                "This evaluation cannot be read: its overlap or its degeneration is not as they are written."
            )
        plain = {key: value for key, value in values.items() if key != "version" and key not in free}
        try:
            found = from_dict(cls, plain, "evaluation")
        except (ConfigError, TypeError) as error:
            raise RunError(f"This evaluation cannot be read: {error}") from None
        counts = ("created", "total", "done", "examples", "tokens", "tokens_written", "truncated", "seconds")
        wrong = next((name for name in counts if not 0 <= getattr(found, name) < LARGEST), "")
        if wrong:
            raise RunError(f"This evaluation cannot be read: its {wrong} cannot be {getattr(found, wrong)!r:.40}.")
        return replace(found, **free, directory=str(directory) if directory is not None else "")


def _is_overlap(value: Any) -> bool:
    """{}, or what core.evaluate.looking returns."""
    return isinstance(value, dict) and (not value or isinstance(value.get("summary"), str))


def _is_degeneration(value: Any) -> bool:
    """{}, or what core.evaluate.continuations.measuring returns, as far as it is told in lines."""

    def is_column(column: Any) -> bool:
        return (
            isinstance(column, dict)
            and isinstance(column.get("title"), str)
            and isinstance(column.get("looping"), (int, float))
            and all(isinstance(column.get(name, ""), (int, float, type(None))) for name in ("perplexity", "self_bleu"))
            and isinstance(column.get("mauve", 0.0), (int, float))
        )

    columns = value.get("columns") if isinstance(value, dict) else None
    return value == {} or (isinstance(columns, list) and all(map(is_column, columns)))


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is."""

    share: float  # of all the work, 0 to 1
    what: str  # is being done, in words
    done: int = 0  # pairs, or tokens of a language model's text
    total: int = 0
    scores: dict[str, float] = field(default_factory=dict)  # of what is done so far
    seconds_left: float | None = None
