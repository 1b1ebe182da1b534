"""Assisted decoding, round by round: what was drafted, accepted and thrown away, as a figure; costs beside plain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal, NamedTuple

from playground.views.figure import spec

if TYPE_CHECKING:
    from core.decode.result import Hypothesis, Work

Kind = Literal["own", "accepted", "rejected", "dropped"]


class Piece(NamedTuple):
    """A token of a round: the model's own, an accepted draft, the draft that was refused, or one behind a refused one,
    which nobody looks at any more. place: its position in the text; None if it is not in it."""

    round: int  # 0: the pass that reads the prompt
    kind: Kind
    id: int
    place: int | None


@dataclass(frozen=True)
class Cost:
    """What a decoding took. seconds: of its own steps."""

    name: str
    tokens: int
    seconds: float
    work: "Work"


def pieces(ids: Sequence[int], drafted: Sequence[bool], rounds: Sequence[Sequence[int]]) -> list[Piece]:
    """All tokens in the order of the text. rounds: `Work.rounds`, of one continuation; as many as are known.

    >>> [(p.round, p.kind, p.id) for p in pieces([7, 8, 5], [False, True, False], [[8, 9, 6]])]
    [(0, 'own', 7), (1, 'accepted', 8), (1, 'rejected', 9), (1, 'dropped', 6), (1, 'own', 5)]
    """
    found: list[Piece] = []
    number = accepted = 0

    def thrown_away(kind: Kind) -> None:
        drafts = rounds[number - 1] if 0 < number <= len(rounds) else ()
        for place, token in enumerate(drafts[accepted:]):
            found.append(Piece(number, kind if place == 0 else "dropped", token, None))

    for place, (token, by_assistant) in enumerate(zip(ids, drafted, strict=True)):
        if by_assistant:
            found.append(Piece(number, "accepted", token, place))
            accepted += 1
        else:
            thrown_away("rejected")
            found.append(Piece(number, "own", token, place))
            number, accepted = number + 1, 0
    if accepted:  # the text ended with an accepted draft
        thrown_away("dropped")
    return found


def assisted_spec(
    hypothesis: "Hypothesis", rounds: Sequence[Sequence[int]], names: Mapping[int, str], title: str, subtitle: str
) -> str:
    """The figure. names: of all ids, drafts included."""
    found = pieces(hypothesis.ids, hypothesis.drafted, rounds)
    last = found[-1].round if found else 0
    return spec(
        "assisted", "assisted", title, subtitle, words=[names[piece.id] for piece in found],
        round=[piece.round for piece in found], state=[piece.kind for piece in found],
        ids=[piece.id for piece in found],
        logprob=[hypothesis.logprobs[piece.place] if piece.place is not None else None for piece in found],
        drafted=[len(drafts) for drafts in rounds[:last]],
        accepted=[
            sum(piece.round == number and piece.kind == "accepted" for piece in found) for number in range(1, last + 1)
        ],
    )  # fmt: skip


def names_needed(hypothesis: "Hypothesis", rounds: Sequence[Sequence[int]]) -> set[int]:
    return {*hypothesis.ids, *(token for drafts in rounds for token in drafts)}


def costs_html(costs: Sequence[Cost], same: bool | None, itself: bool) -> str:
    """The table of both decodings, and in a sentence what the assistant was worth. same: whether both wrote the same
    text; None: they need not."""
    rows = ""
    for cost in costs:
        work = cost.work
        rate = f"{100 * work.accepted / work.drafted:.1f} %" if work.drafted else "–"
        cells = [
            f"{cost.tokens:,}", f"{work.forward_passes:,}", f"{work.assistant_passes:,}" if work.drafted else "–",
            f"{work.drafted:,}" if work.drafted else "–", f"{work.accepted:,}" if work.drafted else "–", rate,
            f"{cost.tokens / work.forward_passes:.2f}" if work.forward_passes else "–", f"{cost.seconds:.3f}",
            f"{cost.tokens / cost.seconds:,.0f}" if cost.seconds > 0 else "–",
        ]  # fmt: skip
        rows += f'<tr><th scope="row">{escape(cost.name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
    heads = ("", "tokens", "passes of the model", "passes of the assistant", "drafted", "accepted", "acceptance rate",
             "tokens a pass", "seconds", "tokens/s")  # fmt: skip
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        '<div class="scroller" tabindex="0" role="region" aria-label="What both took">'
        f'<table class="number-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        + _worth(costs, same, itself)
    )


def _worth(costs: Sequence[Cost], same: bool | None, itself: bool) -> str:
    if len(costs) < 2 or not costs[0].seconds or not costs[1].seconds:
        return ""
    assisted, plain = costs
    times = (plain.seconds / max(1, plain.tokens)) / (assisted.seconds / max(1, assisted.tokens))
    told = f"The quicker of two turns each, in the same run: with the assistant {times:.2f} times the tokens a second. "
    if same is not None:
        told += "Both wrote the same tokens, as they must. " if same else "They differ where two tokens were a tie. "
    if itself:
        told += (
            "The model drafts for itself: all drafts are accepted, but each costs a pass of the same size. A gain "
            "needs a smaller run that was trained with the same tokenizer."
        )
    return f'<p class="caption">{escape(told)}</p>'
