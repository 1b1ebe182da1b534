"""`llm-scratch attention ACTION`: one JSON document that agrees with the functions, or one sentence."""

import csv
import json
import shutil

import numpy as np
import pytest

from core.analysis.alignment import alignment_scores
from core.analysis.head_scores import SCORES, induction_on_repeats
from core.analysis.look import look
from core.analysis.reading import read
from core.analysis.rollout import layer_mean, rollout
from core.analysis.snapshots import through_training
from core.analysis.survey import survey
from core.data.grammar import held_out
from core.files import write_text
from core.model import build_model
from core.run import load, save_model
from playground import cli, cli_attention

TEXT = "the cup of the cup <script>コーヒー"
TARGET = "コーヒーを一杯"


@pytest.fixture
def call(capsys, runs):
    """call(*arguments) -> exit code, stdout, stderr."""

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def answer(call):
    def run(*arguments):
        code, out, err = call("attention", *arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


@pytest.fixture
def readings(runs):
    """Every small model's reading of the same text."""
    return {
        "tiny-transformer": read(load("tiny-transformer"), TEXT, TARGET),
        "tiny-gpt": read(load("tiny-gpt"), TEXT),
        "tiny-llama": read(load("tiny-llama"), TEXT),
    }


def words(reading):
    """What the command is told so that it reads the same."""
    return [TEXT, "--run", reading.run.name, *(["--target", TARGET] if reading.is_translation else [])]


def same(found, wanted):
    """JSON's numbers against an array; null stands for what is not defined."""
    np.testing.assert_allclose(np.array(found, dtype=float), wanted, rtol=1e-6, atol=1e-7)


def one_sentence(code, out, err):
    assert code == 1 and out == "" and err.count("\n") == 1 and "Traceback" not in err, (out, err)
    return err


def test_a_map_is_the_heads_attention(answer, readings):
    for reading in readings.values():
        for kind in reading.kinds:
            place = [*words(reading), "--kind", kind]
            layer, head = reading.n_layers(kind) - 1, 2
            found = answer("map", *place, "--layer", layer + 1, "--head", head + 1)
            same(found["attention"], reading.attention(kind, layer, head))
            assert (found["queries"], found["keys"]) == (reading.queries(kind), reading.keys(kind))
            assert found["written"] == (None if kind == "encoder" else reading.written)
            shared = 2 if reading.run.name == "tiny-llama" else None  # of two, by the third of four heads
            assert (found["layer"], found["head"], found["key_value_head"]) == (layer + 1, head + 1, shared)
            same(answer("map", *place, "--layer", layer + 1)["attention"], layer_mean(reading, kind, layer))
            same(answer("map", *place)["attention"], survey(reading, kind).mean)
            same(answer("rollout", *place)["attention"], rollout(reading, kind))


def test_heads_are_the_surveys_scores(answer, readings):
    for reading in readings.values():
        for kind in reading.kinds:
            found = answer("heads", *words(reading), "--kind", kind)
            scores = survey(reading, kind).scores
            assert list(found["scores"]) == list(scores) == list(found["formulas"])
            for name, values in scores.items():
                same(found["scores"][name], values)
                assert found["formulas"][name] == SCORES[name].formula
    assert list(SCORES) == cli_attention.SCORES  # written there once more, so that help comes at once
    found = answer("heads", "--run", "tiny-gpt", "--repeats")
    same(found["scores"]["induction"], induction_on_repeats(load("tiny-gpt")))
    once = answer("heads", "a", "--run", "tiny-gpt")["scores"]  # nothing is repeated
    assert set(sum(once["induction"], [])) == {None}


def test_heads_are_sorted_for_people(call, readings):
    code, out, _ = call("attention", "heads", *words(readings["tiny-gpt"]), "--sort", "distance")
    rows = [line.split() for line in out.splitlines()[2:10]]
    column = out.splitlines()[1].split().index("distance")
    found = [float(row[column]) for row in rows]
    assert code == 0 and found == sorted(found, reverse=True)
    best = np.unravel_index(np.argmax(survey(readings["tiny-gpt"], "self").scores["distance"]), (2, 4))
    assert [int(number) - 1 for number in rows[0][:2]] == list(best)


def test_a_look_is_the_way_from_scores_to_weights(answer, call, readings):
    for reading in readings.values():
        for kind in reading.kinds:
            query = len(reading.queries(kind)) // 2
            place = ["look", *words(reading), "--kind", kind, "--layer", 2, "--head", 3, "--query", query]
            found, wanted = answer(*place), look(reading, kind, 1, 2, query)
            for name, values in (
                ("dot", wanted.dots), ("score", wanted.scores), ("weight", wanted.weights),
                ("value_norm", wanted.value_norms), ("k", wanted.k), ("products", wanted.products),
            ):  # fmt: skip
                same([key[name] for key in found["keys"]], values)
            assert found["key_value_head"] == (2 if reading.run.name == "tiny-llama" else None)
            assert [not key["hidden"] for key in found["keys"]] == wanted.visible.tolist()
            same(found["output"], wanted.output)
            weights = [key["weight"] for key in found["keys"]]
            np.testing.assert_allclose(weights, reading.attention(kind, 1, 2)[query], atol=1e-5)  # float32
            assert [key["token"] for key in found["keys"]] == reading.keys(kind)
            assert (found["query"], [key["position"] for key in found["keys"]]) == (query, list(range(len(weights))))
    code, out, _ = call("attention", *place, "--key", 1)
    assert code == 0 and f"what each dimension adds to q·k of {reading.keys(kind)[1]} (1)" in out


def test_align_is_the_alignment_error(answer):
    run = load("tiny-transformer")
    for rows in ("written", "read"):
        found = answer("align", "--run", "tiny-transformer", "--examples", 4, "--rows", rows)
        wanted = alignment_scores(run, held_out(4)[1], rows=rows)
        same(found["aer"]["by_head"], wanted.by_head)
        same(found["aer"]["by_layer"], wanted.by_layer)
        same(found["aer"]["diagonal"], wanted.diagonal)
        assert found["best"] == {"layer": wanted.best[0] + 1, "head": wanted.best[1] + 1}
        assert (found["sentences"], found["left_out"]) == (wanted.sentences, wanted.left_out)


@pytest.mark.parametrize("name", ["tiny-gpt", "tiny-transformer"])
def test_training_is_the_scores_of_every_snapshot(answer, call, small_runs, tmp_path, name):
    directory = tmp_path / name
    shutil.copytree(small_runs / name, directory)
    (directory / "snapshots").mkdir()
    run = load(str(directory))
    for step in (10, 20):
        save_model(build_model(run.config.model), directory / "snapshots" / f"step-{step}.safetensors", half=True)
    write_text(directory / "metrics.jsonl", '{"step": 5, "loss": 3.5}\n{"step": 20, "val_loss": 2.5}\n')
    kind, target = ("cross", TARGET) if run.is_translation else ("self", None)
    layers = {"encoder": run.config.model.n_encoder_layers, "self": run.config.model.n_layers}
    arguments = ["training", TEXT, "--run", directory, "--examples", 3, *(["--target", target] if target else [])]
    found = answer(*arguments, "--output", tmp_path / "steps.csv")
    examples = held_out(3)[1] if run.is_translation else []
    wanted = list(through_training(run, TEXT, kind, target, examples))
    assert found["kind"] == kind and [step["step"] for step in found["steps"]] == [10, 20]
    assert [(step["train_loss"], step["val_loss"]) for step in found["steps"]] == [(3.5, None), (3.5, 2.5)]
    for step, scores in zip(found["steps"], wanted, strict=True):
        for score, values in scores.scores.items():
            same(step["scores"][score], values)
        more, array = ("alignment_error", scores.alignment) if target else ("induction_on_repeats", scores.induction)
        same(step["scores"][more], array.by_head if target else array)
    rows = list(csv.DictReader((tmp_path / "steps.csv").open(encoding="utf-8", newline="")))
    assert len(rows) == 2 * wanted[0].scores["entropy"].size
    same([row["entropy"] for row in rows], np.concatenate([step.scores["entropy"].reshape(-1) for step in wanted]))
    code, out, _ = call("attention", *arguments)
    assert code == 0 and len(out.splitlines()) == 4 and (more in out)
    for other in ("encoder", "self") if run.is_translation else ():  # no errors of cross-attention beside their heads
        own = answer("training", TEXT, "--run", directory, "--target", TARGET, "--kind", other)["steps"][0]["scores"]
        assert "alignment_error" not in own and np.shape(own["entropy"])[0] == layers[other]
    long = answer("training", "a cup " * 200, "--run", directory, "--examples", 0)
    assert "are read" in long["notes"][0] and (long["target"] is not None) == run.is_translation
    shutil.rmtree(directory / "snapshots")
    assert "kept no snapshots" in one_sentence(*call("attention", *arguments))


def test_numbers_go_into_a_file(call, readings, tmp_path):
    reading = readings["tiny-gpt"]
    place = ["attention", "map", *words(reading), "--layer", 1, "--head", 1]
    code, out, err = call(*place, "--output", tmp_path / "map.csv")
    assert code == 0 and out and err == f"The numbers are in {tmp_path / 'map.csv'}.\n"
    header, *rows = csv.reader((tmp_path / "map.csv").open(encoding="utf-8", newline=""))
    assert header[1:] == [f"{name} {j}" for j, name in enumerate(reading.keys("self"))]
    same([row[1:] for row in rows], reading.attention("self", 0, 0))
    code, out, _ = call(*place, "--json", "--output", tmp_path / "map.json")
    assert code == 0 and json.loads(out) == json.loads((tmp_path / "map.json").read_text(encoding="utf-8"))


def test_people_are_told_where_each_token_looks(call, readings):
    reading = readings["tiny-llama"]
    code, out, _ = call("attention", "map", *words(reading), "--layer", 2, "--head", 4)
    assert code == 0 and "layer 2, head 4, which reads key and value head 2" in out
    last = out.splitlines()[-1]
    weights = reading.attention("self", 1, 3)[-1]
    best = int(weights.argmax())
    assert f"{reading.keys('self')[best]} ({best}) {weights[best]:.3f}" in last
    code, out, err = call("attention", "map", "", "--run", "tiny-gpt")
    assert code == 0 and "The text is empty" in err
    code, _, err = call("attention", "map", "a cup " * 200, "--run", "tiny-gpt")
    assert code == 0 and "the first 48 are read" in err
    assert call("attention", "map", "a\udcff\ud800", "--run", "tiny-gpt", "--json")[0] == 0


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["map", "x", "--run", "nobody"], "There is no run 'nobody'"),
        (["map", "x", "--run", "tiny-gpt", "--layer", "0"], "There is no layer 0: choose one from 1 to 2."),
        (["map", "x", "--run", "tiny-gpt", "--layer", "3"], "There is no layer 3"),
        (["map", "x", "--run", "tiny-gpt", "--layer", "1", "--head", "-1"], "There is no head -1"),
        (["map", "x", "--run", "tiny-gpt", "--head", "1"], "give --layer too"),
        (["map", "x", "--run", "tiny-gpt", "--kind", "cross"], "The model has no cross attention"),
        (["map", "x", "--run", "tiny-gpt", "--target", "y"], "--target is for translators"),
        (["map", " ", "--run", "tiny-transformer"], "There is nothing to translate"),
        (["map", "x", "--run", "tiny-gpt", "--output", "x.txt"], "ends in .csv or .json"),
        (["map", "x", "--run", "tiny-gpt", "--output", "/nowhere/x.csv"], "cannot be written"),
        (["heads", "x", "--run", "tiny-gpt", "--sort", "sharpness"], "There is no sharpness score of self attention"),
        (["heads", "--run", "tiny-transformer", "--repeats"], "is measured on a language model"),
        (["heads", "x", "--run", "tiny-gpt", "--repeats"], "leave the text and --target out"),
        (["heads", "--run", "tiny-gpt", "--repeats", "--output", "x.txt"], "ends in .csv or .json"),
        (["look", "x", "--run", "tiny-gpt", "--query", "99"], "There is no query 99: choose one from 0 to 1."),
        (["look", "x", "--run", "tiny-gpt", "--key", "-1"], "There is no key -1"),
        (["align", "--run", "tiny-gpt"], "choose a run that translates"),
        (["align", "--run", "tiny-transformer", "--examples", "0"], "--examples is from 1"),
    ],
)
def test_what_cannot_be_is_one_sentence(call, arguments, said):
    assert said in one_sentence(*call("attention", *arguments))
