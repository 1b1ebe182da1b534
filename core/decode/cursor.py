"""The next token by hand: a place in a text, what the model says of the token that follows, and one step on or back.

    cursor = cursor_at(run, "once upon a")
    after = cursor.stages(GenerationConfig(strategy="sample", temperature=0.7, top_p=0.9))
    after.top(10)                                       # rows: logit, after each processor, probability, removed by
    cursor = take(cursor, after.top(1)[0]["id"])        # one forward pass
    cursor = back(cursor)                               # none: it is remembered

The model is asked once for each place. What settings make of its answer is worked out on the whole vocabulary, by the
engine's own processors in the engine's order, without asking it again.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from core.decode.config import GenerationConfig
from core.decode.greedy_sample import draw
from core.decode.paths import generator_of
from core.decode.processors import build_processors, logprobs_of
from core.decode.scoring import TokenScore, score_tokens
from core.decode.search import input_ids
from core.decode.session import Prompt, Session, prepare
from core.decode.state import Ends, check_number, process
from core.errors import TextError
from core.tokenizer.visible import visible

if TYPE_CHECKING:
    from core.run import Run

REMEMBERED = 2**23  # logits that the cursors of one prompt keep (32 MB)
AT_ONCE = 64  # tokens read in one go
LOOKED_AHEAD = 100  # places that a cache is made for at first


@dataclass(frozen=True)
class NextToken:
    """The next token's distribution before and after the processors. Arrays are over the whole vocabulary, (V,).

    Entropies are in nats, a perplexity is exp(entropy). `mass` is the model's probability of all that is left.
    """

    processors: tuple[str, ...]  # names, in the order in which they act
    logits: np.ndarray  # the model's
    start: np.ndarray  # what the processors begin with: the logits, of beam search their log-softmax
    after: tuple[np.ndarray, ...]  # the logits after each processor; -inf: removed
    probabilities: np.ndarray  # the model's
    final: np.ndarray  # what is chosen from; all 0 where everything was removed
    removed_by: np.ndarray  # the number of the processor that removed the token; -1: none did
    ranks: np.ndarray  # 1: the model's most probable token
    entropy: float
    final_entropy: float
    kept: int  # tokens left
    mass: float
    names: "_Names"

    @property
    def perplexity(self) -> float:
        return math.exp(self.entropy)

    @property
    def final_perplexity(self) -> float:
        return math.exp(self.final_entropy)

    def top(self, count: int, by: Literal["model", "final"] = "model") -> list[dict[str, Any]]:
        """Rows of the most probable tokens, by the model or after all processors, the most probable first."""
        if by == "final":
            best = np.lexsort((self.ranks, -self.final))[: max(0, count)]
        else:
            best = np.flatnonzero(self.ranks <= count)
            best = best[self.ranks[best].argsort()]
        return self.rows(best.tolist())

    def rows(self, ids: Iterable[int]) -> list[dict[str, Any]]:
        """Plain values of tokens: {"id", "text", "rank", "logit", "probability", "after": a logit or None (removed) for
        each processor, "final": probability, "removed_by": a processor's name or ""}."""
        return [
            {
                "id": token, "text": self.names(token), "rank": int(self.ranks[token]),
                "logit": float(self.logits[token]), "probability": float(self.probabilities[token]),
                "after": [None if values[token] == -math.inf else float(values[token]) for values in self.after],
                "final": float(self.final[token]),
                "removed_by": self.processors[self.removed_by[token]] if self.removed_by[token] >= 0 else "",
            }
            for token in ids
        ]  # fmt: skip


@dataclass(frozen=True)
class Cursor:
    """A place behind a prompt (or source) and what has been written so far."""

    text: str  # the prompt, or the source
    written: tuple[int, ...]  # ids, end token included
    scores: tuple[TokenScore, ...]  # of each of them: the model's log-probability, rank and entropy
    reader: "_Reader" = field(repr=False, compare=False)

    @property
    def run(self) -> "Run":
        return self.reader.run

    @property
    def prompt_ids(self) -> list[int]:
        """As `Generation.prompt_ids`."""
        return self.reader.prompt.ids

    @property
    def truncated(self) -> bool:
        return self.reader.prompt.truncated

    @property
    def ended(self) -> Literal["end", "length", ""]:
        """Why nothing follows: the end token has been written, or the model's context is full."""
        if self.written and self.written[-1] == self.run.model.eos_id:
            return "end"
        return "length" if len(self.written) >= self.reader.room else ""

    @property
    def written_text(self) -> str:
        """What has been written; the bytes of an incomplete character are held back."""
        model, tokenizer = self.run.model, self.run.tokenizer
        return Ends([model.eos_id], (), tokenizer.decode_bytes).text(list(self.written), final=bool(self.ended))

    @property
    def logprob(self) -> float:
        """The model's log-probability of all that has been written."""
        return sum(score.logprob for score in self.scores)

    @property
    def logits(self) -> Tensor:
        """The model's own, (V,) float32. Raises TextError where nothing follows."""
        if self.ended == "end":
            raise TextError("The text has come to its end: go back a token, or begin anew.")
        if self.ended:
            raise TextError(f"The model's context of {self.run.model.max_seq_len:,} tokens is full: go back a token.")
        return self.reader.logits(self.written)

    @torch.inference_mode()
    def stages(self, config: GenerationConfig) -> NextToken:
        """What the settings make of the model's answer. Raises TextError where nothing follows, ConfigError for token
        ids that the vocabulary does not have.

        A strategy that takes the most probable token (greedy, a temperature of 0, one beam) ends with a stage "greedy"
        that keeps only this one. What contrastive search, an assistant or the other beams have to say is not here.
        """
        logits = self.logits[None]
        model, steps = self.run.model, len(self.written)
        start = logits.log_softmax(-1) if config.searches_beams else logits
        own = [model.eos_id] if 0 <= model.eos_id < logits.shape[1] else []
        processors = build_processors(
            config, logits.shape[1], list(dict.fromkeys([*own, *config.stop_ids])), model.device
        )
        prefix = torch.tensor([[*self.reader.prompt.start, *self.written]], device=logits.device)
        processed, stages = process(processors, start, prefix, steps, keep=True)
        if config.is_greedy and processed.max() > -math.inf:
            only = torch.full_like(processed, -math.inf)
            best = processed.argmax(-1)
            only[0, best] = processed[0, best]
            stages.append(("greedy", only))
        return _next_token(logits[0], start[0], stages, self.reader.names)

    def choice(self, config: GenerationConfig, after: NextToken | None = None) -> int | None:
        """What `generate` with these settings writes here: the most probable token that is left, or where tokens are
        drawn the one that the first sample draws at this step. None if nothing is left.

        So with greedy decoding and sampling, step for step what `generate` gives; of other strategies the nearest there
        is without their search. after: the stages of these settings, where they are known.
        """
        after = after or self.stages(config)
        if not after.kept:
            return None
        last = torch.from_numpy(after.after[-1] if after.after else after.start)[None]
        if not config.draws:
            return int(last.argmax())
        generator = generator_of(config.seed, self.prompt_ids, 0)
        draws = [generator.random() for _ in range(len(self.written) + 1)]
        return int(draw(last, torch.tensor(draws[-1:], dtype=torch.float64)))


def cursor_at(run: "Run", text: str, written_ids: Sequence[int] = (), max_new_tokens: int = 100) -> Cursor:
    """The place behind a prompt (or of a translator: a source) and what has been written.

    max_new_tokens: what `GenerationConfig` has under this name; a prompt longer than the context is cut for it as
    `generate` cuts it. Raises TextError: nothing to translate, or what is written does not fit or goes beyond an end.
    """
    model = run.model
    ids = input_ids(run, text)
    if ids is None:
        raise TextError("There is nothing to translate: type a text.")
    eos_id = model.eos_id if 0 <= model.eos_id < model.config.vocab_size else None
    config = GenerationConfig(max_new_tokens=max_new_tokens)
    reader = _Reader(run, prepare(model, [ids], config, model.bos_id, eos_id)[0])
    written = tuple(written_ids)
    if model.eos_id in written[:-1]:
        raise TextError("Nothing can follow the end token: leave out what is written behind it.")
    if len(written) > reader.room:
        raise TextError(
            f"{len(written):,} tokens are written, but behind the prompt the model has room for {reader.room:,}."
        )
    return Cursor(text, written, tuple(score_tokens(model, reader.prompt.ids, written)), reader)


def take(cursor: Cursor, id: int) -> Cursor:
    """The place behind one more token. The model reads it when it is asked for what follows."""
    logits = cursor.logits
    if not 0 <= id < len(logits):
        raise TextError(f"There is no token {id}: the model's ids go from 0 to {len(logits) - 1}.")
    log_probs = logits.log_softmax(-1)
    entropy = float(-(log_probs.exp() * log_probs).nansum())
    score = TokenScore(
        float(logprobs_of(logits, torch.tensor([id], device=logits.device))),
        1 + int((logits > logits[id]).sum()),
        entropy,
    )
    return replace(cursor, written=(*cursor.written, id), scores=(*cursor.scores, score))


def back(cursor: Cursor) -> Cursor:
    """The place before the last token; at the beginning the same place."""
    return replace(cursor, written=cursor.written[:-1], scores=cursor.scores[:-1])


def _next_token(logits: Tensor, start: Tensor, stages: list[tuple[str, Tensor]], names: "_Names") -> NextToken:
    after = [values[0] for _, values in stages]
    last = (after[-1] if after else start).double()
    check_number(float(last.sum()) if last.isnan().any() else 0.0)
    removed_by = torch.full(logits.shape, -1, dtype=torch.int16, device=logits.device)
    before = start
    for number, values in enumerate(after):
        gone = values == -math.inf
        removed_by[gone & (before != -math.inf)] = number
        removed_by[~gone] = -1  # given back: a forced token
        before = values
    probabilities = logits.double().softmax(-1)
    left = last != -math.inf
    final = last.softmax(-1) if left.any() else torch.zeros_like(last)
    order = logits.argsort(descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(1, len(order) + 1, device=order.device)
    return NextToken(
        processors=tuple(name for name, _ in stages),
        logits=logits.cpu().numpy(),
        start=start.cpu().numpy(),
        after=tuple(values.cpu().numpy() for values in after),
        probabilities=probabilities.cpu().numpy(),
        final=final.cpu().numpy(),
        removed_by=removed_by.cpu().numpy(),
        ranks=ranks.cpu().numpy(),
        entropy=_entropy(probabilities),
        final_entropy=_entropy(final),
        kept=int(left.sum()),
        mass=float(probabilities[left].sum()),
        names=names,
    )


def _entropy(probabilities: Tensor) -> float:
    return float(-torch.special.xlogy(probabilities, probabilities).sum()) + 0.0


class _Names:
    """How tokens are shown."""

    def __init__(self, run: "Run") -> None:
        self.tokenizer = run.tokenizer

    def __call__(self, token: int) -> str:
        tokenizer = self.tokenizer
        return visible(tokenizer.token_bytes(token)) if tokenizer.has_id(token) else f"#{token}"


class _Reader:
    """The model behind one prompt. It goes on from where it is, or back and on again, and remembers its last answers;
    all cursors of the prompt share it, from any thread."""

    def __init__(self, run: "Run", prompt: Prompt) -> None:
        self.run, self.prompt, self.names = run, prompt, _Names(run)
        self.room = run.model.max_seq_len - len(prompt.start)  # tokens that can be written
        self._known: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()
        self._most = max(2, REMEMBERED // run.model.config.vocab_size)
        self._session: Session | None = None
        self._capacity = min(self.room, LOOKED_AHEAD)
        self._lock = Lock()

    def logits(self, written: tuple[int, ...]) -> Tensor:
        """The model's answer (V,) behind what is written."""
        with self._lock, torch.inference_mode():
            if written not in self._known:
                self._known[written] = self._read(written)
            self._known.move_to_end(written)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
            return self._known[written]

    def _read(self, written: tuple[int, ...]) -> Tensor:
        if self._session is None or len(written) >= self._capacity:
            while len(written) >= self._capacity < self.room:
                self._capacity = min(self.room, 2 * self._capacity)
            prompt = replace(self.prompt, max_new_tokens=self._capacity)
            self._session = Session(self.run.model, [prompt], self.run.model.pad_id)
            logits = self._session.start()[0]
            if not written:
                return logits
        session, text = self._session, [*self.prompt.start, *written]
        read = session.rows[0]
        same = next((place for place, (a, b) in enumerate(zip(read, text)) if a != b), min(len(read), len(text)))
        same = min(same, len(text) - 1)  # the last token is read in any case: the answer follows from it
        session.rewind([same])
        for at in range(same, len(text), AT_ONCE):
            logits = session.extend([text[at : at + AT_ONCE]])[0, -1]
        return logits
