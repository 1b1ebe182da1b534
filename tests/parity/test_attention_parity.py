"""What a reading says of attention is what transformers' eager attention gives on the same checkpoint."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hf_models import LLAMA3, gpt2, ids_for, llama, make, marian, pegasus

from core.analysis import reading as module
from core.analysis.head_scores import head_scores
from core.analysis.look import look
from core.analysis.reading import read_ids
from core.analysis.rollout import rollout
from core.analysis.survey import survey
from core.model.hf import import_pretrained

RANDOM = random.Random(11)


def random_shape():
    heads, kv = RANDOM.choice([(2, 2), (4, 2), (6, 2), (4, 1), (6, 3)])
    width, vocab = heads * RANDOM.choice([4, 8]), RANDOM.randint(9, 200)
    encoder, decoder = RANDOM.sample([1, 2, 3, 4], 2)
    return RANDOM.choice(
        [
            lambda: gpt2(vocab, width, decoder, heads),
            lambda: llama(vocab, width, decoder, heads, kv),
            lambda: marian(vocab, width, encoder, decoder, heads, scale_embedding=True),
            lambda: pegasus(vocab, width, encoder, decoder, heads),
        ]
    )()


SHAPES = [
    gpt2(),
    llama(),
    llama(heads=8, kv=1, layers=3, rope_theta=500.0),
    llama(rope_parameters=LLAMA3 | {"rope_theta": 100.0}),
    marian(101, 32, 3, 1),
    marian(64, 24, 1, 4, 6, activation_function="swish"),
    pegasus(101, 32, 1, 3),
    *(random_shape() for _ in range(10)),
]
each_shape = pytest.mark.parametrize("config", SHAPES, ids=lambda config: config.model_type)


def both(config, directory, length=17, source=26):
    """A reading of random ids, and transformers' attention on them: kind -> [(1, H, Q, K), ...]."""
    theirs = make(config)
    theirs.save_pretrained(directory)
    run = import_pretrained(directory)
    run.tokenizer = SimpleNamespace(has_id=lambda id: False)  # tokens are called by their numbers
    ids = ids_for(config.vocab_size, 1, length)
    if not run.is_translation:
        output = theirs(ids, output_attentions=True)
        return read_ids(run, ids[0].tolist()), {"self": output.attentions}
    src = ids_for(config.vocab_size, 1, source, seed=2)
    output = theirs(input_ids=src, decoder_input_ids=ids, output_attentions=True, use_cache=False)
    reading = module._forward(run, run.model, src[0].tolist(), ids[0].tolist(), run.model.eos_id, "", [])
    expected = {
        "encoder": output.encoder_attentions,
        "self": output.decoder_attentions,
        "cross": output.cross_attentions,
    }
    return reading, expected


@each_shape
@torch.inference_mode()
def test_attention(config, tmp_path):
    reading, expected = both(config, tmp_path)
    assert set(reading.kinds) == set(expected)
    for kind, layers in expected.items():
        assert reading.n_layers(kind) == len(layers)
        for layer, theirs in enumerate(layers):
            ours = reading.layer_attention(kind, layer)
            assert ours.dtype == np.float32 and ours.shape == theirs.shape[1:]
            assert ours.shape == (reading.n_heads, len(reading.query_ids(kind)), len(reading.key_ids(kind)))
            np.testing.assert_allclose(ours, theirs[0], atol=1e-5, rtol=0)
            np.testing.assert_allclose(ours.sum(axis=-1), 1, atol=1e-5)
            assert (ours >= 0).all()
            if kind == "self":
                assert (np.triu(ours, 1) == 0).all()  # to the bit
            head = reading.n_heads - 1
            alone = reading.attention(kind, layer, head)
            np.testing.assert_allclose(alone, theirs[0, head], atol=1e-5, rtol=0)
            query = ours.shape[1] // 2
            np.testing.assert_allclose(
                look(reading, kind, layer, head, query).weights, theirs[0, head, query], atol=1e-5, rtol=0
            )


@each_shape
@torch.inference_mode()
def test_logits(config, tmp_path):
    """The reading's own forward pass is the checkpoint's, traced or not."""
    reading, _ = both(config, tmp_path, length=9, source=5)
    ids = torch.tensor([reading.ids])
    memory = reading.model.encode(torch.tensor([reading.source])) if reading.is_translation else None
    assert torch.equal(reading.logits(), reading.model(ids, memory=memory).logits[0])


@pytest.mark.parametrize("config", SHAPES[:7], ids=lambda config: config.model_type)
def test_layers_beyond_the_room_are_the_same_to_the_bit(config, tmp_path, monkeypatch):
    kept, _ = both(config, tmp_path)
    monkeypatch.setattr(module, "ROOM", 0)
    again, _ = both(config, tmp_path)
    assert again.nbytes < kept.nbytes
    for kind in kept.kinds:
        assert again.trace.heads[kind] == [None] * kept.n_layers(kind)
        for layer in reversed(range(kept.n_layers(kind))):
            assert (again.layer_attention(kind, layer) == kept.layer_attention(kind, layer)).all()
            for name in ("q", "k", "v"):
                assert torch.equal(getattr(again.heads(kind, layer), name), getattr(kept.heads(kind, layer), name))


@pytest.mark.parametrize("config", [llama(), marian(64, 24, 3, 1)], ids=lambda config: config.model_type)
@torch.inference_mode()
def test_what_follows_from_attention(config, tmp_path):
    """Mean and scores of the survey, and the rollout of models with one stream, from transformers' attention."""
    reading, expected = both(config, tmp_path)
    for kind, layers in expected.items():
        theirs = torch.cat(layers).double().numpy()  # (layers, heads, queries, keys)
        found = survey(reading, kind)
        np.testing.assert_allclose(found.mean, theirs.mean(axis=(0, 1)), atol=1e-5)
        for layer, weights in enumerate(theirs):
            for name, values in head_scores(weights, kind, reading.query_ids(kind), reading.key_ids(kind)).items():
                np.testing.assert_allclose(found.scores[name][layer], values, atol=2e-4, err_msg=name)
        if kind == "encoder" or len(expected) == 1:
            rolled = np.eye(theirs.shape[-1])
            for weights in theirs.mean(axis=1):
                rolled = (weights + np.eye(len(rolled))) / 2 @ rolled
            np.testing.assert_allclose(rollout(reading, kind), rolled, atol=1e-5)
