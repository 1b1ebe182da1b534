"""Texts in, texts out: streams, stop strings, incomplete characters, cancelling."""

import random
from dataclasses import replace

import pytest
import torch

from core.decode import GenerationConfig, generate, stream
from core.decode.config import STRATEGIES
from core.decode.state import Ends
from tests.core.decode.decode_helpers import FAMILIES, ByteTokenizer, ScriptedModel, byte_run, decode

CONFIGS = {
    "greedy": GenerationConfig(max_new_tokens=12),
    "beam": GenerationConfig(strategy="beam", num_beams=3, num_return_sequences=2, max_new_tokens=12),
    "sample": GenerationConfig(strategy="sample", num_return_sequences=2, max_new_tokens=12, seed=3),
    "diverse_beam": GenerationConfig(strategy="diverse_beam", num_beams=4, num_beam_groups=2, max_new_tokens=12),
    "contrastive": GenerationConfig(strategy="contrastive", max_new_tokens=12),
    "best_of": GenerationConfig(strategy="best_of", num_samples=3, num_return_sequences=2, max_new_tokens=12),
    "mbr": GenerationConfig(strategy="mbr", num_samples=3, num_return_sequences=2, max_new_tokens=12),
}  # assisted: see test_decode_assisted


@pytest.mark.parametrize("strategy", CONFIGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_streamed_is_what_is_returned(family: str, strategy: str) -> None:
    run, config = byte_run(family, eos_bias=3.0), CONFIGS[strategy]
    texts = ["hello", "a cup of コーヒー", "!", "x" * 30]
    returned = generate(run, texts, config, trace=True)
    last: dict = {}
    seen: dict[tuple[int, int], list[int]] = {}
    traces: dict[int, list] = {row: [] for row in range(4)}
    for event in stream(run, texts, config, trace=True):
        traces[event.row] += event.trace
        if not config.searches_beams:
            ids = seen.setdefault((event.row, event.sample), [])
            ids.append(event.id)
            assert event.hypothesis.ids == ids, "a stream only adds"
            last[event.row, event.sample] = event.hypothesis
        if event.generation is not None:
            g, expected = event.generation, returned[event.row]
            assert (g.prompt, g.prompt_ids, g.hypotheses) == (
                expected.prompt, expected.prompt_ids, expected.hypotheses,
            )  # fmt: skip
            assert g.trace == expected.trace == traces[event.row]
            # Contrastive search reads every token that it considers, so the last one too.
            passes = max(t.step for t in g.trace) + 1 + (strategy == "contrastive")
            assert g.forward_passes == expected.forward_passes == passes
            if config.searches_beams:
                assert event.beams == g.hypotheses
    if not (config.searches_beams or config.reranks):
        for row, generation in enumerate(returned):
            assert [last[row, sample] for sample in range(len(generation.hypotheses))] == generation.hypotheses


def scripted_run(text: str, vocab_size: int = 259):
    """A model that writes `text`, then the end token."""
    script = [byte + 3 for byte in text.encode()] + [2]

    def table(ids: list[int]) -> list[float]:
        logits = [0.0] * vocab_size
        logits[script[min(len(ids) - 1, len(script) - 1)]] = 20.0
        return logits

    run = byte_run("gpt")
    run.model = ScriptedModel(table, vocab_size)
    run.model.new_cache = lambda batch_size, max_len: None
    return run


def texts_of(run, config: GenerationConfig) -> list[str]:
    """The streamed texts, after checking that the last one is what generate returns."""
    events = list(stream(run, "", config))
    assert events[-1].text == events[-1].generation.text == generate(run, [""], config)[0].text
    return [event.text for event in events]


def test_incomplete_characters_are_held_back() -> None:
    texts = texts_of(scripted_run("aé日😀"), GenerationConfig(max_new_tokens=20))
    assert texts == ["a", "a", "aé", "aé", "aé", "aé日", "aé日", "aé日", "aé日", "aé日😀", "aé日😀"]


def test_characters_cut_by_the_limit_are_marked() -> None:
    assert texts_of(scripted_run("日日"), GenerationConfig(max_new_tokens=4))[-1] == "日\ufffd"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_stop_strings(strategy: str) -> None:
    run = scripted_run("one, two\n\nthree")
    config = GenerationConfig(strategy=strategy, num_beams=2, early_stopping=True, length_penalty=0.0, num_samples=2,
                              stop_strings=("\n\n", "twofold"), max_new_tokens=20)  # fmt: skip
    (ids,) = decode(run.model, [[1]], config, tokenizer=run.tokenizer, use_cache=False)
    if strategy == "assisted":
        assert bytes(i - 3 for i in ids[0].ids) == b"one, two\n\n" and ids[0].text == "one, two"
        return
    generation = generate(run, [""], config)[0]
    assert generation.hypotheses[0].ids == ids[0].ids
    assert generation.text == "one, two"
    assert bytes(i - 3 for i in generation.ids) == b"one, two\n\n"
    assert generation.best.finished and generation.best.finish_reason == "stop"


def test_what_may_become_a_stop_string_is_held_back() -> None:
    config = GenerationConfig(stop_strings=("two\n", "abc"), max_new_tokens=20)
    assert texts_of(scripted_run("twtwo\n"), config) == ["", "", "tw", "tw", "tw", "tw"]
    assert texts_of(scripted_run("ab"), config) == ["", "", "ab"]  # nothing followed


def test_stop_ids_end_a_row_and_are_not_text() -> None:
    generation = generate(scripted_run("ab.c"), [""], GenerationConfig(stop_ids=(ord(".") + 3,)))[0]
    assert generation.text == "ab" and generation.ids[-1] == ord(".") + 3 and generation.best.finish_reason == "end"


def test_streamed_text_never_takes_back() -> None:
    """Random bytes, valid or not: every text begins with the one before."""
    rng = random.Random(0)
    ends = Ends([2], ["ab", "b\n"], ByteTokenizer().decode_bytes)
    for _ in range(200):
        pieces = [b"a", b"b", b"\n", "é".encode(), "日".encode(), bytes([rng.randrange(256)])]
        ids = [byte + 3 for byte in b"".join(rng.choices(pieces, k=9))]
        shown = ""
        for n in range(1, len(ids) + 1):
            text = ends.text(ids[:n], final=n == len(ids))
            assert text.startswith(shown)
            shown = text
        whole = ByteTokenizer().decode_bytes(ids).decode(errors="replace")
        cut = min([whole.find(s) for s in ("ab", "b\n") if s in whole], default=len(whole))
        assert shown == whole[:cut]


@pytest.mark.parametrize("strategy", CONFIGS)
def test_closing_the_stream_stops_the_model(strategy: str) -> None:
    run, config = byte_run("gpt"), replace(CONFIGS[strategy], max_new_tokens=40, min_new_tokens=40)
    calls = []
    hidden = run.model.hidden
    run.model.hidden = lambda *args: calls.append(1) or hidden(*args)
    events = stream(run, "abc", config)
    while next(events).step < 2:
        pass
    events.close()
    assert len(calls) == 3 + (strategy == "contrastive")
    assert list(events) == []


def test_the_reader_of_a_stream_is_not_in_inference_mode() -> None:
    for strategy in CONFIGS:
        for _ in stream(byte_run("gpt"), "abc", CONFIGS[strategy]):
            assert not torch.is_inference_mode_enabled()


def test_prompts_and_sources() -> None:
    gpt, translator = byte_run("gpt"), byte_run("transformer", eos_bias=3.0)
    config = GenerationConfig(max_new_tokens=4)
    assert generate(gpt, ["", "hi"], config)[1].prompt_ids == [1, ord("h") + 3, ord("i") + 3]
    assert generate(gpt, [""], config)[0].prompt_ids == [1]
    assert generate(gpt, "hi", config)[0].prompt == "hi"
    results = generate(translator, ["hi", " \n", "", "yes"], config)
    assert results[0].prompt_ids == [ord("h") + 3, ord("i") + 3, 2]
    for empty in results[1:3]:
        assert (empty.text, empty.ids, empty.score, empty.forward_passes) == ("", [], 0.0, 0)
    assert [g.prompt for g in results] == ["hi", " \n", "", "yes"]
    assert results[3].ids == generate(translator, ["yes"], config)[0].ids
    assert [e.generation.text for e in stream(translator, "", config)] == [""]


def test_the_runs_own_settings_are_the_default() -> None:
    assert len(generate(byte_run("gpt"), ["a"], None)[0].ids) <= 100


def test_very_long_and_strange_texts() -> None:
    run = byte_run("gpt", max_seq_len=32)
    texts = ["a" * 100_000, "\0", "👩‍👩‍👧‍👦" * 50, "\u202e\ufeff"]
    results = generate(run, texts, GenerationConfig(max_new_tokens=3))
    assert [g.truncated for g in results] == [True, False, True, False]
    assert all(len(g.ids) >= 1 for g in results)
