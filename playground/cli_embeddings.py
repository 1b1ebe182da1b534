"""The words of `llm-scratch embeddings ACTION`, for playground.cli.

Vectors are a run's (--run), or word vectors that were trained here (--vectors). Token ids and positions count from
0. Results as JSON:

    neighbours  {"vectors", "metric", "results": [{"query", "id", "token", "norm", "neighbours": [{"id", "token",
                "value"}]}]}
    analogy     {"vectors", "method", "a", "b", "c", "results": [{"id", "token", "value"}]}, of a, b, c {"id", "token"}
    map         {"vectors", "method", "dimensions", "explained" [dimensions], "divergence", "points": [{"id", "token",
                "norm", "at" [dimensions]}]}; explained is null of t-SNE, divergence of pca
    train       {"name", "data", "words", "text_words", "seconds", "words_per_second", "loss", "settings"}
    list        {"vectors": [{"name", "made", "data", "words", "text_words", "seconds", "loss", "bytes", "settings"}]}
    delete      {"name", "deleted"}
    positions   {"run", "kind", "positions", "wavelengths", "similarity" [T][T], "by_distance" [T], "bound" [T],
                "table" [T][D]}; wavelengths and bound are null where they have no meaning

Only the standard library is imported here, so that help comes at once.
"""

import argparse
from collections.abc import Callable
from pathlib import Path


def add_embeddings(command: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, help, words in _ACTIONS:
        words(actions.add_parser(name, help=help, description=help, parents=[common], allow_abbrev=False))


def _neighbours(action: argparse.ArgumentParser) -> None:
    action.add_argument("token", nargs="+", metavar="TOKEN", help="tokens or words, or #ID")
    _add_vectors(action)
    action.add_argument("--metric", choices=["cosine", "euclidean", "dot"], default="cosine", help="(cosine)")
    _add_answers(action)
    _add_output(action)


def _analogy(action: argparse.ArgumentParser) -> None:
    for name, help in (("a", "king"), ("b", "man"), ("c", "woman")):
        action.add_argument(name, metavar=name.upper(), help=f"such as {help}")
    _add_vectors(action)
    action.add_argument(
        "--method", choices=["add", "mul"], default="add", help="3CosAdd, the cosine with A - B + C, or 3CosMul (add)"
    )
    _add_answers(action)
    _add_output(action)


def _map(action: argparse.ArgumentParser) -> None:
    action.add_argument("token", nargs="*", metavar="TOKEN", help="tokens that are among the points in any case")
    _add_vectors(action)
    action.add_argument(
        "--points", type=int, default=500, metavar="N", help="at most N tokens, the most frequent (500)"
    )
    action.add_argument("--words", action="store_true", help="only tokens of two letters or more")
    action.add_argument("--method", choices=["pca", "tsne"], default="pca", help="principal components, or t-SNE (pca)")
    action.add_argument("--dimensions", type=int, choices=[2, 3], default=2, help="(2)")
    action.add_argument(
        "--perplexity", type=float, default=30.0, metavar="X", help="of tsne: neighbours that count (30)"
    )
    action.add_argument("--iterations", type=int, default=750, metavar="N", help="of tsne (750)")
    action.add_argument("--seed", type=int, default=0, metavar="N", help="of tsne (0)")
    _add_output(action)


def _train(action: argparse.ArgumentParser) -> None:
    action.add_argument("data", nargs="?", metavar="DATA", help="a file, a data set or builtin:…; else standard input")
    action.add_argument("--column", default="", metavar="NAME", help="of a table: the column with the text")
    action.add_argument("--name", required=True, help="keep them under this name")
    action.add_argument("--tokens", metavar="RUN", help="learn the tokens of this run's tokenizer, not words")
    action.add_argument("--size", type=int, default=100, metavar="N", help="numbers in a vector (100)")
    action.add_argument("--window", type=int, default=5, metavar="N", help="words on either side, at most (5)")
    action.add_argument("--negative", type=int, default=5, metavar="N", help="noise words a pair (5)")
    action.add_argument("--epochs", type=int, default=5, metavar="N", help="times through the text (5)")
    action.add_argument("--min-count", type=int, default=3, metavar="N", help="leave out rarer words (3)")
    action.add_argument(
        "--sample", type=float, default=1e-3, metavar="X",
        help="words of a share of the text above this are left out the more often, the more frequent (0.001); 0: never",
    )  # fmt: skip
    action.add_argument("--learning-rate", type=float, default=0.025, metavar="X", help="at the beginning (0.025)")
    action.add_argument("--seed", type=int, default=0, metavar="N", help="(0)")


def _delete(action: argparse.ArgumentParser) -> None:
    action.add_argument("name", metavar="NAME", help="own word vectors")


def _positions(action: argparse.ArgumentParser) -> None:
    action.add_argument("--run", required=True, metavar="NAME", help="a run's name or directory, or hf:org/name")
    action.add_argument("--length", type=int, default=64, metavar="N", help="the first N positions (64)")
    _add_output(action)


_ACTIONS: list[tuple[str, str, Callable[[argparse.ArgumentParser], None]]] = [
    ("neighbours", "Show the tokens whose vectors are nearest to a token's.", _neighbours),
    ("analogy", "Show what A - B + C comes near to: king - man + woman.", _analogy),
    ("map", "Place tokens on a map by their vectors: principal components, or t-SNE.", _map),
    ("train", "Train word vectors on a text: skip-gram with negative sampling.", _train),
    ("list", "List the word vectors that were trained here.", lambda action: None),
    ("delete", "Delete own word vectors.", _delete),
    ("positions", "Show a run's positions, and how alike they are.", _positions),
]


def _add_vectors(action: argparse.ArgumentParser) -> None:
    chosen = action.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--run", metavar="NAME", help="the token embeddings of this run")
    chosen.add_argument("--vectors", metavar="NAME", help="word vectors that were trained here")
    action.add_argument(
        "--which", choices=["input", "output"], default="input",
        help="vectors of tokens that are read, or of those that are predicted (input)",
    )  # fmt: skip


def _add_answers(action: argparse.ArgumentParser) -> None:
    action.add_argument("--top", type=int, default=10, metavar="N", help="show N (10)")
    action.add_argument(
        "--most-frequent", type=int, default=0, metavar="N", help="only among the N most frequent tokens (all)"
    )


def _add_output(action: argparse.ArgumentParser) -> None:
    action.add_argument("--output", type=Path, metavar="FILE", help="write the numbers there: .csv or .json")
