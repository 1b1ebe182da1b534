"""Files of this machine that a configuration names, on the Volume and back."""

import os
import shutil

import pytest

from core.config import RunConfig
from core.data.sources import load_corpus
from core.errors import DataError
from core.files import read_json, write_json
from core.run import BUNDLED, Status, create_run
from core.tokenizer import load_tokenizer
from core.tokenizer.own import own_path, save_own
from remote import names
from remote.link import CloudError
from remote.transfer import local_data, pull, push
from remote.transfer.local_data import keep_mapping, localised, read_mapping, same_run, stage
from remote.transfer.store import FolderStore


class Counting(FolderStore):
    def __init__(self, directory):
        super().__init__(directory)
        self.written = []
        self.breaks = 0

    def write(self, path, source, told=None):
        if self.breaks:
            self.breaks -= 1
            raise CloudError("The connection to Modal broke: try again.")
        self.written.append(path)
        super().write(path, source, told)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The Volume, mounted as a container sees it: what is staged can be read under its remote name."""
    (tmp_path / "store").mkdir()
    monkeypatch.setattr(names, "STORE", tmp_path / "store")
    return Counting(tmp_path / "store")


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "my data"
    folder.mkdir()
    (folder / "src.txt").write_text("one two\nthree four\nfive six\nseven\n")
    (folder / "tgt.txt").write_text("two one\nfour three\nsix five\nseven!\n")
    (folder / "text (1).jsonl").write_text('{"text": "a line of text"}\n{"text": "another one"}\n{"text": "third"}\n')
    return folder


def config(family="transformer", **sections):
    return RunConfig.from_dict({"model": {"family": family}, **sections})


def pairs_config(files):
    return config(data={"src": str(files / "src.txt"), "tgt": str(files / "tgt.txt"), "val_fraction": 0.3})


def test_what_is_staged_is_what_is_here(store, files):
    before = pairs_config(files)
    told = []
    after, mapping = stage(before, store, lambda *args: told.append(args))
    assert after.data.src.startswith(f"{names.STORE}/data/") and after.data.src.endswith("/src.txt")
    assert mapping == {after.data.src: before.data.src, after.data.tgt: before.data.tgt}
    assert load_corpus(after.data, "pairs").train == load_corpus(before.data, "pairs").train
    assert after.model == before.model and after.train == before.train
    total = sum((files / name).stat().st_size for name in ("src.txt", "tgt.txt"))
    assert told[-1][:2] == (total, total) and [t[0] for t in told] == sorted(t[0] for t in told)


def test_the_same_content_is_sent_once(store, files):
    stage(pairs_config(files), store)
    assert len(store.written) == 2
    stage(pairs_config(files), store)
    shutil.copytree(files, files.with_name("copy"))
    after, mapping = stage(pairs_config(files.with_name("copy")), store)
    assert len(store.written) == 2 and mapping[after.data.src] == str(files.with_name("copy") / "src.txt")
    (files / "src.txt").write_text("ONE two\nthree four\nfive six\nseven\n")  # as long as before
    changed, _ = stage(pairs_config(files), store)
    assert len(store.written) == 3 and changed.data.src != after.data.src


def test_a_file_that_came_only_in_part_is_sent_again(store, files):
    after, _ = stage(pairs_config(files), store)
    with open(after.data.src, "r+") as file:
        file.truncate(3)
    stage(pairs_config(files), store)
    assert (files / "src.txt").read_text() == open(after.data.src).read() and len(store.written) == 3


def test_odd_names_keep_their_ending(store, files):
    before = config("gpt", data={"name": str(files / "text (1).jsonl"), "val_fraction": 0.4})
    after, _ = stage(before, store)
    assert after.data.name.endswith("/text__1_.jsonl")
    assert load_corpus(after.data, "text").train == load_corpus(before.data, "text").train
    (files / ("ü" * 120 + ".txt")).write_text("some text")
    after, _ = stage(config("gpt", data={"name": str(files / ("ü" * 120 + ".txt"))}), store)
    assert after.data.name.endswith("_.txt") and os.path.isfile(after.data.name)


def test_a_relative_name_is_found_from_everywhere(store, files, monkeypatch):
    monkeypatch.chdir(files)
    after, mapping = stage(config("gpt", data={"name": "text (1).jsonl"}), store)
    assert mapping == {after.data.name: str(files / "text (1).jsonl")}


@pytest.mark.parametrize(
    "data",
    [
        {"name": "builtin:enja"},
        {"name": "builtin:pydocs"},
        {"name": "org/set", "val_data": "validation"},
        {"name": "a-set", "val_data": "test"},
        {"name": "/store/data/0123456789abcdef/x.txt"},
    ],
)
def test_what_is_no_file_here_is_left_alone(data, store, monkeypatch):
    if data["name"].startswith("/store"):
        data = {"name": f"{names.STORE}/data/0123456789abcdef/x.txt"}
    before = config("gpt", data=data)
    assert stage(before, store) == (before, {}) and store.written == []


def test_a_hub_set_with_a_file_to_validate(store, files):
    after, mapping = stage(config("gpt", data={"name": "org/set", "val_data": str(files / "text (1).jsonl")}), store)
    assert after.data.name == "org/set" and list(mapping) == [after.data.val_data]


def test_what_is_not_there_is_said(store, files):
    for data in ({"name": "nowhere.txt"}, {"src": str(files / "no.txt"), "tgt": str(files / "tgt.txt")}):
        with pytest.raises(DataError, match="There is no file"):
            stage(config(data=data), store)
    after, mapping = stage(
        config(data={"src": str(files / "no.txt"), "tgt": str(files / "tgt.txt")}), store, missing_ok=True
    )
    assert after.data.src == str(files / "no.txt") and list(mapping) == [after.data.tgt]


def test_what_is_too_large_is_said_before_anything_is_sent(store, files, monkeypatch):
    monkeypatch.setattr(local_data, "MAX_FILE", 34)
    with pytest.raises(DataError, match=r"tgt.txt is too large to be sent to Modal \(up to 0 GiB are\): put it"):
        stage(pairs_config(files), store)
    assert store.written == []
    monkeypatch.setattr(local_data, "MAX_FILE", 1 << 20)
    monkeypatch.setattr(local_data, "MAX_FOLDER", 100)
    with pytest.raises(DataError, match="my data is too large"):
        stage(config("gpt", data={"name": str(files)}), store)


def test_a_folder(store, files):
    folder = files / "set"
    (folder / "deep").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "x.jsonl").write_text("{}")
    shutil.copyfile(files / "text (1).jsonl", folder / "train.jsonl")
    (folder / "deep" / "dataset_info.json").write_text("{}")
    after, mapping = stage(config("gpt", data={"name": str(folder)}), store)
    assert after.data.name.endswith("/set") and mapping == {after.data.name: str(folder)}
    here = sorted(
        os.path.relpath(os.path.join(top, f), after.data.name) for top, _, fs in os.walk(after.data.name) for f in fs
    )
    assert here == ["deep/dataset_info.json", "train.jsonl"]
    written = len(store.written)
    stage(config("gpt", data={"name": str(folder)}), store)
    assert len(store.written) == written
    (folder / "deep" / "dataset_info.json").write_text("[]")  # one file of it is another one
    assert stage(config("gpt", data={"name": str(folder)}), store)[0].data.name != after.data.name


def test_folders_that_cannot_be_sent(store, files, monkeypatch):
    (files / "empty").mkdir()
    with pytest.raises(DataError, match="holds no files"):
        stage(config("gpt", data={"name": str(files / "empty")}), store)
    (files / "text [1].jsonl").write_text("{}")
    with pytest.raises(DataError, match="two files whose names are both text__1_.jsonl"):
        stage(config("gpt", data={"name": str(files)}), store)
    (files / "text [1].jsonl").unlink()
    monkeypatch.setattr(local_data, "MAX_FILES", 2)
    with pytest.raises(DataError, match="more than 2 files"):
        stage(config("gpt", data={"name": str(files)}), store)


def test_a_broken_upload_goes_on(store, files):
    store.breaks = 1
    with pytest.raises(CloudError):
        stage(pairs_config(files), store)
    after, _ = stage(pairs_config(files), store)
    assert os.path.isfile(after.data.src) and os.path.isfile(after.data.tgt)


def test_tokenizers(store, tmp_path, monkeypatch):
    """A file, a folder, and a run of this machine are sent; what a container has too is not."""
    shutil.copytree(BUNDLED / "pydocs-llama", tmp_path / "runs" / "mine")
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    own = load_tokenizer(BUNDLED / "pydocs-llama" / "tokenizer.json").encode("def f():").ids
    for name in ("mine", str(tmp_path / "runs" / "mine"), str(tmp_path / "runs" / "mine" / "tokenizer.json")):
        after, mapping = stage(config("gpt", tokenizer={"path": name}), store)
        assert load_tokenizer(after.tokenizer.path).encode("def f():").ids == own and name in mapping.values()
        assert not os.path.exists(os.path.join(after.tokenizer.path, "model.safetensors"))
    save_own("my-own", load_tokenizer(BUNDLED / "pydocs-llama"), {})
    for name in ("my-own", str(own_path("my-own"))):
        after, mapping = stage(config("gpt", tokenizer={"path": name}), store)
        assert load_tokenizer(after.tokenizer.path).encode("def f():").ids == own and name in mapping.values()
        assert os.listdir(after.tokenizer.path) == ["tokenizer.json"]
    store.written.clear()
    for name in ("shakespeare-gpt", "gpt2", "hf:org/name", "nobody"):
        assert stage(config("gpt", tokenizer={"path": name}), store)[0].tokenizer.path == name
    assert store.written == []


def test_back_to_the_names_of_this_machine(files):
    values = config(data={"src": "/store/data/1/a", "tgt": "/store/data/2/b"}, tokenizer={"path": "/store/data/3/c"})
    mapping = {"/store/data/1/a": "/me/a", "/store/data/3/c": "/me/c"}
    back = localised(values.to_dict(), mapping)
    assert (back["data"]["src"], back["data"]["tgt"], back["tokenizer"]["path"]) == (
        "/me/a",
        "/store/data/2/b",
        "/me/c",
    )
    assert values.data.src == "/store/data/1/a" and RunConfig.from_dict(back).model == values.model
    assert localised({"data": 3, "other": []}, mapping) == {"data": 3, "other": []}


def test_what_others_keep_in_remote_json_stays(tmp_path):
    assert read_mapping(tmp_path) == {}
    write_json(tmp_path / "remote.json", {"launch": "x", "data": {"/store/a": "/a"}})
    keep_mapping(tmp_path, "demo", {"/store/b": "/b"})
    expected = {"name": "demo", "launch": "x", "data": {"/store/a": "/a", "/store/b": "/b"}}
    assert read_json(tmp_path / "remote.json") == expected and read_mapping(tmp_path) == expected["data"]
    (tmp_path / "remote.json").write_text("[broken")
    assert read_mapping(tmp_path) == {}


def test_a_pushed_run_works_there_and_its_data_is_found_again_here(store, files, tmp_path):
    directory = create_run(pairs_config(files), "mine", tmp_path / "runs")
    Status(state="done").write(directory)
    push("mine", tmp_path / "runs", store=store)
    there = RunConfig.from_dict(read_json(tmp_path / "store" / "runs" / "mine" / "config.json"))
    assert len(load_corpus(there.data, "pairs").train) > 0
    pull("mine", tmp_path / "runs", store=store)
    assert RunConfig.from_dict(read_json(directory / "config.json")).data == pairs_config(files).data
    shutil.rmtree(files)  # a run whose data is gone can still be pushed
    assert "status.json" in push("mine", tmp_path / "runs", store=store).files


def test_which_runs_are_one():
    one = config(data={"src": "/me/a b.txt", "tgt": "/me/b"}, seed=3).to_dict()
    other = config(data={"src": "/store/data/12/a_b.txt", "tgt": "/x/b"}, seed=3, train={"max_steps": 7}).to_dict()
    other["model"]["vocab_size"] = 300
    assert same_run(one, other)
    for section, key, value in [("model", "d_model", 128), ("data", "src", "/me/c"), ("tokenizer", "vocab_size", 999)]:
        assert not same_run(one, {**other, section: {**other[section], key: value}})
    assert not same_run(one, {**other, "seed": 4})
    assert not same_run(one, {"model_type": "gpt2"}) and same_run({"model_type": "gpt2"}, {"model_type": "gpt2"})
    assert not same_run(one, []) and not same_run(one, {"model": {"nonsense": 1}})
