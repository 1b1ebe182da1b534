"""The vectors of a vocabulary: a model's embeddings or a Word2Vec's; which are near to each other, and analogies.

>>> compass = np.array([[0, 1], [1, 0], [0, -1], [-1, 0]], np.float32)
>>> vectors = Vectors("compass", ["north", "east", "south", "west"], compass)
>>> [(n.name, round(n.value, 2)) for n in neighbours(vectors, compass[0] + compass[1], top=2)]
[('north', 0.71), ('east', 0.71)]
"""

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.analysis.reading import token_names
from core.errors import TextError
from core.tokenizer.visible import from_signs, visible

if TYPE_CHECKING:
    from core.analysis.word2vec import Word2Vec
    from core.run import Run

Which = Literal["input", "output"]
Metric = Literal["cosine", "euclidean", "dot"]
Method = Literal["add", "mul"]
METRICS: tuple[Metric, ...] = ("cosine", "euclidean", "dot")
METHODS: tuple[Method, ...] = ("add", "mul")
TINY = 1e-12  # the least length that is divided by
ROWS = 8_192  # of a matrix that are copied at a time

_ID = re.compile(r"#(\d{1,9})")
_WORD = re.compile(r"·?(?:[^\W\d_]{2,}(?:['’][^\W\d_]+)*|[^\W\d_\u0000-\u024f])")


@dataclass(frozen=True, eq=False)
class Vectors:
    """A vector for each of V tokens. names: how each is shown (signs for what is invisible); matrix: (V, D) float32.

    counts: (V,), how often each occurs in the text they were trained on. Where that is not known, a lower id counts as
    more frequent: vocabularies are learned in about that order.
    """

    title: str
    names: list[str]
    matrix: np.ndarray
    counts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def size(self) -> int:
        """D, the numbers of a vector."""
        return self.matrix.shape[1]

    @cached_property
    def norms(self) -> np.ndarray:
        """(V,): the vectors' euclidean lengths."""
        return self.distances(np.zeros(self.size, np.float32))

    def unit(self, ids: Sequence[int]) -> np.ndarray:
        """(N, D): tokens' vectors with length 1; of zeros, zeros."""
        return self.matrix[list(ids)] / np.maximum(self.norms[list(ids)], TINY)[:, None]

    def cosines(self, vector: np.ndarray) -> np.ndarray:
        """(V,): between every token's vector and one of (D,). No copy of the matrix is made."""
        return self.matrix @ vector / np.maximum(self.norms, TINY) / max(float(np.linalg.norm(vector)), TINY)

    def distances(self, vector: np.ndarray) -> np.ndarray:
        """(V,): euclidean, from every token's vector to one of (D,). No copy of the matrix is made."""
        parts = (self.matrix[start : start + ROWS] for start in range(0, len(self.matrix), ROWS))
        return np.concatenate([np.linalg.norm(part - vector, axis=1) for part in parts] or [np.zeros(0, np.float32)])

    @cached_property
    def id_of(self) -> dict[str, int]:
        """Name -> id; of tokens with the same name, the first."""
        ids: dict[str, int] = {}
        for id, name in enumerate(self.names):
            ids.setdefault(name, id)
        return ids

    @cached_property
    def by_frequency(self) -> np.ndarray:
        """(V,) ids, the most frequent first."""
        if self.counts is None:
            return np.arange(len(self))
        return np.argsort(-self.counts, kind="stable")

    @cached_property
    def ranks(self) -> np.ndarray:
        """(V,): 0 for the most frequent token, 1 for the next ..."""
        ranks = np.empty(len(self), np.int64)
        ranks[self.by_frequency] = np.arange(len(self))
        return ranks


@dataclass(frozen=True)
class Neighbour:
    """A token and how near it is: the cosine, the dot product, the distance, or an analogy's score."""

    id: int
    name: str
    value: float


def matrices(run: "Run") -> list[Which]:
    """Which matrices a run has: one for both, if it makes its logits with the embeddings."""
    return ["input"] if run.config.model.tie_embeddings else ["input", "output"]


def model_vectors(run: "Run", which: Which = "input") -> Vectors:
    """A run's token embeddings as they are stored, or the rows of the matrix that makes the logits.

    With tied embeddings both are the same. 8-bit matrices are given as numbers.
    """
    model = run.model
    if which == "input" or model.output is None:
        weight = model.token_embedding.weight
    else:
        weight = model.output.weight
    matrix = np.ascontiguousarray(weight.detach().float().cpu().numpy())
    shown = {"input": "input embeddings", "output": "output embeddings"}[which]
    return Vectors(f"{shown} of {run.name}", token_names(run.tokenizer, list(range(len(matrix)))), matrix)


def word_vectors(model: "Word2Vec", name: str = "Word2Vec", which: Which = "input") -> Vectors:
    """A Word2Vec's vectors: of words in the centre (input), or of words around (output)."""
    matrix = model.input if which == "input" else model.output
    return Vectors(name, list(model.words), matrix, model.counts)


def find(vectors: Vectors, query: str) -> int:
    """The id of the token that is meant: #id, a token's name, or its text. TextError if there is none.

    Of a token with and one without a space before it, the one with the lower id: it was learned first, so it is the
    more frequent. Write a space (or ·) before the word for just that one.

    >>> find(Vectors("", ["king", "q", "·king"], np.zeros((3, 1))), "·king")
    2
    """
    query = query[:200]
    if not query:
        raise TextError("Type a token or a word to look for.")
    if (number := _ID.fullmatch(query.strip())) and int(number[1]) < len(vectors):
        return int(number[1])
    shown = visible(from_signs(query).encode("utf-8", "replace"))
    bare = shown.strip("·")
    tries = (shown, "·" + shown) if not shown.startswith("·") else (shown,)
    found = [vectors.id_of[name] for name in tries if name in vectors.id_of]
    if not found:  # then not as exactly
        found = [vectors.id_of[name] for name in (bare, bare.lower(), "·" + bare.lower()) if name in vectors.id_of]
    if found and bare:
        return min(found)
    if found:
        return found[0]
    near = [name for name in vectors.names if bare and bare.lower() in name.lower()][:5]
    near = near or difflib.get_close_matches(bare.lower(), vectors.names[:50_000], n=5)
    hint = f"; there is {', '.join(near)}" if near else ""
    raise TextError(f"{shown[:60]!r} is not one token of this vocabulary{hint}.")


def neighbours(
    vectors: Vectors, of: int | np.ndarray, top: int = 10, metric: Metric = "cosine", most_frequent: int = 0
) -> list[Neighbour]:
    """The tokens nearest to a token (which itself is left out) or to a vector (D,), the nearest first.

    most_frequent: only among so many of the most frequent tokens (0: of all).
    """
    is_vector = isinstance(of, np.ndarray)
    vector = np.asarray(of, np.float32) if is_vector else vectors.matrix[of]
    left_out = () if is_vector else (int(of),)
    if metric == "cosine":
        values = vectors.cosines(vector)
    elif metric == "dot":
        values = vectors.matrix @ vector
    else:
        values = -vectors.distances(vector)
    best = _best(vectors, values, top, left_out, most_frequent)
    return best if metric != "euclidean" else [Neighbour(n.id, n.name, abs(n.value)) for n in best]


def analogy(
    vectors: Vectors, a: int, b: int, c: int, top: int = 10, method: Method = "add", most_frequent: int = 0
) -> list[Neighbour]:
    """What is to c as a is to b: a − b + c, "king − man + woman". The three themselves are left out.

    add: 3CosAdd, the cosine with a − b + c of unit vectors (Mikolov, Yih and Zweig, 2013).
    mul: 3CosMul, cos(x, a) · cos(x, c) / (cos(x, b) + 0.001), each cosine moved to 0 … 1 (Levy and Goldberg, 2014).
    """
    three = vectors.unit([a, b, c])
    if method == "add":
        values = vectors.cosines(three[0] - three[1] + three[2])
    else:
        to_a, to_b, to_c = ((1 + vectors.cosines(one)) / 2 for one in three)
        values = to_a * to_c / (to_b + 0.001)
    return _best(vectors, values, top, (a, b, c), most_frequent)


def choose(
    vectors: Vectors, limit: int, kind: Literal["all", "words"] = "all", also: Collection[int] = ()
) -> list[int]:
    """At most `limit` ids to draw, the most frequent first. words: only of tokens that are letters, two or
    more (of other scripts than Latin, one). also: ids that are among them in any case."""
    chosen = list(dict.fromkeys(int(id) for id in also if 0 <= id < len(vectors)))[:limit]
    taken = set(chosen)
    for id in vectors.by_frequency.tolist():
        if len(chosen) >= limit:
            break
        if id not in taken and (kind == "all" or _WORD.fullmatch(vectors.names[id])):
            chosen.append(id)
    return chosen


def _best(
    vectors: Vectors, values: np.ndarray, top: int, left_out: Collection[int], most_frequent: int
) -> list[Neighbour]:
    """The `top` highest values; equal ones by their ids."""
    values = np.array(values, dtype=np.float64)
    values[list(left_out)] = -np.inf
    if 0 < most_frequent < len(values):
        values[vectors.by_frequency[most_frequent:]] = -np.inf
    top = max(0, min(top, len(values)))
    first = np.argpartition(-values, top - 1)[:top] if 0 < top < len(values) else np.arange(len(values))[: top or 0]
    order = first[np.lexsort((first, -values[first]))]
    return [Neighbour(int(id), vectors.names[id], float(values[id])) for id in order if np.isfinite(values[id])]
