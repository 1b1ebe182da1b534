"""The cache with many rows: keys filled up to whole vectors, rows that move in place; each row as if it were alone."""

import pytest
import torch

from core.config import ModelConfig
from core.model import build_model
from core.model.cache import FIRST, MANY, SHORT, WIDTH
from core.model.linear import linear
from core.model.quantize import quantize

SHAPES = {
    "gpt": {},
    "llama": {"n_kv_heads": 2},
    "transformer": {"n_encoder_layers": 2},
}


@pytest.fixture(scope="module", params=SHAPES)
def model(request):
    torch.manual_seed(3)
    shape = {
        "family": request.param,
        "vocab_size": 67,
        "d_model": 32,
        "n_heads": 4,
        "n_layers": 2,
        "d_ff": 48,
        "max_seq_len": 80,
    }
    return build_model(ModelConfig(**shape, **SHAPES[request.param])).eval().double()


def memory_of(model, rows, length):
    if not model.is_encoder_decoder:
        return None
    mask = torch.arange(length) < torch.randint(1, length + 1, (rows, 1))
    return model.encode(torch.randint(3, 67, (rows, length)), mask)


def only(memory, rows):
    return None if memory is None else type(memory)(memory.states[rows], memory.mask[rows])


@pytest.mark.parametrize("length", [5, WIDTH, WIDTH + 3])
@torch.inference_mode()
def test_every_step_of_many_rows_is_that_of_one_pass(model, length):
    """Rows of one length: fewer keys than are filled up to, exactly as many, and more than that."""
    rows, steps = MANY + 3, SHORT + 5
    ids, memory = torch.randint(3, 67, (rows, steps)), memory_of(model, rows, length)
    cache = model.new_cache(rows, 77)
    found = [model(ids[:, :2], memory, cache).logits[:, -1]]
    found += [model(ids[:, at : at + 1], cache=cache).logits[:, 0] for at in range(2, steps)]
    torch.testing.assert_close(torch.stack(found, 1), model(ids, memory).logits[:, 1:], atol=1e-10, rtol=1e-10)


@torch.inference_mode()
def test_rows_of_unequal_lengths_that_come_and_go_are_as_alone(model):
    rows = 2 * MANY
    lengths = torch.randint(1, 9, (rows,))
    ids, memory = torch.randint(3, 67, (rows, 8)), memory_of(model, rows, 7)
    cache = model.new_cache(rows, 60)
    model(ids, memory, cache)
    cache.length = lengths
    texts = [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]
    sources = list(range(rows))
    generator = torch.Generator().manual_seed(1)
    for size in (rows, rows + 5, rows - 3, MANY, MANY - 6, 3):  # grows, shrinks, and is few in the end
        order = torch.randint(0, len(texts), (size,), generator=generator)
        order[: size // 2] = torch.arange(size // 2)  # some stay
        cache.reorder(order)
        step = torch.randint(3, 67, (size, 1), generator=generator)
        texts = [[*texts[row], int(token)] for row, token in zip(order, step, strict=True)]
        sources = [sources[row] for row in order]
        logits = model(step, cache=cache).logits[:, 0]
        for row in range(0, size, 4):
            alone = model(torch.tensor([texts[row]]), only(memory, [sources[row]])).logits[0, -1]
            torch.testing.assert_close(logits[row], alone, atol=1e-10, rtol=1e-10)


def test_only_many_rows_are_filled_up(model):
    few, many = model.new_cache(MANY - 1, 60), model.new_cache(MANY, 60)
    few.length, many.length = torch.full((MANY - 1,), 3), torch.full((MANY,), 3)
    assert (few.sees(1), many.sees(1), many.sees(2)) == (4, FIRST, 5) and few.mask(1) is None
    assert many.mask(1).flatten().tolist() == [True] * 4 + [False] * (FIRST - 4)
    many.length = torch.full((MANY,), SHORT)
    assert many.sees(1) == SHORT + 1 and many.mask(1) is None


def test_an_activation_goes_with_the_product_or_behind_it():
    x, weight, bias = torch.randn(5, 16), torch.randn(8, 16), torch.randn(8)
    expected = torch.nn.functional.linear(x, weight, bias)
    for activation in (torch.nn.functional.relu, torch.nn.functional.gelu):
        with torch.inference_mode():
            torch.testing.assert_close(linear(x, weight, bias, activation=activation), activation(expected))
        learned = weight.clone().requires_grad_()
        linear(x, learned, bias, activation=activation).sum().backward()
        copy = weight.clone().requires_grad_()
        activation(torch.nn.functional.linear(x, copy, bias)).sum().backward()
        torch.testing.assert_close(learned.grad, copy.grad)


def test_an_activation_acts_in_8_bits_too():
    torch.manual_seed(0)
    shape = {
        "family": "gpt",
        "vocab_size": 67,
        "d_model": 32,
        "n_heads": 4,
        "n_layers": 1,
        "d_ff": 64,
        "max_seq_len": 32,
        "activation": "relu",
    }
    model = build_model(ModelConfig(**shape)).eval()
    up = quantize(model).layers[0].feed_forward.up
    x = torch.randn(4, 32)
    assert (up(x) < 0).any() and torch.equal(up(x, torch.nn.functional.relu), up(x).relu())
