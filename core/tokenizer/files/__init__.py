"""Tokenizers in others' files: SentencePiece and Marian, tiktoken; what a file must hold, and how one is tried."""
