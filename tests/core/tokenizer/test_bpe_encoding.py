"""Our encoder against the `tokenizers` package and tiktoken, and against the text itself."""

import json
import random
import time

import pytest
import tiktoken
from tokenizers import Tokenizer

from core.errors import RunError, TextError
from core.tokenizer import BPETokenizer, load_tokenizer, train_bpe
from core.tokenizer.base import clean_text
from core.tokenizer.bpe import merge_chunk, merge_long_chunk
from core.tokenizer.files.tiktoken_ranks import from_tiktoken
from core.tokenizer.load import tokenizer_from_json
from core.tokenizer.split import PATTERNS

KNOWN = ["gpt2", "gpt4", "none"]


@pytest.mark.parametrize("pattern", KNOWN)
def test_ids_and_offsets_equal_tokenizers(make_tokenizer, nasty_texts, pattern, tmp_path):
    ours = make_tokenizer(pattern)
    ours.save(tmp_path / "tokenizer.json")
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    theirs.encode_special_tokens = True
    texts = [clean_text(text) for text in nasty_texts]
    for text, expected in zip(nasty_texts, theirs.encode_batch(texts, add_special_tokens=False), strict=True):
        encoding = ours.encode(text)
        assert encoding.ids == expected.ids, repr(text)
        assert encoding.char_spans == expected.offsets, repr(text)
        assert ours.encode_ids(text) == expected.ids
    assert ours.encode_batch(nasty_texts) == [ours.encode(text).ids for text in nasty_texts]


@pytest.mark.parametrize("pattern", KNOWN)
def test_encoding_is_lossless(make_tokenizer, nasty_texts, pattern):
    tokenizer = make_tokenizer(pattern)
    for text in nasty_texts:
        encoding = tokenizer.encode(text)
        data = clean_text(text).encode("utf-8")
        assert b"".join(encoding.pieces) == data
        assert [data[a:b] for a, b in encoding.byte_spans] == encoding.pieces
        assert len(encoding) == len(encoding.special_mask) == len(encoding.char_spans)
        assert not any(encoding.special_mask)
        for piece, (a, b) in zip(encoding.pieces, encoding.char_spans, strict=True):
            assert piece in clean_text(text)[a:b].encode("utf-8")
        assert tokenizer.decode(encoding.ids) == clean_text(text)


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4"])
def test_ids_equal_tiktoken(make_tokenizer, nasty_texts, pattern):
    ours = make_tokenizer(pattern)
    ranks = {token: id - 3 for token, id in ours.vocab.items()}
    theirs = tiktoken.Encoding("ours", pat_str=PATTERNS[pattern], mergeable_ranks=ranks, special_tokens={"<s>": 9999})
    imported = from_tiktoken(theirs)
    for text in map(clean_text, nasty_texts):
        expected = theirs.encode_ordinary(text)
        assert [id - 3 for id in ours.encode_ids(text)] == expected, repr(text)
        assert imported.encode_ids(text) == expected
    assert imported.encode("<s>", parse_special=True).ids == [9999]
    assert b"".join(imported.encode("<s>").pieces) == b"<s>"


def test_decoding_any_ids_equals_tokenizers(make_tokenizer):
    tokenizer = make_tokenizer("gpt2")
    generator = random.Random(3)
    for _ in range(2000):
        ids = [generator.randrange(0, 300) for _ in range(generator.randint(0, 12))]
        for skip in (True, False):
            assert tokenizer.decode(ids, skip_special=skip) == tokenizer.parsing().decode(ids, skip_special_tokens=skip)


def test_invalid_bytes_become_replacement_characters(make_tokenizer):
    tokenizer = make_tokenizer("gpt2")
    ids = tokenizer.encode("né").ids
    assert tokenizer.decode_bytes([*ids, 3 + 188]).startswith("né".encode())
    half = [tokenizer.vocab[b"\xe3"], tokenizer.vocab[b"\x81"]]
    assert tokenizer.decode(half) == "\ufffd"
    assert tokenizer.decode_bytes(half) == b"\xe3\x81"


def test_special_tokens_only_on_request(make_tokenizer):
    tokenizer = make_tokenizer("gpt2")
    text = "<s>é </s><pad> <s"
    plain, parsed = tokenizer.encode(text), tokenizer.encode(text, parse_special=True)
    assert not tokenizer.special_ids & set(plain.ids)
    assert [id for id, special in zip(parsed.ids, parsed.special_mask, strict=True) if special] == [1, 2, 0]
    assert b"".join(parsed.pieces) == text.encode()
    theirs = Tokenizer.from_str(tokenizer.to_json())
    assert theirs.encode(text).ids == parsed.ids
    assert theirs.encode(text).offsets == parsed.char_spans
    assert tokenizer.decode(parsed.ids) == "é  <s"
    assert tokenizer.decode(parsed.ids, skip_special=False) == text


def test_the_longest_special_token_wins():
    tokenizer = BPETokenizer([], {"<x>": 0, "<x><y>": 1})
    assert tokenizer.encode("<x><y><x>", parse_special=True).ids == [1, 0]
    assert Tokenizer.from_str(tokenizer.to_json()).encode("<x><y><x>").ids == [1, 0]


def test_tokens_that_do_not_exist(make_tokenizer):
    tokenizer = make_tokenizer("gpt2")
    with pytest.raises(TextError, match="There is no token 99999"):
        tokenizer.token_bytes(99_999)
    assert tokenizer.decode([99_999, *tokenizer.encode("ok").ids]) == "ok"  # a model's vocabulary may be padded
    with pytest.raises(TextError, match="takes text"):
        tokenizer.encode(None)  # type: ignore[arg-type]


def test_both_ways_of_merging_agree():
    generator = random.Random(4)
    for _ in range(200):
        texts = ["".join(generator.choices("ab", k=60)) for _ in range(6)]
        tokenizer = train_bpe(texts, 330, pattern="none")
        data = "".join(generator.choices("ab", k=generator.randint(0, 200))).encode()
        ids = [tokenizer.vocab[bytes([b])] for b in data]
        assert merge_chunk(ids, tokenizer.ranks) == merge_long_chunk(ids, tokenizer.ranks)


def test_a_token_made_in_two_ways_lets_an_earlier_merge_go_first():
    """Files of others may have merges that training never makes: abc arises from a+bc at rank 3, x+abc has rank 1."""
    merges = [(b"b", b"c"), (b"x", b"abc"), (b"abc", b"abc"), (b"a", b"bc"), (b"abc", b"x")]
    tokenizer = BPETokenizer(merges, {})
    assert tokenizer.encode("xabc").pieces == [b"xabc"]
    for text in ["xabcxabc" * 20, "abcabcabcx" * 20, "abcxabxabcab" * 20]:
        ids = [tokenizer.vocab[bytes([b])] for b in text.encode()]
        assert merge_long_chunk(ids, tokenizer.ranks) == merge_chunk(ids, tokenizer.ranks)
        assert tokenizer.encode(text).ids == tokenizer.fast().encode(text).ids


@pytest.mark.parametrize("unit", ["a", " ", "0", "\n", "ab", "あ", "xyzzy"])
def test_long_texts_without_words_are_quick(unit):
    tokenizer = train_bpe([unit * n for n in (64, 96, 101, 300)], 300, pattern="none")
    text = (unit * 100_000)[:100_000]
    start = time.process_time()
    encoding = tokenizer.encode(text)
    assert time.process_time() - start < 60  # a slip in the algorithm takes minutes
    assert b"".join(encoding.pieces) == text.encode()
    assert len(encoding) < len(text) / 4
    assert encoding.ids == tokenizer.encode_batch([text])[0]


def test_a_million_letters_without_a_space(make_tokenizer):
    text = "".join(random.Random(5).choices("abcdefghij", k=1_000_000))
    start = time.process_time()
    ids = make_tokenizer("gpt2").encode_ids(text)
    assert time.process_time() - start < 60  # a slip in the algorithm takes minutes
    assert ids == make_tokenizer("gpt2").encode_batch([text])[0]


def test_100_kb_of_prose(make_tokenizer, corpus):
    tokenizer, text = make_tokenizer("gpt2"), "".join(corpus)[:100_000]
    encoding = tokenizer.encode(text)
    assert b"".join(encoding.pieces) == text.encode()
    assert encoding.ids == tokenizer.fast().encode(text).ids


@pytest.mark.parametrize("pattern", KNOWN)
def test_saved_and_loaded_is_the_same(make_tokenizer, pattern, tmp_path):
    tokenizer = make_tokenizer(pattern)
    tokenizer.save(tmp_path / "t.json")
    again = load_tokenizer(tmp_path / "t.json")
    assert isinstance(again, BPETokenizer)
    assert again.to_json() == tokenizer.to_json()
    assert (again.merges, again.vocab, again.special_tokens) == (
        tokenizer.merges,
        tokenizer.vocab,
        tokenizer.special_tokens,
    )
    assert (tmp_path / "t.json").stat().st_mode & 0o777 == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]


def test_saving_where_nothing_can_be_written_is_a_sentence(make_tokenizer, tmp_path):
    with pytest.raises(RunError, match="cannot be written"):
        make_tokenizer("gpt2").save(tmp_path / "missing" / "t.json")


def test_ignore_merges_takes_whole_chunks(nasty_texts, make_tokenizer):
    base = make_tokenizer("gpt4")
    vocab = base.vocab | {b" zyzzyva": base.vocab_size, b"hello": base.vocab_size + 1}
    tokenizer = BPETokenizer(base.merges, base.special_tokens, pattern="gpt4", vocab=vocab, ignore_merges=True)
    assert tokenizer.encode("hello zyzzyva").ids == [base.vocab_size + 1, base.vocab_size]
    theirs = Tokenizer.from_str(tokenizer.to_json())
    assert theirs.encode("hello zyzzyva").ids == [base.vocab_size + 1, base.vocab_size]
    assert tokenizer.encode_batch(nasty_texts) == [tokenizer.encode_ids(text) for text in nasty_texts]


def test_a_chunk_that_reads_as_a_special_token_is_text(make_tokenizer):
    base = make_tokenizer("gpt4")
    special = base.special_tokens | {"the": base.vocab_size}  # a name that the pattern does not cut
    vocab = {token: id for token, id in base.vocab.items() if token != b"the"}
    merges = [pair for pair in base.merges if {*pair, pair[0] + pair[1]} <= vocab.keys()]
    tokenizer = BPETokenizer(merges, special, pattern="gpt4", vocab=vocab, ignore_merges=True)
    for text in ("the", "the end", "<s>", "a\nthe"):
        ids = tokenizer.encode(text).ids
        assert tokenizer.encode_batch([text]) == [ids] and not set(ids) & tokenizer.special_ids
        assert tokenizer.decode(ids) == text
    assert tokenizer.encode("the", parse_special=True).ids == [base.vocab_size]


def test_special_tokens_of_two_kinds_are_the_packages_to_find(make_tokenizer):
    """It looks for those that are matched before normalisation first, even where there is no normaliser."""
    document = json.loads(make_tokenizer("gpt2").to_json())
    document["added_tokens"][2]["normalized"] = True
    document["added_tokens"].append(document["added_tokens"][0] | {"id": 1500, "content": "s></"})
    theirs = Tokenizer.from_str(json.dumps(document))
    ours = tokenizer_from_json(json.dumps(document))
    assert ours.encode("</s></s>", parse_special=True).ids == theirs.encode("</s></s>").ids
