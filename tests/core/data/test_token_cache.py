"""The cache of ids: the same ids with and without, whatever state its files are in."""

import os
import threading
import time

import numpy as np
import pytest

from core.config import TokenizerConfig
from core.data import token_cache
from core.data.ragged import Ragged
from core.data.token_cache import TokenCache, encode
from core.tokenizer import train_bpe

TEXTS = ["one two three", "", "日本語 \ud800 lone", "<s> is text\0", *(f"line {i} " * (i % 7) for i in range(200))]


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(TEXTS, 300, engine="tokenizers")


class Counting:
    """A tokenizer that counts the texts it is given."""

    def __init__(self, tokenizer):
        self.tokenizer, self.count = tokenizer, 0

    def to_json(self):
        return self.tokenizer.to_json()

    def encode_batch(self, texts):
        self.count += len(texts)
        return self.tokenizer.encode_batch(texts)


def rows(ragged):
    return [ragged[i].tolist() for i in range(len(ragged))]


@pytest.mark.parametrize("end", [None, 2])
def test_a_second_time_nothing_is_tokenised(end, tokenizer, tmp_path):
    counting, cache = Counting(tokenizer), TokenCache(tmp_path / "tokens")
    first = cache.encode(counting, TEXTS, end)
    assert counting.count == len(TEXTS)
    expected = [tokenizer.encode(text).ids + ([end] if end else []) for text in TEXTS]
    assert rows(first) == rows(cache.encode(counting, TEXTS, end)) == expected
    assert rows(TokenCache(None).encode(tokenizer, TEXTS, end)) == expected
    assert counting.count == len(TEXTS)
    assert first.ids.dtype == np.int32 and not first.ids.flags.writeable  # mapped from the file


def test_what_changes_the_ids_changes_the_name(tokenizer, tmp_path):
    counting, cache = Counting(tokenizer), TokenCache(tmp_path)
    cache.encode(counting, ["ab", "c"])
    cache.encode(counting, ["a", "bc"])  # the same characters
    cache.encode(counting, ["ab", "c"], 2)
    cache.encode(counting, ["ab", "c "])
    assert counting.count == 8
    other = Counting(train_bpe(TEXTS, 280, engine="tokenizers"))
    assert rows(cache.encode(other, ["ab", "c"])) == [other.tokenizer.encode(t).ids for t in ("ab", "c")]
    assert other.count == 2


def damage(path, how):
    data = path.read_bytes()
    path.unlink()  # a file that is mapped must not be written into
    if how == "empty":
        data = b""
    elif how == "torn":
        data = data[: len(data) // 2]
    elif how == "header":
        data = b"\x93NUMPY\x01\x00" + b"\xff" * 200
    elif how == "objects":
        data = data.replace(b"<i4", b"|O8")
    elif how == "flipped":
        data = data[:-1] + bytes([data[-1] ^ 1])
    elif how == "longer":
        data += b"1234"
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["empty", "torn", "header", "objects", "flipped"])
def test_a_broken_file_is_made_anew(how, tokenizer, tmp_path):
    cache = TokenCache(tmp_path)
    expected = rows(cache.encode(tokenizer, TEXTS))
    (path,) = tmp_path.glob("*.npy")
    damage(path, how)
    counting = Counting(tokenizer)
    assert rows(cache.encode(counting, TEXTS)) == expected and counting.count == len(TEXTS)
    assert rows(cache.encode(counting, TEXTS)) == expected and counting.count == len(TEXTS)


def test_a_folder_that_cannot_be_written(tokenizer, tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = TokenCache(tmp_path / "file" / "tokens")
    assert rows(cache.encode(tokenizer, TEXTS)) == rows(encode(tokenizer, TEXTS))


def test_a_full_disk_is_no_error(tokenizer, tmp_path, monkeypatch):
    def full(*args, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(token_cache.np, "save", full)
    assert rows(TokenCache(tmp_path).encode(tokenizer, TEXTS)) == rows(encode(tokenizer, TEXTS))
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_files_go_first(tokenizer, tmp_path):
    cache = TokenCache(tmp_path, max_bytes=20_000)
    kept = []
    for i in range(8):
        cache.encode(tokenizer, [f"{i} " * 1_000])
        (new,) = {p.name for p in tmp_path.glob("*.npy")} - set(kept)
        kept.append(new)
        os.utime(tmp_path / new, (1_000 + i, 1_000 + i))
        if i == 1:
            os.utime(tmp_path / kept[0])  # was read just now
    left = {p.name for p in tmp_path.glob("*.npy")}
    assert sum(p.stat().st_size for p in tmp_path.glob("*.npy")) <= 20_000
    assert kept[0] in left and kept[7] in left and kept[1] not in left
    (tmp_path / ".dead.tmp").write_bytes(b"x")
    os.utime(tmp_path / ".dead.tmp", (time.time() - 7_200,) * 2)
    cache.encode(tokenizer, ["another"])
    assert not (tmp_path / ".dead.tmp").exists()


def test_larger_than_the_cache_is_not_kept(tokenizer, tmp_path):
    cache = TokenCache(tmp_path, max_bytes=1_000)
    assert rows(cache.encode(tokenizer, TEXTS)) == rows(encode(tokenizer, TEXTS))
    assert not list(tmp_path.iterdir())


def test_many_at_once(tokenizer, tmp_path):
    expected, found = rows(encode(tokenizer, TEXTS)), []

    def work():
        found.append(rows(TokenCache(tmp_path).encode(tokenizer, TEXTS)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]


def test_the_tokenizer_is_kept_too(tmp_path, monkeypatch):
    import core.tokenizer

    config, cache = TokenizerConfig(vocab_size=290), TokenCache(tmp_path)
    first = cache.train(config, TEXTS)
    with monkeypatch.context() as patch:
        patch.setattr(core.tokenizer, "train_tokenizer", None)
        assert cache.train(config, iter(TEXTS)).to_json() == first.to_json()
        with pytest.raises(TypeError):
            cache.train(TokenizerConfig(vocab_size=291), TEXTS)
    (path,) = tmp_path.glob("*.json")
    path.write_text(path.read_text()[:-10])
    assert cache.train(config, TEXTS).to_json() == first.to_json()
    assert cache.train(TokenizerConfig(kind="char"), TEXTS).vocab_size > 4


def test_large_texts_are_tokenised_in_parts(tokenizer, monkeypatch):
    whole = encode(tokenizer, TEXTS, 2)
    monkeypatch.setattr(token_cache, "_BATCH_CHARACTERS", 50)
    assert rows(encode(tokenizer, TEXTS, 2)) == rows(whole)
    assert rows(encode(tokenizer, [])) == [] and isinstance(encode(tokenizer, []), Ragged)
