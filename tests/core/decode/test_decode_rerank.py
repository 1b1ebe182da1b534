"""best_of and mbr: what they choose, and the utilities against sacreBLEU's own functions."""

import dataclasses
import random

import numpy as np
import pytest
from sacrebleu import sentence_bleu, sentence_chrf

from core.decode import GenerationConfig, Hypothesis, generate, generate_ids, stream
from core.decode.rerank import rerank
from core.decode.utility import utilities
from core.errors import ConfigError
from tests.core.decode.decode_helpers import FAMILIES, ByteTokenizer, byte_run, random_inputs, tiny

TEXTS = [
    "", " ", ".", "a", "the cat sat on the mat .", "the cat sat on a mat.", "The cat, it sat on the mat!",
    "cat the the the",     "the the the the the the", "Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich",
    "  spaces \t and\nlines \u3000",
    "&quot;quoted&quot; &amp; <skipped>", "3.14 is 22/7, or 1,000-ish", "x" * 50, "naïve café — “quoted”",
]  # fmt: skip
JAPANESE = [
    "",
    "猫がマットの上に座った。",
    "猫はマットに座っている。",
    "コーヒーを一杯ください",
    "コーヒー",
    "。",
    "cat が座った",
]
CHINESE = ["猫坐在垫子上。", "猫坐在椅子上", "垫子", "cat 坐在 mat 上。"]


def random_texts(count: int, seed: int) -> list[str]:
    """Made of few words, so that n-grams of all orders meet."""
    rng = random.Random(seed)
    words = ["the", "cat", "sat", "on", "mat", ".", "a,b"]
    return [" ".join(rng.choices(words, k=rng.randrange(12))) for _ in range(count)]


def bleu(hypothesis: str, reference: str, tokenize: str = "13a") -> float:
    return sentence_bleu(hypothesis, [reference], tokenize=tokenize, use_effective_order=True).score


@pytest.mark.parametrize("texts", [TEXTS, JAPANESE, CHINESE, random_texts(30, 0), random_texts(30, 1)])
def test_chrf_equals_sacrebleu(texts: list[str]) -> None:
    table = utilities(texts, "chrf")
    expected = [[sentence_chrf(h, [r]).score for r in texts] for h in texts]
    np.testing.assert_allclose(table, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("texts", "tokenize"), [(TEXTS, "13a"), (CHINESE, "zh"), (random_texts(30, 2), "13a"), (random_texts(30, 3), "13a")]
)
def test_bleu_equals_sacrebleu(texts: list[str], tokenize: str) -> None:
    table = utilities(texts, "bleu")
    expected = [
        [sentence_bleu(h, [r], tokenize=tokenize, use_effective_order=True).score for r in texts] for h in texts
    ]
    np.testing.assert_allclose(table, expected, rtol=0, atol=1e-10)


def test_japanese_bleu_is_cut_as_the_evaluation_cuts_it() -> None:
    from core.evaluate.translation import bleu_tokenizer

    tokenize = bleu_tokenizer("ja")
    expected = [[bleu(h, r, tokenize) for r in JAPANESE] for h in JAPANESE]
    np.testing.assert_allclose(utilities(JAPANESE, "bleu"), expected, rtol=0, atol=1e-10)


def hypothesis(text: str, score: float, ids: list[int] | None = None) -> Hypothesis:
    return Hypothesis(ids or [ord(c) for c in text], [score], score, True, "end", text)


@pytest.mark.parametrize("metric", ["chrf", "bleu"])
def test_mbr_is_the_expected_utility(metric: str) -> None:
    """Against the definition: the mean over all samples, duplicates as often as they were drawn."""
    for seed in range(20):
        rng = random.Random(seed)
        samples = [hypothesis(text, -rng.random()) for text in rng.choices(random_texts(8, seed), k=20)]
        config = GenerationConfig(strategy="mbr", num_samples=20, num_return_sequences=20, mbr_metric=metric)
        found = rerank(samples, config)
        assert sorted(h.text for h in found) == sorted({s.text for s in samples})
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        for h in found:
            if metric == "chrf":
                each = [sentence_chrf(h.text, [s.text]).score for s in samples]
            else:
                each = [bleu(h.text, s.text) for s in samples]
            assert h.score == pytest.approx(sum(each) / 20, abs=1e-9) and 0 <= h.score <= 100
        assert rerank(samples, dataclasses.replace(config, num_return_sequences=1)) == found[:1]


def test_the_majority_wins_over_the_most_probable() -> None:
    samples = [hypothesis("ein Hund bellt", -0.1), *[hypothesis("die Katze schläft", -0.9)] * 3]
    assert rerank(samples, GenerationConfig(strategy="mbr"))[0].text == "die Katze schläft"
    assert rerank(samples, GenerationConfig(strategy="best_of"))[0].text == "ein Hund bellt"


def test_texts_that_read_alike_count_together() -> None:
    """The same text in other tokens: one candidate, the more probable spelling."""
    samples = [hypothesis("ab", -0.5, [1, 2]), hypothesis("ab", -0.2, [3]), hypothesis("cd", -0.1, [4])]
    found = rerank(samples, GenerationConfig(strategy="mbr", num_return_sequences=3))
    assert [h.ids for h in found] == [[3], [4]] and found[0].score == pytest.approx(100 * 2 / 3)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_best_of_is_the_best_sample(family: str, penalty: float) -> None:
    model, inputs = tiny(family, eos_bias=3.0), random_inputs(6)
    common = dict(max_new_tokens=8, top_p=0.95, temperature=1.3, seed=4, length_penalty=penalty)
    samples = generate_ids(model, inputs, GenerationConfig(strategy="sample", num_return_sequences=12, **common))
    found = generate_ids(
        model, inputs, GenerationConfig(strategy="best_of", num_samples=12, num_return_sequences=4, **common)
    )
    for drawn, best in zip(samples, found, strict=True):
        distinct = {tuple(h.ids): h for h in drawn}
        for h in drawn:
            assert h.score == pytest.approx(sum(h.logprobs) / len(h.ids) ** penalty)
        assert best == sorted(distinct.values(), key=lambda h: -h.score)[:4]


@pytest.mark.parametrize("family", FAMILIES)
def test_mbr_from_text_to_text(family: str) -> None:
    run = byte_run(family, eos_bias=4.0)
    config = GenerationConfig(strategy="mbr", num_samples=6, num_return_sequences=2, max_new_tokens=8, seed=2)
    returned = generate(run, ["hello", "a cup of コーヒー"], config)
    samples = generate(
        run, ["hello", "a cup of コーヒー"], dataclasses.replace(config, strategy="sample", num_return_sequences=6)
    )
    for mbr, drawn in zip(returned, samples, strict=True):
        assert {h.text for h in mbr.hypotheses} <= {h.text for h in drawn.hypotheses}
        each = [sentence_chrf(mbr.text, [h.text]).score for h in drawn.hypotheses]
        assert mbr.score == pytest.approx(sum(each) / 6, abs=1e-9)
    last = {e.row: e.generation for e in stream(run, ["hello", "a cup of コーヒー"], config) if e.generation}
    assert [last[row].hypotheses for row in (0, 1)] == [g.hypotheses for g in returned]


def test_mbr_needs_texts() -> None:
    with pytest.raises(ConfigError, match="tokenizer"):
        generate_ids(tiny("gpt"), [[3]], GenerationConfig(strategy="mbr"))
    generate_ids(tiny("gpt"), [[3]], GenerationConfig(strategy="mbr", max_new_tokens=2), tokenizer=ByteTokenizer())
