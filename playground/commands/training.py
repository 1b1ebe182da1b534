"""`prepare` and `train`: from a preset, a data set and overrides to a trained run."""

import shutil
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import DataConfig, RunConfig
from core.data.preview import Preview
from core.errors import ConfigError, UserError
from playground.commands.output import say, show


def run_config(args: Namespace) -> RunConfig:
    """The preset (or file) with the data and keys of the command line."""
    from core.presets import PRESETS, preset

    if args.config is not None:
        try:
            config = RunConfig.from_json(args.config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The configuration {args.config} cannot be read ({error}).") from None
    elif args.preset:
        config = preset(args.preset)
    else:
        raise ConfigError(f"Name a preset ({', '.join(PRESETS)}) or a --config file.")
    config = replace(config, data=data_config(config.data, args)).with_overrides(args.set)
    check_files(config.data)
    return config


def data_config(data: DataConfig, args: Namespace) -> DataConfig:
    """Of a preset made for other data only the languages and the share of validation hold."""
    if args.data and args.data != data.name:
        plain = DataConfig(
            src_language=data.src_language, tgt_language=data.tgt_language, val_fraction=data.val_fraction
        )
        data = replace(plain, name=args.data)
    fields = {
        "text_column": args.text_column, "src_column": args.src_column, "tgt_column": args.tgt_column,
        "val_data": args.val_data, "src": args.src, "tgt": args.tgt, "val_src": args.val_src, "val_tgt": args.val_tgt,
    }  # fmt: skip
    return replace(data, **{name: value for name, value in fields.items() if value})


def check_files(data: DataConfig) -> None:
    """A file that is not there is said before anything is made."""
    from core.data.readers import existing_file
    from core.data.sources import is_hub_name

    named = [data.src, data.tgt, data.val_src, data.val_tgt]
    if not data.src and not data.name.startswith("builtin:") and not is_hub_name(data.name):
        if not Path(data.name).expanduser().is_dir():
            named.append(data.name)
    for name in filter(None, named):
        existing_file(name)


def prepare(args: Namespace) -> None:
    """Count everything that training would read; the ids are kept, so that training finds them."""
    config = run_config(args)
    if args.on == "modal":
        from core.tokenizer.load import tokenizer_from_json
        from playground.commands import modal_training

        found, document = modal_training.prepare(config)
        tokenizer = tokenizer_from_json(document, "tokenizer.json") if document else None
    else:
        from core.data.counting import examine

        found, tokenizer = examine(config, args.runs_dir)
    say(found.description)
    long = "longer than the context"
    result: dict[str, Any] = {
        "data": found.description, "vocabulary": found.vocabulary,
        "dropped": {f.what: f.count for f in found.findings if f.left_out and not f.what.startswith(long)},
        "too_long": sum(f.count for f in found.findings if f.what.startswith(long)),
        "train": {"examples": found.train.examples, "tokens": found.train.tokens},
        "val": {"examples": found.val.examples, "tokens": found.val.tokens},
        "preview": found.to_dict(),
    }  # fmt: skip
    lines = preview_lines(found)
    if args.output:
        if tokenizer is None:
            raise ConfigError("The tokenizer is too large to be sent; pull a run that was trained with it.")
        tokenizer.save(args.output)
        lines.append(f"the tokenizer is in {args.output}; --set tokenizer.path={args.output} trains with it")
    show(args, result, lines)


def preview_lines(found: Preview) -> list[str]:
    """What the data holds, in lines for people."""
    about = "about " if found.sampled else ""
    lines = [f"vocabulary: {found.vocabulary:,} tokens"]
    for name, part in (("train", found.train), ("val", found.val), ("test", found.test)):
        if part.examples:
            lines.append(
                f"{name}: {part.examples:,} examples, {about}{part.tokens:,} tokens, {part.characters:,} characters"
            )
    if found.streaming:
        lines.append("a stream: these are the examples of its beginning; what comes after them is not known yet")
    if found.sampled:
        lines.append(f"lengths and tokens are those of a sample of {found.sampled:,} examples, scaled up")
    if found.documents:
        lines.append(f"documents: {found.documents:,}; none of them is in more than one part")
    lines += [f"{name}: {ratio:.2f} characters a token" for name, ratio in found.characters_per_token]
    for length in found.lengths:
        lines.append(
            f"{length.column} length in {length.unit}: {length.least:,} to {length.most:,}, "
            f"median {length.median:,}, 95% up to {length.p95:,}"
        )
    for finding in found.findings:
        lead = "left out" if finding.left_out else "worth a look"
        count = f"{'about ' if finding.estimated else ''}{finding.count:,} ({finding.share:.1%})"
        lines.append(f"{lead}: {count}: {finding.what}")
    if found.steps_per_epoch:
        lines.append(
            f"one epoch is {found.steps_per_epoch:,.0f} steps of {found.tokens_per_step:,} target tokens; "
            f"train.max_steps means {found.epochs:,.2f} epochs"
        )
    for example in found.examples[:1] + tuple(e for e in found.examples if e.drawn == "random")[:2]:
        shown = [" ".join(text[:160].split()) for text in (example.text, example.target) if text]
        lines.append(f"{example.drawn} example: " + "  =>  ".join(shown))
    return lines


def train(args: Namespace) -> int:
    from core.presets import PRESETS

    if args.list:
        presets = {name: preset.about for name, preset in PRESETS.items()}
        show(args, {"presets": presets}, (f"{name:<18} {about}" for name, about in presets.items()))
        return 0
    from core.run import create_run, find_run, read_config, read_metrics
    from core.train.resuming import check_resumable
    from playground.jobs import unused_name
    from playground.places import given_hours
    from playground.resuming import change_rest

    if args.on == "local" and (args.gpu or args.hours is not None or args.detach):
        raise ConfigError("--gpu, --hours and --detach are for --on modal.")
    if args.hours is not None:
        given_hours(args.hours)
    if args.resume and not args.run_name:
        raise ConfigError("--resume needs --run-name, the run to go on with.")
    if args.on == "modal":
        from playground.commands import modal_training

        name = args.run_name or unused_name(args.preset or "run", args.runs_dir)
        return modal_training.train(args, None if args.resume else run_config(args), name)
    if args.resume:
        directory = find_run(args.run_name, args.runs_dir)
        read_config(directory)  # an imported checkpoint is refused before anything is written
        check_resumable(directory)
        change_rest(directory, args.set)
    else:
        config = run_config(args)
        directory = create_run(config, args.run_name or unused_name(args.preset or "run", args.runs_dir), args.runs_dir)
        say(f"{directory.name}: training in {directory}; Ctrl-C stops it and keeps what is learned")
    began = time.time()
    try:
        from core.train.loop import train as train_run

        status = train_run(directory, resume=args.resume, echo=say)
    except (UserError, KeyboardInterrupt):
        started = (directory / "checkpoints").exists() or (directory / "model.safetensors").exists()
        if not args.resume and not started:
            shutil.rmtree(directory, ignore_errors=True)  # made by this command, and nothing was learned: no litter
        raise
    losses = [line["val_loss"] for line in read_metrics(directory) if "val_loss" in line]
    best = min(losses) if losses else None
    result = {
        "run": directory.name, "directory": str(directory.resolve()), "state": status.state, "step": status.step,
        "steps": status.steps, "best_val_loss": best, "seconds": round(time.time() - began, 1),
        "message": status.message,
    }  # fmt: skip
    told = f", best validation loss {best:.4f} per token" if best is not None else ""
    show(args, result, [f"{directory.name}: {status.message} after step {status.step:,}{told}"])
    return 0
