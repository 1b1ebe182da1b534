"""The command line: `llm-scratch COMMAND`, also `python -m playground`.

Every command takes --json: then stdout is one JSON document and all else goes to stderr. Exit codes: 0 done, 1 failed
(one sentence on stderr), 2 wrong usage, 130 interrupted. Results as JSON:

    tokenize    {"tokenizer", "results": [{"text", "ids", "tokens", "byte_spans", "char_spans", "hex", "special",
                 "characters", "bytes", "counts"}]}; --stages adds "stages": the fields of core.tokenizer.inspect.Stages
    tokenizer merges    {"tokenizer", "rank", "words": [{"word", "steps": [{"step", "rank", "position", "left", "right",
                 "merged", "id", "pieces"}], "tokens", "tree": [{"text", "bytes", "id", "rank", "step", "start",
                 "children"}]}]}
    tokenizer compare   {"tokenizers", "results": [{"text", "agreed", "differing", "lanes": [{"tokenizer", counts,
                 "ids", "tokens", "boundaries", "inside"}]}]}; --input {"tokenizers", "file", "by",
                 "groups": [{"group", "lines", "tokenizers": {NAME: counts}}], "notes"}
    tokenizer vocab     {"tokenizer", "size", "total", "tokens": [{"id", "bytes", "text", "kind", "rank", "score",
                 "script", "reachable", "why_not"}], "rank"}; --histograms: "histograms": {"bytes", "scripts", "kinds"}
                 in the place of "total" and "tokens", or beside them if a search is given too
    tokenizer train     {"name", "path", "kind", "vocab_size", "seconds", "merges": [{"rank", "left", "right",
                 "count"}]}, left and right in hex, merges of bpe by --engine ours only; list {"tokenizers": [{"name",
                 "from"}]}, of own ones with more; chat {"tokenizer", "template", "text", "ids", "tokens", "special"};
                 add {"name", "kind", "vocab_size", "made", "how", "data", "request", "bytes"}; delete {"name",
                 "deleted"}
    prepare     {"data", "vocabulary", "train": {"examples", "tokens"}, "val": {...}, "dropped", "too_long",
                 "preview": the fields of core.data.preview.Preview}
    train       {"run", "directory", "state", "step", "steps", "best_val_loss", "message"}
    runs        {"runs": [{"run", "bundled", "family", "preset", "state", "step", "steps", "has_model", "error",
                 "note"}]}
    runs NAME   {"run", "directory", "status", "scores", "config", "metrics", "samples", "note"}
    runs NAME --metrics FILE.csv --tensorboard DIR          {"run", "files"}
    runs NAME --rename NEW {"run", "renamed"}; --note TEXT {"run", "note"}; --delete {"run", "deleted"};
                --export FILE.zip {"run", "file", "files"}
    sweep       {"sweeps": [{"sweep", "state", "trials", "best", "error"}]}
    sweep PRESET --name NAME, --show NAME, --resume NAME    {"sweep", "state", "message", "error", "metric", "rungs",
                 "step", "steps", "best", "axes", "trials": [{"run", "values", "state", "step", "value", "error"}]}
    stop, pause {"run", "message"}; stop SWEEP {"sweep", "message"}
    eval        {"run", "data", "id", "kind", "bleu", "bleu_signature", "chrf", "loss_per_token", ...}, of a language
                model {"run", "data", "id", "kind", "loss_per_token", "perplexity", "bits_per_byte", ...}; --list,
                --show, --compare: see playground.cli_evaluation
    translate   {"run", "decode", "results": [{"text", "translation", "score", "logprob", "tokens", "seconds",
                 "truncated", "work": {"forward_passes", "assistant_passes", "drafted", "accepted", "rounds"},
                 "hypotheses": [{"text", "score", "logprob", "finish_reason", "ids", "logprobs", "drafted"}],
                 "measures": the fields of core.evaluate.degeneration.Measures}]}; --trace adds to a hypothesis "steps":
                 [{"id", "text", "logprob", "rank", "entropy", "processors", "candidates": [{"id", "text", "logit",
                 "probability", "processed", "final"}]}], and to a result of beam search "tree": {"nodes", "winner",
                 "runner_up", "why"}, see core.decode.tree
    generate    the same, with "continuation" (what follows the prompt "text") in the place of "translation"
    translate, generate, eval with --on modal               the same, and "place": "modal"
    translate, generate --input FILE --output FILE          {"run", "output", "lines", "failed", "failures", "seconds",
                 "lines_per_second"}
    pull, push  {"run", "directory", "files", "bytes", "skipped"}
    deploy      {"app", "url", "secrets"}; --check {"signed_in", "deployed", "message", "prices": {"date", "gpus"}}
    attention, internals, embeddings    see playground.cli_attention and playground.cli_embeddings
    import      {"run", "directory", "source", "architecture", "weights", "vocabulary", "context"}
    export      {"run", "directory", "architecture", "files"}

Only the standard library and the names of strategies are imported here, so that help comes at once;
playground.commands imports the rest.
"""

import argparse
import importlib
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playground.cli_attention import add_attention, add_internals
from playground.cli_decoding import add_set, add_showing, decoding_options
from playground.cli_embeddings import add_embeddings
from playground.cli_evaluation import add_eval
from playground.cli_tokenizer import add_tokenize, add_tokenizer

PROGRAM = "llm-scratch"
PLACES = ["local", "modal"]
INTERRUPTED = 130
MODULES = {
    "app": "serve", "tokenize": "text", "tokenizer": "tokenizer", "translate": "text", "generate": "text",
    "prepare": "training", "train": "training", "runs": "runs", "stop": "runs", "pause": "runs", "eval": "evaluation",
    "import": "checkpoints", "export": "checkpoints", "sweep": "sweep", "pull": "transfer", "push": "transfer",
    "deploy": "deploy", "attention": "attention", "internals": "internals",
    "embeddings": "embeddings",
}  # fmt: skip
FUNCTIONS = {"import": "import_"}  # a word of Python's


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # whatever the locale, Japanese and odd text can be printed
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        args = parser().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        module = importlib.import_module(f"playground.commands.{MODULES[args.command]}")
        code = getattr(module, FUNCTIONS.get(args.command, args.command))(args) or 0
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _failed(error, args.debug)


def run() -> None:
    """`main` as a program. With a question to Modal that hangs it ends at once: Modal's library would wait for it, or
    complain of its own end after our last word."""
    code = main()
    if any(thread.name == "asking Modal" for thread in threading.enumerate()):  # remote.link.THREAD
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _failed(error: Exception, debug: bool) -> int:
    """One sentence, whatever it was; --debug shows where it comes from."""
    from core.errors import UserError

    if debug:
        import traceback

        traceback.print_exc()
    elif isinstance(error, UserError):
        print(" ".join(str(error).split()), file=sys.stderr)
    else:
        said = " ".join(str(error).split())[:300]
        print(f"{PROGRAM} failed: {type(error).__name__}: {said} (--debug shows where).", file=sys.stderr)
    return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog=PROGRAM, description="See how a language model works: tokens, attention, decoding, training."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = _common()

    def add(name: str, help: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=help, description=help, parents=[common, *parents], allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter if name == "app" else argparse.HelpFormatter,
        )  # fmt: skip

    command = add("app", "Open the playground in a browser.")
    command.add_argument("--host", help="address to serve at (HOST, else 127.0.0.1)")
    command.add_argument("--port", type=int, help="port to serve at (PORT, else 7860)")
    command.add_argument("--no-browser", action="store_true", help="only serve the page, do not open it")

    add_tokenize(add("tokenize", "Show the tokens of texts."))
    add_tokenizer(add("tokenizer", "Look into tokenizers, compare them, train and keep your own."), _common(inner=True))

    add_attention(add("attention", "Show what attends to what, and how it comes about."), _common(inner=True))
    add_internals(add("internals", "Look between the layers: logit lens, norms, parts, ablation."), _common(inner=True))
    add_embeddings(add("embeddings", "See which vectors are near each other, train your own, see positions."),
                   _common(inner=True))  # fmt: skip

    command = add("prepare", "Read training data and train a tokenizer on it, and count what there is.", _data())
    command.add_argument("preset", nargs="?", metavar="PRESET", help="a preset's name")
    command.add_argument("--output", type=Path, metavar="FILE", help="write the tokenizer there, as tokenizer.json")
    _add_on(command)

    command = add("train", "Train a model.", _data())
    command.add_argument("preset", nargs="?", metavar="PRESET", help="a preset's name; see `llm-scratch train --list`")
    command.add_argument("--list", action="store_true", help="list the presets")
    command.add_argument("--run-name", metavar="NAME", help="the run's name (else one is made from the preset's)")
    command.add_argument("--resume", action="store_true", help="go on with --run-name from its last checkpoint")
    _add_on(command, gpu=True)
    _add_hours(command)
    command.add_argument("--detach", action="store_true", help="on Modal: start it, and do not wait for its end")

    command = add("runs", "List runs, show one, or keep them in order: rename, note, delete, export.")
    command.add_argument("name", nargs="?", metavar="NAME", help="show this run's state, losses and samples")
    command.add_argument("--rename", metavar="NEW", help="give the run another name")
    command.add_argument("--note", metavar="TEXT", help="keep a note with the run; an empty one removes it")
    command.add_argument("--export", type=Path, metavar="FILE.zip", help="write the run there to use elsewhere")
    command.add_argument("--delete", action="store_true", help="delete the run with all its files, for good")
    command.add_argument("--yes", action="store_true", help="with --delete: do not ask")
    command.add_argument("--metrics", metavar="FILE.csv", help="write NAME's figures there as a table, a row a step")
    command.add_argument("--tensorboard", metavar="DIR", help="write them to DIR/NAME for `tensorboard --logdir DIR`")
    command.add_argument("--on", choices=PLACES, default="local", help="modal: list the runs of the Volume there")

    command = add("pause", "Have a run wait after its step; its process stays. A run that ended: train --resume.")
    command.add_argument("name", metavar="NAME")
    command.add_argument("--off", action="store_true", help="have a paused run go on")

    command = add("stop", "Ask a run (or a sweep) to stop after its step; asked again, end it by force.")
    command.add_argument("name", metavar="NAME")

    command = add("sweep", "Train a preset with several values of some keys, or list such sweeps.", _data())
    _add_sweep(command)

    command = add("eval", "Measure runs and compare them: BLEU, chrF, TER; loss, bits per byte.", decoding_options())
    add_eval(command)
    _add_computing(command)
    _add_on(command, gpu=True)

    command = add("pull", "Bring a run from Modal's Volume to this machine.")
    command.add_argument("name", metavar="NAME")
    command.add_argument(
        "--what", default="best", metavar="WHAT",
        help="best: what is needed to use it, and its curves (default); all: checkpoints and snapshots too; "
        "snapshot:STEP: the copy of the weights at that step",
    )  # fmt: skip

    command = add("push", "Bring a run of this machine to Modal's Volume, to use it or go on with it there.")
    command.add_argument("name", metavar="NAME")
    command.add_argument("--what", default="all", choices=["best", "all"], help="best: without checkpoints (all)")

    command = add("deploy", "Put the functions and the hosted app on Modal (once, and after each change).")
    command.add_argument("--check", action="store_true", help="only say whether this machine is signed in, and prices")
    command.add_argument(
        "--secret", action="append", choices=["wandb", "signin"], help="use this secret; else those that there are"
    )
    command.add_argument("--nodes", type=int, default=0, metavar="N", help="with a training function on N hosts")

    command = add("import", "Make a run of a Hugging Face checkpoint (GPT-2, Llama, Marian, Pegasus; safetensors).")
    command.add_argument(
        "source", metavar="NAME_OR_DIRECTORY", help="hf:org/name on the hub, or a checkpoint's directory"
    )
    command.add_argument("--run-name", metavar="NAME", help="the run's name (else the checkpoint's)")
    command.add_argument("--revision", help="a branch, tag or commit of the hub (else the default branch)")

    command = add("export", "Write a run as a checkpoint that transformers' from_pretrained opens.")
    command.add_argument("run", metavar="RUN", help="a run's name or directory")
    command.add_argument("directory", type=Path, metavar="DIRECTORY", help="a new or empty directory")

    for name, help, run in [
        ("translate", "Translate texts, the lines of standard input, or what you type.", "enja-transformer"),
        ("generate", "Continue texts, the lines of standard input, or what you type.", "shakespeare-gpt"),
    ]:
        command = add(name, help, decoding_options())
        command.add_argument("text", nargs="*", help="each argument is one text")
        command.add_argument("--run", metavar="NAME", help=f"a run's name or directory ({run})")
        add_showing(command, translates=name == "translate")
        command.add_argument(
            "--truncate", action="store_true", help="take what fits of a text longer than the model's context"
        )
        if name == "generate":
            command.add_argument("--from-start", action="store_true", help="no prompt: the model begins by itself")
        command.add_argument("--input", type=Path, metavar="FILE", help="a file, a text a line, in the place of texts")
        command.add_argument("--output", type=Path, metavar="FILE", help="of --input: the results, a line each")
        _add_computing(command)
        _add_on(command, gpu=True)
        command.add_argument(
            "--containers", type=int, default=4, metavar="N", help="on Modal: at most so many at a time (4)"
        )
    return top


def _common(inner: bool = False) -> argparse.ArgumentParser:
    """inner: of an action of a command, where what was given before the action's name stays."""
    options = argparse.ArgumentParser(add_help=False)
    unset: dict[str, Any] = {"default": argparse.SUPPRESS} if inner else {}
    options.add_argument(
        "--runs-dir", type=Path, metavar="DIR", help="where runs are kept (RUNS_DIR, else ./runs)", **unset
    )
    options.add_argument("--json", action="store_true", help="print one JSON document, and all else on stderr", **unset)
    options.add_argument("--debug", action="store_true", help="show where an error comes from", **unset)
    return options


def _data() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--config", type=Path, metavar="FILE", help="a configuration (JSON) in the place of a preset")
    options.add_argument(
        "--data", help="a file, a Hugging Face data set, builtin:enja, builtin:pydocs or builtin:repeats"
    )
    options.add_argument("--text-column", help="the column of a table that holds the text")
    options.add_argument("--src-column", help="the column that holds the sentences to translate")
    options.add_argument("--tgt-column", help="the column that holds their translations")
    options.add_argument("--val-data", help="validation data in the same format (else a part is cut off)")
    options.add_argument("--src", metavar="FILE", help="plain parallel text: sentences, line by line ...")
    options.add_argument("--tgt", metavar="FILE", help="... and their translations")
    options.add_argument("--val-src", metavar="FILE", help="validation sentences")
    options.add_argument("--val-tgt", metavar="FILE", help="and their translations")
    add_set(options)
    return options


def _add_sweep(command: argparse.ArgumentParser) -> None:
    command.add_argument("preset", nargs="?", metavar="PRESET", help="a preset's name; without it: list the sweeps")
    command.add_argument("--name", help="the sweep's name; its runs are NAME-01, NAME-02 ...")
    command.add_argument("--show", metavar="NAME", help="show this sweep's trials")
    command.add_argument("--resume", metavar="NAME", help="go on with this sweep")
    command.add_argument(
        "--grid", action="append", default=[], metavar="KEY=A,B,C",
        help="values of a key, such as optim.learning_rate=1e-3,3e-3; may be repeated: every combination is tried",
    )  # fmt: skip
    command.add_argument(
        "--random", action="append", default=[], metavar="KEY=RANGE",
        help="draw a key's values: log:1e-4:1e-2, uniform:0:0.3, int:1:8 or A,B,C; with --grid, that is drawn from too",
    )  # fmt: skip
    command.add_argument("--trials", type=int, metavar="N", help="of a random search (10)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of a random search (0)")
    command.add_argument("--halving", action="store_true", help="stop losers early by successive halving")
    command.add_argument("--eta", type=int, metavar="N", help="of halving: one in N goes on from a rung (2)")
    command.add_argument("--rungs", type=int, metavar="N", help="of halving: how often trials are compared (3)")
    command.add_argument("--metric", choices=["val_loss", "val_bits_per_byte", "bleu", "chrf"], default="val_loss")
    command.add_argument("--at-once", type=int, default=1, metavar="N", help="trials side by side (1; at most 2 here)")
    _add_on(command, gpu=True)
    _add_hours(command)


def _add_computing(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--device",
        choices=["cpu", "cuda", "auto"],
        default="cpu",
        help="cuda: a GPU; auto: a GPU if there is one (cpu)",
    )
    command.add_argument(
        "--precision", choices=["auto", "float32", "bfloat16", "int8"], default="auto",
        help="of the weights; int8 is for the CPU, bfloat16 for a GPU (auto: float32 on a CPU, bfloat16 on a GPU)",
    )  # fmt: skip


def _add_on(command: argparse.ArgumentParser, gpu: bool = False) -> None:
    command.add_argument(
        "--on", choices=PLACES, default="local", help="where to compute: this machine (local), or Modal"
    )
    if gpu:
        command.add_argument(
            "--gpu", metavar="GPU[:N]", help="on Modal: T4, L4 (default), A10, L40S, A100-80GB, H100 ..."
        )


def _add_hours(command: argparse.ArgumentParser) -> None:
    command.add_argument("--hours", type=float, metavar="N", help="on Modal: stop a run after so many hours (24)")


if __name__ == "__main__":
    run()
