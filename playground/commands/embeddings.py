"""`embeddings ACTION`: neighbours, analogies and maps of vectors, word vectors of one's own, positions."""

import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ConfigError
from core.files import expanded
from playground.commands.output import say, show
from playground.commands.readings import check_output, deliver, open_run, table

if TYPE_CHECKING:
    from core.analysis.embeddings import Neighbour, Vectors

MOST = 1_000  # answers, and positions
TICK = 2.0  # seconds between two lines about a training


def embeddings(args: Namespace) -> None:
    """One ACTION of the command."""
    actions = {
        "neighbours": neighbours, "analogy": analogy, "map": map_, "train": train, "list": listed, "delete": delete,
        "positions": positions,
    }  # fmt: skip
    actions[args.action](args)


def opened(args: Namespace) -> "Vectors":
    """The vectors of --run or --vectors."""
    from core.analysis.embeddings import matrices, model_vectors, word_vectors
    from core.analysis.own_vectors import open_vectors

    check_output(args)
    if args.vectors:
        return word_vectors(open_vectors(args.vectors, args.runs_dir), args.vectors, args.which)
    run = open_run(args)
    if args.which not in matrices(run):
        raise ConfigError(f"{run.name} makes its logits with its input embeddings: leave out --which output.")
    return model_vectors(run, args.which)


def neighbours(args: Namespace) -> None:
    from core.analysis.embeddings import find
    from core.analysis.embeddings import neighbours as nearest

    vectors, top = opened(args), _answers(args)
    results, lines, rows = [], [], []
    for query in args.token:
        id = find(vectors, query)
        found = nearest(vectors, id, top, args.metric, args.most_frequent)
        name, norm = vectors.names[id], float(vectors.norms[id])
        results.append({"query": query, "id": id, "token": name, "norm": norm, "neighbours": _plain(found)})
        lines += [f"{name} (#{id}, length {norm:.3f}): {args.metric}", *_listed(found)]
        rows += [[name, n.id, n.name, n.value] for n in found]
    result = {"vectors": vectors.title, "metric": args.metric, "results": results}
    deliver(args, result, lines, ["of", "id", "token", args.metric], rows)


def analogy(args: Namespace) -> None:
    from core.analysis.embeddings import analogy as solve
    from core.analysis.embeddings import find

    vectors, top = opened(args), _answers(args)
    ids = [find(vectors, query) for query in (args.a, args.b, args.c)]
    found = solve(vectors, ids[0], ids[1], ids[2], top, args.method, args.most_frequent)
    three = [{"id": id, "token": vectors.names[id]} for id in ids]
    result = {"vectors": vectors.title, "method": args.method, "a": three[0], "b": three[1], "c": three[2]}
    a, b, c = (vectors.names[id] for id in ids)
    rows = [[n.id, n.name, n.value] for n in found]
    deliver(
        args, result | {"results": _plain(found)}, [f"{a} − {b} + {c}", *_listed(found)], ["id", "token", "value"], rows
    )


def map_(args: Namespace) -> None:
    from core.analysis.embeddings import choose, find
    from core.analysis.maps import MAX_POINTS, pca, tsne

    vectors, limit = opened(args), _number(args.points, MAX_POINTS, "--points")
    also = [find(vectors, query) for query in args.token]
    ids = choose(vectors, limit, "words" if args.words else "all", also)
    explained: list[float] | None = None
    divergence: float | None = None
    if args.method == "pca":
        found = pca(vectors.matrix[ids], args.dimensions)
        points, explained = found.points, found.explained
        told = "explain " + " + ".join(f"{share:.1%}" for share in explained) + " of the variance"
    else:
        points, divergence = np.zeros((0, args.dimensions), np.float32), 0.0
        for step in tsne(vectors.matrix[ids], args.dimensions, args.perplexity, args.iterations, args.seed):
            points, divergence = step.points, step.divergence
        told = f"t-SNE ends with a divergence of {divergence:.3f}"
    axes = ["x", "y", "z"][: args.dimensions]
    norms = vectors.norms[ids]
    rows = [[id, vectors.names[id], norm, *at] for id, norm, at in zip(ids, norms, points, strict=True)]
    result = {
        "vectors": vectors.title, "method": args.method, "dimensions": args.dimensions, "explained": explained,
        "divergence": divergence,
        "points": [{"id": id, "token": name, "norm": norm, "at": at} for id, name, norm, *at in rows],
    }  # fmt: skip
    header = ["id", "token", "length", *axes]
    deliver(args, result, [f"{len(ids):,} {vectors.title}; {told}", *table(header, rows)], header, rows)


def train(args: Namespace) -> None:
    """Told on stderr every few seconds; Ctrl-C ends it, and nothing is kept."""
    from core.analysis.own_vectors import check_vectors_free, save_vectors
    from core.analysis.word2vec import Settings
    from core.analysis.word2vec import train as learn
    from core.analysis.words import read_texts, sentences_of
    from core.run import load
    from playground.commands.text import given_input

    settings = Settings(
        size=args.size, window=args.window, negative=args.negative, epochs=args.epochs, min_count=args.min_count,
        sample=args.sample, learning_rate=args.learning_rate, seed=args.seed,
    )  # fmt: skip
    check_vectors_free(args.name, args.runs_dir)
    tokenizer = load(args.tokens, args.runs_dir).tokenizer if args.tokens else None
    text = file = ""
    if not args.data:
        text = given_input("Name a file or a data set to learn from, or give text on standard input.")
    elif not args.data.startswith(("builtin:", "hf:")) and expanded(args.data).exists():
        file = str(expanded(args.data))
    texts, data = read_texts(text, file, "" if text or file else args.data, args.column)
    told = time.monotonic()
    for step in learn(sentences_of(texts, tokenizer), settings):
        if not args.json and time.monotonic() - told > TICK:
            told = time.monotonic()
            loss = f", loss {step.loss:.3f}" if np.isfinite(step.loss) else ""
            say(f"{step.share:.0%}{loss}, {step.words_per_second:,.0f} words/s")
    assert step.model is not None
    about = save_vectors(args.name, step.model, data, step.words, step.seconds, step.loss, args.runs_dir)
    result = asdict(about) | {"words_per_second": step.words_per_second}
    line = f"{about.name}: {about.words:,} words from {data}, in {step.seconds:.1f} s"
    if about.loss is not None:
        line += f"; loss {about.loss:.3f}"
    show(args, {key: value for key, value in result.items() if key not in ("made", "bytes")}, [line])


def listed(args: Namespace) -> None:
    from core.analysis.own_vectors import own_vectors

    found = own_vectors(args.runs_dir)
    rows = [[about.name, about.words, about.settings.size, about.data] for about in found]
    lines = table(["name", "words", "size", "from"], rows) if found else ["There are none yet: embeddings train."]
    show(args, {"vectors": [asdict(about) for about in found]}, lines)


def delete(args: Namespace) -> None:
    from core.analysis.own_vectors import delete_vectors

    delete_vectors(args.name, args.runs_dir)
    show(args, {"name": args.name, "deleted": True}, [f"{args.name} is deleted"])


def positions(args: Namespace) -> None:
    from core.analysis.positions import by_distance, decay_bound, positions_of, similarity

    check_output(args)
    run = open_run(args)
    found = positions_of(run, _number(args.length, MOST, "--length"))
    alike = similarity(found)
    apart = by_distance(found)
    bound = decay_bound(found.frequencies, np.arange(len(apart))) if found.kind == "rotary" else None  # type: ignore
    waves = found.wavelengths
    result = {
        "run": run.name, "kind": found.kind, "positions": found.length, "wavelengths": waves, "similarity": alike,
        "by_distance": apart, "bound": bound, "table": found.table,
    }  # fmt: skip
    lines = [f"{run.name}: {found.kind} positions, {found.length:,} of them"]
    if waves is not None:
        lines.append(f"wavelengths from {waves.min():,.1f} to {waves.max():,.1f} positions")
    shown = [
        [distance, apart[distance]] for distance in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if distance < len(apart)
    ]
    header = ["position", *(str(place) for place in range(len(alike)))]
    rows = [[place, *row] for place, row in enumerate(alike)]
    deliver(args, result, [*lines, *table(["apart", "alike"], shown)], header, rows)


def _plain(found: Sequence["Neighbour"]) -> list[dict[str, Any]]:
    return [{"id": n.id, "token": n.name, "value": n.value} for n in found]


def _listed(found: Sequence["Neighbour"]) -> list[str]:
    return [f"{n.value:8.4f}  {n.name}  (#{n.id})" for n in found]


def _answers(args: Namespace) -> int:
    """How many answers --top asks for; ConfigError if --most-frequent leaves no token to be one."""
    if args.most_frequent < 0:
        raise ConfigError(f"--most-frequent takes a number from 0 (all), not {args.most_frequent:,}.")
    return _number(args.top, MOST, "--top")


def _number(number: int, most: int, option: str) -> int:
    if not 1 <= number <= most:
        raise ConfigError(f"{option} takes a number from 1 to {most:,}, not {number:,}.")
    return number
