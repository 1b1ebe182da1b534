"""Decoding on Modal, asked for from here: Modal's own library and containers, with a stand-in for its server."""

import json
import signal
import time
from dataclasses import replace

import pytest
from grpclib import Status

from core.decode import GenerationConfig, generate, stream
from core.decode.answers import as_plain
from core.decode.scoring import rescored
from core.errors import ConfigError, DataError, RunError
from core.evaluate import store
from core.evaluate.evaluation import measured
from core.evaluate.request import Request
from core.evaluate.store import list_evaluations, outputs_of
from core.run import load
from remote import link, names
from remote.decoding import asking, pump
from remote.decoding.evaluating import evaluating
from remote.decoding.parts import failures_file
from remote.decoding.shards import write_file
from remote.link import CloudError, NotDeployed, NotThere
from tests.playground.conftest import make_run
from tests.remote.inference_server import inference_server, runs_of

GREEDY = GenerationConfig(max_new_tokens=8)
LONG = GenerationConfig(max_new_tokens=3_500)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    with inference_server(tmp_path_factory.mktemp("modal")) as server:
        yield server


@pytest.fixture
def server(deployed, tmp_path, monkeypatch):
    """With what decodes deployed; and no runs on this machine but the bundled ones."""
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    yield deployed
    deployed.recover()


def same(found, expected):
    """An answer is what `generate` returned, but for rounding (another batch) and time."""
    assert {**found, "seconds": 0} == {
        **as_plain(expected), "seconds": 0, "score": pytest.approx(expected.score, abs=1e-4),
        "logprob": pytest.approx(expected.best.total_logprob, abs=1e-3),
        "hypotheses": [
            {**h, "score": pytest.approx(h["score"], abs=1e-4), "logprob": pytest.approx(h["logprob"], abs=1e-3),
             "logprobs": pytest.approx(h["logprobs"], abs=1e-3)}
            for h in as_plain(expected)["hypotheses"]
        ],
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------ as deployed


def test_what_is_deployed(server):
    prompts, writer = (server.function(names.APP, f"{name}.*") for name in (names.PROMPTS, names.WRITER))
    assert (prompts.batch_max_size, prompts.batch_linger_ms) == (64, 50)
    assert set(prompts.method_definitions) == {"write"}, "a batched class has no other method"
    assert (
        set(writer.method_definitions) == {"shard", "stream", "evaluation", "continuations"}
        and not writer.batch_max_size
    )
    for function in (prompts, writer):
        assert function.resources.gpu_config.gpu_type == names.DEFAULT_GPU
        assert [mount.mount_path for mount in function.volume_mounts] == [str(names.STORE)]
        assert function.checkpointing_enabled and not function.secret_ids
        assert [parameter.name for parameter in function.class_parameter_info.schema] == ["run"]
    assert (prompts.timeout_secs, writer.timeout_secs) == (600, 3600)


# ---------------------------------------------------------------------------------------------------- what is there


def test_runs_that_are_there(server, tmp_path):
    tiny = asking.there("tiny-transformer")
    assert tiny.is_translation and tiny.config == load("tiny-transformer", runs_of(server)).config
    assert not asking.there("shakespeare-gpt").is_translation
    make_run("changing", "gpt", runs_of(server))
    before = asking.there("changing").stamp
    time.sleep(1.1)  # the Volume's clock has seconds
    make_run("newer", "gpt", runs_of(server), seed=1)
    (runs_of(server) / "newer" / "model.safetensors").replace(runs_of(server) / "changing" / "model.safetensors")
    assert asking.there("changing").stamp != before
    with pytest.raises(RunError, match="no model on Modal yet"):
        asking.there("newer")
    copy = make_run("copy", "gpt", tmp_path / "runs")
    (copy / "remote.json").write_text(json.dumps({"name": "tiny-gpt"}))
    assert asking.there("copy").name == asking.there(str(copy)).name == "tiny-gpt", "a copy of a run there"


def test_runs_that_are_not_there_are_one_sentence(server, tmp_path):
    make_run("mine", "gpt", tmp_path / "runs")
    make_run("shakespeare-gpt", "gpt", tmp_path / "runs")  # hides the bundled one here, so it must not be taken there
    for name, kind, sentence in [
        ("mine", CloudError, "push it first: `llm-scratch push mine`"),
        ("shakespeare-gpt", CloudError, "push it first"),
        (str(tmp_path / "runs" / "mine"), CloudError, "push it first: `llm-scratch push mine`"),
        ("nope", NotThere, "There is no run 'nope' on Modal"), ("../x", RunError, "cannot be a run's name"),
        ("", RunError, "cannot be a run's name"), ("hf:org/name", CloudError, "llm-scratch import hf:org/name"),
    ]:  # fmt: skip
        with pytest.raises(kind, match=sentence):
            asking.there(name)


def test_what_is_wrong_with_modal_is_one_sentence(server, modal_server_elsewhere, monkeypatch):
    with pytest.raises(NotDeployed, match="llm-scratch deploy"):
        asking.write("shakespeare-gpt", ["a"], GREEDY)
    with pytest.raises(NotDeployed, match="llm-scratch deploy"):
        next(asking.stream("shakespeare-gpt", "a", GREEDY))
    monkeypatch.setattr(link, "is_signed_in", lambda: False)
    for act in (lambda: asking.there("tiny-gpt"), lambda: next(asking.stream("tiny-gpt", "a", GREEDY))):
        with pytest.raises(CloudError, match="modal setup"):
            act()


@pytest.fixture
def modal_server_elsewhere(modal_server):
    """Another server, where nothing is deployed."""
    return modal_server


def test_gpus_that_cannot_be(server):
    for gpu, sentence in [("L5", "price table"), ("H100:2", "one GPU")]:
        with pytest.raises(ConfigError, match=sentence):
            asking.write("tiny-gpt", ["a"], GREEDY, gpu)
        with pytest.raises(ConfigError, match=sentence):
            next(asking.stream("tiny-gpt", "a", GREEDY, gpu))


# ------------------------------------------------------------------------------------------------------------ texts


@pytest.mark.parametrize("name", ["tiny-transformer", "shakespeare-gpt"])
def test_texts_are_what_generate_returns(server, name):
    run = load(name, runs_of(server))
    config = GenerationConfig(strategy="beam", num_beams=3, num_return_sequences=2, max_new_tokens=8)
    texts, said = ["a cup of coffee", "long " * 500, "", "Yes."], []
    found = list(asking.written(asking.there(name), texts, config, say=said.append))
    for place in (0, 2, 3):
        same(found[place], generate(run, [texts[place]], config)[0])
    assert "context: shorten it" in found[1]["error"]
    assert said in ([], [asking.WAITING])


def test_cut_texts_and_assistants(server):
    run, helper = load("tiny-gpt", runs_of(server)), load("tiny-llama", runs_of(server))
    texts = ["coffee", "long " * 500, *map(str, range(80))]  # more than one call's
    found = asking.write("tiny-gpt", texts, GREEDY, truncate=True)
    assert [answer["text"] for answer in found] == [g.text for g in generate(run, texts, GREEDY)]
    assert [answer["truncated"] for answer in found[:2]] == [False, True]
    config = GenerationConfig(strategy="assisted", max_new_tokens=8)
    (answer,) = asking.write("tiny-gpt", ["coffee"], config, assistant="tiny-llama")
    same(answer, generate(run, ["coffee"], config, assistant=helper)[0])


def test_the_gpu_that_is_asked_for(server):
    asking.write("tiny-gpt", ["a"], GREEDY, "h100")
    assert ["H100:1"] in [definition.gpus for definition in server.calls.definitions.values()]


# ------------------------------------------------------------------------------------------------------------ files


def test_a_file_by_several_containers_of_which_one_dies(server, tmp_path):
    """Lines that are too long fail; a container that is killed harms no line."""
    run = load("tiny-gpt", runs_of(server))
    lines = ["much too long " * 20 if i % 100 == 50 else f"coffee {i}" for i in range(1_000)]
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("\n".join(lines))
    killed = []

    def kill_once(progress):
        busy = [c for c in server.containers.all if c.running and c.alive]
        if busy and not killed:
            killed.append(busy[0])
            busy[0].kill(signal.SIGKILL)

    mapper = asking.mapper(asking.there("tiny-gpt"), GREEDY, containers=2)
    done = write_file(source, target, mapper, "key", progress=kill_once, lines=40)
    assert killed and (done.lines, done.failed) == (1_000, 10)
    failed = [json.loads(line) for line in failures_file(target).read_text().splitlines()]
    assert [entry["line"] for entry in failed] == list(range(51, 1_000, 100))
    sound = [i for i in range(1_000) if i % 100 != 50]
    expected = dict(zip(sound, generate(run, [lines[i] for i in sound], GREEDY)))
    written = target.read_text(encoding="utf-8").split("\n")
    one_line = {i: g.text.replace("\r", " ").replace("\n", " ") for i, g in expected.items()}
    assert sum(written[i] != one_line.get(i, "") for i in range(1_000)) <= 2, (
        "but for ties that are rounded differently"
    )
    limits = {d.max_containers for d in server.calls.definitions.values() if d.base_id}
    assert 2 in limits


def test_shards_are_sent_as_they_can_be_decoded(server):
    """A file of millions of lines is not read ahead of the containers."""
    sent = read = most = 0

    def tasks():
        nonlocal sent
        for sent in range(1, 101):
            yield sent, [f"coffee {sent}"]

    for _ in asking.mapper(asking.there("tiny-gpt"), GREEDY, containers=1)(tasks()):
        read += 1
        most = max(most, sent - read)
    assert read == 100 and most <= asking.AHEAD + 1


def test_what_no_line_can_be_decoded_with_ends_the_job(server, tmp_path):
    (tmp_path / "in.txt").write_text("a\nb\n")
    there = asking.There("gone", asking.there("tiny-gpt").config, "")
    with pytest.raises(RunError, match="There is no run 'gone'"):
        write_file(tmp_path / "in.txt", tmp_path / "out.txt", asking.mapper(there, GREEDY), "key")
    assert server.asked["FunctionMap"] > 0
    before = server.asked["FunctionMap"]
    (tmp_path / "empty.txt").write_text("")
    assert write_file(tmp_path / "empty.txt", tmp_path / "out.txt", asking.mapper(there, GREEDY), "key").lines == 0
    assert server.asked["FunctionMap"] == before, "where there is nothing to do, nothing is asked for"
    with pytest.raises(ConfigError, match="at least one container"):
        asking.mapper(there, GREEDY, containers=0)


# ---------------------------------------------------------------------------------------------------------- streams


def test_a_stream_is_what_core_streams(server):
    run = load("tiny-gpt", runs_of(server))
    for config in (GREEDY, GenerationConfig(strategy="beam", num_beams=3, max_new_tokens=8)):
        found = list(asking.stream("tiny-gpt", "coffee", config))
        expected = list(stream(run, "coffee", config, trace=True))
        assert [e.hypothesis for e in found] == [e.hypothesis for e in expected]
        assert [e.trace for e in found] == [e.trace for e in expected]
        assert [e.beams for e in found] == [e.beams for e in expected]
        assert found[-1].generation.hypotheses == rescored(run, expected[-1].generation).hypotheses
    with pytest.raises(CloudError, match="temperature must be above 0"):
        list(asking.stream("tiny-gpt", "a", broken()))


def broken():
    """Settings that are refused there."""
    config = GenerationConfig(strategy="best_of", max_new_tokens=4)
    object.__setattr__(config, "temperature", 0.0)
    return config


def test_columns_side_by_side_with_ticks(server):
    configs = [GREEDY, broken(), GenerationConfig(strategy="assisted", max_new_tokens=8)]
    ticks, steps = 0, []
    for step in asking.columns("tiny-gpt", "coffee", configs, assistant="tiny-llama", tick=0.01):
        ticks += step is None
        steps += [step] if step is not None else []
    assert ticks > 0, "a reader that waits can be stopped"
    assert [step.event for step in steps if step.column == 1] == [
        "decode.temperature must be above 0 with the strategy 'best_of', which chooses among samples."
    ]
    assert [[s.event for s in steps if s.column == c][-1].generation.text for c in (0, 2)] == [
        generate(load("tiny-gpt", runs_of(server)), ["coffee"], GREEDY)[0].text
    ] * 2


def test_closing_a_stream_stops_the_work_there(server):
    events = asking.stream("long-gpt", "coffee", LONG)
    for _ in range(3):
        next(events)
    (call,) = [c for c in server.calls.calls.values() if not all(i.done for i in c.inputs.values())]
    events.close()
    assert until(lambda: call.cancelled and all(entry.done for entry in call.inputs.values()))
    assert asking.write("tiny-gpt", ["a"], GREEDY), "and others go on"


def test_a_stream_that_is_left_while_its_container_starts_is_cancelled_when_it_has(server):
    server.scale_down()
    events = asking.columns("long-gpt", "coffee", [LONG], tick=0.01)
    assert until(lambda: next(events) is None and server.calls.queues and any(server.calls.queues.values()))
    (call,) = [c for c in server.calls.calls.values() if not all(i.done for i in c.inputs.values())]
    began = time.monotonic()
    events.close()
    assert time.monotonic() - began < 2, "nobody waits for it"
    assert until(lambda: call.cancelled)


def until(is_true, seconds=30):
    end = time.monotonic() + seconds
    while not (found := is_true()) and time.monotonic() < end:
        time.sleep(0.01)
    return found


def test_a_busy_server_is_waited_for(server, monkeypatch):
    monkeypatch.setattr(pump, "BEAT", 0.1)
    server.hang("FunctionMap")
    steps = asking.columns("tiny-gpt", "coffee", [GREEDY], tick=0.05)
    asked = server.asked["ClassGet"]
    assert until(lambda: next(steps) is None and server.asked["ClassGet"] > asked + 5), (
        "it is asked whether it is there"
    )
    server.recover()
    assert [step.event for step in steps if step is not None][-1].generation is not None


def test_a_network_that_is_gone_is_told(server, monkeypatch):
    monkeypatch.setattr(pump, "BEAT", 0.1)
    monkeypatch.setattr(pump, "BEAT_SECONDS", 0.5)
    monkeypatch.setattr(asking, "PATIENCE", 1)
    there = asking.there("tiny-gpt")
    server.hang("ClassGet")
    for act in (
        lambda: list(asking.stream("tiny-gpt", "coffee", GREEDY)),
        lambda: list(asking.written(there, ["coffee"], GREEDY)),
        lambda: list(asking.mapper(there, GREEDY)(iter([(1, ["coffee"])]))),
        lambda: list(evaluating(there, Request(documents=("coffee",)), keep=False)),
    ):
        with pytest.raises(CloudError, match="did not answer"):
            act()


def test_nothing_for_very_long_ends_too(server, monkeypatch):
    monkeypatch.setattr(pump, "BEAT", 0.1)
    monkeypatch.setattr(pump, "LONGEST", 1.0)
    server.hang("FunctionMap")
    with pytest.raises(CloudError, match="modal.com/apps"):
        list(asking.stream("tiny-gpt", "coffee", GREEDY))


def test_modal_refuses(server):
    server.fail("FunctionMap", Status.RESOURCE_EXHAUSTED, "spending limit reached")
    with pytest.raises(CloudError, match="limit for this account is reached .spending limit reached"):
        list(asking.stream("tiny-gpt", "coffee", GREEDY))
    with pytest.raises(CloudError, match="spending limit"):
        list(evaluating(asking.there("tiny-gpt"), Request(documents=("coffee",)), keep=False))


# ------------------------------------------------------------------------------------------------------- evaluation


PAIRS = (("Yes.", "コーヒー"), ("a cup", "コーヒーを一杯"), ("", "茶"), ("tea", "茶"))


def finished(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def scores_of(evaluation):
    """What is the same here and there."""
    names = ("kind", "examples", "scores", "tokens", "loss_per_token", "numbers", "length_classes", "state", "decode",
             "data_sha256", "weights_sha256", "tokenizer_sha256", "precision", "tokens_written")  # fmt: skip
    return {name: getattr(evaluation, name) for name in names} | {"texts": [o.output for o in outputs_of(evaluation)]}


def test_an_evaluation_is_what_it_is_here(server, tmp_path):
    here, runs = load("tiny-transformer", runs_of(server)), tmp_path / "runs"
    request = Request(pairs=PAIRS, title="words", decode=GREEDY)
    found = finished(evaluating(asking.there("tiny-transformer"), request, runs))
    assert scores_of(found) == scores_of(measured(here, request, keep=False))
    assert (found.place, found.device) == ("modal", "cpu") and found.stamp and "--on=modal" in found.command
    (listed,) = list_evaluations(runs)
    assert listed.evaluation == found and listed.directory == runs / ".evaluations" / "tiny-transformer" / found.id

    texts = Request(documents=("The function returns.", "a cup of coffee"), max_examples=1, stride=5)
    found = finished(evaluating(asking.there("tiny-gpt"), texts, runs, gpu="T4"))
    assert scores_of(found) == scores_of(measured(load("tiny-gpt", runs_of(server)), texts, keep=False))
    assert found.id != finished(evaluating(asking.there("tiny-gpt"), replace(texts, stride=4), runs, keep=False)).id
    with pytest.raises(DataError, match="There is no file notes.txt"):
        finished(evaluating(asking.there("tiny-gpt"), runs_dir=runs))
    with pytest.raises(ConfigError, match="assistant"):
        finished(evaluating(asking.there("tiny-transformer"),
                            replace(request, decode=GenerationConfig(strategy="assisted"))))  # fmt: skip


def test_an_evaluation_goes_on_and_takes_more_metrics(server, tmp_path):
    """What has come is not asked for again; with all of it there, nothing is asked."""
    there, runs = asking.there("tiny-transformer"), tmp_path / "runs"
    request = Request(pairs=PAIRS, title="words", decode=GREEDY, metrics=("bleu",))
    whole = finished(evaluating(there, request, runs))
    (listed,) = list_evaluations(runs)
    store.write_evaluation(listed.directory, replace(whole, state="stopped", scores={}, loss_per_token=None, tokens=0))
    store.write_outputs(listed.directory, {o.number: replace(o, output="kept") for o in outputs_of(whole)})
    found = finished(evaluating(there, request, runs))
    assert {output.output for output in outputs_of(found)} == {"kept"} and found.state == "done"
    assert found.loss_per_token == whole.loss_per_token

    before = len(server.calls.calls)
    more = finished(evaluating(there, replace(request, metrics=("chrf",)), runs))
    assert set(more.scores) == {"bleu", "chrf"} and len(server.calls.calls) == before


@pytest.mark.parametrize("ends", ["interrupted", "closed"])
def test_an_evaluation_that_ends_early_is_cancelled_there(server, monkeypatch, ends):
    def calls():
        return list(server.calls.calls.values())[before:]

    before = len(server.calls.calls)
    documents = ("The function returns. " * 200,) * 2_000
    steps = evaluating(asking.there("tiny-gpt"), Request(documents=documents, stride=1), keep=False)
    until(lambda: next(steps).done > 0)
    if ends == "closed":
        steps.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            steps.throw(KeyboardInterrupt)
    (call,) = calls()
    assert until(lambda: call.cancelled)
