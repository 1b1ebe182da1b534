"""Character level, and that the `tokenizers` package reads its files with equal ids."""

import pytest
from tokenizers import Tokenizer

from core.errors import TextError
from core.tokenizer import CharTokenizer, load_tokenizer
from core.tokenizer.base import clean_text


@pytest.fixture
def tokenizer() -> CharTokenizer:
    return CharTokenizer.train(["Hello,\n world <s>\t\0 é 日本 👩🏽‍🚀\r\n", "▁Ġ�"])


def test_every_seen_character_is_one_token_after_the_special_ones():
    tokenizer = CharTokenizer.train(["ba", "c a"])
    assert tokenizer.special_tokens == {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3}
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2)
    assert tokenizer.chars == {" ": 4, "a": 5, "b": 6, "c": 7}
    assert tokenizer.vocab_size == 8


def test_ids_equal_tokenizers_on_nasty_texts(tokenizer, nasty_texts, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    theirs.encode_special_tokens = True
    for text in nasty_texts:
        encoding, expected = tokenizer.encode(text), theirs.encode(clean_text(text), add_special_tokens=False)
        assert encoding.ids == expected.ids, repr(text)
        assert encoding.char_spans == expected.offsets
        assert b"".join(encoding.pieces) == clean_text(text).encode()
        assert tokenizer.decode(encoding.ids) == theirs.decode(encoding.ids)
    assert tokenizer.encode_batch(nasty_texts) == [tokenizer.encode(text).ids for text in nasty_texts]


def test_unseen_characters_are_unknown_and_seen_ones_come_back(tokenizer):
    encoding = tokenizer.encode("Hez")
    assert encoding.ids[2] == tokenizer.unk_id and encoding.pieces[2] == b"z" and not encoding.special_mask[2]
    assert tokenizer.decode(encoding.ids) == "He"
    assert tokenizer.decode(encoding.ids, skip_special=False) == "He<unk>"
    text = "Hello,\n\0 日本 👩🏽‍🚀\r\n"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_special_tokens_only_on_request(tokenizer):
    assert len(tokenizer.encode("<s>")) == 3
    parsed = tokenizer.encode("<s>H</s>", parse_special=True)
    assert parsed.ids == [1, tokenizer.chars["H"], 2] and parsed.special_mask == [True, False, True]
    assert Tokenizer.from_str(tokenizer.to_json()).encode("<s>H</s>").ids == parsed.ids
    assert parsed.char_spans == [(0, 3), (3, 4), (4, 8)]


def test_saved_and_loaded_is_the_same(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert isinstance(again, CharTokenizer)
    assert again.to_json() == tokenizer.to_json()


def test_wrong_use_is_a_sentence(tokenizer):
    with pytest.raises(TextError, match="There is no token"):
        tokenizer.token_bytes(-1)
    with pytest.raises(TextError, match="longer than a character"):
        CharTokenizer.train(["a"], special_tokens=["x"])


def test_empty_text_has_no_tokens(tokenizer):
    assert tokenizer.encode("").ids == [] and tokenizer.encode("").char_spans == []
    assert tokenizer.decode([]) == ""
