"""Decoding as others call it: generate and stream, with texts and a run or with ids and a model.

All of it is one engine: a stream of steps. `generate` reads the stream to its end, so that what is streamed is what is
returned. Models are used as they are: `model.eval()` is the caller's.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.decode.beam import beam_search
from core.decode.config import GenerationConfig
from core.decode.greedy_sample import greedy_or_sample
from core.decode.processors import build_processors
from core.decode.result import Generation, Hypothesis, StreamEvent
from core.decode.session import Prompt, Session, prepare
from core.decode.state import Ends, Update, make_hypothesis
from core.decode.trace import StepTrace
from core.errors import ConfigError

if TYPE_CHECKING:
    from core.model import LanguageModel
    from core.run import Run

BATCH_ROWS = 64  # rows (inputs times beams or samples) decoded together, unless the caller says otherwise


def generate(
    run: "Run",
    texts: Sequence[str] | str,
    config: GenerationConfig | None = None,
    trace: bool = False,
    batch_rows: int = BATCH_ROWS,
) -> list[Generation]:
    """Continue prompts, or translate sources: one Generation for each text, in order.

    config: the run's own by default. Results do not depend on what else is in `texts`. A text without a word to
    translate gives an empty translation without asking the model; an empty prompt is continued from <s>.
    """
    results: dict[int, Generation] = {}
    decoder = _Decoder.of_run(run, config, trace)
    for event in decoder.stream(*_texts_to_ids(run, texts), batch_rows, text=False):
        if event.generation is not None:
            results[event.row] = event.generation
    return [results[row] for row in range(len(results))]


def stream(
    run: "Run", texts: Sequence[str] | str, config: GenerationConfig | None = None, trace: bool = False
) -> Generator[StreamEvent, None, None]:
    """`generate`, step by step: an event for every step of every sample (beams: of every input).

    The last event of an input carries its Generation. Closing the iterator stops the work. All texts go in one batch.
    """
    return _Decoder.of_run(run, config, trace).stream(*_texts_to_ids(run, texts))


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
) -> list[list[Hypothesis]]:
    """Hypotheses for prompts (for sources, with an encoder-decoder), taken as they stand: nothing is put before or
    behind them, except that an empty prompt becomes [bos] and an empty source [eos].

    bos_id, eos_id: the model's own by default; an eos_id of -1 means that nothing but the limits ends a row.
    tokenizer: needed for stop strings, and fills `Hypothesis.text`.
    """
    results: dict[int, list[Hypothesis]] = {}
    decoder = _Decoder(model, config or GenerationConfig(), trace, bos_id, eos_id, tokenizer, use_cache)
    for event in decoder.stream(list(inputs), None, batch_rows, text=False):
        if event.generation is not None:
            results[event.row] = event.generation.hypotheses
    return [results[row] for row in range(len(results))]


def stream_ids(
    model: "LanguageModel",
    inputs: Sequence[Sequence[int]],
    config: GenerationConfig | None = None,
    *,
    bos_id: int | None = None,
    eos_id: int | None = None,
    tokenizer: Any = None,
    trace: bool = False,
) -> Generator[StreamEvent, None, None]:
    """`generate_ids`, step by step."""
    decoder = _Decoder(model, config or GenerationConfig(), trace, bos_id, eos_id, tokenizer)
    return decoder.stream(list(inputs), None)


def _texts_to_ids(run: "Run", texts: Sequence[str] | str) -> tuple[list[list[int] | None], list[str]]:
    """Ids with <s> before a prompt, if the model begins so, or </s> behind a source; None for an empty source."""
    texts = [texts] if isinstance(texts, str) else list(texts)
    model = run.model
    ids: list[list[int] | None] = []
    for text in texts:
        if model.is_encoder_decoder:
            ids.append([*run.tokenizer.encode(text).ids, model.eos_id] if text.strip() else None)
        else:
            ids.append(model.prompt_ids(run.tokenizer.encode(text).ids))
    return ids, texts


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
    ) -> None:
        if config.stop_strings and tokenizer is None:
            raise ConfigError("decode.stop_strings need a tokenizer; pass one, or use decode.stop_ids.")
        self.model, self.config, self.trace, self.use_cache = model, config, trace, use_cache
        self.bos_id = model.bos_id if bos_id is None else bos_id
        self.eos_id = model.eos_id if eos_id is None else eos_id
        end_ids = {*config.stop_ids, *([self.eos_id] if self.eos_id is not None and self.eos_id >= 0 else [])}
        self.ends = Ends(end_ids, config.stop_strings, tokenizer.decode_bytes if tokenizer is not None else None)
        self.processors = build_processors(config, model.config.vocab_size, sorted(end_ids), model.device)

    @classmethod
    def of_run(cls, run: "Run", config: GenerationConfig | None, trace: bool) -> "_Decoder":
        return cls(run.model, config or run.config.decode, trace, tokenizer=run.tokenizer)

    def stream(
        self,
        inputs: Sequence[Sequence[int] | None],
        texts: Sequence[str] | None = None,
        batch_rows: int | None = None,
        text: bool = True,
    ) -> Generator[StreamEvent, None, None]:
        """Events of all inputs; `text` False: only the last event of each input, which has everything."""
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
        config = self.config
        each = 1 if config.is_greedy else config.num_beams if config.strategy == "beam" else config.num_return_sequences
        size = len(real) if batch_rows is None else max(1, batch_rows // each)
        for start in range(0, len(real), size or 1):
            yield from self._batch(real[start : start + size], prompts, texts, text)

    def _batch(
        self, rows: list[int], prompts: dict[int, Prompt], texts: Sequence[str] | None, text: bool
    ) -> Iterator[StreamEvent]:
        began = time.perf_counter()
        batch = [prompts[row] for row in rows]
        beams = self.config.strategy == "beam" and not self.config.is_greedy
        traces: list[list[StepTrace]] = [[] for _ in rows]
        search = (beam_search if beams else greedy_or_sample)(
            self._session(batch), batch, self.config, self.processors, self.ends, self.trace
        )
        for updates in search:
            for update in updates:
                traces[update.row] += update.trace
                row, generation = rows[update.row], None
                if update.result is not None:
                    generation = Generation(
                        prompt=texts[row] if texts is not None else "",
                        prompt_ids=batch[update.row].ids,
                        hypotheses=[self._with_text(h, final=True) for h in update.result],
                        truncated=batch[update.row].truncated,
                        seconds=time.perf_counter() - began,
                        forward_passes=update.step + 1,
                        trace=traces[update.row],
                    )
                if text or generation is not None:
                    yield self._event(row, update, generation, beams)

    def _session(self, batch: list[Prompt]) -> Session:
        import torch

        with torch.inference_mode():
            return Session(self.model, batch, self.model.pad_id, self.use_cache)

    def _event(self, row: int, update: Update, generation: Generation | None, beams: bool) -> StreamEvent:
        if beams and generation is not None:
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
        generation = Generation(prompt, [], [empty], truncated=False, seconds=0.0, forward_passes=0)
        return StreamEvent(row, 0, 0, empty, [], [], generation)
