"""A beam search as a tree: the figure's numbers, and the hypotheses with their scores as a table."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from core.decode.config import GenerationConfig
from playground.views.figure import spec
from playground.views.written import number

if TYPE_CHECKING:
    from core.decode.result import Hypothesis
    from core.decode.tree import TreeNode

STATES = ("kept", "finished", "pruned")
REASONS = {
    "end": "ended by itself", "stop": "ended at a stop text", "length": "cut at the longest length",
    "dead_end": "no token was left", "": "",
}  # fmt: skip


def tree_spec(
    nodes: Sequence["TreeNode"],
    names: Mapping[int, str],
    config: GenerationConfig,
    winner: Sequence[int] = (),
    runner_up: Sequence[int] = (),
    why: str = "",
) -> str:
    """The figure of a search, or of its steps so far (then without a winner). names: of all ids in it."""
    words = {token: place for place, token in enumerate(dict.fromkeys(node.id for node in nodes))}
    steps = 1 + max((node.step for node in nodes), default=-1)
    counts = [sum(node.state == state for node in nodes) for state in STATES]
    said = (
        f"{config.num_beams} beams · {steps} steps · {len(nodes):,} hypotheses looked at: {counts[0]:,} kept, "
        f"{counts[1]:,} finished, {counts[2]:,} pruned · score: {formula(config)}"
    )
    frames = {"labels": [f"step {step + 1} of {steps}" for step in range(steps)], "title": "Step", "leads": True}
    return spec(
        "beamtree", "beam-tree", "Beam search as a tree", said, words=[names[token] for token in words],
        of=[words[node.id] for node in nodes], ids=[node.id for node in nodes],
        step=[node.step for node in nodes], parent=[node.parent for node in nodes],
        logprob=[node.logprob for node in nodes], rank=[node.rank for node in nodes],
        cumulative=[node.cumulative for node in nodes], score=[node.score for node in nodes],
        state=[STATES.index(node.state) for node in nodes], beam=[node.beam for node in nodes],
        reasons=[REASONS[node.reason] for node in nodes], winner=list(winner), runner_up=list(runner_up), why=why,
        **({"frames": frames} if winner else {}),
    )  # fmt: skip


def formula(config: GenerationConfig) -> str:
    """How sums become scores.

    >>> formula(GenerationConfig(length_penalty=0.8, length_penalty_formula="gnmt"))
    'sum / ((5 + length) / 6)^0.8'
    """
    if config.length_penalty == 0:
        return "the plain sum of log-probabilities"
    base = "((5 + length) / 6)" if config.length_penalty_formula == "gnmt" else "length"
    return f"sum / {base}" + (f"^{config.length_penalty:g}" if config.length_penalty != 1 else "")


def hypotheses_html(hypotheses: Sequence["Hypothesis"], sums: Sequence[float | None], why: str) -> str:
    """The best hypotheses, and in a sentence why the first of them won. sums: what each score was worked out from."""
    rows = ""
    for place, (one, total) in enumerate(zip(hypotheses, sums, strict=True), start=1):
        summed = "–" if total is None else f"{total:.4f}".replace("-", "−")
        rows += (
            f'<tr><td>{place}</td><td class="decoding-number">{one.score:.4f}</td><td class="decoding-number">{summed}'
            f'</td><td class="decoding-number">{len(one.ids)}</td><td class="decoding-number">'
            f'{number(one.total_logprob)}</td><td>{REASONS.get(one.finish_reason, "")}</td>'
            f'<td dir="auto">{escape(one.text or "(nothing)").replace(chr(10), " ⏎ ")}</td></tr>'
        ).replace('number">-', 'number">−')  # fmt: skip
    heads = ("#", "score", "sum", "tokens", "model’s log-probability", "how it ended", "text")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f'<p class="tree-why"><b>Why the first one won.</b> {escape(why)}</p>'
        '<div class="scroller" tabindex="0" role="region" aria-label="The best hypotheses">'
        f'<table class="number-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
