"""`llm-scratch pull` and `push`."""

import json
import shutil
import subprocess
import sys

import pytest

from core.run import load
from playground import cli
from remote import link, names


@pytest.fixture
def there(monkeypatch, tmp_path):
    """The Volume as a folder, as a container has it."""
    monkeypatch.setenv("MODAL_IS_REMOTE", "1")
    monkeypatch.setattr(names, "STORE", tmp_path / "store")
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def mine(no_runs, small_runs):
    evaluations = shutil.ignore_patterns("evaluations")  # which other tests may have made of it
    shutil.copytree(small_runs / "tiny-gpt", no_runs / "runs" / "mine", ignore=evaluations)
    return no_runs / "runs" / "mine"


def test_push_and_pull(there, mine, tmp_path, capsys):
    assert cli.main(["push", "mine", "--json"]) == 0
    out, err = capsys.readouterr()
    pushed = json.loads(out)
    assert pushed.keys() == {"run", "directory", "files", "bytes", "skipped"} and err == ""
    assert pushed["run"] == "mine" and pushed["directory"] == str(mine) and "model.safetensors" in pushed["files"]
    assert cli.main(["pull", "mine", "--what", "best", "--runs-dir", str(tmp_path / "other"), "--json"]) == 0
    pulled = json.loads(capsys.readouterr().out)
    assert pulled["files"] == pushed["files"] and pulled["skipped"] == []
    assert pulled["bytes"] == sum((there / "runs/mine" / path).stat().st_size for path in pulled["files"])
    assert load("mine", tmp_path / "other").model is not None


def test_for_people(there, mine, tmp_path, capsys):
    assert cli.main(["push", "mine", "--what", "best"]) == 0
    out, err = capsys.readouterr()
    assert "mine is on Modal" in out and err.startswith("pushing: ")
    for words in ([], ["--what", "all"]):
        assert cli.main(["pull", "mine", "--runs-dir", str(tmp_path / "other"), *words]) == 0
    out, err = capsys.readouterr()
    assert f"mine is in {tmp_path / 'other' / 'mine'}" in out and "were there already" in out
    lines = err.splitlines()
    assert lines and all(line.startswith("pulling: ") and " MB  " in line for line in lines)
    assert len(lines) == len(set(lines)), "nothing is said twice"


@pytest.mark.parametrize(
    "words, sentence",
    [
        (
            ["pull", "nobody"],
            "The run nobody is not there on Modal; `llm-scratch runs --on modal` lists",
        ),
        (["pull", "mine", "--what", "most"], "The run mine is not there on Modal"),
        (["push", "nobody"], "There is no run 'nobody'."),
        (["pull", "../mine"], "'../mine' cannot be a run's name"),
        (["push", "mine", "--set", "x=1"], None),
    ],
)
def test_what_cannot_be_is_one_sentence(words, sentence, there, mine, capsys):
    code = cli.main(words)
    out, err = capsys.readouterr()
    assert out == "" and code == (2 if sentence is None else 1)
    if sentence:
        assert err.startswith(sentence) and err.count("\n") == 1


def test_without_an_account(mine, monkeypatch, capsys):
    monkeypatch.setattr(link, "is_signed_in", lambda: False)
    for words in (["pull", "mine"], ["push", "mine"]):
        assert cli.main(words) == 1
        assert "not signed in to Modal: run `modal setup` once" in capsys.readouterr().err


def test_modal_is_not_imported_before_it_is_asked():
    code = "import sys, playground.commands.transfer, remote.client\nprint('modal' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
