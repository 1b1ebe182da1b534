"""The options of `eval`: what is measured, on what and how; and what is done with evaluations that are kept.

Results as JSON, beside that of an evaluation (`playground.commands.evaluation.as_result`):

    --list      {"evaluations": [{"id", "run", "data", "kind", "state", "done", "total", "strategy", "created", "place",
                 scores, "directory"}]}, of a broken one {"id", "run", "error"}
    --show ID   the evaluation, and "state", "done", "total"
    --delete ID {"id", "deleted"}
    --compare   {"data", "evaluations": {NAME: ID}, and the fields of core.evaluate.significance.Comparison}; of
                language models {"data", "evaluations": [an evaluation with "name"]}
"""

import argparse
from pathlib import Path

METRICS = "bleu, chrf, chrf++, ter, exact, comet"


def add_eval(command: argparse.ArgumentParser) -> None:
    command.add_argument("--run", action="append", default=[], metavar="NAME", help="a run; with --compare several")
    command.add_argument("--data", help="a file or Hugging Face data set (else the run's own validation data)")
    command.add_argument("--text-column", help="of --data, for language models")
    command.add_argument("--src-column", help="of --data, for translation")
    command.add_argument("--tgt-column", help="of --data, for translation")
    command.add_argument("--split", help="of --data on the hub: validation, test ...")
    command.add_argument("--src", metavar="FILE", help="sources, line by line")
    command.add_argument("--ref", metavar="FILE", help="reference translations, line by line")
    command.add_argument("--text", action="append", help="a text to measure a language model on; may be repeated")
    command.add_argument(
        "--as-given", action="store_true", help="take texts as they stand, also where training joined split words"
    )
    command.add_argument("--language", metavar="CODE", help="of the references, where the run does not say: ja, de ...")
    command.add_argument("--max-examples", type=int, default=0, metavar="N", help="evaluate only the first so many")
    command.add_argument("--metrics", metavar="A,B", help=f"of translations: {METRICS} (as the language needs)")
    command.add_argument("--context", type=int, default=0, metavar="N", help="of language models: tokens of a window")
    command.add_argument(
        "--stride", type=int, default=0, metavar="N", help="of windows that overlap; 1 is dearest and most exact"
    )
    command.add_argument(
        "--overlap", action="store_true", help="look for the evaluated texts in the training data on this machine"
    )
    command.add_argument(
        "--prompts", type=int, default=0, metavar="N",
        help="of language models: continue N places of the text (--max-new-tokens each), and measure what is written",
    )  # fmt: skip
    command.add_argument("--strategies", metavar="A,B", help="of --prompts: presets (else those of Holtzman et al.)")
    command.add_argument("--mauve", metavar="NAME", help="of --prompts: a run that reads the texts for MAUVE")
    command.add_argument("--output", type=Path, metavar="FILE", help="write the translations there, line by line")
    command.add_argument(
        "--save", action=argparse.BooleanOptionalAction,
        help="keep the scores as the run's own, in scores.json (else only those of an own run on its whole validation "
        "data)",
    )  # fmt: skip
    command.add_argument("--no-keep", action="store_true", help="keep no evaluation (else it is found with --list)")
    command.add_argument("--again", action="store_true", help="decode anew what is kept already")

    group = command.add_argument_group("evaluations that are kept")
    group.add_argument("--list", action="store_true", help="list them, or those of --run")
    group.add_argument("--show", metavar="ID", help="show one: its scores, and what they follow from")
    group.add_argument("--delete", metavar="ID", help="delete one, for good")
    group.add_argument(
        "--compare", nargs="*", metavar="ID",
        help="test the difference of two or more on the same data, the first being the baseline; without IDs: "
        "evaluate each --run, and compare",
    )  # fmt: skip
    group.add_argument("--method", choices=["bootstrap", "randomisation"], default="bootstrap", help="of --compare")
    group.add_argument("--samples", type=int, metavar="N", help="of --compare (1,000 or 10,000)")
    group.add_argument(
        "--table", type=Path, metavar="FILE", help="of --compare or --show: the sentences side by side, .csv or .json"
    )
    group.add_argument(
        "--loss-table", type=Path, metavar="FILE", help="of a language model: the loss of every token, .csv or .json"
    )
