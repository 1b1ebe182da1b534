"""What runs on Modal to decode, by `.local()`: on the bundled runs, and ten thousand lines on a tiny one."""

import json
import random
import time
import warnings
from dataclasses import asdict

import numpy as np
import pytest

from core.data.corpus import Pair
from core.decode import GenerationConfig, generate, stream
from core.decode.plain import Unpacker
from core.decode.scoring import rescored
from core.errors import ConfigError, DataError, RunError, TextError
from core.evaluate import evaluate
from core.evaluate.request import Request
from core.run import load
from remote import infer, names
from remote.decoding.parts import failures_file
from remote.decoding.shards import write_file
from tests.playground.conftest import make_run

GREEDY = GenerationConfig(max_new_tokens=20)
BEAM = GenerationConfig(strategy="beam", num_beams=3, num_return_sequences=2, max_new_tokens=20)
SAMPLE = GenerationConfig(strategy="sample", top_p=0.9, seed=5, max_new_tokens=20)


def plain(config):
    return json.dumps(asdict(config))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The Volume of these tests. (modal warns that it is not mounted.)"""
    monkeypatch.setattr(names, "RUNS", tmp_path / "store" / "runs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def test_reading_a_run_does_not_ask_for_a_gpu(monkeypatch):
    """PyTorch keeps the answer for good, and there is none yet when the snapshot is taken."""
    import torch

    def asked(*arguments):
        raise AssertionError("asked for a GPU before the snapshot")

    monkeypatch.setattr(torch.cuda, "is_available", asked)
    monkeypatch.setattr(torch.cuda, "device_count", asked)
    monkeypatch.setattr(torch._C, "_cuda_getDeviceCount", asked, raising=False)
    opened = infer.Opened("shakespeare-gpt")
    with pytest.raises(AssertionError, match="before the snapshot"):
        opened.use()


# ------------------------------------------------------------------------------------------------ single prompts


@pytest.mark.parametrize("name", ["enja-transformer", "shakespeare-gpt", "pydocs-llama"])
def test_prompts_are_what_generate_returns(name):
    """Different settings in one batch, and some that fail."""
    run = load(name)
    texts = ["I like tea.", "word " * 5_000, "", "Yes.", "The function", "Hello.", "x", 3]
    decodes = [plain(c) for c in (GREEDY, GREEDY, BEAM, BEAM, SAMPLE, SAMPLE)] + ['{"top_p": 3}', plain(GREEDY)]
    found = infer.Prompts(run=name).write.local(texts, decodes)
    assert len(found) == 8
    for place, config in [(0, GREEDY), (2, BEAM), (3, BEAM), (4, SAMPLE), (5, SAMPLE)]:
        alone = generate(run, [texts[place]], config)[0]
        assert [h["ids"] for h in found[place]["hypotheses"]] == [h.ids for h in alone.hypotheses]
        assert found[place]["text"] == alone.text and found[place]["score"] == pytest.approx(alone.score, abs=1e-4)
        assert found[place]["tokens"] == len(alone.ids)
    assert "context: shorten it" in found[1]["error"]
    assert "top_p" in found[6]["error"] and "must be a text" in found[7]["error"]
    assert json.loads(json.dumps(found)) == found, "plain values"


def test_prompts_of_a_run_that_is_not_there_say_so():
    for answer in infer.Prompts(run="nope").write.local(["a", "b"], ["{}", "{}"]):
        assert "There is no run 'nope'" in answer["error"]
    decodes = [plain(GenerationConfig(strategy="assisted")), {"top_p": 0.5}, plain(GREEDY)]
    found = infer.Prompts(run="shakespeare-gpt").write.local(["a", "b", "c"], decodes)
    assert "assistant" in found[0]["error"] and "no JSON" in found[1]["error"] and found[2]["tokens"] > 0


# ------------------------------------------------------------------------------------------------------ a Volume


def test_a_run_of_the_volume_comes_first_and_is_read_again_when_it_changes(monkeypatch):
    make_run("shakespeare-gpt", "gpt", names.RUNS, seed=1)
    monkeypatch.setattr(infer, "LOOK_EVERY", 0.0)
    reloads = []
    monkeypatch.setattr(infer, "reload", lambda: reloads.append(True))
    opened = infer.Opened("shakespeare-gpt")  # as the snapshot keeps it
    assert reloads == []
    opened.use()
    first = opened.current()
    assert first.directory.parent == names.RUNS and opened.current() is first and len(reloads) == 3
    make_run("other", "gpt", names.RUNS, seed=2)
    time.sleep(0.02)
    (names.RUNS / "other" / "model.safetensors").replace(names.RUNS / "shakespeare-gpt" / "model.safetensors")
    second = opened.current()
    assert second is not first
    config = GenerationConfig(max_new_tokens=8)
    assert generate(second, "a", config)[0].ids != generate(first, "a", config)[0].ids


def test_a_run_that_comes_later_is_found():
    opened = infer.Opened("late")
    with pytest.raises(RunError, match="There is no run 'late'"):
        opened.current()
    make_run("late", "gpt", names.RUNS)
    assert opened.current().name == "late"


# -------------------------------------------------------------------------------------------------------- shards


def test_a_shard_is_what_generate_returns():
    run, writer = load("enja-transformer"), infer.Writer(run="enja-transformer")
    lines = ["Good morning.", "word " * 500, "", "She reads a book."]
    found = writer.shard.local(lines, plain(BEAM))
    expected = generate(run, [lines[0], lines[2], lines[3]], BEAM)
    assert [answer.get("text") for answer in found] == [expected[0].text, None, expected[1].text, expected[2].text]
    assert "context" in found[1]["error"] and found[3]["tokens"] == len(expected[2].ids)
    assert "text" in writer.shard.local([lines[1]], plain(GREEDY), True)[0], "truncated"
    full = writer.shard.local([lines[0]], plain(BEAM), full=True)[0]
    assert [h["text"] for h in full["hypotheses"]] == [h.text for h in expected[0].hypotheses]
    with pytest.raises(TextError, match="cut the file"):
        writer.shard.local(["a"] * (infer.MOST_LINES + 1), plain(GREEDY))
    with pytest.raises(ConfigError, match="top_p"):
        writer.shard.local(["a"], '{"top_p": 3}')


def test_an_assistant_changes_no_text():
    make_run("small", "gpt", names.RUNS, seed=1)
    make_run("helper", "gpt", names.RUNS, seed=2)
    greedy, assisted = (GenerationConfig(strategy=s, max_new_tokens=10) for s in ("greedy", "assisted"))
    writer = infer.Writer(run="small")
    texts = ["The function", "coffee"]
    alone = writer.shard.local(texts, plain(greedy))
    helped = writer.shard.local(texts, plain(assisted), assistant="helper", full=True)
    assert [a["text"] for a in helped] == [a["text"] for a in alone] and helped[0]["work"]["drafted"] > 0


def test_ten_thousand_lines_of_which_some_fail(tmp_path):
    """Too long for the context, and shards that fail as a whole at first: those lines fail, no other, all in order."""
    make_run("tiny", "transformer", names.RUNS, max_seq_len=32)
    words, random_ = ["tea", "coffee", "light", "cup", "Yes.", "コーヒー"], random.Random(0)
    lines = [" ".join(random_.choices(words, k=random_.randint(0, 3))) for _ in range(10_000)]
    long = set(random_.sample(range(10_000), 60))
    for place in long:
        lines[place] = "much too long " * 20
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("\n".join(lines), encoding="utf-8")
    config, writer, broken = GenerationConfig(max_new_tokens=4), infer.Writer(run="tiny"), []

    def mapper(tasks):
        for number, texts in tasks:
            if number % 5 == 0 and len(texts) > 100:
                broken.append(number)
                yield number, RuntimeError("the container is gone")
            else:
                yield number, writer.shard.local(texts, plain(config))

    told = []
    done = write_file(source, target, mapper, "tiny", progress=told.append, lines=400)
    assert len(broken) >= 5 and (done.lines, done.failed) == (10_000, 60)
    written = target.read_text(encoding="utf-8").split("\n")
    assert len(written) == 10_001 and written[-1] == ""
    failed = [json.loads(line) for line in failures_file(target).read_text(encoding="utf-8").splitlines()]
    assert [entry["line"] - 1 for entry in failed] == sorted(long)
    assert all("context" in entry["error"] and entry["text"] == lines[entry["line"] - 1] for entry in failed)
    sound = [place for place in range(10_000) if place not in long]
    found = generate(load("tiny", names.RUNS), [lines[place] for place in sound], config)
    expected = {place: g.text.replace("\r", " ").replace("\n", " ") for place, g in zip(sound, found)}
    different = [place for place in range(10_000) if written[place] != expected.get(place, "")]
    assert len(different) <= 5, "but for ties that another batch may round differently, it is what generate returns"
    assert told[-1].done == 10_000 and told[-1].failed == 60 and done.lines_per_second > 0


# ------------------------------------------------------------------------------------------- streams, evaluation


def test_a_stream_is_what_core_streams():
    run, configs = load("shakespeare-gpt"), [GREEDY, BEAM, SAMPLE]
    decodes = [*map(plain, configs), '{"top_p": 3}', plain(GenerationConfig(strategy="assisted", max_new_tokens=9))]
    messages = list(infer.Writer(run="shakespeare-gpt").stream.local("ROMEO:", decodes, "shakespeare-gpt"))
    assert messages[0] == {"call": ""} and json.loads(json.dumps(messages)) == messages
    steps = [step for message in messages[1:] for step in message["events"]]
    assert [step[2]["error"] for step in steps if step[0] == 3] == ["decode.top_p must lie in (0, 1], not 3.0."]
    for column, config in enumerate(configs):
        unpacker = Unpacker()
        events = [unpacker.unpack(step[2]) for step in steps if step[0] == column]
        expected = list(stream(run, "ROMEO:", config, trace=True))
        assert [e.hypothesis for e in events] == [e.hypothesis for e in expected]
        assert [e.beams for e in events] == [e.beams for e in expected]
        assert [e.trace for e in events] == [e.trace for e in expected]
        assert events[-1].generation.hypotheses == rescored(run, expected[-1].generation).hypotheses
    assert [step[0] for step in steps[:3]] == [0, 1, 2], "side by side"
    seconds = [step[1] for step in steps if step[0] == 0]
    assert seconds == sorted(seconds) and seconds[0] > 0
    last = [step for step in steps if step[0] == 4][-1]
    assert last[2]["generation"]["work"]["accepted"] == last[2]["generation"]["work"]["drafted"] > 0


def test_a_stream_that_asks_for_too_much_is_refused():
    writer = infer.Writer(run="shakespeare-gpt")
    with pytest.raises(TextError, match="characters"):
        list(writer.stream.local("x" * 200_000, [plain(GREEDY)]))
    with pytest.raises(ConfigError, match="columns"):
        list(writer.stream.local("x", [plain(GREEDY)] * 9))


def test_an_evaluation_is_told_as_plain_values():
    make_run("small", "transformer", names.RUNS)
    make_run("writer", "gpt", names.RUNS)
    pairs = [["Yes.", "コーヒー"], ["a cup", "コーヒーを一杯"], ["", "茶"]]
    asked = Request(decode=GenerationConfig(max_new_tokens=6))
    messages = list(infer.Writer(run="small").evaluation.local(json.dumps(asked.to_dict()), pairs, [1]))
    assert (
        json.loads(json.dumps(messages)) == messages and messages[0] == {"call": ""} and messages[-1] == {"end": True}
    )
    outputs = {output["number"]: output for message in messages for output in message.get("outputs", ())}
    expected = generate(load("small", names.RUNS), [pair[0] for pair in pairs], asked.decode)
    assert [outputs[n]["output"] for n in range(3)] == [g.text for g in expected], (
        "a batch that is not whole comes whole"
    )
    facts = {name: value for message in messages for name, value in message.get("facts", {}).items()}
    plain = evaluate(load("small", names.RUNS), [Pair(*pair) for pair in pairs])
    assert facts["loss_per_token"] == pytest.approx(plain["loss_per_token"]) and len(facts["weights_sha256"]) == 64
    documents = ["The function returns.", "a cup of coffee"]
    messages = list(infer.Writer(run="writer").evaluation.local("{}", documents))
    losses = np.concatenate([np.frombuffer(m["losses"], dtype="<f4") for m in messages if "losses" in m])
    plain = evaluate(load("writer", names.RUNS), documents=documents)
    assert len(losses) == plain["tokens"] and float(losses.mean()) == pytest.approx(plain["loss_per_token"], rel=1e-5)
    with pytest.raises(DataError, match="no file notes.txt"):
        list(infer.Writer(run="writer").evaluation.local("{}"))
    for request in ('{"decode": {"top_p": 3}}', '{"more": 1}', "[]", "{", '{"metrics": ["blue"]}'):
        with pytest.raises(ConfigError):
            list(infer.Writer(run="writer").evaluation.local(request, documents))
