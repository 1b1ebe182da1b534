"""The models and everything true about them. Imports neither gradio nor modal.

>>> from core import load
>>> run = load("enja-transformer")  # doctest: +SKIP
"""

import os

# Before torch is imported: for how long idle OpenMP threads keep a core busy waiting for work. By default it is so long
# that two programs on two cores (a training run and the page, say) slow each other down tenfold.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

from core.run import Run, load  # noqa: E402

__all__ = ["Run", "load"]
