"""Tokenizers of other kinds by the `tokenizers` package: spans that fit the text, and typed special tokens as text."""

import functools
import json
import time

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from core.errors import RunError, TextError
from core.tokenizer import HubTokenizer, load_tokenizer
from core.tokenizer.base import clean_text
from core.tokenizer.inspect import stages
from tests.core.tokenizer.kinds import KINDS, TEXTS, byte_fallback_bpe, byte_level, wordpiece


@pytest.fixture(params=KINDS)
def pair(request, tmp_path):
    """(ours, theirs) of one kind, ours loaded from the file that theirs wrote."""
    theirs = KINDS[request.param]()
    theirs.save(str(tmp_path / "tokenizer.json"))
    return load_tokenizer(tmp_path), theirs


def test_spans_fit_the_text_and_batches_equal_single(pair, nasty_texts):
    ours, _ = pair
    assert isinstance(ours, HubTokenizer)
    texts = nasty_texts[:600]
    for text in texts:
        encoding = ours.encode(text)
        data = clean_text(text).encode("utf-8")
        assert len(encoding.ids) == len(encoding.pieces) == len(encoding.byte_spans) == len(encoding.char_spans)
        for piece, (a, b), (c, d) in zip(encoding.pieces, encoding.byte_spans, encoding.char_spans, strict=True):
            assert piece == data[a:b]
            assert piece in clean_text(text)[c:d].encode("utf-8")
    assert ours.encode_batch(texts) == [ours.encode(text).ids for text in texts]


def test_typed_special_tokens_are_text_unless_parsed(pair):
    ours, theirs = pair
    names = [name for name in ours.special_tokens if "unk" not in name.lower()]
    for name in names:
        for text in (name, f"the {name} fox", f"{name}{name}"):
            special = {ours.special_tokens[n] for n in names}
            assert not special & set(ours.encode(text).ids), text
            parsed = ours.encode(text, parse_special=True)
            assert parsed.ids == theirs.encode(text, add_special_tokens=False).ids
            assert sum(parsed.special_mask) == text.count(name)


def test_special_tokens_that_merges_are_made_of():
    """Their name is the model's too: the file is still read, and the merges go on as the package has them."""
    theirs = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    theirs.add_special_tokens(["a", "ab"])
    ours = HubTokenizer(theirs.to_str())
    assert ours.encode("abb").ids == [2, 1] and ours.encode_batch(["ba"]) == [[1, 0]]
    assert ours.encode("aab", parse_special=True).ids == theirs.encode("aab").ids


def test_ordinary_text_has_their_ids_and_decodes_as_theirs(pair):
    ours, theirs = pair
    for text in [*TEXTS[:3], "the the", "unseen ЖЖ 🙂", ""]:
        expected = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text).ids == expected
        assert ours.decode(expected) == theirs.decode(expected)
    assert ours.vocab_size == theirs.get_vocab_size()
    assert json.loads(ours.to_json()) == json.loads(theirs.to_str())


def test_byte_level_pieces_are_the_text(nasty_texts):
    tokenizer = HubTokenizer(byte_level().to_str())
    for text in nasty_texts:
        encoding, data = tokenizer.encode(text), clean_text(text).encode("utf-8")
        assert b"".join(encoding.pieces) == data
        assert encoding.byte_spans == [] or encoding.byte_spans[-1][1] == len(data)
    split = tokenizer.encode("é🙂")
    assert [p.hex() for p in split.pieces[-4:]] == ["f0", "9f", "99", "82"]
    assert split.char_spans[-4:] == [(1, 2)] * 4


def test_the_ids_and_spans_of_our_class_equal_this_one(make_tokenizer, nasty_texts):
    ours = make_tokenizer("gpt4")
    hub = HubTokenizer(ours.to_json())
    for text in nasty_texts:
        assert hub.encode(text) == ours.encode(text)
    assert hub.encode("<s> x", parse_special=True) == ours.encode("<s> x", parse_special=True)


def test_bytes_of_one_character_are_told_apart():
    tokenizer = HubTokenizer(byte_fallback_bpe().to_str())
    encoding = tokenizer.encode("the日")
    assert encoding.pieces == [b"the", b"\xe6", b"\x97", b"\xa5"]
    assert encoding.byte_spans == [(0, 3), (3, 4), (4, 5), (5, 6)]
    assert encoding.char_spans[1:] == [(3, 4)] * 3
    assert tokenizer.token_bytes(encoding.ids[1]) == b"\xe6"
    assert tokenizer.token_bytes(encoding.ids[0]) == b" the"


def test_token_bytes_of_other_kinds():
    pieces = HubTokenizer(wordpiece().to_str())
    assert pieces.token_bytes(pieces.full.token_to_id("##o")) == b"o"
    assert pieces.token_bytes(2) == b"[CLS]" and pieces.bos_id == 2 and pieces.eos_id == 3
    with pytest.raises(TextError, match="There is no token"):
        pieces.token_bytes(10**6)
    gpt = HubTokenizer(byte_level().to_str())
    assert gpt.bos_id == gpt.eos_id == gpt.special_tokens["<|endoftext|>"] and gpt.pad_id is None


def test_texts_that_the_package_gives_up_on_are_sentences():
    """Its errors are bare Exceptions, or no Exceptions at all."""
    wild = Tokenizer(models.BPE({"a": 0}, []))
    wild.pre_tokenizer = pre_tokenizers.Split(Regex("(a|aa)+b"), "isolated")
    lost = Tokenizer(models.WordLevel({"a": 0}, unk_token="[UNK]"))
    for theirs, text in ((wild, "a" * 100), (lost, "b")):
        ours = HubTokenizer(theirs.to_str())
        for call in (ours.encode, lambda text, ours=ours: ours.encode_batch([text]), functools.partial(stages, ours)):
            with pytest.raises(TextError, match="cannot cut this text") as caught:
                call(text)
            assert "\n" not in str(caught.value)


def test_a_word_that_would_take_minutes_is_refused():
    vocab = {"[UNK]": 0, "a": 1, "##a": 2}
    patience = models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=10**9)
    patient = HubTokenizer(Tokenizer(patience).to_str())
    assert len(patient.encode("a" * 1000)) == 1000
    for call in (patient.encode, lambda text: patient.encode_batch([text])):
        with pytest.raises(TextError, match="more than 1000 characters"):
            call("x " + "a" * 1001)
    usual = HubTokenizer(Tokenizer(models.WordPiece(vocab, unk_token="[UNK]")).to_str())
    assert usual.encode("a" * 1_000_000).ids == [0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", ["a", "日"])
def test_a_long_line_without_spaces_is_quick(kind, unit):
    """A slip in the algorithm, here or there, takes minutes."""
    ours, text = HubTokenizer(KINDS[kind]().to_str()), unit * (100_000 // len(unit))
    start = time.process_time()
    encoding = ours.encode(text)
    assert time.process_time() - start < 60
    assert encoding.byte_spans[-1][1] == len(text.encode())


def test_a_broken_file_is_a_sentence():
    with pytest.raises(RunError, match="cannot be read") as caught:
        HubTokenizer('{"model": {"type": "BPE"}}')
    assert "\n" not in str(caught.value)
