"""Models with parts switched off, against hooks that put zeros (or means) in the parts' places."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from internals_cases import SHAPES, case, random_model, reading_of

from core.analysis.ablation import ablated, compare_ablation, each_alone, head_importance, token_losses
from core.decode import GenerationConfig, generate_ids
from core.errors import ConfigError
from core.model.quantize import quantize
from core.run import load
from tests.parity import hf_models

HEADS = {("self", 0, 1), ("self", 0, 3), ("self", 1, 0), ("encoder", 0, 2), ("cross", 1, 1)}
MLPS = {("decoder", 1), ("encoder", 0)}


def parts_of(model):
    """Of HEADS and MLPS those that the model has."""
    translator = model.is_encoder_decoder
    heads = {place for place in HEADS if place[1] < len(model.layers) and (translator or place[0] == "self")}
    return heads, {place for place in MLPS if place[1] < len(model.layers) and (translator or place[0] == "decoder")}


@contextmanager
def hooked(model, heads, mlps, means=None):
    """The model itself, with hooks before its matrices: a head's part of what enters is put to zero, or to a mean."""
    size, hooks = model.config.d_head, []

    def module(kind, layer):
        block = (model.encoder_layers if kind == "encoder" else model.layers)[layer]
        return block.cross_attention if kind == "cross" else block.attention

    for kind, layer, head in heads:

        def replace(_, given, kind=kind, layer=layer, head=head):
            x = given[0].clone()
            columns = slice(head * size, (head + 1) * size)
            x[..., columns] = 0 if means is None else means[kind, layer][columns]
            return (x,)

        hooks.append(module(kind, layer).out.register_forward_pre_hook(replace))
    for side, layer in mlps:
        network = (model.encoder_layers if side == "encoder" else model.layers)[layer].feed_forward
        mean = None if means is None else means[side + " mlp", layer]
        hooks.append(
            network.register_forward_hook(
                lambda _, __, out, mean=mean: torch.zeros_like(out) if mean is None else mean.expand_as(out)
            )
        )
    yield model
    for hook in hooks:
        hook.remove()


@torch.inference_mode()
def logits_of(model, reading):
    memory = model.encode(torch.tensor([reading.source])) if reading.source else None
    return model(torch.tensor([reading.ids]), memory).logits[0]


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", SHAPES)
def test_zeros_in_the_heads_places_in_reading_and_in_writing(name):
    reading = case(name)
    model, (heads, mlps) = reading.model, parts_of(reading.model)
    before, logits = state(model), logits_of(model, reading)
    prompts = [reading.ids[:5], reading.ids[:9]]
    for chosen, networks in ((heads, set()), (set(), mlps), (heads, mlps)):
        changed = ablated(model, chosen, networks)
        assert any(module.packed is not None for module in changed.modules() if hasattr(module, "packed"))
        with hooked(model, chosen, networks):
            torch.testing.assert_close(logits_of(changed, reading), logits_of(model, reading), atol=1e-5, rtol=1e-5)
            for config in (GenerationConfig(max_new_tokens=8), GenerationConfig(strategy="beam", num_beams=3)):
                wanted = generate_ids(model, prompts, config, use_cache=False)
                assert [[h.ids for h in hypotheses] for hypotheses in generate_ids(changed, prompts, config)] == [
                    [h.ids for h in hypotheses] for hypotheses in wanted
                ]
    assert not torch.allclose(logits_of(changed, reading), logits, atol=1e-3)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    assert torch.equal(logits_of(model, reading), logits)


@pytest.mark.parametrize("name", ["gpt", "llama", "pre", "post-marian"])
def test_means_in_their_places(name):
    reading = case(name)
    model, (heads, mlps) = reading.model, parts_of(reading.model)
    means, hooks = {}, []

    def keep(place):
        return lambda _, given, out: means.update({place: (given[0] if place[0][-3:] != "mlp" else out)[0].mean(0)})

    for side, layers in (("decoder", model.layers), ("encoder", getattr(model, "encoder_layers", []))):
        for i, layer in enumerate(layers):
            kind = "encoder" if side == "encoder" else "self"
            hooks.append(layer.attention.out.register_forward_hook(keep((kind, i))))
            hooks.append(layer.feed_forward.register_forward_hook(keep((side + " mlp", i))))
            if hasattr(layer, "cross_attention"):
                hooks.append(layer.cross_attention.out.register_forward_hook(keep(("cross", i))))
    logits_of(model, reading)
    for hook in hooks:
        hook.remove()
    with torch.inference_mode():  # whoever asks: the weights are plain ones
        changed = ablated(model, heads, mlps, "mean", reading)
    with hooked(model, heads, mlps, means):
        torch.testing.assert_close(logits_of(changed, reading), logits_of(model, reading), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "config", [hf_models.gpt2(), hf_models.llama(), hf_models.marian()], ids=lambda c: c.model_type
)
def test_imported_checkpoints(config, tmp_path):
    hf_models.make(config).save_pretrained(tmp_path)
    reading = reading_of(load(str(tmp_path)).model)
    heads, mlps = parts_of(reading.model)
    with hooked(reading.model, heads, mlps):
        wanted = logits_of(reading.model, reading)
    torch.testing.assert_close(logits_of(ablated(reading.model, heads, mlps), reading), wanted, atol=1e-4, rtol=1e-4)


def test_weights_are_shared_but_those_that_change():
    model = case("pre").model
    changed = ablated(model, [("cross", 2, 1)], [("encoder", 1)])
    own = {
        name for name, tensor in changed.named_parameters() if tensor.data_ptr() != model.get_parameter(name).data_ptr()
    }
    assert own == {f"layers.2.cross_attention.out.{part}" for part in ("weight", "bias")} | {
        "encoder_layers.1.feed_forward.down.weight"
    }
    assert changed.encoder_layers[1].feed_forward.down.bias is None
    assert changed.layers[0].attention.qkv.packed is model.layers[0].attention.qkv.packed is not None
    assert changed.packed_output is model.packed_output
    changed.train()  # drops its own packed copies, and nobody else's
    assert model.layers[0].attention.qkv.packed is not None and model.packed_output is not None
    plain = ablated(random_model(SHAPES["gpt"]), [("self", 0, 0)])
    assert plain.layers[0].attention.out.packed is None


def test_the_original_answers_while_parts_of_it_are_switched_off():
    reading = case("gpt")
    wanted, wrong, done = logits_of(reading.model, reading), [], threading.Event()

    def ask():
        while not done.is_set():
            if not torch.equal(logits_of(reading.model, reading), wanted):
                wrong.append(1)

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in each_alone(reading, mlps=True):
        pass
    done.set()
    asking.join()
    assert not wrong


@pytest.mark.parametrize("name", ["gpt", "llama", "pre", "post"])
def test_every_part_alone(name):
    reading = case(name)
    model = reading.model
    targets = torch.tensor(reading.written_ids if reading.is_translation else reading.written_ids[:-1])

    def loss():
        return float(F.cross_entropy(logits_of(model, reading)[: len(targets)].double(), targets))

    usual = loss()
    assert token_losses(reading).mean() == pytest.approx(usual, abs=1e-5)
    found = list(each_alone(reading, mlps=True))
    heads = sum(reading.n_layers(kind) for kind in reading.kinds) * reading.n_heads
    sides = [("decoder", len(model.layers)), ("encoder", len(getattr(model, "encoder_layers", [])))]
    assert len(found) == heads + sum(layers for _, layers in sides)
    for alone in found[::3] + found[-1:]:
        unit = (alone.kind, alone.layer, alone.head)
        networks = {"mlp": [("decoder", alone.layer)], "encoder mlp": [("encoder", alone.layer)]}.get(alone.kind, [])
        with hooked(model, [] if networks else [unit], networks):
            assert alone.loss_change == pytest.approx(loss() - usual, abs=1e-4), unit
    shares = []
    importance = head_importance(reading, "self", progress=shares.append)
    expected = [alone.loss_change for alone in found if alone.kind == "self"]
    np.testing.assert_allclose(importance.ravel(), expected, atol=1e-6)
    assert shares[-1] == 1 and shares == sorted(shares)


@pytest.mark.parametrize("name", ["gpt", "post"])
def test_before_and_after(name):
    reading = case(name, length=6)
    model = reading.model
    heads, mlps = parts_of(model)
    found = compare_ablation(reading, ablated(model, heads, mlps), top=5, new_tokens=7)
    before = logits_of(model, reading)
    with hooked(model, heads, mlps):
        after = logits_of(model, reading)
    best = [row[-1].softmax(-1) for row in (before, after)]
    assert found.position == 5 and set(found.ids) == {
        *best[0].topk(5).indices.tolist(),
        *best[1].topk(5).indices.tolist(),
    }
    for outcome, shares, logits in ((found.before, best[0], before), (found.after, best[1], after)):
        np.testing.assert_allclose(outcome.probabilities, shares[found.ids], atol=1e-5)
        losses = F.cross_entropy(logits[: len(found.targets)], torch.tensor(found.targets), reduction="none")
        np.testing.assert_allclose(outcome.losses, losses, atol=1e-4)
    assert found.loss_change == pytest.approx(found.after.losses.mean() - found.before.losses.mean(), abs=1e-5)
    if name == "gpt":
        ids = generate_ids(model, [reading.ids], GenerationConfig(max_new_tokens=7))[0][0].ids
        assert found.before.written == reading.run.tokenizer.decode(ids)
        assert found.targets == reading.ids[1:]
    nothing = compare_ablation(reading, ablated(model))
    assert nothing.before.written == nothing.after.written and nothing.loss_change == pytest.approx(0, abs=1e-6)


def test_a_text_of_one_token_has_no_loss():
    reading = case("gpt", length=1)
    assert len(token_losses(reading)) == 0
    assert all(np.isnan(alone.loss_change) for alone in each_alone(reading))


def test_what_the_model_does_not_have():
    gpt, translator = random_model(SHAPES["gpt"]), random_model(SHAPES["pre"])
    for heads in ([("self", 3, 0)], [("self", 0, 4)], [("self", -1, 0)], [("cross", 0, 0)], [("other", 0, 0)]):
        with pytest.raises(ConfigError):
            ablated(gpt, heads)
    for model, networks in ((gpt, [("encoder", 0)]), (gpt, [("decoder", 3)]), (translator, [("encoder", 2)])):
        with pytest.raises(ConfigError):
            ablated(model, (), networks)
    with pytest.raises(ConfigError, match="reading"):
        ablated(gpt, [("self", 0, 0)], how="mean")
    with pytest.raises(ConfigError, match="8 bits"):
        ablated(quantize(gpt), [("self", 0, 0)])
