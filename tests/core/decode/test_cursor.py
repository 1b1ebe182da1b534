"""Writing by hand: the cursor goes where `generate` goes, and says of each place what a plain calculation says."""

import math
import threading

import numpy as np
import pytest
import torch
from decode_helpers import FAMILIES, byte_run

from core.decode import GenerationConfig, generate
from core.decode.cursor import back, cursor_at, take
from core.errors import ConfigError, TextError

TEXT = "abc ab"


def run_of(family="gpt", **kwargs):
    run = byte_run(family, **kwargs)
    run.tokenizer.has_id = lambda token: token < 259
    run.tokenizer.token_bytes = lambda token: bytes([token - 3]) if token > 2 else b"<s>"
    return run


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(strategy="sample", seed=5, top_p=0.95, temperature=0.9),
        dict(strategy="sample", temperature=0.0),
        dict(repetition_penalty=1.3, no_repeat_ngram_size=2, presence_penalty=0.5, min_new_tokens=3),
        dict(strategy="sample", forced_prefix_ids=(70, 71), forced_end=True, top_k=20, max_new_tokens=9),
    ],
    ids=str,
)
def test_steps_equal_generate(family, settings):
    run = run_of(family, eos_bias=1.0, max_seq_len=30)
    config = GenerationConfig(**{"max_new_tokens": 14, **settings})
    expected = generate(run, [TEXT], config)[0]
    cursor = cursor_at(run, TEXT, max_new_tokens=config.max_new_tokens)
    while not cursor.ended and len(cursor.written) < config.max_new_tokens:
        cursor = take(cursor, cursor.choice(config))
    assert list(cursor.written) == expected.ids
    assert [score.logprob for score in cursor.scores] == pytest.approx(expected.best.logprobs, abs=1e-6)
    assert cursor.logprob == pytest.approx(expected.best.total_logprob, abs=1e-5)
    assert cursor.prompt_ids == expected.prompt_ids
    if expected.best.finish_reason == "end":
        assert cursor.ended == "end" and cursor.written_text == expected.text


@pytest.mark.parametrize("family", FAMILIES)
def test_any_way_leads_to_the_same_place(family):
    """Forward, back, beside and in one go, in whatever order the model is asked."""
    run = run_of(family)
    ids = [70, 80, 90, 100, 110]
    direct = cursor_at(run, TEXT, ids)
    step = cursor_at(run, TEXT)
    for token in ids[:3]:
        step = take(step, token)
    aside = take(take(step, 50), 51)
    aside.logits  # noqa: B018 - the model has been elsewhere since
    for token in ids[3:]:
        step = take(step, token)
    assert step.written == direct.written
    torch.testing.assert_close(step.logits, direct.logits, atol=1e-6, rtol=0)
    for one, other in zip(step.scores, direct.scores, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-6) and one.rank == other.rank
        assert one.entropy == pytest.approx(other.entropy, abs=1e-5)
    while direct.written:
        direct = back(direct)
        again = cursor_at(run, TEXT, direct.written)
        torch.testing.assert_close(direct.logits, again.logits, atol=1e-6, rtol=0)
    assert back(direct).written == ()


def test_only_what_is_new_is_read(monkeypatch):
    run = run_of()
    cursor = cursor_at(run, TEXT)
    cursor.logits  # noqa: B018
    read = []
    hidden = run.model.hidden
    monkeypatch.setattr(
        run.model, "hidden", lambda ids, *rest, **o: read.append(ids.shape[1]) or hidden(ids, *rest, **o)
    )
    for token in (70, 71):
        cursor = take(cursor, token)
        cursor.stages(GenerationConfig(strategy="sample", top_p=0.5))
        cursor.stages(GenerationConfig(strategy="sample", top_k=5, temperature=0.3))
    assert read == [1, 1]
    cursor = back(back(cursor))
    cursor.stages(GenerationConfig())
    assert read == [1, 1]
    cursor = take(take(cursor, 70), 90)
    cursor.logits  # noqa: B018
    assert read == [1, 1, 1]


def test_forgotten_answers_are_asked_for_again(monkeypatch):
    monkeypatch.setattr("core.decode.cursor.REMEMBERED", 1)
    monkeypatch.setattr("core.decode.cursor.LOOKED_AHEAD", 2)
    run = run_of()
    places = [cursor_at(run, TEXT)]
    for token in range(70, 80):
        places.append(take(places[-1], token))
    first = [place.logits for place in places]
    assert len(places[0].reader._known) <= 2
    for place, before in [*zip(places, first), *zip(places[::-1], first[::-1])]:
        torch.testing.assert_close(place.logits, before, atol=1e-6, rtol=0)


def test_threads_share_a_prompt():
    run = run_of()
    start = cursor_at(run, TEXT)
    expected = {token: cursor_at(run, TEXT, [token, token]).logits for token in range(60, 72)}
    found = {}

    def work(token: int) -> None:
        found[token] = take(take(start, token), token).logits

    threads = [threading.Thread(target=work, args=(token,)) for token in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for token, logits in expected.items():
        torch.testing.assert_close(found[token], logits, atol=1e-6, rtol=0)


def test_numbers_of_a_place():
    """Counted token by token, in plain Python."""
    run = run_of()
    cursor = take(cursor_at(run, TEXT), 100)
    config = GenerationConfig(
        strategy="sample",
        temperature=0.7,
        top_k=12,
        min_p=0.05,
        logit_bias={100: 3.0},
        bad_words_ids=((101,), (100, 102)),
    )
    after = cursor.stages(config)
    assert after.processors == ("logit_bias", "bad_words", "temperature", "top_k", "min_p")
    logits = after.logits.astype(float).tolist()
    total = math.fsum(math.exp(value) for value in logits)
    probabilities = [math.exp(value) / total for value in logits]
    changed = [value + 3.0 * (token == 100) for token, value in enumerate(logits)]
    removed = {101: "bad_words", 102: "bad_words"}
    order = sorted((token for token in range(259) if token not in removed), key=lambda token: -changed[token])
    removed |= dict.fromkeys(order[12:], "top_k")
    best = max(changed[token] for token in order)
    removed |= {t: "min_p" for t in order[:12] if math.exp((changed[t] - best) / 0.7) < 0.05}
    left = [token for token in range(259) if token not in removed]
    rest = math.fsum(math.exp(changed[token] / 0.7) for token in left)
    for row in after.rows(range(259)):
        token = row["id"]
        assert row["removed_by"] == removed.get(token, "")
        assert row["probability"] == pytest.approx(probabilities[token], abs=1e-9)
        assert row["final"] == pytest.approx(math.exp(changed[token] / 0.7) / rest if token in left else 0, abs=1e-6)
        assert row["rank"] == 1 + sum(value > logits[token] for value in logits)
        assert row["after"][0] == pytest.approx(changed[token], abs=1e-6)
        assert (row["after"][-1] is None) == (token in removed)
    assert after.kept == len(left)
    assert after.mass == pytest.approx(math.fsum(probabilities[token] for token in left), abs=1e-9)
    assert after.entropy == pytest.approx(-math.fsum(p * math.log(p) for p in probabilities), abs=1e-9)
    assert after.perplexity == pytest.approx(math.exp(after.entropy))
    final = [math.exp(changed[token] / 0.7) / rest for token in left]
    assert after.final_entropy == pytest.approx(-math.fsum(p * math.log(p) for p in final), abs=1e-5)
    assert [row["id"] for row in after.top(5)] == sorted(range(259), key=lambda token: -logits[token])[:5]
    assert [row["id"] for row in after.top(3, "final")] == order[:3]
    assert len(after.top(10_000)) == 259 and after.top(0) == []


@pytest.mark.parametrize(
    "settings", [dict(), dict(strategy="sample", temperature=0.0, top_p=0.1), dict(num_beams=1, strategy="beam")]
)
def test_greedy_keeps_one(settings):
    cursor = cursor_at(run_of(), TEXT)
    after = cursor.stages(GenerationConfig(**settings))
    assert after.processors == ("greedy",) and after.kept == 1 and after.final_entropy == 0.0
    assert after.final[after.logits.argmax()] == 1.0
    assert after.removed_by[after.logits.argmax()] == -1 and (after.removed_by == 0).sum() == 258


def test_beams_begin_with_log_probabilities():
    after = cursor_at(run_of(), TEXT).stages(GenerationConfig(strategy="beam", repetition_penalty=1.5))
    assert np.exp(after.start.astype(float)).sum() == pytest.approx(1, abs=1e-5)
    assert not np.allclose(after.start, after.logits)


def test_a_forced_token_is_given_back_and_nothing_may_be_left():
    cursor = take(cursor_at(run_of(), TEXT), 70)
    after = cursor.stages(GenerationConfig(bad_words_ids=((80,),), forced_prefix_ids=(70, 80), strategy="sample"))
    assert after.final[80] == 1.0 and after.removed_by[80] == -1 and after.kept == 1
    everything = tuple((token,) for token in range(259) if token != 2)
    nothing = GenerationConfig(strategy="sample", bad_words_ids=everything, min_new_tokens=50)
    after = cursor.stages(nothing)
    assert after.kept == 0 and after.mass == 0 and not after.final.any() and after.final_entropy == 0
    assert (
        cursor.choice(nothing) is None
        and cursor.choice(GenerationConfig(**{**nothing.__dict__, "strategy": "greedy"})) is None
    )


def test_ends_and_refusals():
    run = run_of(max_seq_len=10)
    cursor = cursor_at(run, "abc")  # <s> and three bytes: room for six
    for token in range(60, 66):
        assert cursor.ended == ""
        cursor = take(cursor, token)
    assert cursor.ended == "length"
    with pytest.raises(TextError, match="full"):
        take(cursor, 66)
    ended = take(back(cursor), run.model.eos_id)
    assert ended.ended == "end" and ended.written_text == "9:;<="
    with pytest.raises(TextError, match="end"):
        ended.stages(GenerationConfig())
    for token in (-1, 259):
        with pytest.raises(TextError):
            take(back(cursor), token)
    with pytest.raises(TextError):
        cursor_at(run, "abc", [2, 70])
    with pytest.raises(TextError):
        cursor_at(run, "abc", [70] * 7)
    with pytest.raises(TextError):
        cursor_at(run, "abc", [300])
    with pytest.raises(ConfigError):
        back(cursor).stages(GenerationConfig(logit_bias={999: 1.0}))
    with pytest.raises(TextError, match="translate"):
        cursor_at(run_of("transformer"), "  ")
    assert cursor_at(run, "").prompt_ids == [1]
    assert not cursor_at(run, "abc").truncated and cursor_at(run, "abcdefghijklmno").truncated


def test_a_prompt_beyond_the_context_is_cut_as_generate_cuts_it():
    run = run_of(max_seq_len=16)
    for text in ("x" * 15, "abcdefghijklmnopqrstuvwxyz"):
        for count in (3, 50):
            generation = generate(run, [text], GenerationConfig(max_new_tokens=count))[0]
            assert cursor_at(run, text, max_new_tokens=count).prompt_ids == generation.prompt_ids


def test_bytes_of_half_a_character_are_held_back():
    cursor = cursor_at(run_of(), TEXT, [byte + 3 for byte in "é".encode()[:1]])
    assert cursor.written_text == ""
    assert take(cursor, "é".encode()[1] + 3).written_text == "é"
