"""Loss, perplexity and bits per byte of language models, against training's validation and a plain loop."""

import math
from types import SimpleNamespace

import pytest
import torch

from core.config import RunConfig
from core.data.batching import BlockBatches
from core.errors import DataError
from core.evaluate import evaluate, validation_split
from core.evaluate.language import token_stream
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
