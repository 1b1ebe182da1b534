"""The stages against the `tokenizers` package's own normalize_str, pre_tokenize_str, encode and post_process."""

import json

import pytest
from tokenizers import Tokenizer

from core.tokenizer import BPETokenizer, CharTokenizer, HubTokenizer
from core.tokenizer.base import clean_text
from core.tokenizer.files.sentencepiece_file import SentencePieceTokenizer
from core.tokenizer.inspect import stages
from tests.core.tokenizer.kinds import KINDS, TEXTS, precompiled


@pytest.fixture(scope="module", params=[*KINDS, "precompiled"])
def theirs(request, tmp_path_factory) -> Tokenizer:
    return KINDS[request.param]() if request.param in KINDS else precompiled(tmp_path_factory.mktemp("spm"))


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    """Without the added tokens that are not special: what is left is the four stages."""
    document = json.loads(tokenizer.to_str())
    document["added_tokens"] = [token for token in document["added_tokens"] if token["special"]]
    return Tokenizer.from_str(json.dumps(document))


def test_every_stage_equals_the_packages(theirs, nasty_texts):
    plain = _plain(theirs)
    ours = HubTokenizer(plain.to_str())
    names = list(ours.special_tokens)
    for text in map(clean_text, [*nasty_texts[:250], *TEXTS[:3]]):
        seen = stages(ours, text)
        normalized = plain.normalizer.normalize_str(text) if plain.normalizer else text
        assert seen.normalized == normalized
        cut = plain.pre_tokenizer.pre_tokenize_str(normalized) if plain.pre_tokenizer else [(normalized, None)]
        if normalized:
            assert [chunk for chunk, _ in seen.pre_tokens] == [chunk for chunk, _ in cut]
        if plain.pre_tokenizer and normalized:
            assert seen.pre_tokens == cut
        if any(name in text for name in names):
            continue
        encoded = plain.encode(text, add_special_tokens=False)
        assert [token.id for token in seen.tokens] == encoded.ids
        assert [token.text for token in seen.tokens] == encoded.tokens
        processed = plain.encode(text)
        columns = zip(processed.tokens, processed.ids, processed.offsets, strict=True)
        assert [(token.text, token.id, token.span) for token in seen.post_processed] == list(columns)


def test_places_in_the_text_hold_the_tokens_of_their_chunk(theirs, nasty_texts):
    ours = HubTokenizer(theirs.to_str())
    for text in map(clean_text, nasty_texts[:150]):
        for parse_special in (False, True):
            seen = stages(ours, text, parse_special=parse_special)
            fast = ours.parsing() if parse_special else ours.fast()
            encoded = fast.encode(text, add_special_tokens=False)
            spans: dict[int, list[tuple[int, int]]] = {}
            for word, span in zip(encoded.word_ids, encoded.offsets, strict=True):
                spans.setdefault(word, []).append(span)
            found = [(min(s for s, _ in group), max(e for _, e in group)) for group in spans.values()]
            assert all(span in seen.pre_token_spans for span in found), (text, found, seen.pre_token_spans)
            joined = [seen.normalized[start:end] for _, (start, end) in seen.pre_tokens]
            assert len(joined) == len(seen.pre_token_spans)
            assert all(0 <= start <= end <= len(text) for start, end in seen.pre_token_spans)


def test_special_tokens_are_parsed_on_request(theirs):
    ours = HubTokenizer(theirs.to_str())
    unk = {"<unk>", "[UNK]"}
    for name in ours.special_tokens.keys() - unk:
        for text in (f"the {name} fox", f"{name}{name}The", f"  {name}    é", name):
            seen = stages(ours, text, parse_special=True)
            expected = theirs.encode(text, add_special_tokens=False)
            assert [(token.text, token.id) for token in seen.tokens] == list(
                zip(expected.tokens, expected.ids, strict=True)
            )
            assert sum(token.special for token in seen.tokens) == text.count(name)
            assert [chunk for chunk, _ in seen.pre_tokens].count(name) == text.count(name)
            assert [token.id for token in seen.post_processed] == theirs.encode(text).ids
            assert not any(token.special for token in stages(ours, text).tokens)


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "none", r"\d+|[a-z]+"])
def test_stages_of_our_own(make_tokenizer, nasty_texts, pattern):
    ours = make_tokenizer(pattern)
    theirs = Tokenizer.from_str(ours.to_json())
    theirs.encode_special_tokens = True
    known = ours.splitter.is_known
    for text in map(clean_text, nasty_texts[:200]):
        seen = stages(ours, text)
        assert seen.normalized == text and seen.post_processed == seen.tokens
        assert "".join(text[start:end] for start, end in seen.pre_token_spans) == text
        assert [token.id for token in seen.tokens] == ours.encode(text).ids
        if known and text:
            assert seen.pre_tokens == theirs.pre_tokenizer.pre_tokenize_str(text)
            encoded = theirs.encode(text)
            assert [token.text for token in seen.tokens] == encoded.tokens
            assert [token.span for token in seen.tokens] == encoded.offsets
        parsed = stages(ours, text, parse_special=True)
        assert [token.id for token in parsed.tokens] == ours.encode(text, parse_special=True).ids
    seen = stages(ours, "ab <s>", parse_special=True)
    assert seen.pre_tokens[-1] == ("<s>", (3, 6)) and seen.tokens[-1].special
    assert not any(token.special for token in stages(ours, "ab <s>").tokens)


def test_our_class_with_a_post_processor_of_others(make_tokenizer):
    document = json.loads(make_tokenizer("gpt4").to_json())
    document["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    theirs = Tokenizer.from_str(json.dumps(document))
    ours = BPETokenizer.from_json(document)
    assert ours is not None
    seen = stages(ours, "Hello world")
    assert [token.id for token in seen.post_processed] == theirs.encode("Hello world").ids
    assert seen.post_processed[0].special and not seen.post_processed[1].special
    assert seen.post_processor == "<s> text"
    parsed = stages(ours, "a</s>", parse_special=True)
    assert [token.id for token in parsed.post_processed] == theirs.encode("a</s>").ids
    document["post_processor"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}  # as RoBERTa's
    ours, theirs = BPETokenizer.from_json(document), Tokenizer.from_str(json.dumps(document))
    for text in ("Hello  wide\n world", " a", "  ", "é 猫"):
        seen, encoded = stages(ours, text), theirs.encode(text)
        assert [token.span for token in seen.post_processed] == encoded.offsets
        assert [token.span for token in seen.tokens] == ours.encode(text).char_spans


def test_every_stage_has_a_line(theirs):
    ours = HubTokenizer(theirs.to_str())
    seen = stages(ours, "x")
    lines = (seen.normalizer, seen.pre_tokenizer, seen.model, seen.post_processor)
    assert all(line and "\n" not in line for line in lines)
    assert (seen.normalizer == "none") == (theirs.normalizer is None)
    assert (seen.pre_tokenizer == "none") == (theirs.pre_tokenizer is None)


def test_lines_say_what_the_stages_do(make_tokenizer):
    bert = stages(HubTokenizer(KINDS["wordpiece"]().to_str()), "x")
    assert bert.normalizer == (
        "BERT's: control characters removed, Chinese characters set apart, accents removed, lowercase"
    )
    assert bert.pre_tokenizer == "words and each punctuation mark, spaces dropped"
    assert bert.model.startswith("WordPiece, ") and bert.post_processor == "[CLS] text [SEP]"
    ours = stages(make_tokenizer("gpt4"), "x")
    assert ours.pre_tokenizer == "GPT-4's pattern, then bytes"
    assert ours.model == f"BPE, {len(make_tokenizer('gpt4').merges):,} merges"
    assert stages(CharTokenizer.train(["ab"]), "ab").model == "characters, 2 of them"


def test_sentencepiece_models(tmp_path):
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_prefix=str(tmp_path / "m"), vocab_size=120, hard_vocab_limit=False,
        minloglevel=2,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    ours = SentencePieceTokenizer((tmp_path / "m.model").read_bytes())
    seen = stages(ours, "The ｑｕｉｃｋ fox")
    assert seen.normalized == processor.normalize("The ｑｕｉｃｋ fox")
    assert [token.id for token in seen.tokens] == processor.encode("The ｑｕｉｃｋ fox")
    assert [token.text for token in seen.tokens] == processor.encode("The ｑｕｉｃｋ fox", out_type=str)


def test_stages_of_a_tokenizer_with_all_four():
    from tokenizers import models, normalizers, pre_tokenizers, processors

    theirs = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "cafe": 3}, unk_token="[UNK]"))
    theirs.normalizer = normalizers.BertNormalizer(lowercase=True)
    theirs.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    theirs.add_special_tokens(["[CLS]", "[SEP]"])
    theirs.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    seen = stages(HubTokenizer(theirs.to_str()), "Café x")
    assert seen.normalized == "cafe x" == theirs.normalizer.normalize_str("Café x")
    assert seen.pre_tokens == [("cafe", (0, 4)), ("x", (5, 6))]
    assert [(token.text, token.id) for token in seen.tokens] == [("cafe", 3), ("[UNK]", 0)]
    processed = [(token.text, token.id) for token in seen.post_processed]
    assert processed == [("[CLS]", 1), ("cafe", 3), ("[UNK]", 0), ("[SEP]", 2)]
    char = stages(CharTokenizer.train(["ab"]), "ab")
    assert char.pre_tokens == [("ab", (0, 2))] and [token.id for token in char.tokens] == [4, 5]
