"""BLEU and chrF equal sacreBLEU's own command line; the loss equals training's and a plain loop's."""

import json
import subprocess
import sys

import pytest
import torch

from core.config import RunConfig
from core.data.corpus import Pair
from core.data.readers import read_lines
from core.decode.config import GenerationConfig
from core.errors import DataError
from core.evaluate import evaluate, read_data, read_pairs
from core.evaluate.translation import (
    bleu_score,
    bleu_tokenizer,
    chrf_score,
    evaluate_translation,
    guess_language,
    loss_per_token,
    translate_all,
)
from core.model import build_model
from core.run import Run
from core.tokenizer import train_bpe

PAIRS = [
    Pair("I'd like a cup of coffee.", "コーヒーを一杯いただきたい。"),
    Pair("Yes.", "はい。"),
    Pair("She doesn't know where he lives.", "彼女は彼がどこに住んでいるか知らない。"),
    Pair("It is good.", "それはいい。"),
    Pair("word " * 100, "単語" * 100),  # longer than the context
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    tokenizer = train_bpe([text for pair in PAIRS[:4] for text in pair[:2]] * 3, 320)
    config = RunConfig.from_dict(
        {
            "model": {
                "family": "transformer", "vocab_size": tokenizer.vocab_size, "d_model": 16, "n_layers": 2, "n_heads": 2,
                "max_seq_len": 64,
            },
            "data": {"src_language": "en", "tgt_language": "ja"},
            "decode": {"strategy": "beam", "num_beams": 2, "max_new_tokens": 12},
        }
    )  # fmt: skip
    torch.manual_seed(0)
    made = Run("tiny", config, tokenizer, tmp_path_factory.mktemp("tiny"))
    made.__dict__["model"] = build_model(config.model).eval()
    return made


@pytest.mark.parametrize(("tokenize", "language"), [("char", "ja"), ("13a", "en")])
def test_scores_equal_sacrebleus_command_line(tmp_path, tokenize, language):
    texts = {
        "ja": (["コーヒーを一杯ください。", "はい、", "彼女は彼の住所を知らない。", ""], [p.tgt for p in PAIRS[:4]]),
        "en": (["I want a cup .", "Yes.", "She does know where he lives.", "good"], [p.src for p in PAIRS[:4]]),
    }
    hypotheses, references = texts[language]
    (tmp_path / "hyp").write_text("\n".join(hypotheses) + "\n", encoding="utf-8")
    (tmp_path / "ref").write_text("\n".join(references) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-m", "bleu", "chrf", "-tok", tokenize]
    told = subprocess.run(
        [*command, "-w", "12", "--format", "json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    peer = json.loads(told.stdout)
    for ours, theirs in zip(
        (bleu_score(hypotheses, references, tokenize), chrf_score(hypotheses, references)), peer, strict=True
    ):
        assert ours.score == pytest.approx(theirs["score"], abs=1e-9)
        assert ours.signature == theirs["signature"]
    assert f"tok:{tokenize}" in bleu_score(hypotheses, references, tokenize).signature


def test_the_tokenizer_follows_the_language():
    assert bleu_tokenizer("ja") in ("char", "ja-mecab") and bleu_tokenizer("ja-JP") == bleu_tokenizer("ja")
    assert (bleu_tokenizer("zh_CN"), bleu_tokenizer("en"), bleu_tokenizer("")) == ("zh", "13a", "13a")
    assert [guess_language([t]) for t in ("はい", "你好", "yes", "")] == ["ja", "zh", "", ""]


def test_translations_keep_the_order_of_their_sources(run):
    sources = [pair.src for pair in PAIRS[:4]]
    together = translate_all(run, sources)
    assert together == [translate_all(run, [source])[0] for source in sources]
    assert translate_all(run, ["", *sources])[1:] == together


def test_loss_per_token_equals_a_plain_loop(run):
    total, count = 0.0, 0
    for pair in PAIRS[:4]:
        src = run.tokenizer.encode(pair.src).ids + [run.model.eos_id]
        tgt = run.tokenizer.encode(pair.tgt).ids + [run.model.eos_id]
        with torch.no_grad():
            memory = run.model.encode(torch.tensor([src]))
            logits = run.model(torch.tensor([[run.model.bos_id, *tgt[:-1]]]), memory).logits[0]
        total -= float(logits.log_softmax(-1)[torch.arange(len(tgt)), torch.tensor(tgt)].sum())
        count += len(tgt)
    loss, tokens = loss_per_token(run, PAIRS)  # the pair that is too long is left out
    assert tokens == count and loss == pytest.approx(total / count, abs=1e-5)


def test_an_evaluation_has_everything_in_it(run):
    seen = []
    result = evaluate(run, PAIRS, decode=GenerationConfig(max_new_tokens=6), progress=lambda *said: seen.append(said))
    assert result["kind"] == "translation" and result["examples"] == 5 == len(result["hypotheses"])
    assert result["bleu_signature"] == bleu_score(result["hypotheses"], [p.tgt for p in PAIRS], "char").signature or (
        "ja-mecab" in result["bleu_signature"]
    )
    assert 0 <= result["bleu"] <= 100 and 0 <= result["chrf"] <= 100 and result["strategy"] == "greedy"
    assert seen and all(0 <= share <= 1 for share, _ in seen)
    assert evaluate(run, PAIRS, max_examples=2, decode=GenerationConfig(max_new_tokens=2))["examples"] == 2


def test_what_cannot_be_evaluated_is_said(run, tmp_path):
    with pytest.raises(DataError, match="empty"):
        evaluate(run, [])
    with pytest.raises(DataError, match="give pairs"):
        evaluate(run, documents=["text"])
    with pytest.raises(DataError, match="longer than the model's context"):
        evaluate_translation(run, PAIRS[4:], GenerationConfig(max_new_tokens=2))
    (tmp_path / "a").write_text("one\ntwo\n")
    (tmp_path / "b").write_text("eins\n")
    with pytest.raises(DataError, match="2 lines but .* has 1"):
        read_pairs(str(tmp_path / "a"), str(tmp_path / "b"), run.config.data)


def test_files_are_read_line_by_line_with_repeated_and_empty_lines(run, tmp_path):
    (tmp_path / "a").write_text("one\none\n\ntwo\n")
    (tmp_path / "b").write_text("一\n一\n二\n二\n")
    found = read_pairs(str(tmp_path / "a"), str(tmp_path / "b"), run.config.data)
    assert [pair[:2] for pair in found] == [("one", "一"), ("one", "一"), ("", "二"), ("two", "二")]
    assert len(read_lines(str(tmp_path / "a"))) == 4


def test_tables_are_read_by_their_columns(run, tmp_path):
    from dataclasses import replace

    table = tmp_path / "pairs.csv"
    table.write_text("en,ja\nyes,はい\nno,いいえ\n")
    data = replace(run.config.data, src_column="en", tgt_column="ja")
    assert [p[:2] for p in read_data(str(table), data, "pairs")] == [("yes", "はい"), ("no", "いいえ")]
    with pytest.raises(DataError, match="no column 'src'"):
        read_data(str(table), run.config.data, "pairs")
