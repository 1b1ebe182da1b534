"""Assisted decoding: the result is the model's alone, whatever the assistant says; it only takes fewer passes."""

import dataclasses
import functools
import itertools
import math
import random

import pytest
import torch

from core.decode import GenerationConfig, generate, generate_ids, stream, stream_ids
from core.errors import ConfigError
from tests.core.decode.decode_helpers import FAMILIES, ScriptedModel, byte_run, random_inputs, tiny

GREEDY = GenerationConfig(max_new_tokens=14)
PROCESSORS = {
    "none": {},
    "penalties": dict(repetition_penalty=1.3, presence_penalty=0.4, frequency_penalty=0.3),
    "bans": dict(no_repeat_ngram_size=2, bad_words_ids=((5,), (6, 7)), min_new_tokens=5),
    "forced": dict(forced_prefix_ids=(7, 8, 9), logit_bias={4: 1.5}, min_new_tokens=4),
}


@pytest.mark.parametrize("processors", PROCESSORS)
@pytest.mark.parametrize(("tokens", "noise"), [(1, 0.05), (3, 0.0), (5, 0.03), (5, 2.0), (20, 0.05)])
@pytest.mark.parametrize("family", FAMILIES)
def test_assisted_greedy_is_greedy(family: str, tokens: int, noise: float, processors: str) -> None:
    """The same tokens, log-probabilities and scores, with an assistant that is always, often or never right."""
    model, assistant = tiny(family, eos_bias=2.0), tiny(family, eos_bias=2.0, noise=noise)
    inputs = random_inputs(32)
    greedy = dataclasses.replace(GREEDY, **PROCESSORS[processors])
    expected = generate_ids(model, inputs, greedy)
    config = dataclasses.replace(greedy, strategy="assisted", num_assistant_tokens=tokens)
    found = generate_ids(model, inputs, config, assistant=assistant)
    for (mine,), (theirs,) in zip(found, expected, strict=True):
        assert (mine.ids, mine.finish_reason) == (theirs.ids, theirs.finish_reason)
        assert mine.logprobs == pytest.approx(theirs.logprobs, abs=1e-5)
        assert mine.score == pytest.approx(theirs.score, abs=1e-5)
    accepted = [sum(h.drafted) / len(h.ids) for (h,) in found]
    if 0 < noise < 1 and tokens > 1 and processors == "none":
        assert min(accepted) < 0.3 < max(accepted), "rows must accept different numbers"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_perfect_assistant_saves_passes(family: str) -> None:
    """The prompt's pass gives one token, every other one num_assistant_tokens + 1."""
    model = tiny(family, eos_bias=-50.0)
    for new, tokens in itertools.product((1, 2, 7, 20), (1, 4)):
        config = GenerationConfig(strategy="assisted", num_assistant_tokens=tokens, max_new_tokens=new)
        for event in stream_ids(model, random_inputs(5), config, assistant=model):
            if event.generation is None:
                continue
            work, (hypothesis,) = event.generation.work, event.generation.hypotheses
            assert len(hypothesis.ids) == new
            assert work.forward_passes == 1 + math.ceil((new - 1) / (tokens + 1))
            assert work.accepted == work.drafted == sum(hypothesis.drafted)
            assert work.accepted == new - work.forward_passes
            assert work.assistant_passes == 1 + work.drafted


@pytest.mark.parametrize("family", FAMILIES)
def test_an_assistant_of_another_size(family: str) -> None:
    """Fewer layers, another width, and a context that prompts and texts outgrow."""
    from core.config import ModelConfig
    from core.model import build_model

    model, inputs = tiny(family, eos_bias=-9.0), random_inputs(20, longest=26)
    torch.manual_seed(1)
    config = ModelConfig(
        family=family, vocab_size=40, d_model=8, n_layers=1, n_heads=1, d_ff=8, max_seq_len=20, tie_embeddings=True
    )
    small = build_model(config).eval().double()
    greedy = GenerationConfig(max_new_tokens=30)
    events = list(stream_ids(model, inputs, dataclasses.replace(greedy, strategy="assisted"), assistant=small))
    found = {event.row: event.generation for event in events if event.generation}
    for row, (expected,) in enumerate(generate_ids(model, inputs, greedy)):
        assert found[row].ids == expected.ids
        start = 1 if family == "transformer" else len(inputs[row])
        drafted = found[row].work.drafted
        readable = 20 if family == "transformer" else 19  # the prompt alone, or with the first token behind it
        assert (drafted > 0) == (len(inputs[row]) <= readable), "a prompt beyond its context gets no drafts"
        assert drafted <= 5 * max(0, 21 - start)


@pytest.mark.parametrize("sampling", [False, True])
def test_the_stream_says_what_was_drafted(sampling: bool) -> None:
    model, assistant = tiny("gpt", eos_bias=1.0), tiny("gpt", eos_bias=1.0, noise=0.05)
    inputs = random_inputs(10)
    config = GenerationConfig(
        strategy="assisted", assisted_sampling=sampling, num_return_sequences=1 + sampling, max_new_tokens=12
    )
    seen: dict[tuple[int, int], list[bool]] = {}
    for event in stream_ids(model, inputs, config, assistant=assistant, trace=True):
        flags = seen.setdefault((event.row, event.sample), [])
        assert event.drafted in (False, True) and event.step == len(flags)
        flags.append(event.drafted)
        assert event.hypothesis.drafted == flags and len(event.hypothesis.ids) == len(flags)
        if event.generation is not None:
            work = event.generation.work
            assert [h.drafted for h in event.generation.hypotheses] == [
                seen[event.row, number] for number in range(1 + sampling)
            ]
            assert work.accepted == sum(sum(h.drafted) for h in event.generation.hypotheses)
            assert work.accepted <= work.drafted
            for h in event.generation.hypotheses:
                assert [s.id for s in h.steps] == h.ids and not h.drafted[0]
    assert {True, False} == set(sum(seen.values(), []))
    for event in stream_ids(model, inputs, GREEDY):
        assert event.drafted is None and not event.hypothesis.drafted


def random_table(vocab_size: int, seed: int, sharpness: float):
    """Logits that depend on the whole prefix."""

    @functools.cache
    def row(ids: tuple[int, ...]) -> list[float]:
        rng = random.Random(f"{seed}/{ids}")
        return [rng.gauss(0, sharpness) for _ in range(vocab_size)]

    return lambda ids: row(tuple(ids))


@pytest.mark.parametrize(
    ("settings", "sharpness"),
    [
        (dict(), 1.0),
        (dict(num_assistant_tokens=1), 2.0),
        (dict(temperature=0.7, top_k=3, repetition_penalty=1.5), 1.5),
        (dict(min_new_tokens=3, frequency_penalty=0.8, top_p=0.9), 1.0),
    ],
    ids=str,
)
def test_assisted_sampling_follows_the_models_distribution(settings: dict, sharpness: float) -> None:
    """Chi-square over all sequences of up to three tokens (four tokens, one of which ends), against the distribution
    that the processors leave. The assistant's own distribution fails the same test by far."""
    size, new, count = 4, 3, 3_000
    model = ScriptedModel(random_table(size, 0, sharpness), size)
    assistant = ScriptedModel(random_table(size, 1, sharpness), size)
    config = GenerationConfig(
        strategy="assisted", assisted_sampling=True, num_return_sequences=count, max_new_tokens=new, seed=3, **settings
    )
    (samples,) = generate_ids(model, [[1]], config, use_cache=False, assistant=assistant)
    counts: dict[tuple[int, ...], int] = {}
    for h in samples:
        counts[tuple(h.ids)] = counts.get(tuple(h.ids), 0) + 1
    assert any(any(h.drafted) for h in samples) and not all(all(h.drafted[1:]) for h in samples)

    def chi_square(judge: ScriptedModel) -> tuple[float, int]:
        expected: dict[tuple[int, ...], float] = {}

        def spread(ids: tuple[int, ...], mass: float) -> None:
            if len(ids) == new or (ids and ids[-1] == 2):
                expected[ids] = mass
                return
            for token, share in enumerate(after_processors(judge, [1, *ids], len(ids), config)):
                if share:
                    spread((*ids, token), mass * share)

        spread((), 1.0)
        assert sum(expected.values()) == pytest.approx(1)
        if not set(counts) <= set(expected):
            return math.inf, 0
        # Cells of fewer than five expected samples are taken together.
        large = {ids: mass for ids, mass in expected.items() if mass * count >= 5}
        cells = [(counts.get(ids, 0), mass * count) for ids, mass in large.items()]
        rest = count - sum(mass for _, mass in cells)
        if rest > 1:
            cells.append((count - sum(n for n, _ in cells), rest))
        return sum((n - mass) ** 2 / mass for n, mass in cells), len(cells) - 1

    statistic, freedom = chi_square(model)
    limit = freedom * (1 - 2 / (9 * freedom) + 3.09 * math.sqrt(2 / (9 * freedom))) ** 3  # passed once in 1,000
    assert freedom > 8 and statistic < limit
    assert chi_square(assistant)[0] > 10 * limit


def after_processors(model: ScriptedModel, ids: list[int], step: int, config: GenerationConfig) -> list[float]:
    from core.decode.processors import build_processors

    logits = torch.tensor([model.table(ids)], dtype=torch.float32)
    for processor in build_processors(config, logits.shape[1], [2]):
        logits = processor.apply(logits, torch.tensor([ids]), step)
    return logits.double().softmax(-1)[0].tolist()


def test_equal_distributions_are_always_accepted() -> None:
    model = tiny("llama", eos_bias=-50.0)
    config = GenerationConfig(strategy="assisted", assisted_sampling=True, temperature=2.0, max_new_tokens=19)
    for event in stream_ids(model, random_inputs(6), config, assistant=model):
        if event.generation is not None:
            assert event.generation.work.accepted == event.generation.work.drafted == 19 - 4


def test_seeds() -> None:
    model, assistant, inputs = tiny("gpt"), tiny("gpt", noise=0.05), random_inputs(6)
    config = GenerationConfig(strategy="assisted", assisted_sampling=True, num_return_sequences=3, max_new_tokens=8)

    def ids_of(config: GenerationConfig) -> list:
        found = generate_ids(model, inputs, config, assistant=assistant)
        return [[h.ids for h in hypotheses] for hypotheses in found]

    first = ids_of(config)
    assert ids_of(config) == first and ids_of(dataclasses.replace(config, seed=1)) != first
    assert len({tuple(ids) for ids in first[0]}) == 3
    zero = dataclasses.replace(config, temperature=0, num_return_sequences=1)
    assert ids_of(zero) == ids_of(dataclasses.replace(zero, assisted_sampling=False, temperature=1.0))


@pytest.mark.parametrize("family", FAMILIES)
def test_from_text_to_text_with_stop_strings(family: str) -> None:
    run, helper = byte_run(family, eos_bias=2.0), byte_run(family, eos_bias=2.0, noise=0.05)
    for each in (run, helper):
        each.name, each.tokenizer.vocab_size, each.tokenizer.special_tokens = "run", 259, {}
        each.tokenizer.has_id, each.tokenizer.token_bytes = (lambda id: True), (lambda id: bytes([id % 256]))
    texts = ["hello", "a cup of コーヒー", "!"]
    plain = generate(run, texts, GREEDY)
    stops = tuple(chr(byte - 3) for g in plain for byte in g.ids[4:5] if 3 < byte < 131)
    for greedy in (GREEDY, dataclasses.replace(GREEDY, stop_strings=stops or ("x",))):
        config = dataclasses.replace(greedy, strategy="assisted")
        expected = [(g.text, g.ids, g.best.finish_reason) for g in generate(run, texts, greedy)]
        found = generate(run, texts, config, assistant=helper)
        assert [(g.text, g.ids, g.best.finish_reason) for g in found] == expected
        last = {e.row: e.generation for e in stream(run, texts, config, assistant=helper) if e.generation}
        assert [last[row].hypotheses for row in range(3)] == [g.hypotheses for g in found]
    assert not stops or any(reason == "stop" for _, _, reason in expected)


def test_what_cannot_assist_is_said() -> None:
    model, config = tiny("gpt"), GenerationConfig(strategy="assisted")
    with pytest.raises(ConfigError, match="needs an assistant"):
        generate_ids(model, [[3]], config)
    with pytest.raises(ConfigError, match="'greedy'"):
        generate_ids(model, [[3]], GenerationConfig(), assistant=model)
    with pytest.raises(ConfigError, match="50 tokens.*40"):
        generate_ids(model, [[3]], config, assistant=tiny("gpt", vocab_size=50))
    with pytest.raises(ConfigError, match="translates"):
        generate_ids(model, [[3]], config, assistant=tiny("transformer"))


def test_runs_of_other_tokenizers_cannot_assist() -> None:
    from core.run import BUNDLED_ORDER, load

    translator, others = load("enja-transformer"), [load(name) for name in BUNDLED_ORDER[1:]]
    for other in others:
        with pytest.raises(ConfigError, match=f"{other.name} cannot assist {translator.name}"):
            generate(translator, ["hello"], GenerationConfig(strategy="assisted"), assistant=other)
    found = generate(
        translator, ["good morning"], GenerationConfig(strategy="assisted", max_new_tokens=20), assistant=translator
    )
    assert found[0].text == generate(translator, ["good morning"], GenerationConfig(max_new_tokens=20))[0].text
    work = found[0].work  # a model agrees with itself: all of a draft is taken, and each pass adds a token of its own
    assert work.accepted == work.drafted == len(found[0].ids) - work.forward_passes
    assert work.forward_passes < len(found[0].ids) / 2


def test_the_same_vocabulary() -> None:
    from core.decode.search import same_vocabulary
    from core.run import BUNDLED
    from core.tokenizer import load_tokenizer

    one, again = (load_tokenizer(BUNDLED / "enja-transformer" / "tokenizer.json") for _ in range(2))
    other = load_tokenizer(BUNDLED / "shakespeare-gpt" / "tokenizer.json")
    assert same_vocabulary(one, again) and not same_vocabulary(one, other)


def test_closing_the_stream_stops_both_models() -> None:
    run, helper = byte_run("gpt"), byte_run("gpt", noise=2.0)
    calls = []
    for each in (run.model, helper.model):
        each.register_forward_hook(lambda *args: calls.append(1))
    config = GenerationConfig(strategy="assisted", num_assistant_tokens=3, max_new_tokens=40, min_new_tokens=40)
    events = stream_ids(run.model, [[5, 6]], config, assistant=helper.model)
    next(events)
    assert len(calls) == 2, "the prompts"
    next(events)
    assert len(calls) == 2 + 3 + 1, "three drafts and a check"
    events.close()
    assert list(events) == [] and len(calls) == 6
