"""Head scores: closed forms, a second implementation in loops, and random models on texts that repeat themselves."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from internals_cases import SHAPES, case, random_model, reading_of

from core.analysis import head_scores as hs
from core.analysis import reading as reading_module
from core.analysis.reading import KINDS, read_ids
from core.errors import RunError

N = 7
DISTINCT = list(range(20, 20 + N))
EYE, EVEN = np.eye(N), np.full((N, N), 1 / N)
CAUSAL = np.tril(np.ones((N, N))) / np.arange(1, N + 1)[:, None]


def attention(heads, queries, keys, causal=False, seed=0, dtype=np.float32):
    """Random, some of it very decided, some of it exactly zero."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=(heads, queries, keys)) * random.choice([0.0, 1.0, 30.0], size=(heads, 1, 1))
    scores[random.random(scores.shape) < 0.1] = -np.inf
    scores[..., 0] = np.where(np.isinf(scores).all(axis=-1), 0, scores[..., 0])
    if causal:
        scores = np.where(np.tri(queries, keys, dtype=bool), scores, -np.inf)
        scores[:, :, 0] = np.maximum(scores[:, :, 0], -5)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(dtype)


def plain(a, kind, t):
    """All scores of one head, by the formulas, in loops. t: the ids of queries; of "cross" they do not matter."""
    queries, keys, causal = len(a), len(a[0]), kind == "self"

    def mean(values):
        return sum(values) / len(values) if values else math.nan

    found = {
        "entropy": mean([sum(-w * math.log(w) for w in row if w > 0) for row in a]),
        "sink": mean([a[i][0] for i in range(queries) if i or not causal]),
        "coverage": mean([max(a[i][j] for i in range(queries)) for j in range(keys)]),
    }
    if kind == "cross":
        return found | {"sharpness": mean([max(row) for row in a])}
    found["distance"] = mean([sum(a[i][j] * abs(i - j) for j in range(keys)) for i in range(queries)])
    found["previous"] = mean([a[i][i - 1] for i in range(1, queries)])
    places = [[j for j in range(i if causal else keys) if j != i and t[j] == t[i]] for i in range(queries)]
    found["duplicate"] = mean([sum(a[i][j] for j in js) for i, js in enumerate(places) if js])
    if causal:
        places = [[j for j in range(1, i) if t[j - 1] == t[i]] for i in range(queries)]
        found["induction"] = mean([sum(a[i][j] for j in js) for i, js in enumerate(places) if js])
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "ids",
    [
        [5], [5, 5], [5, 6], [5, 5, 5, 5], [3, 8, 3, 8, 3], list(range(9)), [1, *range(4, 10), *range(4, 10)],
        np.random.default_rng(3).integers(0, 6, 40).tolist(),
    ],
    ids=len,
)  # fmt: skip
def test_against_loops(kind, ids):
    keys = [4] * (len(ids) + 3) if kind == "cross" else ids
    weights = attention(5, len(ids), len(keys), kind == "self")
    found = hs.head_scores(weights, kind, ids, keys)
    assert set(found) == {name for name, score in hs.SCORES.items() if kind in score.kinds}
    for head in range(5):
        expected = plain(weights[head].astype(float).tolist(), kind, ids)
        assert set(expected) == set(found)
        for name, value in expected.items():
            assert found[name][head] == pytest.approx(value, abs=2e-6, nan_ok=True), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_closed_forms(dtype):
    eye, even, causal = EYE.astype(dtype), EVEN.astype(dtype), CAUSAL.astype(dtype)

    def near(value):
        return pytest.approx(value, rel=1e-6, abs=1e-6)

    assert hs.entropy(even) == near(np.full(N, math.log(N))) and hs.entropy(eye).max() == 0
    assert hs.entropy(causal) == near(np.log(np.arange(1, N + 1)))
    assert hs.distance(eye) == 0 and hs.distance(even) == near((N * N - 1) / (3 * N))
    assert hs.distance(causal) == near(np.mean([i / 2 for i in range(N)]))
    assert hs.sink(causal, True) == near(np.mean([1 / (i + 1) for i in range(1, N)]))
    assert hs.sink(even, False) == near(1 / N) and hs.coverage(eye) == 1 and hs.coverage(even) == near(1 / N)
    # The first to see key j is query j, with weight 1 / (j + 1).
    assert hs.coverage(causal) == near(np.mean([1 / (j + 1) for j in range(N)]))
    assert hs.sharpness(eye) == 1 and hs.sharpness(even) == near(1 / N)
    assert hs.previous(causal) == near(np.mean([1 / (i + 1) for i in range(1, N)]))
    assert hs.duplicate(even, [4] * N, False) == near((N - 1) / N)


def test_pure_heads_score_one():
    previous = np.eye(N, k=-1)
    previous[0, 0] = 1
    assert hs.previous(previous) == 1 and hs.previous(EYE) == 0
    ids = [1, *DISTINCT, *DISTINCT]
    induction, duplicate, sink = (np.zeros((len(ids), len(ids))) for _ in range(3))
    sink[:, 0] = 1
    induction[: N + 1, 0] = duplicate[: N + 1, 0] = 1
    for i in range(N + 1, len(ids)):
        induction[i, i - N + 1] = duplicate[i, i - N] = 1
    assert hs.induction(induction, ids) == 1 and hs.duplicate(induction, ids, True) == 0
    assert hs.induction(duplicate, ids) == 0 and hs.duplicate(duplicate, ids, True) == 1
    assert hs.sink(sink, True) == 1 and hs.induction(sink, ids) == 0


@pytest.mark.parametrize("causal", [False, True])
def test_undefined_is_nan(causal):
    kind = "self" if causal else "encoder"
    distinct = hs.head_scores(np.stack([CAUSAL, EYE]), kind, DISTINCT, DISTINCT)
    undefined = {"duplicate", "induction"} if causal else {"duplicate"}
    for name, values in distinct.items():
        assert values.shape == (2,) and np.isnan(values).all() == (name in undefined), name
    one = hs.head_scores(np.ones((3, 1, 1), dtype=np.float32), kind, [5], [5])
    assert {name for name, values in one.items() if np.isnan(values).all()} == undefined | {"previous"} | (
        {"sink"} if causal else set()
    )


def test_every_score_says_what_it_is():
    for name, score in hs.SCORES.items():
        assert score.title and "Σ" in score.formula and score.meaning.endswith(".") and set(score.kinds) <= set(KINDS)
        assert getattr(hs, name)


@pytest.mark.parametrize("name", ["gpt", "llama"])
def test_induction_on_repeats(name, monkeypatch):
    reading = case(name)
    run = reading.run
    monkeypatch.setattr(run.tokenizer, "has_id", lambda id: id < 60)  # the model's vocabulary is padded beyond it
    scores = hs.induction_on_repeats(run, length=9, seed=3)
    assert scores.shape == (reading.n_layers("self"), reading.n_heads) and ((scores > 0) & (scores < 1)).all()
    assert (scores == hs.induction_on_repeats(run, length=9, seed=3)).all()
    assert not (scores == hs.induction_on_repeats(run, length=9, seed=4)).all()
    other = random_model(run.config.model, seed=8)
    assert not np.allclose(scores, hs.induction_on_repeats(run, other, 9, 3))
    # What is read: bos, then tokens, no two alike, twice; and what is longer than the model reads is made shorter.
    read = []
    monkeypatch.setattr(
        reading_module, "read_ids", lambda run, ids, model: (read.append(ids), read_ids(run, ids, model))[1]
    )
    for length, expected in ((9, 9), (500, (run.config.model.max_seq_len - 1) // 2)):
        read.clear()
        scores, by_place = hs.induction_on_repeats(run, other, length), []
        assert len(read) == hs.SEQUENCES == len({tuple(ids) for ids in read})
        for (bos, *ids), half in zip(read, [expected] * hs.SEQUENCES):
            assert bos == 1 and len(ids) == 2 * half and ids[:half] == ids[half:] and len(set(ids)) == half
            assert 2 < min(ids) and max(ids) < 60
            reading = read_ids(run, [bos, *ids], other)
            by_place.append([
                reading.layer_attention("self", layer)[:, half + 1 :, 2 : half + 2].diagonal(axis1=1, axis2=2).mean(-1)
                for layer in range(reading.n_layers("self"))
            ])  # fmt: skip
        np.testing.assert_allclose(scores, np.mean(by_place, axis=0), atol=1e-6)


def test_a_perfect_induction_head_is_found():
    """A model whose attention is built by hand: its queries are the tokens, its keys the tokens before."""
    vocab, width = 30, 32

    class Built:
        bos_id, begins_with_bos, device = 1, True, torch.device("cpu")

        def hidden(self, ids, memory, cache, trace):
            tokens = torch.eye(width)[ids]  # (1, T, width)
            before = torch.cat([torch.zeros(1, 1, width), tokens[:, :-1]], dim=1)
            trace.add_heads("self", 400 * tokens[:, None], before[:, None], tokens[:, None], None, True)
            trace.add_residual("decoder", tokens)
            return tokens

        def logits(self, x):
            return x

    config = SimpleNamespace(vocab_size=vocab, n_layers=1, n_heads=1, n_kv_heads=1, max_seq_len=64, d_model=width)
    tokenizer = SimpleNamespace(special_ids={0, 1, 2}, has_id=lambda id: True, token_bytes=lambda id: b"x")
    run = SimpleNamespace(
        config=SimpleNamespace(model=config), model=Built(), tokenizer=tokenizer, is_translation=False
    )  # fmt: skip
    assert hs.induction_on_repeats(run) == pytest.approx(np.ones((1, 1)), abs=1e-6)


def test_no_room_to_repeat_and_translators():
    short = reading_of(random_model(type(SHAPES["gpt"])(family="gpt", vocab_size=9, d_model=8, n_heads=2, n_layers=3,
                                                        max_seq_len=4)), length=3)  # fmt: skip
    scores = hs.induction_on_repeats(short.run)
    assert scores.shape == (3, 2) and np.isnan(scores).all()
    with pytest.raises(RunError, match="language model"):
        hs.induction_on_repeats(case("pre").run)
