"""The BPE model of a tokenizer.json as the `tokenizers` package defines it: its merges, and what a word begins as.

>>> model = {"vocab": {"a": 0, "b": 1, "ab": 2, "<0xC3>": 3, "<0xA9>": 4}, "merges": ["a b"], "byte_fallback": True}
>>> ranks_of(model)
{(0, 1): (0, 2)}
>>> first_symbols(model, "aé")
[(0, b'a'), (3, b'\\xc3'), (4, b'\\xa9')]
"""

from typing import Any

from core.tokenizer.bpe import Ranks


def ranks_of(model: dict[str, Any]) -> Ranks:
    """(left id, right id) -> (rank, id of the merged token)."""
    vocab, prefix = model["vocab"], len(model.get("continuing_subword_prefix") or "")
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model.get("merges") or []]
    return {(vocab[a], vocab[b]): (rank, vocab[a + b[prefix:]]) for rank, (a, b) in enumerate(pairs)}


def first_symbols(model: dict[str, Any], chunk: str) -> list[tuple[int, bytes]]:
    """(id, the characters of the chunk that it stands for) of each character of a chunk, before any merge.

    A character gets the prefix or the suffix that its place in the word asks for. What the vocabulary lacks becomes
    bytes (byte_fallback), or the unknown token (one for several in a row: fuse_unk), or is left out if there is none.
    """
    vocab, unk = model["vocab"], model.get("unk_token")
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
    symbols: list[tuple[int, bytes]] = []
    unknown: list[tuple[int, bytes]] = []  # at most one; the package holds it back to fuse it with the next
    for i, char in enumerate(chunk):
        before, after = prefix * (i > 0), suffix * (i == len(chunk) - 1)
        data, name = char.encode("utf-8"), before + char + after
        if name in vocab:
            symbols += [*unknown, (vocab[name], data)]
            unknown = []
            continue
        if model.get("byte_fallback"):
            ids = [vocab.get(f"<0x{byte:02X}>") for byte in name.encode("utf-8")]
            if None not in ids:  # bytes of the prefix and the suffix stand for nothing in the text
                pieces = [bytes([byte]) for byte in data]
                pieces = [b""] * len(before.encode("utf-8")) + pieces + [b""] * len(after.encode("utf-8"))
                symbols += zip(ids, pieces, strict=True)
                continue
        if unk in vocab:
            if unknown and model.get("fuse_unk"):
                unknown = [(vocab[unk], unknown[0][1] + data)]
            else:
                symbols += unknown
                unknown = [(vocab[unk], data)]
    return symbols + unknown
