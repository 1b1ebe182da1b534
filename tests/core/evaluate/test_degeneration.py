"""The measures against plain second implementations and sacreBLEU, on random and on nasty inputs."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from core import load
from core.decode import GenerationConfig, Hypothesis, generate
from core.decode.presets import PRESETS
from core.decode.scoring import score_ids
from core.errors import DataError
from core.evaluate import degeneration as ours
from core.evaluate.experiment import HUMAN, cases_from_prompts, cases_from_text, default_columns, experiment

NASTY = [
    [],
    [[]],
    [[1]],
    [[1], []],
    [[1, 1, 1, 1, 1, 1]],
    [[1, 2], [1, 2]],
    [[1, 2, 3], [3, 2, 1]],
    [[0] * 50, [0] * 49],
]


def random_sequences(seed: int) -> list[list[int]]:
    rng = random.Random(seed)
    vocabulary = rng.choice([1, 2, 5, 300])
    return [[rng.randrange(vocabulary) for _ in range(rng.randint(0, 40))] for _ in range(rng.randint(1, 8))]


SEQUENCES = [*NASTY, *(random_sequences(seed) for seed in range(150))]


def plain_distinct(sequences, n):
    every = []
    for ids in sequences:
        for start in range(len(ids) - n + 1):
            every.append(",".join(str(token) for token in ids[start : start + n]))
    return len(set(every)) / len(every) if every else None


def plain_loops(ids):
    """By trying every phrase from the back, token by token."""
    for size in range(2, len(ids) + 1):
        times, end = 1, len(ids) - size
        while end >= size and all(ids[end - size + i] == ids[len(ids) - size + i] for i in range(size)):
            times, end = times + 1, end - size
        if times >= 3:
            return True
    return False


def plain_zipf(sequences):
    counts = {}
    for ids in sequences:
        for token in ids:
            counts[token] = counts.get(token, 0) + 1
    values = sorted(counts.values(), reverse=True)[:5000]
    if len(values) < 2:
        return None
    x, y = [math.log(rank) for rank in range(1, len(values) + 1)], [math.log(count) for count in values]
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    above = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return -above / math.fsum((a - mean_x) ** 2 for a in x)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8])
def test_distinct_and_repeated(n):
    for sequences in SEQUENCES:
        expected = plain_distinct(sequences, n)
        assert ours.distinct(sequences, n) == expected
        for ids in sequences:
            single = plain_distinct([ids], n)
            assert ours.repeated(ids, n) == (None if single is None else pytest.approx(1 - single))


def test_loops():
    for sequences in SEQUENCES:
        for ids in sequences:
            assert ours.loops(ids) == plain_loops(ids)
            for phrase, times in ([7, 8], 2), ([7, 8], 3), ([7, 8, 9, 7], 3), ([7], 5), ([7], 6), ([5, 6, 7], 4):
                longer = ids + phrase * times
                assert ours.loops(longer) == plain_loops(longer)


def test_zipf():
    for sequences in SEQUENCES:
        expected = plain_zipf(sequences)
        found = ours.zipf(sequences)
        assert found == (None if expected is None else pytest.approx(expected, abs=1e-9))
    many = [[token] * max(1, 12_000 // (token + 1)) for token in range(6_000)]  # more than are looked at
    assert ours.zipf(many) == pytest.approx(plain_zipf(many), abs=1e-9)
    assert ours.zipf([[0, 1, 2]]) == 0


@pytest.mark.parametrize("language", ["en", "ja"])
def test_self_bleu_equals_sacrebleu(language):
    rng = random.Random(5)
    words = "a cat sat on the mat , and that was that .".split() if language == "en" else list("私は猫が好きです。")
    for _ in range(40):
        joint = " " if language == "en" else ""
        texts = [joint.join(rng.choices(words, k=rng.randint(0, 12))) for _ in range(rng.randint(2, 6))]
        texts += [texts[0]] * rng.randint(0, 1)
        metric = BLEU(effective_order=True, tokenize=ours.bleu_tokenizer(ours.guess_language(texts)))
        scores = [metric.sentence_score(text, texts[:i] + texts[i + 1 :]).score for i, text in enumerate(texts)]
        assert ours.self_bleu(texts) == pytest.approx(sum(scores) / len(scores), abs=1e-9), texts
    assert ours.self_bleu(["the cat sat here ."] * 4) == pytest.approx(100)
    assert ours.self_bleu(["one"]) is None and ours.self_bleu([]) is None
    assert ours.self_bleu(["", ""]) == 0


def test_first_divergence():
    for sequences in SEQUENCES:
        longest = max(map(len, sequences), default=0)
        padded = [ids + [None] * (longest - len(ids)) for ids in sequences]
        places = [place for place in range(longest) if any(ids[place] != padded[0][place] for ids in padded)]
        assert ours.first_divergence(sequences) == (places[0] if places else None)


def hypothesis(ids, logprobs, text="", reason="length"):
    return Hypothesis(ids, logprobs, sum(logprobs), reason == "end", reason, text)


def test_measures_of_samples():
    samples = [
        hypothesis([5, 6, 5, 6, 2], [-1.0, -2.0, -0.5, -0.5, -1.0], "the cat sat down", "end"),
        hypothesis([5, 7, 9], [-3.0, -1.0, -2.0], "the dog sat up"),
        hypothesis([], [], "", "dead_end"),
    ]
    found = ours.measures(samples, seconds=2.0, forward_passes=5, references=["the cat sat up"])
    assert (found.samples, found.tokens, found.length, found.forward_passes) == (3, 8, 8 / 3, 5)
    assert found.logprob == pytest.approx(-11 / 3) and found.logprob_per_token == pytest.approx(-11 / 8)
    assert found.perplexity == pytest.approx(math.exp(11 / 8)) and found.tokens_per_second == 4
    content = [[5, 6, 5, 6], [5, 7, 9], []]  # without the end token
    assert found.distinct == {n: plain_distinct(content, n) for n in (1, 2, 4)}
    assert found.repeated[2] == pytest.approx((1 / 3 + 0) / 2) and found.repeated[4] == 0
    assert found.looping == 0 and found.zipf == pytest.approx(plain_zipf(content))
    texts = [sample.text for sample in samples]
    assert found.self_bleu == ours.self_bleu(texts)
    references = [["the cat sat up"] * 3]
    assert found.bleu == pytest.approx(BLEU().corpus_score(texts, references).score)
    assert found.chrf == pytest.approx(CHRF().corpus_score(texts, references).score)
    assert "tok:13a" in found.bleu_signature


def test_measures_of_nothing_and_of_one():
    found = ours.measures([])
    assert (found.samples, found.tokens, found.perplexity, found.zipf, found.self_bleu) == (0, 0, None, None, None)
    assert found.bleu is None and found.tokens_per_second is None
    certain = ours.measures([hypothesis([5], [0.0], "私は猫が好き")], references=["私は猫が好き"])
    assert certain.perplexity == 1 and certain.bleu == pytest.approx(100) and certain.chrf == pytest.approx(100)
    assert ours.measures([hypothesis([5], [-1e9])]).perplexity < math.inf
    short = ours.measures([hypothesis([5], [-1.0], "yes")], references=["yes"])
    assert short.bleu == pytest.approx(100)  # one word has no 4-grams


def test_measures_of_a_generation():
    run = load("shakespeare-gpt")
    config = GenerationConfig(strategy="sample", num_return_sequences=3, max_new_tokens=8, seed=1)
    generation = generate(run, ["To be"], config)[0]
    found = ours.measures_of(generation, config)
    scored = [score_ids(run, generation.prompt_ids, h.ids) for h in generation.hypotheses]
    total = sum(map(sum, scored))
    assert found.samples == 3 and found.logprob == pytest.approx(total / 3, abs=1e-4)
    assert found.perplexity == pytest.approx(math.exp(-total / found.tokens), rel=1e-5)
    beams = GenerationConfig(strategy="beam", num_beams=3, num_return_sequences=3, max_new_tokens=5)
    assert ours.measures_of(generate(run, ["To be"], beams)[0], beams).samples == 1


def test_curve():
    found = ours.probability_curve([hypothesis([1, 1], [-1.0, -2.0]), hypothesis([1], [0.0]), hypothesis([], [])])
    assert found == pytest.approx([(math.exp(-1) + 1) / 2, math.exp(-2)])
    assert ours.probability_curve([]) == []


# --------------------------------------------------------------------------------------------- the experiment


@pytest.fixture(scope="module")
def gpt():
    return load("shakespeare-gpt")


@pytest.fixture(scope="module")
def text():
    rng = random.Random(0)
    words = "my lord the king is here and we shall not speak of him to thee again good night".split()
    return "\n".join(" ".join(rng.choices(words, k=12)) + "." for _ in range(80))


def test_cases_are_places_of_the_text(gpt, text):
    cases = cases_from_text(gpt, text, count=6, prompt_tokens=10, new_tokens=20)
    ids = gpt.tokenizer.encode(text).ids
    assert len(cases) == 6
    starts = []
    for case in cases:
        whole = case.ids[1:] + case.human  # behind the begin token
        starts.append(next(at for at in range(len(ids)) if ids[at : at + len(whole)] == whole))
        assert len(whole) == 30 and case.prompt + case.reference == gpt.tokenizer.decode(whole)
        assert starts[-1] == 0 or case.prompt[0] in " \n"
    assert all(b - a >= 30 for a, b in zip(starts, starts[1:]))  # no token is used twice
    assert len(cases_from_text(gpt, text, count=10_000, prompt_tokens=10, new_tokens=20)) == len(ids) // 30
    with pytest.raises(DataError, match="longer text"):
        cases_from_text(gpt, "too short", 3, 10, 20)
    with pytest.raises(DataError, match="line by line"):
        cases_from_text(load("enja-transformer"), text)


def test_every_column_is_what_generate_writes(gpt, text):
    """Each prompt as alone, whatever the other prompts and columns are."""
    cases = cases_from_text(gpt, text, count=3, prompt_tokens=10, new_tokens=8)
    columns = [(name, PRESETS[name].config) for name in ("greedy", "beam", "top-p", "contrastive")]
    *steps, last = experiment(gpt, cases, columns, new_tokens=8)
    shares = [step.share for step in steps] + [last.share]
    assert shares == sorted(shares) and shares[-1] == 1
    assert [column.title for column in last.columns] == [HUMAN, *(title for title, _ in columns)]
    for column in last.columns[1:]:
        for case, found in zip(cases, column.hypotheses, strict=True):
            alone = generate(gpt, [case.prompt], replace(column.config, max_new_tokens=8))[0]
            assert alone.prompt_ids == case.ids
            assert (found.ids, found.text) == (alone.ids, alone.text), column.title
        again = ours.measures(column.hypotheses)
        assert column.measures.perplexity == again.perplexity and column.measures.distinct == again.distinct
        assert column.measures.tokens_per_second > 0 and column.measures.forward_passes >= 8
    people = last.columns[0]
    for case, found in zip(cases, people.hypotheses, strict=True):
        assert found.ids == case.human and found.logprobs == score_ids(gpt, case.ids, case.human)
        assert found.text == case.reference


def test_it_stops_and_keeps_what_there_is(gpt, text):
    cases = cases_from_text(gpt, text, count=3, prompt_tokens=10, new_tokens=15)
    steps = experiment(gpt, cases, [("a", GenerationConfig(strategy="beam", num_beams=30)), *default_columns()], 15)
    for step in steps:
        if step.title == "a" and step.done == 1:
            break
    steps.close()
    found = step.finish()
    assert [column.title for column in found] == [HUMAN, "a"] and [c.title for c in step.columns] == [HUMAN]
    assert found[1].measures.samples == 1 and len(found[1].hypotheses) == 1
    assert next(steps, None) is None


def test_translations_are_compared_with_references():
    run = load("enja-transformer")
    sources, references = ["i like cats .", "she drinks tea ."], ["私は猫が好きです。", "彼女はお茶を飲みます。"]
    cases = cases_from_prompts(run, sources, references)
    *_, last = experiment(run, cases, [("Beams", PRESETS["beam"].config)], new_tokens=30)
    people, beams = last.columns
    texts = [found.text for found in beams.hypotheses]
    assert texts == [found.text for found in generate(run, sources, PRESETS["beam"].config)]
    tokenize = ours.bleu_tokenizer("ja")
    assert beams.measures.bleu == pytest.approx(BLEU(tokenize=tokenize).corpus_score(texts, [references]).score)
    assert people.measures.bleu is None
    assert [found.ids[-1] for found in people.hypotheses] == [run.model.eos_id] * 2
    with pytest.raises(DataError):
        cases_from_prompts(run, sources, references[:1])
    with pytest.raises(DataError, match="Text 2"):
        cases_from_prompts(run, ["a", " "])
    with pytest.raises(DataError):
        next(experiment(run, [], default_columns()))


def test_without_references_there_are_no_people(gpt):
    *_, last = experiment(gpt, cases_from_prompts(gpt, ["To be", ""]), [("Greedy", GenerationConfig())], new_tokens=4)
    assert [column.title for column in last.columns] == ["Greedy"] and last.columns[0].measures.samples == 2
    assert np.allclose(last.columns[0].curve[0], np.mean([np.exp(h.logprobs[0]) for h in last.columns[0].hypotheses]))
