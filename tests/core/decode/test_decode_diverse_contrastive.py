"""Diverse beams, GNMT's length penalty and contrastive search against plain implementations written from the papers:
one row at a time, no cache, no batch, everything read anew at every step."""

import dataclasses
import math
import random

import pytest
import torch

from core.decode import GenerationConfig, generate_ids, stream_ids
from tests.core.decode.decode_helpers import FAMILIES, random_inputs, tiny

END = 2


def states_and_log_probs(model, memory, ids: list[int], text: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Final states (T, D) of all that the decoder reads, and log-probabilities (V,) of what follows. memory: of ids."""
    start = [model.bos_id] if model.is_encoder_decoder else ids
    with torch.no_grad():
        states = model.hidden(torch.tensor([start + text]), memory)[0]
        return states, model.logits(states[-1]).log_softmax(-1)


def mean(total: float, length: int) -> float:
    return total / length


def plain_diverse_beams(model, ids: list[int], groups: int, size: int, strength: float, new: int, score=mean) -> list:
    """Algorithm 1 of Vijayakumar et al. (2018) with the Hamming diversity. A group is over when `size` of its
    hypotheses have ended, or at the length limit. Returns (score, tokens), best first."""
    memory = model.encode(torch.tensor([ids]))
    running = [[(0.0, [])] for _ in range(groups)]
    ended: list[list] = [[] for _ in range(groups)]
    for step in range(1, new + 1):
        said: list[int] = []  # by the groups before, at this step
        for g in range(groups):
            if len(ended[g]) >= size:
                continue
            options = []
            for total, text in running[g]:
                _, log_probs = states_and_log_probs(model, memory, ids, text)
                for token, log_prob in enumerate(log_probs.tolist()):
                    options.append((total + log_prob - strength * said.count(token), [*text, token]))
            options.sort(key=lambda option: -option[0])
            running[g] = []
            for place, (total, text) in enumerate(options[: 2 * size]):
                if text[-1] == END or step == new:
                    if place < size:
                        ended[g].append((score(total, step), text))
                        said += [text[-1]] if text[-1] != END else []
                elif len(running[g]) < size:
                    running[g].append((total, text))
            said += [text[-1] for _, text in running[g]]
    return sorted((item for group in ended for item in sorted(group, key=lambda i: -i[0])[:size]), key=lambda i: -i[0])


@pytest.mark.parametrize(("groups", "size", "strength"), [(2, 2, 0.5), (3, 1, 2.0), (2, 3, 1.0), (4, 2, 0.1)])
@pytest.mark.parametrize("family", FAMILIES)
def test_diverse_beams_are_the_papers(family: str, groups: int, size: int, strength: float) -> None:
    model, inputs = tiny(family, vocab_size=20, eos_bias=3.0), random_inputs(5, vocab_size=20, seed=groups)
    config = GenerationConfig(
        strategy="diverse_beam", num_beams=groups * size, num_beam_groups=groups, diversity_penalty=strength,
        num_return_sequences=groups * size, early_stopping=True, max_new_tokens=7,
    )  # fmt: skip
    lengths = set()
    for ids, found in zip(inputs, generate_ids(model, inputs, config), strict=True):
        expected = plain_diverse_beams(model, ids, groups, size, strength, 7)
        assert [h.ids for h in found] == [text for _, text in expected]
        assert [h.score for h in found] == pytest.approx([score for score, _ in expected], abs=1e-5)
        lengths |= {len(h.ids) for h in found}
    assert len(lengths) > 2


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_beams_with_gnmts_length_penalty(family: str, penalty: float) -> None:
    """Wu et al. (2016), equation 14 without the coverage; neither transformers nor CTranslate2 has it."""
    model, inputs = tiny(family, vocab_size=20, eos_bias=3.0), random_inputs(6, vocab_size=20, seed=7)
    config = GenerationConfig(
        strategy="beam", num_beams=3, num_return_sequences=3, early_stopping=True, max_new_tokens=7,
        length_penalty=penalty, length_penalty_formula="gnmt",
    )  # fmt: skip
    for ids, found in zip(inputs, generate_ids(model, inputs, config), strict=True):
        gnmt = lambda total, length: total / ((5 + length) ** penalty / (5 + 1) ** penalty)  # noqa: E731
        expected = plain_diverse_beams(model, ids, 1, 3, 0.0, 7, gnmt)
        assert [h.ids for h in found] == [text for _, text in expected]
        assert [h.score for h in found] == pytest.approx([score for score, _ in expected], abs=1e-5)


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_group_is_beam_search(family: str, early_stopping: bool | str) -> None:
    model, inputs = tiny(family, eos_bias=3.0), random_inputs(12)
    beam = GenerationConfig(
        strategy="beam", num_beams=4, num_return_sequences=4, early_stopping=early_stopping, max_new_tokens=10,
        repetition_penalty=1.2,
    )  # fmt: skip
    diverse = dataclasses.replace(beam, strategy="diverse_beam", num_beam_groups=1, diversity_penalty=1.0)
    assert generate_ids(model, inputs, diverse) == generate_ids(model, inputs, beam)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_penalty_all_groups_find_the_same(family: str) -> None:
    model, inputs = tiny(family, eos_bias=3.0), random_inputs(12)
    beam = GenerationConfig(strategy="beam", num_beams=2, num_return_sequences=2, max_new_tokens=10)
    diverse = dataclasses.replace(
        beam, strategy="diverse_beam", num_beams=6, num_beam_groups=3, num_return_sequences=6, diversity_penalty=0.0
    )
    for one, three in zip(generate_ids(model, inputs, beam), generate_ids(model, inputs, diverse), strict=True):
        assert three == [h for h in one for _ in range(3)]


def test_a_strong_penalty_makes_groups_begin_differently() -> None:
    model, inputs = tiny("gpt", eos_bias=-5.0), random_inputs(12)
    config = GenerationConfig(
        strategy="diverse_beam", num_beams=6, diversity_penalty=100.0, num_return_sequences=6, max_new_tokens=4
    )
    for found in generate_ids(model, inputs, config):
        for step in range(4):
            assert len({h.ids[step] for h in found}) == 6


def test_diverse_beams_in_a_trace() -> None:
    model = tiny("transformer", eos_bias=3.0)
    config = GenerationConfig(strategy="diverse_beam", num_beams=4, num_beam_groups=2, max_new_tokens=8)
    for event in stream_ids(model, random_inputs(4), config, trace=True):
        if event.generation is None:
            continue
        trace = event.generation.trace
        kept = {(t.step, t.beam): t for t in trace if t.state == "kept"}
        assert {beam for _, beam in kept} == {0, 1, 2, 3}
        for t in trace:
            assert ("diversity_penalty" in t.distribution.processors) == (t.parent >= 2)
            if t.step:
                before = kept[t.step - 1, t.parent]
                penalty = before.cumulative + t.logprob - t.cumulative
                assert penalty == pytest.approx(0.5 * round(penalty / 0.5), abs=1e-5)
                assert t.parent >= 2 or penalty == pytest.approx(0, abs=1e-5)


def plain_contrastive(model, ids: list[int], k: int, alpha: float, new: int) -> list[int]:
    """Equation 5 of Su et al. (2022)."""
    memory = model.encode(torch.tensor([ids]))
    text: list[int] = []
    while len(text) < new and END not in text:
        states, log_probs = states_and_log_probs(model, memory, ids, text)
        probabilities = log_probs.exp()
        best, best_score = -1, -math.inf
        for token in probabilities.topk(k).indices.tolist():
            after, _ = states_and_log_probs(model, memory, ids, [*text, token])
            cosines = torch.nn.functional.cosine_similarity(after[-1:], states, dim=-1)
            score = (1 - alpha) * float(probabilities[token]) - alpha * float(cosines.max())
            if score > best_score:
                best, best_score = token, score
        text.append(best)
    return text


@pytest.mark.parametrize(("k", "alpha"), [(2, 0.6), (4, 0.3), (6, 0.9), (3, 1.0)])
@pytest.mark.parametrize("family", FAMILIES)
def test_contrastive_search_is_the_papers(family: str, k: int, alpha: float) -> None:
    model, inputs = tiny(family, eos_bias=1.0), random_inputs(4, seed=k)
    config = GenerationConfig(strategy="contrastive", top_k=k, penalty_alpha=alpha, max_new_tokens=9)
    found = [hypotheses[0].ids for hypotheses in generate_ids(model, inputs, config)]
    assert found == [plain_contrastive(model, ids, k, alpha, 9) for ids in inputs]


@pytest.mark.parametrize("family", FAMILIES)
def test_contrastive_search_at_its_ends(family: str) -> None:
    model, inputs = tiny(family, eos_bias=2.0), random_inputs(24)
    greedy = generate_ids(model, inputs, GenerationConfig(max_new_tokens=10))
    config = GenerationConfig(strategy="contrastive", max_new_tokens=10)
    assert generate_ids(model, inputs, dataclasses.replace(config, penalty_alpha=0.0)) == greedy
    assert generate_ids(model, inputs, dataclasses.replace(config, top_k=1)) == greedy
    assert generate_ids(model, inputs, config) != greedy
    four = generate_ids(model, inputs, dataclasses.replace(config, top_k=4))
    assert generate_ids(model, inputs, config) == four, "four candidates where top_k does not say"
    generate_ids(model, inputs[:2], dataclasses.replace(config, top_k=10_000))  # the whole vocabulary


def test_contrastive_search_never_takes_what_was_removed() -> None:
    """Even where the penalty would prefer it."""
    model, inputs = tiny("gpt"), random_inputs(20)
    allowed = (3, 4)
    ban = tuple((token,) for token in range(40) if token not in (*allowed, END))
    config = GenerationConfig(
        strategy="contrastive", top_k=8, penalty_alpha=1.0, bad_words_ids=ban, min_new_tokens=12, max_new_tokens=12
    )
    for (hypothesis,) in generate_ids(model, inputs, config):
        assert set(hypothesis.ids) <= set(allowed)


def test_contrastive_search_repeats_itself_less() -> None:
    """What it is for: the share of bigrams that are new."""

    def new_bigrams(config: GenerationConfig) -> float:
        texts = [hypotheses[0].ids for hypotheses in generate_ids(model, inputs, config)]
        return sum(len(set(zip(t, t[1:]))) / (len(t) - 1) for t in texts) / len(texts)

    model = tiny("llama", max_seq_len=96)
    inputs = [[random.Random(i).randrange(3, 40)] for i in range(10)]
    greedy = GenerationConfig(min_new_tokens=60, max_new_tokens=60)
    contrastive = dataclasses.replace(greedy, strategy="contrastive", penalty_alpha=0.6, top_k=6)
    assert new_bigrams(contrastive) > 1.3 * new_bigrams(greedy)
