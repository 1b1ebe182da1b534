"""Marian's pair of SentencePiece models: the ids and texts of transformers' MarianTokenizer."""

import io
import json
import random
import shutil
from pathlib import Path

import pytest

from core.errors import RunError, TextError
from core.tokenizer import MarianTokenizer, load_tokenizer

sentencepiece = pytest.importorskip("sentencepiece")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
ENGLISH = [
    "the cat sat on the mat.",
    "I'd like a cup of coffee, please.",
    "Where is the station? It is (not) far.",
] * 20
FRENCH = [
    "le chat est assis sur le tapis.",
    "je voudrais une tasse de café.",
    "où est la gare ? elle n'est pas loin !",
] * 20
MORE = Path(__file__).parents[4].joinpath("LICENSE").read_text(encoding="utf-8").splitlines()


def train(texts, size, kind):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=size, model_type=kind, hard_vocab_limit=False,
        minloglevel=2,
    )  # fmt: skip
    return model.getvalue()


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def directory(request, tmp_path_factory):
    """As the checkpoints of Helsinki-NLP have it: </s> and <unk> first, <pad> last, codes and pieces between."""
    path = tmp_path_factory.mktemp(request.param)
    pieces = []
    for name, texts, size in (("source.spm", ENGLISH + MORE, 300), ("target.spm", FRENCH, 100)):
        (path / name).write_bytes(train(texts, size, request.param))
        model = sentencepiece.SentencePieceProcessor(model_file=str(path / name))
        pieces += [model.id_to_piece(i) for i in range(3, model.get_piece_size())]
    names = ["</s>", "<unk>", ">>fra<<", ">>oc<<", *dict.fromkeys(pieces), "<pad>"]
    (path / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}), encoding="utf-8")
    (path / "tokenizer_config.json").write_text(json.dumps({"source_lang": "en", "target_lang": "fr"}))
    return path


@pytest.fixture(scope="module")
def both(directory):
    return load_tokenizer(directory), transformers.MarianTokenizer.from_pretrained(directory)


TEXTS = [
    *ENGLISH[:3], *FRENCH[:3], "", " ", "  two  spaces ", ">>fra<< the cat", ">>fra<<the cat", " >>fra<< the",
    ">>xx<< cat", ">>fra", "a >>fra<< b", ">><<", "ﬁne ｆｕｌｌ ①", "字𝄞", "e\u0301 é", "a\x00b", "tab\tline\nend\r\n",
    "\u3000wide", "<unk", "s>", "\u2581the", "\u200bzero", "I\u2019d \u201clike\u201d", "🙂 the", "\ufeffthe",
    "the" * 300,
]  # fmt: skip


def random_texts(count):
    generator = random.Random(3)
    alphabet = [*"abcdefgh  .,'é>< \n", "the", "cat", "<<", ">>", ">>fra<<", "▁", "字", "\u0301", "ﬁ", "café", "\u00a0"]
    for _ in range(count):
        yield "".join(generator.choices(alphabet, k=generator.randint(0, 30)))


def test_ids(both):
    ours, theirs = both
    assert isinstance(ours, MarianTokenizer)
    texts = [*TEXTS, *random_texts(400)]
    for text in texts:
        assert ours.encode(text).ids == theirs(text, add_special_tokens=False)["input_ids"], text
    assert ours.encode_batch(texts[:50]) == [ours.encode(text).ids for text in texts[:50]]
    assert len({id for text in texts for id in ours.encode(text).ids}) > 60


@pytest.mark.parametrize("text", ["</s>", "the</s>cat", "<pad> >>fra<< x<unk>", "<unk><unk>", "a <pad>"])
def test_special_tokens_in_a_text(both, text):
    """transformers reads them; we do when asked to, and else they are what somebody has typed."""
    ours, theirs = both
    encoding = ours.encode(text, parse_special=True)
    assert encoding.ids == theirs(text, add_special_tokens=False)["input_ids"]
    assert any(encoding.special_mask) and not any(ours.encode(text).special_mask)
    typed = theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert ours.encode(text).ids == typed and ours.eos_id not in typed and ours.pad_id not in typed


def test_what_tokens_stand_for(both):
    ours, _ = both
    for text in [*TEXTS, *random_texts(100)]:
        encoding = ours.encode(text)
        data = text.encode("utf-8")
        for piece, (start, end), (first, last) in zip(encoding.pieces, encoding.byte_spans, encoding.char_spans):
            assert piece == data[start:end] == text[first:last].encode("utf-8")
        starts = [start for start, _ in encoding.byte_spans]
        assert starts == sorted(starts)
    assert b"".join(ours.encode("the cat sat").pieces) == b"the cat sat"


def test_texts_from_ids(both):
    ours, theirs = both
    generator = random.Random(9)
    cases = [ours.encode(text).ids for text in TEXTS]
    cases += [generator.choices(range(ours.vocab_size), k=generator.randint(0, 20)) for _ in range(300)]
    for ids in cases:
        expected = theirs.decode(ids, skip_special_tokens=True, use_source_tokenizer=False)
        assert ours.decode(ids) == expected == theirs.decode(ids, skip_special_tokens=True)
        whole = theirs.decode(ids, use_source_tokenizer=False)
        assert ours.decode(ids, skip_special=False) == whole
    french = theirs(text_target=FRENCH[1], add_special_tokens=False)["input_ids"]
    assert ours.decode(french) == FRENCH[1]
    target = ours.for_target()
    for text in [*TEXTS, *FRENCH[:3]]:
        assert target.encode(text).ids == theirs(text_target=text, add_special_tokens=False)["input_ids"]
    assert target.encode(FRENCH[1]).ids != ours.encode(FRENCH[1]).ids == ours.encode_batch([FRENCH[1]])[0]


def test_written_text_only_grows(both):
    """As a translation is streamed, what has been shown stays."""
    ours, theirs = both
    ids = theirs(text_target=" ".join(FRENCH[:3]), add_special_tokens=False)["input_ids"]
    shown = ""
    for end in range(len(ids) + 1):
        text = ours.decode(ids[:end])
        assert text.startswith(shown.rstrip())
        shown = text


def test_special_ids(both):
    ours, theirs = both
    assert (ours.eos_id, ours.pad_id) == (theirs.eos_token_id, theirs.pad_token_id) == (0, len(ours.vocab) - 1)
    assert ours.vocab_size == len(theirs)
    for piece, id in ours.vocab.items():
        assert ours.token_bytes(id).decode() == piece.replace("\u2581", " ")
    with pytest.raises(TextError, match="no token 9999"):
        ours.token_bytes(9999)


def test_no_tokenizer_json(both, tmp_path):
    with pytest.raises(RunError, match="cannot be written as tokenizer.json"):
        both[0].save(tmp_path / "tokenizer.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("source.spm", b"", "source.spm of .* is not a SentencePiece model"),
        ("target.spm", b"abc", "target.spm of .* is not a SentencePiece model"),
        ("vocab.json", b"[1]", "vocab.json of .* does not give every piece an id"),
        ("vocab.json", b'{"a": "b"}', "does not give every piece an id"),
        ("vocab.json", b'{"a": 0}', "has no <unk>"),
        ("vocab.json", b"\xff", "vocab.json of .* cannot be read"),
        ("vocab.json", b"[" * 100_000, "vocab.json of .* cannot be read"),
        ("tokenizer_config.json", b'{"separate_vocabs": true}', "has separate_vocabs = True"),
    ],
)
def test_broken_files_are_named(directory, tmp_path, name, content, words):
    shutil.copytree(directory, tmp_path / "copy")
    (tmp_path / "copy" / name).write_bytes(content)
    with pytest.raises(RunError, match=words) as caught:
        load_tokenizer(tmp_path / "copy")
    assert "\n" not in str(caught.value)


def test_a_cut_model_is_named(directory, tmp_path):
    shutil.copytree(directory, tmp_path / "copy")
    path = tmp_path / "copy" / "source.spm"
    path.write_bytes(path.read_bytes()[:5])
    with pytest.raises(RunError, match="is not a SentencePiece model"):
        load_tokenizer(tmp_path / "copy")
