"""The words of `llm-scratch tokenize` and `llm-scratch tokenizer ACTION`, for playground.cli.

Only the standard library is imported here, so that help comes at once.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

PATTERNS = "gpt2, gpt4, none, or a regular expression"
WHICH = "a tokenizer's file or directory, a run's or an own tokenizer's name, hf:org/name, or a tiktoken encoding"
KINDS = ("all", "special", "added", "byte", "partial", "space", "word", "part", "unreachable")


def add_tokenize(command: argparse.ArgumentParser) -> None:
    command.add_argument("text", nargs="*", help="texts; without any, the lines of standard input")
    _add_which(command)
    _add_parse_special(command)
    command.add_argument("--stages", action="store_true", help="show what each stage makes of the text")
    command.add_argument("--csv", type=Path, metavar="FILE", help="write the tokens of one text there as a table")


def add_tokenizer(command: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, help: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=help, description=help, parents=[common], allow_abbrev=False)

    for name, help, words in _ACTIONS:
        words(add(name, help))


def _merges(action: argparse.ArgumentParser) -> None:
    action.add_argument("word", metavar="WORD", help="a word; of a longer text, each of its words")
    _add_which(action)


def _compare(action: argparse.ArgumentParser) -> None:
    action.add_argument("text", nargs="*", help="texts; without any, the lines of standard input")
    action.add_argument(
        "--with", dest="names", action="append", required=True, metavar="NAME",
        help=f"{WHICH}; give up to six",
    )  # fmt: skip
    _add_parse_special(action)
    action.add_argument("--input", type=Path, metavar="FILE", help="count a whole file in the place of texts")
    action.add_argument(
        "--by", default="all", metavar="GROUP", help="of --input: count by line, script, or a column's name (all)"
    )
    action.add_argument("--column", default="", metavar="NAME", help="of --input, a table: the column with the text")


def _vocab(action: argparse.ArgumentParser) -> None:
    _add_which(action)
    query = action.add_mutually_exclusive_group()
    query.add_argument("--search", metavar="TEXT", help="tokens that hold this text")
    query.add_argument("--regex", metavar="PATTERN", help="tokens in which this regular expression is found")
    query.add_argument("--id", metavar="IDS", help="tokens by id: 7, 7-9 or 7,9")
    query.add_argument("--bytes", metavar="HEX", help="tokens that hold these bytes, such as E381")
    query.add_argument("--longest", type=int, metavar="N", help="the N tokens of most bytes")
    action.add_argument("--only", choices=KINDS, default="all", help="tokens of one kind, or that no text becomes")
    action.add_argument(
        "--order", choices=["id", "longest", "shortest", "text"], default="id", help="which come first (id)"
    )
    action.add_argument("--offset", type=int, default=0, metavar="N", help="leave out the first N")
    action.add_argument("--limit", type=int, default=100, metavar="N", help="show at most N (100)")
    action.add_argument("--histograms", action="store_true", help="show how long the tokens are, and of which scripts")


def _train(action: argparse.ArgumentParser) -> None:
    action.add_argument("data", nargs="?", metavar="DATA", help="a file, a data set or builtin:…; else standard input")
    action.add_argument("--column", default="", metavar="NAME", help="of a table: the column with the text")
    action.add_argument("--name", default="", help="keep it under this name")
    action.add_argument("--output", type=Path, metavar="FILE", help="write it there, as tokenizer.json")
    action.add_argument(
        "--kind", choices=["bpe", "wordpiece", "unigram", "char"], default="bpe",
        help="byte-level BPE, WordPiece, Unigram, or characters (bpe)",
    )  # fmt: skip
    action.add_argument("--vocab-size", type=int, default=4000, metavar="N", help="special tokens included (4000)")
    action.add_argument("--pattern", default="gpt2", help=f"how text is cut before merging: {PATTERNS} (gpt2)")
    action.add_argument(
        "--special", action="append", metavar="TOKEN", help="a special token; may be repeated (<pad> <s> </s>)"
    )
    action.add_argument("--engine", choices=["ours", "tokenizers"], default="ours", help="of bpe (ours)")
    action.add_argument(
        "--min-frequency", type=int, default=0, metavar="N", help="of bpe and wordpiece: leave rarer pairs alone (0)"
    )
    action.add_argument("--lowercase", action="store_true", help="of wordpiece: without capitals and accents")


def _chat(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "messages", nargs="?", metavar="MESSAGES", help='lines "role: text", or JSON; else standard input'
    )
    _add_which(action)
    action.add_argument("--template", metavar="NAME", help="a known format, or a Jinja file (else the tokenizer's own)")
    action.add_argument("--prompt", action="store_true", help="end with the beginning of an answer")


def _add(action: argparse.ArgumentParser) -> None:
    action.add_argument("name", metavar="NAME", help="the name to keep it under")
    action.add_argument(
        "file", nargs="+", metavar="FILE", help="tokenizer.json, .model, .tiktoken; vocab.json merges.txt"
    )
    action.add_argument("--pattern", default="", help="of a .tiktoken file: gpt2, gpt4, o200k or none")


def _delete(action: argparse.ArgumentParser) -> None:
    action.add_argument("name", metavar="NAME", help="an own tokenizer")


_ACTIONS: list[tuple[str, str, Callable[[argparse.ArgumentParser], None]]] = [
    ("merges", "Show every merge of a word, in order.", _merges),
    ("compare", "Show how several tokenizers cut the same texts, or count a file.", _compare),
    ("vocab", "Search a vocabulary, or show its histograms.", _vocab),
    ("train", "Train a tokenizer of your own.", _train),
    ("chat", "Write messages as a chat model reads them, and tokenize that.", _chat),
    ("list", "List the tokenizers that there are.", lambda action: None),
    ("add", "Keep a tokenizer's file under a name.", _add),
    ("delete", "Delete an own tokenizer.", _delete),
]


def _add_which(command: argparse.ArgumentParser) -> None:
    chosen = command.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--run", metavar="NAME", help="the tokenizer of this run")
    chosen.add_argument("--tokenizer", metavar="NAME", help=WHICH)


def _add_parse_special(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--parse-special", action="store_true", help="take special tokens in a text for what they name"
    )
