"""What makes decoding quick must not change what is computed: packed weights, shared sources, fixed shapes, 8 bits."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.config import ModelConfig
from core.decode import GenerationConfig, generate_ids
from core.errors import ConfigError
from core.model import build_model
from core.model import graph as graph_module
from core.model.inference import for_inference
from core.model.linear import Linear
from core.model.quantize import Int8Linear, quantize
from tests.core.decode.decode_helpers import decode, random_inputs, tiny

FAMILIES = ("transformer", "gpt", "llama")


def small(family: str, **changes):
    torch.manual_seed(0)
    shape = dict(vocab_size=61, d_model=24, n_layers=2, n_heads=4, d_ff=40, max_seq_len=48) | changes
    return build_model(ModelConfig(family=family, **shape)).eval()


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 7), (5, 7), (2, 3, 7), (4, 1, 7), (2, 3, 4, 7), (0, 7), (7,)])
def test_linear_is_torch_linear_with_gradients(shape, bias: bool, onednn: bool, monkeypatch) -> None:
    """With the library of either kind of processor."""
    monkeypatch.setattr("core.model.linear._TRAINS_WITH_ONEDNN", onednn)
    torch.manual_seed(1)
    layer = Linear(7, 11, bias=bias)
    x = torch.randn(*shape, requires_grad=True)
    mine, theirs = layer(x), F.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)
    inputs = [x, *layer.parameters()]
    gradients = [torch.autograd.grad(y.sin().sum(), inputs) for y in (mine, theirs)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_linear_in_other_precisions(dtype) -> None:
    layer = Linear(7, 11).to(dtype)
    x = torch.randn(3, 7, dtype=dtype)
    assert torch.equal(layer(x), F.linear(x, layer.weight, layer.bias))
    layer.pack()
    assert layer.packed is None


def test_linear_of_strided_inputs() -> None:
    layer = Linear(7, 11)
    layer.pack()
    with torch.inference_mode():
        for x in (torch.randn(7, 5).t(), torch.randn(4, 9, 14)[:, ::2, ::2], torch.randn(1, 7).expand(6, 7)):
            torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("onednn", [True, False])
def test_only_some_gradients_are_wanted(onednn: bool, monkeypatch) -> None:
    monkeypatch.setattr("core.model.linear._TRAINS_WITH_ONEDNN", onednn)
    layer = Linear(7, 11)
    layer.weight.requires_grad_(False)
    layer(torch.randn(3, 7)).sum().backward()
    assert layer.weight.grad is None and torch.equal(layer.bias.grad, torch.full((11,), 3.0))


def test_autocast_still_decides_the_precision() -> None:
    layer = Linear(7, 11)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.randn(3, 7)).dtype == torch.bfloat16


@pytest.mark.parametrize("change", ["in place", "new data", "moved about", "optimiser", "fused", "load", "no count"])
def test_packed_weights_are_never_stale(change: str) -> None:
    with torch.inference_mode(change == "no count"):  # such weights do not count their changes
        model = small("gpt").pack()
    ids = torch.randint(0, 61, (2, 9))
    with torch.inference_mode():
        before = model(ids).logits
    if change == "in place":
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1.5)
    elif change == "new data":
        for p in model.parameters():
            p.data = p.data * 1.5
    elif change == "moved about":  # the new weights may lie where the first ones lay
        for _ in range(6):
            for p in model.parameters():
                p.data = p.data * 1.1
    elif change in ("optimiser", "fused"):
        model.train()
        model(ids).logits.logsumexp(-1).sum().backward()
        torch.optim.AdamW(model.parameters(), lr=0.1, fused=change == "fused").step()
        model.eval()
    elif change == "no count":
        with torch.inference_mode():
            for p in model.parameters():
                p.mul_(1.5)
    else:
        model.load_state_dict({name: value * 1.5 for name, value in model.state_dict().items()})
    fresh = small("gpt")
    fresh.load_state_dict(model.state_dict())
    with torch.inference_mode():
        after = model(ids).logits
        assert (after - before).abs().max() > 1e-3
        torch.testing.assert_close(after, fresh(ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_packing_changes_nothing(family: str, tied: bool) -> None:
    model = small(family, tie_embeddings=tied)
    ids = torch.randint(0, 61, (3, 9))
    with torch.no_grad():
        memory = model.encode(torch.randint(0, 61, (3, 5)))
        plain = model(ids, memory).logits
        names = list(model.state_dict())
        packed = model.pack()(ids, memory).logits
    torch.testing.assert_close(packed, plain, atol=1e-5, rtol=1e-5)
    assert list(model.state_dict()) == names
    assert (
        model.pack().double()(ids, memory and type(memory)(memory.states.double(), memory.mask)).logits.dtype
        == torch.float64
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_models_can_be_copied_pickled_and_packed_again(family: str) -> None:
    model, inputs, config = small(family).pack(), random_inputs(3, 61), GenerationConfig(max_new_tokens=6)
    expected = generate_ids(model, inputs, config)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.packed_output is None and model.packed_output is not None
        assert [h.ids for (h,) in generate_ids(other.pack(), inputs, config)] == [h.ids for (h,) in expected]
        with torch.no_grad():
            for p in other.parameters():
                p.zero_()
    assert generate_ids(model, inputs, config) == expected


def test_what_is_packed_is_not_packed_again() -> None:
    for model in (small("gpt").pack(), small("gpt", tie_embeddings=False).pack()):
        before = [model.packed_output, *(m.packed for m in model.modules() if isinstance(m, Linear))]
        model.pack()
        after = [model.packed_output, *(m.packed for m in model.modules() if isinstance(m, Linear))]
        assert all(a is b for a, b in zip(before, after, strict=True)) and any(before)


def test_large_models_are_not_packed(monkeypatch) -> None:
    monkeypatch.setattr("core.model.base.PACKED_BYTES", 1000)
    model = small("gpt").pack()
    assert model.packed_output is None and all(m.packed is None for m in model.modules() if isinstance(m, Linear))


# ------------------------------------------------------------------------------------------------------ 8 bits


def test_int8_product_is_close_and_exact_in_a_plain_case() -> None:
    torch.manual_seed(0)
    weight, bias, x = torch.randn(50, 64), torch.randn(50), torch.randn(9, 64)
    exact = F.linear(x, weight, bias)
    error = (Int8Linear(weight, bias)(x) - exact).norm() / exact.norm()
    assert 1e-4 < error < 0.02  # rounded, and not by much
    # Whole numbers up to 127 are their own 8-bit form, and so are inputs of 0 and 1.
    weight = torch.randint(-127, 128, (50, 64)).float()
    weight[:, 0] = 127
    torch.testing.assert_close(Int8Linear(weight, None)(torch.eye(64)), weight.t(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_quantised_copies_decode_and_leave_the_model_alone(family: str, tied: bool) -> None:
    model = small(family, tie_embeddings=tied).pack()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    quantised = quantize(model)
    assert not any(isinstance(m, nn.Linear) for m in quantised.modules())
    assert quantised.token_embedding.weight is model.token_embedding.weight
    inputs = random_inputs(3, 61)
    config = GenerationConfig(max_new_tokens=6)
    assert len(generate_ids(quantised, inputs, config)) == 3
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    ids = torch.randint(0, 61, (2, 9))
    with torch.no_grad():
        memory = model.encode(ids)
        plain, rounded = model(ids, memory).logits, quantised(ids, memory).logits
    assert 0 < (plain - rounded).norm() / plain.norm() < 0.1


def test_what_a_machine_cannot_do_is_said() -> None:
    model = small("gpt")
    with pytest.raises(ConfigError, match="one of auto, float32"):
        for_inference(model, precision="float16")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="bfloat16 is for GPUs"):
        for_inference(model, precision="bfloat16")
    with pytest.raises(ConfigError, match="must be 'cpu', 'cuda'"):
        for_inference(model, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no GPU"):
            for_inference(model, device="cuda")
    assert for_inference(model).packed_output is not None


# ------------------------------------------------------------------------------- fixed shapes and recorded steps


class ReplayedStep:
    """A recorded step without a GPU: what a replay does to memory is done by calling the model, and the host's books
    are put back, since a replay does not touch them."""

    made = 0

    def __init__(self, model, cache) -> None:
        self.model, self.cache = model, cache
        ReplayedStep.made += 1

    def __call__(self, tokens):
        self.cache.check_room(1)
        longest = self.cache._longest
        logits = self.model(tokens, cache=self.cache).logits
        self.cache._longest = longest
        self.cache.count_replayed()
        return logits


@pytest.mark.parametrize(
    "strategy",
    [
        dict(),
        dict(strategy="beam", num_return_sequences=5),
        dict(strategy="sample", seed=2),
        dict(strategy="diverse_beam", num_beams=4, num_beam_groups=2, num_return_sequences=4),
        dict(strategy="contrastive"),
        dict(strategy="assisted", num_assistant_tokens=3),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_fixed_shapes_decode_the_same(family: str, strategy: dict, monkeypatch) -> None:
    model = tiny(family, eos_bias=3.0)
    inputs = random_inputs(9)
    config = GenerationConfig(max_new_tokens=20, **strategy)
    expected = decode(model, inputs, config)
    plain = type(model).new_cache

    def fixed(self, batch_size: int, max_len: int):
        cache = plain(self, batch_size, max_len)
        cache.fixed = True
        return cache

    monkeypatch.setattr(type(model), "new_cache", fixed)
    monkeypatch.setattr(graph_module, "RecordedStep", ReplayedStep)
    monkeypatch.setattr(graph_module, "WARM_STEPS", 1)
    ReplayedStep.made = 0
    found = decode(model, inputs, config)
    assert (ReplayedStep.made > 0) == (config.strategy not in ("contrastive", "assisted"))
    for mine, theirs in zip(found, expected, strict=True):
        assert [h.ids for h in mine] == [h.ids for h in theirs]
        for a, b in zip(mine, theirs, strict=True):
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-9)
    assert len({len(h.ids) for each in found for h in each}) > 1  # rows ended at different steps


def test_fixed_shapes_do_not_change_from_step_to_step() -> None:
    model = small("llama", n_kv_heads=2)
    cache = model.new_cache(2, 20)
    cache.fixed = True
    with torch.inference_mode():
        model(torch.randint(0, 61, (2, 5)), cache=cache)
        cache.length = torch.tensor([5, 3])
        address = cache._length.data_ptr()
        for _ in range(3):
            assert cache.mask(1).shape == (2, 1, 1, 20)
            model(torch.randint(0, 61, (2, 1)), cache=cache)
            assert cache._length.data_ptr() == address
        assert cache.length.tolist() == [8, 6]


# ----------------------------------------------------------------------------------------- rows that share a source


def test_rows_of_one_source_share_its_keys() -> None:
    model = small("transformer")
    src = torch.randint(3, 61, (3, 6))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] * 2 + [0] * 4], dtype=torch.bool)
    step = torch.randint(3, 61, (6, 1))
    with torch.inference_mode():
        cache = model.new_cache(3, 10)
        model(torch.ones(3, 1, dtype=torch.long), model.encode(src, mask), cache)
        held = cache.bytes
        for rows, kept in (
            ([0, 0, 1, 1, 2, 2], 3),
            ([0, 1, 2, 3, 4, 5], 3),
            ([1, 0, 2, 2, 5, 4], 3),
            ([2, 3, 4, 5], 2),
        ):
            cache.reorder(torch.tensor(rows))
            assert len(cache.cross[0][0]) == kept and len(cache.source) == len(rows)
        assert cache.bytes < 2 * held
        cache.reorder(torch.tensor([0, 0, 0, 2]))  # unequal shares: each row has its own
        assert len(cache.cross[0][0]) == 4
        logits = model(step[:4], cache=cache).logits
        order = torch.tensor([1, 1, 1, 2])
        alone = model.new_cache(4, 10)
        model(torch.ones(4, 1, dtype=torch.long), model.encode(src[order], mask[order]), alone)
        torch.testing.assert_close(logits, model(step[:4], cache=alone).logits, atol=1e-5, rtol=1e-5)
