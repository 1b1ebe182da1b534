"""What a head does, as one number: how widely it looks, how far, at the token before, at the same token, and so on.

Every function takes attention (..., Q, K), rows of which sum to 1, and gives one number a head (...). i is the place of
a query, j that of a key, both from 0; a_ij is the weight, t_i the token. A score that nothing in the text can tell
about (no token occurs twice, say) is NaN.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import RunError

if TYPE_CHECKING:
    from core.model import LanguageModel
    from core.run import Run

SEQUENCE = 50  # random tokens that `induction_on_repeats` repeats, as far as the model reads twice as many
SEQUENCES = 4  # of them, of which it takes the mean: of a single one the score differs by a third from draw to draw


@dataclass(frozen=True)
class Score:
    """A score for people. formula: plain text; kinds: the kinds of attention that it is defined for."""

    title: str
    formula: str
    meaning: str
    kinds: tuple[str, ...] = ("cross", "encoder", "self")


SCORES = {
    "entropy": Score(
        "Entropy",
        "1/Q · Σᵢ Σⱼ −aᵢⱼ · ln aᵢⱼ",
        "How widely a query looks, in nats: 0 if all weight is on one key, ln n if it is spread evenly over n.",
    ),
    "distance": Score(
        "Mean distance",
        "1/Q · Σᵢ Σⱼ aᵢⱼ · |i − j|",
        "How many tokens lie between a query and what it looks at.",
        ("encoder", "self"),
    ),
    "previous": Score(
        "Previous token",
        "1/(Q − 1) · Σᵢ aᵢ,ᵢ₋₁ over i ≥ 1",
        "The weight on the token just before: 1 for a pure previous-token head.",
        ("encoder", "self"),
    ),
    "duplicate": Score(
        "Duplicate token",
        "1/|D| · Σᵢ Σⱼ aᵢⱼ over j ≠ i with tⱼ = tᵢ; D: the queries i that can see such a j",
        "The weight on other places of the same token, where there are any.",
        ("encoder", "self"),
    ),
    "induction": Score(
        "Induction",
        "1/|I| · Σᵢ Σⱼ aᵢⱼ over j < i with tⱼ₋₁ = tᵢ; I: the queries i that have such a j",
        "The weight on what followed the same token earlier: 1 for a head that continues repetitions "
        "(Olsson et al., 2022).",
        ("self",),
    ),
    "sink": Score(
        "Sink share",
        "1/|N| · Σᵢ aᵢ₀ over i in N: all queries; of a causal head, those with i ≥ 1",
        "The weight on the first key, where heads leave what they have no use for (Xiao et al., 2023).",
    ),
    "sharpness": Score(
        "Alignment sharpness",
        "1/Q · Σᵢ maxⱼ aᵢⱼ",
        "The largest weight of a query: 1 if every token has one source word (the confidence of Voita et al., 2019, "
        "who leave the end of the source out).",
        ("cross",),
    ),
    "coverage": Score(
        "Coverage",
        "1/K · Σⱼ maxᵢ aᵢⱼ",
        "How much of the keys is found: 1 if every key is looked at fully by some query.",
    ),
}


def head_scores(weights: np.ndarray, kind: str, query_ids: list[int], key_ids: list[int]) -> dict[str, np.ndarray]:
    """All of SCORES that the kind has, of attention (heads, Q, K): a name -> (heads,) float64."""
    causal = kind == "self"
    scores = {"entropy": entropy(weights).mean(axis=-1)}
    if kind != "cross":
        scores["distance"] = distance(weights)
        scores["previous"] = previous(weights)
        scores["duplicate"] = duplicate(weights, query_ids, causal)
    if causal:
        scores["induction"] = induction(weights, query_ids)
    scores["sink"] = sink(weights, causal)
    if kind == "cross":
        scores["sharpness"] = sharpness(weights)
    scores["coverage"] = coverage(weights)
    return {name: np.asarray(values, dtype=np.float64) for name, values in scores.items()}


def entropy(weights: np.ndarray) -> np.ndarray:
    """Entropy of each query's distribution over keys, in nats: (..., Q, K) -> (..., Q).

    0 when all attention is on one key, ln n when it is spread evenly over n.

    >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).round(4).tolist()
    [0.0, 0.6931]
    """
    logs = np.maximum(weights, np.finfo(weights.dtype).tiny)  # 0 · ln 0 counts as 0
    np.log(logs, out=logs)
    return np.maximum(-np.einsum("...k,...k->...", weights, logs), 0.0)


def distance(weights: np.ndarray) -> np.ndarray:
    """How far away queries look, in tokens: (..., Q, K) -> (...).

    >>> distance(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
    0.25
    """
    queries, keys = weights.shape[-2:]
    return _of_places(weights, np.abs(np.arange(queries)[:, None] - np.arange(keys))) / queries


def previous(weights: np.ndarray) -> np.ndarray:
    """Weight on the token just before, mean over the queries that have one: (..., T, T) -> (...). NaN for one token.

    >>> previous(np.eye(4, k=-1)).tolist()
    1.0
    """
    diagonal = np.diagonal(weights, offset=-1, axis1=-2, axis2=-1)
    return _mean(diagonal.sum(axis=-1), diagonal.shape[-1])


def duplicate(weights: np.ndarray, ids: list[int], causal: bool) -> np.ndarray:
    """Weight on other places of the query's own token, mean over the queries that can see one: (..., T, T) -> (...).

    >>> even = np.full((3, 3), 1 / 3)
    >>> duplicate(even, [7, 5, 7], causal=False).round(4).tolist()
    0.3333
    """
    tokens = np.asarray(ids)
    same = tokens[:, None] == tokens
    np.fill_diagonal(same, False)
    if causal:
        same = np.tril(same)
    return _mean(_of_places(weights, same), int(same.any(axis=-1).sum()))


def induction(weights: np.ndarray, ids: list[int]) -> np.ndarray:
    """Weight on what followed the query's token earlier, mean over the queries for which there is something: the prefix
    matching score of Olsson et al., "In-context Learning and Induction Heads" (2022). (..., T, T) causal -> (...).

    >>> a = np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None]
    >>> induction(a, [3, 8, 3, 8]).round(4).tolist()        # 1/3 of place 2 on 1, 1/4 of place 3 on 2
    0.2917
    """
    tokens = np.asarray(ids)
    after = np.zeros((len(tokens), len(tokens)), dtype=np.bool_)
    after[:, 1:] = tokens[:, None] == tokens[:-1]
    after = np.tril(after, k=-1)
    return _mean(_of_places(weights, after), int(after.any(axis=-1).sum()))


def sink(weights: np.ndarray, causal: bool) -> np.ndarray:
    """Weight on the first key: (..., Q, K) -> (...). The first query of a causal head sees nothing else: it is left
    out.

    >>> sink(np.array([[1.0, 0.0], [0.5, 0.5]]), causal=True).tolist()
    0.5
    """
    first = weights[..., 1:, 0] if causal else weights[..., 0]
    return _mean(first.sum(axis=-1), first.shape[-1])


def sharpness(weights: np.ndarray) -> np.ndarray:
    """The largest weight of each query, mean over queries: (..., Q, K) -> (...).

    >>> sharpness(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
    0.75
    """
    return weights.max(axis=-1).mean(axis=-1)


def coverage(weights: np.ndarray) -> np.ndarray:
    """How much of the keys a head finds: the largest weight that each key gets from any query, averaged over keys.

    (..., Q, K) -> (...). 1 when every key is looked at fully by some query, as in a word alignment or a previous-token
    head; 1 / K when attention is even, or when all of it goes to one key.

    >>> coverage(np.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])).tolist()
    [1.0, 0.5]
    """
    return weights.max(axis=-2).mean(axis=-1)


def induction_on_repeats(
    run: "Run", model: "LanguageModel | None" = None, length: int = SEQUENCE, seed: int = 0
) -> np.ndarray:
    """The induction score of every head on random tokens that are repeated: (layers, heads).

    `length` tokens, no two alike, are read twice (Olsson et al., 2022), so that nothing but their repetition tells what
    follows; fewer where the model does not read so many. The mean over SEQUENCES draws. NaN if the model reads less
    than two tokens twice. model: another of the run's shape, say of a snapshot. Raises RunError for a translator, whose
    decoder reads what it translates.
    """
    from core.analysis.reading import longest, read_ids

    if run.is_translation:
        raise RunError("Induction is measured on a language model; choose one that is no translator.")
    model = model or run.model
    first = [model.bos_id] if model.begins_with_bos else []
    unusual, known = {*run.tokenizer.special_ids, *first}, run.tokenizer.has_id
    usual = [id for id in range(run.config.model.vocab_size) if id not in unusual and known(id)]
    length = min(length, (longest(run) - len(first)) // 2, len(usual))
    if length < 2:
        return np.full((run.config.model.n_layers, run.config.model.n_heads), np.nan)
    random, draws = np.random.default_rng(seed), []
    for _ in range(SEQUENCES):
        tokens = random.choice(usual, size=length, replace=False).tolist()
        reading = read_ids(run, [*first, *tokens, *tokens], model)
        layers = range(reading.n_layers("self"))
        draws.append([induction(reading.layer_attention("self", layer), reading.ids) for layer in layers])
    return np.mean(draws, axis=0)


def _of_places(weights: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Σᵢ Σⱼ weights · factors: (..., Q, K) and (Q, K) -> (...)."""
    return np.einsum("...qk,qk->...", weights, factors.astype(weights.dtype))


def _mean(total: np.ndarray, count: int) -> np.ndarray:
    """total / count; NaN where nothing was counted."""
    return total / count if count else np.full_like(total, np.nan)
