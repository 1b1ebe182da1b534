"""Gold alignments on tokens and alignment error rates: against plain second implementations and by hand."""

import dataclasses
import random

import numpy as np
import pytest
import torch

from core.analysis import alignment
from core.analysis.alignment import (
    alignment_error_rate,
    alignment_scores,
    can_align,
    diagonal_links,
    gold_alignment,
    head_links,
    reading_of,
    scoring,
    target_rows,
    token_links,
    touching,
)
from core.config import RunConfig
from core.data.grammar import Example, generate
from core.errors import DataError, RunError
from core.model import build_model
from core.run import Run
from core.tokenizer import train_bpe

EXAMPLES = generate(60, seed=4, split=None)
TEXTS = [text for example in EXAMPLES for text in (example.src, example.tgt)]


def make_run(tokenizer, tmp_path, **values):
    config = RunConfig.from_dict(
        {
            "model": {
                "family": "transformer", "vocab_size": tokenizer.vocab_size, "d_model": 16, "n_layers": 2, "n_heads": 4,
                "n_encoder_layers": 1, "d_ff": 32, "max_seq_len": 48,
            },
            "data": {"name": "builtin:enja"},
        }
    )  # fmt: skip
    config = config.with_overrides([f"{key}={value}" for key, value in values.items()])
    run = Run("tiny", config, tokenizer, tmp_path)
    torch.manual_seed(0)
    run.__dict__["model"] = build_model(config.model).eval()
    with torch.no_grad():
        for parameter in run.model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.5)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(train_bpe(TEXTS, 420), tmp_path_factory.mktemp("run"))


def plain_links(example, source_spans, target_spans):
    """Which tokens go together, character by character."""
    word_of = [
        {at: word for word, (start, end) in enumerate(spans) for at in range(start, end)}
        for spans in (example.src_spans, example.tgt_spans)
    ]

    def words(span, side):
        return {word_of[side][at] for at in range(*span) if at in word_of[side]}

    gold = set(example.alignment)
    return [
        [any((s, t) in gold for s in words(source, 0) for t in words(target, 1)) for source in source_spans]
        for target in target_spans
    ]


def cuts(length, rng):
    """Spans that cover 0 .. length in random pieces, within words and over several; now and then an empty one."""
    at = sorted({0, length, *(rng.randrange(length + 1) for _ in range(rng.randrange(length + 1)))})
    spans = list(zip(at, at[1:]))
    return spans + ([(at[0], at[0])] if rng.random() < 0.3 else [])


def test_token_links_equal_a_plain_search_on_any_tokens():
    rng, seen = random.Random(0), 0
    for example in generate(300, seed=9, split=None):
        source, target = cuts(len(example.src), rng), cuts(len(example.tgt), rng)
        links = token_links(example, source, target)
        assert links.dtype == bool and links.shape == (len(target), len(source))
        assert links.tolist() == plain_links(example, source, target)
        seen += int((touching(target, example.tgt_spans).sum(axis=1) > 1).sum())
    assert seen > 100  # tokens that span several words were among them


@pytest.mark.parametrize("vocabulary", [270, 420, 1_500])  # bytes of characters, pieces, whole phrases
def test_gold_alignment_of_a_trained_tokenizer(vocabulary, tmp_path):
    tokenizer = train_bpe(TEXTS, vocabulary)
    run = make_run(tokenizer, tmp_path)
    several = 0
    for example in EXAMPLES:
        source, target = tokenizer.encode(example.src), tokenizer.encode(example.tgt)
        gold = gold_alignment(run, example)
        assert (gold.source, gold.target) == (source.ids, target.ids)
        assert gold.links.tolist() == plain_links(example, source.char_spans, target.char_spans)
        linked = {(s, t) for t, s in zip(*np.nonzero(gold.links))}
        for s, t in example.alignment:  # no word's link is lost
            pairs = {
                (i, j)
                for i, (a, b) in enumerate(source.char_spans)
                for j, (c, d) in enumerate(target.char_spans)
                if a < example.src_spans[s][1] and b > example.src_spans[s][0]
                and c < example.tgt_spans[t][1] and d > example.tgt_spans[t][0]
            }  # fmt: skip
            assert pairs and pairs <= linked
        several += int((touching(target.char_spans, example.tgt_spans).sum(axis=1) > 1).sum())
    assert (several > 0) == (vocabulary > 270)


def test_links_of_a_sentence_by_hand():
    example = Example("I run.", "走る。", ((0, 1), (2, 5), (5, 6)), ((0, 2), (2, 3)), ((1, 0), (2, 1)))
    # "I r", "un", "." and "走", "る。": the last touches both words
    assert token_links(example, [(0, 3), (3, 5), (5, 6)], [(0, 1), (1, 3)]).astype(int).tolist() == [
        [1, 1, 0],
        [1, 1, 1],
    ]
    assert token_links(example, [], [(0, 1)]).shape == (1, 0)


def test_error_rates_by_hand():
    def links(*numbers):
        return np.isin(np.arange(6), numbers)

    assert alignment_error_rate(links(0, 1, 2), links(0, 1, 2)) == 0
    assert alignment_error_rate(links(3, 4), links(0, 1)) == 1
    assert alignment_error_rate(links(), links(0, 1)) == 1
    assert alignment_error_rate(links(0), links(0, 1)) == pytest.approx(1 - 2 / 3)
    # Och and Ney's own terms: what is possible is no error, what is sure has to be found
    assert alignment_error_rate(links(0, 1, 2), links(0, 1), links(0, 1, 2, 3)) == 0
    assert alignment_error_rate(links(0, 2, 4), links(0, 1), links(0, 1, 2)) == pytest.approx(1 - (1 + 2) / (3 + 2))
    assert np.isnan(alignment_error_rate(links(), links()))


def test_perfect_attention_makes_no_error(run, monkeypatch):
    def perfect(model, batch):
        for _ in range(2):
            shape = len(batch), 4, max(len(g.target) for g in batch) + 1, max(len(g.source) for g in batch) + 1
            weights = np.zeros(shape, np.float32)
            for row, gold in enumerate(batch):
                T, S = gold.links.shape
                weights[row, :, :T, :S] = gold.links / np.maximum(1, gold.links.sum(axis=1, keepdims=True))
                weights[row, :, :T, S] = ~gold.links.any(axis=1)  # on the end: with none
                weights[row, :, T, S] = 1
            yield weights

    monkeypatch.setattr(alignment, "_cross_attention", perfect)
    scores = alignment_scores(run, EXAMPLES)
    assert scores.sentences == 60 and not scores.by_head.any() and not scores.by_layer.any()
    assert (scores.precision == 1).all() and (scores.recall == 1).all() and scores.diagonal > 0.3
    assert alignment_scores(run, EXAMPLES, rows="read").by_head.min() > 0.1  # the rows are shifted by one


def plain_scores(run, examples, rows):
    """Error rate by head and by layer, sentence by sentence, link by link."""
    config = run.config.model
    hits, said, wanted = (np.zeros((config.n_layers, config.n_heads + 1)) for _ in range(3))
    for example in examples:
        gold, reading = gold_alignment(run, example), reading_of(run, example)
        for layer in range(config.n_layers):
            each = [reading.attention("cross", layer, head) for head in range(config.n_heads)]
            for place, weights in enumerate([*each, np.mean(each, axis=0)]):
                for t in range(len(gold.target)):
                    row = weights[t if rows == "written" else t + 1]
                    for s in range(len(gold.source)):
                        is_said = row[s] >= max(row) / 2
                        hits[layer, place] += is_said and gold.links[t, s]
                        said[layer, place] += is_said
                        wanted[layer, place] += gold.links[t, s]
    return 1 - 2 * hits / (said + wanted), hits / said, hits / wanted


@pytest.mark.parametrize("rows", ["written", "read"])
def test_scores_equal_a_plain_count(run, rows, monkeypatch):
    monkeypatch.setattr(alignment, "BATCH_TOKENS", 200)  # several batches, padded
    some = EXAMPLES[:14]
    errors, precision, recall = plain_scores(run, some, rows)
    scores = alignment_scores(run, some, rows=rows)
    assert (scores.rows, scores.sentences, scores.left_out) == (rows, 14, 0)
    np.testing.assert_allclose(scores.by_head, errors[:, :-1], atol=1e-12)
    np.testing.assert_allclose(scores.by_layer, errors[:, -1], atol=1e-12)
    np.testing.assert_allclose(scores.precision, precision[:, :-1], atol=1e-12)
    np.testing.assert_allclose(scores.recall, recall[:, :-1], atol=1e-12)
    assert scores.by_head[scores.best] == scores.by_head.min()
    golds = [gold_alignment(run, example).links for example in some]
    flat = [np.concatenate([part.ravel() for part in parts]) for parts in
            zip(*[(diagonal_links(*links.shape), links) for links in golds])]  # fmt: skip
    assert scores.diagonal == pytest.approx(alignment_error_rate(*flat))


def test_scores_grow_batch_by_batch_and_tell_how_far(run, monkeypatch):
    monkeypatch.setattr(alignment, "BATCH_TOKENS", 150)
    steps = list(scoring(run, EXAMPLES[:12]))
    assert [s.sentences for s in steps] == sorted({s.sentences for s in steps}) and steps[-1].sentences == 12
    assert len(steps) > 2
    told = []
    last = alignment_scores(run, EXAMPLES[:12], progress=lambda share, what: told.append((share, what)))
    np.testing.assert_array_equal(last.by_head, steps[-1].by_head)
    assert len(told) == len(steps) and told[-1] == (1.0, "12 of 12 sentences aligned")


def test_another_model_of_the_same_shape(run):
    torch.manual_seed(3)
    other = build_model(run.config.model).eval()
    assert (alignment_scores(run, EXAMPLES[:3], other).by_head != alignment_scores(run, EXAMPLES[:3]).by_head).any()


def test_long_sentences_are_left_out(run, tmp_path):
    short = make_run(run.tokenizer, tmp_path, **{"model.max_seq_len": 16})
    fit = [e for e in EXAMPLES if max(map(len, (gold_alignment(run, e).source, gold_alignment(run, e).target))) < 16]
    assert 0 < len(fit) < 60
    scores = alignment_scores(short, EXAMPLES)
    assert (scores.sentences, scores.left_out) == (len(fit), 60 - len(fit))
    with pytest.raises(DataError, match="short enough"):
        alignment_scores(make_run(run.tokenizer, tmp_path, **{"model.max_seq_len": 2}), EXAMPLES[:2])
    with pytest.raises(DataError, match="short enough"):
        alignment_scores(run, [])
    for example in EXAMPLES:
        if example in fit:
            assert reading_of(short, example).notes == []
        else:
            with pytest.raises(DataError, match="longer than the model reads"):
                reading_of(short, example)


def test_even_attention_says_everything_and_the_end_is_none():
    even = np.full((1, 3, 5), 0.2)
    assert head_links(even).all() and head_links(even).shape == (1, 3, 4)
    assert not head_links(np.eye(5)[4:]).any()
    assert head_links(np.array([[0.0, 1.0, 0.5, 0.4999, 0.0]])).astype(int).tolist() == [[0, 1, 1, 0]]


def test_which_rows():
    weights = np.arange(12).reshape(1, 4, 3)
    assert target_rows(weights, "written").tolist() == weights[:, :3].tolist()
    assert target_rows(weights, "read").tolist() == weights[:, 1:].tolist()
    for wrong in ("", "Written", None, "x" * 500):
        with pytest.raises(DataError, match="written or read"):
            target_rows(weights, wrong)


@pytest.mark.parametrize(
    ("values", "is_so"),
    [({}, True), ({"data.name": "other.tsv"}, False),
     ({"data.name": "other.tsv", "data.src_language": "en", "data.tgt_language": "ja"}, True),
     ({"data.name": "other.tsv", "data.src_language": "ja", "data.tgt_language": "en"}, False),
     ({"data.src": "a.en", "data.tgt": "a.de"}, False)],
)  # fmt: skip
def test_which_runs_can_be_asked(run, tmp_path, values, is_so):
    other = make_run(run.tokenizer, tmp_path, **values)
    assert can_align(other) == is_so
    if not is_so:
        with pytest.raises(RunError, match="choose a run that translates"):
            gold_alignment(other, EXAMPLES[0])


def test_a_language_model_is_refused_in_a_sentence(run):
    config = dataclasses.replace(run.config, model=RunConfig.from_dict({"model": {"family": "gpt"}}).model)
    with pytest.raises(RunError, match="not tiny"):
        alignment_scores(dataclasses.replace(run, config=config), EXAMPLES)
