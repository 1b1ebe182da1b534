"""What must hold for every family: causality, padding, cache, trace, initialisation."""

import math

import pytest
import torch
import torch.nn.functional as F

from core.config import ModelConfig
from core.model import build_model

SHAPES = {
    "gpt": ModelConfig(family="gpt", vocab_size=97, d_model=48, n_layers=3, n_heads=4, max_seq_len=32),
    "llama": ModelConfig(
        family="llama", vocab_size=97, d_model=48, n_layers=3, n_heads=4, n_kv_heads=2, max_seq_len=32
    ),
    "llama-untied": ModelConfig(
        family="llama", vocab_size=97, d_model=48, n_layers=2, n_heads=6, n_kv_heads=1, max_seq_len=32,
        tie_embeddings=False,
    ),
    "transformer": ModelConfig(
        family="transformer", vocab_size=97, d_model=48, n_layers=2, n_encoder_layers=3, n_heads=4, max_seq_len=32
    ),
    "transformer-post": ModelConfig(
        family="transformer", vocab_size=97, d_model=48, n_layers=2, n_heads=4, max_seq_len=32, norm_position="post",
        positions="learned", activation="gelu",
    ),
}  # fmt: skip


@pytest.fixture(params=SHAPES)
def model(request):
    torch.manual_seed(1)
    model = build_model(SHAPES[request.param]).eval()
    # At initialisation much cancels out (zero biases, tiny logits); random weights test more.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def inputs(rows=4, length=14, source=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 97, (rows, length), generator=generator)
    src = torch.randint(3, 97, (rows, source), generator=generator)
    mask = torch.ones(rows, source, dtype=torch.bool)
    mask[1, 4:] = False
    mask[2, 1:] = False
    return ids, src, mask


@torch.inference_mode()
def test_a_later_token_changes_nothing_before_it(model):
    ids, src, mask = inputs()
    memory = model.encode(src, mask)
    logits = model(ids, memory).logits
    for position in (1, 7, 13):
        changed = ids.clone()
        changed[:, position] = (changed[:, position] + 1) % 97
        other = model(changed, memory).logits
        assert torch.equal(other[:, :position], logits[:, :position])
        assert not torch.equal(other[:, position:], logits[:, position:])


@torch.inference_mode()
def test_a_batch_of_mixed_lengths_equals_the_single_rows(model):
    ids, src, mask = inputs()
    lengths = [14, 3, 1, 8]
    padded = ids.clone()
    for row, length in enumerate(lengths):
        padded[row, length:] = 0
    logits = model(padded, model.encode(src, mask)).logits
    for row, length in enumerate(lengths):
        source = src[row : row + 1, : int(mask[row].sum())]
        alone = model(ids[row : row + 1, :length], model.encode(source)).logits
        torch.testing.assert_close(logits[row, :length], alone[0], atol=2e-6, rtol=1e-5)
        assert torch.equal(logits[row, :length].argmax(-1), alone[0].argmax(-1))


@torch.inference_mode()
def test_what_stands_on_padding_does_not_matter(model):
    ids, src, mask = inputs()
    noise = src.clone()
    noise[~mask] = 50
    quiet = src.clone()
    quiet[~mask] = 0
    a, b = (model(ids, model.encode(s, mask)).logits for s in (noise, quiet))
    assert torch.equal(a, b)


@torch.inference_mode()
def test_the_cache_changes_nothing(model):
    ids, src, mask = inputs()
    memory = model.encode(src, mask)
    logits = model(ids, memory).logits
    lengths = torch.tensor([5, 9, 1, 7])
    rows = torch.arange(4)
    cache = model.new_cache(4, 14)
    first = model(ids[:, :9], memory, cache, logit_positions=lengths - 1).logits[:, 0]
    torch.testing.assert_close(first, logits[rows, lengths - 1], atol=2e-6, rtol=1e-5)
    cache.length = lengths
    for step in range(4):
        position = lengths + step
        out = model(ids[rows, position][:, None], None, cache).logits[:, 0]
        torch.testing.assert_close(out, logits[rows, position], atol=2e-6, rtol=1e-5)
    assert cache.length.tolist() == [9, 13, 5, 11]


@torch.inference_mode()
def test_a_cache_is_continued_by_several_tokens_at_once(model):
    ids, src, mask = inputs()
    memory = model.encode(src, mask)
    logits = model(ids, memory).logits
    for lengths in (torch.tensor([4, 4, 4, 4]), torch.tensor([2, 5, 1, 3])):
        cache = model.new_cache(4, 14)
        model(ids[:, : int(lengths.max())], memory, cache)
        cache.length = lengths
        chunk = torch.stack([ids[row, n : n + 6] for row, n in enumerate(lengths.tolist())])
        out = model(chunk, None, cache).logits
        for row, n in enumerate(lengths.tolist()):
            torch.testing.assert_close(out[row], logits[row, n : n + 6], atol=2e-6, rtol=1e-5)


@torch.inference_mode()
def test_reordered_rows_continue_what_their_sources_had(model):
    ids, src, mask = inputs()
    memory = model.encode(src, mask)
    logits = model(ids, memory).logits
    for rows in ([2, 0, 0, 3], [1], [3, 3, 2, 1, 0, 0]):
        lengths = torch.tensor([5, 9, 1, 7])
        cache = model.new_cache(4, 14)
        model(ids[:, :9], memory, cache)
        cache.length = lengths
        cache.reorder(torch.tensor(rows))
        for step in range(3):
            position = lengths[rows] + step
            out = model(ids[rows, position][:, None], None, cache).logits[:, 0]
            torch.testing.assert_close(out, logits[rows, position], atol=2e-6, rtol=1e-5)


def test_the_cache_holds_what_it_says_and_refuses_more():
    model = build_model(SHAPES["llama"]).eval()
    cache = model.new_cache(3, 10)
    assert cache.bytes == 3 * 2 * 3 * 2 * 10 * 12 * 4  # layers, k and v, rows, kv heads, positions, d_head, float32
    with pytest.raises(ValueError, match="10 positions"):
        model(torch.ones(3, 11, dtype=torch.long), cache=cache)


@torch.inference_mode()
def test_the_trace_is_of_the_same_forward_pass(model):
    ids, src, mask = inputs()
    config = model.config
    fast = model(ids, model.encode(src, mask)).logits
    memory = model.encode(src, mask, trace=True)
    out = model(ids, memory, trace=True)
    torch.testing.assert_close(out.logits, fast, atol=1e-5, rtol=1e-5)
    trace = out.trace
    assert [tuple(a.shape) for a in trace.attention["self"]] == [(4, config.n_heads, 14, 14)] * config.n_layers
    kinds = {"self": config.n_layers}
    if model.is_encoder_decoder:
        kinds |= {"cross": config.n_layers, "encoder": config.n_encoder_layers}
        assert trace.attention["cross"][0].shape == (4, config.n_heads, 14, 9)
        assert trace.attention["encoder"][0].shape == (4, config.n_heads, 9, 9)
        assert (trace.attention["cross"][0][1, :, :, 4:] == 0).all()  # masked source positions
    assert {kind: len(layers) for kind, layers in trace.attention.items()} == kinds
    for layers in trace.attention.values():
        for probabilities in layers:
            torch.testing.assert_close(probabilities.sum(-1), torch.ones(probabilities.shape[:-1]))
    for probabilities in trace.attention["self"]:
        assert (probabilities.triu(1) == 0).all()
    assert len(trace.residual["decoder"]) == config.n_layers + 1
    torch.testing.assert_close(model.logits(model.norm(trace.residual["decoder"][-1])), fast, atol=1e-5, rtol=1e-5)
    again = model(ids, memory, trace=True).trace  # the memory's own trace is not written into
    assert {kind: len(layers) for kind, layers in again.attention.items()} == kinds


@pytest.mark.parametrize("family", ["gpt", "llama", "transformer"])
@pytest.mark.parametrize(("vocab_size", "d_model"), [(65, 128), (65, 512), (1_000, 256), (8_000, 256)])
def test_the_first_loss_is_that_of_a_uniform_guess(family, vocab_size, d_model):
    torch.manual_seed(0)
    model = build_model(
        ModelConfig(family=family, vocab_size=vocab_size, d_model=d_model, n_layers=2, n_heads=4, max_seq_len=64)
    ).eval()
    ids = torch.randint(0, vocab_size, (8, 64))
    with torch.inference_mode():
        logits = model(ids, model.encode(ids)).logits
    loss = F.cross_entropy(logits.flatten(0, 1), torch.randint(0, vocab_size, (8 * 64,))).item()
    assert abs(loss / math.log(vocab_size) - 1) < 0.02


def test_every_parameter_learns():
    for config in SHAPES.values():
        model = build_model(config)
        ids, src, mask = inputs()
        model(ids, model.encode(src, mask)).logits.log_softmax(-1)[..., 5].sum().backward()
        silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
        # Softmax does not change when all keys move alike, so key biases have no gradient; no name is only a key's.
        assert silent == []


@torch.inference_mode()
def test_a_sequence_longer_than_the_context_is_refused(model):
    with pytest.raises(ValueError, match="at most 32 tokens"):
        model(torch.ones(1, 33, dtype=torch.long), model.encode(torch.ones(1, 2, dtype=torch.long)))


@torch.inference_mode()
def test_no_mask_of_all_queries_and_keys_is_built_for_causality(monkeypatch):
    """The fast path says is_causal and hands over no mask, in training and when a prompt is read into a cache."""
    seen = []
    real = F.scaled_dot_product_attention

    def spy(*args, **kwargs):
        seen.append((kwargs.get("attn_mask"), kwargs.get("is_causal")))
        return real(*args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    model = build_model(SHAPES["gpt"]).eval()
    model(torch.ones(2, 20, dtype=torch.long))
    model(torch.ones(2, 20, dtype=torch.long), cache=model.new_cache(2, 32))
    assert seen == [(None, True)] * 6
