"""Marian and Pegasus checkpoints that transformers wrote, read by us: logits, attention, and what decoding writes."""

import json
import random
from dataclasses import replace

import pytest
import torch
from hf_models import assert_refused, assert_same, edit_config, ids_for, logits_of, make, marian, pegasus, transformers
from safetensors.torch import load_file, save_file

from core.decode import generate_ids
from core.decode.config import GenerationConfig
from core.errors import RunError
from core.model.hf import import_pretrained
from core.run import load

RANDOM = random.Random(5)
ACTIVATIONS = ["gelu", "relu", "swish", "silu", "gelu_new"]


def random_shape():
    heads = RANDOM.choice([1, 2, 3, 4, 6])
    return RANDOM.choice([marian, pegasus])(
        RANDOM.randint(5, 300), heads * RANDOM.choice([4, 6, 8]), RANDOM.randint(1, 4), RANDOM.randint(1, 4), heads,
        RANDOM.randint(7, 90), scale_embedding=RANDOM.random() < 0.5, tie_word_embeddings=RANDOM.random() < 0.6,
        activation_function=RANDOM.choice(ACTIVATIONS),
    )  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        marian(),
        marian(activation_function="swish", scale_embedding=True),
        marian(11, 15, 1, 3, 3, 7, tie_word_embeddings=False),  # an odd width: one sine more than cosines
        pegasus(),
        pegasus(257, 24, 3, 1, 6, 40, activation_function="relu", scale_embedding=True),
        *(random_shape() for _ in range(14)),
    ],
    ids=lambda config: config.model_type,
)
def test_logits(config, tmp_path):
    theirs = make(config)
    theirs.save_pretrained(tmp_path)
    run = import_pretrained(tmp_path)
    assert run.is_translation and run.model.bos_id == run.model.pad_id == config.pad_token_id and run.model.eos_id == 0
    assert_same(run.model, theirs, double=True)


def test_the_bias_the_scale_and_the_layout_matter(tmp_path):
    """Each of Marian's peculiarities changes the logits, so that the test above tests it."""
    theirs = make(marian(scale_embedding=True))
    theirs.save_pretrained(tmp_path)
    same = import_pretrained(tmp_path)
    assert_same(same.model, theirs)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    save_file({k: v for k, v in state.items() if k != "final_logits_bias"}, file)
    ours, expected = logits_of(import_pretrained(tmp_path).model, theirs)  # a checkpoint without it has none
    torch.testing.assert_close(ours + theirs.final_logits_bias, expected, atol=1e-4, rtol=1e-4)
    save_file(state, file)
    edit_config(tmp_path, scale_embedding=False)
    ours, expected = logits_of(import_pretrained(tmp_path).model, theirs)
    assert (ours - expected).abs().max() > 0.1


@pytest.mark.parametrize("config", [marian(101, 32, 3, 2), pegasus(64, 24, 2, 3, 3)], ids=["marian", "pegasus"])
@torch.inference_mode()
def test_attention(config, tmp_path):
    theirs = make(config)
    theirs.save_pretrained(tmp_path)
    ours = import_pretrained(tmp_path).model
    source, target = ids_for(config.vocab_size, 2, 19), ids_for(config.vocab_size, 2, 13, seed=3)
    mask = torch.arange(19) < torch.tensor([[19], [11]])
    trace = ours(target, memory=ours.encode(source, mask, trace=True), trace=True).trace
    other = theirs(input_ids=source, attention_mask=mask.long(), decoder_input_ids=target, output_attentions=True)
    for kind, expected in (
        ("encoder", other.encoder_attentions), ("self", other.decoder_attentions), ("cross", other.cross_attentions)
    ):  # fmt: skip
        assert len(trace.attention[kind]) == len(expected) > 1
        for layer, theirs_layer in zip(trace.attention[kind], expected, strict=True):
            torch.testing.assert_close(layer, theirs_layer, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("config", [marian(), pegasus()], ids=["marian", "pegasus"])
def test_shards_and_types(config, dtype, tmp_path):
    theirs = make(config).to(dtype)
    theirs.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    run = load(f"{tmp_path}/")
    assert {p.dtype for p in run.model.parameters()} == {torch.float32}
    again = type(theirs).from_pretrained(tmp_path, dtype=torch.float32).eval()
    for side in (again.model.encoder, again.model.decoder):  # Pegasus keeps sines that half precision has rounded
        side.embed_positions.weight.data = side.embed_positions.create_weight()
    assert_same(run.model, again)


@pytest.mark.parametrize("more", [{}, {"renormalize_logits": True}, {"forced_eos_token_id": 0}], ids=str)
@pytest.mark.parametrize("config", [marian(40), pegasus(40)], ids=["marian", "pegasus"])
def test_decoding_as_the_checkpoint_says(config, more, tmp_path):
    """generation_config.json: beams, length, an end by force, and pad that is never written."""
    theirs = make(config, seed=3)
    theirs.final_logits_bias[0, 39] = 20.0  # else it would always be written
    theirs.generation_config = transformers.GenerationConfig(
        bad_words_ids=[[39], [5, 6]], num_beams=3, max_length=21, length_penalty=0.8, early_stopping=True,
        no_repeat_ngram_size=3, pad_token_id=39, eos_token_id=0, decoder_start_token_id=39, **more,
    )  # fmt: skip
    theirs.save_pretrained(tmp_path)
    run = import_pretrained(tmp_path)
    decode = run.config.decode
    assert (decode.strategy, decode.num_beams, decode.max_new_tokens) == ("beam", 3, 20)
    assert decode.bad_words_ids == ((39,), (5, 6)) and decode.no_repeat_ngram_size == 3 and decode.early_stopping
    assert decode.renormalize_logits == ("renormalize_logits" in more)
    assert decode.forced_end == ("forced_eos_token_id" in more)
    greedy = replace(decode, strategy="greedy")
    written = set()
    for length in (1, 4, 9, 17):
        source = ids_for(38, 1, length, seed=length) + 1
        both = [*source[0].tolist(), 0]
        for settings, config_of_ours in (({}, decode), ({"num_beams": 1, "length_penalty": 1.0}, greedy)):
            expected = theirs.generate(
                torch.tensor([both]), return_dict_in_generate=True, output_scores=True, **settings
            )
            best = generate_ids(run.model, [both], config_of_ours)[0][0]
            assert best.ids == expected.sequences[0, 1:].tolist()
            if not settings:
                assert best.score == pytest.approx(expected.sequences_scores.item(), abs=1e-5)
            written |= set(best.ids)
    assert 39 not in written and len(written) > 5
    assert set(generate_ids(run.model, [[3, 0]], GenerationConfig(max_new_tokens=5))[0][0].ids) == {39}


def test_old_checkpoints_say_it_in_their_config(tmp_path):
    make(marian(40)).save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    edit_config(tmp_path, bad_words_ids=[[39]], num_beams=6, max_length=512)
    decode = import_pretrained(tmp_path).config.decode
    assert decode.bad_words_ids == ((39,),) and (decode.strategy, decode.num_beams) == ("beam", 6)
    assert decode.max_new_tokens == 511


def test_sampling_as_the_checkpoint_says(tmp_path):
    from hf_models import llama

    make(llama()).save_pretrained(tmp_path)
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({"do_sample": True, "temperature": 0.6, "top_p": 0.9, "eos_token_id": [2, 5]}))
    decode = import_pretrained(tmp_path).config.decode
    assert (decode.strategy, decode.temperature, decode.top_p, decode.stop_ids) == ("sample", 0.6, 0.9, (5,))
    path.write_text(json.dumps({"do_sample": False, "temperature": 0.0, "top_p": 0, "num_beams": 1}))  # has no say
    assert import_pretrained(tmp_path).config.decode == GenerationConfig()
    path.write_text(json.dumps({"repetition_penalty": "1.2"}))
    with pytest.raises(RunError, match="generation_config.json of .* cannot be used: decode.repetition_penalty"):
        import_pretrained(tmp_path)


@pytest.mark.parametrize("kept", ["lm_head.weight", "model.decoder.embed_tokens.weight"])
def test_tied_embeddings_under_another_name(kept, tmp_path):
    """Converters keep one of the names of a tied tensor, or several."""
    theirs = make(marian())
    theirs.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    state[kept] = state.pop("model.shared.weight")
    save_file(state, tmp_path / "model.safetensors")
    assert_same(import_pretrained(tmp_path).model, theirs)
    state["model.encoder.embed_tokens.weight"] = state[kept] + 1
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(RunError, match="has a (lm_head|model.*embed_tokens).weight unlike its embeddings"):
        import_pretrained(tmp_path).model  # noqa: B018


@pytest.mark.parametrize(
    ("base", "change", "sentence"),
    [
        (marian, {"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings = False"),
        (marian, {"decoder_vocab_size": 102}, "decoder_vocab_size = 102"),
        (marian, {"decoder_attention_heads": 2}, "decoder_attention_heads = 2"),
        (pegasus, {"decoder_ffn_dim": 41}, "decoder_ffn_dim = 41"),
        (marian, {"activation_function": "tanh"}, "activation_function = 'tanh'"),
        (marian, {"activation_function": ["gelu"]}, r"activation_function = \['gelu'\]"),
        (marian, {"tie_word_embeddings": False}, "lacks the weight lm_head.weight"),
        (marian, {"encoder_layers": 3}, r"lacks the weight model\.encoder\.layers\.2"),
        (marian, {"decoder_layers": 1}, r"MarianMTModel does not have: model\.decoder\.layers\.1\..* and 25 more"),
        (marian, {"architectures": ["MarianForCausalLM"]}, "is a MarianForCausalLM; supported are"),
        (pegasus, {"architectures": ["MarianMTModel"], "model_type": "marian"}, "MarianMTModel does not have: model"),
        (pegasus, {"max_position_embeddings": 49}, r"embed_positions.weight .* has shape \(48, 32\)"),
    ],
)
def test_what_does_not_fit_is_named(base, change, sentence, tmp_path):
    assert_refused(base(), change, sentence, tmp_path)


def test_other_positions_are_named(tmp_path):
    make(pegasus()).save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    state["model.decoder.embed_positions.weight"] += 0.1
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(RunError, match=r"positions \(model.decoder.embed_positions.weight\) other than the sines"):
        import_pretrained(tmp_path).model  # noqa: B018
