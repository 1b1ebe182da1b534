"""Batches of inputs for several workers: everything once, of like length, within limits, and the same each time."""

import random
from types import SimpleNamespace

import pytest

from core.config import ModelConfig
from core.decode.config import GenerationConfig
from core.decode.many import BATCHES, KEYS, ROWS, _rows_within, batches, decoded
from core.decode.search import generate, input_ids
from core.run import load


@pytest.mark.parametrize("shared", [True, False])
def test_every_source_is_in_one_batch_with_those_of_its_length(shared):
    generator = random.Random(2)
    for count in (0, 1, 7, 130, 2_000):
        lengths = [generator.choice((0, 1, 5, 9, 300)) for _ in range(count)]
        for rows in (1, 5, 64):
            found = batches(lengths, rows, shared=shared)
            assert sorted(place for batch in found for place in batch) == list(range(count))
            assert found == batches(lengths, rows, shared=shared)
            for batch in found:
                longest = max(lengths[place] for place in batch)
                assert len(batch) == 1 or (len(batch) * rows <= ROWS and len(batch) * rows * longest <= 32_768)
                within = [sorted(lengths[place] for place in batch) for batch in found]
                assert all(a[-1] <= b[0] for a, b in zip(sorted(within), sorted(within)[1:], strict=False))


def test_there_are_enough_for_all_and_the_last_are_small():
    rows = [5 * len(batch) for batch in batches([9] * 500, 5)]
    assert len(rows) > BATCHES and sum(rows) == 2_500
    assert max(rows) <= 2_500 // BATCHES and rows[-4:] == [80, 80, 80, 70]
    assert [len(batch) for batch in batches([9] * 10, 5)] == [10]  # not worth dividing
    assert [len(batch) for batch in batches([9] * 500, 2, most_rows=1_024, shared=False)] == [500]


def test_a_large_model_or_long_outputs_come_in_smaller_batches():
    def rows(room=2**20, tokens=80, prompt=None, **shape):
        model = ModelConfig(family="transformer", vocab_size=9, **shape)
        run = SimpleNamespace(model=SimpleNamespace(config=model, is_encoder_decoder=prompt is None))
        return _rows_within(room, run, GenerationConfig(max_new_tokens=tokens), prompt or 7)

    small = dict(d_model=32, n_layers=2, n_heads=4, max_seq_len=128)
    assert rows(**small) == 2**20 // (2 * 2 * 32 * 80 * 4)
    assert rows(**small | dict(d_model=64, n_layers=4)) == rows(**small) // 4
    assert rows(**small, tokens=10_000) == rows(**small, tokens=128) < rows(**small)
    assert rows(**small, prompt=20) == rows(**small, tokens=100)  # a prompt's keys are kept as well
    assert rows(**small, room=1) == 1
    run = load("enja-transformer")
    assert _rows_within(KEYS, run, run.config.decode, 30) >= ROWS


def test_the_dearest_batch_is_not_among_the_last_to_be_begun():
    lengths = list(range(1, 1_001))
    found = batches(lengths, 5, most_tokens=10**9)
    dearest = max(range(len(found)), key=lambda place: sum(lengths[i] for i in found[place]))
    assert dearest <= len(found) // 2


@pytest.mark.parametrize("name", ["demo-transformer", "demo-gpt"])
def test_many_are_decoded_as_each_by_itself(name):
    run, config = load(name), GenerationConfig(strategy="sample", top_p=0.9, seed=3, max_new_tokens=6)
    texts = ["I have a dog.", "", "She reads.", "What is this?", "I have a dog."] * 3
    found = {}
    for batch in decoded(run, [input_ids(run, text) for text in texts], config, workers=2):
        found.update({one.number: one.generation.text for one in batch or ()})
    assert [found[number] for number in range(15)] == [one.text for one in generate(run, texts, config)]
