"""Decoding as others call it: generate and stream, with texts and a run or with ids and a model.

All of it is one engine: a stream of steps. `generate` reads the stream to its end, so that what is streamed is what is
returned. Models are used as they are: `model.eval()` is the caller's.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.decode.assisted import assistant_session, assisted
from core.decode.beam import beam_search
from core.decode.config import GenerationConfig
from core.decode.contrastive import StateSession, contrastive_search
from core.decode.greedy_sample import greedy_or_sample
from core.decode.processors import build_processors
from core.decode.rerank import rerank
from core.decode.result import Generation, Hypothesis, StreamEvent, Work
from core.decode.session import Prompt, Session, prepare
from core.decode.state import Ends, Search, Update, make_hypothesis
from core.decode.trace import StepTrace
from core.errors import ConfigError

if TYPE_CHECKING:
    from core.model import LanguageModel
    from core.run import Run
    from core.tokenizer import Tokenizer

BATCH_ROWS = 64  # rows (inputs times beams or samples) decoded together, unless the caller says otherwise


def generate(
    run: "Run",
    texts: Sequence[str] | str,
    config: GenerationConfig | None = None,
    trace: bool = False,
    batch_rows: int = BATCH_ROWS,
    assistant: "Run | None" = None,
) -> list[Generation]:
    """Continue prompts, or translate sources: one Generation for each text, in order.

    config: the run's own by default. assistant: a run with the same vocabulary, for the strategy "assisted". Results
    do not depend on what else is in `texts`. A text without a word to translate gives an empty translation without
    asking the model; an empty prompt is continued from <s>.
    """
    return _Decoder.of_run(run, config, trace, assistant).generations(*_texts_to_ids(run, texts), batch_rows)


def stream(
    run: "Run",
    texts: Sequence[str] | str,
    config: GenerationConfig | None = None,
    trace: bool = False,
    assistant: "Run | None" = None,
) -> Generator[StreamEvent, None, None]:
    """`generate`, step by step: an event for every step of every sample (beams: of every input).

    The last event of an input carries its Generation. Closing the iterator stops the work. All texts go in one batch.
    """
    return _Decoder.of_run(run, config, trace, assistant).stream(*_texts_to_ids(run, texts))


def generate_ids(
    model: "LanguageModel",
    inputs: Sequence[Sequence[int]],
    config: GenerationConfig | None = None,
    *,
    bos_id: int | None = None,
    eos_id: int | None = None,
    tokenizer: Any = None,
    trace: bool = False,
    use_cache: bool = True,
    batch_rows: int = BATCH_ROWS,
    assistant: "LanguageModel | None" = None,
) -> list[list[Hypothesis]]:
    """Hypotheses for prompts (for sources, with an encoder-decoder), taken as they stand: nothing is put before or
    behind them, except that an empty prompt becomes [bos] and an empty source [eos].

    bos_id, eos_id: the model's own by default; an eos_id of -1 means that nothing but the limits ends a row.
    tokenizer: needed for stop strings and for mbr, and fills `Hypothesis.text`.
    """
    decoder = _Decoder(model, config or GenerationConfig(), trace, bos_id, eos_id, tokenizer, use_cache, assistant)
    return [generation.hypotheses for generation in decoder.generations(list(inputs), None, batch_rows)]


def stream_ids(
    model: "LanguageModel", inputs: Sequence[Sequence[int]], config: GenerationConfig | None = None, **options: Any
) -> Generator[StreamEvent, None, None]:
    """`generate_ids`, step by step and with its options, all inputs in one batch."""
    return _Decoder(model, config or GenerationConfig(), **options).stream(list(inputs))


def results(
    run: "Run",
    inputs: Sequence[Sequence[int] | None],
    config: GenerationConfig | None = None,
    assistant: "Run | None" = None,
) -> Generator[tuple[int, Generation] | None, None, None]:
    """What `generate` returns, of ids as `input_ids` gives them, all in one batch: (place, Generation) as one is done,
    and None after each step, where the work can be stopped by closing the iterator."""
    for event in _Decoder.of_run(run, config, False, assistant).steps(inputs, text=False):
        yield (event.row, event.generation) if event is not None and event.generation is not None else None


def input_ids(run: "Run", text: str) -> list[int] | None:
    """Ids with <s> before a prompt, if the model begins so, or </s> behind a source; None for an empty source."""
    model = run.model
    if not model.is_encoder_decoder:
        return model.prompt_ids(run.tokenizer.encode(text).ids)
    return [*run.tokenizer.encode(text).ids, model.eos_id] if text.strip() else None


def _texts_to_ids(run: "Run", texts: Sequence[str] | str) -> tuple[list[list[int] | None], list[str]]:
    texts = [texts] if isinstance(texts, str) else list(texts)
    return [input_ids(run, text) for text in texts], texts


def _strategy(config: GenerationConfig) -> Callable[[Search], Iterator[list[Update]]]:
    if config.searches_beams:
        return beam_search
    return {"assisted": assisted, "contrastive": contrastive_search}.get(config.strategy, greedy_or_sample)


def same_vocabulary(one: "Tokenizer", other: "Tokenizer") -> bool:
    """Whether every id stands for the same bytes in both."""
    if one.vocab_size != other.vocab_size or one.special_tokens != other.special_tokens:
        return False
    ids = range(one.vocab_size)
    return all(
        one.has_id(id) == other.has_id(id) and (not one.has_id(id) or one.token_bytes(id) == other.token_bytes(id))
        for id in ids
    )


class _Decoder:
    """A model with settings, ready to decode."""

    def __init__(
        self,
        model: "LanguageModel",
        config: GenerationConfig,
        trace: bool = False,
        bos_id: int | None = None,
        eos_id: int | None = None,
        tokenizer: Any = None,
        use_cache: bool = True,
        assistant: "LanguageModel | None" = None,
    ) -> None:
        if config.stop_strings and tokenizer is None:
            raise ConfigError("decode.stop_strings need a tokenizer; pass one, or use decode.stop_ids.")
        if config.strategy == "mbr" and tokenizer is None:
            raise ConfigError("The strategy 'mbr' compares texts and needs a tokenizer; pass one, or use 'best_of'.")
        _check_assistant(model, assistant, config)
        self.assistant = assistant
        self.model, self.config, self.trace, self.use_cache = model, config, trace, use_cache
        self.bos_id = model.bos_id if bos_id is None else bos_id
        eos_id = model.eos_id if eos_id is None else eos_id
        own = [eos_id] if 0 <= eos_id < model.config.vocab_size else []
        self.eos_id = own[0] if own else None  # None: there is none that the model could write
        end_ids = list(dict.fromkeys([*own, *config.stop_ids]))  # the model's own first
        self.ends = Ends(end_ids, config.stop_strings, tokenizer.decode_bytes if tokenizer is not None else None)
        self.processors = build_processors(config, model.config.vocab_size, end_ids, model.device)

    @classmethod
    def of_run(
        cls, run: "Run", config: GenerationConfig | None, trace: bool, assistant: "Run | None" = None
    ) -> "_Decoder":
        if assistant is not None and not same_vocabulary(run.tokenizer, assistant.tokenizer):
            raise ConfigError(
                f"{assistant.name} cannot assist {run.name}: their vocabularies differ; "
                "choose a run that was trained with the same tokenizer."
            )
        helper = assistant.model if assistant is not None else None
        return cls(run.model, config or run.config.decode, trace, tokenizer=run.tokenizer, assistant=helper)

    def generations(
        self, inputs: Sequence[Sequence[int] | None], texts: Sequence[str] | None, batch_rows: int
    ) -> list[Generation]:
        """The stream's results, in the order of the inputs."""
        results: dict[int, Generation] = {}
        for event in self.steps(inputs, texts, batch_rows, text=False):
            if event is not None and event.generation is not None:
                results[event.row] = event.generation
        return [results[row] for row in range(len(results))]

    def stream(
        self, inputs: Sequence[Sequence[int] | None], texts: Sequence[str] | None = None
    ) -> Generator[StreamEvent, None, None]:
        """Events of all inputs, in one batch."""
        for event in self.steps(inputs, texts):
            if event is not None:
                yield event

    def steps(
        self,
        inputs: Sequence[Sequence[int] | None],
        texts: Sequence[str] | None = None,
        batch_rows: int | None = None,
        text: bool = True,
    ) -> Generator[StreamEvent | None, None, None]:
        """Events of all inputs; `text` False: only the last event of each input, which has everything, and None after
        each step."""
        for row, ids in enumerate(inputs):
            if ids is None:
                yield self._nothing(row, texts[row] if texts is not None else "")
        real = [row for row, ids in enumerate(inputs) if ids is not None]
        prompts = dict(
            zip(
                real,
                prepare(self.model, [inputs[row] or [] for row in real], self.config, self.bos_id, self.eos_id),
                strict=True,
            )
        )
        # Neighbours in length together: little padding.
        real.sort(key=lambda row: len(prompts[row].ids))
        size = len(real) if batch_rows is None else max(1, batch_rows // self.config.rows)
        for start in range(0, len(real), size or 1):
            yield from self._batch(real[start : start + size], prompts, texts, text)

    def _batch(
        self, rows: list[int], prompts: dict[int, Prompt], texts: Sequence[str] | None, text: bool
    ) -> Iterator[StreamEvent | None]:
        began = time.perf_counter()
        batch = [prompts[row] for row in rows]
        traces: list[list[StepTrace]] = [[] for _ in rows]
        for updates in _strategy(self.config)(self._search(batch, told=text)):
            for update in updates:
                traces[update.row] += update.trace
                row, generation = rows[update.row], None
                if update.result is not None:
                    hypotheses = [self._with_text(h, final=True) for h in update.result]
                    generation = Generation(
                        prompt=texts[row] if texts is not None else "",
                        prompt_ids=batch[update.row].ids,
                        hypotheses=rerank(hypotheses, self.config) if self.config.reranks else hypotheses,
                        truncated=batch[update.row].truncated,
                        seconds=time.perf_counter() - began,
                        work=update.work,
                        trace=traces[update.row],
                    )
                if text or generation is not None:
                    yield self._event(row, update, generation)
            if not text:
                yield None

    def _search(self, batch: list[Prompt], told: bool) -> Search:
        import torch

        with torch.inference_mode():
            kind = StateSession if self.config.strategy == "contrastive" else Session
            session = kind(self.model, batch, self.model.pad_id, self.use_cache)
            helper = None
            if self.assistant is not None:
                helper = assistant_session(self.assistant, batch, self.use_cache)
        return Search(session, batch, self.config, self.processors, self.ends, self.trace, helper, told)

    def _event(self, row: int, update: Update, generation: Generation | None) -> StreamEvent:
        if self.config.searches_beams and generation is not None:
            hypothesis, shown = generation.best, generation.hypotheses
        else:
            hypothesis = self._with_text(
                make_hypothesis(update.node, update.score, update.reason), final=bool(update.reason)
            )
            shown = [
                self._with_text(make_hypothesis(node, value, reason), final=bool(reason))
                for node, value, reason in update.beams
            ]
        return StreamEvent(row, update.sample, update.step, hypothesis, shown, update.trace, generation)

    def _with_text(self, hypothesis: Hypothesis, final: bool) -> Hypothesis:
        return replace(hypothesis, text=self.ends.text(hypothesis.ids, final))

    def _nothing(self, row: int, prompt: str) -> StreamEvent:
        """The translation of nothing is nothing, with certainty."""
        empty = Hypothesis([], [], 0.0, True, "end")
        generation = Generation(prompt, [], [empty], truncated=False, seconds=0.0, work=Work())
        return StreamEvent(row, 0, 0, empty, [], [], generation)


def _check_assistant(model: "LanguageModel", assistant: "LanguageModel | None", config: GenerationConfig) -> None:
    if (assistant is not None) != (config.strategy == "assisted"):
        raise ConfigError(
            "The strategy 'assisted' needs an assistant: a smaller model of the same vocabulary."
            if assistant is None
            else f"An assistant has nothing to do with the strategy {config.strategy!r}; choose 'assisted'."
        )
    if assistant is None:
        return
    if assistant.config.vocab_size != model.config.vocab_size:
        raise ConfigError(
            f"The assistant's vocabulary has {assistant.config.vocab_size:,} tokens and the model's "
            f"{model.config.vocab_size:,}: they must be the same."
        )
    if assistant.is_encoder_decoder != model.is_encoder_decoder:
        raise ConfigError("A model that translates and one that continues texts cannot assist each other.")
