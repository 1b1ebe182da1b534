"""Teacher forcing agrees with what every strategy reports, and with a token-by-token calculation of its own."""

import math

import pytest
import torch
from decode_helpers import FAMILIES, SMALL, byte_run, decode, random_inputs, tiny

from core import load
from core.decode import GenerationConfig, generate
from core.decode.config import STRATEGIES
from core.decode.processors import best_of, top
from core.decode.scoring import rescored, score_ids, score_tokens
from core.errors import TextError


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_reported_logprob(family, strategy):
    """In double precision nothing but the definition could differ."""
    model = tiny(family, eos_bias=2.0)
    settings = SMALL[strategy] | dict(num_return_sequences=2 if "beam" in strategy or strategy == "sample" else 1)
    config = GenerationConfig(
        strategy=strategy, max_new_tokens=12, repetition_penalty=1.1, temperature=0.9, top_p=0.95, **settings
    )
    inputs = random_inputs(4)
    for given, hypotheses in zip(inputs, decode(model, inputs, config), strict=True):
        for hypothesis in hypotheses:
            assert hypothesis.ids
            assert score_ids(model, given, hypothesis.ids) == pytest.approx(hypothesis.logprobs, abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_one_token_at_a_time(family):
    model = tiny(family)
    given, ids = [5, 9, 4], [7, 7, 3, 2]
    scores = score_tokens(model, given, ids)
    memory = model.encode(torch.tensor([given])) if model.is_encoder_decoder else None
    read = [model.bos_id] if model.is_encoder_decoder else given
    for place, (token, score) in enumerate(zip(ids, scores, strict=True)):
        with torch.inference_mode():
            logits = model(torch.tensor([read + ids[:place]]), memory=memory).logits[0, -1].double()
        probabilities = logits.softmax(-1)
        assert score.logprob == pytest.approx(float(probabilities[token].log()), abs=1e-6)
        assert score.rank == 1 + sum(value > logits[token] for value in logits)
        assert score.entropy == pytest.approx(float(torch.distributions.Categorical(logits=logits).entropy()), abs=1e-5)


@pytest.mark.parametrize("name", ["shakespeare-gpt", "enja-transformer"])
def test_bundled_models_in_single_precision(name):
    """Every token within 1e-5; a sum of many within what single precision leaves of it."""
    run = load(name)
    text = "i would like a cup of coffee ." if run.is_translation else "To be, or not"
    for strategy in ("greedy", "beam", "diverse_beam", "sample", "contrastive", "best_of", "mbr", "assisted"):
        settings = dict(num_beams=4) if strategy == "diverse_beam" else dict(num_samples=4)
        config = GenerationConfig(strategy=strategy, max_new_tokens=16, seed=3, **settings)
        generation = generate(run, [text], config, assistant=run if strategy == "assisted" else None)[0]
        found = score_ids(run, generation.prompt_ids, generation.ids)
        assert found == pytest.approx(generation.best.logprobs, abs=1e-5), strategy
        assert sum(found) == pytest.approx(generation.best.total_logprob, abs=1e-5, rel=1e-6), strategy


@pytest.mark.parametrize("name", ["shakespeare-gpt", "tiny"])
@pytest.mark.parametrize("strategy", ["greedy", "beam", "sample"])
def test_sums_over_200_tokens(name, strategy):
    """By a second implementation, in double precision behind the logits: the sums of what is rescored within 1e-5,
    those that were made step by step within what single precision leaves of the logits. Beam search ranks by the same
    sums."""
    run = load(name) if name != "tiny" else byte_run("gpt", max_seq_len=256)
    config = GenerationConfig(strategy=strategy, max_new_tokens=200, min_new_tokens=200, num_beams=3, seed=5)
    generation = generate(run, ["To be"], config, trace=strategy == "beam")[0]
    assert len(generation.ids) == 200
    read = [*generation.prompt_ids, *generation.ids[:-1]]
    with torch.inference_mode():
        logits = run.model(torch.tensor([read])).logits[0, len(generation.prompt_ids) - 1 :].double()
    expected = float(logits.log_softmax(-1).gather(1, torch.tensor(generation.ids)[:, None]).sum())
    assert rescored(run, generation).best.total_logprob == pytest.approx(expected, abs=1e-5)
    assert generation.best.total_logprob == pytest.approx(expected, abs=4e-5)
    assert rescored(run, generation).ids == generation.ids
    if strategy == "beam":  # min_new_tokens takes the end token away and leaves the others as they are
        assert generation.best.steps[-1].cumulative == pytest.approx(generation.best.total_logprob, abs=1e-9)


def test_long_texts_are_scored_in_parts(monkeypatch):
    model = tiny("gpt")
    ids = [7, 3, 9, 4, 4, 8, 21]
    whole = score_tokens(model, [5], ids)
    monkeypatch.setattr("core.decode.scoring.TOGETHER", 2 * model.config.vocab_size)
    for one, other in zip(score_tokens(model, [5], ids), whole, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_edges():
    model = tiny("gpt", max_seq_len=8)
    assert score_ids(model, [5], []) == []
    assert score_ids(model, [], [4]) == score_ids(model, [model.bos_id], [4])
    assert len(score_ids(model, [5] * 4, [4] * 5)) == 5  # the last token is not read
    for given, ids in ([5] * 4, [4] * 6), ([5] * 9, [4]), ([5], [40]), ([-1], [4]):
        with pytest.raises(TextError):
            score_ids(model, given, ids)
    run = byte_run("transformer")
    assert score_ids(run, [], [5]) == score_ids(run.model, [run.model.eos_id], [5])


@pytest.mark.parametrize("size", [3, 4_000, 50_257])
def test_the_best_of_a_row_and_their_logprobs(size):
    """Sums of many exponentials in single precision stay within a few 1e-7 of those in double, to either side."""
    torch.manual_seed(size)
    logits = 4 * torch.randn(40, size) + 30 * torch.randn(40, 1)
    logits[:5, 1:] = -math.inf  # all but one removed
    best, exact = best_of(logits, 10), logits.double().log_softmax(-1)
    assert best.ids.shape == (40, min(10, size)) and torch.equal(best.ids[:, 0], logits.argmax(-1))
    torch.testing.assert_close(best.logprobs, exact.gather(1, best.ids), atol=1e-6, rtol=0)
    torch.testing.assert_close(best.logprobs, exact.topk(min(10, size)).values, atol=1e-6, rtol=0)
    assert abs(float((best.logprobs[5:, 0] - exact.gather(1, best.ids)[5:, 0]).mean())) < 1e-7
    logits[7, 2] = math.nan
    assert best_of(logits, 3).logprobs[7, 0].isnan()


@pytest.mark.parametrize("size", [3, 50, 1_000, 1_024, 4_000, 50_257])
@pytest.mark.parametrize("count", [1, 4, 10, 33])
def test_the_best_in_two_stages_are_the_best(size, count):
    torch.manual_seed(size)
    logits = torch.stack([torch.randperm(size) for _ in range(30)]).float()  # no two are equal
    logits[:5] = logits[:5].sort(descending=True).values
    logits[5:10] = logits[5:10].sort().values
    logits[10, : size // 2] = -math.inf
    logits[11] = -math.inf
    count = min(count, size)
    (values, ids), wanted = top(logits, count), logits.topk(count)
    assert torch.equal(values, wanted.values) and torch.equal(ids[:10], wanted.indices[:10])
    assert torch.equal(logits.gather(1, ids), values)
    assert all(len(set(row)) == count for row in ids.tolist())  # each once, where many are equal too
    equal = torch.zeros(4, size)
    assert all(len(set(row)) == count for row in top(equal, count)[1].tolist())
    logits[3, size // 2] = math.nan
    assert top(logits, count)[0][3, 0].isnan() and not top(logits, count)[0][4:].isnan().any()
