"""Data: built-in, local files and the Hugging Face hub, as `Corpus` objects; then batches of token ids."""

from core.data.corpus import Corpus, Pair
from core.data.sources import load_corpus

__all__ = ["Corpus", "Pair", "load_corpus"]
