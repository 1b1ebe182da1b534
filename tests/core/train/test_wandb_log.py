"""wandb: offline for real, and every way in which it can fail; none of them stops or holds up training."""

import json
import os
import signal
import sys
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core.config import RunConfig
from core.files import append_jsonl, read_jsonl
from core.run import create_run, read_status
from core.train import wandb_log
from core.train.loop import train

KEY = "a" * 40
TINY = {
    "model": {"family": "gpt", "d_model": 16, "n_layers": 1, "n_heads": 2, "max_seq_len": 16},
    "tokenizer": {"kind": "char"},
    "train": {"max_steps": 6, "batch_tokens": 64, "val_every": 3, "checkpoint_every": 2, "sample_every": 3,
              "log_every": 1, "threads": 1},
    "optim": {"warmup_steps": 1},
    "decode": {"max_new_tokens": 4},
}  # fmt: skip

FAKE = """
import json, os, sys, time
from pathlib import Path

class Settings:
    def __init__(self, **values): pass

class Table:
    def __init__(self, columns, data): self.columns, self.data = columns, data

class Run:
    url = "https://wandb.example/run"
    def __init__(self, values): self.out = open(values["dir"] + "/said.jsonl", "a"); self.note("init", values)
    def note(self, what, values):
        values = {k: v.data if isinstance(v, Table) else v for k, v in values.items() if k != "settings"}
        print(json.dumps([what, values]), file=self.out, flush=True)
    def define_metric(self, name, **values): self.note("define", {"name": name, **values})
    def log(self, values):
        if os.environ["BREAKS"] == "log": raise RuntimeError("no more today")
        if os.environ["BREAKS"] == "dies": os._exit(7)
        self.note("log", values)
    def finish(self, exit_code):
        if os.environ["BREAKS"] == "finish": time.sleep(600)
        if os.environ["BREAKS"] == "slow": raise TimeoutError
        self.note("finish", {"exit_code": exit_code})

def init(**values):
    print("noise on standard output")
    if os.environ["BREAKS"] == "exit": sys.exit("no")
    return Run(values)
"""


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    """No key of whoever runs the tests, and no setting of theirs."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A wandb that notes what it is told, or breaks where it is asked to."""
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "wandb.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("BREAKS", "")
    return lambda how: monkeypatch.setenv("BREAKS", how)


def make(tmp_path, *overrides, name="r"):
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be, that is the question\n" * 20)
    config = RunConfig.from_dict(TINY).with_overrides(
        [f"data.name={text}", "data.val_fraction=0.2", "train.wandb=online", *overrides]
    )
    return create_run(config, name, tmp_path / "runs")


def run(directory, **options):
    said = []
    began = time.monotonic()
    status = train(directory, echo=said.append, **options)
    return status, [line for line in said if line.startswith("wandb")], time.monotonic() - began


def notes(directory):
    return [json.loads(line) for line in (directory / "said.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("asked", "key", "environment", "mode"),
    [
        ("online", True, "", "online"), ("online", False, "", "offline"), ("offline", True, "", "offline"),
        ("disabled", True, "online", "disabled"), ("auto", True, "", "online"), ("auto", False, "", "disabled"),
        ("auto", True, "offline", "offline"), ("auto", True, "disabled", "disabled"),
        ("auto", False, "online", "offline"), ("auto", True, "nonsense", "disabled"),
    ],
)  # fmt: skip
def test_the_mode(asked, key, environment, mode, monkeypatch):
    if key:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
    if environment:
        monkeypatch.setenv("WANDB_MODE", environment)
    assert wandb_log.choose_mode(asked) == mode


def test_a_key_from_wandb_login(tmp_path, monkeypatch):
    assert not wandb_log.has_key()
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai login user password {KEY}\n")
    assert wandb_log.has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert not wandb_log.has_key()  # a key for another server
    (tmp_path / "netrc").write_text("machine\n{")
    assert not wandb_log.has_key()


def test_offline_keeps_the_run_and_says_how_to_send_it(tmp_path):
    directory = make(tmp_path)
    status, said, seconds = run(directory)
    assert status.state == "done" and status.wandb_url == "" and seconds < 120
    assert "no WANDB_API_KEY" in said[0]
    name = json.loads((directory / "wandb_run.json").read_text())["id"]
    assert said[1].endswith(f"wandb sync --yes {directory.resolve()}/wandb/offline-run-*-{name}") and len(said) == 2
    (kept,) = (directory / "wandb").glob(f"offline-run-*-{name}/*.wandb")
    data = kept.read_bytes()
    assert b"val_loss" in data and b"grad_norm" in data and b"question" not in data
    assert list((directory / "wandb").glob("offline-run-*/files/media/table/samples*.json"))


def test_no_network_is_offline_after_seconds(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    status, said, seconds = run(directory := make(tmp_path))
    assert status.state == "done" and seconds < 120
    assert "not online" in said[0] and "127.0.0.1:9" in said[0] and "wandb sync" in said[1] and len(said) == 2
    (kept,) = (directory / "wandb").glob("offline-run-*/*.wandb")
    assert b"val_loss" in kept.read_bytes()


@pytest.mark.parametrize("key", [KEY, "short"])
def test_a_wrong_key_is_offline_after_seconds(key, tmp_path, monkeypatch):
    class Refuses(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b'{"errors": [{"message": "user is not logged in"}]}')

        do_GET = do_POST

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("WANDB_API_KEY", key)
    status, said, seconds = run(directory := make(tmp_path))
    server.shutdown()
    server.server_close()
    assert status.state == "done" and seconds < 120
    assert "not online" in said[0] and "wandb sync" in said[1] and key not in "".join(said)
    assert list((directory / "wandb").glob("offline-run-*/*.wandb"))


def test_online_the_link_and_every_line(fake, tmp_path):
    status, said, _ = run(directory := make(tmp_path))
    assert status.wandb_url == read_status(directory).wandb_url == "https://wandb.example/run"
    assert said == ["wandb: https://wandb.example/run"]
    heard = notes(directory)
    begin = heard[0][1]
    assert begin["mode"] == "online" and begin["resume"] == "allow" and begin["config"]["model"]["d_model"] == 16
    logged = [values for what, values in heard if what == "log"]
    metrics = [{k: v for k, v in line.items() if k != "time"} for line in read_jsonl(directory / "metrics.jsonl")]
    assert [line for line in logged if "samples" not in line] == metrics and len(metrics) > 6
    assert [line["step"] for line in logged if "samples" in line] == [3, 6]
    assert heard[-1] == ["finish", {"exit_code": 0}]


def test_a_resumed_run_goes_on_under_its_number(fake, tmp_path):
    directory = make(tmp_path, "train.max_steps=3")
    run(directory)
    config = json.loads((directory / "config.json").read_text())
    config["train"]["max_steps"] = 6
    (directory / "config.json").write_text(json.dumps(config))
    run(directory, resume=True)
    heard = notes(directory)
    assert len({values["id"] for what, values in heard if what == "init"}) == 1
    assert [v["step"] for what, v in heard if what == "log" and "loss" in v] == [1, 2, 3, 4, 5, 6]  # none twice
    assert {"name": "*", "step_metric": "step"} in [v for what, v in heard if what == "define"]


def test_a_run_that_was_not_logged_before_is_logged_whole(fake, tmp_path):
    directory = make(tmp_path)
    for step in (1, 2):
        append_jsonl(directory / "metrics.jsonl", {"step": step, "loss": 2.0})
    append_jsonl(directory / "metrics.jsonl", ["no line of ours"])  # type: ignore[arg-type]
    log = wandb_log.start(RunConfig.from_dict(json.loads((directory / "config.json").read_text())), directory, print)
    log.finish()
    assert [v["step"] for what, v in notes(directory) if what == "log"] == [1, 2]


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("log", "logging has ended (no more today)"), ("dies", "its process has ended"),
        ("exit", "its process has ended"),
        ("slow", "not all could be sent"),
    ],
)  # fmt: skip
def test_a_wandb_that_breaks(how, sentence, fake, tmp_path):
    fake(how)
    status, said, seconds = run(make(tmp_path))
    assert status.state == "done" and status.step == 6 and seconds < 120
    assert len([line for line in said if sentence in line]) == 1


def test_a_wandb_that_never_finishes_is_ended(fake, tmp_path, monkeypatch):
    fake("finish")
    monkeypatch.setattr(wandb_log, "FINISH", 2.0)
    status, said, seconds = run(make(tmp_path))
    assert status.state == "done" and seconds < 120
    assert "did not finish within 2 s" in said[-1]


def test_one_that_hangs_from_the_start_holds_nothing_up(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(wandb_log, "FINISH", 1.0)
    directory = make(tmp_path)
    said = []
    log = wandb_log.start(
        RunConfig.from_dict(json.loads((directory / "config.json").read_text())), directory, said.append
    )
    os.kill(log._process.pid, signal.SIGSTOP)
    began = time.monotonic()
    log.finish()
    log.finish()  # once is enough
    assert 0.9 < time.monotonic() - began < 60 and log._process.poll() is not None
    assert "was ended" in said[-1] and len([line for line in said if "was ended" in line]) == 1


def test_it_does_not_outlive_a_killed_training(fake, tmp_path):
    """And marks the run as failed."""
    import subprocess

    directory = make(tmp_path)
    code = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from core.run import read_config
        from core.train import wandb_log
        log = wandb_log.start(read_config(Path(sys.argv[1])), Path(sys.argv[1]), print)
        print(log._process.pid, flush=True)
        time.sleep(60)
    """)
    process = subprocess.Popen([sys.executable, "-c", code, str(directory)], stdout=subprocess.PIPE)
    pid = next(int(line) for line in process.stdout if line.strip().isdigit())  # others are of wandb
    process.kill()
    process.wait()
    process.stdout.close()
    end = time.monotonic() + 60
    while time.monotonic() < end and os.path.exists(f"/proc/{pid}"):
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")
    assert notes(directory)[-1] == ["finish", {"exit_code": 1}]
