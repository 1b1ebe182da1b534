"""Greedy and beam search against CTranslate2 on the same weights.

CTranslate2 has one length penalty (length ** penalty, the end token counted) and one rule for the end of a search:
length_penalty_formula="ctranslate2" with early_stopping=True. It computes in single precision.
"""

import copy
import functools
import tempfile

import ctranslate2
import pytest
from ctranslate2.converters.transformers import _MODEL_LOADERS

from core.decode import GenerationConfig, generate_ids
from tests.parity.decode_peers import BOS, EOS, PAD, VOCAB, HFAdapter
from tests.parity.test_decode_search import FAMILIES, NEW, make, random_prompts


@functools.cache
def pair(family: str, length_penalty: float = 0.0):
    """A model of transformers, and the same for CTranslate2."""
    model = make(family, length_penalty)
    given = copy.deepcopy(model).float()  # the loader takes it apart
    translates = model.config.is_encoder_decoder
    if translates:
        given.config.normalize_before, given.config.normalize_embedding = False, True
        given.final_logits_bias, given.lm_head.bias = given.lm_head.bias.detach()[None].clone(), None
    spec = _MODEL_LOADERS[type(given.config).__name__].get_model_spec(given)
    names = [str(token) for token in range(VOCAB)]
    if translates:
        spec.register_source_vocabulary(names)
        spec.register_target_vocabulary(names)
        spec.config.decoder_start_token = str(BOS)
        spec.config.add_source_bos = spec.config.add_source_eos = False
    else:
        spec.register_vocabulary(names)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = str(BOS), str(EOS), str(PAD)
    spec.validate()
    with tempfile.TemporaryDirectory() as folder:
        spec.save(folder)
        opened = ctranslate2.Translator if translates else ctranslate2.Generator
        return model, opened(folder, device="cpu", intra_threads=1)


def peer(other, prompts: list[list[int]], **settings) -> list[list[tuple[list[int], float]]]:
    """What CTranslate2 finds, without end tokens, and its scores."""
    rows = [[str(token) for token in prompt] for prompt in prompts]
    if isinstance(other, ctranslate2.Translator):
        output = other.translate_batch(
            rows, max_decoding_length=NEW, min_decoding_length=0, return_scores=True, **settings
        )
        found = [(result.hypotheses, result.scores) for result in output]
    else:
        # One by one: of a batch it forces what a prompt has beyond the shortest, which is another search.
        output = [
            other.generate_batch([row], max_length=NEW, include_prompt_in_result=False, return_scores=True, **settings)
            for row in rows
        ]
        found = [(result.sequences, result.scores) for (result,) in output]
    return [[([int(t) for t in ids], s) for ids, s in zip(*both, strict=True)] for both in found]


def check(family: str, prompts: list[list[int]], config: GenerationConfig, **settings) -> set[int]:
    """Ours in one batch against theirs; returns the lengths of what was found."""
    model, other = pair(family, config.length_penalty if config.num_beams > 1 else 0.0)
    lengths = set()
    mine = generate_ids(HFAdapter(model), prompts, config, use_cache=False)
    for hypotheses, expected in zip(mine, peer(other, prompts, **settings), strict=True):
        assert [[token for token in h.ids if token != EOS] for h in hypotheses] == [ids for ids, _ in expected]
        assert [h.score for h in hypotheses] == pytest.approx([s for _, s in expected], rel=5e-6, abs=1e-4)
        lengths |= {len(h.ids) for h in hypotheses}
    return lengths


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy(family: str, length_penalty: float) -> None:
    config = GenerationConfig(length_penalty=length_penalty, length_penalty_formula="ctranslate2", max_new_tokens=NEW)
    assert len(check(family, random_prompts(70), config, beam_size=1, length_penalty=length_penalty)) > 2


@pytest.mark.parametrize("wanted", ["one", "all"])
@pytest.mark.parametrize("length_penalty", [-0.5, 0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("num_beams", [2, 4, 8])
@pytest.mark.parametrize("family", FAMILIES)
def test_beams(family: str, num_beams: int, length_penalty: float, wanted: str) -> None:
    count = num_beams if wanted == "all" else 1
    config = GenerationConfig(
        strategy="beam", num_beams=num_beams, num_return_sequences=count, length_penalty=length_penalty,
        length_penalty_formula="ctranslate2", early_stopping=True, max_new_tokens=NEW,
    )  # fmt: skip
    lengths = check(
        family, random_prompts(24, seed=num_beams), config,
        beam_size=num_beams, num_hypotheses=count, length_penalty=length_penalty,
    )  # fmt: skip
    assert len(lengths) > 2 or wanted == "one"  # without a penalty the single best may end at once


def test_the_early_exit_makes_a_difference() -> None:
    """Without a penalty CTranslate2 ends a search neither as early_stopping=True nor as the others do."""
    model, _ = pair("gpt2")
    beams = GenerationConfig(
        strategy="beam",
        num_beams=4,
        num_return_sequences=4,
        length_penalty=0.0,
        early_stopping=True,
        max_new_tokens=NEW,
    )
    prompts = random_prompts(40, seed=4)

    def found(**settings) -> list:
        config = GenerationConfig(**{**beams.__dict__, **settings})
        return [[h.ids for h in hyps] for hyps in generate_ids(HFAdapter(model), prompts, config, use_cache=False)]

    theirs = found(length_penalty_formula="ctranslate2")
    assert all(found(early_stopping=stop) != theirs for stop in (True, False, "never"))
    assert found(length_penalty_formula="ctranslate2", length_penalty=1.0) == found(length_penalty=1.0)
