"""The words of `llm-scratch attention ACTION` and `llm-scratch internals ACTION`, for playground.cli.

As on the page, layers and heads count from 1, here and in what is printed, and positions from 0; layer 0 of the lens
and the norms is the embedding. Numbers that are not defined are null. Results as JSON (Q queries, K keys, L layers, H
heads):

    attention map       {"run", "kind", "layer", "head", "key_value_head", "queries", "keys", "written", "attention"
                        [Q][K], "target", "notes"}; layer or head null: the mean over all of them; key_value_head: the
                        one that the head shares with others, or null; rollout: the same, without a head
    attention heads     {"run", "kind", "tokens", "scores": {NAME: [L][H]}, "formulas": {NAME: text}, "target",
                        "notes"}
    attention look      {"run", "kind", "layer", "head", "key_value_head", "query", "token", "divisor", "q" [d],
                        "output" [d], "keys": [{"position", "token", "dot", "score", "hidden", "exponential", "weight",
                        "value_norm", "weighted_norm", "k" [d], "products" [d]}], "target", "notes"}
    attention align     {"run", "data", "rows", "sentences", "left_out", "aer": {"by_head" [L][H], "by_layer" [L],
                        "diagonal"}, "precision" [L][H], "recall" [L][H], "best": {"layer", "head"}}
    attention training  {"run", "kind", "text", "target", "steps": [{"step", "train_loss", "val_loss",
                        "scores": {NAME: [L][H]}}], "notes"}
    internals lens      {"run", "positions": [{"position", "token", "written", "final": {"id", "token"}, "layers":
                        [{"layer", "entropy", "divergence", "rank", "logprob", "written_rank", "written_logprob",
                        "top": [{"id", "token", "probability"}]}]}], "target", "notes"}
    internals norms     {"run", "sides": {SIDE: {"tokens", "stream" [L + 1][T], "added": {PART: [L][T]}}}, "target",
                        "notes"}
    internals attribute {"run", "position", "token": {"id", "token"}, "versus": the same, "mean" or null, "logit",
                        "total", "parts": [{"kind", "attention", "layer", "head", "logit"}], "target", "notes"}
    internals ablate    {"run", "how", "off": {"heads": [{"kind", "layer", "head"}], "mlps": [{"side", "layer"}]},
                        "loss_change", "position", "next": [{"id", "token"}], "tokens": [{"id", "token"}], "before":
                        {"written", "probabilities", "losses"}, "after": the same, "target", "notes"};
                        --importance {"run", "kind", "how", "loss", "loss_change" [L][H], "target", "notes"}

Only the standard library is imported here, so that help comes at once.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

KINDS = ["cross", "encoder", "self"]
SCORES = ["entropy", "distance", "previous", "duplicate", "induction", "sink", "sharpness", "coverage"]


def add_attention(command: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    _add_actions(command, common, _ATTENTION)


def add_internals(command: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    _add_actions(command, common, _INTERNALS)


Actions = list[tuple[str, str, Callable[[argparse.ArgumentParser], None]]]


def _add_actions(command: argparse.ArgumentParser, common: argparse.ArgumentParser, actions: Actions) -> None:
    chosen = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, help, words in actions:
        words(chosen.add_parser(name, help=help, description=help, parents=[common], allow_abbrev=False))


def _map(action: argparse.ArgumentParser) -> None:
    _add_text(action)
    _add_kind(action)
    _add_place(action, "a layer, from 1 (else the mean over all layers)", "a head, from 1 (else the mean over all)")
    _add_output(action)


def _heads(action: argparse.ArgumentParser) -> None:
    _add_text(action)
    _add_kind(action)
    action.add_argument("--sort", choices=SCORES, metavar="SCORE", help="the highest first: " + ", ".join(SCORES))
    action.add_argument(
        "--repeats", action="store_true",
        help="of a language model: induction as measured on random tokens that are repeated, in the place of a text",
    )  # fmt: skip
    _add_output(action)


def _rollout(action: argparse.ArgumentParser) -> None:
    _add_text(action)
    _add_kind(action)
    _add_output(action)


def _look(action: argparse.ArgumentParser) -> None:
    _add_text(action)
    _add_kind(action)
    _add_place(action, "the layer, from 1 (1)", "the head, from 1 (1)", default=1)
    action.add_argument("--query", type=int, metavar="N", help="the position that looks, from 0 (the last)")
    action.add_argument("--key", type=int, metavar="N", help="a position, from 0: show which dimensions made its score")
    _add_output(action)


def _align(action: argparse.ArgumentParser) -> None:
    _add_run(action)
    action.add_argument("--examples", type=int, default=100, metavar="N", help="sentence pairs of builtin:enja (100)")
    action.add_argument(
        "--rows", choices=["written", "read"], default="written",
        help="a row of attention stands for the token that is written next, or that was read (written)",
    )  # fmt: skip
    _add_output(action)


def _training(action: argparse.ArgumentParser) -> None:
    _add_text(action)
    _add_kind(action)
    action.add_argument(
        "--examples", type=int, default=20, metavar="N",
        help="of the cross-attention of a translator to Japanese: align so many sentence pairs too; 0: none (20)",
    )  # fmt: skip
    _add_output(action)


def _lens(action: argparse.ArgumentParser) -> None:
    _add_text(action)
    action.add_argument("--position", type=int, metavar="N", help="one position, from 0 (else all)")
    action.add_argument("--layers", metavar="LIST", help="layers, such as 0,3,6; 0 is the embedding (all)")
    action.add_argument("--top", type=int, default=5, metavar="N", help="tokens a layer (5)")
    _add_output(action)


def _norms(action: argparse.ArgumentParser) -> None:
    _add_text(action)
    _add_output(action)


def _attribute(action: argparse.ArgumentParser) -> None:
    _add_text(action)
    action.add_argument("--position", type=int, metavar="N", help="the position that writes, from 0 (the last)")
    _add_token(action, "--token", "the token whose logit is taken apart (the one that is written)")
    _add_token(action, "--versus", "relative to this token's logit; mean: relative to the mean of all")
    _add_output(action)


def _ablate(action: argparse.ArgumentParser) -> None:
    _add_text(action)
    action.add_argument(
        "--heads", metavar="LIST", help="heads to switch off, such as 1.2,1.3 (LAYER.HEAD) or cross:2.4"
    )
    action.add_argument("--mlps", metavar="LIST", help="feed-forward layers to switch off, such as 1,3 or encoder:1")
    action.add_argument(
        "--how", choices=["zero", "mean"], default="zero", help="zero, or the mean of what it adds over the text (zero)"
    )
    action.add_argument("--importance", action="store_true", help="switch off every head alone, and show the loss")
    _add_kind(action)
    _add_output(action)


_ATTENTION: Actions = [
    ("map", "Show what attends to what: one head, or the mean over heads or layers.", _map),
    ("heads", "Show the scores of all heads.", _heads),
    ("rollout", "Show attention followed through the layers (Abnar and Zuidema, 2020).", _rollout),
    ("look", "Show how the weights of one token come about: q·k, scale, mask, softmax, values.", _look),
    ("align", "Measure a translator's heads against the word alignments of builtin:enja.", _align),
    ("training", "Show how heads form: their scores in every snapshot of a run.", _training),
]
_INTERNALS: Actions = [
    ("lens", "Show what each layer would write (logit lens).", _lens),
    ("norms", "Show how large the residual stream is, and what each part adds to it.", _norms),
    ("attribute", "Show how much every part adds to a token's logit.", _attribute),
    ("ablate", "Switch heads off, and show what changes.", _ablate),
]


def _add_run(action: argparse.ArgumentParser) -> None:
    action.add_argument("--run", required=True, metavar="NAME", help="a run's name or directory, or hf:org/name")


def _add_text(action: argparse.ArgumentParser) -> None:
    action.add_argument("text", nargs="?", help="the text; without it, standard input")
    _add_run(action)
    action.add_argument("--target", metavar="TEXT", help="of a translator: read this target (else its own translation)")


def _add_kind(action: argparse.ArgumentParser) -> None:
    action.add_argument("--kind", choices=KINDS, help="of a translator: which attention (cross)")


def _add_place(action: argparse.ArgumentParser, layer: str, head: str, default: int | None = None) -> None:
    action.add_argument("--layer", type=int, default=default, metavar="N", help=layer)
    action.add_argument("--head", type=int, default=default, metavar="N", help=head)


def _add_token(action: argparse.ArgumentParser, option: str, help: str) -> None:
    action.add_argument(option, metavar="TOKEN", help=f"{help}: a text of one token, or #ID")


def _add_output(action: argparse.ArgumentParser) -> None:
    action.add_argument("--output", type=Path, metavar="FILE", help="write the numbers there: FILE.csv or FILE.json")
