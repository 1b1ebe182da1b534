"""Is attention right? Of `builtin:enja` the gold word alignment is known, so the error of every head can be counted.

gold = gold_alignment(run, held_out(1)[1][0])    # tokens, and which of the target goes with which of the source
scores = alignment_scores(run, held_out(100)[1])  # alignment error rate of every head, of every layer, of a diagonal

How it is counted. The grammar says which English words and Japanese morphemes are translations of each other; a target
and a source token are linked if they touch such a pair. A head says that a target token goes with the source tokens
that get at least HALF of the largest weight in its row; weight on the end of the source means "with none", as a null
word does. The alignment error rate (Och and Ney, "A Systematic Comparison of Various Statistical Alignment Models",
2003) compares both; sentences are counted together. Rows of attention can stand for the token that is written next or
for the one just read: which of them a head aligns differs by layer (Chen et al., "Accurate Word Alignment Induction
from Neural Machine Translation", 2020).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import DataError, RunError

if TYPE_CHECKING:
    from torch import Tensor

    from core.analysis.reading import Reading
    from core.data.grammar import Example
    from core.model import LanguageModel
    from core.run import Run

Span = tuple[int, int]
HALF = 0.5  # of the largest weight in a row: what gets as much is meant too
ROWS = {"written": "the token that is written next", "read": "the token that was read"}
BATCH_TOKENS = 2_048  # of sources and of targets, padding included, that are read at once


@dataclass(frozen=True)
class Gold:
    """A sentence pair in a run's tokens. links: bool (target tokens, source tokens), without end tokens."""

    example: "Example"
    source: list[int]
    target: list[int]
    links: np.ndarray


@dataclass(frozen=True)
class AlignmentScores:
    """How well each head of the cross-attention aligns: error rates, where 0 is perfect. Layers and heads from 0.

    by_layer: of the mean of a layer's heads. diagonal: of linking the tokens in their order, evenly, whatever they are.
    """

    rows: str  # of ROWS
    sentences: int
    left_out: int  # sentences that are longer than the model reads
    by_head: np.ndarray  # (layers, heads)
    precision: np.ndarray  # (layers, heads): share of a head's links that are right
    recall: np.ndarray  # (layers, heads): share of the gold links that it has
    by_layer: np.ndarray  # (layers,)
    diagonal: float

    @property
    def best(self) -> tuple[int, int]:
        """Layer and head with the lowest error."""
        layer, head = np.unravel_index(np.argmin(self.by_head), self.by_head.shape)
        return int(layer), int(head)


def can_align(run: "Run") -> bool:
    """Whether the run translates English to Japanese, as far as its configuration says."""
    data = run.config.data
    languages = (data.src_language, data.tgt_language)
    return run.is_translation and (data.name == "builtin:enja" and not data.src or languages == ("en", "ja"))


def touching(tokens: Sequence[Span], words: Sequence[Span]) -> np.ndarray:
    """bool (tokens, words): which tokens have a character of which words. A token may touch several words, or none.

    >>> touching([(0, 2), (2, 5), (5, 6)], [(0, 1), (1, 4)]).astype(int).tolist()
    [[1, 1], [0, 1], [0, 0]]
    """
    t, w = (np.asarray(spans, dtype=int).reshape(-1, 2) for spans in (tokens, words))
    return np.maximum(t[:, None, 0], w[:, 0]) < np.minimum(t[:, None, 1], w[:, 1])  # type: ignore[no-any-return]


def token_links(example: "Example", source_spans: Sequence[Span], target_spans: Sequence[Span]) -> np.ndarray:
    """bool (target tokens, source tokens): the gold alignment of words, on tokens with these character spans."""
    words = np.zeros((len(example.tgt_spans), len(example.src_spans)), dtype=bool)
    for source, target in example.alignment:
        words[target, source] = True
    left, right = touching(target_spans, example.tgt_spans), touching(source_spans, example.src_spans).T
    return left @ words @ right


def gold_alignment(run: "Run", example: "Example") -> Gold:
    """The example in the run's tokens, with its gold alignment. RunError for a run that does not translate en to ja."""
    if not can_align(run):
        raise RunError(
            "The gold alignment is of English sentences and their Japanese translations: choose a run that translates "
            f"these, not {run.name}."
        )
    source = run.tokenizer.encode(example.src)
    target = run.tokenizer.for_target().encode(example.tgt)
    return Gold(example, source.ids, target.ids, token_links(example, source.char_spans, target.char_spans))


def target_rows(attention: np.ndarray, rows: str) -> np.ndarray:
    """The rows of cross-attention (..., 1 + target tokens, S) that stand for the target's tokens, in their order.

    Row 0 is of the token that begins every target. "written": row t goes on to write target token t; "read": row t + 1
    has just read it.
    """
    if rows not in ROWS:
        raise DataError(f"Rows stand for what is {' or '.join(ROWS)}, not {str(rows)[:40]!r}.")
    return attention[..., :-1, :] if rows == "written" else attention[..., 1:, :]


def head_links(weights: np.ndarray) -> np.ndarray:
    """What a head says: bool (..., T, S) of weights (..., T, S + 1), the last column of which is the source's end.

    >>> head_links(np.array([[0.5, 0.25, 0.2, 0.05], [0.1, 0.1, 0.0, 0.8]])).astype(int).tolist()
    [[1, 1, 0], [0, 0, 0]]
    """
    return (weights >= HALF * weights.max(axis=-1, keepdims=True))[..., :-1]  # type: ignore[no-any-return]


def diagonal_links(target: int, source: int) -> np.ndarray:
    """bool (target, source): each target token with the source token at the same share of its sentence.

    >>> diagonal_links(2, 4).astype(int).tolist()
    [[0, 1, 0, 0], [0, 0, 0, 1]]
    """
    links = np.zeros((target, source), dtype=bool)
    if source:
        links[np.arange(target), ((np.arange(target) + 0.5) * source / max(1, target)).astype(int)] = True
    return links


def alignment_error_rate(said: np.ndarray, sure: np.ndarray, possible: np.ndarray | None = None) -> float:
    """1 - (|A ∩ S| + |A ∩ P|) / (|A| + |S|) of bool arrays: what is said, what is surely and what is possibly right.

    All links of the grammar are sure, so P = S, and the rate is 1 - F1. NaN where nothing is said nor to be said.

    >>> alignment_error_rate(np.array([True, True, False]), np.array([True, False, True]))
    0.5
    """
    possible = sure if possible is None else sure | possible
    count = int(said.sum()) + int(sure.sum())
    return 1 - (int((said & sure).sum()) + int((said & possible).sum())) / count if count else float("nan")


def reading_of(run: "Run", example: "Example", model: "LanguageModel | None" = None) -> "Reading":
    """The example read with its gold translation as the target. DataError if it is longer than the model reads."""
    from core.analysis.reading import longest, read

    gold = gold_alignment(run, example)
    if not _fits(gold, longest(run)):
        raise DataError("This sentence is longer than the model reads: choose another.")
    return read(run, example.src, example.tgt, model)


def alignment_scores(
    run: "Run",
    examples: Sequence["Example"],
    model: "LanguageModel | None" = None,
    rows: str = "written",
    progress: Callable[[float, str], Any] | None = None,
) -> AlignmentScores:
    """The errors of all heads over the examples. progress: told the share that is done, and what is happening."""
    for scores in scoring(run, examples, model, rows):
        if progress is not None:
            done = scores.sentences + scores.left_out
            progress(done / len(examples), f"{done:,} of {len(examples):,} sentences aligned")
    return scores


def scoring(
    run: "Run", examples: Sequence["Example"], model: "LanguageModel | None" = None, rows: str = "written"
) -> Iterator[AlignmentScores]:
    """As `alignment_scores`, batch by batch: after each the scores so far. Whoever stops asking has stopped it.

    model: another of the run's shape, say of a snapshot. DataError if no sentence is short enough for the model.
    """
    from core.analysis.reading import longest

    target_rows(np.zeros((1, 1)), rows)  # a wrong name is said before the work
    pairs = [gold_alignment(run, example) for example in examples]
    fitting = [gold for gold in pairs if _fits(gold, longest(run))]
    if not fitting:
        raise DataError("There is no sentence to align that is short enough for the model.")
    config = run.config.model
    heads, layers = np.zeros((3, config.n_layers, config.n_heads), int), np.zeros((3, config.n_layers), int)
    diagonal, done = np.zeros(3, int), 0
    for batch in _batches(fitting):
        for layer, attention in enumerate(_cross_attention(model or run.model, batch)):
            for gold, weights in zip(batch, attention, strict=True):
                own = target_rows(weights[:, : len(gold.target) + 1, : len(gold.source) + 1], rows)
                heads[:, layer] += _counts(head_links(own), gold.links)
                layers[:, layer] += _counts(head_links(own.mean(axis=0)), gold.links)
        for gold in batch:
            diagonal += _counts(diagonal_links(*gold.links.shape), gold.links)
        done += len(batch)
        hits, said, wanted = heads
        yield AlignmentScores(
            rows, done, len(pairs) - len(fitting), _error(heads), _share(hits, said), _share(hits, wanted),
            _error(layers), float(_error(diagonal)),
        )  # fmt: skip


def _fits(gold: Gold, longest: int) -> bool:
    """Whether a model that reads so many tokens a side reads both sentences with their end and begin tokens."""
    return max(len(gold.source), len(gold.target)) < longest


def _batches(pairs: list[Gold]) -> Iterator[list[Gold]]:
    """Sentences in their order, as many at a time as BATCH_TOKENS allow."""
    batch: list[Gold] = []
    for gold in pairs:
        longest = max(max(len(other.source), len(other.target)) for other in [*batch, gold]) + 1
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(gold)
    yield batch


def _cross_attention(model: "LanguageModel", batch: list[Gold]) -> Iterator[np.ndarray]:
    """Layer by layer float32 (B, heads, 1 + target tokens, source tokens + 1), padded; the gold targets are read."""
    import torch

    from core.model.trace import Trace

    source = _padded([[*gold.source, model.eos_id] for gold in batch], model)
    lengths = torch.tensor([len(gold.source) + 1 for gold in batch], device=model.device)
    trace = Trace()
    with torch.inference_mode():
        memory = model.encode(source, torch.arange(source.shape[1], device=model.device) < lengths[:, None])
        model.hidden(_padded([[model.bos_id, *gold.target] for gold in batch], model), memory, None, trace)
        for heads in trace.heads["cross"]:
            assert heads is not None  # the trace has room for all
            yield heads.attention().float().cpu().numpy()


def _padded(rows: list[list[int]], model: "LanguageModel") -> "Tensor":
    import torch

    longest = max(map(len, rows))
    return torch.tensor([row + [model.pad_id] * (longest - len(row)) for row in rows], device=model.device)


def _counts(said: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Links that are right, that are said, that are wanted: (3, ...) of said (..., T, S)."""
    return np.stack(
        [(said & gold).sum(axis=(-2, -1)), said.sum(axis=(-2, -1)), np.broadcast_to(gold.sum(), said.shape[:-2])]
    )


def _error(counts: np.ndarray) -> np.ndarray:
    hits, said, wanted = counts
    return 1 - _share(2 * hits, said + wanted)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(part / whole)
