"""SentencePiece models: equal to their own package, with spans; as tokenizer.json only where that is equal too."""

import functools
import io
import random

import pytest
import sentencepiece

from core.errors import RunError, TextError
from core.tokenizer import HubTokenizer, load_tokenizer
from core.tokenizer.base import clean_text
from core.tokenizer.files.sentencepiece_file import SentencePieceTokenizer
from core.tokenizer.files.sentencepiece_model import charsmap_is_sound, read_model
from core.tokenizer.load import tokenizer_from_json

LINES = [
    *["the cat sat on the mat, and the other cat sat there: 1234567890!"] * 5,
    "Déjà vu in a naïve café",
    "東京は日本の首都です。カタカナとｶﾀｶﾅ",
    "if x == y: return foo(bar) <0x9AF> != \"quoted\" 'single' #@$%^&*",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ a_b (c) [d]",
    "we wish you all the best; the rest is history? yes, the best of the rest / a+b~c|d\\e`f{g}",
]


@functools.cache
def model(kind="unigram", norm="identity", **options) -> bytes:
    out = io.BytesIO()
    options = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
    settings = {"vocab_size": 420 if options.get("byte_fallback") else 160, "character_coverage": 1.0, **options}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=out, model_type=kind, normalization_rule_name=norm,
        hard_vocab_limit=False, minloglevel=2, num_threads=1, **settings,
    )  # fmt: skip
    return out.getvalue()


KINDS = {
    "unigram": {},
    "unigram, bytes": {"byte_fallback": True},
    "unigram, nmt_nfkc": {"norm": "nmt_nfkc"},
    "unigram, nfkc_cf, bytes": {"norm": "nfkc_cf", "byte_fallback": True},
    "unigram, as it is": {"add_dummy_prefix": False, "remove_extra_whitespaces": False, "byte_fallback": True},
    "unigram, few characters": {"character_coverage": 0.98, "byte_fallback": True},
    "unigram, symbols": {"user_defined_symbols": ("<sep>", "sat on", "\n"), "control_symbols": ("<ctl>",), "pad_id": 3},
    "unigram, suffix": {"treat_whitespace_as_suffix": True},
    "bpe": {"kind": "bpe"},
    "bpe, bytes": {"kind": "bpe", "byte_fallback": True},
    "bpe, nmt_nfkc": {"kind": "bpe", "norm": "nmt_nfkc", "byte_fallback": True},
    "bpe, as it is": {
        "kind": "bpe",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "split_digits": True,
    },
    "char": {"kind": "char"},
    "word": {"kind": "word"},
}
EQUAL = [
    "unigram",
    "unigram, bytes",
    "unigram, few characters",
    "unigram, as it is",
    "bpe",
    "bpe, bytes",
    "bpe, as it is",
    "char",
]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def texts_for(nasty_texts):
    rng = random.Random(1)
    words = " ".join(LINES).split(" ")
    return [*nasty_texts[:300], *(" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(200))]


def test_equal_to_the_package(kind, nasty_texts):
    data = model(**KINDS[kind])
    ours, theirs = SentencePieceTokenizer(data), sentencepiece.SentencePieceProcessor(model_proto=data)
    texts = texts_for(nasty_texts)
    for text in texts:
        cleaned, encoding = clean_text(text), ours.encode(text)
        assert encoding.ids == theirs.encode(cleaned)
        assert ours.decode(encoding.ids) == theirs.decode(encoding.ids)
        check_spans(encoding, cleaned, theirs)
    assert ours.encode_batch(texts) == [ours.encode(text).ids for text in texts]
    assert ours.vocab_size == theirs.get_piece_size()


def check_spans(encoding, text, theirs):
    """Pieces lie one behind the other and lack nothing but spaces at the ends; characters are the package's."""
    data = text.encode()
    offsets = theirs.encode(text, return_type="offset_mapping")["offsets"]
    end = encoding.byte_spans[0][0] if encoding.ids else 0
    for piece, (start, stop), (first, last), (their_first, their_last) in zip(
        encoding.pieces, encoding.byte_spans, encoding.char_spans, offsets, strict=True
    ):
        assert start == end and piece == data[start:stop]
        inside = text[first:last].encode()
        assert piece in inside and len(text[:first].encode()) <= start
        if (first, last) != (their_first, their_last):  # a byte: the character is the one whose bytes end the group
            assert their_first == their_last == first or their_last == last
        end = stop
    removed = data[: encoding.byte_spans[0][0]] + data[end:] if encoding.ids else data
    assert not theirs.encode(removed.decode().strip("▁"))


def test_bytes_belong_to_their_character():
    ours = SentencePieceTokenizer(model(**KINDS["bpe, bytes"]))
    encoding = ours.encode("a☃b")
    at = encoding.pieces.index(b"\xe2")
    assert encoding.pieces[at : at + 3] == [b"\xe2", b"\x98", b"\x83"]
    assert encoding.char_spans[at : at + 3] == [(1, 2)] * 3 and encoding.byte_spans[at] == (1, 2)
    assert [ours.token_bytes(id) for id in encoding.ids[at : at + 3]] == [b"\xe2", b"\x98", b"\x83"]


def test_control_symbols_are_text_unless_parsed():
    ours = SentencePieceTokenizer(model(**KINDS["unigram, symbols"]))
    assert (ours.pad_id, ours.bos_id, ours.eos_id) == (3, 1, 2)
    assert set(ours.special_tokens) == {"<unk>", "<s>", "</s>", "<pad>", "<ctl>"}
    plain, parsed = ours.encode("the <s> cat<ctl>"), ours.encode("the <s> cat<ctl>", parse_special=True)
    assert not set(plain.ids) & ours.control_ids and not any(plain.special_mask)
    assert [id for id, special in zip(parsed.ids, parsed.special_mask) if special] == [1, ours.special_tokens["<ctl>"]]
    assert parsed.char_spans[parsed.ids.index(1)] == (4, 7)
    assert ours.decode(parsed.ids) == ours.processor.decode(parsed.ids)
    assert "<s>" in ours.decode(parsed.ids, skip_special=False) and "<s>" not in ours.decode(parsed.ids)
    assert ours.encode("x<sep>y").ids.count(ours.processor.piece_to_id("<sep>")) == 1


def test_unknown_ids():
    ours = SentencePieceTokenizer(model())
    assert ours.decode([-1, 10**9, *ours.encode("the cat").ids]) == "the cat"
    with pytest.raises(TextError, match="no token"):
        ours.token_bytes(10**9)


def test_as_tokenizer_json_where_it_is_equal(kind, nasty_texts):
    ours = SentencePieceTokenizer(model(**KINDS[kind]), "m.model")
    if kind not in EQUAL:
        with pytest.raises(RunError, match=r"m.model cannot be written as tokenizer.json: .*\.$"):
            ours.to_json()
        return
    other = tokenizer_from_json(ours.to_json())
    assert isinstance(other, HubTokenizer) and other.vocab_size == ours.vocab_size
    assert (other.pad_id, other.bos_id, other.eos_id) == (ours.pad_id, ours.bos_id, ours.eos_id)
    for text in texts_for(nasty_texts):
        ids = ours.encode(text).ids
        assert other.encode(text).ids == ids == ours.fast().encode(clean_text(text), add_special_tokens=False).ids
        if ours.unk_id not in ids and not text.lstrip().startswith("▁"):
            assert other.decode(ids) == ours.decode(ids)


def test_files_and_folders(tmp_path):
    data = model(**KINDS["bpe"])
    for name in ("tokenizer.model", "x.spm", "Y.MODEL"):
        (tmp_path / name).write_bytes(data)
        assert isinstance(load_tokenizer(tmp_path / name), SentencePieceTokenizer)
    assert isinstance(load_tokenizer(tmp_path), SentencePieceTokenizer)


def test_changed_files_open_or_are_refused():
    """Bits and pieces of a model changed: nothing ends the process, and each refusal is a sentence."""
    data, rng = model(**KINDS["unigram, nmt_nfkc"]), random.Random(4)
    text = "The ｶﾞ cat\u3000① sat\n on é e\u0301"
    opened = 0
    for number in range(300):
        changed = bytearray(data)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(changed)) if number % 2 else rng.randrange(4_000)
            changed[at : at + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 2))
        try:
            tokenizer = SentencePieceTokenizer(bytes(changed))
        except RunError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
        else:
            tokenizer.decode(tokenizer.encode(text).ids)
            opened += 1
    assert opened


def test_a_normalisation_that_points_outside():
    charsmap = read_model(model(**KINDS["unigram, nmt_nfkc"])).charsmap
    assert charsmap_is_sound(charsmap) and not charsmap_is_sound(charsmap[:-1])
    rng, broken = random.Random(2), 0
    for _ in range(20):
        changed = bytearray(charsmap)
        at = 4 + rng.randrange(256) * 4  # near the root, where every text comes by
        changed[at : at + 4] = rng.randbytes(4)
        broken += not charsmap_is_sound(bytes(changed))
    assert broken > 2
    assert not charsmap_is_sound(len(charsmap).to_bytes(4, "little") + charsmap[4:]) and not charsmap_is_sound(b"")
