"""Ids of a corpus on disk, so that the same data is not tokenised a second time.

A file is named by a hash of all that its content follows from: the texts, the tokenizer, the format's version. So it
is never out of date, only unused, and the oldest ones are removed when the folder grows beyond its size. What cannot
be written, or is read back broken, costs time and nothing else: training is the same with and without the cache.

A file is one array of int32 in numpy's format: [magic, checksum of the rest, rows, lengths ..., ids ...].
"""

import hashlib
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.data.ragged import Ragged

if TYPE_CHECKING:
    from core.config import TokenizerConfig
    from core.tokenizer import Tokenizer

FORMAT = "1"
_MAGIC = 0x746F6B01
_MAX_BYTES = 4 << 30  # of all files together
_SPARE_BYTES = 1 << 30  # that stay free on the disk: checkpoints need them more
_BATCH_CHARACTERS = 1 << 24  # texts that are tokenised at a time


class TokenCache:
    """folder: made when it is needed; None: nothing is kept."""

    def __init__(self, folder: Path | None, max_bytes: int = _MAX_BYTES) -> None:
        self.folder, self.max_bytes = folder, max_bytes

    @classmethod
    def beside(cls, runs_dir: Path) -> "TokenCache":
        """The cache of the runs of a folder."""
        return cls(runs_dir / ".cache" / "tokens")

    def encode(self, tokenizer: "Tokenizer", texts: list[str], end: int | None = None) -> Ragged:
        """The ids of each text, followed by the id `end` if it is given."""
        name = _hash(["ids", _version(), tokenizer.to_json(), str(end)], texts) if self.folder else ""
        found = self._read(name)
        if found is not None:
            return found
        rows = encode(tokenizer, texts, end)
        return self._keep(name, rows)

    def train(self, config: "TokenizerConfig", texts: Iterable[str]) -> "Tokenizer":
        """The tokenizer that `config` asks for, trained on the texts."""
        from core.tokenizer import train_tokenizer
        from core.tokenizer.load import tokenizer_from_json

        if self.folder is None or config.path or config.kind == "char":  # characters are counted in no time
            return train_tokenizer(config, texts)
        texts = list(texts)
        wanted = ["tokenizer", _version(), config.kind, str(config.vocab_size), config.pattern]
        path = self.folder / f"{_hash(wanted, texts)}.json"
        try:
            checksum, _, document = path.read_text(encoding="utf-8").partition("\n")
            if checksum == hashlib.sha256(document.encode()).hexdigest():
                os.utime(path)
                return tokenizer_from_json(document, path.name)
        except (OSError, UnicodeDecodeError):
            pass
        tokenizer = train_tokenizer(config, texts)
        document = tokenizer.to_json()
        checksum = hashlib.sha256(document.encode()).hexdigest()
        self._write(path.name, f"{checksum}\n{document}".encode())
        return tokenizer

    # -- files -----------------------------------------------------------------------------------------------------

    def _read(self, name: str) -> Ragged | None:
        if self.folder is None:
            return None
        path = self.folder / f"{name}.npy"
        try:
            data = np.load(path, mmap_mode="r", allow_pickle=False)
            if data.dtype != np.int32 or data.ndim != 1 or len(data) < 3 or data[0] != _MAGIC:
                return None
            if zlib.crc32(data[2:].data) != int(data[1]) & 0xFFFFFFFF:
                return None
            rows = int(data[2])
            ends = np.cumsum(data[3 : 3 + rows], dtype=np.int64)
            ids = data[3 + rows :]
            if len(ends) != rows or (int(ends[-1]) if rows else 0) != len(ids):
                return None
            os.utime(path)  # used just now
        except (OSError, ValueError, EOFError, SyntaxError):  # what numpy raises at a header that is none
            return None
        return Ragged(ids, ends)

    def _keep(self, name: str, rows: Ragged) -> Ragged:
        """The rows as they are on the disk, where they need no memory of the process; else as they are."""
        size = 4 * (3 + len(rows) + len(rows.ids))
        if self.folder is None or size > self.max_bytes // 2:
            return rows
        body = np.concatenate([[len(rows)], rows.lengths, rows.ids]).astype(np.int32)
        head = np.array([_MAGIC, zlib.crc32(body.data)], dtype=np.uint32).view(np.int32)
        if not self._write(f"{name}.npy", np.concatenate([head, body])):
            return rows
        del body
        return self._read(name) or rows

    def _write(self, name: str, content: np.ndarray | bytes) -> bool:
        """At once or not at all, whoever else writes the same file now. A disk that is full, or that must not be
        written to, is no error: there is only nothing kept."""
        assert self.folder is not None
        temporary = self.folder / f".{uuid.uuid4().hex}.tmp"
        size = content.nbytes if isinstance(content, np.ndarray) else len(content)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.make_room(size)
            if shutil.disk_usage(self.folder).free < size + _SPARE_BYTES:
                return False
            try:
                with open(temporary, "wb") as file:
                    if isinstance(content, np.ndarray):
                        np.save(file, content, allow_pickle=False)
                    else:
                        file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, self.folder / name)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def make_room(self, size: int = 0) -> None:
        """Remove the files that were not used for longest, and what writers that died left behind, until `size` bytes
        more are within the limit."""
        if self.folder is None or not self.folder.is_dir():
            return
        files = []
        for path in self.folder.iterdir():
            try:
                stat = path.stat()
                if path.suffix in (".npy", ".json"):
                    files.append((stat.st_mtime, stat.st_size, path))
                elif path.suffix == ".tmp" and time.time() - stat.st_mtime > 3_600:
                    path.unlink()
            except OSError:  # another process was quicker
                continue
        total = size + sum(length for _, length, _ in files)
        for _, length, path in sorted(files):
            if total <= self.max_bytes:
                break
            try:
                path.unlink()
            except OSError:
                continue
            total -= length


def encode(tokenizer: "Tokenizer", texts: list[str], end: int | None = None) -> Ragged:
    """The ids of each text, so many texts at a time that the lists of Python's numbers stay small."""
    parts, batch, characters = [], [], 0
    tail = [] if end is None else [end]
    for index, text in enumerate(texts):
        batch.append(text)
        characters += len(text)
        if characters >= _BATCH_CHARACTERS or index == len(texts) - 1:
            parts.append(Ragged.of([ids + tail for ids in tokenizer.encode_batch(batch)]))
            batch, characters = [], 0
    if len(parts) == 1:
        return parts[0]
    lengths = [part.lengths for part in parts]
    return Ragged(
        np.concatenate([part.ids for part in parts] or [np.empty(0, np.int32)]),
        np.cumsum(np.concatenate(lengths or [np.empty(0, np.int64)]), dtype=np.int64),
    )


def _version() -> str:
    from importlib.metadata import version

    return f"{FORMAT} {version('tokenizers')}"


def _hash(words: list[str], texts: Iterable[str]) -> str:
    """A name for a content: of every part its length too, so that ["ab", "c"] and ["a", "bc"] differ."""
    digest = hashlib.blake2b(digest_size=24)
    for text in [*words, *texts]:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(b"%d\n" % len(data))
        digest.update(data)
    return digest.hexdigest()
