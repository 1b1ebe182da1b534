"""Find and open a tokenizer by name or path.

What a file is, its name says: tokenizer.json (or another .json), a SentencePiece model (.model, .spm), a list of ranks
(.tiktoken), or GPT-2's vocab.json with its merges.txt.
"""

import json
import os
import re
from pathlib import Path

from core import hub
from core.errors import RunError
from core.run import default_runs_dir
from core.tokenizer.base import Tokenizer, special_token_entries, tokenizer_json
from core.tokenizer.bpe import BPETokenizer
from core.tokenizer.char import CharTokenizer
from core.tokenizer.files.json_check import check_document
from core.tokenizer.files.marian import MarianTokenizer, has_marian_files
from core.tokenizer.files.tiktoken_ranks import PATTERN_STEMS, TIKTOKEN_NAMES, load_tiktoken, tokenizer_from_ranks

BUNDLED = Path(__file__).parent.parent / "bundled"
PIECE_FILES = ("tokenizer.model", "spiece.model")  # of a directory
PIECE_SUFFIXES = (".model", ".spm")
RANKS_SUFFIX = ".tiktoken"
_RUN_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def load_tokenizer(name_or_path: str | os.PathLike[str]) -> Tokenizer:
    """A tokenizer's file, a directory with one (a run) or with Marian's, `hf:org/name[@revision]` on the hub, or a
    name: of a bundled run, of a run in RUNS_DIR, of an own tokenizer, of a tiktoken encoding, in this order.

    RunError, one sentence, if there is none or its file is broken.
    """
    name = os.fspath(name_or_path)
    path = Path(name)
    directory = directory_of(name)
    if directory is not None and not hub.is_hub_name(name) and path.is_file():
        return tokenizer_from_files({path.name: _read(path)}, str(path))[0]
    if directory is not None:
        return _from_directory(directory, name if hub.is_hub_name(name) else "")
    if name in TIKTOKEN_NAMES:
        return load_tiktoken(name)
    raise RunError(
        f"There is no tokenizer {name[:120]!r}; give a tokenizer's file, a run's name or directory, an own tokenizer's "
        "name, or a tiktoken encoding."
    )


def directory_of(name_or_path: str | os.PathLike[str]) -> Path | None:
    """The directory that holds what `load_tokenizer` opens by that name, and what lies beside it. None if it is no
    file or directory here."""
    name = os.fspath(name_or_path)
    if hub.is_hub_name(name):
        return hub.fetch_tokenizer(name)
    path = Path(name)
    try:
        if name and path.is_dir():
            return path
        if path.is_file():
            return path.parent
    except ValueError:  # a NUL character: no path at all
        return None
    if not _RUN_NAME.fullmatch(name):
        return None
    for folder in (BUNDLED, default_runs_dir()):
        if has_tokenizer(folder / name):
            return folder / name
    from core.tokenizer.own import has_own, own_path

    return own_path(name) if has_own(name) else None


def has_tokenizer(path: Path) -> bool:
    """Whether the directory holds the files of a tokenizer that can be opened."""
    return bool(_files_in(path)) or has_marian_files(path)


def _files_in(path: Path) -> list[Path]:
    """The files of the tokenizer of a directory: a tokenizer.json before others, which say the same."""
    try:
        ranks = sorted(path.glob(f"*{RANKS_SUFFIX}"))
        if (path / "tokenizer.json").is_file():
            return [path / "tokenizer.json"]
        pair = [path / "vocab.json", path / "merges.txt"]
        if all(file.is_file() for file in pair):
            return pair
        return [*(path / name for name in PIECE_FILES if (path / name).is_file()), *ranks][:1]
    except OSError:
        return []


def _from_directory(path: Path, name: str = "") -> Tokenizer:
    if has_marian_files(path):  # before a tokenizer.json, which can only come near to what these say
        return MarianTokenizer(path)
    if files := _files_in(path):
        source = str(files[0] if len(files) == 1 else path)
        return tokenizer_from_files({file.name: _read(file) for file in files}, source)[0]
    raise RunError(
        f"{name or path} has no tokenizer.json, nor vocab.json with merges.txt, {' or '.join(PIECE_FILES)}, a "
        f"{RANKS_SUFFIX} file, or source.spm and target.spm."
    )


def tokenizer_from_files(
    files: dict[str, bytes], source: str = "", pattern: str = ""
) -> tuple[Tokenizer, dict[str, bytes]]:
    """The tokenizer of one file (name -> content), or of GPT-2's two; and the files under the names from which a
    directory with them is opened again. RunError, one sentence, if they are none.

    pattern: how a .tiktoken file cuts text that has not the name of a published encoding.
    """
    named = {Path(name).suffix.lower(): name for name in files}
    if len(files) == 2 and set(named) == {".json", ".txt"}:
        kept = {"vocab.json": files[named[".json"]], "merges.txt": files[named[".txt"]]}
        vocab_json, merges_txt = (_decoded(content, name) for name, content in kept.items())
        return gpt2_tokenizer(vocab_json, merges_txt, source or "The pair of files"), kept
    if len(files) != 1 or ".txt" in named:
        raise RunError("Give one tokenizer's file, or vocab.json together with its merges.txt.")
    ((name, content),) = files.items()
    suffix = Path(name).suffix.lower()
    if suffix in PIECE_SUFFIXES:
        from core.tokenizer.files.sentencepiece_file import SentencePieceTokenizer

        return SentencePieceTokenizer(content, source or name), {"tokenizer.model": content}
    if suffix == RANKS_SUFFIX:
        stem = PATTERN_STEMS.get(pattern, pattern) if pattern else Path(name).stem
        return tokenizer_from_ranks(content, stem, source or name), {stem + RANKS_SUFFIX: content}
    return tokenizer_from_json(_decoded(content, source or name), source or name), {"tokenizer.json": content}


def tokenizer_from_json(contents: str, source: str = "The tokenizer.json") -> Tokenizer:
    """Ours where we can do all that the file asks for, otherwise the `tokenizers` package's."""
    try:
        document = json.loads(contents)
        check_document(document)
        tokenizer = CharTokenizer.from_json(document) or BPETokenizer.from_json(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:200]
        raise RunError(f"{source} is not a readable tokenizer.json: {said}.") from error
    if tokenizer is None:
        from core.tokenizer.hub import HubTokenizer

        try:
            return HubTokenizer(contents)
        except RunError as error:
            raise RunError(str(error).replace("The tokenizer.json", source, 1)) from error
        except Exception as error:
            raise RunError(f"{source} is not a readable tokenizer.json: {error}.") from error
    return tokenizer


def gpt2_tokenizer(vocab_json: str, merges_txt: str, source: str = "The directory") -> Tokenizer:
    """GPT-2's two files: a vocabulary with byte-level tokens, and merges by rank, one a line."""
    try:
        vocab = json.loads(vocab_json)
        lines = merges_txt.split("\n")
        merges = [line.rstrip("\r").split(" ") for line in lines if line.strip() and not line.startswith("#version")]
        check_document({"model": {"vocab": vocab, "merges": merges}})
    except (ValueError, TypeError, RecursionError) as error:
        said = "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:200]
        raise RunError(f"{source} has a vocab.json or merges.txt that cannot be read: {said}.") from error
    merged = {"".join(pair) for pair in merges}
    names = [name for name in vocab if re.fullmatch(r"<\|.+\|>|</?\w+>|\[[A-Z]+\]", name) and name not in merged]
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
    added = special_token_entries({name: vocab[name] for name in names})
    return tokenizer_from_json(
        tokenizer_json(added_tokens=added, pre_tokenizer=byte_level, decoder=byte_level, model=model), source
    )


def _decoded(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RunError(f"{source} cannot be read: a tokenizer's .json or .txt file must be UTF-8 text.") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}.") from error
