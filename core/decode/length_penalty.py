"""How beam search compares hypotheses of different lengths: the sum of log-probabilities over a growing divisor.

    hf           length ** penalty                   (transformers)
    gnmt         ((5 + length) / 6) ** penalty       (Wu et al., 2016, eq. 14)
    ctranslate2  length ** penalty                   (CTranslate2)

The end token is counted everywhere, by CTranslate2 too, though it does not return it. What sets CTranslate2 apart is
when it ends a search: see core.decode.beam. Sums are negative, so a penalty above 0 favours longer hypotheses, below 0
shorter ones; 0 compares plain sums.

>>> normalise(-6.0, 3, 1.0, "hf"), normalise(-6.0, 3, 1.0, "ctranslate2")
(-2.0, -2.0)
>>> round(normalise(-6.0, 7, 0.5, "gnmt"), 6)
-4.242641
"""

from typing import Literal


def normalise(total: float, length: int, penalty: float, formula: Literal["hf", "gnmt", "ctranslate2"]) -> float:
    """The score of a hypothesis of `length` tokens, one at least."""
    return total / ((5 + length) / 6 if formula == "gnmt" else length) ** penalty
