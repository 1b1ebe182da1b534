"""The Volume, asked through Modal's own library, of a server on this machine that stands for Modal's."""

import os
import random
import shutil
import time

import pytest
from grpclib import Status

from core.run import BUNDLED, load
from remote import link, names
from remote.transfer import delete_remote, pull, push, remote_runs, store
from remote.transfer.store import Entry, FolderStore, VolumeStore, default_store

BLOCK = 8 << 20


def content(size, seed=0):
    return random.Random(seed).randbytes(size)


@pytest.fixture(params=[1, 2])
def volume(request, modal_server):
    """(store, the Volume's directory), for both kinds of Volumes."""
    modal_server.files.named(names.VOLUME, request.param)
    return VolumeStore(), modal_server.volume(names.VOLUME)


@pytest.fixture
def first_kind(modal_server):
    return VolumeStore(), modal_server.volume(names.VOLUME)


def put(directory, path, data):
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / path).write_bytes(data)


@pytest.mark.parametrize("size", [0, 100_000, 5_000_000, 2 * BLOCK + 77])
def test_a_file_there_and_back(size, volume, tmp_path):
    files, directory = volume
    data = content(size)
    (tmp_path / "file").write_bytes(data)
    told = []
    files.write("runs/a/x.bin", tmp_path / "file", told.append)
    assert (directory / "runs/a/x.bin").read_bytes() == data
    assert told[-1] == size and told == sorted(told)
    assert [(e.path, e.size) for e in files.list("runs")] == [("runs/a/x.bin", size)]
    assert b"".join(files.read("runs/a/x.bin")) == data


@pytest.mark.parametrize("start", [1, BLOCK, BLOCK + 1, 2 * BLOCK + 76, 2 * BLOCK + 77])
def test_the_rest_of_a_file(start, volume, modal_server):
    files, directory = volume
    data = content(2 * BLOCK + 77)
    put(directory, "data/x/big.bin", data)
    assert b"".join(files.read("data/x/big.bin", start)) == data[start:]
    assert modal_server.last["VolumeGetFile2"].start == start  # what is here was not sent again


def test_where_the_library_cannot_begin_in_the_middle(volume, monkeypatch):
    files, directory = volume
    data = content(BLOCK + 500)
    put(directory, "big.bin", data)
    for error in (ImportError("moved"), AttributeError("renamed"), ValueError("not that part")):
        monkeypatch.setattr(VolumeStore, "_rest", lambda *args, error=error: _raise(error))
        for start in (1, BLOCK, BLOCK + 499):
            assert b"".join(files.read("big.bin", start)) == data[start:]


def test_an_upload_says_how_far_it_is(volume, tmp_path, monkeypatch):
    """Where the library of this version can say it; else it is sent without a word."""
    files, directory = volume
    (tmp_path / "file").write_bytes(content(5_000_000))
    sent = store._Sent()
    store._upload(files._volume(make=True), "x", tmp_path / "file", sent)
    assert sent.count == 5_000_000
    for error in (ImportError("moved"), AttributeError("renamed"), TypeError("other arguments")):
        monkeypatch.setattr(store, "_upload", lambda *args, error=error: _raise(error))
        files.write("y", tmp_path / "file")
        assert (directory / "y").read_bytes() == (directory / "x").read_bytes() == content(5_000_000)
        (directory / "y").unlink()


def _raise(error):
    raise error


def test_zeros_at_the_end_of_blocks_are_restored(volume):
    """Modal need not send them."""
    files, directory = volume
    data = content(1000) + bytes(BLOCK + 5000)
    put(directory, "zeros.bin", data)
    assert b"".join(files.read("zeros.bin")) == data and b"".join(files.read("zeros.bin", 500)) == data[500:]


def test_a_file_is_replaced_and_removed(volume, tmp_path):
    files, directory = volume
    put(directory, "runs/a/x", b"old")
    (tmp_path / "new").write_bytes(b"newer")
    files.write("runs/a/x", tmp_path / "new")
    assert (directory / "runs/a/x").read_bytes() == b"newer"
    put(directory, "runs/a/deep/y", b"")
    files.remove("runs/a")
    assert files.list("runs") == [] and not (directory / "runs/a").exists()


@pytest.mark.parametrize("path", ["nothing", "runs/my-app", "runs/a-function/x", "runs/class '1'"])
def test_what_is_not_there(path, volume):
    files, _ = volume
    assert files.list(path) == []
    with pytest.raises(link.NotThere, match="is not there on Modal"):
        list(files.read(path))
    with pytest.raises(link.CloudError):
        list(files.read(path, 5))


def test_no_volume_yet(modal_server, tmp_path):
    """Before the first launch, nothing is made by looking; the first push makes it."""
    files = VolumeStore()
    assert files.list("runs") == [] and remote_runs(files) == []
    with pytest.raises(link.NotThere, match="The run demo is not there on Modal"):
        pull("demo", tmp_path)
    assert not modal_server.files.volumes
    shutil.copytree(BUNDLED / "shakespeare-gpt", tmp_path / "runs" / "mine")
    push("mine", tmp_path / "runs")
    assert (modal_server.volume(names.VOLUME) / "runs/mine/model.safetensors").is_file()


def test_a_run_there_and_back(first_kind, tmp_path):
    files, directory = first_kind
    shutil.copytree(BUNDLED / "enja-transformer", tmp_path / "runs" / "mine")
    (tmp_path / "runs" / "mine" / "checkpoints").mkdir()
    first = push("mine", tmp_path / "runs")
    assert push("mine", tmp_path / "runs").files == ["status.json"]
    done = pull("mine", tmp_path / "other", "all")
    assert done.files == first.files and done.bytes >= 13_000_000
    for path in done.files:
        if path not in ("status.json", "config.json"):
            assert (tmp_path / "other/mine" / path).read_bytes() == (tmp_path / "runs/mine" / path).read_bytes()
    assert load("mine", tmp_path / "other").tokenizer.encode("hello").ids
    assert pull("mine", tmp_path / "other", "all").files == ["config.json", "status.json"]
    (run,) = remote_runs()
    assert (run["name"], run["state"], run["family"], run["has_model"]) == ("mine", "done", "transformer", True)
    delete_remote("mine")
    assert remote_runs() == [] and list(directory.glob("runs/*")) == []


def test_a_download_that_breaks_goes_on_where_it_broke(volume, modal_server, tmp_path):
    files, directory = volume
    shutil.copytree(BUNDLED / "enja-transformer", directory / "runs" / "mine")
    size = (directory / "runs/mine/model.safetensors").stat().st_size
    modal_server.break_download_after(BLOCK + 100_000, times=None)
    with pytest.raises(link.CloudError):
        pull("mine", tmp_path)
    part = tmp_path / ".pull/mine/model.safetensors.part"
    kept = part.stat().st_size
    assert 0 < kept < size and not (tmp_path / "mine").exists()
    modal_server.recover()
    done = pull("mine", tmp_path)
    assert done.bytes == sum((directory / "runs/mine" / path).stat().st_size for path in done.files) - kept
    for path in ("model.safetensors", "tokenizer.json", "metrics.jsonl"):
        assert (tmp_path / "mine" / path).read_bytes() == (directory / "runs/mine" / path).read_bytes()


def test_a_break_that_heals_is_not_noticed(first_kind, modal_server, tmp_path):
    files, directory = first_kind
    shutil.copytree(BUNDLED / "enja-transformer", directory / "runs" / "mine")
    modal_server.break_download_after(BLOCK + 100_000, times=2)
    pull("mine", tmp_path)
    assert (tmp_path / "mine/model.safetensors").read_bytes() == (
        directory / "runs/mine/model.safetensors"
    ).read_bytes()


def test_a_break_in_the_rest_of_a_file(volume, modal_server):
    files, directory = volume
    put(directory, "big.bin", content(2 * BLOCK))
    modal_server.break_download_after(1000, times=None)
    with pytest.raises(link.CloudError, match="connection to Modal broke"):
        list(files.read("big.bin", 77))
    modal_server.recover()
    assert b"".join(files.read("big.bin", 77)) == content(2 * BLOCK)[77:]


def test_a_reader_may_stop_in_the_middle(volume):
    files, directory = volume
    put(directory, "big.bin", content(6 * BLOCK))
    reading = files.read("big.bin")
    assert next(reading) == content(6 * BLOCK)[:BLOCK]
    reading.close()
    assert b"".join(files.read("big.bin")) == content(6 * BLOCK)


def test_a_slow_disk_does_not_fill_the_memory(monkeypatch):
    """Blocks are fetched ahead, but not many."""

    class Endless:
        fetched = 0

        def read_file(self, path):
            while self.fetched < 1000:
                self.fetched += 1
                yield b"block"

    volume = Endless()
    monkeypatch.setattr(VolumeStore, "_volume", lambda self: volume)
    monkeypatch.setattr(link, "_check_signed_in", lambda: None)
    reading = VolumeStore().read("x")
    for read in range(1, 20):
        assert next(reading) == b"block"
        time.sleep(0.01)
        assert volume.fetched <= read + store.AHEAD + 1
    assert len(list(reading)) == 1000 - read


def test_a_wrong_token_is_a_sentence(modal_server, monkeypatch, tmp_path):
    from tests.remote.modal_stand_in import forget_client

    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-wrong")
    forget_client()
    shutil.copytree(BUNDLED / "shakespeare-gpt", tmp_path / "runs" / "mine")
    for act in (lambda: pull("demo", tmp_path), lambda: push("mine", tmp_path / "runs"), remote_runs):
        with pytest.raises(link.CloudError, match="does not accept this machine's token"):
            act()


@pytest.mark.parametrize("method", ["VolumeListFiles", "VolumeGetFile2", "MountPutFile", "VolumePutFiles"])
def test_a_server_that_fails_is_a_sentence(method, modal_server, tmp_path):
    modal_server.fail(method, Status.RESOURCE_EXHAUSTED, "too many")
    directory = modal_server.volume(names.VOLUME)
    shutil.copytree(BUNDLED / "shakespeare-gpt", directory / "runs" / "theirs")
    shutil.copytree(BUNDLED / "shakespeare-gpt", tmp_path / "runs" / "mine")
    with pytest.raises(link.CloudError, match="limit for this account is reached .*too many"):
        pull("theirs", tmp_path / "runs") if method in ("VolumeListFiles", "VolumeGetFile2") else push(
            "mine", tmp_path / "runs"
        )


def test_an_upload_without_a_sign_of_life_is_given_up(modal_server, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "BLOCK_SECONDS", 1.0)
    modal_server.hang("VolumePutFiles")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(link.CloudError, match="did not answer within 1 seconds"):
        VolumeStore().write("x", tmp_path / "file")


def test_in_a_container_the_volume_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(names, "STORE", tmp_path)
    assert isinstance(default_store(), VolumeStore)
    monkeypatch.setenv("MODAL_IS_REMOTE", "1")
    assert isinstance(default_store(), FolderStore)
    put(tmp_path, "runs/a/x", b"abc")
    os.utime(tmp_path / "runs/a/x", (5, 5))
    os.symlink("/etc/hostname", tmp_path / "runs/a/link")
    assert default_store().list("runs") == default_store().list("runs/a/x") == [Entry("runs/a/x", 3, 5.0)]
