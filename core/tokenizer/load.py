"""Find and open a tokenizer by name or path."""

import json
import os
import re
from pathlib import Path

from core import hub
from core.errors import RunError
from core.tokenizer.base import Tokenizer
from core.tokenizer.bpe import BPETokenizer
from core.tokenizer.char import CharTokenizer
from core.tokenizer.marian import MarianTokenizer, has_marian_files

BUNDLED = Path(__file__).parent.parent / "bundled"
TIKTOKEN_NAMES = ("gpt2", "r50k_base", "p50k_base", "p50k_edit", "cl100k_base", "o200k_base", "o200k_harmony")
_RUN_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def load_tokenizer(name_or_path: str | os.PathLike[str]) -> Tokenizer:
    """A tokenizer.json, a directory with one (a run) or with GPT-2's or Marian's files, `hf:org/name[@revision]` on the
    hub, or a name: of a bundled run, of a run in RUNS_DIR, of an own tokenizer, of a tiktoken encoding, in this order.
    """
    name = os.fspath(name_or_path)
    if hub.is_hub_name(name):
        return _from_directory(hub.fetch_tokenizer(name), name)
    path = Path(name)
    if name and path.is_dir():
        return _from_directory(path)
    if path.is_file():
        return tokenizer_from_json(_read(path), str(path))
    if _RUN_NAME.fullmatch(name):
        for folder in (BUNDLED, Path(os.environ.get("RUNS_DIR") or "runs")):
            if has_tokenizer(folder / name):
                return _from_directory(folder / name)
    from core.tokenizer.own import has_own, own_path

    if has_own(name):
        return _from_directory(own_path(name))
    if name in TIKTOKEN_NAMES:
        from core.tokenizer.tiktoken_ranks import load_tiktoken

        return load_tiktoken(name)
    raise RunError(
        f"There is no tokenizer {name!r}; give a tokenizer.json, a run's name or directory, or a tiktoken encoding."
    )


def tokenizer_from_files(files: dict[str, bytes], pattern: str = "") -> tuple[Tokenizer, dict[str, bytes]]:
    """The tokenizer of a file's content, or of GPT-2's two, told by their names; and the files under the names that
    they are kept under. RunError if they are none."""
    texts = {name.lower(): name for name in files}
    if len(files) == 2 and (merges := next((name for name in texts if name.endswith(".txt")), None)):
        vocab = next((name for name in texts if name.endswith(".json")), None)
        if vocab is None:
            raise RunError("Give merges.txt together with its vocab.json.")
        kept = {"vocab.json": files[texts[vocab]], "merges.txt": files[texts[merges]]}
        vocab_json, merges_txt = (_decoded(content, name) for name, content in kept.items())
        return gpt2_tokenizer(vocab_json, merges_txt, "The pair of files"), kept
    if len(files) != 1:
        raise RunError("Give one file, or vocab.json together with merges.txt.")
    ((name, content),) = files.items()
    return tokenizer_from_json(_decoded(content, name), name), {"tokenizer.json": content}


def has_tokenizer(path: Path) -> bool:
    """Whether the directory holds the files of a tokenizer that can be opened."""
    gpt2 = all((path / name).is_file() for name in ("vocab.json", "merges.txt"))
    return (path / "tokenizer.json").is_file() or gpt2 or has_marian_files(path)


def _from_directory(path: Path, name: str = "") -> Tokenizer:
    if has_marian_files(path):  # before a tokenizer.json, which can only come near to what these say
        return MarianTokenizer(path)
    if (path / "tokenizer.json").is_file():
        return tokenizer_from_json(_read(path / "tokenizer.json"), str(path / "tokenizer.json"))
    if (path / "vocab.json").is_file() and (path / "merges.txt").is_file():
        return gpt2_tokenizer(_read(path / "vocab.json"), _read(path / "merges.txt"), str(path))
    raise RunError(
        f"{name or path} has no tokenizer.json, nor vocab.json with merges.txt or source.spm and target.spm."
    )


def tokenizer_from_json(contents: str, source: str = "The tokenizer.json") -> Tokenizer:
    """Ours where we can do all that the file asks for, otherwise the `tokenizers` package's."""
    try:
        document = json.loads(contents)
        if not isinstance(document, dict) or not isinstance(document.get("model"), dict):
            raise ValueError("it has no model")
        tokenizer = CharTokenizer.from_json(document) or BPETokenizer.from_json(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{source} is not a readable tokenizer.json: {error}.") from error
    if tokenizer is None:
        from core.tokenizer.hub import HubTokenizer

        return HubTokenizer(contents)
    return tokenizer


def gpt2_tokenizer(vocab_json: str, merges_txt: str, source: str = "The directory") -> Tokenizer:
    """GPT-2's two files: a vocabulary with byte-level tokens, and merges by rank, one a line."""
    try:
        vocab = json.loads(vocab_json)
        lines = merges_txt.split("\n")
        merges = [line.split(" ") for line in lines if line.strip() and not line.startswith("#version")]
        names = [name for name in vocab if re.fullmatch(r"<\|.+\|>|</?\w+>|\[[A-Z]+\]", name)]
        merged = {"".join(pair) for pair in merges}
        added = [
            {
                "id": vocab[name],
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for name in names
            if name not in merged
        ]
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
        model = {
            "type": "BPE",
            "vocab": vocab,
            "merges": merges,
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{source} has a vocab.json or merges.txt that cannot be read: {error}.") from error
    from core.tokenizer.base import tokenizer_json

    return tokenizer_from_json(
        tokenizer_json(added_tokens=added, pre_tokenizer=byte_level, decoder=byte_level, model=model), source
    )


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RunError(f"{name} is not a tokenizer's file that can be read here: it is not UTF-8 text.") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error
