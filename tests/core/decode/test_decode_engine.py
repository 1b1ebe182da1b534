"""The engine on our own models: batches, caches, context, traces, and searches with known answers."""

import dataclasses
import itertools
import math
import random

import pytest
import torch

from core.decode import GenerationConfig, generate_ids, stream_ids
from core.decode.greedy_sample import draw
from core.errors import ConfigError, RunError, TextError
from tests.core.decode.decode_helpers import FAMILIES, SMALL, ScriptedModel, decode, random_inputs, tiny

STRATEGIES = {
    "greedy": GenerationConfig(max_new_tokens=10),
    "beam": GenerationConfig(strategy="beam", num_beams=3, num_return_sequences=3, max_new_tokens=10),
    "sample": GenerationConfig(strategy="sample", num_return_sequences=2, top_p=0.9, seed=5, max_new_tokens=10),
    "penalised": GenerationConfig(
        strategy="beam", num_beams=3, repetition_penalty=1.3, no_repeat_ngram_size=2, max_new_tokens=10
    ),
    "diverse beam": GenerationConfig(
        strategy="diverse_beam", num_beams=4, num_beam_groups=2, num_return_sequences=4, max_new_tokens=10
    ),
    "contrastive": GenerationConfig(strategy="contrastive", top_k=5, max_new_tokens=10),
    "assisted": GenerationConfig(strategy="assisted", repetition_penalty=1.2, min_new_tokens=2, max_new_tokens=10),
    "assisted sampling": GenerationConfig(
        strategy="assisted", assisted_sampling=True, num_return_sequences=2, top_p=0.9, frequency_penalty=0.5, seed=5,
        max_new_tokens=10,
    ),
    "best_of": GenerationConfig(strategy="best_of", num_samples=4, num_return_sequences=2, max_new_tokens=10),
    "mbr": GenerationConfig(strategy="mbr", num_samples=5, num_return_sequences=3, top_k=10, max_new_tokens=10),
}  # fmt: skip


def ids_of(results) -> list:
    return [[h.ids for h in hypotheses] for hypotheses in results]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_batch_is_single_is_permuted_is_without_cache(family: str, strategy: str) -> None:
    model, config = tiny(family, eos_bias=3.0), STRATEGIES[strategy]
    inputs = random_inputs(96)
    together = decode(model, inputs, config)
    assert len({len(h.ids) for hypotheses in together for h in hypotheses}) > 3, "rows must end at different steps"
    alone = range(0, 96, 8)
    for rows, other in (
        (alone, [decode(model, [inputs[row]], config)[0] for row in alone]),
        (range(32), decode(model, inputs[:32], config, use_cache=False)),
        (range(40), decode(model, inputs[:40], config, batch_rows=9)),
        (range(96), decode(model, inputs[::-1], config)[::-1]),
    ):
        expected = [together[row] for row in rows]
        assert ids_of(other) == ids_of(expected)
        for mine, theirs in zip(sum(other, []), sum(expected, []), strict=True):
            assert mine.score == pytest.approx(theirs.score, abs=1e-5)
            assert mine.logprobs == pytest.approx(theirs.logprobs, abs=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_logprobs_are_those_of_teacher_forcing(family: str, strategy: str) -> None:
    model, inputs = tiny(family, eos_bias=2.0), random_inputs(6, seed=1)
    for ids, hypotheses in zip(inputs, decode(model, inputs, STRATEGIES[strategy]), strict=True):
        memory = model.encode(torch.tensor([ids]))
        start = [model.bos_id] if model.is_encoder_decoder else ids
        for h in hypotheses:
            with torch.no_grad():
                logits = model(torch.tensor([start + h.ids[:-1]]), memory=memory).logits[0, len(start) - 1 :]
            expected = logits.log_softmax(-1).gather(1, torch.tensor(h.ids)[:, None])[:, 0].tolist()
            assert h.logprobs == pytest.approx(expected, abs=1e-5)
            if strategy not in ("penalised", "diverse beam", "mbr"):  # the score is the mean of the model's own
                assert h.score == pytest.approx(sum(expected) / len(expected), abs=1e-5)


def random_table(vocab_size: int, seed: int):
    """Logits that depend on the whole prefix."""

    def table(ids: list[int]) -> list[float]:
        rng = random.Random(f"{seed}/{ids}")
        return [rng.gauss(0, 2) for _ in range(vocab_size)]

    return table


@pytest.mark.parametrize("formula", ["hf", "gnmt", "ctranslate2"])
@pytest.mark.parametrize("penalty", [-0.5, 0.0, 0.6, 1.0, 2.0])
def test_wide_beam_equals_exhaustive_search(penalty: float, formula: str) -> None:
    """Four tokens, four steps: every continuation is tried."""
    vocab_size, new, eos = 4, 4, 2
    for seed in range(4):
        table = random_table(vocab_size, seed)
        candidates = []
        for length in range(1, new + 1):
            for ids in itertools.product(range(vocab_size), repeat=length):
                if eos in ids[:-1] or (ids[-1] != eos and length < new):
                    continue
                total = 0.0
                for t, token in enumerate(ids):
                    logits = torch.tensor(table([1, *ids[:t]]))
                    total += float(logits.log_softmax(-1)[token])
                size = (5 + length) / 6 if formula == "gnmt" else length
                candidates.append((total / size**penalty, list(ids)))
        candidates.sort(reverse=True)
        config = GenerationConfig(
            strategy="beam", num_beams=200, num_return_sequences=5, max_new_tokens=new, length_penalty=penalty,
            length_penalty_formula=formula, early_stopping="never",
        )  # fmt: skip
        found = generate_ids(ScriptedModel(table, vocab_size), [[1]], config, use_cache=False)[0]
        assert [h.ids for h in found] == [ids for _, ids in candidates[:5]]
        assert [h.score for h in found] == pytest.approx([s for s, _ in candidates[:5]], rel=1e-5, abs=1e-5)


def test_sampling_follows_the_distribution() -> None:
    """Chi-square over 20,000 draws; one with temperature and top-k, where removed tokens must not come at all."""
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5, -math.inf, 1.5])
    generator = torch.Generator().manual_seed(0)
    for temperature in (1.0, 0.5):
        rows = (logits / temperature).expand(20_000, -1)
        drawn = draw(rows, torch.rand(20_000, dtype=torch.float64, generator=generator))
        counts = torch.bincount(drawn, minlength=7).double()
        expected = (logits / temperature).softmax(-1).double() * 20_000
        assert counts[5] == 0
        possible = expected > 0
        chi_square = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
        assert chi_square < 20.5  # 5 degrees of freedom: passed by chance but once in 1,000


def test_samples_through_the_engine_follow_the_distribution() -> None:
    logits = [0.0, 1.0, -1.0, 2.0, 0.5]
    model = ScriptedModel(lambda ids: logits, 5)
    config = GenerationConfig(strategy="sample", num_return_sequences=4_000, max_new_tokens=2, temperature=2.0, top_k=3)
    samples = generate_ids(model, [[1]], config, eos_id=-1, use_cache=False)[0]
    expected = (torch.tensor([-math.inf, 1.0, -math.inf, 2.0, 0.5]) / 2).softmax(-1).double()
    for place in range(2):
        counts = torch.bincount(torch.tensor([h.ids[place] for h in samples]), minlength=5).double() / 4_000
        assert counts[expected == 0].sum() == 0
        assert (((counts - expected) ** 2)[expected > 0] / expected[expected > 0]).sum() * 4_000 < 13.9
    pairs = torch.tensor([h.ids for h in samples]).double()
    assert abs(torch.corrcoef(pairs.T)[0, 1]) < 0.06  # the steps of a sample are independent draws


def test_draw_at_the_edges() -> None:
    logits = torch.tensor([[-math.inf, 0.0, 0.0, -math.inf]] * 3)
    uniform = torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits, uniform).tolist() == [1, 2, 2]


def test_seeds() -> None:
    model, inputs = tiny("gpt"), random_inputs(4)
    config = GenerationConfig(strategy="sample", num_return_sequences=3, max_new_tokens=8)
    first = ids_of(generate_ids(model, inputs, config))
    assert ids_of(generate_ids(model, inputs, config)) == first
    assert ids_of(generate_ids(model, inputs, dataclasses.replace(config, seed=1))) != first
    fewer = ids_of(generate_ids(model, inputs, dataclasses.replace(config, num_return_sequences=2)))
    assert fewer == [samples[:2] for samples in first]
    assert len({tuple(ids) for ids in first[0]}) == 3
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    generate_ids(model, inputs, config)
    assert torch.equal(torch.random.get_rng_state(), before), "the global generator is left alone"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_context_is_never_exceeded(family: str, strategy: str) -> None:
    model = tiny(family, max_seq_len=16)
    inputs = random_inputs(1, longest=1) + [[3 + i % 30 for i in range(n)] for n in (12, 15, 16, 17, 60)]
    config = dataclasses.replace(STRATEGIES[strategy], max_new_tokens=40)
    for ids, hypotheses in zip(inputs, decode(model, inputs, config, eos_id=-1), strict=True):
        for h in hypotheses:
            if model.is_encoder_decoder:
                assert len(h.ids) == 15 and h.finish_reason == "length"
            else:
                # From 16 tokens on a prompt leaves no room; half of the context is freed.
                assert len(h.ids) == (16 - len(ids) if len(ids) < 16 else 8)


def test_a_prompt_too_long_keeps_its_end_behind_bos() -> None:
    seen = []

    def table(ids: list[int]) -> list[float]:
        seen.append(ids)
        return [0.0] * 40

    model = ScriptedModel(table, 40)
    model.max_seq_len = 10
    config = GenerationConfig(max_new_tokens=3)
    event = list(stream_ids_without_cache(model, [[1, *range(3, 33)]], config))[-1]
    assert event.generation is not None and event.generation.truncated
    assert seen[0] == event.generation.prompt_ids == [1, *range(27, 33)]
    event = list(stream_ids_without_cache(model, [[1, *range(3, 10)]], config))[-1]
    assert event.generation is not None and not event.generation.truncated
    assert len(event.hypothesis.ids) == 2


def stream_ids_without_cache(model, inputs, config):
    from core.decode.search import _Decoder

    return _Decoder(model, config, use_cache=False).stream(inputs)


def test_a_source_too_long_keeps_its_beginning_and_its_end_token() -> None:
    model = tiny("transformer", max_seq_len=8)
    long = [*range(3, 20), model.eos_id]
    events = list(stream_ids(model, [long, long[:-1]], GenerationConfig(max_new_tokens=3)))
    found = {event.row: event.generation for event in events if event.generation}
    assert found[0].truncated and found[0].prompt_ids == [*range(3, 10), model.eos_id]
    assert found[1].truncated and found[1].prompt_ids == list(range(3, 11))


def test_empty_inputs() -> None:
    gpt, translator = tiny("gpt"), tiny("transformer")
    config = GenerationConfig(max_new_tokens=5)
    assert ids_of(generate_ids(gpt, [[]], config)) == ids_of(generate_ids(gpt, [[gpt.bos_id]], config))
    assert ids_of(generate_ids(translator, [[]], config)) == ids_of(generate_ids(translator, [[2]], config))
    assert generate_ids(gpt, [], config) == []
    assert ids_of(generate_ids(translator, [[]], config, eos_id=-1)) == ids_of(
        generate_ids(translator, [[translator.bos_id]], config, eos_id=-1)
    )


@pytest.mark.parametrize("strategy", SMALL)
def test_forced_prefix_minimum_length_and_bias(strategy: str) -> None:
    model, inputs = tiny("gpt", eos_bias=4.0), random_inputs(4)
    small = dict(strategy=strategy, **SMALL[strategy])
    config = GenerationConfig(forced_prefix_ids=(7, 8, 7), min_new_tokens=6, max_new_tokens=8, **small)
    for h in sum(decode(model, inputs, config), []):
        assert h.ids[:3] == [7, 8, 7] and len(h.ids) >= 6 and 2 not in h.ids[:5]
    only = GenerationConfig(logit_bias={9: 1e6}, max_new_tokens=4, **small)
    assert ids_of(decode(model, inputs, only)) == [[[9] * 4]] * 4


@pytest.mark.parametrize("strategy", SMALL)
def test_dead_ends_end_the_row(strategy: str) -> None:
    """Everything is removed after the first token: what is written stays, and says why it ended."""
    model = ScriptedModel(lambda ids: [0.0, 0.0, 0.0], 3)
    config = GenerationConfig(
        strategy=strategy, no_repeat_ngram_size=1, min_new_tokens=10, max_new_tokens=10, **SMALL[strategy]
    )
    (hypothesis,) = decode(model, [[1]], config, use_cache=False)[0]
    assert hypothesis.ids == [0] and hypothesis.finish_reason == "dead_end" and not hypothesis.finished


@pytest.mark.parametrize("strategy", SMALL)
def test_damaged_weights_are_said(strategy: str) -> None:
    model = ScriptedModel(lambda ids: [math.nan] * 4, 4)
    with pytest.raises(RunError, match="NaN"):
        decode(model, [[1]], GenerationConfig(strategy=strategy, **SMALL[strategy]), use_cache=False)


@pytest.mark.parametrize("strategy", SMALL)
def test_vocabularies_of_one_and_two_tokens(strategy: str) -> None:
    """The usual end token, 2, is beyond them: nothing but the limit ends a row."""
    for vocab_size in (1, 2):
        model = ScriptedModel(lambda ids, size=vocab_size: [0.5] * size, vocab_size)
        config = GenerationConfig(
            strategy=strategy, min_new_tokens=2, max_new_tokens=3, forced_end=True, **SMALL[strategy]
        )
        (hypothesis, *_) = decode(model, [[0]], config, use_cache=False, trace=True)[0]
        assert len(hypothesis.ids) == len(hypothesis.steps) == 3 and hypothesis.finish_reason == "length"
        assert hypothesis.total_logprob == pytest.approx(3 * math.log(1 / vocab_size))
    model = tiny("transformer", vocab_size=3)
    start = decode(model, [[model.bos_id]], config, eos_id=3)
    assert decode(model, [[]], config, eos_id=3) == start, "an empty source cannot be an end token then"


def test_ids_out_of_range_are_said() -> None:
    model = tiny("gpt")
    with pytest.raises(TextError, match="40"):
        generate_ids(model, [[3, 40]])
    for settings in (dict(logit_bias={40: 1.0}), dict(bad_words_ids=((1, 99),)), dict(forced_prefix_ids=(40,))):
        with pytest.raises(ConfigError, match=f"decode.{next(iter(settings))}"):
            generate_ids(model, [[3]], GenerationConfig(**settings))
    with pytest.raises(ConfigError, match="stop_strings"):
        generate_ids(model, [[3]], GenerationConfig(stop_strings=("x",)))


@pytest.mark.parametrize("family", FAMILIES)
def test_traces(family: str) -> None:
    model, inputs = tiny(family, eos_bias=2.0), random_inputs(3, seed=4)
    for strategy in SMALL:
        chosen = GenerationConfig(
            strategy=strategy, max_new_tokens=6, repetition_penalty=1.2, top_k=4, num_candidates=5, **SMALL[strategy]
        )
        several = strategy not in ("greedy", "contrastive", "assisted")
        config = dataclasses.replace(chosen, num_return_sequences=1 + several)
        for hypothesis in sum(decode(model, inputs, config, trace=True), []):
            assert [s.id for s in hypothesis.steps] == hypothesis.ids
            assert [s.logprob for s in hypothesis.steps] == hypothesis.logprobs
            assert hypothesis.steps[-1].score == hypothesis.score or strategy == "mbr"
            for step in hypothesis.steps:
                d = step.distribution
                chosen = next(c for c in d.candidates if c.id == step.id)
                assert math.log(chosen.probability) == pytest.approx(step.logprob, abs=1e-4)
                assert None not in chosen.processed and chosen.final_probability > 0
                assert [c.id for c in d.candidates].index(step.id) + 1 == step.rank or step.rank > 5
                assert 0 <= step.entropy <= math.log(40)
                assert d.processors[-1] == ("top_k" if config.draws else d.processors[-1])
                assert set(d.processors) - {"top_k"} in (
                    {"repetition_penalty"},
                    {"diversity_penalty", "repetition_penalty"},
                )
                if config.draws:
                    assert sum(c.final_probability > 0 for c in d.candidates) <= 4
                    assert all((c.final_probability == 0) == (None in c.processed) for c in d.candidates)


def test_the_trace_of_beams_is_a_tree() -> None:
    model = tiny("transformer", eos_bias=2.0)
    config = GenerationConfig(strategy="beam", num_beams=4, num_return_sequences=4, max_new_tokens=8)
    for event in stream_ids(model, random_inputs(4), config, trace=True):
        if event.generation is None:
            continue
        kept = {(t.step, t.beam): t for t in event.generation.trace if t.state == "kept"}
        for t in event.generation.trace:
            if t.step:  # every candidate continues a beam that was kept, and adds its log-probability
                parent = kept[t.step - 1, t.parent]
                assert t.cumulative == pytest.approx(parent.cumulative + t.logprob, abs=1e-5)
        finished = {id(t) for t in event.generation.trace if t.state == "finished"}
        assert all(id(h.steps[-1]) in finished for h in event.generation.hypotheses)
        assert {t.state for t in event.generation.trace} == {"kept", "pruned", "finished"}
