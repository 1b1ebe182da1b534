"""MAUVE: how near the texts of a model are to those of people, as two distributions (Pillutla et al., "MAUVE: Measuring
the Gap Between Neural Text and Human Text using Divergence Frontiers", NeurIPS 2021; "MAUVE Scores for Generative
Models: Theory and Practice", JMLR 2023).

    mauve_score(written, by_people, features=load("hf:openai-community/gpt2-large")).score      # as in the paper

A language model reads every text; the final states at the last tokens are clustered, all texts together, and the two
histograms of clusters compared by Kullback-Leibler divergences to mixtures of both. The score is the area under the
curve of these: 0 to 1, 1 for equal distributions. It depends on the model that reads, on the number of texts (the paper
has 5,000 on either side; scores of a hundred are noise and too high) and on the seed of the clustering: scores compare
only with scores of the same signature.

Clusters and curve are those of the authors' package mauve-text, which is not installed with the others (its licence is
the GPL). The states are computed here.
"""

import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.errors import DataError
from core.evaluate.windows import BATCH_TOKENS, check_ids

if TYPE_CHECKING:
    from core.run import Run

LEAST = 20  # texts on either side: with fewer there are not even two clusters of ten
LONGEST = 1_024  # tokens of a text that are read, as in the paper
SEED = 25  # the package's own
NEEDED = "MAUVE needs the package mauve-text: pip install mauve-text, then measure again."


@dataclass(frozen=True)
class Mauve:
    """score: 0 to 1, higher is nearer. frontier_integral: 0 to 1, lower is nearer (Liu et al., 2021)."""

    score: float
    frontier_integral: float
    signature: str


def is_installed() -> bool:
    return importlib.util.find_spec("mauve") is not None and importlib.util.find_spec("faiss") is not None


def mauve_score(
    texts: Sequence[str],
    references: Sequence[str],
    features: "Run",
    max_tokens: int = LONGEST,
    seed: int = SEED,
    progress: Callable[[float, str], Any] | None = None,
) -> Mauve:
    """MAUVE of texts against references (of people), which need not be in pairs nor as many.

    features: the language model that reads both; max_tokens of each, or as many as it can. Raises DataError for too few
    texts, for a model that translates, and where the package is not installed.
    """
    check(features, min(len(texts), len(references)))
    import mauve

    say = progress or (lambda share, what: None)
    count, max_tokens = len(texts) + len(references), min(max_tokens, features.config.model.max_seq_len)
    states = last_states(
        features, [*texts, *references], max_tokens, lambda done: say(done / count, f"{features.name} reads the texts")
    )
    found = mauve.compute_mauve(
        p_features=states[len(texts) :], q_features=states[: len(texts)], seed=seed, verbose=False
    )
    signature = {
        "texts": len(texts), "refs": len(references), "features": features.name, "tokens": max_tokens,
        "clusters": found.num_buckets, "scale": 5, "seed": seed, "version": importlib.metadata.version("mauve-text"),
    }  # fmt: skip
    return Mauve(
        float(found.mauve),
        float(found.frontier_integral),
        "|".join(f"{name}:{value}" for name, value in signature.items()),
    )


def check(features: "Run", count: int) -> None:
    """Raises DataError where MAUVE of `count` texts on either side cannot be computed: best asked before the work."""
    if features.is_translation:
        raise DataError(f"{features.name} translates: MAUVE needs a language model to read the texts.")
    if count < LEAST:
        raise DataError(f"MAUVE compares distributions: give {LEAST} texts or more on either side, not {count}.")
    if not is_installed():
        raise DataError(NEEDED)


@torch.inference_mode()
def last_states(
    run: "Run", texts: Sequence[str], max_tokens: int = LONGEST, progress: Callable[[int], Any] | None = None
) -> np.ndarray:
    """The final state at the last token of each text, float32 (N, D); of texts of more than max_tokens at that one."""
    model = run.model
    rows = [model.prompt_ids(ids)[:max_tokens] for ids in run.tokenizer.encode_batch(list(texts))]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found = np.empty((len(rows), run.config.model.d_model), dtype=np.float32)
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * len(rows[order[stop]]) <= BATCH_TOKENS:
            stop += 1
        batch = order[start:stop]
        inputs = np.zeros((len(batch), len(rows[batch[-1]])), dtype=np.int64)  # what stands behind a text is not seen
        for row, place in zip(inputs, batch):
            row[: len(rows[place])] = check_ids(model, rows[place])
        states = model.hidden(torch.from_numpy(inputs).to(model.device))
        last = torch.tensor([len(rows[place]) - 1 for place in batch], device=states.device)
        found[batch] = states[torch.arange(len(batch), device=states.device), last].float().cpu().numpy()
        start = stop
        if progress is not None:
            progress(stop)
    return found
