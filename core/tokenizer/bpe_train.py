"""Learn byte-pair merges from text (Sennrich et al. 2016), on bytes as GPT-2 does.

Again and again, the most frequent pair of neighbouring tokens becomes a new token. Scanning all text for each merge
takes minutes; here counts are kept up to date, and only the places where the merged pair stands are visited.

>>> learn_merges({"low": 5, "lower": 2, "newest": 6, "widest": 3}, n_tokens=4)
[(b'e', b's'), (b'es', b't'), (b'l', b'o'), (b'lo', b'w')]

The result equals the `tokenizers` package's BpeTrainer merge by merge. Its rules, which are kept here exactly:
ties go to the pair with the smaller ids (bytes come first, in GPT-2's order; new tokens follow as they are made), and
of overlapping pairs ("aa" in "aaa") each is counted.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from core.tokenizer.base import clean_text
from core.tokenizer.byte_map import BYTE_ORDER
from core.tokenizer.split import Splitter

Merge = tuple[bytes, bytes]
Pair = tuple[int, int]


def count_chunks(texts: Iterable[str], splitter: Splitter) -> Counter[str]:
    """How often each chunk occurs: merges are learned from distinct chunks, weighted by their counts."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(splitter(clean_text(text)))
    return counts


def learn_merges(
    chunks: Mapping[str, int],
    n_tokens: int,
    *,
    min_frequency: int = 0,
    forbidden: Collection[bytes] = (),
    progress: Callable[[int, int, Merge, int], None] | None = None,
) -> list[Merge]:
    """Merges in the order of their ranks; each makes one new token.

    n_tokens: how many at most. min_frequency: rarer pairs are left alone. forbidden: tokens that must not
    arise (special tokens, which typed text must never become). progress(done, n_tokens, merge, count) after each merge.
    """
    # All chunks lie in one array of symbols, linked by `after` and `before`; -1 ends a chunk.
    symbols: list[int] = []
    after: list[int] = []
    before: list[int] = []
    weight: list[int] = []  # the count of the chunk that a position belongs to
    id_of_byte = [0] * 256
    for id, byte in enumerate(BYTE_ORDER):
        id_of_byte[byte] = id
    for chunk, count in chunks.items():
        data = chunk.encode("utf-8")
        start, end = len(symbols), len(symbols) + len(data)
        symbols.extend([id_of_byte[b] for b in data])
        after.extend([*range(start + 1, end), -1] if data else [])
        before.extend([-1, *range(start, end - 1)] if data else [])
        weight.extend([count] * len(data))

    counts: dict[Pair, int] = {}
    found: dict[Pair, list[int]] = {}  # positions where a pair newly arose
    for i, j in enumerate(after):
        if j >= 0:
            pair = (symbols[i], symbols[j])
            counts[pair] = counts.get(pair, 0) + weight[i]
            found.setdefault(pair, []).append(i)

    # The queue holds (-count, pair); a count may be out of date and is put right when it surfaces. A pair enters once:
    # both its tokens exist only from the younger one's merge on, and that merge finds all their neighbourhoods.
    queue: list[tuple[int, Pair]] = []
    places: dict[Pair, list[int]] = {}

    def enqueue() -> None:
        for pair, positions in found.items():
            if counts[pair] > 0:
                heapq.heappush(queue, (-counts[pair], pair))
                places[pair] = positions
        found.clear()

    enqueue()
    tokens = [bytes([b]) for b in BYTE_ORDER]
    merges: list[Merge] = []
    while len(merges) < n_tokens and queue:
        negative, pair = heapq.heappop(queue)
        count = counts[pair]
        if count != -negative:
            heapq.heappush(queue, (-count, pair))
            continue
        if count < max(1, min_frequency):
            break
        left, right = pair
        merge = (tokens[left], tokens[right])
        if merge[0] + merge[1] in forbidden:
            continue
        new = len(tokens)
        tokens.append(merge[0] + merge[1])
        merges.append(merge)

        for i in sorted(places.pop(pair)):
            j = after[i]
            if symbols[i] != left or j < 0 or symbols[j] != right:
                continue  # merged otherwise meanwhile
            w, previous, following = weight[i], before[i], after[j]
            if previous >= 0:
                neighbour = symbols[previous]
                counts[neighbour, left] -= w
                made = (neighbour, new)
                counts[made] = counts.get(made, 0) + w
                found.setdefault(made, []).append(previous)
            if following >= 0:
                neighbour = symbols[following]
                counts[right, neighbour] -= w
                made = (new, neighbour)
                counts[made] = counts.get(made, 0) + w
                found.setdefault(made, []).append(i)
                before[following] = i
            symbols[i], symbols[j], after[i] = new, -1, following
        enqueue()
        if progress is not None:
            progress(len(merges), n_tokens, merge, count)
    return merges
