"""A model's reading of a text: the forward pass's own attention, whatever is kept of it."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.analysis import reading as module
from core.analysis.reading import longest, read, read_ids
from core.config import RunConfig
from core.errors import TextError
from core.model import build_model
from core.model.trace import Heads
from core.run import Run
from core.tokenizer import train_bpe

TEXT = "I'd like a cup of coffee."
SHAPES = {
    "gpt": {"family": "gpt"},
    "llama": {"family": "llama", "n_kv_heads": 2},
    "translator": {"family": "transformer", "n_encoder_layers": 3},
    "post-norm": {"family": "transformer", "n_encoder_layers": 1, "norm_position": "post"},
}


def make_run(name, tmp_path, **more) -> Run:
    tokenizer = train_bpe([TEXT, "コーヒーを一杯いただきたい。"] * 4, 300)
    shape = {"d_model": 16, "n_layers": 2, "n_heads": 4, "d_ff": 24, "max_seq_len": 40} | SHAPES[name] | more
    decode = {"strategy": "greedy", "max_new_tokens": 9}
    config = RunConfig.from_dict({"model": {"vocab_size": tokenizer.vocab_size, **shape}, "decode": decode})
    run = Run(name, config, tokenizer, tmp_path)
    torch.manual_seed(3)
    model = build_model(config.model).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.5)
    run.model = model
    return run


@pytest.fixture(params=list(SHAPES))
def run(request, tmp_path):
    return make_run(request.param, tmp_path)


def all_attention(reading):
    return {
        (kind, layer): reading.layer_attention(kind, layer)
        for kind in reading.kinds
        for layer in range(reading.n_layers(kind))
    }


def plain_attention(heads: Heads, head: int) -> np.ndarray:
    """The formula, one query at a time."""
    q = heads.q[0, head].numpy()
    k = heads.k[0, head // (heads.q.shape[1] // heads.k.shape[1])].numpy()
    rows = np.zeros((len(q), len(k)))
    for i in range(len(q)):
        seen = i + 1 if heads.causal else len(k)
        scores = np.array([q[i] @ k[j] for j in range(seen)]) / np.sqrt(q.shape[1])
        rows[i, :seen] = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    return rows


def test_attention_is_the_formulas_and_sums_to_one(run):
    reading = read(run, TEXT)
    for (kind, layer), weights in all_attention(reading).items():
        assert weights.shape == (4, len(reading.queries(kind)), len(reading.keys(kind))) and weights.dtype == np.float32
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
        for head in range(4):
            np.testing.assert_allclose(weights[head], plain_attention(reading.heads(kind, layer), head), atol=1e-6)
            np.testing.assert_array_equal(reading.attention(kind, layer, head), weights[head])
        if reading.is_causal(kind):
            assert (weights[:, ~np.tri(weights.shape[1], dtype=bool)] == 0).all()


def test_layers_that_were_not_kept_are_computed_again_to_the_same_bits(run, monkeypatch):
    whole = read(run, TEXT)
    monkeypatch.setattr(module, "ROOM", whole.trace.nbytes // 4)  # for some of the layers
    part = read(run, TEXT)
    assert any(heads is None for layers in part.trace.heads.values() for heads in layers)
    assert part.nbytes < whole.nbytes
    with pytest.raises(ValueError, match="no room"):
        part.trace.attention  # noqa: B018
    assert {kind: len(layers) for kind, layers in whole.trace.attention.items()} == {
        kind: whole.n_layers(kind) for kind in whole.kinds
    }
    for place, weights in all_attention(whole).items():
        np.testing.assert_array_equal(part.layer_attention(*place), weights)
    assert len(part._again) <= 2  # the last layer's, of a decoder of both kinds


def test_a_readings_logits_are_the_models_own(run):
    reading = read(run, TEXT)
    ids = torch.tensor([reading.ids])
    memory = run.model.encode(torch.tensor([reading.source])) if reading.source else None
    with torch.inference_mode():
        plain = run.model(ids, memory).logits[0]
    assert torch.equal(reading.logits(), plain)
    torch.testing.assert_close(reading.logits([1]), plain[1:2])
    if not reading.is_translation:
        assert reading.written_ids[-1] == int(plain[-1].argmax())


def test_a_trace_keeps_no_probabilities(run):
    """What is kept grows with the text, not with its square."""
    texts = [TEXT, TEXT[:-1] + " " + TEXT]
    sizes = [(len(r.ids) + len(r.source), r.nbytes) for r in (read(run, text, "コ" * 3) for text in texts)]
    (short, small), (long, large) = sizes
    assert large / small < 1.2 * long / short


def test_what_a_reading_says_that_it_holds_is_all_that_it_holds(run):
    reading = read(run, TEXT, "コーヒー")
    heads = [one for layers in reading.trace.heads.values() for one in layers]
    tensors = [tensor for one in heads for tensor in (one.q, one.k, one.v)] + [reading.hidden]
    tensors += [state for states in reading.trace.residual.values() for state in states]
    if reading.memory is not None:
        tensors.append(reading.memory.states)
    held = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    assert sum(held.values()) <= reading.nbytes <= 1.2 * sum(held.values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rows_of_a_model_in_half_precision_sum_to_one(run, dtype):
    run.model.to(dtype)
    reading = read(run, TEXT, "コーヒー")
    for (kind, layer), weights in all_attention(reading).items():
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
        for head in range(4):
            one = reading.heads(kind, layer)
            exact = Heads(one.q.float(), one.k.float(), one.v.float(), one.mask, one.causal)
            np.testing.assert_allclose(weights[head], plain_attention(exact, head), atol=1e-6)


def test_names_and_ids_go_together(run):
    reading = read(run, TEXT, "コーヒー" if run.is_translation else None)
    assert reading.names[0] == "<s>" and reading.written[:-1] == reading.names[1:]
    assert len(reading.written_ids) == len(reading.ids) == len(reading.names)
    if run.is_translation:
        assert reading.kinds == ["cross", "encoder", "self"] and reading.target == "コーヒー"
        assert reading.source[-1] == run.model.eos_id and reading.written[-1] == "</s>"
        assert reading.key_ids("cross") == reading.source and reading.query_ids("cross") == reading.ids
        assert len(read(run, TEXT, "").ids) == 1
    else:
        assert reading.kinds == ["self"] and reading.target == "" and reading.source == []


def test_grouped_queries_name_their_key_and_value_head(tmp_path):
    reading = read(make_run("llama", tmp_path), TEXT)
    assert [reading.key_value_head("self", head) for head in range(4)] == [0, 0, 1, 1]
    heads = reading.heads("self", 0)
    assert [heads.key_value_head(head) for head in range(4)] == [0, 0, 1, 1]
    for head in range(4):
        torch.testing.assert_close(heads.values(slice(head, head + 1))[0, 0], heads.v[0, head // 2])
    assert read(make_run("gpt", tmp_path), TEXT).key_value_head("self", 0) is None


def test_another_model_of_the_same_shape_reads(run):
    other = build_model(run.config.model).eval()
    reading = read(run, TEXT, "コ", model=other)
    assert reading.model is other
    assert not np.allclose(reading.attention("self", 0, 0), read(run, TEXT, "コ").attention("self", 0, 0))


def test_what_does_not_fit_is_cut_and_said(run, monkeypatch):
    long = read(run, TEXT * 20, TEXT * 20)
    assert len(long.ids) == 40 and "first" in long.notes[0]
    assert len(long.notes) == (2 if run.is_translation else 1)
    if run.is_translation:
        assert len(long.source) == 40 and long.source[-1] == run.model.eos_id
    monkeypatch.setattr(module, "CELLS", 4 * 8 * 100)
    assert longest(run) < 40 and len(read(run, TEXT * 20, "").names) <= longest(run)
    fits = longest(run)
    monkeypatch.setattr(module, "MAP", (fits - 1) ** 2)  # of one head
    assert longest(run) == fits - 1
    monkeypatch.setattr(module, "STREAM", 1)
    assert longest(run) == 2


@pytest.mark.parametrize("text", ["", " \n", "\x00", "\ud800x", "\U0001f469\u200d\U0001f467", "<s></s><script>"])
def test_any_text_is_read_or_a_sentence_says_why_not(run, text):
    if run.is_translation and not text.strip():
        with pytest.raises(TextError, match="nothing to translate"):
            read(run, text)
        return
    reading = read(run, text, text)
    assert len(reading.names) == len(reading.ids) >= 1
    if text == "":
        assert "empty" in reading.notes[0]


def test_ids_are_read_as_they_are(tmp_path):
    run = make_run("gpt", tmp_path)
    reading = read_ids(run, [1, 5, 9, 5, 9])
    assert reading.ids == [1, 5, 9, 5, 9]
    assert len(read_ids(run, [1] * 99).ids) == 40


def test_scores_before_and_after_the_mask(tmp_path):
    q, k, v = torch.randn(2, 4, 5, 3), torch.randn(2, 2, 7, 3), torch.randn(2, 2, 7, 3)
    mask = torch.rand(2, 4, 5, 7) > 0.3
    mask[..., 0] = True
    heads = Heads(q, k, v, mask)
    wide = k.repeat_interleave(2, 1)
    expected = (q @ wide.transpose(-2, -1) / 3**0.5).masked_fill(~mask, -torch.inf).softmax(-1)
    torch.testing.assert_close(heads.attention(), expected)
    torch.testing.assert_close(heads.attention(slice(1, 3)), expected[:, 1:3])
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    torch.testing.assert_close(heads.attention() @ heads.values(), out)
