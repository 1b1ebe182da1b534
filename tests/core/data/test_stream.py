"""Streams: everything once a turn, exactly resumable, validation never trained on, in constant memory."""

import itertools
import json
import os
import random

import numpy as np
import pytest
import torch

from core.config import ConfigError, DataConfig
from core.data import head as head_module
from core.data import stream as stream_module
from core.data.batching import IGNORE, StepStream
from core.data.head import Head, HoldOut, Items, read_head
from core.data.shards import Shards
from core.data.splits import key
from core.data.stream import StreamBatches
from core.errors import DataError
from core.tokenizer import CharTokenizer, train_bpe

WORDS = "one two three four five six seven eight nine ten".split()
TOKENIZER = CharTokenizer.train(["abcdefghijklmnopqrstuvwxyz 0123456789:,.-"])


class Memory(Shards):
    """Shards of rows in memory; counts the rows that are asked for."""

    title = "memory"

    def __init__(self, shards):
        self.shards, self.count, self.read = shards, len(shards), 0

    def rows(self, shard, start=0):
        for row in self.shards[shard][start:]:
            self.read += 1
            yield row


def documents(shards=3, count=40, seed=0):
    rng = random.Random(seed)
    return [
        [{"text": f"{s}-{i}: " + " ".join(rng.choices(WORDS, k=rng.randint(0, 30)))} for i in range(count + s)]
        for s in range(shards)
    ]


def pairs(shards=3, count=60):
    return [
        [{"src": f"number {s} {i}", "tgt": " ".join(WORDS[: i % 9 + 1]) + f" {s} {i}"} for i in range(count + s)]
        for s in range(shards)
    ]


def opened(monkeypatch, rows, kind="text", **config):
    memory = Memory(rows)
    monkeypatch.setattr(head_module, "open_shards", lambda *args, **named: memory)
    config = DataConfig(name="org/data", streaming=True, **{"head_examples": 20, "shuffle_buffer": 15, **config})
    return read_head(config, kind, 0), config, memory


def batches(head, config, tokens=128, length=32, tokenizer=TOKENIZER):
    return StreamBatches(head, tokenizer, config, tokens, length, seed=0)


def one_turn(source):
    """The batches of the first turn."""
    made = []
    for maker, rows, place in source.walk((0, 0)):
        made.append((maker.batch(rows), place))
        if place[0] > 0:
            return made


def equal(a, b):
    return (
        torch.equal(a.input_ids, b.input_ids)
        and torch.equal(a.targets, b.targets)
        and (a.src_ids is None or torch.equal(a.src_ids, b.src_ids))
    )


def test_a_turn_has_every_token_once(monkeypatch):
    head, config, _ = opened(monkeypatch, documents())
    made = one_turn(batches(head, config))
    seen = torch.cat([batch.targets.flatten() for batch, _ in made])
    assert (seen != IGNORE).all() and all(batch.input_ids.shape == (4, 32) for batch, _ in made[:-1])
    expected = []
    source = batches(head, config)
    for number in source.order:
        for item in head.items.of(head.shards, number):
            if not head.held.holds(item):
                expected += TOKENIZER.encode(item.text).ids + [2]
    assert 0 <= len(expected) - len(seen) < 32  # less than a block is left over at the end of a turn
    drop = len(expected) - len(seen)
    assert np.array_equal(np.bincount(expected[: len(expected) - drop]), np.bincount(seen.numpy()))
    assert made[-1][1] == (1, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("seed", range(25))
def test_windows_of_any_size_lose_and_repeat_nothing(seed, monkeypatch):
    """Without shuffling, the batches put together are the stream, at whichever tokens the windows were cut; and from
    any place on they are the rest of it."""
    rng = random.Random(seed)
    monkeypatch.setattr(stream_module, "_WINDOW_TOKENS", rng.choice([1, 50, 300, 5_000]))
    monkeypatch.setattr(stream_module, "_FIRST_TOKENS", rng.choice([1, 40, 1_000]))
    monkeypatch.setattr(stream_module, "_UNSHUFFLED", rng.choice([1, 3, 40]))
    monkeypatch.setattr(stream_module, "_CHUNK_ITEMS", rng.choice([1, 4, 100]))
    rows = [
        [{"text": "x" * rng.choice([0, 1, 5, 30, rng.randint(0, 900)]) + str(i)} for i in range(rng.randint(1, 40))]
        for _ in range(rng.randint(1, 4))
    ]
    rows[0] += [{"text": "one more"}, {"text": "and another"}]
    head, config, _ = opened(monkeypatch, rows, shuffle_buffer=0)
    source = batches(head, config, tokens=rng.choice([16, 64, 200]), length=rng.choice([8, 32]))
    items = [i for s in range(len(rows)) for i in head.items.of(head.shards, s) if not head.held.holds(i)]
    expected = [id for item in items for id in TOKENIZER.encode(item.text).ids + [2]]
    made = one_turn(source)
    targets = [batch.targets[batch.targets != IGNORE].tolist() for batch, _ in made]
    flat = [id for ids in targets for id in ids]
    assert flat == expected[: len(flat)] and len(expected) - len(flat) < 32
    at = rng.randrange(len(made))
    rest = itertools.islice(source.walk(made[at][1]), len(made) - at - 1)
    assert [m.batch(r).targets.flatten().tolist() for m, r, _ in rest] == targets[at + 1 :]


@pytest.mark.parametrize("kind", ["text", "pairs"])
@pytest.mark.parametrize("options", [{}, {"shuffle_buffer": 0}, {"max_tokens": 1_500}, {"max_examples": 50}])
def test_it_goes_on_at_any_place_with_the_same_batches(monkeypatch, kind, options):
    rows = documents() if kind == "text" else pairs()
    head, config, memory = opened(monkeypatch, rows, kind, **options)
    steps = list(itertools.islice(StepStream(batches(head, config), 2), 60))
    assert steps[-1][2][0] >= 1  # more than one turn
    assert all(type(n) is int for _, _, place in steps for n in place)
    for at in (0, 1, 7, 13, 22, 35, 50):
        place = steps[at][2]
        rest = list(itertools.islice(StepStream(batches(head, config), 2, place), 5))
        assert [(n, p) for _, n, p in rest] == [(n, p) for _, n, p in steps[at + 1 : at + 6]]
        for (mine, _, _), (theirs, _, _) in zip(rest, steps[at + 1 : at + 6]):
            assert all(equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_ranks_share_a_stream(monkeypatch):
    head, config, _ = opened(monkeypatch, documents())
    whole = itertools.islice(StepStream(batches(head, config), 2), 12)
    parts = [StepStream(batches(head, config), 2, rank=rank, world=3) for rank in range(3)]
    for (made, tokens, place), *shares in zip(whole, *parts):
        assert all((n, p) == (tokens, place) for _, n, p in shares)
        rows = lambda steps: sorted(r.tolist() for made in steps for b in made for r in b.targets)  # noqa: E731
        assert rows([made]) == rows([mine for mine, _, _ in shares])


def test_resuming_reads_but_does_not_tokenise_what_is_passed(monkeypatch):
    head, config, memory = opened(monkeypatch, documents(1, 600))
    place = next(itertools.islice(batches(head, config).walk((0, 0)), 250, None))[2]
    assert place[2] > 300

    class Counting:
        bos_id, eos_id, pad_id, count = 1, 2, 0, 0

        def encode_batch(self, texts):
            self.count += len(texts)
            return TOKENIZER.encode_batch(texts)

    counting = Counting()
    monkeypatch.setattr(stream_module, "_CHUNK_ITEMS", 4)
    next(batches(head, config, tokenizer=counting).walk(place))
    assert 0 < counting.count < 120  # one window and those that are made ahead


def test_a_window_is_shuffled_and_turns_differ(monkeypatch):
    head, config, _ = opened(monkeypatch, documents(), shuffle_buffer=1_000)
    source = batches(head, config)
    made = one_turn(source)
    again = [maker.batch(rows) for maker, rows, _ in itertools.islice(source.walk((1, 0)), len(made))]
    assert not all(torch.equal(a.targets, b.targets) for (a, _), b in zip(made, again))
    plain, plain_config, _ = opened(monkeypatch, documents(), shuffle_buffer=0)
    first = next(batches(plain, plain_config).walk((0, 0)))
    ids = first[0].batch(first[1]).targets.flatten().tolist()
    items = [i for i in plain.items.of(plain.shards, 0) if not plain.held.holds(i)]
    assert ids == [id for item in items for id in TOKENIZER.encode(item.text).ids + [2]][: len(ids)]


def test_validation_is_held_out_of_the_whole_stream(monkeypatch):
    rows = documents(2, 100)
    held = opened(monkeypatch, rows, val_fraction=0.2)[0].corpus.val
    assert 1 <= len(held) <= 10
    rows[1] += [{"text": "  " + text.upper().replace(" ", "\n") + " "} for text in held]  # again, late, and disguised
    head, config, _ = opened(monkeypatch, rows, val_fraction=0.2)
    assert head.corpus.val == held
    source = batches(head, config)
    items = [item for item, _ in source._items(stream_module.Place(), head_module.Life())]
    assert not {key(item.text) for item in items} & {key(text) for text in held}
    assert 0.7 < len(items) / (len(rows[0]) + len(rows[1])) < 0.9
    assert opened(monkeypatch, rows, val_fraction=0.2)[0].held == head.held


def test_dialogues_of_a_stream_do_not_straddle(monkeypatch):
    rows = [[{"src": f"line {i} {d}", "tgt": f"t {i} {d}", "dialogue_id": d} for d in range(40) for i in range(5)]]
    head, config, _ = opened(monkeypatch, rows, "pairs", head_examples=100, val_fraction=0.2)
    assert head.items.document_column == "dialogue_id" and head.corpus.documents == 20
    held = {pair.document for pair in head.corpus.val}
    items = [item for item, _ in batches(head, config)._items(stream_module.Place(), head_module.Life())]
    assert held and not held & {item.document for item in items}
    assert all(sum(i.document == d for i in items) == 5 for d in {i.document for i in items})


@pytest.mark.parametrize("fraction", [1e-9, 0.999999])
def test_a_short_stream_has_both_parts(monkeypatch, fraction):
    head, _, _ = opened(monkeypatch, documents(1, 4), val_fraction=fraction)
    assert len(head.corpus.val) == 1 and len(head.corpus.train) == 3
    with pytest.raises(DataError, match="too little"):
        opened(monkeypatch, documents(1, 1))
    with pytest.raises(DataError, match="holds no text"):
        opened(monkeypatch, [[{"text": " "}, {"text": None}]])
    with pytest.raises(DataError, match="no column 'text'"):
        opened(monkeypatch, [[{"content": "a"}]])


def test_a_token_budget(monkeypatch):
    head, config, _ = opened(monkeypatch, documents(1, 400), max_tokens=1_000)
    source = batches(head, config)
    made = one_turn(source)
    assert sum(batch.num_target_tokens for batch, _ in made) == 31 * 32  # whole blocks
    first = {id for batch, _ in made for id in map(tuple, batch.targets.tolist())}
    second = [maker.batch(rows) for maker, rows, _ in itertools.islice(source.walk((1, 0)), len(made))]
    assert sum(batch.num_target_tokens for batch in second) == 31 * 32
    if not source.moves:
        assert {id for batch in second for id in map(tuple, batch.targets.tolist())} == first
    assert source.epoch_of((0, 0)) == 0 and source.epoch_of((2, 0)) == 2
    assert 0.4 < source.epoch_of(made[len(made) // 2][1]) < 0.7


def test_a_document_that_is_larger_than_a_window(monkeypatch):
    monkeypatch.setattr(stream_module, "_WINDOW_TOKENS", 512)
    rows = documents(1, 30)
    rows[0].insert(7, {"text": "abc " * 3_000})
    head, config, _ = opened(monkeypatch, rows)
    steps = list(itertools.islice(batches(head, config).walk((0, 0)), 110))
    assert sum(place[2:4] != after[2:4] for (_, _, place), (_, _, after) in zip(steps, steps[1:])) > 20
    for at in (20, 60, 100):
        mine = next(batches(head, config).walk(steps[at][2]))
        theirs = steps[at + 1]
        assert mine[2] == theirs[2] and equal(mine[0].batch(mine[1]), theirs[0].batch(theirs[1]))


def test_nothing_to_train_on_is_a_sentence(monkeypatch):
    head, config, _ = opened(monkeypatch, pairs(1, 30), "pairs")
    with pytest.raises(DataError, match="nothing to train on"):
        next(batches(head, config, length=3).walk((0, 0)))


def test_a_stream_shorter_than_a_block(monkeypatch):
    head, config, _ = opened(monkeypatch, [[{"text": "ab"}, {"text": "cd"}, {"text": "ef"}]])
    made, rows, place = next(batches(head, config).walk((0, 0)))
    assert made.batch(rows).num_target_tokens == 6 and place[0] == 1


def test_pretokenized_pairs_are_joined(monkeypatch):
    rows = [[{"src": f"i 'd like {i} cups .", "tgt": f"コーヒー を {i} 杯 。"} for i in range(60)]]
    options = {"pretokenized": True, "src_language": "en", "tgt_language": "ja"}
    head, config, _ = opened(monkeypatch, rows, "pairs", **options)
    assert all(pair.src.startswith("I'd like") and " " not in pair.tgt for pair in head.corpus.val)
    tokenizer = train_bpe(head.corpus.texts(), 300, engine="tokenizers")
    source = batches(head, config, tokenizer=tokenizer)
    texts = [tokenizer.decode(row.tolist()) for batch, _ in one_turn(source) for row in batch.src_ids]
    assert any(text.startswith("I'd like") for text in texts) and any(text.startswith("i 'd") for text in texts)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "parquet", "txt"])
def test_local_files(kind, tmp_path):
    rows = [row for shard in documents(1, 500) for row in shard]
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    elif kind in ("csv", "tsv"):
        path.write_text("text\n" + "".join(f"{row['text']}\n" for row in rows))
    elif kind == "txt":
        path.write_bytes(b"\xef\xbb\xbf" + ("".join(row["text"] + "\r\n" for row in rows) * 8).encode())
    else:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.table({"text": [row["text"] for row in rows]})
        pyarrow.parquet.write_table(table, path, row_group_size=60)
    config = DataConfig(name=str(path), streaming=True, head_examples=100, shuffle_buffer=40)
    head = read_head(config, "text")
    assert head.shards.one_piece == (kind == "txt") and head.shards.total == (500 if kind == "parquet" else 0)
    items = [i.text for i in head.items.of(head.shards, 0)]
    if kind == "txt":
        assert "".join(items) == "".join(row["text"] + "\n" for row in rows) * 8 and len(items) > 2
    else:
        assert items == [row["text"] for row in rows]
    for start in (0, 1, 59, 60, 133, 499, 500, 900):
        assert [i.text for i in head.items.of(head.shards, 0, start)] == items[start:]
    steps = list(itertools.islice(batches(head, config).walk((0, 0)), 40))
    mine, theirs = next(batches(head, config).walk(steps[20][2])), steps[21]
    assert mine[2] == theirs[2] and equal(mine[0].batch(mine[1]), theirs[0].batch(theirs[1]))


def test_parallel_files_and_tabs(tmp_path):
    lines = [(f"s {i}", f"t {i}") for i in range(50)]
    (tmp_path / "a.en").write_text("".join(s + "\n" for s, _ in lines))
    (tmp_path / "a.ja").write_text("".join(t + "\n" for _, t in lines))
    (tmp_path / "a.txt").write_text("".join(f"{s}\t{t}\n" for s, t in lines))
    parallel = {"src": str(tmp_path / "a.en"), "tgt": str(tmp_path / "a.ja")}
    for options in (parallel, {"name": str(tmp_path / "a.txt")}):
        head = read_head(DataConfig(**options, streaming=True), "pairs")
        assert sorted((p.src, p.tgt) for p in head.corpus.train + head.corpus.val) == sorted(lines)
    (tmp_path / "a.ja").write_text("only one\n")
    with pytest.raises(DataError, match="different numbers of lines"):
        read_head(DataConfig(**parallel, streaming=True), "pairs")
    (tmp_path / "v.en").write_text("s 3\nnew\n")
    (tmp_path / "v.ja").write_text("t 3\nneu\n")
    options = {"name": str(tmp_path / "a.txt"), "val_src": str(tmp_path / "v.en"), "val_tgt": str(tmp_path / "v.ja")}
    head = read_head(DataConfig(**options, streaming=True), "pairs")
    assert [p.src for p in head.corpus.val] == ["s 3", "new"] and len(head.corpus.train) == 49


MISTAKES = {
    "a.jsonl": (b'{"text": "a"}\n{"text": \n', "Line 2 of a.jsonl is not valid JSON"),
    "b.jsonl": (b"[1]\n", "Line 1 of b.jsonl must be an object"),
    "c.jsonl": ('{"text": "caf\u00e9"}\n'.encode("latin-1"), "c.jsonl is not UTF-8 text"),
    "d.csv": (b"text,b\na\n", "Line 2 of d.csv has 1 fields"),
    "e.csv": (b"", "must name its columns"),
    "f.json": (b"[]", "write it as .jsonl"),
    "g.parquet": (b"PAR1", "not a valid parquet file"),
    "h.txt": (b"a\0b", "NUL"),
    "i.txt": (b"", "holds no text"),
    "j.xlsx": (b"PK", "is of a kind that is not known here"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_sentence(name, tmp_path):
    (tmp_path / name).write_bytes(MISTAKES[name][0])
    with pytest.raises(DataError) as caught:
        read_head(DataConfig(name=str(tmp_path / name), streaming=True), "text")
    message = str(caught.value)
    assert MISTAKES[name][1] in message and "\n" not in message and message.endswith(".")


def test_settings_that_cannot_be():
    for setting in ({"max_tokens": -1}, {"timeout": -1.0}, {"head_examples": 1}, {"shuffle_buffer": -5}):
        with pytest.raises(ConfigError, match="data." + next(iter(setting))):
            DataConfig(**setting)


class Generated(Shards):
    """Documents without end, made as they are asked for."""

    title, count = "generated", 1

    def rows(self, shard, start=0):
        rng = random.Random(0)
        lines = [" ".join(rng.choices(WORDS, k=50)) for _ in range(97)]
        for i in itertools.count(start):
            yield {"text": f"{i} {lines[i % 97]} {lines[i % 89]} {lines[i % 83]}"}


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Bytes:
    """A token is a byte: quick, so that much can be read."""

    bos_id, eos_id, pad_id = 1, 2, 0

    def encode_batch(self, texts):
        return [list(text.encode()) for text in texts]


def test_memory_is_constant(monkeypatch):
    """After twenty windows the process holds what it held after three: nothing that was read stays."""
    monkeypatch.setattr(stream_module, "_WINDOW_TOKENS", 1 << 19)
    config = DataConfig(name="x", streaming=True, shuffle_buffer=1_000_000)
    head = Head(head_module.Corpus("text", [], ["a"]), Generated(), Items(config, False), HoldOut(0, 0.01))
    walk = StreamBatches(head, Bytes(), config, 8_192, 256).walk((0, 0))
    seen, after_three = 0, 0
    for maker, rows, _ in walk:
        seen += maker.batch(rows).num_target_tokens
        if not after_three and seen > 3 * (1 << 19):
            after_three = resident()
        if seen > 22 * (1 << 19):
            break
    assert resident() - after_three < 16 << 20  # what was read meanwhile is 50 MB, as ids alone 40
