"""Downloads from the hub: a server on this machine answers as the real one does."""

import socket
import threading
import time

import pytest
from hf_models import assert_same, gpt2, make

import core.hub
from core.errors import RunError
from core.model.hf import import_pretrained, keep
from core.run import list_runs, load
from core.tokenizer import load_tokenizer, train_bpe
from tests.fake_hub import COMMIT, point, serving


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """hub(address): an address for the hub, and an empty cache."""
    return lambda address: point(monkeypatch, address, tmp_path / "cache")


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Serves tmp_path/repository as org/name of the hub; the handler's class."""
    with serving(monkeypatch, tmp_path / "repository", tmp_path / "cache") as handler:
        yield handler


def test_a_model_of_the_hub(serve, tmp_path, monkeypatch, hub):
    repository = tmp_path / "repository"
    theirs = make(gpt2())
    theirs.save_pretrained(repository, max_shard_size="20KB")
    (repository / "README.md").write_text("---\nlicense: mit\ntags: [x]\n---\n\n# The card\n")
    (repository / "model.py").write_text("raise SystemExit")
    (repository / "pytorch_model.bin").write_bytes(b"pickle")
    run = load("hf:org/name")
    assert run.name == "hf:org/name" and run.card == "# The card\n"
    assert_same(run.model, theirs)
    assert not [path for path in serve.asked if path.endswith((".bin", ".py"))]
    asked = len(serve.asked)
    assert load("hf:org/name").directory == run.directory and len(serve.asked) == asked  # asked once
    assert load("hf:org/name@v1").directory == run.directory
    assert import_pretrained("hf:org/name", revision=COMMIT).directory == run.directory
    with pytest.raises(RunError, match="there is no such revision"):
        load("hf:org/name@v2")
    with pytest.raises(RunError, match="There is no model hf:org/other that you may read"):
        load("hf:org/other")
    hub("http://127.0.0.1:9")  # from here on without the hub
    assert load("hf:org/name@v1").directory == load("hf:org/name").directory == run.directory
    import huggingface_hub

    monkeypatch.setattr(core.hub, "_found", {})
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert load("hf:org/name").directory == run.directory
    with pytest.raises(RunError, match="hf:org/new is not in the cache on this machine, and HF_HUB_OFFLINE is set"):
        load("hf:org/new")


@pytest.mark.parametrize(
    ("model_type", "kind"), [("gpt2", "AutoModelForCausalLM"), ("marian", "AutoModelForSeq2SeqLM")]
)
def test_pickled_weights_are_not_fetched(serve, tmp_path, model_type, kind):
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "pytorch_model.bin").write_bytes(b"pickle")
    serve.model_type = model_type
    sentence = rf"only pickled weights .*{kind}.*from_pretrained\('org/name'\)\.save_pretrained\('DIRECTORY'\)"
    with pytest.raises(RunError, match=sentence):
        load("hf:org/name")
    assert len(serve.asked) == 1


def test_one_file_of_weights_is_enough(serve, tmp_path):
    """Where a repository has its weights in one file and in shards, one file is fetched."""
    theirs = make(gpt2())
    theirs.save_pretrained(tmp_path / "repository", max_shard_size="20KB")
    theirs.save_pretrained(tmp_path / "whole")
    (tmp_path / "whole" / "model.safetensors").rename(tmp_path / "repository" / "model.safetensors")
    assert_same(load("hf:org/name").model, theirs)
    assert not [path for path in serve.asked if "model-" in path or "index" in path]


def test_a_token_is_shown(serve, tmp_path, monkeypatch):
    make(gpt2()).save_pretrained(tmp_path / "repository")
    serve.token = "hf_secret"
    with pytest.raises(RunError, match="hf:org/name is gated: accept its terms on the hub and set HF_TOKEN"):
        load("hf:org/name")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(core.hub, "_failed", {})
    assert load("hf:org/name").model.num_parameters() > 0


def test_how_far_a_download_is(serve, tmp_path, monkeypatch):
    """Told in bytes while it goes on, and at its end all of them; what is in the cache costs nothing."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    repository = tmp_path / "repository"
    make(gpt2(vocab=4_000)).save_pretrained(repository)
    serve.wait = threading.Event()
    told, seen = [], threading.Event()

    def progress(done, total):
        told.append((done, total))
        seen.set()

    thread = threading.Thread(target=lambda: load("hf:org/name", progress=progress))
    thread.start()
    total = sum(p.stat().st_size for p in repository.iterdir())
    assert seen.wait(20) and told[0][0] < total
    serve.wait.set()
    thread.join(30)
    assert told[-1] == (total, total) and [done for done, _ in told] == sorted(done for done, _ in told)
    core.hub._found.clear()
    told.clear()
    load("hf:org/name", progress=progress)
    assert told == []


def test_a_tokenizer_of_the_hub(serve, tmp_path):
    tokenizer = train_bpe(["the cat sat on the mat"] * 5, 270)
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "tokenizer.json").write_text(tokenizer.to_json())
    (tmp_path / "repository" / "model.safetensors").write_bytes(b"x" * 1000)
    assert load_tokenizer("hf:org/name").encode("the mat").ids == tokenizer.encode("the mat").ids
    assert not [path for path in serve.asked if path.endswith(".safetensors")]
    with pytest.raises(RunError, match="There is no model hf:org/other"):
        load_tokenizer("hf:org/other")
    (tmp_path / "repository" / "tokenizer.json").unlink()
    core.hub._found.clear()
    with pytest.raises(RunError, match="hf:org/name has no tokenizer.json, nor other files"):
        load_tokenizer("hf:org/name")


def test_an_imported_model_stays(serve, tmp_path, hub):
    """`keep` makes a run of it, which needs neither the hub nor the cache."""
    theirs = make(gpt2())
    theirs.save_pretrained(tmp_path / "repository", max_shard_size="20KB")
    directory = keep(import_pretrained("hf:org/name@v1"), runs_dir=tmp_path / "runs")
    assert directory.name == "name" and not [p for p in directory.iterdir() if p.is_symlink()]
    (info,) = [info for info in list_runs(tmp_path / "runs") if not info.bundled]
    assert (info.name, info.family, info.has_model, info.error) == ("name", "gpt", True, "")
    assert info.status.message == "imported from hf:org/name@v1"
    hub("http://127.0.0.1:9")
    assert_same(load("name", tmp_path / "runs").model, theirs)


def test_no_hub_is_said_at_once(hub, monkeypatch):
    with socket.socket() as listener:  # takes connections and never answers
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        hub(f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setattr(core.hub, "TIMEOUT", 0.3)
        outcome = []

        def attempt():
            try:
                load("hf:org/name")
            except RunError as error:
                outcome.append(str(error))

        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(10)
    assert outcome and "hf:org/name is not in the cache on this machine, and the hub cannot be reached" in outcome[0]
    hub("http://127.0.0.1:9")  # nobody listens
    with pytest.raises(RunError, match="cannot be reached"):
        load("hf:org/other")


def test_a_hub_that_stops_answering_is_said(serve, tmp_path, monkeypatch):
    """It lists the files, and then says nothing more."""
    make(gpt2()).save_pretrained(tmp_path / "repository")
    stop = threading.Event()
    answer = serve.do_GET

    def do_HEAD(self):
        stop.wait(20)
        answer(self)

    serve.do_HEAD = do_HEAD
    monkeypatch.setattr(core.hub, "TIMEOUT", 0.3)
    began = time.monotonic()
    with pytest.raises(RunError, match="hf:org/name could not be downloaded"):
        load("hf:org/name")
    stop.set()
    assert time.monotonic() - began < 15
