"""`llm-scratch deploy` and `prepare --on modal`, in processes of their own, with a stand-in for Modal's server."""

import json
import os
import subprocess
import sys

import pytest

from remote import names
from tests.remote.deployed import ROOT, deployed
from tests.remote.modal_stand_in import ModalStandIn


@pytest.fixture
def server(tmp_path):
    with ModalStandIn(tmp_path / "modal") as found:
        yield found
        assert not found.errors, found.errors[0]


def run(server, *words, **more):
    environment = os.environ | server.environment() | more
    return subprocess.run(
        [sys.executable, "-m", "playground", *words], cwd=ROOT, capture_output=True, text=True, env=environment,
        timeout=120,
    )  # fmt: skip


def test_checked_deployed_and_checked_again(server):
    before = run(server, "deploy", "--check", "--json")
    found = json.loads(before.stdout)
    assert before.returncode == 1 and found["signed_in"] and not found["deployed"]
    assert "llm-scratch deploy" in found["message"] and found["prices"]["gpus"]["H100"]["usd_per_hour"] > 1
    server.secrets = {"wandb-secret": {"WANDB_API_KEY": "k"}}
    done = run(server, "deploy", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads(done.stdout)  # what Modal's library prints while it builds is on stderr
    assert document["secrets"] == ["wandb"] and document["url"].startswith("http")
    assert len(server.function(names.APP, "train_run").secret_ids) == 1
    after = run(server, "deploy", "--check")
    assert after.returncode == 0 and "signed in, and the app is deployed" in after.stdout and "H100" in after.stdout


def test_what_cannot_be_deployed(server):
    missing = run(server, "deploy", "--secret", "signin")
    assert missing.returncode == 1 and "modal secret create llm-scratch-signin" in missing.stderr
    assert run(server, "deploy", "--nodes", "1").returncode == 1
    wrong = run(server, "deploy", MODAL_TOKEN_SECRET="wrong")
    assert wrong.returncode == 1 and "does not accept this machine's token" in wrong.stderr
    assert "Traceback" not in missing.stderr + wrong.stderr


def test_data_that_is_prepared_is_found_by_training(tmp_path):
    with deployed(tmp_path) as server:
        text = tmp_path / "text.txt"
        text.write_text("\n".join(f"the {n} houses of the {n % 7} streets are {n * n} years old" for n in range(900)))
        words = [
            "gpt-shakespeare",
            "--data",
            str(text),
            "--set",
            "tokenizer.kind=bpe",
            "--set",
            "tokenizer.vocab_size=300",
        ]
        done = run(server, "prepare", *words, "--on", "modal", "--json", "--output", str(tmp_path / "tokenizer.json"))
        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads(done.stdout)
        here = json.loads(run(server, "prepare", *words, "--json", RUNS_DIR=str(tmp_path / "runs")).stdout)
        for result in (found, here):
            result["preview"].pop("seconds")
            result["preview"].pop("description")  # names the file
            result.pop("data")
        assert found == here and found["train"]["tokens"] > 1000
        assert json.loads((tmp_path / "tokenizer.json").read_text())["model"]["type"] == "BPE"
        kept = names.RUNS / ".cache" / "tokens"
        before = {path.name for path in kept.iterdir()}
        assert len(before) >= 3  # a tokenizer, the ids of both parts
        tiny = ["--set", "train.max_steps=3", "--set", "model.d_model=36", "--set", "model.n_layers=1"]
        done = run(server, "train", *words, *tiny, "--on", "modal", "--run-name", "p", RUNS_DIR=str(tmp_path / "runs"))
        assert done.returncode == 0, done.stderr[-2000:]
        assert {path.name for path in kept.iterdir()} == before
        bad = run(server, "prepare", "demo", "--data", "no/such-set-anywhere", "--on", "modal")
        assert bad.returncode == 1 and "no/such-set-anywhere" in bad.stderr and "Traceback" not in bad.stderr
