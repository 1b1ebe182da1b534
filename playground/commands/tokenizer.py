"""`tokenizer merges`, `compare` and `vocab`: look into tokenizers. The other actions are in own_tokenizers.py."""

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from core.errors import TextError
from core.files import NAME
from playground.commands.output import download_progress, say, show

if TYPE_CHECKING:
    from core.tokenizer import Tokenizer
    from core.tokenizer.inspect import Counts, Entry, MergeNode


def tokenizer(args: Namespace) -> None:
    """One ACTION of the command."""
    from playground.commands import own_tokenizers

    actions = {
        "merges": merges, "compare": compare, "vocab": vocab, "train": own_tokenizers.train,
        "chat": own_tokenizers.chat, "list": own_tokenizers.listed, "add": own_tokenizers.add,
        "delete": own_tokenizers.delete,
    }  # fmt: skip
    actions[args.action](args)


def chosen(args: Namespace) -> tuple["Tokenizer", str]:
    """The tokenizer of --run or --tokenizer, and what it is called."""
    if args.run:
        from core.run import load

        return load(args.run, args.runs_dir, download_progress(args)).tokenizer, args.run
    return named(args.tokenizer, args), args.tokenizer


def named(name: str, args: Namespace) -> "Tokenizer":
    from core.tokenizer import load_tokenizer

    return load_tokenizer(source(name, args))


def source(name: str, args: Namespace) -> str:
    """What load_tokenizer opens for the name: a folder of --runs-dir if it is one, else the name."""
    from core.tokenizer.load import has_tokenizer
    from core.tokenizer.own import has_own, own_path

    if args.runs_dir and NAME.fullmatch(name) and ".." not in name:
        if has_tokenizer(args.runs_dir / name):
            return str(args.runs_dir / name)
        if has_own(name, args.runs_dir):
            return str(own_path(name, args.runs_dir))
    return name


def merges(args: Namespace) -> None:
    from core.tokenizer.inspect import chunks, merge_steps, merge_tree, rank_meaning
    from core.tokenizer.visible import visible

    tokenizer, name = chosen(args)
    meaning = rank_meaning(tokenizer)
    words, lines = [], [f"rank: {meaning}"]
    for word, _ in chunks(tokenizer, args.word):
        steps, tree = merge_steps(tokenizer, word), merge_tree(tokenizer, word)
        shown = [_step(i, step) for i, step in enumerate(steps)]
        tokens = [{"id": root.id, "text": visible(root.piece), "bytes": root.piece.hex()} for root in tree]
        words.append({"word": word, "steps": shown, "tokens": tokens, "tree": [_node(root) for root in tree]})
        lines.append(visible(word.encode("utf-8", "replace")))
        for step in shown:
            left = " ".join(step["pieces"])
            lines.append(f"{step['step'] + 1:>4}  rank {step['rank']:>7,}  {step['left']} + {step['right']}  →  {left}")
        lines.append("   tokens: " + " ".join(f"{token['text']} ({token['id']})" for token in tokens))
    if not words:
        raise TextError("There is no word in the text; give one to merge.")
    show(args, {"tokenizer": name, "rank": meaning, "words": words}, lines)


def _step(number: int, step: Any) -> dict[str, Any]:
    from core.tokenizer.visible import visible

    return {
        "step": number, "rank": step.rank, "position": step.position, "left": visible(step.left),
        "right": visible(step.right), "merged": visible(step.merged), "id": step.id,
        "pieces": [visible(piece) for piece in step.pieces],
    }  # fmt: skip


def _node(node: "MergeNode") -> dict[str, Any]:
    from core.tokenizer.visible import visible

    return {
        "text": visible(node.piece), "bytes": node.piece.hex(), "id": node.id, "rank": node.rank, "step": node.step,
        "start": node.start, "children": [_node(child) for child in node.children],
    }  # fmt: skip


def compare(args: Namespace) -> None:
    from core.tokenizer.inspect import compare as compared
    from core.tokenizer.visible import visible
    from playground.commands.text import given_texts

    if len(set(args.names)) < len(args.names):
        raise TextError("A tokenizer is given twice; compare different ones.")
    if args.input:
        return _compare_file(args)
    texts = given_texts(args.text, "Give a text to compare tokenizers on, or a file by --input.")
    tokenizers = {name: named(name, args) for name in args.names}
    results: list[dict[str, Any]] = []
    lines: list[str] = []
    for text in texts:
        seen = compared(text, tokenizers, parse_special=args.parse_special)
        lanes = []
        for lane in seen.lanes:
            tokens = [visible(piece) for piece in lane.encoding.pieces]
            cut = {"ids": lane.encoding.ids, "tokens": tokens, "boundaries": lane.boundaries, "inside": lane.inside}
            lanes.append({"tokenizer": lane.name, **counts(lane.counts), **cut})
        results.append({"text": seen.text, "agreed": seen.agreed, "differing": seen.differing, "lanes": lanes})
        lines += _table([lane.name for lane in seen.lanes], [lane.counts for lane in seen.lanes])
        lines += [f"{lane['tokenizer']}: {'|'.join(lane['tokens'])}" for lane in lanes]
        several = len(seen.differing) != 1
        lines += [f"{len(seen.differing):,} {'stretches are' if several else 'stretch is'} cut differently"]
    show(args, {"tokenizers": args.names, "results": results}, lines)


def _compare_file(args: Namespace) -> None:
    from core.tokenizer.inspect import compare_texts
    from playground import file_counts

    if args.text:
        raise TextError("--input takes the place of texts: give one or the other.")
    words = {"all": file_counts.WHOLE, "line": file_counts.LINE, "script": file_counts.SCRIPT}
    group = words.get(args.by, file_counts.COLUMN + args.by)
    question = file_counts.Question(str(args.input), column=args.column, group=group)
    tokenizers = {name: named(name, args) for name in args.names}
    notes: list[str] = []
    rows = file_counts.named_rows(question, file_counts.read(question), notes)
    found = compare_texts(rows, tokenizers)
    groups = [
        {
            "group": part.group, "lines": part.lines,
            "tokenizers": {name: counts(part.counts[name]) for name in args.names},
        } for part in found
    ]  # fmt: skip
    lines = []
    for part in found:
        lines.append(f"{part.group}: {part.lines:,} {'line' if part.lines == 1 else 'lines'}")
        lines += _table(args.names, [part.counts[name] for name in args.names])
    for note in notes:
        say(note)
    show(
        args,
        {"tokenizers": args.names, "file": str(args.input), "by": args.by, "groups": groups, "notes": notes},
        lines,
    )


def counts(found: "Counts") -> dict[str, Any]:
    """Counts and what is shown of them, as JSON has them."""
    return {
        **asdict(found), "chars_per_token": round(found.chars_per_token, 4),
        "bytes_per_token": round(found.bytes_per_token, 4), "tokens_per_word": round(found.tokens_per_word, 4),
    }  # fmt: skip


def _table(names: Iterable[str], counted: Iterable["Counts"]) -> list[str]:
    return [
        f"  {name[:32]:32} {found.tokens:>10,} tokens  {found.chars_per_token:6.2f} characters and "
        f"{found.bytes_per_token:6.2f} bytes a token  {found.tokens_per_word:6.2f} tokens a word"
        for name, found in zip(names, counted, strict=True)
    ]


def vocab(args: Namespace) -> None:
    from core.tokenizer.inspect import rank_meaning, vocabulary

    tokenizer, name = chosen(args)
    words = vocabulary(tokenizer)
    asked = {"text": args.search, "regex": args.regex, "id": args.id, "bytes": args.bytes}
    by, query = next(((by, query) for by, query in asked.items() if query is not None), ("text", ""))
    order, limit = args.order, args.limit
    if args.longest is not None:
        order, limit = "longest", args.longest
    if limit < 0 or args.offset < 0:
        raise TextError("--limit, --offset and --longest are not below 0.")
    result: dict[str, Any] = {"tokenizer": name, "size": words.size}
    lines = [f"{words.size:,} tokens"]
    if args.histograms:
        histograms: dict[str, list[Any]] = {
            "bytes": words.length_histogram(), "scripts": words.script_histogram(), "kinds": words.kind_histogram()
        }  # fmt: skip
        result["histograms"] = histograms
        for title, rows in histograms.items():
            lines += [f"{title}:", *(f"  {label!s:>20}  {n:>8,}" for label, n in rows if n)]
    if not args.histograms or query or args.longest is not None or args.only != "all":
        found = words.search(query, by, only=args.only, order=order, offset=args.offset, limit=limit)
        result |= {"total": found.total, "tokens": [_entry(entry) for entry in found.entries]}
        lines.append(f"{found.total:,} found, {len(found.entries):,} shown")
        if any(entry.rank is not None for entry in found.entries):
            result["rank"] = rank_meaning(tokenizer)
        lines += [_entry_line(entry) for entry in found.entries]
    show(args, result, lines)


def _entry(entry: "Entry") -> dict[str, Any]:
    return {**asdict(entry), "bytes": entry.bytes.hex()}


def _entry_line(entry: "Entry") -> str:
    place = f"rank {entry.rank:,}" if entry.rank is not None else ""
    place = f"score {entry.score:.2f}" if entry.score is not None else place
    return f"{entry.id:>8}  {entry.text:24}  {entry.kind:8}  {place:14}  {entry.why_not}".rstrip()
