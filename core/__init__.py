"""The models and everything true about them. Imports neither gradio nor modal.

>>> from core import load
>>> run = load("enja-transformer")  # doctest: +SKIP
"""

from core.run import Run, load

__all__ = ["Run", "load"]
