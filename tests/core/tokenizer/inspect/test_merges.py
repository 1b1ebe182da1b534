"""Merges of a word, step by step, against the plainest implementation there is, and against tiktoken."""

import json
import random

import pytest
import tiktoken

from core.errors import TextError
from core.tokenizer import BPETokenizer, CharTokenizer, HubTokenizer, train_bpe
from core.tokenizer.base import clean_text
from core.tokenizer.byte_map import from_visible, to_visible
from core.tokenizer.files.tiktoken_ranks import from_tiktoken
from core.tokenizer.inspect import chunks, merge_steps, merge_tree, rank_meaning
from core.tokenizer.split import PATTERNS
from tests.core.tokenizer.kinds import KINDS, TEXTS

BYTE_LEVEL = ["byte_level", "byte_level_nfc", "digits_and_added", "ignoring_merges"]
CHARACTERS = ["sentencepiece_bpe", "byte_fallback", "end_of_word", "inside_word"]


def reference(document: dict, chunk: str) -> list[tuple[int, int, list[str]]]:
    """(rank, position, what is left) of each merge of a byte-level chunk, from nothing but the file's merges."""
    ranks: dict[tuple[str, str], int] = {}
    for rank, merge in enumerate(document["model"]["merges"]):
        ranks.setdefault(tuple(merge.split(" ") if isinstance(merge, str) else merge), rank)
    word = list(to_visible(chunk.encode()))
    steps = []
    while True:
        best = None
        for i in range(len(word) - 1):
            rank = ranks.get((word[i], word[i + 1]))
            if rank is not None and (best is None or rank < best[0]):
                best = (rank, i)
        if best is None:
            return steps
        rank, i = best
        word = [*word[:i], word[i] + word[i + 1], *word[i + 2 :]]
        steps.append((rank, i, word))


def leaves(node):
    return [leaf for child in node.children for leaf in leaves(child)] if node.children else [node]


def check_tree(tokenizer, chunk, data=None):
    """The tree's shape, and that it is made of the very steps. Returns the roots."""
    roots, steps = merge_tree(tokenizer, chunk), merge_steps(tokenizer, chunk)
    data = chunk.encode() if data is None else data
    assert b"".join(leaf.piece for root in roots for leaf in leaves(root)) == data
    assert b"".join(root.piece for root in roots) == data
    seen = []

    def walk(node):
        assert data[node.start : node.start + len(node.piece)] == node.piece
        assert len(node.children) in (0, 2)
        if node.children:
            left, right = node.children
            step = steps[node.step]
            assert (step.left, step.right, step.merged) == (left.piece, right.piece, node.piece)
            assert (step.rank, step.id) == (node.rank, node.id)
            assert left.start == node.start and right.start == node.start + len(left.piece)
            assert all(child.step is None or child.step < node.step for child in node.children)
            seen.append(node.step)
            walk(left)
            walk(right)
        else:
            assert node.rank is None and node.step is None

    for root in roots:
        walk(root)
    whole = len(roots) == 1 and not roots[0].children and len(roots[0].piece) > 1  # taken as it is, or unknown
    assert whole or sorted(seen) == list(range(len(steps)))
    return roots


@pytest.mark.parametrize("pattern", [*PATTERNS, "none"])
def test_steps_equal_the_reference(make_tokenizer, nasty_texts, pattern):
    tokenizer = make_tokenizer(pattern)
    document = json.loads(tokenizer.to_json())
    done = 0
    for text in map(clean_text, nasty_texts[:200]):
        for chunk, span in chunks(tokenizer, text):
            assert text[slice(*span)] == chunk
            if len(chunk) > 60:
                continue
            steps = merge_steps(tokenizer, chunk)
            seen = [(step.rank, step.position, [to_visible(piece) for piece in step.pieces]) for step in steps]
            assert seen == reference(document, chunk)
            roots = check_tree(tokenizer, chunk)
            assert [root.id for root in roots] == tokenizer.encode_chunk(chunk)
            done += len(steps)
    assert done > 500


@pytest.mark.parametrize("kind", BYTE_LEVEL)
def test_steps_of_byte_level_files_of_others(kind, nasty_texts):
    theirs = KINDS[kind]()
    tokenizer, document = HubTokenizer(theirs.to_str()), json.loads(theirs.to_str())
    plain = HubTokenizer(json.dumps(document | {"added_tokens": [], "normalizer": None}))
    for text in [*map(clean_text, nasty_texts[:150]), *TEXTS[:3]]:
        for chunk, (start, end) in chunks(tokenizer, text):
            assert 0 <= start <= end <= len(text)
            if len(chunk) > 60:
                continue
            steps = merge_steps(tokenizer, chunk)
            seen = [(step.rank, step.position, [to_visible(piece) for piece in step.pieces]) for step in steps]
            assert seen == reference(document, chunk)
            roots = check_tree(tokenizer, chunk)
            written = to_visible(chunk.encode())
            assert [root.id for root in roots] == [token.id for token in plain.full.model.tokenize(written)]


@pytest.mark.parametrize("kind", CHARACTERS)
def test_final_tokens_of_models_of_characters(kind, nasty_texts):
    """Against the package's own model, by chunks: bytes for unknown characters, marked ends and insides of words."""
    tokenizer = HubTokenizer(KINDS[kind]().to_str())
    model = tokenizer.full.model
    merged = 0
    for text in [*map(clean_text, nasty_texts[:500]), *TEXTS[:3], "the fox and the théatre", "lazy dog quick"]:
        for chunk, _ in chunks(tokenizer, text):
            if len(chunk) > 80:
                continue
            roots = merge_tree(tokenizer, chunk)
            assert [root.id for root in roots] == [token.id for token in model.tokenize(chunk)], chunk
            check_tree(tokenizer, chunk)
            merged += len(merge_steps(tokenizer, chunk))
    assert merged > 20


def test_words_are_what_the_model_is_given():
    llama = HubTokenizer(KINDS["sentencepiece_bpe"]().to_str())
    assert chunks(llama, "the e\u0301 fox") == [("▁the", (0, 3)), ("▁é", (3, 5)), ("▁fox", (6, 10))]
    byte_level = HubTokenizer(KINDS["byte_level_nfc"]().to_str())
    assert chunks(byte_level, "a e\u0301    b") == [("a", (0, 1)), (" é", (1, 3)), ("b", (8, 9))]


def test_ids_equal_tiktoken_built_from_our_merges(make_tokenizer, nasty_texts):
    """Their own encoder, given what we learned: rank by rank the same tokens."""
    tokenizer = make_tokenizer("gpt4")
    first = len(tokenizer.special_tokens)
    theirs = tiktoken.Encoding(
        "from our merges",
        pat_str=PATTERNS["gpt4"],
        mergeable_ranks={token: id - first for token, id in tokenizer.vocab.items()},
        special_tokens={},
    )
    for text in map(clean_text, nasty_texts[:600]):
        ids = []
        for chunk, _ in chunks(tokenizer, text):
            ids += [root.id - first for root in merge_tree(tokenizer, chunk)] if len(chunk) < 80 else []
        if all(len(chunk) < 80 for chunk, _ in chunks(tokenizer, text)):
            assert ids == theirs.encode_ordinary(text)


def random_ranks(generator: random.Random) -> dict[bytes, int]:
    """tiktoken's kind of vocabulary: tokens in any order, each of which can be cut in several ways."""
    tokens = [bytes([b]) for b in range(256)]
    letters = b"abc"[: generator.choice([1, 2, 3])]
    more: list[bytes] = []
    for _ in range(generator.randint(3, 40)):
        pool = [token for token in [*tokens, *more] if set(token) <= set(letters)]
        token = generator.choice(pool) + generator.choice(pool)
        if token not in tokens and token not in more and len(token) < 9:
            more.append(token)
    if generator.random() < 0.5:
        generator.shuffle(more)
    return {token: rank for rank, token in enumerate([*tokens, *more])}


def test_ids_and_ranks_of_tiktokens_own_encodings():
    """Any two neighbours that make a token are merged, lowest rank first; the rank shown is the token's id."""
    generator = random.Random(8)
    several_cuts = 0
    for _ in range(150):
        ranks = random_ranks(generator)
        theirs = tiktoken.Encoding("x", pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens={})
        ours = from_tiktoken(theirs)
        hub = HubTokenizer(ours.to_json())
        is_listed = len({a + b for a, b in ours.merges}) < len(ours.merges)
        several_cuts += is_listed
        for _ in range(20):
            word = "".join(generator.choices("abc", k=generator.randint(1, 30)))
            for tokenizer in (ours, hub):
                assert tokenizer.encode(word).ids == theirs.encode_ordinary(word)
                roots = merge_tree(tokenizer, word)
                assert [root.id for root in roots] == theirs.encode_ordinary(word)
            if not is_listed:
                continue
            pieces, expected = [bytes([b]) for b in word.encode()], []
            while word.encode() not in ranks:  # a token is taken as it is
                joined = [a + b for a, b in zip(pieces, pieces[1:], strict=False)]
                pairs = [(ranks[token], i) for i, token in enumerate(joined) if token in ranks]
                if not pairs:
                    break
                rank, i = min(pairs)
                pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
                expected.append((rank, i, list(pieces)))
            if expected:
                steps = merge_steps(ours, word)
                assert [(step.rank, step.position, step.pieces) for step in steps] == expected
                assert all(step.rank == step.id for step in steps)
    assert several_cuts > 50


def test_what_a_rank_counts(make_tokenizer):
    assert rank_meaning(make_tokenizer("gpt2")) == "place in the list of merges"
    ranks = {bytes([b]): b for b in range(256)} | {b"ab": 256, b"bc": 257, b"abc": 258}
    theirs = tiktoken.Encoding("x", pat_str=r"\S+", mergeable_ranks=ranks, special_tokens={})
    assert rank_meaning(from_tiktoken(theirs)) == "id of the merged token"
    with pytest.raises(TextError, match="has merges to show"):
        rank_meaning(CharTokenizer.train(["a"]))


def test_a_word_that_needs_no_merge():
    """With ignore_merges a chunk that is a token is taken whole, even if its bytes would become something else."""
    vocab = {bytes([b]): b for b in range(256)} | {b"ab": 256, b"bc": 257, b"abc": 258}
    tokenizer = BPETokenizer([(b"b", b"c"), (b"a", b"b")], {}, vocab=vocab, ignore_merges=True)
    for taken in (tokenizer, HubTokenizer(tokenizer.to_json())):
        [root] = merge_tree(taken, "abc")
        assert (root.piece, root.id, root.rank, root.children) == (b"abc", 258, None, ())
        assert taken.encode("abc").ids == [258]
        assert [step.merged for step in merge_steps(taken, "abc")] == [b"bc"]
        assert [root.piece for root in merge_tree(taken, "abcb")] == [b"a", b"bc", b"b"]


def test_odd_words(make_tokenizer):
    tokenizer = make_tokenizer("gpt2")
    assert merge_tree(tokenizer, "") == [] and merge_steps(tokenizer, "") == [] and chunks(tokenizer, "") == []
    assert b"".join(root.piece for root in merge_tree(tokenizer, "\ud800")) == "\ufffd".encode()
    long = "ab" * 500
    assert b"".join(root.piece for root in merge_tree(tokenizer, long)) == long.encode()
    assert from_visible("Ġ") == b" "
    for call in (merge_steps, merge_tree):
        with pytest.raises(TextError, match="at most 1000 bytes; this one has 1001"):
            call(tokenizer, "a" * 1001)
        with pytest.raises(TextError, match="choose a BPE tokenizer"):
            call(HubTokenizer(KINDS["unigram"]().to_str()), "a")
    with pytest.raises(TextError, match="choose a BPE tokenizer"):
        chunks(HubTokenizer(KINDS["wordpiece"]().to_str()), "a")


def test_sentencepiece_bpe_models(tmp_path):
    import sentencepiece

    from core.tokenizer.files.sentencepiece_file import SentencePieceTokenizer

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_prefix=str(tmp_path / "m"), vocab_size=100, model_type="bpe",
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    tokenizer = SentencePieceTokenizer((tmp_path / "m.model").read_bytes())
    for text in (
        "the quick brown fox",
        "lazy   dog",
        " The é 日本語です ｆｏｘ",
        "\n",
        "",
        "naïve\tfaçade ЖЖ x",
        *TEXTS[:3],
    ):
        words = chunks(tokenizer, text)
        ids = [root.id for word, _ in words for root in merge_tree(tokenizer, word)]
        assert ids == tokenizer.encode(text).ids
        assert "".join(word for word, _ in words) == tokenizer.processor.normalize(text)
    assert chunks(tokenizer, "the  ｆｏｘ") == [("▁the", (0, 3)), ("▁fox", (3, 8))]


def test_nothing_is_merged_with_user_defined_pieces_of_sentencepiece(tmp_path):
    import sentencepiece

    from core.tokenizer.files.sentencepiece_file import SentencePieceTokenizer

    for split in (True, False):  # False: pieces may hold several words
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS), model_prefix=str(tmp_path / "m"), vocab_size=100, model_type="bpe",
            hard_vocab_limit=False, minloglevel=2, split_by_whitespace=split, user_defined_symbols=["ox", "he la", "l"],
        )  # fmt: skip
        tokenizer = SentencePieceTokenizer((tmp_path / "m.model").read_bytes())
        defined = {tokenizer.processor.piece_to_id(piece) for piece in ("ox", "he▁la", "l")}
        for text in ("the fox jumps", "oxox", "the lazy dog", " l ", "the  la", "fool", ""):
            ids = [root.id for word, _ in chunks(tokenizer, text) for root in merge_tree(tokenizer, word)]
            assert ids == [id for id in tokenizer.encode(text).ids if id not in defined], text


def test_the_bpe_papers_example():
    tokenizer = train_bpe(["low low low low low lower lower"], 262, special_tokens=[])
    steps = merge_steps(tokenizer, "lower")
    assert [step.merged for step in steps][:2] == [b"lo", b"low"]
    assert [step.rank for step in steps] == sorted(step.rank for step in steps)


def test_merge_steps_end_in_the_encoders_tokens(make_tokenizer, nasty_texts):
    tokenizer = make_tokenizer("gpt2")
    for text in nasty_texts[:300]:
        for chunk in tokenizer.splitter(clean_text(text)):
            if len(chunk) > 200:
                continue
            pieces = [bytes([b]) for b in chunk.encode()]
            for step in merge_steps(tokenizer, chunk):
                assert tokenizer.merges[step.rank] == (step.left, step.right)
                assert pieces[step.position : step.position + 2] == [step.left, step.right]
                pieces[step.position : step.position + 2] = [step.merged]
                assert pieces == step.pieces
            assert pieces == tokenizer.encode(chunk).pieces or len(tokenizer.splitter(chunk)) > 1
