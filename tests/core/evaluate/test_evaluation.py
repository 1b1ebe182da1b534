"""Whole evaluations: what they give, that they go on where they ended, and that their command does them again."""

import json
import os
import shlex
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from core.config import RunConfig
from core.decode import many
from core.decode.config import GenerationConfig
from core.errors import ConfigError, DataError, RunError
from core.evaluate import decoding, evaluate, store
from core.evaluate.evaluation import evaluating, measured
from core.evaluate.keeping import kept
from core.evaluate.language import evaluate_language
from core.evaluate.repeat import reading_again
from core.evaluate.request import Evaluation, Request
from core.evaluate.store import list_evaluations, load_evaluation, outputs_of
from core.files import append_jsonl
from core.run import load
from core.runs_admin import delete_run, rename_run
from playground import cli
from tests.playground.conftest import make_run

WORDS = ["tea", "coffee", "a cup", "light", "the function", "コーヒー", "𝒳 ", "", "what?", "tab\there"]
PAIRS = tuple((f"{a} {b}", f"{b}を{a}") for a in WORDS for b in WORDS[:4])
TEXTS = ("The function returns a cup of coffee.\n" * 12, "What light is this?", "  ", "コーヒー 𝒳")
REQUEST = Request(pairs=PAIRS, title="words")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(many, "ROWS", 6)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, family in (("small", "transformer"), ("writer", "gpt")):
        make_run(name, family, folder)
    return folder


@pytest.fixture
def runs(made, tmp_path, monkeypatch):
    """A runs directory of this test's own."""
    import shutil

    shutil.copytree(made, tmp_path / "runs")
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    return tmp_path / "runs"


def stopped(run, request, runs, outputs=1, **options):
    """Begin, and stop after so many batches, or parts of a text."""
    with closing(evaluating(run, request, runs, **options)) as steps:
        seen = set()
        for progress in steps:
            seen.add(progress.done)
            if len(seen - {0}) >= outputs:
                return progress
    raise AssertionError("it was not stopped")


def ended(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def texts(evaluation):
    return [output.output for output in outputs_of(evaluation)]


# ---------------------------------------------------------------------------------------------------- what comes out


def test_it_is_what_evaluate_gives_and_what_sacrebleus_command_line_gives(runs, tmp_path):
    run = load("small", runs)
    pairs = tuple(pair for pair in PAIRS if "\t" not in pair[0] and pair[1].strip())
    found = measured(run, Request(pairs=pairs, language="ja", metrics=("bleu", "chrf", "ter", "exact")), runs)
    from core.data.corpus import Pair

    expected = evaluate(run, [Pair(*pair) for pair in pairs])
    assert texts(found) == expected["hypotheses"] and found.state == "done" and found.done == len(pairs)
    for name in ("bleu", "chrf"):
        assert found.scores[name].score == pytest.approx(expected[name], abs=1e-9)
        assert found.scores[name].signature == expected[f"{name}_signature"]
    assert found.loss_per_token == pytest.approx(expected["loss_per_token"], rel=1e-6)
    assert found.tokens == expected["tokens"] and found.perplexity == pytest.approx(expected["perplexity"], rel=1e-6)
    assert sum(part.examples for part in found.length_classes) == len(pairs)
    assert found.tokens_written == sum(output.tokens for output in outputs_of(found)) > 0 and found.seconds > 0
    (tmp_path / "hyp").write_text("".join(text.replace("\n", " ") + "\n" for text in texts(found)), encoding="utf-8")
    (tmp_path / "ref").write_text("".join(pair[1] + "\n" for pair in pairs), encoding="utf-8")
    tok = found.scores["bleu"].signature.partition("tok:")[2].partition("|")[0]
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-m", "bleu", "chrf", "ter", "-tok", tok]
    command += ["--ter-asian-support", "--ter-normalized", "-w", "12", "--format", "json"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    for ours, theirs in zip(("bleu", "chrf", "ter"), json.loads(told.stdout), strict=True):
        assert found.scores[ours].score == pytest.approx(theirs["score"], abs=1e-6), ours
        assert found.scores[ours].signature == theirs["signature"]


def test_of_a_language_model_it_is_what_evaluate_language_gives(runs):
    run = load("writer", runs)
    for context, stride in ((0, 0), (16, 5), (48, 1)):
        found = measured(run, Request(documents=TEXTS, context=context, stride=stride), runs)
        expected = evaluate_language(run, TEXTS, context=context, stride=stride)
        assert found.loss_per_token == pytest.approx(expected["loss_per_token"], rel=1e-6)
        for name in ("bits_per_byte", "bits_per_token", "words", "bytes"):
            assert found.numbers[name] == pytest.approx(expected[name], rel=1e-6), name
        assert (found.context, found.stride, found.tokens) == (context or 48, stride or 48, expected["tokens"])
        losses = store.read_losses(store.find_evaluation(found.id, runs))
        assert len(losses) == found.tokens and float(losses.mean()) == pytest.approx(found.loss_per_token, rel=1e-5)


def test_drawn_translations_are_the_same_again(runs):
    config = GenerationConfig(strategy="sample", top_p=0.9, seed=3, max_new_tokens=6)
    request, run = replace(REQUEST, decode=config), load("small", runs)
    first = measured(run, request, runs)
    again = measured(run, request, runs, again=True)
    assert texts(again) == texts(first) and again.scores == first.scores and again.id == first.id
    other = measured(run, replace(request, decode=replace(config, seed=4)), runs)
    assert texts(other) != texts(first) and other.id != first.id


def test_assisted_it_gives_what_greedy_gives(runs):
    run = load("small", runs)
    greedy, assisted = (GenerationConfig(strategy=name, max_new_tokens=6) for name in ("greedy", "assisted"))
    plain = measured(run, replace(REQUEST, decode=greedy), runs, keep=False)
    helped = measured(run, replace(REQUEST, decode=assisted, assistant="small"), runs, keep=False)
    assert texts(helped) == texts(plain) and helped.assistant_sha256 == helped.weights_sha256


def test_batches_side_by_side_give_the_same(runs):
    """Threads change neither the translations nor PyTorch's number of threads; closing and errors end them all."""
    import threading

    import torch

    run, sources, before = load("small", runs), [pair[0] for pair in PAIRS], torch.get_num_threads()
    alone, three = (
        {
            line.number: line.output
            for batch in decoding.translated(run, sources, workers=workers)
            for line in batch or ()
        }
        for workers in (1, 3)
    )
    assert alone == three and sorted(alone) == list(range(len(PAIRS))) and torch.get_num_threads() == before
    steps = decoding.translated(run, sources, workers=3)
    next(steps)
    steps.close()
    with pytest.raises(ConfigError, match="assistant"):
        list(decoding.translated(run, sources, GenerationConfig(strategy="assisted"), workers=3))
    assert not [thread for thread in threading.enumerate() if thread.name == "decoding"]


# ------------------------------------------------------------------------------------------------ kept and gone on with


def test_other_metrics_decode_nothing(runs, monkeypatch):
    run = load("small", runs)
    first = measured(run, replace(REQUEST, metrics=("bleu",)), runs)
    assert set(first.scores) == {"bleu"}
    before = (store.find_evaluation(first.id, runs) / store.OUTPUTS).read_bytes()

    def decoded(*arguments):
        raise AssertionError("decoded again")

    monkeypatch.setattr("core.evaluate.work.translated", decoded)
    more = measured(run, replace(REQUEST, metrics=("ter", "chrf")), runs)
    assert set(more.scores) == {"bleu", "ter", "chrf"} and more.id == first.id and more.created == first.created
    assert (store.find_evaluation(first.id, runs) / store.OUTPUTS).read_bytes() == before
    assert load_evaluation(first.id[:6], runs).scores == more.scores
    with pytest.raises(AssertionError, match="decoded again"):
        measured(run, REQUEST, runs, again=True)


def test_a_stopped_one_goes_on(runs, monkeypatch):
    run = load("small", runs)
    whole = measured(run, REQUEST, runs, keep=False)
    progress = stopped(run, REQUEST, runs, outputs=3)
    (listed,) = list_evaluations(runs)
    assert listed.evaluation.state == "stopped" and listed.evaluation.done == progress.done < len(PAIRS)
    directory = listed.directory
    (directory / store.OUTPUTS).open("ab").write(b'{"number": 0, "source": "half a li')  # as a kill leaves it
    translated, asked = decoding.translated, []

    def counted(run, sources, config, assistant, done):
        asked.append(len(done))
        return translated(run, sources, config, assistant, done)

    monkeypatch.setattr("core.evaluate.work.translated", counted)
    found = measured(run, REQUEST, runs)
    assert asked == [progress.done], "what is there is not decoded again"
    assert texts(found) == texts(whole) and found.scores == whole.scores and found.state == "done"
    numbers = [json.loads(line)["number"] for line in (directory / store.OUTPUTS).read_text("utf-8").splitlines()]
    assert numbers == list(range(len(PAIRS))), "in the data's order in the end"


def test_a_language_models_goes_on_to_the_bit(runs):
    run = load("writer", runs)
    long = Request(documents=TEXTS * 40, context=24, stride=7)
    whole = measured(run, replace(long, title="whole"), runs)
    losses = store.read_losses(store.find_evaluation(whole.id, runs))
    for parts, cut in ((1, 0), (2, 3), (2, 25)):
        store.delete_evaluation(whole.id, runs)
        stopped(run, long, runs, outputs=parts)
        directory = store.find_evaluation(whole.id, runs)
        path = directory / store.LOSSES
        os.truncate(path, path.stat().st_size - cut)  # killed in the middle of a write
        assert 0 < path.stat().st_size < 4 * len(losses)
        found = measured(run, long, runs)
        assert np.array_equal(store.read_losses(directory), losses)
        assert found.loss_per_token == whole.loss_per_token and found.numbers == whole.numbers


def test_a_process_that_is_killed_harms_nothing(runs):
    code = (
        "import os, sys\n"
        "from core.decode import many; many.ROWS = 6\n"
        "from core.evaluate.evaluation import evaluating\n"
        "from core.run import load\n"
        "from tests.core.evaluate.test_evaluation import REQUEST\n"
        "for progress in evaluating(load('small'), REQUEST):\n"
        "    if progress.done > 10: os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "RUNS_DIR": str(runs)})
    assert done.returncode == -9
    (listed,) = list_evaluations(runs)
    assert listed.evaluation.state == "stopped" and 10 < listed.evaluation.done < len(PAIRS)
    run = load("small", runs)
    assert texts(measured(run, REQUEST, runs)) == texts(measured(run, REQUEST, keep=False))


def test_one_process_at_a_time(runs):
    run = load("small", runs)
    with closing(evaluating(run, REQUEST, runs)) as steps:
        while next(steps).done == 0:
            pass
        with pytest.raises(RunError, match="being made right now"):
            measured(run, REQUEST, runs)
        with pytest.raises(RunError, match="being made right now"):
            store.delete_evaluation(list_evaluations(runs)[0].id, runs)
        assert measured(run, replace(REQUEST, max_examples=3), runs).done == 3, "another one is free"
    assert measured(run, REQUEST, runs).state == "done"


def test_a_run_that_is_deleted_meanwhile(runs):
    run = load("small", runs)
    run.model  # noqa: B018 - read from disk
    steps = evaluating(run, REQUEST, runs)
    while next(steps).done == 0:
        pass
    delete_run("small", runs)
    with pytest.raises(RunError, match="deleted or renamed"):
        for _ in steps:
            pass
    assert not (runs / "small").exists()
    with pytest.raises(RunError):
        measured(run, REQUEST, runs)


@pytest.mark.parametrize("takes", [0, 7], ids=["nothing", "a part"])
def test_a_full_disk_is_said_and_gone_on_from(runs, monkeypatch, takes):
    """The second batch finds no room, or room for a few bytes."""
    import errno

    opened = []

    class Full:
        def __init__(self, path, mode, **options):
            opened.append(path)
            self.file = open(path, mode, **options)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, data):
            if len(opened) < 2:
                return self.file.write(data)
            if not takes:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data[:takes])

    run = load("small", runs)
    with monkeypatch.context() as patch:
        appending = lambda path, mode, **o: Full(path, mode, **o) if mode == "ab" else open(path, mode)  # noqa: E731
        patch.setattr(store, "open", appending, raising=False)
        with pytest.raises(RunError, match="no space left on the disk for outputs.jsonl"):
            measured(run, REQUEST, runs)
    part = len(store.read_outputs(list_evaluations(runs)[0].directory))
    assert 0 < part < len(PAIRS)
    assert texts(measured(run, REQUEST, runs)) == texts(measured(run, REQUEST, runs, keep=False))


def test_weights_that_were_trained_further_are_another_evaluation(runs, tmp_path):
    first = measured(load("small", runs), REQUEST, runs)
    other = make_run("other", "transformer", tmp_path / "elsewhere", seed=9)
    os.replace(other / "model.safetensors", runs / "small" / "model.safetensors")
    second = measured(load("small", runs), REQUEST, runs)
    assert second.id != first.id and second.weights_sha256 != first.weights_sha256
    assert {listed.id for listed in list_evaluations(runs, "small")} == {first.id, second.id}
    told = subprocess.run(["sha256sum", runs / "small" / "model.safetensors"], capture_output=True, text=True)
    assert told.stdout.split()[0] == second.weights_sha256


def test_where_they_are_kept(runs, tmp_path):
    own = measured(load("small", runs), REQUEST, runs)
    assert store.find_evaluation(own.id, runs).parent == runs / "small" / "evaluations"
    rename_run("small", "renamed", runs)
    assert load_evaluation(own.id, runs).run == "renamed"
    elsewhere = load(str(make_run("far", "transformer", tmp_path / "elsewhere")))
    found = measured(elsewhere, replace(REQUEST, max_examples=2), runs)
    assert store.find_evaluation(found.id, runs).parent == runs / ".evaluations" / "far"
    assert not (tmp_path / "elsewhere" / "far" / "evaluations").exists()
    assert f"--run={tmp_path / 'elsewhere' / 'far'}" in found.command
    assert measured(elsewhere, REQUEST, runs, keep=False).directory == "" and len(list_evaluations(runs)) == 2
    store.delete_evaluation(found.id, runs)
    assert [listed.id for listed in list_evaluations(runs)] == [own.id]


# --------------------------------------------------------------------------------------------------------- done again


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST,
        replace(REQUEST, metrics=("chrf", "exact"), max_examples=7),
        replace(REQUEST, decode=GenerationConfig(strategy="beam", num_beams=3, length_penalty=0.6, max_new_tokens=5)),
        replace(REQUEST, decode=GenerationConfig(strategy="sample", top_k=7, seed=2, max_new_tokens=5)),
        replace(REQUEST, decode=GenerationConfig(strategy="assisted", max_new_tokens=4), assistant="small"),
        Request(documents=TEXTS[:2], stride=5),
        Request(documents=TEXTS, context=16),
    ],
    ids=lambda request: (
        "-".join(filter(None, [request.decode and request.decode.strategy, *request.metrics])) or "text"
    ),
)
def test_the_command_and_the_python_do_it_again(runs, capsys, request_):
    run = load("small" if request_.pairs else "writer", runs)
    found = measured(run, request_, runs)
    for again in ((), ("--again",)):
        code = cli.main([*shlex.split(found.command)[1:], "--json", *again])
        told = capsys.readouterr()
        assert code == 0, told.err
        result = json.loads(told.out)
        assert result["id"] == found.id
        assert {name: result[name] for name in found.scores} == {n: s.score for n, s in found.scores.items()}
        assert result["loss_per_token"] == found.loss_per_token
    names: dict = {}
    exec(found.python, names)
    assert names["evaluation"].id == found.id and names["evaluation"].scores == found.scores


def test_files_that_are_named_are_named_again(runs, tmp_path, capsys):
    (tmp_path / "a file").write_text("tea\na cup\n")
    (tmp_path / "ref").write_text("コーヒー\n茶\n", encoding="utf-8")
    found = measured(load("small", runs), Request(src=str(tmp_path / "a file"), ref=str(tmp_path / "ref")), runs)
    assert cli.main([*shlex.split(found.command)[1:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == found.id
    assert not (store.find_evaluation(found.id, runs) / store.DATA).exists()


# ------------------------------------------------------------------------------------------------------ what is refused


def test_what_cannot_be_is_one_sentence(runs):
    small, writer = load("small", runs), load("writer", runs)
    for run, request, said in [
        (small, Request(documents=("a",)), "sources and references"),
        (writer, Request(pairs=PAIRS), "language model"),
        (small, Request(pairs=()), "empty"),
        (writer, Request(documents=(" ", "\n")), "empty"),
        (writer, Request(documents=("text",), context=1_000), "context"),
        (writer, Request(documents=("text",), stride=49), "stride"),
        (small, Request(data="nowhere.csv"), "nowhere.csv"),
        (small, replace(REQUEST, decode=GenerationConfig(strategy="assisted")), "assistant"),
    ]:
        with pytest.raises((DataError, ConfigError), match=said):
            measured(run, request, runs)
    for values in ({"metrics": ("blue",)}, {"max_examples": -1}, {"src": "a"}, {"data": "a", "documents": ("b",)}):
        with pytest.raises(ConfigError):
            Request(**values)


def test_weights_that_give_no_numbers_are_said(runs):
    import torch

    run = load("writer", runs)
    with torch.no_grad():
        run.model.token_embedding.weight.fill_(float("nan"))
    with pytest.raises(DataError, match="no numbers"):
        measured(run, Request(documents=("text",)), runs)


BROKEN = {
    "no JSON": "{",
    "no object": "[1]",
    "unknown key": lambda v: {**v, "more": 1},
    "not a number": lambda v: {**v, "seconds": float("nan")},
    "a wrong type": lambda v: {**v, "scores": {"bleu": {"score": "high", "signature": ""}}},
    "another id": lambda v: {**v, "id": "0" * 12},
    "another version": lambda v: {**v, "version": 99},
    "a path": lambda v: {**v, "directory": "/etc"},
    "a time that cannot be": lambda v: {**v, "created": 1e300},
    "a negative count": lambda v: {**v, "examples": -1},
    "a number of thousands of digits": '{"id": ' + "9" * 5_000 + "}",
    "nested too deep": '{"id": ' + "[" * 100_000,
    "an overlap without a sentence": lambda v: {**v, "overlap": {"pairs": 1}},
    "columns that are none": lambda v: {**v, "degeneration": {"columns": [{"title": "greedy"}]}},
    "settings that cannot be": lambda v: {**v, "decode": {"top_p": 7}},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_broken_ones_are_told_not_crashed_on(runs, change):
    run = load("small", runs)
    found = measured(run, REQUEST, runs)
    sound = measured(run, replace(REQUEST, max_examples=2), runs)
    path = store.find_evaluation(found.id, runs) / store.RESULT
    text = change if isinstance(change, str) else json.dumps(change(json.loads(path.read_text(encoding="utf-8"))))
    path.write_text(text, encoding="utf-8")
    listed = {entry.id: entry for entry in list_evaluations(runs)}
    assert listed[found.id].error and listed[found.id].evaluation is None and listed[sound.id].evaluation == sound
    with pytest.raises(RunError):
        load_evaluation(found.id, runs)
    assert measured(run, REQUEST, runs).scores == found.scores, "made anew of the outputs that are there"


def test_outputs_are_read_strictly(runs):
    run = load("small", runs)
    found = measured(run, REQUEST, runs)
    directory = store.find_evaluation(found.id, runs)
    for line in ({"number": -1, "source": "", "reference": "", "output": ""}, {"number": "1"}, {"number": 10**9}):
        append_jsonl(directory / store.OUTPUTS, line)
    line = b'{"number": 0, "source": "", "reference": "", "output": "", "tokens": %b, "logprob": %b}\n'
    hostile = [line % values for values in ((b"1e999", b"0"), (b"1", b"NaN"), (b"9" * 5_000, b"0"), (b"1", b"9" * 400))]
    hostile += [b"\xff\xfe\n[]\nnull\n", b"[" * 100_000 + b"\n"]
    with (directory / store.OUTPUTS).open("ab") as file:
        file.writelines(hostile)
    assert texts(load_evaluation(found.id, runs)) == texts(found)


def test_outputs_that_were_lost_are_told_and_made_anew(runs):
    run = load("small", runs)
    found = measured(run, REQUEST, runs)
    path = store.find_evaluation(found.id, runs) / store.OUTPUTS
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(RunError, match=f"{len(PAIRS) - 1} of {len(PAIRS)}"):
        store.outputs_of(load_evaluation(found.id, runs))
    assert texts(measured(run, REQUEST, runs)) == texts(found)


def test_losses_that_cannot_be_are_measured_again(runs):
    run, asked = load("writer", runs), Request(documents=TEXTS * 10, context=24, stride=7)
    whole = measured(run, asked, runs)
    directory = store.find_evaluation(whole.id, runs)
    for wrong in (np.nan, -1.0, 1e30):
        losses = store.read_losses(directory)
        losses[40] = wrong
        (directory / store.LOSSES).write_bytes(losses.astype("<f4").tobytes())
        store.write_evaluation(directory, replace(whole, state="stopped", loss_per_token=None))
        assert measured(run, asked, runs).loss_per_token == whole.loss_per_token


def test_what_only_a_container_knew_is_still_known_when_nothing_is_left_to_do(tmp_path):
    plan = Evaluation("0" * 12, "language", "far", 1.0, device="L4", place="modal")
    facts = {"examples": 3, "data_sha256": "d", "weights_sha256": "w", "device": "NVIDIA L4", "precision": "bfloat16"}
    told = [facts, {"total": 2}, np.ones(2, np.float32), {"loss_per_token": 1.0, "perplexity": 2.7, "tokens": 2}]
    directory = tmp_path / ".evaluations" / "far" / plan.id
    first = ended(kept(plan, directory, lambda known, losses: iter(told)))
    assert first.weights_sha256 == "w" and first.total == 2
    assert ended(kept(replace(plan, created=2.0), directory, lambda known, losses: iter(()))) == first


def test_given_texts_are_read_again_as_they_were(runs):
    run = load("writer", runs)
    for texts_ in (("a\r\nb\rc",), ("\ud800 x", "\ufeffline\u2028sep"), (" tea \n\n", "tea", "tea", "\x85 \x1c.")):
        found = measured(run, Request(documents=texts_), runs)
        assert measured(run, reading_again(found), runs).id == found.id


def test_the_language_tells_what_words_are(runs):
    run = load("writer", runs)
    words = measured(run, Request(documents=("one two three",)), runs)
    again = measured(run, Request(documents=("one two three",), language="ja"), runs)
    assert again.id == words.id and again.loss_per_token == words.loss_per_token
    assert words.numbers["words"] == 3 and again.numbers["words"] is None


def test_what_is_not_kept_writes_nothing(runs):
    before = sorted(runs.rglob("*"))
    measured(load("small", runs), REQUEST, runs, keep=False)
    assert sorted(runs.rglob("*")) == before


@pytest.mark.parametrize("id", ["..", "../../etc", "", "abc", "zzzz", "0" * 13, "ABCD"])
def test_ids_cannot_point_elsewhere(runs, id):
    for act in (load_evaluation, store.delete_evaluation, store.find_evaluation):
        with pytest.raises(RunError):
            act(id, runs)


def test_plain_values_and_back(runs):
    found = measured(load("small", runs), replace(REQUEST, metrics=("bleu",)), runs)
    values = json.loads(json.dumps(found.to_dict()))
    assert Evaluation.from_dict(values, store.find_evaluation(found.id, runs)) == found
    assert isinstance(found.decode, GenerationConfig) and isinstance(RunConfig().decode, GenerationConfig)


def test_what_is_fewer_than_asked_for_is_not_called_the_first_so_many(runs):
    run, pairs = load("small"), (("coffee", "コーヒー"), ("a cup", "一杯"))
    requests = [Request(pairs=pairs, title="typed", max_examples=most) for most in (0, 1, 3)]
    names = [measured(run, request, runs, keep=False).data for request in requests]
    assert names == ["typed", "typed, the first 1", "typed"]
