"""The merges of a word: the words to choose from, and what assets/tokenizer-merges.js plays and draws of one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from core.tokenizer.visible import segments, visible
from playground.views.tokens import beginning, piece_html

WORDS = 60  # that can be chosen
LONG = 24  # characters of a word that are written on its button
SHOWN = 36  # bytes of a piece that are written

Ranks = Mapping[tuple[int, int], int]  # of two neighbours, by their ids


def words_html(words: Sequence[str], chosen: str | None, more: int = 0, read: int = 0) -> str:
    """HTML of a button for each word; `more` are not shown. read: how many characters the words were looked for in, if
    not in all."""
    if not words:
        return '<p class="nothing">There is no word here: type a text, or a word of your own.</p>'
    buttons = "".join(
        f'<button type="button" class="word" data-word="{i}" aria-pressed="{str(word == chosen).lower()}">'
        f"{piece_html(word[:LONG].encode('utf-8'))}{'…' if len(word) > LONG else ''}</button>"
        for i, word in enumerate(words[:WORDS])
    )
    among = f" in the first {read:,} characters" if read else ""
    rest = f'<span class="caption">… and {more:,} more{among}</span>' if more > 0 else ""
    return f'<div class="words" role="group" aria-label="Words">{buttons}{rest}</div>'


def player_data(word: str, roots: Sequence[Any], ranks: Ranks, rank_meaning: str, taken_whole: bool = False) -> str:
    """JSON of a word's merge tree (core.tokenizer.inspect.MergeNode) as the player wants it.

    "types": [HTML, visible text, bytes in hex] of each distinct piece. "nodes": [type, id, rank, step, first byte, left
    node, right node], children before their parents. "roots": which of them are the final tokens. "pairs": [left node,
    right node, rank] of all neighbours, at any step, that could be merged. "characters": [visible text, first byte,
    end] of those that begin as several bytes. taken_whole: the word is a token that needs no merge.
    """
    types: dict[bytes, int] = {}
    nodes, numbers = _flat(roots, types)
    return json.dumps(
        {
            "word": visible(word[:LONG].encode("utf-8")) + ("…" if len(word) > LONG else ""),
            "bytes": len(word.encode("utf-8")),
            "rankMeaning": rank_meaning,
            "whole": taken_whole,
            "types": [_type(piece) for piece in types],
            "nodes": nodes,
            "roots": [numbers[id(root)] for root in roots],
            "pairs": _pairs(nodes, [n for n, node in enumerate(nodes) if node[3] is None], ranks),
            "characters": _characters(word, {node[4] for node in nodes if node[3] is None}),
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def _type(piece: bytes) -> list[str]:
    if len(piece) <= SHOWN:
        return [piece_html(piece), _label(piece), piece.hex(" ").upper()]
    return [f"{part} … {len(piece)} bytes" for part in _type(beginning(piece, SHOWN))]


def _label(piece: bytes) -> str:
    """Visible text for a drawing: bytes or a sign that stand alone need no brackets."""
    found = segments(piece)
    return found[0].text if len(found) == 1 else visible(piece)


def _flat(roots: Sequence[Any], types: dict[bytes, int]) -> tuple[list[list[Any]], dict[int, int]]:
    """The nodes of all trees in a list. Without recursion: a tree of a thousand merges may be as deep."""
    numbers: dict[int, int] = {}  # id() of a MergeNode -> its place
    nodes: list[list[Any]] = []
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if node.children and not ready:
            stack += [(node, True), *((child, False) for child in reversed(node.children))]
            continue
        children = [numbers[id(child)] for child in node.children]
        numbers[id(node)] = len(nodes)
        kind = types.setdefault(node.piece, len(types))
        nodes.append([kind, node.id, node.rank, node.step, node.start, *(children or (None, None))])
    return nodes, numbers


def _pairs(nodes: list[list[Any]], leaves: list[int], ranks: Ranks) -> list[list[int]]:
    """Every two nodes that are neighbours at some step and have a rank: the merges are done once more."""
    found: list[list[int]] = []

    def look(left: int | None, right: int | None) -> None:
        if left is None or right is None or nodes[left][1] is None or nodes[right][1] is None:
            return
        rank = ranks.get((nodes[left][1], nodes[right][1]))
        if rank is not None:
            found.append([left, right, rank])

    before: dict[int, int | None] = {}
    after: dict[int, int | None] = {}
    for place, leaf in enumerate(leaves):
        before[leaf] = leaves[place - 1] if place else None
        after[leaf] = leaves[place + 1] if place + 1 < len(leaves) else None
        look(leaf, after[leaf])
    for made in sorted((n for n, node in enumerate(nodes) if node[3] is not None), key=lambda n: nodes[n][3]):
        left, right = nodes[made][5:]
        before[made], after[made] = before[left], after[right]
        for neighbour, side in ((before[made], after), (after[made], before)):
            if neighbour is not None:
                side[neighbour] = made
        look(before[made], made)
        look(made, after[made])
    return found


def _characters(word: str, starts: set[int]) -> list[list[Any]]:
    found, place = [], 0
    for char in word:
        end = place + len(char.encode("utf-8"))
        if any(byte in starts for byte in range(place + 1, end)):
            found.append([_label(char.encode("utf-8")), place, end])
        place = end
    return found
