"""`eval`: what is kept is listed, shown, compared and deleted; tables; every mistake one sentence."""

import csv
import json
import subprocess
import sys

import pytest

from core.evaluate.significance import paired
from core.evaluate.store import list_evaluations, load_evaluation, outputs_of, read_losses
from playground import cli
from playground.commands.comparison import names_of
from tests.playground.conftest import make_run

SOURCES = ["tea", "a cup of coffee", "light", "=SUM(A1)", 'say "yes", please', "what?", "コーヒー", "cup cup cup"]
REFERENCES = ["茶", "コーヒーを一杯", "光", "=1+1", "はい", "何？", "コーヒー", "杯"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two translators and a language model."""
    folder = tmp_path_factory.mktemp("runs")
    for name, family, seed in (("one", "transformer", 0), ("two", "transformer", 1), ("writer", "gpt", 0)):
        make_run(name, family, folder, seed=seed)
    (folder / "src").write_text("".join(text + "\n" for text in SOURCES), encoding="utf-8")
    (folder / "ref").write_text("".join(text + "\n" for text in REFERENCES), encoding="utf-8")
    return folder


@pytest.fixture
def call(folder, capsys):
    def run(*arguments):
        code = cli.main(["eval", "--runs-dir", str(folder), *map(str, arguments)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def files(folder):
    return ("--src", folder / "src", "--ref", folder / "ref", "--max-new-tokens", 6)


def document(code, out, err):
    assert code == 0, err
    return json.loads(out)


def one_sentence(code, out, err):
    assert code == 1 and out == "" and err.count("\n") == 1 and "Traceback" not in err
    return err


def test_listed_shown_and_deleted(call, files, folder):
    made = document(*call("--run", "one", *files, "--json", "--max-examples", 5))
    assert made["directory"] == str(folder / "one" / "evaluations" / made["id"]) and made["examples"] == 5
    assert made["python"] and made["command"].startswith("llm-scratch eval --run=one") and made["weights_sha256"]
    listed = {row["id"]: row for row in document(*call("--list", "--json"))["evaluations"]}
    assert listed[made["id"]]["bleu"] == made["bleu"] and listed[made["id"]]["state"] == "done"
    assert made["id"] in call("--list", "--run", "one")[1] and made["id"] not in call("--list", "--run", "two")[1]
    shown = document(*call("--show", made["id"][:5], "--json"))
    assert {name: shown[name] for name in made} == made and shown["done"] == 5
    code, out, _ = call("--show", made["id"])
    assert code == 0 and "bleu_signature: nrefs:1" in out and "again: llm-scratch eval" in out
    assert call("--delete", made["id"])[0] == 0 and made["id"] not in call("--list")[1]
    assert "There is no evaluation" in one_sentence(*call("--show", made["id"]))


def test_two_runs_are_compared_as_paired_compares_them(call, files, folder, tmp_path):
    table = tmp_path / "side.csv"
    runs = ("--compare", "--run", "one", "--run", "two", "--samples", 50, "--table", table, "--json")
    found = document(*call(*runs, *files, "--metrics", "bleu,chrf"))
    one, two = (load_evaluation(id, folder) for id in found["evaluations"].values())
    texts = [[output.output for output in outputs_of(evaluation)] for evaluation in (one, two)]
    expected = paired(dict(zip(("one", "two"), texts)), REFERENCES, "ja", ("bleu", "chrf"), samples=50)
    assert found["metrics"] == expected.metrics
    for ours, theirs in zip(found["systems"], expected.systems, strict=True):
        assert ours["name"] == theirs.name
        for metric, result in theirs.scores.items():
            assert ours["scores"][metric]["score"] == result.score
            assert ours["scores"][metric]["p_value"] == result.p_value
    rows = list(csv.DictReader(table.open(encoding="utf-8", newline="")))
    assert sorted(row["source"] for row in rows) == sorted("'" + s if s[0] == "=" else s for s in SOURCES)
    assert {"number", "source", "reference", "one text", "two text", "one chrf", "two chrf"} <= rows[0].keys()
    gaps = [abs(float(row["one chrf"]) - float(row["two chrf"])) for row in rows]
    assert gaps == sorted(gaps, reverse=True)
    ids = [one.id, two.id]
    code, out, _ = call("--compare", *ids, "--method", "randomisation", "--samples", 20, "--metrics", "chrf")
    assert code == 0 and "ar:20" in out and "baseline" in out and ("p = " in out or "the same score" in out)
    other = document(*call("--run", "one", *files, "--json", "--max-examples", 3))
    assert "of different data" in one_sentence(*call("--compare", one.id, other["id"]))
    assert "only one" in one_sentence(*call("--compare", one.id, one.id))
    assert "not both" in one_sentence(*call("--compare", one.id, "--run", "one"))
    assert "at least two" in one_sentence(*call("--compare", "--run", "one", *files))


def test_strategies_of_one_run_have_names_of_their_own(call, files, folder):
    ids = [document(*call("--run", "one", *files, *how, "--json"))["id"] for how in ((), ("--num-beams", 2))]
    evaluations = [load_evaluation(id, folder) for id in ids]
    assert names_of(evaluations) == ["one greedy", "one beam 2"]
    assert len(set(names_of([*evaluations, evaluations[0]]))) == 3 or evaluations[0].id in names_of(evaluations * 2)
    assert document(*call("--compare", *ids, "--samples", 10, "--json"))["systems"][1]["name"] == "one beam 2"


def test_language_models(call, folder, tmp_path):
    text, table = "The function returns a cup of coffee.\n" * 9, tmp_path / "losses.json"
    found = document(
        *call("--run", "writer", "--text", text, "--stride", 7, "--context", 16, "--loss-table", table, "--json")
    )
    rows = json.loads(table.read_text(encoding="utf-8"))
    assert len(rows) == found["tokens"] and (found["context"], found["stride"]) == (16, 7)
    losses = read_losses(folder / "writer" / "evaluations" / found["id"])
    assert [row["nats"] for row in rows] == pytest.approx(losses.tolist(), abs=1e-5)
    assert sum(row["nats"] for row in rows) / len(rows) == pytest.approx(found["loss_per_token"], abs=1e-5)
    more = document(*call("--run", "writer", "--text", text, "--prompts", 2, "--max-new-tokens", 5,
                          "--strategies", "greedy,top-p", "--json"))  # fmt: skip
    assert [column["title"] for column in more["degeneration"]["columns"]][1:] == ["Greedy", "Top-p 0.9"]
    assert document(*call("--compare", found["id"], more["id"], "--json"))["evaluations"][1]["name"]
    assert "There is no preset" in one_sentence(*call("--run", "writer", "--text", text, "--strategies", "best"))


def test_own_validation_data_that_is_not_here_and_other_mistakes(call, files, tmp_path):
    for arguments, said in [
        (("--run", "writer"), "trained on"),
        ((), "--run NAME"),
        (("--run", "one", "--run", "two", *files), "--run NAME"),
        (("--run", "one", *files[:2]), "give both"),
        (("--run", "one", *files, "--metrics", "blue"), "no metric 'blue'"),
        (("--run", "one", *files, "--max-examples", -1), "negative"),
        (("--run", "one", "--text", "x"), "--text is for language models"),
        (("--run", "writer", "--text", "x", "--output", tmp_path / "x"), "--output is for translations"),
        (("--run", "one", *files, "--loss-table", tmp_path / "x.csv"), "language models"),
        (("--run", "one", *files, "--table", tmp_path / "x.xlsx"), ".csv or .json"),
        (("--run", "one", *files, "--data", "x.csv"), "one thing"),
        (("--list", "--show", "abcd"), "one of"),
        (("--show", "../../etc"), "no evaluation's id"),
        (("--show", ""), "no evaluation's id"),
        (("--list", "--output", tmp_path / "x"), "one evaluation"),
        (("--run", "writer", "--text", "x", "--table", tmp_path / "x.csv"), "--table is of translations"),
        (("--compare", "--loss-table", tmp_path / "x.csv"), "one evaluation"),
        (("--delete", ""), "no evaluation's id"),
        (("--compare", "--run", "one", "--run", "two", *files, "--samples", 10**9), "--samples are 1 to"),
        (("--run", "writer", "--text", "x", "--metrics", "bleu"), "--metrics is for translators"),
        (("--run", "one", *files, "--stride", 3), "--stride is for language models"),
        (("--run", "writer", "--text", "x", "--stride", 99), "stride"),
    ]:
        assert said in one_sentence(*call(*arguments)), arguments


def test_interrupted_it_keeps_what_is_there(folder, files):
    """Ctrl-C ends with 130 and one word."""
    import functools
    import os
    import signal
    import time

    table = folder / "many.tsv"
    table.write_text("src\ttgt\n" + "".join(f"tea {i}\t茶 {i}\n" for i in range(40_000)), encoding="utf-8")
    command = [sys.executable, "-m", "playground", "eval", "--runs-dir", str(folder), "--run", "two", "--json"]
    command += ["--data", str(table), "--metrics", "exact", "--max-new-tokens", "5"]
    # What is begun in the background of a script ignores Ctrl-C, and so would this.
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=heard) as process:
        end = time.monotonic() + 120
        places = folder / "two" / "evaluations"

        def outputs() -> int:
            return max((path.stat().st_size for path in places.glob("*/outputs.jsonl")), default=0)

        before = outputs()
        while outputs() <= before and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == cli.INTERRUPTED and err.strip() == "Interrupted." and out == ""
    (stopped,) = [e.evaluation for e in list_evaluations(folder, "two") if e.evaluation.state == "stopped"]
    assert 0 < stopped.done < stopped.total == 40_000
