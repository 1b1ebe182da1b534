"""Hugging Face datasets: directories on disk, a small hub on the loopback interface, and no hub at all."""

import csv
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core.config import DataConfig
from core.data import load_corpus
from core.data.hub import _hub_answers, load_rows
from core.errors import DataError

ROWS = [(f"sentence {i}", f"文{i}") for i in range(30)]
COMMIT = "a" * 40


def table(rows):
    text = io.StringIO()
    csv.writer(text).writerows([("src", "tgt"), *rows])
    return text.getvalue()


LINES = [f"line {i} of a stream, with {i * i} in it" for i in range(3_000)]
README = """---
configs:
- config_name: small
  data_files:
  - {split: train, path: small.csv}
  - {split: validation, path: val.csv}
- config_name: large
  data_files: large.csv
---
"""


def parquet(lines):
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": lines}), file, row_group_size=100)
    return file.getvalue()


FILES = {
    "README.md": README.encode(),
    "small.csv": table(ROWS[:20]).encode(),
    "val.csv": table(ROWS[20:]).encode(),
    "large.csv": table(ROWS).encode(),
}
STREAM_FILES = {f"train-{n}.parquet": parquet(LINES[n * 1_000 : n * 1_000 + 1_000]) for n in range(3)}
REPOSITORIES = {"org/pairs": FILES, "org/stream": STREAM_FILES}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's HTTP interface as reading public datasets needs."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body=b"", kind="application/json", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def repository(self):
        """The name of the repository that is asked for, and its files."""
        for name, files in REPOSITORIES.items():
            if f"/datasets/{name}" in self.path:
                return name, files
        return "", {}

    def entry(self, name):
        body = self.repository()[1][name]
        return {"type": "file", "path": name, "size": len(body), "oid": f"{len(body):040x}"}

    def do_GET(self):
        path = self.path.split("?")[0]
        repository, files = self.repository()
        api = f"/api/datasets/{repository}"
        if repository and path in (api, f"{api}/revision/{COMMIT}", f"{api}/revision/main"):
            info = {
                "id": repository,
                "sha": COMMIT,
                "private": False,
                "gated": False,
                "disabled": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "siblings": [{"rfilename": name} for name in files],
            }
            return self.reply(200, json.dumps(info).encode())
        if repository and path.startswith(f"{api}/tree/"):
            return self.reply(200, json.dumps([self.entry(name) for name in files]).encode())
        if repository and path.startswith(f"/datasets/{repository}/resolve/"):
            name = path.rsplit("/", 1)[1]
            if name in files:
                return self.file(name, files[name])
        missing = "EntryNotFound" if repository else "RepoNotFound"
        return self.reply(404, b'{"error": "not found"}', X_Error_Code=missing)

    def file(self, name, body):
        tag = f'"{len(body):040x}"'
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            first, _, last = asked[6:].partition("-")
            start, stop = int(first), min(int(last or len(body) - 1), len(body) - 1)
            where = f"bytes {start}-{stop}/{len(body)}"
            return self.reply(
                206, body[start : stop + 1], "text/csv", ETag=tag, X_Repo_Commit=COMMIT, Content_Range=where
            )
        return self.reply(200, body, "text/csv", ETag=tag, X_Repo_Commit=COMMIT, Accept_Ranges="bytes")

    do_HEAD = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "/paths-info/" in self.path:
            wanted = json.loads(body)["paths"] if body.startswith(b"{") else []
            return self.reply(
                200, json.dumps([self.entry(name) for name in wanted if name in self.repository()[1]]).encode()
            )
        return self.reply(404)


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


STREAM = """
import itertools, json, sys, time
from core.config import DataConfig
from core.data.head import read_head
from core.data.stream import StreamBatches
from core.errors import DataError
from core.tokenizer import CharTokenizer
options, count, resumed = json.loads(sys.stdin.read())
config = DataConfig(name="org/stream", streaming=True, head_examples=100, shuffle_buffer=50, **options)
began = time.monotonic()

def some(place, count):
    walk = StreamBatches(read_head(config, "text"), tokenizer, config, 256, 64).walk(place)
    return [(batches.batch(rows).targets.tolist(), after) for batches, rows, after in itertools.islice(walk, count)]

try:
    tokenizer = CharTokenizer.train(["abcdefghijklmnopqrstuvwxyz 0123456789,"])
    steps = some((0, 0), count)
    print(json.dumps(steps))
    print(json.dumps([some(steps[at][1], 3) == steps[at + 1 : at + 4] for at in resumed]))
except DataError as error:
    print(json.dumps([str(error), time.monotonic() - began]))
"""
SCRIPT = """
import json, sys
from core.config import DataConfig
from core.data import load_corpus
from core.errors import DataError
for kind, values in json.loads(sys.stdin.read()):
    try:
        corpus = load_corpus(DataConfig(**values), kind)
        print(json.dumps([corpus.train, corpus.val]))
    except DataError as error:
        print(json.dumps(str(error)))
"""


def in_a_fresh_process(cases, endpoint, cache, script=SCRIPT):
    """The endpoint is read when huggingface_hub is imported, so it has to be another process."""
    outside = {
        key: value for key, value in os.environ.items() if not key.startswith("HF_") and "proxy" not in key.lower()
    }
    environment = {**outside, "HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(cases),
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_hub_on_the_loopback_interface(hub, tmp_path):
    small = {"name": "org/pairs", "configuration": "small"}
    loaded, with_val, streamed, text, unnamed, no_split, no_column, unknown, whole = in_a_fresh_process(
        [
            ("pairs", small),
            ("pairs", {**small, "val_data": "validation"}),
            ("pairs", {"name": "org/pairs", "configuration": "large", "streaming": True, "max_examples": 12}),
            ("text", {**small, "text_column": "tgt"}),
            ("pairs", {"name": "org/pairs"}),
            ("pairs", {**small, "split": "test"}),
            ("pairs", {**small, "src_column": "en"}),
            ("pairs", {"name": "org/unknown"}),
            ("pairs", {**small, "streaming": True}),
        ],
        hub,
        tmp_path,
    )
    assert sorted(tuple(pair[:2]) for part in loaded for pair in part) == sorted(ROWS[:20])
    assert [tuple(pair[:2]) for pair in with_val[0]] == ROWS[:20]
    assert [tuple(pair[:2]) for pair in with_val[1]] == ROWS[20:]
    assert sorted(tuple(pair[:2]) for part in streamed for pair in part) == sorted(ROWS[:12])
    assert sorted(text[0] + text[1]) == sorted(t for _, t in ROWS[:20])
    assert unnamed == "org/pairs has several configurations; set data.configuration to one of: small, large."
    assert no_split.startswith("org/pairs has no split 'test'; its splits are") and "validation" in no_split
    assert no_column == "org/pairs has no column 'en'; its columns are src, tgt (see data.src_column)."
    assert "no dataset 'org/unknown'" in unknown
    assert sorted(tuple(pair[:2]) for part in whole for pair in part) == sorted(ROWS[:20])


def test_without_a_hub_only_what_is_cached_loads(hub, tmp_path):
    small = ("pairs", {"name": "org/pairs", "configuration": "small"})
    in_a_fresh_process([small], hub, tmp_path)
    cached, unreachable, streamed = in_a_fresh_process(
        [
            small,
            ("pairs", {"name": "org/other"}),
            ("text", {"name": "org/other", "streaming": True, "max_examples": 5}),
        ],
        "http://127.0.0.1:9",
        tmp_path,
    )
    assert len(cached[0]) + len(cached[1]) == 20
    assert unreachable == (
        "The Hugging Face hub cannot be reached, and org/other is not in the cache; connect, or name a file."
    )
    assert "cannot be reached" in streamed


def test_a_stream_of_the_hub_goes_on_where_it_was(hub, tmp_path):
    steps, resumed = in_a_fresh_process([{}, 420, [0, 130, 330]], hub, tmp_path, STREAM)
    assert len(steps) == 420 and {place[1] for _, place in steps} == {0, 1, 2} and steps[-1][1][0] == 0
    targets = [tuple(row) for made, _ in steps for row in made]
    assert len(set(targets)) > 0.99 * len(targets)
    assert resumed == [True] * 3


def test_a_hub_that_stalls_in_the_middle_is_given_up(hub, tmp_path, monkeypatch):
    """All files but the first are promised and never sent."""
    release, real = threading.Event(), Hub.file

    def stalls(self, name, body):
        if name in ("train-1.parquet", "train-2.parquet") and self.command == "GET":
            release.wait(60)
        return real(self, name, body)

    monkeypatch.setattr(Hub, "file", stalls)
    try:
        ((message, seconds),) = in_a_fresh_process([{"timeout": 3.0}, 1_000, []], hub, tmp_path, STREAM)
    finally:
        release.set()
    assert message == (
        "org/stream has not answered for 3 seconds; what was saved before stands. Look at the connection, and resume."
    )
    assert seconds < 40


def test_a_hub_that_never_answers_is_given_up_within_seconds(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and says nothing
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "*")
        started = time.monotonic()
        assert not _hub_answers("org/pairs")
        assert 4 < time.monotonic() - started < 60


def test_directories_on_disk(tmp_path):
    import datasets

    data = datasets.Dataset.from_dict({"src": [s for s, _ in ROWS], "tgt": [t for _, t in ROWS]})
    data.save_to_disk(str(tmp_path / "saved"))
    datasets.DatasetDict({"train": data, "validation": data.select(range(3))}).save_to_disk(str(tmp_path / "splits"))
    (tmp_path / "files").mkdir()
    data.to_parquet(str(tmp_path / "files" / "train.parquet"))
    for folder in ("saved", "splits", "files"):
        corpus = load_corpus(DataConfig(name=str(tmp_path / folder)), "pairs")
        assert sorted((p.src, p.tgt) for p in corpus.train + corpus.val) == sorted(ROWS)
    assert len(load_rows(str(tmp_path / "splits"), split="validation")) == 3
    with pytest.raises(DataError, match="no split 'test'; its splits are train, validation"):
        load_rows(str(tmp_path / "splits"), split="test")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no data files"):
        load_rows(str(tmp_path / "none"))
    (tmp_path / "none" / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read as a dataset"):
        load_rows(str(tmp_path / "none"))


@pytest.mark.parametrize("name", ["a b", "a/b/c/d", "-x-", "x" * 200, "日本語"])
def test_what_cannot_be_a_name(name):
    with pytest.raises(DataError, match="neither a file|cannot be read"):
        load_rows(name)
