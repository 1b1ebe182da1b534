"""Lists of ranks: equal to the package tiktoken made of the same ranks, and with its published patterns."""

import base64

import pytest
import tiktoken
import tiktoken_ext.openai_public

from core.errors import RunError
from core.tokenizer import load_tokenizer
from core.tokenizer.base import clean_text
from core.tokenizer.files.tiktoken_ranks import ENCODINGS, read_ranks, tokenizer_from_ranks


def written(ranks):
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())


@pytest.fixture(scope="module")
def ranks(make_tokenizer):
    vocab = make_tokenizer("gpt4").vocab
    return {token: rank for rank, token in enumerate(sorted(vocab, key=vocab.__getitem__))}


@pytest.mark.parametrize("name", ENCODINGS)
def test_equal_to_the_package(name, ranks, nasty_texts, monkeypatch):
    """Its own pattern and special tokens, with ranks that need no download."""
    for loader in ("load_tiktoken_bpe", "data_gym_to_mergeable_bpe_ranks"):
        monkeypatch.setattr(tiktoken_ext.openai_public, loader, lambda *_, **__: ranks)
    published = tiktoken_ext.openai_public.ENCODING_CONSTRUCTORS[name]()
    pattern, special = ENCODINGS[name]
    assert special == published["special_tokens"]
    theirs = tiktoken.Encoding(name, pat_str=published["pat_str"], mergeable_ranks=ranks, special_tokens=special)
    ours = tokenizer_from_ranks(written(ranks), name, "x")
    assert pattern == published["pat_str"]
    for text in [*nasty_texts[:700], "\n\n  ", "a\n \n", "don't DON'T", "x" * 3_000]:
        encoding = ours.encode(text)
        assert encoding.ids == theirs.encode(clean_text(text), disallowed_special=())
        assert b"".join(encoding.pieces) == clean_text(text).encode()
    text = "a<|endoftext|>b" + "".join(list(special)[:8])
    assert ours.encode(text, parse_special=True).ids == theirs.encode(text, allowed_special="all")


def test_every_published_encoding_is_known():
    assert list(ENCODINGS) == list(tiktoken_ext.openai_public.ENCODING_CONSTRUCTORS)


def test_a_file_by_its_name(ranks, tmp_path):
    (tmp_path / "cl100k_base.tiktoken").write_bytes(written(ranks))
    assert load_tokenizer(tmp_path / "cl100k_base.tiktoken").special_tokens["<|endofprompt|>"] == 100276
    assert load_tokenizer(tmp_path).encode("hello").ids  # the folder of it, too
    (tmp_path / "qwen.tiktoken").write_bytes(written(ranks))
    with pytest.raises(RunError, match="choose the pattern"):
        load_tokenizer(tmp_path / "qwen.tiktoken")
    (tmp_path / "p50k_base.tiktoken").write_bytes(written(ranks | {b"something": 50256}))
    with pytest.raises(RunError, match="not the file of p50k_base"):
        load_tokenizer(tmp_path / "p50k_base.tiktoken")


@pytest.mark.parametrize(
    "line",
    [b"YQ==", b"YQ== x", b"YQ== -1", b"YQ== 1 2", b"!! 300", b"YQ== 300", b" 300", b"YWI= 99999999999", b"YWI= 97",
     b"YWI=  300", base64.b64encode(b"x" * 513) + b" 300", b"\xff\xfe 300", "é 300".encode()],
)  # fmt: skip
def test_broken_lines(line):
    whole = written({bytes([byte]): byte for byte in range(256)})
    assert len(read_ranks(whole, "x")) == 256
    with pytest.raises(RunError, match=r"x .*\.$|Line 257 of x"):
        read_ranks(whole + line + b"\n", "x")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"YQ== 0\n", b"\0" * 100, b"hello world"])
def test_what_is_no_list_of_ranks(content):
    with pytest.raises(RunError, match=r"\.$"):
        tokenizer_from_ranks(content, "gpt2", "x")
