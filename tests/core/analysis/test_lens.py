"""The logit lens against transformers' hidden states and plain formulas."""

import numpy as np
import pytest
import torch
from internals_cases import SHAPES, case, reading_of

from core.analysis import lens as module
from core.analysis.lens import layer_logits, layer_writes, lens, stream_norms
from core.errors import ConfigError
from core.run import load
from tests.parity import hf_models


@pytest.mark.parametrize("name", SHAPES)
def test_the_last_row_is_the_models_own_prediction(name):
    reading = case(name)
    found = lens(reading, top=4)
    logits = reading.logits()
    last = len(reading.model.layers)
    assert found.layers == list(range(last + 1))
    torch.testing.assert_close(layer_logits(reading, last, list(range(13))), logits, atol=1e-5, rtol=1e-5)
    best = logits.softmax(-1).topk(4)
    np.testing.assert_array_equal(found.ids[-1], best.indices)
    np.testing.assert_allclose(found.probabilities[-1], best.values, atol=1e-5)
    np.testing.assert_array_equal(found.final, logits.argmax(-1))
    assert (found.final_rank[-1] == 1).all()
    np.testing.assert_allclose(found.divergence[-1], 0, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt", "llama", "post-marian"])
@torch.inference_mode()
def test_every_number_of_every_cell_by_a_plain_formula(name, monkeypatch):
    monkeypatch.setattr(module, "NUMBERS", 900)  # two positions at a time: six numbers for each of 67 tokens
    monkeypatch.setattr(
        module, "layer_logits", lambda reading, layer, at: asked.append(at) or layer_logits(reading, layer, at)
    )
    asked, reading = [], case(name)
    model, token = reading.model, 17
    found = lens(reading, top=3, token=token)
    assert max(map(len, asked)) == 2
    own = reading.logits().double().softmax(-1)
    for layer, state in enumerate(reading.trace.residual["decoder"]):
        shares = model.logits(model.norm(state[0])).double().softmax(-1)
        for position, row in enumerate(shares):
            cell = layer, position
            ranked = sorted(range(67), key=lambda id, row=row: -float(row[id]))
            assert found.ids[cell].tolist() == ranked[:3]
            assert found.probabilities[cell] == pytest.approx(row[ranked[:3]].tolist(), abs=1e-5)
            assert found.entropy[cell] == pytest.approx(float(-(row * row.log()).sum()), abs=1e-4)
            final = int(own[position].argmax())
            assert found.final_rank[cell] == ranked.index(final) + 1
            assert found.final_logprob[cell] == pytest.approx(float(row[final].log()), abs=1e-4)
            assert found.followed_rank[cell] == ranked.index(token) + 1
            assert found.followed_logprob[cell] == pytest.approx(float(row[token].log()), abs=1e-4)
            gap = float((own[position] * (own[position].log() - row.log())).sum())
            assert found.divergence[cell] == pytest.approx(gap, abs=1e-4)


@pytest.mark.parametrize(
    "config",
    [hf_models.gpt2(layers=3), hf_models.llama(layers=3), hf_models.marian(encoder=3, decoder=2), hf_models.pegasus()],
    ids=["gpt2", "llama", "marian", "pegasus"],
)
def test_the_hidden_states_of_transformers_through_its_own_head(config, tmp_path):
    theirs = hf_models.make(config)
    theirs.save_pretrained(tmp_path)
    model = load(str(tmp_path)).model
    reading = reading_of(model, length=11)
    ids = torch.tensor([reading.ids])
    with torch.inference_mode():
        if model.is_encoder_decoder:
            out = theirs(
                input_ids=torch.tensor([reading.source]), decoder_input_ids=ids, output_hidden_states=True,
                use_cache=False,
            )  # fmt: skip
            hidden, norm = out.decoder_hidden_states, getattr(theirs.model.decoder, "layer_norm", torch.nn.Identity())
        else:
            out = theirs(ids, output_hidden_states=True)
            hidden = out.hidden_states
            norm = theirs.transformer.ln_f if config.model_type == "gpt2" else theirs.model.norm
        layers = len(model.layers)
        assert len(hidden) == layers + 1
        for layer, state in enumerate(hidden):
            done = layer == layers and config.model_type != "marian"  # the last one is normalised already
            logits = theirs.lm_head(state if done else norm(state))[0]
            if model.output_bias is not None:
                logits = logits + theirs.final_logits_bias[0]
            torch.testing.assert_close(layer_logits(reading, layer, list(range(11))), logits, atol=1e-4, rtol=1e-4)


def test_chosen_layers_positions_and_what_there_is_not():
    reading = case("gpt")
    whole, part = lens(reading), lens(reading, layers=[-1, 1], positions=[12, 0, -2], top=2)
    assert (part.layers, part.positions) == ([3, 1], [12, 0, 11])
    np.testing.assert_array_equal(part.ids, whole.ids[[3, 1]][:, [12, 0, 11], :2])
    np.testing.assert_allclose(part.entropy, whole.entropy[[3, 1]][:, [12, 0, 11]], atol=1e-5)
    assert part.followed.tolist() == [reading.written_ids[position] for position in (12, 0, 11)]
    assert lens(reading, top=1000).ids.shape[-1] == 67  # no more tokens than there are
    for wrong in ({"layers": [4]}, {"positions": [13]}, {"positions": [-14]}, {"token": 67}, {"token": -1}):
        with pytest.raises(ConfigError):
            lens(reading, **wrong)


def test_a_translation_that_did_not_end_goes_on_with_nothing_known():
    reading = case("pre")
    reading.written_ids[-1] = -1
    found = lens(reading)
    assert found.followed[-1] == -1 and (found.followed_rank[:, -1] == 0).all()
    assert np.isnan(found.followed_logprob[:, -1]).all() and not np.isnan(found.followed_logprob[:, :-1]).any()


@pytest.mark.parametrize("name", SHAPES)
def test_what_sublayers_write_is_what_they_return(name):
    reading = case(name)
    model = reading.model
    for side, layers in (("decoder", model.layers), ("encoder", getattr(model, "encoder_layers", []))):
        written, hooks = {}, []
        for i, layer in enumerate(layers):
            attention = "encoder" if side == "encoder" else "self"
            parts = {attention: layer.attention, "mlp": layer.feed_forward}
            if hasattr(layer, "cross_attention"):
                parts["cross"] = layer.cross_attention
            for kind, part in parts.items():
                hooks.append(
                    part.register_forward_hook(
                        lambda _, __, out, to=written, place=(i, kind): to.update({place: out[0]})
                    )
                )
        with torch.inference_mode():
            memory = model.encode(torch.tensor([reading.source])) if reading.source else None
            model.hidden(torch.tensor([reading.ids]), memory)
        for hook in hooks:
            hook.remove()
        norms = stream_norms(reading, side) if len(layers) else None
        for i in range(len(layers)):
            kinds = [kind for kind, _ in layer_writes(reading, side, i)]
            assert kinds == ([attention, "cross", "mlp"] if (i, "cross") in written else [attention, "mlp"])
            for kind, found in layer_writes(reading, side, i):
                torch.testing.assert_close(found, written[i, kind], atol=1e-4, rtol=1e-4)
                np.testing.assert_allclose(norms.added[kind][i], written[i, kind].norm(dim=-1), rtol=1e-3)
        if norms is not None:
            np.testing.assert_allclose(norms.stream[1], reading.trace.residual[side][1][0].norm(dim=-1), rtol=1e-5)
