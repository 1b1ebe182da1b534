"""Greedy, beam search and sampling against transformers' generate on the same logits, token for token.

Every cell of families x beams x length penalties x early stoppings has prompts of its own, 56 of them: over 2,000 a
family. DECODE_PROMPTS=200 tries as many in every cell (minutes).
"""

import functools
import os
import random

import pytest
import torch

from core.decode import GenerationConfig, generate_ids
from tests.parity.decode_peers import EOS, PAD, VOCAB, HFAdapter, tiny, trim

FAMILIES = ("gpt2", "llama", "bart")
NEW = 12
PROMPTS = int(os.environ.get("DECODE_PROMPTS", "56"))


def random_prompts(count: int, seed: int = 0, lengths: tuple[int, ...] = (1, 3, 6, 9)) -> list[list[int]]:
    """Of these lengths, mixed."""
    rng = random.Random(seed)
    return [[rng.randrange(3, VOCAB) for _ in range(lengths[i % len(lengths)])] for i in range(count)]


def peer(model, prompts: list[list[int]], **settings) -> list[list[tuple[list[int], float | None]]]:
    """transformers, the prompts of one length together (no padding): the continuations, and the scores of beams."""
    results: dict[int, list] = {}
    for length in {len(prompt) for prompt in prompts}:
        rows = [i for i, prompt in enumerate(prompts) if len(prompt) == length]
        ids = torch.tensor([prompts[i] for i in rows])
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, pad_token_id=PAD,
            return_dict_in_generate=True, output_scores=True, **settings,
        )  # fmt: skip
        skip = 1 if model.config.is_encoder_decoder else length
        scores = output.sequences_scores.tolist() if "sequences_scores" in output else [None] * len(output.sequences)
        found = [(trim(ids[skip:].tolist()), s) for ids, s in zip(output.sequences, scores, strict=True)]
        each = len(found) // len(rows)
        results |= {row: found[i * each : (i + 1) * each] for i, row in enumerate(rows)}
    return [results[i] for i in range(len(prompts))]


@functools.cache
def make(family: str, length_penalty: float = 0.0):
    """A model whose hypotheses end at different lengths: the more a penalty favours long ones, the likelier the end has
    to be, and the surer of itself the model."""
    bias, sharpness = {"gpt2": 2.0, "llama": 2.0, "bart": 3.0}[family], 1.0
    if length_penalty == 1:
        bias += 1
    elif length_penalty > 1:
        bias, sharpness = 16.0, 6.0
    return tiny(family, seed=3, eos_bias=bias, sharpness=sharpness)


@pytest.fixture(params=FAMILIES)
def model(request):
    return make(request.param)


def check(model, prompts, settings, config) -> list[int]:
    """Ours in one batch against theirs one by one; returns the lengths of what was generated."""
    lengths = []
    mine = generate_ids(HFAdapter(model), prompts, config, use_cache=False)
    for expected, hypotheses in zip(peer(model, prompts, **settings), mine, strict=True):
        assert [h.ids for h in hypotheses] == [ids for ids, _ in expected]
        for hypothesis, (ids, score) in zip(hypotheses, expected, strict=True):
            if score is not None:
                assert hypothesis.score == pytest.approx(score, abs=1e-5)
            assert hypothesis.finished == (ids[-1] == EOS)
            lengths.append(len(ids))
    return lengths


def test_greedy(model) -> None:
    lengths = check(model, random_prompts(24), {"do_sample": False}, GenerationConfig(max_new_tokens=NEW))
    assert len(set(lengths)) > 2, "the prompts must end at different lengths for this to test anything"


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("num_beams", [2, 4, 8])
@pytest.mark.parametrize("family", FAMILIES)
def test_beams(family: str, num_beams: int, length_penalty: float, early_stopping: bool | str) -> None:
    settings = dict(num_beams=num_beams, num_return_sequences=num_beams)
    settings |= dict(length_penalty=length_penalty, early_stopping=early_stopping)
    config = GenerationConfig(strategy="beam", max_new_tokens=NEW, **settings)
    seed = 1_000 * num_beams + 10 * int(10 * length_penalty) + len(str(early_stopping))
    prompts = random_prompts(PROMPTS, seed, (1, 6) if early_stopping else (3, 9))
    lengths = check(make(family, length_penalty), prompts, settings, config)
    assert len(set(lengths)) > 2, "hypotheses must end at different lengths for this to test anything"


def test_one_beam_is_greedy(model) -> None:
    for early_stopping, length_penalty in ((False, 1.0), (True, 0.0), ("never", 2.0)):
        settings = dict(num_beams=1, early_stopping=early_stopping, length_penalty=length_penalty)
        config = GenerationConfig(strategy="beam", max_new_tokens=NEW, **settings)
        lengths = check(model, random_prompts(48, seed=2), {"num_beams": 1, "do_sample": False}, config)
        assert len(set(lengths)) > 2


PROCESSORS = [
    dict(repetition_penalty=1.5),
    dict(no_repeat_ngram_size=2, min_new_tokens=4),
    dict(bad_words_ids=((5,), (6, 7), (8, 9)), repetition_penalty=0.8),
]


@pytest.mark.parametrize("settings", PROCESSORS, ids=str)
@pytest.mark.parametrize("num_beams", [1, 3])
def test_with_processors(model, num_beams: int, settings: dict) -> None:
    theirs = {k: [list(word) for word in v] if k == "bad_words_ids" else v for k, v in settings.items()}
    config = GenerationConfig(
        strategy="beam" if num_beams > 1 else "greedy", num_beams=num_beams, max_new_tokens=NEW, **settings
    )
    check(model, random_prompts(6, seed=7), {"num_beams": num_beams, **theirs}, config)


def test_several_end_tokens(model) -> None:
    """All of them likely, so that more than half of the best continuations can end."""
    ends, bias = [EOS, 5, 6], {EOS: 4.0, 5: 6.0, 6: 6.0}
    config = GenerationConfig(
        strategy="beam", num_beams=3, num_return_sequences=3, stop_ids=(5, 6), logit_bias=bias, max_new_tokens=NEW,
    )  # fmt: skip
    prompts = random_prompts(6, seed=9)
    mine = generate_ids(HFAdapter(model), prompts, config, use_cache=False)
    for prompt, hypotheses in zip(prompts, mine, strict=True):
        output = model.generate(
            torch.tensor([prompt]), max_new_tokens=NEW, num_beams=3, num_return_sequences=3, eos_token_id=ends,
            pad_token_id=PAD, return_dict_in_generate=True, output_scores=True,
            sequence_bias={(token,): value for token, value in bias.items()},
        )  # fmt: skip
        skip = 1 if model.config.is_encoder_decoder else len(prompt)
        for hypothesis, ids, score in zip(hypotheses, output.sequences, output.sequences_scores.tolist(), strict=True):
            assert hypothesis.ids == ids[skip : skip + len(hypothesis.ids)].tolist()
            assert hypothesis.score == pytest.approx(score, abs=1e-5)


def test_sampling_of_one_possible_token_is_greedy(model) -> None:
    prompts = random_prompts(6)
    greedy = generate_ids(HFAdapter(model), prompts, GenerationConfig(max_new_tokens=NEW), use_cache=False)
    for settings in (dict(top_k=1), dict(temperature=0), dict(top_p=1e-9), dict(min_p=1.0)):
        config = GenerationConfig(strategy="sample", max_new_tokens=NEW, **settings)
        sampled = generate_ids(HFAdapter(model), prompts, config, use_cache=False)
        assert [h[0].ids for h in sampled] == [h[0].ids for h in greedy]
