"""`tokenizer train`, `chat`, `list`, `add` and `delete`: tokenizers of one's own, and the formats of chats."""

import shutil
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.errors import ConfigError, TextError, UserError
from core.files import expanded
from playground.commands.output import say, show

TICK = 2.0  # seconds between two lines about merges


def train(args: Namespace) -> None:
    """In a process of its own, which ends with this one; merges are told as they form."""
    from core.tokenizer.train_process import Event, TokenizerTraining, TrainingJob
    from core.tokenizer.training import SPECIAL_TOKENS, TrainingRequest
    from playground.commands.text import given_input

    if not args.name and not args.output:
        raise ConfigError("Say where the tokenizer is to be kept: --name NAME, or --output FILE, or both.")
    if args.output and not args.output.absolute().parent.is_dir():
        raise ConfigError(f"The tokenizer cannot be written to {args.output}: there is no such folder.")
    request = TrainingRequest(
        kind=args.kind, vocab_size=args.vocab_size, pattern=args.pattern,
        special_tokens=tuple(SPECIAL_TOKENS if args.special is None else args.special), engine=args.engine,
        min_frequency=args.min_frequency, lowercase=args.lowercase,
    )  # fmt: skip
    source: dict[str, Any] = {"data": args.data or ""}
    if not args.data:
        source = {"text": given_input("Name a file or a data set to train on, or give text on standard input.")}
    elif not args.data.startswith(("builtin:", "hf:")) and expanded(args.data).exists():
        source = {"file": str(expanded(args.data))}
    job = TrainingJob(request, column=args.column, name=args.name, **source)
    last: Event | None = None
    told: tuple[str, float] = ("", 0.0)
    merges: list[dict[str, Any]] = []
    with TokenizerTraining(job, args.runs_dir) as training:
        for last in training.events():
            merges += [
                {"rank": m.rank, "left": m.left.hex(), "right": m.right.hex(), "count": m.count} for m in last.merges
            ]
            if last.phase not in ("done", "failed") and not args.json and (last.phase, last.seconds // TICK) != told:
                told = last.phase, last.seconds // TICK
                say(last.text)
        if last is None or last.phase != "done":
            raise UserError(last.text if last else "The training failed.")
        path = _kept(last, args)
        if args.output:
            _copy(path, args.output)
    result = {
        "name": last.name, "path": str(args.output or path), "kind": args.kind, "vocab_size": last.vocab_size,
        "seconds": last.seconds, "merges": merges,
    }  # fmt: skip
    where = [last.name and f"kept as {last.name}", args.output and f"written to {args.output}"]
    show(args, result, [f"{last.vocab_size:,} tokens in {last.seconds:.1f} s, {' and '.join(filter(None, where))}"])


def _kept(event: Any, args: Namespace) -> Path:
    from core.tokenizer.own import own_path

    return own_path(event.name, args.runs_dir) / "tokenizer.json" if event.name else Path(event.path)


def _copy(path: Path, output: Path) -> None:
    try:
        shutil.copyfile(path, output)
    except OSError as error:
        raise ConfigError(f"The tokenizer cannot be written to {output}: {error.strerror or error}.") from None


def chat(args: Namespace) -> None:
    from core.tokenizer.chat import TEMPLATES, chat_template_of, parse_messages, render
    from core.tokenizer.visible import visible
    from playground.commands.text import given_input
    from playground.commands.tokenizer import chosen, source

    tokenizer, name = chosen(args)
    said = args.messages
    if said is None:
        said = given_input('Give messages, such as "user: Hello!".')
    special: dict[str, str] = {}
    if args.template in TEMPLATES:
        known = TEMPLATES[args.template]
        template, special = known.template, {"bos_token": known.bos, "eos_token": known.eos}
    elif args.template:
        template = _template_file(args.template, list(TEMPLATES))
    else:
        found = chat_template_of(source(args.run or args.tokenizer, args))
        if found is None:
            raise TextError(f"{name} comes with no chat template; choose one by --template: {', '.join(TEMPLATES)}.")
        template = found.templates.get("default") or next(iter(found.templates.values()))
        special = found.special_tokens
    text = render(template, parse_messages(said), special_tokens=special, add_generation_prompt=args.prompt).text
    encoding = tokenizer.encode(text, parse_special=True)
    tokens = [visible(piece) for piece in encoding.pieces]
    result = {
        "tokenizer": name, "template": args.template or "", "text": text, "ids": encoding.ids, "tokens": tokens,
        "special": encoding.special_mask,
    }  # fmt: skip
    lines = [text, f"{len(tokens):,} tokens, {sum(encoding.special_mask):,} of them special"]
    lines += [f"{id:>8}  {token}" for id, token in zip(encoding.ids, tokens, strict=True)]
    show(args, result, lines)


def _template_file(name: str, known: list[str]) -> str:
    path = expanded(name)
    if not path.is_file():
        raise TextError(f"There is no chat format {name!r} and no such file; known are {', '.join(known)}.")
    from core.data.readers import read_text

    return read_text(str(path))


def listed(args: Namespace) -> None:
    """By name: tokenizers of bundled and own runs, own tokenizers, tiktoken's encodings (these may need a download)."""
    from core.run import list_runs
    from core.tokenizer.load import TIKTOKEN_NAMES
    from core.tokenizer.own import own_tokenizers

    found: list[dict[str, Any]] = []
    for run in list_runs(args.runs_dir):
        found.append({"name": run.name, "from": "bundled run" if run.bundled else "run"})
    found += [{"name": own.name, "from": "own", **asdict(own)} for own in own_tokenizers(args.runs_dir)]
    found += [{"name": name, "from": "tiktoken"} for name in TIKTOKEN_NAMES]
    lines = [f"{entry['name']:32}  {entry['from']:12}  {entry.get('kind', '')}".rstrip() for entry in found]
    show(args, {"tokenizers": found}, lines)


def add(args: Namespace) -> None:
    from core.tokenizer.own import add_file

    about = add_file(args.name, *args.file, pattern=args.pattern, runs_dir=args.runs_dir)
    show(args, asdict(about), [f"{about.name}: {about.kind}, {about.vocab_size:,} tokens"])


def delete(args: Namespace) -> None:
    from core.tokenizer.own import delete_own

    delete_own(args.name, args.runs_dir)
    show(args, {"name": args.name, "deleted": True}, [f"{args.name} is deleted"])
