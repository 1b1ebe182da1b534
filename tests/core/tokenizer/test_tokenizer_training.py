"""Training by request: every kind, its choices, and what cannot be asked for."""

import dataclasses
import json

import pytest
import tokenizers

from core.config import TokenizerConfig
from core.data.token_cache import TokenCache
from core.errors import ConfigError, RunError, TextError
from core.tokenizer import HubTokenizer, load_tokenizer, train_bpe, train_tokenizer, with_control_tokens
from core.tokenizer.base import clean_text
from core.tokenizer.load import tokenizer_from_json
from core.tokenizer.training import TrainingRequest, train_by_request

OWN = r"\p{Lu}?\p{Ll}+|\p{N}|[^\p{L}\p{N}]+"


def theirs(tokenizer):
    """The saved file, as the `tokenizers` package itself reads it."""
    return tokenizers.Tokenizer.from_str(tokenizer.to_json())


@pytest.mark.parametrize("pattern", ["gpt2", "none"])
def test_unigram_loses_nothing(corpus, nasty_texts, pattern):
    tokenizer = train_by_request(TrainingRequest("unigram", 1_200, pattern), corpus[:3_000])
    assert tokenizer.vocab_size == 1_200 and (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2)
    for text in nasty_texts[:800]:
        ids = tokenizer.encode(text).ids
        assert tokenizer.decode(ids) == clean_text(text).replace("▁", " ")
        assert set(ids) <= set(range(tokenizer.vocab_size)) - tokenizer.special_ids
    words = {tokenizer.token_bytes(id) for id in range(260, tokenizer.vocab_size)}
    assert any(b" " in word.strip() for word in words) == (pattern == "none")  # pieces of several words
    assert len(tokenizer.encode(corpus[50]).ids) < len(corpus[50]) / 2


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "bpe"])
def test_the_same_again(corpus, kind):
    """Whatever order the package's hash tables have."""
    request = TrainingRequest(kind, 800, engine="tokenizers")
    made = {train_by_request(request, corpus[:800]).to_json() for _ in range(4)}
    assert len(made) == 1


def test_unigram_takes_typed_names_of_bytes_for_text():
    tokenizer = train_by_request(TrainingRequest("unigram", 400), ["a b"])
    ids = tokenizer.encode("<0x41><0xE3>").ids
    assert b"".join(map(tokenizer.token_bytes, ids)) == b"<0x41><0xE3>" and len(ids) == 12


@pytest.mark.parametrize("lowercase", [False, True])
def test_wordpiece_as_bert(corpus, lowercase):
    request = TrainingRequest("wordpiece", 900, lowercase=lowercase)
    tokenizer = train_by_request(request, corpus[:3_000])
    assert isinstance(tokenizer, HubTokenizer) and tokenizer.model_type == "WordPiece"
    assert tokenizer.vocab_size == 900 and (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2)
    other = theirs(tokenizer)
    for line in corpus[:300]:
        assert tokenizer.encode(line).ids == other.encode(line, add_special_tokens=False).ids
    text = "The Statement, unrecognizable"
    tokens = [other.id_to_token(id) for id in tokenizer.encode(text).ids]
    assert any(token.startswith("##") for token in tokens)
    assert tokenizer.decode(tokenizer.encode(text).ids) == (text.lower() if lowercase else text)
    assert ("e" in tokenizer.decode(tokenizer.encode("é").ids)) == lowercase
    assert tokenizer.encode("the ☃").ids[-1] == other.token_to_id("<unk>")


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "none", OWN])
@pytest.mark.parametrize("min_frequency", [0, 3])
def test_both_engines_learn_the_same(corpus, pattern, min_frequency):
    request = TrainingRequest("bpe", 900, pattern, min_frequency=min_frequency)
    texts = corpus[:800] + ["<s> x<s>y", "東京" * 20, "\ud800"]
    ours = train_by_request(request, texts)
    other = train_by_request(dataclasses.replace(request, engine="tokenizers"), texts)
    assert ours.merges == other.merges and ours.to_json() == other.to_json()


def test_own_regular_expressions(corpus):
    tokenizer = train_by_request(TrainingRequest("bpe", 600, OWN), corpus[:1_000])
    again = tokenizer_from_json(tokenizer.to_json())
    for text in (*corpus[:50], "CamelCase snake_case 123", "\n\n"):
        assert tokenizer.encode(text) == again.encode(text)
        assert tokenizer.encode_batch([text])[0] == tokenizer.encode(text).ids == theirs(tokenizer).encode(text).ids
    chunks = tokenizer.splitter("CamelCase12")
    assert chunks == ["Camel", "Case", "1", "2"]


@pytest.mark.parametrize("engine", ["ours", "tokenizers"])
def test_an_expression_that_hangs_is_ended(engine, monkeypatch):
    monkeypatch.setattr("core.tokenizer.split.TIME_LIMIT", 0.2)
    request = TrainingRequest("bpe", 300, "(a|aa)+b|.", engine=engine)
    with pytest.raises(TextError, match="splitting pattern took more than"):
        train_by_request(request, ["a" * 5_000])


def test_special_tokens_never_come_from_text():
    names = ("<pad>", "<s>", "</s>", "<|turn|>", "the cat")
    for kind in ("bpe", "unigram", "wordpiece", "char"):
        tokenizer = train_by_request(TrainingRequest(kind, 400, special_tokens=names), ["the cat <|turn|> sat"] * 30)
        assert [tokenizer.special_tokens[name] for name in names] == list(range(5))
        assert not {0, 1, 2, 3, 4} & set(tokenizer.encode("<s> the cat <|turn|>").ids)
        assert 3 in tokenizer.encode("the<|turn|>cat", parse_special=True).ids


def test_none_cuts_at_lines():
    text = "one two\none two\none two\n" * 30
    tokenizer = train_by_request(TrainingRequest("bpe", 300, "none"), [text])
    longest = max(map(tokenizer.token_bytes, range(tokenizer.vocab_size)), key=len)
    assert longest == b"one two\n"


def test_a_run_learns_from_one_long_chunk(corpus):
    """Which takes the package minutes."""
    text = "".join(corpus)
    made = train_tokenizer(TokenizerConfig("bpe", 600, "none"), [text])
    assert made.vocab_size == 600 and any(b"\n" in merge[0] + merge[1][1:] for merge in made.merges)
    short = [text[:9_000], text[9_000:15_000]]
    assert (
        train_tokenizer(TokenizerConfig("bpe", 600, "none"), short).merges
        == train_bpe(short, 600, pattern="none").merges
    )


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram", "char"])
@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_nothing_to_train_on(kind, texts):
    with pytest.raises(TextError, match="no text to train on"):
        train_by_request(TrainingRequest(kind, 400), texts)


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram", "char"])
@pytest.mark.parametrize("text", ["a", " ", "\n", "東", "\ud800", "\0", "ab" * 3_000, "👩‍💻"])
def test_little_text(kind, text):
    """It gives a small tokenizer, or a sentence."""
    try:
        tokenizer = train_by_request(TrainingRequest(kind, 400), [text])
    except TextError as error:
        assert str(error).endswith(".") and kind in ("wordpiece", "unigram")
    else:
        assert tokenizer.decode(tokenizer.encode("a b").ids) is not None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "bp"}, "kind must be one of"),
        ({"vocab_size": 258}, "259 to 500,000"),
        ({"vocab_size": 10**9}, "259 to 500,000"),
        ({"vocab_size": 300.5}, "whole number"),
        ({"vocab_size": True}, "whole number"),
        ({"pattern": ""}, "empty"),
        ({"pattern": "gtp2"}, "no splitting pattern 'gtp2'"),
        ({"pattern": "(a"}, "not a valid regular expression"),
        ({"pattern": "^a+"}, "'\\^'"),
        ({"pattern": r"\h+|."}, "cannot carry"),
        ({"pattern": "(a)" * 1_000}, "3,000 characters"),
        ({"kind": "unigram", "pattern": "a+|."}, "for BPE only"),
        ({"kind": "wordpiece", "vocab_size": 10}, "68 to"),
        ({"special_tokens": ["a"]}, "2 to 100 characters"),
        ({"special_tokens": ["<s>", "<s>"]}, "twice"),
        ({"special_tokens": ["<s> "]}, "spaces at its ends"),
        ({"special_tokens": ["a\nb"]}, "visible"),
        ({"special_tokens": ["<\ud800>"]}, "visible"),
        ({"special_tokens": ["x" * 101]}, "2 to 100"),
        ({"special_tokens": [f"<{i}>" for i in range(1_001)], "vocab_size": 5_000}, "up to 1,000"),
        ({"special_tokens": "<s>"}, "must be a list"),
        ({"min_frequency": -1}, "between 0"),
        ({"engine": "theirs"}, "engine"),
        ({"size": 5}, "Unknown key"),
    ],
)
def test_requests_that_cannot_be(values, said):
    with pytest.raises(ConfigError, match=said):
        TrainingRequest.from_values(values)


def test_a_request_and_its_values():
    request = TrainingRequest("unigram", 999, special_tokens=("<a>", "<b>"))
    assert TrainingRequest.from_values(json.loads(json.dumps(request.to_values()))) == request


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
def test_a_run_trains_and_keeps_its_kind(kind, corpus, tmp_path):
    config = TokenizerConfig(kind=kind, vocab_size=700)
    tokenizer = train_tokenizer(config, corpus[:500])
    tokenizer.save(tmp_path)
    assert load_tokenizer(tmp_path).to_json() == tokenizer.to_json()
    cache = TokenCache(tmp_path / "tokens")
    first, second = (cache.train(config, corpus[:500]) for _ in range(2))
    assert len(list((tmp_path / "tokens").glob("*.json"))) == 1  # the second time it is read
    assert first.encode(corpus[3]).ids == second.encode(corpus[3]).ids == tokenizer.encode(corpus[3]).ids


def test_the_cache_tells_all_choices_apart(tmp_path):
    cache, texts = TokenCache(tmp_path), ["the cat sat on the mat 1234"] * 5
    configs = [
        TokenizerConfig(vocab_size=265), TokenizerConfig(vocab_size=266), TokenizerConfig(vocab_size=265, pattern=OWN),
        TokenizerConfig(vocab_size=265, pattern="none"), TokenizerConfig("unigram", 400),
        TokenizerConfig("wordpiece", 400), TokenizerConfig("unigram", 400, "none"),
    ]  # fmt: skip
    made = [cache.train(config, texts).to_json() for config in configs]
    assert len(list(tmp_path.glob("*.json"))) == len(configs)
    assert [cache.train(config, texts).to_json() for config in configs] == made


@pytest.mark.parametrize(
    ("assigned", "said"),
    [
        ({"pattern": "(x"}, "tokenizer: .*not a valid"), ({"pattern": "gpt3"}, "no splitting pattern"),
        ({"kind": "unigram", "vocab_size": 200}, "324 to"), ({"kind": "wordpiece", "pattern": "a|b"}, "BPE only"),
    ],
)  # fmt: skip
def test_configurations_that_cannot_be(assigned, said):
    with pytest.raises(ConfigError, match=said):
        TokenizerConfig(**assigned)
    TokenizerConfig(**assigned, path="some-run")  # then they mean nothing


def test_what_a_run_needs_is_added():
    texts = ["the cat sat on the mat"] * 5
    whole = train_bpe(texts, 280)
    assert with_control_tokens(whole).to_json() == whole.to_json()
    bare = train_bpe(texts, 270, special_tokens=["<|endoftext|>"])
    assert with_control_tokens(bare, pad=False).to_json() == bare.to_json()
    made = with_control_tokens(bare)
    size = bare.vocab_size
    assert (made.pad_id, made.bos_id, made.eos_id, made.vocab_size) == (size, 0, 0, size + 1)
    assert made.encode("the cat <pad>").ids == bare.encode("the cat <pad>").ids
    nothing = with_control_tokens(train_bpe(texts, 270, special_tokens=[]))
    assert len({nothing.pad_id, nothing.bos_id, nothing.eos_id, None}) == 4
    vocab = {"<unk>": 0, "a": 1, "b": 5}  # ids with a gap, where new ones could fall on old ones
    level = {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}
    gaps = HubTokenizer(json.dumps({"version": "1.0", "added_tokens": [], "model": level}))
    try:
        made = with_control_tokens(gaps)
    except RunError as error:
        assert "cannot be added" in str(error)
    else:
        assert len({1, 5, made.pad_id, made.bos_id, made.eos_id}) == 5
