"""How beam search compares hypotheses of different lengths: the sum of log-probabilities over a growing divisor.

    hf           length ** penalty, the end token counted                      (transformers)
    gnmt         ((5 + length) / 6) ** penalty, the end token counted          (Wu et al., 2016, eq. 14)
    ctranslate2  length ** penalty, the end token not counted                  (CTranslate2)

Sums are negative, so a penalty above 0 favours longer hypotheses, below 0 shorter ones; 0 compares plain sums.

>>> normalise(-6.0, 3, True, 1.0, "hf"), normalise(-6.0, 3, True, 1.0, "ctranslate2")
(-2.0, -3.0)
>>> normalise(-6.0, 7, False, 0.5, "gnmt")
-4.242640687119286
"""

from typing import Literal


def normalise(
    total: float, length: int, ended: bool, penalty: float, formula: Literal["hf", "gnmt", "ctranslate2"]
) -> float:
    """The score of a hypothesis of `length` tokens; `ended` says whether the last of them is an end token.

    CTranslate2 gives an empty hypothesis (nothing but the end token) minus infinity for a positive penalty. The tiny
    length used here keeps that order and a finite number.
    """
    if formula == "gnmt":
        return total / ((5 + length) / 6) ** penalty
    if formula == "ctranslate2" and ended:
        return total / max(length - 1, 1e-9) ** penalty
    return total / length**penalty
