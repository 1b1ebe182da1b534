"""Runs that are trained with a tokenizer of one's own, and what they keep of it."""

import pytest

from core import load
from core.decode import GenerationConfig, generate
from core.errors import RunError
from core.run import create_run, read_status
from core.tokenizer.own import delete_own, save_own
from core.tokenizer.training import TrainingRequest, train_by_request
from core.train.loop import train
from tests.core.train import tiny_runs

REQUESTS = {
    "unigram": TrainingRequest("unigram", 360),
    "wordpiece": TrainingRequest("wordpiece", 80),
    "regex": TrainingRequest("bpe", 280, r"\p{L}+|[^\p{L}]"),
    "bare": TrainingRequest("bpe", 270, special_tokens=("<|endoftext|>",)),
}


@pytest.mark.parametrize("family", ["transformer", "llama"])
@pytest.mark.parametrize("kind", REQUESTS)
def test_an_own_tokenizer_in_a_run(kind, family, files, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    own = train_by_request(REQUESTS[kind], (files / "text.txt").read_text().splitlines())
    save_own("mine", own, {})
    short = ("train.max_steps=4", "train.val_every=4")
    config = tiny_runs.config(files, *short, "tokenizer.path=mine", family=family)
    status = train(create_run(config, "run"))
    assert (status.state, status.error) == ("done", "")
    delete_own("mine")  # the run has its copy
    run = load("run")
    assert run.config.model.vocab_size == run.tokenizer.vocab_size
    assert run.tokenizer.vocab_size == own.vocab_size + (kind == "bare" and family == "transformer")
    assert None not in (run.tokenizer.bos_id, run.tokenizer.eos_id)
    for text in ("one two three", "ten <s> é\n"):
        assert run.tokenizer.encode(text).ids == own.encode(text).ids
    assert generate(run, ["one two"], GenerationConfig(max_new_tokens=4))[0].ids is not None


def test_one_that_cannot_be_kept_is_refused(files, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    with pytest.raises(RunError, match="There is no tokenizer 'nobody'"):
        train(create_run(tiny_runs.config(files, "tokenizer.path=nobody"), "run"))
    assert read_status(tmp_path / "run").state == "failed"
