"""Tokenizers of other kinds by the `tokenizers` package: spans that fit the text, and typed special tokens as text."""

import json

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from core.errors import RunError, TextError
from core.tokenizer import HubTokenizer, load_tokenizer
from core.tokenizer.base import clean_text

TEXTS = ["The quick brown fox jumps over the lazy dog.\n", "Ein Café, a naïve façade.\n", "日本語の文です。\n"] * 20


def _unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=["<pad>", "<s>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def _wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def _byte_fallback_bpe() -> Tokenizer:
    """As Llama 2's: characters, with unknown ones written as bytes."""
    vocab = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "▁", "t", "h", "e", "th", "the", "▁the"]
    tokenizer = Tokenizer(
        models.BPE(
            {token: i for i, token in enumerate(vocab)},
            [("t", "h"), ("th", "e"), ("▁", "the")],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def _word_level() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "the": 2, "fox": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<unk>", "<s>"])
    return tokenizer


def _byte_level(normalizer=None) -> Tokenizer:
    """Byte level with things that our own class leaves to the package: a normaliser, tokens added as text."""
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_tokens([AddedToken("    ", normalized=False)])
    return tokenizer


KINDS = {
    "unigram": _unigram,
    "wordpiece": _wordpiece,
    "byte_fallback": _byte_fallback_bpe,
    "word_level": _word_level,
    "byte_level": _byte_level,
    "byte_level_nfc": lambda: _byte_level(normalizers.NFC()),
}


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


def test_ordinary_text_has_their_ids_and_decodes_as_theirs(pair):
    ours, theirs = pair
    for text in [*TEXTS[:3], "the the", "unseen ЖЖ 🙂", ""]:
        expected = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text).ids == expected
        assert ours.decode(expected) == theirs.decode(expected)
    assert ours.vocab_size == theirs.get_vocab_size()
    assert json.loads(ours.to_json()) == json.loads(theirs.to_str())


def test_byte_level_pieces_are_the_text(nasty_texts):
    tokenizer = HubTokenizer(_byte_level().to_str())
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
    tokenizer = HubTokenizer(_byte_fallback_bpe().to_str())
    encoding = tokenizer.encode("the日")
    assert encoding.pieces == [b"the", b"\xe6", b"\x97", b"\xa5"]
    assert encoding.byte_spans == [(0, 3), (3, 4), (4, 5), (5, 6)]
    assert encoding.char_spans[1:] == [(3, 4)] * 3
    assert tokenizer.token_bytes(encoding.ids[1]) == b"\xe6"
    assert tokenizer.token_bytes(encoding.ids[0]) == b" the"


def test_token_bytes_of_other_kinds():
    wordpiece = HubTokenizer(_wordpiece().to_str())
    assert wordpiece.token_bytes(wordpiece.full.token_to_id("##o")) == b"o"
    assert wordpiece.token_bytes(2) == b"[CLS]" and wordpiece.bos_id == 2 and wordpiece.eos_id == 3
    with pytest.raises(TextError, match="There is no token"):
        wordpiece.token_bytes(10**6)
    gpt = HubTokenizer(_byte_level().to_str())
    assert gpt.bos_id == gpt.eos_id == gpt.special_tokens["<|endoftext|>"] and gpt.pad_id is None


def test_a_broken_file_is_a_sentence():
    with pytest.raises(RunError, match="cannot be read") as caught:
        HubTokenizer('{"model": {"type": "BPE"}}')
    assert "\n" not in str(caught.value)
