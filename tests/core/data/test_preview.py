"""The preview: figures that agree with what training would see, of nasty data too, and honest samples."""

import json
import subprocess
import sys

import pytest

from core.config import RunConfig
from core.data.preview import Preview, preview
from core.errors import DataError
from core.train.data_module import Prepared


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def config(name, family="transformer", **data):
    return RunConfig.from_dict(
        {
            "model": {"family": family, "d_model": 16, "n_layers": 1, "n_heads": 2, "max_seq_len": 24},
            "tokenizer": {"vocab_size": 300},
            "data": {"name": name, **data},
            "train": {"batch_tokens": 256, "accumulate": 2, "max_steps": 50},
        }
    )


def rows():
    good = [{"src": f"sentence number {i}", "tgt": f"Satz Nummer {i}", "document": f"d{i // 4}"} for i in range(400)]
    bad = [
        {"src": "", "tgt": "x"}, {"src": "y", "tgt": " "}, good[0], good[0],
        {"src": "the same on both sides", "tgt": "The same on both sides"},
        {"src": "no", "tgt": "a very long answer to this, with much that was not said " * 1},
        {"src": "broken \ufffd", "tgt": "kaputt"}, {"src": "so " * 60, "tgt": "so " * 60 + "."},
    ]  # fmt: skip
    return good + bad


def test_pairs(tmp_path):
    found = preview(config(jsonl(tmp_path / "a.jsonl", rows())), tmp_path)
    prepared = Prepared(config(str(tmp_path / "a.jsonl")), tmp_path / "run", lambda text: None)
    train, val = prepared.train, prepared.val
    assert found.kind == "pairs" and found.sampled == 0 and not found.streaming
    assert found.train.examples == len(prepared.corpus.train) and found.val.examples == len(prepared.corpus.val)
    assert found.train.tokens == len(train.src.ids) + len(train.tgt.ids)
    assert found.val.tokens == len(val.src.ids) + len(val.tgt.ids)
    assert found.steps_per_epoch == len(train) / 2 and found.epochs == pytest.approx(100 / len(train), abs=1e-3)
    assert found.documents == 100 and found.vocabulary == prepared.tokenizer.vocab_size
    left_out = {f.what: f.count for f in found.findings if f.left_out}
    assert left_out.pop("longer than the context of 24 tokens") == train.dropped == 2
    assert left_out == {"empty on one side": 2, "the same pair again": 2}
    odd = {f.what: f.count for f in found.findings if not f.left_out}
    assert odd["source and target are the same"] == 1
    assert odd["one side over 4 times as long as usual for the other"] == 1
    assert odd["broken characters (U+FFFD), as of a wrong encoding"] == 1
    assert [e.drawn for e in found.examples] == ["first"] * 4 + ["random"] * 4
    assert all(e.tokens and e.target_tokens for e in found.examples)


def test_distributions_add_up(tmp_path):
    found = preview(config(jsonl(tmp_path / "a.jsonl", rows())), tmp_path)
    assert [(d.column, d.unit) for d in found.lengths] == [
        ("source", "tokens"), ("source", "characters"), ("target", "tokens"), ("target", "characters"),
    ]  # fmt: skip
    for d in found.lengths:
        assert sum(d.counts) == found.train.examples and len(d.edges) == len(d.counts) + 1 <= 23
        assert d.edges[0] == d.least <= d.median <= d.p95 <= d.most <= d.edges[-1]
        assert list(d.edges) == sorted(set(d.edges))
    assert sum(d.mean for d in found.lengths if d.unit == "characters") == pytest.approx(
        found.train.characters / found.train.examples, abs=0.02
    )
    json.dumps(found.to_dict())


def test_text_in_one_piece(tmp_path):
    (tmp_path / "a.txt").write_text("To be, or not to be\n\nthat is the question\n" * 300)
    found = preview(config(str(tmp_path / "a.txt"), "gpt"), tmp_path)
    prepared = Prepared(config(str(tmp_path / "a.txt"), "gpt"), tmp_path / "run", lambda text: None)
    assert (found.train.tokens, found.val.tokens) == (len(prepared.train.ids), len(prepared.val.ids))
    assert found.steps_per_epoch == pytest.approx(len(prepared.train) / 2, abs=1)
    assert {(d.column, d.most) for d in found.lengths if d.unit == "characters"} == {("line", 20)}
    (empty,) = found.findings
    assert "empty lines" in empty.what and not empty.left_out and empty.share == pytest.approx(1 / 3, abs=0.01)
    assert len(found.examples) > 1


def test_training_finds_what_the_preview_tokenised(tmp_path, monkeypatch):
    import core.tokenizer
    from core.tokenizer import Tokenizer

    (tmp_path / "a.txt").write_text("To be, or not to be\n" * 300)
    texts = [{"text": f"document {i}, about {i * i}"} for i in range(50)]
    cases = [
        config(str(tmp_path / "a.txt"), "gpt"), config(jsonl(tmp_path / "a.jsonl", rows())),
        config(jsonl(tmp_path / "t.jsonl", texts), "gpt"),
    ]  # fmt: skip
    for case in cases:
        preview(case, tmp_path)
        Prepared(case, tmp_path / "run", lambda text: None)  # keeps the ids of its validation part

    def never(*args):
        raise AssertionError("tokenised again")

    monkeypatch.setattr(Tokenizer, "encode_batch", never)
    for module in (core.tokenizer,):
        monkeypatch.setattr(module, "train_tokenizer", never)
    for case in cases:
        Prepared(case, tmp_path / "run", lambda text: None)


@pytest.mark.parametrize("family", ["transformer", "gpt"])
def test_a_sample_is_told_and_is_near(family, tmp_path):
    pairs = [{"src": f"number {i} " * (i % 5 + 1), "tgt": f"{i} " * (i % 3 + 1)} for i in range(4_000)]
    case = config(jsonl(tmp_path / "a.jsonl", pairs), family, text_column="src")
    whole, some = preview(case, tmp_path), preview(case, tmp_path, limit=30_000)
    assert whole.sampled == 0 and 100 < some.sampled < 2_000
    assert some.train.examples == whole.train.examples and some.train.characters == whole.train.characters
    assert some.train.tokens == pytest.approx(whole.train.tokens, rel=0.1)
    assert some.val.tokens == pytest.approx(whole.val.tokens, rel=0.1)
    assert some.steps_per_epoch == pytest.approx(whole.steps_per_epoch, rel=0.1)
    if family == "transformer":
        assert [f.estimated for f in some.findings if f.left_out and "context" in f.what] == [True]


def test_a_long_text_is_sampled_all_over(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"line {i}\n" for i in range(60_000)))
    found = preview(config(str(tmp_path / "a.txt"), "gpt"), tmp_path, limit=20_000)
    assert found.sampled == 16 and found.train.characters > 500_000
    assert found.train.tokens == pytest.approx(found.train.characters / found.characters_per_token[0][1], rel=0.01)


def test_mistakes_are_a_sentence(tmp_path):
    with pytest.raises(DataError, match="no column"):
        preview(config(jsonl(tmp_path / "a.jsonl", [{"a": "b"}])), tmp_path)


def test_the_dataclass_is_light():
    code = "import sys, core.data.preview; print([m for m in ('torch', 'numpy', 'datasets') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
    assert Preview.__dataclass_params__.frozen
