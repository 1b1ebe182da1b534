"""Which tokenizers the page offers, and what a key opens where."""

import json
import shutil

import pytest

from core.errors import UserError
from core.tokenizer import train_bpe
from core.tokenizer.own import save_own, tokenizers_dir
from playground import models, tokenizers
from playground.site import OWN, PUBLIC, STUDIO, on
from playground.tokenizers import Work


@pytest.fixture(autouse=True)
def no_own_ones_stay(runs):
    yield
    shutil.rmtree(tokenizers_dir(runs), ignore_errors=True)


def keys(site):
    return [key for _, key in tokenizers.choices(site)]


def test_runs_own_ones_and_encodings_are_offered(runs):
    save_own("mine", train_bpe(["mine, mine"], 260), {})
    assert keys(OWN)[0] == "" and {"tiny-gpt", "own:mine", "tiktoken:cl100k_base"} < set(keys(OWN))
    assert "own:mine" in keys(STUDIO) and not [key for key in keys(STUDIO) if "tiktoken" in key]
    assert set(keys(PUBLIC)) == {"", *(name for _, name in models.model_choices())}
    labels = [label for label, _ in tokenizers.choices(OWN)]
    assert len(set(labels)) == len(labels)


def test_a_key_opens_what_it_names(runs, tmp_path):
    mine = train_bpe(["mine, mine"], 261)
    save_own("mine", mine, {})
    file = tmp_path / "tokenizer.json"
    file.write_text(mine.to_json())
    for key in ("own:mine", str(file), str(tmp_path), f" {file} "):
        assert tokenizers.open_tokenizer(key, None).to_json() == mine.to_json(), key
    assert tokenizers.open_tokenizer("", "tiny-gpt") is models.get_run("tiny-gpt").tokenizer
    assert tokenizers.open_tokenizer("tiny-gpt", None).to_json() == models.get_run("tiny-gpt").tokenizer.to_json()
    with pytest.raises(UserError, match="no tokenizer"):
        tokenizers.open_tokenizer("nowhere", None)
    with pytest.raises(UserError, match="No model is chosen"):
        tokenizers.open_tokenizer("", None)


def test_an_own_tokenizer_and_a_run_of_the_same_name_are_two(runs):
    mine = train_bpe(["mine, mine"], 262)
    save_own("tiny-gpt", mine, {})
    assert tokenizers.open_tokenizer("own:tiny-gpt", None).to_json() == mine.to_json()
    assert tokenizers.open_tokenizer("tiny-gpt", None).to_json() != mine.to_json()


def test_a_file_that_changed_is_opened_again(runs, tmp_path):
    file = tmp_path / "tokenizer.json"
    for text, size in (("one one", 260), ("two two two", 263)):
        tokenizer = train_bpe([text], size)
        file.write_text(tokenizer.to_json())
        assert tokenizers.open_tokenizer(str(file), None).to_json() == tokenizer.to_json()


@pytest.mark.parametrize(
    "key", ["hf:org/name", "/etc/passwd", "../x", "~", "own:../../x", "own:/etc", "tiktoken:../x", "tiktoken:gpt2"]
)
def test_strangers_open_nothing_but_runs(runs, key):
    save_own("mine", train_bpe(["mine"], 259), {})
    for site in (PUBLIC, STUDIO):
        with on(site), pytest.raises(UserError):
            tokenizers.open_tokenizer(key, "tiny-gpt")
    with on(PUBLIC), pytest.raises(UserError, match="of its list"):
        tokenizers.open_tokenizer("own:mine", None)
    with on(STUDIO):
        assert tokenizers.open_tokenizer("own:mine", None)
    with on(PUBLIC):
        assert tokenizers.open_tokenizer("tiny-gpt", None)


@pytest.mark.parametrize("key", ["own:../../x", "own:", "own:/etc", "tiktoken:../x", "tiktoken:", "\x00", "x" * 5000])
def test_no_key_is_a_traceback(runs, key):
    with pytest.raises(UserError):
        tokenizers.open_tokenizer(key, "tiny-gpt")


def test_an_encoding_is_of_its_text_tokenizer_and_switch(runs):
    plain = tokenizers.encoding_of(Work("", "tiny-gpt", "<s>a", False))
    parsed = tokenizers.encoding_of(Work("", "tiny-gpt", "<s>a", True))
    assert len(plain) > len(parsed) and plain is tokenizers.encoding_of(Work("", "tiny-gpt", "<s>a", False))


def test_a_tokenizer_is_called_by_its_name(runs):
    assert tokenizers.label("own:mine", "x") == "mine" and tokenizers.label("", "tiny-gpt") == "tiny-gpt"
    assert tokenizers.label("/home/someone/secret/tokenizer.json", None) == "tokenizer.json"
    assert json.dumps(tokenizers.label("", None))
