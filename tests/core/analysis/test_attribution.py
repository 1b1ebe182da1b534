"""The parts of a logit: their sum, and each of them against a second implementation that goes forward."""

import numpy as np
import pytest
import torch
from internals_cases import SHAPES, case, random_model, reading_of

from core.analysis.attribution import attribute, by_key
from core.errors import ConfigError
from core.model.quantize import quantize
from core.run import load
from tests.parity import hf_models


def captured(reading, position):
    """What enters every attention's output matrix, and what every network returns, at a position."""
    model, seen, hooks = reading.model, {}, []
    for i, layer in enumerate(model.layers):
        for kind in ("attention", "cross_attention"):
            if hasattr(layer, kind):
                hooks.append(
                    getattr(layer, kind).out.register_forward_hook(
                        lambda _, given, __, place=(i, kind): seen.update({place: given[0][0, position].double()})
                    )
                )
        hooks.append(
            layer.feed_forward.register_forward_hook(
                lambda _, __, out, place=(i, "mlp"): seen.update({place: out[0, position].double()})
            )
        )
    with torch.inference_mode():
        memory = model.encode(torch.tensor([reading.source])) if reading.source else None
        model.hidden(torch.tensor([reading.ids]), memory)
    for hook in hooks:
        hook.remove()
    return seen


@torch.no_grad()
def forwards(reading, position, direction):
    """All parts as vectors, carried through every norm that comes after them; their products with the direction."""
    model, config, seen = reading.model, reading.model.config, captured(reading, position)
    size, vectors = config.d_model // config.n_heads, {}
    embedding = model.token_embedding.weight[reading.ids[position]].double() * model.embedding_scale
    vectors["embedding", -1, "", -1] = embedding
    if model.positions is not None:
        vectors["position", -1, "", -1] = model.positions(torch.tensor([position]))[0].double()

    def normalise(norm, place):
        y = sum(vectors.values())
        layer_norm = isinstance(norm, torch.nn.LayerNorm)
        scale = (y.var(unbiased=False) if layer_norm else (y * y).mean()).add(norm.eps).sqrt()
        for name, part in vectors.items():
            vectors[name] = norm.weight.double() * (part - (part.mean() if layer_norm else 0)) / scale
        if layer_norm:
            vectors["norm bias", *place, -1] = norm.bias.double().clone()

    for i, layer in enumerate(model.layers):
        steps = [("attention", "self", layer.attention_norm)]
        if model.is_encoder_decoder:
            steps.append(("cross_attention", "cross", layer.cross_norm))
        for name, kind, norm in steps:
            out = getattr(layer, name).out
            for head in range(config.n_heads):
                columns = slice(head * size, (head + 1) * size)
                vectors["head", i, kind, head] = out.weight[:, columns].double() @ seen[i, name][columns]
            if out.bias is not None:
                vectors["attention bias", i, kind, -1] = out.bias.double()
            if not layer.pre_norm:
                normalise(norm, (i, kind))
        vectors["mlp", i, "", -1] = seen[i, "mlp"]
        if not layer.pre_norm:
            normalise(layer.feed_forward_norm, (i, ""))
    if not isinstance(model.norm, torch.nn.Identity):
        normalise(model.norm, (-1, ""))
    return {name: float(part @ direction) for name, part in vectors.items()}


def output_matrix(model):
    return (model.token_embedding if model.output is None else model.output).weight.detach().double()


@pytest.mark.parametrize("name", SHAPES)
def test_the_parts_are_those_of_a_forward_pass_and_sum_to_the_logit(name):
    reading = case(name)
    logits = reading.logits()
    matrix = output_matrix(reading.model)
    for position, token, other in ((-1, None, None), (0, 5, 60), (7, 66, "mean"), (-3, 3, None)):
        found = attribute(reading, position, token, other)
        row = logits[position].double()
        token = int(row.argmax()) if token is None else token
        base, compared = 0.0, torch.zeros(24, dtype=torch.float64)
        if other is not None:
            base = float(row.mean() if other == "mean" else row[other])
            compared = matrix.mean(0) if other == "mean" else matrix[other]
        assert (found.position, found.token, found.other) == (position % 13, token, other)
        assert found.logit == pytest.approx(float(row[token]) - base, abs=1e-5)
        assert found.total == pytest.approx(found.logit, abs=1e-4)
        expected = forwards(reading, position % 13, matrix[token] - compared)
        parts = {(p.kind, p.layer, p.attention, p.head): p.value for p in found.parts if p.kind != "output bias"}
        assert len(parts) + (reading.model.output_bias is not None) == len(found.parts)
        assert parts.keys() == expected.keys()
        for place, value in expected.items():
            assert parts[place] == pytest.approx(value, abs=1e-4), place
        if other == 60 and reading.model.output_bias is not None:
            bias = reading.model.output_bias
            assert found.parts[-1].value == pytest.approx(float((bias[5] - bias[60]).detach()), abs=1e-6)


@pytest.mark.parametrize(
    "config", [hf_models.gpt2(), hf_models.llama(), hf_models.marian()], ids=lambda c: c.model_type
)
def test_imported_checkpoints(config, tmp_path):
    theirs = hf_models.make(config)
    theirs.save_pretrained(tmp_path)
    reading = reading_of(load(str(tmp_path)).model)
    ids = torch.tensor([reading.ids])
    with torch.inference_mode():
        source = {"input_ids": torch.tensor([reading.source]), "decoder_input_ids": ids} if reading.source else {}
        logits = theirs(**(source or {"input_ids": ids})).logits[0]
    for position in (0, 6, 12):
        found = attribute(reading, position, 7)
        assert found.total == pytest.approx(float(logits[position, 7]), abs=1e-4 * (1 + abs(found.logit)))


@pytest.mark.parametrize("name", ["gpt", "llama", "pre", "post"])
def test_a_heads_part_read_key_by_key(name):
    reading = case(name)
    for kind in [kind for kind in reading.kinds if kind != "encoder"]:
        for layer, head, position in ((0, 3, -1), (1, 0, 4)):
            part = attribute(reading, position, 9, 11).heads(kind)[layer, head]
            shares = by_key(reading, kind, layer, head, position, 9, 11)
            assert len(shares) == (position % 13 + 1 if kind == "self" else 9)
            assert shares.sum() == pytest.approx(part, abs=1e-6)
        # A key whose value is changed changes its own share only.
        before = by_key(reading, kind, 0, 1, -1, 9)
        heads = reading.trace.heads[kind][0]
        group = reading.model.config.n_heads // heads.v.shape[1]
        with torch.inference_mode():
            heads.v[0, 1 // group, 2] *= 2
        if reading.model.layers[0].pre_norm:  # else the scales above it change as well
            after = by_key(reading, kind, 0, 1, -1, 9)
            assert after[2] == pytest.approx(2 * before[2], abs=1e-6)
            np.testing.assert_allclose(np.delete(after, 2), np.delete(before, 2), atol=1e-6)


def test_layers_that_the_room_was_not_enough_for():
    reading = case("post")
    kept = attribute(reading)
    for layers in reading.trace.heads.values():
        layers[:] = [None] * len(layers)
    again = attribute(reading)
    assert [p.value for p in again.parts] == pytest.approx([p.value for p in kept.parts], abs=1e-5)


@pytest.mark.parametrize("name", ["gpt", "llama", "post"])
def test_a_model_in_half_precision(name):
    exact, half = case(name), reading_of(random_model(SHAPES[name]).to(torch.bfloat16))
    found, wanted = attribute(half, 5, 7, "mean"), attribute(exact, 5, 7, "mean")
    size = max(abs(part.value) for part in wanted.parts)
    np.testing.assert_allclose([p.value for p in found.parts], [p.value for p in wanted.parts], atol=0.1 * size)
    assert found.total == pytest.approx(found.logit, abs=0.02 * size)
    assert by_key(half, "self", 0, 1, 5, 7, "mean").sum() == pytest.approx(found.heads()[0, 1], abs=1e-6)


def test_what_there_is_not():
    reading = case("pre")
    for wrong in ((13,), (-14,), (0, 67), (0, -1), (0, 1, 67), (0, 1, -1)):
        with pytest.raises(ConfigError):
            attribute(reading, *wrong)
    for wrong in (("encoder", 0, 0), ("self", 3, 0), ("cross", 0, 4), ("other", 0, 0)):
        with pytest.raises(ConfigError):
            by_key(reading, *wrong)
    with pytest.raises(ConfigError, match="8 bits"):
        attribute(reading_of(quantize(random_model(SHAPES["gpt"]))))
