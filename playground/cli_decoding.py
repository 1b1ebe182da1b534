"""The options of decoding on the command line: settings, and what is shown of a result."""

import argparse
from pathlib import Path

from core.decode.config import STRATEGIES


def decoding_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("decoding (by default as the run's configuration says)")
    group.add_argument(
        "--strategy", choices=STRATEGIES, help="else the one that the settings given here belong to, or the run's"
    )
    group.add_argument(
        "--preset", metavar="NAME", help="named settings, to which those given here are added: top-p ..."
    )
    group.add_argument("--num-beams", type=int, metavar="N")
    group.add_argument("--length-penalty", type=float, metavar="X")
    group.add_argument("--length-penalty-formula", choices=["hf", "gnmt", "ctranslate2"])
    group.add_argument("--early-stopping", choices=["true", "false", "never"])
    group.add_argument("--num-beam-groups", type=int, metavar="N", help="of diverse_beam; 0: every beam a group")
    group.add_argument("--diversity-penalty", type=float, metavar="X", help="of diverse_beam")
    group.add_argument("--temperature", type=float, metavar="X")
    group.add_argument("--top-k", type=int, metavar="N", help="of contrastive: the number of candidates")
    group.add_argument("--top-p", type=float, metavar="X")
    group.add_argument("--min-p", type=float, metavar="X")
    group.add_argument("--typical-p", type=float, metavar="X")
    group.add_argument("--epsilon-cutoff", type=float, metavar="X")
    group.add_argument("--eta-cutoff", type=float, metavar="X")
    group.add_argument("--penalty-alpha", type=float, metavar="X", help="of contrastive")
    group.add_argument("--num-samples", type=int, metavar="N", help="of best_of and mbr")
    group.add_argument("--mbr-metric", choices=["chrf", "bleu"])
    group.add_argument("--assistant", metavar="NAME", help="a smaller run with the same tokenizer: decode assisted")
    group.add_argument("--num-assistant-tokens", type=int, metavar="N", help="of assisted: drafted in one go")
    group.add_argument("--assisted-sampling", action="store_true", default=None, help="of assisted: draw, not greedy")
    group.add_argument("--repetition-penalty", type=float, metavar="X")
    group.add_argument("--presence-penalty", type=float, metavar="X")
    group.add_argument("--frequency-penalty", type=float, metavar="X")
    group.add_argument("--no-repeat-ngram-size", type=int, metavar="N")
    group.add_argument("--stop-string", action="append", metavar="TEXT", help="end before this text; may be repeated")
    group.add_argument("--max-new-tokens", type=int, metavar="N")
    group.add_argument("--num-return-sequences", type=int, metavar="N")
    group.add_argument("--seed", type=int, metavar="N")
    add_set(group)
    return options


def add_set(options: argparse._ActionsContainer) -> None:
    options.add_argument(
        "--set", action="append", default=[], metavar="SECTION.FIELD=VALUE",
        help="any configuration key, such as train.max_steps=500 or decode.min_p=0.1; may be repeated",
    )  # fmt: skip


def add_showing(command: argparse.ArgumentParser, translates: bool) -> None:
    """Of translate and generate."""
    command.add_argument(
        "--recipe", type=Path, metavar="FILE",
        help="a recipe or settings, exported as JSON; what else is given here counts instead",
    )  # fmt: skip
    command.add_argument(
        "--trace", action="store_true", help="of every token its rank, entropy and alternatives; of beams the tree"
    )
    if translates:
        command.add_argument(
            "--reference", action="append", metavar="TEXT",
            help="a translation to compare with, one for each text: BLEU and chrF are among the measures",
        )  # fmt: skip
