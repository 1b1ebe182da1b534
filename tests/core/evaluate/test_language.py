"""Loss, perplexity and bits per byte against training's validation, a plain loop, and the formulas of lm-eval."""

import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.config import RunConfig
from core.data.batching import BlockBatches
from core.errors import ConfigError, DataError
from core.evaluate import evaluate, validation_split
from core.evaluate.language import count_words, evaluate_language, evaluating_language, text_figures, token_stream
from core.evaluate.windows import window_losses
from core.model import build_model
from core.run import Run
from core.tokenizer import train_bpe

DOCUMENTS = ["The function returns a value. " * 3, "コーヒーを一杯。 cup", "x"]


@pytest.fixture(scope="module", params=["gpt", "llama"])
def run(request, tmp_path_factory):
    tokenizer = train_bpe(DOCUMENTS, 300)
    config = RunConfig.from_dict(
        {
            "model": {
                "family": request.param, "vocab_size": tokenizer.vocab_size, "d_model": 16, "n_layers": 2, "n_heads": 2,
                "max_seq_len": 8,
            },
            "data": {"name": "not-there.txt"},
        }
    )  # fmt: skip
    torch.manual_seed(1)
    made = Run("tiny", config, tokenizer, tmp_path_factory.mktemp("tiny"))
    made.__dict__["model"] = build_model(config.model).eval()
    return made


def plain_loss(run, documents):
    """Block by block, token by token."""
    ids = []
    for text in documents:
        ids += run.tokenizer.encode(text).ids + ([run.model.eos_id] if len(documents) > 1 else [])
    total = 0.0
    for start in range(0, len(ids), 8):
        block = ids[start : start + 8]
        for i, token in enumerate(block):
            with torch.no_grad():
                logits = run.model(torch.tensor([[run.model.bos_id, *block[:i]]])).logits[0, -1]
            total -= float(logits.log_softmax(-1)[token])
    return total, len(ids)


@pytest.mark.parametrize("documents", [DOCUMENTS, DOCUMENTS[:1]])
def test_loss_equals_a_plain_loop(run, documents):
    total, count = plain_loss(run, documents)
    result = evaluate(run, documents=documents)
    size = sum(len(text.encode()) for text in documents)
    assert (result["tokens"], result["bytes"], result["examples"]) == (count, size, len(documents))
    assert result["loss_per_token"] == pytest.approx(total / count, abs=1e-5)
    assert result["perplexity"] == pytest.approx(math.exp(total / count), rel=1e-4)
    assert result["bits_per_byte"] == pytest.approx(total / math.log(2) / size, rel=1e-4)


def test_loss_equals_the_validation_of_training(run):
    from core.train.module import validation_loss

    batches = BlockBatches(token_stream(run, DOCUMENTS), 16, 8)
    total, tokens = validation_loss(run.model, [batches.batch(starts) for starts in batches.batches(0, shuffle=False)])
    assert evaluate(run, documents=DOCUMENTS)["loss_per_token"] == pytest.approx(total / tokens, abs=1e-5)


def test_what_cannot_be_evaluated_is_said(run):
    with pytest.raises(DataError, match="not-there.txt.*trained on"):
        validation_split(run)
    with pytest.raises(DataError, match="empty"):
        evaluate(run, documents=[])
    with pytest.raises(DataError, match="empty"):
        evaluate(run, documents=[""])
    with pytest.raises(DataError, match="give documents"):
        evaluate(run, pairs=[SimpleNamespace(src="a", tgt="b")])


def test_the_validation_split_is_the_one_of_training(run):
    from dataclasses import replace

    from core.data.sources import load_corpus

    data = replace(run.config.data, name="builtin:pydocs")
    here = Run("x", replace(run.config, data=data), run.tokenizer, run.directory)
    assert validation_split(here) == load_corpus(data, "text", seed=0).val


def lm_eval_figures(losses, documents):
    """word_perplexity, bits_per_byte and byte_perplexity as lm-evaluation-harness aggregates them, from the
    log-likelihood of each document, its words and its bytes."""
    likelihoods = [-float(nats.sum()) for nats in losses]
    words = sum(len(re.split(r"\s+", text)) for text in documents)
    size = sum(len(text.encode("utf-8")) for text in documents)
    return math.exp(-sum(likelihoods) / words), -sum(likelihoods) / size / math.log(2), words, size


def test_figures_of_lm_evaluation_harness(run):
    """Document by document, as there; the text has no space around it, which is a word there."""
    documents = ["The  function returns\na value. " * 3 + "It does.", "One two"]
    losses = [window_losses(run.model, run.tokenizer.encode(text).ids) for text in documents]
    tokens, total = sum(map(len, losses)), sum(float(nats.sum()) for nats in losses)
    word_perplexity, bits, words, size = lm_eval_figures(losses, documents)
    found = text_figures(total, tokens, documents)
    assert (found["words"], found["bytes"]) == (words, size)
    assert found["perplexity_per_word"] == pytest.approx(word_perplexity, rel=1e-9)
    assert found["bits_per_byte"] == pytest.approx(bits, rel=1e-9)
    assert 2 ** (found["bits_per_byte"] * size) == pytest.approx(found["perplexity"] ** tokens, rel=1e-6)
    assert found["perplexity_per_word"] ** words == pytest.approx(found["perplexity"] ** tokens, rel=1e-6)
    alone = evaluate_language(run, documents[:1])
    assert alone["bits_per_byte"] == pytest.approx(lm_eval_figures(losses[:1], documents[:1])[1], rel=1e-6)


def test_windows_of_documents(run):
    ids = token_stream(run, DOCUMENTS)
    for context, stride in ((0, 0), (8, 3), (4, 1)):
        losses = window_losses(run.model, ids, context, stride)
        result = evaluate_language(run, DOCUMENTS, context=context, stride=stride)
        assert result["loss_per_token"] == pytest.approx(losses.mean(), abs=1e-9)
        assert result["bits_per_token"] == pytest.approx(losses.mean() / math.log(2), abs=1e-9)
        assert (result["context"], result["stride"]) == (context or 8, stride or context or 8)
        steps = list(evaluating_language(run, DOCUMENTS, context, stride))
        np.testing.assert_array_equal(np.concatenate([step.nats for step in steps]), losses)
        assert steps[-1][:2] == (len(ids), len(ids))
    with pytest.raises(ConfigError, match="stride"):
        evaluate_language(run, DOCUMENTS, context=4, stride=5)


def test_odd_documents(run):
    for blank in (["", " "], ["\n"], []):
        with pytest.raises(DataError, match="empty"):
            evaluate_language(run, blank)
    # Documents without text are left out, as in training: no end token, no byte, no example.
    assert evaluate_language(run, ["x", "", " \n", "コーヒー"]) == evaluate_language(run, ["x", "コーヒー"])
    one = evaluate_language(run, ["x", "", " "])
    assert (one["examples"], one["tokens"], one["bytes"]) == (1, 1, 1)  # a text in one piece: no end token
    assert evaluate_language(run, ["x", "y"])["tokens"] == 4
    # Half a surrogate pair is U+FFFD to the model: three bytes.
    assert evaluate_language(run, ["a\ud800b"]) == evaluate_language(run, ["a\ufffdb"])
    assert evaluate_language(run, ["a\ud800b"])["bytes"] == 5
    assert evaluate_language(run, ["\U0001f600"])["bytes"] == 4


@pytest.mark.parametrize(
    "documents, language, expected",
    [
        (["one two\nthree", "four"], "", 4), (["  one  "], "", 1), (["コーヒーを一杯ください。"], "", None),
        (["我们喝咖啡"], "", None), (["กาแฟ"], "", None), (["커피 한 잔"], "", 3), (["кофе и чай"], "", 3),
        (["one two"], "ja", None), (["one two"], "ja_JP", None), (["one two"], "zh-Hans", None),
        (["コーヒー"], "en", 1),
        (["The word コーヒー in a sentence of many English words is no reason to count none of them at all."], "", 20),
        (["x " * 2_000_000 + "コーヒー"], "", 2_000_001), (["\u3000"], "", 0), ([""], "", 0),
    ],
)  # fmt: skip
def test_words(documents, language, expected):
    assert count_words(documents, language) == expected


def test_a_hopeless_loss_is_a_number(run):
    found = text_figures(1e6, 10, ["a b"])
    assert found["perplexity"] == found["perplexity_per_word"] == math.exp(700) and json.dumps(found)
