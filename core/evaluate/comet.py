"""COMET (Rei et al., 2022): a neural judge of translations, where its own package (unbabel-comet) is installed."""

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from core.errors import DataError

MODEL = "Unbabel/wmt22-comet-da"


def comet_is_installed() -> bool:
    return importlib.util.find_spec("comet") is not None


def installed_version() -> str:
    try:
        return version("unbabel-comet")
    except PackageNotFoundError:
        return "unknown"


def comet_scores(outputs: Sequence[str], references: Sequence[str], sources: Sequence[str] | None) -> list[float]:
    """The score of every sentence, about 0 to 1, as the package computes it. Raises DataError."""
    if not comet_is_installed():
        raise DataError(
            "COMET needs the package unbabel-comet, which asks for older versions of others than this project: score "
            "saved outputs with it in an environment of its own, or leave comet out."
        )
    if sources is None or len(sources) != len(outputs):
        raise DataError("COMET judges a translation beside its source: give as many sources as outputs.")
    import torch

    rows = [
        {"src": source, "mt": output, "ref": reference}
        for source, output, reference in zip(sources, outputs, references, strict=True)
    ]
    gpus = 1 if torch.cuda.is_available() else 0
    return [float(score) for score in _model().predict(rows, batch_size=16, gpus=gpus, progress_bar=False).scores]


@lru_cache(maxsize=1)
def _model() -> Any:
    import comet

    try:
        return comet.load_from_checkpoint(comet.download_model(MODEL))
    except Exception as error:  # the network's, the hub's and Lightning's
        raise DataError(f"COMET's model {MODEL} cannot be had ({error}); leave comet out.") from None
