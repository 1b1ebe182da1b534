"""A beam search as a tree: every hypothesis that was looked at, what became of it, and why the winner won.

config = GenerationConfig(strategy="beam", num_beams=5)
tree = beam_tree(generate(run, [text], config, trace=True)[0], config)
[tree.nodes[place].id for place in tree.winner], tree.why
"""

from dataclasses import dataclass, replace
from typing import Literal

from core.decode.config import GenerationConfig
from core.decode.length_penalty import normalise
from core.decode.result import Generation
from core.decode.trace import StepTrace
from core.errors import ConfigError

ROOT = -1  # the parent of the first tokens


@dataclass(frozen=True)
class TreeNode:
    """A token that was considered behind what stands above it."""

    step: int  # from 0
    id: int
    parent: int  # a place in Tree.nodes; ROOT for a first token
    logprob: float  # the model's own
    rank: int  # 1: the model's most probable token
    cumulative: float  # sum of the processed log-probabilities
    score: float  # cumulative over the length penalty
    state: Literal["kept", "pruned", "finished"]
    beam: int | None  # which beam it became, numbered anew at each step, best first; None unless kept
    reason: str  # of a finished one that was returned: why it ended; else ""


@dataclass(frozen=True)
class Tree:
    """Nodes step by step, of each step as they were considered, the best continuation first (of diverse beams group by
    group). `winner` and `runner_up` are paths: places in `nodes` from a first token to a last; the runner-up is the
    best other hypothesis that was finished, and empty if there is none."""

    nodes: list[TreeNode]
    winner: list[int]
    runner_up: list[int]
    why: str  # one sentence or two

    def path(self, place: int) -> list[int]:
        """The places from a first token to this one."""
        found = []
        while place != ROOT:
            found.append(place)
            place = self.nodes[place].parent
        return found[::-1]


def beam_tree(generation: Generation, config: GenerationConfig) -> Tree:
    """The tree of one input's beam search. ConfigError for another strategy, or for one that was not traced."""
    if not config.searches_beams:
        raise ConfigError("A tree is of beam search: choose the strategy 'beam' or 'diverse_beam' with several beams.")
    if not generation.trace and generation.ids:
        raise ConfigError("The steps of this search were not kept: decode with trace=True.")
    nodes = grow(generation.trace)
    ends = {}
    for hypothesis in generation.hypotheses:
        place = _find(nodes, hypothesis.ids)
        if place != ROOT:
            nodes[place] = replace(nodes[place], reason=hypothesis.finish_reason)
            ends[place] = hypothesis
    tree = Tree(nodes, [], [], "")
    winner = next(iter(ends), ROOT)
    finished = [place for place, node in enumerate(nodes) if node.state == "finished"]
    others = sorted((place for place in finished if place != winner), key=lambda place: -nodes[place].score)
    # Groups of diverse beams can come to the same hypothesis.
    ids = [nodes[place].id for place in tree.path(winner)]
    second = next((p for p in others if [nodes[place].id for place in tree.path(p)] != ids), ROOT)
    return Tree(nodes, tree.path(winner), tree.path(second), _why(nodes, winner, second, config))


def grow(trace: list[StepTrace]) -> list[TreeNode]:
    """The steps of a search (as far as it has come: `StreamEvent.trace` behind each other) as nodes."""
    nodes: list[TreeNode] = []
    running: dict[int, int] = {}  # beams of the step before -> their places
    begun: dict[int, int] = {}
    for at, step in enumerate(trace):
        if at and step.step != trace[at - 1].step:
            running, begun = begun, {}
        if step.beam is not None:
            begun[step.beam] = len(nodes)
        parent = running[step.parent] if step.step else ROOT
        nodes.append(
            TreeNode(
                step.step, step.id, parent, step.logprob, step.rank, step.cumulative, step.score, step.state,
                step.beam, "",
            )
        )  # fmt: skip
    return nodes


def _find(nodes: list[TreeNode], ids: list[int]) -> int:
    """The place at which a path of these ids ends, one that is finished if there are several; ROOT if there is none."""
    steps: list[list[int]] = [[] for _ in ids]
    for place, node in enumerate(nodes):
        if node.step < len(ids) and node.id == ids[node.step]:
            steps[node.step].append(place)
    reached = {ROOT}
    for places in steps:
        reached = {place for place in places if nodes[place].parent in reached}
    return min(reached - {ROOT}, key=lambda place: (nodes[place].state != "finished", place), default=ROOT)


def _why(nodes: list[TreeNode], winner: int, second: int, config: GenerationConfig) -> str:
    if winner == ROOT:
        return "The settings removed every continuation: nothing was written."
    best = nodes[winner]
    if best.state != "finished":
        return (
            "The settings removed every continuation before a hypothesis was finished; of those that ran, this one had "
            f"the highest score: {_sum(best, config)}."
        )
    if second == ROOT:
        return f"It is the only hypothesis that was finished: {_sum(best, config)}."
    other = nodes[second]
    said = f"It has the highest score of all finished hypotheses: {_sum(best, config)}; of the runner-up it is "
    said += f"{_sum(other, config)}."
    lengths = f"{_tokens(best.step + 1)} against {_tokens(other.step + 1)}"
    if best.score == other.score:
        return f"{said} The scores are equal: the one that was finished first is returned."
    if other.cumulative > best.cumulative:
        return f"{said} By the sum alone the runner-up would have won: the length penalty decided ({lengths})."
    if best.step != other.step:
        return f"{said} By the sum alone it would have won as well ({lengths})."
    return said


def _sum(node: TreeNode, config: GenerationConfig) -> str:
    """The score as it is worked out: its value, the sum and the divisor."""
    length, penalty, formula = node.step + 1, config.length_penalty, config.length_penalty_formula
    value = normalise(node.cumulative, length, penalty, formula)
    if penalty == 0:
        return f"{_number(value)}, the plain sum of {_tokens(length)}"
    base = f"((5 + {length}) / 6)" if formula == "gnmt" else f"{length}"
    power = "" if penalty == 1 else f" ^ {penalty:g}"
    return f"{_number(value)} = {_number(node.cumulative)} / {base}{power}"


def _number(value: float) -> str:
    return f"{value:.4f}".replace("-", "−")


def _tokens(count: int) -> str:
    return f"{count} token{'s' * (count != 1)}"
