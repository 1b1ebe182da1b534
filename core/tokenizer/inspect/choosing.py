"""How a word becomes tokens where nothing is merged: WordPiece takes the longest match, Unigram the likeliest cut.

WordPiece (Wu et al. 2016; as in BERT): from the start of the word the longest entry of the vocabulary, then the longest
that continues it, and so on; a word in which some place has no match is the unknown token as a whole.

Unigram (Kudo 2018): every piece has a probability, and of all ways to cut the word that of the greatest product is
taken, found by the Viterbi algorithm. A character without a piece counts as unknown, with the lowest score of the
vocabulary less 10 (as in SentencePiece).
"""

import functools
from dataclasses import dataclass

from core.errors import TextError
from core.tokenizer.base import Tokenizer, clean_text
from core.tokenizer.hub import HubTokenizer
from core.tokenizer.inspect.merges import readable_words
from core.tokenizer.inspect.rows import Span

MAX_CHARACTERS = 200  # of a word that is looked at
UNKNOWN_PENALTY = 10.0


@dataclass(frozen=True)
class Match:
    """What WordPiece does at one place of a word: `tried` as the vocabulary writes it, the longest first. The last one
    is the match, unless `id` is None: then there was none."""

    start: int
    tried: list[str]
    id: int | None


@dataclass(frozen=True)
class Candidate:
    """A piece that fits a place of a word, and its score (natural logarithm of its probability)."""

    text: str
    id: int | None  # None: an unknown character
    start: int
    end: int
    score: float
    is_chosen: bool


@dataclass(frozen=True)
class Lattice:
    """All pieces that fit somewhere in a word, by where they start and end; the sum of the chosen ones' scores, and in
    how many ways the pieces can make up the word."""

    candidates: list[Candidate]
    score: float
    ways: int


def choosing(tokenizer: Tokenizer) -> str:
    """ "WordPiece" or "Unigram" for tokenizers that choose in that way, "" for others."""
    kind = tokenizer.model_type if isinstance(tokenizer, HubTokenizer) else ""
    return kind if kind in ("WordPiece", "Unigram") else ""


def choice_words(tokenizer: Tokenizer, text: str) -> list[tuple[str, Span]]:
    """The words of a text as the model is given them, with their characters in the text."""
    return readable_words(_checked(tokenizer), clean_text(text))


def longest_matches(tokenizer: Tokenizer, word: str) -> list[Match]:
    """What WordPiece tries, place by place. TextError for other models, and long words."""
    hub = _checked(tokenizer, "WordPiece", word)
    model = hub.document["model"]
    prefix = model.get("continuing_subword_prefix", "##")
    vocab = _entries(hub)
    found: list[Match] = []
    start = 0
    if len(word) > model.get("max_input_chars_per_word", 100):
        return [Match(0, [], None)]
    while start < len(word):
        tried: list[str] = []
        match = None
        end = len(word)
        while end > start and match is None:
            tried.append((prefix if start else "") + word[start:end])
            match = vocab.get(tried[-1])
            end -= match is None
        found.append(Match(start, tried, match))
        if match is None:
            return found
        start = end
    return found


def lattice(tokenizer: Tokenizer, word: str) -> Lattice:
    """The pieces of a Unigram model that fit, and the likeliest way. TextError for other models, and long words."""
    hub = _checked(tokenizer, "Unigram", word)
    scores = [score for _, score in hub.document["model"]["vocab"]]
    vocab, unknown = _entries(hub), min(scores, default=0.0) - UNKNOWN_PENALTY
    longest = max(map(len, vocab), default=0)
    n = len(word)
    best = [(0.0, 0)] + [(float("-inf"), 0)] * n  # score of the best way there, and where its last piece starts
    ways = [1] + [0] * n
    fitting: list[tuple[int, int, int | None, float]] = []
    for start in range(n):
        here = [(end, vocab.get(word[start:end])) for end in range(start + 1, min(n, start + max(1, longest)) + 1)]
        fits = [(end, id) for end, id in here if id is not None or end == start + 1]
        for end, id in fits:
            score = unknown if id is None else scores[id]
            fitting.append((start, end, id, score))
            ways[end] += ways[start]
            if best[start][0] + score > best[end][0]:
                best[end] = (best[start][0] + score, start)
    chosen, end = set(), n
    while end > 0:
        chosen.add((best[end][1], end))
        end = best[end][1]
    candidates = [Candidate(word[s:e], id, s, e, score, (s, e) in chosen) for s, e, id, score in fitting]
    return Lattice(candidates, best[n][0], ways[n])


@functools.lru_cache(maxsize=2)
def _entries(tokenizer: HubTokenizer) -> dict[str, int]:
    """The vocabulary that a text can become: without special tokens, which are text when they stand in one."""
    return tokenizer.fast().get_vocab(with_added_tokens=False)


def _checked(tokenizer: Tokenizer, kind: str = "", word: str = "") -> HubTokenizer:
    if not choosing(tokenizer) or (kind and choosing(tokenizer) != kind):
        raise TextError(
            "Only byte-pair encoding, WordPiece and Unigram can be shown at work; choose another tokenizer."
        )
    if len(word) > MAX_CHARACTERS:
        raise TextError(f"Words of at most {MAX_CHARACTERS} characters can be shown; this one has {len(word):,}.")
    assert isinstance(tokenizer, HubTokenizer)
    return tokenizer
