"""Texts that are decoded on Modal, one, a stream or a million of them: the side of this machine."""
