"""The vocabulary browser against plain loops, and reachability against every short text there is."""

import importlib
import itertools
import json

import pytest
import regex
from tokenizers import Tokenizer, models, pre_tokenizers

from core.errors import TextError
from core.tokenizer import BPETokenizer, CharTokenizer, HubTokenizer, train_bpe
from core.tokenizer.inspect import script_of, vocabulary
from core.tokenizer.inspect.vocabulary import KINDS as TOKEN_KINDS
from core.tokenizer.visible import from_signs, visible
from tests.core.tokenizer.kinds import KINDS, TEXTS


@pytest.fixture(scope="module", params=["ours", "characters", *KINDS])
def tokenizer(request):
    if request.param == "ours":
        return train_bpe([*TEXTS, "  \n\n x 日本 日本"], 400)
    return (
        CharTokenizer.train(TEXTS) if request.param == "characters" else HubTokenizer(KINDS[request.param]().to_str())
    )


def test_every_token_has_an_entry(tokenizer):
    words = vocabulary(tokenizer)
    assert [entry.id for entry in words.entries] == [i for i in range(tokenizer.vocab_size) if tokenizer.has_id(i)]
    assert words.size == len(words.entries)
    for entry in words.entries:
        assert entry.bytes == tokenizer.token_bytes(entry.id) and entry.text == visible(entry.bytes)
        assert entry.kind in TOKEN_KINDS and (entry.kind == "special") == (entry.id in tokenizer.special_ids)
        assert words.entry(entry.id) == entry
        assert (entry.why_not == "") == (entry.reachable and entry.kind != "special")
        if entry.kind not in ("special", "byte", "partial"):
            assert entry.script == script_of(entry.bytes.decode())
    with pytest.raises(TextError, match="There is no token"):
        words.entry(10**6)


def test_searches_equal_plain_loops(tokenizer):
    words = vocabulary(tokenizer)
    texts = {entry.id: entry.bytes.decode("utf-8", "replace") for entry in words.entries}

    def ids(query, by, **more):
        return [entry.id for entry in words.search(query, by, limit=10**6, **more).entries]

    for part in ("e", "the", " ", "x", "日", "<", "\n", "no such token"):
        assert ids(part, "text") == [id for id, text in texts.items() if part in text]
    for pattern in ("^[a-z]+$", "(?i)T", r"\s", "o$", "[^a-z]"):
        assert ids(pattern, "regex") == [id for id, text in texts.items() if regex.search(pattern, text)]
    for data in (b"e", b"th", b"\xe3", b"\xe6\x97"):
        expected = [entry.id for entry in words.entries if data in entry.bytes]
        assert ids(data.hex(" "), "bytes") == expected == ids("0x" + data.hex().upper(), "bytes")
    assert ids("5, 7-9 3", "id") == [id for id in (3, 5, 7, 8, 9) if id in texts]
    for kind in TOKEN_KINDS:
        assert ids("", "text", only=kind) == [entry.id for entry in words.entries if entry.kind == kind]
    assert ids("", "text", only="unreachable") == words.unreachable
    lengths = [len(entry.bytes) for entry in words.search(order="longest", limit=10**6).entries]
    assert lengths == sorted(lengths, reverse=True)
    assert sorted(lengths) == [len(e.bytes) for e in words.search(order="shortest", limit=10**6).entries]
    assert ids("", "text", order="text") == sorted(texts, key=lambda id: texts[id])
    page = words.search("e", offset=2, limit=3)
    assert page.total == len(ids("e", "text")) and [entry.id for entry in page.entries] == ids("e", "text")[2:5]
    assert words.search(offset=10**6).entries == [] == words.search(limit=0).entries


def test_histograms_count_every_token_once(tokenizer):
    words = vocabulary(tokenizer)
    plain = [entry for entry in words.entries if entry.kind != "special"]
    lengths = dict(words.length_histogram())
    assert sum(lengths.values()) == len(plain) == sum(n for _, n in words.script_histogram())
    assert all(n == sum(len(entry.bytes) == length for entry in plain) for length, n in lengths.items())
    assert list(lengths) == list(range(min(lengths), max(lengths) + 1))
    assert sum(n for _, n in words.kind_histogram()) == words.size
    scripts = words.script_histogram()
    assert scripts == sorted(scripts, key=lambda item: -item[1])
    for script, n in scripts:
        assert words.search(script=script).total == n
    for length, n in lengths.items():
        assert words.search(lengths=range(length, length + 1)).total == n
    longest = words.longest(5)
    assert [len(e.bytes) for e in longest] == sorted((len(e.bytes) for e in plain), reverse=True)[:5]


def test_signs_are_understood():
    words = vocabulary(train_bpe(["low lower\n\n low\tlow"] * 9, 280))
    for query, meant in (("·low", " low"), ("Ġlow", " low"), ("▁l", " l"), ("⏎", "\n"), ("⇥", "\t")):
        assert words.search(query) == words.search(meant) and words.search(query).total > 0
    for text in (" a", "\n\r", "\t\u200d", "\x01\x85\u2028", "\xad\ufeff", "plain", "\u3000"):
        assert from_signs(visible(text.encode())) == text


def test_wrong_queries_are_sentences(monkeypatch):
    words = vocabulary(train_bpe(["aaaa" * 9], 262, pattern="none"))
    for query, by, said in [
        ("(", "regex", "not a valid regular expression"),
        ("a" * 501, "regex", "at most 500"),
        ("(?R)a", "regex", "cannot call its own groups"),
        ("((?1)a|b)", "regex", "cannot call its own groups"),
        ("(?P<x>a)(?&x)", "regex", "cannot call its own groups"),
        ("xyz", "id", "is not an id"),
        ("-1", "id", "is not an id"),
        ("e", "bytes", "in hex"),
        ("zz", "bytes", "in hex"),
        ("a", "name", "by text, regex, id or bytes"),
    ]:
        with pytest.raises(TextError, match=said) as caught:
            words.search(query, by)
        assert "\n" not in str(caught.value)
    with pytest.raises(TextError):
        words.search(order="x")
    with pytest.raises(TextError):
        words.search(only="x")
    monkeypatch.setattr(importlib.import_module("core.tokenizer.inspect.vocabulary"), "REGEX_SECONDS", 0.05)
    slow = CharTokenizer({"a": 4}, {"<unk>": 0, "<s>": 1, "</s>": 2, "a" * 60: 3})
    with pytest.raises(TextError, match="took more than"):
        vocabulary(slow).search("(a|aa)+b", "regex")


def test_a_token_that_takes_long_is_searched_to_the_end(monkeypatch):
    module = importlib.import_module("core.tokenizer.inspect.vocabulary")
    letters = {"a": 4, "b": 6, "c": 7}
    words = vocabulary(CharTokenizer(letters, {"<unk>": 0, "<s>": 1, "</s>": 2, "a" * 25 + "c": 3, "ab": 5}))
    for glance in (1e-4, 10.0):
        monkeypatch.setattr(module, "REGEX_GLANCE", glance)
        monkeypatch.setattr(module, "REGEX_SECONDS", 60)
        assert [entry.id for entry in words.search("^(a|aa)+b$|c", "regex").entries] == [3, 5, 7]


def produced(tokenizer, alphabet: str, length: int) -> set[int]:
    """Every token of every text of so many characters."""
    texts = ["".join(chars) for n in range(1, length + 1) for chars in itertools.product(alphabet, repeat=n)]
    return {id for ids in tokenizer.encode_batch(texts) for id in ids}


@pytest.mark.parametrize(
    "texts",
    [["abab abba aab"] * 3, ["aaa aaaa aaaaa bab"], ["ab ba abc cab bca"] * 2, ["a b a b", "  a   b"]],
)
@pytest.mark.parametrize("pattern", ["gpt2", "none", "[ab]+|c"])
def test_reachable_is_what_some_text_becomes(texts, pattern):
    tokenizer = train_bpe(texts, 275, pattern=pattern)
    words, seen = vocabulary(tokenizer), produced(tokenizer, "abc ", 6)
    unreachable = set(words.unreachable)
    assert not unreachable & seen
    within = {entry.id for entry in words.entries if set(entry.bytes) <= set(b"abc ") and len(entry.bytes) <= 4}
    assert {id for id in within if id not in unreachable} <= seen  # a text is known that becomes each


def test_tokens_that_are_never_made_are_found():
    """abc is made of a and bc, but ab always comes first; ef's parts are cut apart; XY's merge is not there."""
    merges = [(b"a", b"b"), (b"b", b"c"), (b"a", b"bc"), (b"e", b" "), (b"e ", b"f")]
    vocab = {bytes([b]): b for b in range(256)}
    vocab |= {
        b"ab": 256,
        b"bc": 257,
        b"abc": 258,
        b"e ": 259,
        b"e f": 260,
        b"XY": 261,
        b"\x9f\x98": 262,
        b"\xe3\x81": 263,
    }
    merges += [(b"\xe3", b"\x81"), (b"\x9f", b"\x98")]
    tokenizer = BPETokenizer(merges, {"<s>": 300}, vocab=vocab)
    for taken in (tokenizer, HubTokenizer(tokenizer.to_json())):
        words = vocabulary(taken)
        why = {entry.id: entry.why_not for entry in words.entries}
        assert why[258] == "its own bytes become ab + c"
        assert why[261] == "its own bytes become X + Y"
        assert why[259] == "the pre-tokenisation cuts it: e | ·"
        assert why[260] == "the pre-tokenisation cuts it: e | ·f"
        assert why[0xC0] == why[0xFF] == "UTF-8 has no such byte"
        assert why[300] == "only where special tokens are parsed"
        assert not why[256] and not why[257] and not why[262] and not why[263]
        invalid = [0xC0, 0xC1, *range(0xF5, 0x100)]
        assert words.unreachable == [*invalid, 258, 259, 260, 261]
        assert not set(words.unreachable) & produced(taken, "abcef XY", 4)
    whole = BPETokenizer(merges, {}, vocab=vocab, ignore_merges=True)  # there a chunk that is a token is taken as it is
    assert vocabulary(whole).unreachable == [*invalid, 259, 260]


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "inside_word", "end_of_word", "word_level"])
def test_reachability_of_other_models_is_witnessed(kind):
    tokenizer = HubTokenizer(KINDS[kind]().to_str())
    words = vocabulary(tokenizer)
    unreachable = set(words.unreachable)
    assert not unreachable & produced(tokenizer, "theoaz ", 4)
    assert not unreachable & {id for ids in tokenizer.encode_batch(TEXTS) for id in ids}


def test_wordpieces_within_words_and_what_the_normaliser_takes():
    document = json.loads(KINDS["wordpiece"]().to_str())
    top = max(document["model"]["vocab"].values())
    document["model"]["vocab"] |= {"É": top + 1, "##zq": top + 2, "a b": top + 3}
    tokenizer = HubTokenizer(Tokenizer.from_str(json.dumps(document)).to_str())
    why = {entry.id: entry.why_not for entry in vocabulary(tokenizer).entries}
    assert why[top + 1] == "the normaliser makes e of it"
    assert why[top + 2] == ""  # within a word: "xzq"
    assert why[top + 3] == "the pre-tokenisation cuts it: a | b"


def test_a_tokenizer_that_cannot_take_every_text():
    """Without an unknown token the package gives up on a text with an unknown word."""
    theirs = Tokenizer(models.WordLevel({"a": 0, "b c": 1}, unk_token="[UNK]"))
    theirs.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words = vocabulary(HubTokenizer(theirs.to_str()))
    assert [entry.why_not for entry in words.entries] == ["", "the pre-tokenisation cuts it: b | c"]


def test_ranks_and_scores():
    ours = train_bpe(["low lower"] * 9, 264)
    assert [entry.rank for entry in vocabulary(ours).entries][-5:] == [0, 1, 2, 3, 4]
    assert vocabulary(ours).entry(5).rank is None
    unigram = HubTokenizer(KINDS["unigram"]().to_str())
    scores = [entry.score for entry in vocabulary(unigram).entries]
    assert scores[6] == unigram.document["model"]["vocab"][6][1] and vocabulary(unigram).entry(6).rank is None
