"""Patterns that people type: what is usual is compiled, what would take all memory is a sentence."""

import time

import pytest
import regex

from core.errors import TextError
from core.tokenizer.safe_regex import MAX_SIZE, compile_pattern, expanded_size
from core.tokenizer.split import PATTERNS, check_pattern

USUAL = [
    *PATTERNS.values(), r"\w+|[^\w\s]+|\s+", r"[a-z]{1,20}|.", r"(?i:'s|'t)| ?\p{L}+", r"(?<=a)b|(?!c)d", r"[]x]",
    r"[^]]", r"a{,5}", r"a{5,}", r"{", r"a{b}", r"\{5}", r"[{5}]+", r"(a|b){2}", r"\p{Script=Han}{1,4}",
    r"[[:alpha:]]+", "",
]  # fmt: skip
TOO_MUCH = [
    "((a{1000}){1000}){1000}", "(?:(?:a{999}){999}){999}", "a{1000000000}", "(a{2,100000})",
    "((((a{99}){99}){99}){99})", "[a[:x:](((y{1000}){1000}){1000})]", "[](((y{1000}){1000}){1000})]",
    "(?=(a{500}){500})", "(?x) ( a {1000} ) {1000}",
    "(?V1)[a[b]](((y{1000}){1000}){1000})", "a{99999999999999999999}", r"(\[{1000}){1000}", "((a|[^b]{900}){900}c)",
]  # fmt: skip
CALLS = ["(?R)", "(a(?R)?b)", "(?1)(a)", "(a)(?+1)(b)", "(?P<x>a)(?&x)", "(?P<x>a)(?P>x)"]


@pytest.mark.parametrize("pattern", USUAL)
def test_what_is_usual_is_compiled(pattern):
    assert compile_pattern(pattern, "It").pattern == pattern


@pytest.mark.parametrize("pattern", TOO_MUCH)
def test_what_would_take_all_memory_is_refused_at_once(pattern):
    began = time.monotonic()
    with pytest.raises(TextError, match="^It "):
        compile_pattern(pattern, "It")
    assert time.monotonic() - began < 20  # a hang guard
    assert expanded_size(pattern) > MAX_SIZE


@pytest.mark.parametrize("pattern", CALLS)
def test_a_pattern_does_not_call_itself(pattern):
    regex.compile(pattern)  # it is valid
    with pytest.raises(TextError, match="call its own groups"):
        compile_pattern(pattern, "It")
    with pytest.raises(TextError):
        check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["(", "[a", "a**", "(?P<1>a)", "\\", "a{3,1}", "(?<n", "*", "x" * 3_000])
def test_what_is_not_valid_is_a_sentence(pattern):
    with pytest.raises(TextError, match="^It "):
        compile_pattern(pattern, "It")


def test_groups_that_keep_what_they_matched_are_few():
    compile_pattern("(a)" * 10 + "(?:b)" * 100, "It")
    with pytest.raises(TextError, match=r"^It has 11 groups; write \(\?:...\)"):
        compile_pattern("(" * 11 + "a|b" + ")" * 11 + "*c", "It")


def test_the_size_is_of_the_repeats_written_out():
    for pattern, written in [("ab{3}c", "abbbc"), ("(ab){3}", "ababab"), ("(a(bc){2}){3}", "abcbcabcbcabcbc")]:
        assert expanded_size(pattern) == len(written)
    assert expanded_size("a{2,5}") == 5 and expanded_size("[abc]{4}") == 4
