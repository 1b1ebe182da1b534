"""`embeddings ACTION`: one JSON document that agrees with the functions, or one sentence."""

import csv
import io
import json
import sys

import numpy as np
import pytest

from core import load
from core.analysis.embeddings import analogy, model_vectors, neighbours
from core.analysis.maps import pca
from core.analysis.own_vectors import open_vectors, own_vectors
from core.analysis.positions import positions_of, similarity
from playground import cli

TEXT = "the cat sat on the mat\n\nthe dog sat on the rug\n\n" * 40


@pytest.fixture
def call(capsys, monkeypatch, small_runs, tmp_path):
    """call(*arguments, stdin=text) -> exit code, stdout, stderr. The small runs are linked into the test's folder."""
    folder = tmp_path / "runs"
    folder.mkdir()
    for run in small_runs.iterdir():
        (folder / run.name).symlink_to(run)
    monkeypatch.setenv("RUNS_DIR", str(folder))

    def run(*arguments, stdin=None):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        code = cli.main(["embeddings", *(str(argument) for argument in arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def answer(call):
    def run(*arguments, stdin=None):
        code, out, err = call(*arguments, "--json", stdin=stdin)
        assert code == 0, err
        return json.loads(out)

    return run


def test_neighbours(call, answer, tmp_path):
    vectors = model_vectors(load("tiny-gpt"))
    told = answer("neighbours", "#260", "The", "--run", "tiny-gpt", "--top", 3, "--output", tmp_path / "n.csv")
    first = told["results"][0]
    assert [n["id"] for n in first["neighbours"]] == [n.id for n in neighbours(vectors, 260, 3)]
    assert first["token"] == vectors.names[260] and len(told["results"]) == 2
    rows = list(csv.DictReader(open(tmp_path / "n.csv", encoding="utf-8")))
    assert len(rows) == 6 and float(rows[0]["cosine"]) == pytest.approx(first["neighbours"][0]["value"], rel=1e-5)
    told = answer("neighbours", "#260", "--run", "tiny-gpt", "--metric", "euclidean", "--most-frequent", 50)
    assert all(n["id"] < 50 for n in told["results"][0]["neighbours"])
    code, out, err = call("neighbours", "#260", "--run", "tiny-gpt")
    assert code == 0 and len(out.splitlines()) == 11


def test_analogy(call, answer):
    vectors = model_vectors(load("tiny-llama"))
    for method in ("add", "mul"):
        told = answer("analogy", "#100", "#101", "#102", "--run", "tiny-llama", "--method", method)
        assert [n["id"] for n in told["results"]] == [n.id for n in analogy(vectors, 100, 101, 102, 10, method)]
    assert call("analogy", "#1", "#2", "#3", "--run", "tiny-llama")[1].count("\n") == 11


def test_map(answer, tmp_path):
    vectors = model_vectors(load("tiny-transformer"))
    told = answer("map", "#300", "--run", "tiny-transformer", "--points", 20, "--output", tmp_path / "m.json")
    ids = [point["id"] for point in told["points"]]
    assert ids == [300, *range(19)]
    np.testing.assert_allclose([p["at"] for p in told["points"]], pca(vectors.matrix[ids]).points, atol=1e-5)
    assert json.loads((tmp_path / "m.json").read_text()) == told and told["divergence"] is None
    told = answer(
        "map", "--run", "tiny-transformer", "--points", 20, "--method", "tsne", "--dimensions", 3, "--iterations", 20
    )
    assert len(told["points"][0]["at"]) == 3 and told["explained"] is None and told["divergence"] > 0


def test_word_vectors_are_trained_listed_used_and_deleted(call, answer, tmp_path):
    told = answer("train", "--name", "cats", "--size", 8, "--epochs", 2, stdin=TEXT)
    assert told["words"] == 7 and told["words_per_second"] > 0 and told["settings"]["size"] == 8
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    assert answer("train", path, "--name", "tokens", "--tokens", "tiny-gpt", "--size", 4)["data"] == "text.txt"
    assert any(word.startswith("·") for word in open_vectors("tokens").words)
    assert {v["name"] for v in answer("list")["vectors"]} == {"cats", "tokens"}
    assert "cats" in call("list")[1]
    told = answer("neighbours", "Cat", "--vectors", "cats", "--which", "output", "--top", 2)
    assert told["results"][0]["token"] == "cat" and len(told["results"][0]["neighbours"]) == 2
    assert answer("delete", "cats") == {"name": "cats", "deleted": True}
    assert [about.name for about in own_vectors()] == ["tokens"]


@pytest.mark.parametrize("name", ["tiny-transformer", "tiny-gpt", "tiny-llama"])
def test_positions(call, answer, name, tmp_path):
    told = answer("positions", "--run", name, "--length", 10, "--output", tmp_path / "p.csv")
    found = positions_of(load(name), 10)
    assert told["kind"] == found.kind and told["positions"] == 48
    np.testing.assert_allclose(told["similarity"], similarity(found), atol=1e-6)
    assert (told["bound"] is None) == (found.kind != "rotary") and (told["wavelengths"] is None) == (
        found.kind == "learned"
    )
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 11
    assert call("positions", "--run", name)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["neighbours", "kingdom", "--run", "tiny-gpt"], "not one token"),
        (["neighbours", "#99999", "--run", "tiny-gpt"], "not one token"),
        (["neighbours", "a", "--run", "no-run"], "no run"),
        (["neighbours", "a", "--vectors", "../x"], "cannot be a name"),
        (["neighbours", "a", "--vectors", "none"], "no word vectors"),
        (["neighbours", "#1", "--run", "tiny-gpt", "--which", "output"], "leave out --which"),
        (["neighbours", "#1", "--run", "tiny-gpt", "--top", "0"], "--top"),
        (["neighbours", "#1", "--run", "tiny-gpt", "--most-frequent", "-1"], "--most-frequent"),
        (["neighbours", "#1", "--run", "tiny-gpt", "--output", "x.txt"], ".csv or .json"),
        (["map", "--run", "tiny-gpt", "--points", "2", "--method", "tsne"], "points"),
        (["map", "--run", "tiny-gpt", "--points", "99999999"], "--points"),
        (["map", "--run", "tiny-gpt", "--method", "tsne", "--perplexity", "nan"], "perplexity"),
        (["map", "--run", "tiny-gpt", "--method", "tsne", "--seed", "-1"], "seed"),
        (["train", "--name", "..", "builtin:pydocs"], "cannot be a name"),
        (["train", "--name", "x", "--size", "0", "builtin:pydocs"], "size"),
        (["train", "--name", "x", "builtin:none"], "built-in"),
        (["delete", "none"], "no word vectors"),
        (["positions", "--run", "tiny-gpt", "--length", "0"], "--length"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(call, arguments, told):
    code, out, err = call(*arguments)
    assert code == 1 and out == "" and err.count("\n") == 1 and told in err and "Traceback" not in err, err
