"""`translate`, `generate` and `eval` on Modal; files in and out, here and there; the Decoding tab on Modal."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from argparse import Namespace
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from core.decode import GenerationConfig, generate
from core.run import load
from playground import cli
from playground.tabs.decoding import columns, settings
from playground.tabs.decoding.settings import Settings, dump
from playground.tabs.decoding.work import Work
from remote import link
from tests.forked import forking
from tests.playground.conftest import FAMILIES, make_run
from tests.remote.inference_server import inference_server, runs_of

ROOT = Path(__file__).parents[2]
TEXT = "I'd like a cup of coffee."


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with forking(), inference_server(tmp_path_factory.mktemp("modal")) as server:
        yield server


@pytest.fixture
def call(capsys, monkeypatch):
    """call(*arguments, stdin=text) -> exit code, stdout, stderr."""

    def run(*arguments, stdin=None):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def one_sentence(code, out, err):
    assert code == 1 and out == "" and err.count("\n") == 1 and "Traceback" not in err, err
    return err


# ------------------------------------------------------------------------------------------------------------- texts


@pytest.mark.parametrize("command, run", [("translate", "tiny-transformer"), ("generate", "tiny-gpt")])
def test_on_modal_it_says_what_it_says_here(server, runs, call, command, run):
    flags = (command, "--run", run, "--json", "--num-beams", 3, "--num-return-sequences", 2, TEXT, "Yes.")
    _, here, _ = call(*flags)
    code, out, err = call(*flags, "--on", "modal", "--gpu", "T4")
    here, there = json.loads(here), json.loads(out)
    assert code == 0 and err == "" and there.pop("place") == "modal"
    assert there["decode"] == here["decode"] and there["run"] == here["run"] and there.keys() == here.keys()
    for found, expected in zip(there["results"], here["results"], strict=True):
        assert list(found) == list(expected)
        for key in ("text", "translation" if command == "translate" else "continuation", "tokens", "truncated", "work"):
            assert found[key] == expected[key]
        assert [h["ids"] for h in found["hypotheses"]] == [h["ids"] for h in expected["hypotheses"]]
    plain = (command, "--run", run, TEXT)
    assert call(*plain, "--on", "modal")[:2] == call(*plain)[:2]


def test_a_trace_on_modal_is_that_of_here(server, runs, call):
    """Only the texts of tokens are not there: the tokenizer is on Modal."""
    flags = ("translate", "--run", "tiny-transformer", "--json", "--trace", "--num-beams", 2, TEXT)
    here, there = json.loads(call(*flags)[1]), json.loads(call(*flags, "--on", "modal")[1])
    (expected,), (found,) = here["results"], there["results"]
    assert found["tree"]["winner"] == expected["tree"]["winner"]
    for own, other in zip(found["hypotheses"], expected["hypotheses"], strict=True):
        assert [step["rank"] for step in own["steps"]] == [step["rank"] for step in other["steps"]]
        assert [step["id"] for step in own["steps"]] == other["ids"] and "text" not in own["steps"][0]


def test_lines_of_standard_input(server, runs, call):
    lines = "Yes.\n\ncoffee\r\nlast"
    flags = ("translate", "--run", "tiny-transformer")
    assert call(*flags, "--on", "modal", stdin=lines)[:2] == call(*flags, stdin=lines)[:2]


def test_a_text_that_fails_is_one_sentence(server, runs, call):
    flags = ("translate", "--run", "tiny-transformer", "--on", "modal", "--json")
    assert "Text 2: The text has" in one_sentence(*call(*flags, "Yes.", "long " * 200))
    assert json.loads(call(*flags, "--truncate", "long " * 200)[1])["results"][0]["truncated"] is True


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("translate", TEXT, "--on", "modal", "--device", "cuda"), "--device and --precision are for this machine"),
        (("eval", "--run", "tiny-gpt", "--on", "modal", "--precision", "int8"), "are for this machine"),
        (("translate", TEXT, "--gpu", "L4"), "--gpu is for Modal"),
        (
            ("translate", TEXT, "--on", "modal", "--run", "tiny-transformer", "--gpu", "X1"),
            "'X1' is not in this program",
        ),
        (("translate", TEXT, "--on", "modal", "--run", "tiny-gpt"), "made to generate"),
        (("translate", TEXT, "--on", "modal", "--run", "nope"), "no run 'nope' on Modal"),
        (("generate", "x", "--on", "modal", "--run", "tiny-gpt", "--strategy", "assisted"), "needs --assistant"),
        (("generate", "", "--on", "modal", "--run", "tiny-gpt"), "The prompt is empty"),
        (("eval", "--run", "tiny-gpt", "--on", "modal", "--output", "x.txt"), "--output is for translations"),
        (("eval", "--run", "tiny-gpt", "--on", "modal"), "no file notes.txt"),
        (("eval", "--run", "long-gpt", "--on", "modal", "--save"), "llm-scratch pull long-gpt"),
    ],
)
def test_what_cannot_be_is_one_sentence(server, runs, call, arguments, sentence):
    assert sentence in one_sentence(*call(*arguments, *(["--json"] if "modal" in arguments else [])))


def test_an_assistant_on_modal(server, runs, call):
    flags = ("generate", "--run", "tiny-gpt", "--assistant", "tiny-llama", "ROMEO:", "--json")
    here, there = (json.loads(call(*flags, *more)[1])["results"] for more in ((), ("--on", "modal")))
    assert here[0]["continuation"] == there[0]["continuation"] and here[0]["work"] == there[0]["work"]


def test_without_an_account_everything_else_works(runs, call, monkeypatch):
    monkeypatch.setattr(link, "is_signed_in", lambda: False)
    flags = ("translate", "--run", "tiny-transformer", TEXT)
    assert "modal setup" in one_sentence(*call(*flags, "--on", "modal"))
    assert call(*flags)[0] == 0


def test_a_conversation(server, runs, call, monkeypatch):
    lines = iter(["ROMEO", "", "cup"])

    def answer(prompt):
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr(sys, "stdin", Namespace(isatty=lambda: True))
    code, out, err = call("generate", "--run", "tiny-gpt", "--on", "modal")
    expected = [g.text for g in generate(load("tiny-gpt"), ["ROMEO", "cup"])]
    assert code == 0 and out == f"{expected[0]}\n{expected[1]}\n" and "Traceback" not in err


# ------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("place", [(), ("--on", "modal", "--containers", 2)], ids=["here", "modal"])
@pytest.mark.parametrize("command, name", [("translate", "tiny-transformer"), ("generate", "tiny-gpt")])
def test_a_file(server, runs, call, tmp_path, command, name, place):
    lines = [f"cup {i}" if i % 3 else ("" if i % 2 else "long " * 200) for i in range(41)]
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_bytes("\r\n".join(lines).encode())
    flags = (command, "--run", name, "--input", source, "--output", target, "--num-beams", 2)
    code, out, err = call(*flags, *place, "--json")
    found = json.loads(out)
    long = [i for i, line in enumerate(lines) if len(line) > 100]
    assert code == 0 and (found["lines"], found["failed"]) == (41, len(long)) and found["run"] == name
    assert found["failures"] == f"{target}.failed.jsonl" and found["output"] == str(target)
    assert found["lines_per_second"] > 0 and found.get("place") == ("modal" if place else None)
    assert f"{len(long)} of 41 lines failed" in err and err.count("\n") == 1
    config = GenerationConfig(strategy="beam", num_beams=2, max_new_tokens=12)
    good = [line for i, line in enumerate(lines) if i not in long]
    results = iter(generate(load(name), good, config))
    expected = []
    for i, line in enumerate(lines):
        text = "" if i in long else (line if command == "generate" else "") + next(results).text
        expected.append(re.sub(r"\r\n|\r|\n", " ", text))
    assert target.read_text(encoding="utf-8").split("\n") == [*expected, ""]
    failed = [json.loads(line) for line in (tmp_path / "out.txt.failed.jsonl").read_text().splitlines()]
    assert [entry["line"] - 1 for entry in failed] == long
    code, out, err = call(*flags, *place, "--truncate")
    assert code == 0 and f"41 lines in {target}" in out and "failed" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.txt"]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("--input", "in.txt"), "go together"), (("--output", "out.txt"), "go together"),
        (("--input", "in.txt", "--output", "out.txt", "text"), "takes the place of texts"),
        (("--input", "no.txt", "--output", "out.txt"), "There is no file no.txt"),
        (("--input", "in.txt", "--output", "in.txt"), "another file"),
        (("--input", "in.txt", "--output", "no/out.txt"), "There is no directory"),
        (("--input", "in.txt", "--output", "out.txt", "--assistant", "tiny-gpt"), "cannot assist each other"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_are_one_sentence(runs, call, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("a\n")
    assert sentence in one_sentence(*call("translate", "--run", "tiny-transformer", *arguments))
    assert not (tmp_path / "out.txt").exists()


def test_when_all_lines_fail_so_does_the_command(runs, call, tmp_path):
    (tmp_path / "in.txt").write_text("long " * 200)
    code, _, err = call(
        "translate", "--run", "tiny-transformer", "--input", tmp_path / "in.txt", "--output", tmp_path / "out.txt"
    )
    assert code == 1 and "1 of 1 lines failed" in err and (tmp_path / "out.txt").read_text() == "\n"


def test_a_job_that_is_broken_off_goes_on(server, small_runs, tmp_path):
    """Ctrl-C in the middle of a file on Modal; the same command asks for the rest."""
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("".join(f"coffee {i}\n" for i in range(20_000)))
    command = [
        sys.executable, "-m", "playground", "generate", "--run", "tiny-gpt", "--on", "modal", "--containers", "1",
        "--input", str(source), "--output", str(target), "--max-new-tokens", "2", "--json",
    ]  # fmt: skip
    environment = os.environ | server.environment() | {"RUNS_DIR": str(small_runs), "OMP_NUM_THREADS": "1"}
    parts = tmp_path / "out.txt.parts"
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 60
        while len(list(parts.glob("*/*.jsonl"))) < 3 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=30)[1]
    assert process.returncode == cli.INTERRUPTED and not target.exists(), err
    assert f"What is done is kept in {parts}" in err and err.endswith("Interrupted.\n") and "Traceback" not in err, err
    kept = len(list(parts.glob("*/*.jsonl")))
    assert 3 <= kept < 40
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    fresh = found["lines_per_second"] * found["seconds"]
    assert (found["lines"], found["failed"]) == (20_000, 0) and fresh == pytest.approx(20_000 - kept * 512, abs=60)
    assert target.read_text(encoding="utf-8").count("\n") == 20_000 and not parts.exists()


@pytest.mark.parametrize("hangs", ["ClassGet", "FunctionMap", "FunctionGetOutputs"])
def test_ctrl_c_while_modal_hangs_leaves_no_trace(server, small_runs, hangs):
    """Calls that are left alone when the program ends say nothing more."""
    command = [sys.executable, "-m", "playground", "translate", "--run", "tiny-transformer", "--on", "modal", TEXT]
    environment = os.environ | server.environment() | {"RUNS_DIR": str(small_runs), "OMP_NUM_THREADS": "1"}
    before = server.asked[hangs]
    server.hang(hangs)
    try:
        with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
            end = time.monotonic() + 60
            while server.asked[hangs] == before and process.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            err = process.communicate(timeout=30)[1]
    finally:
        server.recover()
    assert process.returncode == cli.INTERRUPTED and err.endswith("Interrupted.\n") and "Traceback" not in err, err


# -------------------------------------------------------------------------------------------------------- evaluation


def test_eval_on_modal(server, runs, call, tmp_path):
    (tmp_path / "src.txt").write_text("Yes.\na cup\n")
    (tmp_path / "ref.txt").write_text("コーヒー\nコーヒーを\n", encoding="utf-8")
    flags = ("eval", "--run", "tiny-transformer", "--src", tmp_path / "src.txt", "--ref", tmp_path / "ref.txt")
    here = json.loads(call(*flags, "--json")[1])
    code, out, err = call(*flags, "--json", "--on", "modal", "--output", tmp_path / "hyp.txt")
    there = json.loads(out)
    assert code == 0 and err == "" and (there["place"], here["place"]) == ("modal", "local")
    same = ("examples", "bleu", "bleu_signature", "chrf", "loss_per_token", "tokens", "strategy", "weights_sha256")
    assert {name: there[name] for name in same} == pytest.approx({name: here[name] for name in same})
    assert (tmp_path / "hyp.txt").read_text(encoding="utf-8").count("\n") == 2
    (tmp_path / "text.txt").write_text("The function returns.\n")
    flags = ("eval", "--run", "tiny-gpt", "--data", tmp_path / "text.txt", "--json")
    there = json.loads(call(*flags, "--on", "modal")[1])
    assert there["place"] == "modal" and there["bits_per_byte"] == json.loads(call(*flags)[1])["bits_per_byte"]


def test_scores_of_modal_are_kept_when_asked_for(server, runs, call, tmp_path):
    make_run("tiny-gpt", "gpt", tmp_path / "runs")
    (tmp_path / "text.txt").write_text("The function returns.\n")
    flags = ("eval", "--run", "tiny-gpt", "--data", tmp_path / "text.txt", "--on", "modal")
    before = (tmp_path / "runs" / "tiny-gpt" / "scores.json").read_text()
    assert call(*flags, "--runs-dir", tmp_path / "runs")[0] == 0
    assert (tmp_path / "runs" / "tiny-gpt" / "scores.json").read_text() == before
    assert call(*flags, "--runs-dir", tmp_path / "runs", "--save")[0] == 0
    assert json.loads((tmp_path / "runs" / "tiny-gpt" / "scores.json").read_text())["details"]["place"] == "modal"


# ---------------------------------------------------------------------------------------------------- the Decoding tab

PAGE = SimpleNamespace(session_hash="modal")
COLUMNS = (
    {"strategy": "greedy"},
    {"strategy": "beam", "num_beams": 4},
    {"strategy": "sample", "top_p": 0.9, "seed": 3},
)


def pictures(model, text, where, third=COLUMNS[2], longest=8):
    """The three columns' HTML after each picture."""
    wanted = tuple(column | {"max_new_tokens": longest} for column in (*COLUMNS[:2], third))
    asked = dump(Settings(wanted, together=False))
    now = [""] * 7
    for picture in columns.write_again(Work(model, text), asked, where, (), PAGE):
        now = [old if new == gr.skip() else new for old, new in zip(now, picture, strict=True)]
        yield now[1:4]


def without_times(html):
    """Also without more digits than single precision has, in which log-probabilities come from Modal."""
    html = re.sub(r'<dt>tokens/s</dt><dd>[^<]*|"seconds": [^,]*', "", html.replace("&quot;", '"'))
    return re.sub(r"-?\d+\.\d{7,}", lambda number: f"{float(number[0]):.5f}", html)


@pytest.mark.parametrize(
    "third",
    [COLUMNS[2], {"strategy": "sample", "num_return_sequences": 3, "seed": 3}, {"strategy": "assisted"},
     {"strategy": "best_of", "num_samples": 6}],
    ids=["sample", "samples", "assisted", "best_of"],
)  # fmt: skip
@pytest.mark.parametrize("name", FAMILIES)
def test_the_columns_on_modal_are_those_of_this_machine(server, runs, name, third):
    seen = list(pictures(name, "ROMEO: a cup", "modal", third))
    here = list(pictures(name, "ROMEO: a cup", "local", third))[-1]
    assert [without_times(html) for html in seen[-1]] == [without_times(html) for html in here]
    assert all("Waiting for a container on Modal" in html for html in seen[0])
    assert "Waiting" not in "".join(seen[-1]) and "data-say" in seen[-1][0]


def test_columns_on_modal_share_one_assistant(server, runs):
    assisted = {"strategy": "assisted", "max_new_tokens": 8}
    asked = dump(Settings((assisted, assisted | {"assistant": "tiny-llama"}), together=False))
    seen = list(columns.write_again(Work("tiny-gpt", "ROMEO:"), asked, "modal", (), PAGE))
    assert any("share one assistant" in str(picture[2]) for picture in seen)
    assert any("drafted by the assistant" in str(picture[1]) for picture in seen)


def test_what_goes_wrong_on_modal_is_said_in_the_columns(server, runs, monkeypatch, tmp_path):
    make_run("mine", "gpt", tmp_path / "runs")
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    last = list(pictures("mine", "x", "modal"))[-1]
    assert all("push it first: `llm-scratch push mine`" in unescape(html) for html in last)
    assert all('role="alert"' in html and "Waiting" not in html for html in last)
    monkeypatch.setattr(link, "is_signed_in", lambda: False)
    assert all("modal setup" in html for html in list(pictures("mine", "x", "modal"))[-1])


def test_stop_acts_at_once_while_a_container_starts(server, runs):
    server.hang("FunctionMap")
    try:
        written = pictures("tiny-gpt", "ROMEO:", "modal")
        next(written)
        columns.stop_columns(PAGE)
        began = time.monotonic()
        last = list(written)[-1]
    finally:
        server.recover()
    assert time.monotonic() - began < 5 and all("Stopped by you" in html for html in last)


def test_stop_in_the_middle_cancels_the_work_there(server, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(runs_of(server)))
    monkeypatch.setattr(settings, "LONGEST", 3_000)
    written = pictures("long-gpt", "ROMEO:", "modal", longest=3_000)
    for picture in written:
        if "decoding-token" in picture[0]:
            break
    columns.stop_columns(PAGE)
    last = list(written)
    assert len(last) == 1 and "Stopped by you; what was written is kept." in last[0][0]
    end = time.monotonic() + 20
    while any(not i.done for c in server.calls.calls.values() for i in c.inputs.values()) and time.monotonic() < end:
        time.sleep(0.05)
    assert list(server.calls.calls.values())[-1].cancelled
