"""Tokenizers of a person's own: kept, found, brought as files, removed; what is broken is a sentence."""

import base64
import json
import os
import random

import pytest

from core.errors import RunError, UserError
from core.tokenizer import BPETokenizer, load_tokenizer, train_bpe
from core.tokenizer import own as module
from core.tokenizer.chat import chat_template_of
from core.tokenizer.load import tokenizer_from_files
from core.tokenizer.own import (
    add_file,
    delete_own,
    has_own,
    own_about,
    own_path,
    own_tokenizers,
    save_own,
    unused_tokenizer_name,
)

TEXT = "Grüße, 東京!\n  <s> 👩‍💻 \t1234 the cat"


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def trained():
    return train_bpe(["the cat sat on the mat, the cat"] * 4, 280)


def test_kept_found_listed_and_removed(trained, runs):
    made = save_own("mine", trained, {"how": "trained", "data": "a text", "request": {"vocab_size": 280}})
    assert made == own_about("mine") and own_tokenizers() == [made] and made.request == {"vocab_size": 280}
    assert (made.kind, made.vocab_size, made.how) == ("BPE", trained.vocab_size, "trained") and made.bytes > 1_000
    assert own_path("mine") == runs / ".tokenizers" / "mine"
    found = load_tokenizer("mine")
    assert isinstance(found, BPETokenizer) and found.encode(TEXT) == trained.encode(TEXT)
    with pytest.raises(RunError, match="already"):
        save_own("mine", trained, {})
    assert unused_tokenizer_name("mine") == "mine-2" and unused_tokenizer_name("other") == "other"
    delete_own("mine")
    assert own_tokenizers() == [] and not has_own("mine") and os.listdir(runs / ".tokenizers") == []
    with pytest.raises(RunError, match="no tokenizer 'mine'"):
        delete_own("mine")


def test_a_run_of_the_same_name_comes_first(trained, runs):
    save_own("twin", trained, {})
    (runs / "twin").mkdir()
    other = train_bpe(["something else"], 262)
    other.save(runs / "twin")
    assert load_tokenizer("twin").vocab_size == other.vocab_size
    assert load_tokenizer(own_path("twin")).vocab_size == trained.vocab_size


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a" * 65, "a\0b", "..", "/etc", "a..b", "é"])
def test_a_name_cannot_point_anywhere_else(name, trained, tmp_path):
    for act in (lambda: save_own(name, trained, {}), lambda: delete_own(name), lambda: own_path(name)):
        with pytest.raises(RunError, match="cannot be a tokenizer's name"):
            act()
    with pytest.raises(RunError, match="cannot be a tokenizer's name"):
        add_file(name, tmp_path)
    assert not has_own(name)


def test_broken_folders_are_left_out(trained, runs):
    save_own("good", trained, {})
    for name, content in (("a", "{}"), ("b", "[1]"), ("c", '{"name": 1'), ("d", '{"kind": 5}')):
        (runs / ".tokenizers" / name).mkdir()
        (runs / ".tokenizers" / name / "about.json").write_text(content)
    (runs / ".tokenizers" / "no-about").mkdir()
    assert [own.name for own in own_tokenizers()] == ["good"]
    with pytest.raises(RunError, match="about.json of the tokenizer b"):
        own_about("b")


def test_files_of_every_kind(trained, tmp_path):
    ranks = {token: i for i, token in enumerate(sorted(trained.vocab, key=trained.vocab.__getitem__))}
    lines = b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())
    document = json.loads(trained.to_json())
    paths = {
        "tokenizer.json": trained.to_json().encode(),
        "vocab.json": json.dumps(document["model"]["vocab"]).encode(),
        "merges.txt": ("#version: 0.2\n" + "\n".join(map(" ".join, document["model"]["merges"]))).encode(),
        "cl100k_base.tiktoken": lines,
        "mine.tiktoken": lines,
    }
    for name, content in paths.items():
        (tmp_path / name).write_bytes(content)
    pieces = trained.encode(TEXT).pieces
    about = add_file("a", tmp_path / "tokenizer.json")
    assert (about.kind, about.vocab_size) == ("BPE", trained.vocab_size)
    assert (about.how, about.data) == ("from a file", "tokenizer.json")
    add_file("b", tmp_path / "merges.txt", tmp_path / "vocab.json")
    add_file("c", str(tmp_path / "cl100k_base.tiktoken"))
    add_file("d", tmp_path / "mine.tiktoken", pattern="gpt2")
    assert [load_tokenizer(name).encode(TEXT).pieces for name in "abd"] == [pieces] * 3
    assert load_tokenizer("c").special_tokens["<|endoftext|>"] == 100257
    with pytest.raises(RunError, match="not one of the published encodings"):
        add_file("e", tmp_path / "mine.tiktoken")
    with pytest.raises(RunError, match="already"):
        add_file("a", tmp_path / "tokenizer.json")
    assert {own.name for own in own_tokenizers()} == set("abcd")


def test_what_a_tokenizer_says_of_chats_is_kept_beside_it(trained, runs, tmp_path):
    (tmp_path / "tokenizer.json").write_text(trained.to_json())
    settings = {"bos_token": "<s>", "chat_template": "{{ bos_token }}{{ messages[0].content }}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(RunError):  # alone it is no tokenizer
        add_file("chatty", tmp_path / "tokenizer_config.json")
    about = add_file("chatty", tmp_path / "tokenizer_config.json", tmp_path / "tokenizer.json")
    assert about.data == "tokenizer.json" and load_tokenizer("chatty").to_json() == trained.to_json()
    found = chat_template_of("chatty")
    assert found.templates == {"default": settings["chat_template"]} and found.special_tokens == {"bos_token": "<s>"}


def test_what_is_too_large_or_no_file(tmp_path, monkeypatch):
    (tmp_path / "big.json").write_bytes(b" " * 2_000)
    monkeypatch.setattr(module, "MAX_BYTES", 1_000)
    for path, said in ((tmp_path / "big.json", "up to 0 MB"), (tmp_path, "not a file"), (tmp_path / "x", "cannot be")):
        with pytest.raises(RunError, match=said):
            add_file("x", path)
    with pytest.raises(RunError, match="Choose a tokenizer's file"):
        add_file("x")


def hostile():
    """Name -> content of files that are none, or that would harm whoever opens them."""
    word_level = {"type": "WordLevel", "vocab": {"a": 0, "<unk>": 1}, "unk_token": "<unk>"}
    unigram = {"type": "Unigram", "vocab": [["<unk>", 0.0], ["a", -1.0]], "unk_id": 0}
    slow = {"type": "Split", "pattern": {"Regex": "(a|a)+b"}, "behavior": "Isolated", "invert": False}

    def model(base, **changed):
        return json.dumps({"model": {**base, **changed}})

    return {
        "empty.json": "",
        "blank.json": " \n",
        "deep.json": "[" * 200_000,
        "deep-object.json": '{"model":' * 50_000,
        "list.json": "[]",
        "null.json": "null",
        "no-model.json": "{}",
        "no-vocab.json": '{"model": {"type": "BPE"}}',
        "kind.json": '{"model": {"type": "Nothing", "vocab": {}}}',
        "rubbish.json": random.Random(1).randbytes(3_000),
        "rubbish.model": random.Random(2).randbytes(3_000),
        "rubbish.spm": b"\n\0",
        "rubbish.tiktoken": random.Random(3).randbytes(3_000),
        "zeros.model": bytes(4_000),
        "huge-id.json": model(word_level, vocab={"a": 2**40}),
        "large-id.json": model(word_level, vocab={"a": 3_000_000}),
        "negative.json": model(word_level, vocab={"a": -1}),
        "float.json": model(word_level, vocab={"a": 0.5}),
        "text-id.json": model(word_level, vocab={"a": "0"}),
        "true-id.json": model(word_level, vocab={"a": True}),
        "twice.json": model(word_level, vocab={"a": 0, "b": 0}),
        "nan.json": model(unigram, vocab=[["a", float("nan")]]),
        "infinite.json": model(unigram, vocab=[["a", float("inf")]]),
        "piece-twice.json": model(unigram, vocab=[["a", 0.0], ["a", 0.0]]),
        "no-pairs.json": model(unigram, vocab=[["a"]]),
        "unk.json": model(unigram, unk_id=7),
        "merge.json": model({"type": "BPE", "vocab": {"a": 0}}, merges=[["a", "b"]]),
        "merge-three.json": model({"type": "BPE", "vocab": {"a": 0}}, merges=["a b c"]),
        "merges.json": model({"type": "BPE", "vocab": {"a": 0}}, merges={"a": "b"}),
        "added.json": json.dumps({"model": word_level, "added_tokens": [{"id": 5}]}),
        "added-id.json": json.dumps({"model": word_level, "added_tokens": [{"id": 2**33, "content": "<s>"}]}),
        "slow.json": json.dumps({"version": "1.0", "model": word_level, "pre_tokenizer": slow}),
        "text.txt": "hello",
    }


@pytest.mark.parametrize("name", hostile())
def test_hostile_files_are_one_sentence(name, tmp_path):
    content = hostile()[name]
    data = content.encode() if isinstance(content, str) else content
    if name != "slow.json":  # that one opens, and only fails on a text
        with pytest.raises(UserError, match=r"\.$"):
            tokenizer_from_files({name: data})
    if name in ("slow.json", "deep-object.json", "rubbish.model", "empty.json"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=r"^[^\n]+\.$"):
            add_file("x", tmp_path / name)
    assert own_tokenizers() == []


def test_changed_files_are_read_or_refused(trained):
    """A tokenizer.json in which anything may be anything: it opens and works, or it is a sentence."""
    rng = random.Random(5)
    values = [None, True, -1, 2**31, 1e308, "", "x", [], {}, [[]], {"type": "BPE"}, [1, 2], "\ud800"]
    opened = 0
    for _ in range(400):
        document = json.loads(trained.to_json())
        for _ in range(rng.randint(1, 3)):
            place = document
            while isinstance(place, (dict, list)) and place:
                key = rng.choice(list(place)[:40]) if isinstance(place, dict) else rng.randrange(len(place))
                if rng.random() < 0.4 or not isinstance(place[key], (dict, list)) or not place[key]:
                    place[key] = rng.choice(values)
                    break
                place = place[key]
        try:
            tokenizer = tokenizer_from_files({"tokenizer.json": json.dumps(document).encode()})[0]
            tokenizer.decode(tokenizer.encode(TEXT).ids)
            opened += 1
        except UserError as error:
            assert "\n" not in str(error) and str(error).endswith(".")
    assert opened > 20
