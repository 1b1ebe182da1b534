"""Finding tokenizers by name and path."""

import json
import subprocess
import sys

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from core.errors import RunError
from core.tokenizer import BPETokenizer, HubTokenizer, load_tokenizer, train_bpe
from core.tokenizer.base import clean_text
from core.tokenizer.inspect import stages
from core.tokenizer.load import tokenizer_from_json
from tests.core.tokenizer.kinds import KINDS


def test_gpt2_files(make_tokenizer, nasty_texts, tmp_path):
    trained = make_tokenizer("gpt2")
    model = json.loads(trained.to_json())["model"]
    vocab = {t: i - 3 for t, i in model["vocab"].items() if i >= 3}
    vocab["<|endoftext|>"] = len(vocab)
    merges = "".join(f"{a} {b}\n" for a, b in model["merges"])
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
    ours = load_tokenizer(tmp_path)
    assert isinstance(ours, BPETokenizer)
    assert ours.bos_id == ours.eos_id == len(vocab) - 1 and ours.pad_id is None
    theirs = Tokenizer(models.BPE.from_file(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in nasty_texts[:500]:
        if text.isascii():
            assert ours.encode(text).ids == theirs.encode(text).ids
    assert ours.encode("<|endoftext|>", parse_special=True).ids == [ours.eos_id]


def test_merges_written_as_strings_are_read(make_tokenizer, tmp_path):
    trained = make_tokenizer("gpt2")
    document = json.loads(trained.to_json())
    document["model"]["merges"] = [" ".join(pair) for pair in document["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    assert load_tokenizer(str(tmp_path / "tokenizer.json")).to_json() == trained.to_json()


def test_runs_by_name(make_tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    (tmp_path / "my-run").mkdir()
    make_tokenizer("gpt2").save(tmp_path / "my-run")
    assert load_tokenizer("my-run").vocab_size == 1500
    for name in ("../my-run/x", "no-such-run", "", ".", "my-run/../../etc", "\0"):
        with pytest.raises(RunError, match="tokenizer"):
            load_tokenizer(name)


def test_a_tiktoken_encoding_without_network_is_a_sentence(monkeypatch):
    def refuse(name):
        raise OSError("no network")

    monkeypatch.setattr("tiktoken.get_encoding", refuse)
    with pytest.raises(RunError, match="needs a download"):
        load_tokenizer("cl100k_base")


def test_a_tiktoken_encoding_by_name(make_tokenizer, monkeypatch):
    import tiktoken

    from core.tokenizer.split import PATTERNS

    ranks = {token: id - 3 for token, id in make_tokenizer("gpt4").vocab.items()}
    encoding = tiktoken.Encoding(
        "small", pat_str=PATTERNS["gpt4"], mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 5000}
    )
    monkeypatch.setattr("tiktoken.get_encoding", lambda name: encoding)
    loaded = load_tokenizer("cl100k_base")
    assert loaded.encode("import this").ids == encoding.encode("import this")
    assert loaded.eos_id == 5000 and loaded.vocab_size == 5001


@pytest.mark.parametrize(
    "contents",
    [b"", b"not json", b"[]", b"{}", b'{"model": 3}', b'{"model": {"type": "BPE", "vocab": 5}}', b"\xff\xfe\x00"],
)
def test_broken_files_are_sentences(tmp_path, contents):
    (tmp_path / "tokenizer.json").write_bytes(contents)
    with pytest.raises(RunError) as caught:
        load_tokenizer(tmp_path)
    assert str(caught.value).count("\n") == 0


def test_a_directory_without_a_tokenizer_is_a_sentence(tmp_path):
    with pytest.raises(RunError, match="has no tokenizer.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "vocab.json").write_text("[1]")
    (tmp_path / "merges.txt").write_text("a b")
    with pytest.raises(RunError, match=r"vocab.json or merges.txt"):
        load_tokenizer(tmp_path)


def test_files_that_the_package_reads_leniently_or_dies_of(make_tokenizer):
    """Nothing here may end the process, which the package does for a merge without its prefix."""
    base = json.loads(make_tokenizer("gpt2").to_json())
    marked = json.loads(KINDS["end_of_word"]().to_str())

    def changed(document, **model):
        return document | {"model": document["model"] | model}

    half = base["added_tokens"][:2] + [base["added_tokens"][2] | {"content": "\ud800"}]
    refused = [changed(base, continuing_subword_prefix="é"), base | {"added_tokens": half}]
    nothing = base["added_tokens"][:2] + [base["added_tokens"][2] | {"content": " \n", "normalized": True}]
    refused += [
        base | {"added_tokens": nothing, "normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}}
    ]
    refused += [base | {"post_processor": {"type": "ByteLevel?"}}, base | {"decoder": 3}]
    for document in refused:
        with pytest.raises(RunError) as caught:
            tokenizer_from_json(json.dumps(document))
        assert "\n" not in str(caught.value)
    bytes_too = {f"<0x{byte:02X}>": 1000 + byte for byte in range(256)}
    suffix = changed(marked, byte_fallback=True, vocab=marked["model"]["vocab"] | bytes_too)
    roberta = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", True], "trim_offsets": True}
    usable = [suffix, base | {"post_processor": roberta | {"cls": ["<s>", 1], "add_prefix_space": False}}]
    template = {"type": "TemplateProcessing", "pair": [{"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {}}
    template["single"] = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    uneven = {"<s>": {"id": "<s>", "ids": [1, 2], "tokens": ["<s>"]}}
    usable += [base | {"post_processor": template | {"special_tokens": uneven}}]
    for document in usable:
        tokenizer = tokenizer_from_json(json.dumps(document))
        for text in ("a 猫猫", "x", "  é"):
            encoding = tokenizer.encode(text)
            assert all(0 <= start <= end <= len(text) for start, end in encoding.char_spans)
            assert all(stages(tokenizer, text).post_processed)


def test_added_tokens_have_the_ids_that_the_package_gives_them():
    theirs = KINDS["digits_and_added"]()
    document = json.loads(theirs.to_str())
    last = document["added_tokens"][-1]
    last["id"] += 7  # a gap, which the package closes
    ours = HubTokenizer(json.dumps(document))
    again = Tokenizer.from_str(json.dumps(document))
    assert ours.encode(f"x {last['content']}").ids == again.encode(f"x {last['content']}", add_special_tokens=False).ids
    assert ours.vocab_size == again.get_vocab_size() and ours.token_bytes(again.token_to_id(last["content"]))


OWN_PATTERNS = [
    r"\d+|[a-z]+",
    r"\p{Lu}?\p{Ll}+|\p{Han}+|\p{Hiragana}+|\p{Katakana}+",
    r"(?i:[^\r\n\p{L}\p{N}]?\p{L}+)|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",  # Qwen 2's, nearly
    r"\w+|\W",
    r"[^\s]+\s?",
    r" ?\p{L}++|\s++",
]


@pytest.mark.parametrize("pattern", OWN_PATTERNS)
def test_own_patterns_mean_the_same_to_the_package(pattern, nasty_texts, tmp_path):
    trained = train_bpe(["The quick brown fox, 1234 日本語の文。 don't"] * 3, 330, pattern=pattern)
    trained.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, BPETokenizer)
    theirs = trained.fast()
    for text in map(clean_text, nasty_texts[:1000]):
        assert loaded.encode(text).ids == theirs.encode(text, add_special_tokens=False).ids, repr(text)


@pytest.mark.parametrize(
    "pattern", [r"^a+", r"a$", r"\h+", r"(?m:.+)", r"[[:alpha:]]+", r"[a-z&&[^b]]", r"a\zb", r"(a|\Gb)"]
)
def test_patterns_that_would_mean_something_else_are_left_to_the_package(pattern, make_tokenizer, tmp_path):
    document = json.loads(make_tokenizer("gpt4").to_json())
    document["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = pattern
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, HubTokenizer)
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ["ab\nab\n", "a b\tc", "xaab"]:
        assert loaded.encode(text).ids == theirs.encode(text).ids


def test_importing_the_room_imports_nothing_heavy():
    code = "import sys, core.tokenizer; print([m for m in ('torch', 'tokenizers', 'gradio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
