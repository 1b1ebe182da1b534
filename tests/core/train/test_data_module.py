"""What training gets: the same from the cache as without, streams that resume to the bit, threads that end."""

import json
import random
import threading

import pytest
import torch

from core import load
from core.config import RunConfig
from core.data.preview import preview
from core.data.shards import FileShards
from core.errors import DataError
from core.files import read_jsonl
from core.run import create_run, read_status
from core.tokenizer import Tokenizer
from core.train import callbacks
from core.train.data_module import Prepared, TrainingData
from core.train.loop import train

WORDS = "one two three four five six seven eight nine ten".split()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    rng = random.Random(0)
    lines = sorted({" ".join(rng.choices(WORDS, k=rng.randint(1, 9))) for _ in range(900)})
    rng.shuffle(lines)
    rows = [{"text": line, "src": line, "tgt": " ".join(reversed(line.split()))} for line in lines]
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def config(files, *overrides, family="gpt"):
    return RunConfig.from_dict(
        {
            "model": {"family": family, "d_model": 32, "n_layers": 1, "n_heads": 2, "max_seq_len": 32, "dropout": 0.1},
            "tokenizer": {"vocab_size": 280},
            "data": {"name": str(files / "rows.jsonl"), "head_examples": 100, "shuffle_buffer": 40},
            "optim": {"learning_rate": 0.01, "warmup_steps": 5},
            "train": {
                "max_steps": 40,
                "batch_tokens": 256,
                "accumulate": 2,
                "val_every": 20,
                "checkpoint_every": 5,
                "sample_every": 0,
                "log_every": 4,
                "threads": 1,
            },
            "decode": {"max_new_tokens": 8},
        }  # fmt: skip
    ).with_overrides(overrides)


STREAMING = "data.streaming=true"


def quiet(text):
    pass


def steps(data, count):
    found = []
    for step in data.steps:
        found.append(step)
        if len(found) == count:
            data.close()
            return found


def same(one, other):
    assert [(tokens, place) for _, tokens, place in one] == [(tokens, place) for _, tokens, place in other]
    for (mine, _, _), (theirs, _, _) in zip(one, other, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert torch.equal(a.input_ids, b.input_ids) and torch.equal(a.targets, b.targets)
    return True


@pytest.mark.parametrize("family", ["gpt", "transformer"])
def test_the_cache_changes_nothing_and_saves_the_tokenising(family, files, tmp_path, monkeypatch):
    case = config(files, family=family)
    first = Prepared(case, tmp_path / "a", quiet)
    assert list((tmp_path / ".cache" / "tokens").glob("*.npy"))
    calls = []
    with monkeypatch.context() as patch:
        patch.setattr(Tokenizer, "encode_batch", lambda self, texts: calls.append(texts))
        again = Prepared(case, tmp_path / "b", quiet)
    assert calls == [] and again.tokenizer.to_json() == first.tokenizer.to_json()
    other = Prepared(case, tmp_path / "elsewhere" / "a", quiet)  # another folder of runs: nothing is kept there yet
    for prepared in (again, other):
        assert same(steps(TrainingData(first, 2), 10), steps(TrainingData(prepared, 2), 10))
        assert prepared.num_train_tokens == first.num_train_tokens and prepared.val_bytes == first.val_bytes
        for a, b in zip(first.val_batches(), prepared.val_batches(), strict=True):
            assert torch.equal(a.targets, b.targets)


@pytest.mark.parametrize("family", ["gpt", "transformer"])
def test_steps_of_a_stream_go_on_at_their_place(family, files, tmp_path):
    prepared = Prepared(config(files, STREAMING, family=family), tmp_path / "a", quiet)
    assert prepared.is_stream and prepared.num_train_tokens == 0 and "stream" in prepared.size
    whole = steps(TrainingData(prepared, 2), 60)
    assert whole[-1][2][0] >= 1
    for at in (0, 10, 45):
        assert same(whole[at + 1 : at + 6], steps(TrainingData(prepared, 2, whole[at][2]), 5))
    epochs = [prepared.epoch_of(place) for _, _, place in whole]
    assert prepared.epoch_of((0, 0)) == 0 and epochs == sorted(epochs) and 1 <= epochs[-1] < 4


@pytest.mark.parametrize("family", ["gpt", "transformer"])
def test_a_killed_run_on_a_stream_resumes_to_the_same_bits(family, files, tmp_path, monkeypatch):
    case = config(files, STREAMING, family=family)
    whole, broken = (create_run(case, name, tmp_path) for name in ("whole", "broken"))
    assert train(whole).state == "done"
    real = callbacks.Recorder.on_train_batch_end

    def dies(self, trainer, module, *rest):
        real(self, trainer, module, *rest)
        if module.step == 23:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Recorder, "on_train_batch_end", dies)
        with pytest.raises(RuntimeError, match="power cut"):
            train(broken)
    assert train(broken, resume=True).state == "done"
    keep = ("step", "loss", "val_loss", "tokens", "epoch")
    curves = [
        [{k: v for k, v in line.items() if k in keep} for line in read_jsonl(run / "metrics.jsonl")]
        for run in (whole, broken)
    ]
    assert curves[0] == curves[1] and len(curves[0]) > 10
    a, b = (load(str(run)).model.state_dict() for run in (whole, broken))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not [thread for thread in threading.enumerate() if thread.name == "data"]


def test_a_stream_that_hangs_ends_training_with_a_sentence(files, tmp_path, monkeypatch):
    """What hangs is the file, after the beginning was read; the last checkpoint stands, and the run can go on."""
    case = config(files, STREAMING, "data.timeout=0.5", "train.max_steps=60")
    directory = create_run(case, "r", tmp_path)
    real, release = FileShards.rows, threading.Event()

    def hangs(self, shard, start=0):
        for number, row in enumerate(real(self, shard, start), start):
            if number == 500:
                release.wait(60)
            yield row

    with monkeypatch.context() as patch:
        patch.setattr(FileShards, "rows", hangs)
        with pytest.raises(DataError, match="has not answered for 0 seconds"):
            train(directory)
    release.set()
    assert read_status(directory).state == "failed" and "Look at the connection" in read_status(directory).error
    assert (directory / "checkpoints" / "last.ckpt").exists()
    assert train(directory, resume=True).state == "done"


def test_a_stream_that_breaks_is_a_sentence(files, tmp_path):
    text = (files / "rows.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_text("".join(text[:400]) + '{"text": \n' + "".join(text[400:]))
    case = config(tmp_path, STREAMING)
    data = TrainingData(Prepared(case, tmp_path / "a", quiet), 1)
    with pytest.raises(DataError, match="Line 401 of rows.jsonl is not valid JSON"):
        steps(data, 1_000)


def test_a_budget_is_one_epoch(files, tmp_path):
    prepared = Prepared(config(files, STREAMING, "data.max_tokens=1000"), tmp_path / "a", quiet)
    assert prepared.num_train_tokens == 1_000 and "first 1,000 tokens" in prepared.size
    whole = steps(TrainingData(prepared, 1), 30)
    tokens = [count for _, count, place in whole if place[0] == 0]
    assert 900 <= sum(tokens) + whole[len(tokens)][1] <= 1_000


def test_the_preview_of_a_stream(files, tmp_path):
    case = config(files, STREAMING, "data.max_tokens=5000")
    found = preview(case, tmp_path)
    prepared = Prepared(case, tmp_path / "a", quiet)
    assert found.streaming and found.train.examples + found.val.examples == 100
    assert found.val.examples == len(prepared.corpus.val)
    assert found.steps_per_epoch == pytest.approx(5_000 / 256, rel=0.01) and "stream" in found.description
    endless = preview(config(files, STREAMING), tmp_path)
    assert (endless.steps_per_epoch, endless.epochs) == (0, 0)
