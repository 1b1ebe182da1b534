"""The README's workflow, from data to texts: its commands as they stand there, only with less data and fewer steps.

It is gone through twice: once on one machine; once trained elsewhere, as a container of Modal's does, and pulled. Then
in Python. All three come to the same weights, scores and texts.
"""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest

from core.run import load
from playground import cli
from remote import names

README = Path(__file__).parent.parent.parent / "README.md"
SMALL = [
    *("model.d_model=64", "model.n_layers=1", "model.n_heads=2", "model.d_ff=128", "tokenizer.vocab_size=800"),
    *("data.max_examples=400", "train.max_steps=30", "train.batch_tokens=512", "train.val_every=15"),
    *(
        "train.checkpoint_every=15",
        "train.sample_every=30",
        "train.log_every=10",
        "train.snapshots=0",
        "train.threads=1",
    ),
    "decode.max_new_tokens=12",
]
RUNS = ["mt", "gpt", "llama"]
# What is another each time: when it was, how long it took and where it lies.
PASSING = {"seconds", "tokens_per_second", "examples_per_second", "created", "directory"}


def section(title: str) -> str:
    return README.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


def commands() -> list[list[str]]:
    """The lines of the section's first block."""
    block = re.search(r"(?:^    .*\n)+", section("The workflow"), re.MULTILINE)
    assert block is not None
    lines = [shlex.split(line, comments=True) for line in block[0].splitlines()]
    assert all(words[0] == "llm-scratch" for words in lines)
    return [words[1:] for words in lines]


def small(words: list[str]) -> list[str]:
    """The same command on little."""
    if words[0] in ("prepare", "train"):
        return words + [part for key in SMALL for part in ("--set", key)]
    return words + ["--max-examples=12"] * (words[0] == "eval")


def lasting(value):
    if isinstance(value, dict):
        return {key: lasting(entry) for key, entry in value.items() if key not in PASSING}
    return [lasting(entry) for entry in value] if isinstance(value, list) else value


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory):
    """Nothing is written where the tests are begun."""
    with mock.patch.dict(os.environ, RUNS_DIR=""):
        before = os.getcwd()
        os.chdir(tmp_path_factory.mktemp("workflow"))
        yield
        os.chdir(before)


def train_in_another_process(commands: list[list[str]], runs: Path) -> list[dict]:
    """With another seed of Python's hashes, on which nothing may depend."""
    script = "import sys, json; from playground.cli import main\nsys.exit(any(map(main, json.loads(sys.argv[1]))))"
    words = json.dumps([[*small(words), "--json"] for words in commands])
    done = subprocess.run(
        [sys.executable, "-c", script, words], capture_output=True, text=True, encoding="utf-8", timeout=600,
        env=os.environ | {"RUNS_DIR": str(runs), "PYTHONHASHSEED": "7", "PYTHONPATH": str(README.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, rest = [], done.stdout
    while rest.strip():
        answer, end = json.JSONDecoder().raw_decode(rest.lstrip())
        found.append(answer)
        rest = rest.lstrip()[end:]
    return found


class Workflow:
    """One walk through the commands, in a runs directory of its own."""

    def __init__(self, runs: Path, trained_in: Path | None = None) -> None:
        self.runs = runs
        self.answers: list[dict] = []
        begin = [words for words in commands() if words[0] in ("prepare", "train")]
        if trained_in is not None:
            self.answers += train_in_another_process(begin, trained_in)
            self.pull(trained_in.parent)
        self.answers += [self.call(words) for words in commands()[len(self.answers) :]]

    def call(self, words: list[str]) -> dict:
        os.environ["RUNS_DIR"] = str(self.runs)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = cli.main([*small(words), "--json"])
        assert code == 0, f"{shlex.join(words)}\n{err.getvalue()}"
        return json.loads(out.getvalue())

    def pull(self, volume: Path) -> None:
        """From the Volume as a container sees it, which is a folder."""
        with mock.patch.dict(os.environ, MODAL_IS_REMOTE="1"), mock.patch.object(names, "STORE", volume):
            for name in RUNS:
                assert "model.safetensors" in self.call(["pull", name])["files"]

    def weights(self, name: str) -> bytes:
        return (self.runs / name / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return Workflow(tmp_path_factory.mktemp("here") / "runs")


def test_every_step_is_there(here):
    steps = [words[0] for words in commands()]
    assert list(dict.fromkeys(steps)) == ["prepare", "train", "eval", "translate", "generate"]
    assert {load(name, here.runs).config.model.family for name in RUNS} == {"transformer", "gpt", "llama"}
    answers = dict(zip(map(shlex.join, commands()), here.answers, strict=True))
    evaluation = answers["eval --run mt --overlap"]
    assert (
        evaluation["examples"] == 12 and "tok:" in evaluation["bleu_signature"] and evaluation["overlap"]["pairs"] == 0
    )
    assert answers["eval --run gpt --stride 32"]["stride"] == 32
    assert Path("differences.csv").read_text(encoding="utf-8").count("\n") == 13
    (generated,) = here.answers[-1]["results"]
    assert generated["continuation"] and here.answers[-1]["run"] == "gpt"


def test_trained_elsewhere_and_pulled_it_is_all_the_same(here, tmp_path_factory):
    folder = tmp_path_factory.mktemp("there")
    there = Workflow(folder / "runs", folder / "store" / "runs")
    for name in RUNS:
        assert there.weights(name) == here.weights(name), name
    for words, first, second in zip(commands(), here.answers, there.answers, strict=True):
        assert lasting(first) == lasting(second), shlex.join(words)


def test_the_same_in_python(here, tmp_path_factory):
    (script,) = re.findall(r"```python\n(.*?)```", section("The workflow"), re.DOTALL)
    assert len([line for line in script.splitlines() if line]) == 10
    runs = tmp_path_factory.mktemp("python")
    os.environ["RUNS_DIR"] = str(runs)
    less = script.replace('preset("demo")', f'preset("demo").with_overrides({SMALL})')
    less = less.replace("overlap=True", "overlap=True, max_examples=12")
    with redirect_stdout(io.StringIO()) as out:
        exec(compile(less, "README.md", "exec"), {})
    assert (runs / "mt3" / "model.safetensors").read_bytes() == here.weights("mt")
    *_, scores, text = out.getvalue().splitlines()
    evaluation = here.answers[[words[:3] for words in commands()].index(["eval", "--run", "mt"])]
    assert f"(score={evaluation['bleu']}, " in scores and evaluation["overlap"]["summary"] in scores
    (translated,) = here.answers[[words[0] for words in commands()].index("translate")]["results"]
    assert text == translated["translation"]
